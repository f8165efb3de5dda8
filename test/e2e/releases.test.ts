import { Persistence } from '../../lib';
import { describeLab } from '../lab/describe-lab';
import type { Snapshot } from '../lab/snapshot';
import { openVpnClients, tunnels } from '../lab/topology';
import type { Traffic } from '../lab/traffic';
import { ALL_THROUGH_NAT, ALL_THROUGH_UPSTREAM, INTERFACES, declareEgress, sources } from './egress';
import { settled, sleep, steadyTraffic } from './faults';
import { Terraform, saidBy } from './terraform';
import { timed } from './timing';

/** Who is there: WireGuard is not. */
const NODES = [...openVpnClients, 'vpn'] as const;
const ofThese = (lines: readonly string[]): string[] =>
  lines.filter((line) => NODES.some((node) => line.startsWith(`${node} `)));

describe.each(['bullseye', 'trixie'] as const)('a VPN server with Debian %s', (release) => {
  describeLab('has the how-to', { release }, (lab) => {
    let terraform: Terraform;
    let before: Snapshot;

    beforeAll(async () => {
      terraform = new Terraform(lab());
      before = await lab().vpn.snapshotState();
    });
    afterAll(() => terraform.close());

    test('clients leave through the NAT router, and both locks are there', async () => {
      expect(await sources(lab(), NODES)).toEqual(ofThese(ALL_THROUGH_UPSTREAM));
      terraform.declare(
        (stack) =>
          void declareEgress(
            stack,
            lab(),
            { clients: Object.values(tunnels.openvpn.pool) },
            { persistence: Persistence.service(), interfaces: INTERFACES.filter(({ name }) => name !== 'wg0') },
          ),
      );
      const said = saidBy('apply', await terraform.apply());
      expect(said.join('\n')).not.toMatch(/no kill switch/);
      expect(await sources(lab(), NODES)).toEqual(ofThese(ALL_THROUGH_NAT));
      await settled(lab().vpn);
      expect((await lab().vpn.exec('source-routing verify vpn; nft list tables')).stdout).toMatch(
        /agree[^]*table inet source_routing_vpn/,
      );
    });

    describe('whose traffic', () => {
      let traffic: Traffic;
      beforeAll(async () => {
        traffic = await steadyTraffic(lab());
      });
      afterAll(() => traffic?.stop().catch(() => undefined));

      const until = (condition: string): string =>
        `for try in $(seq 400); do ${condition} && exit; sleep 0.05; done; exit 1`;

      test.each([
        ['ip rule flush', async () => lab().vpn.exec(timed('ip rule flush; ip -6 rule flush'))],
        [
          'nft flush ruleset',
          async () =>
            lab().vpn.exec(`nft flush ruleset; ${until('nft list table inet source_routing_vpn >/dev/null 2>&1')}`),
        ],
        [
          'a flap of the egress link',
          async () => {
            await lab().vpn.unplug('eth1');
            await sleep(1_000);
            await lab().vpn.plug('eth1');
            await lab().vpn.exec(
              until(
                '{ ip -4 route show table 200; ip -6 route show table 200; } | grep -c "^default.*eth1" | grep -qx 2',
              ),
            );
          },
        ],
      ])('is held back, and goes its way again, after %s', async (_, fault) => {
        const leaked = await lab().countPackets('upstream');
        await fault();
        expect(await leaked.total()).toBe(0);
        await lab().vpn.exec('source-routing verify vpn');
      });

      test('is held back during a reboot, and all is there again after it', async () => {
        const leaked = await lab().countPackets('upstream');
        await lab().vpn.reboot();
        await lab().waitForVpn();
        await settled(lab().vpn);
        expect(await leaked.total()).toBe(0);
        await lab().vpn.exec('source-routing verify vpn');
        expect(await sources(lab(), NODES)).toEqual(ofThese(ALL_THROUGH_NAT));
      });
    });

    test('destroy: the machine is as it was', async () => {
      await terraform.destroy();
      expect(await lab().vpn.changedSince(before)).toEqual([]);
      expect(await sources(lab(), NODES)).toEqual(ofThese(ALL_THROUGH_UPSTREAM));
    });
  });
});

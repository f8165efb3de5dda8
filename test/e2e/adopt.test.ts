import { LocalTraffic, Persistence } from '../../lib';
import { describeLab } from '../lab/describe-lab';
import { poll } from '../lab/process';
import { ALL_THROUGH_NAT, GATEWAYS, POOLS, all, declareEgress, neighbours, sources } from './egress';
import type { Mark, Traffic } from '../lab/traffic';
import { clientNames, openVpnClients, tunnels } from '../lab/topology';
import { settled, steadyTraffic } from './faults';
import { Terraform } from './terraform';

const SCRIPTS = '/etc/sysconfig/network-scripts';
const FILES = ['rule-eth1', 'rule6-eth1', 'route-eth1', 'route6-eth1'].map((name) => `${SCRIPTS}/${name}`);
const HOOK = '/etc/openvpn/up';

/** What the how-to has in its rule files: no priorities. That WireGuard clients reach the server is one rule more. */
const rulesOf = (pools: readonly string[], family: 4 | 6): string => {
  const [openVpn, wireGuard] = pools.filter((pool) => pool.includes(':') === (family === 6));
  return `from ${openVpn} lookup vpn\n${wireGuard ? `from ${wireGuard} lookup vpn\nto ${wireGuard} lookup main priority 1000\n` : ''}`;
};

const UP = `#!/bin/sh
/usr/sbin/ip -4 ro add 10.10.10.0/24 dev $dev table vpn
/usr/sbin/ip -6 ro add fd00:4242:4242:4242::/64 dev $dev table vpn
`;

const OPENVPN = POOLS.filter((pool) => !Object.values(tunnels.wireguard.pool).includes(pool));

describe.each([
  ['a unit of its own', Persistence.service(), LocalTraffic.mainTable(), POOLS, clientNames],
  // The hook of OpenVPN does nothing for the clients of WireGuard.
  ['the network scripts', Persistence.networkScripts(), LocalTraffic.upHook(), OPENVPN, openVpnClients],
] as const)('the how-to done by hand, taken over by %s', (_, persistence, localTraffic, pools, clients) => {
  const throughNat = [...ALL_THROUGH_NAT.filter((line) => clients.some((client) => line.startsWith(`${client} `)))];
  describeLab('machine', { networkScripts: true }, (lab) => {
    let terraform: Terraform;
    const byHand = async (): Promise<string> => (await lab().vpn.exec('ip rule show; ip -6 rule show')).stdout;

    /** Nothing of what the clients have sent is lost, and all of it came by the NAT router. */
    const nothingLost = async (traffic: Traffic, mark: Mark): Promise<void> => {
      const flows = (await traffic.since(mark)).filter(({ client }) => (clients as readonly string[]).includes(client));
      process.stderr.write(`adopt: ${flows.map(({ lost, sent }) => `${lost} of ${sent} lost`).join(', ')}\n`);
      expect(flows).toHaveLength(2 * clients.length);
      expect(flows.filter(({ lost, nat, sent }) => lost > 0 || nat !== sent || sent < 100)).toEqual([]);
    };

    beforeAll(async () => {
      terraform = new Terraform(lab());
      const { vpn } = lab();
      await vpn.exec("mkdir -p /etc/iproute2; printf '200     vpn\\n' >>/etc/iproute2/rt_tables");
      await vpn.writeFile(FILES[0], rulesOf(pools, 4));
      await vpn.writeFile(FILES[1], rulesOf(pools, 6));
      await vpn.writeFile(FILES[2], `default via ${GATEWAYS[0]} table vpn\n`);
      await vpn.writeFile(FILES[3], `default via ${GATEWAYS[1]} table vpn\n`);
      await vpn.writeFile(HOOK, UP, '0755');
      await vpn.reboot();
      await lab().waitForVpn();
      terraform.declare((stack) => {
        declareEgress(
          stack,
          lab(),
          { localTraffic, clients: [...pools] },
          { persistence, adopt: { files: [...FILES, HOOK] } },
        );
      });
    });
    afterAll(() => terraform.close());

    test('on trial, while all clients are busy, and back when nobody confirms: nothing lost, all as before', async () => {
      expect(await sources(lab(), clients)).toEqual(throughNat);
      const before = await lab().vpn.snapshotState();
      const rules = await byHand();
      expect(rules).toMatch(/^32765:\tfrom 10\.10\.10\.0\/24 lookup vpn$/m);
      const traffic = await steadyTraffic(lab());
      const mark = await traffic.mark();
      await lab().vpn.writeFile('/root/bundle', terraform.bundle(), '0600');
      await lab().vpn.exec('sh /root/bundle apply --owner vpn --generation g1 --confirm-timeout 10 /root/bundle');
      expect(await byHand()).not.toMatch(/^(1000|3276[0-5]):/m);
      await poll('rules by hand', 30_000, async () => (await byHand()) === rules || undefined);
      await settled(lab().vpn);
      await nothingLost(traffic, mark);
      await traffic.stop();
      expect(await lab().vpn.changedSince(before)).toEqual([]);
    });

    test('on trial when the machine goes down: it boots with what was made by hand', async () => {
      const before = await lab().vpn.snapshotState();
      await lab().vpn.writeFile('/root/bundle', terraform.bundle(), '0600');
      await lab().vpn.exec('sh /root/bundle apply --owner vpn --generation g2 --confirm-timeout 90 /root/bundle');
      await lab().vpn.reboot();
      await lab().waitForVpn();
      await settled(lab().vpn);
      expect(await lab().vpn.changedSince(before)).toEqual([]);
      expect(await sources(lab(), clients)).toEqual(throughNat);
    });

    test('by Terraform, while all clients are busy: not one packet is lost, not one leaks', async () => {
      expect(await terraform.plan()).toMatch(
        /\+ adopt += "rules and routes made by hand, \/etc\/sysconfig\/network-scripts\/rule-eth1, .*, \/etc\/openvpn\/up"/,
      );
      const traffic = await steadyTraffic(lab());
      const mark = await traffic.mark();
      const said = await terraform.apply();
      expect(said).not.toContain('note: ');
      await nothingLost(traffic, mark);
      await traffic.stop();
      expect(await terraform.plan()).toContain('No changes.');
    });

    test('nothing that was made by hand is left, and clients reach each other now', async () => {
      const check = async (): Promise<void> => {
        expect(await byHand()).not.toMatch(/^(1000|3276[0-5]):/m);
        expect((await lab().vpn.exec('cat /etc/iproute2/rt_tables')).stdout).not.toMatch(/^200/m);
        const left = await lab().vpn.exec(`grep -l 'table vpn\\|lookup vpn' ${[...FILES, HOOK].join(' ')}`, {
          allowFailure: true,
        });
        expect(left.stdout).toBe('');
        expect(await sources(lab(), clients)).toEqual(throughNat);
        const reached = await neighbours(lab());
        const openVpn = Object.fromEntries(
          Object.entries(reached).filter(([name]) => /^OpenVPN client to (client|server)/.test(name)),
        );
        expect(openVpn).toEqual(all(openVpn, true));
        await lab().vpn.exec('source-routing verify');
      };
      await check();
      await lab().vpn.reboot();
      await lab().waitForVpn();
      await settled(lab().vpn);
      await check();
      expect((await lab().vpn.exec('ls /var/lib/source-routing/vpn/adopted')).stdout).toContain('etc%openvpn%up');
    });

    test('the kill switch is loaded again and again, while all clients are busy: not one packet is lost', async () => {
      const traffic = await steadyTraffic(lab());
      const mark = await traffic.mark();
      await lab().vpn.exec('for load in $(seq 250); do nft -f /etc/source-routing/vpn.nft || exit; done');
      await nothingLost(traffic, mark);
      await traffic.stop();
      await settled(lab().vpn);
    });

    test('destroy leaves nothing of either', async () => {
      await terraform.destroy();
      expect((await lab().vpn.exec('ip rule show; ip -6 rule show; ip route show table all')).stdout).not.toMatch(
        /lookup (vpn|200)|table (vpn|200)/,
      );
      expect((await lab().vpn.exec(['test', '-e', '/var/lib/source-routing'], { allowFailure: true })).code).toBe(1);
    });
  });
});

import { LinuxHost, LocalTraffic, Persistence } from '../../lib';
import { describeLab } from '../lab/describe-lab';
import type { Snapshot } from '../lab/snapshot';
import { cases } from '../random';
import { ALL_THROUGH_NAT, ALL_THROUGH_UPSTREAM, all, declareEgress, neighbours, sources } from './egress';
import { Terraform, saidBy, sshOf } from './terraform';

describeLab('VpnEgress', { returnRoutes: false, networkScripts: true }, (lab) => {
  let terraform: Terraform;
  let before: { vpn: Snapshot; nat: Snapshot };

  beforeAll(async () => {
    terraform = new Terraform(lab());
    before = { vpn: await lab().vpn.snapshotState(), nat: await lab().nat.snapshotState() };
  });
  afterAll(() => terraform.close());

  const declare = (localTraffic: LocalTraffic, persistence = Persistence.service()): void =>
    terraform.declare((stack) => {
      const natRouter = new LinuxHost(stack, 'nat', { ssh: sshOf(lab(), 'nat'), owner: 'nat' });
      declareEgress(stack, lab(), { localTraffic, natRouter }, { persistence });
    });

  /** What becomes of packets to a pool while its tunnel is not there. */
  async function toPoolWithoutTunnel(): Promise<{ said: boolean[]; upstream: number; nat: number }> {
    // The kernel tells nothing to whom it has sent a redirect in the last two seconds.
    await lab().vpn.exec('systemctl stop wg-quick@wg0; sleep 3');
    const [upstream, nat] = await Promise.all([lab().countPackets('upstream'), lab().countPackets('nat')]);
    const said = await Promise.all(
      ['10.10.20.2', 'fd00:4242:4242:2020::2'].map(async (target) => {
        const argv = ['ping', '-n', '-c', '1', '-W', '2', target];
        return /unreachable/i.test((await lab().exec('ovpn1', argv, { allowFailure: true })).stdout);
      }),
    );
    const seen = { said, upstream: await upstream.total(), nat: await nat.total() };
    await lab().vpn.exec(['systemctl', 'start', 'wg-quick@wg0']);
    await lab().waitForVpn();
    return seen;
  }
  const REJECTED = { said: [true, true], upstream: 0, nat: 0 };

  test('before: everybody leaves through the upstream router', async () => {
    expect(await sources(lab())).toEqual(ALL_THROUGH_UPSTREAM);
  });

  test('clients leave through the NAT router, the server does not; neighbours are reached (mainTable)', async () => {
    declare(LocalTraffic.mainTable());
    const output = await terraform.apply();
    expect(saidBy('apply', output)).toContainEqual(
      expect.stringMatching(
        /^source-routing: done: generation \S+ of vpn is in force \(10 rules, 10 guards, 8 routes\)$/,
      ),
    );
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
    const reached = await neighbours(lab());
    expect(reached).toEqual(all(reached, true));
    expect(await toPoolWithoutTunnel()).toEqual(REJECTED);
  });

  test('after a reboot of both machines all of it is there again (service)', async () => {
    await Promise.all([lab().vpn.reboot(), lab().nat.reboot()]);
    await lab().waitForVpn();
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
    const reached = await neighbours(lab());
    expect(reached).toEqual(all(reached, true));
  });

  test('the probe agrees: packets of clients get through, all of them; or it names what stops them', async () => {
    const { vpn } = lab();
    const probe = async (): Promise<{ code: number; out: string }> => {
      const { stdout, code } = await vpn.exec(['source-routing', 'probe'], { allowFailure: true });
      return { code, out: stdout };
    };
    const stopped = (out: string): string[] => out.split('\n').filter((line) => line.startsWith('source-routing: ! '));
    const snapshot = await vpn.snapshotState();
    for (let run = 0; run < cases(10); run++) {
      const { code, out } = await probe();
      expect({ stopped: stopped(out), code }).toEqual({ stopped: [], code: 0 });
      for (const tunnel of ['tun0', 'wg0']) {
        for (const family of [/10\.10\.\d+\.\d+ -> 198/, /fd00:\S+ -> 2001/]) {
          const leave = out.split('\n').filter((line) => line.includes(`from ${tunnel} (ICMP`) && family.test(line));
          expect(leave).toEqual([
            expect.stringContaining('(ICMP echo, UDP to port 443, TCP to port 443) leave by eth1'),
          ]);
        }
      }
    }
    await vpn.exec(
      "nft add table inet fw; nft 'add chain inet fw forward { type filter hook forward priority 0; policy drop; }'; " +
        "nft 'add rule inet fw forward iifname wg0 accept'",
    );
    const { code, out } = await probe();
    await vpn.exec('nft delete table inet fw');
    expect(code).toBe(1);
    const dropped = stopped(out).filter((line) => line.includes('UDP'));
    expect(dropped.filter((line) => line.includes('from wg0'))).toEqual([]);
    const ends = [
      ' 10\\.\\S+ -> \\S+ from tun0',
      ' fd00:\\S+ -> \\S+ from tun0',
      ' -> 10\\.\\S+ from eth1',
      ' -> fd00:\\S+ from eth1',
    ];
    const policy = ' are dropped by chain inet fw forward \\(policy drop\\)$';
    expect(dropped).toEqual(
      ends.map((packets) => expect.stringMatching(new RegExp(`${packets} .*${policy}`)) as string),
    );
    expect(await vpn.snapshotState()).toEqual(snapshot);
  });

  test('suppressDefault: neighbours are reached', async () => {
    declare(LocalTraffic.suppressDefault());
    await terraform.apply();
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
    const reached = await neighbours(lab());
    expect(reached).toEqual(all(reached, true));
    expect(await toPoolWithoutTunnel()).toEqual(REJECTED);
  });

  test('isolated: neighbours are not reached', async () => {
    declare(LocalTraffic.isolated());
    await terraform.apply();
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
    const reached = await neighbours(lab());
    expect(reached).toEqual(all(reached, false));
  });

  test('upHook: neighbours are reached at once, also after the daemon has been restarted', async () => {
    declare(LocalTraffic.upHook());
    await terraform.apply();
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
    const reached = await neighbours(lab());
    expect(reached).toEqual(all(reached, true));
    await lab().vpn.exec(['systemctl', 'restart', 'openvpn-server@server']);
    await lab().waitForVpn(['ovpn1', 'ovpn2']);
    const reachedAgain = await neighbours(lab());
    expect(reachedAgain).toEqual(all(reachedAgain, true));
    expect(await toPoolWithoutTunnel()).toEqual(REJECTED);
  });

  test('networkScripts: all of it is there again after a reboot', async () => {
    declare(LocalTraffic.mainTable(), Persistence.networkScripts());
    await terraform.apply();
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
    await lab().vpn.reboot();
    await lab().waitForVpn();
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
    const reached = await neighbours(lab());
    expect(reached).toEqual(all(reached, true));
  });

  test('destroy: both machines are as they were', async () => {
    await terraform.destroy();
    expect(await lab().vpn.changedSince(before.vpn)).toEqual([]);
    expect(await lab().nat.changedSince(before.nat)).toEqual([]);
    expect(await sources(lab())).toEqual(ALL_THROUGH_UPSTREAM);
  });
});

import { LocalTraffic } from '../../lib';
import { describeLab } from '../lab/describe-lab';
import type { NetworkManagerName } from '../lab/network-manager';
import type { Snapshot } from '../lab/snapshot';
import type { Traffic } from '../lab/traffic';
import { FULL } from '../random';
import { declareEgress } from './egress';
import { CONFIRM_TIMEOUT, median, settled, sleep } from './faults';
import { Terraform } from './terraform';
import { NOW, timed } from './timing';

const ROUNDS = FULL ? 20 : 6;
/** Those in which a link is down for seconds. */
const UNPLUGGED = FULL ? 3 : 1;
/** Repairs in a row after which the watch would take us for somebody who wants it otherwise. */
const PATIENCE = 10;
const UNIT = 'source-routing-vpn';

interface Fault {
  readonly command: string;
  /** Clients whose tunnel it cuts. */
  readonly cuts?: 'ovpn';
  /** Where it is somebody's job to do it. */
  readonly on: readonly NetworkManagerName[];
}

const FAULTS: Record<string, Fault> = {
  'ip rule flush': { command: 'ip rule flush; ip -6 rule flush', on: ['networkd'] },
  'ip route flush table 200': {
    command: 'ip route flush table 200; ip -6 route flush table 200',
    on: ['networkd'],
  },
  'a restart of systemd-networkd': { command: 'systemctl restart systemd-networkd', on: ['networkd'] },
  'a restart of NetworkManager': { command: 'systemctl restart NetworkManager', on: ['networkManager'] },
  'a restart of OpenVPN': {
    command: 'systemctl restart openvpn-server@server',
    cuts: 'ovpn',
    on: ['networkd'],
  },
};

/** The kernel repeats a neighbour request that a dead link has swallowed: by default once a second, by a clock of its own. */
const repeatAtOnce = `for family in ipv4 ipv6; do
    echo 100 >"/proc/sys/net/$family/neigh/eth1/retrans_time_ms"
  done`;

/** Waits until eth1 has a carrier, and then an IPv6 address that may be used; says when either was, in milliseconds since 1970. */
const linkIsBack = `${NOW}
  start=$(now)
  wait_until() {
    until "$@"; do
      [ $(($(now) - start)) -lt 20000 ] || exit 1
      sleep 0.01
    done
    now
  }
  carrier() { read -r carrier </sys/class/net/eth1/carrier && [ "$carrier" = 1 ]; }
  usable() { ip -6 address show dev eth1 scope global -tentative | grep -q inet6; }
  wait_until carrier
  wait_until usable`;

describe.each(['networkd', 'networkManager'] as const)('where %s is', (networkManager) => {
  describeLab('the way of the clients', { networkManager }, (lab) => {
    let terraform: Terraform;
    let traffic: Traffic;
    let before: Snapshot;

    beforeAll(async () => {
      terraform = new Terraform(lab());
      terraform.declare(
        (stack) =>
          void declareEgress(
            stack,
            lab(),
            { localTraffic: LocalTraffic.upHook() },
            { confirmTimeoutSeconds: CONFIRM_TIMEOUT },
          ),
      );
      await terraform.apply();
      await settled(lab().vpn);
      before = await lab().vpn.snapshotState();
    }, 120_000);
    afterAll(() => terraform.close());

    beforeEach(async () => {
      await lab().vpn.exec(`systemctl restart ${UNIT}`);
      await lab().waitForVpn();
      await settled(lab().vpn);
      traffic = await lab().startTraffic(170);
    });
    afterEach(() => traffic.stop().catch(() => undefined));

    const names = Object.keys(FAULTS).filter((name) => FAULTS[name].on.includes(networkManager));

    test.each(names)('is there again within a second after %s, and nothing leaks', async (name) => {
      const { command, cuts } = FAULTS[name];
      const leaked = await lab().countPackets('upstream');
      const healed: number[] = [];
      const gaps: number[] = [];
      for (let round = 1; round <= ROUNDS; round += 1) {
        const mark = await traffic.mark();
        const { stdout } = await lab().vpn.exec(timed(command));
        healed.push(Number(stdout));
        await sleep(300);
        const flows = await traffic.since(mark);
        const others = flows.filter(({ client }) => !cuts || !client.startsWith(cuts));
        gaps.push(Math.max(...others.map(({ longestGap }) => Math.round(longestGap))));
        // Whose tunnel is not cut does not even notice.
        if (cuts) {
          const lost = others.map((flow) => flow.lost);
          if (Math.max(...lost) > 0)
            process.stderr.write((await lab().vpn.exec(`journalctl -b -u ${UNIT} -n 20`)).stdout);
          expect(lost).toEqual(others.map(() => 0));
        }
        if (round % PATIENCE === 0) await lab().vpn.exec(`systemctl restart ${UNIT}; sleep 1`);
      }
      process.stderr.write(
        `faults: ${name}: healed after ${healed.join(' ')} ms; clients without a packet for ${gaps.join(' ')} ms at most\n`,
      );
      expect(median(healed)).toBeLessThan(1_000);
      expect(median(gaps)).toBeLessThan(1_000);
      expect(await leaked.total()).toBe(0);
      await lab().waitForVpn();
      expect(await lab().vpn.changedSince(before)).toEqual([]);
    });

    test('is there again within a second after a link that was down for 5 s, and nothing leaks', async () => {
      const leaked = await lab().countPackets('upstream');
      const waits = { ipv4: [] as number[], ipv6: [] as number[] };
      await lab().vpn.exec(repeatAtOnce);
      for (let round = 1; round <= UNPLUGGED; round += 1) {
        const down = await traffic.mark();
        await lab().vpn.unplug('eth1');
        await sleep(4_000);
        const back = lab().vpn.exec(linkIsBack);
        await sleep(1_000);
        const markedAt = Date.now();
        const up = await traffic.mark();
        await lab().vpn.plug('eth1');
        const [carrier, usable] = (await back).stdout.trim().split('\n').map(Number);
        await sleep(3_000);
        const flows = await traffic.since(up);
        // IPv6 looks for somebody else with the same address first, which takes a second or two.
        for (const [family, from] of [
          ['ipv4', carrier],
          ['ipv6', usable],
        ] as const) {
          const first = flows.filter((flow) => flow.family === family).map((flow) => flow.first ?? Infinity);
          waits[family].push(markedAt + Math.max(...first) - from);
        }
        // It was no exercise: there was no way, and packets were lost rather than leaked.
        const all = await traffic.since(down);
        expect(all.filter(({ lost }) => lost < 300)).toEqual([]);
        expect(all.filter(({ upstream }) => upstream > 0)).toEqual([]);
      }
      process.stderr.write(
        `faults: first packet after the link: IPv4 ${waits.ipv4.map(Math.round).join(' ')} ms, IPv6 ${waits.ipv6.map(Math.round).join(' ')} ms after its address was usable\n`,
      );
      expect(Math.max(...waits.ipv4, ...waits.ipv6)).toBeLessThan(1_000);
      expect(await leaked.total()).toBe(0);
      expect(await lab().vpn.changedSince(before)).toEqual([]);
    });
  });
});

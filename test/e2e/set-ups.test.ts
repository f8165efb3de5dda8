import type { LinuxHostProps, VpnEgressProps } from '../../lib';
import { RouteType, SourceNat, SourceRoutingTable } from '../../lib';
import { describeLab } from '../lab/describe-lab';
import type { Lab } from '../lab/lab';
import { poll } from '../lab/process';
import type { ClientName, Family } from '../lab/topology';
import { families } from '../lab/topology';
import { ALL_THROUGH_NAT, INTERFACES, NAT, POOLS, declareEgress, sources } from './egress';
import { Terraform, saidBy } from './terraform';

/** A network as some people have it, in which the clients leave through the NAT router after the change. */
interface SetUp {
  readonly on: (lab: Lab) => Promise<unknown>;
  readonly off: (lab: Lab) => Promise<unknown>;
  readonly interfaces?: LinuxHostProps['interfaces'];
  readonly egress?: Partial<VpnEgressProps>;
  readonly more?: (table: SourceRoutingTable) => void;
  /** What has to be true beside that all clients leave through the NAT router. */
  readonly check?: (lab: Lab) => Promise<void>;
}

const [ETH0, ETH1, TUN0, WG0] = INTERFACES;
/** A line of its own to the NAT router: the other end is a peer, and IPv6 has only link-local addresses, as with PPPoE. */
const line = (own: string, peer: string, from: string, to: string): string => `set -e
  openvpn --daemon --dev ppp0 --dev-type tun --local ${from} --remote ${to} --port 2000 --cipher none --auth none \\
    --writepid /run/lab-line.pid
  for try in $(seq 50); do [ -e /sys/class/net/ppp0 ] && break; sleep 0.1; done
  ip address add ${own} peer ${peer} dev ppp0
  ip link set ppp0 up`;
/** OpenVPN removes the file of its process id when it ends, also the one of its successor. */
const END_OF_LINE = 'pid=$(cat /run/lab-line.pid); kill $pid; while kill -0 $pid 2>/dev/null; do sleep 0.1; done';
async function layLine({ vpn, nat }: Lab): Promise<void> {
  await nat.exec(line('192.0.2.1', '192.0.2.2', '192.168.1.1', '192.168.1.100'));
  await vpn.exec(line('192.0.2.2', '192.0.2.1', '192.168.1.100', '192.168.1.1'));
}
async function removeLine({ vpn, nat }: Lab): Promise<void> {
  await nat.exec(returnRoutes(POOLS, byEth1));
  for (const machine of [vpn, nat]) await machine.exec(END_OF_LINE);
}
const onNetworkd = (change: string): string => `sed -i '${change}' /etc/systemd/network/10-eth1.network
  networkctl reload; networkctl reconfigure eth1; sleep 1`;
const returnRoutes = (pools: readonly string[], way: (family: Family) => string): string =>
  pools.map((pool) => `ip route replace ${pool} ${way(pool.includes(':') ? 'ipv6' : 'ipv4')}`).join('; ');
const byEth1 = (family: Family): string => `via ${ETH1.addresses[family === 'ipv4' ? 0 : 1].split('/')[0]}`;
const BEHIND = { ipv4: '10.99.0.1', ipv6: 'fd00:99::1' };

const SET_UPS: Record<string, SetUp> = {
  'a point-to-point line, without a gateway': {
    on: async (lab) => {
      await layLine(lab);
      await lab.nat.exec(returnRoutes(POOLS, () => 'dev ppp0'));
    },
    off: removeLine,
    interfaces: [ETH0, ETH1, { name: 'ppp0', addresses: ['192.0.2.2/32'] }, TUN0, WG0],
    egress: { device: 'ppp0', gateways: undefined },
    // A provider ends the line once a day, and a machine boots without it. What comes back is another interface.
    check: async (lab) => {
      const ends = [END_OF_LINE, 'reboot'];
      for (const end of ends) {
        await (end === 'reboot' ? lab.vpn.reboot() : lab.vpn.exec(end));
        await lab.waitForVpn();
        expect(await withoutReasons(lab, ['ovpn1', 'wg1'])).toEqual(nowhere(['ovpn1', 'wg1']));
        await lab.vpn.exec(line('192.0.2.2', '192.0.2.1', '192.168.1.100', '192.168.1.1'));
        await poll('the clients on the new line', 10_000, async () => {
          const seen = await withoutReasons(lab, ['ovpn1', 'wg1']);
          return seen.every((source) => ALL_THROUGH_NAT.includes(source)) || undefined;
        });
      }
    },
  },
  'a point-to-point line on which the server translates, with a smaller MTU': {
    on: async (lab) => {
      await layLine(lab);
      await lab.vpn.exec('ip address add fd00:1492::2/64 dev ppp0');
      // Nobody there knows the clients.
      await lab.nat.exec(
        `ip address add fd00:1492::1/64 dev ppp0; ${POOLS.map((pool) => `ip route del ${pool}`).join('; ')}`,
      );
    },
    off: removeLine,
    interfaces: [ETH0, ETH1, { name: 'ppp0', addresses: ['192.0.2.2/32', 'fd00:1492::2/64'] }, TUN0, WG0],
    egress: { device: 'ppp0', gateways: undefined, sourceNat: SourceNat.masquerade(), mtu: 1492, mssClamp: true },
  },
  'an interface with a single address, and a gateway that is on no network of it': {
    on: ({ vpn }) => vpn.exec(onNetworkd('/^Address=/{ s,/24,/32,; s,/64,/128, }')),
    off: ({ vpn }) => vpn.exec(onNetworkd('/^Address=/{ s,/32,/24,; s,/128,/64, }')),
    interfaces: [ETH0, { name: 'eth1', addresses: ['192.168.1.100/32', 'fd00:1010:1010:1010::100/128'] }, TUN0, WG0],
    egress: { onLink: true },
    // Where rp_filter is strict, the main table has to know the router: otherwise its questions for our address are dropped.
    more: ({ host }) =>
      SourceRoutingTable.main(host).addRoute('router', { destination: '192.168.1.1/32', device: 'eth1' }),
    // A router asks for our address from time to time.
    check: async (lab) => {
      await lab.nat.exec('ip neigh flush dev eth1');
      expect(await sources(lab)).toEqual(ALL_THROUGH_NAT);
    },
  },
  'more routes in the table of the egress': {
    on: (lab) => onOffice(lab, 'add'),
    off: (lab) => onOffice(lab, 'del'),
    more: (table) => {
      table.addRoute('office4', { destination: '198.18.0.0/24', via: '192.168.178.10', device: 'eth0' });
      table.addRoute('office6', { destination: 'fd00:18::/64', via: 'fd00:178::10', device: 'eth0' });
      table.addRoute('closed', { destination: '198.18.1.0/24', routeType: RouteType.PROHIBIT });
    },
    check: async (lab) => {
      for (const address of OFFICE) expect([address, await lab.ping('ovpn1', address)]).toEqual([address, true]);
      const counters = await Promise.all([lab.countPackets('upstream'), lab.countPackets('nat')]);
      expect(await lab.ping('ovpn1', '198.18.1.1')).toBe(false);
      expect(await Promise.all(counters.map((counter) => counter.total()))).toEqual([0, 0]);
    },
  },
  'a network behind a client': {
    on: async (lab) => {
      await lab.vpn
        .exec(`printf '%s\\n' 'route 10.99.0.0 255.255.255.0' 'route-ipv6 fd00:99::/64' >>/etc/openvpn/server/server.conf
        printf '%s\\n' 'iroute 10.99.0.0 255.255.255.0' 'iroute-ipv6 fd00:99::/64' >>/etc/openvpn/clients/server/ovpn1
        systemctl restart openvpn-server@server`);
      await lab.exec('ovpn1', ['ip', 'address', 'add', '10.99.0.1/32', 'dev', 'lo']);
      await lab.exec('ovpn1', ['ip', 'address', 'add', 'fd00:99::1/128', 'dev', 'lo']);
      await lab.nat.exec(returnRoutes(['10.99.0.0/24', 'fd00:99::/64'], byEth1));
    },
    off: (lab) =>
      lab.vpn
        .exec(`sed -i '/^route/d' /etc/openvpn/server/server.conf; sed -i '/^iroute/d' /etc/openvpn/clients/server/ovpn1
        systemctl restart openvpn-server@server`),
    interfaces: [ETH0, ETH1, { ...TUN0, networks: ['10.99.0.0/24', 'fd00:99::/64'] }, WG0],
    egress: { clients: [...POOLS, '10.99.0.0/24', 'fd00:99::/64'] },
    check: async (lab) => {
      for (const family of families) {
        expect(await lab.sourceSeenFrom('ovpn1', family, { source: BEHIND[family] })).toBe(NAT[family]);
        expect([family, await lab.ping('ovpn2', BEHIND[family])]).toEqual([family, true]);
        expect([family, await lab.ping('wg1', BEHIND[family])]).toEqual([family, true]);
      }
    },
  },
  'tunnels with single addresses, whose daemons have the routes': {
    on: async (lab) => {
      await lab.vpn.exec(`sed -i '/^Address/{ s,/24,/32,; s,/64,/128, }' /etc/wireguard/wg0.conf
        systemctl restart wg-quick@wg0`);
    },
    off: (lab) =>
      lab.vpn.exec(`sed -i '/^Address/{ s,/32,/24,; s,/128,/64, }' /etc/wireguard/wg0.conf
        systemctl restart wg-quick@wg0`),
    interfaces: [ETH0, ETH1, TUN0, { name: 'wg0', addresses: ['10.10.20.1/32', 'fd00:4242:4242:2020::1/128'] }],
  },
};

/** A network that the administrator's machine stands for. */
const OFFICE = ['198.18.0.1', 'fd00:18::1'];
async function onOffice(lab: Lab, change: 'add' | 'del'): Promise<void> {
  for (const address of OFFICE) await lab.exec('admin', ['ip', 'address', change, address, 'dev', 'lo']);
}

async function withoutReasons(lab: Lab, nodes: readonly ClientName[]): Promise<string[]> {
  return (await sources(lab, nodes)).map((source) => source.replace(/ none .*/, ' none'));
}

function nowhere(nodes: readonly ClientName[]): string[] {
  return nodes.flatMap((node) => families.map((family) => `${node} ${family} none`));
}

describeLab('a set-up', {}, (lab) => {
  let terraform: Terraform;
  beforeEach(() => {
    terraform = new Terraform(lab());
  });
  afterEach(() => terraform.close());

  test.each(Object.entries(SET_UPS))('%s', async (_, { on, off, interfaces, egress, more, check }) => {
    await on(lab());
    try {
      await lab().waitForVpn();
      const before = await lab().vpn.snapshotState();
      terraform.declare((stack) => {
        const declared = declareEgress(stack, lab(), egress, { interfaces: interfaces ?? INTERFACES });
        more?.(declared.table);
      });
      const said = saidBy('apply', await terraform.apply());
      expect(said.filter((line) => line.includes('note:'))).toEqual([]);
      expect(said.at(-1)).toMatch(/^source-routing: done: /);
      expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
      await check?.(lab());
      await lab().vpn.exec('source-routing verify vpn');
      await lab().vpn.exec('source-routing probe vpn');
      expect(await terraform.plan()).toContain('No changes.');
      await terraform.destroy();
      expect(await lab().vpn.changedSince(before)).toEqual([]);
    } finally {
      await terraform.run('destroy', ['-auto-approve']);
      await off(lab());
    }
  });
});

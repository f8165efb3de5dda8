import type { LinuxHostProps, VpnEgressProps } from '../../lib';
import { describeLab } from '../lab/describe-lab';
import type { ClientName } from '../lab/topology';
import type { Snapshot } from '../lab/snapshot';
import { ALL_THROUGH_NAT, GATEWAYS, INTERFACES, POOLS, declareEgress, sources } from './egress';
import { Terraform, saidBy } from './terraform';

/** A machine that somebody has made unlike that of the picture. In shell, on the VPN server. */
interface Unlike {
  readonly make: string;
  readonly undo: string;
  readonly egress?: Partial<VpnEgressProps>;
  readonly host?: Partial<LinuxHostProps>;
}

const AGAIN = '-replace=terraform_data.vpn_apply_D7A555EC';
const BOTH = 'both() { ip -4 "$@" && ip -6 "$@"; }';
const [ETH0, ...OTHERS] = INTERFACES;
const WITHOUT_IPV6 = { clients: POOLS.slice(0, 2), gateways: GATEWAYS.slice(0, 1) };
const HOST_WITHOUT_IPV6 = {
  interfaces: INTERFACES.map(({ name, addresses, gateways }) => ({
    name,
    addresses: addresses.slice(0, 1),
    gateways: gateways?.slice(0, 1),
  })),
};

/** What anybody may find on a machine that works. */
const HEALTHY: Record<string, Unlike> = {
  'a default route by DHCP': {
    make: 'ip route del default; ip route add default via 192.168.178.1 dev eth0 proto dhcp src 192.168.178.2 metric 100',
    undo: 'ip route del default; ip route add default via 192.168.178.1 dev eth0',
  },
  'a default route by a router advertisement, beside that by hand': {
    make: 'ip -6 route add default via fd00:178::3 dev eth0 proto ra metric 512 expires 1800',
    undo: 'ip -6 route del default proto ra',
  },
  'other gateways than those declared': {
    make: 'ip route replace default via 192.168.178.3 dev eth0; ip -6 route replace default via fd00:178::3 dev eth0',
    undo: 'ip route replace default via 192.168.178.1 dev eth0; ip -6 route replace default via fd00:178::1 dev eth0',
  },
  'a default route in two halves': {
    make: 'for half in 0.0.0.0/1 128.0.0.0/1; do ip route add $half via 192.168.178.3; done; ip -6 route add 2000::/3 via fd00:178::3',
    undo: 'for half in 0.0.0.0/1 128.0.0.0/1; do ip route del $half; done; ip -6 route del 2000::/3',
  },
  'two default routes at once': {
    make: 'ip route replace default nexthop via 192.168.178.1 dev eth0 nexthop via 192.168.178.3 dev eth0',
    undo: 'ip route replace default via 192.168.178.1 dev eth0',
  },
  'no default route': { make: 'ip route del default', undo: 'ip route add default via 192.168.178.1 dev eth0' },
  'blackholes for addresses that nobody has': {
    make: 'for net in 192.0.2.0/24 198.51.100.0/24 203.0.113.128/25; do ip route add blackhole $net; done; ip -6 route add blackhole 2001:db8::/48',
    undo: 'for net in 192.0.2.0/24 198.51.100.0/24 203.0.113.128/25; do ip route del blackhole $net; done; ip -6 route del blackhole 2001:db8::/48',
  },
  'a second uplink': {
    make: `ip link add up2 type veth peer name far2; ip addr add 10.77.0.2/24 dev up2; ip link set up2 up; ip link set far2 up
      ip route add default via 10.77.0.1 dev up2 metric 500`,
    undo: 'ip link del up2',
  },
  'source routing of its own for the uplink': {
    make: 'ip route add default via 192.168.178.1 dev eth0 table 500; ip rule add pref 500 from 192.168.178.2 lookup 500',
    undo: 'ip rule del pref 500; ip route flush table 500',
  },
  'rules of others in front': {
    make: `${BOTH}
      for rule in 'pref 105 lookup main suppress_prefixlength 0' 'pref 110 not fwmark 0x1bd00 lookup 7120' 'pref 220 lookup 220' \\
        'pref 5210 fwmark 0x80000/0xff0000 lookup main' 'pref 5270 lookup 52'; do both rule add $rule; done`,
    undo: `${BOTH}; for pref in 105 110 220 5210 5270; do both rule del pref $pref; done`,
  },
  'rules of others behind': {
    make: `${BOTH}; both rule add pref 30000 fwmark 0x99 unreachable; both rule add pref 32000 lookup main`,
    undo: `${BOTH}; both rule del pref 30000; both rule del pref 32000`,
  },
  'several addresses on each link': {
    make: `ip addr add 192.168.178.22/24 dev eth0; ip addr add 192.168.1.111/24 dev eth1; ip addr add 172.16.5.1/24 dev eth1
      ip addr add 10.10.10.9/24 dev tun0; ip -6 addr add fd00:178::22/64 dev eth0; ip -6 addr add fd00:1010:1010:1010::111/64 dev eth1`,
    undo: `ip addr del 192.168.178.22/24 dev eth0; ip addr del 192.168.1.111/24 dev eth1; ip addr del 172.16.5.1/24 dev eth1
      ip addr del 10.10.10.9/24 dev tun0; ip -6 addr del fd00:178::22/64 dev eth0; ip -6 addr del fd00:1010:1010:1010::111/64 dev eth1`,
  },
  'addresses that are deprecated': {
    make: `ip -6 addr add fd00:1010:1010:1010::222/64 dev eth1 preferred_lft 0; ip -6 addr add fd00:178::222/64 dev eth0 preferred_lft 0`,
    undo: `ip -6 addr del fd00:1010:1010:1010::222/64 dev eth1; ip -6 addr del fd00:178::222/64 dev eth0`,
  },
  'a tunnel whose address stands alone': {
    make: `ip addr del 10.10.20.1/24 dev wg0; ip addr add 10.10.20.1/32 dev wg0; ip route add 10.10.20.0/24 dev wg0`,
    undo: `ip addr del 10.10.20.1/32 dev wg0; ip route del 10.10.20.0/24 dev wg0; ip addr add 10.10.20.1/24 dev wg0`,
    host: {
      interfaces: INTERFACES.map((link) =>
        link.name === 'wg0' ? { ...link, addresses: ['10.10.20.1/32', 'fd00:4242:4242:2020::1/64'] } : link,
      ),
    },
  },
  'a tunnel that is called otherwise': {
    make: '',
    undo: '',
    host: { interfaces: INTERFACES.map((link) => (link.name === 'tun0' ? { ...link, name: 'tun7' } : link)) },
  },
  'a tunnel that is down': { make: 'ip link set tun0 down', undo: 'systemctl restart openvpn-server@server' },
  'a strict reverse path filter on the uplinks': {
    make: 'sysctl -qw net.ipv4.conf.eth0.rp_filter=1 net.ipv4.conf.eth1.rp_filter=2',
    undo: 'sysctl -qw net.ipv4.conf.eth0.rp_filter=0 net.ipv4.conf.eth1.rp_filter=0',
  },
  'marks that count for the source': {
    make: 'sysctl -qw net.ipv4.conf.all.src_valid_mark=1',
    undo: 'sysctl -qw net.ipv4.conf.all.src_valid_mark=0',
  },
  'only the uplink without IPv6': {
    make: 'sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1',
    undo: `sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0; ip -6 addr add fd00:178::2/64 dev eth0 nodad
      ip -6 route add default via fd00:178::1 dev eth0`,
    host: {
      interfaces: [{ ...ETH0, addresses: ETH0.addresses.slice(0, 1), gateways: ETH0.gateways?.slice(0, 1) }, ...OTHERS],
    },
  },
  // The last: its addresses are gone then.
  'no IPv6 at all': {
    make: 'sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1',
    undo: 'sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0',
    egress: WITHOUT_IPV6,
    host: HOST_WITHOUT_IPV6,
  },
};

/** Where clients would be lost, or the machine itself; and what the last line must say. */
const BROKEN: Record<string, Unlike & { readonly says: RegExp }> = {
  'the local table moved behind': {
    make: 'ip rule add pref 32000 lookup local; ip rule del pref 0',
    undo: 'ip rule add pref 0 lookup local; ip rule del pref 32000',
    says: /must say local, .* rule 100\d\d \(.*\) comes first, as "lookup local" stands behind it, at 32000/,
  },
  'no rule for the main table': {
    make: 'ip -6 rule del pref 32766',
    undo: 'ip -6 rule add pref 32766 lookup main',
    says: /refused, nothing was changed: no IPv6 rule leads to the main table.*: ip -6 rule add pref 32766 lookup main/,
  },
  "somebody's rule in front that takes clients": {
    make: 'ip rule add pref 50 iif tun0 lookup main',
    undo: 'ip rule del pref 50',
    says: /must say via 192\.168\.1\.1 dev eth1, and says via 192\.168\.178\.1 dev eth0 .*: rule 50 \(iif tun0 lookup 254\) decides/,
  },
  "somebody's rule in front that rejects clients": {
    make: 'ip -6 rule add pref 50 from fd00:4242::/32 prohibit',
    undo: 'ip -6 rule del pref 50',
    says: /says rejected .*: rule 50 \(from fd00:4242::\/32 prohibit\) decides/,
  },
  'a full tunnel in front': {
    make: 'ip route add default dev eth0 table 7120; ip rule add pref 105 lookup main suppress_prefixlength 0; ip rule add pref 110 not fwmark 0x1bd00 lookup 7120',
    undo: 'ip rule del pref 105; ip rule del pref 110; ip route flush table 7120',
    says: /and says dev eth0 \(table 7120\): rule 110 \(not fwmark 0x1bd00 lookup 7120\) decides/,
  },
  'no IPv6 on the egress link': {
    make: 'sysctl -qw net.ipv6.conf.eth1.disable_ipv6=1',
    undo: 'sysctl -qw net.ipv6.conf.eth1.disable_ipv6=0; ip -6 addr add fd00:1010:1010:1010::100/64 dev eth1 nodad',
    says: /refused, nothing was changed: IPv6 is switched off on eth1 .*: sysctl -w net\/ipv6\/conf\/eth1\/disable_ipv6=0/,
  },
  'a gateway that is not there': {
    make: '',
    undo: '',
    egress: { gateways: ['192.168.1.77', GATEWAYS[1]] },
    says: /refused, nothing was changed: nobody answers at 192\.168\.1\.77 on eth1/,
  },
  'an egress link without an address': {
    make: 'ip addr del 192.168.1.100/24 dev eth1',
    undo: 'ip addr add 192.168.1.100/24 dev eth1',
    says: /the kernel refused IPv4 "route add default .* via 192\.168\.1\.1 dev eth1": .*is the gateway inside a subnet of an address of that device/,
  },
  'an egress link that is down': {
    make: 'ip link set eth1 down',
    undo: 'ip link set eth1 up; ip -6 addr add fd00:1010:1010:1010::100/64 dev eth1 nodad 2>/dev/null || :',
    says: /device eth1 is down .*: ip link set eth1 up/,
  },
  "somebody's rule where one of ours goes": {
    make: 'ip rule add pref 10010 from 10.99.0.0/16 lookup 99',
    undo: 'ip rule del pref 10010',
    says: /someone else has an IPv4 rule at priority 10010/,
  },
};

describeLab('a machine that others have configured', {}, (lab) => {
  let terraform: Terraform;
  let before: Snapshot;
  beforeEach(async () => {
    terraform = new Terraform(lab());
    before = await lab().vpn.snapshotState();
  });
  afterEach(() => terraform.close());

  const declare = ({ egress, host }: Unlike): void =>
    terraform.declare((stack) => void declareEgress(stack, lab(), egress, host));
  /** Who can be reached: OpenVPN has lost its clients where it was started again. */
  const CLIENTS: ClientName[] = ['wg1', 'wg2'];
  const throughNat = (families: readonly string[]): string[] =>
    ALL_THROUGH_NAT.filter((line) =>
      CLIENTS.some((client) => families.some((family) => line.startsWith(`${client} ${family} `))),
    );

  test.each(Object.entries(HEALTHY))('%s: is applied, and once more', async (name, unlike) => {
    await lab().vpn.exec(`set -e\n${unlike.make}`);
    try {
      declare(unlike);
      for (const args of [[], [AGAIN]]) {
        const said = saidBy('apply', await terraform.apply(args));
        expect(said.at(-1)).toMatch(/source-routing: done: generation \S+ of vpn is in force/);
      }
      const verified = await lab().vpn.exec('source-routing verify vpn', { allowFailure: true });
      expect([verified.code, verified.stdout]).toEqual([0, expect.stringMatching(/all as expected/)]);
      const families = name.includes('no IPv6') ? ['ipv4'] : ['ipv4', 'ipv6'];
      const seen = (await sources(lab(), CLIENTS)).filter((line) =>
        families.some((each) => line.includes(` ${each} `)),
      );
      expect(seen).toEqual(throughNat(families));
      await terraform.destroy();
    } finally {
      await lab().vpn.exec(unlike.undo);
    }
  });

  test.each(Object.entries(BROKEN))('%s: is refused, or put back, and the last line says why', async (_, unlike) => {
    if (unlike === BROKEN['the local table moved behind']) {
      // IPv6 had been switched off.
      await lab().vpn.reboot();
      await lab().waitForVpn();
    }
    await lab().vpn.exec(`set -e\n${unlike.make}`);
    try {
      before = await lab().vpn.snapshotState();
      declare(unlike);
      const { code, stdout } = await terraform.run('apply', ['-auto-approve']);
      expect([code, saidBy('apply', stdout).at(-1)]).toEqual([1, expect.stringMatching(unlike.says)]);
      expect(await lab().vpn.changedSince(before)).toEqual([]);
    } finally {
      await lab().vpn.exec(unlike.undo);
    }
  });
});

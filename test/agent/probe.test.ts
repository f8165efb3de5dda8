import { BUSYBOX, DASH, Machine, describeOnMachine, lines, steps } from './machine';

const DATA = [
  'table 200 vpn',
  'rule 4 10009 to 10.10.10.0/24 lookup 254 suppress_prefixlength 23',
  'rule 4 10010 from 10.10.10.0/24 lookup 200',
  'rule 6 10009 to fd00:4242::/64 lookup 254 suppress_prefixlength 63',
  'rule 6 10010 from fd00:4242::/64 lookup 200',
  'route 4 200 default 0 via 192.168.1.1 dev eth1',
  'route 4 200 default 4278198272 type unreachable',
  'route 6 200 default 1024 via fd00:1010::1 dev eth1',
  'route 6 200 default 4278198272 type unreachable',
  'expect 4 vpn/leave to 198.51.100.1 from 10.10.10.2 iif tun0 ipproto 17 is via 192.168.1.1 dev eth1',
  'expect 4 vpn/local to 10.10.10.3 from 10.10.10.2 iif tun0 ipproto 17 is dev tun0 or rejected',
  'expect 4 vpn/to-server to 10.10.10.1 from 10.10.10.2 iif tun0 ipproto 17 is local',
  'expect 4 vpn/server to 198.51.100.1 from 192.168.178.2 uid 0 ipproto 17 is unchanged',
  'expect 4 vpn/replies to 10.10.10.2 from 192.168.1.1 iif eth1 ipproto 6 sport 443 is dev tun0',
  'expect 6 vpn/leave to 2001:db8::1 from fd00:4242::2 iif tun0 is via fd00:1010::1 dev eth1',
  'expect 6 vpn/local to fd00:4242::3 from fd00:4242::2 iif tun0 is dev tun0 or rejected',
  'expect 6 vpn/to-server to fd00:4242::1 from fd00:4242::2 iif tun0 is local',
  'expect 6 vpn/replies to fd00:4242::2 from fd00:1010::1 iif eth1 ipproto 6 sport 443 is dev tun0',
];
const TUNNEL = `ip link add tun0 type bridge; ip link set tun0 up
  ip addr add 10.10.10.1/24 dev tun0; ip -6 addr add fd00:4242::1/64 dev tun0 nodad
  until ip -6 route show table local | grep -q fd00:4242::1; do sleep 0.01; done`;
const V4 = 'vpn/leave: packets 10.10.10.2 -> 198.51.100.1 from tun0';
const V6 = 'vpn/leave: packets fd00:4242::2 -> 2001:db8::1 from tun0';
const ALL = '(ICMP echo, UDP to port 443, TCP to port 443)';
const HEALTHY = [
  `+ ${V4} ${ALL} leave by eth1`,
  '+ vpn/local: packets 10.10.10.2 -> 10.10.10.3 from tun0 (ICMP echo) leave by tun0',
  '+ vpn/to-server: packets 10.10.10.2 -> 10.10.10.1 from tun0 (ICMP echo) reach this machine',
  `+ ${V6} ${ALL} leave by eth1`,
  '+ vpn/local: packets fd00:4242::2 -> fd00:4242::3 from tun0 (ICMP echo) leave by tun0',
  '+ vpn/to-server: packets fd00:4242::2 -> fd00:4242::1 from tun0 (ICMP echo) reach this machine',
  '+ vpn/replies: packets 23.0.0.1 -> 10.10.10.2 from eth1 (replies to UDP) leave by tun0',
  '+ vpn/replies: packets 2600::1 -> fd00:4242::2 from eth1 (replies to UDP) leave by tun0',
];

/** Whether `nft monitor` runs in this network namespace. */
const TRACER = `for p in /proc/[0-9]*; do
  [ "$(readlink $p/ns/net)" != "$(readlink /proc/self/ns/net)" ] || tr '\\0' ' ' <$p/cmdline
done 2>/dev/null | grep -q '^nft monitor'`;

/** Stands in for any tool: kills the run when the step-th one is started, once. */
const killsAt = (step: number): string => `#!/bin/sh
name=\${0##*/}
echo >>/mnt/calls
if [ "$(/usr/bin/wc -l </mnt/calls)" -ge ${step} ] && [ -s /run/source-routing.lock/holder ] && /bin/mkdir /mnt/fired 2>/dev/null; then
  read -r pid rest </run/source-routing.lock/holder
  /bin/kill -KILL "$pid"
fi
for tool in /mnt/real/$name /usr/sbin/$name /usr/bin/$name; do [ ! -x "$tool" ] || exec "$tool" "$@"; done
`;

const FORWARD_DROP =
  "nft add table inet fw; nft 'add chain inet fw c { type filter hook forward priority 0; policy drop; }'";

const ESTABLISHED = 'nft add rule inet fw c ct state established,related accept';
const REPLIES = ['23.0.0.1 -> 10.10.10.2', '2600::1 -> fd00:4242::2'].map(
  (ends) => `vpn/replies: packets ${ends} from eth1 (replies to UDP)`,
);

/** A chain of somebody else. */
const chain = (family: string, hook: string, priority: number, ...rules: string[]): string =>
  [
    `nft add table ${family} fw`,
    `nft 'add chain ${family} fw c { type ${Math.abs(priority) === 100 ? 'nat' : 'filter'} hook ${hook} priority ${priority}; }'`,
    ...rules.map((rule) => `nft 'add rule ${family} fw c ${rule}'`),
  ].join('; ');

/** Counts what leaves, or is answered, behind everything else. */
const WITNESS = `nft add table netdev witness
  for device in eth0 eth1 tun0; do
    nft "add chain netdev witness $device { type filter hook egress device $device priority 400; }"
    for what in 'ip saddr 10.10.10.2' 'ip daddr 10.10.10.2' 'ip6 saddr fd00:4242::2' 'ip6 daddr fd00:4242::2'; do
      nft add rule netdev witness $device $what counter
    done
  done`;

describe.each([DASH, BUSYBOX])('the probe', (flavour) => {
  describeOnMachine(`under ${flavour.name}`, () => {
    let machine: Machine;
    beforeEach(() => {
      machine = new Machine(flavour);
      machine.must(TUNNEL);
      expect(machine.apply(DATA).code).toBe(0);
    });
    afterEach(() => {
      machine.close();
    });

    const said = (out: string): string[] =>
      lines(out)
        .map((line) => line.replace('source-routing: ', ''))
        .filter((line) => /^[-+!] /.test(line));

    /** What a probe could leave behind. */
    const traces = (): string =>
      machine.must(
        'nft list ruleset | sed "s/ packets [0-9]* bytes [0-9]*//"; ip -o link | sed "s/ state .*//"; ip netns; ls /run; ip neigh',
      );

    test('sees where packets of clients go; none leaves, and nothing stays', () => {
      machine.must(WITNESS);
      const before = traces();
      const done = machine.agent('probe');
      expect(said(done.out)).toEqual(HEALTHY);
      expect(done).toMatchObject({
        code: 0,
        last: 'source-routing: done: packets of clients get through as expected (+; - marks what a part of the packets meets)',
      });
      expect(traces()).toBe(before);
      expect(machine.must('nft list table netdev witness').match(/counter packets \d+/g)).toEqual(
        Array.from({ length: 12 }, () => 'counter packets 0'),
      );
    });

    test.each<[string, string, string[]]>([
      [
        'a forward policy',
        `${FORWARD_DROP}; nft add rule inet fw c iifname tun0 oifname eth0 accept`,
        [V4, V6].map((what) => `! ${what} ${ALL} are dropped by chain inet fw c (policy drop)`),
      ],
      [
        'a firewall that lets nothing pass but an echo',
        chain('ip', 'forward', 0, 'th dport 443 drop'),
        [`! ${V4} (UDP to port 443, TCP to port 443) are dropped by chain ip fw c, rule th dport 443 drop`],
      ],
      [
        'a rule of a forward chain',
        chain('ip', 'forward', 10, 'oifname "eth1" drop'),
        [`! ${V4} ${ALL} are dropped by chain ip fw c, rule oifname "eth1" drop`],
      ],
      [
        'a rule that rejects with an error',
        chain('inet', 'forward', 0, 'ip6 saddr fd00:4242::/64 reject'),
        [
          `! ${V6} ${ALL} are dropped by chain inet fw c, rule ip6 saddr fd00:4242::/64 reject with icmpv6 port-unreachable`,
        ],
      ],
      [
        'a rule in prerouting',
        chain('ip', 'prerouting', -300, 'iifname "tun0" ip daddr != 10.10.10.0/24 drop'),
        [`! ${V4} ${ALL} are dropped by chain ip fw c, rule iifname "tun0" ip daddr != 10.10.10.0/24 drop`],
      ],
      [
        'a rule in front of connection tracking',
        chain('inet', 'prerouting', -500, 'ip6 nexthdr { tcp, udp, icmpv6 } ip6 daddr 2001:db8::/32 drop'),
        [expect.stringMatching(/^! vpn\/leave: .* are dropped by chain inet fw c, rule ip6 nexthdr .* drop$/)],
      ],
      [
        'a rule in postrouting',
        chain('ip6', 'postrouting', 50, 'oifname "eth1" counter drop'),
        [
          expect.stringMatching(
            `^! ${V6.replace(/[.]/g, '\\.')} \\(.*\\) are dropped by chain ip6 fw c, rule oifname "eth1" counter .*drop$`,
          ),
        ],
      ],
      [
        'a chain of the ingress hook',
        `nft add table netdev fw; nft 'add chain netdev fw c { type filter hook ingress device tun0 priority 0; policy drop; }'`,
        [V4, V6].map(
          (what) =>
            `! ${what} ${ALL} are dropped at the ingress of tun0, before any firewall rule (tc, XDP, or a chain of the ingress hook)`,
        ),
      ],
      [
        'forwarding that is off',
        'echo 0 >/proc/sys/net/ipv4/ip_forward; echo 0 >/proc/sys/net/ipv6/conf/all/forwarding',
        [
          `! ${V4} ${ALL} are not forwarded, as net.ipv4.conf.tun0.forwarding is 0`,
          `! ${V6} ${ALL} are not forwarded, as net.ipv6.conf.all.forwarding is 0`,
        ],
      ],
      [
        'forwarding that is off for replies',
        'echo 0 >/proc/sys/net/ipv4/conf/eth1/forwarding',
        [`! ${V4} ${ALL} leave by eth1, but replies are not forwarded, as net.ipv4.conf.eth1.forwarding is 0`],
      ],
      [
        'IPv6 that is off at the tunnel, and routes that are still there',
        'echo 1 >/proc/sys/net/ipv6/conf/tun0/disable_ipv6',
        [`! ${V6} ${ALL} are dropped, as net.ipv6.conf.tun0.disable_ipv6 is 1`],
      ],
      [
        'a rule in front of ours',
        'ip rule add pref 100 from 10.10.10.0/24 iif tun0 unreachable',
        [`! ${V4} ${ALL} are not routed: see "ip -4 route get 198.51.100.1 from 10.10.10.2 iif tun0"`],
      ],
      [
        'a strict rp_filter',
        'echo 1 >/proc/sys/net/ipv4/conf/tun0/rp_filter; ip route add 10.10.10.2 dev eth0',
        [
          `! ${V4} ${ALL} are not routed, or dropped by rp_filter of tun0, which is strict: see "ip route get 198.51.100.1 from 10.10.10.2 iif tun0"`,
        ],
      ],
      [
        'source NAT',
        chain('ip', 'postrouting', 100, 'oifname "eth1" masquerade'),
        [
          `! ${V4} ${ALL} leave by eth1, their source changed to 192.168.1.100 by chain ip fw c, rule oifname "eth1" masquerade`,
        ],
      ],
      [
        'another way',
        'ip rule add pref 100 fwmark 7 lookup main; nft add table ip fw; ' +
          "nft 'add chain ip fw c { type filter hook prerouting priority -150; }'; nft add rule ip fw c iifname tun0 meta mark set 7",
        [`! ${V4} ${ALL} leave by eth0, marked by chain ip fw c, rule iifname "tun0" meta mark set 0x00000007`],
      ],
      ['a rule of ours that is gone', 'ip rule del pref 10010', [`! ${V4} ${ALL} leave by eth0`]],
      [
        'a route of ours that is gone',
        'ip route del default via 192.168.1.1 dev eth1 table 200',
        [`! ${V4} ${ALL} are not routed: see "ip -4 route get 198.51.100.1 from 10.10.10.2 iif tun0"`],
      ],
      [
        'a blackhole in our table',
        'ip -6 route add blackhole 2001:db8::/32 table 200',
        [`! ${V6} ${ALL} are not routed: see "ip -6 route get 2001:db8::1 from fd00:4242::2 iif tun0"`],
      ],
      ['an address of the machine', 'ip addr add 198.51.100.1/32 dev lo', [`! ${V4} ${ALL} reach this machine`]],
      [
        'an egress that is down',
        'ip link set eth1 down',
        [
          `! ${V4} ${ALL} are not routed: see "ip -4 route get 198.51.100.1 from 10.10.10.2 iif tun0"`,
          `! ${V6} ${ALL} are not routed: see "ip -6 route get 2001:db8::1 from fd00:4242::2 iif tun0"`,
        ],
      ],
      [
        'an egress whose MTU is too small for IPv6',
        'ip link set eth1 mtu 1000',
        [`! ${V6} ${ALL} are not routed: see "ip -6 route get 2001:db8::1 from fd00:4242::2 iif tun0"`],
      ],
      [
        'forwarding that is off at the tunnel',
        'echo 0 >/proc/sys/net/ipv4/conf/tun0/forwarding',
        [`! ${V4} ${ALL} are not forwarded, as net.ipv4.conf.tun0.forwarding is 0`],
      ],
      [
        'a strict rp_filter of all interfaces',
        'echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter; ip rule add pref 100 to 10.10.10.2 lookup 201; ip route add default dev eth0 table 201',
        [
          `! ${V4} ${ALL} are not routed, or dropped by rp_filter of tun0, which is strict: see "ip route get 198.51.100.1 from 10.10.10.2 iif tun0"`,
        ],
      ],
      [
        'a loose rp_filter, and no way back',
        'echo 2 >/proc/sys/net/ipv4/conf/tun0/rp_filter; ip rule add pref 100 to 10.10.10.2 prohibit',
        [
          `! ${V4} ${ALL} are not routed, or dropped by rp_filter of tun0, which is loose: see "ip route get 198.51.100.1 from 10.10.10.2 iif tun0"`,
        ],
      ],
      [
        'another destination',
        chain('ip', 'prerouting', -100, 'iifname "tun0" ip daddr 198.51.100.0/24 dnat to 10.10.10.1'),
        [
          `! ${V4} ${ALL} reach this machine, their destination changed by chain ip fw c, rule iifname "tun0" ip daddr 198.51.100.0/24 dnat to 10.10.10.1`,
        ],
      ],
      [
        'another destination, which is elsewhere',
        chain('ip6', 'prerouting', -100, 'iifname "tun0" dnat to fd00:4242::9'),
        [
          `! ${V6} ${ALL} leave by tun0, their destination changed by chain ip6 fw c, rule iifname "tun0" dnat to fd00:4242::9`,
        ],
      ],
      [
        'a policy of iptables',
        'iptables-nft -P FORWARD DROP',
        [`! ${V4} ${ALL} are dropped by chain ip filter FORWARD (policy drop)`],
      ],
      [
        'a policy of iptables-legacy',
        'ip6tables-legacy -P FORWARD DROP',
        [
          `! ${V6} ${ALL} are dropped in the forward hook, by something that nftables does not trace (iptables-legacy?)`,
        ],
      ],
      [
        'a rule of iptables-legacy behind the forward hook',
        'iptables-legacy -t mangle -A POSTROUTING -o eth1 -j DROP',
        [`! ${V4} ${ALL} are dropped after the forward hook, by something that nftables does not trace`],
      ],
    ])('names what stands in the way: %s', (_, breakage, expected) => {
      machine.must(breakage);
      const before = traces();
      const done = machine.agent('probe');
      expect(said(done.out).filter((line) => line.startsWith('! vpn/leave'))).toEqual(expected);
      expect(done.code).toBe(1);
      expect(done.last).toContain('not all packets of clients get through');
      expect(traces()).toBe(before);
    });

    test('says what a part of the packets meets', () => {
      machine.must(chain('inet', 'forward', 0, 'udp dport 443 drop'));
      const done = machine.agent('probe');
      expect(done.code).toBe(0);
      expect(said(done.out).filter((line) => line.includes('leave:'))).toEqual(
        [V4, V6].flatMap((what) => [
          `+ ${what} (ICMP echo, TCP to port 443) leave by eth1`,
          `- ${what} (UDP to port 443) are dropped by chain inet fw c, rule udp dport 443 drop`,
        ]),
      );
    });

    describe('of a large packet', () => {
      const LARGE = [V4, V6].map((what) => `${what.replace('packets', 'large packets')} (UDP of 1500 bytes)`);
      const about = (out: string): string[] => said(out).filter((line) => line.includes('large'));

      test.each<[string, string, string[]]>([
        [
          'an egress with a small MTU',
          'ip link set eth1 mtu 1300',
          LARGE.map((what) => `- ${what} do not fit into the MTU of eth1, which is 1300: the client is told`),
        ],
        [
          'a route with a small MTU',
          'ip route change default via 192.168.1.1 dev eth1 table 200 mtu 1300',
          [`- ${LARGE[0]} do not fit into the MTU of their route: the client is told`],
        ],
        [
          'a small MTU, and a firewall that drops the error',
          `ip link set eth1 mtu 1300; ${chain('inet', 'output', 0, 'icmp type destination-unreachable drop')}`,
          [
            `! ${LARGE[0]} do not fit into the MTU of eth1, which is 1300, and the client is not told`,
            `- ${LARGE[1]} do not fit into the MTU of eth1, which is 1300: the client is told`,
          ],
        ],
        [
          'a firewall that drops what is large',
          chain('inet', 'forward', 0, 'meta length > 1400 drop'),
          LARGE.map((what) => `! ${what} are dropped by chain inet fw c, rule meta length > 1400 drop`),
        ],
        ['a tunnel with a smaller MTU', 'ip link set eth1 mtu 1300; ip link set tun0 mtu 1300', []],
        ['a tunnel with a larger MTU than the Internet', 'ip link set tun0 mtu 9000', []],
      ])('says what becomes of it: %s', (_, breakage, expected) => {
        machine.must(`${WITNESS}; ${breakage}`);
        const done = machine.agent('probe');
        expect(about(done.out)).toEqual(expected);
        expect(done.code).toBe(about(done.out).some((line) => line.startsWith('!')) ? 1 : 0);
        expect(machine.must('nft list table netdev witness').match(/counter packets \d+/g)).toEqual(
          Array.from({ length: 12 }, () => 'counter packets 0'),
        );
      });
    });

    test('says that a next hop does not answer', () => {
      machine.must('ip link set eth1 arp on; ip neigh flush dev eth1; ip -6 neigh flush dev eth1');
      machine.must('ip -6 neigh add fd00:1010::1 lladdr 02:00:00:00:00:01 dev eth1');
      const done = machine.agent('probe');
      expect(done.code).toBe(1);
      expect(said(done.out).slice(-1)).toEqual([
        '! nobody answers at next hop 192.168.1.1 on eth1: packets get no further (ip -4 neigh show dev eth1)',
      ]);
      // A packet to it would wait, and leave when it answers at last: no reply is tried.
      expect(said(done.out).slice(0, -1)).toEqual(HEALTHY.filter((line) => !line.includes(REPLIES[0])));
    });

    test('forwarding of single interfaces is enough', () => {
      machine.must(
        'echo 0 >/proc/sys/net/ipv4/ip_forward; for each in tun0 eth1; do echo 1 >/proc/sys/net/ipv4/conf/$each/forwarding; done',
      );
      expect(said(machine.agent('probe').out)[0]).toBe(HEALTHY[0]);
    });

    test('tries packets in both directions, and none that cannot come', () => {
      const there = 'expect 4 vpn/there to 10.10.10.3 from 10.10.10.2 iif tun0 is dev tun0';
      const back = 'expect 4 vpn/back to 10.10.10.2 from 10.10.10.3 iif tun0 is dev tun0';
      const data = [there, back, there.replace('iif tun0', 'iif tun1')];
      const six = data.map((line) => line.replace('expect 4', 'expect 6').replace(/10[.]10[.]10[.]/g, 'fd00:4242::'));
      // As a tun whose daemon has ended: it is up, and has no carrier.
      machine.must('ip link add tun1 type veth peer name peer1; ip link set tun1 up');
      expect(machine.apply([...data, ...six], { generation: 'g2' }).code).toBe(0);
      expect(said(machine.agent('probe').out)).toEqual(
        ['10.10.10.', 'fd00:4242::'].flatMap((net) => [
          `+ vpn/there: packets ${net}2 -> ${net}3 from tun0 (ICMP echo) leave by tun0`,
          `+ vpn/back: packets ${net}3 -> ${net}2 from tun0 (ICMP echo) leave by tun0`,
        ]),
      );
    });

    test('tries one packet that somebody asks for', () => {
      const one = (options: string): string[] => said(machine.agent(`probe ${options}`).out);
      expect(one('--from 10.10.10.77 --to 9.9.9.9')).toEqual([
        `+ probe: packets 10.10.10.77 -> 9.9.9.9 from tun0 ${ALL} leave by eth1`,
      ]);
      expect(one('--from 10.20.0.1 --to 9.9.9.9 --in tun0')).toEqual([
        `+ probe: packets 10.20.0.1 -> 9.9.9.9 from tun0 ${ALL} leave by eth0`,
      ]);
      expect(one('--from fd00:4242::77 --to fd00:1010::100 --in tun0')).toEqual([
        `+ probe: packets fd00:4242::77 -> fd00:1010::100 from tun0 ${ALL} reach this machine`,
      ]);
      for (const wrong of [
        '--from 10.10.10.77',
        '--from 10.10.10.77 --to fd00::1',
        '--from 10.10.10.x --to 9.9.9.9',
        '--from 10.10.10.77 --to 9.9.9.9 --in tun0/../x',
        '--from 10.10.10.77 --to 9.9.9.9/32',
      ]) {
        expect([wrong, machine.agent(`probe ${wrong}`).code]).toEqual([wrong, 64]);
      }
      machine.must('ip link set tun0 down');
      expect(machine.agent('probe').out).toContain('no packet to try: no tunnel is up');
    });

    test.each([
      ['before the interfaces are there', 'tc', ''],
      ['when packets are under way', 'nft', '[ "$1 $2" = "list table" ] &&'],
      ['when its table is loaded', 'nft', '[ "$1" = -f ] &&'],
      [
        'when packets are traced',
        'nft',
        '[ "$1 $2" = "list table" ] && echo >>/mnt/looks && [ "$(wc -l </mnt/looks)" -gt 6 ] &&',
      ],
    ])('leaves nothing when it is killed %s', (_, tool, when) => {
      if (when.includes('looks')) machine.must(FORWARD_DROP);
      const before = traces();
      machine.write(
        `/mnt/bin/${tool}`,
        `#!/bin/sh\n[ "$*" = "list tables" ] || { ${when} rm /mnt/bin/${tool} && kill -9 "$(cut -d' ' -f1 /run/source-routing.lock/holder)"; }\nexec /usr/sbin/${tool} "$@"\n`,
      );
      expect(machine.agent('probe').code).not.toBe(0);
      expect(machine.sh(`ls /mnt/bin/${tool}`).code).not.toBe(0);
      machine.until('! { nft list table inet source_routing_probe || ip link show srprobe0; } >/dev/null 2>&1', 50);
      machine.until(`! { ${TRACER}; }`, 5);
      // The next run takes the lock of the one that was killed.
      const again = said(machine.agent('probe').out);
      expect(again.filter((line) => line.includes('reach this machine'))).toEqual(
        HEALTHY.filter((line) => line.includes('reach this machine')),
      );
      expect(traces()).toBe(before);
    });

    // Zebra of FRR 8.4 takes the index for one of the machine's own, and crashes if there is none.
    test('has the index of an interface of the machine below each of its own', () => {
      const tunnels = ['tun1', 'tun2', 'tun3'];
      machine.must(
        tunnels
          .map((name, i) => `ip link add name ${name} index ${900 + i} type bridge; ip link set ${name} up`)
          .join('\n'),
      );
      const data = tunnels.map((name) => DATA[9].replace('tun0', name));
      expect(machine.apply([...DATA, ...data], { generation: 'g2' }).code).toBe(0);
      const indexes = lines(machine.must('ip -o link')).map((line) => line.replace(/:.*/, ''));
      machine.must('ip -o monitor link >/mnt/events 2>&1 & echo $! >/mnt/pid; sleep 0.1');
      machine.agent('probe');
      const events = machine.must('sleep 0.1; kill "$(cat /mnt/pid)"; cat /mnt/events');
      const up = events.matchAll(/ (srprobe\d)@if(\d+): .*[<,]UP[,>]/g);
      const lower = [...new Map([...up].map(([, name, index]) => [name, index])).values()];
      expect(lower.length).toBeGreaterThan(tunnels.length);
      expect(new Set(lower).size).toBe(lower.length);
      expect(lower.filter((index) => !indexes.includes(index))).toEqual([]);
    });

    // Both rounds, since something is dropped. Each tool that is started is a step.
    test('leaves nothing when it is killed at any step', () => {
      machine.must(FORWARD_DROP);
      const before = traces();
      const refused = said(machine.agent('probe').out);
      expect(refused[0]).toBe(`! ${V4} ${ALL} are dropped by chain inet fw c (policy drop)`);
      let killed = 0;
      for (const step of steps(flavour.thorough ? 12 : 40)) {
        machine.write('/mnt/step', killsAt(step));
        machine.must(`rm -rf /mnt/calls /mnt/fired
          cp -a /mnt/bin /mnt/real
          for tool in awk cat grep ip kill mkdir mkfifo nc nft ping rm sed sleep sort tc unshare; do
            rm -f /mnt/bin/$tool; cp /mnt/step /mnt/bin/$tool
          done`);
        const done = machine.agent('probe');
        machine.must('rm -r /mnt/bin; mv /mnt/real /mnt/bin');
        if (machine.sh('test -e /mnt/fired').code !== 0) {
          expect(done.code).toBe(1);
          break;
        }
        killed = step;
        machine.until('! { nft list table inet source_routing_probe || ip link show srprobe0; } >/dev/null 2>&1', 50);
        machine.until(`! { ${TRACER}; }`, 5);
        // The next run takes the lock of the one that was killed.
        expect([step, said(machine.agent('probe').out)]).toEqual([step, refused]);
        expect([step, traces()]).toEqual([step, before]);
      }
      expect(killed).toBeGreaterThan(20);
    }, 600_000);

    test('is not misled by packets of clients with the time to live of its own', () => {
      machine.must(`ip link add inside type veth peer name client; ip link set inside master tun0 up
        ip link set client up address 02:00:00:00:00:77; ip link set tun0 address 02:00:00:00:00:01`);
      machine.write(
        '/mnt/send',
        `import socket, struct, time
def checksum(data):
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind(('client', 0))
ethernet = bytes.fromhex('020000000001' '020000000077' '0800')
source, target = socket.inet_aton('10.10.10.77'), socket.inet_aton('9.9.9.9')
end = time.time() + 8
while time.time() < end:
    for ttl in range(131, 160):
        head = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 29, 1, 0, ttl, 17, 0, source, target)
        head = head[:10] + struct.pack('!H', checksum(head)) + head[12:]
        link.send(ethernet + head + struct.pack('!HHHHB', 4000, 4001, 9, 0, 65))
    time.sleep(0.002)
`,
      );
      machine.must('python3 /mnt/send >/dev/null 2>&1 & sleep 0.3');
      for (let round = 0; round < 3; round++) expect(said(machine.agent('probe').out)).toEqual(HEALTHY);
    });

    test('lets none of its packets out, though their source is changed before conntrack sees them', () => {
      machine.must(`${WITNESS}; nft add rule netdev witness eth1 ip saddr 10.10.10.99 counter
        nft add table ip fw; nft 'add chain ip fw c { type filter hook prerouting priority -300; }'
        nft add rule ip fw c iifname tun0 ip saddr 10.10.10.2 ip saddr set 10.10.10.99`);
      expect(said(machine.agent('probe').out)[0]).toContain('leave by eth1, their source changed to 10.10.10.99');
      expect(machine.must('nft list table netdev witness')).not.toMatch(/packets [1-9]/);
    });

    test.each(['mkfifo', 'nft', 'ping', 'tc'])(
      'ends at once, and leaves nothing, when it gets a TERM during %s',
      (tool) => {
        const before = traces();
        // The signal goes to the run: this script, or a shell of the sender, is its descendant.
        machine.write(
          `/mnt/bin/${tool}`,
          `#!/bin/sh
        read -r run _ </run/source-routing.lock/holder
        [ -e /mnt/told ] || { : >/mnt/told; kill -TERM "$run"; }
        PATH=$(echo "$PATH" | sed 's,/mnt/bin:,,')
        exec ${tool} "$@"\n`,
        );
        const started = Date.now();
        const done = machine.agent('probe');
        expect(done).toMatchObject({ code: 70, last: 'source-routing: stopped by signal TERM; nothing was changed' });
        expect(Date.now() - started).toBeLessThan(20_000);
        machine.must(`rm /mnt/bin/${tool} /mnt/told`);
        machine.until('! { nft list table inet source_routing_probe || ip link show srprobe0; } >/dev/null 2>&1', 5);
        expect(traces()).toBe(before);
      },
    );

    test('of status --json keeps the lock until it has cleaned up', () => {
      expect(machine.apply([...DATA, 'probe note'], { generation: 'g2' }).code).toBe(0);
      machine.write(
        '/mnt/bin/nft',
        `#!/bin/sh
        case $* in *'delete table'*source_routing_probe*) sleep 0.3; ls -d /run/source-routing.lock >>/mnt/locks 2>&1 ;; esac
        PATH=$(echo "$PATH" | sed 's,/mnt/bin:,,')
        exec nft "$@"\n`,
      );
      expect(machine.agent('status --json').code).toBe(0);
      machine.until('[ -s /mnt/locks ]');
      expect(machine.must('cat /mnt/locks')).toBe('/run/source-routing.lock\n');
    });

    test('an apply notes what stops packets of clients, and is done all the same', () => {
      const apply = (generation: string): string[] => {
        const { code, out } = machine.apply([...DATA, 'probe note'], { generation });
        expect({ generation, code }).toEqual({ generation, code: 0 });
        return lines(out)
          .map((line) => line.replace('source-routing: ', ''))
          .filter((line) => /^note|^!/.test(line));
      };
      const before = traces();
      expect(apply('g2')).toEqual([]);
      expect(machine.verify()).toMatchObject({ code: 0, last: expect.stringContaining('agree') });
      expect(traces()).toBe(before);
      machine.must(`${FORWARD_DROP}; nft add rule inet fw c iifname tun0 meta nfproto ipv6 accept; ${ESTABLISHED}`);
      const note =
        'note: packets of clients do not get through, or not as they came; "source-routing probe" tries them again:';
      expect(apply('g3')).toEqual([note, `! ${V4} ${ALL} are dropped by chain inet fw c (policy drop)`]);
      const verified = machine.verify();
      expect(said(verified.out)).toEqual([`! ${V4} ${ALL} are dropped by chain inet fw c (policy drop)`]);
      expect(verified).toMatchObject({
        code: 1,
        last: 'source-routing: 1 differences from generation g3 of vpn1 (+ missing, - in the way, ! not as expected). To mend: change what the lines name, then: source-routing probe vpn1',
      });
      machine.must('nft delete table inet fw; ln -s /bin/false /mnt/bin/tc');
      expect(apply('g4')).toEqual([
        expect.stringMatching("^note: no client's packet was tried: (the sender did not start|.+)$"),
      ]);
      expect(traces()).toBe(before);
    });

    describe('an apply', () => {
      const MENDING =
        'Accept them there, and the replies, or set forwarding: Forwarding.nftables({ chains: ["inet fw c"] })';
      const refusal = (generation: string, ...more: string[]): string => {
        const { code, last } = machine.apply([...DATA, 'probe note', ...more], { generation });
        expect(code).toBe(70);
        expect(last).toContain('source-routing: FAILED, and everything was put back as it was: ');
        return (last ?? '').replace(/^.* put back as it was: /, '');
      };

      test('is refused where no packet of a client gets through, and says how to mend that', () => {
        expect(machine.apply([...DATA, 'probe note', 'probe refuse vpn/'], { generation: 'g2' }).code).toBe(0);
        machine.must(FORWARD_DROP);
        const before = machine.must(
          'ip rule; ip -6 rule; ip route show table 200; nft list ruleset; ls /var/lib/source-routing/*',
        );
        expect(refusal('g3', 'probe refuse vpn/')).toBe(
          `${V4} ${ALL} are dropped by chain inet fw c (policy drop). ${MENDING} (they are dropped without the change, too)`,
        );
        expect(
          machine.must('ip rule; ip -6 rule; ip route show table 200; nft list ruleset; ls /var/lib/source-routing/*'),
        ).toBe(before);
        // What refuses a change is said for each construct.
        expect(machine.apply([...DATA, 'probe note', 'probe refuse vpn/inner/'], { generation: 'g4' }).code).toBe(0);
      });

      test('is refused where large packets are lost and no error is sent, unless TCP is clamped', () => {
        expect(machine.agent('remove').code).toBe(0);
        machine.must(
          `ip link set eth1 mtu 1300; ${chain('inet', 'output', 0, 'icmp type destination-unreachable drop')}`,
        );
        expect(refusal('g2', 'probe refuse vpn/')).toBe(
          `${V4.replace('packets', 'large packets')} (UDP of 1500 bytes) do not fit into the MTU of eth1, which is 1300, and the client is not told. ` +
            'Let this machine send the ICMP error that tells the client (fragmentation needed, packet too big), or set mssClamp: true (without the change, they leave by eth0)',
        );
        const clamped = machine.apply([...DATA, 'probe note', 'probe refuse vpn/', 'probe clamped vpn/'], {
          generation: 'g3',
        });
        expect(clamped.code).toBe(0);
        expect(clamped.out).not.toContain('large');
      });

      test('is refused for what only the change breaks, and says what was before', () => {
        machine.must(chain('inet', 'forward', 0, 'oifname "eth1" drop'));
        expect(machine.agent('remove').code).toBe(0);
        expect(refusal('g2', 'probe refuse vpn/')).toBe(
          `${V4} ${ALL} are dropped by chain inet fw c, rule oifname "eth1" drop. ${MENDING} (without the change, they leave by eth0)`,
        );
        expect(machine.must('ip rule; nft list tables; ls -A /var/lib')).not.toMatch(/vpn1|source.routing| 200/);
      });

      test('is refused where others send packets elsewhere, and names no chain that could accept them', () => {
        machine.must('ip rule add pref 100 fwmark 7 lookup main; nft add table ip fw');
        machine.must("nft 'add chain ip fw c { type filter hook prerouting priority -150; }'");
        machine.must('nft add rule ip fw c iifname tun0 ip daddr 198.51.100.0/24 meta mark set 7');
        expect(refusal('g2', 'probe refuse vpn/')).toContain(
          `${V4} ${ALL} leave by eth0, marked by chain ip fw c, rule iifname "tun0" ip daddr 198.51.100.0/24 meta mark set 0x00000007. Look for rules and marks of others that send them there, or set forwarding: Forwarding.unmanaged() to have no more than a note`,
        );
      });

      test.each([
        ['iptables-nft', 'are dropped by chain ip filter reject, rule counter '],
        [
          'iptables-legacy',
          'are dropped in the forward hook, by something that nftables does not trace (iptables-legacy?)',
        ],
      ])('names %s for a chain of it, whatever its name', (command, what) => {
        machine.must(`${command} -N reject; ${command} -A reject -j REJECT; ${command} -A FORWARD -o eth1 -g reject`);
        const said = refusal('g2', 'probe refuse vpn/');
        expect(said).toContain(what);
        expect(said).toContain('. Accept them there, and the replies, or set forwarding: Forwarding.iptables() (');
      });

      test('names nftables for a table of it that has the family and the name of one of iptables', () => {
        machine.must(`nft add table ip filter; nft 'add chain ip filter denied'; nft add rule ip filter denied drop
          nft 'add chain ip filter forward { type filter hook forward priority 0; }'; nft add rule ip filter forward goto denied`);
        expect(refusal('g2', 'probe refuse vpn/')).toContain('Forwarding.nftables({ chains: ["ip filter denied"] }) (');
      });

      test('names nftables for a chain of an inet table that has the name of one of iptables', () => {
        machine.must(`nft add table inet filter
          nft 'add chain inet filter FORWARD { type filter hook forward priority 0; policy drop; }'`);
        expect(refusal('g2', 'probe refuse vpn/')).toContain(
          'Forwarding.nftables({ chains: ["inet filter FORWARD"] }) (',
        );
      });

      test('is refused for a drop behind the forward hook, in which no chain of that could help', () => {
        machine.must(chain('ip', 'postrouting', 0, 'oifname "eth1" drop'));
        expect(refusal('g2', 'probe refuse vpn/')).toContain(
          `${V4} ${ALL} are dropped by chain ip fw c, rule oifname "eth1" drop. Mend that, or set forwarding: Forwarding.unmanaged() to have no more than a note`,
        );
      });

      test('is refused where the server changes the source, unless that is meant', () => {
        machine.must(chain('ip', 'postrouting', 100, 'oifname "eth1" masquerade'));
        expect(refusal('g2', 'probe refuse vpn/')).toMatch(
          /their source changed to 192.168.1.100 by chain ip fw c, rule oifname "eth1" masquerade. The NAT router has to see the addresses of clients: exempt eth1 from that rule, or set sourceNat: SourceNat.unmanaged\(\)/,
        );
        const meant = ['probe note', 'probe refuse vpn/', 'probe translated vpn/'];
        expect(machine.apply([...DATA, ...meant], { generation: 'g3' }).code).toBe(0);
        expect(machine.verify().code).toBe(0);
        const own = [...meant, 'probe translates vpn/ eth1'];
        expect(
          machine.apply([...DATA.filter((line) => !/^expect 6/.test(line)), ...own], { generation: 'g4' }).code,
        ).toBe(0);
      });

      test('is refused where packets leave with the address of a client, and the machine is to change it', () => {
        const own = ['probe translated vpn/', 'probe translates vpn/ eth1'];
        expect(refusal('g2', 'probe refuse vpn/', ...own)).toContain(
          'leave by eth1 with the address of the client, which is not translated. Nobody could answer them: look for a rule in front of the source NAT that accepts them (nft list chains), or set sourceNat: SourceNat.unmanaged()',
        );
        // Only where they leave by that interface.
        const others = ['probe note', 'probe refuse vpn/', 'probe translated vpn/', 'probe translates vpn/ eth9'];
        expect(machine.apply([...DATA, ...others], { generation: 'g3' }).code).toBe(0);
      });

      test('prints a note where that is all that is wanted; to verify, that is no difference', () => {
        machine.must(`${FORWARD_DROP}; nft add rule inet fw c iifname tun0 meta nfproto ipv6 accept`);
        const done = machine.apply([...DATA, 'probe note', 'probe unmanaged vpn/'], { generation: 'g2' });
        expect(done.code).toBe(0);
        expect(done.out).toContain(`! ${V4} ${ALL} are dropped by chain inet fw c (policy drop)`);
        expect(machine.verify().code).toBe(0);
        expect(said(machine.agent('probe').out)).toContain(
          `- ${V4} ${ALL} are dropped by chain inet fw c (policy drop)`,
        );
      });
    });

    describe('of a firewall that drops what it does not know', () => {
      beforeEach(() => {
        machine.must(`${FORWARD_DROP}; nft add rule inet fw c iifname tun0 accept`);
      });

      test('sees that replies pass because conntrack knows them', () => {
        machine.must(ESTABLISHED);
        expect(said(machine.agent('probe').out)).toEqual(HEALTHY);
        // What conntrack knows of that probe does not let the next one pass.
        machine.must(
          'nft delete rule inet fw c handle $(nft -a list table inet fw | sed -n "s/.*iifname.*handle //p")',
        );
        expect(machine.agent('probe').out).toContain(`! ${V4} ${ALL} are dropped by chain inet fw c (policy drop)`);
        machine.must('nft add rule inet fw c iifname tun0 accept');
        // The server is no client: nobody asked for these.
        const stray = machine.agent('probe --from 198.51.100.1 --to 10.10.10.2 --in eth1');
        expect(stray.out).toContain('are dropped by chain inet fw c (policy drop)');
      });

      test('finds that replies do not pass: an apply is refused, and names the chain', () => {
        const dropped = REPLIES.map((what) => `! ${what} are dropped by chain inet fw c (policy drop)`);
        const before = traces();
        expect(said(machine.agent('probe').out).filter((line) => line.startsWith('!'))).toEqual(dropped);
        expect(traces()).toBe(before);
        const { code, last } = machine.apply([...DATA, 'probe note', 'probe refuse vpn/'], { generation: 'g2' });
        expect(code).toBe(70);
        expect(last).toContain(
          `${REPLIES[0]} are dropped by chain inet fw c (policy drop). Accept them there, and the replies, or set forwarding: Forwarding.nftables({ chains: ["inet fw c"] })`,
        );
      });

      test('tries no replies where the kernel cannot drop a packet so late', () => {
        machine.write(
          '/mnt/bin/nft',
          '#!/bin/sh\n[ "$*" != "-f -" ] || exec /usr/bin/false\nexec /usr/sbin/nft "$@"\n',
        );
        machine.must(WITNESS.replace(/nft/g, '/usr/sbin/nft'));
        expect(said(machine.agent('probe').out)).toEqual(HEALTHY.slice(0, -2));
        expect(machine.must('nft list table netdev witness')).not.toMatch(/packets [1-9]/);
      });
    });

    test('leaves replies alone where the path back is another one, or the source is changed', () => {
      machine.must(chain('ip', 'postrouting', 100, 'oifname "eth1" masquerade'));
      expect(said(machine.agent('probe').out).filter((line) => line.includes('replies'))).toEqual([
        `+ ${REPLIES[1]} leave by tun0`,
      ]);
      expect(
        machine.apply(
          DATA.filter((line) => !line.includes('/replies ')),
          { generation: 'g2' },
        ).code,
      ).toBe(0);
      expect(machine.agent('probe').out).not.toContain('replies');
    });

    test('does not take a packet that cannot be sent for one that is stopped', () => {
      machine.must('ln -s /bin/false /mnt/bin/ping');
      const done = machine.agent('probe --from 10.10.10.77 --to 9.9.9.9');
      const what = 'probe: packets 10.10.10.77 -> 9.9.9.9 from tun0';
      expect(said(done.out)).toEqual([
        `- ${what} (ICMP echo) could not be sent`,
        `+ ${what} (UDP to port 443, TCP to port 443) leave by eth1`,
      ]);
      expect(done.code).toBe(0);
    });

    test.each([
      ['does not say that it is of iputils', '-V) exit 2 ;; *-t*) echo "a time to live" >>/mnt/bad; exit 2'],
      ['fails when it is told a time to live', '*-t*) exit 2'],
      ['loses one echo when it sends more at a time', '*-t*10.10.10.3) exit 1'],
    ])('sends echoes one by one with a ping that %s', (_, cases) => {
      const iputils = '-V) echo "ping from iputils 20221126"; exit ;;';
      machine.write('/mnt/bin/ping', `#!/bin/sh\ncase $* in ${cases} ;; ${iputils} esac\nexec /usr/bin/ping "$@"\n`);
      const done = machine.agent('probe');
      expect(said(done.out)).toEqual(HEALTHY);
      expect(done.code).toBe(0);
      machine.must('[ ! -e /mnt/bad ]');
    });

    test('takes no packet for stopped where it cannot make it', () => {
      expect(machine.apply([...DATA, 'probe note'], { generation: 'g2' }).code).toBe(0);
      machine.must('mount --bind /proc/sys/net /proc/sys/net; mount -o remount,bind,ro /proc/sys/net');
      const problem =
        "no client's packet was tried: the time to live of packets cannot be set here: is /proc/sys read-only?";
      expect(machine.agent('probe')).toMatchObject({ code: 70, last: `source-routing: ${problem}` });
      const verified = machine.verify();
      expect(lines(verified.out)).toContain(`source-routing: note: ${problem}`);
      expect(verified).toMatchObject({ code: 0, last: expect.stringContaining('agree') });
    });

    /** Makes the agent run without these tools. */
    const hide = (...tools: string[]): string =>
      `mkdir /mnt/few; for f in /usr/sbin/* /usr/bin/* /mnt/bin/*; do ln -sf "$f" /mnt/few/; done
       rm ${tools.map((tool) => `/mnt/few/${tool}`).join(' ')}
       sed -i s#^PATH=.*#PATH=/mnt/few# /var/lib/source-routing/vpn1/agent`;

    test('leaves large packets alone where only nc can send', () => {
      machine.must(`${hide('bash')}; ip link set eth1 mtu 1300; rm -f /mnt/few/nc`);
      machine.write('/mnt/few/nc', '#!/usr/bin/bash\n[ "$1" = -u ] && cat >"/dev/udp/$4/$5" || : <"/dev/tcp/$3/$4"\n');
      machine.must('chmod +x /mnt/few/nc');
      const done = machine.agent('probe');
      expect(said(done.out)).toEqual(HEALTHY);
      expect(done.code).toBe(0);
    });

    test('says what is missing here', () => {
      machine.must(hide('tc', 'ping'));
      expect(machine.agent('probe')).toMatchObject({
        code: 69,
        last: "source-routing: no client's packet was tried: missing here: tc, ping. Install what is missing, then: source-routing probe vpn1",
      });
    });
  });
});

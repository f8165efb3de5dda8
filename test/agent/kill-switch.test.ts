import type { TerraformStack } from 'cdktf';
import { VpnEgress } from '../../lib';
import { contentOf, newHost, newStack } from '../fixtures';
import { BASH, BUSYBOX, DASH, Machine, describeOnMachine } from './machine';

const OWNER = 'stack-vpn1';
const TABLE = `inet source_routing_${OWNER}`;
const FILE = `/etc/source-routing/${OWNER}.nft`;
const ENDS_WELL = /source-routing: done: /;

const INTERFACES = [
  { name: 'eth0', addresses: ['192.168.178.2/24', 'fd00:178::2/64'], gateways: ['192.168.178.1', 'fd00:178::1'] },
  { name: 'eth1', addresses: ['192.168.1.100/24', 'fd00:1010::100/64'] },
  { name: 'tun0', addresses: ['10.10.10.1/24', 'fd00:4242::1/64'] },
  { name: 'wg0', addresses: ['10.10.20.1/24', 'fd00:2020::1/64'] },
];
const CLIENTS = ['10.10.10.0/24', '10.10.20.0/24', 'fd00:4242::/64', 'fd00:2020::/64'];
const GATEWAYS = ['192.168.1.1', 'fd00:1010::1'];
const EGRESS = { device: 'eth1', tableId: 200, clients: CLIENTS, gateways: GATEWAYS };

type Props = Partial<ConstructorParameters<typeof VpnEgress>[2]>;

/** The data lines of what the library declares. */
function declared(props: Props = {}, more: (stack: TerraformStack) => void = () => undefined): string[] {
  const stack = newStack();
  new VpnEgress(stack, 'egress', { host: newHost(stack, { interfaces: INTERFACES }), ...EGRESS, ...props });
  more(stack);
  const lines = contentOf(stack).split('\n');
  const own = lines.slice(lines.findIndex((line) => line.startsWith('owner ')) + 1, -2);
  // The kernel is asked about these where it can be seen what it does; here, packets are sent.
  return own.filter((line) => !line.startsWith('expect '));
}

/** Two tunnels with a client behind each, and neighbours that take whatever leaves. */
const TUNNELS = `
  ip addr add fd00:178::2/64 dev eth0 nodad
  ip -6 route add default via fd00:178::1 dev eth0
  for link in eth0 eth1; do
    for each in 192.168.178.1 fd00:178::1 192.168.1.1 fd00:1010::1; do
      ip neigh replace $each lladdr 02:00:00:00:00:01 dev $link nud permanent
    done
  done
  for n in 0 1; do
    tunnel=$([ $n = 0 ] && echo tun0 || echo wg0) net=$((n * 10 + 10)) six=$([ $n = 0 ] && echo 4242 || echo 2020)
    ip netns add client$n
    ip link add $tunnel type veth peer name home address 02:00:00:00:01:0$n netns client$n
    ip addr add 10.10.$net.1/24 dev $tunnel
    ip addr add fd00:$six::1/64 dev $tunnel nodad
    ip link set $tunnel up
    for each in 10.10.$net.2 fd00:$six::2; do
      ip neigh replace $each lladdr 02:00:00:00:01:0$n dev $tunnel nud permanent
    done
    ip -n client$n addr add 10.10.$net.2/24 dev home
    ip -n client$n addr add fd00:$six::2/64 dev home nodad
    ip -n client$n link set lo up
    ip -n client$n link set home up
    ip -n client$n route add default via 10.10.$net.1
    ip -n client$n route add default via fd00:$six::1
  done
  for file in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >$file; done
  echo 0 >/proc/sys/net/ipv4/icmp_ratelimit`;

describe.each([DASH, BASH, BUSYBOX])('the kill switch under $name', (flavour) => {
  describeOnMachine('on a machine', () => {
    let machine: Machine;
    beforeEach(() => {
      machine = new Machine(flavour);
      machine.must(TUNNELS);
      machine.fakeSystemd();
    });
    afterEach(() => machine.close());

    const apply = (data: string[], generation = 'g1', options = ''): ReturnType<Machine['apply']> =>
      machine.apply(data, { owner: OWNER, generation, options });
    const applied = (data: string[], generation?: string): void => {
      expect(apply(data, generation).last).toMatch(ENDS_WELL);
    };
    const listed = (): string => machine.sh(`nft list table ${TABLE}`).out;
    const verified = (): string => machine.agent('verify', OWNER).out;
    /** Packets sent by each link. */
    const sent = (): Map<string, number> =>
      new Map(
        [...machine.must('cat /proc/net/dev').matchAll(/^ *(\S+): *(.*)$/gm)].map(([, link, counts]) => [
          link,
          Number(counts.split(/ +/)[9]),
        ]),
      );
    /** The links by which packets of a client come out. */
    const leaving = (client: 0 | 1, source: string, destination: string): string[] => {
      const [length, flags] = source.includes(':') ? [128, 'nodad'] : [32, ''];
      machine.sh(`ip -n client${client} addr add ${source}/${length} dev home ${flags}`);
      const before = sent();
      machine.sh(`ip netns exec client${client} ping -q -c 20 -i 0.002 -W 0.1 -I ${source} ${destination}`);
      const own = ['tun0', 'wg0'][client];
      // Of neighbours and routers there are some packets, too.
      return [...sent()].flatMap(([link, count]) =>
        ![own, 'lo'].includes(link) && count - (before.get(link) ?? 0) >= 15 ? [link] : [],
      );
    };
    const OUT = ['198.51.100.7', '2001:db8::7'];
    const HOMES: ReadonlyArray<[0 | 1, string, string]> = [
      [0, '10.10.10.2', OUT[0]],
      [0, 'fd00:4242::2', OUT[1]],
      [1, '10.10.20.2', OUT[0]],
      [1, 'fd00:2020::2', OUT[1]],
    ];
    const allLeave = (): string[][] => HOMES.map((packet) => leaving(...packet));

    test('lets through what is declared, and goes with its owner', () => {
      const pristine = machine.picture();
      expect(allLeave()).toEqual(HOMES.map(() => ['eth0']));
      applied(declared());
      expect(allLeave()).toEqual(HOMES.map(() => ['eth1']));
      expect(leaving(0, '10.10.10.2', '10.10.20.2')).toEqual(['wg0']);
      expect(leaving(1, 'fd00:2020::2', 'fd00:4242::2')).toEqual(['tun0']);
      expect(verified()).toMatch(ENDS_WELL);
      expect(machine.agent('status', OWNER).out).toContain(`file ${FILE}`);
      expect(machine.agent('remove', OWNER).last).toMatch(ENDS_WELL);
      expect(machine.picture()).toBe(pristine);
      expect(machine.must('nft list ruleset')).toBe('');
    });

    // Packets after a change, and no agent: the kernel is the same under each shell.
    if (flavour.thorough) {
      test.each([
        [
          'all rules, with the rule for main put back',
          'ip rule flush; ip rule add lookup main pref 32766; ip -6 rule flush; ip -6 rule add lookup main pref 32766',
        ],
        [
          'the rules and routes that are tagged ours',
          'for f in 4 6; do ip -$f rule flush proto 77; ip -$f route flush table all proto 77; done',
        ],
        [
          'the guards and the rules',
          'for f in 4 6; do for p in 10008 10009 10010 10011 20010 20011 20012 20013; do ip -$f rule del pref $p; done; done',
        ],
        ['the egress link', 'ip link set eth1 down'],
        ['the name of the egress link', 'ip link set eth1 down; ip link set eth1 name eth9; ip link set eth9 up'],
      ])('holds when there is no more: %s', (_, damage) => {
        applied(declared());
        expect(allLeave()).toEqual(HOMES.map(() => ['eth1']));
        machine.sh(damage);
        expect(allLeave()).toEqual(HOMES.map(() => []));
      });

      test('guards hold when somebody flushes the ruleset', () => {
        applied(declared());
        machine.must('nft flush ruleset; ip route flush table 200; ip -6 route flush table 200');
        expect(allLeave()).toEqual(HOMES.map(() => []));
        machine.must('for f in 4 6; do ip -$f rule flush proto 77; done');
        expect(allLeave()).toEqual(HOMES.map(() => []));
      });

      const SPOOFED: ReadonlyArray<[string, string, string]> = [
        ['outside of all pools', '172.16.0.9', OUT[0]],
        ['outside of all pools', 'fd00:9::9', OUT[1]],
        ['an address of the server', 'fd00:178::2', OUT[1]],
        ['the address of the server in the tunnel', 'fd00:4242::1', OUT[1]],
        ["an address of another tunnel's pool", '10.10.20.2', OUT[0]],
        ["an address of another tunnel's pool", 'fd00:2020::2', OUT[1]],
      ];
      test('rejects sources that a client cannot have', () => {
        expect(SPOOFED.map(([, ...packet]) => leaving(0, ...packet))).toContainEqual(['eth0']);
        applied(declared());
        expect(SPOOFED.map(([, ...packet]) => leaving(0, ...packet))).toEqual(SPOOFED.map(() => []));
        // The routing alone rejects them, too, but for what has an address that a client has.
        machine.must('nft flush ruleset');
        expect(SPOOFED.slice(0, 3).map(([, ...packet]) => leaving(0, ...packet))).toEqual([[], [], []]);
      });
    }

    test.each([
      [
        'a rule is gone',
        `nft delete rule ${TABLE} clients handle $(nft -a list table ${TABLE} | sed -n 's/.*reject.*# handle //p' | tail -n 1)`,
      ],
      ['a rule is put in front', `nft insert rule ${TABLE} forward accept`],
      ['a chain is empty', `nft flush chain ${TABLE} tunnels`],
      ['the table is gone', `nft delete table ${TABLE}`],
      ['everything is gone', 'nft flush ruleset'],
    ])('it is seen and mended that %s', (_, damage) => {
      applied(declared());
      const before = listed();
      machine.must(damage);
      expect(verified()).toContain(`+ kill switch (nftables table ${TABLE})`);
      expect(machine.agent('assert', OWNER).last).toContain('(1 repaired)');
      expect(listed()).toBe(before);
      expect(verified()).toMatch(ENDS_WELL);
    });

    test('what others have in nftables stays', () => {
      const foreign =
        'table inet fw { chain forward { type filter hook forward priority 0; policy accept; ip daddr 192.0.2.9 drop; }; }';
      machine.must(`nft '${foreign}'`);
      const before = machine.must('nft list table inet fw');
      applied(declared());
      applied(declared({ device: 'eth0', gateways: ['192.168.178.1', 'fd00:178::1'] }), 'g2');
      expect(machine.agent('remove', OWNER).last).toMatch(ENDS_WELL);
      expect(machine.must('nft list ruleset')).toBe(before);
    });

    test('a change to another egress is made without a rejected packet', () => {
      applied(declared());
      machine.must(`ip netns exec client0 sh -c 'ping -D -n -i 0.002 -w 4 198.51.100.7 >/mnt/pings 2>&1 &'; sleep 0.3`);
      applied(declared({ device: 'eth0', gateways: ['192.168.178.1', 'fd00:178::1'] }), 'g2');
      applied(declared(), 'g3');
      machine.must('sleep 0.3; pkill -x -INT -N 0 ping 2>/dev/null; :');
      expect(machine.must('grep -c -i -e prohibited -e unreachable -e filtered /mnt/pings || :').trim()).toBe('0');
      expect(leaving(0, '10.10.10.2', OUT[0])).toEqual(['eth1']);
    });

    test('a change that fails leaves the kill switch of before', () => {
      applied(declared());
      const before = listed();
      machine.atLine(1, 'fail');
      const failed = apply(declared({ device: 'eth0', gateways: ['192.168.178.1', 'fd00:178::1'] }), 'g2');
      expect(machine.fired()).toBe(true);
      expect(failed.last).toContain('everything was put back as it was');
      expect(listed()).toBe(before);
      expect(verified()).toMatch(ENDS_WELL);
    });

    test('a first change that fails leaves none', () => {
      machine.atLine(3, 'fail');
      expect(apply(declared()).last).toContain('everything was put back as it was');
      expect(machine.fired()).toBe(true);
      expect(machine.must('nft list ruleset')).toBe('');
    });

    test('what is on trial goes back with it', () => {
      applied(declared());
      const before = listed();
      expect(
        apply(declared({ device: 'eth0', gateways: ['192.168.178.1', 'fd00:178::1'] }), 'g2', '--confirm-timeout 60')
          .code,
      ).toBe(0);
      expect(listed()).not.toBe(before);
      expect(verified()).toMatch(ENDS_WELL);
      expect(machine.agent('rollback', OWNER).last).toMatch(ENDS_WELL);
      expect(listed()).toBe(before);
      expect(machine.agent('remove --generation g3 --confirm-timeout 60', OWNER).code).toBe(0);
      expect(machine.must('nft list ruleset')).toBe('');
      expect(machine.agent('rollback', OWNER).last).toMatch(ENDS_WELL);
      expect(listed()).toBe(before);
    });

    test('without nftables the guards hold, and it is said', () => {
      machine.write('/mnt/bin/nft', '#!/bin/sh\necho "Protocol not supported" >&2\nexit 1\n');
      const done = apply(declared());
      expect(done.last).toMatch(ENDS_WELL);
      const words =
        'no kill switch, since nftables cannot be used here: only the guards hold, and errors about packets to clients leave by the main default route. To have all, install nftables and apply again';
      expect(done.out).toContain(`note: ${words}`);
      expect(machine.agent('status', OWNER).out).toContain(words);
      expect(verified()).toMatch(ENDS_WELL);
      expect(machine.sh(`ls ${FILE}`).code).not.toBe(0);
      expect(allLeave()).toEqual(HOMES.map(() => ['eth1']));
      machine.must('rm /mnt/bin/nft');
      applied(declared(), 'g2');
      expect(listed()).toContain('chain clients');
      expect(machine.agent('status', OWNER).out).not.toContain('no kill switch');
    });

    test('a table that does not fail closed has none', () => {
      applied(declared());
      applied(declared({ failClosed: false }), 'g2');
      expect(machine.must('nft list ruleset')).not.toContain('hook forward');
      expect(verified()).toMatch(ENDS_WELL);
    });
  });
});

import { BUSYBOX, DASH, Machine, describeOnMachine, lines } from './machine';

const TUNNEL = `ip link add tun0 type bridge; ip link set tun0 up
  ip addr add 10.10.10.1/24 dev tun0; ip -6 addr add fd00:4242::1/64 dev tun0 nodad
  until ip -6 route show table local | grep -q fd00:4242::1; do sleep 0.01; done`;
const ROUTING = [
  'table 200 vpn',
  'rule 4 10009 to 10.10.10.0/24 lookup 254 suppress_prefixlength 23',
  'rule 4 10010 from 10.10.10.0/24 lookup 200',
  'rule 6 10009 to fd00:4242::/64 lookup 254 suppress_prefixlength 63',
  'rule 6 10010 from fd00:4242::/64 lookup 200',
  'route 4 200 default 0 via 192.168.1.1 dev eth1',
  'route 6 200 default 1024 via fd00:1010::1 dev eth1',
  'probe note',
  'probe refuse vpn/',
  'expect 4 vpn/leave to 198.51.100.1 from 10.10.10.2 iif tun0 is via 192.168.1.1 dev eth1',
  'expect 6 vpn/leave to 2001:db8::1 from fd00:4242::2 iif tun0 is via fd00:1010::1 dev eth1',
];
const ACCEPTS = [
  'iifname { "tun0" } oifname { "eth1" } ip saddr 10.10.10.0/24 accept',
  'iifname { "eth1" } oifname { "tun0" } ip daddr 10.10.10.0/24 ct state established,related accept',
  'iifname { "tun0" } oifname { "eth1" } ip6 saddr fd00:4242::/64 accept',
  'iifname { "eth1" } oifname { "tun0" } ip6 daddr fd00:4242::/64 ct state established,related accept',
];
/** As nft lists them. */
const LISTED = [
  'iifname "tun0" oifname "eth1" ip saddr 10.10.10.0/24 accept comment "source-routing vpn1"',
  'iifname "eth1" oifname "tun0" ip daddr 10.10.10.0/24 ct state established,related accept comment "source-routing vpn1"',
  'iifname "tun0" oifname "eth1" ip6 saddr fd00:4242::/64 accept comment "source-routing vpn1"',
  'iifname "eth1" oifname "tun0" ip6 daddr fd00:4242::/64 ct state established,related accept comment "source-routing vpn1"',
];
const inChain = (chain: string): string[] => ACCEPTS.map((rule) => `accept ${chain} ${rule}`);
const FIREWALL = `nft -f - <<'END'
table inet filter {
	chain forward {
		type filter hook forward priority 0; policy drop;
		iifname "tun0" oifname "eth0" accept
	}
}
END`;

describe.each([DASH, BUSYBOX])('forwarding', (flavour) => {
  describeOnMachine(`under ${flavour.name}`, () => {
    let machine: Machine;
    beforeEach(() => {
      machine = new Machine(flavour);
      machine.must(TUNNEL);
    });
    afterEach(() => {
      machine.close();
    });

    const apply = (generation: string, ...more: string[]): ReturnType<Machine['apply']> =>
      machine.apply([...ROUTING, ...more], { generation });
    const rulesOf = (chain: string): string[] =>
      machine
        .must(`nft list chain ${chain}`)
        .split('\n')
        .map((line) => line.trim())
        .filter((line) => / accept| drop/.test(line) && !line.startsWith('type'));
    const THEIRS = 'iifname "tun0" oifname "eth0" accept';

    describe('through a firewall', () => {
      test('puts accept rules first in its chain, changes nothing the second time, and takes them away again', () => {
        machine.must(FIREWALL);
        const before = machine.must('nft -a list ruleset');
        expect(apply('g1').code).toBe(70);
        expect(machine.must('nft -a list ruleset')).toBe(before);
        expect(apply('g1', ...inChain('inet filter forward')).code).toBe(0);
        expect(rulesOf('inet filter forward')).toEqual([...LISTED, THEIRS]);
        expect(machine.verify().code).toBe(0);
        const handles = machine.must('nft -a list chain inet filter forward');
        expect(apply('g2', ...inChain('inet filter forward'))).toMatchObject({
          code: 0,
          last: expect.stringContaining('done'),
        });
        expect(machine.must('nft -a list chain inet filter forward')).toBe(handles);
        expect(machine.agent('status').out).toContain(`accept rule in chain inet filter forward ${ACCEPTS[0]}`);
        expect(machine.agent('remove').code).toBe(0);
        expect(machine.must('nft -a list ruleset')).toBe(before);
      });

      test('a rule of an earlier generation goes, also one in another chain', () => {
        machine.must(`${FIREWALL}\nnft add chain inet filter other`);
        expect(apply('g1', ...inChain('inet filter forward')).code).toBe(0);
        const [first = '', second = ''] = ACCEPTS;
        expect(
          apply(
            'g2',
            `accept inet filter other ${first}`,
            `accept inet filter forward ${second}`,
            'probe unmanaged vpn/',
          ).code,
        ).toBe(70);
        expect(rulesOf('inet filter forward')).toEqual([...LISTED, THEIRS]);
        expect(rulesOf('inet filter other')).toEqual([]);
        machine.must('nft add rule inet filter forward jump other');
        expect(apply('g3', ...inChain('inet filter other')).code).toBe(0);
        expect(rulesOf('inet filter forward')).toEqual([THEIRS]);
        expect(rulesOf('inet filter other')).toEqual(LISTED);
      });

      test('only rules with the comment of the owner are touched', () => {
        machine.must(`${FIREWALL}
          nft 'add rule inet filter forward oifname eth1 drop comment "source-routing vpn11"'
          nft 'add rule inet filter forward oifname eth1 drop comment "not source-routing vpn1"'`);
        const before = machine.must('nft -a list ruleset');
        expect(apply('g1', ...inChain('inet filter forward')).code).toBe(0);
        expect(machine.agent('remove').code).toBe(0);
        expect(machine.must('nft -a list ruleset')).toBe(before);
      });

      test('what is missing, or was changed, is a difference, and put back', () => {
        machine.must(FIREWALL);
        expect(apply('g1', ...inChain('inet filter forward')).code).toBe(0);
        for (const change of [
          'nft delete rule inet filter forward handle $(nft -a list chain inet filter forward | sed -n "s/.*saddr 10.10.*handle //p")',
          'nft flush ruleset; nft add table inet filter; nft "add chain inet filter forward { type filter hook forward priority 0; policy drop; }"',
          'nft replace rule inet filter forward handle $(nft -a list chain inet filter forward | sed -n "s/.*saddr 10.10.*handle //p") iifname tun0 drop comment \\"source-routing vpn1\\"',
        ]) {
          machine.must(change);
          const verified = machine.verify();
          expect(verified.out).toContain('+ accept rules in chain inet filter forward\n');
          expect(verified.code).toBe(1);
          expect(machine.agent('assert').code).toBe(0);
          expect(rulesOf('inet filter forward').slice(0, 4)).toEqual(LISTED);
          expect(machine.verify().code).toBe(0);
        }
        machine.must('nft flush ruleset');
        expect(machine.agent('assert').code).toBe(0);
        expect(machine.verify().out).toContain('+ accept rules in chain inet filter forward (which is not there)');
      });

      test('a chain that is not here refuses the change, and names those that are', () => {
        machine.must(FIREWALL);
        expect(apply('g1', ...inChain('inet fw forward'))).toMatchObject({
          code: 69,
          last: 'source-routing: refused, nothing was changed: forwarding names chain inet fw forward, which is not here (chains of the forward hook: inet filter forward). Load the firewall first, or name another chain',
        });
        machine.must('rm -f /mnt/bin/nft; ln -s /bin/false /mnt/bin/nft');
        expect(apply('g1', ...inChain('inet fw forward')).last).toContain(
          'forwarding names chain inet fw forward, which cannot be read: nft does not work here. Is the package of nftables or iptables installed?',
        );
      });

      test('what was listed while the firewall was loaded anew does not count', () => {
        machine.must(FIREWALL);
        expect(apply('g1', ...inChain('inet filter forward')).code).toBe(0);
        machine.must(`nft flush chain inet filter forward; cd /run/source-routing.kill-switch
          grep -v ' has ' vpn1.accepts >kept; mv kept vpn1.accepts`);
        expect(machine.verify().out).toContain('+ accept rules in chain inet filter forward\n');
        expect(machine.agent('assert').code).toBe(0);
        expect(rulesOf('inet filter forward')).toEqual(LISTED);
      });

      test('a change that is undone gives them back as they were', () => {
        machine.must(FIREWALL);
        expect(apply('g1', ...inChain('inet filter forward')).code).toBe(0);
        const before = rulesOf('inet filter forward');
        expect(apply('g2').code).toBe(70);
        expect(rulesOf('inet filter forward')).toEqual(before);
        expect(machine.verify().code).toBe(0);
      });
    });

    describe.each(['nft', 'legacy'])('through iptables-%s', (variant) => {
      const WANTED = [
        'accept iptables filter FORWARD -i tun0 -o eth1 -s 10.10.10.0/24 -j ACCEPT',
        'accept iptables filter FORWARD -i eth1 -o tun0 -d 10.10.10.0/24 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
        'accept ip6tables filter FORWARD -i tun0 -o eth1 -s fd00:4242::/64 -j ACCEPT',
        'accept ip6tables filter FORWARD -i eth1 -o tun0 -d fd00:4242::/64 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      ];
      const COMMENT = '-m comment --comment "source-routing vpn1"';
      const forward4 = [
        '-P FORWARD DROP',
        `-A FORWARD -s 10.10.10.0/24 -i tun0 -o eth1 ${COMMENT} -j ACCEPT`,
        `-A FORWARD -d 10.10.10.0/24 -i eth1 -o tun0 ${COMMENT} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
        '-A FORWARD -i tun0 -o eth0 -m comment --comment theirs -j ACCEPT',
      ];
      const saved = (): string =>
        machine.must('export PATH=/mnt/bin:$PATH; { iptables-save; ip6tables-save; } | sed "/^#/d; s/ \\[.*//"');
      beforeEach(() => {
        for (const command of ['iptables', 'iptables-restore', 'iptables-save']) {
          const [, tail = ''] = /^iptables(.*)$/.exec(command) ?? [];
          machine.must(`ln -s /usr/sbin/iptables-${variant}${tail} /mnt/bin/iptables${tail}
            ln -s /usr/sbin/ip6tables-${variant}${tail} /mnt/bin/ip6tables${tail}`);
        }
        machine.must(`export PATH=/mnt/bin:$PATH; for each in iptables ip6tables; do
            $each -P FORWARD DROP; $each -A FORWARD -i tun0 -o eth0 -m comment --comment theirs -j ACCEPT
          done`);
      });

      test('puts accept rules first, changes nothing the second time, puts back what goes, and takes all away', () => {
        const before = saved();
        expect(apply('g1').code).toBe(70);
        expect(saved()).toBe(before);
        expect(apply('g1', ...WANTED).code).toBe(0);
        expect(lines(machine.must('export PATH=/mnt/bin:$PATH; iptables -S FORWARD'))).toEqual(forward4);
        expect(lines(machine.must('export PATH=/mnt/bin:$PATH; ip6tables -S FORWARD'))).toHaveLength(4);
        const after = saved();
        expect(apply('g2', ...WANTED).code).toBe(0);
        expect(saved()).toBe(after);
        machine.must('export PATH=/mnt/bin:$PATH; iptables -D FORWARD 1; ip6tables -F FORWARD');
        const verified = machine.verify();
        expect(verified.out).toContain('+ accept rules in chain iptables filter FORWARD\n');
        expect(verified.out).toContain('+ accept rules in chain ip6tables filter FORWARD\n');
        machine.must(
          'export PATH=/mnt/bin:$PATH; ip6tables -A FORWARD -i tun0 -o eth0 -m comment --comment theirs -j ACCEPT',
        );
        expect(machine.agent('assert').code).toBe(0);
        expect(saved()).toBe(after);
        expect(machine.verify().code).toBe(0);
        expect(machine.agent('remove').code).toBe(0);
        expect(saved()).toBe(before);
      });

      if (variant === 'nft')
        test('a chain that cannot be read is no chain that is gone: the removal says so', () => {
          expect(apply('g1', ...WANTED).code).toBe(0);
          const native = 'ct mark set numgen inc mod 2';
          machine.must(`nft add rule ip filter FORWARD ${native}`);
          const failed = machine.agent('remove');
          expect([failed.code, failed.last]).toEqual([
            71,
            expect.stringContaining('not everything was removed: cannot read chain iptables filter FORWARD: '),
          ]);
          machine.must(
            "nft delete rule ip filter FORWARD handle $(nft -a list chain ip filter FORWARD | sed -n 's/.*numgen.*handle //p')",
          );
          expect(machine.agent('remove').code).toBe(0);
          expect(saved()).not.toContain('source-routing');
        });

      test('a chain that only one family has, as with Docker before version 27, is enough', () => {
        const path = 'export PATH=/mnt/bin:$PATH';
        machine.must(
          `${path}; iptables -N DOCKER-USER; iptables -A FORWARD -j DOCKER-USER; ip6tables -P FORWARD ACCEPT`,
        );
        const before = saved();
        const chained = WANTED.map((rule) => rule.replace('FORWARD', 'DOCKER-USER'));
        const done = apply('g1', ...chained);
        expect(done.code).toBe(0);
        expect(done.out).toContain('note: ip6tables has no chain DOCKER-USER here, so it gets no rules\n');
        expect(lines(machine.must(`${path}; iptables -S DOCKER-USER`))).toHaveLength(3);
        expect(machine.verify().code).toBe(0);
        const stated = lines(machine.agent('status').out).filter((line) => line.includes('accept rule in chain'));
        expect(stated.map((line) => line.split(' ')[5])).toEqual(stated.map(() => 'iptables'));
        expect(stated).toHaveLength(2);
        // Docker is replaced by a version with rules for both families.
        machine.must(`${path}; ip6tables -N DOCKER-USER`);
        expect(machine.verify().out).toContain('+ accept rules in chain ip6tables filter DOCKER-USER\n');
        expect(machine.agent('assert').code).toBe(0);
        expect(lines(machine.must(`${path}; ip6tables -S DOCKER-USER`))).toHaveLength(3);
        expect(machine.verify().code).toBe(0);
        expect(machine.agent('remove').code).toBe(0);
        machine.must(`${path}; ip6tables -X DOCKER-USER`);
        expect(saved()).toBe(before);
      });

      test('of a chain that only one family has, a chain that is called nearly so keeps its rules', () => {
        const path = 'export PATH=/mnt/bin:$PATH';
        machine.must(`${path}; iptables -N A.B; iptables -A FORWARD -j A.B
          for each in iptables ip6tables; do $each -N AxB; $each -A FORWARD -j AxB; $each -P FORWARD ACCEPT; done`);
        const rules = ['A.B', 'AxB'].flatMap((name) => WANTED.map((rule) => rule.replace('FORWARD', name)));
        expect(apply('g1', ...rules).code).toBe(0);
        const ours = (command: string): string[] =>
          lines(machine.must(`${path}; ${command} -S`)).filter((line) => line.includes('source-routing'));
        expect(ours('ip6tables').map((line) => line.split(' ')[1])).toEqual(
          Array(ours('ip6tables').length).fill('AxB'),
        );
        expect(ours('ip6tables')).not.toEqual([]);
        expect(machine.verify().code).toBe(0);
        expect(machine.agent('remove').code).toBe(0);
        expect(saved()).not.toContain('source-routing');
      });

      test('a chain that is not here, and a name that iptables would take for a pattern, refuse the change', () => {
        expect(apply('g1', 'accept iptables filter DOCKER-USER -i tun0 -o eth1 -j ACCEPT').last).toContain(
          'forwarding names chain iptables filter DOCKER-USER, which is not here',
        );
        expect(apply('g1', 'accept iptables filter FORWARD -i tun+ -o eth1 -j ACCEPT').last).toContain(
          'iptables would take the + at the end of an interface for any characters: -i tun+ -o eth1 -j ACCEPT. Use Forwarding.nftables(), or rename the interface',
        );
      });
    });

    describe('by sysctl', () => {
      const SETTINGS =
        'cd /proc/sys/net; grep -r . ipv4/ip_forward ipv4/conf/*/forwarding ipv4/conf/*/accept_redirects ipv6/conf/*/forwarding';
      const ALL = ['sysctl net.ipv4.ip_forward 1', 'sysctl net.ipv6.conf.all.forwarding 1'];

      test('switches it on, and gives back each setting that follows', () => {
        machine.must(`cd /proc/sys/net; echo 0 >ipv4/ip_forward; echo 0 >ipv6/conf/all/forwarding
          echo 1 >ipv4/conf/eth0/forwarding; echo 1 >ipv6/conf/eth1/forwarding; echo 0 >ipv4/conf/all/accept_redirects`);
        const before = machine.must(SETTINGS);
        expect(apply('g1').last).toContain('net.ipv4.conf.tun0.forwarding is 0');
        expect(machine.must(SETTINGS)).toBe(before);
        const done = apply('g1', ...ALL);
        expect(done.code).toBe(0);
        expect(done.out).not.toContain('forwards no');
        expect(lines(machine.must('cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding'))).toEqual(
          ['1', '1'],
        );
        expect(machine.verify().code).toBe(0);
        expect(machine.agent('remove').code).toBe(0);
        expect(machine.must(SETTINGS)).toBe(before);
      });

      test('for single interfaces; one that is not up is no difference', () => {
        machine.must('echo 0 >/proc/sys/net/ipv4/ip_forward; ip link add eth0.100 type bridge');
        const before = machine.must(SETTINGS);
        const single = ['eth1', 'tun0', 'tun7', 'eth0.100'].map((name) => `sysctl net.ipv4.conf.${name}.forwarding 1`);
        const done = apply('g1', ...single);
        expect(done.code).toBe(0);
        expect(
          machine.must(
            'cd /proc/sys/net/ipv4; cat ip_forward conf/eth0/forwarding conf/eth0.100/forwarding conf/tun0/forwarding',
          ),
        ).toBe('0\n0\n1\n1\n');
        expect(machine.verify().code).toBe(0);
        expect(machine.agent('remove').code).toBe(0);
        expect(machine.must(SETTINGS)).toBe(before);
      });

      test('changes between the whole machine and single interfaces, and gives back what was first', () => {
        machine.must('cd /proc/sys/net; echo 0 >ipv4/ip_forward; echo 0 >ipv6/conf/all/forwarding');
        const before = machine.must(SETTINGS);
        const single = [
          ...['eth1', 'tun0'].map((name) => `sysctl net.ipv4.conf.${name}.forwarding 1`),
          'sysctl net.ipv6.conf.all.forwarding 1',
        ];
        const now = (): string =>
          machine.must(
            'cd /proc/sys/net/ipv4; cat ip_forward conf/eth0/forwarding conf/eth1/forwarding conf/tun0/forwarding',
          );
        for (const [generation, wanted, expected] of [
          ['g1', ALL, '1\n1\n1\n1\n'],
          ['g2', single, '0\n0\n1\n1\n'],
          ['g3', ALL, '1\n1\n1\n1\n'],
          ['g4', single, '0\n0\n1\n1\n'],
        ] as const) {
          expect(apply(generation, ...wanted).code).toBe(0);
          expect(now()).toBe(expected);
        }
        // Another owner wants all of it, and outlives this one; or the other way round.
        const other = 'vpn2';
        expect(machine.apply(ALL, { owner: other, generation: 'o1' }).code).toBe(0);
        expect(machine.agent('remove').code).toBe(0);
        expect(now()).toBe('1\n1\n1\n1\n');
        expect(apply('g5', ...single).code).toBe(0);
        expect(machine.agent('remove', other).code).toBe(0);
        expect(now()).toBe('0\n0\n1\n1\n');
        expect(machine.agent('remove').code).toBe(0);
        expect(machine.must(SETTINGS)).toBe(before);
      });

      test('is refused where it would end the default route of the kernel by router advertisement', () => {
        machine.must(`echo 0 >/proc/sys/net/ipv6/conf/all/forwarding; echo 1 >/proc/sys/net/ipv6/conf/eth0/accept_ra
          ip -6 route add default via fe80::1 dev eth0 proto ra metric 2048`);
        expect(apply('g1', ...ALL).last).toContain(
          'forwarding of IPv6 would end the default route that eth0 has from router advertisements: set net.ipv6.conf.eth0.accept_ra=2, now and in /etc/sysctl.d',
        );
        machine.must('echo 2 >/proc/sys/net/ipv6/conf/eth0/accept_ra');
        expect(apply('g1', ...ALL).code).toBe(0);
      });
    });
  });
});

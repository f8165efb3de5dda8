import { Machine, bundle, describeOnMachine, lines, steps, testProgram } from './machine';
import type { Flavour, Outcome } from './machine';

/** The how-to, as the library declares it. */
const HOW_TO = [
  'table 200 vpn',
  'rule 4 10009 to 10.10.10.0/24 lookup 254',
  'rule 4 10010 from 10.10.10.0/24 lookup 200',
  'rule 6 10009 to fd00:4242:4242:4242::/64 lookup 254',
  'rule 6 10010 from fd00:4242:4242:4242::/64 lookup 200',
  'guard 4 20010 from 10.10.10.0/24 unreachable',
  'guard 6 20010 from fd00:4242:4242:4242::/64 unreachable',
  'route 4 200 default 0 via 192.168.1.1 dev eth1',
  'route 4 200 default 4278198272 type unreachable',
  'route 6 200 default 1024 via fd00:1010::1 dev eth1',
  'route 6 200 default 4278198272 type unreachable',
  'file 0644 /etc/iproute2/rt_tables.d/source-routing-vpn1.conf 1',
  '|200 vpn',
];

const HAND_MADE = 'ip rule add from 10.10.10.0/24 lookup 200 pref 10010';

/** What a user relies on. One file per flavour calls it, so that they run side by side. */
export function agentSuite(flavour: Flavour): void {
  describeOnMachine(`the agent under ${flavour.name}`, () => {
    let machine: Machine;
    beforeEach(() => {
      machine = new Machine(flavour);
    });
    afterEach(() => {
      machine.close();
    });

    test('makes the machine as the how-to wants it, and says so', () => {
      const done = machine.apply(HOW_TO);
      expect(done.last).toBe('source-routing: done: generation g1 of vpn1 is in force (4 rules, 2 guards, 4 routes)');
      succeeds(done);
      expect(machine.rules(4)).toEqual([
        '10009:\tfrom all to 10.10.10.0/24 lookup 254 proto 77',
        '10010:\tfrom 10.10.10.0/24 lookup 200 proto 77',
        '20010:\tfrom 10.10.10.0/24 7 proto 2',
      ]);
      expect(machine.rules(6)).toEqual([
        '10009:\tfrom all to fd00:4242:4242:4242::/64 lookup 254 proto 77',
        '10010:\tfrom fd00:4242:4242:4242::/64 lookup 200 proto 77',
        '20010:\tfrom fd00:4242:4242:4242::/64 7 proto 2',
      ]);
      expect(machine.routes('vpn', 4)).toEqual([
        'default via 192.168.1.1 dev eth1 proto 77',
        '7 default proto 77 metric 4278198272',
      ]);
      expect(machine.routes('vpn', 6)).toEqual([
        'default via fd00:1010::1 dev eth1 proto 77 metric 1024 pref medium',
        '7 default dev lo proto 77 metric 4278198272 pref medium',
      ]);
      expect(machine.must('ip route get 1.1.1.1 from 10.10.10.2 iif eth0 2>&1 || :')).toContain('via 192.168.1.1');
      succeeds(machine.verify());
      expect(lines(machine.must('cd /var/lib/source-routing && find . -printf "%p %m\n" | sort'))).toEqual([
        '. 700',
        './vpn1 700',
        './vpn1/agent 700',
        './vpn1/current 600',
        './vpn1/g1 700',
        './vpn1/g1/files 700',
        './vpn1/g1/files/1 600',
        './vpn1/g1/format 600',
        './vpn1/g1/front 600',
        './vpn1/g1/manifest 600',
        './vpn1/g1/state 600',
      ]);
      expect(machine.must('stat -c %a /etc/iproute2/rt_tables.d/source-routing-vpn1.conf')).toBe('644\n');
      // The bundle and the lock are gone.
      expect(machine.sh('ls /mnt/bundle /run/source-routing.lock').code).not.toBe(0);
    });

    test('touches nothing the second time', () => {
      machine.apply(HOW_TO);
      const seen = machine.monitored(() => {
        const again = machine.apply(HOW_TO, { generation: 'g2' });
        expect(again.last).toBe(
          'source-routing: done: nothing to do, generation g2 of vpn1 is in force (4 rules, 2 guards, 4 routes)',
        );
      });
      expect(seen).toEqual([]);
      expect(machine.must('cat /var/lib/source-routing/vpn1/current')).toBe('g2\n');
      expect(machine.sh('ls /var/lib/source-routing/vpn1').out).toBe('agent\ncurrent\ng2\n');
    });

    test('takes away what others have put in front of a route of ours, at its place', () => {
      machine.apply(HOW_TO);
      const before = machine.routes('vpn', 4);
      machine.must(`ip route prepend default via 192.168.178.1 dev eth0 table 200 proto static
        ip route prepend prohibit default table 200`);
      expect(machine.verify().out).toContain('- IPv4 route in table 200: default via 192.168.178.1 dev eth0');
      const mended = machine.agent('assert');
      succeeds(mended);
      expect(mended.last).toBe('source-routing: done: the kernel agrees with generation g1 of vpn1 (2 repaired)');
      expect(machine.routes('vpn', 4)).toEqual(before);
      succeeds(machine.verify());
    });

    test('takes away what others have put behind an IPv6 route of ours, at its place', () => {
      const route = 'route 6 200 default 1024 via fd00:1010::1 dev eth1';
      machine.apply([...HOW_TO.filter((line) => !line.startsWith('route 6 200 default 1024')), route]);
      const before = machine.routes('vpn', 6);
      // The kernel takes it as soon as the next hop of ours does not answer.
      machine.must('ip -6 route append default dev eth0 metric 1024 table 200 proto static');
      expect(machine.verify().out).toContain('- IPv6 route in table 200: default metric 1024 dev eth0');
      succeeds(machine.agent('assert'));
      expect(machine.routes('vpn', 6)).toEqual(before);
      succeeds(machine.verify());
    });

    // What the library says, and what `ip rule` prints for it.
    const selectors: Array<[string, string]> = [
      ['not from 10.1.0.0/24 lookup 200', 'not from 10.1.0.0/24 lookup 200'],
      ['from 10.1.0.1 lookup 200', 'from 10.1.0.1 lookup 200'],
      ['lookup 200', 'from all lookup 200'],
      ['to 10.2.0.0/16 lookup 254', 'from all to 10.2.0.0/16 lookup 254'],
      ['tos 0x10 lookup 200', 'from all tos 0x10 lookup 200'],
      ['fwmark 0x1 lookup 200', 'from all fwmark 0x1 lookup 200'],
      ['fwmark 0xca6c lookup 200', 'from all fwmark 0xca6c lookup 200'],
      ['fwmark 0x1/0xff lookup 200', 'from all fwmark 0x1/0xff lookup 200'],
      ['iif wg9 lookup 200', 'from all iif wg9 [detached] lookup 200'],
      ['iif eth0 oif eth1 lookup 200', 'from all iif eth0 oif eth1 lookup 200'],
      ['uidrange 1000-2000 lookup 200', 'from all uidrange 1000-2000 lookup 200'],
      ['ipproto 6 sport 80 dport 90-100 lookup 200', 'from all ipproto ipproto-6 sport 80 dport 90-100 lookup 200'],
      ['ipproto 17 dport 53 lookup 200', 'from all ipproto ipproto-17 dport 53 lookup 200'],
      ['from 10.1.0.0/24 goto 30000', 'from 10.1.0.0/24 goto 30000 [unresolved]'],
      ['from 10.3.0.0/24 blackhole', 'from 10.3.0.0/24 6'],
      ['from 10.4.0.0/24 unreachable', 'from 10.4.0.0/24 7'],
      ['from 10.5.0.0/24 prohibit', 'from 10.5.0.0/24 8'],
      ['lookup 254 suppress_prefixlength 0', 'from all lookup 254 suppress_prefixlength 0'],
      ['lookup 254 suppress_ifgroup 3', 'from all lookup 254 suppress_ifgroup 3'],
      ['lookup 4000000000', 'from all lookup 4000000000'],
      [
        'not from 10.6.0.0/24 to 10.7.0.0/24 tos 0x8 fwmark 0x2/0xf iif eth0 uidrange 0-5 ipproto 17 sport 1-2 dport 3 lookup 200 suppress_prefixlength 8',
        'not from 10.6.0.0/24 to 10.7.0.0/24 tos 0x08 fwmark 0x2/0xf iif eth0 uidrange 0-5 ipproto ipproto-17 sport 1-2 dport 3 lookup 200 suppress_prefixlength 8',
      ],
    ];
    const v6 = (text: string): string =>
      text.replace(/10\.(\d)\.0\.(\d)/g, 'fd00:$1::$2').replace(/::0\/(24|16)\b/g, '::/64');

    test('every selector and action comes back from the kernel as it was declared', () => {
      const data = ['table 200 vpn', 'table 4000000000 -'];
      selectors.forEach(([declared], i) => {
        data.push(`rule 4 ${1000 + i} ${declared}`, `rule 6 ${1000 + i} ${v6(declared)}`);
      });
      const done = machine.apply(data);
      succeeds(done);
      const printed = (text: string): string => text.replace('tos 0x08', '(tos 0x08|tos 0x8)');
      for (const family of [4, 6] as const) {
        const has = machine.rules(family);
        expect(has).toHaveLength(selectors.length);
        selectors.forEach(([, expected], i) => {
          const text = printed(family === 4 ? expected : v6(expected)).replace(/[[\]]/g, '\\$&');
          expect(has[i]).toMatch(new RegExp(`^${1000 + i}:\t${text} proto 77$`));
        });
      }
      expect(machine.verify().out).toContain('agree');
      const seen = machine.monitored(() => {
        expect(machine.apply(data, { generation: 'g2' }).out).toContain('nothing to do');
      });
      expect(seen).toEqual([]);
      succeeds(machine.agent('remove'));
      expect([...machine.rules(4), ...machine.rules(6)]).toEqual([]);
    });

    test('every attribute of a route comes back from the kernel as it was declared', () => {
      const routes: Array<[string, string]> = [
        ['4 200 10.1.0.0/16 0 via 192.168.1.1 dev eth1', '10.1.0.0/16 via 192.168.1.1 dev eth1 proto 77'],
        ['4 200 10.2.0.0/16 0 via 192.168.1.1', '10.2.0.0/16 via 192.168.1.1 dev eth1 proto 77'],
        ['4 200 10.3.0.0/16 50 dev eth1', '10.3.0.0/16 dev eth1 proto 77 scope 253 metric 50'],
        ['4 200 10.4.0.1 0 dev eth1 scope 253', '10.4.0.1 dev eth1 proto 77 scope 253'],
        ['4 200 10.5.0.0/16 0 via 172.16.9.9 dev eth1 onlink', '10.5.0.0/16 via 172.16.9.9 dev eth1 proto 77 onlink'],
        [
          '4 200 10.6.0.0/16 0 via 192.168.1.1 dev eth1 src 192.168.1.100 mtu 1400 advmss 1300',
          '10.6.0.0/16 via 192.168.1.1 dev eth1 proto 77 src 192.168.1.100 mtu 1400 advmss 1300',
        ],
        ['4 200 10.7.0.0/16 0 type blackhole', '6 10.7.0.0/16 proto 77'],
        ['4 200 10.8.0.0/16 0 type prohibit', '8 10.8.0.0/16 proto 77'],
        ['4 200 10.9.0.0/16 0 type throw', '9 10.9.0.0/16 proto 77'],
        ['4 200 default 4278198272 type unreachable', '7 default proto 77 metric 4278198272'],
        [
          '4 200 10.11.0.0/16 0 nexthop via 192.168.1.1 dev eth1 weight 2 nexthop via 192.168.178.1 weight 3',
          '10.11.0.0/16 proto 77 \\\tnexthop via 192.168.1.1 dev eth1 weight 2 \\\tnexthop via 192.168.178.1 dev eth0 weight 3',
        ],
        [
          '4 200 10.12.0.0/16 0 nexthop via 192.168.1.7 dev eth1 weight 5',
          '10.12.0.0/16 via 192.168.1.7 dev eth1 proto 77',
        ],
        [
          '6 200 fd01::/64 1024 via fd00:1010::1 dev eth1',
          'fd01::/64 via fd00:1010::1 dev eth1 proto 77 metric 1024 pref medium',
        ],
        ['6 200 fd02::/64 0 via fd00:1010::1', 'fd02::/64 via fd00:1010::1 dev eth1 proto 77 metric 1024 pref medium'],
        ['6 200 fd03::1 50 dev eth1', 'fd03::1 dev eth1 proto 77 metric 50 pref medium'],
        [
          '6 200 fd04::/64 1024 via fe80::1 dev eth1 src fd00:1010::100 mtu 1400 advmss 1300 onlink',
          'fd04::/64 via fe80::1 dev eth1 proto 77 src fd00:1010::100 metric 1024 onlink mtu 1400 advmss 1300 pref medium',
        ],
        ['6 200 default 4278198272 type unreachable', '7 default dev lo proto 77 metric 4278198272 pref medium'],
        ['6 200 fd05::/64 1024 type blackhole', '6 fd05::/64 dev lo proto 77 metric 1024 pref medium'],
        ['6 200 fd06::/64 1024 type throw', '9 fd06::/64 dev lo proto 77 metric 1024 pref medium'],
        [
          '6 200 fd07::/64 1024 nexthop via fd00:1010::2 dev eth1 weight 2 nexthop via fd00:1010::3 dev eth1 weight 3',
          'fd07::/64 proto 77 metric 1024 pref medium\\\tnexthop via fd00:1010::2 dev eth1 weight 2 \\\tnexthop via fd00:1010::3 dev eth1 weight 3',
        ],
        ['4 254 10.10.10.0/24 0 via 192.168.178.9 dev eth0', '10.10.10.0/24 via 192.168.178.9 dev eth0 proto 77'],
      ];
      const data = ['table 200 vpn', ...routes.map(([declared]) => `route ${declared}`)];
      succeeds(machine.apply(data));
      const has = [...machine.routes(200, 4), ...machine.routes(200, 6), ...machine.routes(254, 4)];
      for (const [, expected] of routes) {
        expect(has).toContain(expected);
      }
      expect(machine.verify().out).toContain('agree');
      const seen = machine.monitored(() => {
        expect(machine.apply(data, { generation: 'g2' }).out).toContain('nothing to do');
      });
      expect(seen).toEqual([]);
      succeeds(machine.agent('remove'));
      expect([...machine.routes(200, 4), ...machine.routes(200, 6)]).toEqual([]);
      expect(machine.routes(254, 4).join()).not.toContain('proto 77');
    });

    test('changes only what differs', () => {
      machine.apply(HOW_TO);
      const changed = HOW_TO.map((line) =>
        line.replace('rule 4 10010 from 10.10.10.0/24', 'rule 4 10010 from 10.10.0.0/16'),
      );
      const seen = machine.monitored(() => {
        succeeds(machine.apply(changed, { generation: 'g2' }));
      });
      expect(seen).toEqual([
        expect.stringContaining('10010:\tfrom 10.10.0.0/16'),
        expect.stringMatching(/^Deleted 10010:\tfrom 10\.10\.10\.0\/24/),
      ]);
      const gateway = changed.map((line) => line.replace('default 0 via 192.168.1.1', 'default 0 via 192.168.1.2'));
      const seenNext = machine.monitored(() => {
        succeeds(machine.apply(gateway, { generation: 'g3' }));
      });
      expect(seenNext).toEqual([expect.stringContaining('default via 192.168.1.2')]);
    });

    // The kernel takes some different rules for one: these changes need a detour.
    test.each([
      ['from 10.10.10.0/24 lookup 200', 'not from 10.10.10.0/24 lookup 200'],
      ['not from 10.10.10.0/24 lookup 200', 'from 10.10.10.0/24 lookup 200'],
      ['from 10.10.10.0/24 lookup 200', 'lookup 200'],
      ['from 10.10.10.0/24 to 10.1.0.0/16 lookup 200', 'to 10.1.0.0/16 lookup 200'],
      ['lookup 200', 'from 10.10.10.0/24 lookup 200'],
      ['from 10.10.10.0/24 goto 20000', 'from 10.10.10.0/24 goto 20001'],
      ['from 10.10.10.0/24 lookup 200', 'from 10.10.10.0/24 blackhole'],
      ['lookup 200 suppress_prefixlength 0', 'lookup 200'],
    ])('is never without a rule when "%s" becomes "%s"', (before, after) => {
      machine.apply(['table 200 -', `rule 4 500 ${before}`]);
      const seen = machine.monitored(() => {
        const done = machine.apply(['table 200 -', `rule 4 500 ${after}`], { generation: 'g2' });
        succeeds(done);
      });
      let rules = 1;
      for (const event of seen) {
        rules += event.startsWith('Deleted') ? -1 : 1;
        expect(rules).toBeGreaterThan(0);
      }
      expect(rules).toBe(1);
      succeeds(machine.verify());
    });

    test('adds before it takes away, closed before open, in the order of priority', () => {
      const seen = machine.monitored(() => {
        machine.apply(HOW_TO);
      });
      const at = (text: string): number => seen.findIndex((line) => line.includes(text));
      expect(seen.every((line) => !line.startsWith('Deleted'))).toBe(true);
      expect(at('7 default table 200')).toBe(0);
      expect(at('default via 192.168.1.1')).toBeLessThan(at('10009:\tfrom all to 10.10'));
      expect(at('10009:\tfrom all to 10.10')).toBeLessThan(at('10010:\tfrom 10.10'));
      const away = machine.monitored(() => {
        machine.agent('remove');
      });
      const gone = (text: string): number => away.findIndex((line) => line.includes(text));
      expect(gone('10010:\tfrom 10.10')).toBeLessThan(gone('10009:\tfrom all to 10.10'));
      expect(gone('10009:\tfrom all to 10.10')).toBeLessThan(gone('default via 192.168.1.1'));
      expect(gone('default via 192.168.1.1')).toBeLessThan(gone('7 default table 200'));
    });

    // The kernel walks along all rules in front of the one that it adds or deletes.
    test('of rules with one action in a row, the last is added first, and the first goes first', () => {
      const rule = (priority: number, words: string): string => `rule 4 ${priority} ${words}`;
      const data = [
        'table 200 -',
        rule(503, 'from 10.1.0.0/16 lookup 200'),
        rule(500, 'from 10.1.1.0/24 lookup 200'),
        rule(504, 'from 10.2.0.0/16 lookup 200'),
        rule(501, 'from 10.1.2.0/24 lookup 200'),
        rule(502, 'to 10.3.0.0/16 lookup 254'),
      ];
      const priorities = (seen: string[]): string[] => seen.map((line) => line.replace(/:.*/, ''));
      expect(priorities(machine.monitored(() => machine.apply(data)))).toEqual(['501', '500', '502', '504', '503']);
      expect(priorities(machine.monitored(() => machine.agent('remove')))).toEqual(
        ['503', '504', '502', '500', '501'].map((priority) => `Deleted ${priority}`),
      );
    });

    describe('guards', () => {
      const from = (pool: string): string[] =>
        HOW_TO.map((line) => line.replace(/^((rule|guard) 4 \d0010 from) 10.10.10.0\/24/, `$1 ${pool}`));
      const order = (seen: string[], ...texts: string[]): number[] =>
        texts.map((text) => seen.findIndex((line) => line.includes(text)));
      const ascending = (...positions: number[]): void => {
        expect(positions).not.toContain(-1);
        expect(positions).toEqual([...positions].sort((a, b) => a - b));
      };

      test('are there before the rule, and go after it', () => {
        ascending(
          ...order(
            machine.monitored(() => machine.apply(HOW_TO)),
            '7 default table 200',
            '20010:',
            '10010:',
          ),
        );
        const seen = machine.monitored(() => succeeds(machine.apply(from('10.10.0.0/16'), { generation: 'g2' })));
        expect(seen.map((line) => line.replace(/ (lookup|7).*/, ''))).toEqual([
          '20010:\tfrom 10.10.0.0/16',
          '10010:\tfrom 10.10.0.0/16',
          'Deleted 10010:\tfrom 10.10.10.0/24',
          'Deleted 20010:\tfrom 10.10.10.0/24',
        ]);
        const away = machine.monitored(() => machine.agent('remove'));
        ascending(...order(away, 'Deleted 10009:', 'Deleted 20010:', 'Deleted default via 192.168.1.1'));
        expect([...machine.rules(4), ...machine.rules(6)]).toEqual([]);
      });

      test('never stand between a client and the only rule for it, whichever way the rules move', () => {
        const behind = HOW_TO.map((line) =>
          line.replace(
            /^(rule|guard) (\d) (\d{5})/,
            (...[, kind, family, at]) => `${kind} ${family} ${Number(at) + 15_000}`,
          ),
        );
        machine.apply(behind);
        const forward = machine.monitored(() => succeeds(machine.apply(HOW_TO, { generation: 'g2' })));
        ascending(...order(forward, '10010:\tfrom 10.10', '20010:', 'Deleted 25010:', 'Deleted 35010:'));
        const back = machine.monitored(() => succeeds(machine.apply(behind, { generation: 'g3' })));
        ascending(...order(back, '35010:', '25010:\tfrom 10.10', 'Deleted 20010:', 'Deleted 10010:'));
      });

      test.each([
        ['from 10.10.10.0/24 iif tun9', 'iif tun9'],
        ['iif tun9', 'from 10.10.10.0/24 iif tun9'],
        ['iif tun9', 'not iif tun9'],
        ['from 10.10.10.0/24', 'from 10.10.0.0/16'],
      ])('are never missing when "%s" becomes "%s"', (before, after) => {
        machine.apply([`guard 4 500 ${before} unreachable`]);
        let guards = 1;
        const seen = machine.monitored(() => {
          succeeds(machine.apply([`guard 4 500 ${after} unreachable`], { generation: 'g2' }));
        });
        for (const event of seen.filter((line) => line.includes('500:'))) {
          guards += event.startsWith('Deleted') ? -1 : 1;
          expect(guards).toBeGreaterThan(0);
        }
        expect(guards).toBe(1);
        expect(machine.rules()).toEqual([expect.stringMatching(/ 7 proto 2$/)]);
        succeeds(machine.verify());
      });

      test('hold the packets back while the table, or every rule that is not of the kernel, is gone', () => {
        machine.apply(HOW_TO);
        const way = (): string => machine.sh('ip route get 1.1.1.1 from 10.10.10.2 iif eth0').out;
        expect(way()).toContain('via 192.168.1.1');
        machine.must('ip route flush table 200');
        expect(way()).toContain('unreachable');
        machine.must('ip rule flush proto 77');
        expect(way()).toContain('unreachable');
        machine.must('ip rule del pref 20010');
        expect(way()).toContain('via 192.168.178.1');
        const diff = machine.agent('diff').out;
        expect(diff).toContain('+ IPv4 guard 20010: from 10.10.10.0/24 unreachable');
        succeeds(machine.agent('assert'));
        expect(way()).toContain('via 192.168.1.1');
        expect(machine.agent('status').out).toContain('IPv4 guard 20010: from 10.10.10.0/24 unreachable');
      });

      test('are told from what others made there', () => {
        machine.apply(HOW_TO);
        // The same rule by hand, others of the kernel's protocol, there and elsewhere.
        machine.must(`ip rule add pref 20010 from 10.10.10.0/24 unreachable
          ip rule add pref 20010 from 10.9.0.0/16 unreachable proto kernel
          ip rule add pref 21000 from 10.10.10.0/24 unreachable proto kernel`);
        succeeds(machine.verify());
        expect(machine.monitored(() => machine.agent('assert'))).toEqual([]);
        machine.must('ip rule del pref 20010 from 10.10.10.0/24 unreachable proto kernel');
        expect(machine.verify().code).toBe(1);
        succeeds(machine.agent('assert'));
        succeeds(machine.verify());
        succeeds(machine.agent('remove'));
        expect(machine.rules()).toEqual([
          '20010:\tfrom 10.10.10.0/24 7',
          '20010:\tfrom 10.9.0.0/16 7 proto 2',
          '21000:\tfrom 10.10.10.0/24 7 proto 2',
        ]);
      });

      test('and rules can take the place of each other', () => {
        const rule = ['table 200 -', 'rule 4 20010 from 10.10.10.0/24 unreachable'];
        const guard = ['table 200 -', 'guard 4 20010 from 10.10.10.0/24 unreachable'];
        for (const [data, expected] of [
          [rule, ' 7 proto 77'],
          [guard, ' 7 proto 2'],
          [rule, ' 7 proto 77'],
        ] as const) {
          succeeds(machine.apply(data, { generation: `g${expected.at(-1)}` }));
          expect(machine.rules()).toEqual([`20010:\tfrom 10.10.10.0/24${expected}`]);
          succeeds(machine.verify());
        }
      });
    });

    // The kernel numbers a rule without a priority by the second rule in the list.
    test('does not change how rules that others add without a priority are ordered', () => {
      const wgQuick = 'ip rule add not fwmark 51820 table 51820; ip rule add table main suppress_prefixlength 0';
      const foreign = (): string[] =>
        machine
          .allRules()
          .filter((line) => /51820|suppress_prefixlength 0$/.test(line))
          .map((line) => line.replace(/^\d+:\t/, ''));
      machine.must(wgQuick);
      const without = foreign();
      expect(without).toHaveLength(2);
      machine.must('ip rule del not fwmark 51820 table 51820; ip rule del table main suppress_prefixlength 0');
      machine.apply(HOW_TO);
      const own = machine.rules();
      expect(Math.min(...own.map((line) => Number(line.split(':')[0])))).toBe(10009);
      machine.must(wgQuick);
      expect(foreign()).toEqual(without);
      expect(machine.rules().filter((line) => own.includes(line))).toEqual(own);
      succeeds(machine.agent('assert'));
      expect(foreign()).toEqual(without);
    });

    describe('refuses, and leaves everything as it is,', () => {
      const refusals: Array<[string, string, string[], RegExp]> = [
        [
          'a foreign rule at our priority',
          HAND_MADE,
          HOW_TO,
          /someone else has an IPv4 rule at priority 10010: "10010: from 10\.10\.10\.0\/24 lookup 200" \(no proto, .*\)\. Take over what was made by hand: set adopt of the LinuxHost to \{\} \(docs\/adopting\.md\)$/,
        ],
        ['a rule of a network manager', `${HAND_MADE} proto static`, HOW_TO, /\(proto 4\)\. Choose another priority$/],
        [
          'a foreign rule where a guard goes, even the same',
          'ip rule add pref 20010 from 10.10.10.0/24 unreachable',
          HOW_TO,
          /someone else has an IPv4 rule at priority 20010, where a guard of ours goes: "20010: from 10\.10\.10\.0\/24 7" \(no proto, .*\)\. Take over what was made by hand/,
        ],
        [
          'another rule of the kernel where a guard goes',
          'ip rule add pref 20010 from 10.9.0.0/16 unreachable proto kernel',
          HOW_TO,
          /IPv4 rule at priority 20010.*ip -4 rule del pref 20010 from 10\.9\.0\.0\/16 unreachable proto 2$/,
        ],
        [
          'another rule under our protocol',
          'ip rule add from 10.9.0.0/16 lookup 200 pref 10010 proto 77',
          HOW_TO,
          /IPv4 rule at priority 10010/,
        ],
        [
          'a foreign route in our place',
          'ip route add default via 192.168.1.7 table 200',
          HOW_TO,
          /a route where ours goes, IPv4 table 200: "default via 192\.168\.1\.7.*Take over what was made by hand/,
        ],
        [
          'a foreign IPv6 route in our place',
          'ip -6 route add default via fd00:1010::7 table 200',
          HOW_TO,
          /a route where ours goes, IPv6 table 200/,
        ],
        [
          'a device that is not there',
          'ip link del eth1',
          HOW_TO,
          /device eth1 does not exist \(needed by the IPv4 route to default in table 200\)/,
        ],
        ['a device that is down', 'ip link set eth1 down', HOW_TO, /device eth1 is down.*ip link set eth1 up/],
        [
          'a table id that has another name',
          'echo "200 other" >>/etc/iproute2/rt_tables',
          HOW_TO,
          /table id 200 is already named other in \/etc\/iproute2\/rt_tables/,
        ],
        [
          'a hexadecimal table id',
          'echo "0xc8 other" >/etc/iproute2/rt_tables.d/x.conf',
          HOW_TO,
          /already named other in \/etc\/iproute2\/rt_tables\.d\/x\.conf/,
        ],
        [
          'a table name of another id',
          'echo "201 vpn # x" >>/etc/iproute2/rt_tables',
          HOW_TO,
          /the table name vpn is already used for table 201/,
        ],
        [
          'a file that is not ours',
          'echo "1 a" >/etc/iproute2/rt_tables.d/source-routing-vpn1.conf',
          HOW_TO,
          /rt_tables\.d\/source-routing-vpn1\.conf exists and was not put there/,
        ],
        [
          'a hook that is not ours',
          'mkdir -p /etc/openvpn; echo x >/etc/openvpn/up',
          [...HOW_TO, 'file 0755 /etc/openvpn/up 1', '|#!/bin/sh', 'hook openvpn /etc/openvpn/up 200'],
          /\/etc\/openvpn\/up is already the up hook of someone else/,
        ],
        [
          'a directory in the place of a file',
          'mkdir /etc/x',
          [...HOW_TO, 'file 0644 /etc/x 0'],
          /\/etc\/x is a directory/,
        ],
        [
          'a file in the place of a directory',
          'echo >/etc/x',
          [...HOW_TO, 'file 0644 /etc/x/y 0'],
          /\/etc\/x is not a directory/,
        ],
        [
          'a read-only directory',
          'mount -o remount,ro /usr/local',
          [...HOW_TO, 'file 0755 /usr/local/x 0'],
          /\/usr\/local cannot be written/,
        ],
        ['no systemd', '', [...HOW_TO, 'requires systemd'], /systemd does not run this machine/],
        [
          'the ip of BusyBox',
          'printf "#!/bin/sh\nexec busybox ip \\"\\$@\\"\n" >/mnt/bin/ip; chmod 755 /mnt/bin/ip',
          HOW_TO,
          /not that of iproute2/,
        ],
        [
          'an iproute2 that is too old',
          'printf "#!/bin/sh\n[ \\"\\$1\\" != -N ] || exit 255\nexec /usr/sbin/ip \\"\\$@\\"\n" >/mnt/bin/ip; chmod 755 /mnt/bin/ip',
          HOW_TO,
          /too old.*5\.2/,
        ],
      ];
      test.each(refusals)('%s', (_, prepare, data, expected) => {
        machine.must(prepare || ':');
        const before = machine.picture();
        const done = machine.apply(data);
        expect(done.last).toMatch(/^source-routing: refused, nothing was changed: /);
        expect(done.last).toMatch(expected);
        expect(done.code).toBe(69);
        expect(machine.picture()).toBe(before);
        expect(machine.sh('ls /mnt/bundle').code).not.toBe(0);
      });

      test('and what it prints as the mend works', () => {
        machine.must('ip rule add not from 10.10.10.0/24 fwmark 1 iif eth0 lookup 201 pref 10010');
        const mend = /remove it: (.*)$/.exec(machine.apply(HOW_TO).last)?.[1];
        machine.must(String(mend));
        succeeds(machine.apply(HOW_TO));
      });

      test('and names all problems at once', () => {
        machine.must(`${HAND_MADE}; ip link set eth1 down; echo "200 other" >>/etc/iproute2/rt_tables`);
        const done = machine.apply(HOW_TO);
        expect(done.out).toContain('priority 10010');
        expect(done.out).toContain('device eth1 is down');
        expect(done.out).toContain('already named other');
        expect(done.last).toBe(
          'source-routing: refused, nothing was changed: 3 problems, named above; mend them and apply again',
        );
      });
    });

    test('warns of what makes the packets go astray', () => {
      machine.must(`cd /proc/sys/net/ipv4; echo 0 >ip_forward; echo 1 >conf/eth1/rp_filter; echo 0 >conf/all/src_valid_mark
        echo 1 >conf/eth1/ignore_routes_with_linkdown; echo 0 >../ipv6/conf/all/forwarding`);
      const done = machine.apply([...HOW_TO, 'rule 4 10011 fwmark 0x1 lookup 200']);
      succeeds(done);
      expect(done.out).toMatch(/note: net\.ipv4\.ip_forward is 0/);
      expect(done.out).toMatch(/note: net\.ipv6\.conf\.all\.forwarding is 0/);
      expect(done.out).toMatch(/note: rules use fwmark, but rp_filter is 1 and src_valid_mark is 0 for eth1/);
      expect(done.out).toMatch(/note: ignore_routes_with_linkdown is 1 for eth1/);
    });

    test('warns of a default route without a next hop, but on a point-to-point link', () => {
      machine.must('ip tuntap add ptp mode tun; ip link set ptp up; ip link set eth1 arp on');
      const to = (device: string): string[] => [
        'table 200 vpn',
        'rule 4 10010 from 10.10.10.0/24 lookup 200',
        `route 4 200 default 0 dev ${device}`,
        'route 4 200 10.99.0.0/16 0 dev eth1',
        'route 4 200 default 4278198272 type unreachable',
      ];
      const warned = machine.apply(to('eth1'));
      succeeds(warned);
      expect(warned.out).toContain(
        'note: the IPv4 default route by eth1 in table 200 has no next hop, and eth1 is no point-to-point link: the kernel asks on it for the address of each destination. Give the address of the router\n',
      );
      const content = machine.apply(to('ptp'), { generation: 'g2' });
      succeeds(content);
      expect(content.out).not.toContain('no next hop');
    });

    describe('puts everything back', () => {
      const NEXT = [
        'table 201 other',
        'table 200 vpn',
        'rule 4 10009 to 10.10.10.0/24 lookup 254',
        'rule 4 10010 not from 10.10.10.0/24 lookup 200',
        'rule 4 10020 from 10.20.0.0/16 lookup 201',
        'rule 6 10010 from fd00:4242::/64 lookup 200',
        'guard 4 20010 from 10.10.0.0/16 unreachable',
        // The kernel takes this for the one before, which names a source as well.
        'guard 4 20015 iif tun9 unreachable',
        'guard 4 20020 from 10.20.0.0/16 unreachable',
        'guard 4 20040 from 10.40.0.0/16 unreachable',
        'guard 6 20010 from fd00:4242::/64 unreachable',
        'route 4 200 default 0 via 192.168.1.2 dev eth1 mtu 1400',
        'route 4 201 default 0 via 192.168.178.1 dev eth0',
        'route 6 200 default 4278198272 type unreachable',
        'file 0644 /etc/iproute2/rt_tables.d/source-routing-vpn1.conf 2',
        '|200 vpn',
        '|201 other',
        'file 0755 /usr/local/new/sub/x 1',
        '|x',
      ];

      const BEFORE = [
        ...HOW_TO,
        'guard 4 20040 from 10.40.0.0/16 unreachable',
        'guard 4 20015 from 10.15.0.0/16 iif tun9 unreachable',
        'file 0600 /etc/old/x 1',
        '|old',
      ];

      // One flavour is enough for all ways of failing.
      const ways = flavour.thorough ? (['fail', 'skip', 'term'] as const) : (['fail'] as const);
      test.each(ways)('when the kernel refuses any one line (%s)', (instead) => {
        machine.apply(BEFORE);
        // Drift: what is put back is what was there, not what should have been.
        machine.must(
          'ip rule del pref 10009; ip -6 rule del pref 20010; ip route replace default via 192.168.1.3 table 200 proto static',
        );
        const before = machine.picture();
        for (const n of steps(flavour.thorough ? 3 : 5)) {
          machine.atLine(n, instead);
          const done = machine.apply(NEXT, { generation: `g${n + 1}` });
          const written = machine.linesOrFired();
          if (written !== 'fired') {
            succeeds(done);
            expect(written).toBeGreaterThan(11);
            break;
          }
          expect(done.last).toMatch(/FAILED, and everything was put back as it was: /);
          expect(done.last).toMatch(
            {
              fail: /the kernel refused IPv[46] "r.*": Injected failure/,
              skip: /did not keep|the kernel refused/,
              term: /stopped by signal TERM/,
            }[instead],
          );
          expect(done.code).toBe(70);
          expect(machine.picture()).toBe(before);
        }
        succeeds(machine.verify());
      });

      test('when the very first apply fails', () => {
        const before = machine.picture();
        machine.atLine(5, 'fail');
        expect(machine.apply(HOW_TO).code).toBe(70);
        expect(machine.fired()).toBe(true);
        expect(machine.picture()).toBe(before);
      });

      test('when the gateway is not on the network of its device', () => {
        const before = machine.picture();
        const done = machine.apply(HOW_TO.map((line) => line.replace('192.168.1.1', '192.168.9.1')));
        expect(done.last).toMatch(
          /"route add default table 200 metric 0 proto 77 via 192\.168\.9\.1 dev eth1": Nexthop has invalid gateway \(is the gateway inside a subnet/,
        );
        expect(done.code).toBe(70);
        expect(machine.picture()).toBe(before);
      });

      test.each(['enable', 'daemon-reload', 'restart'])('when systemctl %s fails', (verb) => {
        const unit = ['requires systemd', 'file 0644 /etc/systemd/system/x.service 1', '|[Unit]', 'unit x.service'];
        machine.fakeSystemd([verb]);
        machine.must('mkdir -p /etc/systemd/system');
        const before = machine.picture();
        const done = machine.apply([...HOW_TO, ...unit]);
        expect(done.last).toMatch(new RegExp(`systemctl ${verb}.* failed: Failed to ${verb}: injected`));
        // The daemon-reload of the way back fails, too, where it is broken for good.
        expect(done.code).toBe(verb === 'daemon-reload' ? 71 : 70);
        expect(machine.sh('ls /mnt/enabled.*').code).not.toBe(0);
        if (verb !== 'daemon-reload') {
          expect(machine.picture()).toBe(before);
        }
        machine.fakeSystemd();
        succeeds(machine.apply([...HOW_TO, ...unit], { generation: 'g2' }));
      });

      test('a unit that somebody switched off is a difference, and the same bundle mends it', () => {
        const unit = ['requires systemd', 'file 0644 /etc/systemd/system/x.service 1', '|[Unit]', 'unit x.service'];
        machine.fakeSystemd();
        machine.must('mkdir -p /etc/systemd/system');
        succeeds(machine.apply([...HOW_TO, ...unit]));
        succeeds(machine.agent('verify'));
        machine.must('rm /mnt/enabled.x.service');
        const differs = machine.agent('verify');
        expect(differs.code).toBe(1);
        expect(differs.out).toContain('+ unit x.service (it is not enabled)');
        expect(differs.last).toMatch(/1 differences .* To mend: apply again$/);
        succeeds(machine.apply([...HOW_TO, ...unit], { generation: 'g2' }));
        succeeds(machine.agent('verify'));
      });

      test('when systemd gives no answer: a unit that was enabled stays so', () => {
        const unit = (text: string): string[] => [
          'requires systemd',
          'file 0644 /etc/systemd/system/x.service 1',
          `|${text}`,
          'unit x.service',
        ];
        machine.fakeSystemd();
        machine.must('mkdir -p /etc/systemd/system');
        succeeds(machine.apply([...HOW_TO, ...unit('old')]));
        const before = machine.picture();
        machine.fakeSystemd(['is-enabled']);
        const done = machine.apply([...HOW_TO, ...unit('new')], { generation: 'g2' });
        expect(done.last).toMatch(
          /put back as it was: systemctl is-enabled x\.service failed: Failed to is-enabled: inj/,
        );
        expect(machine.picture()).toBe(before);
        expect(machine.sh('ls /mnt/enabled.*').out).toBe('/mnt/enabled.x.service\n');
      });

      test('when a file cannot be written', () => {
        machine.apply(HOW_TO);
        const before = machine.picture();
        machine.write('/mnt/bin/mv', '#!/bin/sh\ncase "$*" in */sub/x) exit 1 ;; esac\nexec /bin/mv "$@"\n');
        const done = machine.apply(NEXT, { generation: 'g2' });
        expect(done.last).toMatch(/put back as it was: cannot write \/usr\/local\/new\/sub\/x/);
        expect(machine.picture()).toBe(before);
      });

      test('when the last step fails', () => {
        machine.apply(HOW_TO);
        const before = machine.picture();
        machine.write('/mnt/bin/mv', '#!/bin/sh\ncase "$*" in */confirmed) exit 1 ;; esac\nexec /bin/mv "$@"\n');
        expect(machine.apply(NEXT, { generation: 'g2' }).last).toMatch(/put back as it was: cannot write .*confirmed/);
        expect(machine.picture()).toBe(before);
      });

      test('and names what it could not put back', () => {
        machine.apply(HOW_TO);
        machine.write(
          '/mnt/bin/mv',
          '#!/bin/sh\ncase "$*" in */confirmed) ip link del eth1; exit 1 ;; esac\nexec /bin/mv "$@"\n',
        );
        const done = machine.apply(NEXT, { generation: 'g2' });
        expect(done.last).toMatch(
          /FAILED, and not everything could be put back \(kernel: \+ IPv6 route in table 200: default metric 1024 via fd00:1010::1 dev eth1.*source-routing rollback vpn1/,
        );
        expect(done.code).toBe(71);
        machine.must(
          'rm /mnt/bin/mv; ip link add eth1 type bridge; ip link set eth1 up; ip addr add 192.168.1.100/24 dev eth1; ip -6 addr add fd00:1010::100/64 dev eth1 nodad',
        );
        succeeds(machine.apply(HOW_TO, { generation: 'g3' }));
        succeeds(machine.agent('remove'));
      });

      test('after kill -9 at any line, the next apply knows everything', () => {
        const pristine = machine.picture();
        let round = 0;
        for (const n of steps(flavour.thorough ? 3 : 5)) {
          round += 1;
          machine.apply(BEFORE);
          machine.atLine(n, 'kill');
          const killed = machine.apply(NEXT, { generation: 'g2' });
          const written = machine.linesOrFired();
          if (written !== 'fired') {
            succeeds(killed);
            expect(written).toBeGreaterThan(11);
            break;
          }
          expect(killed.code).toBe(137);
          expect(machine.verify().last).toMatch(
            /was killed half-way, and will be undone. At once: source-routing rollback vpn1/,
          );
          // Three ways on: the same again, back to the old, or away with it all.
          const [data, generation] = round % 2 ? [NEXT, 'g2'] : [BEFORE, 'g3'];
          if (round % 3) {
            succeeds(machine.apply(data, { generation }));
            succeeds(machine.verify());
          }
          succeeds(machine.agent('remove'));
          expect(machine.picture()).toBe(pristine);
        }
      });

      test.each(['pending', 'current', 'agent', 'x'])('after kill -9 while %s is written, too', (file) => {
        const pristine = machine.picture();
        // The agent is only written when it is not there already.
        for (const first of file === 'agent' ? [true] : [true, false]) {
          if (!first) {
            machine.apply(HOW_TO);
          }
          machine.killAtMove(file);
          expect(machine.apply(NEXT, { generation: 'g2' }).code).toBe(137);
          succeeds(machine.apply(NEXT, { generation: 'g2' }));
          succeeds(machine.verify());
          succeeds(machine.agent('remove'));
          expect(machine.picture()).toBe(pristine);
        }
      });

      test('after kill -9 of the first apply, remove leaves nothing', () => {
        const pristine = machine.picture();
        machine.atLine(7, 'kill');
        expect(machine.apply(NEXT).code).toBe(137);
        expect(machine.rules()).not.toEqual([]);
        succeeds(machine.agent('remove'));
        expect(machine.picture()).toBe(pristine);
      });
    });

    test('remove puts everything back, and can be repeated', () => {
      machine.fakeSystemd();
      machine.must('mkdir -p /etc/systemd/system; rm -rf /etc/iproute2/rt_tables.d /usr/local/*');
      const pristine = machine.picture();
      machine.apply([
        ...HOW_TO,
        'file 0755 /usr/local/sbin/source-routing 1 shared',
        '|#!/bin/sh',
        'file 0644 /etc/systemd/system/x.service 1',
        '|[Unit]',
        'unit x.service',
      ]);
      machine.systemctlLog();
      machine.must('cp /var/lib/source-routing/vpn1/agent /mnt/agent');
      // What others have beside ours stays.
      machine.must('ip rule add pref 9000 from 10.9.0.0/16 lookup 201');
      const done = machine.agent('remove');
      expect(done.last).toBe('source-routing: done: everything of vpn1 was removed');
      expect(machine.systemctlLog()).toEqual(['disable --now --no-reload x.service', 'daemon-reload']);
      expect(machine.rules()).toEqual(['9000:\tfrom 10.9.0.0/16 lookup 201']);
      machine.must('ip rule del pref 9000');
      expect(machine.picture()).toBe(pristine);
      const again = machine.sh(`${flavour.shell} /mnt/agent remove --owner vpn1`);
      expect(again).toMatchObject({ code: 0, last: 'source-routing: done: there is nothing of vpn1 on this machine' });
      expect(machine.picture()).toBe(pristine);
    });

    test('two owners share a machine and not a thing of each other', () => {
      const shared = ['file 0755 /usr/local/sbin/source-routing 1 shared', '|#!/bin/sh'];
      const other = (text: string[]): string[] =>
        text.map((line) =>
          line
            .replace(/\b200\b/g, '210')
            .replace(/\bvpn\b/g, 'office')
            .replace('-vpn1.', '-b.')
            .replace(/(rule|guard) (\d) (\d)00/, (_, word, family, first) => `${word} ${family} ${first}10`),
        );
      const pristine = machine.picture();
      succeeds(machine.apply([...HOW_TO, ...shared]));
      const alone = machine.picture();

      for (const [data, expected] of [
        [HOW_TO, /priority 10010 \(IPv4\) belongs to owner vpn1/],
        [['table 200 -'], /table 200 belongs to owner vpn1 on this machine: choose another id/],
        [['table 201 vpn'], /the table name vpn belongs to owner vpn1|the table name vpn is already used/],
        [['table 201 -', 'rule 4 10010 from 10.0.0.0/8 lookup 201'], /priority 10010 \(IPv4\) belongs to owner vpn1/],
        [['table 201 -', 'rule 4 20010 from 10.0.0.0/8 lookup 201'], /priority 20010 \(IPv4\) belongs to owner vpn1/],
        [['table 201 -', 'guard 4 10010 from 10.0.0.0/8 unreachable'], /priority 10010 \(IPv4\) belongs to owner vpn1/],
      ] as const) {
        const refused = machine.apply([...data], { owner: 'b' });
        expect(refused.code).toBe(69);
        expect(refused.out).toMatch(expected);
      }
      expect(machine.picture()).toBe(alone);

      succeeds(machine.apply([...other(HOW_TO), ...shared], { owner: 'b' }));
      succeeds(machine.verify('vpn1'));
      succeeds(machine.verify('b'));
      succeeds(machine.agent('remove', 'vpn1'));
      succeeds(machine.verify('b'));
      succeeds(machine.sh('ls /usr/local/sbin/source-routing'));
      succeeds(machine.agent('remove', 'b'));
      expect(machine.picture()).toBe(pristine);
    });

    test('values are data, and put into the form of the kernel', () => {
      const done = machine.apply([
        'value 1 prefix 4 stack/vpn/clients4:source "10.10.10.0/24"',
        'value 2 prefix - stack/vpn/clients6:source "FD00:4242:0:0::/64"',
        'value 3 address 6 stack/vpn/route:via "fd00:1010:0000:0000:0000:0000:0000:0001"',
        'value 4 device - stack/vpn/route:device "eth1"',
        'value 5 prefix - stack/vpn/all:source "::/0"',
        'table 200 vpn',
        'rule 4 10010 from @1@ lookup 200',
        'rule auto 10011 from @2@ lookup 200',
        'rule auto 10012 from @5@ lookup 200',
        'route auto 200 default 0 via @3@ dev @4@',
        'file 0644 /etc/values 2',
        '|a @1@ b @2@ @4@',
        '|me@1.example @99@ $(reboot) `x`',
      ]);
      succeeds(done);
      expect(machine.rules(4)).toEqual(['10010:\tfrom 10.10.10.0/24 lookup 200 proto 77']);
      expect(machine.rules(6)).toEqual([
        '10011:\tfrom fd00:4242::/64 lookup 200 proto 77',
        '10012:\tfrom all lookup 200 proto 77',
      ]);
      expect(machine.routes(200, 6)).toEqual(['default via fd00:1010::1 dev eth1 proto 77 metric 1024 pref medium']);
      expect(machine.must('cat /etc/values')).toBe(
        'a 10.10.10.0/24 b fd00:4242::/64 eth1\nme@1.example @99@ $(reboot) `x`\n',
      );
    });

    test('refuses a value that is not what it must be', () => {
      const before = machine.picture();
      const hostile = [
        '$(reboot)',
        '`reboot`',
        '${x}',
        '; rm -rf /',
        '| sh',
        "'",
        '"',
        '\\',
        'a b',
        '10.0.0.0/8 lookup 1',
        '@1@',
        '@2@',
        '10.0.0.0/8\nroute',
        '\n',
        '\u0000',
        '',
        ' ',
        '10.0.0.0/8 ',
        '-4',
        '%s%n',
        '*',
        '../../etc/passwd',
        'é',
        '10.0.0.0/8;',
        '&',
        '<',
        '>',
        '#',
        '//',
      ];
      const values = hostile.flatMap((value, i) => [
        `value ${3 * i + 10} prefix - stack/a:${i}p ${JSON.stringify(value)}`,
        `value ${3 * i + 11} address - stack/a:${i}a ${JSON.stringify(value)}`,
        ...(/^[-A-Za-z0-9@]+$/.test(value)
          ? []
          : [`value ${3 * i + 12} device - stack/a:${i}d ${JSON.stringify(value)}`]),
      ]);
      const done = machine.apply([...values, 'table 200 -', 'rule auto 10010 from @10@ lookup 200']);
      expect(done.code).toBe(65);
      for (const line of values) {
        const [, , kind, , label] = line.split(' ');
        expect(done.out).toMatch(
          new RegExp(`${label} (is|has) .*\\. Give (an IP ${kind} such as|the name of a network ${kind})`),
        );
      }
      expect(done.last).toContain(`refused, nothing was changed: ${values.length} problems`);
      expect(machine.picture()).toBe(before);
    });

    test.each([
      ['prefix 4', '"10.10.10.5/24"', 'has host bits set. Give an IPv4 prefix such as 192.0.2.0/24'],
      ['prefix 6', '"FD00:4242::1/60"', 'has host bits set. Give an IPv6 prefix such as 2001:db8::/64'],
      ['prefix -', '"10.10.10.0/33"', 'has no length between /0 and /32. Give an IP prefix such as 192.0.2.0/24'],
      ['prefix -', '"010.1.0.0/16"', 'is not an IP prefix'],
      ['prefix 4', '"fd00::/64"', 'is of IPv6. Give an IPv4 prefix'],
      ['address -', '"10.0.0.1/24"', 'is a prefix, not an address. Give an IP address such as 192.0.2.7'],
      ['address -', '"fe80::1%eth0"', 'is not an IP address'],
      ['device -', '"averyveryverylongname"', 'is longer than 15 characters. Give the name of a network device'],
      ['address -', 'null', 'is not a text'],
      ['address -', '["10.0.0.1"]', 'is not a text'],
    ])('says what is wrong with %s %s', (kind, json, expected) => {
      const done = machine.apply([`value 1 ${kind} stack/vpn/x:y ${json}`, 'table 200 -']);
      expect(done.last).toContain(`nothing was changed: stack/vpn/x:y ${expected}`);
      expect(done.code).toBe(65);
    });

    test('refuses a bundle that was cut off or changed, whatever the place', () => {
      const before = machine.picture();
      const all = ['bundle 1', 'owner vpn1', ...HOW_TO];
      const whole = lines(bundleText(all));
      const start = whole.indexOf('#--- bundle');
      for (let n = start; n < whole.length; n++) {
        const done = machine.apply([], { text: `${whole.slice(0, n).join('\n')}\n` });
        expect(done.last).toMatch(/refused, nothing was changed: the bundle is damaged/);
        expect(done.code).toBe(65);
      }
      // A line is lost on the way, or there is one too many.
      for (const line of HOW_TO) {
        for (const text of ['', `${line}\n${line}\n`]) {
          expect(machine.apply([], { text: whole.join('\n').replace(`\n${line}\n`, `\n${text}`) }).code).toBe(65);
        }
      }
      // One letter is another one, even in what a value is called.
      const named = lines(bundleText([...all, 'value 1 prefix - x:y "10.66.77.0/24"']));
      for (const changed of [
        ...whole.slice(start + 1, -1).map((line) => [line, line.replace(/.$/, '~')] as const),
        ['value 1 prefix - x:y "10.66.77.0/24"', 'value 1 prefix 4 x:y "10.66.77.0/24"'] as const,
      ]) {
        const text = named.map((line) => (line === changed[0] ? changed[1] : line)).join('\n');
        expect(machine.apply([], { text: `${text}\n` }).code).toBe(65);
      }
      for (const wrong of [
        all.map((line) => line.replace('owner vpn1', 'owner b')),
        all.map((line) => line.replace('bundle 1', 'bundle 2')),
        all.slice(1),
        [...all, 'rule 4 10010 from 10.99.0.0/24 lookup 200'],
        [...all, 'rule 4 20010 from 10.99.0.0/24 lookup 200'],
        [...all, 'guard 4 10010 from 10.99.0.0/24 unreachable'],
      ]) {
        expect(machine.apply([], { text: bundleText(wrong) }).code).toBe(65);
      }
      expect(machine.picture()).toBe(before);
    });

    test('waits for the lock, says who holds it, and breaks that of a dead run', () => {
      const before = machine.picture();
      machine.must(
        'mkdir /run/source-routing.lock; read -r s </proc/1/stat; set -- ${s##*) }; echo "1 ${20} other" >/run/source-routing.lock/holder',
      );
      const busy = machine.apply(HOW_TO);
      expect(busy.code).toBe(75);
      expect(busy.last).toMatch(/busy, nothing was changed: another run holds .*: 1 \d+ other/);
      machine.must('rm -r /run/source-routing.lock');
      expect(machine.picture()).toBe(before);
      // The number lives, the process is another one.
      machine.must(
        'mkdir /run/source-routing.lock; echo "1 99 vpn1" >/run/source-routing.lock/holder; echo x >/run/source-routing.lock/undo',
      );
      succeeds(machine.apply(HOW_TO));
      machine.must('mkdir /run/source-routing.lock');
      succeeds(machine.verify());
    });

    test('a signal leaves no lock behind and takes none of another run away', () => {
      succeeds(machine.apply(HOW_TO));
      // Between the lock and the next line of the program.
      machine.write(
        '/mnt/bin/mkdir',
        '#!/bin/sh\n/bin/mkdir "$@"\n[ "$*" != /run/source-routing.lock ] || kill -TERM $PPID\n',
      );
      expect(machine.agent('assert')).toMatchObject({ code: 0, last: 'source-routing: stopped by signal TERM' });
      expect(machine.sh('ls /run').out).not.toContain('source-routing.lock');
      const watch = machine.agent('watch');
      expect(watch.out.match(/stopped by signal TERM/g)).toHaveLength(1);
      expect(machine.sh('ls /run').out).not.toContain('source-routing');
      machine.must('ln -sf /bin/mkdir /mnt/bin/mkdir');
      // Another run has made its lock as soon as this one's is gone.
      machine.write(
        '/mnt/bin/rm',
        '#!/bin/sh\n/bin/rm "$@"\n[ "$*" != "-rf /run/source-routing.lock" ] || { mkdir /mnt/once && mkdir /run/source-routing.lock && kill -TERM $PPID; }\n',
      );
      machine.agent('watch');
      expect(machine.sh('ls /run').out).toContain('source-routing.lock');
    });

    test('does not need its terminal', () => {
      machine.write('/mnt/bundle', bundleText(['bundle 1', 'owner vpn1', ...HOW_TO]));
      const command = `${flavour.shell} /mnt/bundle apply --owner vpn1 --generation g1 /mnt/bundle`;
      succeeds(machine.sh(`cp /mnt/bundle /mnt/b2; ${command} >/dev/full 2>&1`));
      succeeds(machine.verify());
      succeeds(machine.agent('remove'));
      succeeds(machine.sh(`cp /mnt/b2 /mnt/bundle; ${command} >&- 2>&-`));
      succeeds(machine.verify());
    });

    describe('assert', () => {
      test('repairs what was taken away, and only that', () => {
        machine.apply(HOW_TO);
        machine.must(
          'ip rule del pref 10010; ip -6 route flush table 200; ip route replace default via 192.168.1.9 table 200',
        );
        expect(machine.verify().code).toBe(1);
        const diff = machine.agent('diff');
        expect(diff.code).toBe(1);
        expect(diff.out).toContain('+ IPv4 rule 10010: from 10.10.10.0/24 lookup 200');
        expect(diff.out).toContain('- IPv4 route in table 200: default via 192.168.1.9 dev eth1 proto 3');
        expect(diff.last).toMatch(/5 differences .*source-routing assert vpn1/);
        const done = machine.agent('assert');
        expect(done.last).toBe('source-routing: done: the kernel agrees with generation g1 of vpn1 (4 repaired)');
        succeeds(machine.verify());
        expect(machine.monitored(() => machine.agent('assert'))).toEqual([]);
      });

      describe('after "ip rule flush"', () => {
        const OWN4 = [
          '0:\tfrom all lookup 255 proto 2',
          '32766:\tfrom all lookup 254 proto 2',
          '32767:\tfrom all lookup 253 proto 2',
        ];

        test("puts the kernel's own rules back, too, after ours", () => {
          machine.apply(HOW_TO);
          const before = [machine.allRules(4), machine.allRules(6)];
          machine.must('ip rule flush; ip -6 rule flush');
          const seen = machine.monitored(() => {
            const done = machine.agent('assert');
            succeeds(done);
            expect(done.out).toContain("the kernel's own rules were taken away together with ours: putting them back");
            expect(done.last).toContain('the kernel agrees with generation g1 of vpn1');
          });
          expect([machine.allRules(4), machine.allRules(6)]).toEqual(before);
          const first = seen.findIndex((line) => /^3276[67]:/.test(line));
          expect(seen.slice(0, first).filter((line) => /^[12]00/.test(line))).toHaveLength(3);
          expect(seen).toHaveLength(9);
          succeeds(machine.verify());
          expect(machine.monitored(() => machine.agent('assert'))).toEqual([]);
        });

        test('the rule for the local table, too, where somebody had moved it', () => {
          machine.apply(HOW_TO);
          const moved = 'ip rule add pref 100 lookup local; ip rule del pref 0';
          machine.must(`${moved}; ${moved.replace(/ip/g, 'ip -6')}; ip rule flush; ip -6 rule flush proto 77`);
          const done = machine.agent('assert');
          succeeds(done);
          expect(done.out).toContain("the kernel's own rules were taken away together with ours: putting them back");
          expect(machine.allRules(4).filter((line) => line.includes('lookup 255'))).toEqual(OWN4.slice(0, 1));
          expect(machine.allRules(6).filter((line) => line.includes('lookup 255'))).toEqual([
            '100:\tfrom all lookup 255',
          ]);
        });

        test('only of the family that was flushed, and IPv6 has no rule 32767', () => {
          machine.apply(HOW_TO);
          machine.must('ip -6 rule flush; ip rule del pref 32766');
          succeeds(machine.agent('assert'));
          expect(machine.allRules(4).filter((line) => /^3276/.test(line))).toEqual(OWN4.slice(2));
          expect(machine.allRules(6).filter((line) => /^3276/.test(line))).toEqual(OWN4.slice(1, 2));
        });

        test('not where ours are there: then somebody means it', () => {
          machine.apply(HOW_TO);
          machine.must('ip rule del pref 32766; ip rule del pref 32767; ip route del unreachable default table 200');
          succeeds(machine.agent('assert'));
          expect(machine.allRules(4).filter((line) => /^3276/.test(line))).toEqual([]);
          succeeds(machine.verify());
        });

        test.each([
          ['the rule for the main table stands elsewhere', 'pref 31000 lookup main'],
          ['something else stands in its place', 'pref 32766 lookup 7'],
        ])('not where %s', (_, rule) => {
          machine.apply(HOW_TO);
          machine.must(`ip rule flush; ip rule add ${rule}`);
          succeeds(machine.agent('assert'));
          expect(machine.allRules(4).filter((line) => /^3/.test(line))).toHaveLength(1);
        });

        test('where only a rule for part of the main table is there', () => {
          machine.apply(HOW_TO);
          machine.must('ip rule flush; ip rule add pref 31000 lookup main suppress_prefixlength 0');
          succeeds(machine.agent('assert'));
          expect(machine.allRules(4).slice(-2)).toEqual(OWN4.slice(1));
        });

        test.each(['verify', 'diff', 'remove', 'apply'])('%s leaves them alone', (command) => {
          machine.apply(HOW_TO);
          machine.must('ip rule flush');
          void (command === 'apply' ? machine.apply(HOW_TO, { generation: 'g2' }) : machine.agent(command));
          expect(machine.allRules(4).filter((line) => /^3276/.test(line))).toEqual([]);
        });
      });

      test('is closed at once at boot, and opens when the device is there', () => {
        machine.apply(HOW_TO);
        machine.must(
          'ip rule flush proto 77; ip -6 rule flush proto 77; ip route flush table 200; ip -6 route flush table 200; ip link del eth1',
        );
        const early = machine.agent('assert');
        succeeds(early);
        expect(early.last).toMatch(/the rules of vpn1 are in force; 2 routes have to wait/);
        expect(machine.rules(4)).toHaveLength(3);
        expect(machine.rules(6)).toHaveLength(3);
        expect(machine.routes(200, 4)).toEqual(['7 default proto 77 metric 4278198272']);
        expect(machine.routes(200, 6)).toEqual(['7 default dev lo proto 77 metric 4278198272 pref medium']);
        // Up, but without an address: still too early.
        machine.must('ip link add eth1 type bridge; ip link set eth1 up');
        expect(machine.agent('assert')).toMatchObject({
          code: 0,
          last: expect.stringContaining('2 routes have to wait'),
        });
        machine.must('ip addr add 192.168.1.100/24 dev eth1; ip -6 addr add fd00:1010::100/64 dev eth1 nodad');
        expect(machine.agent('assert').last).toMatch(/the kernel agrees with generation g1 of vpn1 \(2 repaired\)/);
        succeeds(machine.verify());
      });

      test('names the reason that the kernel gives while the next look has begun', () => {
        succeeds(machine.apply(HOW_TO));
        machine.must('ip rule del pref 10010');
        const lock = '/run/source-routing.lock';
        // The next look waits for the first half of the message, and the second half for the next look.
        machine.write(
          '/mnt/bin/mkdir',
          `#!/bin/sh\n/bin/mkdir "$@" || exit\n[ "$*" != ${lock} ] || mkfifo ${lock}/check.add4\n`,
        );
        machine.write(
          '/mnt/bin/ip',
          `#!/bin/sh
          case "$*" in *-batch*) ;; *) exec /usr/sbin/ip "$@" ;; esac
          printf 'Error: Injected ' >&2
          { rm ${lock}/check.add4; } <${lock}/check.add4
          until [ -e ${lock}/check.counts ]; do sleep 0.01; done
          sleep 0.1
          printf 'failure.\nCommand failed plan:1\n' >&2
          exit 1\n`,
        );
        expect(machine.agent('assert')).toMatchObject({
          code: 70,
          last: expect.stringMatching(
            /FAILED, 1 .* still missing: the kernel refused IPv4 "rule add .*": Injected failure/,
          ),
        });
      });

      test('does nothing where nothing is in force', () => {
        machine.apply(HOW_TO);
        machine.must('cp /var/lib/source-routing/vpn1/agent /mnt/agent');
        machine.agent('remove');
        succeeds(machine.sh(`${flavour.shell} /mnt/agent assert --owner vpn1`));
        expect(machine.sh(`${flavour.shell} /mnt/agent verify --owner vpn1`)).toMatchObject({ code: 1 });
      });
    });

    test('units: reloaded only when their files change, started last, stopped when they go', () => {
      machine.fakeSystemd();
      machine.must('mkdir -p /etc/systemd/system');
      const unit = (text: string, name = 'x'): string[] => [
        `file 0644 /etc/systemd/system/${name}.service 1`,
        `|${text}`,
        `unit ${name}.service`,
      ];
      succeeds(machine.apply([...HOW_TO, ...unit('a')]));
      expect(machine.systemctlLog()).toEqual([
        'enable --no-reload x.service',
        'daemon-reload',
        'restart --no-block x.service',
      ]);
      expect(machine.apply([...HOW_TO, ...unit('a')], { generation: 'g2' }).last).toContain('nothing to do');
      expect(machine.systemctlLog()).toEqual([]);
      succeeds(machine.apply([...HOW_TO, ...unit('b')], { generation: 'g3' }));
      expect(machine.systemctlLog()).toEqual(['daemon-reload', 'restart --no-block x.service']);
      // What runs is the agent as it was; restarted is what ran, should it have to be put back.
      const newer = bundleText(['bundle 1', 'owner vpn1', ...HOW_TO, ...unit('b')]).replace(
        '\nset -u\n',
        '\nset -u # newer\n',
      );
      machine.write(
        '/mnt/bin/mv',
        '#!/bin/sh\ncase $* in */current) cat /var/lib/source-routing/vpn1/trial/undo >/mnt/undo ;; esac\nexec /bin/mv "$@"\n',
      );
      succeeds(machine.apply([], { generation: 'g3b', text: newer }));
      expect(machine.systemctlLog()).toEqual(['restart --no-block x.service']);
      expect(machine.must('cat /mnt/undo')).toMatch(/^restarted x.service$/m);
      succeeds(machine.apply([...HOW_TO, ...unit('b')], { generation: 'g3c' }));
      expect(machine.systemctlLog()).toEqual(['restart --no-block x.service']);
      succeeds(machine.apply([...HOW_TO, ...unit('b', 'y')], { generation: 'g4' }));
      expect(machine.systemctlLog()).toEqual([
        'enable --no-reload y.service',
        'disable --now --no-reload x.service',
        'daemon-reload',
        'restart --no-block y.service',
      ]);
      expect(machine.sh('ls /etc/systemd/system').out).toBe('y.service\n');
    });

    test('units: enabled and started if they are not, and otherwise left alone', () => {
      machine.fakeSystemd();
      machine.must('mkdir -p /etc/systemd/system');
      const units = ['x', 'y', 'z'].flatMap((name) => [
        `file 0644 /etc/systemd/system/${name}.service 1`,
        '|[Unit]',
        `unit ${name}.service`,
      ]);
      succeeds(machine.apply([...HOW_TO, ...units]));
      machine.systemctlLog();
      machine.must('rm /mnt/enabled.x.service /mnt/active.y.service');
      succeeds(machine.apply([...HOW_TO, ...units], { generation: 'g2' }));
      expect(machine.systemctlLog()).toEqual(['enable --no-reload x.service', 'restart --no-block y.service']);
    });

    test('files: replaced with a note if edited by hand, taken away with their directories', () => {
      machine.apply([...HOW_TO, 'file 0640 /etc/a/b/c 1', '|one']);
      expect(machine.must('stat -c %a /etc/a /etc/a/b /etc/a/b/c')).toBe('755\n755\n640\n');
      machine.must('echo edited >/etc/a/b/c');
      expect(machine.agent('diff').out).toContain('file /etc/a/b/c (differs from');
      const done = machine.apply([...HOW_TO, 'file 0640 /etc/a/b/c 1', '|two'], { generation: 'g2' });
      expect(done.out).toContain('note: /etc/a/b/c was edited by hand');
      expect(machine.must('cat /etc/a/b/c')).toBe('two\n');
      machine.must('chmod 600 /etc/a/b/c');
      expect(machine.agent('diff').out).toContain('file /etc/a/b/c (its mode is not 0640, or its owner not root)');
      succeeds(machine.apply(HOW_TO, { generation: 'g3' }));
      expect(machine.sh('ls -d /etc/a').code).not.toBe(0);
    });

    test('a table that is given up is left without anything of ours, one that is kept is left alone', () => {
      const extra = 'ip route add 10.77.0.0/16 dev eth1 table 200';
      machine.apply(HOW_TO);
      machine.must(`${extra} proto 77; ${extra} metric 5 proto 78; ${extra} metric 9`);
      succeeds(machine.apply(HOW_TO, { generation: 'g2' }));
      // Tagged 78, and no hook serves the table.
      expect(machine.routes(200).filter((line) => line.startsWith('10.77'))).toEqual([
        '10.77.0.0/16 dev eth1 proto 77 scope 253',
        '10.77.0.0/16 dev eth1 scope 253 metric 9',
      ]);
      const other = HOW_TO.map((line) => line.replace(/\b200\b/g, '201'));
      succeeds(machine.apply(other, { generation: 'g3' }));
      expect(machine.routes(200)).toEqual(['10.77.0.0/16 dev eth1 scope 253 metric 9']);
    });

    test('the same generation again, with other values, is a change like any other', () => {
      machine.apply(HOW_TO);
      for (const gateway of ['192.168.1.2', '192.168.1.3', '192.168.1.1']) {
        succeeds(machine.apply(HOW_TO.map((line) => line.replace('192.168.1.1', gateway))));
        expect(machine.routes(200)[0]).toContain(gateway);
        succeeds(machine.verify());
      }
    });

    test('without IPv6 in the kernel, the fail-closed route is dropped and the rest refused', () => {
      const no6 = (data: string[]): string =>
        bundleText(['bundle 1', 'owner vpn1', ...data]).replace(
          '[ -e /proc/net/if_inet6 ]',
          '[ -e /mnt/no-such-file ]',
        );
      machine.write('/mnt/bin/ip', '#!/bin/sh\ncase "$*" in *-6*) exit 2 ;; esac\nexec /usr/sbin/ip "$@"\n');
      const refused = machine.apply([], { text: no6(HOW_TO) });
      expect(refused.code).toBe(69);
      expect(refused.last).toMatch(/this kernel has no IPv6/);
      const only4 = HOW_TO.filter((line) => !/^((rule|guard) 6|route 6 .* via)/.test(line));
      succeeds(machine.apply([], { text: no6(only4) }));
      succeeds(machine.verify());
    });
  });
}

/** With what was printed, if it does not. */
function succeeds(outcome: Outcome): void {
  if (outcome.code !== 0) {
    throw new Error(`exit ${outcome.code}\n${outcome.out}`);
  }
}

/** A bundle of exactly these data lines, with the copy of the program that tests use. */
function bundleText(data: readonly string[]): string {
  return bundle(data, testProgram());
}

import type { Outcome } from './machine';
import { BASH, BUSYBOX, DASH, Machine, describeOnMachine, steps } from './machine';

/** The how-to done by hand, on a machine of the tests: a name, rules without a priority, routes, files, an up script. */
const BY_HAND = `
  echo '200     vpn # for the clients' >>/etc/iproute2/rt_tables
  echo '201     other' >>/etc/iproute2/rt_tables
  ip link add tun0 type bridge; ip link set tun0 up; ip addr add 10.10.10.1/24 dev tun0
  ip -6 addr add fd00:4242::1/64 dev tun0 nodad
  ip rule add from 10.10.10.0/25 lookup vpn
  ip rule add from 10.10.10.128/25 lookup vpn
  ip -6 rule add from fd00:4242::/64 lookup vpn
  ip route add default via 192.168.1.1 table vpn
  ip -6 route add default via fd00:1010::1 table vpn
  ip route add 10.10.10.0/24 dev tun0 table vpn
  ip -6 route add fd00:4242::/64 dev tun0 table vpn
  mkdir -p /etc/sysconfig/network-scripts /etc/openvpn
  cd /etc/sysconfig/network-scripts
  echo 'from 10.10.10.0/25 lookup vpn' >rule-eth1
  echo 'from 10.10.10.128/25 lookup vpn' >>rule-eth1
  echo 'to 10.10.10.0/25 lookup main # each other' >>rule-eth1
  echo 'from fd00:4242::/64 lookup vpn' >rule6-eth1
  echo 'default via 192.168.1.1 table vpn' >route-eth1
  echo 'default via fd00:1010::1 table vpn' >route6-eth1
  printf '#!/bin/sh\\nip route add 10.10.10.0/24 dev $dev table vpn\\n' >/etc/openvpn/up
  chmod 755 /etc/openvpn/up`;

const FILES = ['rule', 'rule6', 'route', 'route6'].map((name) => `/etc/sysconfig/network-scripts/${name}-eth1`);
const HOOK = '/etc/openvpn/up';

const DECLARED = [
  'table 200 vpn',
  'rule 4 10009 to 10.10.10.0/24 lookup 254 suppress_prefixlength 7',
  'rule 4 10010 from 10.10.10.0/24 lookup 200',
  'guard 4 20010 from 10.10.10.0/24 unreachable',
  'rule 6 10009 to fd00:4242::/64 lookup 254 suppress_prefixlength 0',
  'rule 6 10010 from fd00:4242::/64 lookup 200',
  'guard 6 20010 from fd00:4242::/64 unreachable',
  'route 4 200 default 0 via 192.168.1.1 dev eth1',
  'route 6 200 default 1024 via fd00:1010::1 dev eth1',
  'file 0644 /etc/iproute2/rt_tables.d/source-routing-vpn1.conf 1',
  '|200 vpn',
];
const adopt = (...files: string[]): string[] => ['adopt', ...files.map((file) => `adopt ${file}`)];
const WITH_HOOK = [
  ...DECLARED,
  `file 0755 ${HOOK} 2`,
  '|#!/bin/sh',
  // That of the library, but short.
  '|for f in 4 6; do ip -$f -o route show table main dev "$1" | while read -r p _; do case $p in fe80*) ;; *) ip -$f route replace "$p" dev "$1" table 200 proto 78 ;; esac; done; done',
  `hook openvpn ${HOOK} 200`,
];

const RULES = [
  '10009:\tfrom all to 10.10.10.0/24 lookup 254 suppress_prefixlength 7 proto 77',
  '10010:\tfrom 10.10.10.0/24 lookup 200 proto 77',
  '20010:\tfrom 10.10.10.0/24 7 proto 2',
];
const ROUTES = ['default via 192.168.1.1 dev eth1 proto 77'];

describe.each([DASH, BUSYBOX, BASH])('what was made by hand, under $name,', (flavour) => {
  describeOnMachine('on a machine', () => {
    let machine: Machine;
    beforeEach(() => {
      machine = new Machine(flavour);
      machine.must(BY_HAND);
    });
    afterEach(() => machine.close());

    const ALL = [...WITH_HOOK, ...adopt(...FILES, HOOK)];
    const succeeds = (done: Outcome): void => expect([done.code, done.out]).toEqual([0, done.out]);
    const saved = (): string[] =>
      machine.must('ls /var/lib/source-routing/vpn1/adopted 2>/dev/null || true').trim().split('\n');

    test('is taken over: kernel, files, name and hook are ours, and copies are kept', () => {
      const names = machine.must('cat /etc/iproute2/rt_tables');
      const done = machine.apply(ALL);
      succeeds(done);
      expect(done.out).not.toContain('note: ');
      expect(machine.rules()).toEqual(RULES);
      expect(machine.rules(6)).toHaveLength(3);
      expect(machine.routes(200)).toEqual([...ROUTES, '10.10.10.0/24 dev tun0 proto 78 scope 253']);
      expect(machine.must(`cat ${HOOK}`)).toContain('proto 78');
      expect(machine.must('ls /etc/sysconfig/network-scripts')).toBe('');
      expect(machine.must('cat /etc/iproute2/rt_tables')).toBe(names.replace(/^200 .*\n/m, ''));
      expect(machine.must('ip rule show table vpn')).toContain('lookup vpn');
      expect(saved()).toEqual([
        'etc%iproute2%rt_tables',
        'etc%openvpn%up',
        ...['route-eth1', 'route6-eth1', 'rule-eth1', 'rule6-eth1'].map(
          (name) => `etc%sysconfig%network-scripts%${name}`,
        ),
      ]);
      expect(machine.must('cat /var/lib/source-routing/vpn1/adopted/etc%openvpn%up')).toContain('table vpn');
      succeeds(machine.verify());
      // Nothing is left to take over, and what an earlier change saved stays.
      const again = machine.apply(ALL, { generation: 'g2' });
      succeeds(again);
      expect(again.out).toBe(
        'source-routing: done: nothing to do, generation g2 of vpn1 is in force (4 rules, 2 guards, 2 routes)\n',
      );
      // Another version of our own file is nothing to save.
      const other = ALL.map((line) => line.replace('table 200 proto 78', 'proto 78 table 200'));
      succeeds(machine.apply(other, { generation: 'g3' }));
      expect(machine.must(`cat ${HOOK}`)).toContain('proto 78 table 200');
      expect(machine.must('cat /var/lib/source-routing/vpn1/adopted/etc%openvpn%up')).toContain('table vpn');
      succeeds(machine.agent('remove'));
      expect(machine.must('ls /var/lib')).toBe('');
    });

    test('the route of an up hook is replaced, and never missing', () => {
      const events = machine.monitored(() => succeeds(machine.apply(ALL)));
      // The address of tun0 may only now have become usable, which the kernel reports, too.
      expect(events.filter((line) => line.includes('dev tun0 table 200'))).toEqual([
        expect.stringMatching(/^10\.10\.10\.0\/24 dev tun0 table 200 proto 78/),
        expect.stringContaining('fd00:4242::/64 dev tun0 table 200 proto 78'),
      ]);
    });

    test('no guard of ours stands in front of the rules by hand while ours are not there', () => {
      const order = (events: string[], ...lines: string[]): number[] =>
        lines.map((line) => events.findIndex((event) => event.startsWith(line)));
      const RULE = '10010:\tfrom 10.10.10.0/24 lookup 200';
      const GUARD = '20010:\tfrom 10.10.10.0/24';
      const apply = machine.monitored(() => succeeds(machine.apply(ALL, { options: '--confirm-timeout 60' })));
      const [rule, guard, byHand] = order(apply, RULE, GUARD, 'Deleted 32765:\tfrom 10.10.10.0/25');
      expect([rule >= 0, rule < guard, guard < byHand]).toEqual([true, true, true]);
      const back = machine.monitored(() =>
        succeeds(machine.sh(`${flavour.shell} /var/lib/source-routing/vpn1/trial/agent rollback --owner vpn1`)),
      );
      const [again, noGuard, noRule] = order(back, '32765:\tfrom 10.10.10.0/25', `Deleted ${GUARD}`, `Deleted ${RULE}`);
      expect([again >= 0, again < noGuard, noGuard < noRule]).toEqual([true, true, true]);
    });

    test('nothing goes before ours is there', () => {
      const events = machine.monitored(() => succeeds(machine.apply([...DECLARED, ...adopt()])));
      const first = events.findIndex((line) => line.startsWith('Deleted'));
      expect(events.slice(first).every((line) => line.startsWith('Deleted'))).toBe(true);
      expect(events.slice(first).join('\n')).toContain('from 10.10.10.0/25 lookup 200');
      expect(machine.routes(200)).toEqual(ROUTES);
      expect(machine.rules()).toEqual(RULES);
      // What nothing names stays, even where it is in the way of nobody.
      expect(machine.must('ls /etc/sysconfig/network-scripts | wc -l').trim()).toBe('4');
    });

    test('comes back as it was when it is not confirmed in time', () => {
      // Several at one priority, in this order, and a route of a metric that we do not have.
      machine.must(`ip rule add pref 500 from 10.10.10.9 lookup 200; ip rule add pref 500 from 10.10.10.7 lookup 200
        ip rule add pref 500 from 10.10.10.8 lookup 200 proto boot; ip rule add pref 10010 from 10.10.10.0/24 lookup 200
        ip rule add pref 501 to 10.10.10.0/24 lookup main
        ip route add default via 192.168.1.1 dev eth1 table 200 metric 50 mtu 1400; ip -6 route add default via fd00:1010::1 dev eth1 table 200 metric 50`);
      const before = machine.pictureOfChanges();
      succeeds(machine.apply(ALL, { options: '--confirm-timeout 60' }));
      expect(machine.rules()).toEqual(RULES);
      const done = machine.sh(`${flavour.shell} /var/lib/source-routing/vpn1/trial/agent rollback --owner vpn1`);
      succeeds(done);
      expect(machine.pictureOfChanges()).toBe(before);
    });

    test('has its files again when the machine goes down before it is confirmed', () => {
      const files = (): string => machine.must('find /etc /var/lib -type f -exec md5sum {} + | sort');
      const before = files();
      succeeds(machine.apply(ALL, { options: '--confirm-timeout 60' }));
      machine.must(`rm -rf /run/source-routing*; for f in 4 6; do ip -$f rule flush; ip -$f route flush table 200
        ip -$f rule add pref 32766 lookup main; done; ip rule add pref 0 lookup local 2>/dev/null || :; ip link del tun0`);
      succeeds(machine.sh(`${flavour.shell} /var/lib/source-routing/vpn1/trial/agent rollback --boot --owner vpn1`));
      expect(files()).toBe(before);
      expect(machine.rules()).toEqual([]);
    });

    test('comes back as it was, whatever step fails', () => {
      const before = machine.picture();
      for (const n of steps(flavour.thorough ? 3 : 5)) {
        machine.atLine(n, 'fail');
        const done = machine.apply(ALL);
        const written = machine.linesOrFired();
        if (written !== 'fired') {
          succeeds(done);
          expect(written).toBeGreaterThan(8);
          break;
        }
        expect([done.code, machine.picture()]).toEqual([70, before]);
      }
    });

    test('a run that is killed half-way is undone, or gone on with', () => {
      for (const n of steps(flavour.thorough ? 3 : 5)) {
        const before = machine.pictureOfChanges();
        machine.atLine(n, 'kill');
        const killed = machine.apply(ALL);
        if (!machine.fired()) {
          succeeds(killed);
          break;
        }
        expect(killed.code).toBe(137);
        succeeds(machine.sh(`${flavour.shell} /var/lib/source-routing/vpn1/trial/agent rollback --owner vpn1`));
        expect(machine.pictureOfChanges()).toBe(before);
      }
    });

    describe('no packet takes another path, and a rollback gives all back,', () => {
      const probes = (): string =>
        machine.sh(`for to in 8.8.8.8 10.10.10.9 10.50.0.1 10.7.0.1; do for from in 10.10.10.7 10.10.10.200; do
            echo "$to $from $(ip route get $to from $from iif tun0 2>&1 | head -n 1 | sed 's/ uid .*//; s/ table [^ ]*//; s/^.*Network is unreachable/rejected/; s/^.*No route to host/rejected/')"
          done; done; ip -6 route get 2001:db8::1 from fd00:4242::7 iif tun0 2>&1 | grep -o 'dev [^ ]*'`).out;
      test.each([
        ['a standby through interfaces', 'ip route add default metric 60 table 200 nexthop dev eth0 nexthop dev eth1'],
        [
          'next hops in our place',
          'ip route replace default table 200 nexthop via 192.168.1.1 dev eth1 nexthop dev eth0',
        ],
        [
          'a client that is shut out',
          'ip rule add pref 700 from 10.10.10.7 unreachable; ip rule add pref 701 from 10.10.10.7 to 10.10.10.9 prohibit',
        ],
        [
          'a rule between',
          'ip rule add pref 100 from 10.10.10.7 lookup vpn; ip rule add pref 200 from 10.10.10.0/28 lookup main',
        ],
        [
          'a priority that is shared with a rule that stays',
          'ip rule add pref 500 from 10.10.10.7 lookup 200; ip rule add pref 500 from 10.10.10.0/24 lookup main; ip rule add pref 500 from 10.10.10.8 lookup 200',
        ],
        [
          'a wide rule behind a narrow one',
          'ip rule add pref 500 from 10.10.10.0/24 iif tun0 lookup 200; ip rule add pref 500 from 10.10.10.0/24 lookup 200',
        ],
        [
          'a wide rule behind that of a manager',
          'ip rule add pref 500 from 10.10.10.0/24 fwmark 5 lookup 200 proto static; ip rule add pref 500 from 10.10.10.0/24 lookup 200',
        ],
        [
          'a wide rule behind one that suppresses',
          'ip rule add pref 500 from 10.10.10.0/24 lookup 200 suppress_prefixlength 0; ip rule add pref 500 from 10.10.10.0/24 lookup 200',
        ],
        [
          'two routes of one metric',
          'ip route add default via 192.168.1.1 table 200 metric 50; ip route append default via 192.168.1.9 table 200 metric 50',
        ],
        [
          'local routes',
          'ip route add local 10.10.10.99 dev tun0 table 200; ip route add broadcast 10.10.10.255 dev tun0 table 200',
        ],
        ['a route that expires', 'ip -6 route add fd00:9::/64 via fd00:1010::1 table 200 expires 300'],
        ['a hand-made end of the table', 'ip route add blackhole default metric 1000 table 200'],
        ['another way to a network', 'ip route add 10.50.0.0/16 via 192.168.1.9 table 200'],
        [
          'routes of the pool that no hook makes',
          'ip route add blackhole 10.10.10.128/25 table 200; ip route add 10.10.10.64/26 dev eth1 table 200',
        ],
        [
          'a link in the place of rt_tables',
          'mv /etc/iproute2/rt_tables /etc/iproute2/real; ln -s real /etc/iproute2/rt_tables',
        ],
        [
          'a file without a last line feed',
          "printf '200 vpn' >>/etc/iproute2/rt_tables; printf '0xc8\\tvpn' >/etc/iproute2/rt_tables.d/x.conf",
        ],
      ])('%s', (_, prepare) => {
        machine.must(prepare);
        // Life times tick.
        const picture = (): string => machine.pictureOfChanges().replace(/ expires \d+sec/g, ' expires');
        const [before, paths] = [picture(), probes()];
        // What is declared in the same place says where packets go.
        const inPlace = prepare.startsWith('ip route replace');
        const done = machine.apply([...ALL, 'rule 4 10008 to 10.50.0.0/16 lookup 254 suppress_prefixlength 0'], {
          options: '--confirm-timeout 60',
        });
        if (done.code === 0) {
          if (!inPlace) expect(probes()).toBe(paths);
          succeeds(machine.sh(`${flavour.shell} /var/lib/source-routing/vpn1/trial/agent rollback --owner vpn1`));
        }
        expect([done.code, picture()]).toEqual([done.code === 69 ? 69 : 0, before]);
        // Kept, it can be changed and removed.
        if (done.code === 0) {
          succeeds(machine.apply(ALL));
          if (!inPlace) expect(probes()).toBe(paths);
          succeeds(machine.apply(DECLARED, { generation: 'g2' }));
          succeeds(machine.agent('remove'));
        }
      });
    });

    test('one that comes back behind ours, at our priority, is refused, and ours stays', () => {
      succeeds(machine.apply([...DECLARED, ...adopt()]));
      machine.must('ip rule add pref 10010 from 10.10.10.0/24 lookup 200');
      const rules = machine.rules();
      expect(machine.apply([...DECLARED, ...adopt()], { generation: 'g2' }).code).toBe(69);
      expect(machine.rules()).toEqual(rules);
    });

    test('a copy that was kept is never lost', () => {
      succeeds(machine.apply([...DECLARED, ...adopt(...FILES)]));
      machine.write(FILES[0], 'from 10.10.10.9 lookup vpn\n');
      succeeds(machine.apply([...DECLARED, ...adopt(...FILES)], { generation: 'g2' }));
      const copies = machine.must('cd /var/lib/source-routing/vpn1/adopted; grep -c . *rule-eth1*');
      expect(copies.trim().split('\n')).toEqual([
        'etc%sysconfig%network-scripts%rule-eth1:3',
        'etc%sysconfig%network-scripts%rule-eth1.g2:1',
      ]);
    });

    test('what nothing declared replaces stays, with a note', () => {
      machine.must(`ip rule add pref 700 from 10.10.20.0/24 lookup 200; ip rule add pref 701 not from 10.10.10.0/24 lookup 200
        ip rule add pref 702 iif tun0 lookup 200; ip rule add pref 703 from 10.10.10.0/24 fwmark 1 lookup 201
        ip rule add pref 704 from 10.10.10.0/24 lookup 200 proto static
        ip rule add pref 705 from 10.10.10.0/24 lookup main; ip rule add pref 32000 lookup main
        ip route add default via 192.168.1.1 table 200 metric 300 proto static
        ip route add 10.99.0.0/16 via 192.168.1.9 table 200; ip route add 10.98.0.0/16 via 192.168.1.9 table 200 proto static`);
      const done = machine.apply([...DECLARED, ...adopt()]);
      succeeds(done);
      expect(done.out.split('\n').filter((line) => line.includes(' stays: '))).toEqual(
        [
          'IPv4 rule 700: from 10.10.20.0/24 lookup 200 stays: nothing that is declared does its work',
          'IPv4 rule 701: not from 10.10.10.0/24 lookup 200 stays: nothing that is declared does its work',
          'IPv4 rule 702: iif tun0 lookup 200 stays: nothing that is declared does its work',
          'IPv4 rule 703: from 10.10.10.0/24 fwmark 0x1 lookup 201 stays: what is declared for its packets is table 200. To take it over, declare table 201 instead',
          'IPv4 rule 704: from 10.10.10.0/24 lookup 200 stays: a network manager made it, so take it out of its configuration',
          'IPv4 rule 705: from 10.10.10.0/24 lookup 254 stays: nothing that is declared does its work',
          'IPv4 route in table 200: default metric 300 via 192.168.1.1 dev eth1 stays: a network manager made it, so take it out of its configuration',
          'IPv4 route in table 200: 10.98.0.0/16 via 192.168.1.9 dev eth1 stays: a network manager made it, so take it out of its configuration',
          'IPv4 route in table 200: 10.99.0.0/16 via 192.168.1.9 dev eth1 stays: nothing that is declared does its work',
        ].map((text) => expect.stringContaining(text) as string),
      );
      expect(machine.rules().filter((line) => /^(70\d|32000):/.test(line))).toHaveLength(7);
      expect(machine.routes(200)).toHaveLength(4);
    });

    test('what rejects before ours is never taken: a client that is shut out stays so', () => {
      machine.must(
        'ip rule add pref 700 from 10.10.10.7 unreachable; ip rule add pref 701 from 10.10.10.0/24 unreachable',
      );
      succeeds(machine.apply([...DECLARED, ...adopt()]));
      expect(machine.rules().slice(0, 2)).toEqual(['700:\tfrom 10.10.10.7 7', '701:\tfrom 10.10.10.0/24 7']);
    });

    test('a name in a file with a blank in its name stays', () => {
      machine.must("echo '200 vpn' >'/etc/iproute2/rt_tables.d/a b.conf'");
      succeeds(machine.apply([...DECLARED, ...adopt()]));
      expect(machine.must("cat '/etc/iproute2/rt_tables.d/a b.conf'")).toBe('200 vpn\n');
    });

    test('the way of the whole machine is never taken, whatever is declared', () => {
      machine.must('ip rule del pref 32766; ip rule add pref 32766 lookup main');
      succeeds(machine.apply([...DECLARED, 'rule 4 12000 lookup 254', ...adopt()]));
      expect(machine.allRules()).toContain('32766:\tfrom all lookup 254');
    });

    test('a table of another number stays, with a note', () => {
      machine.must('ip rule add pref 700 from 10.10.10.7 lookup 100; ip rule add pref 701 from 10.7.0.0/16 lookup 100');
      const done = machine.apply([...DECLARED, ...adopt()]);
      succeeds(done);
      expect(done.out.split('\n').filter((line) => line.includes(' stays: '))).toEqual([
        'source-routing: note: IPv4 rule 700: from 10.10.10.7 lookup 100 stays: what is declared for its packets is table 200. To take it over, declare table 100 instead',
      ]);
    });

    test('a rule more narrow than ours is taken over, one of the main table, too', () => {
      machine.must(`ip rule add pref 700 from 10.10.10.7 fwmark 1 lookup 200; ip rule add pref 701 from 10.10.10.7 to 10.10.10.0/25 lookup main
        ip rule add pref 30000 from 10.10.10.0/24 unreachable; ip rule add pref 30001 from 10.10.10.7 iif tun0 unreachable`);
      succeeds(machine.apply([...DECLARED, ...adopt()]));
      expect(machine.rules()).toEqual(RULES);
    });

    test('that of a network manager is ours if it says just what is declared', () => {
      machine.must(
        'ip rule add pref 10010 from 10.10.10.0/24 lookup 200 proto static; ip route replace default via 192.168.1.1 table 200 proto static',
      );
      const done = machine.apply([...DECLARED, ...adopt()]);
      // Ours is not theirs under `service`: the rule has another tag.
      expect(done.last).toMatch(
        /someone else has an IPv4 rule at priority 10010: .* \(proto 4\)\. Choose another priority$/,
      );
      machine.must('ip rule del pref 10010');
      succeeds(machine.apply([...DECLARED, ...adopt()]));
      expect(machine.routes(200)).toEqual(ROUTES);
    });

    describe('is refused, and left as it is,', () => {
      const cases: Array<[string, string, string[], RegExp]> = [
        [
          'where it is a rule in our place, and nothing says to take it over',
          'ip rule add pref 10010 from 10.10.10.0/24 lookup 200',
          DECLARED,
          /someone else has an IPv4 rule at priority 10010: "10010: from 10\.10\.10\.0\/24 lookup 200" \(no proto, so made by hand or by a script\)\. Take over what was made by hand: set adopt of the LinuxHost to \{\} \(docs\/adopting\.md\)$/,
        ],
        [
          'where it is another rule in our place',
          'ip rule add pref 10010 from 10.10.20.0/24 lookup 200',
          [...DECLARED, ...adopt()],
          /at priority 10010: .*\. Choose another priority$/,
        ],
        [
          'where it is a route in our place, and nothing says to take it over',
          '',
          DECLARED,
          /a route where ours goes, IPv4 table 200: "default via 192\.168\.1\.1 dev eth1 table 200"\. Take over what was made by hand/,
        ],
        [
          'where a rollback could not give it back',
          'ip route replace default via 192.168.1.1 table 200 initcwnd 20',
          [...DECLARED, ...adopt()],
          /IPv4 route in table 200: default via 192\.168\.1\.1 dev eth1 cannot be taken over, since a rollback could not give back "initcwnd": replace it by one without that$/,
        ],
        [
          'where the table has another name',
          "sed -i 's/^200 .*/200 nat/' /etc/iproute2/rt_tables",
          [...DECLARED, ...adopt()],
          /table id 200 is already named nat in \/etc\/iproute2\/rt_tables: give the table that name, or choose another id$/,
        ],
        [
          'where a file is about something else',
          'echo "from 10.10.10.0/24 lookup 2000" >/etc/other',
          [...DECLARED, ...adopt('/etc/other')],
          /\/etc\/other cannot be adopted: it makes no rule or route of a declared table, so it is about something else$/,
        ],
        [
          'where a file is no file',
          'ln -s /etc/openvpn/up /etc/link',
          [...DECLARED, ...adopt('/etc/link')],
          /\/etc\/link cannot be adopted: it is not a regular file$/,
        ],
        [
          'where others can write beside a file',
          'chmod 777 /etc/openvpn',
          [...DECLARED, ...adopt(HOOK)],
          /others than root can write to \/etc\/openvpn,/,
        ],
        [
          'where a file of the network scripts is about another table, too',
          `echo '10.50.0.0/16 via 192.168.1.7' >>${FILES[2]}`,
          [...DECLARED, ...adopt(...FILES)],
          /route-eth1 cannot be adopted: nothing that is declared does the work of its line "10\.50\.0\.0\/16 via 192\.168\.1\.7"\. Declare that, too, or move the line to another file$/,
        ],
        [
          'where a daemon runs a file that nothing replaces',
          `mkdir -p /etc/openvpn/server; printf '# up /etc/openvpn/upper\\ndev tun0\\nup ${HOOK}\\n' >/etc/openvpn/server/vpn.conf`,
          [...DECLARED, ...adopt(HOOK)],
          /\/etc\/openvpn\/up cannot be adopted: \/etc\/openvpn\/server\/vpn\.conf \(line 3\) runs it, and fails when it is gone\. Declare an up hook with that file, or take that line out first$/,
        ],
        [
          'where a rule file has a line for a pool that is not declared',
          `echo 'from 10.99.0.0/16 lookup vpn' >>${FILES[0]}`,
          [...DECLARED, ...adopt(...FILES)],
          /rule-eth1 cannot be adopted: .* its line "from 10\.99\.0\.0\/16 lookup vpn"/,
        ],
        [
          'where a route file has a number like the table',
          `echo '10.50.0.0/16 via 192.168.178.7 metric 200' >>${FILES[2]}`,
          [...DECLARED, ...adopt(...FILES)],
          /route-eth1 cannot be adopted: .* its line "10\.50\.0\.0\/16 via 192\.168\.178\.7 metric 200"/,
        ],
        [
          'where a file names the table in a comment alone',
          "printf '# lookup vpn\\nroot ALL\\n' >/etc/other",
          [...DECLARED, ...adopt('/etc/other')],
          /\/etc\/other cannot be adopted: it makes no rule or route/,
        ],
        [
          'where OpenVPN names a file without its directory',
          `mkdir -p /etc/openvpn/server; printf 'cd /etc/openvpn\\nup "./up"\\n' >/etc/openvpn/server/vpn.conf`,
          [...DECLARED, ...adopt(HOOK)],
          /\/etc\/openvpn\/up cannot be adopted: \/etc\/openvpn\/server\/vpn\.conf \(line 2\) runs it/,
        ],
        [
          'where a hook is in our place, and nothing names it',
          '',
          [...WITH_HOOK, ...adopt()],
          /\/etc\/openvpn\/up is already the up hook of someone else\. .*take it over: name it in adopt\.files of the LinuxHost/,
        ],
      ];
      test.each(cases)('%s', (_, prepare, data, message) => {
        if (prepare) machine.must(prepare);
        const before = machine.pictureOfChanges();
        const done = machine.apply(data);
        expect([done.code, done.out]).toEqual([69, expect.stringMatching(new RegExp(message.source, 'm'))]);
        expect(machine.pictureOfChanges()).toBe(before);
      });
    });

    test('is named in a note while nothing says to take it over', () => {
      machine.must('ip route flush table 200; ip -6 route flush table 200');
      const done = machine.apply(DECLARED);
      succeeds(done);
      expect(done.out).toContain(
        'note: IPv4 rule 32764: from 10.10.10.128/25 lookup 200, and 2 more like it, were made by hand, beside what is declared. Take over what was made by hand: set adopt of the LinuxHost to {} (docs/adopting.md)',
      );
      expect(machine.rules()).toHaveLength(5);
    });

    test('what would make it again at the next boot is named, with its line', () => {
      machine.must(`printf '#!/bin/sh\\n# ip rule add from 10.0.0.0/8 lookup vpn\\nip rule add from 10.10.10.0/24 lookup vpn\\n' >/etc/rc.local
        mkdir -p /etc/netplan; printf 'network:\\n  routing-policy:\\n  - table: 200\\n  - table: 2000\\n' >/etc/netplan/x.yaml`);
      const done = machine.apply([...DECLARED, ...adopt(...FILES.slice(1))]);
      succeeds(done);
      expect(done.out.split('\n').filter((line) => line.includes('note: '))).toEqual(
        [
          'line 3 of /etc/netplan/x.yaml makes it again at the next boot',
          `line 2 of ${HOOK} `,
          'line 3 of /etc/rc.local makes it again at the next boot ("ip rule add from 10.10.10.0/24 lookup vpn"): take the line out',
          `line 1 of ${FILES[0]} `,
        ].map((text) => expect.stringContaining(text) as string),
      );
    });

    test('a FIFO beside the configuration holds nothing up, and what only looks for a file is no user of it', () => {
      machine.must(
        `mkdir -p /etc/systemd/system; echo 'ExecStart=/usr/bin/wg-quick up %i' >/etc/systemd/system/wg-quick@.service
        echo 'ExecStartPre=/bin/sh -c "[ ! -e ${HOOK} ] || echo up ${HOOK}"' >/etc/systemd/system/openvpn@.service
        mkfifo /etc/openvpn/status; ln -s /etc/openvpn /etc/openvpn/loop`,
      );
      succeeds(machine.apply([...DECLARED, ...adopt(...FILES, HOOK)]));
      expect(machine.sh(`test -e ${HOOK}`).code).toBe(1);
    });

    test('a file that is not there is named once', () => {
      machine.must(`rm ${FILES[0]}`);
      const done = machine.apply([...DECLARED, ...adopt(...FILES)]);
      succeeds(done);
      expect(done.out).toContain(`note: ${FILES[0]}, which is to be adopted, does not exist`);
      expect(machine.apply([...DECLARED, ...adopt(FILES[1])], { generation: 'g2' }).out).not.toContain(
        'does not exist',
      );
    });

    test('what is made again by hand is taken over by the next change, and by no watch', () => {
      succeeds(machine.apply([...DECLARED, ...adopt()]));
      machine.must('ip rule add pref 32765 from 10.10.10.0/25 lookup vpn');
      succeeds(machine.agent('assert'));
      expect(machine.rules()).toHaveLength(4);
      succeeds(machine.apply([...DECLARED, ...adopt()], { generation: 'g2' }));
      expect(machine.rules()).toEqual(RULES);
    });
  });
});

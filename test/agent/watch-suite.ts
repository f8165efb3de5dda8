import { spawnSync } from 'child_process';
import { Machine, describeOnMachine, lines } from './machine';
import type { Flavour } from './machine';

/** As the library declares it, and a route in the main table besides. */
const WATCHED = [
  'table 200 vpn',
  'rule 4 10009 to 10.10.10.0/24 lookup 254',
  'rule 4 10010 from 10.10.10.0/24 lookup 200',
  'rule 6 10010 from fd00:4242:4242:4242::/64 lookup 200',
  'route 4 200 default 0 via 192.168.1.1 dev eth1',
  'route 4 200 default 4278198272 type unreachable',
  'route 6 200 default 1024 via fd00:1010::1 dev eth1',
  'route 6 200 default 4278198272 type unreachable',
];
const IN_MAIN = 'route 4 254 10.99.0.0/16 0 via 192.168.178.9 dev eth0';

const RULE = 'ip rule del pref 10010';
const RULE_IS_BACK = 'ip -N rule show | grep -q "^10010:.*proto 77"';
const BOTH_ROUTES =
  'ip -4 route show table 200 | grep -q "via 192.168.1.1" && ip -6 route show table 200 | grep -q via';

/** What a watching machine is asked. */
class Watch {
  public constructor(private readonly machine: Machine) {}

  public start(owner = this.machine.owner): void {
    // Notes each time that the lock is taken: that is a pass, or somebody else's run.
    this.machine.write(
      '/mnt/bin/mkdir',
      '#!/bin/sh\n[ "$*" != /run/source-routing.lock ] || echo >>/mnt/passes\nexec /bin/mkdir "$@"\n',
    );
    this.machine.must(`: >/mnt/passes; : >/mnt/journal
      ${this.machine.flavour.shell} /var/lib/source-routing/${owner}/agent watch --owner ${owner} >>/mnt/journal 2>&1 </dev/null &
      echo $! >/mnt/watch.pid`);
    this.until('grep -q watching /mnt/journal');
    // The first pass, and the second one a second later.
    this.settle(1300);
  }

  /** Milliseconds from the action until the condition holds. */
  public until(condition: string, action = ':', seconds = 5): number {
    return Number(
      this.machine.must(`begin=$(date +%s%N)
        ${action}
        until { ${condition}; } >/dev/null 2>&1; do
          [ $(date +%s%N) -lt $((begin + ${seconds}000000000)) ] || { cat /mnt/journal; exit 1; }
          sleep 0.01
        done
        echo $((($(date +%s%N) - begin) / 1000000))`),
    );
  }

  public settle(milliseconds = 700): void {
    this.machine.must(`sleep ${milliseconds / 1000}`);
  }

  /** Passes since the last call. */
  public passes(): number {
    return lines(this.machine.must('sed "s/^/x/" /mnt/passes; : >/mnt/passes')).length;
  }

  public journal(): string[] {
    return lines(this.machine.must('cat /mnt/journal')).map((line) => line.replace('source-routing: ', ''));
  }

  /** All processes of the watch, itself included. */
  public processes(): string[] {
    const { stdout } = spawnSync('ps', ['-e', '-o', 'pid=,ppid='], { encoding: 'utf8' });
    const all = new Set([this.machine.must('cat /mnt/watch.pid').trim()]);
    for (const line of lines(stdout)) {
      const [pid, parent] = line.trim().split(/ +/);
      if (all.has(parent)) {
        all.add(pid);
      }
    }
    return [...all];
  }

  public stop(signal = 'TERM'): void {
    this.machine.sh(`kill -${signal} $(cat /mnt/watch.pid)`);
  }
}

/** What keeps the machine as it was declared. One file per flavour calls it, so that they run side by side. */
export function watchSuite(flavour: Flavour): void {
  describeOnMachine(`watch under ${flavour.name}`, () => {
    let machine: Machine;
    let watch: Watch;
    beforeEach(() => {
      machine = new Machine(flavour);
      watch = new Watch(machine);
      succeeds(machine.apply(WATCHED));
    });
    afterEach(() => {
      watch.stop();
      machine.close();
    });

    const agrees = (): void => {
      expect(machine.verify().last).toMatch(/kernel and files agree/);
    };

    test('puts back at once whatever is taken away, and says what', () => {
      watch.start();
      expect(watch.journal()).toEqual(['watching the rules and routes of vpn1']);
      const damages: Array<[string, string, string[]]> = [
        [RULE, RULE_IS_BACK, ['put back: IPv4 rule 10010: from 10.10.10.0/24 lookup 200']],
        [
          'ip rule flush proto 77; ip -6 rule flush proto 77',
          `${RULE_IS_BACK} && ip -6 rule | grep -q 10010`,
          [
            'put back: IPv4 rule 10009: to 10.10.10.0/24 lookup 254',
            'put back: IPv4 rule 10010: from 10.10.10.0/24 lookup 200',
            'put back: IPv6 rule 10010: from fd00:4242:4242:4242::/64 lookup 200',
          ],
        ],
        [
          'ip route del default via 192.168.1.1 table 200',
          BOTH_ROUTES,
          ['put back: IPv4 route in table 200: default via 192.168.1.1 dev eth1'],
        ],
        [
          'ip -6 route del unreachable default metric 4278198272 table 200',
          'ip -6 route show table 200 | grep -q unreachable',
          ['put back: IPv6 route in table 200: default metric 4278198272 type unreachable'],
        ],
        [
          'ip route replace default via 192.168.1.7 table 200',
          BOTH_ROUTES,
          [
            'took away: IPv4 route in table 200: default via 192.168.1.7 dev eth1 proto 3',
            'put back: IPv4 route in table 200: default via 192.168.1.1 dev eth1',
          ],
        ],
        [
          'ip route flush table 200',
          BOTH_ROUTES,
          [
            'put back: IPv4 route in table 200: default via 192.168.1.1 dev eth1',
            'put back: IPv4 route in table 200: default metric 4278198272 type unreachable',
          ],
        ],
      ];
      for (const [action, isBack, said] of damages) {
        machine.must(': >/mnt/journal');
        expect(watch.until(isBack, action)).toBeLessThan(1000);
        watch.settle(500);
        agrees();
        expect(watch.journal().sort()).toEqual(said.sort());
      }
    });

    test('routes are there again as soon as their link and its addresses are', () => {
      watch.start();
      // Without its addresses IPv6 starts from nothing: they come a moment after the link.
      const up = 'ip link set eth1 up; sleep 0.1; ip -6 addr add fd00:1010::100/64 dev eth1';
      for (let i = 0; i < 3; i++) {
        machine.must('ip link set eth1 down');
        watch.settle(300);
        expect(watch.until(BOTH_ROUTES, up)).toBeLessThan(1000);
      }
      // The device itself goes, and comes back by and by.
      machine.must('ip link del eth1');
      watch.settle(100);
      machine.must('ip link add eth1 type bridge; sleep 0.1; ip link set eth1 up; sleep 0.1');
      expect(
        watch.until(
          BOTH_ROUTES,
          'ip addr add 192.168.1.100/24 dev eth1; sleep 0.1; ip -6 addr add fd00:1010::100/64 dev eth1',
        ),
      ).toBeLessThan(1000);
      agrees();
    });

    test('follows a gateway that DHCP or router advertisements give, and keeps the last one', () => {
      const given = WATCHED.map((line) => line.replace('192.168.1.1', 'dhcp4').replace('fd00:1010::1', 'ra'));
      const lines46 = [...given, 'follow 4 200 default 0 eth1', 'follow 6 200 default 1024 eth1'];
      const nobody = machine.apply(lines46);
      expect(nobody).toMatchObject({
        code: 69,
        last: 'source-routing: refused, nothing was changed: nobody gives an IPv4 gateway for eth1 here: no default route of the main table (ip -4 route show default), and no DHCP lease with one',
      });
      machine.must(`ip route add default via 192.168.1.1 dev eth1 proto dhcp metric 2000
        ip -6 route add default via fe80::1 dev eth1 proto ra metric 2000`);
      expect(machine.apply(lines46).code).toBe(0);
      const routes = (): string => machine.must('ip route show table 200; ip -6 route show table 200');
      expect(routes()).toMatch(/default via 192.168.1.1 dev eth1 .*\n[^]*default via fe80::1 dev eth1 /);
      watch.start();
      const now = 'ip route show table 200 | grep -q "via 192.168.1.77 "';
      expect(
        watch.until(now, 'ip route replace default via 192.168.1.77 dev eth1 proto dhcp metric 2000'),
      ).toBeLessThan(1500);
      // That nobody gives one of IPv4 for a while is nothing to the other.
      machine.must('ip route del default dev eth1 metric 2000');
      watch.until(
        'ip -6 route show table 200 | grep -q "via fe80::77 "',
        `ip -6 route del default via fe80::1 dev eth1 metric 2000
        ip -6 route add default metric 2000 proto ra nexthop via fe80::77 dev eth1 nexthop via fe80::78 dev eth1`,
      );
      machine.must('ip -6 route del default metric 2000');
      watch.settle();
      expect(routes()).toMatch(/default via 192.168.1.77 dev eth1 .*\n[^]*default via fe80::77 dev eth1 /);
      expect(watch.journal().filter((line) => line.startsWith('the gateway'))).toEqual([
        'the gateway is now 192.168.1.77 on eth1',
        'the gateway is now fe80::77 on eth1',
      ]);
      expect(machine.verify().code).toBe(0);
      // A change of something else knows the last ones.
      const more = 'rule 4 10011 from 10.10.11.0/24 lookup 200';
      expect(machine.apply([...lines46, more], { generation: 'g2' }).code).toBe(0);
      expect(routes()).toMatch(/default via 192.168.1.77 dev eth1 .*\n[^]*default via fe80::77 dev eth1 /);
      expect(machine.agent('remove').code).toBe(0);
      expect(routes()).toBe('');
    });

    test('restores what a rollback could not, as its link was down', () => {
      watch.start();
      const more = 'rule 4 10011 from 10.10.11.0/24 lookup 200';
      succeeds(machine.apply([...WATCHED, more], { generation: 'g2', options: '--confirm-timeout 60' }));
      machine.must('ip link set eth1 down');
      expect(machine.agent('rollback')).toMatchObject({
        code: 71,
        last: expect.stringMatching(/was undone, but not completely \(kernel: .* route in table 200: default/),
      });
      watch.until(BOTH_ROUTES, 'ip link set eth1 up; sleep 0.1; ip -6 addr add fd00:1010::100/64 dev eth1');
      expect(machine.must('ip rule show')).not.toContain('10011');
      expect(machine.agent('rollback').code).toBe(0);
      agrees();
    });

    test('says so, once, if something stays away; and is content when it comes', () => {
      watch.start();
      machine.must('ip link del eth1');
      watch.until('grep -q "cannot be put back" /mnt/journal', ':', 8);
      machine.must('ip link add eth7 type bridge; ip link del eth7');
      watch.settle(6000);
      expect(watch.journal().slice(1)).toEqual([
        'cannot be put back now: 2, the first: IPv6 route in table 200: default metric 1024 via fd00:1010::1 dev eth1',
      ]);
      machine.must('ip link add eth1 type bridge; ip link set eth1 up');
      watch.settle(7000);
      watch.passes();
      watch.settle(1000);
      expect(watch.passes()).toBe(0);
      const addresses = 'ip addr add 192.168.1.100/24 dev eth1; ip -6 addr add fd00:1010::100/64 dev eth1';
      expect(watch.until(BOTH_ROUTES, addresses)).toBeLessThan(1500);
    });

    test('rests while nothing of ours is touched', () => {
      succeeds(machine.apply([...WATCHED, IN_MAIN], { generation: 'g2' }));
      watch.start();
      const before = watch.processes();
      // Two monitors with a reader each.
      expect(before).toHaveLength(5);
      watch.passes();
      machine.must(`ip rule add pref 5 lookup 77 proto 77; ip route add 10.8.0.0/16 dev eth0 table 77
        ip route add 10.98.0.0/16 dev eth0; ip route del 10.98.0.0/16; ip route flush table 77
        ip -6 route add fd00:8::/64 dev eth0; ip -6 route del fd00:8::/64`);
      watch.settle(2000);
      expect(watch.passes()).toBe(0);
      // The interface of a probe comes and goes. The probe itself takes the lock once.
      const probe = machine.agent('probe --from 10.10.10.77 --to 198.51.100.7 --in eth0');
      expect(probe.out).toContain('packets 10.10.10.77 -> 198.51.100.7 from eth0 (');
      watch.settle(1000);
      expect(watch.passes()).toBe(1);
      expect(watch.processes()).toEqual(before);
      expect(watch.journal()).toHaveLength(1);
      // But it does look after its own route in the main table.
      watch.until('ip route | grep -q 10.99', 'ip route del 10.99.0.0/16');
    });

    test('a flood of routes of others causes no pass, and does no harm', () => {
      watch.start();
      watch.passes();
      const flood = (verb: string): string =>
        `mawk 'BEGIN { for (i = 0; i < 10000; i++) printf "route ${verb} 10.%d.%d.0/24 via 192.168.178.1 proto 186\\n", 64 + i / 256, i % 256 }' | ip -batch -`;
      machine.must(`${flood('add')}`);
      watch.settle(LOST);
      const passes = watch.passes();
      // Where events were lost, it looks again, but not for each of them.
      expect(passes).toBeLessThanOrEqual(2);
      watch.until(RULE_IS_BACK, `${flood('del')}; ${RULE}`, 20);
    });

    test('many events cause few passes', () => {
      const data = [...WATCHED];
      for (let i = 0; i < 1000; i++) {
        data.push(`rule 4 ${11000 + i} from 10.1.${i >> 8}.${i & 255} lookup 200`);
      }
      succeeds(machine.apply(data, { generation: 'g2' }));
      watch.start();
      watch.passes();
      watch.until(
        '[ "$(ip rule | grep -c "from 10[.]1[.]")" = 1000 ]',
        'ip rule | sed -n "s/^\\(11[0-9]*\\):.*/rule del pref \\1/p" | ip -batch -',
      );
      watch.settle(LOST);
      agrees();
      expect(watch.passes()).toBeLessThan(10);
      // The names of the first of them are enough.
      const said = watch.journal().slice(1);
      expect(said.filter((line) => line.startsWith('put back')).length).toBeLessThanOrEqual(60);
      expect(said.join()).toMatch(/\.\.\. and \d+ more/);
      // One by one, in a process each.
      const milliseconds = watch.until(
        '[ "$(ip rule | grep -c "from 10[.]1[.]")" = 1000 ]',
        'for i in $(seq 11000 11299); do ip rule del pref $i; done',
        20,
      );
      watch.settle();
      agrees();
      expect(watch.passes()).toBeLessThan(10 + milliseconds / 250);
    });

    test('its own owner may change and remove everything, and it looks after what is new', () => {
      watch.start();
      const changed = [
        'table 200 vpn',
        'table 201 -',
        'rule 4 10010 from 10.10.10.0/24 lookup 201',
        'route 4 201 default 0 via 192.168.1.1 dev eth1',
        IN_MAIN,
      ];
      const seen = machine.monitored(() => {
        succeeds(machine.apply(changed, { generation: 'g2' }));
        watch.settle(1000);
      });
      // Each change is there once: nobody has undone it.
      expect(new Set(seen).size).toBe(seen.length);
      agrees();
      expect(watch.journal()).toHaveLength(1);
      watch.until('ip route show table 201 | grep -q default', 'ip route flush table 201');
      watch.until('ip route | grep -q 10.99', 'ip route del 10.99.0.0/16');
      const away = machine.monitored(() => {
        succeeds(machine.agent('remove'));
        watch.settle(1500);
      });
      expect(away.filter((line) => !line.startsWith('Deleted'))).toEqual([]);
      expect(machine.rules()).toEqual([]);
      watch.stop();
      watch.until('! kill -0 $(cat /mnt/watch.pid)');
      expect(machine.sh('ls /run /var/lib').out).not.toContain('source-routing');
    });

    test('waits for the lock as long as it takes, without a word', () => {
      watch.start();
      machine.must(`mkdir /run/source-routing.lock; read -r s </proc/1/stat; set -- \${s##*) }
        echo "1 \${20} other" >/run/source-routing.lock/holder; ${RULE}; sleep 4`);
      expect(machine.rules().join()).not.toContain('10010');
      expect(watch.until(RULE_IS_BACK, 'rm -r /run/source-routing.lock')).toBeLessThan(2000);
      watch.until('[ $(wc -l </mnt/journal) = 2 ]');
    });

    test('says once of a rule that somebody puts in front of ours', () => {
      const NEW = 'in front of ours since the apply: IPv4 rule 100: from all fwmark 0x1/0xff lookup 300';
      // What was there before the apply was there when the kernel was asked.
      machine.must('ip rule add pref 99 from 10.99.0.0/24 lookup 301');
      succeeds(machine.apply(WATCHED, { generation: 'g2' }));
      watch.start();
      machine.must('ip rule add pref 100 fwmark 1/0xff lookup 300; ip rule add pref 20000 lookup 300');
      watch.until('grep -q "in front" /mnt/journal');
      machine.must('ip rule del pref 100; sleep 0.5; ip rule add pref 100 fwmark 1/0xff lookup 300');
      watch.settle();
      expect(watch.journal().slice(1)).toEqual([`${NEW}. It may take packets of clients: source-routing verify vpn1`]);
      const status = lines(machine.agent('status').out).filter((line) => line.includes('in front'));
      expect(status).toEqual([`source-routing: ${NEW}`]);
      // It is no difference, as long as packets go as they are expected to.
      agrees();
    });

    test('says once of a default route that somebody puts into a table of ours', () => {
      const NEW = 'in front of ours since the apply: IPv6 route in table 200: default metric 32';
      // The second is behind the route that rejects, the third leads to one network.
      machine.must(
        'ip route add default dev eth0 metric 4278198300 table 200; ip route add 10.9.0.0/16 dev eth0 table 200',
      );
      succeeds(machine.apply(WATCHED, { generation: 'g2' }));
      watch.start();
      machine.must('ip -6 route add default via fe80::1 dev eth0 metric 32 proto 12 table 200');
      watch.until('grep -q "in front" /mnt/journal');
      machine.must('ip -6 route del default metric 32 table 200; sleep 0.5');
      machine.must('ip -6 route add default via fe80::1 dev eth0 metric 32 proto 12 table 200');
      watch.settle();
      expect(watch.journal().slice(1)).toEqual([
        `${NEW} via fe80::1 dev eth0 proto 12. It may take packets of clients: source-routing verify vpn1`,
      ]);
      expect(machine.agent('status').out).toContain(`source-routing: ${NEW}`);
      succeeds(machine.agent('remove'));
      expect(lines(machine.must('ip -6 route show table 200; ip route show table 200'))).toHaveLength(3);
    });

    test('does not fight for ever either with somebody who is quicker than its own look', () => {
      watch.start();
      machine.write(
        '/mnt/bin/ip',
        `#!/bin/sh
for file; do :; done
/usr/sbin/ip "$@"
code=$?
case $file in */plan.add4) ${RULE} 2>/dev/null ;; esac
exit $code
`,
      );
      watch.until('grep -q "again and again" /mnt/journal', RULE, 30);
      watch.passes();
      watch.settle(4_000);
      expect(watch.passes()).toBeLessThanOrEqual(7);
      watch.until(RULE_IS_BACK, 'rm /mnt/bin/ip', 20);
    });

    test('does not fight for ever, and says with what', () => {
      watch.start();
      // Like a daemon that knows better: takes the rule away whenever it is there.
      machine.must(`(exec >/dev/null 2>&1; while [ ! -e /mnt/enough ]; do ${RULE}; sleep 0.02; done) &`);
      watch.until('grep -q "again and again" /mnt/journal', ':', 30);
      watch.passes();
      watch.settle(10_000);
      // After 1, 2, 4 seconds, and each time one that only protects.
      expect(watch.passes()).toBeLessThanOrEqual(10);
      const said = watch.journal().filter((line) => line.includes('again and again'));
      expect(said).toEqual([expect.stringContaining('IPv4 rule 10010: from 10.10.10.0/24 lookup 200')]);
      // What comes and goes with its link is not put off meanwhile.
      machine.must('ip link set eth1 down');
      watch.settle(300);
      const up = 'ip link set eth1 up; ip -6 addr add fd00:1010::100/64 dev eth1';
      expect(watch.until(BOTH_ROUTES, up)).toBeLessThan(1000);
      machine.must('touch /mnt/enough');
      watch.until(RULE_IS_BACK, ':', 20);
    });

    describe('with guards and a kill switch', () => {
      const TABLE = 'inet source_routing_vpn1';
      const FLUSHED = 'nft flush ruleset';
      const LOADED = `nft list table ${TABLE} | grep -q drop`;
      const GUARDED =
        'ip -N -d rule show | grep -q "^20010:.*proto 2" && ip -N -d -6 rule show | grep -q "^20010:.*proto 2"';
      const SHUT = [
        'guard 4 20010 from 10.10.10.0/24 unreachable',
        'guard 6 20010 from fd00:4242:4242:4242::/64 unreachable',
        'file 0644 /etc/source-routing/vpn1.nft 8 nftables',
        `|table ${TABLE}`,
        `|delete table ${TABLE}`,
        `|table ${TABLE} {`,
        '|  chain forward {',
        '|    type filter hook forward priority -10',
        '|    ip saddr 10.10.10.0/24 oifname != "eth1" drop',
        '|  }',
        '|}',
      ];
      const says = (text: string): number => watch.journal().filter((line) => line.includes(text)).length;
      beforeEach(() => {
        succeeds(machine.apply([...WATCHED, ...SHUT], { generation: 'g2' }));
        machine.must(LOADED);
        watch.start();
        watch.journal();
      });

      test('puts the kill switch back at once when somebody flushes the ruleset', () => {
        const times = [1, 2, 3].map(() => {
          watch.settle();
          return watch.until(LOADED, FLUSHED);
        });
        times.forEach((time) => expect(time).toBeLessThan(1000));
        // It says so when all is done.
        watch.until(`[ "$(grep -c 'put back: the kill switch' /mnt/journal)" -ge 3 ]`);
        expect(says('put back: the kill switch')).toBe(3);
        machine.must(`nft add rule ${TABLE} forward accept`);
        watch.until(`! nft list table ${TABLE} | grep -q 'accept$'`);
        agrees();
        watch.settle(LOST);
        watch.passes();
        // What others do there is no reason to look.
        machine.must('for i in 1 2 3 4 5; do nft add table inet other; nft delete table inet other; sleep 0.1; done');
        watch.settle();
        expect(watch.passes()).toBe(0);
      });

      test('protects while it steps back from a fight', () => {
        machine.must(`(exec >/dev/null 2>&1; while [ ! -e /mnt/enough ]; do ${RULE}; sleep 0.02; done) &`);
        watch.until('grep -q "again and again" /mnt/journal', ':', 30);
        // It would now take seconds until the rules come back.
        watch.settle(2000);
        for (let i = 0; i < 5; i++) {
          expect(watch.until(LOADED, FLUSHED)).toBeLessThan(1000);
          const gone = 'ip rule del pref 20010; ip -6 rule del pref 20010; ip route flush table 200';
          expect(watch.until(`{ ${GUARDED}; } && ip route show table 200 | grep -q unreachable`, gone)).toBeLessThan(
            1000,
          );
        }
        machine.must('touch /mnt/enough');
        watch.until(RULE_IS_BACK, ':', 40);
        watch.until(BOTH_ROUTES);
        agrees();
      });

      test('ends with an error when nft monitor is gone', () => {
        machine.must(
          'pkill -f -x "nft monitor" --ns $$ --nslist net || kill $(pgrep -f -x "nft monitor" --ns $$ --nslist net)',
        );
        watch.until('! kill -0 $(cat /mnt/watch.pid)');
        expect(watch.journal().join('\n')).toMatch(/^FAILED: the watch was interrupted \(nft monitor has ended\)/m);
      });
    });

    describe('with accept rules in a firewall', () => {
      const SEEN = (list: string): string => `[ "$(${list} | grep -c 'source-routing vpn1')" = 2 ]`;
      const says = (): number =>
        watch.journal().filter((line) => line.endsWith('the accept rules in the firewall')).length;

      test('puts them back at once when the firewall is loaded anew, and looks at no other chain', () => {
        const LISTED = SEEN('nft list chain inet filter forward');
        machine.write(
          '/mnt/nftables.conf',
          'flush ruleset\ntable inet filter {\nchain forward { type filter hook forward priority 0; policy drop;\n}\n}\n',
        );
        machine.must('nft -f /mnt/nftables.conf');
        succeeds(
          machine.apply(
            [
              ...WATCHED,
              'accept inet filter forward iifname { "tun0" } oifname { "eth1" } ip saddr 10.10.10.0/24 accept',
              'accept inet filter forward iifname { "eth1" } oifname { "tun0" } ip daddr 10.10.10.0/24 accept',
            ],
            { generation: 'g2' },
          ),
        );
        watch.start();
        const times = [1, 2, 3].map(() => {
          watch.settle();
          return watch.until(LISTED, 'nft -f /mnt/nftables.conf');
        });
        times.forEach((time) => expect(time).toBeLessThan(1000));
        watch.until(`[ "$(grep -c 'put back: the accept rules in the firewall' /mnt/journal)" -ge 3 ]`);
        // Also where the firewall was away for a while.
        machine.must('nft flush ruleset');
        watch.settle(1000);
        expect(watch.until(LISTED, 'nft -f /mnt/nftables.conf')).toBeLessThan(1000);
        watch.until(`[ "$(grep -c 'put back: the accept rules in the firewall' /mnt/journal)" -ge 4 ]`);
        expect(says()).toBe(4);
        watch.settle(LOST);
        watch.passes();
        machine.must(`nft add chain inet filter other
          for i in 1 2 3 4 5; do nft add rule inet filter other accept; nft flush chain inet filter other; sleep 0.1; done`);
        watch.settle();
        expect(watch.passes()).toBe(0);
        agrees();
      });

      test.each(['nft', 'legacy'])('puts them back at once in iptables-%s, which nobody may hear of', (variant) => {
        const LISTED = SEEN(`iptables-${variant} -S FORWARD`);
        for (const command of ['iptables', 'ip6tables']) {
          machine.must(`ln -s /usr/sbin/${command}-${variant} /mnt/bin/${command}
            ln -s /usr/sbin/${command}-${variant}-restore /mnt/bin/${command}-restore`);
        }
        machine.must(`iptables-${variant} -P FORWARD DROP`);
        succeeds(
          machine.apply(
            [
              ...WATCHED,
              'accept iptables filter FORWARD -i tun0 -o eth1 -s 10.10.10.0/24 -j ACCEPT',
              'accept iptables filter FORWARD -i eth1 -o tun0 -d 10.10.10.0/24 -j ACCEPT',
            ],
            { generation: 'g2' },
          ),
        );
        watch.start();
        for (let i = 0; i < 3; i++) {
          expect(watch.until(LISTED, `iptables-${variant} -F FORWARD`)).toBeLessThan(1500);
          watch.settle(1000);
        }
        expect(says()).toBe(3);
        watch.passes();
        watch.settle(2000);
        expect(watch.passes()).toBe(0);
        agrees();
      });
    });

    test('a link that comes and goes is no fight', () => {
      watch.start();
      for (let i = 0; i < 30; i++) {
        machine.must('ip link set eth1 down; sleep 0.05');
        watch.until(BOTH_ROUTES, 'ip link set eth1 up; ip -6 addr add fd00:1010::100/64 dev eth1');
      }
      expect(watch.journal().join()).not.toContain('again and again');
      expect(watch.until(RULE_IS_BACK, RULE)).toBeLessThan(1000);
    });

    test.each(['monitor', 'reader'])('ends with an error when its %s is gone', (which) => {
      watch.start();
      const [, monitor, reader] = watch.processes();
      machine.must(`kill -9 ${which === 'monitor' ? monitor : reader}`);
      watch.until('! kill -0 $(cat /mnt/watch.pid)');
      expect(watch.journal().join('\n')).toMatch(/^FAILED: the watch was interrupted/m);
      machine.must(`! kill -0 ${monitor} && ! kill -0 ${reader}`);
      expect(machine.sh('ls /run').out).not.toContain('source-routing');
    });

    test.each([
      ['at rest', ':'],
      ['while it waits to try again', 'ip link del eth1; sleep 1.2'],
      [
        'while it waits for the lock',
        `mkdir /run/source-routing.lock; echo "1 $(mawk '{ print $22 }' /proc/1/stat) x" >/run/source-routing.lock/holder; ${RULE}; sleep 0.3`,
      ],
    ])('ends in peace when it is stopped %s, and leaves nothing', (_when, before) => {
      const run = `${flavour.shell} /var/lib/source-routing/vpn1/agent watch --owner vpn1`;
      const done = machine.sh(`mkdir /run/unit; export RUNTIME_DIRECTORY=/run/unit
        ${run} >/mnt/journal 2>&1 </dev/null & echo $! >/mnt/watch.pid; watch=$!
        sleep 1.5; ls /run/unit/source-routing-watch.vpn1.$watch; ${before}
        begin=$(date +%s%N); kill -TERM $watch; wait $watch; code=$?
        echo "$code after $((($(date +%s%N) - begin) / 1000000)) ms"; rm -rf /run/source-routing.lock`);
      expect(done.out).toContain('events');
      expect(done.last).toMatch(/^0 after \d{1,4} ms$/);
      expect(Number(done.last.split(' ')[2])).toBeLessThan(1500);
      expect(watch.journal().at(-1)).toBe('stopped by signal TERM');
      expect(machine.sh('ls /run/unit').out).toBe('');
      const left = machine.must(`here=$(readlink /proc/self/ns/net)
        for process in /proc/[0-9]*; do
          [ "$(readlink $process/ns/net)" != "$here" ] || tr '\\0' ' ' <$process/cmdline
        done 2>/dev/null; true`);
      expect(left).not.toMatch(/monitor label|agent watch/);
    });

    test('runs the up hook again when the routes of a tunnel are gone from the table', () => {
      const hook = [
        'file 0755 /etc/openvpn/up 3',
        '|#!/bin/sh',
        '|[ ! -e /mnt/broken ] || { echo >>/mnt/broken; echo broken >&2; exit 0; }',
        '|ip route replace 10.10.10.0/24 dev "$1" table 200 proto 78',
        'hook openvpn /etc/openvpn/up 200',
      ];
      machine.must('ip link add tun0 type bridge; ip link set tun0 up; ip addr add 10.10.10.1/24 dev tun0');
      succeeds(machine.apply([...WATCHED, ...hook], { generation: 'g2' }));
      const isThere = 'ip route show table 200 | grep -q tun0';
      machine.must(isThere);
      watch.start();
      expect(watch.until(isThere, 'ip route flush table 200')).toBeLessThan(1000);
      expect(watch.journal()).toContain('ran /etc/openvpn/up for tun0');
      // A tunnel that comes up and whose daemon does not call it.
      machine.must('ip link set tun0 down');
      watch.settle(300);
      expect(watch.until(isThere, 'ip link set tun0 up')).toBeLessThan(1500);
      agrees();
      // One that fails is not called for ever.
      machine.must(': >/mnt/broken; ip route flush table 200');
      watch.settle(300);
      machine.must('for i in 1 2 3; do ip rule del pref 10010; sleep 0.3; done');
      watch.settle();
      expect(machine.must('wc -l </mnt/broken')).toBe('1\n');
    });
  });
}

/** Until a pass that looks for lost events is over, too. */
const LOST = 3500;

function succeeds(outcome: { code: number; out: string }): void {
  if (outcome.code !== 0) {
    throw new Error(`exit ${outcome.code}\n${outcome.out}`);
  }
}

import { BASH, BUSYBOX, DASH, Machine, describeOnMachine } from './machine';
import type { Outcome } from './machine';

const STATE = '/var/lib/source-routing/vpn1';
const LOCK = '/run/source-routing.lock';
const TABLE = [
  'table 200 vpn',
  'rule 4 10010 from 10.10.10.0/24 lookup 200',
  'guard 4 20010 from 10.10.10.0/24 unreachable',
  'route 4 200 default 0 via 192.168.1.1 dev eth1',
];
const MORE = 'rule 4 10011 from 10.20.0.0/16 lookup 200';
const CONNECTION = '--ssh "192.0.2.1 40000 192.168.178.2 22"';

/** What a machine does whose disk, memory or processes do not work as they should. */
describe.each([DASH, BASH, BUSYBOX])('with $name', (flavour) => {
  describeOnMachine('a broken machine', () => {
    let machine: Machine;
    beforeEach(() => {
      machine = new Machine(flavour);
      succeeds(machine.apply(TABLE));
    });
    afterEach(() => machine.close());

    const succeeds = (outcome: Outcome): void => expect(outcome).toMatchObject({ code: 0 });
    const onTrial = (seconds = 60): void =>
      succeeds(
        machine.apply([...TABLE, MORE], {
          generation: 'g2',
          options: `--confirm-timeout ${seconds} ${CONNECTION}`,
        }),
      );
    const trialAgent = (command: string): Outcome =>
      machine.sh(`timeout -s KILL 20 ${flavour.shell} ${STATE}/trial/agent ${command} --owner vpn1`);
    const rules = (): string[] => machine.rules().map((rule) => rule.replace(/:.*/, ''));

    describe('whose disk has become read-only while a change is on trial', () => {
      beforeEach(() => {
        onTrial();
        machine.must('mount -o remount,ro /var/lib');
      });

      test('undoes it all the same, and keeps to that', () => {
        const done = trialAgent('rollback --generation g2');
        expect(done.out).toContain(`note: cannot write ${STATE}/trial (disk full, or read-only?)`);
        expect(done.out).toContain('ROLLED BACK: generation g2 of vpn1 was undone');
        expect(
          done.out
            .trimEnd()
            .split('\n')
            .filter((line) => !line.startsWith('source-routing: ')),
        ).toEqual([]);
        succeeds(done);
        expect(rules()).toEqual(['10010', '20010']);
        machine.must('ip rule del pref 10010');
        succeeds(machine.agent('assert'));
        expect(rules()).toEqual(['10010', '20010']);
        expect(machine.agent('status').out).toContain('generation g1 in force');
      });

      test('does not take a confirmation for a wish to undo it, and undoes it when the time is over', () => {
        const done = trialAgent('confirm --generation g2');
        expect(done.last).toContain('FAILED, it is not confirmed, and will be undone: cannot write');
        expect(done.code).toBe(70);
        expect(rules()).toEqual(['10010', '10011', '20010']);
        succeeds(trialAgent('rollback --generation g2'));
        expect(rules()).toEqual(['10010', '20010']);
      });

      test('confirms nothing of which a part has been undone', () => {
        machine.write('/mnt/bin/ip', '#!/bin/sh\ncase "$*" in *plan.drop4) exit 1 ;; esac\nexec /usr/sbin/ip "$@"\n');
        expect(trialAgent('rollback --generation g2')).toMatchObject({ code: 71 });
        machine.must('rm /mnt/bin/ip; mount -o remount,rw /var/lib');
        // It says how the rollback ended, and completes it.
        const done = trialAgent('confirm --generation g2');
        expect(done.last).toContain('FAILED, generation g2 of vpn1 was undone, but not completely');
        expect(done.code).toBe(71);
        expect(rules()).toEqual(['10010', '20010']);
      });

      test('has runs that end, and works again when the disk does', () => {
        succeeds(trialAgent('rollback --generation g2'));
        const done = machine.sh(`timeout -s KILL 20 ${flavour.shell} ${STATE}/agent remove --owner vpn1`);
        expect(done.last).toContain(`cannot remove ${STATE}/trial (is the disk read-only?)`);
        expect(done.code).toBe(70);
        machine.must('mount -o remount,rw /var/lib');
        succeeds(machine.apply([...TABLE, MORE], { generation: 'g3' }));
        expect(rules()).toEqual(['10010', '10011', '20010']);
        succeeds(machine.agent('remove'));
        machine.must(`[ ! -e ${STATE} ]`);
      });
    });

    test('undoes a change during which its disk becomes read-only', () => {
      machine.write(
        '/mnt/bin/ip',
        `#!/bin/sh\ncase $* in *plan.add4) mount -o remount,ro /var/lib ;; esac\nexec /usr/sbin/ip "$@"\n`,
      );
      const done = machine.apply([...TABLE, MORE], { generation: 'g2', options: `--confirm-timeout 60 ${CONNECTION}` });
      expect(done.code).toBe(70);
      expect(done.last).toContain('FAILED, and everything was put back as it was');
      expect(rules()).toEqual(['10010', '20010']);
    });

    test('undoes a removal during which its disk becomes read-only', () => {
      machine.write(
        '/mnt/bin/ip',
        `#!/bin/sh\ncase $* in *plan.drop4) mount -o remount,ro /var/lib ;; esac\nexec /usr/sbin/ip "$@"\n`,
      );
      const done = machine.agent(`remove --generation g1 --confirm-timeout 60 ${CONNECTION}`);
      expect(done.last).toContain('FAILED, and everything was put back as it was');
      expect(done.code).toBe(70);
      expect(rules()).toEqual(['10010', '20010']);
    });

    test.each([0, 8192])(
      'undoes a change as soon as there is room in /run again, of which %d bytes are left',
      (left) => {
        onTrial(2);
        machine.must(`mount -o remount,size=300k /run; cat /dev/zero >/run/full; truncate -s -${left} /run/full`);
        machine.must('sleep 3.5');
        expect(rules()).toEqual(['10010', '10011', '20010']);
        machine.must('rm /run/full');
        machine.until(`! ip rule | grep -q '^10011:'`, 5);
        expect(rules()).toEqual(['10010', '20010']);
      },
    );

    test('does not take a part of what the kernel has for all of it, where /run is full', () => {
      machine.must('for n in $(seq 250); do echo "route add 10.99.$n.0/24 dev eth0"; done | ip -batch -');
      machine.must('mount -o remount,size=300k /run');
      machine.write(
        '/mnt/bin/ip',
        `#!/bin/sh
        case "$*" in *"-4 route show table all") ;; *) exec /usr/sbin/ip "$@" ;; esac
        cat /dev/zero >/run/full
        /usr/sbin/ip "$@" && rm /run/full\n`,
      );
      const done = machine.agent('verify');
      expect(done.last).toContain('no space left in /run for the IPv4 rules and routes of the kernel');
      expect(done.code).toBe(1);
    });

    describe('on which somebody has put into our table', () => {
      test('a route with an encapsulation at the place of ours: ours is put back', () => {
        const before = machine.routes(200);
        machine.must(
          'ip route replace default encap ip id 7 dst 10.0.0.9 tos 0 via 192.168.178.1 dev eth0 table 200 metric 0',
        );
        expect(machine.routes(200)).not.toEqual(before);
        succeeds(machine.agent('assert'));
        expect(machine.routes(200)).toEqual(before);
        succeeds(machine.verify());
      });

      test.each([
        ['for packets with a TOS', '-4 route add default tos 0x10 via 192.168.178.1 dev eth0 table 200'],
        ['from some addresses', '-6 route add default from fd00:4242::/64 via fe80::1 dev eth0 table 200'],
      ])('a default route %s: it is said to be in front', (_, route) => {
        const six = ['rule 6 10010 from fd00:4242::/64 lookup 200', 'route 6 200 default 4278198272 type unreachable'];
        succeeds(machine.apply([...TABLE, ...six], { generation: 'g2' }));
        machine.must(`ip ${route}`);
        expect(machine.agent('status').out).toContain('in front of ours since the apply: ');
      });
    });

    test('whose ip takes the number of our table for the name of another one is refused', () => {
      machine.must('mkdir -p /etc/iproute2; echo "77 210" >>/etc/iproute2/rt_tables');
      const before = machine.picture();
      const done = machine.apply(['table 210 -', 'rule 4 10010 from 10.10.10.0/24 lookup 210'], { generation: 'g2' });
      expect(done.last).toContain(
        'for ip, table 210 is table 77, which has that name in /etc/iproute2/rt_tables: choose another id',
      );
      expect(done.code).toBe(69);
      expect(machine.picture()).toBe(before);
    });

    test('whose other owner was killed before its first change keeps nothing for it', () => {
      const sysctl = 'sysctl net.ipv4.fwmark_reflect 1';
      succeeds(machine.apply([...TABLE, sysctl], { generation: 'g2' }));
      machine.write(
        '/mnt/bin/ip',
        '#!/bin/sh\ncase "$*" in *"link show"*) kill -9 $PPID ;; esac\nexec /usr/sbin/ip "$@"\n',
      );
      machine.apply(['table 210 -', 'rule 4 11010 from 10.20.0.0/16 lookup 210', sysctl], { owner: 'b' });
      machine.must('rm /mnt/bin/ip; [ -d /var/lib/source-routing/b ]');
      succeeds(machine.agent('remove'));
      expect(machine.must('cat /proc/sys/net/ipv4/fwmark_reflect')).toBe('0\n');
    });

    test('whose ip goes on when its run has been killed: it is ended before anybody else changes anything', () => {
      machine.write(
        '/mnt/bin/ip',
        `#!/bin/sh
        case "$*" in *plan.add4) (sleep 2; /usr/sbin/ip -4 -batch -) </run/source-routing.lock/plan.add4 >/dev/null 2>&1 & kill -9 $PPID; exit ;; esac
        exec /usr/sbin/ip "$@"\n`,
      );
      const options = `--confirm-timeout 60 ${CONNECTION}`;
      expect(machine.apply([...TABLE, MORE], { generation: 'g2', options }).code).toBe(137);
      machine.must('rm /mnt/bin/ip');
      succeeds(trialAgent('rollback --generation g2'));
      machine.must('sleep 2.5');
      expect(rules()).toEqual(['10010', '20010']);
    });

    test('leaves alone what a container does at the same path', () => {
      const other = new Machine(flavour);
      try {
        // It reads a plan of its own when this machine takes over the lock of a run that was killed.
        other.must(
          `mkdir ${LOCK}; : >${LOCK}/plan.add4; (exec sleep 9 <${LOCK}/plan.add4 >/dev/null 2>&1) & echo $! >/mnt/pid`,
        );
        machine.must(`mkdir ${LOCK}; echo "1 99 vpn1 apply" >${LOCK}/holder; : >${LOCK}/plan.add4`);
        succeeds(machine.agent('assert'));
        other.must('grep -q "^State:.S" /proc/$(cat /mnt/pid)/status');
      } finally {
        other.close();
      }
    });

    describe('while somebody', () => {
      /** What is removed meanwhile is put back, as the watch would do. */
      const repairs = (): void => {
        machine.must('ip rule del pref 20010; ip rule del pref 10010');
        succeeds(machine.agent('assert'));
        expect(rules()).toEqual(['10010', '20010']);
      };

      test.each(['status', 'status --json', 'diff'])('reads slowly what %s says', (command) => {
        const many = Array.from(
          { length: 1_500 },
          (_, n) => `rule 4 ${11_000 + n} from 10.${30 + (n >> 8)}.${n & 255}.0/24 lookup 200`,
        );
        succeeds(machine.apply([...TABLE, ...many], { generation: 'g2' }));
        machine.must('ip rule flush proto 77');
        machine.must(`mkfifo /mnt/slow; sh -c 'sleep 6; exec cat >/mnt/read' </mnt/slow >/dev/null 2>&1 &
          ${flavour.shell} ${STATE}/agent ${command} --owner vpn1 >/mnt/slow 2>&1 & sleep 0.1`);
        machine.until(`! [ -e ${LOCK} ]`, 5);
        machine.must('[ ! -e /mnt/read ]');
        succeeds(machine.agent('assert'));
        machine.until(`tail -n 1 /mnt/read | grep -q .`, 10);
      });

      test('suspends a run that only looks', () => {
        machine.write('/mnt/bin/ip', '#!/bin/sh\n[ -e /mnt/on ] || { : >/mnt/at; sleep 1; }\nexec /usr/sbin/ip "$@"\n');
        // The kernel stops only a process whose parent could wake it: a job of a shell.
        machine.must(
          `bash -m -c '${flavour.shell} ${STATE}/agent diff --owner vpn1 & echo $! >/mnt/pid; sleep 9' >/dev/null 2>&1 &`,
        );
        machine.until('[ -e /mnt/at ]');
        machine.must('kill -TSTP $(cat /mnt/pid); : >/mnt/on');
        repairs();
      });
    });
  });
});

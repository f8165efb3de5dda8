import { BASH, BUSYBOX, DASH, Machine, bundle, describeOnMachine, steps, testProgram } from './machine';
import { cases } from '../random';
import type { Outcome } from './machine';

const OLD = [
  'table 200 vpn',
  'rule 4 10010 from 10.10.10.0/24 lookup 200',
  'route 4 200 default 0 via 192.168.1.1 dev eth1',
];
const NEW = [
  'table 200 vpn',
  'rule 4 10010 from 10.10.10.0/24 lookup 200',
  'rule 4 10011 from 10.10.11.0/24 lookup 200',
  'rule 6 10011 from fd00:4242::/64 lookup 200',
  'route 4 200 default 0 via 192.168.1.7 dev eth1',
  'route 6 200 default 1024 via fd00:1010::1 dev eth1',
  'file 0644 /etc/iproute2/rt_tables.d/source-routing-vpn1.conf 1',
  '|200 vpn',
  'file 0755 /usr/local/new/sub/x 1',
  '|x',
];
const APPLIED_OVER = '192.0.2.1 40000 192.168.178.2 22';
const CONFIRMED_OVER = '192.0.2.1 40001 192.168.178.2 22';

describe.each([DASH, BUSYBOX, BASH])('a change on trial', (flavour) => {
  describeOnMachine(`under ${flavour.name}`, () => {
    let machine: Machine;
    beforeEach(() => {
      machine = new Machine(flavour);
    });
    afterEach(() => {
      machine.close();
    });

    const tryOut = (data: readonly string[], generation = 'g2', seconds = 2): Outcome =>
      machine.apply(data, { generation, options: `--confirm-timeout ${seconds} --ssh "${APPLIED_OVER}"` });
    const confirm = (generation = 'g2', connection = CONFIRMED_OVER, more = ''): Outcome =>
      machine.sh(`for agent in /var/lib/source-routing/vpn1/trial/agent /var/lib/source-routing/vpn1/agent /mnt/agent; do
        [ ! -f "$agent" ] || exec ${flavour.shell} "$agent" confirm --owner vpn1 --generation ${generation} --ssh "${connection}" ${more}
      done`);
    const untilRolledBack = (): void =>
      machine.until('[ ! -e /var/lib/source-routing/vpn1/trial ] && [ ! -e /run/source-routing.lock ]', 20);
    test('is in the kernel and in the files, but not what boots, until it is confirmed', () => {
      machine.apply(OLD);
      const done = tryOut(NEW);
      expect(done).toMatchObject({
        code: 0,
        last: 'source-routing: on trial: generation g2 of vpn1; undone in 2 seconds unless it is confirmed over a new connection',
      });
      expect(machine.rules()).toHaveLength(2);
      expect(machine.must('cat /usr/local/new/sub/x')).toBe('x\n');
      expect(machine.must('cat /var/lib/source-routing/vpn1/current')).toBe('g1\n');
      expect(machine.verify().out).toContain('on trial');
      const kept = confirm();
      expect(kept).toMatchObject({
        code: 0,
        last: 'source-routing: done: generation g2 of vpn1 is in force (3 rules, 2 routes)',
      });
      expect(machine.must('cat /var/lib/source-routing/vpn1/current')).toBe('g2\n');
      expect(machine.sh('ls /var/lib/source-routing/vpn1').out).toBe('agent\ncurrent\ng2\n');
      machine.must('sleep 2.5');
      expect(machine.rules()).toHaveLength(2);
      expect(machine.verify().code).toBe(0);
      // Twice is as good as once.
      expect(confirm().code).toBe(0);
    });

    describe('and a declaration that another one has replaced', () => {
      const by = (anchor: string, generation: string): Outcome =>
        machine.apply(OLD, { generation, options: `--anchor ${anchor} --confirm-timeout 60 --ssh "${APPLIED_OVER}"` });
      /** What the clean-up does, which runs when Terraform destroys the anchor. */
      const cleanUp = (anchor: string): Outcome[] => [
        machine.agent(`remove --generation ${anchor} --confirm-timeout 60 --ssh "${APPLIED_OVER}" --anchor ${anchor}`),
        confirm(anchor, CONFIRMED_OVER, `--removal --anchor ${anchor}`),
      ];
      const KEPT = {
        code: 0,
        last: 'source-routing: done: nothing was removed, since another declaration has configured vpn1 on this machine. If that is gone, too: source-routing remove vpn1',
      };

      test('whose clean-up comes late: nothing is removed', () => {
        by('a1', 'g1');
        expect(confirm('g1').code).toBe(0);
        expect(by('a2', 'g2').out).toContain(
          'source-routing: note: another declaration has configured vpn1 on this machine before. If that is still there, give each an owner of its own',
        );
        expect(confirm('g2').code).toBe(0);
        const before = machine.picture();
        expect(cleanUp('a1')).toEqual([expect.objectContaining(KEPT), expect.objectContaining(KEPT)]);
        expect(machine.picture()).toBe(before);
        expect(cleanUp('a2')[1]).toMatchObject({
          code: 0,
          last: 'source-routing: done: everything of vpn1 was removed',
        });
        expect(machine.rules()).toEqual([]);
      });

      test('that takes the machine back: then the clean-up of the other one comes late', () => {
        for (const [anchor, generation] of [
          ['a1', 'g1'],
          ['a2', 'g2'],
          ['a1', 'g3'],
        ]) {
          by(anchor, generation);
          expect(confirm(generation).code).toBe(0);
        }
        expect(cleanUp('a2')[1]).toMatchObject(KEPT);
        expect(cleanUp('a1')[1]).toMatchObject({
          code: 0,
          last: 'source-routing: done: everything of vpn1 was removed',
        });
      });

      test('whose successor never got through: the clean-up of either removes what is there', () => {
        by('a1', 'g1');
        expect(confirm('g1').code).toBe(0);
        by('a2', 'g2');
        expect(machine.agent('rollback --generation g2').code).toBe(0);
        expect(cleanUp('a2')[1]).toMatchObject({
          code: 0,
          last: 'source-routing: done: everything of vpn1 was removed',
        });
      });

      test('whose successor was undone: it removes what is its own', () => {
        by('a1', 'g1');
        expect(confirm('g1').code).toBe(0);
        by('a2', 'g2');
        expect(machine.agent('rollback --generation g2').code).toBe(0);
        expect(cleanUp('a1')[1]).toMatchObject({
          code: 0,
          last: 'source-routing: done: everything of vpn1 was removed',
        });
      });

      test('that does not say which it is, or was applied before that was noted: all is removed', () => {
        by('a1', 'g1');
        expect(confirm('g1').code).toBe(0);
        expect(machine.agent('remove').code).toBe(0);
        machine.apply(OLD);
        expect(machine.apply(OLD, { generation: 'g2', options: '--anchor a2' }).out).not.toContain(
          'another declaration',
        );
        machine.agent('remove');
        machine.apply(OLD);
        expect(cleanUp('a1')[1]).toMatchObject({
          code: 0,
          last: 'source-routing: done: everything of vpn1 was removed',
        });
        expect(machine.rules()).toEqual([]);
      });
    });

    test('leaves no process behind when it is confirmed', () => {
      tryOut(NEW, 'g1', 77);
      const timer = machine.must('cat /var/lib/source-routing/vpn1/trial/timer').split(' ')[0];
      expect(machine.sh(`kill -0 ${timer}`).code).toBe(0);
      confirm('g1');
      machine.until(`! pgrep -g ${timer} >/dev/null`);
    });

    test.each([
      ['the first apply', undefined],
      ['a change', OLD],
    ])(
      '%s is undone to the byte if it is not confirmed, and the confirmation that comes too late says so',
      (_, first) => {
        if (first) {
          machine.apply(first);
        }
        const before = machine.picture();
        machine.write('/mnt/agent', testProgram());
        expect(tryOut(NEW).code).toBe(0);
        expect(machine.picture()).not.toBe(before);
        untilRolledBack();
        expect(machine.pictureOfChanges()).toBe(before);
        const late = confirm();
        expect(late.last).toBe(
          'source-routing: ROLLED BACK, everything is as it was: generation g2 of vpn1 was undone: it was not confirmed over a new connection in time; most likely it cut the way to this machine',
        );
        expect(late.code).toBe(67);
        // That was the last that anybody wanted to know of it.
        expect(machine.picture()).toBe(before);
      },
    );

    test('a removal is undone if it is not confirmed, and leaves nothing if it is', () => {
      const pristine = machine.picture();
      machine.apply(NEW);
      const before = machine.picture();
      const removal = `remove --generation a1 --confirm-timeout 2 --ssh "${APPLIED_OVER}"`.replace('remove ', '');
      const remove = (): Outcome =>
        machine.sh(`${flavour.shell} /var/lib/source-routing/vpn1/agent remove --owner vpn1 ${removal}`);
      expect(remove().code).toBe(0);
      expect(machine.rules()).toEqual([]);
      expect(machine.sh('ls /usr/local/new/sub/x').code).not.toBe(0);
      untilRolledBack();
      expect(machine.pictureOfChanges()).toBe(before);
      expect(confirm('a1', CONFIRMED_OVER, '--removal')).toMatchObject({ code: 67 });
      expect(remove().code).toBe(0);
      expect(confirm('a1', CONFIRMED_OVER, '--removal').last).toBe(
        'source-routing: done: everything of vpn1 was removed',
      );
      expect(machine.picture()).toBe(pristine);
    });

    test('a first change that cannot be undone completely can be removed', () => {
      tryOut(NEW, 'g1', 60);
      machine.must('echo mine >/usr/local/new/sub/mine');
      expect(machine.agent('rollback')).toMatchObject({
        code: 71,
        last: expect.stringContaining('not completely (directory /usr/local/new/sub') as string,
      });
      const options = `--generation a1 --confirm-timeout 60 --ssh "${APPLIED_OVER}"`;
      const agent = '/var/lib/source-routing/vpn1/trial/agent';
      expect(machine.sh(`${flavour.shell} ${agent} remove --owner vpn1 ${options}`)).toMatchObject({ code: 0 });
      expect(confirm('a1', CONFIRMED_OVER, '--removal')).toMatchObject({
        code: 0,
        last: 'source-routing: done: everything of vpn1 was removed',
      });
      expect(machine.rules()).toEqual([]);
      expect(machine.sh('ls /var/lib/source-routing /usr/local/new/sub').out).toMatch(/No such file(.*\n)+mine\n$/);
    });

    test('is not confirmed by the connection over which it was made', () => {
      tryOut(NEW);
      expect(confirm('g2', APPLIED_OVER)).toMatchObject({ code: 64 });
      untilRolledBack();
      expect(machine.rules()).toEqual([]);
    });

    test('is undone at once when the connection is lost while it is being made', () => {
      machine.apply(OLD);
      const before = machine.picture();
      machine.atLine(3, 'kill');
      expect(tryOut(NEW, 'g2', 60).code).toBe(137);
      expect(confirm()).toMatchObject({
        code: 67,
        last: expect.stringContaining('was lost while it was being made') as string,
      });
      expect(machine.picture()).toBe(before);
    });

    test('a run that is killed at any moment is undone when the time is over', () => {
      machine.apply(OLD);
      const before = machine.pictureOfChanges();
      for (const n of steps(flavour.thorough ? 2 : 3)) {
        machine.atLine(n, 'kill');
        const done = tryOut(NEW, 'g2', 1);
        const written = machine.linesOrFired();
        if (written !== 'fired') {
          expect(written).toBeGreaterThan(3);
          break;
        }
        expect(done.code).toBe(137);
        untilRolledBack();
        expect(machine.pictureOfChanges()).toBe(before);
      }
    });

    test.each(['agent', 'open', 'x', 'source-routing-vpn1.conf', 'pending'])(
      'a run that is killed while %s is written is undone, or has done nothing yet',
      (file) => {
        machine.apply(OLD);
        const before = machine.picture();
        machine.killAtMove(file);
        expect(tryOut(NEW, 'g2', 1).code).toBe(137);
        if (file === 'agent' || file === 'open') {
          // No decision: there was no trial yet, and nobody waits to undo it. Whoever asks first takes it away.
          expect(confirm().code).toBe(67);
          expect(machine.sh('ls /var/lib/source-routing/vpn1').out).toBe('agent\ncurrent\ng1\n');
        } else {
          untilRolledBack();
        }
        expect(machine.pictureOfChanges()).toBe(before);
        expect(machine.apply(NEW, { generation: 'g3' }).code).toBe(0);
        expect(machine.verify().code).toBe(0);
      },
    );

    test.each([
      ['agent', 'new\nsnapshot\n'],
      ['open', 'agent\nnew\nsnapshot\n'],
    ])('a trial that is half made, up to %s, is taken away by whoever would undo it', (file, made) => {
      machine.apply(OLD);
      machine.killAtMove(file);
      tryOut(NEW, 'g2', 60);
      expect(machine.sh('ls /var/lib/source-routing/vpn1/trial').out).toBe(made);
      expect(machine.agent('rollback').last).toContain('nothing of vpn1 is on trial');
      expect(machine.sh('ls /var/lib/source-routing/vpn1 /run').out).not.toContain('trial');
    });

    test('a run that is killed before its first change keeps nobody from putting back what is in force', () => {
      machine.apply(OLD);
      machine.killAtMove('pending');
      expect(tryOut(NEW, 'g2', 60).code).toBe(137);
      machine.must('ip rule del pref 10010');
      expect(machine.verify()).toMatchObject({ code: 1, out: expect.stringContaining('+ IPv4 rule 10010') as string });
      expect(machine.agent('assert').last).toContain('the kernel agrees with generation g1 of vpn1 (1 repaired)');
      expect(machine.verify()).toMatchObject({ code: 0, last: expect.stringContaining('g1 of vpn1') as string });
      expect(machine.agent('rollback').code).toBe(0);
      expect(machine.sh('ls /var/lib/source-routing/vpn1').out).toBe('agent\ncurrent\ng1\n');
    });

    test('nor does a removal that is killed before its first change', () => {
      machine.apply(OLD);
      machine.write(
        '/mnt/bin/setsid',
        '#!/bin/sh\nread -r pid _ </run/source-routing.lock/holder; kill -9 "$pid"; exit 1\n',
      );
      const options = '--generation g1 --confirm-timeout 60 --ssh "192.0.2.1 40000 192.168.178.2 22"';
      expect(machine.agent(`remove ${options}`).code).toBe(137);
      machine.must('rm /mnt/bin/setsid; ip rule del pref 10010');
      expect(machine.agent('assert').last).toContain('the kernel agrees with generation g1 of vpn1 (1 repaired)');
      expect(machine.verify().code).toBe(0);
      expect(machine.agent('remove').last).toContain('everything of vpn1 was removed');
    });

    test('a confirmation that is killed was one: the next run completes it', () => {
      machine.apply(OLD);
      tryOut(NEW, 'g2', 60);
      machine.killAtMove('current');
      expect(confirm().code).not.toBe(0);
      expect(machine.agent('rollback').last).toContain('was confirmed before');
      expect(machine.must('cat /var/lib/source-routing/vpn1/current')).toBe('g2\n');
      expect(machine.verify().code).toBe(0);
    });

    test('a run that hangs when the time is over is ended, and what it made is undone', () => {
      machine.apply(OLD);
      const before = machine.pictureOfChanges();
      machine.write(
        '/mnt/bin/ip',
        '#!/bin/sh\ncase "$*" in *add*) trap "" TERM; rm /mnt/bin/ip; sleep 30 & wait ;; esac\nexec /usr/sbin/ip "$@"\n',
      );
      expect(tryOut(NEW, 'g2', 1).code).toBe(137);
      untilRolledBack();
      expect(machine.pictureOfChanges()).toBe(before);
    });

    test('a run that is told to end undoes everything at once', () => {
      machine.apply(OLD);
      const before = machine.pictureOfChanges();
      machine.atLine(3, 'term');
      expect(tryOut(NEW, 'g2', 60)).toMatchObject({ code: 70 });
      expect(machine.pictureOfChanges()).toBe(before);
    });

    test('after a power cut the files of before are back, and their kernel state is asserted', () => {
      machine.apply(OLD);
      const before = machine.must('find /etc /usr/local -type f -exec md5sum {} + | sort');
      tryOut(NEW, 'g2', 60);
      // What a boot is like: nothing in /run, and nothing in the kernel.
      machine.must(
        'rm /run/source-routing.trial.vpn1; ip rule del pref 10010; ip rule del pref 10011; ip -6 rule del pref 10011; ip route flush table 200',
      );
      machine.agent('assert');
      expect(machine.rules()).toHaveLength(1);
      expect(machine.agent('rollback --boot').last).toContain('done');
      expect(machine.must('find /etc /usr/local -type f -exec md5sum {} + | sort')).toBe(before);
      expect(machine.verify().code).toBe(0);
    });

    test('nothing is put back behind the back of a change that is on trial', () => {
      machine.apply(OLD);
      tryOut(NEW, 'g2', 60);
      machine.must('ip rule del pref 10011');
      expect(machine.verify().code).toBe(1);
      machine.agent('assert');
      expect(machine.rules()).toHaveLength(2);
      expect(machine.routes(200)).toContain('default via 192.168.1.7 dev eth1 proto 77');
      expect(machine.agent('rollback').code).toBe(0);
      expect(machine.rules()).toHaveLength(1);
    });

    test('a second apply waits for the first one, says why, and then goes on', () => {
      tryOut(NEW, 'g1', 2);
      const second = tryOut(OLD, 'g2', 2);
      expect(second.out).toMatch(
        /waiting: generation g1 of vpn1 is on trial, for \d more seconds at most \(made over SSH: 192\.0\.2\.1 40000 192\.168\.178\.2 22\)/,
      );
      expect(second.code).toBe(0);
      confirm('g2');
      expect(machine.rules()).toHaveLength(1);
      expect(machine.verify().code).toBe(0);
    });

    test('another owner can be served meanwhile', () => {
      tryOut(NEW, 'g1', 60);
      const other = [
        'table 300 -',
        'rule 4 11010 from 10.30.0.0/16 lookup 300',
        'route 4 300 default 0 via 192.168.1.1 dev eth1',
      ];
      expect(machine.apply(other, { owner: 'vpn2' }).code).toBe(0);
      expect(machine.agent('rollback').code).toBe(0);
      expect(machine.rules()).toEqual(['11010:\tfrom 10.30.0.0/16 lookup 300 proto 77']);
    });

    test('one of confirmation and rollback wins, whoever comes first', () => {
      machine.apply(OLD);
      const seen = new Set<string>();
      const rounds = cases(flavour.thorough ? 4 : 2);
      for (let n = 0; n < rounds; n++) {
        const later = (0.1 * n) / rounds;
        tryOut(NEW, `t${n}`, 60);
        const agent = `${flavour.shell} /var/lib/source-routing/vpn1/trial/agent`;
        const { out } = machine.sh(`cp /var/lib/source-routing/vpn1/trial/agent /mnt/agent
          { sleep ${later}; ${flavour.shell} /mnt/agent rollback --owner vpn1 --generation t${n}; } &
          ${agent} confirm --owner vpn1 --generation t${n} --ssh "${CONFIRMED_OVER}"; echo "confirm $?"; wait`);
        const kept = out.includes('confirm 0');
        seen.add(String(kept));
        expect(machine.rules()).toHaveLength(kept ? 2 : 1);
        expect(machine.verify().code).toBe(0);
        if (kept) {
          expect(machine.apply(OLD, { generation: `o${n}` }).code).toBe(0);
        }
      }
    });

    test('with systemd: a timer with an accuracy, and a unit that rolls back at boot', () => {
      machine.fakeSystemd();
      machine.write(
        '/mnt/bin/systemd-run',
        '#!/bin/sh\necho "run $*" >>/mnt/systemctl.log\ntouch "/mnt/active.--quiet"\n',
      );
      machine.write(
        '/mnt/bin/systemctl',
        machine.must('cat /mnt/bin/systemctl').replace('is-active)', 'is-active) [ "$1" != --quiet ] || exit 0;'),
      );
      machine.must('mkdir -p /etc/systemd/system');
      const pristine = machine.picture();
      tryOut(NEW, 'g1', 60);
      const log = machine.systemctlLog();
      expect(log).toContainEqual('enable --no-reload source-routing-vpn1.rollback.service');
      expect(log).toContainEqual(
        expect.stringMatching(
          /^run --quiet --collect --unit=source-routing-vpn1\.rollback-g1 --on-active=60s --timer-property=AccuracySec=100ms .* \/bin\/sh \/var\/lib\/source-routing\/vpn1\/trial\/agent rollback --owner vpn1 --generation g1$/,
        ),
      );
      expect(machine.must('cat /etc/systemd/system/source-routing-vpn1.rollback.service')).toMatch(
        /^ConditionPathExists=\/var\/lib\/source-routing\/vpn1\/trial\/agent$/m,
      );
      confirm('g1');
      expect(machine.systemctlLog()).toContainEqual('stop source-routing-vpn1.rollback-g1.timer');
      expect(machine.agent('remove').code).toBe(0);
      machine.must('rm -f /mnt/active.* /mnt/enabled.*');
      expect(machine.picture()).toBe(pristine);
    });

    test('with systemd: one daemon-reload for a first change, none for the next one', () => {
      machine.fakeSystemd();
      machine.write(
        '/mnt/bin/systemd-run',
        '#!/bin/sh\nfor word; do case $word in --unit=*) touch "/mnt/active.${word#--unit=}.timer" ;; esac; done\n',
      );
      machine.must('mkdir -p /etc/systemd/system');
      const units = ['x', 'y'].flatMap((name) => [
        `file 0644 /etc/systemd/system/${name}.service 1`,
        '|[Unit]',
        `unit ${name}.service`,
      ]);
      // `systemctl enable` reloads, too, unless it is told not to.
      const reloads = (): string[] =>
        machine
          .systemctlLog()
          .filter((line) => /^(daemon-reload|enable|disable)/.test(line) && !line.includes('--no-reload'));
      tryOut([...OLD, ...units], 'g1', 60);
      confirm('g1');
      expect(reloads()).toEqual(['daemon-reload']);
      tryOut([...NEW, ...units], 'g2', 60);
      confirm('g2');
      expect(reloads()).toEqual([]);
    });

    test('where systemd-run fails, a process of our own does it', () => {
      machine.fakeSystemd();
      machine.write('/mnt/bin/systemd-run', '#!/bin/sh\necho "Failed to connect to bus" >&2\nexit 1\n');
      machine.must('mkdir -p /etc/systemd/system');
      const before = machine.picture();
      expect(tryOut(NEW, 'g1', 1).out).toContain('note: systemd-run failed (Failed to connect to bus)');
      untilRolledBack();
      expect(machine.pictureOfChanges()).toBe(before);
    });

    test('nothing is tried that could not be undone', () => {
      machine.write('/mnt/bin/setsid', '#!/bin/sh\nexit 1\n');
      const before = machine.picture();
      expect(tryOut(NEW, 'g1', 1).last).toContain('cannot arm the rollback, so nothing was tried');
      expect(machine.pictureOfChanges()).toBe(before);
    }, 20_000);
  });
});

describeOnMachine('what is not confirmed', () => {
  test('a run that was killed before it had changed anything leaves nothing', () => {
    const machine = new Machine();
    try {
      const kill = `sh -c 'kill -9 "$(cut -d" " -f1 /run/source-routing.lock/holder)"'`;
      const killed = (generation: string): void => {
        // The first thing that is looked at after the bundle was read.
        machine.write('/mnt/bin/ip', `#!/bin/sh\n${kill}\n`);
        expect(machine.apply(OLD, { generation }).code).toBe(137);
        machine.must('rm /mnt/bin/ip; test -d /var/lib/source-routing/vpn1/' + generation);
      };
      const before = machine.picture();
      killed('g1');
      expect(machine.sh('sh /mnt/bundle confirm --owner vpn1 --generation g1').code).toBe(67);
      machine.must('rm -rf /mnt/bundle; rm -f /run/source-routing.lock/*; rmdir /run/source-routing.lock || :');
      expect(machine.picture()).toBe(before);
      expect(machine.apply(OLD, { generation: 'g2' }).code).toBe(0);
      killed('g3');
      expect(machine.agent('confirm --generation g3').code).toBe(67);
      expect(machine.sh('ls /var/lib/source-routing/vpn1').out).toBe('agent\ncurrent\ng2\n');
    } finally {
      machine.close();
    }
  }, 20_000);

  test('wrong words on the command line', () => {
    const machine = new Machine();
    try {
      machine.write('/mnt/bundle', bundle(['bundle 1', 'owner vpn1', ...OLD], testProgram()));
      const run = (options: string): Outcome => machine.sh(`sh /mnt/bundle ${options}`);
      expect(run('remove --owner vpn1 --confirm-timeout 5')).toMatchObject({ code: 64 });
      expect(run('remove --owner vpn1 --generation a --confirm-timeout 5x')).toMatchObject({ code: 64 });
      expect(run('confirm --owner vpn1 --generation g9')).toMatchObject({ code: 67 });
      expect(run('confirm --owner vpn1 --generation g9 --removal')).toMatchObject({ code: 0 });
      expect(run('rollback --owner vpn1')).toMatchObject({ code: 0 });
    } finally {
      machine.close();
    }
  });
});

import { dispatcherText, upHookText } from '../../lib/agent/program';
import { BASH, BUSYBOX, DASH, Machine, bundle, describeOnMachine, testProgram } from './machine';
import type { Outcome } from './machine';

const TABLE = ['table 200 vpn', 'rule 4 10010 from 10.10.10.0/24 lookup 200'];
const OTHER = ['table 210 -', 'rule 4 11010 from 10.20.0.0/16 lookup 210'];
const NOBODY = 65534;
const STATE = '/var/lib/source-routing';
const LOCK = '/run/source-routing.lock';

const file = (path: string, text = 'ours', more = ''): string[] => [`file 0644 ${path} 1${more}`, `|${text}`];

/** What other users, other tools and other names can do to a machine. */
describe.each([DASH, BASH, BUSYBOX])('with $name', (flavour) => {
  describeOnMachine('nobody but root', () => {
    let machine: Machine;
    beforeEach(() => {
      machine = new Machine(flavour);
    });
    afterEach(() => {
      machine.close();
    });

    const succeeds = (outcome: Outcome): void => {
      expect(outcome).toMatchObject({ code: 0 });
    };
    const refused = (outcome: Outcome, why: string): void => {
      expect(outcome.last).toContain('refused, nothing was changed: ');
      expect(outcome.last).toContain(why);
      expect(outcome.code).toBe(69);
    };

    describe('the command of the machine', () => {
      beforeEach(() => {
        machine.must('mkdir -p /usr/local/sbin');
        machine.write('/usr/local/sbin/source-routing', dispatcherText());
        // What it runs of an owner says as whom, and with what.
        machine.must(`mkdir -p ${STATE}/vpn1 /mnt/home "${STATE}/a b" ${STATE}/-x
          for agent in ${STATE}/vpn1/agent /mnt/home/agent "${STATE}/a b/agent" ${STATE}/-x/agent; do
            echo 'echo "ran $0 $*"; echo "$PATH|$LC_ALL|$(umask)|\${CDPATH-}\${ENV-}\${BASH_ENV-}"' >"$agent"
          done`);
      });
      const run = (args: string, environment = ''): Outcome =>
        machine.sh(`${environment} ${flavour.shell} /usr/local/sbin/source-routing ${args}`);

      test.each(['../../../mnt/home', '.', '..', './vpn1', 'vpn1/.', '"a b"', '-x', '"vpn1 "', '"*"', '"vpn[1]"'])(
        'runs nothing for an owner %s',
        (owner) => {
          const done = run(`status ${owner}`);
          expect(done.code).toBe(64);
          expect(done.out).not.toContain('ran ');
          expect(done.last).toContain('there is no such owner on this machine; the owners here: vpn1');
        },
      );

      test('runs the agent of an owner in an environment of its own', () => {
        machine.must('mkdir /mnt/evil');
        machine.write('/mnt/evil/id', '#!/bin/sh\necho evil >/mnt/evil.ran; echo 0\n');
        const done = run('status', 'umask 0; PATH=/mnt/evil:$PATH CDPATH=/mnt ENV=/mnt/e BASH_ENV=/mnt/e LC_ALL=POSIX');
        expect(done.out).toBe(
          `ran ${STATE}/vpn1/agent status --owner vpn1\n` +
            '/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin|C|0077|\n',
        );
        expect(machine.sh('test -e /mnt/evil.ran').code).toBe(1);
      });
    });

    test('an up hook takes nothing from the environment of its daemon but the device', () => {
      machine.write('/mnt/up', upHookText([200]));
      machine.must('mkdir /mnt/evil; ip link add tun0 type bridge; ip link set tun0 up');
      machine.write('/mnt/evil/ip', '#!/bin/sh\necho "$CDPATH $ENV" >/mnt/evil.ran\n');
      machine.must('mount --bind /mnt/evil/ip /usr/sbin/ip');
      machine.must(`PATH=/mnt/evil:$PATH IFS=0 CDPATH=/mnt ENV=/mnt/e tables=7 dev=tun0 ${flavour.shell} /mnt/up`);
      // The ip that it runs is that of the machine, and it hears of none of that.
      const seen = machine.sh('umount /usr/sbin/ip; cat /mnt/evil.ran');
      expect(seen.out).not.toMatch(/mnt/);
    });

    describe('the lock', () => {
      const killed = 'echo "1 99 vpn1 apply"';
      test('is taken over, whatever a run was doing when it was killed', () => {
        // What older agents left behind when they were killed while they took one over.
        machine.must(`mkdir ${LOCK} ${LOCK}.break; ${killed} >${LOCK}/holder`);
        succeeds(machine.apply(TABLE));
        // Now in the middle of it.
        machine.must(`mkdir ${LOCK}; ${killed} >${LOCK}/holder`);
        machine.write(
          '/mnt/bin/rm',
          `#!/bin/sh\n[ "$*" != "-rf ${LOCK}" ] || { /bin/rm /mnt/bin/rm; read -r _ _ _ run _ </proc/$PPID/stat; kill -9 $PPID $run; exit 1; }\nexec /bin/rm "$@"\n`,
        );
        machine.agent('assert');
        machine.must(`test -d ${LOCK} && ! test -e /mnt/bin/rm`);
        succeeds(machine.agent('assert'));
        expect(machine.sh(`ls -d ${LOCK}`).code).not.toBe(0);
      });

      test('of a run that has just made it, and not written its name yet, is left alone', () => {
        machine.must(`mkdir ${LOCK}`);
        // There is another one each time that it is looked at.
        machine.write('/mnt/bin/sleep', `#!/bin/sh\nmkdir ${LOCK}.new; rmdir ${LOCK}; mv ${LOCK}.new ${LOCK}\n`);
        expect(machine.apply(TABLE).code).toBe(75);
      });

      test('is not taken over without flock: the last line says what to install', () => {
        machine.must(`mkdir ${LOCK}; ${killed} >${LOCK}/holder`);
        const text = bundle(
          ['bundle 1', 'owner vpn1', ...TABLE],
          testProgram().replace('command -v flock', 'command -v no-such-flock'),
        );
        const done = machine.apply([], { text });
        expect(done.last).toContain('flock is missing');
        expect(done.last).toContain('Install it (package util-linux)');
        expect(done.code).toBe(75);
      });

      test('that a watch takes again and again is no reason for a rollback to end that watch', () => {
        succeeds(machine.apply(TABLE));
        machine.write(
          '/mnt/holder',
          `#!/bin/sh
          read -r stat </proc/$$/stat; set -- \${stat##*) }
          while :; do
            ! mkdir ${LOCK} 2>/dev/null || { echo "$$ \${20} vpn1 watch" >${LOCK}/holder; sleep 0.25; rm -r ${LOCK}; }
            sleep 0.12
          done\n`,
        );
        const done = machine.sh(`/mnt/holder & holder=$!
          for round in 1 2 3; do ${flavour.shell} ${STATE}/vpn1/agent rollback --owner vpn1 || exit; done
          kill $holder && echo alive; wait; rm -rf ${LOCK}`);
        expect(done.out).toContain('alive');
      });

      test.each([
        ['rollback', true],
        ['assert', false],
      ])('held by a %s that hangs: is that left alone by another rollback? %s', (command, left) => {
        succeeds(machine.apply(TABLE));
        const done = machine.sh(`sleep 60 >/dev/null 2>&1 & holder=$!
          read -r stat </proc/$holder/stat; set -- \${stat##*) }
          mkdir ${LOCK}; echo "$holder \${20} other ${command}" >${LOCK}/holder
          ${flavour.shell} ${STATE}/vpn1/agent rollback --owner vpn1 & rollback=$!
          sleep 5.5
          ! kill -0 $holder 2>/dev/null || echo alive
          kill $holder 2>/dev/null; wait $rollback`);
        expect(done.out.includes('alive')).toBe(left);
        expect(done.last).toContain('done: nothing of vpn1 is on trial');
      });
    });

    describe('names are compared as text', () => {
      const shared = (path: string): string[] => file(path, 'ours', ' shared');

      test('a file that is given up goes, whatever is called nearly so', () => {
        succeeds(machine.apply([...TABLE, ...file('/etc/x/up.sh')]));
        succeeds(machine.apply([...TABLE, ...file('/etc/x/up-sh')], { generation: 'g2' }));
        expect(machine.must('ls /etc/x')).toBe('up-sh\n');
      });

      test('a shared file goes with its last owner, whatever is called nearly so', () => {
        succeeds(machine.apply([...TABLE, ...shared('/etc/x/up.sh')]));
        succeeds(machine.apply([...OTHER, ...shared('/etc/x/up-sh')], { owner: 'b' }));
        succeeds(machine.agent('remove'));
        expect(machine.must('ls /etc/x')).toBe('up-sh\n');
      });

      test('a shared file goes, too, if its owners go at once', () => {
        const pristine = machine.picture();
        const options = '--confirm-timeout 60 --generation r --ssh "192.0.2.1 40000 192.168.178.2 22"';
        const owners = ['vpn1', 'b'];
        succeeds(machine.apply([...TABLE, ...shared('/etc/x/up')]));
        succeeds(machine.apply([...OTHER, ...shared('/etc/x/up')], { owner: 'b' }));
        owners.forEach((owner) => succeeds(machine.agent(`remove ${options}`, owner)));
        const confirmed = '--generation r --removal --ssh "192.0.2.1 40001 192.168.178.2 22"';
        owners.forEach((owner) => {
          succeeds(machine.sh(`${flavour.shell} ${STATE}/${owner}/trial/agent confirm --owner ${owner} ${confirmed}`));
        });
        expect(machine.picture()).toBe(pristine);
      });

      test("somebody else's file is not taken for a shared one that is called nearly so", () => {
        succeeds(machine.apply([...OTHER, ...shared('/etc/x/up-sh')], { owner: 'b' }));
        machine.must('echo mine >/etc/x/up.sh');
        refused(machine.apply([...TABLE, ...shared('/etc/x/up.sh')]), '/etc/x/up.sh exists and was not put there');
        expect(machine.must('cat /etc/x/up.sh')).toBe('mine\n');
      });

      test('nor for an up hook', () => {
        machine.must('mkdir -p /etc/openvpn; echo mine >/etc/openvpn/u.p');
        const hook = [...file('/etc/openvpn/u-p'), 'hook openvpn /etc/openvpn/u-p 200'];
        refused(machine.apply([...TABLE, ...file('/etc/openvpn/u.p'), ...hook]), '/etc/openvpn/u.p exists and was not');
      });

      test('a unit that is given up is stopped, whatever is called nearly so', () => {
        machine.fakeSystemd();
        machine.must('mkdir -p /etc/systemd/system');
        const unit = (name: string): string[] => [...file(`/etc/systemd/system/${name}`, '[Unit]'), `unit ${name}`];
        succeeds(machine.apply([...TABLE, ...unit('x.y.service')]));
        succeeds(machine.apply([...TABLE, ...unit('x-y.service')], { generation: 'g2' }));
        expect(machine.systemctlLog()).toContain('disable --now --no-reload x.y.service');
      });

      test("the file of one link is not another one's that is called nearly so", () => {
        machine.must('mkdir -p /run/systemd/system');
        machine.write('/mnt/bin/systemctl', '#!/bin/sh\n[ "$2" = systemd-networkd.service ]\n');
        const said = (name: string): string =>
          `Network File: /etc/systemd/network/${name}.network\n     State: routable (configured)\n`;
        machine.write(
          '/mnt/bin/networkctl',
          `#!/bin/sh
case "$*" in
  *--all*) cat <<'END'\n   ${said('e.1')}   ${said('e-1')}END\n  ;;
  *status*) cat <<'END'\n   ${said('e.1')}END\n  ;;
esac\n`,
        );
        const done = machine.apply(['persistence network-manager static eth1', 'for network-manager', ...TABLE]);
        refused(done, 'eth1 is managed by networkd (/etc/systemd/network/e.1.network), not by network-manager');
      });

      test("the block of one owner is not another one's that is called nearly so", () => {
        const profile = '/etc/NetworkManager/system-connections/eth1.nmconnection';
        machine.must(`mkdir -p /run/systemd/system /etc/NetworkManager/system-connections
          printf '[ipv4]\nmethod=manual\n# BEGIN source-routing a-b (cut off)\n' >${profile}`);
        machine.write('/mnt/bin/systemctl', '#!/bin/sh\n[ "$2" = NetworkManager.service ]\n');
        machine.write(
          '/mnt/bin/nmcli',
          `#!/bin/sh
case "$*" in
  *device*show*) printf '100 (connected)\n1-2-3\n' ;;
  *UUID,FILENAME*) echo '1-2-3:${profile}' ;;
esac\n`,
        );
        const data = [
          'persistence network-manager static eth1',
          'for network-manager',
          ...TABLE,
          'block eth1 1',
          '|x=1',
        ];
        succeeds(machine.apply(data, { owner: 'a.b' }));
      });
    });

    describe('decides what root writes', () => {
      test.each([
        ['a file', file('/etc/x/f'), '/etc/x/f'],
        ['what an owner has pending', [], `${STATE}/vpn1/pending`],
      ])('a link in the way of %s is not followed', (_, data, path) => {
        machine.must(
          `echo mine >/mnt/victim; mkdir -p $(dirname ${path}); ln -s /mnt/victim ${path}.source-routing-new`,
        );
        succeeds(machine.apply([...TABLE, ...data]));
        expect(machine.must('cat /mnt/victim')).toBe('mine\n');
        expect(machine.sh(`ls ${path}.source-routing-new`).code).not.toBe(0);
      });

      test.each([
        ['by everybody', 'chmod 0777 /etc/x', '/etc/x'],
        ['by a group', 'chgrp 1234 /etc/x/sub; chmod 0775 /etc/x/sub', '/etc/x/sub'],
        ['by its owner', `chown ${NOBODY} /etc/x`, '/etc/x'],
        ['where a link leads to', `mv /etc/x /etc/y; chown ${NOBODY} /etc/y; ln -s y /etc/x`, '/etc/y'],
        [
          'for what stands there is a link of theirs',
          `mv /etc/x /etc/y; ln -s y /etc/x; chown -h ${NOBODY} /etc/x`,
          '/etc/x',
        ],
        ['that is sticky, but theirs', `chmod 1777 /etc/x; chown ${NOBODY} /etc/x`, '/etc/x'],
      ])('no file goes into a directory that others can write to: %s', (_, prepare, where) => {
        machine.must(`mkdir -p /etc/x/sub; ${prepare}`);
        const before = machine.picture();
        const done = machine.apply([...TABLE, ...file('/etc/x/sub/new/f')]);
        refused(done, `others than root can write to ${where}, so they could choose what root reads or runs: `);
        expect(machine.picture()).toBe(before);
        // Who root is, is nowhere written on this machine.
        machine.must(String(/runs: (.*)$/.exec(done.last)?.[1]).replace(' root ', ' 0 '));
        succeeds(machine.apply([...TABLE, ...file('/etc/x/sub/new/f')]));
      });

      test('a sticky directory, and one of the group of root, are fine', () => {
        machine.must('mkdir -p /etc/x/sub; chmod 1777 /etc/x; chmod 0775 /etc/x/sub');
        succeeds(machine.apply([...TABLE, ...file('/etc/x/sub/f')]));
      });

      test('a file that says what ours does, and is not of root, becomes ours', () => {
        machine.must(`mkdir /etc/x; echo ours >/etc/x/f; chmod 0644 /etc/x/f; chown ${NOBODY} /etc/x/f`);
        succeeds(machine.apply([...TABLE, ...file('/etc/x/f')]));
        expect(machine.must('stat -c %u:%a /etc/x/f')).toBe('0:644\n');
        machine.must(`chown ${NOBODY} /etc/x/f`);
        expect(machine.agent('diff').out).toContain('file /etc/x/f (its mode is not 0644, or its owner not root)');
      });

      test.each([
        ['writable', `mkdir ${STATE}; chmod 0777 ${STATE}`, STATE],
        ['of somebody else', `mkdir ${STATE}; chown ${NOBODY} ${STATE}`, STATE],
        ['elsewhere', `mkdir -m 777 /mnt/open; ln -s /mnt/open ${STATE}`, '/mnt/open'],
        ['under a directory that is writable', 'chmod 0777 /var/lib', '/var/lib'],
        ['one of an owner, and writable', `mkdir -p ${STATE}/vpn1; chmod 0777 ${STATE}/vpn1`, `${STATE}/vpn1`],
        ['there, but /run is writable', 'chmod 0777 /run', '/run'],
      ])('a state directory that is %s is not used', (_, prepare, where) => {
        machine.must(prepare);
        const before = machine.picture();
        refused(machine.apply(TABLE), `others than root can write to ${where}, `);
        expect(machine.picture()).toBe(before);
      });

      test('nothing in the state directory, nor of ours in /run, is for others', () => {
        machine.must('mkdir /etc/x; echo secret >/etc/x/old; chmod 600 /etc/x/old; umask 0');
        succeeds(machine.apply([...TABLE, ...file('/etc/x/f', 'one')]));
        const options = '--confirm-timeout 60 --ssh "192.0.2.1 40000 192.168.178.2 22"';
        succeeds(machine.apply([...TABLE, ...file('/etc/x/f', 'two')], { generation: 'g2', options }));
        machine.must(`test -f ${STATE}/vpn1/trial/agent && test -f /run/source-routing.trial.vpn1`);
        // A copy of a file is that file by another name, or a copy with its mode: nobody gets there.
        expect(
          machine.must(`find ${STATE} ! -name 'kept*' -perm /077; find /run -name 'source-routing*' -perm /077`),
        ).toBe('');
        expect(machine.must(`stat -c %a ${STATE} ${STATE}/vpn1 ${STATE}/vpn1/trial`)).toBe('700\n700\n700\n');
        succeeds(machine.agent('rollback'));
      });
    });

    test('what lies in the state directory and is not ours leads to nothing else', () => {
      succeeds(machine.apply(TABLE));
      machine.must(`mkdir "${STATE}/vpn1/x mnt" "${STATE}/vpn1/*"; echo mine >/mnt/victim`);
      succeeds(machine.apply([...TABLE, ...file('/etc/x/f')], { generation: 'g2' }));
      expect(machine.must('cat /mnt/victim')).toBe('mine\n');
      expect(machine.agent('confirm --generation g9').code).toBe(67);
      expect(machine.must('cat /mnt/victim')).toBe('mine\n');
      succeeds(machine.agent('remove'));
      expect(machine.sh(`ls ${STATE}`).code).not.toBe(0);
    });

    describe('says what is shown on a terminal', () => {
      // CSI as an escape sequence, as one byte, and as one character of UTF-8; a backspace.
      test.each(['\u001b[2J', '\\233[2J', '\\302\\233[2J', '\\b\\b', '"#$(x)'])('of a device "%s"', (name) => {
        const escaped = name.replace('\u001b', '\\033').replace(/(["$])/g, '\\$1');
        machine.must(`ip rule add pref 10010 iif "$(printf "a${escaped}")"`);
        const done = machine.apply(TABLE);
        expect(done.code).toBe(69);
        expect(done.out).toContain('someone else has an IPv4 rule at priority 10010');
        expect(done.out).toMatch(/^[ -~\n]*$/);
      });
    });

    describe('learns a value that is wrong', () => {
      const SECRETS = [
        'hunter2!secret',
        '10.66.77.88/8',
        '10.66.77.88',
        'fd66:7788::1',
        'averylongsecretname',
        '',
        ' 10.66.77.0/24',
        '10.66.77.0/24\n',
      ];
      test('nothing of it: only what is wrong, and what is needed', () => {
        const wrong = SECRETS.flatMap((secret, i) =>
          ['prefix 4', 'prefix 6', 'address 4', 'address -', 'device -'].map(
            (kind, k) => `value ${i * 5 + k} ${kind} stack/x:${i}:${k} ${JSON.stringify(secret)}`,
          ),
        );
        const done = machine.apply([...wrong, 'table 200 -']);
        expect(done.code).toBe(65);
        for (const part of ['hunter', '66.77', '6677', '66:77', 'averylong']) {
          expect(done.out).not.toContain(part);
        }
        const said = (secret: string, k: number): string => {
          const label = `stack/x:${SECRETS.indexOf(secret)}:${k} `;
          const [, text = ''] = done.out.split(label);
          return text.split('; the value is not shown')[0] ?? '';
        };
        expect(said('10.66.77.88/8', 0)).toBe('has host bits set. Give an IPv4 prefix such as 192.0.2.0/24 there');
        expect(said('10.66.77.88/8', 2)).toBe(
          'is a prefix, not an address. Give an IPv4 address such as 192.0.2.7 there',
        );
        expect(said('10.66.77.88', 1)).toBe('is of IPv4. Give an IPv6 prefix such as 2001:db8::/64 there');
        expect(said('averylongsecretname', 4)).toMatch(
          /^is longer than 15 characters\. Give the name of a network device/,
        );
        expect(said('', 3)).toBe('is empty. Give an IP address such as 192.0.2.7 there');
        for (const blank of [' 10.66.77.0/24', '10.66.77.0/24\n']) {
          expect(said(blank, 0)).toMatch(/^has a blank or a line break at its start or end\. /);
        }
      });

      test.each([
        [
          'of two families in one rule',
          [
            'value 1 prefix - x:from "10.66.77.0/24"',
            'value 2 prefix - x:to "fd66:77::/64"',
            'rule auto 10010 from @1@ to @2@ lookup 200',
          ],
        ],
        [
          'for two routes',
          [
            'value 1 prefix - x:y "10.66.77.0/24"',
            'route 4 200 @1@ 0 type throw',
            'route 4 200 @1@ 0 type unreachable',
          ],
        ],
      ])('%s', (_, data) => {
        const values = data.filter((line) => line.startsWith('value'));
        const done = machine.apply([...values, 'table 200 -', ...data.filter((line) => !values.includes(line))]);
        expect(done.code).toBe(65);
        expect(done.out).not.toMatch(/66[.:]77/);
        expect(done.last).toMatch(
          /give each its own|x:from is of IPv4, and x:to, in the same rule, of IPv6\. Give both of one family/,
        );
      });
    });

    describe('counts as logged in', () => {
      const CUT = ['rule 4 10010 to 192.168.178.11 blackhole'];
      /** Processes with these titles have a connection to the SSH server; ss says so. */
      const connected = (...titles: string[]): void => {
        machine.must(
          titles
            .map((title, i) => `bash -c 'exec -a "${title}" sleep 60' >/dev/null 2>&1 & echo $! >/mnt/pid${i}`)
            .concat(
              `for n in ${titles.map((_, i) => i).join(' ')}; do
              until grep -q -a sshd /proc/$(cat /mnt/pid$n)/cmdline && ! grep -q bash /proc/$(cat /mnt/pid$n)/cmdline; do sleep 0.02; done
            done`,
            )
            .join('\n'),
        );
        const users = titles.map((_, i) => `("sshd",pid=$(cat /mnt/pid${i}),fd=4)`).join(',');
        ss(`users:(${users})`);
      };
      const ss = (rest: string): void => {
        machine.write(
          '/mnt/bin/ss',
          `#!/bin/sh\ncat <<END\n0 0 192.168.178.2:22 192.168.178.11:40000 ${rest} ino:5 sk:6\nEND\n`,
        );
      };
      afterEach(() => {
        machine.must('for n in /mnt/pid*; do [ ! -e "$n" ] || kill -9 $(cat "$n"); done');
      });

      test.each([
        [['sshd: admin [priv]', 'sshd: admin@pts/0']],
        [['sshd: root@notty']],
        [['sshd-session: admin [priv]', 'sshd-session: admin']],
        [['sshd: admin@pts/0,pts/1']],
      ])('%s', (titles) => {
        connected(...titles);
        const done = machine.apply(CUT);
        expect(done.code).toBe(70);
        expect(done.last).toContain(
          "everything was put back as it was: this change moved the replies of this machine's SSH server to 192.168.178.11",
        );
      });

      test.each([
        [['sshd: [accepted]', 'sshd: [net]']],
        [['sshd: root [priv]', 'sshd: root [net]']],
        [['sshd: unknown [priv]', 'sshd: unknown [net]']],
        [['sshd-session: [accepted]']],
        [['sshd-session: root [priv]', 'sshd-auth: root [net]']],
      ])('not %s', (titles) => {
        connected(...titles);
        const done = machine.apply(CUT);
        succeeds(done);
        expect(done.out).not.toContain('this change moved');
      });

      test.each([
        ['', ''],
        ['users:(("dropbear",pid=1,fd=4))', ''],
      ])('perhaps, where it cannot be known: a note (%s)', (rest) => {
        ss(rest);
        const done = machine.apply(CUT);
        succeeds(done);
        expect(done.out).toContain(
          "note: this change moved the replies of this machine's SSH server to 192.168.178.11",
        );
      });
    });
  });
});

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import Ajv from 'ajv/dist/2020';
import { BASH, BUSYBOX, DASH, Machine, describeOnMachine, lines } from './machine';
import type { Outcome } from './machine';

const DIRECTORY = '/var/lib/prometheus/node-exporter';
const FILE = `${DIRECTORY}/source-routing-vpn1.prom`;
const ROUTING = [
  'table 200 vpn',
  'rule 4 10010 from 10.10.10.0/24 lookup 200',
  'route 4 200 default 0 via 192.168.1.1 dev eth1',
  'route 4 200 default 4278198272 type unreachable',
  'expect 4 vpn/leave to 198.51.100.1 from 10.10.10.2 iif tun0 ipproto 17 is via 192.168.1.1 dev eth1',
  'probe note',
];
const DATA = [...ROUTING, `textfile ${DIRECTORY}`];
const TUNNEL = `ip link add tun0 type bridge; ip link set tun0 up; ip addr add 10.10.10.1/24 dev tun0
  mkdir -p ${DIRECTORY}; chown 7077:7077 ${DIRECTORY}`;
const RULE = '+ IPv4 rule 10010: from 10.10.10.0/24 lookup 200';

const accepts = new Ajv({ strictTypes: false }).compile(
  JSON.parse(readFileSync(join(__dirname, '../../docs/status.schema.json'), 'utf8')) as object,
);

describe.each([DASH, BASH, BUSYBOX])('what monitoring reads', (flavour) => {
  describeOnMachine(`under ${flavour.name}`, () => {
    let machine: Machine;
    beforeEach(() => {
      machine = new Machine(flavour);
      machine.must(TUNNEL);
    });
    afterEach(() => {
      machine.close();
    });

    /** Standard output alone must be the document. */
    const status = (owner = machine.owner): Record<string, unknown> => {
      const document = JSON.parse(
        machine.must(
          `${flavour.shell} /var/lib/source-routing/${owner}/agent status --json --owner ${owner} 2>/dev/null`,
        ),
      ) as Record<string, unknown>;
      expect([accepts(document), accepts.errors]).toEqual([true, null]);
      return document;
    };
    /** The values of the file, without the name that all have in common. */
    const metrics = (): Record<string, number> =>
      Object.fromEntries(
        lines(machine.must(`cat ${FILE}`))
          .filter((line) => !line.startsWith('#'))
          .map((line) => {
            const [, name, value] = /^source_routing_(\w+)\{owner="vpn1"\} (\d+)$/.exec(line) ?? [];
            return [name, Number(value)];
          }),
      );
    const succeeds = (done: Outcome): void => {
      expect(done).toMatchObject({ code: 0 });
    };
    const recent = expect.closeTo(Date.now() / 1000, -3) as number;

    test('a machine that is as declared', () => {
      succeeds(machine.apply(DATA));
      expect(status()).toEqual({
        format: 1,
        owner: 'vpn1',
        inForce: true,
        generation: 'g1',
        onTrial: false,
        reason: '',
        differences: [],
        inFront: [],
        probe: 'passed',
        repairs: 0,
        repairedAt: null,
        appliedAt: recent,
        checkedAt: recent,
      });
      succeeds(machine.verify());
      expect(metrics()).toEqual({
        in_force: 1,
        differences: 0,
        probe_success: 1,
        repairs_total: 0,
        applied_timestamp_seconds: recent,
        verified_timestamp_seconds: recent,
      });
      // Each metric has its help and type, as the format wants it.
      expect(lines(machine.must(`grep -c '^# HELP ' ${FILE}; grep -c '^# TYPE ' ${FILE}`))).toEqual(['6', '6']);
      expect(machine.must(`stat -c '%a %u' ${FILE}; ls -A ${DIRECTORY}`)).toBe('644 0\nsource-routing-vpn1.prom\n');
    });

    test('a rule that is gone, and one of somebody else with a quote in its name', () => {
      succeeds(machine.apply(DATA));
      machine.must(`ip rule del pref 10010; ip rule add pref 100 iif 'a"\\b' lookup 77`);
      expect(status()).toMatchObject({
        inForce: true,
        differences: [RULE, expect.stringMatching(/^! vpn\/leave: /)],
        inFront: ['IPv4 rule 100: iif a"\\b lookup 77'],
        probe: 'not tried',
      });
      expect(machine.verify().code).toBe(1);
      expect(metrics()).toMatchObject({ in_force: 1, differences: 2 });
      expect(metrics()).not.toHaveProperty('probe_success');
    });

    test('packets of clients that are stopped', () => {
      succeeds(machine.apply(DATA));
      machine.must(
        `nft 'add table inet fw; add chain inet fw c { type filter hook forward priority 0; policy drop; }'`,
      );
      expect(status()).toMatchObject({ probe: 'failed', differences: [expect.stringMatching(/^! vpn\/leave: /)] });
      expect(machine.verify().code).toBe(1);
      expect(metrics()).toMatchObject({ differences: 1, probe_success: 0 });
    });

    test('what the watch has put back', () => {
      succeeds(machine.apply(DATA));
      machine.must(`${flavour.shell} /var/lib/source-routing/vpn1/agent watch --owner vpn1 >/mnt/journal 2>&1 </dev/null &
        echo $! >/mnt/watch.pid`);
      machine.until('grep -q watching /mnt/journal');
      for (const count of [1, 2]) {
        machine.must('ip rule del pref 10010');
        machine.until(`grep -q '^${count} ' /run/source-routing.repairs.vpn1`);
      }
      machine.must('kill $(cat /mnt/watch.pid)');
      expect(status()).toMatchObject({ differences: [], repairs: 2, repairedAt: recent });
      succeeds(machine.verify());
      expect(metrics()).toMatchObject({ repairs_total: 2, repaired_timestamp_seconds: recent });
    });

    test('a change on trial: no file, since a rollback would leave it', () => {
      succeeds(machine.apply(DATA, { options: '--confirm-timeout 30' }));
      expect(status()).toMatchObject({ inForce: true, onTrial: true, generation: 'g1' });
      succeeds(machine.verify());
      expect(machine.must(`ls -A ${DIRECTORY}`)).toBe('');
      succeeds(machine.agent('confirm'));
      succeeds(machine.verify());
      expect(metrics()).toMatchObject({ in_force: 1 });
    });

    test('a run that was killed', () => {
      succeeds(machine.apply(DATA));
      machine.atLine(1, 'kill');
      machine.apply([...DATA, 'rule 4 10020 from 10.20.0.0/24 lookup 200'], { generation: 'g2' });
      expect(machine.fired()).toBe(true);
      expect(status()).toMatchObject({
        inForce: false,
        generation: '',
        reason: expect.stringContaining('killed half-way'),
      });
      expect(machine.verify().code).toBe(1);
      expect(metrics()).toMatchObject({ in_force: 0 });
    });

    test('the file goes with the declaration, and with the owner', () => {
      succeeds(machine.apply(DATA));
      succeeds(machine.verify());
      succeeds(machine.apply(ROUTING, { generation: 'g2' }));
      succeeds(machine.verify());
      expect(machine.must(`ls -A ${DIRECTORY}`)).toBe('');
      succeeds(machine.apply(DATA, { generation: 'g3' }));
      succeeds(machine.verify());
      succeeds(machine.agent('remove'));
      expect(machine.must(`ls -A ${DIRECTORY}; ls /run`)).not.toContain('source-routing');
    });

    test.each([
      ['a link to a file of root', `ln -s /mnt/secret ${FILE}`],
      ['a link to a directory of root', `ln -s /mnt/d ${FILE}`],
      ['a FIFO', `mkfifo ${FILE}`],
    ])('the owner of the directory has put %s there: it is replaced', (_, prepare) => {
      succeeds(machine.apply(DATA));
      machine.must(`echo secret >/mnt/secret; chmod 600 /mnt/secret; mkdir /mnt/d; ${prepare}`);
      succeeds(machine.verify());
      expect(machine.must('cat /mnt/secret; stat -c %a /mnt/secret; ls -A /mnt/d')).toBe('secret\n600\n');
      expect(machine.must(`stat -c '%F' ${FILE}; ls -A ${DIRECTORY}`)).toBe('regular file\nsource-routing-vpn1.prom\n');
    });

    test('the owner of the directory swaps what is in it all the time: nothing of root is written, and nothing hangs', () => {
      succeeds(machine.apply(DATA));
      machine.write(
        '/mnt/swap',
        `#!/bin/sh
cd ${DIRECTORY}
while :; do
  for each in .source-routing-*; do
    mv -T "$each" away.$$ 2>/dev/null || continue
    case $((count = (count + 1) % 3)) in
      0) ln -s /mnt/d "$each" ;;
      1) mkdir "$each"; mkfifo "$each/new" ;;
      2) mkdir "$each"; ln -s /mnt/d/file "$each/new" ;;
    esac 2>/dev/null
  done
  rm -rf away.* 2>/dev/null
done
`,
      );
      machine.must(`mkdir /mnt/d; chmod 755 /mnt/swap
        setpriv --reuid 7077 --regid 7077 --clear-groups dash /mnt/swap >/dev/null 2>&1 </dev/null & echo $! >/mnt/swap.pid`);
      for (let round = 0; round < 15; round++) succeeds(machine.verify());
      machine.must('kill $(cat /mnt/swap.pid)');
      expect(machine.must('ls -A /mnt/d')).toBe('');
    });

    test.each([
      [
        'has no such directory',
        `rm -r ${DIRECTORY}`,
        'cd|Directory nonexistent|[Nn]o such file or directory|nonexistent directory',
      ],
      ['has a directory in its place', `mkdir -p ${FILE}/x`, 'directory'],
    ])('a machine that %s: a note, and verify is as before', (_, prepare, reason) => {
      succeeds(machine.apply(DATA));
      machine.must(prepare);
      const done = machine.verify();
      succeeds(done);
      expect(done.out).toMatch(new RegExp(`note: cannot write ${FILE}: .*(${reason})`));
      expect(machine.sh(`ls -A ${DIRECTORY}`).out).not.toContain('.source-routing-');
    });

    test('the command for people prints a line for each owner, and nothing else', () => {
      const run = (args: string): Outcome => machine.sh(`${flavour.shell} /mnt/source-routing ${args} 2>/dev/null`);
      expect(run('status --json')).toMatchObject({ code: 0, out: '' });
      succeeds(machine.apply(DATA));
      succeeds(machine.apply(['table 210 -', 'rule 4 20010 from 10.20.0.0/16 lookup 210'], { owner: 'b' }));
      const documents = lines(run('status --json').out).map((line) => JSON.parse(line) as { owner: string });
      expect(documents.map(({ owner }) => owner)).toEqual(['b', 'vpn1']);
      expect(JSON.parse(run('status b --json').out)).toMatchObject({ owner: 'b', probe: 'not tried' });
      expect(run('status c --json')).toMatchObject({ code: 64, out: '' });
      machine.must(
        'mkdir /run/source-routing.lock; read -r s </proc/1/stat; set -- ${s##*) }; echo "1 ${20} other" >/run/source-routing.lock/holder',
      );
      expect(run('status b --json')).toMatchObject({ code: 75, out: '' });
    });
  });
});

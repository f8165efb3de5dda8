import { spawn } from 'child_process';
import { dispatcherText, upHookText } from '../../lib/agent/program';
import { Machine, bundle, describeOnMachine, lines, testProgram } from './machine';

const POOL = [
  'table 200 vpn',
  'table 201 -',
  'rule 4 10010 from 10.10.0.0/16 lookup 200',
  'rule 6 10010 from fd00:4242::/32 lookup 200',
  'route 4 200 default 4278198272 type unreachable',
  'route 6 200 default 4278198272 type unreachable',
];
const hook = (...tables: number[]): string[] => {
  const text = upHookText(tables).trimEnd().split('\n');
  return [
    `file 0755 /etc/openvpn/up ${text.length}`,
    ...text.map((line) => `|${line}`),
    `hook openvpn /etc/openvpn/up ${tables.join(' ')}`,
  ];
};
/** Two tunnels, and a device that has nothing to do with them. */
const TUNNELS = `
  for n in 0 1; do
    ip link add tun$n type bridge; ip link set tun$n up
    ip addr add 10.10.$n.1/24 dev tun$n; ip -6 addr add fd00:4242:$n::1/64 dev tun$n nodad
  done
  ip route add 10.10.99.0/24 via 10.10.0.2 dev tun0
  # None of these is for the clients.
  ip route add default via 10.10.0.2 dev tun0 metric 500; ip -6 route add default via fd00:4242:0::2 dev tun0
  ip route add 224.0.0.0/4 dev tun0; ip route add 169.254.0.0/16 dev tun0; ip route add blackhole 10.10.88.0/24
  ip -6 addr add fe80::1/64 dev tun0 nodad`;
const COPIED = ['10.10.0.0/24 dev tun0 proto 78 scope 253', '10.10.1.0/24 dev tun1 proto 78 scope 253'];

describeOnMachine('the commands', () => {
  let machine: Machine;
  beforeEach(() => {
    machine = new Machine();
  });
  afterEach(() => {
    machine.close();
  });

  describe('the up hook', () => {
    const run = (command: string): ReturnType<Machine['sh']> => machine.sh(command);
    beforeEach(() => {
      machine.must(TUNNELS);
      machine.write('/mnt/up', upHookText([200, 201]));
    });

    test.each([
      ['OpenVPN', 'dev=tun0 script_type=up dash /mnt/up tun0 1500 0 10.10.0.1 255.255.255.0 init'],
      ['wg-quick', 'busybox ash /mnt/up tun0'],
      ['bash', 'bash --posix /mnt/up tun0'],
    ])('copies the routes of the tunnel into the tables (%s)', (_, command) => {
      const seen = machine.monitored(() => expect(run(command)).toMatchObject({ code: 0, out: '' }));
      expect(seen).toHaveLength(2 * 3);
      for (const table of [200, 201]) {
        expect(machine.routes(table, 4)).toEqual([
          '10.10.0.0/24 dev tun0 proto 78 scope 253',
          '10.10.99.0/24 via 10.10.0.2 dev tun0 proto 78',
        ]);
        expect(machine.routes(table, 6)).toEqual(['fd00:4242::/64 dev tun0 proto 78 metric 1024 pref medium']);
      }
      // They go with the tunnel: no down hook is needed.
      machine.must('ip link del tun0');
      expect(machine.routes(200)).toEqual([]);
    });

    test.each(['', '-x', 'a b', '$(reboot)', 'tun0;reboot', 'no-such-dev', '../../etc'])(
      'never fails, nor believes a device "%s"',
      (device) => {
        const done = run(`dev='${device}' dash /mnt/up`);
        expect(done.code).toBe(0);
        expect(machine.routes(200)).toEqual([]);
        expect(done.out).not.toBe('');
      },
    );

    test('is run for the tunnels that are up, and only when there is something to copy', () => {
      const done = machine.apply([...POOL, ...hook(200)]);
      expect(done).toMatchObject({ code: 0 });
      expect(done.out).toContain('ran /etc/openvpn/up for tun0');
      expect(done.out).toContain('ran /etc/openvpn/up for tun1');
      expect(done.out).not.toContain('for eth');
      expect(machine.routes(200, 4)).toEqual(expect.arrayContaining(COPIED));
      expect(machine.routes(200, 6).filter((line) => line.includes('proto 78'))).toHaveLength(2);
      const seen = machine.monitored(() =>
        expect(machine.apply([...POOL, ...hook(200)], { generation: 'g2' }).code).toBe(0),
      );
      expect(seen).toEqual([]);
      expect(machine.verify()).toMatchObject({ code: 0 });
      machine.must('ip route del 10.10.1.0/24 table 200');
      expect(machine.apply([...POOL, ...hook(200)], { generation: 'g3' }).out).toMatch(/ran .* for tun1/);
      expect(machine.routes(200, 4)).toEqual(expect.arrayContaining(COPIED));
    });

    test('takes its routes along when it goes, or serves another table', () => {
      machine.apply([...POOL, ...hook(200)]);
      expect(machine.apply([...POOL, ...hook(201)], { generation: 'g2' }).code).toBe(0);
      expect(machine.routes(200)).toEqual(['7 default proto 77 metric 4278198272']);
      expect(machine.apply([...POOL, ...hook(200)], { generation: 'g3' }).code).toBe(0);
      expect(machine.routes(200)).toEqual(expect.arrayContaining(COPIED));
      const before = machine.picture();
      machine.atLine(2, 'fail');
      expect(machine.apply(POOL, { generation: 'g4' })).toMatchObject({ code: 70 });
      expect(machine.fired()).toBe(true);
      expect(machine.picture()).toBe(before);
      expect(machine.apply(POOL, { generation: 'g4' }).code).toBe(0);
      expect(machine.routes(200)).toEqual(['7 default proto 77 metric 4278198272']);
      machine.apply([...POOL, ...hook(200)], { generation: 'g5' });
      expect(machine.agent('remove').code).toBe(0);
      expect([...machine.routes(200), ...machine.routes(200, 6)]).toEqual([]);
      expect(machine.sh('ls /etc/openvpn').code).not.toBe(0);
    });

    test('that fails is a note, not the end', () => {
      const failing = [
        'file 0755 /etc/openvpn/up 1',
        '|echo "it rains" >&2; exit 1',
        'hook openvpn /etc/openvpn/up 200',
      ];
      const done = machine.apply([...POOL, ...failing]);
      expect(done.code).toBe(0);
      expect(done.out).toContain('note: /etc/openvpn/up failed for tun0: it rains');
    });
  });

  describe('source-routing', () => {
    const OTHER = ['table 210 -', 'rule 4 20010 from 10.20.0.0/16 lookup 210'];
    beforeEach(() => {
      machine.must('mkdir /usr/local/sbin');
      machine.write('/usr/local/sbin/source-routing', dispatcherText());
    });
    const run = (args: string): ReturnType<Machine['sh']> => machine.sh(`dash /usr/local/sbin/source-routing ${args}`);

    test('says so where nothing is declared', () => {
      expect(run('status')).toMatchObject({ code: 0, last: 'source-routing: nothing is declared on this machine' });
    });

    test('implies the only owner', () => {
      machine.apply(POOL);
      expect(run('verify').code).toBe(0);
      machine.must('ip rule del pref 10010');
      expect(run('diff')).toMatchObject({
        code: 1,
        out: expect.stringContaining('+ IPv4 rule 10010: from 10.10.0.0/16 lookup 200'),
      });
      expect(run('assert').code).toBe(0);
      expect(run('status')).toMatchObject({
        code: 0,
        out: expect.stringContaining('IPv4 rule 10010: from 10.10.0.0/16 lookup 200'),
      });
      expect(run('remove').code).toBe(0);
      expect(machine.rules()).toEqual([]);
    });

    test('asks which of several, but shows all', () => {
      machine.apply(POOL);
      machine.apply(OTHER, { owner: 'b' });
      expect(run('remove')).toMatchObject({
        code: 64,
        last: expect.stringContaining('(b vpn1): source-routing remove OWNER'),
      });
      expect(run('status').out).toMatch(/owner b:[^]*owner vpn1:/);
      expect(run('verify b').code).toBe(0);
      expect(run('verify c')).toMatchObject({ code: 64, last: expect.stringContaining('the owners here: b vpn1') });
    });

    test.each(['explode', 'apply', 'status a b'])('refuses "%s"', (args) => {
      expect(run(args).code).toBe(64);
    });
  });

  test.each([
    ['', 'a command is missing'],
    ['explode', 'there is no command explode'],
    ['apply --owner ../x --generation g1 /mnt/bundle', '--owner must be a name'],
    ['apply --owner vpn1 --generation current /mnt/bundle', '--generation must not be current'],
    ['apply --owner vpn1 --generation a/b /mnt/bundle', '--generation must be a name'],
    ['verify --owner', '--owner needs a value'],
    ['verify --what', 'there is no option --what'],
    ['verify --owner vpn1 x', 'unexpected'],
  ])('wrong usage: agent %s', (args, expected) => {
    const before = machine.picture();
    machine.write('/mnt/bundle', bundle(['bundle 1', 'owner vpn1'], testProgram()));
    const done = machine.sh(`dash /mnt/bundle ${args}`);
    expect(done.code).toBe(64);
    expect(done.last).toContain(expected);
    expect(machine.picture()).toBe(before);
  });

  test('never deletes a file that is no bundle', () => {
    machine.write('/mnt/bundle', bundle(['bundle 1', 'owner vpn1'], testProgram()));
    machine.must('echo "root:x:0:0" >/mnt/passwd');
    const done = machine.sh('dash /mnt/bundle apply --owner vpn1 --generation g1 /mnt/passwd');
    expect(done.code).toBe(65);
    expect(machine.must('cat /mnt/passwd')).toBe('root:x:0:0\n');
  });

  test('runs at the same time wait for each other', async () => {
    const owners = ['a', 'b', 'c', 'd'];
    // As in the product: wait for a minute.
    const program = testProgram().replace('LOCK_WAIT=2', 'LOCK_WAIT=60');
    owners.forEach((owner, i) => {
      const data = [
        'bundle 1',
        `owner ${owner}`,
        `table 30${i} -`,
        `rule 4 ${100 + i} from 10.${i}.0.0/16 lookup 30${i}`,
      ];
      machine.write(`/mnt/${owner}`, bundle(data, program));
    });
    // A killed run has left its lock: only one may break it.
    machine.must('mkdir /run/source-routing.lock; echo "1 99 x" >/run/source-routing.lock/holder');
    const codes = await Promise.all(
      owners.map(
        (owner) =>
          new Promise<number | null>((resolve) => {
            const [command, args] = machine.inside(
              'dash',
              `/mnt/${owner}`,
              'apply',
              '--owner',
              owner,
              '--generation',
              'g',
              `/mnt/${owner}`,
            );
            spawn(command, args, { stdio: 'ignore' }).on('exit', resolve);
          }),
      ),
    );
    expect(codes).toEqual([0, 0, 0, 0]);
    expect(machine.rules()).toHaveLength(4);
    for (const owner of owners) {
      expect(machine.verify(owner).code).toBe(0);
    }
    expect(lines(machine.must('ls /run'))).not.toContain('source-routing.lock');
    // Each waits a second at a time for those before it.
  }, 20_000);

  test('needs root, and says so', () => {
    machine.write('/mnt/bundle', bundle(['bundle 1', 'owner vpn1', ...POOL], testProgram()));
    machine.must('chmod 755 /mnt; chmod 644 /mnt/bundle');
    const done = machine.sh(
      'setpriv --reuid=65534 --clear-groups dash /mnt/bundle apply --owner vpn1 --generation g1 /mnt/bundle',
    );
    expect(done).toMatchObject({ code: 69, last: expect.stringContaining('root is needed') });
  });
});

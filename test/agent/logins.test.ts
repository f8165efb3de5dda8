import { AWKS, BUSYBOX, DASH, Machine, bundle, describeOnMachine, lines, testProgram } from './machine';
import type { Outcome } from './machine';

/** The login of Terraform: a peer on the link, one behind the gateway, one of IPv6. */
const NEAR = '192.168.178.10 50000 192.168.178.2 22';
const FAR = '203.0.113.9 50000 192.168.178.2 22';
const V6 = 'fd00:1010::9 50000 fd00:1010::100 22';

const TABLE = ['table 200 vpn', 'route 4 200 default 0 via 192.168.1.1 dev eth1'];
const HOW_TO = [
  ...TABLE,
  'rule 4 10009 to 10.10.10.0/24 lookup 254',
  'rule 4 10010 from 10.10.10.0/24 lookup 200',
  'rule 6 10009 to fd00:4242:4242:4242::/64 lookup 254',
  'rule 6 10010 from fd00:4242:4242:4242::/64 lookup 200',
  'route 4 200 default 4278198272 type unreachable',
  'route 6 200 default 1024 via fd00:1010::1 dev eth1',
  'route 6 200 default 4278198272 type unreachable',
];

const ETH0 = '"dev eth0"';
const GATEWAY = '"via 192.168.178.1 dev eth0"';
const ETH1 = '"via 192.168.1.1 dev eth1"';
const REJECTED = '"rejected \\([^)]*\\)"';

describeOnMachine('whoever is logged in', () => {
  let machine: Machine;
  const start = (flavour = DASH): void => {
    machine = new Machine(flavour);
  };
  afterEach(() => {
    machine.must('[ ! -e /mnt/login ] || kill -9 "$(cat /mnt/login)" 2>/dev/null || :');
    machine.close();
  });

  const apply = (data: readonly string[], ssh: string, options = '', generation = 'g1'): Outcome => {
    machine.write('/mnt/bundle', bundle(['bundle 1', 'owner vpn1', ...data], testProgram()));
    return machine.sh(
      `${machine.flavour.shell} /mnt/bundle apply --owner vpn1 --generation ${generation} --ssh "${ssh}" ${options} /mnt/bundle`,
    );
  };
  const fakeSs = (...connections: string[]): void => {
    // Each belongs to a process of a login.
    machine.must(
      '[ -e /mnt/login ] || { bash -c \'exec -a "sshd: u@pts/0" sleep 60\' >/dev/null 2>&1 & echo $! >/mnt/login; }',
    );
    const pid = machine.must('cat /mnt/login').trim();
    const all = connections.map((line) => `${line} users:(("sshd",pid=${pid},fd=4))`);
    machine.write('/mnt/bin/ss', `#!/bin/sh\necho "$*" >/mnt/ss.log\ncat <<END\n${all.join('\n')}\nEND\n`);
  };
  /** From, to, fault and question, as the last line has them. */
  const moved = (peer: string, from: string, to: string, fault: string, question = '.*'): RegExp =>
    new RegExp(
      `FAILED, and everything was put back as it was: this change moved the replies of this machine's SSH server to ${peer} from ${from} to ${to} \\(${fault}; ip -[46] route get ${question}\\)\\. You could be locked out: .*or set allowManagementPathChange: true`,
    );

  const undone: Array<[string, string, string[], RegExp]> = [
    [
      'a rule that drops what goes to the peer',
      NEAR,
      ['rule 4 10010 to 192.168.178.10 blackhole'],
      moved('192.168.178.10', ETH0, REJECTED, 'rule 10010: to 192.168.178.10 blackhole'),
    ],
    [
      'a default route of the main table that goes away for another one',
      FAR,
      ['route 4 254 203.0.0.0/8 0 type unreachable'],
      moved('203.0.113.9', GATEWAY, REJECTED, 'route in table 254: 203.0.0.0/8 type unreachable'),
    ],
    [
      'a rule that takes all replies to another uplink',
      NEAR,
      [...TABLE, 'rule 4 10010 from 192.168.178.2 lookup 200'],
      moved('192.168.178.10', ETH0, ETH1, 'rule 10010: from 192.168.178.2 lookup 200'),
    ],
    [
      'a rule that only new connections feel',
      NEAR,
      ['rule 4 10010 not to 192.168.178.10 tos 0x8 blackhole'],
      moved('192.168.178.10', ETH0, REJECTED, 'rule 10010: not to 192.168.178.10 tos 0x8 blackhole'),
    ],
    [
      'a rule that only established connections feel',
      NEAR,
      ['rule 4 10010 to 192.168.178.10 tos 0x8 blackhole'],
      moved('192.168.178.10', ETH0, REJECTED, 'rule 10010: to 192.168.178.10 tos 0x8 blackhole', '.* tos 0x8'),
    ],
    [
      'a rule for some ports of the peer',
      NEAR,
      ['rule 4 10010 ipproto 6 dport 40000-40100 unreachable'],
      moved('192.168.178.10', ETH0, REJECTED, 'rule 10010: ipproto 6 dport 40000-40100 unreachable', '.* dport 40000'),
    ],
    [
      'a rule for the port of the server',
      NEAR,
      ['rule 4 10010 ipproto 6 sport 20-30 prohibit'],
      moved('192.168.178.10', ETH0, REJECTED, 'rule 10010: ipproto 6 sport 20-30 prohibit'),
    ],
    [
      'a rule for what this machine itself sends',
      NEAR,
      ['rule 4 10010 iif lo unreachable'],
      moved('192.168.178.10', ETH0, REJECTED, 'rule 10010: iif lo unreachable'),
    ],
    [
      'a jump over the main table',
      NEAR,
      ['rule 4 10010 goto 32767'],
      moved('192.168.178.10', ETH0, REJECTED, 'rule 10010: goto 32767'),
    ],
    [
      'the other family',
      V6,
      ['rule 6 10010 from fd00:1010::/64 unreachable'],
      moved('fd00:1010::9', '"dev eth1"', REJECTED, 'rule 10010: from fd00:1010::/64 unreachable'),
    ],
    [
      'a route without a device',
      FAR,
      ['route 4 254 203.0.113.0/24 0 via 192.168.1.1'],
      moved('203.0.113.9', GATEWAY, ETH1, 'route in table 254: 203.0.113.0/24 via 192.168.1.1'),
    ],
    [
      'several next hops',
      FAR,
      [
        'route 4 254 203.0.113.0/24 0 nexthop via 192.168.1.1 dev eth1 weight 1 nexthop via 192.168.1.7 dev eth1 weight 1',
      ],
      moved(
        '203.0.113.9',
        GATEWAY,
        '"via 192.168.1.[17] dev eth1"',
        'route in table 254: 203.0.113.0/24 nexthop .* weight 1',
      ),
    ],
    [
      'a mapped address',
      '::ffff:192.168.178.10 50000 ::ffff:192.168.178.2 22',
      ['rule 4 10010 to 192.168.178.10 blackhole'],
      moved('192.168.178.10', ETH0, REJECTED, 'rule 10010: to 192.168.178.10 blackhole'),
    ],
    [
      'another port of the server',
      '192.168.178.10 50000 192.168.178.2 2222',
      ['rule 4 10010 ipproto 6 sport 2222 blackhole'],
      moved('192.168.178.10', ETH0, REJECTED, 'rule 10010: ipproto 6 sport 2222 blackhole'),
    ],
  ];
  describe.each([DASH, BUSYBOX])('under $name is never cut off: at once it undoes', (flavour) => {
    test.each(undone)('%s', (_, ssh, data, expected) => {
      start(flavour);
      const before = machine.picture();
      const done = apply(data, ssh);
      expect(done.last).toMatch(expected);
      expect(done.code).toBe(70);
      expect(machine.picture()).toBe(before);
    });
  });

  const harmless: Array<[string, string, string[]]> = [
    ['the how-to', NEAR, HOW_TO],
    ['the how-to, peer behind the gateway', FAR, HOW_TO],
    ['the how-to, peer of IPv6', V6, HOW_TO],
    ['a rule for what others send', NEAR, [...TABLE, 'rule 4 10010 iif eth0 lookup 200']],
    ['a rule for a device that the server is not bound to', NEAR, [...TABLE, 'rule 4 10010 oif eth1 lookup 200']],
    ['a rule of the other family', NEAR, ['rule 6 10010 unreachable']],
    ['a rule for another protocol', NEAR, ['rule 4 10010 ipproto 17 unreachable']],
    [
      'a rule for marked packets',
      NEAR,
      ['rule 4 10010 fwmark 0x1 unreachable', 'rule 4 10011 fwmark 0x6/0xe blackhole'],
    ],
    ['a rule for another user', NEAR, ['rule 4 10010 uidrange 1000-1000 unreachable']],
    ['another way to the same', NEAR, [...TABLE, 'rule 4 10010 from 192.168.178.2 lookup 254']],
    ['a rule for all but this', NEAR, ['rule 4 10010 not from 192.168.178.2 ipproto 6 blackhole']],
    [
      'a rule with one for the peer in front',
      NEAR,
      [...TABLE, 'rule 4 10009 to 192.168.178.10 lookup 254', 'rule 4 10010 from 192.168.178.2 lookup 200'],
    ],
    [
      'a rule that is jumped over',
      NEAR,
      ['rule 4 10009 from 192.168.178.2 goto 10011', 'rule 4 10010 blackhole', 'rule 4 10011 lookup 254'],
    ],
    ['a rule whose result is suppressed', NEAR, [...TABLE, 'rule 4 10010 lookup 200 suppress_prefixlength 0']],
    ['a rule whose device is suppressed', NEAR, [...TABLE, 'rule 4 10010 lookup 200 suppress_ifgroup 0']],
    ['a route with a worse metric', FAR, ['route 4 254 default 50 via 192.168.1.1 dev eth1']],
    [
      'a table with nothing for the peer',
      NEAR,
      ['table 200 -', 'rule 4 10010 lookup 200', 'route 4 200 10.0.0.0/8 0 type blackhole'],
    ],
    ['a thrown packet', NEAR, ['table 200 -', 'rule 4 10010 lookup 200', 'route 4 200 default 0 type throw']],
  ];
  describe.each([DASH, BUSYBOX])('under $name lets pass', (flavour) => {
    test.each(harmless)('%s', (_, ssh, data) => {
      start(flavour);
      const done = apply(data, ssh);
      expect(done.out).not.toMatch(/connection|moved/);
      expect(done.last).toContain('is in force');
      expect(done.code).toBe(0);
    });
  });

  test('a rule that goes away can be the fault, too', () => {
    start();
    const data = ['rule 4 10009 to 192.168.178.10 lookup 254'];
    const with200 = [...TABLE, ...data];
    machine.must('ip route add default via 192.168.1.1 dev eth1 table 300; ip rule add lookup 300 pref 20000');
    // The change that makes the path what it is needs leave.
    expect(apply(with200, NEAR).code).toBe(70);
    expect(apply(with200, NEAR, '--allow-management-path-change').code).toBe(0);
    expect(apply(TABLE, NEAR, '', 'g2').last).toMatch(
      moved('192.168.178.10', ETH0, ETH1, 'rule 10009: to 192.168.178.10 lookup 254, which goes away'),
    );
    expect(apply(TABLE, NEAR, '--allow-management-path-change', 'g2').code).toBe(0);
  });

  test('a route that is replaced or goes away is seen', () => {
    start();
    const route = (via: string): string[] => [`route 4 254 203.0.113.0/24 0 via ${via}`];
    expect(apply(route('192.168.178.1 dev eth0'), FAR).code).toBe(0);
    expect(apply(route('192.168.178.7 dev eth0'), FAR, '', 'g2').last).toMatch(
      moved(
        '203.0.113.9',
        GATEWAY,
        '"via 192.168.178.7 dev eth0"',
        'route in table 254: 203.0.113.0/24 via 192.168.178.7 dev eth0',
      ),
    );
    machine.must('ip route del default');
    expect(apply(['table 200 -'], FAR, '', 'g3').last).toMatch(
      moved('203.0.113.9', GATEWAY, REJECTED, 'route in table 254: 203.0.113.0/24, which goes away'),
    );
  });

  test('what was no path cannot be lost', () => {
    start();
    machine.must('ip rule add to 192.168.178.10 dport 40000-40100 ipproto 6 blackhole pref 20000');
    expect(apply(['rule 4 10010 to 192.168.178.10 ipproto 6 dport 40000-40100 unreachable'], NEAR).code).toBe(0);
    // Nor does it hide that the rest is lost.
    expect(apply(['rule 4 10011 to 192.168.178.10 ipproto 6 blackhole'], NEAR, '', 'g2').last).toMatch(
      moved('192.168.178.10', ETH0, REJECTED, 'rule 10011: .*'),
    );
  });

  test("words of a later iproute2 are in nobody's way", () => {
    start();
    machine.write(
      '/mnt/bin/ip',
      '#!/bin/sh\ncase "$*" in\n"-N -o -d -4 rule show") /usr/sbin/ip "$@" | sed "s/tos 0x04/dscp CS1/" ;;\n*) exec /usr/sbin/ip "$@" ;;\nesac\n',
    );
    machine.must('ip rule add pref 20000 to 192.168.178.10 tos 0x04 blackhole');
    expect(apply(['rule 4 10010 to 192.168.178.10 ipproto 17 blackhole'], NEAR).code).toBe(0);
    expect(apply(['rule 4 20001 to 192.168.178.10 blackhole'], NEAR, '', 'g2').last).toMatch(
      moved('192.168.178.10', ETH0, REJECTED, 'rule 20001: to 192.168.178.10 blackhole'),
    );
  });

  test('with leave the change is made, and the risk is said', () => {
    start();
    const done = apply(['rule 4 10010 to 192.168.178.10 blackhole'], NEAR, '--allow-management-path-change');
    expect(done.out).toContain(
      `source-routing: note: this change moved the replies of this machine's SSH server to 192.168.178.10 from ${ETH0} to "rejected (Invalid argument)" (rule 10010: to 192.168.178.10 blackhole; ip -4 route get 192.168.178.10 from 192.168.178.2 ipproto 6 sport 22 dport 50000)\n`,
    );
    expect(done.out.match(/this change moved/g)).toHaveLength(1);
    expect(done.code).toBe(0);
  });

  describe('a peer on the link alone', () => {
    const peer = 'fe80::9%eth0 50000 fe80::2%eth0 22';
    beforeEach(() => {
      start();
      machine.must('ip -6 addr add fe80::2/64 dev eth0 nodad; ip -6 addr add fe80::3/64 dev eth1 nodad');
    });

    test.each([
      ['rule 6 10010 unreachable'],
      ['rule 6 10010 oif eth0 unreachable'],
      ['rule 6 10010 to fe80::/16 unreachable'],
    ])('is cut off by "%s"', (rule) => {
      expect(apply([rule], peer).last).toMatch(moved('fe80::9', '"dev eth0"', REJECTED, 'rule 10010: .*'));
    });

    test.each([['rule 6 10010 oif eth1 unreachable'], ['rule 6 10010 from fd00:1010::/64 unreachable']])(
      'is left alone by "%s"',
      (rule) => {
        const done = apply([rule], peer);
        expect(done.out).not.toContain('cannot foresee');
        expect(done.code).toBe(0);
      },
    );
  });

  describe('other logins', () => {
    const rule = (prefix: string): string[] => [`rule ${prefix.includes(':') ? 6 : 4} 10010 to ${prefix} blackhole`];
    beforeEach(() => {
      start();
    });

    test.each([
      ['0 0 192.168.178.2:22 192.168.178.11:40000', '192.168.178.11', '192.168.178.11'],
      ['0 0 [::ffff:192.168.178.2]:22 [::ffff:192.168.178.11]:40000', '192.168.178.11', '192.168.178.11'],
      ['0 36 [fd00:1010::100]:22 [fd00:1010::8]:40000 timer:(on,1ms,0)', 'fd00:1010::8', 'fd00:1010::8'],
      ['0 0 [fe80::2]%eth0:22 [fe80::8]:40000', 'fe80::8', 'fe80::8'],
    ])('as ss prints them (%s) count', (line, peer, prefix) => {
      machine.must('ip -6 addr add fe80::2/64 dev eth0 nodad');
      fakeSs(line, line);
      const done = apply(rule(prefix), NEAR);
      expect(done.last).toMatch(moved(peer, '"dev eth[01]"', REJECTED, 'rule 10010: .*'));
      expect(machine.must('cat /mnt/ss.log')).toBe('-tnepH state established sport = :22\n');
    });

    test('count without a login of Terraform, on port 22', () => {
      fakeSs('0 0 192.168.178.2:22 192.168.178.11:40000');
      expect(apply(rule('192.168.178.11'), '').code).toBe(70);
      expect(machine.must('cat /mnt/ss.log')).toContain('sport = :22\n');
      machine.must('rm /mnt/ss.log');
      expect(apply(rule('192.168.178.11'), '192.168.178.10 1 192.168.178.2 2222').code).toBe(70);
      expect(machine.must('cat /mnt/ss.log')).toContain('sport = :2222\n');
    });

    test('are named one by one', () => {
      fakeSs('0 0 192.168.178.2:22 192.168.178.11:40000', '0 0 192.168.178.2:22 192.168.178.10:50000');
      const done = apply(rule('192.168.178.0/24'), NEAR);
      expect(done.last).toMatch(/SSH server to 192\.168\.178\.10 .*\. Other logins that moved: 1$/);
      expect(
        lines(done.out).filter((line) => /^source-routing: this change moved .* to 192\.168\.178\.11 /.test(line)),
      ).toHaveLength(1);
    });

    test('of a server of another user follow the rules for that user', () => {
      fakeSs('0 0 192.168.178.2:22 192.168.178.11:40000 uid:1000 ino:5 sk:6');
      expect(apply(['rule 4 10010 uidrange 1000-1000 unreachable'], NEAR).last).toMatch(
        moved('192.168.178.11', ETH0, REJECTED, 'rule 10010: .*', '.* uid 1000'),
      );
    });

    test('that cannot be read are not read', () => {
      fakeSs('garbage', '0 0 a:22 b:1', '0 0 192.168.178.2:22 fd00::1:5');
      expect(apply(rule('192.168.178.0/24'), NEAR).last).toMatch(/the rollback timer$/);
    });
  });

  test.each([['what'], ['1.2.3.4 5 6.7.8.9'], ['1.2.3.4 5 fd00::1 22'], ['$(touch /mnt/no) 1 1.2.3.4 22']])(
    'a login "%s" is not taken for one',
    (ssh) => {
      start();
      const done = apply(HOW_TO, ssh.replace(/\$/g, '\\$'));
      expect(done.out).toContain('is no SSH connection; whether it survives the change is not looked at');
      expect(done.code).toBe(0);
      expect(machine.sh('test -e /mnt/no').code).toBe(1);
    },
  );

  test('nothing is asked where nothing changes', () => {
    start();
    expect(apply(HOW_TO, NEAR).code).toBe(0);
    fakeSs('');
    expect(apply(HOW_TO, NEAR, '', 'g2').last).toContain('nothing to do');
    expect(machine.sh('test -e /mnt/ss.log').code).toBe(1);
  });

  test.each(AWKS)('many rules, routes and logins are no matter (%s)', (awk) => {
    start({ ...DASH, awk });
    const many = (n: number, text: (i: number) => string): string[] => Array.from({ length: n }, (_, i) => text(i));
    const batch = [
      ...many(1000, (i) => `rule add pref ${20000 + i} from 10.${i >> 8}.${i & 255}.0/24 lookup 254`),
      ...many(500, (i) => `rule add pref ${22000 + i} not to 10.0.0.0/8 ipproto 6 dport ${i + 1} lookup 254`),
      ...many(5000, (i) => `route add 172.16.${i >> 8}.${i & 255}/32 via 192.168.178.1`),
    ];
    machine.write('/mnt/batch', `${batch.join('\n')}\n`);
    machine.must('ip -batch /mnt/batch');
    fakeSs(...Array.from({ length: 60 }, (_, i) => `0 0 192.168.178.2:22 192.168.178.${100 + i}:40000`));
    const before = machine.picture();
    const done = apply(['rule 4 10010 to 192.168.178.0/24 blackhole'], NEAR);
    expect(done.last).toMatch(/\. Other logins that moved: 49$/);
    expect(done.out.match(/^source-routing: this change moved/gm)).toHaveLength(19);
    expect(machine.picture()).toBe(before);
  });
});

import { execFileSync } from 'child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'fs';
import { tmpdir } from 'os';
import { join } from 'path';
import { agentProgram, dispatcherText, upHookText } from '../../lib/agent/program';
import { parseAddress } from '../../lib/model/value';
import { AWKS, describeOnMachine } from './machine';

const AGENT = join(__dirname, '../../lib/agent');
const source = (name: string): string => readFileSync(join(AGENT, name), 'utf8');

/** Runs awk programs from lib/agent and `main` over the input lines. */
function awk(
  which: string,
  parts: readonly string[],
  main: string,
  input: readonly string[],
  variables: string[] = [],
): string[] {
  const [command = '', ...args] = which.split(' ');
  const program = `${parts.map(source).join('\n')}\n${main}`;
  const out = execFileSync(command, [...args, ...variables.flatMap((v) => ['-v', v]), program], {
    input: `${input.join('\n')}\n`,
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
  });
  return out.split('\n').slice(0, -1);
}

/** The URL parser of Node knows the canonical form of IPv6 addresses; it says so without help of ours. */
function canonical(address: string): string {
  return new URL(`http://[${address}]`).hostname.slice(1, -1);
}

function isCanonicalised(address: string): boolean {
  try {
    canonical(address);
    return true;
  } catch {
    return false;
  }
}

// The same numbers each time.
let seed = 42;
function random(below: number): number {
  seed = (seed * 1103515245 + 12345) % 2147483648;
  return Math.floor((seed / 2147483648) * below);
}

function randomV6(): string {
  const groups = Array.from({ length: 8 }, () => (random(2) ? '0' : random(65536).toString(16)));
  const padded = groups.map((group) => (random(3) ? group : group.padStart(4, '0')));
  let text = padded.join(':');
  const runs = [...text.matchAll(/(^|:)(0+(:0+)*)(:|$)/g)];
  const run = runs[random(runs.length + 1)];
  if (run) {
    text = `${text.slice(0, run.index)}::${text.slice(run.index + run[0].length)}`;
  }
  return random(4) ? text : text.toUpperCase();
}

describeOnMachine('the awk parts', () => {
  describe.each(AWKS)('under %s', (which) => {
    test('bring IPv6 addresses into the form of the kernel', () => {
      const mapped = /^(0+:)*:?:?ffff:[0-9a-f]*:[0-9a-f]*$/i;
      const addresses = [
        'FD00:4242:0:0::',
        '::',
        '::1',
        '1::',
        '1:0:0:2:0:0:0:3',
        '1:0:0:2:3:0:0:4',
        '0:1:2:3:4:5:6:7',
        '1:2:3:4:5:6:7:0',
        '1:2:3:4:5:6:1.2.3.4',
        '::1.2.3.4',
      ]
        .concat(Array.from({ length: 500 }, randomV6))
        .filter((address) => !mapped.test(address));
      const expected = addresses.map(canonical);
      expect(awk(which, ['address.awk'], '{ print to_text(to_hex($0)) }', addresses)).toEqual(expected);
      expect(
        awk(which, ['address.awk'], '{ print to_text(to_hex($0)) }', ['::ffff:1.2.3.4', '::FFFF:102:304']),
      ).toEqual(['::ffff:1.2.3.4', '::ffff:1.2.3.4']);
      // Synth writes them in the same form, for the host to compare. It refuses IPv4 inside IPv6.
      const plain = addresses.filter((address) => !/^::([0-9a-f]+:)?[0-9a-f]+$/.test(canonical(address)));
      expect(plain.map((address) => parseAddress(address, 'via').text)).toEqual(plain.map(canonical));
    });

    test('know what is no address', () => {
      const bad = [
        '1::2::3',
        ':::',
        ':',
        '1',
        '1:2:3:4:5:6:7',
        '1:2:3:4:5:6:7:8:9',
        '12345::',
        'g::',
        '::1%eth0',
        '1:2:3:4:5:6:7::8:9',
        ':1:2:3:4:5:6:7',
        '1:2:3:4:5:6:7:',
        '::1.2.3',
        '::1.2.3.256',
        '1.2.3.4::',
        '',
      ];
      expect(bad.filter(isCanonicalised)).toEqual([]);
      const bad4 = [
        '1.2.3',
        '1.2.3.4.5',
        '256.1.1.1',
        '01.2.3.4',
        '1.2.3.-4',
        'a.b.c.d',
        '1.2.3.',
        '1..2.3',
        '1.2.3.4 ',
      ];
      expect(awk(which, ['address.awk'], '{ print "<" to_hex($0) ">" }', [...bad, ...bad4])).toEqual(
        [...bad, ...bad4].map(() => '<>'),
      );
    });

    test('find host bits', () => {
      const cases: Array<[string, string]> = [
        ['10.10.10.5/24', '10.10.10.0/24'],
        ['10.10.10.255/31', '10.10.10.254/31'],
        ['255.255.255.255/1', '128.0.0.0/1'],
        ['1.2.3.4/0', '0.0.0.0/0'],
        ['fd00:4242::1/64', 'fd00:4242::/64'],
        ['FD00::FFFF/123', 'fd00::ffe0/123'],
        ['ffff::/3', 'e000::/3'],
      ];
      const said = awk(which, ['address.awk'], '{ r = checked_prefix($0); print (r == "" ? wrong : "ok " r) }', [
        ...cases.map(([text]) => text),
        ...cases.map(([, mended]) => mended),
        '10.0.0.1',
      ]);
      expect(said).toEqual([
        ...cases.map(() => 'has host bits set'),
        ...cases.map(([, mended]) => `ok ${mended}`),
        'ok 10.0.0.1/32',
      ]);
      const mask = '{ split($0, p, "/"); print to_text(masked(to_hex(p[1]), p[2])) "/" p[2] }';
      expect(
        awk(
          which,
          ['address.awk'],
          mask,
          cases.map(([text]) => text),
        ),
      ).toEqual(cases.map(([, mended]) => mended));
    });

    test('read rules as any version of iproute2 prints them', () => {
      const printed: Array<[string, string]> = [
        ['100:\tfrom 10.0.0.0/24 lookup main proto static', '100|from 10.0.0.0/24 lookup 254|4'],
        ['100:\tfrom all lookup default', '100|lookup 253|0'],
        ['0:\tfrom all lookup local', '0|lookup 255|0'],
        ['101:\tfrom 10.0.0.0/24 blackhole proto 77', '101|from 10.0.0.0/24 blackhole|77'],
        ['101:\tfrom 10.0.0.0/24 6 proto 77', '101|from 10.0.0.0/24 blackhole|77'],
        ['102:\tfrom all goto 105 [unresolved] proto 77', '102|goto 105|77'],
        ['103:\tfrom all ipproto tcp dport 80 lookup 7', '103|ipproto 6 dport 80 lookup 7|0'],
        ['103:\tfrom all ipproto ipproto-6 dport 80 lookup 7', '103|ipproto 6 dport 80 lookup 7|0'],
        ['104:\tnot from all fwmark 0xCA6C/0xffffffff lookup 51820', '104|not fwmark 0xca6c lookup 51820|0'],
        [
          '105:\tfrom all iif eth7 [detached] oif eth8 [detached] lookup 7 suppress_prefixlength 0',
          '105|iif eth7 oif eth8 lookup 7 suppress_prefixlength 0|0',
        ],
        ['106:\tfrom ::ffff:1.2.3.0/120 lookup 7', '106|from ::ffff:1.2.3.0/120 lookup 7|0'],
        ['104:\tfrom all fwmark 0/0xff lookup 7', '104|fwmark 0x0/0xff lookup 7|0'],
        ['107:\tfrom all iif main lookup 7', '107|iif main lookup 7|0'],
        ['108:\tfrom all tos 0x08 lookup 7', '108|tos 0x8 lookup 7|0'],
        ['109:\tfrom all dscp CS1 lookup 7', '109|dscp CS1 lookup 7|0'],
      ];
      const main = '{ read_kernel_rule($0); print rule_priority "|" rule_spec "|" rule_protocol }';
      expect(
        awk(
          which,
          ['address.awk', 'kernel.awk'],
          main,
          printed.map(([line]) => line),
        ),
      ).toEqual(printed.map(([, expected]) => expected));
    });

    test('read routes as any version of iproute2 prints them', () => {
      const printed: Array<[string, string]> = [
        [
          'default via 192.168.1.1 dev eth1 table 200 proto 77 linkdown ',
          '4 200 default 0| via 192.168.1.1 dev eth1|77',
        ],
        ['7 default table 200 proto 77 metric 4278198272 ', '4 200 default 4278198272| type unreachable|77'],
        [
          'unreachable default dev lo table 200 proto 77 metric 4278198272 error -113 pref medium',
          '4 200 default 4278198272| type unreachable|77',
        ],
        [
          '10.6.0.0/16 dev table table 200 proto static scope link src 10.6.0.1 metric 50 mtu lock 1400',
          '4 200 10.6.0.0/16 50| dev table src 10.6.0.1 scope 253 mtu lock 1400|4',
        ],
        [
          '10.9.0.0/16 proto 77 \\\tnexthop via 192.168.1.1 dev br0 weight 2 \\\tnexthop via 192.168.1.2 dev br0 weight 1 dead linkdown ',
          '4 254 10.9.0.0/16 0| nexthop via 192.168.1.1 dev br0 weight 2 nexthop via 192.168.1.2 dev br0 weight 1|77',
        ],
        ['10.1.0.0/16 via inet6 fe80::1 dev br0', '4 254 10.1.0.0/16 0| via inet6 fe80::1 dev br0|3'],
        [
          '10.1.0.0/16 tos 0x10 via 10.0.0.1 dev br0 expires 5sec rto_min 3ms',
          '4 254 10.1.0.0/16 tos 0x10 0| via 10.0.0.1 dev br0|3',
        ],
      ];
      const main = '{ id = read_kernel_route($0, 4); print route_key(id) "|" attributes(id) "|" BY[id] }';
      expect(
        awk(
          which,
          ['address.awk', 'kernel.awk'],
          main,
          printed.map(([line]) => line),
        ),
      ).toEqual(printed.map(([, expected]) => expected));
    });

    test.each([
      ['via 10.0.0.1 dev eth1', 'default via 10.0.0.1 dev eth1 table 200 proto 77', true],
      ['via 10.0.0.1', 'default via 10.0.0.1 dev eth1 table 200 proto 77', true],
      ['via 10.0.0.1 dev eth1', 'default via 10.0.0.1 dev eth2 table 200 proto 77', false],
      ['via 10.0.0.1 dev eth1', 'default via 10.0.0.2 dev eth1 table 200 proto 77', false],
      ['via 10.0.0.1 dev eth1', 'default via 10.0.0.1 dev eth1 table 200 proto 3', false],
      ['via 10.0.0.1 dev eth1', 'default via 10.0.0.1 dev eth1 table 200 proto 77 mtu 1400', false],
      ['via 10.0.0.1 dev eth1', 'default via 10.0.0.1 dev eth1 table 200 proto 77 src 10.0.0.9', false],
      ['via 10.0.0.1 dev eth1', 'default via 10.0.0.1 dev eth1 table 200 proto 77 onlink', false],
      ['via 10.0.0.1 dev eth1 mtu 1400', 'default via 10.0.0.1 dev eth1 table 200 proto 77', false],
      [
        'via 10.0.0.1 dev eth1',
        'default table 200 proto 77 \\\tnexthop via 10.0.0.1 dev eth1 weight 1 \\\tnexthop via 10.0.0.2 dev eth1 weight 1',
        false,
      ],
      [
        'nexthop via 10.0.0.1 weight 1 nexthop via 10.0.0.2 weight 2',
        'default table 200 proto 77 \\\tnexthop via 10.0.0.2 dev b weight 2 \\\tnexthop via 10.0.0.1 dev a weight 1',
        true,
      ],
      [
        'nexthop via 10.0.0.1 weight 1 nexthop via 10.0.0.2 weight 2',
        'default table 200 proto 77 \\\tnexthop via 10.0.0.2 dev b weight 1 \\\tnexthop via 10.0.0.1 dev a weight 1',
        false,
      ],
      ['dev eth1 scope 253', 'default dev eth1 table 200 proto 77 scope link', true],
      ['dev eth1 scope 200', 'default dev eth1 table 200 proto 77 scope link', false],
      ['type unreachable', 'default via 10.0.0.1 dev eth1 table 200 proto 77', false],
    ])('a route "%s" and the kernel with "%s" agree: %s', (wanted, has, expected) => {
      const main = 'NR == 1 { want = read_state_route($0); next } { print agrees(want, read_kernel_route($0, 4)) }';
      const said = awk(which, ['address.awk', 'kernel.awk'], main, [`route 4 200 default 0 ${wanted}`, has]);
      expect(said).toEqual([expected ? '1' : '0']);
    });
  });
});

describeOnMachine('the program', () => {
  const check = (name: string, text: string): void => {
    const directory = mkdtempSync(join(tmpdir(), 'agent-check-'));
    try {
      const file = join(directory, name);
      writeFileSync(file, text);
      execFileSync('shellcheck', ['-s', 'dash', '-f', 'gcc', file], { encoding: 'utf8' });
    } finally {
      rmSync(directory, { recursive: true });
    }
  };

  test('has nothing for shellcheck to say', () => {
    check('agent', agentProgram());
    check('source-routing', dispatcherText());
    check('up', upHookText([200, 201]));
  });

  test('keeps the shell from reading on into the data', () => {
    expect(agentProgram()).toMatch(/\nmain "\$@"; exit\n$/);
  });

  test('is one text with every part of the folder in it', () => {
    for (const name of readdirSync(AGENT).filter(
      (file) => /\.(sh|awk)$/.test(file) && !/^(dispatcher|up-hook)/.test(file),
    )) {
      expect(agentProgram()).toContain(source(name));
    }
  });

  test('never lets the shell evaluate data', () => {
    const code = agentProgram().replace(/^ *#.*$/gm, '');
    expect(code).not.toMatch(/\beval\b/);
    expect(code).not.toMatch(/\bsystem\(|\| *getline/);
  });

  test('takes only table ids into the hook', () => {
    expect(upHookText([200, 4294967295])).toContain("\ntables='200 4294967295'\n");
    for (const bad of [0, -1, 1.5, NaN, 4294967296]) {
      expect(() => upHookText([bad])).toThrow(`table id ${bad} is not a number`);
    }
  });
});

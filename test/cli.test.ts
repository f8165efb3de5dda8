import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Ajv from 'ajv/dist/2020';
import { App, TerraformStack } from 'cdktf';
import type { NetworkInterface, VpnEgressProps } from '../lib';
import { HostState, LinuxHost, VpnEgress } from '../lib';
import { diffMarkdown } from '../lib/cli/diff';
import { run } from '../lib/cli/main';
import { readHosts } from '../lib/cli/output';
import type { HostChanges } from '../lib/reachability/compare-hosts';
import { compareHosts } from '../lib/reachability/compare-hosts';
import { ALL_INTERFACES, GATEWAYS, POOLS, SSH } from './fixtures';

const made: string[] = [];
afterAll(() => made.forEach((directory) => rmSync(directory, { recursive: true })));

interface Declared extends Partial<VpnEgressProps> {
  readonly ensure?: HostState;
  readonly interfaces?: NetworkInterface[];
}

/** An app with a VPN server for each entry. */
function synth(hosts: Record<string, Declared>): string {
  const outdir = mkdtempSync(join(tmpdir(), 'out-'));
  made.push(outdir);
  const app = new App({ outdir });
  const stack = new TerraformStack(app, 'stack');
  Object.entries(hosts).forEach(([id, { ensure, interfaces = ALL_INTERFACES, ...egress }], index) => {
    const ssh = { ...SSH, host: `192.0.2.${index + 1}` };
    const host = new LinuxHost(stack, id, { ssh, interfaces, ensure });
    const props = { host, device: 'eth1', tableId: 200, clients: POOLS, gateways: GATEWAYS, ...egress };
    new VpnEgress(stack, `egress-${id}`, props);
  });
  app.synth();
  return outdir;
}

const OTHER_GATEWAY: Declared = { gateways: ['192.168.1.2', GATEWAYS[1]] };
const BEFORE = synth({ vpn1: {}, vpn2: {} });
const AFTER = synth({ vpn1: OTHER_GATEWAY, vpn2: {} });

test('nothing changes: it says so, and the status is 0', () => {
  expect(run(['diff', BEFORE, BEFORE])).toEqual({ text: 'No traffic changes its path.\n', error: '', status: 0 });
  const { text, status } = run(['diff', BEFORE, BEFORE, '--markdown']);
  expect({ text, status }).toEqual({
    text: '<!-- source-routing diff -->\n\nNo traffic changes its path.\n',
    status: 0,
  });
});

test('for people: whose packets, to where, the way before and after', () => {
  const { text, status, error } = run(['diff', BEFORE, AFTER]);
  expect({ status, error }).toEqual({ status: 1, error: '' });
  expect(text.split('\n')).toEqual([
    'stack/vpn1',
    '  10.10.10.0/24 to any but 10.10.10.0/24, 4 addresses:',
    '    was via 192.168.1.1 dev eth1 (table 200), now via 192.168.1.2 dev eth1 (table 200)',
    '  from the machine itself, 10.10.10.1 to any but 10.10.10.0/24, 4 addresses (not mark 0x530000c8):',
    '    was via 192.168.1.1 dev eth1 (table 200), now via 192.168.1.2 dev eth1 (table 200)',
    // Errors about packets to clients.
    '  from the machine itself, 10.10.10.1, 192.168.1.100, 192.168.178.2 to any but 10.10.10.0/24, 4 addresses (mark 0x530000c8):',
    '    was via 192.168.1.1 dev eth1 (table 200), now via 192.168.1.2 dev eth1 (table 200)',
    '  from the machine itself, with no source yet, to any but 10.10.10.0/24, 4 addresses (mark 0x530000c8):',
    '    was via 192.168.1.1 dev eth1 (table 200), now via 192.168.1.2 dev eth1 (table 200)',
    '',
    '4 changes of where traffic goes, on 1 of 2 hosts.',
    '',
  ]);
});

test("an address that becomes the machine's own is one line, wherever packets to it come from", () => {
  const interfaces = [...ALL_INTERFACES, { name: 'eth2', addresses: ['192.168.2.1/24'] }];
  const more = synth({ vpn1: { interfaces }, vpn2: {} });
  const lines = run(['diff', BEFORE, more]).text.split('\n');
  expect(lines.filter((line) => line.startsWith('  to '))).toEqual([
    '  to 192.168.2.1:   was via 192.168.1.1 dev eth1 (table 200) or via 192.168.178.1 dev eth0 (main) or blackhole, now local (local)',
    '  to 192.168.2.255: was via 192.168.1.1 dev eth1 (table 200) or via 192.168.178.1 dev eth0 (main) or blackhole, now broadcast (local)',
  ]);
  expect(lines).toContain(
    '  from the machine itself, with no source yet, to 192.168.2.0/24 but 2 addresses (not mark 0x530000c8):',
  );
  const less = run(['diff', more, BEFORE, '--markdown']).text;
  expect(less).toContain('| `to 192.168.2.1` | `local (local)` | `via');
  expect(less).not.toContain('but 192.168.2.1 ');
});

test('for programs: all prefixes', () => {
  const { text, status } = run(['diff', BEFORE, AFTER, '--json', '--host', 'vpn1']);
  const { hosts } = JSON.parse(text) as { hosts: Array<{ changes: unknown[] }> };
  expect(status).toBe(1);
  expect(hosts).toHaveLength(1);
  expect(hosts[0].changes[0]).toEqual({
    family: 4,
    direction: 'incoming',
    packets: [[]],
    sources: { prefixes: ['10.10.10.0/24'], except: [] },
    destinations: {
      prefixes: ['0.0.0.0/0'],
      except: ['10.10.10.0/24', '192.168.1.100', '192.168.1.255', '192.168.178.2', '192.168.178.255'],
    },
    before: [{ kind: 'unicast', via: '192.168.1.1', device: 'eth1', table: 200 }],
    after: [{ kind: 'unicast', via: '192.168.1.2', device: 'eth1', table: 200 }],
  });
});

test('for a pull request: a table, folded where it is long', () => {
  const { text } = run(['diff', BEFORE, AFTER, '--markdown']);
  expect(text.split('\n').slice(0, 7)).toEqual([
    '<!-- source-routing diff -->',
    '',
    '**4 changes of where traffic goes, on 1 of 2 hosts.**',
    '',
    '| host | packets | was | now |',
    '| --- | --- | --- | --- |',
    '| `stack/vpn1` | `10.10.10.0/24 to any but 10.10.10.0/24, 4 addresses` | `via 192.168.1.1 dev eth1 (table 200)` | `via 192.168.1.2 dev eth1 (table 200)` |',
  ]);
  const six = (declared: Declared): string =>
    synth(Object.fromEntries([1, 2, 3, 4, 5, 6].map((number) => [`vpn${number}`, declared])));
  expect(run(['diff', six({}), six(OTHER_GATEWAY), '--markdown']).text).toMatch(
    /^<!-- .* -->\n\n\*\*24 changes of where traffic goes, on 6 of 6 hosts\.\*\*\n\n<details>\n<summary>All 24 changes<\/summary>\n\n\|/,
  );
});

test('a host that comes or goes is compared with itself without rules; so is one that is to be absent', () => {
  const one = synth({ vpn1: {} });
  const added = run(['diff', one, BEFORE]);
  expect(added.text).toContain('stack/vpn2: host added\n');
  expect(added.text).toContain('was via 192.168.178.1 dev eth0 (main), now via 192.168.1.1 dev eth1 (table 200)');
  const removed = run(['diff', BEFORE, one, '--markdown']);
  expect(removed.text).toContain('- `stack/vpn2`: host removed\n');
  expect(removed.text).toContain('| `via 192.168.1.1 dev eth1 (table 200)` | `via 192.168.178.1 dev eth0 (main)` |');
  const absent = run(['diff', one, synth({ vpn1: { ensure: HostState.ABSENT } })]);
  expect(absent.text).toContain('was via 192.168.1.1 dev eth1 (table 200), now via 192.168.178.1 dev eth0 (main)');
  expect([added, removed, absent].map(({ status }) => status)).toEqual([1, 1, 1]);
});

const PACKET = ['--from', '10.10.10.2', '--to', '198.51.100.7', '--in', 'tun0'];

test('where a packet goes, and why', () => {
  expect(run(['explain', BEFORE, '--host', 'vpn1', ...PACKET])).toEqual({
    text: [
      'via 192.168.1.1 dev eth1',
      '  rule 0: from all lookup local -> table local: no route',
      '  rule 10010: from 10.10.10.0/24 lookup 200 -> table 200: default via 192.168.1.1 dev eth1',
      '',
    ].join('\n'),
    error: '',
    status: 0,
  });
  expect(run(['explain', BEFORE, '--host', 'stack-vpn1', ...PACKET, '--down', 'eth1', '--down', 'eth0']).text).toMatch(
    /^unreachable\n/,
  );
  expect(
    run(['explain', synth({ vpn1: {} }), '--to', '198.51.100.7', '--mark', '0x1', '--protocol', 'udp']).text,
  ).toMatch(/^via 192.168.178.1 dev eth0\n/);
});

test.each([
  [['diff', BEFORE], 'diff takes two directories, BEFORE and AFTER; 1 given.'],
  [['diff', BEFORE, AFTER, AFTER], 'diff takes two directories, BEFORE and AFTER; 3 given.'],
  [['diff', BEFORE, AFTER, '--json', '--markdown'], 'diff takes --json or --markdown, not both.'],
  [['diff', BEFORE, '/nowhere'], '"/nowhere" is not what "cdktf synth" writes'],
  [['diff', BEFORE, AFTER, '--host', 'vpn3'], 'there is no host "vpn3". Hosts: stack/vpn1, stack/vpn2.'],
  [['diff', BEFORE, AFTER, '--jsn'], "Unknown option '--jsn'"],
  [['explain', BEFORE, ...PACKET], 'which host? Give --host, one of: stack/vpn1, stack/vpn2.'],
  [['explain', ...PACKET], 'explain takes one directory, OUT; 0 given.'],
  [['explain', BEFORE, '--host', 'vpn1'], 'explain needs --to ADDR'],
  [['explain', BEFORE, '--host', 'vpn1', '--to', '10.10.10'], '--to "10.10.10" is not an IPv4 address'],
  [['explain', BEFORE, '--host', 'vpn1', '--to', '::1', '--from', '10.0.0.1'], '--from "10.0.0.1" is IPv4 but --to'],
  [['explain', BEFORE, '--host', 'vpn1', '--to', '8.8.8.8', '--in', 'tun0'], 'Give it, or leave out --in.'],
  [['explain', BEFORE, '--host', 'vpn1', ...PACKET, '--down', 'eth7'], 'Declared: eth0, eth1, tun0.'],
  [
    ['explain', BEFORE, '--host', 'vpn1', ...PACKET, '--mark', '1x'],
    '--mark "1x" is not a number from 0 to 4294967295.',
  ],
  [['explain', BEFORE, '--host', 'vpn1', ...PACKET, '--protocol', 'tpc'], '--protocol "tpc" is not a number from 0 to'],
  [['explain', BEFORE, '--host', 'vpn1', ...PACKET, '--source-port', '65536'], '--source-port "65536" is not a number'],
  [['draw', BEFORE, '--host', 'vpn1', '-o', '/nowhere/x.svg'], '--output "/nowhere/x.svg" cannot be written: ENOENT'],
  [['draw', BEFORE], 'which host? Give --host, one of: stack/vpn1, stack/vpn2.'],
  [['dif', BEFORE, AFTER], 'there is no command "dif".'],
])('what is typed wrong is said, and the status is 2 (%#)', (args, message) => {
  const { text, error, status } = run(args);
  expect({ text, status }).toEqual({ text: '', status: 2 });
  expect(error).toMatch(/^cdktf-source-routing: /);
  expect(error).toContain(message);
  expect(error).not.toContain('    at ');
});

describe('a picture', () => {
  test('is printed, or put into a file', () => {
    const { text, status } = run(['draw', BEFORE, '--host', 'vpn1']);
    expect([text.slice(0, 4), text.includes('stack/vpn1'), status]).toEqual(['<svg', true, 0]);
    const file = join(BEFORE, 'vpn1.svg');
    expect(run(['draw', BEFORE, '--host', 'vpn1', '-o', file])).toEqual({ text: '', error: '', status: 0 });
    expect(readFileSync(file, 'utf8')).toBe(text);
  });
});

test('without a command it says how it is used', () => {
  const { text, status } = run([]);
  expect(text).toContain('usage: cdktf-source-routing diff BEFORE AFTER');
  expect(status).toBe(2);
  for (const asked of ['--help', '-h', 'help']) {
    expect(run([asked])).toEqual({ text, error: '', status: 0 });
  }
});

test.each(['diff', 'explain', 'draw'])('%s has a help of its own, which explains each option that it takes', (name) => {
  const { text, error, status } = run([name, '--help']);
  expect({ error, status }).toEqual({ error: '', status: 0 });
  expect([run([name, BEFORE, '-h']).text, run(['help', name]).text]).toEqual([text, text]);
  const [usage, explained] = text.split(`\n\n${name} `);
  expect(run([]).text).toContain(usage.replace('usage: ', ''));
  const options = (part: string): string[] => [...new Set(part.match(/--[a-z-]+/g))].sort();
  expect(options(explained)).toEqual(options(usage));
  expect(options(usage)).toContain('--host');
  for (const option of options(usage)) {
    const errors = ['', '=1'].map((value) => run([name, '/nowhere', `${option}${value}`]).error);
    expect(errors.filter((each) => !/Unknown option|does not take|argument missing/.test(each))).toHaveLength(1);
  }
});

test('there is no help on what is no command', () => {
  expect(run(['help', 'dif'])).toMatchObject({
    status: 2,
    error: expect.stringContaining('no command "dif"') as string,
  });
});

test('it says which version it is', () => {
  const { name, version } = JSON.parse(readFileSync(join(__dirname, '../package.json'), 'utf8')) as Record<
    string,
    string
  >;
  expect(run(['--version'])).toEqual({ text: `${name} ${version}\n`, error: '', status: 0 });
});

describe('a comment', () => {
  const [changed] = compareHosts(readHosts(BEFORE), readHosts(AFTER)).filter(({ changes }) => changes.length > 0);
  const hosts = (count: number, presence: 'both' | 'added', changes = changed.changes): HostChanges[] =>
    Array.from({ length: count }, (_, index) => ({ path: `stack/vpn${index}`, presence, changes }));
  const lines = (text: string, start: string): number =>
    text.split('\n').filter((line) => line.startsWith(start)).length;

  test.each([
    ['many changes', hosts(1000, 'both')],
    ['many hosts that are added', hosts(10_000, 'added', [])],
    ['many of both', [...hosts(3000, 'added', []), ...hosts(3000, 'both')]],
    ['added hosts with changes', hosts(500, 'added')],
  ])('with %s fits into what a forge takes, and says what it leaves out', (_, changes) => {
    const text = diffMarkdown(changes);
    expect(text.length).toBeLessThanOrEqual(65_536);
    expect(text.length).toBeGreaterThan(65_000);
    const [, left = '0'] = /\*\*Not shown here:(?: |[^*]* )(\d+) changes/.exec(text) ?? [];
    const [, absent = '0'] = /\*\*Not shown here:[^*]* (\d+) added or removed hosts/.exec(text) ?? [];
    const all = changes.reduce((sum, host) => sum + (host.changes.length > 0 ? 4 : 0), 0);
    expect(Number(left) + lines(text, '| `')).toBe(all);
    expect(Number(absent) + lines(text, '- `')).toBe(changes.filter(({ presence }) => presence === 'added').length);
    expect(text.startsWith('<!-- source-routing diff -->\n\n**' + (all > 0 ? `${all} changes` : '')) || all === 0).toBe(
      true,
    );
  });

  test('that fits is whole, up to the last character', () => {
    const fits = Array.from({ length: 400 }, (_, count) => diffMarkdown(hosts(count, 'both'))).filter(
      (text) => !text.includes('Not shown here'),
    );
    const longest = fits[fits.length - 1];
    expect(longest.length).toBeLessThanOrEqual(65_536);
    expect(longest.length + longest.length / fits.length).toBeGreaterThan(65_000);
  });
});

describe('the JSON', () => {
  const schema = JSON.parse(readFileSync(join(__dirname, '../docs/diff.schema.json'), 'utf8')) as object;
  const validate = new Ajv({ strict: true, allErrors: true }).compile(schema);
  const print = (before: string, after: string): unknown => JSON.parse(run(['diff', before, after, '--json']).text);

  test('is what its schema says', () => {
    const oneFamily = synth({
      vpn1: { clients: [POOLS[0]], gateways: [GATEWAYS[0]], rejectedClients: [POOLS[1]] },
      vpn3: {},
    });
    for (const [before, after] of [
      [BEFORE, BEFORE],
      [BEFORE, AFTER],
      [BEFORE, oneFamily],
      [oneFamily, AFTER],
    ]) {
      expect([validate(print(before, after)), validate.errors]).toEqual([true, null]);
    }
  });

  test.each<[string, (output: DiffOutput) => void]>([
    ['another format', (output) => (output.format = 2)],
    ['a property that it does not know', (output) => (output.hosts[0].changes[0].more = 1)],
    ['a direction that there is not', (output) => (output.hosts[0].changes[0].direction = 'outgoing')],
    ['no destinations', (output) => delete output.hosts[0].changes[0].destinations],
  ])('is not valid with %s', (_, spoil) => {
    const output = print(BEFORE, AFTER) as DiffOutput;
    spoil(output);
    expect(validate(output)).toBe(false);
  });
});

interface DiffOutput {
  format: number;
  readonly hosts: Array<{ readonly changes: Array<Record<string, unknown>> }>;
}

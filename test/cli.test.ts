import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Ajv from 'ajv/dist/2020';
import { App, TerraformStack, TerraformVariable } from 'cdktf';
import type { LinuxHostProps, NetworkInterface, SshConnection, VpnEgressProps } from '../lib';
import { HostState, LinuxHost, PolicyRule, RemovedLinuxHost, SourceRoutingTable, VpnEgress } from '../lib';
import { diffMarkdown } from '../lib/cli/diff';
import { run } from '../lib/cli/main';
import { readHosts } from '../lib/cli/output';
import type { HostChanges } from '../lib/reachability/compare-hosts';
import { compareHosts } from '../lib/reachability/compare-hosts';
import { ALL_INTERFACES, GATEWAYS, POOLS, SSH } from './fixtures';

const made: string[] = [];
afterAll(() => made.forEach((directory) => rmSync(directory, { recursive: true })));

interface Declared extends Partial<VpnEgressProps>, Pick<LinuxHostProps, 'ensure' | 'owner'> {
  readonly interfaces?: NetworkInterface[];
  readonly ssh?: Partial<SshConnection>;
  /** Clients that a typing error sends to the main table. */
  readonly leak?: string;
}

/** An app with a VPN server for each entry, and whatever else is declared. */
function synth(hosts: Record<string, Declared>, more?: (stack: TerraformStack) => void): string {
  const outdir = mkdtempSync(join(tmpdir(), 'out-'));
  made.push(outdir);
  const app = new App({ outdir });
  const stack = new TerraformStack(app, 'stack');
  Object.entries(hosts).forEach(([id, declared], index) => {
    const { ensure, owner, ssh: login, interfaces = ALL_INTERFACES, leak, ...egress } = declared;
    const ssh = { ...SSH, host: `192.0.2.${index + 1}`, ...login };
    const host = new LinuxHost(stack, id, { ssh, interfaces, ensure, owner });
    const props = { host, device: 'eth1', tableId: 200, clients: POOLS, gateways: GATEWAYS, ...egress };
    new VpnEgress(stack, `egress-${id}`, props);
    if (leak !== undefined) {
      const table = SourceRoutingTable.main(host);
      new PolicyRule(stack, `leak-${id}`, { table, source: leak, priority: 10000 });
    }
  });
  more?.(stack);
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
  const interfaces = [...ALL_INTERFACES, { name: 'eth2', addresses: ['192.168.2.1/24'] }];
  const many = synth({ vpn1: { interfaces }, vpn2: { ...OTHER_GATEWAY, leak: '10.10.10.128/25' } });
  expect(run(['diff', BEFORE, many, '--markdown']).text).toMatch(
    /^<!-- .* -->\n\n\*\*(\d+) changes of where traffic goes, on 2 of 2 hosts\.\*\*\n\n<details>\n<summary>All \1 changes<\/summary>\n\n\|/,
  );
});

test('a host that comes or goes is compared with itself without rules; so is one that is to be absent', () => {
  const one = synth({ vpn1: {} });
  const added = run(['diff', one, BEFORE]);
  expect(added.text).toContain('stack/vpn2: host added\n');
  expect(added.text).toContain('was via 192.168.178.1 dev eth0 (main), now via 192.168.1.1 dev eth1 (table 200)');
  const cleanedUp = synth({ vpn1: {} }, (stack) => new RemovedLinuxHost(stack, 'vpn2'));
  const removed = run(['diff', BEFORE, cleanedUp, '--markdown']);
  expect(removed.text).toContain('- `stack/vpn2`: host removed\n');
  expect(removed.text).toContain('| `via 192.168.1.1 dev eth1 (table 200)` | `via 192.168.178.1 dev eth0 (main)` |');
  const absent = run(['diff', one, synth({ vpn1: { ensure: HostState.ABSENT } })]);
  expect(absent.text).toContain('was via 192.168.1.1 dev eth1 (table 200), now via 192.168.178.1 dev eth0 (main)');
  expect([added, removed, absent].map(({ status }) => status)).toEqual([1, 1, 1]);
});

describe('a host that is deleted from the program', () => {
  test.each<[string, (stack: TerraformStack) => void]>([
    ['nothing is in its place', () => undefined],
    ['Terraform only forgets it', (stack) => new RemovedLinuxHost(stack, 'vpn2', { forget: true })],
    ['another one is removed', (stack) => new RemovedLinuxHost(stack, 'vpn3')],
  ])('keeps its rules if %s, so no traffic changes its path', (_, more) => {
    const { text, status } = run(['diff', BEFORE, synth({ vpn1: {} }, more)]);
    expect(text).toBe(
      'stack/vpn2: host removed, but nothing cleans the machine up, so it keeps its rules. ' +
        'To clean it up, put RemovedLinuxHost in its place\n\nNo traffic changes its path.\n',
    );
    expect(status).toBe(1);
  });

  test('is only removed if it had no rules', () => {
    const absent = synth({ vpn1: {}, vpn2: { ensure: HostState.ABSENT } });
    expect(run(['diff', absent, synth({ vpn1: {} })])).toEqual({
      text: 'stack/vpn2: host removed\n\nNo traffic changes its path.\n',
      error: '',
      status: 0,
    });
  });
});

describe('a host whose anchor Terraform replaces', () => {
  test.each<[string, Declared, string]>([
    [
      'the owner',
      { owner: 'other' },
      'owner changes: the machine is cleaned up, then applied again; in between clients leave by the uplink',
    ],
    [
      'the port',
      { ssh: { port: 2222 } },
      'ssh.port changes: the old machine is cleaned up, then the new one is applied;',
    ],
    ['the address', { ssh: { host: '192.0.2.9' } }, 'ssh.host changes: the old machine is cleaned up'],
    ['the name', { ssh: { host: 'vpn1.example.org' } }, 'ssh.host changes: the old machine is cleaned up'],
    ['all', { owner: 'other', ssh: { host: 'x', port: 2222 } }, 'owner, ssh.host, ssh.port change: the old machine is'],
  ])('is cleaned up first: by %s', (_, declared, notice) => {
    const after = synth({ vpn1: declared, vpn2: {} });
    const { text, status } = run(['diff', BEFORE, after]);
    expect(text).toMatch(/^stack\/vpn1: /);
    expect(text).toContain(notice);
    expect(text).toMatch(/\n\nNo traffic changes its path, except while hosts are cleaned up and applied again\.\n$/);
    expect(status).toBe(1);
    expect(run(['diff', BEFORE, after, '--markdown']).text).toContain(`- \`stack/vpn1\`: ${notice}`);
  });

  test('has nothing to lose if it had no rules', () => {
    const absent = { ensure: HostState.ABSENT };
    const { status } = run(['diff', synth({ vpn1: absent }), synth({ vpn1: { ...absent, owner: 'other' } })]);
    expect(status).toBe(0);
  });

  test('is not known in the files of earlier versions', () => {
    const after = synth({ vpn1: { ssh: { host: '192.0.2.9', port: 2222 } } });
    const file = join(after, 'stacks/stack/source-routing/stack.vpn1.json');
    const text = readFileSync(file, 'utf8');
    const earlier = text.replace(/"endpoint": \{[^}]*\},/, '');
    expect(earlier).not.toBe(text);
    writeFileSync(file, earlier);
    expect(run(['diff', synth({ vpn1: {} }), after])).toMatchObject({
      text: 'No traffic changes its path.\n',
      status: 0,
    });
  });
});

describe('a host with another id', () => {
  const one = synth({ vpn1: {} });
  const move = (stack: TerraformStack): void => {
    const host = stack.node.findChild('frankfurt') as LinuxHost;
    host.anchor.moveFromId('terraform_data.vpn1_anchor_6BC782AD');
    host.apply.moveFromId('terraform_data.vpn1_apply_DFDC6F98');
  };

  test('is the same host if its resources are moved', () => {
    const moved = synth({ frankfurt: { owner: 'stack-vpn1' } }, move);
    const nothing = { text: 'No traffic changes its path.\n', error: '', status: 0 };
    expect(run(['diff', one, moved])).toEqual(nothing);
    expect(run(['diff', one, moved, '--host', 'frankfurt'])).toEqual(nothing);
    expect(run(['diff', one, moved, '--host', 'stack/vpn1'])).toEqual(nothing);
    expect(run(['diff', one, moved, '--host', 'vpn1'])).toEqual(nothing);
    // Its owner.
    expect(run(['diff', one, moved, '--host', 'stack-vpn1'])).toEqual(nothing);
  });

  test('is cleaned up first if the owner comes from the id', () => {
    expect(run(['diff', one, synth({ frankfurt: {} }, move)]).text).toMatch(/^stack\/frankfurt: owner changes: /);
  });

  test('is another one otherwise', () => {
    const { text } = run(['diff', one, synth({ frankfurt: { owner: 'stack-vpn1' } })]);
    expect(text).toContain('stack/frankfurt: host added\n');
    expect(text).toContain('stack/vpn1: host removed, but nothing cleans the machine up');
  });
});

describe('values that are known at apply only', () => {
  const synthToken = (hosts: Record<string, Declared>): string =>
    synth({}, (stack) => {
      const token = new TerraformVariable(stack, 'token', { type: 'string' }).stringValue;
      Object.entries(hosts).forEach(([id, declared]) => {
        const host = new LinuxHost(stack, id, { ssh: { ...SSH, host: '192.0.2.1' }, interfaces: ALL_INTERFACES });
        const egress = { device: 'eth1', tableId: 200, gateways: GATEWAYS, ...declared };
        new VpnEgress(stack, `egress-${id}`, { host, clients: [...POOLS, token], ...egress });
      });
    });

  test('are counted, since they are not compared', () => {
    const before = synthToken({ vpn1: {} });
    const said = '1 value is known at apply only, and was not compared.';
    expect(run(['diff', before, before])).toEqual({
      text: `No traffic changes its path.\n${said}\n`,
      error: '',
      status: 0,
    });
    expect(run(['diff', before, before, '--markdown']).text).toBe(
      `<!-- source-routing diff -->\n\nNo traffic changes its path.\n\n${said}\n`,
    );
    const { hosts } = JSON.parse(run(['diff', before, before, '--json']).text) as { hosts: object[] };
    expect(hosts).toMatchObject([{ notCompared: ['stack/egress-vpn1/clients-3:source'] }]);
  });

  test('do not count on a host that one side does not have', () => {
    expect(run(['diff', synth({}), synthToken({ vpn1: {} })]).text).not.toContain('known at apply only, and');
  });

  test('do not count if only one side has them, since they are compared', () => {
    const after = synthToken({ vpn1: {} });
    expect(run(['diff', synthToken({ vpn1: { clients: POOLS } }), after]).text).not.toContain(
      'known at apply only, and',
    );
  });

  test('do not count if only the machine knows them', () => {
    const followed = synth({ vpn1: { gateways: ['dhcp4', GATEWAYS[1]] } });
    expect(run(['diff', followed, followed]).text).toBe('No traffic changes its path.\n');
  });

  test('the address and the port of SSH count', () => {
    const later = synth({}, (stack) => {
      const host = new TerraformVariable(stack, 'address', { type: 'string' }).stringValue;
      const port = new TerraformVariable(stack, 'port', { type: 'number' }).numberValue;
      new LinuxHost(stack, 'vpn1', { ssh: { ...SSH, host, port }, replaceTriggeredBy: [] });
    });
    expect(run(['diff', later, later]).text).toContain('2 values are known at apply only, and were not compared.\n');
  });
});

describe('a fleet', () => {
  const names = Array.from({ length: 120 }, (_, index) => `vpn${String(index).padStart(3, '0')}`);
  const fleet = (declared: (name: string) => Declared): string =>
    synth(Object.fromEntries(names.map((name) => [name, declared(name)])));
  const before = fleet(() => ({}));
  const after = fleet((name) => ({ ...OTHER_GATEWAY, ...(name === 'vpn077' && { leak: '10.10.10.128/25' }) }));

  test('in a comment: hosts with the same change share a row, and the one that leaks comes first', () => {
    const { text } = run(['diff', before, after, '--markdown']);
    expect(text).not.toContain('Not shown here');
    const rows = text.split('\n').filter((line) => line.startsWith('| `'));
    expect(rows[0]).toMatch(/^\| `stack\/vpn077` \| `10\.10\.10\.128\/25 to any but .* \(main\)` \|$/);
    expect(rows.filter((row) => row.includes('`119 hosts: stack/vpn000, stack/vpn001, '))).toHaveLength(1);
    expect(rows.filter((row) => row.includes('`120 hosts: stack/vpn000, stack/vpn001, '))).toHaveLength(3);
    expect(rows.length).toBeLessThan(10);
  });

  test('a leak of many comes before what only one has', () => {
    const leak = '10.10.10.128/25';
    const [was, is] = [
      synth({ vpn1: {}, vpn2: {}, vpn3: {} }),
      synth({ vpn1: OTHER_GATEWAY, vpn2: { leak }, vpn3: { leak } }),
    ];
    expect(run(['diff', was, is]).text).toMatch(/^stack\/vpn2\nstack\/vpn3\n {2}10\.10\.10\.128/);
    expect(run(['diff', was, is, '--markdown']).text).toMatch(
      / --- \|\n\| `stack\/vpn2, stack\/vpn3` \| `10\.10\.10\.128/,
    );
  });

  test('what one host has comes before what many have; another gateway of the uplink is no leak', () => {
    const interfaces = ALL_INTERFACES.map((each) =>
      each.name === 'eth0' ? { ...each, gateways: ['192.168.178.9', ...(each.gateways ?? []).slice(1)] } : each,
    );
    const is = synth({ vpn1: { interfaces }, vpn2: { interfaces }, vpn3: OTHER_GATEWAY });
    const was = synth({ vpn1: {}, vpn2: {}, vpn3: {} });
    expect(run(['diff', was, is]).text).toMatch(/^stack\/vpn3\n[^]*\n\nstack\/vpn1\nstack\/vpn2\n/);
    expect(run(['diff', was, is, '--markdown']).text).toMatch(/ --- \|\n\| `stack\/vpn3` /);
  });

  test('on a terminal: hosts with the same changes share the lines, and the one that leaks comes first', () => {
    const lines = run(['diff', before, after]).text.split('\n');
    expect(lines.slice(0, 2)).toEqual([
      'stack/vpn077',
      expect.stringMatching(/^ {2}10\.10\.10\.128\/25 to any but .*:$/) as string,
    ]);
    expect(lines.filter((line) => line.startsWith('stack/'))).toHaveLength(120);
    expect(lines.length).toBeLessThan(150);
    expect(lines.at(-2)).toMatch(/^48\d changes of where traffic goes, on 120 of 120 hosts\.$/);
  });
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
    ['explain', BEFORE, '--host', 'vpn1', ...PACKET, '--in', 'tun9'],
    '--in tun9 is not an interface of stack/vpn1. Declared: eth0, eth1, tun0.',
  ],
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
  const same = { replacedBy: [], keepsRules: false, notCompared: [] };
  /** Hosts with changes that no other one has. */
  const hosts = (count: number, presence: 'both' | 'added'): HostChanges[] =>
    Array.from({ length: count }, (_, index) => ({
      ...{ ...same, path: `stack/vpn${index}`, presence },
      changes: changed.changes.map((change) => ({ ...change, after: [{ kind: 'unicast', device: `eth${index}` }] })),
    }));
  const named = (path: string, count: number, more: Partial<HostChanges>): HostChanges[] =>
    Array.from({ length: count }, (_, index) => ({
      ...{ ...same, path: `stack/${index}${path}`, presence: 'both', changes: [] },
      ...more,
    }));
  const rows = (text: string, start: string): string[] => text.split('\n').filter((line) => line.startsWith(start));

  test.each([
    ['many changes', hosts(1000, 'both'), 4000],
    ['changes of added hosts', hosts(500, 'added'), 2000],
    [
      'few changes and long names',
      [...named('x'.repeat(9000), 9, { replacedBy: ['owner'] }), ...hosts(999, 'both')],
      3996,
    ],
  ])('with %s fits into what a forge takes, and says what it leaves out', (_, changes, all) => {
    const text = diffMarkdown(changes);
    expect(text.length).toBeLessThanOrEqual(65_536);
    expect(text.length).toBeGreaterThan(60_000 - 45_000 * Number(text.includes('x'.repeat(9000))));
    const [, left = '0'] = /\*\*Not shown here: (\d+) changes/.exec(text) ?? [];
    expect(Number(left) + rows(text, '| `').length).toBe(all);
    expect(text).toContain(`<summary>The first ${all - Number(left)} of ${all} changes</summary>`);
    expect(text.startsWith(`<!-- source-routing diff -->\n\n**${all} changes`)).toBe(true);
  });

  test('counts the hosts of notes that do not fit', () => {
    const long = named('x'.repeat(20_000), 9, { replacedBy: ['owner'] });
    const text = diffMarkdown([...long, ...hosts(1, 'both')]);
    expect(text).toContain('**Not shown here: notes on 9 hosts**');
    expect(rows(text, '- `')).toEqual([]);
    expect(rows(text, '| `')).toHaveLength(4);
  });

  test('names the first of many hosts, the most dangerous first', () => {
    const text = diffMarkdown([
      ...named('c', 10_000, { presence: 'added' }),
      ...named('b', 6, { presence: 'removed', keepsRules: true }),
      ...named('a', 5, { replacedBy: ['owner'] }),
    ]);
    expect(rows(text, '- `')).toEqual([
      expect.stringMatching(/^- `stack\/0a, stack\/1a, stack\/2a, stack\/3a, stack\/4a`: owner changes: /),
      expect.stringMatching(/^- `6 hosts: stack\/0b, .*, \.\.\.`: host removed, but nothing cleans/),
      expect.stringMatching(/^- `10000 hosts: stack\/0c, .*, \.\.\.`: host added$/),
    ]);
  });

  test('that fits is whole, up to the last character', () => {
    const all = hosts(400, 'both');
    const fits = all
      .map((_, count) => diffMarkdown(all.slice(0, count)))
      .filter((text) => !text.includes('Not shown here'));
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
      [AFTER, synth({ vpn1: { owner: 'other' } })],
    ]) {
      expect([validate(print(before, after)), validate.errors]).toEqual([true, null]);
    }
  });

  test.each<[string, (output: DiffOutput) => void]>([
    ['another format', (output) => (output.format = 2)],
    ['a property that it does not know', (output) => (output.hosts[0].changes[0].more = 1)],
    ['something else that replaces a host', (output) => (output.hosts[0].replacedBy = ['user'])],
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
  readonly hosts: Array<{ replacedBy: string[]; readonly changes: Array<Record<string, unknown>> }>;
}

describe('a pipe whose reader has gone', () => {
  const MAIN = ['node_modules/.bin/tsx', 'lib/cli/main.ts'].map((path) => join(__dirname, '..', path));

  /** What stands on stderr when a shell runs a command line, and then prints its status there. */
  const cut = (pipeline: string, args: string[]): string =>
    spawnSync('sh', ['-c', pipeline, 'sh', process.execPath, ...MAIN, ...args], { encoding: 'utf8' }).stderr;
  const output = '{ "$@"; echo "status $?" >&2; } | true';
  const errors = '{ "$@" 2>&3; echo "status $?" >&2; } 3>&1 >/dev/null | true';

  test.each<[string, string, string[]]>([
    ['status 1', output, ['diff', BEFORE, AFTER, '--json']],
    ['status 0', output, ['diff', BEFORE, BEFORE]],
    ['status 2', errors, ['dif', BEFORE]],
  ])(
    'does not crash a command, and leaves its %s',
    (status, pipeline, args) => {
      expect(cut(pipeline, args)).toBe(`${status}\n`);
    },
    60_000,
  );
});

import { execFileSync } from 'node:child_process';
import {
  cpSync,
  mkdtempSync,
  readFileSync,
  mkdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TerraformVariable, Testing } from 'cdktf';
import fc from 'fast-check';
import { PolicyRule, VpnEgress } from '../../lib';
import { run } from '../../lib/cli/main';
import { successionOf } from '../../lib/cli/output';
import { RuleAction } from '../../lib/rule-action';
import { ALL_INTERFACES, GATEWAYS, POOLS, newHost, newStack } from '../fixtures';
import { cases } from '../random';

const MADE = ((): string => {
  const stack = newStack();
  const host = newHost(stack, { interfaces: ALL_INTERFACES });
  const { stringValue: source } = new TerraformVariable(stack, 'later', {});
  const props = { host, device: 'eth1', tableId: 200, clients: [POOLS[0], POOLS[1]], gateways: GATEWAYS };
  new VpnEgress(stack, 'egress', props);
  const selectors = { source, inputInterface: 'tun0', firewallMark: 1, firewallMask: 3, ipProtocol: undefined };
  new PolicyRule(stack, 'rule', { host, action: RuleAction.prohibit(), priority: 9000, ...selectors });
  return Testing.fullSynth(stack);
})();

let outdir: string;
let file: string;
beforeEach(() => {
  outdir = mkdtempSync(join(tmpdir(), 'out-'));
  cpSync(MADE, outdir, { recursive: true });
  file = join(outdir, 'stacks/stack/source-routing/stack.vpn1.json');
});
afterEach(() => rmSync(outdir, { recursive: true }));

const COMMANDS = [
  ['diff', MADE],
  ['explain', '--from', '10.10.10.2', '--to', '198.51.100.7', '--in', 'tun0'],
  ['explain', '--to', 'fd00::1'],
  ['draw'],
];

/** What each command says of the directory: an answer, or what is wrong in one line. */
function errors(): string[] {
  return COMMANDS.map((args) => {
    const { text, error, status } = run([...args, outdir]);
    expect(error === '' ? status < 2 && text !== '' : status === 2 && text === '').toBe(true);
    // Neither a stack nor what an engine says of a value that is not what the code takes it for.
    expect(error).not.toMatch(
      / {4}at |TypeError|RangeError|is not a function|[Cc]annot (read|convert|mix)|undefined|BigInt|call stack/,
    );
    expect(error).toMatch(/^(cdktf-source-routing: [^\n]+\n)?$/);
    return error;
  });
}

/** What is changed of it is not what its type says. */
type Loose = Record<string, unknown> & Record<'rules' | 'interfaces', Array<Record<string, unknown>>>;

const CONTENT = readFileSync(join(MADE, 'stacks/stack/source-routing/stack.vpn1.json'), 'utf8');

function changed(change: (host: Loose) => void): void {
  const content = JSON.parse(CONTENT) as { host: Loose };
  change(content.host);
  writeFileSync(file, JSON.stringify(content));
}

/** Where in a file there is a value. */
function places(value: unknown, path: Array<string | number> = []): Array<Array<string | number>> {
  const inside = typeof value === 'object' && value !== null ? Object.keys(value) : [];
  return [path, ...inside.flatMap((key) => places((value as Record<string, unknown>)[key], [...path, key]))];
}

const WRONG: readonly unknown[] = [
  ...[null, true, false, 0, -1, 1.5, 4, 6, 33, 65536, 1e9, 2 ** 32, 2 ** 53, 1e308, -1e308],
  ...['', 'x', '::', '10.0.0.0/33', '10.0.0.1/-1', '0x10', '1e9', 'default', '::/0', '10.0.0.0/8', 'fd00::/8', 'auto'],
  ...[
    'constructor',
    '__proto__',
    'a b',
    '../../etc/passwd',
    'eth0\u001b[31m',
    'lookup',
    'goto',
    'throw',
    'x'.repeat(1e5),
  ],
  ...[
    [],
    {},
    [[]],
    [{}],
    [null],
    { kind: 'prefix', text: 'x' },
    { kind: 'device', text: 'a b' },
    { first: 9, last: 1 },
  ],
  ...[
    { first: -1e308, last: 1e308 },
    { kind: 'goto', priority: 1 },
    { kind: 'lookup', tableId: 'x' },
    { kind: 'constructor' },
  ],
  ...[JSON.parse('{"__proto__": {"path": "x"}}')],
];

test('a file with any value in the place of another one is read, or refused in one line', () => {
  const more = [
    ...['tos', 'invert', 'outputInterface', 'uidRange', 'sourcePorts', 'suppressPrefixLength', 'destination'].map(
      (key) => ['rules', 0, key],
    ),
    ...['type', 'metric', 'preferredSource'].map((key) => ['routes', 0, key]),
    ['discards', 0],
    ['hooks', 0],
  ];
  const all = [...places((JSON.parse(CONTENT) as { host: Loose }).host).slice(1), ...more];
  let refused = 0;
  fc.assert(
    fc.property(fc.constantFrom(...all), fc.oneof(fc.constantFrom(...WRONG), fc.jsonValue()), (path, value) => {
      changed((own) => {
        const inner = path.slice(0, -1).reduce<Record<string, unknown>>((at, key) => at[key] as never, own);
        inner[path[path.length - 1]] = value;
      });
      refused += errors()[0] === '' ? 0 : 1;
    }),
    { numRuns: cases(30) },
  );
  // How many is up to chance: many a value is right in another place, too.
  expect(refused).toBeGreaterThan(0);
}, 60_000);

test.each<[string, (host: Loose) => void, RegExp]>([
  [
    'a prefix',
    ({ rules }) => (rules[0].source = { kind: 'prefix', text: '10.0.0.1/8', family: 4 }),
    /host\.rules\[0\]\.source .* host bits/,
  ],
  ['a family', ({ rules }) => (rules[0].family = 5), /host\.rules\[0\]\.family/],
  [
    'an interface',
    ({ interfaces }) => (interfaces[0].name = 'eth0\u001b[31m'),
    /host\.interfaces\[0\]\.name .*is not an interface name/,
  ],
  ['a priority', ({ rules }) => (rules[0].priority = 1e308), /host\.rules\[0\]\.priority/],
  ['an action', ({ rules }) => (rules[0].action = { kind: 'jump' }), /host\.rules\[0\]\.action/],
])('%s that is none is named', (_, change, message) => {
  changed(change);
  expect(errors()[1]).toMatch(message);
});

test('removed and moved resources with anything for an address are none', () => {
  const stackFile = join(outdir, 'stacks/stack/cdk.tf.json');
  const content = JSON.parse(readFileSync(stackFile, 'utf8')) as Record<string, unknown>;
  for (const value of [...WRONG, { toString: 1 }]) {
    const block = { from: value, to: value, lifecycle: value };
    const resource = { terraform_data: { x: { '//': { metadata: { path: value } } } }, y: value };
    for (const more of [{ removed: [block, value], moved: [block] }, { removed: value, moved: value }, { resource }]) {
      writeFileSync(stackFile, JSON.stringify({ ...content, ...more }));
      const nothing = { cleanedUp: new Set(), movedFrom: new Map() };
      expect([successionOf(MADE, outdir), successionOf(outdir, MADE)]).toEqual([nothing, nothing]);
    }
  }
});

describe('what is no file of a synth is not read', () => {
  const at = (path: string): string => join(outdir, path);
  const [files, stackFile] = ['stacks/stack/source-routing', 'stacks/stack/cdk.tf.json'];
  const linked = (path: string, to: string): void => {
    rmSync(at(path), { recursive: true });
    symlinkSync(to, at(path));
  };
  const piped = (path: string): void => {
    rmSync(at(path));
    execFileSync('mkfifo', [at(path)]);
  };
  const stack = (change: object): void => {
    const content = JSON.parse(readFileSync(at('manifest.json'), 'utf8')) as { stacks: { stack: object } };
    writeFileSync(at('manifest.json'), JSON.stringify({ stacks: { stack: { ...content.stacks.stack, ...change } } }));
  };

  test.each<[string, () => void]>([
    ['a link from a host to elsewhere', () => linked(`${files}/stack.vpn1.json`, join(MADE, files, 'stack.vpn1.json'))],
    ['a link from all hosts to elsewhere', () => linked(files, join(MADE, files))],
    ['a link from a stack to elsewhere', () => linked(stackFile, join(MADE, stackFile))],
    ['a link to a device', () => linked(stackFile, '/dev/zero')],
    ['a stack elsewhere', () => stack({ workingDirectory: `../../../../../..${MADE}/stacks/stack` })],
    ['a stack without a path', () => stack({ workingDirectory: undefined })],
    ['a stack with something else for a path', () => stack({ synthesizedStackPath: ['x'] })],
    ['stacks that are a text', () => writeFileSync(at('manifest.json'), '{"stacks": "ab"}')],
    ['a pipe for a stack', () => piped(stackFile)],
    ['a pipe for the manifest', () => piped('manifest.json')],
    ['a directory for a host', () => (rmSync(file), mkdirSync(file))],
    ['a file of a gigabyte', () => truncateSync(file, 2 ** 29)],
    ['a host that nests deep', () => writeFileSync(file, `{"format":${'['.repeat(1e6)}${']'.repeat(1e6)}}`)],
    ['a host that is no text', () => writeFileSync(file, Buffer.from([0xff, 0xfe, 0x00, 0x80]))],
  ])(
    '%s',
    (_, change) => {
      change();
      errors().forEach((error) => expect(error).not.toBe(''));
    },
    20_000,
  );
});

test.each<[string, (number: number) => object]>([
  ['marks', (number) => ({ firewallMark: 2 ** (number % 30), firewallMask: 2 ** (number % 30) })],
  [
    'ports',
    (number) => ({
      sourcePorts: { first: number, last: number },
      destinationPorts: { first: number, last: number },
    }),
  ],
  [
    'interfaces and users',
    (number) => ({
      inputInterface: { kind: 'device', text: `tun${number}` },
      uidRange: { first: number, last: number },
      tos: number % 256,
    }),
  ],
])(
  'rules that tell packets apart in too many ways are refused: by %s',
  (_, selectors) => {
    changed(({ rules }) => {
      const rule = rules[0];
      for (let number = 1; number < 400; number++) {
        rules.push({ ...rule, priority: 100 + number, ...selectors(number) });
      }
    });
    expect([errors()[0], errors()[3]]).toEqual(
      Array(2).fill(expect.stringContaining('the rules distinguish more than')),
    );
  },
  30_000,
);

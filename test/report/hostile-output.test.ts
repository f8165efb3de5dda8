import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TerraformVariable, Testing } from 'cdktf';
import fc from 'fast-check';
import MarkdownIt from 'markdown-it';
import { IpFamily, PolicyRule, RuleAction, VpnEgress } from '../../lib';
import { run } from '../../lib/cli/main';
import type { Host } from '../../lib/model/host';
import { routingReport } from '../../lib/report/report';
import { ALL_INTERFACES, GATEWAYS, POOLS, newHost, newStack } from '../fixtures';
import { cases } from '../random';
import { checkXml } from './xml';

/** Text that a terminal, a runner of jobs, a forge or a browser could take for more than text. */
const WEAPONS = [
  ...['::error file=x::OWNED', '\n::set-output name=x::OWNED\n', '\u00a0 ::add-mask::OWNED', '::stop-commands::OWNED'],
  ...['##[error]OWNED', '##vso[task.setvariable]OWNED', "##teamcity[message text='OWNED']", '###[group]OWNED'],
  ...[
    '\u001b[31mOWNED',
    '\u009b31m',
    '\u001b]8;;https://owned.example\u0007',
    '\u001b[2K\u001b[1A',
    '\r',
    '\b',
    '\u007f',
  ],
  ...[
    'section_start:1:x\r\u001b[0K',
    '\u202eOWNED',
    '\u2066',
    '\u200b',
    '\u2028',
    '\u0085',
    '\u{e0041}',
    '\u3164',
    '\ufeff',
  ],
  ...[
    '@owned/team',
    '@owned',
    '#1',
    'owned/owned#1',
    'GH-1',
    ':tada:',
    '$OWNED$',
    '&#64;owned',
    '&lt;b&gt;',
    '&commat;',
  ],
  ...['![x](https://owned.example/x.png)', '[x](https://owned.example)', '[x]: https://owned.example', '[^1]', '[ ] '],
  ...['https://owned.example', 'www.owned.example', 'owned@owned.example', '<https://owned.example>'],
  ...[
    '<img src=x onerror=OWNED>',
    '<!-- OWNED',
    '-->',
    '--!>',
    '</code>',
    '</table>',
    '</details>',
    '<script>',
    '<![CDATA[',
  ],
  ...[
    '`',
    '``',
    '```',
    '\n```\n',
    '\n\n# OWNED\n\n',
    '\n- OWNED',
    '\n| a |',
    '|',
    '\\|',
    '\\',
    '**',
    '__',
    '~~',
    '_x_',
  ],
  ...['\n/close', '"', "'", '&', '"]', '%%{init}%%', 'click n0 "javascript:x"', ' ', '\t', '/', '../..', '\0', '-'],
];

const hostile = fc
  .array(fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...WEAPONS) }, fc.string({ unit: 'binary', maxLength: 3 })), {
    minLength: 1,
    maxLength: 4,
  })
  .map((parts) => parts.join(''));

/** The names of a host that are free text. */
interface Names {
  readonly path: string;
  readonly owner: string;
  readonly table: string;
  readonly pool: string;
  readonly gateway: string;
  readonly hook: string;
}

const names: fc.Arbitrary<Names> = fc.record({
  path: hostile,
  owner: hostile,
  table: hostile,
  pool: hostile,
  gateway: hostile,
  hook: hostile,
});
const HARMLESS: Names = {
  path: 'stack/vpn+',
  owner: 'stack-vpn',
  table: 'v p n',
  pool: 'stack/pool:source',
  gateway: 'stack/gateway:via',
  hook: 'stack/hook',
};

/** What a synth writes for a host with pools and gateways of which some are known at apply only. */
const MODEL = ((): Host => {
  const stack = newStack();
  // One family shows as much as both, in half the time.
  const isIpv4 = (text: string): boolean => !text.includes(':');
  const interfaces = ALL_INTERFACES.map(({ name, addresses, gateways }) => ({
    ...{ name, addresses: addresses?.filter(isIpv4), gateways: gateways?.filter(isIpv4) },
  }));
  const host = newHost(stack, { interfaces });
  const [clients, gateways] = [POOLS, GATEWAYS].map((all) => all.filter(isIpv4));
  new VpnEgress(stack, 'egress', { host, device: 'eth1', tableId: 200, tableName: 'vpn', clients, gateways });
  const later = new TerraformVariable(stack, 'later', {}).stringValue;
  const rule = { host, action: RuleAction.prohibit(), inputInterface: 'tun0' };
  new PolicyRule(stack, 'rule', { ...rule, source: later, priority: 9000, families: [IpFamily.IPV4] });
  const file = join(Testing.fullSynth(stack), 'stacks/stack/source-routing/stack.vpn1.json');
  return (JSON.parse(readFileSync(file, 'utf8')) as { host: Host }).host;
})();

function named({ path, owner, table, pool, gateway, hook }: Names, ownGateway: boolean): Host {
  return {
    ...MODEL,
    path,
    owner,
    tables: MODEL.tables.map((each) => ({ ...each, path: hook, name: table })),
    rules: MODEL.rules.map((rule) => ({
      ...rule,
      path: hook,
      ...(rule.source?.deferredFor === undefined ? {} : { source: { ...rule.source, deferredFor: pool } }),
    })),
    routes: MODEL.routes.map((route) => ({
      ...route,
      path: hook,
      hops: ownGateway
        ? route.hops
        : route.hops.map((hop) => ({ ...hop, via: { kind: 'address', text: '<1>', deferredFor: gateway } as const })),
    })),
    hooks: [{ path: hook, daemon: 'openvpn', file: '/etc/openvpn/up', tableId: 200 }],
  };
}

const made: string[] = [];
afterAll(() => made.forEach((directory) => rmSync(directory, { recursive: true })));

/** A `cdktf.out` as anybody can write it. */
function output(hosts: readonly Host[]): string {
  const outdir = mkdtempSync(join(tmpdir(), 'out-'));
  made.push(outdir);
  const directory = join(outdir, 'stacks/stack/source-routing');
  mkdirSync(directory, { recursive: true });
  const [workingDirectory, synthesizedStackPath] = ['stacks/stack', 'stacks/stack/cdk.tf.json'];
  const stack = { workingDirectory, synthesizedStackPath, stackMetadataPath: 'stacks/stack/metadata.json' };
  writeFileSync(join(outdir, 'manifest.json'), JSON.stringify({ stacks: { stack } }));
  writeFileSync(join(outdir, synthesizedStackPath), JSON.stringify(hosts.map(({ path }) => `${path}/anchor`)));
  hosts.forEach((host, index) => writeFileSync(join(directory, `${index}.json`), JSON.stringify({ format: 1, host })));
  return outdir;
}

/** Two hosts whose gateway changes, and one that goes. */
function outputs(own: Names): [before: string, after: string] {
  const host = (suffix: string, ownGateway: boolean): Host =>
    named({ ...own, path: `${own.path}${suffix}` }, ownGateway);
  const before = ['1', '2', '3'].map((suffix) => host(suffix, true));
  return [output(before), output(['1', '2'].map((suffix) => host(suffix, false)))];
}

/** Those that GitHub's runner knows, and what stands before a command of others. */
const COMMANDS = new Set(
  [
    'add-mask',
    'add-matcher',
    'add-path',
    'debug',
    'echo',
    'endgroup',
    'error',
    'group',
    'notice',
    'remove-matcher',
  ].concat(['save-state', 'set-env', 'set-output', 'stop-commands', 'warning']),
);

/** Whether a runner would take a line for a command: as GitHub's parses it, one of its own or any name at all. */
function isCommand(line: string): boolean {
  const [, name] = /^\s*::(.*?)(?: .*?)?::/.exec(line) ?? [];
  return /##(\[|vso\[|teamcity\[)/.test(line) || (name !== undefined && (COMMANDS.has(name) || /[g-z-]/i.test(name)));
}

/** All lines are such that a terminal shows them, and a runner does nothing else with them. */
function checkLines(text: string): void {
  const wrong = text
    .split('\n')
    .filter(
      (line) => isCommand(line) || /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u.test(line),
    );
  expect(wrong).toEqual([]);
}

const RENDERER = new MarkdownIt({ html: true, linkify: true });
const PIECE = /<!--[^]*?-->|<\/?[a-z0-9]+[^<>]*>|[^<]+/gy;

/** What a forge makes of Markdown, without what stands in code. */
function skeleton(markdown: string): string[] {
  const html = RENDERER.render(markdown);
  const pieces = html.match(PIECE) ?? [];
  expect(pieces.join('')).toBe(html);
  let inCode = false;
  return pieces.filter((piece) => {
    const wasInCode = inCode;
    if (piece.startsWith('<code')) inCode = true;
    if (piece === '</code>') inCode = false;
    // In code there is text, and no element.
    if (wasInCode && inCode) expect(piece).not.toMatch(/^</);
    return !(wasInCode && inCode);
  });
}

const RUNS = { numRuns: cases(10) };
const PACKET = ['--from', '10.10.10.2', '--to', '198.51.100.7', '--in', 'tun0'];

describe('names that others chose are text and nothing else', () => {
  const harmless = outputs(HARMLESS);

  test('in what diff prints: one row stays one row', () => {
    const lines = run(['diff', ...harmless]).text.split('\n').length;
    expect(lines).toBeGreaterThan(10);
    fc.assert(
      fc.property(names, (own) => {
        const { text, status } = run(['diff', ...outputs(own)]);
        expect([text.split('\n').length, status]).toEqual([lines, 1]);
        checkLines(text);
      }),
      RUNS,
    );
  });

  test('in a comment on a pull request: nothing is rendered, and all stands in code', () => {
    const wanted = skeleton(run(['diff', ...harmless, '--markdown']).text);
    expect(wanted.filter((piece) => piece === '<tr>').length).toBeGreaterThan(5);
    expect(wanted.filter((piece) => piece.startsWith('<!--'))).toEqual(['<!-- source-routing diff -->']);
    fc.assert(
      fc.property(names, (own) => {
        const { text } = run(['diff', ...outputs(own), '--markdown']);
        expect(skeleton(text)).toEqual(wanted);
        checkLines(text);
      }),
      RUNS,
    );
  });

  test('in what programs read: exact, and harmless on a terminal', () => {
    fc.assert(
      fc.property(names, (own) => {
        const { text } = run(['diff', ...outputs(own), '--json']);
        const { hosts } = JSON.parse(text) as { hosts: Array<{ host: string }> };
        expect(hosts.map(({ host }) => host)).toEqual(['1', '2', '3'].map((suffix) => `${own.path}${suffix}`));
        checkLines(text);
      }),
      RUNS,
    );
  });

  test('in what explain prints', () => {
    const explain = (own: Names): ReturnType<typeof run> => run(['explain', output([named(own, false)]), ...PACKET]);
    const lines = explain(HARMLESS).text.split('\n').length;
    expect(lines).toBeGreaterThan(5);
    fc.assert(
      fc.property(names, (own) => {
        const { text, status } = explain(own);
        expect([text.split('\n').length, status]).toEqual([lines, 0]);
        checkLines(text);
      }),
      RUNS,
    );
  });

  test('in a picture, and in the report', () => {
    const allowed = new Set(skeleton(routingReport(named(HARMLESS, false))).filter((piece) => piece.startsWith('<')));
    fc.assert(
      fc.property(names, (own) => {
        const { text } = run(['draw', output([named(own, false)])]);
        checkXml(text);
        checkLines(text);
        expect(text).not.toMatch(/<(?!\/?(svg|title|desc|style|rect|text|path)\b)/);
        const report = routingReport(named(own, false));
        checkLines(report);
        const pieces = skeleton(report);
        expect(pieces.filter((piece) => piece.startsWith('<') && !allowed.has(piece))).toEqual([]);
        expect(pieces.filter((piece) => /owned/i.test(piece))).toEqual([]);
      }),
      RUNS,
    );
  });

  test('in what is said of something wrong', () => {
    fc.assert(
      fc.property(names, hostile, (own, other) => {
        const [before, after] = outputs(own);
        const broken = output([{ ...named(own, true), rules: other as never }]);
        for (const args of [
          ['explain', before, ...PACKET],
          ['explain', before, '--host', other, ...PACKET],
          ['explain', before, '--host', `${own.path}1`, ...PACKET, '--down', other],
          ['explain', before, '--host', `${own.path}1`, '--to', other],
          ['diff', before, after, '--host', other],
          ['diff', before, other],
          ['draw', broken],
          ['draw', `${before}/${other}`],
          [other],
          ['diff', `--${other}`],
        ]) {
          const { text, error, status } = run(args);
          expect([text, status]).toEqual(['', 2]);
          checkLines(error);
          expect(error).toMatch(/^cdktf-source-routing: [^\n]+\n(\nusage: [^]*)?$/);
        }
      }),
      RUNS,
    );
  });
});

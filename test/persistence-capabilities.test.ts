import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Host } from '../lib/model/host';
import type { Route } from '../lib/model/route';
import type { Rule } from '../lib/model/rule';
import type { Value } from '../lib/model/value';
import { allRenderers, problemsOf } from '../lib/persistence/all';
import type { RouteFeature, RuleFeature, Support } from '../lib/persistence/capabilities';
import {
  ROUTE_FEATURES,
  RULE_FEATURES,
  UNKNOWN_FAMILY,
  routeFeatures,
  ruleFeatures,
  versionNeeded,
} from '../lib/persistence/capabilities';
import type { Piece, Rendered } from '../lib/persistence/persistence';
import { modelHost } from './model/host';

const prefix = (text: string): Value => ({ kind: 'prefix', text });
const address = (text: string): Value => ({ kind: 'address', text });
const device = (text: string): Value => ({ kind: 'device', text });
const deferred: Value = { kind: 'prefix', text: '${var.pool}', deferredFor: 'stack/rule:source' };

const RULE: Rule = {
  path: 'stack/rule',
  family: 4,
  priority: 10010,
  source: prefix('10.10.10.0/24'),
  action: { kind: 'lookup', tableId: 200 },
};
const ROUTE: Route = {
  path: 'stack/route',
  family: 4,
  tableId: 200,
  destination: prefix('default'),
  hops: [{ via: address('192.168.1.1'), device: device('eth1') }],
};

/** A rule that has the feature. What `lookup` and `from` look like, RULE says itself. */
const RULES: Record<RuleFeature, Partial<Rule>> = {
  'from': { source: prefix('10.10.11.0/24') },
  'to': { destination: prefix('10.20.0.0/16') },
  'not': { invert: true },
  'tos': { tos: 16 },
  'fwmark': { firewallMark: 7 },
  'fwmark/mask': { firewallMark: 7, firewallMask: 15 },
  'fwmark 0/mask': { firewallMark: 0, firewallMask: 15 },
  'iif': { inputInterface: device('tun0') },
  'oif': { outputInterface: device('tun0') },
  'mark, iif or oif without from and to': { source: undefined, inputInterface: device('tun0') },
  'uidrange': { uidRange: { first: 1000, last: 1010 } },
  'ipproto': { ipProtocol: 17 },
  'sport': { sourcePorts: { first: 53, last: 53 } },
  'dport': { destinationPorts: { first: 53, last: 60 } },
  'lookup': { action: { kind: 'lookup', tableId: 201 } },
  'goto': { action: { kind: 'goto', priority: 20000 } },
  'blackhole': { action: { kind: 'blackhole' } },
  'unreachable': { action: { kind: 'unreachable' } },
  'prohibit': { action: { kind: 'prohibit' } },
  'suppress_prefixlength': { suppressPrefixLength: 0 },
  'suppress_ifgroup': { suppressInterfaceGroup: 5 },
  [UNKNOWN_FAMILY]: { family: 'auto', source: deferred },
};

const ROUTES: Record<RouteFeature, Partial<Route>> = {
  'via': { hops: [{ via: address('192.168.1.2'), device: device('eth1') }] },
  'via inet6': { hops: [{ via: { ...address('fe80::1'), family: 6 }, device: device('eth1') }] },
  'via dhcp4 or ra': { hops: [{ via: { ...address('dhcp4'), isFollowed: true }, device: device('eth1') }] },
  'dev': { hops: [{ device: device('eth1') }] },
  'src': { preferredSource: address('192.168.1.100') },
  'scope': { scope: 200 },
  'mtu': { mtu: 1400 },
  'advmss': { advmss: 1300 },
  'onlink': { hops: [{ ...ROUTE.hops[0], onLink: true }] },
  'metric': { metric: 50 },
  'metric above 2147483647': { metric: 2147483648 },
  'nexthop': { hops: [ROUTE.hops[0], { via: address('192.168.1.2'), device: device('eth1'), weight: 2 }] },
  'nexthop … onlink': { hops: [ROUTE.hops[0], { via: address('192.168.1.2'), device: device('eth1'), onLink: true }] },
  'blackhole': { type: 'blackhole', hops: [] },
  'unreachable': { type: 'unreachable', hops: [] },
  'prohibit': { type: 'prohibit', hops: [] },
  'throw': { type: 'throw', hops: [] },
  [UNKNOWN_FAMILY]: { family: 'auto', destination: deferred },
};

function host(rule: Partial<Rule>, route: Partial<Route>): Host {
  return modelHost({
    interfaces: [{ name: 'eth1', addresses: [], gateways: [], incomplete: true }],
    tables: [200, 201].map((id) => ({ path: `stack/${id}`, id, failClosed: false })),
    // So that it is known which interface brings up what has none of its own.
    rules: [{ ...RULE, ...rule }],
    routes: [
      { ...ROUTE, destination: prefix('10.99.0.0/16') },
      { ...ROUTE, ...route },
    ],
  });
}

type Sample = readonly [name: string, support: Support, Host];

// The service says nothing of rules and routes: the agent reads them elsewhere.
describe.each(allRenderers().filter(({ name }) => name !== 'service'))('$call', (renderer) => {
  const samples: Sample[] = [
    ...RULE_FEATURES.map((name): Sample => [
      `rule: ${name}`,
      renderer.capabilities.rules[name] ?? true,
      host(RULES[name], {}),
    ]),
    ...ROUTE_FEATURES.map((name): Sample => [
      `route: ${name}`,
      renderer.capabilities.routes[name] ?? true,
      host({}, ROUTES[name]),
    ]),
  ];

  test.each(samples)('%s: what the table says is what it does', (_, support, sample) => {
    const problems = problemsOf(renderer, sample).map(({ message }) => message);
    const { rules, routes } = renderer.capabilities;
    const asked = [
      ...sample.rules.flatMap(ruleFeatures).map((feature) => rules[feature]),
      ...sample.routes.flatMap(routeFeatures).map((feature) => routes[feature]),
    ];
    const refused = asked.flatMap((each) =>
      each !== undefined && each !== true && 'refused' in each ? [each.refused] : [],
    );
    expect(problems).toEqual(
      refused.map((reason): unknown =>
        expect.stringMatching(`cannot express .*${escaped(reason)}\\. .*Persistence\\.service`),
      ),
    );
    if (refused.length > 0) {
      return;
    }
    const rendered = renderer.render(sample);
    if (support !== true && 'since' in support) {
      const needed = rendered.requirements.flatMap((each) => (each.kind === 'version' ? [each.atLeast] : []));
      expect(needed).toHaveLength(1);
      expect(Number(needed[0])).toBeGreaterThanOrEqual(Number(support.since));
    }
  });

  test('what it writes for each feature is what was read and measured', () => {
    const file = join(__dirname, 'golden', `${renderer.name}.txt`);
    const plain = linesOf(renderer.render(host({}, {})));
    const text = [
      '# The plain rule and the plain route. Below, what each feature changes in that.',
      ...plain,
      ...samples
        .filter(([, , sample]) => problemsOf(renderer, sample).length === 0)
        .flatMap(([name, , sample]) => ['', `# ${name}`, ...changes(plain, linesOf(renderer.render(sample)))]),
      '',
    ].join('\n');
    if (process.env.UPDATE_GOLDEN) {
      writeFileSync(file, text);
    }
    expect(text).toBe(readFileSync(file, 'utf8'));
  });
});

/** All that is written, and what the manager needs for it. */
function linesOf({ devices, files, dropIns = [], blocks = [], units, requirements }: Rendered): string[] {
  const where = (systemdOnly = false): string => (systemdOnly ? ' with systemd' : '');
  const all = [
    ...files.map(({ path, mode, lines, systemdOnly }) => ({ name: `${mode} ${path}${where(systemdOnly)}`, lines })),
    ...dropIns.map(({ device, name, lines }) => ({ name: `drop-in ${name} of ${device}`, lines })),
    ...blocks.map(({ device, lines }) => ({ name: `profile of ${device}`, lines })),
  ];
  return [
    ...all.flatMap(({ name, lines }) => [`== ${name}`, ...lines.map((pieces) => pieces.map(pieceText).join(''))]),
    ...devices.map((device) => `manages ${device}`),
    ...units.map(({ name, systemdOnly }) => `starts ${name}${where(systemdOnly)}`),
    ...requirements.map((each) => `needs ${Object.values(each).join(' ')}`),
  ];
}

function pieceText(piece: Piece): string {
  if (typeof piece === 'string') {
    return piece;
  }
  return 'value' in piece ? `<${piece.value.text} if IPv${piece.family}>` : piece.text;
}

/** Lines that went and lines that came. */
function changes(before: readonly string[], after: readonly string[]): string[] {
  return [...without(before, after).map((line) => `- ${line}`), ...without(after, before).map((line) => `+ ${line}`)];
}

/** The lines of the first list that the second does not have, or not as often. */
function without(lines: readonly string[], others: readonly string[]): string[] {
  const left = [...others];
  return lines.filter((line) => {
    const at = left.indexOf(line);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

test('each sample has the feature that it is for', () => {
  expect(RULE_FEATURES.filter((name) => !ruleFeatures({ ...RULE, ...RULES[name] }).includes(name))).toEqual([]);
  expect(ROUTE_FEATURES.filter((name) => !routeFeatures({ ...ROUTE, ...ROUTES[name] }).includes(name))).toEqual([]);
});

describe('features', () => {
  const rule = (more: Partial<Rule>): string[] => ruleFeatures({ ...RULE, source: undefined, ...more });
  const route = (more: Partial<Route>): string[] => routeFeatures({ ...ROUTE, ...more });

  test.each<[string, string[], string[]]>([
    ['none but the table', rule({ tos: 16 }), ['tos', 'lookup']],
    [
      'a mark without from and to',
      rule({ firewallMark: 7 }),
      ['fwmark', 'mark, iif or oif without from and to', 'lookup'],
    ],
    [
      'a mark with all bits in its mask',
      rule({ source: prefix('10.0.0.0/8'), firewallMark: 0, firewallMask: 0xffffffff }),
      ['from', 'fwmark', 'lookup'],
    ],
    [
      'an interface and a destination',
      rule({ destination: prefix('10.0.0.0/8'), outputInterface: device('tun0') }),
      ['to', 'oif', 'lookup'],
    ],
    ['of a route to nowhere', route({ type: 'throw', hops: [] }), ['throw']],
    ['of next hops on links', route({ hops: [{ device: device('eth0') }, { device: device('eth1') }] }), ['nexthop']],
    [
      'the highest metric that all can write',
      route({ metric: 2147483647, hops: [{ device: device('eth0') }] }),
      ['dev', 'metric'],
    ],
  ])('%s', (_, features, expected) => {
    expect(features).toEqual(expected);
  });
});

describe('the version that is needed', () => {
  const needed = (...versions: string[]): string | undefined => {
    const names = ['tos', 'sport', 'dport'] as const;
    const rules = Object.fromEntries(versions.map((since, index) => [names[index], { since, key: `key${index}=` }]));
    const ports = { first: 53, last: 53 };
    const rule = { ...RULE, tos: 16, sourcePorts: ports, destinationPorts: ports };
    return versionNeeded(modelHost({ rules: [rule] }), { rules, routes: {} })?.atLeast;
  };

  test.each<[string | undefined, string[]]>([
    [undefined, []],
    ['248', ['240', '248', '245']],
    ['1.42', ['1.36', '1.42', '1.38']],
    ['1.42', ['1.42', '1.5']],
    ['2.1', ['1.42', '2.1']],
    ['2.1', ['2.1', '1.42']],
    ['1.42.1', ['1.42', '1.42.1']],
    ['1.42.1', ['1.42.1', '1.42']],
  ])('is %s, the highest of %j', (highest, versions) => {
    expect(needed(...versions)).toBe(highest);
  });

  test('is said of the first that needs it', () => {
    const rules = { from: { since: '1.2', key: 'from=' } };
    const host = modelHost({ rules: [RULE, { ...RULE, priority: 10020 }] });
    expect(versionNeeded(host, { rules, routes: {} })?.for).toBe('from= of the rule at priority 10010');
  });
});

test('NetworkManager does not set scope host without a gateway, also if there is no next hop', () => {
  const [renderer] = allRenderers().filter(({ name }) => name === 'network-manager');
  const problems = (route: Partial<Route>): string[] =>
    problemsOf(renderer, host({}, route)).map(({ message }) => message.slice(0, 65));
  const message = 'Persistence.networkManager() cannot express "scope 254" of the ro';
  expect(problems({ scope: 254, type: 'blackhole', hops: [] })).toEqual([message]);
  expect(problems({ scope: 254 })).toEqual([]);
});

test('NetworkManager gets a destination that is known at apply only as it is', () => {
  const [renderer] = allRenderers().filter(({ name }) => name === 'network-manager');
  expect(linesOf(renderer.render(host({}, { destination: deferred }))).join()).toMatch(
    /=\$\{var\.pool\},192\.168\.1\.1,/,
  );
});

import { buildMachine, withLinksDown } from '../../lib/fib/build';
import type { Description } from '../../lib/fib/build';
import { decide } from '../../lib/fib/decide';
import { explain, dispositionsText, outcomeText, packetText, ruleText, tableLabel } from '../../lib/fib/explain';
import type { PacketOptions } from '../../lib/fib/packet';
import { packetHeader } from '../../lib/fib/packet';
import { ReversePathFilter, kernelRules } from '../../lib/fib/machine';
import { INTERFACE_TOWARD_SOURCE } from '../../lib/model/expectation';
import type { Hop, Route } from '../../lib/model/route';
import type { Rule } from '../../lib/model/rule';
import type { Value } from '../../lib/model/value';
import { parseInterfaceAddress } from '../../lib/model/value';

const device = (text: string): Value => ({ kind: 'device', text });
const address = (text: string): Value => ({ kind: 'address', text, family: 4 });
const prefix = (text: string): Value => ({ kind: 'prefix', text, family: 4 });
const later = (deferredFor: string): Value => ({ kind: 'prefix', text: '${var.x}', deferredFor });

const UPLINK: Hop = { via: address('192.168.1.1'), device: device('eth1') };

function rule(more: Partial<Rule> = {}): Rule {
  return { path: 'rule', family: 4, priority: 10, action: { kind: 'lookup', tableId: 200 }, ...more };
}
function route(more: Partial<Route> = {}): Route {
  return { path: 'route', family: 4, tableId: 200, destination: prefix('default'), hops: [UPLINK], ...more };
}
function machine(rules: Rule[], routes: Route[], more: Partial<Description> = {}): Description {
  const links = [
    { name: 'eth0', addresses: [parseInterfaceAddress('192.168.178.2/24', 'address')], group: 5 },
    { name: 'eth1', addresses: [parseInterfaceAddress('192.168.1.100/24', 'address')] },
  ];
  return { links, rules: [...kernelRules(), ...rules], routes, ...more };
}

const OUT = { source: '192.168.178.9', inputInterface: 'eth0', destination: '198.51.100.7' };

/** The last lines of each possible way, after the rule of the local table. */
function lines(description: Description, packet: PacketOptions = OUT): string[] {
  const parsed = packetHeader(packet);
  return decide(buildMachine(description), parsed).flatMap((outcome) => explain(outcome, parsed.family).slice(1));
}

describe('a route is shown', () => {
  test.each<[string, Partial<Route>, string]>([
    ['with its metric', { metric: 7 }, 'default via 192.168.1.1 dev eth1 metric 7'],
    ['with its type', { type: 'prohibit', hops: [], metric: 1024 }, 'prohibit default metric 1024'],
    [
      'with its next hops',
      { hops: [UPLINK, { device: device('eth0') }] },
      'default nexthop via 192.168.1.1 dev eth1 nexthop dev eth0',
    ],
  ])('%s', (_, more, text) => {
    expect(lines(machine([rule()], [route(more)]))[0]).toBe(`rule 10: from all lookup 200 -> table 200: ${text}`);
  });

  test('with next hops that are dead', () => {
    const description = machine([rule()], [route({ hops: [UPLINK, { device: device('eth0') }] })]);
    expect(lines(withLinksDown(description, ['eth1']))[0]).toContain(
      'default nexthop via 192.168.1.1 dev eth1 dead nexthop dev eth0',
    );
  });

  test('with what is known at apply only', () => {
    const unsure = route({ destination: later('r:destination'), hops: [{ device: later('r:device') }] });
    expect(lines(machine([rule()], [unsure]))).toEqual([
      'rule 10: from all lookup 200 -> table 200: <not known> dev <not known> (may be there or not: r:destination)',
      'source: unknown',
      'rule 10: from all lookup 200 -> table 200: no route',
      'rule 32766: from all lookup main -> table main: no route',
      'rule 32767: from all lookup default -> table default: no route',
      'no rule has a route',
    ]);
    const ofEither = route({ family: 'auto', destination: later('r:destination'), hops: [{ via: later('r:via') }] });
    expect(lines(machine([rule()], [ofEither]))[0]).toContain('(may be there or not: r:destination, r:via)');
  });

  test('after a rule that may not match', () => {
    const unsure = rule({ source: later('rule:source'), action: { kind: 'prohibit' } });
    expect(lines(machine([unsure], [route({ tableId: 254 })]))).toEqual([
      'rule 10: from <rule:source> prohibit -> may match: prohibit',
      'rule 10: from <rule:source> prohibit -> may not match: rule:source is known at apply only',
      'rule 32766: from all lookup main -> table main: default via 192.168.1.1 dev eth1',
      'source: unknown',
    ]);
  });

  test('with the suppressor that it did not pass', () => {
    const suppressing = rule({ suppressInterfaceGroup: 5 });
    const inGroup = route({ hops: [{ device: device('eth0') }] });
    expect(lines(machine([suppressing], [inGroup]))[0]).toBe(
      'rule 10: from all lookup 200 suppress_ifgroup 5 -> table 200: default dev eth0, suppressed (suppress_ifgroup 5)',
    );
  });
});

describe('what decides without the rules is said', () => {
  const links = machine([], []).links.map((each) => ({ ...each, reversePathFilter: ReversePathFilter.STRICT }));

  test.each<[string, Description, PacketOptions, string[]]>([
    [
      'a source that is not let in',
      machine([rule()], [route()], { links }),
      OUT,
      ['rule 10: from all lookup 200 -> table 200: default via 192.168.1.1 dev eth1', 'source: fails rp_filter'],
    ],
    [
      'a socket that is bound to a link without a route',
      machine([], []),
      { destination: '198.51.100.7', outputInterface: 'eth1' },
      [
        'rule 32766: from all lookup main -> table main: no route',
        'rule 32767: from all lookup default -> table default: no route',
        'IPv4: bound to eth1: taken for a neighbour there',
      ],
    ],
  ])('%s', (_, description, packet, expected) => {
    expect(lines(description, packet)).toEqual(expected);
  });

  test.each<[string, PacketOptions, string[]]>([
    ['a group', { ...OUT, destination: '224.0.0.5' }, ['IPv4: goes to the members of the group']],
    ['a link that is down', { destination: '198.51.100.7', outputInterface: 'eth1' }, ['IPv4: eth1 is down']],
  ])('%s', (_, packet, expected) => {
    const parsed = packetHeader(packet);
    const outcomes = decide(buildMachine(withLinksDown(machine([], []), ['eth1'])), parsed);
    expect(outcomes.flatMap((outcome) => explain({ ...outcome, source: 'passes' }, 4))).toEqual(expected);
  });
});

test('an outcome', () => {
  expect(outcomeText({ kind: 'unicast', via: '192.168.1.1', device: 'eth1' })).toBe('via 192.168.1.1 dev eth1');
  expect(outcomeText({ kind: 'unicast' })).toBe('dev <not known>');
  expect(outcomeText({ kind: 'no route' })).toBe('no route');
});

test('expected outcomes', () => {
  expect(
    dispositionsText([{ kind: 'unicast', via: address('192.168.1.1'), device: device('eth1') }, { kind: 'rejected' }]),
  ).toBe('via 192.168.1.1 dev eth1 or rejected');
});

test.each<[Parameters<typeof packetText>[0], string]>([
  [
    { family: 4, source: '10.0.0.1', destination: '198.51.100.7', inputInterface: 'tun0', uid: 0, firewallMark: 7 },
    'from 10.0.0.1 to 198.51.100.7 iif tun0 mark 0x7',
  ],
  [
    { family: 4, destination: '198.51.100.7', inputInterface: INTERFACE_TOWARD_SOURCE, uid: 1000 },
    'to 198.51.100.7 uid 1000',
  ],
])('a packet: %j', (question, text) => {
  expect(packetText(question)).toBe(text);
});

test.each<[Partial<Rule>, string]>([
  [{}, 'from all lookup 200'],
  [{ source: prefix('10.0.0.0/8'), invert: true }, 'not from 10.0.0.0/8 lookup 200'],
  [{ destination: prefix('10.0.0.0/8'), invert: true }, 'not from all to 10.0.0.0/8 lookup 200'],
  [{ action: { kind: 'lookup', tableId: 255 } }, 'from all lookup local'],
  [{ source: later('r:source'), action: { kind: 'lookup', tableId: 253 } }, 'from <r:source> lookup default'],
  [{ action: { kind: 'goto', priority: 254 } }, 'from all goto 254'],
])('a rule: %j', (more, text) => {
  expect(ruleText(rule(more))).toBe(text);
});

test('a table', () => {
  expect([254, 200].map(tableLabel)).toEqual(['main', 'table 200']);
});

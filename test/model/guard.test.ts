import { closedTunnels, guarded, guards, isOfTunnel, throwsOf, unguarded } from '../../lib/model/guard';
import type { Host, Interface, Table } from '../../lib/model/host';
import type { Route } from '../../lib/model/route';
import { failClosedRoute } from '../../lib/model/route';
import type { Rule } from '../../lib/model/rule';
import { ruleWords } from '../../lib/model/rule';
import type { Value } from '../../lib/model/value';
import { parseAddress, parseDevice, parseInterfaceAddress, parsePrefix } from '../../lib/model/value';
import { modelHost } from './host';

const POOL = parsePrefix('10.10.10.0/24', 'source');
const ANY: Value = { kind: 'prefix', text: '0.0.0.0/0', family: 4 };
const LATER: Value = { kind: 'address', text: '${var.x}', deferredFor: 'route:via' };

function rule(more: Partial<Rule> = {}): Rule {
  return {
    path: 'clients',
    family: 4,
    priority: 10010,
    source: POOL,
    action: { kind: 'lookup', tableId: 200 },
    ...more,
  };
}
function route(more: Partial<Route> = {}): Route {
  const hops = [{ via: parseAddress('192.168.1.1', 'via'), device: parseDevice('eth1', 'device') }];
  return { path: 'route', family: 4, tableId: 200, destination: { kind: 'prefix', text: 'default' }, hops, ...more };
}
function table(more: Partial<Table> = {}): Table {
  return { path: 'table', id: 200, failClosed: true, ...more };
}
function link(name: string, ...addresses: string[]): Interface {
  const parsed = addresses.map((text) => parseInterfaceAddress(text, 'address'));
  return { name, addresses: parsed, gateways: [], incomplete: false };
}
function host(rules: Rule[], more: Partial<Host> = {}): Host {
  return modelHost({
    interfaces: [link('eth1', '192.168.1.100/24'), link('tun0', '10.10.10.1/24')],
    tables: [table()],
    rules,
    routes: [route()],
    ...more,
  });
}
function texts(rules: readonly Rule[]): string[] {
  return rules.map((each) =>
    [
      `${each.family} ${each.priority}:`,
      ...ruleWords(each).map((word) => (typeof word === 'string' ? word : word.text)),
    ].join(' '),
  );
}

describe('a rule has a guard', () => {
  test.each<[string, Host, boolean]>([
    ['if its table fails closed', host([rule()]), true],
    ['not if its table does not', host([rule()], { tables: [table({ failClosed: false })] }), false],
    ['not if another table does', host([rule({ action: { kind: 'lookup', tableId: 201 } })]), false],
    ['not if it suppresses by prefix', host([rule({ suppressPrefixLength: 0 })]), false],
    ['not if it suppresses by group', host([rule({ suppressInterfaceGroup: 5 })]), false],
    ['not if its table has a throw', host([rule()], { routes: [route({ type: 'throw', hops: [] })] }), false],
    ['if another table has', host([rule()], { routes: [route({ type: 'throw', tableId: 201 })] }), true],
    ['if the throw is of the other family', host([rule()], { routes: [route({ type: 'throw', family: 6 })] }), true],
    ['if the table rejects instead', host([rule()], { routes: [route({ type: 'prohibit', hops: [] })] }), true],
    ['if it rejects a source', host([rule({ action: { kind: 'prohibit' } })]), true],
    ['if it rejects a source to anywhere', host([rule({ action: { kind: 'prohibit' }, destination: ANY })]), true],
    [
      'not if it rejects a source to somewhere',
      host([rule({ action: { kind: 'prohibit' }, destination: POOL })]),
      false,
    ],
    ['not if it rejects all sources', host([rule({ action: { kind: 'prohibit' }, source: ANY })]), false],
    [
      'not if it rejects packets without a source',
      host([rule({ action: { kind: 'prohibit' }, source: undefined })]),
      false,
    ],
    ['not if it jumps', host([rule({ action: { kind: 'goto', priority: 20000 } })]), false],
    ['not if it is negated', host([rule({ invert: true })]), false],
  ])('%s', (_, declared, expected) => {
    expect(guarded(declared)).toEqual(expected ? declared.rules : []);
  });

  test.each<[string, Partial<Rule>, boolean]>([
    ['nothing', {}, false],
    ['all sources', { source: ANY }, false],
    ['an input interface', { inputInterface: parseDevice('tun0', 'x') }, true],
    ['packets of the machine', { inputInterface: { kind: 'device', text: 'lo' } }, false],
    ['a mark', { firewallMark: 7 }, true],
    ['a type of service', { tos: 16 }, true],
    ['a protocol', { ipProtocol: 17 }, true],
    ['all destinations', { destination: ANY }, false],
    ['a destination known at apply', { destination: { ...POOL, deferredFor: 'rule:destination' } }, false],
    ['a destination with a next hop in it', { destination: parsePrefix('192.168.0.0/16', 'x') }, false],
    ['a destination without', { destination: POOL }, true],
  ])('if it selects by %s, only where the check of next hops does not end there', (_, more, expected) => {
    const declared = host([rule({ source: undefined, ...more })]);
    expect(guarded(declared)).toEqual(expected ? declared.rules : []);
  });

  test('not if a next hop is known at apply only, since it may be anywhere', () => {
    const selecting = rule({ source: undefined, destination: POOL });
    expect(guarded(host([selecting], { routes: [route({ hops: [{ via: LATER }] })] }))).toEqual([]);
    expect(guarded(host([selecting], { routes: [route({ hops: [{}] })] }))).toEqual([selecting]);
    expect(guarded(host([selecting], { routes: [route(), route({ hops: [{ via: LATER }] })] }))).toEqual([]);
  });

  test('10000 behind it, if there is room', () => {
    const rules = [22765, 22766].map((priority) => rule({ priority }));
    const declared = host(rules);
    expect(texts(guards(declared))).toEqual(['4 32765: from 10.10.10.0/24 unreachable']);
    expect(guards(declared)[0].behind).toBe(rules[0]);
    expect(unguarded(declared)).toEqual([rules[1]]);
  });
});

describe('a tunnel is closed', () => {
  const discards = [failClosedRoute('pool', 4, 200, POOL)];
  const hooks = [{ path: 'hook', daemon: 'openvpn' as const, file: '/x', tableId: 200 }];
  const OPEN = table({ id: 201, failClosed: false });
  const elsewhere = rule({ priority: 10000, action: { kind: 'lookup', tableId: 201 } });

  test.each<[string, Host, string[]]>([
    ['if it has a pool of a VpnEgress', host([rule()], { discards }), ['tun0']],
    ['if a daemon fills the table', host([rule()], { hooks }), ['tun0']],
    ['not if a daemon fills another', host([rule()], { hooks: [{ ...hooks[0], tableId: 201 }] }), []],
    ['not if only a rule names its network', host([rule()]), []],
    ['not if the pool is another', host([rule()], { discards: [failClosedRoute('pool', 4, 200, ANY)] }), []],
    [
      'not if the source is known at apply only',
      host([rule({ source: { ...POOL, deferredFor: 'rule:source' } })], { discards }),
      [],
    ],
    [
      'not if the rule has no source',
      host([rule({ source: undefined, inputInterface: parseDevice('tun0', 'x') })], { hooks }),
      [],
    ],
    ['not if the rule is for all sources', host([rule({ source: ANY })], { discards }), []],
    ['not if a table lets packets through', host([elsewhere, rule()], { discards, tables: [table(), OPEN] }), []],
    ['if that table is of nobody here', host([elsewhere, rule()], { discards }), ['tun0']],
    [
      'if that table fails closed, too',
      host([elsewhere, rule()], { discards, tables: [table(), table({ id: 201 })] }),
      ['tun0'],
    ],
    [
      'if a table that no rule looks up lets packets through',
      host([rule()], { discards, tables: [table(), OPEN] }),
      ['tun0'],
    ],
    [
      'not if it has a throw',
      host([elsewhere, rule()], {
        discards,
        tables: [table(), table({ id: 201 })],
        routes: [route(), route({ tableId: 201, type: 'throw', hops: [] })],
      }),
      [],
    ],
  ])('%s', (_, declared, expected) => {
    expect(closedTunnels(declared).map(({ name }) => name)).toEqual(expected);
  });

  test('by guards of both families behind all others, at a priority that is free', () => {
    const taken = rule({ priority: 20011, source: undefined, action: { kind: 'goto', priority: 30000 } });
    const all = guards(host([rule(), taken], { discards }));
    expect(texts(all)).toEqual([
      '4 20010: from 10.10.10.0/24 unreachable',
      '4 20012: iif tun0 blackhole',
      '6 20012: iif tun0 blackhole',
    ]);
    expect(all.map(isOfTunnel)).toEqual([false, true, true]);
    expect(all.map(({ behind, path }) => [behind.priority, path])).toEqual(all.map(() => [10010, 'clients']));
    expect(isOfTunnel(rule({ action: { kind: 'blackhole' } }))).toBe(false);
  });

  test('behind the last guard, whatever comes first', () => {
    const all = guards(host([rule({ priority: 10020 }), rule()], { discards }));
    expect(texts(all).slice(2)).toEqual(['4 20021: iif tun0 blackhole', '6 20021: iif tun0 blackhole']);
    expect(all[2].inputInterface).toEqual(parseDevice('tun0', 'x'));
  });

  test('not if there is no rule to guard', () => {
    expect(guards(host([], { discards }))).toEqual([]);
  });

  test('as long as there is room', () => {
    expect(texts(guards(host([rule({ priority: 22764 })], { discards })))).toHaveLength(3);
    expect(texts(guards(host([rule({ priority: 22765 })], { discards })))).toHaveLength(1);
    expect(texts(guards(host([rule({ priority: 22766 })], { discards })))).toEqual([]);
  });
});

test.each<[Route['family'], Rule['family'], boolean]>([
  [4, 4, true],
  [6, 4, false],
  ['auto', 4, true],
  [4, 'auto', true],
])('a throw of family %s counts for family %s: %s', (ofRoute, ofRule, expected) => {
  const routes = [route({ type: 'throw', family: ofRoute })];
  expect(throwsOf(host([], { routes }), rule({ family: ofRule }))).toEqual(expected ? routes : []);
});

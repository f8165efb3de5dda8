import type { LinuxHost, VpnEgressProps } from '../lib';
import { LocalTraffic, PolicyRule, SourceRoutingTable, VpnEgress } from '../lib';
import type { Description } from '../lib/fib/build';
import { buildMachine, withLinksDown } from '../lib/fib/build';
import { prefixBits, prefixText } from '../lib/fib/bits';
import { decide } from '../lib/fib/decide';
import type { PacketOptions } from '../lib/fib/packet';
import { packetHeader } from '../lib/fib/packet';
import { describeHost } from '../lib/fib/from-host';
import type { LinkState } from '../lib/fib/machine';
import { ReversePathFilter, kernelRules } from '../lib/fib/machine';
import type { Outcome } from '../lib/fib/outcome';
import { explain, outcomeText } from '../lib/fib/explain';
import type { Route } from '../lib/model/route';
import type { Action, Rule } from '../lib/model/rule';
import { parseInterfaceAddress } from '../lib/model/value';
import { Fn, TerraformVariable } from 'cdktf';
import { ALL_INTERFACES, GATEWAYS, INTERFACES, POOLS, newHost, newStack } from './fixtures';

function link(name: string, addresses: string[], more = {}): Description['links'][number] {
  return { name, addresses: addresses.map((text) => parseInterfaceAddress(text, 'address')), ...more };
}
function lookup(tableId: number): Action {
  return { kind: 'lookup', tableId };
}
function rule(priority: number, source: string | undefined, action: Action, more: Partial<Rule> = {}): Rule {
  const family = source?.includes(':') ? 6 : 4;
  const from = source === undefined ? {} : { source: { kind: 'prefix' as const, text: source, family } as const };
  return { path: `rule${priority}`, family, priority, ...from, action, ...more };
}
function route(tableId: number, destination: string, hops: string[] | Route['type'], more: Partial<Route> = {}): Route {
  const gateways = Array.isArray(hops) ? hops : [];
  return {
    path: 'route',
    family: destination.includes(':') || gateways.some((hop) => hop.includes(':')) ? 6 : 4,
    tableId,
    destination: { kind: 'prefix', text: destination.replace('::/0', 'default') },
    type: Array.isArray(hops) ? undefined : hops,
    hops: gateways.map((hop) => {
      const [device = '', via] = hop.split(' ').reverse();
      return { device: { kind: 'device', text: device }, ...(via && { via: { kind: 'address', text: via } }) };
    }),
    ...more,
  };
}

/** The how-to's server, with what is given here besides. */
function server(rules: Rule[], routes: Route[], more: Partial<Description> = {}): Description {
  return {
    links: [
      link('eth0', ['192.168.178.2/24', 'fd00:178::2/64']),
      link('eth1', ['192.168.1.100/24', 'fd00:1010::100/64'], { group: 5 }),
      link('tun0', ['10.10.10.1/24', 'fd00:4242::1/64']),
    ],
    rules: [...kernelRules(), ...rules],
    routes: [
      route(254, 'default', ['192.168.178.1 eth0']),
      route(254, '::/0', ['fd00:178::1 eth0']),
      route(200, 'default', ['192.168.1.1 eth1']),
      route(200, '::/0', ['fd00:1010::1 eth1']),
      ...routes,
    ],
    ...more,
  };
}

function outcomes(description: Description, options: PacketOptions): Outcome[] {
  return decide(buildMachine(description), packetHeader(options));
}
/** What may happen, each outcome once. */
function ways(description: Description, options: PacketOptions): string[] {
  return [...new Set(outcomes(description, options).map(outcomeText))];
}
function trail(description: Description, options: PacketOptions): string[] {
  const parsed = packetHeader(options);
  return decide(buildMachine(description), parsed).flatMap((outcome) => explain(outcome, parsed.family));
}

const EGRESS = 'via 192.168.1.1 dev eth1';
const UPLINK = 'via 192.168.178.1 dev eth0';
const CLIENT = { source: '10.10.10.2', inputInterface: 'tun0' };
const CLIENT6 = { source: 'fd00:4242::2', inputInterface: 'tun0' };
const OUT = { ...CLIENT, destination: '198.51.100.7' };
const OUT6 = { ...CLIENT6, destination: '2001:db8::7' };
const FROM_POOL = rule(10010, '10.10.10.0/24', lookup(200));
const FROM_POOL6 = rule(10010, 'fd00:4242::/64', lookup(200));

describe('a trail', () => {
  test('is what ip would say of the rules that matched', () => {
    const first = rule(10000, '10.10.10.0/24', lookup(254), { suppressPrefixLength: 0 });
    expect(trail(server([FROM_POOL, first], []), OUT)).toEqual([
      'rule 0: from all lookup local -> table local: no route',
      'rule 10000: from 10.10.10.0/24 lookup main suppress_prefixlength 0 -> table main: default via 192.168.178.1 dev eth0, suppressed (suppress_prefixlength 0)',
      'rule 10010: from 10.10.10.0/24 lookup 200 -> table 200: default via 192.168.1.1 dev eth1',
    ]);
  });
  test('shows throw, goto, and what rejects', () => {
    const rules = [
      rule(10, undefined, { kind: 'goto', priority: 30 }),
      rule(20, undefined, { kind: 'prohibit' }),
      rule(30, undefined, lookup(201)),
      rule(40, undefined, { kind: 'goto', priority: 41 }),
      rule(50, '10.0.0.0/8', { kind: 'unreachable' }, { invert: true }),
      rule(60, '10.0.0.0/8', { kind: 'blackhole' }),
    ];
    expect(trail(server(rules, [route(201, '198.51.100.0/24', 'throw')]), OUT).slice(1)).toEqual([
      'rule 10: from all goto 30 -> goes on there',
      'rule 30: from all lookup 201 -> table 201: throw 198.51.100.0/24, goes on',
      'rule 40: from all goto 41 -> no rule there, passed over',
      'rule 60: from 10.0.0.0/8 blackhole -> blackhole',
    ]);
  });
  test('ends in words where no rule has a route', () => {
    const none = { ...server([], []), routes: [] };
    expect(trail(none, { ...OUT6 })).toEqual([
      'rule 0: from all lookup local -> table local: no route',
      'rule 32766: from all lookup main -> table main: no route',
      'no rule has a route',
    ]);
  });
});

describe('of routes', () => {
  test.each<[string, Route[], string[]]>([
    ['the longest prefix wins', [route(200, '198.51.100.0/24', ['eth0'], { metric: 9 })], ['dev eth0']],
    ['then the lowest metric', [route(200, 'default', ['192.168.1.9 eth1'], { metric: 5 })], [EGRESS]],
    ['one that rejects is an answer', [route(200, '198.51.0.0/16', 'unreachable')], ['unreachable']],
    ['throw leads to the next rule', [route(200, '198.51.100.7', 'throw')], [UPLINK]],
    [
      'several next hops are all possible',
      [route(200, '198.51.100.7', ['192.168.1.7 eth1', '192.168.1.8 eth1'])],
      ['via 192.168.1.7 dev eth1', 'via 192.168.1.8 dev eth1'],
    ],
  ])('%s', (_, routes, expected) => {
    expect(ways(server([FROM_POOL], routes), OUT)).toEqual(expected);
  });
  test('without a metric is 1024 in IPv6 and 0 in IPv4', () => {
    const lower = route(200, 'default', ['192.168.1.9 eth1'], { metric: 1000 });
    const lower6 = route(200, '::/0', ['fd00:1010::9 eth1'], { metric: 1000 });
    const description = server([FROM_POOL, FROM_POOL6], [lower, lower6]);
    expect(ways(description, OUT)).toEqual([EGRESS]);
    expect(ways(description, OUT6)).toEqual(['via fd00:1010::9 dev eth1']);
  });
});

describe('with a link down', () => {
  const rules = [FROM_POOL, FROM_POOL6];
  test('its routes are gone, and packets leak', () => {
    const down = withLinksDown(server(rules, []), ['eth1']);
    expect(ways(down, OUT)).toEqual([UPLINK]);
    expect(ways(down, OUT6)).toEqual(['via fd00:178::1 dev eth0']);
  });
  test('the unreachable default of a table that fails closed holds them', () => {
    const closed = route(200, 'default', 'unreachable', { metric: 4278198272 });
    expect(ways(withLinksDown(server(rules, [closed]), ['eth1']), OUT)).toEqual(['unreachable']);
  });
  test('its IPv4 address is still local, its IPv6 address is not', () => {
    const down = withLinksDown(server([], []), ['eth1']);
    expect(ways(down, { ...CLIENT, destination: '192.168.1.100' })).toEqual(['local']);
    expect(ways(down, { ...CLIENT6, destination: 'fd00:1010::100' })).toEqual(['via fd00:178::1 dev eth0']);
  });
  test('other next hops go on', () => {
    const both = route(200, '198.51.100.7', ['192.168.1.7 eth1', '192.168.178.7 eth0']);
    expect(ways(withLinksDown(server(rules, [both]), ['eth1']), OUT)).toEqual(['via 192.168.178.7 dev eth0']);
  });
  test('no carrier counts only where ignore_routes_with_linkdown is set', () => {
    const base = server(rules, []);
    const links = base.links.map((each) => (each.name === 'eth1' ? { ...each, state: 'no carrier' as const } : each));
    expect(ways({ ...base, links }, OUT)).toEqual([EGRESS]);
    expect(ways({ ...base, links, sysctls: { ignoreRoutesWithLinkdown: true } }, OUT)).toEqual([UPLINK]);
  });
  test('behind a route without carrier IPv6 goes by the interface that the packet came in by, not by metrics', () => {
    const behind = [
      route(200, '2001:db8::/32', ['fd00:1010::1 eth1'], { metric: 10 }),
      route(200, '2001:db8::/32', 'blackhole', { metric: 1024, family: 6 }),
      route(200, '2001:db8::/32', ['tun0'], { metric: 2000, family: 6 }),
    ];
    const base = server(rules, behind);
    const withState = (state: LinkState): Description => ({
      ...base,
      links: base.links.map((each) => (each.name === 'eth1' ? { ...each, state } : each)),
      sysctls: { ignoreRoutesWithLinkdown: true },
    });
    expect(ways(withState('no carrier'), OUT6)).toEqual(['dev tun0']);
    expect(ways(withState('down'), OUT6)).toEqual(['blackhole']);
  });
});

describe('the known traps:', () => {
  test('a rule for the pool captures what the server itself sends to its clients', () => {
    expect(ways(server([FROM_POOL], []), { source: '10.10.10.1', destination: '10.10.10.2' })).toEqual([EGRESS]);
  });
  test('a rule on the input interface does not', () => {
    const byInput = rule(10010, undefined, lookup(200), { inputInterface: { kind: 'device', text: 'tun0' } });
    expect(ways(server([byInput], []), { source: '10.10.10.1', destination: '10.10.10.2' })).toEqual(['dev tun0']);
    expect(ways(server([byInput], []), OUT)).toEqual([EGRESS]);
  });
  test('suppressors spare what rejects, in both families', () => {
    const rules = [
      rule(10, undefined, lookup(201), { suppressPrefixLength: 0 }),
      rule(10, '::/0', lookup(201), { suppressPrefixLength: 0 }),
    ];
    const routes = [route(201, 'default', 'prohibit'), { ...route(201, '::/0', 'prohibit'), family: 6 as const }];
    expect([ways(server(rules, routes), OUT), ways(server(rules, routes), OUT6)]).toEqual([['prohibit'], ['prohibit']]);
  });
  test('IPv4 suppresses by the first next hop, IPv6 by the one chosen', () => {
    const by = { suppressInterfaceGroup: 5 };
    const rules = [rule(10, undefined, lookup(201), by), rule(10, '::/0', lookup(201), by)];
    const routes = [
      route(201, 'default', ['192.168.178.9 eth0', '192.168.1.9 eth1']),
      route(201, '::/0', ['fd00:178::9 eth0', 'fd00:1010::9 eth1']),
    ];
    expect(ways(server(rules, routes), OUT)).toEqual(['via 192.168.178.9 dev eth0', 'via 192.168.1.9 dev eth1']);
    expect(ways(server(rules, routes), OUT6)).toEqual(['via fd00:178::9 dev eth0', 'via fd00:178::1 dev eth0']);
  });
  test('mark 0 without a mask matches every mark', () => {
    const unmarked = rule(10, undefined, lookup(200), { firewallMark: 0 });
    expect(ways(server([unmarked], []), { ...OUT, mark: 7 })).toEqual([EGRESS]);
    expect(ways(server([{ ...unmarked, firewallMask: 0xff }], []), { ...OUT, mark: 7 })).toEqual([UPLINK]);
  });
  test('IPv4 looks at the old bits of tos only, IPv6 at all', () => {
    const rules = [rule(10, undefined, lookup(200), { tos: 0x18 }), rule(10, '::/0', lookup(200), { tos: 0x18 })];
    expect(ways(server(rules, []), { ...OUT, tos: 0xb8 })).toEqual([EGRESS]);
    expect(ways(server(rules, []), { ...OUT6, tos: 0xb8 })).toEqual(['via fd00:178::1 dev eth0']);
  });
  test('IPv4 takes everybody for a neighbour where a socket is bound and there is no route; IPv6 does not', () => {
    const bound = { outputInterface: 'tun0' };
    expect(ways(server([], []), { ...bound, destination: '198.51.100.7' })).toEqual(['dev tun0']);
    expect(ways(server([], []), { ...bound, destination: '2001:db8::7' })).toEqual(['no route']);
  });
  test('IPv6 forgets the device of a socket that needs a source', () => {
    const flow = { source: 'fd00:178::2', destination: '2001:db8::7', outputInterface: 'tun0' };
    expect(ways(server([], []), flow)).toEqual(['via fd00:178::1 dev eth0']);
  });
  test('no source matches a rule for 0.0.0.0/8 in IPv4', () => {
    expect(ways(server([rule(10, '0.0.0.0/8', lookup(200))], []), { destination: '198.51.100.7' })).toEqual([EGRESS]);
    expect(ways(server([FROM_POOL], []), { destination: '198.51.100.7' })).toEqual([UPLINK]);
  });
  test('of rules at one priority the first to be added comes first', () => {
    expect(ways(server([FROM_POOL, rule(10010, undefined, { kind: 'prohibit' })], []), OUT)).toEqual([EGRESS]);
  });
  test('the router of an IPv6 network has its first address, too', () => {
    expect(ways(server([], []), { ...CLIENT6, destination: 'fd00:4242::' })).toEqual(['anycast']);
    expect(ways(server([], []), { ...CLIENT, destination: '10.10.10.255' })).toEqual(['broadcast']);
  });
});

describe('rp_filter', () => {
  const reply = { source: '198.51.100.7', destination: '10.10.10.2', inputInterface: 'eth1' };
  const sourceOf = (rules: Rule[], filter: ReversePathFilter, more: Partial<Description> = {}): unknown => {
    const base = server(rules, [], more);
    const links = base.links.map((each) => ({ ...each, reversePathFilter: filter }));
    return outcomes({ ...base, links }, { ...reply, mark: 7 })[0]?.source;
  };
  const toMain = rule(5, undefined, lookup(254), { suppressPrefixLength: 0 });
  const marked = rule(10010, undefined, lookup(200), { firewallMark: 7 });

  test.each<[string, () => unknown, unknown]>([
    ['strict, no rule', () => sourceOf([], ReversePathFilter.STRICT), 'fails rp_filter'],
    ['loose, no rule', () => sourceOf([], ReversePathFilter.LOOSE), 'passes'],
    ['strict, a rule for the pool', () => sourceOf([toMain, FROM_POOL], ReversePathFilter.STRICT), 'passes'],
    ['strict, a rule by mark', () => sourceOf([toMain, marked], ReversePathFilter.STRICT), 'fails rp_filter'],
    [
      'the same with src_valid_mark',
      () => sourceOf([toMain, marked], ReversePathFilter.STRICT, { sysctls: { srcValidMark: true } }),
      'passes',
    ],
  ])('%s', (_, source, expected) => {
    expect(source()).toBe(expected);
  });
  test('an address of the machine itself does not come in from outside', () => {
    const [outcome] = outcomes(server([], []), { ...reply, source: '192.168.178.2' });
    expect(outcome?.source).toBe('is no address of a neighbour');
  });
});

describe('clients, to an address of a pool', () => {
  /** A server with two tunnels whose main table has nothing but the routes of its links, and default routes. */
  function withTunnels(props: Partial<VpnEgressProps>): Description {
    const stack = newStack();
    const host = newHost(stack, {
      interfaces: [
        { name: 'eth0', addresses: ['192.168.178.2/24', 'fd00:178::2/64'] },
        { name: 'eth1', addresses: ['192.168.1.100/24', 'fd00:1010:1010:1010::100/64'] },
        { name: 'tun0', addresses: ['10.10.10.1/24', 'fd00:4242:0:10::1/64'] },
        { name: 'tun1', addresses: ['10.10.20.1/24', 'fd00:4242:0:20::1/64'] },
      ],
    });
    const clients = ['10.10.0.0/16', 'fd00:4242::/32'];
    new VpnEgress(stack, 'egress', { host, device: 'eth1', tableId: 200, clients, gateways: GATEWAYS, ...props });
    const { routes, ...known } = describeHost(host._declaration.model());
    const uplinks = [route(254, 'default', ['192.168.178.1 eth0']), route(254, '::/0', ['fd00:178::1 eth0'])];
    return { ...known, routes: [...uplinks, ...routes], incompleteTables: [] };
  }
  const FROM_TUN1 = [
    { source: '10.10.20.2', inputInterface: 'tun1', destination: '10.10.10.2' },
    { source: 'fd00:4242:0:20::2', inputInterface: 'tun1', destination: 'fd00:4242:0:10::2' },
  ];
  const IN_NO_TUNNEL = [
    { source: '10.10.20.2', inputInterface: 'tun1', destination: '10.10.99.2' },
    { source: 'fd00:4242:0:20::2', inputInterface: 'tun1', destination: 'fd00:4242:0:99::2' },
  ];

  describe.each<[string, LocalTraffic, string]>([
    ['mainTable()', LocalTraffic.mainTable(), 'unreachable'],
    ['suppressDefault()', LocalTraffic.suppressDefault(), 'unreachable'],
    ['upHook()', LocalTraffic.upHook(), 'unreachable'],
    ['isolated()', LocalTraffic.isolated(), 'prohibit'],
  ])('with %s', (_, localTraffic, rejected) => {
    const one = (): Description => withTunnels({ localTraffic });
    const apart = (): Description =>
      withTunnels({
        localTraffic,
        clients: ['10.10.20.0/24', 'fd00:4242:0:20::/64'],
        rejectedClients: ['10.10.10.0/24', 'fd00:4242:0:10::/64'],
      });

    test.each([
      ['one', one],
      ['a rejected one', apart],
    ])('%s whose tunnel is down: nowhere', (__, description) => {
      const down = withLinksDown(description(), ['tun0']);
      expect(FROM_TUN1.map((flow) => ways(down, flow))).toEqual([[rejected], [rejected]]);
    });
    test('that is in no tunnel: nowhere', () => {
      expect(IN_NO_TUNNEL.map((flow) => ways(one(), flow))).toEqual([[rejected], [rejected]]);
    });
    test('where the way to the NAT router is gone, too: nowhere', () => {
      const down = withLinksDown(one(), ['tun0', 'eth1']);
      expect(FROM_TUN1.map((flow) => ways(down, flow))).toEqual([[rejected], [rejected]]);
    });
  });

  test.each<[string, LocalTraffic, string[]]>([
    ['mainTable()', LocalTraffic.mainTable(), ['dev tun0']],
    ['suppressDefault()', LocalTraffic.suppressDefault(), ['dev tun0']],
    // Whether the hook has been run is not known.
    ['upHook()', LocalTraffic.upHook(), ['dev tun0', 'unreachable']],
  ])('whose tunnel is up: there, with %s', (_, localTraffic, expected) => {
    const description = withTunnels({ localTraffic });
    expect(FROM_TUN1.map((flow) => ways(description, flow))).toEqual([expected, expected]);
  });

  test('that has all addresses: what fails closed is said once', () => {
    const all = { clients: ['0.0.0.0/0', '::/0'], localTraffic: LocalTraffic.suppressDefault() };
    const { routes } = withTunnels(all);
    expect(routes.flatMap(({ type, destination }) => (type ? [destination.text] : []))).toEqual(['default', 'default']);
  });
});

describe('what is not known', () => {
  function withEgress(): LinuxHost {
    const stack = newStack();
    const host = newHost(stack);
    new VpnEgress(stack, 'egress', {
      host,
      device: 'eth1',
      tableId: 200,
      clients: POOLS,
      gateways: GATEWAYS,
    });
    return host;
  }

  test('is nothing about clients of a VpnEgress', () => {
    const description = describeHost(withEgress()._declaration.model());
    expect(ways(description, OUT)).toEqual([EGRESS]);
    expect(ways(withLinksDown(description, ['eth1']), OUT)).toEqual(['unreachable']);
    expect(ways(description, { ...CLIENT, destination: '10.10.10.3' })).toEqual(['dev tun0']);
    expect(ways(description, { ...OUT6, source: 'fd00:4242:4242:4242::2' })).toEqual([
      'via fd00:1010:1010:1010::1 dev eth1',
    ]);
  });
  test('is where the main table leads to, but for the links', () => {
    const description = describeHost(withEgress()._declaration.model());
    expect(ways(description, { destination: '198.51.100.7' })).toEqual(['unknown']);
    expect(trail(description, { destination: '198.51.100.7' }).at(-1)).toBe(
      'rule 32766: from all lookup main -> table main: has routes that are not declared',
    );
    expect(ways(description, { destination: '192.168.178.9' })).toEqual(['dev eth0']);
  });
  test('is no longer the main table of a family whose gateways are declared', () => {
    const interfaces = [{ ...INTERFACES[0], gateways: ['192.168.178.1'] }, ...INTERFACES.slice(1)];
    const description = describeHost(newHost(newStack(), { interfaces })._declaration.model());
    expect(ways(description, { destination: '198.51.100.7' })).toEqual([UPLINK]);
    expect(ways(description, { destination: '2001:db8::7' })).toEqual(['unknown']);
    expect(ways(withLinksDown(description, ['eth0']), { destination: '198.51.100.7' })).toEqual(['no route']);
  });
  test('is which of several gateways is preferred', () => {
    const interfaces = ALL_INTERFACES.map((each) => ({
      ...each,
      gateways: each.name === 'eth1' ? GATEWAYS : each.gateways,
    }));
    const description = describeHost(newHost(newStack(), { interfaces })._declaration.model());
    expect(ways(description, { destination: '198.51.100.7' })).toEqual([UPLINK, EGRESS]);
    expect(ways(withLinksDown(description, ['eth0']), { destination: '198.51.100.7' })).toEqual([EGRESS]);
  });
  test('is a gateway of an interface, if that is known at apply: it may be of either family', () => {
    const stack = newStack();
    const gateway = new TerraformVariable(stack, 'gateway', {}).stringValue;
    const interfaces = [{ ...ALL_INTERFACES[0], gateways: ['192.168.178.1', gateway] }];
    const description = describeHost(newHost(stack, { interfaces })._declaration.model());
    expect(ways(description, { destination: '198.51.100.7' })).toEqual(['unknown']);
  });
  test('is a rule with a value known at apply: both ways are followed', () => {
    const stack = newStack();
    const host = newHost(stack);
    const table = new SourceRoutingTable(stack, 'vpn', { host, tableId: 200 });
    table.addRoute('v4', { destination: 'default', via: '192.168.1.1', device: 'eth1' });
    const pool = new TerraformVariable(stack, 'pool', {}).stringValue;
    new PolicyRule(stack, 'clients', { table, source: pool, destination: '198.51.0.0/16', priority: 10010 });
    const description = describeHost(host._declaration.model());
    // Each unknown for itself: the guard behind the rule asks for the same source.
    expect(ways(description, OUT)).toEqual([EGRESS, 'unreachable', 'unknown']);
    expect(trail(description, OUT)[1]).toBe(
      'rule 10010: from <stack/clients:source> to 198.51.0.0/16 lookup 200 -> may match: table 200: default via 192.168.1.1 dev eth1',
    );
    expect(ways(description, { ...OUT, destination: '203.0.113.1' })).toEqual(['unknown']);
  });
  test('is rp_filter, which matters only where the answer leaves by another interface', () => {
    const description = describeHost(withEgress()._declaration.model());
    const reply = { source: '198.51.100.7', destination: '10.10.10.2' };
    const sources = ['eth1', 'eth0'].map(
      (inputInterface) => outcomes(description, { ...reply, inputInterface })[0]?.source,
    );
    expect(sources).toEqual(['passes', 'unknown']);
  });
  test('is a gateway known at apply', () => {
    const stack = newStack();
    const host = newHost(stack);
    const table = new SourceRoutingTable(stack, 'vpn', { host, tableId: 200 });
    const gateway = new TerraformVariable(stack, 'gateway', {}).stringValue;
    table.addRoute('v4', { destination: '0.0.0.0/0', via: gateway, device: 'eth1' });
    new PolicyRule(stack, 'clients', { table, source: '10.10.10.0/24', priority: 10010 });
    expect(ways(describeHost(host._declaration.model()), OUT)).toEqual(['via <stack/vpn/v4:via> dev eth1']);
  });
  test('is a route with a destination known at apply', () => {
    const stack = newStack();
    const host = newHost(stack);
    const table = new SourceRoutingTable(stack, 'vpn', { host, tableId: 200 });
    const network = Fn.cidrsubnet(new TerraformVariable(stack, 'net', {}).stringValue, 8, 1);
    table.addRoute('v4', { destination: 'default', via: '192.168.1.1', device: 'eth1' });
    table.addRoute('some', { destination: network, via: '192.168.1.9', device: 'eth1' });
    new PolicyRule(stack, 'clients', { table, source: '10.10.10.0/24', priority: 10010 });
    expect(ways(describeHost(host._declaration.model()), OUT)).toEqual(['via 192.168.1.9 dev eth1', EGRESS]);
  });
});

test('addresses of the loopback interface are added to its own', () => {
  const base = server([], []);
  const description = { ...base, links: [...base.links, link('lo', ['10.99.0.1/32'])] };
  expect(['10.99.0.1', '127.0.0.2'].flatMap((destination) => ways(description, { destination }))).toEqual([
    'local',
    'local',
  ]);
});

test('prefixes are read and written as ip has them', () => {
  const texts = [
    '0.0.0.0/1',
    '10.10.10.0/24',
    '192.168.1.1',
    '::1',
    '::/1',
    'fd00:0:1::/48',
    '2001:db8:0:1:0:1:0:1',
    'fe80::/10',
    '1::',
    '::ffff:0:0/96',
  ];
  expect(texts.map((text) => prefixText(prefixBits(text), text.includes(':') ? 6 : 4))).toEqual(texts);
  expect(prefixBits('default')).toBe('');
});

test('a flow names what is wrong with it', () => {
  expect(() => packetHeader({ destination: '10.0.0.1', source: '::1' })).toThrow(
    'source "::1" is IPv6 but destination "10.0.0.1" is IPv4',
  );
  expect(() => packetHeader({ destination: '10.0.0.0/8' })).toThrow('destination "10.0.0.0/8" is not an IPv4 address');
  expect(() => packetHeader({ destination: '10.0.0.1', inputInterface: 'eth0' })).toThrow('needs a source');
});

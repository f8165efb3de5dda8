import { addressBits, hostIn, isAddress, prefixBits, prefixText } from '../../lib/fib/bits';
import type { Description } from '../../lib/fib/build';
import { buildMachine, withLinksDown } from '../../lib/fib/build';
import { decide } from '../../lib/fib/decide';
import { outcomeText } from '../../lib/fib/explain';
import type { PacketOptions } from '../../lib/fib/packet';
import { packetHeader } from '../../lib/fib/packet';
import { describeHost, machineOf, machineWithoutTunnelGuards } from '../../lib/fib/from-host';
import { commonAddresses, kernelRules } from '../../lib/fib/machine';
import { RuleList } from '../../lib/fib/rules';
import type { Host } from '../../lib/model/host';
import type { Hop, Route } from '../../lib/model/route';
import type { Rule } from '../../lib/model/rule';
import { parseInterfaceAddress } from '../../lib/model/value';
import { modelHost } from '../model/host';

const OUT = { destination: '198.51.100.7' };

function ways(description: Description, packet: PacketOptions): string[] {
  return [...new Set(decide(buildMachine(description), packetHeader(packet)).map(outcomeText))];
}
function link(name: string, ...addresses: string[]): Description['links'][number] {
  return { name, addresses: addresses.map((text) => parseInterfaceAddress(text, 'address')) };
}
function through(via?: string, device?: string): Hop {
  return {
    ...(via === undefined ? {} : { via: { kind: 'address', text: via, family: via.includes(':') ? 6 : 4 } }),
    ...(device === undefined ? {} : { device: { kind: 'device', text: device } }),
  };
}
function route(hop: Hop, more: Partial<Route> = {}): Route {
  return {
    path: 'route',
    family: 4,
    tableId: 254,
    destination: { kind: 'prefix', text: 'default' },
    hops: [hop],
    ...more,
  };
}
function server(routes: Route[], more: Partial<Description> = {}): Description {
  return {
    links: [link('eth0', '10.0.0.2/8'), link('eth1', '10.1.0.2/16', 'fd00:1::2/64'), link('eth2')],
    rules: kernelRules(),
    routes,
    ...more,
  };
}

describe('a next hop without a device', () => {
  test.each([
    ['is on the link with the longest prefix around it', '10.1.0.1', 'via 10.1.0.1 dev eth1'],
    ['is on the only link around it', '10.2.0.1', 'via 10.2.0.1 dev eth0'],
    ['may be on a link that is not declared', '192.168.1.1', 'via 192.168.1.1 dev <not known>'],
  ])('%s', (_, via, expected) => {
    expect(ways(server([route(through(via))]), OUT)).toEqual([expected]);
  });
  test('is on a link of its family', () => {
    const routes = [route(through('fd00:1::1'), { family: 6 })];
    expect(ways(server(routes), { destination: '2001:db8::7' })).toEqual(['via fd00:1::1 dev eth1']);
    expect(ways(server([route(through())]), OUT)).toEqual(['dev <not known>']);
  });
});

test('packets of a bound socket are not spread over next hops', () => {
  const both = route(through('10.1.0.1', 'eth1'), {
    hops: ['10.1.0.1', '10.1.0.9'].map((via) => through(via, 'eth1')),
  });
  expect(ways(server([both]), OUT)).toEqual(['via 10.1.0.1 dev eth1', 'via 10.1.0.9 dev eth1']);
  expect(ways(server([both]), { ...OUT, outputInterface: 'eth1' })).toEqual(['via 10.1.0.1 dev eth1']);
});

test('a bound socket may use a next hop whose link is not known', () => {
  expect(ways(server([route(through('192.168.1.1'))]), { ...OUT, outputInterface: 'eth1' })).toEqual([
    'via 192.168.1.1 dev <not known>',
  ]);
});

test('behind an IPv6 route without carrier, one metric wins', () => {
  const routes = ['eth0', 'eth1', 'eth2'].map((name, index) =>
    route(through(undefined, name), { family: 6, metric: 10 * (index + 1) }),
  );
  const base = server(routes, { sysctls: { ignoreRoutesWithLinkdown: true } });
  const links = base.links.map((each) => (each.name === 'eth0' ? { ...each, state: 'no carrier' as const } : each));
  const flow = { source: 'fd00:9::1', inputInterface: 'tun0', destination: '2001:db8::7' };
  expect(ways({ ...base, links }, flow)).toEqual(['dev eth1']);
});

test('the loopback interface has its own addresses, and those that are declared', () => {
  const links = [link('lo', '10.99.0.1/32'), link('eth0', '10.0.0.2/8')];
  expect(
    buildMachine(server([], { links }))
      .links.get('lo')
      ?.addresses.map(({ text }) => text),
  ).toEqual(['127.0.0.1/8', '::1/128', '10.99.0.1/32']);
});

test('a packet is of whole addresses', () => {
  expect(['10.0.0.1', '::1', '10.0.0.0/8', '10.0.0', '::1/128', ':'].map(isAddress)).toEqual([
    true,
    true,
    false,
    false,
    false,
    false,
  ]);
});

describe('a link that is down', () => {
  test('may be one that is not declared', () => {
    const description = server([route(through('10.9.0.1', 'wg0'))]);
    expect(ways(description, OUT)).toEqual(['via 10.9.0.1 dev wg0']);
    const down = withLinksDown(description, ['wg0', 'eth0']);
    expect(ways(down, OUT)).toEqual(['no route']);
    expect(down.links.map(({ name, state }) => [name, state])).toEqual([
      ['eth0', 'down'],
      ['eth1', undefined],
      ['eth2', undefined],
      ['wg0', 'down'],
    ]);
  });
});

describe('a table that may have more routes', () => {
  test.each<[string, Description['incompleteTables'], string[], string[]]>([
    ['none', undefined, ['no route'], ['no route']],
    ['in both families', [{ tableId: 254 }], ['unknown'], ['unknown']],
    ['in IPv6', [{ tableId: 254, family: 6 }], ['no route'], ['unknown']],
  ])('%s', (_, incompleteTables, ipv4, ipv6) => {
    const description = server([], { incompleteTables });
    expect(ways(description, OUT)).toEqual(ipv4);
    expect(ways(description, { destination: '2001:db8::7' })).toEqual(ipv6);
  });
});

describe('a negated rule with a value known at apply', () => {
  const negated = (family: Rule['family']): Rule => ({
    path: 'rule',
    family,
    priority: 10,
    invert: true,
    source: { kind: 'prefix', text: '${var.x}', deferredFor: 'rule:source' },
    destination: { kind: 'prefix', text: '10.0.0.0/8' },
    action: { kind: 'prohibit' },
  });
  test.each<[Rule['family'], string[]]>([
    [4, ['prohibit']],
    ['auto', ['prohibit', 'no route']],
  ])('of family %s', (family, expected) => {
    expect(ways(server([], { rules: [...kernelRules(), negated(family)] }), OUT)).toEqual(expected);
  });
});

test('a goto leads to the first of the rules at a priority', () => {
  const at = (priority: number, action: Rule['action']): Rule => ({ path: 'rule', family: 4, priority, action });
  const rules = [at(10, { kind: 'goto', priority: 20 }), at(20, { kind: 'prohibit' }), at(20, { kind: 'blackhole' })];
  expect(ways(server([], { rules: [...kernelRules(), ...rules] }), OUT)).toEqual(['prohibit']);
});

test.each<[boolean, Partial<Rule>]>([
  [false, {}],
  [true, { ipProtocol: 17 }],
  [true, { sourcePorts: { first: 53, last: 53 } }],
  [true, { destinationPorts: { first: 53, last: 53 } }],
  [true, { ipProtocol: 17, inputInterface: { kind: 'device', text: 'eth0' } }],
  [false, { ipProtocol: 17, inputInterface: { kind: 'device', text: 'lo' } }],
])('the kernel reads ports: %s, with %j', (expected, more) => {
  const rule: Rule = { path: 'rule', family: 4, priority: 10, action: { kind: 'prohibit' }, ...more };
  expect(new RuleList(4, [rule]).looksIntoPackets).toBe(expected);
});

test('an outcome by a route that may be missing is unsure', () => {
  const destination = { kind: 'prefix' as const, text: '${var.x}', deferredFor: 'route:destination' };
  const outcomes = (more: Partial<Route>): unknown[] =>
    decide(buildMachine(server([route(through('10.1.0.1'), more)])), packetHeader(OUT)).map(({ kind, unsure }) => [
      kind,
      unsure,
    ]);
  expect(outcomes({ destination })).toEqual([
    ['unicast', true],
    ['no route', undefined],
  ]);
  expect(outcomes({})).toEqual([['unicast', undefined]]);
});

test('a multicast packet from an address that may be ours leaves where nobody knows', () => {
  const packet = { source: '10.0.0.77', destination: '224.1.1.1' };
  expect(ways(server([], { incompleteLinks: true }), packet)).toEqual(['unknown']);
  expect(ways(server([]), packet)).toEqual(['invalid']);
  expect(ways(server([]), { ...packet, source: '10.1.0.2' })).toEqual(['multicast']);
});

test('a packet from the loopback network does not leave', () => {
  const packet = { ...OUT, source: '127.0.0.1' };
  expect(ways(server([route(through('10.1.0.1'))]), packet)).toEqual(['invalid']);
});

describe('a declared host', () => {
  const RULE: Rule = { path: 'rule', family: 4, priority: 10010, action: { kind: 'lookup', tableId: 200 } };
  const host = (more: Partial<Host> = {}): Host =>
    modelHost({
      interfaces: [
        { ...link('eth0', '10.0.0.2/8'), gateways: [], networks: ['172.16.0.0/12', 'fd00:9::/48'], incomplete: false },
      ],
      ...more,
    });

  test('has the networks behind routers on its links in the main table', () => {
    expect(ways(describeHost(host()), { destination: '172.16.5.5' })).toEqual(['dev eth0']);
    expect(ways(describeHost(host()), { destination: 'fd00:9::5' })).toEqual(['dev eth0']);
  });
  test('may have more routes in tables that nothing declares', () => {
    const declared = describeHost(host({ rules: [RULE], tables: [] }));
    expect(declared.incompleteTables).toContainEqual({ tableId: 200 });
    const table = { path: 'table', id: 200, failClosed: false };
    expect(describeHost(host({ rules: [RULE], tables: [table] })).incompleteTables).not.toContainEqual({
      tableId: 200,
    });
  });
  test('may have more addresses if none are declared, or some are not known', () => {
    expect(describeHost(host()).incompleteLinks).toBe(false);
    expect(describeHost(modelHost()).incompleteLinks).toBe(true);
    const [eth0] = host().interfaces;
    expect(describeHost(modelHost({ interfaces: [{ ...eth0, incomplete: true }] })).incompleteLinks).toBe(true);
  });
  test('is compiled once for each set of links that are down', () => {
    const one = host();
    expect(machineOf(one)).toBe(machineOf(one));
    expect(machineOf(one, ['eth0'])).not.toBe(machineOf(one));
    expect(machineOf(one, ['eth0']).links.get('eth0')?.state).toBe('down');
    expect(machineWithoutTunnelGuards(one).links.get('eth0')?.state).toBeUndefined();
  });
});

test('machines have in common what each of them has, in one family', () => {
  const machines = [server([]), server([], { links: [link('eth9', '10.1.0.2/24', '10.0.0.3/8', 'fd00:1::2/64')] })].map(
    buildMachine,
  );
  expect(commonAddresses(machines, 4).map((bits) => prefixText(bits, 4))).toEqual(['127.0.0.1', '10.1.0.2']);
  expect(commonAddresses(machines, 6).map((bits) => prefixText(bits, 6))).toEqual(['::1', 'fd00:1::2']);
});

test.each([
  ['10.0.0.0/8', '10.0.0.3'],
  ['10.0.0.4/30', '10.0.0.7'],
  ['10.0.0.4/31', '10.0.0.4'],
  ['10.0.0.5', '10.0.0.5'],
])('an address in %s is %s', (prefix, address) => {
  expect(hostIn(prefixBits(prefix), 4)).toBe(addressBits(address));
});

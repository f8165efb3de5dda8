import type { Bits } from '../../lib/fib/bits';
import { ADDRESS_LENGTH, addressBits, prefixBits, prefixText } from '../../lib/fib/bits';
import type { Description } from '../../lib/fib/build';
import type { PacketHeader } from '../../lib/fib/packet';
import { UNSPECIFIED } from '../../lib/fib/packet';
import type { Link, LinkAddress } from '../../lib/fib/machine';
import { ReversePathFilter, kernelRules } from '../../lib/fib/machine';
import type { Family } from '../../lib/model/family';
import { BOTH_FAMILIES } from '../../lib/model/family';
import type { Hop, Route } from '../../lib/model/route';
import type { Action, Rule } from '../../lib/model/rule';
import type { Value } from '../../lib/model/value';
import { ruleCommand } from './commands';
import type { Random } from './random';

/** A machine, and packets to ask the kernel about. */
export interface Scenario {
  readonly description: Description;
  readonly packets: readonly PacketHeader[];
}

const TABLES = [200, 201, 202, 254];
const LENGTHS: Readonly<Record<Family, readonly number[]>> = {
  4: [0, 1, 8, 9, 15, 16, 20, 23, 24, 25, 28, 30, 31, 32],
  6: [0, 3, 16, 32, 33, 47, 48, 56, 63, 64, 65, 96, 112, 127, 128],
};
/** Few bits differ, so that prefixes are in one another. */
const ANCHORS: Readonly<Record<Family, readonly string[]>> = {
  4: ['10.1.2.3', '10.1.2.200', '10.1.77.9', '10.200.0.1', '192.168.5.5', '203.0.113.9'],
  6: ['fd00:1:2:3::3', 'fd00:1:2:3:8000::1', 'fd00:1:2:77::9', 'fd00:ff::1', '2001:db8::9', 'fdff::1'],
};
const NETWORKS: Readonly<Record<Family, readonly string[]>> = {
  4: ['192.168.1.0/24', '192.168.2.0/25', '10.1.2.0/26', '10.9.0.0/30', '10.9.0.8/31', '172.16.0.0/16', '10.9.9.9/32'],
  6: ['fd00:a::/64', 'fd00:b::/64', 'fd00:1:2:3::/65', 'fd00:c::/127', 'fd00:d::/48', 'fd00:e::5/128'],
};

const MULTICAST: Readonly<Record<Family, Bits>> = { 4: prefixBits('224.0.0.0/4'), 6: prefixBits('ff00::/8') };

/** To `ip -6 route get` that is no source, which no packet from outside is without. */
const NOBODY = addressBits('::');

/** Of one family: a machine has two sides, but a packet sees one. */
export function randomScenario(random: Random, packets: number): Scenario {
  const family = random.one(BOTH_FAMILIES);
  const links = randomLinks(random, family);
  const prefixes = randomPrefixes(random, family, links);
  const description: Description = {
    links,
    rules: randomRules(random, family, prefixes, links),
    routes: randomRoutes(random, family, prefixes, links),
    sysctls: { ignoreRoutesWithLinkdown: random.chance(3), srcValidMark: random.chance(3) },
  };
  const points = pointsOf(family, prefixes, description);
  const aims = description.rules.filter(({ path }) => path !== 'kernel');
  const packet = (): PacketHeader => {
    const any = randomFlow(random, family, points, links);
    return aims.length > 0 && random.chance(2) ? aimedAt(random, any, random.one(aims)) : any;
  };
  return { description, packets: random.times(packets, packet) };
}

function randomLinks(random: Random, family: Family): Link[] {
  return random.times(2 + random.below(3), (index) => ({
    name: `eth${index}`,
    group: random.one([0, 0, 5, 7]),
    state: random.one(['up', 'up', 'up', 'up', 'no carrier', 'down'] as const),
    reversePathFilter: random.one([ReversePathFilter.OFF, ReversePathFilter.STRICT, ReversePathFilter.LOOSE]),
    addresses: [
      ...random.times(random.below(3), () => randomAddress(random, family)),
      ...(family === 6 && !random.chance(4) ? [{ text: 'fe80::2/64', address: 'fe80::2', family: 6 as const }] : []),
    ].filter((each, at, all) => all.findIndex((other) => other.address === each.address) === at),
  }));
}

function randomAddress(random: Random, family: Family): LinkAddress {
  const network = prefixBits(random.one(NETWORKS[family]));
  const host = ADDRESS_LENGTH[family] - network.length;
  const suffix = host === 0 ? '' : random.one([1, 2, 5, 100]).toString(2).padStart(host, '0').slice(-host);
  const address = prefixText(network + suffix, family);
  const broadcast = random.one([undefined, undefined, lastOf(network, family), lastOf(network.slice(0, -1), family)]);
  return {
    text: `${address}/${network.length}`,
    address,
    family,
    ...(family === 4 && network.length < 31 && broadcast !== undefined
      ? { broadcast: prefixText(broadcast, family) }
      : {}),
  };
}

/** Prefixes around the anchors, the networks of the links and the addresses in them. */
function randomPrefixes(random: Random, family: Family, links: readonly Link[]): Bits[] {
  const own = links.flatMap((link) => link.addresses.map(({ address }) => address));
  const centres = [...ANCHORS[family], ...own].map(addressBits);
  return random.times(14, () => random.one(centres).slice(0, random.one(LENGTHS[family])));
}

function value(kind: Value['kind'], text: string): Value {
  return { kind, text };
}

function prefixValue(bits: Bits, family: Family): Value {
  // A rule does not take "default" for a source of length 0 but prints it so.
  const text = bits === '' ? (family === 4 ? '0.0.0.0/0' : '::/0') : prefixText(bits, family);
  return { kind: 'prefix', text, family };
}

function randomRules(random: Random, family: Family, prefixes: readonly Bits[], links: readonly Link[]): Rule[] {
  const priorities = random.times(4 + random.below(10), () => 1 + random.below(30)).sort((a, b) => a - b);
  const own = kernelRules().filter((rule) => {
    const gone = rule.family === family && (rule.priority === 0 ? random.chance(12) : rule.priority === 32767);
    return !gone || random.chance(2);
  });
  const moved: Rule[] =
    random.chance(8) || !own.some((rule) => rule.family === family && rule.priority === 0)
      ? [{ path: 'moved', family, priority: 40, action: { kind: 'lookup', tableId: 255 } }]
      : [];
  const rules = [
    ...own,
    ...priorities.map((priority) => randomRule(random, family, priority, prefixes, links)),
    ...moved,
  ];
  return rules.filter((rule, at) => rules.findIndex((other) => ruleCommand(other) === ruleCommand(rule)) === at);
}

function randomRule(
  random: Random,
  family: Family,
  priority: number,
  prefixes: readonly Bits[],
  links: readonly Link[],
): Rule {
  const device = (): Value => value('device', random.one(['lo', 'absent', ...links.map(({ name }) => name)]));
  const marked = random.chance(4);
  const action = randomAction(random, priority);
  const looksUp = action.kind === 'lookup';
  return {
    path: `rule${priority}`,
    family,
    priority,
    action,
    invert: random.maybe(6, () => true),
    source: random.maybe(2, () => prefixValue(random.one(prefixes), family)),
    destination: random.maybe(3, () => prefixValue(random.one(prefixes), family)),
    tos: random.maybe(8, () => random.one([0x8, 0x10, 0x18, 0xb8])),
    firewallMark: marked ? random.one([0, 0, 1, 2, 0xf0]) : undefined,
    firewallMask: marked ? random.one([undefined, undefined, 0xf, 0xff, 1]) : undefined,
    inputInterface: random.maybe(6, device),
    outputInterface: random.maybe(12, device),
    uidRange: random.maybe(12, () =>
      random.one([
        { first: 0, last: 0 },
        { first: 0, last: 999 },
        { first: 1000, last: 2000 },
      ]),
    ),
    ipProtocol: random.maybe(8, () => random.one([6, 17, 1, 58])),
    sourcePorts: random.maybe(12, () =>
      random.one([
        { first: 22, last: 22 },
        { first: 20, last: 30 },
      ]),
    ),
    destinationPorts: random.maybe(12, () =>
      random.one([
        { first: 1, last: 1023 },
        { first: 443, last: 443 },
      ]),
    ),
    suppressPrefixLength: looksUp ? random.maybe(5, () => random.one([0, 1, 8, 16, 24, 64])) : undefined,
    suppressInterfaceGroup: looksUp ? random.maybe(8, () => random.one([0, 5, 7])) : undefined,
  };
}

function randomAction(random: Random, priority: number): Action {
  const which = random.below(10);
  if (which < 7) {
    return { kind: 'lookup', tableId: random.one([...TABLES, ...TABLES, 255, 999]) };
  }
  return which === 7
    ? { kind: random.one(['blackhole', 'unreachable', 'prohibit']) }
    : { kind: 'goto', priority: random.one([32766, priority + 1 + random.below(10), priority + 1 + random.below(20)]) };
}

function randomRoutes(random: Random, family: Family, prefixes: readonly Bits[], links: readonly Link[]): Route[] {
  const routes = random.times(6 + random.below(16), () => randomRoute(random, family, prefixes, links));
  const place = (route: Route): string => `${route.tableId} ${route.destination.text} ${route.metric}`;
  return routes.filter((route, at) => routes.findIndex((other) => place(other) === place(route)) === at);
}

function randomRoute(random: Random, family: Family, prefixes: readonly Bits[], links: readonly Link[]): Route {
  const destination = random.one(['', '', ...prefixes]);
  const which = random.below(10);
  const common = {
    path: 'route',
    family,
    tableId: random.one(TABLES),
    destination: value('prefix', prefixText(destination, family)),
    metric: random.one([undefined, 10, 50, 2000]),
  };
  if (which < 2) {
    return { ...common, type: random.one(['blackhole', 'unreachable', 'prohibit', 'throw']), hops: [] };
  }
  if (which < 5) {
    const hops = random.times(2 + random.below(2), () => randomHop(random, family, links));
    return { ...common, hops: hops.filter((hop, at) => hops.findIndex((other) => sameHop(hop, other)) === at) };
  }
  if (which === 5) {
    return { ...common, hops: [{ device: value('device', random.one(links).name) }] };
  }
  return { ...common, hops: [randomHop(random, family, links)] };
}

function sameHop(a: Hop, b: Hop): boolean {
  return a.via?.text === b.via?.text && a.device?.text === b.device?.text;
}

function randomHop(random: Random, family: Family, links: readonly Link[]): Hop {
  const link = random.one(links);
  const address = random.one(link.addresses.filter((each) => each.family === family && each.address !== 'fe80::2'));
  const length = address ? Number(address.text.split('/')[1]) : 0;
  const device = value('device', link.name);
  if (!address || ADDRESS_LENGTH[family] - length < 4 || random.chance(5)) {
    return {
      via: value('address', random.one(family === 4 ? ['9.9.9.9', '9.9.9.8'] : ['fd99::9', 'fe80::9'])),
      device,
      onLink: true,
    };
  }
  const via = prefixText(addressBits(address.address).slice(0, -4) + random.one(['1110', '1010']), family);
  return { via: value('address', via), device };
}

/** Addresses where something may change: the ends of all prefixes, and their neighbours. */
function pointsOf(family: Family, prefixes: readonly Bits[], { links, routes }: Description): Bits[] {
  const own = links.flatMap((link) => link.addresses).map(({ address }) => addressBits(address));
  const networks = links
    .flatMap((link) => link.addresses)
    .map(({ text, address }) => addressBits(address).slice(0, Number(text.split('/')[1])));
  const gateways = routes.flatMap((route) => route.hops.flatMap(({ via }) => (via ? [addressBits(via.text)] : [])));
  const edges = [...prefixes, ...networks].flatMap((prefix) => [
    prefix.padEnd(ADDRESS_LENGTH[family], '0'),
    lastOf(prefix, family),
    neighbour(prefix.padEnd(ADDRESS_LENGTH[family], '0'), -1n),
    neighbour(lastOf(prefix, family), 1n),
  ]);
  const odd =
    family === 4
      ? ['127.0.0.1', '127.9.9.9', '224.0.0.5', '239.1.1.1', '255.255.255.255', '0.0.0.1', '0.0.0.0', '8.8.8.8']
      : ['::1', 'fe80::2', 'fe80::9', 'fe80::', 'ff02::1', 'ff05::9', '2001:4860::1'];
  return [...own, ...own, ...gateways, ...edges, ...ANCHORS[family].map(addressBits), ...odd.map(addressBits)];
}

function lastOf(prefix: Bits, family: Family): Bits {
  return prefix.padEnd(ADDRESS_LENGTH[family], '1');
}

function neighbour(address: Bits, step: bigint): Bits {
  return BigInt.asUintN(address.length, BigInt(`0b${address}`) + step)
    .toString(2)
    .padStart(address.length, '0');
}

function randomFlow(random: Random, family: Family, points: readonly Bits[], links: readonly Link[]): PacketHeader {
  const up = links.filter(({ state }) => state !== 'down').map(({ name }) => name);
  const comesIn = up.length > 0 && random.chance(2);
  const own = links.flatMap((link) => link.addresses).map(({ address }) => addressBits(address));
  const sender =
    own.length > 0 && !random.chance(10) ? random.one(own) : random.one(points.filter((point) => point !== NOBODY));
  // Of which `route get` is not told, it takes for something.
  const ipProtocol = random.one([6, 6, 17, 17, family === 4 ? 1 : 58, undefined]);
  const hasPorts = ipProtocol === 6 || ipProtocol === 17;
  // Who is in a group is not for the rules to say, nor for `route get`.
  const destinations = comesIn ? points.filter((point) => !point.startsWith(MULTICAST[family])) : points;
  return {
    family,
    destination: random.one(destinations),
    source: comesIn
      ? random.one(points.filter((point) => point !== NOBODY))
      : random.chance(3)
        ? UNSPECIFIED[family]
        : sender,
    inputInterface: comesIn ? random.one(up) : undefined,
    outputInterface: comesIn ? undefined : random.maybe(5, () => random.one(links).name),
    mark: random.one([0, 0, 1, 2, 0xf0, 0xf1, 0x12]),
    tos: random.one([0, 0, 0, 0x8, 0x10, 0x18, 0xb8]),
    uid: comesIn ? 0 : random.one([0, 0, 500, 1000]),
    ipProtocol,
    sourcePort: hasPorts ? random.one([22, 22, 30, 31, 2222]) : undefined,
    destinationPort: hasPorts ? random.one([1, 80, 443, 1023, 1024]) : undefined,
  };
}

/** With some of what a rule selects; few would have that by chance. */
function aimedAt(random: Random, packet: PacketHeader, rule: Rule): PacketHeader {
  const { family, ipProtocol, inputInterface } = packet;
  const comesIn = inputInterface !== undefined;
  const some = <T>(wanted: T | undefined, other: T): T => (wanted === undefined || random.chance(5) ? other : wanted);
  const edge = (prefix: Value | undefined): Bits | undefined => {
    const bits = prefix && prefixBits(prefix.text).padEnd(ADDRESS_LENGTH[family], random.one(['0', '1']));
    return bits === NOBODY || (comesIn && bits?.startsWith(MULTICAST[family])) ? undefined : bits;
  };
  const protocol = some(
    [6, 17].find((each) => each === rule.ipProtocol),
    ipProtocol,
  );
  const hasPorts = protocol === 6 || protocol === 17;
  return {
    ...packet,
    destination: some(edge(rule.destination), packet.destination),
    source: comesIn ? some(edge(rule.source), packet.source) : packet.source,
    mark: some(rule.firewallMark, packet.mark),
    tos: some(rule.tos, packet.tos),
    uid: comesIn ? 0 : some(rule.uidRange?.first, packet.uid),
    ipProtocol: protocol,
    sourcePort: hasPorts ? some(rule.sourcePorts?.first, packet.sourcePort ?? 22) : undefined,
    destinationPort: hasPorts ? some(rule.destinationPorts?.last, packet.destinationPort ?? 80) : undefined,
  };
}

import { valueAt } from '../../lib/reachability/prefix-trie';
import type { Bits } from '../../lib/fib/bits';
import { addressBits, prefixBits } from '../../lib/fib/bits';
import type { Description } from '../../lib/fib/build';
import { buildMachine } from '../../lib/fib/build';
import type { Packets, Selection } from '../../lib/reachability/header-classes';
import { OTHER_INTERFACE } from '../../lib/reachability/header-classes';
import type { Change } from '../../lib/reachability/differential';
import { compare } from '../../lib/reachability/differential';
import { decide } from '../../lib/fib/decide';
import { outcomeKey } from '../../lib/reachability/decision';
import type { PacketHeader } from '../../lib/fib/packet';
import { UNSPECIFIED } from '../../lib/fib/packet';
import { FORWARDED } from '../../lib/reachability/forwarded';
import type { Machine } from '../../lib/fib/machine';
import { kernelRules } from '../../lib/fib/machine';
import type { Outcome } from '../../lib/fib/outcome';
import type { PrefixSet } from '../../lib/reachability/aggregate';
import { markSelector } from '../../lib/fib/rules';
import type { Family } from '../../lib/model/family';
import type { Route } from '../../lib/model/route';
import type { Action, Rule } from '../../lib/model/rule';
import type { Value } from '../../lib/model/value';
import { cases } from '../random';
import { Random } from './random';
import { unsure } from './unsure';

const LENGTH: Readonly<Record<Family, number>> = { 4: 32, 6: 128 };
/** So few addresses are told apart that all of their pieces can be looked at. */
const PREFIXES: Readonly<Record<Family, readonly string[]>> = {
  4: ['0.0.0.0/0', '10.0.0.0/28', '10.0.0.0/29', '10.0.0.4/30', '10.0.0.8/30', '10.0.0.9', '64.0.0.0/2'],
  6: ['::/0', 'fd00::/124', 'fd00::/125', 'fd00::4/126', 'fd00::8/126', 'fd00::9', '4000::/2'],
};
const ADDRESSES: Readonly<Record<Family, readonly string[]>> = {
  4: ['10.0.0.1', '10.0.0.9'],
  6: ['fd00::1', 'fd00::9'],
};
const INTERFACES = ['eth0', 'eth1', 'other0'];

function value(kind: Value['kind'], text: string, family?: Family): Value {
  return { kind, text, family };
}

function randomRule(random: Random, family: Family): Rule {
  const prefix = (): Value => value('prefix', random.one(PREFIXES[family]), family);
  const priority = 1 + random.below(6);
  const lookup: Action = { kind: 'lookup', tableId: random.one([200, 201]) };
  return {
    path: 'rule',
    family,
    priority,
    action: random.one<Action>([
      lookup,
      lookup,
      lookup,
      { kind: 'prohibit' },
      { kind: 'goto', priority: priority + 1 },
    ]),
    invert: random.maybe(8, () => true),
    source: random.maybe(2, prefix),
    destination: random.maybe(3, prefix),
    inputInterface: random.maybe(5, () => value('device', random.one(['lo', 'eth0', 'eth1']))),
    firewallMark: random.maybe(5, () => random.one([1, 2])),
    firewallMask: random.maybe(2, () => 3),
    tos: random.maybe(10, () => 8),
    uidRange: random.maybe(8, () => ({ first: 1000, last: 1000 })),
    ...random.maybe(5, () => ({ ipProtocol: random.one([6, undefined]), destinationPorts: { first: 25, last: 30 } })),
    suppressPrefixLength: random.maybe(6, () => 0),
  };
}

function randomRoute(random: Random, family: Family): Route {
  const device = value('device', random.one(['eth0', 'eth1']));
  const type = random.maybe(5, () => random.one(['blackhole', 'throw'] as const));
  const text = random.one(PREFIXES[family]);
  return {
    path: 'route',
    family,
    tableId: random.one([200, 201, 254]),
    destination: value('prefix', text.endsWith('/0') ? 'default' : text, family),
    metric: random.one([undefined, 5]),
    type,
    hops: type
      ? []
      : (random.maybe(3, () => [{ device, via: value('address', ADDRESSES[family][0]) }]) ?? [{ device }]),
  };
}

function randomDescription(random: Random, family: Family): Description {
  return {
    links: ['eth0', 'eth1'].map((name, index) => ({
      name,
      addresses: random.chance(3)
        ? []
        : [{ text: `${ADDRESSES[family][index]}/${LENGTH[family] - 2}`, address: ADDRESSES[family][index], family }],
    })),
    rules: [...kernelRules(), ...random.times(random.below(5), () => randomRule(random, family))],
    routes: random.times(random.below(6), () => randomRoute(random, family)),
    incompleteTables: random.chance(8) ? [{ tableId: 201 }] : [],
  };
}

/** The same with a few things changed, taken away or added. */
function changed(random: Random, family: Family, description: Description): Description {
  const edit = <T>(list: readonly T[], make: () => T): T[] => [
    ...list.flatMap((each) => (random.chance(6) ? (random.chance(2) ? [] : [make()]) : [each])),
    ...random.times(random.below(2), make),
  ];
  const [own, others] = [true, false].map((is) => description.rules.filter(({ path }) => (path === 'rule') === is));
  return {
    ...description,
    links: random.chance(6) ? randomDescription(random, family).links : description.links,
    rules: [...others, ...edit(own, () => randomRule(random, family))],
    routes: edit(description.routes, () => randomRoute(random, family)),
  };
}

/** The first and the last address of each piece into which all prefixes cut the addresses. */
function pieces(family: Family, descriptions: readonly Description[]): Bits[] {
  const length = LENGTH[family];
  const own = descriptions.flatMap(({ links }) =>
    links.flatMap(({ addresses }) => addresses.map(({ address }) => address)),
  );
  const networks = own.map((address) => addressBits(address).slice(0, length - 2));
  const prefixes = [...PREFIXES[family].map(prefixBits), ...own.map(addressBits), ...networks];
  const ends = prefixes.flatMap((prefix) => {
    const [first, last] = ['0', '1'].map((bit) => BigInt(`0b${prefix.padEnd(length, bit)}`));
    return [first - 1n, first, last, last + 1n];
  });
  // The last address of a network is one for all.
  const broadcasts = networks.map((network) => BigInt(`0b${network.padEnd(length, '1')}`));
  const all = [...ends, ...broadcasts, ...broadcasts.map((each) => each - 1n)];
  return [...new Set(all)]
    .filter((each) => each >= 0n && each < 1n << BigInt(length))
    .map((each) => each.toString(2).padStart(length, '0'))
    .filter((each) => valueAt(FORWARDED[family], each));
}

function isIn({ prefixes, except }: PrefixSet, address: Bits): boolean {
  const longest = [...prefixes, ...except]
    .filter((prefix) => address.startsWith(prefix))
    .sort((a, b) => b.length - a.length)[0];
  return longest !== undefined && prefixes.includes(longest);
}

/** Whether the packet is what the words say. */
function isSelected({ by, not, values }: Selection, packet: PacketHeader, machines: readonly Machine[]): boolean {
  const inRanges = (port: number | undefined): boolean =>
    port !== undefined &&
    values.some((text) => {
      const [first, last = first] = text.split('-').map(Number);
      return first <= port && port <= last;
    });
  const named = machines.flatMap(({ families }) => families[packet.family].rules.inOrder);
  const marks = named
    .flatMap(({ rule }) => markSelector(rule) ?? [])
    .filter(({ value, mask }) => ((packet.mark ^ value) & mask) === 0);
  const markText = [
    ...new Set(marks.map(({ value, mask }) => (mask === 0xffffffff ? `0x${value}` : `0x${value}/0x${mask}`))),
  ];
  const protocol = [
    ['tcp', 6],
    ['udp', 17],
  ].find(([, number]) => number === packet.ipProtocol)?.[0];
  const is = {
    'interface':
      values.includes(packet.inputInterface ?? '') ||
      (values.includes(OTHER_INTERFACE) && packet.inputInterface === 'other0'),
    'user': inRanges(packet.uid),
    'mark': values.includes(markText.join(' and ')),
    'tos': values.includes(`0x${packet.tos}`),
    'protocol':
      values.includes(String(protocol)) ||
      (packet.destinationPort !== undefined &&
        !named.some(({ rule }) => rule.ipProtocol === packet.ipProtocol) &&
        values.some((each) => each.endsWith('with ports'))),
    'source port': inRanges(packet.sourcePort),
    'destination port': inRanges(packet.destinationPort),
  }[by];
  return is !== not;
}

function isAmong(packets: Packets, packet: PacketHeader, machines: readonly Machine[]): boolean {
  return packets.every((selection) => isSelected(selection, packet, machines));
}

function ways(outcomes: readonly Outcome[]): string {
  return [...new Set(outcomes.map(outcomeKey))].sort().join(', ');
}

/** What the comparison says of one packet. */
function fromChanges(changes: readonly Change[], packet: PacketHeader, machines: readonly Machine[]): string[] {
  return changes
    .filter(({ family, direction, sources, destinations, packets }) => {
      const source = packet.source === UNSPECIFIED[packet.family] ? undefined : packet.source;
      return (
        family === packet.family &&
        (direction === 'incoming') === (packet.inputInterface !== undefined) &&
        (source === undefined || sources === undefined ? source === sources : isIn(sources, source)) &&
        isIn(destinations, packet.destination) &&
        packets.some((each) => isAmong(each, packet, machines))
      );
    })
    .map(({ before, after }) => `${ways(before)} -> ${ways(after)}`);
}

/** From everywhere to everywhere; to each destination those of another kind. */
function* allPackets(
  random: Random,
  family: Family,
  points: readonly Bits[],
  own: readonly Bits[],
): Generator<PacketHeader> {
  const clients = points.filter((point) => !/^0+1?$/.test(point));
  for (const destination of points) {
    const kind = randomKind(random, family);
    const inputInterface = random.one(INTERFACES);
    for (const source of clients) yield { ...kind, uid: 0, inputInterface, source, destination };
    for (const source of [UNSPECIFIED[family], ...own]) {
      yield { ...kind, uid: random.one([0, 1000]), source, destination };
    }
  }
}

function randomKind(random: Random, family: Family): Pick<PacketHeader, 'family' | 'mark' | 'tos' | 'ipProtocol'> {
  return {
    family,
    mark: random.one([0, 0, 1, 2, 3, 5]),
    tos: random.one([0, 0, 8]),
    ...random.one([
      { ipProtocol: 1 },
      ...[6, 17].map((ipProtocol) => ({ ipProtocol, sourcePort: 9, destinationPort: random.one([24, 25, 30, 31]) })),
    ]),
  };
}

const PAIRS = Number(process.env.PAIRS ?? cases(100));

test(`the comparison of ${PAIRS} pairs of machines is that of all their packets, one by one`, () => {
  const random = new Random(Number(process.env.SEED ?? 1));
  const seen = { same: 0, changed: 0 };
  for (let pair = 0; pair < PAIRS; pair++) {
    const family = random.one([4, 6] as const);
    const before = randomDescription(random, family);
    const known = [before, changed(random, family, before)];
    // In some, values are known at apply only.
    const descriptions = random.chance(3) ? known.map((each) => unsure(random, each)) : known;
    const machines = descriptions.map(buildMachine);
    const changes = compare(machines[0], machines[1]);
    const own = ADDRESSES[family].filter((address) =>
      descriptions.every(({ links }) =>
        links.some(({ addresses }) => addresses.some((each) => each.address === address)),
      ),
    );
    for (const packet of allPackets(random, family, pieces(family, descriptions), own.map(addressBits))) {
      const [first, second] = machines.map((machine) => ways(decide(machine, packet)));
      const expected = first === second ? [] : [`${first} -> ${second}`];
      const said = fromChanges(changes, packet, machines);
      seen[first === second ? 'same' : 'changed']++;
      if (said.join('; ') !== expected.join('; ')) {
        throw new Error(
          `pair ${pair}: ${JSON.stringify(packet)}\nsaid: ${said.join('; ')}\nis: ${expected.join('; ')}\n${JSON.stringify(descriptions, undefined, 1)}`,
        );
      }
    }
  }
  expect(Math.min(seen.same, seen.changed)).toBeGreaterThan(PAIRS * 10);
}, 600_000);

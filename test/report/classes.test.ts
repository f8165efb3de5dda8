import type { Bits } from '../../lib/fib/bits';
import { addressBits, prefixBits } from '../../lib/fib/bits';
import { buildMachine, withLinksDown } from '../../lib/fib/build';
import { decide } from '../../lib/fib/decide';
import type { PacketHeader } from '../../lib/fib/packet';
import { UNSPECIFIED } from '../../lib/fib/packet';
import { describeHost } from '../../lib/fib/from-host';
import { LOCAL_TABLE_ID } from '../../lib/fib/machine';
import type { Host } from '../../lib/model/host';
import type { Route } from '../../lib/model/route';
import type { Rule } from '../../lib/model/rule';
import type { Value } from '../../lib/model/value';
import { hostTraffic } from '../../lib/report/classes';
import type { RowGroup } from '../../lib/report/traffic-class-rows';
import { SAME, TrafficClassRows } from '../../lib/report/traffic-class-rows';
import { wayKey, wayOf } from '../../lib/report/ways';
import { Random } from '../lookup/random';
import { cases } from '../random';
import { egress } from './hosts';

const POOLS = ['10.10.10.0/24', '10.10.10.128/25', '10.10.11.0/24', '10.0.0.0/8', '192.168.1.100/32', '172.16.0.0/12'];
const POINTS = ['10.10.10.9', '10.10.10.200', '10.10.11.7', '10.99.0.1', '192.168.1.77', '172.16.5.5', '198.51.100.7'];
const OWN = ['192.168.178.2', '192.168.1.100', '10.10.10.1'];

function prefix(text: string): Value {
  return { kind: 'prefix', text, family: 4 };
}

function randomRule(random: Random): Rule {
  return {
    path: 'stack/rule',
    family: 4,
    priority: 10000 + random.below(6),
    action: random.one<Rule['action']>([
      { kind: 'lookup', tableId: 200 },
      { kind: 'lookup', tableId: 201 },
      { kind: 'lookup', tableId: 254 },
      { kind: 'prohibit' },
    ]),
    source: random.chance(4) ? undefined : prefix(random.one(POOLS)),
    destination: random.maybe(3, () => prefix(random.one(POOLS))),
    firewallMark: random.maybe(3, () => 1),
    suppressPrefixLength: undefined,
  };
}

function randomRoute(random: Random, tableId: number): Route {
  const device: Value = { kind: 'device', text: random.one(['eth0', 'eth1']) };
  const via: Value = { kind: 'address', text: device.text === 'eth0' ? '192.168.178.9' : '192.168.1.1', family: 4 };
  const destination = random.chance(3) ? prefix(random.one(POOLS)) : ({ kind: 'prefix', text: 'default' } as const);
  return {
    path: 'stack/route',
    family: 4,
    tableId,
    destination,
    hops: [random.chance(3) ? { device } : { via, device }],
  };
}

function randomHost(random: Random): Host {
  return {
    ...egress(),
    rules: random.times(1 + random.below(6), () => randomRule(random)),
    routes: [200, 201].flatMap((tableId) => random.times(random.below(3), () => randomRoute(random, tableId))),
    tables: [200, 201].map((id) => ({ path: 'stack/table', id, failClosed: random.chance(2) })),
    discards: [],
    hooks: [],
    expectations: [],
    intents: [],
  };
}

function longest<T extends { readonly prefix: Bits }>(lines: readonly T[], address: Bits): T | undefined {
  return lines.filter((line) => address.startsWith(line.prefix)).sort((a, b) => b.prefix.length - a.prefix.length)[0];
}

/** The row of a packet, found as a reader is told to find it, with all links up and with each one down. */
function fromRows(table: TrafficClassRows, groups: readonly RowGroup[], packet: PacketHeader): string[] {
  const isSent = packet.inputInterface === undefined;
  const lines = groups.flatMap((group) =>
    group.parts
      .filter(({ of }) => (of.from === 'server') === isSent)
      .flatMap(({ sources }) => sources.map((source) => ({ prefix: source ?? 'none', group }))),
  );
  const source = packet.source === UNSPECIFIED[4] ? 'none' : (longest(lines, packet.source ?? '')?.prefix ?? '');
  const own = lines.filter((line) => line.prefix === source).map(({ group }) => group);
  const named = own.filter(({ packets }) => packets === (packet.mark === 1 ? 'mark 0x1' : 'not mark 0x1'));
  const [group] = [...named, ...own.filter(({ packets }) => packets === '')];
  const rows = table.rowsOf(group).flatMap((row) => row.destinations.prefixes.map((each) => ({ prefix: each, row })));
  const { same, ways } = longest(rows, packet.destination)?.row ?? { same: { keys: [] }, ways: [] };
  return ways.map((each, index) =>
    [...new Set((same.keys[index] === SAME ? ways[0] : each).map(wayKey))].sort().join(),
  );
}

const HOSTS = Number(process.env.HOSTS ?? cases(30));

test('a packet is in a row that says what becomes of it, whatever link is down', () => {
  const random = new Random(Number(process.env.SEED ?? 1));
  let different = 0;
  for (let index = 0; index < HOSTS; index++) {
    const host = randomHost(random);
    const traffic = hostTraffic(host);
    const table = new TrafficClassRows(traffic);
    const groups = table.groups.filter(({ family }) => family === 4);
    const machines = [[], ...traffic.links.map((link) => [link])].map((down) =>
      buildMachine(withLinksDown(describeHost(traffic.host), down)),
    );
    for (let packet = 0; packet < 40; packet++) {
      const incoming = random.chance(2);
      const packet: PacketHeader = {
        family: 4,
        mark: random.below(2),
        tos: 0,
        uid: 0,
        destination: addressBits(random.one(POINTS)),
        source: incoming
          ? addressBits(random.one(POINTS))
          : random.one([UNSPECIFIED[4], ...OWN.map((each) => addressBits(each))]),
        inputInterface: incoming ? random.one(['tun0', 'eth0', 'other0']) : undefined,
      };
      const [local] = machines[0].families[4].tables.get(LOCAL_TABLE_ID)?.coveringPrefixes(packet.destination) ?? [];
      expect(local).toBeUndefined();
      const is = machines.map((machine) => {
        const outcomes = decide(machine, packet).map((outcome) => wayOf(outcome, outcome.trail?.rule.rule));
        return [...new Set(outcomes.map(wayKey))].sort().join();
      });
      // Where no rule has a route, none decides.
      const known = is.map((each) => each.replace(/no route \w+/g, 'no route undefined'));
      const said = fromRows(table, groups, packet);
      different += new Set(known).size > 1 ? 1 : 0;
      if (said.join('; ') !== known.join('; ')) {
        throw new Error(
          `host ${index}: ${JSON.stringify(packet)}\nsaid: ${said.join('; ')}\nis: ${known.join('; ')}\n${JSON.stringify(host.rules)}\n${JSON.stringify(host.routes)}`,
        );
      }
    }
  }
  expect(different).toBeGreaterThan(HOSTS);
});

test('an address of the server is no pool', () => {
  const rule: Rule = {
    path: 'stack/rule',
    family: 4,
    priority: 10000,
    action: { kind: 'lookup', tableId: 200 },
    source: prefix('192.168.1.100/32'),
  };
  const { clients } = hostTraffic({ ...egress(), rules: [rule] });
  expect([...clients.links]).toEqual([]);
  expect(clients.prefixes[4]).not.toContain(prefixBits('192.168.1.100'));
});

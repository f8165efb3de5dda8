import type { Bits } from '../../lib/fib/bits';
import { addressBits, prefixText } from '../../lib/fib/bits';
import type { Description } from '../../lib/fib/build';
import { buildMachine, withLinksDown } from '../../lib/fib/build';
import { HeaderClasses, OTHER_INTERFACE } from '../../lib/reachability/header-classes';
import { decide } from '../../lib/fib/decide';
import { tableKey } from '../../lib/reachability/decision';
import type { PacketHeader, HeaderFields } from '../../lib/fib/packet';
import { UNSPECIFIED } from '../../lib/fib/packet';
import { FORWARDED } from '../../lib/reachability/forwarded';
import { valueAt } from '../../lib/reachability/prefix-trie';
import { kernelRules } from '../../lib/fib/machine';
import type { Outcome } from '../../lib/fib/outcome';
import { SourceClasses } from '../../lib/reachability/source-classes';
import type { TrafficClass } from '../../lib/reachability/equivalence-classes';
import { trafficClassesOf } from '../../lib/reachability/equivalence-classes';
import { decisionText, packetsText } from '../../lib/reachability/words';
import type { Route } from '../../lib/model/route';
import type { Rule } from '../../lib/model/rule';
import { cases } from '../random';
import { Random } from './random';
import { randomScenario } from './scenario';
import { unsure } from './unsure';

function longest<T extends { readonly prefix: Bits }>(lines: readonly T[], address: Bits): T | undefined {
  return lines
    .filter(({ prefix }) => address.startsWith(prefix))
    .reduce<T | undefined>((best, line) => (best && best.prefix.length >= line.prefix.length ? best : line), undefined);
}

function has({ headers }: TrafficClass, header: HeaderFields): boolean {
  return headers.some((each) => JSON.stringify(each) === JSON.stringify(header));
}

/** What the tables say of a packet, found as a person would find it: on each of the machines. */
function fromTables(
  classes: readonly TrafficClass[],
  header: HeaderFields,
  { source, destination }: PacketHeader,
): string[] {
  const isSent = header.inputInterface === undefined;
  const own = classes.filter((each) => (each.direction === 'sent') === isSent && has(each, header));
  const sources = own.flatMap(({ table, ...each }) => each.sources.map((prefix) => ({ prefix, table })));
  const [unspecified] = sources.filter(({ prefix }) => prefix === undefined);
  const lines = sources.flatMap(({ prefix, table }) => (prefix === undefined ? [] : [{ prefix, table }]));
  const line = source === UNSPECIFIED[header.family] ? unspecified : longest(lines, source ?? '');
  return longest(line?.table ?? [], destination)?.value.map(({ outcomes }) => ways(outcomes)) ?? [];
}

function ways(outcomes: readonly Outcome[]): string {
  return [...new Set(outcomes.map(tableKey))].sort().join();
}

test.each([1, 2, 3])('a packet goes where the table of its class says, whatever link is down (seed %i)', (seed) => {
  const random = new Random(seed);
  const compared = { incoming: 0, sent: 0, different: 0 };
  while (compared.incoming < cases(20) || compared.sent < cases(20)) {
    const { description: known, packets } = randomScenario(random, 30);
    const description = unsure(random, known);
    const down = [[], ...known.links.map(({ name }) => [name])];
    const machines = down.map((names) => buildMachine(withLinksDown(description, names)));
    const [{ family }] = packets;
    const cuts = packets.slice(0, 3).map(({ source = '' }) => source.slice(0, 12));
    const classes = trafficClassesOf(machines, family, { cuts });
    const headersOf = {
      incoming: new HeaderClasses(machines, family, 'incoming').headers,
      sent: new HeaderClasses(machines, family, 'sent').headers,
    };
    for (const packet of packets) {
      const { inputInterface, source, outputInterface } = packet;
      const direction = inputInterface === undefined ? 'sent' : 'incoming';
      const named = headersOf.incoming.some((header) => header.inputInterface === inputInterface);
      const by = direction === 'sent' || named ? inputInterface : OTHER_INTERFACE;
      const header = random.one(headersOf[direction].filter((each) => each.inputInterface === by));
      const isAsked = valueAt(FORWARDED[family], packet.destination) && outputInterface === undefined;
      const isOwn =
        source === UNSPECIFIED[family] ||
        description.links.some(({ addresses }) => addresses.some(({ address }) => addressBits(address) === source));
      if (!isAsked || (direction === 'sent' ? !isOwn : new SourceClasses(family, []).of(source ?? '') === undefined))
        continue;
      const asked: PacketHeader = { ...header, inputInterface, source, destination: packet.destination };
      const said = fromTables(classes, header, asked);
      const single = machines.map((machine) => ways(decide(machine, asked)));
      compared[direction]++;
      compared.different += new Set(single).size > 1 ? 1 : 0;
      if (said.join('; ') !== single.join('; ')) {
        throw new Error(`${JSON.stringify(asked)}\ntables: ${said.join('; ')}\na packet: ${single.join('; ')}`);
      }
    }
  }
  expect(compared.different).toBeGreaterThan(5);
});

test('packets are in one class each', () => {
  const random = new Random(4);
  for (let scenario = 0; scenario < 20; scenario++) {
    const { description, packets } = randomScenario(random, 1);
    const classes = trafficClassesOf([buildMachine(description)], packets[0].family);
    const places = classes.flatMap(({ direction, headers, sources }) =>
      headers.flatMap((header) => sources.map((source) => `${direction} ${JSON.stringify(header)} ${source}`)),
    );
    expect(new Set(places).size).toBe(places.length);
  }
});

const ETH0 = { name: 'eth0', addresses: [{ text: '192.168.178.2/24', address: '192.168.178.2', family: 4 as const }] };
const ETH1 = { name: 'eth1', addresses: [{ text: '192.168.1.100/24', address: '192.168.1.100', family: 4 as const }] };

function rule(priority: number, source: string | undefined, rest: Partial<Rule>): Rule {
  const from: Partial<Rule> = source === undefined ? {} : { source: { kind: 'prefix', text: source, family: 4 } };
  return { path: 'x', family: 4, priority, action: { kind: 'lookup', tableId: 200 }, ...from, ...rest };
}

function server(...rules: Rule[]): Description {
  const via = (tableId: number, text: string): Route => ({
    path: 'x',
    family: 4,
    tableId,
    destination: { kind: 'prefix', text: 'default' },
    hops: [{ via: { kind: 'address', text, family: 4 } }],
  });
  return {
    links: [ETH0, ETH1],
    rules: [...kernelRules(), ...rules],
    routes: [via(254, '192.168.178.1'), via(200, '192.168.1.1')],
  };
}

/** For people, without what the machine itself receives. */
function told(description: Description): string[] {
  return trafficClassesOf([buildMachine(description)], 4)
    .filter(({ direction }) => direction === 'incoming')
    .flatMap(({ packets, sources, table }) => {
      const from = sources.map((source) => (source ? prefixText(source, 4) : 'any')).join(', ');
      return [
        `packets: ${packets.map(packetsText).join('; ')}`,
        ...table
          .filter(({ value: [{ outcomes }] }) => outcomes.every(({ kind }) => kind !== 'local' && kind !== 'broadcast'))
          .map(({ prefix, value: [decision] }) => `${from} to ${prefixText(prefix, 4)}: ${decisionText(decision)}`),
      ];
    });
}

test('pools of one way are one class, whatever rules they have', () => {
  const pools = server(rule(1, '10.0.0.0/24', {}), rule(2, '10.0.1.0/24', {}), rule(3, '10.9.0.0/24', {}));
  expect(told(pools)).toEqual([
    'packets: ',
    'any to default: via 192.168.178.1 dev eth0 (main)',
    'any to 192.168.1.0/24: dev eth1 (main)',
    'any to 192.168.178.0/24: dev eth0 (main)',
    'packets: ',
    '10.0.0.0/24, 10.0.1.0/24, 10.9.0.0/24 to default: via 192.168.1.1 dev eth1 (table 200)',
  ]);
  expect(told(withLinksDown(pools, ['eth1']))).toEqual([
    'packets: ',
    'any, 10.0.0.0/24, 10.0.1.0/24, 10.9.0.0/24 to default: via 192.168.178.1 dev eth0 (main)',
    'any, 10.0.0.0/24, 10.0.1.0/24, 10.9.0.0/24 to 192.168.178.0/24: dev eth0 (main)',
  ]);
});

test('packets that rules tell apart by anything else are named, for the sources of which they do', () => {
  const lines = told(
    server(
      rule(1, '10.0.0.0/24', {
        ipProtocol: 6,
        destinationPorts: { first: 25, last: 25 },
        action: { kind: 'prohibit' },
      }),
      rule(2, undefined, { inputInterface: { kind: 'device', text: 'tun0' }, firewallMark: 1 }),
    ),
  );
  expect(lines.filter((line) => /packets|to default/.test(line))).toEqual([
    'packets: not in tun0; in tun0, not mark 0x1',
    'any to default: via 192.168.178.1 dev eth0 (main)',
    'packets: in tun0, mark 0x1',
    'any to default: via 192.168.1.1 dev eth1 (table 200)',
    'packets: not in tun0, not tcp; not in tun0, tcp, to port 0-24 or 26-65535; in tun0, not mark 0x1, not tcp; in tun0, not mark 0x1, tcp, to port 0-24 or 26-65535',
    '10.0.0.0/24 to default: via 192.168.178.1 dev eth0 (main)',
    'packets: tcp, to port 25',
    '10.0.0.0/24 to default: prohibit',
    'packets: in tun0, mark 0x1, not tcp; in tun0, mark 0x1, tcp, to port 0-24 or 26-65535',
    '10.0.0.0/24 to default: via 192.168.1.1 dev eth1 (table 200)',
  ]);
});

test('where values are known at apply only, all that may happen is said', () => {
  const [, first] = told(
    server({ ...rule(1, '10.0.0.0/24', {}), source: { kind: 'prefix', text: 'x', deferredFor: 'a:b' } }),
  );
  expect(first).toBe('any to default: via 192.168.1.1 dev eth1 (table 200) or via 192.168.178.1 dev eth0 (main)');
});

import type { Bits } from '../../lib/lookup/bits';
import { prefixText } from '../../lib/lookup/bits';
import type { Description } from '../../lib/lookup/build';
import { buildMachine, withLinksDown } from '../../lib/lookup/build';
import { Cells, OTHER_INTERFACE } from '../../lib/lookup/cells';
import { decide } from '../../lib/lookup/decide';
import { tableKey } from '../../lib/lookup/decision';
import type { Flow, Kind } from '../../lib/lookup/flow';
import { FORWARDED } from '../../lib/lookup/forwarded';
import { valueAt } from '../../lib/lookup/address-map';
import { kernelRules } from '../../lib/lookup/machine';
import { SourceClasses } from '../../lib/lookup/source-classes';
import type { Traffic } from '../../lib/lookup/traffic';
import { trafficOf } from '../../lib/lookup/traffic';
import { decisionText, packetsText, prefixSetText } from '../../lib/lookup/words';
import type { Route } from '../../lib/model/route';
import type { Rule } from '../../lib/model/rule';
import { Random } from './random';
import { randomScenario } from './scenario';
import { unsure } from './unsure';

function longest<T extends { readonly prefix: Bits }>(lines: readonly T[], address: Bits): T | undefined {
  return lines
    .filter(({ prefix }) => address.startsWith(prefix))
    .reduce<T | undefined>((best, line) => (best && best.prefix.length >= line.prefix.length ? best : line), undefined);
}

function has({ kinds }: Traffic, kind: Kind): boolean {
  return kinds.some((each) => JSON.stringify(each) === JSON.stringify(kind));
}

/** What the table says of a packet, found as a person would find it. */
function fromTable({ classes }: Traffic, { source = '', destination }: Flow): string[] {
  const sources = classes.flatMap((each) => [
    ...each.sources.prefixes.map((prefix) => ({ prefix, table: each.table })),
  ]);
  const { outcomes } = longest(longest(sources, source)?.table ?? [], destination)?.value ?? { outcomes: [] };
  return outcomes.map(tableKey).sort();
}

test.each([1, 2, 3])('a packet goes where the table of its class says (seed %i)', (seed) => {
  const random = new Random(seed);
  let compared = 0;
  while (compared < 60) {
    const { description, flows } = randomScenario(random, 30);
    const machine = buildMachine(unsure(random, description));
    const traffic = trafficOf(machine);
    const cells = { 4: new Cells([machine], 4, 'incoming'), 6: new Cells([machine], 6, 'incoming') };
    for (const flow of flows) {
      const { family, inputInterface } = flow;
      if (inputInterface === undefined || !valueAt(FORWARDED[family], flow.destination)) continue;
      if (new SourceClasses(family, []).of(flow.source ?? '') === undefined) continue;
      const { kinds } = cells[family];
      const own = kinds.some((kind) => kind.inputInterface === inputInterface) ? inputInterface : OTHER_INTERFACE;
      const kind = random.one(kinds.filter((each) => each.inputInterface === own));
      const packet: Flow = { ...kind, inputInterface, source: flow.source, destination: flow.destination };
      const [where, ...others] = traffic.filter((each) => each.family === family && has(each, kind));
      expect(others).toEqual([]);
      const table = fromTable(where, packet);
      const single = [...new Set(decide(machine, packet).map(tableKey))].sort();
      compared++;
      if (table.join() !== single.join()) {
        throw new Error(`${JSON.stringify(packet)}\ntable: ${table.join()}\na packet: ${single.join()}`);
      }
    }
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
  return trafficOf(buildMachine(description))
    .filter(({ family }) => family === 4)
    .flatMap(({ packets, classes }) => [
      `packets: ${packets.map(packetsText).join('; ')}`,
      ...classes.flatMap(({ sources, table }) =>
        table
          .filter(({ value }) => value.outcomes.every(({ kind }) => kind !== 'local' && kind !== 'broadcast'))
          .map(
            ({ prefix, value }) => `${prefixSetText(sources, 4)} to ${prefixText(prefix, 4)}: ${decisionText(value)}`,
          ),
      ),
    ]);
}

test('pools of one way are one class, whatever rules they have', () => {
  const pools = server(rule(1, '10.0.0.0/24', {}), rule(2, '10.0.1.0/24', {}), rule(3, '10.9.0.0/24', {}));
  expect(told(pools)).toEqual([
    'packets: ',
    '10.0.0.0/23, 10.9.0.0/24 to default: via 192.168.1.1 dev eth1 (table 200)',
    'any but 10.0.0.0/23, 10.9.0.0/24 to default: via 192.168.178.1 dev eth0 (main)',
    'any but 10.0.0.0/23, 10.9.0.0/24 to 192.168.1.0/24: dev eth1 (main)',
    'any but 10.0.0.0/23, 10.9.0.0/24 to 192.168.178.0/24: dev eth0 (main)',
  ]);
  expect(told(withLinksDown(pools, ['eth1']))).toEqual([
    'packets: ',
    'any to default: via 192.168.178.1 dev eth0 (main)',
    'any to 192.168.178.0/24: dev eth0 (main)',
  ]);
});

test('packets that rules tell apart by anything else are named, what is so for most comes last', () => {
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
  expect(lines.filter((line) => line.startsWith('packets'))).toEqual([
    'packets: in tun0, mark 0x1, tcp, to port 25',
    'packets: not in tun0, tcp, to port 25; in tun0, not mark 0x1, tcp, to port 25',
    'packets: in tun0, mark 0x1, not tcp; in tun0, mark 0x1, tcp, to port 0-24 or 26-65535',
    'packets: not in tun0, not tcp; not in tun0, tcp, to port 0-24 or 26-65535; in tun0, not mark 0x1, not tcp; in tun0, not mark 0x1, tcp, to port 0-24 or 26-65535',
  ]);
});

test('where values are known at apply only, all that may happen is said', () => {
  const [, first] = told(
    server({ ...rule(1, '10.0.0.0/24', {}), source: { kind: 'prefix', text: 'x', deferredFor: 'a:b' } }),
  );
  expect(first).toBe('any to default: via 192.168.1.1 dev eth1 (table 200) or via 192.168.178.1 dev eth0 (main)');
});

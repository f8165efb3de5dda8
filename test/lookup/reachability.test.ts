import { buildMachine } from '../../lib/fib/build';
import { chainValueAt } from '../../lib/reachability/trie-chain';
import { decide } from '../../lib/fib/decide';
import { outcomeKey } from '../../lib/reachability/decision';
import type { PacketHeader } from '../../lib/fib/packet';
import type { Machine } from '../../lib/fib/machine';
import { stepsOf } from '../../lib/fib/outcome';
import { Reachability } from '../../lib/reachability/reachability';
import type { CompiledRule } from '../../lib/fib/rules';
import type { Action, Rule } from '../../lib/model/rule';
import { cases } from '../random';
import { Random } from './random';
import { randomScenario } from './scenario';
import { unsure } from './unsure';

/** What the classes say of a packet. */
function fromClasses(
  reachability: Reachability,
  { source = '', destination, inputInterface }: PacketHeader,
): string[] | undefined {
  const sourceClass = inputInterface === undefined ? '' : reachability.sources.of(source);
  if (sourceClass === undefined) return undefined;
  const { outcomes } = chainValueAt(reachability.chainOf(sourceClass), destination, reachability.decisions);
  return [...new Set(outcomes.map(outcomeKey))].sort();
}

test.each([1, 2, 3, 4])('classes of packets go where each single packet goes (seed %i)', (seed) => {
  const random = new Random(seed);
  let compared = 0;
  while (compared < cases(250)) {
    const { description, packets } = randomScenario(random, 40);
    const machine = buildMachine(unsure(random, description));
    const made = new Map<string, Reachability>();
    for (const packet of packets) {
      const { inputInterface, outputInterface, source } = packet;
      if (outputInterface !== undefined) continue;
      const header = { ...packet, source: undefined, destination: undefined };
      const scope = inputInterface === undefined ? { source } : {};
      const key = JSON.stringify([header, scope]);
      const reachability = made.get(key) ?? new Reachability(machine, header, scope);
      made.set(key, reachability);
      const said = fromClasses(reachability, packet);
      if (said === undefined) continue;
      compared++;
      const single = [...new Set(decide(machine, packet).map(outcomeKey))].sort();
      if (said.join() !== single.join()) {
        throw new Error(`${JSON.stringify(packet)}\nclasses: ${said.join(', ')}\na packet: ${single.join(', ')}`);
      }
    }
  }
});

/** The rules that take a packet, or may. */
function rulesOf(machine: Machine, packet: PacketHeader): CompiledRule[] {
  return decide(machine, packet).flatMap((outcome) => stepsOf(outcome).map(({ rule }) => rule));
}

test.each([1, 2, 3, 4])('for each rule a packet that it takes, or none that does (seed %i)', (seed) => {
  const random = new Random(seed);
  const seen = { found: 0, none: 0 };
  while (seen.none < cases(100)) {
    const { description, packets } = randomScenario(random, 40);
    const rules = description.rules.filter(({ action }) => action.kind !== 'goto');
    const machine = buildMachine(unsure(random, { ...description, rules }));
    for (const packet of packets.slice(0, 10)) {
      const { inputInterface, family } = packet;
      if (inputInterface === undefined) continue;
      const reachability = new Reachability(machine, { ...packet, inputInterface });
      for (const rule of machine.families[family].rules.inOrder) {
        const found = reachability.packetOf(rule);
        if (found === undefined) {
          seen.none++;
          // Neither this found nor any other one of the kind.
          const others = packets.filter((other) => other.family === family && other.source !== undefined);
          const same = others.map(({ source, destination }) => ({ ...packet, source, destination }));
          const client = same.filter(({ source = '' }) => reachability.sources.of(source) !== undefined);
          expect(client.some((each) => rulesOf(machine, each).includes(rule))).toBe(false);
        } else {
          seen.found++;
          expect(found !== 'unknown' && rulesOf(machine, found).includes(rule)).toBe(true);
        }
      }
    }
  }
  expect(seen.found).toBeGreaterThan(cases(30));
});

test('which rule a goto leads past is not known', () => {
  const rule = (priority: number, action: Action): Rule => ({ path: 'x', family: 4, priority, action });
  const machine = buildMachine({
    links: [],
    rules: [rule(1, { kind: 'goto', priority: 3 }), rule(2, { kind: 'blackhole' }), rule(3, { kind: 'prohibit' })],
    routes: [],
  });
  const reachability = new Reachability(machine, { family: 4, inputInterface: 'tun0', mark: 0, tos: 0, uid: 0 });
  expect(machine.families[4].rules.inOrder.map((each) => reachability.packetOf(each))).toEqual([
    'unknown',
    'unknown',
    'unknown',
  ]);
});

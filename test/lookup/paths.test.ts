import { buildMachine } from '../../lib/fib/build';
import { chainValueAt } from '../../lib/reachability/trie-chain';
import { decide } from '../../lib/fib/decide';
import { outcomeKey } from '../../lib/reachability/decision';
import type { Flow } from '../../lib/fib/flow';
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
function fromClasses(paths: Reachability, { source = '', destination, inputInterface }: Flow): string[] | undefined {
  const sourceClass = inputInterface === undefined ? '' : paths.sources.of(source);
  if (sourceClass === undefined) return undefined;
  const { outcomes } = chainValueAt(paths.chainOf(sourceClass), destination, paths.decisions);
  return [...new Set(outcomes.map(outcomeKey))].sort();
}

test.each([1, 2, 3, 4])('classes of packets go where each single packet goes (seed %i)', (seed) => {
  const random = new Random(seed);
  let compared = 0;
  while (compared < cases(250)) {
    const { description, flows } = randomScenario(random, 40);
    const machine = buildMachine(unsure(random, description));
    const made = new Map<string, Reachability>();
    for (const flow of flows) {
      const { inputInterface, outputInterface, source } = flow;
      if (outputInterface !== undefined) continue;
      const kind = { ...flow, source: undefined, destination: undefined };
      const scope = inputInterface === undefined ? { source } : {};
      const key = JSON.stringify([kind, scope]);
      const paths = made.get(key) ?? new Reachability(machine, kind, scope);
      made.set(key, paths);
      const said = fromClasses(paths, flow);
      if (said === undefined) continue;
      compared++;
      const single = [...new Set(decide(machine, flow).map(outcomeKey))].sort();
      if (said.join() !== single.join()) {
        throw new Error(`${JSON.stringify(flow)}\nclasses: ${said.join(', ')}\na packet: ${single.join(', ')}`);
      }
    }
  }
});

/** The rules that take a packet, or may. */
function rulesOf(machine: Machine, flow: Flow): CompiledRule[] {
  return decide(machine, flow).flatMap((outcome) => stepsOf(outcome).map(({ rule }) => rule));
}

test.each([1, 2, 3, 4])('for each rule a packet that it takes, or none that does (seed %i)', (seed) => {
  const random = new Random(seed);
  const seen = { found: 0, none: 0 };
  while (seen.none < cases(100)) {
    const { description, flows } = randomScenario(random, 40);
    const rules = description.rules.filter(({ action }) => action.kind !== 'goto');
    const machine = buildMachine(unsure(random, { ...description, rules }));
    for (const flow of flows.slice(0, 10)) {
      const { inputInterface, family } = flow;
      if (inputInterface === undefined) continue;
      const paths = new Reachability(machine, { ...flow, inputInterface });
      for (const rule of machine.sides[family].rules.inOrder) {
        const packet = paths.packetOf(rule);
        if (packet === undefined) {
          seen.none++;
          // Neither this packet nor any other one of the kind.
          const others = flows.filter((other) => other.family === family && other.source !== undefined);
          const same = others.map(({ source, destination }) => ({ ...flow, source, destination }));
          const client = same.filter(({ source = '' }) => paths.sources.of(source) !== undefined);
          expect(client.some((each) => rulesOf(machine, each).includes(rule))).toBe(false);
        } else {
          seen.found++;
          expect(packet !== 'unknown' && rulesOf(machine, packet).includes(rule)).toBe(true);
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
  const paths = new Reachability(machine, { family: 4, inputInterface: 'tun0', mark: 0, tos: 0, uid: 0 });
  expect(machine.sides[4].rules.inOrder.map((each) => paths.packetOf(each))).toEqual(['unknown', 'unknown', 'unknown']);
});

import type { Description } from '../lib/lookup/build';
import { buildMachine } from '../lib/lookup/build';
import { chainValueAt } from '../lib/lookup/chain';
import { decide } from '../lib/lookup/decide';
import { outcomeKey } from '../lib/lookup/decision';
import type { Flow } from '../lib/lookup/flow';
import { Paths } from '../lib/lookup/paths';
import type { Value } from '../lib/model/value';
import { Random } from './lookup/random';
import { randomScenario } from './lookup/scenario';

/** What the classes say of a packet that comes in. */
function fromClasses(paths: Paths, { source = '', destination }: Flow): string[] | undefined {
  const sourceClass = paths.classOf(source);
  if (sourceClass === undefined) return undefined;
  const { outcomes } = chainValueAt(paths.chainOf(sourceClass), destination, paths.decisions);
  return outcomes.map(outcomeKey).sort();
}

/** Some of what is declared is known at apply only. */
function unsure(random: Random, { rules, routes, ...rest }: Description): Description {
  const deferred = (value: Value | undefined): Value | undefined =>
    value && random.chance(8) ? { ...value, deferredFor: 'x' } : value;
  return {
    ...rest,
    rules: rules.map((rule) => ({
      ...rule,
      family: random.chance(8) ? 'auto' : rule.family,
      source: deferred(rule.source),
      destination: deferred(rule.destination),
      inputInterface: deferred(rule.inputInterface),
    })),
    routes: routes.map((route) => ({ ...route, destination: deferred(route.destination) ?? route.destination })),
  };
}

test.each([1, 2, 3, 4])('classes of packets go where each single packet goes (seed %i)', (seed) => {
  const random = new Random(seed);
  let compared = 0;
  while (compared < 3000) {
    const { description, flows } = randomScenario(random, 40);
    const machine = buildMachine(unsure(random, description));
    const made = new Map<string, Paths>();
    for (const flow of flows) {
      const { inputInterface } = flow;
      if (inputInterface === undefined) continue;
      const kind = { ...flow, source: undefined, destination: undefined };
      const key = JSON.stringify(kind);
      const paths = made.get(key) ?? new Paths(machine, { ...kind, inputInterface });
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

import { Random } from '../lookup/random';
import type { Break, Probed } from './probe';
import { probe } from './probe';
import { probeScenario } from './questions';

/** Random machines one after the other, with what the probe says of random packets there. */
export function* record(seed: number, machines: number, breakAgent?: Break): Generator<Probed> {
  const random = new Random(seed);
  for (let left = machines; left > 0;) {
    const scenario = probeScenario(random);
    // On some, no link is up.
    if (scenario.packets.length > 0) {
      left--;
      yield probe(scenario, breakAgent);
    }
  }
}

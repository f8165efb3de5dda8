import type { Recorded } from './kernel';
import { askKernel } from './kernel';
import { Random } from './random';
import { randomScenario } from './scenario';

const PACKETS_PER_MACHINE = 100;

/** Random machines one after the other, with what the kernel says to random packets. */
export function* record(seed: number, lookups: number): Generator<Recorded> {
  const random = new Random(seed);
  for (let left = lookups; left > 0; left -= PACKETS_PER_MACHINE) {
    yield askKernel(randomScenario(random, Math.min(left, PACKETS_PER_MACHINE)));
  }
}

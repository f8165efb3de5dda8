/** Numbers from 0 to 1 that look random, and are the same again for the same seed. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  // Mulberry32.
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Whether this is `npm run test:full`, which has time for what is too slow for every commit. */
export const FULL = process.env.TEST_FULL === '1';

/** How many random cases a test tries: so many for every commit, ten times as many in `npm run test:full`. */
export function cases(forEveryCommit: number): number {
  // `npm run mutate` runs each test hundreds of times.
  const factor = FULL ? 10 : process.env.MUTATION_TESTS ? 0.1 : 1;
  return Math.ceil(factor * forEveryCommit);
}

import { disagreements } from '../lookup/compare';
import type { Recorded } from '../lookup/kernel';
import { MUTATIONS } from '../lookup/mutations';
import { record } from '../lookup/record';
import { report } from '../lookup/report';
import { describeOnMachine } from './machine';

const LOOKUPS = 10_000;
/** One that is always the same, and one of today. */
const TODAY = Number(process.env.LOOKUP_SEED ?? Date.now() % 1_000_000);

/** Disagreements of one run; the first as a report. */
function problems(recorded: readonly Recorded[]): string[] {
  return recorded
    .flatMap((each) => disagreements(each).map(({ index }) => ({ each, index })))
    .map(({ each, index }, nth) => (nth === 0 ? report(each, index) : `and packet ${index}`));
}

describeOnMachine('lib/fib and the kernel agree', () => {
  let fixed: Recorded[];
  beforeAll(() => {
    fixed = [...record(1, LOOKUPS)];
  }, 120_000);

  test(`on ${LOOKUPS} packets, seed 1`, () => {
    expect(fixed.reduce((sum, { packets }) => sum + packets.length, 0)).toBe(LOOKUPS);
    expect(problems(fixed)).toEqual([]);
  });

  test(`on a tenth of that, seed ${TODAY}`, () => {
    expect(problems([...record(TODAY, LOOKUPS / 10)])).toEqual([]);
  }, 120_000);

  test('on what the kernel takes: it refuses but few of the commands', () => {
    const refused = fixed.flatMap((each) => each.refused);
    const taken = fixed.flatMap(({ description: { rules, routes } }) => [...rules, ...routes]);
    expect(refused.length).toBeLessThan(taken.length / 20);
  });

  test.each(MUTATIONS)('and the comparison notices when %s', (_, broken) => {
    expect(fixed.some((each) => disagreements(each, broken).length > 0)).toBe(true);
  });
});

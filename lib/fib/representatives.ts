import type { Range } from '../model/rule';

/** Some bits of a mark, and their wanted values. */
export interface MaskedMark {
  readonly value: number;
  readonly mask: number;
}

/**
 * One number for each class that ranges distinguish: the first of each piece into which their ends split the numbers up
 * to `highest`.
 */
export function numbersOf(ranges: readonly Range[], highest: number): number[] {
  const starts = ranges.flatMap(({ first, last }) => [first, last + 1]).filter((start) => start <= highest);
  return [...new Set([0, ...starts])].sort((a, b) => a - b);
}

/**
 * One mark for each set of selectors that can match. 0 is the first.
 *
 * @param counted - is told how many there are so far: each selector can double them
 */
export function marksOf(selectors: readonly MaskedMark[], counted: (count: number) => void = () => {}): number[] {
  const different = new Map(selectors.map((each) => [`${each.value >>> 0}/${each.mask >>> 0}`, each]));
  let found: Constraints[] = [{ known: 0, bits: 0, avoided: [] }];
  for (const selector of different.values()) {
    found = found.flatMap((constraints) => {
      const with_ = demand(constraints, selector);
      const without = { ...constraints, avoided: [...constraints.avoided, selector] };
      return [without, ...(with_ ? [with_] : [])].filter((each) => solve(each) !== undefined);
    });
    counted(found.length);
  }
  return found.flatMap((constraints) => solve(constraints) ?? []).sort((a, b) => a - b);
}

/** `known` bits of a mark are `bits`; it must not match what is `avoided`. */
interface Constraints {
  readonly known: number;
  readonly bits: number;
  readonly avoided: readonly MaskedMark[];
}

function demand(constraints: Constraints, { value, mask }: MaskedMark): Constraints | undefined {
  return ((constraints.bits ^ value) & constraints.known & mask) !== 0
    ? undefined
    : { ...constraints, known: constraints.known | mask, bits: (constraints.bits | (value & mask)) >>> 0 };
}

/** Tries low bits first, so that as many bits as possible are 0. */
function solve(constraints: Constraints): number | undefined {
  const { known, bits, avoided } = constraints;
  const hit = avoided.find(({ value, mask }) => ((bits ^ value) & mask) === 0);
  if (!hit) {
    return bits >>> 0;
  }
  for (let bit = 1, i = 0; i < 32; i++, bit <<= 1) {
    if ((hit.mask & bit) === 0 || (known & bit) !== 0) continue;
    const flipped = (bits & ~bit) | (~hit.value & bit);
    const solved = solve({ known: known | bit, bits: flipped, avoided });
    if (solved !== undefined) return solved;
  }
  return undefined;
}

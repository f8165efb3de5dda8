import type { Family } from './family';
import { BOTH_FAMILIES } from './family';
import type { Host, Problem } from './host';
import { hex } from './rule';
import type { Value } from './value';

/**
 * What comes in by an interface for some clients, and the mark that it gets. An error that the kernel sends about such a
 * packet (it is too big, its time is exceeded) bears the same mark where `net.ipv4.fwmark_reflect` is set, so that a
 * rule can send it the way that the packet came.
 */
export interface Marking {
  readonly path: string;
  readonly device: Value;
  readonly destinations: readonly Value[];
  readonly mark: number;
}

/** Of the same letter as "source", and with no bit that other software masks out: see `errorMark` of `VpnEgress`. */
const FIRST_MARK = 0x53000000;

/** One for each table: the ids are numbers of 32 bits, too. Table 0 is no table, so its mark is left for the one that would have 0. */
export function defaultMark(tableId: number): number {
  return (FIRST_MARK + tableId) % 0x100000000 || FIRST_MARK;
}

/** What the machine must be told for its errors to bear marks. */
export function sysctls({ markings }: Host): Array<readonly [key: string, value: number]> {
  return BOTH_FAMILIES.filter((family) =>
    markings.some(({ destinations }) => destinations.some((value) => isOf(value, family))),
  ).map((family) => [`net.ipv${family}.fwmark_reflect`, 1]);
}

export function isOf(value: Value, family: Family): boolean {
  return value.family === undefined || value.family === family;
}

/** Errors would go the way of whichever rule comes first. */
export function sameMarks({ markings }: Host): Problem[] {
  return markings.flatMap(({ path, mark }, index) => {
    const other = markings.slice(0, index).find((each) => each.mark === mark);
    return other
      ? [{ path, message: `errorMark ${hex(mark)} is already that of "${other.path}". Give this one another mark.` }]
      : [];
  });
}

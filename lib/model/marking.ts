import type { Family } from './family';
import { BOTH_FAMILIES } from './family';
import type { Host, Problem } from './host';
import { hex } from './rule';
import type { Value } from './value';

/**
 * The mark of packets to clients that come in by an interface. With `net.ipv4.fwmark_reflect`, an ICMP error about such
 * a packet (too big, time exceeded) has the same mark, so that a rule can send it back the same way.
 */
export interface Marking {
  readonly path: string;
  readonly device: Value;
  readonly destinations: readonly Value[];
  readonly mark: number;
}

/** 0x53 is the letter S. The mark has no bit that other software masks: see `errorMark` of `VpnEgress`. */
const FIRST_MARK = 0x53000000;

/** A mark for each table, since both are numbers of 32 bits. There is no table 0, so its mark replaces the mark 0. */
export function defaultMark(tableId: number): number {
  return (FIRST_MARK + tableId) % 0x100000000 || FIRST_MARK;
}

/** The settings with which ICMP errors keep the mark. */
export function sysctls({ markings }: Host): Array<readonly [key: string, value: number]> {
  return BOTH_FAMILIES.filter((family) =>
    markings.some(({ destinations }) => destinations.some((value) => isOf(value, family))),
  ).map((family) => [`net.ipv${family}.fwmark_reflect`, 1]);
}

export function isOf(value: Value, family: Family): boolean {
  return value.family === undefined || value.family === family;
}

/** Two egresses with one mark: all errors would follow the first rule. */
export function sameMarks({ markings }: Host): Problem[] {
  return markings.flatMap(({ path, mark }, index) => {
    const other = markings.slice(0, index).find((each) => each.mark === mark);
    return other
      ? [{ path, message: `errorMark ${hex(mark)} is already that of "${other.path}". Give this one another mark.` }]
      : [];
  });
}

import { Address4, Address6 } from 'ip-address';
import type { Family } from './family';
import type { AddressRange } from './value';
import { rangeOf } from './value';

/** The smallest list of prefixes with the same addresses, in ascending order. All are of one family. */
export function aggregated(prefixes: readonly string[], family: Family): string[] {
  return joined(prefixes).flatMap((range) => prefixesOf(range, family));
}

/** The network mask of prefixes of one length, as an address. */
export function maskText(length: number, family: Family): string {
  const bits = family === 4 ? 32 : 128;
  return cidrText((1n << BigInt(bits)) - (1n << BigInt(bits - length)), bits, family);
}

/** Tells whether prefixes together contain another one. */
export function isCovered(prefix: string, prefixes: readonly string[]): boolean {
  const { first, last } = rangeOf(prefix);
  return joined(prefixes).some((range) => range.first <= first && last <= range.last);
}

/** Merges overlapping and adjacent ranges. */
function joined(prefixes: readonly string[]): AddressRange[] {
  const sorted = prefixes.map(rangeOf).sort((a, b) => (a.first < b.first ? -1 : Number(a.first > b.first)));
  const ranges: AddressRange[] = [];
  for (const range of sorted) {
    const previous = ranges.at(-1);
    if (previous && range.first <= previous.last + 1n) {
      ranges[ranges.length - 1] = { ...previous, last: range.last > previous.last ? range.last : previous.last };
    } else {
      ranges.push(range);
    }
  }
  return ranges;
}

function prefixesOf({ first, last }: AddressRange, family: Family): string[] {
  const bits = family === 4 ? 32 : 128;
  const prefixes: string[] = [];
  for (let start = first; start <= last;) {
    let length = bits;
    // The largest prefix that the alignment of the first address and the end of the range allow.
    while (length > 0 && start % sizeOf(length - 1) === 0n && start + sizeOf(length - 1) - 1n <= last) {
      length -= 1;
    }
    prefixes.push(cidrText(start, length, family));
    start += sizeOf(length);
  }
  return prefixes;

  function sizeOf(length: number): bigint {
    return 1n << BigInt(bits - length);
  }
}

function cidrText(first: bigint, length: number, family: Family): string {
  const address = (family === 4 ? Address4.fromBigInt(first) : Address6.fromBigInt(first)).correctForm();
  return length === (family === 4 ? 32 : 128) ? address : `${address}/${length}`;
}

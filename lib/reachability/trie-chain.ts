import type { AddressMap, PartialValueOps } from './prefix-trie';
import { Leaf, partOf, halves } from './prefix-trie';
import type { Bits } from '../fib/bits';

/**
 * Maps of which each decides what the earlier ones left undecided. Merging them would cost, for every pool, as much as
 * there are pools.
 */
export type Chain<T> = ReadonlyArray<AddressMap<T>>;

export function chainValueAt<T>(chain: Chain<T>, address: Bits, values: PartialValueOps<T>): T {
  const parts = chain.map((map) => partOf(map, address));
  if (!areLeaves(parts)) {
    throw new Error(`the ${address.length} bits of "${address}" are no whole address`);
  }
  return combinedValue(parts, values);
}

/** All values in the map. */
export function chainValues<T>(chain: Chain<T>, values: PartialValueOps<T>): Set<T> {
  const found = new Set<T>();
  collect(simplified(chain, values), values, found);
  return found;
}

function collect<T>(chain: Chain<T>, values: PartialValueOps<T>, found: Set<T>): void {
  const [first, second] = chain;
  if (chain.length === 1) {
    first.values.forEach((value) => found.add(value));
  } else if (chain.length === 2 && second instanceof Leaf) {
    // The rest is the same for all addresses that the first map leaves undecided.
    first.values.forEach((value) => found.add(values.isUndecided(value) ? values.add(value, second.value) : value));
  } else if (areLeaves(chain)) {
    found.add(combinedValue(chain, values));
  } else {
    for (const half of [0, 1] as const) {
      collect(
        simplified(
          chain.map((map) => halves(map)[half]),
          values,
        ),
        values,
        found,
      );
    }
  }
}

/** A prefix whose addresses all have a value; undefined if there is none. */
export function prefixWith<T>(chain: Chain<T>, values: PartialValueOps<T>, wanted: T): Bits | undefined {
  if (!chainValues(chain, values).has(wanted)) {
    return undefined;
  }
  let [prefix, part] = ['', simplified(chain, values)];
  while (!areLeaves(part)) {
    const pair = ([0, 1] as const).map((half) =>
      simplified(
        part.map((map) => halves(map)[half]),
        values,
      ),
    );
    const half = chainValues(pair[0], values).has(wanted) ? 0 : 1;
    part = pair[half];
    prefix += String(half);
  }
  return prefix;
}

/** An address that all maps leave undecided, as the bits after the prefix; undefined if there is none. */
export function undecidedAddress<T>(chain: Chain<T>, length: number): Bits | undefined {
  if (!chain.every((map) => map.undecided)) {
    return undefined;
  }
  if (areLeaves(chain)) {
    return ''.padEnd(length, '0');
  }
  for (const half of [0, 1] as const) {
    const rest = undecidedAddress(
      chain.map((map) => halves(map)[half]),
      length - 1,
    );
    if (rest !== undefined) return `${half}${rest}`;
  }
  return undefined;
}

export function areLeaves<T>(chain: Chain<T>): chain is ReadonlyArray<Leaf<T>> {
  return chain.every((map) => map instanceof Leaf);
}

export function combinedValue<T>(leaves: ReadonlyArray<Leaf<T>>, values: PartialValueOps<T>): T {
  return leaves.reduce(
    (combined, { value }) => (values.isUndecided(combined) ? values.add(combined, value) : combined),
    values.nothing,
  );
}

/** The chain without empty maps, and without those after a fully decided one. At least one map remains. */
export function simplified<T>(chain: Chain<T>, { nothing }: PartialValueOps<T>): Chain<T> {
  if (chain.length === 1) {
    return chain;
  }
  const short: Array<AddressMap<T>> = [];
  for (const map of chain) {
    if (!(map instanceof Leaf) || map.value !== nothing) short.push(map);
    if (!map.undecided) break;
  }
  return short.length > 0 ? short : chain.slice(0, 1);
}

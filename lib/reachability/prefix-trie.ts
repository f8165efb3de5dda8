import type { Bits } from '../fib/bits';

/**
 * What each address is mapped to: an immutable binary trie over the bits of addresses. Equal maps of
 * one `AddressMaps` are the same object, and a map that differs in one prefix shares all else.
 */
export type AddressMap<T> = Leaf<T> | Fork<T>;

/** The same value for all addresses. */
export class Leaf<T> {
  /** All values in the map. */
  public readonly values: ReadonlySet<T>;

  public constructor(
    public readonly id: number,
    public readonly value: T,
    public readonly undecided: boolean,
  ) {
    this.values = new Set([value]);
  }
}

export class Fork<T> {
  /** Whether any value is undecided. */
  public readonly undecided: boolean;
  private found?: ReadonlySet<T>;

  public constructor(
    public readonly id: number,
    public readonly zero: AddressMap<T>,
    public readonly one: AddressMap<T>,
  ) {
    this.undecided = zero.undecided || one.undecided;
  }

  /** Computed on demand, since most intermediate maps never need it. */
  public get values(): ReadonlySet<T> {
    // Most forks have the same values as one of their halves, so they share its set.
    this.found ??= isSuperset(this.zero.values, this.one.values)
      ? this.zero.values
      : isSuperset(this.one.values, this.zero.values)
        ? this.one.values
        : new Set([...this.zero.values, ...this.one.values]);
    return this.found;
  }
}

/** Values that may be partial: another value can complete them. */
export interface PartialValueOps<T> {
  /** The empty value, which is undecided. */
  readonly nothing: T;
  isUndecided(value: T): boolean;
  /** Combines an undecided value with another one. */
  add(undecided: T, other: T): T;
}

/** More maps would not fit into the memory of a process. */
const MOST_MAPS = 2 ** 26;

/** Makes maps, each once. */
export class AddressMaps<T> {
  private readonly leaves = new Map<T, Leaf<T>>();
  private readonly forks = new Map<number, Fork<T>>();
  private made = 0;

  public constructor(public readonly values: PartialValueOps<T>) {}

  public all(value: T): Leaf<T> {
    let leaf = this.leaves.get(value);
    if (!leaf) {
      leaf = new Leaf(this.made++, value, this.values.isUndecided(value));
      this.leaves.set(value, leaf);
    }
    return leaf;
  }

  public fork(zero: AddressMap<T>, one: AddressMap<T>): AddressMap<T> {
    // A fork stands for one bit, so two equal forks cannot be merged into one of them.
    if (zero === one && zero instanceof Leaf) {
      return zero;
    }
    // One number for both: quicker than a map of maps, and exact below 2^53.
    const key = zero.id * MOST_MAPS + one.id;
    let fork = this.forks.get(key);
    if (!fork) {
      fork = new Fork(this.made++, zero, one);
      this.forks.set(key, fork);
    }
    return fork;
  }

  /** The map, but with what `change` makes of it in the prefix. */
  public within(
    map: AddressMap<T>,
    prefix: Bits,
    change: (part: AddressMap<T>) => AddressMap<T>,
    depth = 0,
  ): AddressMap<T> {
    if (depth === prefix.length) {
      return change(map);
    }
    const [zero, one] = halves(map);
    return prefix[depth] === '0'
      ? this.fork(this.within(zero, prefix, change, depth + 1), one)
      : this.fork(zero, this.within(one, prefix, change, depth + 1));
  }

  /** The map of a list of prefixes by longest prefix match. */
  public longest(values: ReadonlyMap<Bits, T>, otherwise: T): AddressMap<T> {
    // Outer prefixes come first, so that each fork is made once.
    const prefixes = [...values.keys()].sort();
    const make = (first: number, end: number, depth: number, inherited: T): AddressMap<T> => {
      const isHere = first < end && prefixes[first].length === depth;
      const value = isHere ? (values.get(prefixes[first]) as T) : inherited;
      const start = isHere ? first + 1 : first;
      if (start === end) {
        return this.all(value);
      }
      let middle = start;
      while (middle < end && prefixes[middle][depth] === '0') middle++;
      return this.fork(make(start, middle, depth + 1, value), make(middle, end, depth + 1, value));
    };
    return make(0, prefixes.length, 0, otherwise);
  }

  /** Completes the undecided parts of a map with another one. It visits only the nodes that this needs. */
  public fill(map: AddressMap<T>, other: AddressMap<T>): AddressMap<T> {
    const { nothing } = this.values;
    if (!map.undecided || (other instanceof Leaf && other.value === nothing)) {
      return map;
    }
    if (map instanceof Leaf) {
      if (map.value === nothing) {
        return other;
      }
      if (other instanceof Leaf) {
        return this.all(this.values.add(map.value, other.value));
      }
    }
    const [zero, one] = halves(map);
    const [otherZero, otherOne] = halves(other);
    return this.fork(this.fill(zero, otherZero), this.fill(one, otherOne));
  }

  /** The map with other values. */
  public change(
    map: AddressMap<T>,
    to: (value: T) => T,
    done = new Map<AddressMap<T>, AddressMap<T>>(),
  ): AddressMap<T> {
    let changed = done.get(map);
    if (!changed) {
      changed =
        map instanceof Leaf
          ? this.all(to(map.value))
          : this.fork(this.change(map.zero, to, done), this.change(map.one, to, done));
      done.set(map, changed);
    }
    return changed;
  }
}

/** A map in two halves. */
export function halves<T>(map: AddressMap<T>): [zero: AddressMap<T>, one: AddressMap<T>] {
  return map instanceof Leaf ? [map, map] : [map.zero, map.one];
}

/** The part of a map inside a prefix, as a map of its own. */
export function partOf<T>(map: AddressMap<T>, prefix: Bits): AddressMap<T> {
  let part = map;
  for (let depth = 0; depth < prefix.length && part instanceof Fork; depth++) {
    part = prefix[depth] === '0' ? part.zero : part.one;
  }
  return part;
}

export function valueAt<T>(map: AddressMap<T>, address: Bits): T {
  const part = partOf(map, address);
  if (part instanceof Fork) {
    throw new Error(`the ${address.length} bits of "${address}" are no whole address`);
  }
  return part.value;
}

function isSuperset<T>(all: ReadonlySet<T>, some: ReadonlySet<T>): boolean {
  if (all === some) {
    return true;
  }
  for (const each of some) {
    if (!all.has(each)) return false;
  }
  return true;
}

import { getOrInsertComputed } from '../model/maps';
import type { AddressMap, PartialValueOps } from './prefix-trie';
import { Leaf, halves } from './prefix-trie';
import type { Bits } from '../fib/bits';
import type { Chain } from './trie-chain';
import { areLeaves, simplified, combinedValue } from './trie-chain';

/** One entry of a table of prefixes, with longest prefix match as in a routing table. */
export interface Entry<T> {
  readonly prefix: Bits;
  readonly value: T;
}

/** A set of addresses: those whose longest match is not among the exceptions. */
export interface PrefixSet {
  readonly prefixes: readonly Bits[];
  readonly except: readonly Bits[];
}

/** The same for the same set, as it is written. */
export function prefixSetKey({ prefixes, except }: PrefixSet): string {
  return `${prefixes.join()} but ${except.join()}`;
}

/**
 * A node of the tree that a table is made from. It has the values with which its part of the addresses needs the fewest
 * entries. Without `fits`, these addresses do not matter.
 *
 * @see Draves, King, Venkatachary, Zill: Constructing optimal IP routing tables, INFOCOM 1999
 */
export interface Node<T> {
  readonly fits?: ReadonlySet<T>;
  readonly halves?: readonly [Node<T>, Node<T>];
  /** Whether the same value fits both halves. */
  readonly shared?: boolean;
}

const WHATEVER: Node<never> = {};

/**
 * What is to be made of the values of chains; `undefined` where nobody asks. Makes each leaf once, and each node of
 * chains that are closed maps: such parts many chains have in common.
 */
export class NodeMaker<T, U> {
  private readonly leaves = new Map<U, Node<U>>();
  private readonly closed = new Map<string, Node<U>>();

  /**
   * @param values - how values of the chains add up
   * @param meaning - of the values of the chains for the same addresses; the same object for the same values
   * @param alike - the meaning of chains with the same maps, which need no comparison
   */
  public constructor(
    private readonly values: PartialValueOps<T>,
    private readonly meaning: (values: readonly T[]) => U,
    private readonly alike?: U,
  ) {}

  public of(chains: ReadonlyArray<Chain<T>>, asked: AddressMap<boolean>): Node<U> {
    if (asked instanceof Leaf && !asked.value) {
      return WHATEVER;
    }
    const parts = chains.map((chain) => simplified(chain, this.values));
    if (this.alike !== undefined && areSame(parts)) {
      return this.leaf(this.alike);
    }
    if (asked instanceof Leaf && parts.every(areLeaves)) {
      return this.leaf(this.meaning(parts.map((part) => combinedValue(part, this.values))));
    }
    const key = parts.every(({ length }) => length === 1)
      ? parts.reduce((text, [{ id }]) => `${text} ${id}`, `${asked.id}`)
      : undefined;
    const made = key === undefined ? undefined : this.closed.get(key);
    if (made) {
      return made;
    }
    const [zero, one] = halves(asked);
    const node = fork(this.of(halfOf(parts, 0), zero), this.of(halfOf(parts, 1), one));
    if (key !== undefined) this.closed.set(key, node);
    return node;
  }

  private leaf(value: U): Node<U> {
    return getOrInsertComputed(this.leaves, value, () => ({ fits: new Set([value]) }));
  }
}

/** Of one map, without chains. */
export function nodeOf<T, U>(map: AddressMap<T>, meaning: (value: T) => U | undefined): Node<U> {
  if (map instanceof Leaf) {
    const value = meaning(map.value);
    return value === undefined ? WHATEVER : { fits: new Set([value]) };
  }
  return fork(nodeOf(map.zero, meaning), nodeOf(map.one, meaning));
}

function halfOf<T>(parts: ReadonlyArray<Chain<T>>, which: 0 | 1): Array<Chain<T>> {
  return parts.map((part) => part.map((map) => (map instanceof Leaf ? map : which === 0 ? map.zero : map.one)));
}

function areSame<T>(chains: ReadonlyArray<Chain<T>>): boolean {
  const [first] = chains;
  return chains.every((chain) => chain.length === first.length && chain.every((map, index) => map === first[index]));
}

function fork<T>(zero: Node<T>, one: Node<T>): Node<T> {
  const { fits, shared } = common(zero.fits, one.fits);
  // Nothing is told apart in here.
  return !zero.halves && !one.halves && shared ? { fits } : { fits, halves: [zero, one], shared };
}

/** The values that fit both, or else those that fit one. */
function common<T>(
  one: ReadonlySet<T> | undefined,
  other: ReadonlySet<T> | undefined,
): { readonly shared: boolean; readonly fits?: ReadonlySet<T> } {
  if (!one || !other || one === other) {
    return { shared: true, fits: one ?? other };
  }
  const [few, many] = one.size < other.size ? [one, other] : [other, one];
  const both = [...few].filter((value) => many.has(value));
  return both.length > 0 ? { shared: true, fits: new Set(both) } : { shared: false, fits: new Set([...one, ...other]) };
}

/**
 * The table with the fewest possible entries, each with the longest possible prefix. Outer prefixes come before inner
 * ones.
 */
export function entriesOf<T>(root: Node<T>): Array<Entry<T>> {
  const entries: Array<Entry<T>> = [];
  const visit = (node: Node<T>, prefix: Bits, above?: Entry<T>): void => {
    let enclosing = above;
    if (node.fits && !(above && canInherit(node, above.value))) {
      enclosing = { prefix, value: widest(node, node.fits) };
      entries.push(enclosing);
    }
    node.halves?.forEach((half, index) => visit(half, `${prefix}${index}`, enclosing));
  };
  visit(root, '');
  return entries;
}

/** Whether an entry for the whole node would save nothing: it spares one for each half that the value does not fit. */
function canInherit<T>({ fits, halves, shared }: Node<T>, value: T): boolean {
  if (!fits || fits.has(value)) {
    return true;
  }
  return halves !== undefined && (!shared || halves.some((half) => !half.fits || half.fits.has(value)));
}

/** Of values that need equally few entries, the one of the most addresses, which people would call the default. */
function widest<T>(node: Node<T>, fits: ReadonlySet<T>): T {
  const [only] = fits;
  if (fits.size === 1) {
    return only;
  }
  const space = new Map<T, number>();
  const add = ({ fits: values, halves }: Node<T>, share: number): void => {
    if (halves) {
      halves.forEach((each) => add(each, share / 2));
    } else {
      values?.forEach((value) => space.set(value, (space.get(value) ?? 0) + share));
    }
  };
  add(node, 1);
  return [...fits].reduce((best, value) => ((space.get(value) ?? 0) > (space.get(best) ?? 0) ? value : best));
}

/**
 * The addresses with one of the values of a table, for each of its values; outer prefixes come before those in them.
 */
export function setsOf<T>(entries: ReadonlyArray<Entry<T>>): Map<T, PrefixSet> {
  const sets = new Map<T, { readonly prefixes: Bits[]; readonly except: Bits[] }>();
  const enclosing: Array<Entry<T>> = [];
  for (const entry of entries) {
    while (enclosing.length > 0 && !entry.prefix.startsWith(enclosing[enclosing.length - 1].prefix)) {
      enclosing.pop();
    }
    const outer = enclosing[enclosing.length - 1];
    if (outer?.value === entry.value) continue;
    const set = sets.get(entry.value) ?? { prefixes: [], except: [] };
    set.prefixes.push(entry.prefix);
    sets.set(entry.value, set);
    if (outer) {
      sets.get(outer.value)?.except.push(entry.prefix);
    }
    enclosing.push(entry);
  }
  return sets;
}

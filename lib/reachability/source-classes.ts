import type { Family } from '../model/family';
import type { AddressMap } from './prefix-trie';
import { AddressMaps, Fork, partOf, halves, valueAt } from './prefix-trie';
import type { Bits } from '../fib/bits';
import { ADDRESS_LENGTH, addressBits, prefixBits } from '../fib/bits';
import { IPV4_SPECIAL } from '../fib/ipv4';
import type { PrefixSet } from './aggregate';
import { entriesOf, nodeOf, setsOf } from './aggregate';

/** A class of sources: a prefix, but for the prefixes of other classes in it. */
export type SourceClass = Bits;

/** The addresses that no client has. */
const NO_SOURCES: Readonly<Record<Family, readonly Bits[]>> = {
  4: IPV4_SPECIAL,
  6: [prefixBits('ff00::/8'), addressBits('::'), addressBits('::1')],
};

/** All sources that clients can have, split at the borders of prefixes. */
export class SourceClasses {
  private readonly map: AddressMap<SourceClass | undefined>;

  public constructor(
    private readonly family: Family,
    prefixes: Iterable<Bits>,
  ) {
    const maps = new AddressMaps<SourceClass | undefined>({
      nothing: undefined,
      isUndecided: () => false,
      add: (_, other) => other,
    });
    const cut = maps.longest(new Map(['', ...prefixes].map((prefix) => [prefix, prefix])), undefined);
    this.map = NO_SOURCES[family].reduce((map, prefix) => maps.within(map, prefix, () => maps.all(undefined)), cut);
  }

  /** Undefined for an address that no client has. */
  public of(source: Bits): SourceClass | undefined {
    return valueAt(this.map, source);
  }

  /** Those in a prefix at whose ends sources are cut. */
  public within(prefix: Bits): SourceClass[] {
    return [...partOf(this.map, prefix).values].filter((each) => each !== undefined);
  }

  /** All of them. */
  public get all(): SourceClass[] {
    return this.within('');
  }

  /**
   * The sources of each group of classes, in as few prefixes as possible. Each class is in one group, or does not
   * matter.
   */
  public prefixesOf<T>(groupOf: (sourceClass: SourceClass) => T | undefined): Map<T, PrefixSet> {
    return setsOf(entriesOf(nodeOf(this.map, (each) => (each === undefined ? undefined : groupOf(each)))));
  }

  /** An address of a class. */
  public someOf(sourceClass: SourceClass): Bits {
    let [part, bits] = [partOf(this.map, sourceClass), sourceClass];
    while (part instanceof Fork) {
      const half = part.zero.values.has(sourceClass) ? 0 : 1;
      part = halves(part)[half];
      bits += String(half);
    }
    return bits.padEnd(ADDRESS_LENGTH[this.family], '0');
  }
}

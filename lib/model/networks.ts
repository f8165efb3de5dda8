import type { Family } from './family';
import { familyOf } from './family';
import type { Interface } from './host';
import { getOrInsertComputed } from './maps';
import type { AddressRange, InterfaceAddress } from './value';
import { isInside, networkOf, rangeOf } from './value';

/** A network in which a host has an address. */
export interface Network extends LinkNetwork {
  readonly address: string;
}

interface Indexed extends Network, AddressRange {
  readonly position: number;
  /** The smallest other network that contains it or equals it. */
  readonly outer?: Indexed;
}

const indexes = new WeakMap<readonly Interface[], Networks>();

/** The networks of interfaces, computed once. */
export function networksOf(interfaces: readonly Interface[]): Networks {
  return getOrInsertComputed(indexes, interfaces, () => new Networks(interfaces));
}

/** A network that a link leads to. */
export interface LinkNetwork {
  readonly link: Interface;
  /** As a prefix. */
  readonly text: string;
}

/** The declared networks behind routers of a link that are a prefix, or inside it. */
export function networksBehind(prefix: string, interfaces: readonly Interface[]): LinkNetwork[] {
  return interfaces.flatMap((link) =>
    (link.networks ?? []).filter((text) => isInside(text, prefix)).map((text) => ({ link, text })),
  );
}

/** An index of the networks of a host by prefix. There may be thousands of both. */
export class Networks {
  private readonly sorted: Readonly<Record<Family, readonly Indexed[]>>;
  private readonly addresses: ReadonlySet<string>;

  public constructor(interfaces: readonly Interface[]) {
    const all = interfaces.flatMap((link) => link.addresses.map((address) => ({ link, address })));
    const ofFamily = (family: Family): Indexed[] =>
      nested(
        all.flatMap(({ link, address }, position) =>
          address.family === family ? indexed(link, address, position) : [],
        ),
      );
    this.sorted = { 4: ofFamily(4), 6: ofFamily(6) };
    this.addresses = new Set(all.map(({ address }) => address.address));
  }

  /** As they are declared. */
  public ofFamily(family: Family): Network[] {
    return byPosition(this.sorted[family]);
  }

  public hasAddress(address: string): boolean {
    return this.addresses.has(address);
  }

  /** The networks inside a prefix or around it, in the order of declaration. */
  public overlapping(prefix: string): Network[] {
    const networks = this.sorted[familyOf(prefix)];
    const { first, last } = rangeOf(prefix);
    const [start, end] = [indexOf(networks, first), indexOf(networks, last + 1n)];
    const found = networks.slice(start, end);
    // Two prefixes overlap only if one contains the other.
    for (let outer: Indexed | undefined = networks[start - 1]; outer; outer = outer.outer) {
      if (outer.last >= last) found.push(outer);
    }
    return byPosition(found);
  }
}

function indexed(link: Interface, address: InterfaceAddress, position: number): Indexed {
  const text = networkOf(address);
  return { link, address: address.address, text, ...rangeOf(text), position };
}

function byPosition(networks: readonly Indexed[]): Indexed[] {
  return [...networks].sort((a, b) => a.position - b.position);
}

/** Sorted by first address, outer networks before inner ones. */
function nested(networks: readonly Indexed[]): Indexed[] {
  const order = (a: Indexed, b: Indexed): bigint => a.first - b.first || b.last - a.last;
  const sorted = [...networks].sort((a, b) => Number(order(a, b)));
  let outer: Indexed | undefined;
  return sorted.map((network) => {
    while (outer && outer.last < network.first) outer = outer.outer;
    outer = { ...network, outer };
    return outer;
  });
}

/** The number of networks that begin before an address. */
function indexOf(networks: readonly Indexed[], address: bigint): number {
  let [low, high] = [0, networks.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (networks[middle].first < address) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

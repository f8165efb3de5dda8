import type { Bits } from '../fib/bits';
import { ADDRESS_LENGTH, prefixBits, prefixText } from '../fib/bits';
import { familyOf } from '../model/family';
import type { Network } from '../model/networks';
import { DEFAULT_ROUTE_LENGTH } from '../model/route';
import type { Value } from '../model/value';
import { isKnown } from '../model/value';

/** Prefixes that one rule serves. */
export interface Merged<P> {
  /** The first of the pools in it, as they are declared. */
  readonly pool: P;
  readonly text: string;
  /** The rule ignores routes up to this prefix length. */
  readonly suppressed: number;
}

interface Known<P> extends Merged<P> {
  readonly bits: Bits;
  readonly position: number;
}

/**
 * Merges pools into fewer prefixes, since a forwarded packet passes all rules. A pool inside another needs no rule, and
 * two adjacent pools with the same suppressed length need one. A pool known at apply only keeps its own.
 *
 * Of nested pools, the outer one never suppresses more: its rule uses every route that the inner rule uses.
 */
export function mergePools<P extends { readonly text: string; readonly value: Value }>(
  pools: readonly P[],
  suppressedOf: (pool: P) => number,
): Array<Merged<P>> {
  const all = pools.map((pool, position) => ({ pool, text: pool.text, suppressed: suppressedOf(pool), position }));
  const known = all.filter(({ pool }) => isKnown(pool.value));
  const ofFamily = (family: 4 | 6): Array<Known<P>> =>
    known
      .filter(({ pool }) => pool.value.family === family)
      .map((each) => ({ ...each, bits: prefixBits(each.pool.value.text) }));
  const merged = ([4, 6] as const).flatMap((family) => mergeKnown(ofFamily(family), family));
  return [...merged, ...all.filter(({ pool }) => !isKnown(pool.value))].sort((a, b) => a.position - b.position);
}

function mergeKnown<P>(pools: ReadonlyArray<Known<P>>, family: 4 | 6): Array<Known<P>> {
  const done: Array<Known<P>> = [];
  // Sorted, an outer prefix comes before its inner ones.
  for (const pool of [...pools].sort((a, b) => (a.bits < b.bits ? -1 : 1))) {
    const last = done.at(-1);
    if (last && pool.bits.startsWith(last.bits)) {
      done[done.length - 1] = { ...last, ...firstOf(last, pool) };
      continue;
    }
    done.push(pool);
    for (let [one, other] = done.slice(-2); other && areHalves(one, other); [one, other] = done.slice(-2)) {
      const bits = other.bits.slice(0, -1);
      done.splice(-2, 2, { ...other, ...firstOf(one, other), bits, text: prefixText(bits, family) });
    }
  }
  return done;
}

function areHalves<P>(one: Known<P>, other: Known<P>): boolean {
  return (
    one.suppressed === other.suppressed &&
    one.bits.length === other.bits.length &&
    // A prefix of length 0 is no valid selector.
    one.bits.length > 1 &&
    one.bits.slice(0, -1) === other.bits.slice(0, -1)
  );
}

function firstOf<P>(one: Known<P>, other: Known<P>): Pick<Known<P>, 'pool' | 'position'> {
  const { pool, position } = one.position < other.position ? one : other;
  return { pool, position };
}

/**
 * The prefix length up to which packets to a pool can ignore routes: one less than that of the networks of the pool's
 * interfaces. Other routes to parts of the pool have longer prefixes, so no route to a client is lost. A route to a
 * network around the pool, such as 10.0.0.0/8, then takes no packets to clients that are not connected. If a part of
 * the pool is in no declared network, or in one of a single address (whose routes the VPN daemon sets), only default
 * routes can be ignored.
 */
export function suppressedLength(pool: string, networks: readonly Network[]): number {
  const full = ADDRESS_LENGTH[familyOf(pool)];
  const prefixes = networks.map(({ text }) => prefixBits(text)).filter(({ length }) => length < full);
  return Math.max(DEFAULT_ROUTE_LENGTH, shortestMatch(prefixBits(pool), prefixes, 0) - 1);
}

/** The shortest of the longest matches of all addresses in a prefix. */
function shortestMatch(prefix: Bits, networks: readonly Bits[], inherited: number): number {
  const longest = Math.max(
    inherited,
    ...networks.filter((network) => prefix.startsWith(network)).map(({ length }) => length),
  );
  const inside = networks.filter((network) => network.length > prefix.length && network.startsWith(prefix));
  return inside.length === 0
    ? longest
    : Math.min(...['0', '1'].map((bit) => shortestMatch(prefix + bit, inside, longest)));
}

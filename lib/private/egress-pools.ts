import type { Bits } from '../fib/bits';
import { longestMatch, prefixBits } from '../fib/bits';
import type { Family, FamilyOrAuto } from '../model/family';
import { familyOf, overlaps } from '../model/family';
import type { Value } from '../model/value';
import { isKnown } from '../model/value';
import type { Arguments } from './arguments';

/** A pool of a `VpnEgress`. */
export interface Pool {
  /** Name in error messages: `clients[0]`. */
  readonly property: string;
  /** Number of the pool in its property, from 1: part of the ids of its rules. */
  readonly number: number;
  readonly text: string;
  readonly value: Value;
  readonly family: FamilyOrAuto;
}

/** The pools of a `VpnEgress`: those that are routed, and those that are rejected. */
export interface EgressPools {
  readonly routed: readonly Pool[];
  readonly rejected: readonly Pool[];
  readonly all: readonly Pool[];
}

export function parsePools(
  args: Arguments,
  clients: readonly string[],
  rejectedClients: readonly string[],
): EgressPools {
  const parse = (texts: readonly string[], property: string): Pool[] =>
    texts.map((text, index) => {
      const value = args.value('prefix', text, `${property}[${index}]`);
      return { property: `${property}[${index}]`, number: index + 1, text, value, family: value.family ?? 'auto' };
    });
  const routed = parse(clients, 'clients');
  const rejected = parse(rejectedClients, 'rejectedClients');
  const pools = { routed, rejected, all: [...routed, ...rejected] };
  checkPools(args, pools);
  return pools;
}

function checkPools(args: Arguments, pools: EgressPools): void {
  const { routed, all } = pools;
  if (routed.length === 0) {
    throw args.error('clients is empty. Give the pools of the VPN server, such as "10.10.10.0/24".');
  }
  const texts = all.map((pool) => pool.value.text);
  const twice = all.find((pool, index) => texts.indexOf(pool.value.text) < index);
  if (twice) {
    throw args.error(`${twice.property} "${twice.text}" is there twice. Leave out one of them.`);
  }
  checkNested(args, pools);
}

/** Refuses a pool inside an earlier one, whose rule takes all its packets. */
function checkNested(args: Arguments, { routed, all }: EgressPools): void {
  const earlier = { 4: new Map<Bits, Pool>(), 6: new Map<Bits, Pool>() };
  for (const pool of all.filter(({ value }) => isKnown(value))) {
    const bits = prefixBits(pool.value.text);
    const others = earlier[familyOf(pool.value.text)];
    const outer = longestMatch(bits, others);
    if (outer) {
      const [isRouted, isOuterRouted] = [pool, outer].map((each) => routed.includes(each));
      throw args.error(
        `${pool.property} "${pool.text}" is inside ${outer.property} "${outer.text}", which is ${isOuterRouted ? 'routed' : 'rejected'}. ` +
          (isRouted === isOuterRouted ? 'Leave it out.' : 'Leave it out, or give clients without it.'),
      );
    }
    others.set(bits, pool);
  }
}

interface OfFamily {
  readonly family: FamilyOrAuto;
}

/** Counts how many of the same family precede each: rules of one family need different priorities. */
export function ranksOf<T extends OfFamily>(all: readonly T[]): Map<T, number> {
  const counts = { 4: 0, 6: 0, auto: 0 };
  return new Map(
    all.map((each) => {
      const { family } = each;
      const rank = family === 'auto' ? counts[4] + counts[6] + counts.auto : counts[family] + counts.auto;
      counts[family] += 1;
      return [each, rank];
    }),
  );
}

export function mostOfAFamily(all: readonly OfFamily[]): number {
  return Math.max(0, ...[...ranksOf(all).values()].map((rank) => rank + 1));
}

/** Whether there may be a pool of a family. */
export function mayHave(pools: readonly OfFamily[], family: Family): boolean {
  return pools.some((pool) => overlaps(pool.family, family));
}

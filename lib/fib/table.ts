import { getOrInsertComputed } from '../model/maps';
import type { RejectType } from '../model/route';
import type { Bits } from './bits';

export type RouteKind = 'unicast' | 'local' | 'broadcast' | 'anycast' | 'multicast' | RejectType;

export interface NextHop {
  /** Undefined where the kernel chooses it, and what it chooses is not known. */
  readonly device?: string;
  readonly via?: string;
  /** Its link is down (or has no carrier, where that counts): never used. */
  readonly dead: boolean;
}

/** A route made ready for lookups. */
export interface CompiledRoute {
  readonly kind: RouteKind;
  /** Undefined where it is known at apply only. */
  readonly destination?: Bits;
  readonly metric: number;
  readonly hops: readonly NextHop[];
  /** Who to name where it cannot be said whether packets take it. */
  readonly deferred: readonly string[];
}

/** One routing table of one family. */
export class Table {
  private readonly routes = new Map<Bits, CompiledRoute[]>();
  private lengths: number[] = [];
  /** With a destination that is known at apply only. */
  private readonly anywhere: CompiledRoute[] = [];

  /** @param complete - whether no other routes can be in it */
  public constructor(public readonly complete: boolean) {}

  /** In order: of routes to one destination with one metric the first to be added comes first. */
  public add(route: CompiledRoute): void {
    const { destination, metric } = route;
    if (destination === undefined) {
      this.anywhere.push(route);
      return;
    }
    const others = getOrInsertComputed(this.routes, destination, (): CompiledRoute[] => []);
    const behind = others.findIndex((other) => other.metric > metric);
    others.splice(behind < 0 ? others.length : behind, 0, route);
    if (!this.lengths.includes(destination.length)) {
      this.lengths = [...this.lengths, destination.length].sort((a, b) => b - a);
    }
  }

  /** Where packets are told apart. */
  public destinations(): Iterable<Bits> {
    return this.routes.keys();
  }

  /** The routes among which a packet to some destination has the choice. */
  public groups(): Iterable<readonly CompiledRoute[]> {
    return this.routes.values();
  }

  /** The routes to an address, or to all of a prefix, grouped by destination, longest prefix first, each group by metric. */
  public *coveringPrefixes(address: Bits): Generator<readonly CompiledRoute[]> {
    yield* this.anywhere.map((route) => [route]);
    for (const length of this.lengths) {
      const routes = length <= address.length ? this.routes.get(address.slice(0, length)) : undefined;
      if (routes) {
        yield routes;
      }
    }
  }
}

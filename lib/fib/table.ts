import { getOrInsertComputed } from '../model/maps';
import type { RejectType } from '../model/route';
import type { Bits } from './bits';

export type RouteKind = 'unicast' | 'local' | 'broadcast' | 'anycast' | 'multicast' | RejectType;

export interface CompiledHop {
  /** Undefined if the kernel chooses it, and the choice is unknown. */
  readonly device?: string;
  readonly via?: string;
  /** Never used: its link is down, or has no carrier if that counts. */
  readonly dead: boolean;
}

/** A route compiled for lookups. */
export interface CompiledRoute {
  readonly kind: RouteKind;
  /** Undefined if it is known at apply only. */
  readonly destination?: Bits;
  readonly metric: number;
  readonly hops: readonly CompiledHop[];
  /** Whose values, known at apply only, decide whether packets take the route. */
  readonly deferred: readonly string[];
}

/** One routing table of one family. */
export class CompiledTable {
  private readonly routes = new Map<Bits, CompiledRoute[]>();
  private lengths: number[] = [];
  /** Routes with a destination known at apply only. */
  private readonly anywhere: CompiledRoute[] = [];

  /** @param complete - whether no other routes can be in it */
  public constructor(public readonly complete: boolean) {}

  /** In order: of routes to one destination with one metric, the first to be added comes first. */
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

  /** The prefixes by which the table distinguishes packets. */
  public destinations(): Iterable<Bits> {
    return this.routes.keys();
  }

  /** The candidate routes for a destination. */
  public groups(): Iterable<readonly CompiledRoute[]> {
    return this.routes.values();
  }

  /**
   * The routes to an address or a whole prefix, grouped by destination. The longest prefix comes first; each group is
   * sorted by metric.
   */
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

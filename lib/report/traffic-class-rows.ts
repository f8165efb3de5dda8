import type { Bits } from '../fib/bits';
import type { PrefixSet } from '../reachability/aggregate';
import { prefixSetKey, setsOf } from '../reachability/aggregate';
import { getOrInsertComputed } from '../model/maps';
import type { HostClass, HostTraffic } from './classes';
import { distinct, groupBy, remembered } from './groups';
import type { Way, Ways } from './ways';
import { wayKey } from './ways';

/** Packets that the report describes in exactly the same way. */
export interface RowGroup extends Pick<HostClass, 'family' | 'packets' | 'namesLinks'> {
  readonly parts: readonly [GroupPart, ...GroupPart[]];
  /** Whether their sources are clients, or addresses in a pool. */
  readonly ofClients: boolean;
  /** Whether packets of clients may leave by the default route of the main table. */
  readonly leaks: boolean;
}

/** The sources of a class that belong to the group. */
export interface GroupPart {
  readonly of: HostClass;
  readonly sources: HostClass['sources'];
}

export interface TrafficRow {
  readonly destinations: PrefixSet;
  readonly same: SameWays;
  /** The ways to those destinations: with all links up, then with each one down. */
  readonly ways: Ways;
}

/** What ways have in common if a report shows them in one row. */
export interface SameWays {
  readonly key: string;
  /** With all links up and with each one down: the ways, or `SAME` if they are those with all links up. */
  readonly keys: readonly string[];
  readonly leaves: boolean;
}

export const SAME = 'same';

/** All packets that a host may handle, grouped by the ways that they go. */
export class TrafficClassRows {
  public readonly groups: readonly RowGroup[];
  private readonly different = new Map<string, SameWays>();
  /** The exact keys of all ways, with all links up and with each one down. */
  private readonly exact: Array<readonly string[]> = [];

  public constructor(private readonly traffic: HostTraffic) {
    const usual = new Map<string, string>();
    for (const { from, family, packets, sources, table } of traffic.classes) {
      if (packets !== '') continue;
      sources.forEach((source) => usual.set(`${from === 'server'} ${family} ${source}`, this.tableOf(table).key));
    }
    const found: Array<GroupPart & { readonly place: string; readonly ofClients: boolean }> = [];
    for (const each of traffic.classes) {
      const { key } = this.tableOf(each.table);
      // Rules may distinguish packets that go the same ways in the end.
      const sources = each.sources.filter(
        (source) => each.packets === '' || usual.get(`${each.from === 'server'} ${each.family} ${source}`) !== key,
      );
      for (const alike of groupBy(sources, (source) => String(this.isOfClients(each, source)))) {
        const ofClients = this.isOfClients(each, alike[0]);
        found.push({
          of: each,
          sources: alike,
          place: `${each.family} ${ofClients} ${each.packets} ${key}`,
          ofClients,
        });
      }
    }
    this.groups = groupBy(found, ({ place }) => place)
      .map((parts) => this.groupOf(parts, parts[0].ofClients))
      .sort(inOrder);
  }

  public get count(): number {
    return this.groups.reduce((sum, { parts: [{ of }] }) => sum + this.tableOf(of.table).table.size, 0);
  }

  public rowsOf({ parts }: RowGroup): TrafficRow[] {
    const { table } = this.tableOf(parts[0].of.table);
    const found = new Map<SameWays, Set<Ways>>([...table.keys()].map((same) => [same, new Set()]));
    for (const entries of new Set(parts.map(({ of }) => of.table))) {
      entries.forEach(({ value }) => found.get(this.sameOf(value))?.add(value));
    }
    return [...table].map(([same, destinations]): TrafficRow => {
      const all = [...(found.get(same) ?? [])];
      return { destinations, same, ways: same.keys.map((_, index) => mergeWays(all.map((ways) => ways[index]))) };
    });
  }

  /** Returns what changes while a link is down. Links with the same text change the same. */
  public changesBy(link: number): string | undefined {
    const keys = this.exact.map((each) => each[link + 1]);
    return keys.every((key, index) => key === this.exact[index][0]) ? undefined : keys.join('\n');
  }

  /** Packets that the server sends from a pool address mostly go the same way as those of the clients in the pool. */
  private isOfClients({ from, family }: HostClass, source: Bits | undefined): boolean {
    const { prefixes } = this.traffic.clients;
    return from === 'server'
      ? source !== undefined && prefixes[family].some((prefix) => source.startsWith(prefix))
      : from === 'clients';
  }

  private readonly sameOf = remembered((ways: Ways): SameWays => {
    const exact = ways.map((each) => each.map(exactKey).sort().join());
    this.exact.push(exact);
    const keys = ways.map((each, index) =>
      index > 0 && exact[index] === exact[0] ? SAME : [...new Set(each.map(wayKey))].sort().join(),
    );
    const key = keys.join('; ');
    return getOrInsertComputed(this.different, key, () => ({
      ...{ key, keys },
      leaves: ways.flat().some(({ ending }) => ending === 'uplink'),
    }));
  });

  private readonly tableOf = remembered((entries: HostClass['table']) => {
    const table = setsOf(entries.map(({ prefix, value }) => ({ prefix, value: this.sameOf(value) })));
    const texts = [...table].map(([{ key }, set]) => `${key}: ${prefixSetKey(set)}`);
    return { key: texts.sort().join('\n'), table };
  });

  private groupOf(parts: readonly [GroupPart, ...GroupPart[]], ofClients: boolean): RowGroup {
    const [{ of: first }] = parts;
    const { family, packets, namesLinks } = first;
    const leaves = [...this.tableOf(first.table).table.keys()].some((each) => each.leaves);
    const leaks = leaves && parts.some(({ of }) => of.from === 'clients');
    return { family, packets, namesLinks, parts, ofClients, leaks };
  }
}

function mergeWays(ways: ReadonlyArray<readonly Way[]>): Way[] {
  return distinct([...new Set(ways)].flat(), exactKey);
}

function exactKey(way: Way): string {
  return `${wayKey(way)} ${way.device} ${way.tableId === undefined ? way.rule?.priority : ''}`;
}

/** Sorts leaks first, then clients before others, and named packets before the usual class. */
function inOrder(a: RowGroup, b: RowGroup): number {
  const places = [a, b].map(({ leaks, family, packets, ofClients }) => [
    leaks ? 0 : 1,
    family,
    ofClients ? 0 : 1,
    packets === '' ? 1 : 0,
  ]);
  const index = places[0].findIndex((place, at) => place !== places[1][at]);
  return index < 0 ? 0 : places[0][index] - places[1][index];
}

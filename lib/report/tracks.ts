import type { Edge, Ending } from './picture';

/** A way of packets from their origin to their exit, as the ids of the rows on it. */
export interface Track {
  readonly origin: string;
  /** The destination of its packets, in words. */
  readonly words: string;
  readonly rule: string;
  readonly table: string;
  readonly exit: string;
  readonly ending: Ending;
  /** The link that is down, if any. */
  readonly down?: string;
}

/** Returns the box that contains a row. */
export function boxOf(row: string): string {
  return row.replace(/-\d+$/, '');
}

/** Returns the lines of a picture, and for lines used only while a link is down, their first row and the links. */
export function edgesOf(tracks: readonly Track[]): { edges: Edge[]; when: Map<string, string[]> } {
  const edges = new Map<string, Edge>();
  const when = new Map<string, string[]>();
  const usual = new Set<string>();
  const legs = ({ origin, rule, table, exit }: Track): Array<readonly [string, string]> => [
    [origin, rule],
    [boxOf(rule), boxOf(table)],
    [table, exit],
  ];
  const usualFirst = [...tracks].sort((a, b) => Number(a.down !== undefined) - Number(b.down !== undefined));
  for (const track of usualFirst) {
    const { down, ending } = track;
    for (const [from, to] of legs(track)) {
      // A leak has its own line all the way, even where other packets always pass.
      const leg = `${from} ${to} ${ending === 'leak'}`;
      if (down === undefined) {
        usual.add(leg);
      } else if (usual.has(leg)) {
        continue;
      } else {
        when.set(from, [...new Set([...(when.get(from) ?? []), down])]);
      }
      edges.set(`${from} ${to} ${ending}`, { from, to, ending, onlyIfDown: down !== undefined });
    }
  }
  return { edges: [...edges.values()], when };
}

export function whenDown(links: readonly string[]): string {
  return links.length > 2 ? 'some link down' : `${links.join(' or ')} down`;
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

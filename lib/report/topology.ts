import type { Bits } from '../lookup/bits';
import type { Family } from '../model/family';
import type { Host } from '../model/host';
import type { HostClass, HostTraffic } from './classes';
import { ExitBoxes } from './exit-boxes';
import { distinct, remembered } from './groups';
import type { Origin } from './origin-boxes';
import { originBoxes } from './origin-boxes';
import type { Fate, Picture } from './picture';
import { RuleBoxes } from './rule-boxes';
import { TableBoxes } from './table-boxes';
import { plural } from './text';
import type { Track } from './tracks';
import { edgesOf } from './tracks';
import type { Way, Ways } from './ways';

const MOST_NAMES = 20;
const TO_CLIENTS = 'to clients';

/** Where packets come from, the rules in order, the tables, and where packets leave. */
export function topology(host: Host, traffic: HostTraffic): Picture {
  const tables = new TableBoxes(traffic.host);
  const rules = new RuleBoxes(traffic, tables);
  const exits = new ExitBoxes(host, tables);
  const tracks = new Tracks(traffic, rules, tables, exits);
  const origins = originBoxes(traffic, tracks.origins());
  const { edges, when } = edgesOf(origins.tracks);
  const ruleBoxes = rules.draw(edges);
  const tableBoxes = tables.draw(ruleBoxes, edges, when);
  return {
    title: `Where packets go: ${host.path}`,
    description: describe(host, traffic.links, origins.tracks),
    columns: [
      { title: 'packets come from', boxes: origins.boxes },
      { title: 'rules, in order', boxes: ruleBoxes },
      { title: 'tables', boxes: tableBoxes },
      { title: 'packets leave', boxes: exits.draw(tableBoxes, edges) },
    ],
    edges,
  };
}

function describe(host: Host, links: readonly string[], tracks: readonly Track[]): string {
  const usual = tracks.filter(({ down }) => down === undefined);
  const count = (fate: Fate): number =>
    distinct(
      usual.filter((track) => track.fate === fate),
      ({ origin, words }) => `${origin} ${words}`,
    ).length;
  const said = (['egress', 'uplink', 'local', 'rejected', 'unknown'] as const)
    .map((fate) => [fate, count(fate)] as const)
    .filter(([, number]) => number > 0)
    .map(([fate, number]) => `${number} ${fate}`);
  return (
    `${plural(host.rules.length, 'rule')} and ${plural(host.tables.length, 'table')}. ` +
    `Classes of traffic by where they end: ${said.join(', ') || 'none'}. Links taken down one at a time: ${links.slice(0, MOST_NAMES).join(', ') || 'none'}.`
  );
}

/** Where a prefix of a table is, seen from those of clients. */
interface Place {
  /** In which of them, and how much of that it is. */
  readonly within: number;
  readonly share: number;
  readonly isAround: boolean;
}

/** The ways through the picture. */
class Tracks {
  private readonly clients: Readonly<Record<Family, readonly Bits[]>>;
  private readonly placeOf: Readonly<Record<Family, (prefix: Bits) => Place>>;
  private readonly made = new Map<string, Track>();
  private readonly toClients = new Map<Ways, readonly Track[]>();
  private readonly elsewhere = new Map<Ways, readonly Track[]>();

  public constructor(
    private readonly traffic: HostTraffic,
    private readonly rules: RuleBoxes,
    private readonly tables: TableBoxes,
    private readonly exits: ExitBoxes,
  ) {
    const { prefixes } = traffic.clients;
    this.clients = { 4: outermost(prefixes[4]), 6: outermost(prefixes[6]) };
    const placeAmong = (all: readonly Bits[]): ((prefix: Bits) => Place) =>
      remembered((prefix) => {
        const within = all.findIndex((each) => prefix.startsWith(each));
        const share = within < 0 ? 0 : 2 ** (all[within].length - prefix.length);
        return { within, share, isAround: share === 0 && all.some((each) => each.startsWith(prefix)) };
      });
    this.placeOf = { 4: placeAmong(this.clients[4]), 6: placeAmong(this.clients[6]) };
  }

  public origins(): Origin[] {
    return this.traffic.classes
      .filter(({ from, sources }) => from !== 'server' || sources.includes(undefined))
      .map((each) => ({ classes: [each], tracks: this.of(each) }))
      .filter(({ classes: [{ from }], tracks }) => from !== 'others' || tracks.length > 0);
  }

  private of({ from, family, table }: HostClass): Track[] {
    const { clients, others } = this.byDestination(table, family);
    const found = new Set([...clients].flatMap((ways) => this.for(ways, TO_CLIENTS, family, this.toClients)));
    for (const ways of from === 'others' ? [] : others) {
      // Other networks of links would be in the way of what is to be seen.
      if (ways[0].every(({ fate }) => fate === 'local')) continue;
      this.for(ways, 'to anywhere else', family, this.elsewhere).forEach((track) => found.add(track));
    }
    return [...found];
  }

  private byDestination(table: HostClass['table'], family: Family): { clients: Set<Ways>; others: Set<Ways> } {
    const [clients, others] = [new Set<Ways>(), new Set<Ways>()];
    const around: Array<HostClass['table'][number]> = [];
    // How much of each prefix longer ones in it say something of.
    const covered = this.clients[family].map(() => 0);
    let outer = '-';
    for (const entry of table) {
      const { prefix, value } = entry;
      const { within, share, isAround } = this.placeOf[family](prefix);
      (share > 0 ? clients : others).add(value);
      if (isAround) around.push(entry);
      if (share > 0 && !prefix.startsWith(outer)) {
        outer = prefix;
        covered[within] += share;
      }
    }
    // The longest prefix around comes last.
    around.reverse();
    for (const [index, prefix] of this.clients[family].entries()) {
      const entry = covered[index] === 1 ? undefined : around.find((each) => prefix.startsWith(each.prefix));
      if (entry) clients.add(entry.value);
    }
    return { clients, others };
  }

  private for(ways: Ways, words: string, family: Family, known: Map<Ways, readonly Track[]>): readonly Track[] {
    let tracks = known.get(ways);
    if (!tracks) {
      const [usual, ...down] = ways.map((each, index) =>
        each.flatMap((way) => this.track(way, words, family, this.traffic.links[index - 1])),
      );
      const isUsual = (track: Track): boolean =>
        usual.some(({ rule, table, exit }) => rule === track.rule && table === track.table && exit === track.exit);
      tracks = [...usual, ...down.flat().filter((track) => !isUsual(track))];
      known.set(ways, tracks);
    }
    return tracks;
  }

  private track(way: Way, words: string, family: Family, down: string | undefined): Track[] {
    const { fate, kind, rule, tableId } = way;
    if (!rule || (fate === 'local' && (kind !== 'unicast' || words !== TO_CLIENTS))) {
      return [];
    }
    const table = tableId === undefined ? this.tables.rejecting(rule) : this.tables.rowOf(tableId, way, family);
    const track = {
      origin: '',
      words,
      rule: this.rules.rowOf(rule),
      table,
      exit: this.exits.rowOf(way, family),
      fate,
      down,
    };
    const key = Object.values(track).join(' ');
    const made = this.made.get(key) ?? track;
    this.made.set(key, made);
    return [made];
  }
}

/** Prefixes that are in no other one. */
function outermost(sorted: readonly Bits[]): Bits[] {
  const outer: Bits[] = [];
  for (const prefix of sorted) {
    if (!prefix.startsWith(outer.at(-1) ?? '-')) outer.push(prefix);
  }
  return outer;
}

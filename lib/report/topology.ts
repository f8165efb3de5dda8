import type { Bits } from '../fib/bits';
import type { Family } from '../model/family';
import { BOTH_FAMILIES } from '../model/family';
import type { Host } from '../model/host';
import { getOrInsertComputed } from '../model/maps';
import type { HostClass, HostTraffic } from './classes';
import { ExitBoxes } from './exit-boxes';
import { distinct, remembered } from './groups';
import type { Origin } from './origin-boxes';
import { originBoxes } from './origin-boxes';
import type { Ending, Picture } from './picture';
import { LINE_STYLES } from './picture';
import { RuleBoxes } from './rule-boxes';
import { TableBoxes } from './table-boxes';
import { plural } from './text';
import type { Track } from './tracks';
import { edgesOf } from './tracks';
import type { Way, Ways } from './ways';

const MOST_NAMES = 20;
const TO_CLIENTS = 'to clients';

/** Builds the picture: where packets come from, the rules in order, the tables, and where packets leave. */
export function topology(host: Host, traffic: HostTraffic): Picture {
  const tables = new TableBoxes(traffic.host);
  const rules = new RuleBoxes(traffic, tables);
  const exits = new ExitBoxes(host, tables);
  const origins = originBoxes(
    traffic,
    BOTH_FAMILIES.flatMap((family) => new Tracks(traffic, family, rules, tables, exits).origins()),
  );
  const { edges, when } = edgesOf(origins.tracks);
  const ruleBoxes = rules.draw(edges);
  const tableBoxes = tables.draw(ruleBoxes, edges, when);
  return {
    title: `Where packets go: ${host.path}`,
    description: describe(host, traffic.egress, origins.tracks),
    columns: [
      { title: 'packets come from', boxes: origins.boxes },
      { title: 'rules, in order', isOrdered: true, boxes: ruleBoxes },
      { title: 'tables', boxes: tableBoxes },
      { title: 'packets leave', boxes: exits.draw(tableBoxes, edges) },
    ],
    edges,
  };
}

function describe(host: Host, links: readonly string[], tracks: readonly Track[]): string {
  const usual = tracks.filter(({ down }) => down === undefined);
  const count = (ending: Ending): number =>
    distinct(
      usual.filter((track) => track.ending === ending),
      ({ origin, words }) => `${origin} ${words}`,
    ).length;
  const said = LINE_STYLES.map(({ ending }) => [ending, count(ending)] as const)
    .filter(([, number]) => number > 0)
    .map(([ending, number]) => `${number} ${ending}`);
  return (
    `${plural(host.rules.length, 'rule')} and ${plural(host.tables.length, 'table')}. ` +
    `Classes of traffic by where they end: ${said.join(', ') || 'none'}. Links taken down one at a time: ${links.slice(0, MOST_NAMES).join(', ') || 'none'}.`
  );
}

/** The server itself may use the main default route. Packets of clients that use it are a leak. */
function ofClients(track: Track): Track {
  return track.ending === 'uplink' ? { ...track, ending: 'leak' } : track;
}

/** The position of a prefix of a table relative to the prefixes of clients. */
interface Place {
  /** The index of the client prefix that contains it, and the share of that prefix that it covers. */
  readonly within: number;
  readonly share: number;
  readonly isAround: boolean;
}

/** The ways of packets of one family through the picture. */
class Tracks {
  private readonly clients: readonly Bits[];
  private readonly made = new Map<string, Track>();

  public constructor(
    private readonly traffic: HostTraffic,
    private readonly family: Family,
    private readonly rules: RuleBoxes,
    private readonly tables: TableBoxes,
    private readonly exits: ExitBoxes,
  ) {
    const prefixes = traffic.clients.prefixes[family];
    this.clients = prefixes.filter((each) => !prefixes.some((other) => other !== each && each.startsWith(other)));
  }

  public origins(): Origin[] {
    return this.traffic.classes
      .filter((each) => each.family === this.family && (each.from !== 'server' || each.sources.includes(undefined)))
      .map((each) => ({ classes: [each], tracks: this.of(each) }))
      .filter(({ classes: [{ from }], tracks }) => from !== 'others' || tracks.length > 0);
  }

  private of({ from, table }: HostClass): Track[] {
    const { clients, others } = this.byDestination(table);
    // Other networks of links would only hide what matters.
    const seen = [...others].filter((ways) => from !== 'others' && ways[0].some(({ ending }) => ending !== 'local'));
    const tracks = [...new Set([...[...clients].flatMap(this.toClients), ...seen.flatMap(this.elsewhere)])];
    return from === 'clients' ? tracks.map(ofClients) : tracks;
  }

  private byDestination(table: HostClass['table']): { clients: Set<Ways>; others: Set<Ways> } {
    const [clients, others] = [new Set<Ways>(), new Set<Ways>()];
    const enclosing: Array<HostClass['table'][number]> = [];
    // The share of each client prefix that longer prefixes inside it cover.
    const covered = this.clients.map(() => 0);
    let outer = '-';
    for (const entry of table) {
      const { prefix, value } = entry;
      const { within, share, isAround } = this.placeOf(prefix);
      (share > 0 ? clients : others).add(value);
      if (isAround) enclosing.push(entry);
      if (share > 0 && !prefix.startsWith(outer)) {
        outer = prefix;
        covered[within] += share;
      }
    }
    // The longest enclosing prefix comes last.
    enclosing.reverse();
    for (const [index, prefix] of this.clients.entries()) {
      const entry = covered[index] === 1 ? undefined : enclosing.find((each) => prefix.startsWith(each.prefix));
      if (entry) clients.add(entry.value);
    }
    return { clients, others };
  }

  private readonly placeOf = remembered((prefix: Bits): Place => {
    const within = this.clients.findIndex((each) => prefix.startsWith(each));
    const share = within < 0 ? 0 : 2 ** (this.clients[within].length - prefix.length);
    return { within, share, isAround: share === 0 && this.clients.some((each) => each.startsWith(prefix)) };
  });

  private readonly toClients = remembered((ways: Ways) => this.through(ways, TO_CLIENTS));
  private readonly elsewhere = remembered((ways: Ways) => this.through(ways, 'to anywhere else'));

  private through(ways: Ways, words: string): readonly Track[] {
    const { egress } = this.traffic;
    const [usual, ...down] = ways
      .slice(0, egress.length + 1)
      .map((each, index) => each.flatMap((way) => this.track(way, words, egress[index - 1])));
    const isUsual = (track: Track): boolean =>
      usual.some(({ rule, table, exit }) => rule === track.rule && table === track.table && exit === track.exit);
    return [...usual, ...down.flat().filter((track) => !isUsual(track))];
  }

  private track(way: Way, words: string, down: string | undefined): Track[] {
    const { ending, kind, rule, tableId } = way;
    if (!rule || (ending === 'local' && (kind !== 'unicast' || words !== TO_CLIENTS))) {
      return [];
    }
    const { family } = this;
    const table = tableId === undefined ? this.tables.rejecting(rule) : this.tables.rowOf(tableId, way, family);
    const exit = this.exits.rowOf(way, family);
    const track: Track = { origin: '', words, rule: this.rules.rowOf(rule), table, exit, ending, down };
    const key = Object.values(track).join(' ');
    return [getOrInsertComputed(this.made, key, () => track)];
  }
}

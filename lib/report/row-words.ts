import type { Bits } from '../fib/bits';
import { prefixText } from '../fib/bits';
import type { PrefixSet } from '../reachability/aggregate';
import { setsOf } from '../reachability/aggregate';
import type { Family } from '../model/family';
import { BOTH_FAMILIES } from '../model/family';
import type { Host } from '../model/host';
import { MAIN_TABLE_ID } from '../model/host';
import type { HostTraffic } from './classes';
import { code as codeOf, oneLine } from './escape';
import { groupBy } from './groups';
import { LEAK } from './picture';
import { shortName } from './placeholders';
import type { TrafficRow, RowGroup } from './traffic-class-rows';
import { SAME } from './traffic-class-rows';
import { plural, shortened } from './text';
import type { Way } from './ways';
import { wayKey } from './ways';

const MOST_PREFIXES = 6;
const WIDEST = 120;

export const WARNING = `⚠ ${LEAK}`;

/** The texts of the cells in the table of traffic classes. */
export class RowWords {
  private readonly sources: Readonly<Record<Family, readonly Bits[]>>;

  public constructor(
    private readonly host: Host,
    private readonly traffic: HostTraffic,
  ) {
    const sourcesOf = (family: Family): Bits[] =>
      traffic.classes
        .filter((each) => each.from !== 'server' && each.family === family)
        .flatMap(({ sources }) => sources.flatMap((source) => source ?? []));
    const [four, six] = BOTH_FAMILIES.map((family) => [...new Set(sourcesOf(family))].sort());
    this.sources = { 4: four, 6: six };
  }

  /** @param links - the numbers of the links that have a column */
  public rows(group: RowGroup, rows: readonly TrafficRow[], links: readonly number[]): string[][] {
    const isLeak = group.parts.some(({ of }) => of.from === 'clients');
    return rows.map(({ destinations, same, ways }, index) => [
      index === 0 ? this.from(group) : '',
      index === 0 ? this.source(group) : '',
      rows.length === 1 ? 'anywhere' : this.to(destinations, group.family),
      this.path(ways[0], isLeak),
      ...links.map((link) => (same.keys[link + 1] === SAME ? SAME : this.path(ways[link + 1], isLeak))),
    ]);
  }

  private from({ parts, packets, namesLinks }: RowGroup): string {
    const incoming = parts.map(({ of }) => of).filter(({ from }) => from !== 'server');
    const clients = incoming.filter(({ from }) => from === 'clients');
    const links = [...new Set(clients.flatMap((each) => each.links))];
    const who = namesLinks
      ? []
      : [
          ...(links.length > 0 ? [list(links)] : []),
          ...(clients.some((each) => each.links.length === 0) ? ['a link that is not declared'] : []),
          ...(incoming.length > clients.length ? ['any link'] : []),
        ];
    const server = parts.some(({ of }) => of.from === 'server') ? ['this server'] : [];
    return [...who, ...server, ...(packets === '' ? [] : [cell(packets)])].join(', ');
  }

  private source({ parts, family, packets }: RowGroup): string {
    const own = parts.filter(({ of }) => of.from !== 'server').flatMap(({ sources }) => sources);
    const inGroup = new Set(own);
    const sets = setsOf(this.sources[family].map((prefix) => ({ prefix, value: inGroup.has(prefix) })));
    const { prefixes, except } = sets.get(true) ?? { prefixes: [], except: [] };
    const sent = parts.filter(({ of }) => of.from === 'server').flatMap(({ sources }) => sources);
    const others = sent.filter((address) => !prefixes.some((prefix) => (address ?? '').startsWith(prefix)));
    const named = [...prefixes, ...others.flatMap((address) => address ?? [])].filter((prefix) => prefix !== '');
    const any = packets === '' ? `any other IPv${family}` : `any IPv${family}`;
    const words = [
      ...(named.length > 0 ? [this.prefixes(named, family)] : []),
      ...(prefixes.includes('') ? [any] : []),
      ...(others.includes(undefined) ? [`IPv${family}, chosen by the kernel`] : []),
    ].join(', ');
    // The usual packets need no exceptions here: other rows show those sources.
    return packets === '' || except.length === 0 ? words : `${words} but ${this.prefixes(except, family)}`;
  }

  private to({ prefixes }: PrefixSet, family: Family): string {
    return prefixes.includes('') ? 'anywhere else' : this.prefixes(prefixes, family);
  }

  private prefixes(prefixes: readonly Bits[], family: Family): string {
    return list(prefixes.map((prefix) => this.traffic.names.get(prefix) ?? prefixText(prefix, family)));
  }

  private path(ways: readonly Way[], ofClients: boolean): string {
    return groupBy(ways, wayKey)
      .map((alike) => `${ofClients && alike[0].ending === 'uplink' ? `${WARNING} ` : ''}${this.way(alike)}`)
      .sort()
      .join(' or ');
  }

  private way(alike: readonly [Way, ...Way[]]): string {
    const [{ kind, ending, device, via, tableId }] = alike;
    const rules = [...new Set(alike.flatMap(({ rule }) => rule?.priority ?? []))];
    const by =
      tableId !== undefined
        ? ` (${this.table(tableId)})`
        : rules.length === 0
          ? ''
          : ` (${rules.length > 1 ? `${plural(rules.length, 'rule')} from ` : 'rule '}${Math.min(...rules)})`;
    if (ending === 'rejected') {
      return `rejected: ${kind}${by}`;
    }
    if (kind === 'unknown') {
      return `not declared${by}`;
    }
    if (kind !== 'unicast') {
      return 'this server';
    }
    const links = [...new Set(alike.map((way) => way.device))];
    if (links.length > 1) {
      const isMultipath = alike.every(({ route }) => route === alike[0].route);
      const how = isMultipath ? 'one of' : 'each to its link:';
      return `${how} ${list(links.map((link) => link ?? 'not known'))}${by}`;
    }
    const link = device === undefined ? 'a link not known' : cell(device);
    return via === undefined ? `${link}${by}` : `${link} via ${cell(shortName(via, this.host.path))}${by}`;
  }

  private table(id: number): string {
    const name = this.host.tables.find((table) => table.id === id)?.name;
    return id === MAIN_TABLE_ID
      ? 'main'
      : name === undefined
        ? `table ${id}`
        : /^[A-Za-z0-9-]+$/.test(name)
          ? name
          : cell(name);
  }
}

function list(items: readonly string[]): string {
  const shown = items.length > MOST_PREFIXES + 1 ? items.slice(0, MOST_PREFIXES) : items;
  const more = items.length - shown.length;
  return [...shown.map(cell), ...(more > 0 ? [`${more} more`] : [])].join(', ');
}

/** Returns the text as code, shortened to fit into a cell. */
export function cell(text: string): string {
  return codeOf(shortened(oneLine(text), WIDEST));
}

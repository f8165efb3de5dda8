import { DEFAULT_TABLE_ID, LOCAL_TABLE_ID } from '../lookup/machine';
import { prefixBits, prefixText } from '../lookup/bits';
import { familyName } from '../model/family';
import type { Host } from '../model/host';
import { MAIN_TABLE_ID } from '../model/host';
import type { Rule } from '../model/rule';
import { isRejecting, ruleWords } from '../model/rule';
import type { Value } from '../model/value';
import { isKnown } from '../model/value';
import type { Journey, Journeys, Origin, Way } from './journeys';
import { distinct, groupBy } from './journeys';
import type { Box, Edge, Fate, Picture, Row } from './picture';
import { REJECTED } from './picture';
import { shortName, valueName } from './placeholders';
import { plural } from './text';

/** Of each what can still be taken in at a glance. */
const MOST_ROWS = 8;
const MOST_POOLS = 5;
const MOST_RULE_BOXES = 14;
const MOST_TABLES = 8;
const MOST_ORIGINS = 8;
const MOST_LINKS = 8;

/** From top to bottom. */
const PLACES: ReadonlyArray<Origin['kind']> = ['clients', 'others', 'server'];

/** A way from where packets come from to where they leave, as ids of what it leads through. */
interface Track {
  readonly origin: string;
  readonly words: string;
  readonly rule: string;
  readonly table: string;
  readonly exit: string;
  readonly fate: Fate;
  /** The link that is down. */
  readonly down?: string;
}

/** Where packets come from, the rules in order, the tables, and where packets leave. */
export function topology(host: Host, { journeys, host: known, rules, names, links }: Journeys): Picture {
  const draw = new Drawing(host, known, rules, names);
  return draw.picture(journeys, links);
}

class Drawing {
  private readonly ruleBoxes: RuleBox[];
  private readonly ruleRow = new Map<Rule, string>();
  private readonly tableBox = new Map<number, string>();
  private readonly tables = new Map<string, TableBox>();
  private readonly exits = new Map<string, { title: string; rows: Map<string, { text: string; fate: Fate }> }>();
  private readonly manyLinks: boolean;

  public constructor(
    private readonly host: Host,
    private readonly known: Host,
    rules: readonly Rule[],
    private readonly names: ReadonlyMap<string, string>,
  ) {
    this.manyLinks = host.interfaces.length > MOST_LINKS;
    this.mergeTables();
    this.ruleBoxes = this.boxRules(rules);
  }

  public picture(journeys: readonly Journey[], links: readonly string[]): Picture {
    const shown = journeys.filter(
      ({ origin, target }) =>
        // What the server sends from an address in a pool goes as that of clients there does.
        target.kind !== 'network' &&
        (origin.kind !== 'others' || target.kind === 'clients') &&
        (origin.kind !== 'server' || origin.sources.length === 0),
    );
    const { origins, tracks } = this.origins(shown);
    const { edges, when } = edgesOf(tracks);
    const ruleBoxes = this.ruleBoxes.map((box) => this.drawRules(box, edges));
    const tables = inOrderOf(
      ruleBoxes,
      edges,
      [...this.tables.values()].map((table) => drawTable(table, edges, when)),
    );
    return {
      title: `Where packets go: ${this.host.path}`,
      description: this.describe(tracks, links),
      columns: [
        { title: 'packets come from', boxes: origins },
        { title: 'rules, in order', boxes: ruleBoxes },
        { title: 'tables', boxes: tables },
        { title: 'packets leave', boxes: this.drawExits(edges, tables) },
      ],
      edges,
    };
  }

  private describe(tracks: readonly Track[], links: readonly string[]): string {
    const count = (fate: Fate): number =>
      distinct(
        tracks.filter((track) => track.fate === fate && track.down === undefined),
        ({ origin, words }) => `${origin} ${words}`,
      ).length;
    const said = (['egress', 'uplink', 'local', 'rejected', 'unknown'] as const)
      .map((fate) => [fate, count(fate)] as const)
      .filter(([, number]) => number > 0)
      .map(([fate, number]) => `${number} ${fate}`);
    return (
      `${plural(this.host.rules.length, 'rule')} and ${plural(this.host.tables.length, 'table')}. ` +
      `Classes of traffic by where they end: ${said.join(', ') || 'none'}. Links taken down one at a time: ${links.slice(0, 20).join(', ') || 'none'}.`
    );
  }

  /** Of many tables those through which packets leave by the same links are one box. */
  private mergeTables(): void {
    const devices = (id: number): string =>
      [
        ...new Set(
          this.known.routes
            .filter((route) => route.tableId === id)
            .flatMap(({ hops }) => hops.map(({ device, via }) => device?.text ?? via?.text ?? '')),
        ),
      ]
        .sort()
        .join();
    const many = this.known.tables.length > MOST_TABLES;
    const groups = groupBy(this.known.tables, ({ id, failClosed }) =>
      many ? `${devices(id)} ${failClosed}` : String(id),
    );
    const kept =
      groups.length > MOST_TABLES
        ? [...groups.slice(0, MOST_TABLES - 1), groups.slice(MOST_TABLES - 1).flat()]
        : groups;
    kept.forEach((group) => {
      const [first] = group;
      const id = `table${first.id}`;
      group.forEach((table) => this.tableBox.set(table.id, id));
      const title =
        group.length > 1
          ? `${group.length} tables`
          : first.name === undefined
            ? `table ${first.id}`
            : `${first.name} (${first.id})`;
      const closed = group.every(({ failClosed }) => failClosed);
      this.tables.set(id, { id, title, note: closed ? 'fails closed' : undefined, rows: new Map(), used: false });
    });
  }

  /** Neighbours that do the same are one box; where that are too many boxes, all that do the same. */
  private boxRules(rules: readonly Rule[]): RuleBox[] {
    const hidden = [LOCAL_TABLE_ID, DEFAULT_TABLE_ID];
    const inOrder = rules
      .filter(({ path, action }) => path !== 'kernel' || (action.kind === 'lookup' && !hidden.includes(action.tableId)))
      .sort((a, b) => a.priority - b.priority || String(a.family).localeCompare(String(b.family)));
    const boxes: RuleBox[] = [];
    for (const rule of inOrder) {
      const last = boxes.at(-1);
      const title = this.ruleTitle(rule);
      if (last && last.title === title && (last.rules[0].path === 'kernel') === (rule.path === 'kernel')) {
        last.rules.push(rule);
      } else {
        boxes.push({ id: '', title, rules: [rule] });
      }
    }
    const merged =
      boxes.length <= MOST_RULE_BOXES
        ? boxes
        : groupBy(boxes, ({ title, rules: [{ path }] }) => `${title} ${path === 'kernel'}`).map((same) => ({
            ...same[0],
            rules: same.flatMap((each) => each.rules),
          }));
    const bounded =
      merged.length <= MOST_RULE_BOXES
        ? merged
        : [
            ...merged.slice(0, MOST_RULE_BOXES - 1),
            { id: '', title: 'more rules', rules: merged.slice(MOST_RULE_BOXES - 1).flatMap((box) => box.rules) },
          ];
    return bounded.map((box, index) => {
      const id = `rules${index}`;
      const most = box.rules.length > MOST_ROWS ? MOST_ROWS - 2 : MOST_ROWS;
      const texts = distinct(box.rules, (rule) => this.ruleText(rule));
      const shown = new Map(
        texts
          .slice(0, texts.length > MOST_ROWS ? most : MOST_ROWS)
          .map((rule, row) => [this.ruleText(rule), `${id}-${row}`]),
      );
      for (const rule of box.rules) {
        this.ruleRow.set(rule, shown.get(this.ruleText(rule)) ?? `${id}-more`);
      }
      return { ...box, id };
    });
  }

  private ruleTitle({ action, suppressPrefixLength, suppressInterfaceGroup }: Rule): string {
    const words = [
      action.kind,
      ...(action.kind === 'lookup' ? [this.tableTitle(action.tableId)] : []),
      ...(action.kind === 'goto' ? [action.priority] : []),
      ...(suppressPrefixLength === undefined ? [] : [`suppress_prefixlength ${suppressPrefixLength}`]),
      ...(suppressInterfaceGroup === undefined ? [] : [`suppress_ifgroup ${suppressInterfaceGroup}`]),
    ];
    return words.join(' ');
  }

  private tableTitle(id: number): string {
    const box = this.tables.get(this.tableBox.get(id) ?? '');
    const table = this.host.tables.find((each) => each.id === id);
    if (box?.title.endsWith(' tables')) {
      return `one of ${box.title}`;
    }
    return id === MAIN_TABLE_ID ? 'main' : (table?.name ?? String(id));
  }

  /** Its priority and selectors, as `ip rule` prints them. */
  private ruleText(rule: Rule): string {
    const words = ruleWords({
      ...rule,
      invert: undefined,
      suppressPrefixLength: undefined,
      suppressInterfaceGroup: undefined,
      action: { kind: 'blackhole' },
    }).slice(0, -1);
    const selectors = words.map((word) => (typeof word === 'string' ? word : this.valueText(word)));
    const all = selectors.length === 0 ? ['from', 'all'] : selectors;
    return [rule.priority, ...(rule.invert ? ['not'] : []), ...all].join(' ');
  }

  private valueText(value: Value): string {
    const placeholder = value.kind === 'prefix' && isKnown(value) ? this.names.get(prefixBits(value.text)) : undefined;
    return placeholder ?? valueName(value, this.host.path);
  }

  private drawRules({ id, title, rules }: RuleBox, edges: readonly Edge[]): Box {
    const used = new Set(edges.map(({ to }) => to));
    const guards = rules.every((rule) => 'behind' in rule);
    const texts = distinct(rules, (rule) => this.ruleText(rule));
    const rows = texts
      .filter((rule) => !this.rowOf(rule).endsWith('-more'))
      .map((rule): Row => ({ id: this.rowOf(rule), text: this.ruleText(rule), quiet: !used.has(this.rowOf(rule)) }));
    const more = texts.filter((rule) => this.rowOf(rule).endsWith('-more'));
    const [first, last] = [more[0], more.at(-1)];
    return {
      id,
      title,
      ...(guards ? { note: plural(rules.length, 'guard') } : {}),
      rows: [
        ...rows,
        ...(first && last
          ? [
              {
                id: `${id}-more`,
                text: `… ${more.length} more, ${first.priority} to ${last.priority}`,
                quiet: !used.has(`${id}-more`),
              },
            ]
          : []),
      ],
    };
  }

  private rowOf(rule: Rule): string {
    return this.ruleRow.get(rule) ?? '';
  }

  /** Boxes of those whose packets go the same ways. */
  private origins(journeys: readonly Journey[]): { origins: Box[]; tracks: Track[] } {
    const byOrigin = groupBy(journeys, ({ origin }) => originKey(origin));
    const withTracks = byOrigin.map((group) => ({ group, tracks: group.flatMap((each) => this.tracks(each)) }));
    const links = (tracks: readonly Track[]): string => [...new Set(tracks.map(trackKey))].sort().join('\n');
    const place = ({ kind, links: by, selectors }: Origin): string =>
      `${kind} ${kind === 'others' ? '' : by.join()} ${selectors}`;
    const near = mergeSame(withTracks, ({ group, tracks }) => `${place(group[0].origin)}\n${links(tracks)}`);
    const far =
      near.length <= MOST_ORIGINS
        ? near
        : mergeSame(
            near,
            ({ group, tracks }) => `${group[0].origin.kind} ${group[0].origin.selectors}\n${links(tracks)}`,
          );
    const clients = far.filter(({ group }) => group[0].origin.kind === 'clients');
    const many = clients.length > MOST_ORIGINS ? clients.slice(MOST_ORIGINS - 1) : [];
    const most = [...far.filter((each) => !many.includes(each)), ...(many.length > 0 ? [many.reduce(merge)] : [])];
    const drawn = most
      .map((each) => ({ ...each, place: PLACES.indexOf(each.group[0].origin.kind) + meanRule(each.tracks) / 1000 }))
      .sort((one, other) => one.place - other.place)
      .map(({ group, tracks }, index, all) => {
        const kindred = all.filter((other) => other.group[0].origin.kind === group[0].origin.kind);
        return drawOrigin(
          `from${index}`,
          group.map(({ origin }) => origin),
          tracks,
          kindred.length > 1,
        );
      });
    return { origins: drawn.map(({ box }) => box), tracks: drawn.flatMap((each) => each.tracks) };
  }

  private tracks(journey: Journey): Track[] {
    const usual = journey.ways.flatMap((way) => this.track(journey, way));
    const down = [...journey.down].flatMap(([link, ways]) => ways.flatMap((way) => this.track(journey, way, link)));
    const same = (one: Track, other: Track): boolean =>
      one.rule === other.rule && one.table === other.table && one.exit === other.exit;
    return [...usual, ...down.filter((track) => !usual.some((each) => same(each, track)))];
  }

  private track({ origin, target }: Journey, way: Way, down?: string): Track[] {
    const { fate, rule, tableId } = way;
    const local = fate === 'local' && way.kind !== 'unicast';
    if (!rule || local || tableId === LOCAL_TABLE_ID) {
      return [];
    }
    const words = target.kind === 'clients' ? 'to clients' : 'to anywhere else';
    const exit = this.exitOf(way);
    const table = tableId === undefined ? this.rejectingRow(rule) : this.tableRow(tableId, way);
    return [{ origin: originKey(origin), words, rule: this.rowOf(rule), table, exit, fate, down }];
  }

  private rejectingRow({ action }: Rule): string {
    const id = `action-${action.kind}`;
    if (!this.tables.has(id)) {
      this.tables.set(id, { id, title: isRejecting(action) ? action.kind : 'no route', rows: new Map(), used: true });
    }
    return id;
  }

  private tableRow(tableId: number, { route, kind, fate }: Way): string {
    const id = this.tableBox.get(tableId) ?? `table${tableId}`;
    let box = this.tables.get(id);
    if (!box) {
      const title = tableId === MAIN_TABLE_ID ? 'main (254)' : `table ${tableId}`;
      box = { id, title, rows: new Map(), used: true };
      this.tables.set(id, box);
    }
    box.used = true;
    const family = route && route.hops[0]?.via?.includes(':') ? 6 : 4;
    const destination = route?.destination;
    const text =
      kind === 'unknown'
        ? 'routes not declared here'
        : destination === undefined
          ? '<not known>'
          : destination === ''
            ? 'default'
            : fate === 'local'
              ? 'networks of links'
              : prefixText(destination, destination.length > 32 ? 6 : family);
    const rejects = fate === 'rejected' ? `${kind} ` : '';
    const key = `${rejects}${text} ${fate}`;
    let row = box.rows.get(key);
    if (!row) {
      row = { id: `${id}-${box.rows.size}`, text: `${rejects}${text}`, fate };
      box.rows.set(key, row);
    }
    return row.id;
  }

  private exitOf({ fate, kind, device, via, tableId }: Way): string {
    if (fate === 'rejected') {
      return this.exit(REJECTED, 'rejected', '', '', fate);
    }
    if (kind === 'unknown') {
      return this.exit(
        `unknown${tableId}`,
        'not declared here',
        '',
        `routes of ${tableId === MAIN_TABLE_ID ? 'main' : `table ${tableId}`}`,
        fate,
      );
    }
    const manyOnLink = this.manyLinks && via === undefined && fate === 'local';
    const title = manyOnLink ? plural(this.host.interfaces.length, 'link') : (device ?? '<not known>');
    const more = this.moreGateways(tableId, device, via);
    const text =
      via === undefined ? 'on the link' : `via ${shortName(via, this.host.path)}${more > 0 ? `, ${more} more` : ''}`;
    return this.exit(`link-${title}`, title, text, text, fate);
  }

  /** Of tables in one box. */
  private moreGateways(tableId: number | undefined, device: string | undefined, via: string | undefined): number {
    const box = tableId === undefined ? undefined : this.tableBox.get(tableId);
    const shared = [...this.tableBox.values()].filter((each) => each === box).length > 1;
    if (!shared || via === undefined) {
      return 0;
    }
    const hops = this.known.routes
      .filter((route) => this.tableBox.get(route.tableId) === box)
      .flatMap((route) => route.hops)
      .filter((hop) => hop.device?.text === device && hop.via?.text.includes(':') === via.includes(':'));
    return Math.max(0, new Set(hops.map((hop) => hop.via?.text)).size - 1);
  }

  private exit(id: string, title: string, key: string, text: string, fate: Fate): string {
    let box = this.exits.get(id);
    if (!box) {
      box = { title, rows: new Map() };
      this.exits.set(id, box);
    }
    if (text === '') {
      return id;
    }
    if (!box.rows.has(key)) box.rows.set(key, { text, fate });
    const index = Math.min([...box.rows.keys()].indexOf(key), MOST_ROWS - 1);
    return `${id}-${index}`;
  }

  private drawExits(edges: readonly Edge[], tables: readonly Box[]): Box[] {
    const boxes = [...this.exits].map(([id, { title, rows }]): Box => {
      const shown = [...rows.values()].map(({ text, fate }, index): Row => ({ id: `${id}-${index}`, text, fate }));
      const more = shown.length - MOST_ROWS + 1;
      return {
        id,
        title,
        rows:
          more > 1
            ? [
                ...shown.slice(0, MOST_ROWS - 1),
                { id: `${id}-${MOST_ROWS - 1}`, text: `… ${more} more next hops`, fate: shown[0].fate },
              ]
            : shown,
      };
    });
    const inOrder = inOrderOf(tables, edges, boxes);
    return [...inOrder.filter(({ id }) => id !== REJECTED), ...inOrder.filter(({ id }) => id === REJECTED)];
  }
}

/** Boxes as high as what leads to them, so that few lines cross. */
function inOrderOf(before: readonly Box[], edges: readonly Edge[], boxes: readonly Box[]): Box[] {
  const places = new Map(
    before.flatMap((box) => [box.id, ...box.rows.map(({ id }) => id)]).map((id, index) => [id, index]),
  );
  const place = ({ id, rows }: Box): number => {
    const ids = new Set([id, ...rows.map((row) => row.id)]);
    const leading = edges.filter(({ to }) => ids.has(to));
    const usual = leading.filter(({ onlyIfDown }) => !onlyIfDown);
    return (
      mean((usual.length > 0 ? usual : leading).map(({ from }) => places.get(from) ?? 0)) + (usual.length > 0 ? 0 : 1e6)
    );
  };
  return boxes
    .map((box) => ({ box, at: place(box) }))
    .sort((a, b) => a.at - b.at)
    .map(({ box }) => box);
}

interface RuleBox {
  readonly id: string;
  readonly title: string;
  readonly rules: Rule[];
}

interface TableBox {
  readonly id: string;
  readonly title: string;
  readonly note?: string;
  readonly rows: Map<string, { readonly id: string; readonly text: string; readonly fate: Fate }>;
  used: boolean;
}

interface Group {
  readonly group: readonly Journey[];
  readonly tracks: readonly Track[];
}

function originKey({ kind, links, sources, selectors, family }: Origin): string {
  return [kind, links.join(), sources.join(), selectors, family].join(' ');
}

/** Rules for several pools stand in one box, and what tunnel clients are on makes no other class of traffic. */
function trackKey({ words, rule, fate, down }: Track): string {
  return [words, boxOf(rule), fate, down].join(' ');
}

function boxOf(row: string): string {
  return row.replace(/-(\d+|more)$/, '');
}

function mergeSame(groups: readonly Group[], key: (group: Group) => string): Group[] {
  return groupBy(groups, key).map((same) => same.reduce(merge));
}

function merge(one: Group, other: Group): Group {
  return { group: [...one.group, ...other.group], tracks: [...one.tracks, ...other.tracks] };
}

function drawOrigin(
  id: string,
  origins: readonly Origin[],
  tracks: readonly Track[],
  hasKindred: boolean,
): { box: Box; tracks: Track[] } {
  const [{ kind, selectors }] = origins;
  const links = [...new Set(origins.flatMap((origin) => origin.links))];
  const by =
    links.length === 0 ? '' : links.length > 2 ? ` on ${plural(links.length, 'link')}` : ` on ${links.join(', ')}`;
  const title = { clients: `clients${by}`, server: 'this server', others: 'anybody else' }[kind];
  const sources = [...new Set(origins.flatMap((origin) => origin.sources))];
  const most = sources.length > MOST_POOLS ? MOST_POOLS - 1 : MOST_POOLS;
  const lines = [
    ...sources.slice(0, most).map((text) => (kind === 'server' ? `from ${text}` : text)),
    ...(sources.length > most ? [`… ${sources.length - most} more pools`] : []),
    ...(kind === 'others' && links.length > 0
      ? [`in by ${links.length > 3 ? plural(links.length, 'link') : links.join(', ')}`]
      : []),
    ...(sources.length === 0 && hasKindred
      ? [[...new Set(origins.map(({ family }) => familyName(family)))].join(', ')]
      : []),
    ...(selectors === '' ? [] : [selectors]),
  ];
  const ports = groupBy(tracks, (track) => portWords(track, tracks)).sort((a, b) => meanRule(a) - meanRule(b));
  const box = {
    id,
    title,
    rows: [
      ...lines.map((text, index): Row => ({ id: `${id}-text${index}`, text })),
      ...ports.map((group, index): Row => ({
        id: `${id}-${index}`,
        text: '',
        note: group[0] && portWords(group[0], tracks),
        fate: group[0].fate,
      })),
    ],
  };
  return {
    box,
    tracks: ports.flatMap((group, index) => group.map((track) => ({ ...track, origin: `${id}-${index}` }))),
  };
}

/** How far down the rules are. */
function meanRule(tracks: readonly Track[]): number {
  return mean(tracks.map(({ rule }) => Number(/^rules(\d+)/.exec(rule)?.[1])));
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** One row for what goes to the same rules; another for what goes elsewhere while a link is down. */
function portWords({ words, rule, down }: Track, tracks: readonly Track[]): string {
  const usual = tracks.some(
    (each) => each.words === words && each.down === undefined && boxOf(each.rule) === boxOf(rule),
  );
  if (down === undefined || usual) {
    return words;
  }
  const links = [
    ...new Set(tracks.filter((each) => each.words === words && each.rule === rule).flatMap((each) => each.down ?? [])),
  ];
  return `${words}, ${whenDown(links)}`;
}

function whenDown(links: readonly string[]): string {
  return links.length > 2 ? 'some link down' : `${links.join(' or ')} down`;
}

function edgesOf(tracks: readonly Track[]): { edges: Edge[]; when: Map<string, string[]> } {
  const edges = new Map<string, Edge>();
  const when = new Map<string, string[]>();
  const usual = new Set<string>();
  const legs = ({ origin, rule, table, exit }: Track): Array<readonly [string, string]> => [
    [origin, rule],
    [boxOf(rule), boxOf(table)],
    [table, exit],
  ];
  for (const track of tracks.filter(({ down }) => down === undefined)) {
    for (const [from, to] of legs(track)) {
      usual.add(`${from} ${to}`);
      edges.set(`${from} ${to} ${track.fate}`, { from, to, fate: track.fate, onlyIfDown: false });
    }
  }
  for (const track of tracks) {
    const { down } = track;
    if (down === undefined) continue;
    for (const [from, to] of legs(track)) {
      if (usual.has(`${from} ${to}`)) continue;
      edges.set(`${from} ${to} ${track.fate}`, { from, to, fate: track.fate, onlyIfDown: true });
      const links = when.get(from) ?? [];
      when.set(from, links.includes(down) ? links : [...links, down]);
    }
  }
  return { edges: [...edges.values()], when };
}

function drawTable(
  { id, title, note, rows }: TableBox,
  edges: readonly Edge[],
  when: ReadonlyMap<string, string[]>,
): Box {
  const usual = new Set(edges.filter(({ onlyIfDown }) => !onlyIfDown).map(({ from }) => from));
  const drawn = [...rows.values()].map((row): Row =>
    usual.has(row.id) ? row : { ...row, note: whenDown(when.get(row.id) ?? []) },
  );
  return {
    id,
    title,
    ...(note === undefined ? {} : { note }),
    rows: [...drawn.filter((row) => row.note === undefined), ...drawn.filter((row) => row.note !== undefined)],
  };
}

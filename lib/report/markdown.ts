import type { Host } from '../model/host';
import { MAIN_TABLE_ID } from '../model/host';
import type { Journey, Journeys, Origin, Way } from './journeys';
import { groupBy, keyOf, waysKey } from './journeys';
import { mermaid } from './mermaid';
import { FATES } from './picture';
import { shortName } from './placeholders';
import { oneLine, plural, shortened } from './text';
import { topology } from './topology';

/** Of what could be as many as there are pools. */
const MOST_ROWS = 80;
const MOST_PREFIXES = 6;
const WIDEST = 120;

const WARNING = '⚠';

/** The report on a host, which forges render. */
export function markdown(host: Host, found: Journeys): string {
  const picture = topology(host, found);
  const { head, rows } = classes(host, found);
  const shown = rows.slice(0, MOST_ROWS);
  const alike = found.journeys.some(({ origin }) => origin.alike);
  const used = FATES.filter(({ fate }) => picture.edges.some((edge) => edge.fate === fate));
  return [
    `# Where packets go: ${code(host.path)}`,
    '',
    `What is declared for this host, and what the kernel makes of it. Made at synth.`,
    '',
    '```mermaid',
    mermaid(picture),
    '```',
    '',
    `Lines: ${used.map(({ name, words }) => `${name}, ${words}`).join('; ')}; dotted, only while a link is down.`,
    '',
    '## Classes of traffic',
    '',
    ...[head, head.map(() => '---'), ...shown].map((cells) => `| ${cells.join(' | ')} |`),
    ...(rows.length > shown.length
      ? ['', `And ${plural(rows.length - shown.length, 'more class', 'more classes')}.`]
      : []),
    '',
    ...notes(rows, found, alike).flatMap((line) => [line, '']),
  ]
    .join('\n')
    .replace(/\n+$/, '\n');
}

function notes(rows: ReadonlyArray<readonly string[]>, { links, journeys }: Journeys, alike: boolean): string[] {
  const without = links.filter((link) => !changes(journeys, link));
  return [
    ...(rows.flat().some((cell) => cell.includes(WARNING))
      ? [`${WARNING} Packets of clients leave by the default route of the main table.`]
      : []),
    ...(without.length > 0
      ? [
          `With ${without.slice(0, MOST_PREFIXES).map(code).join(' or ')}${without.length > MOST_PREFIXES ? ' or another link' : ''} down nothing changes for the others.`,
        ]
      : []),
    ...(alike
      ? [
          'Pools that differ in nothing but tables through the same links, or in their tunnels, stand in one row: its path is that of the first.',
        ]
      : []),
  ];
}

function changes(journeys: readonly Journey[], link: string): boolean {
  return journeys.some(({ ways, down }) => {
    const without = down.get(link);
    return without !== undefined && waysKey(without) !== waysKey(ways);
  });
}

function classes(host: Host, { journeys, links }: Journeys): { head: string[]; rows: string[][] } {
  const columns = groupBy(
    links.filter((link) => changes(journeys, link)),
    (link) => journeys.map(({ down }) => waysKey(down.get(link) ?? [])).join('\n'),
  );
  const head = ['from', 'source', 'to', 'path', ...columns.map((same) => `${same.map(code).join(' or ')} down`)];
  const byOrigin = groupBy(journeys, ({ origin }) => originKey(origin)).map((own) =>
    groupBy(own, keyOf).map((group) => ({
      origins: [group[0].origin],
      to: group.map(({ target }) => target),
      journey: group[0],
    })),
  );
  // Origins all of whose packets go the same ways.
  const same = groupBy(byOrigin, (own) =>
    [
      fromPools(own[0].origins[0]) ? '' : own[0].origins[0].kind,
      own[0].origins[0].selectors,
      own[0].origins[0].family,
      ...own.map(({ to, journey }) => `${to.map(({ example }) => example).join()} ${pathsKey(journey, links)}`),
    ].join('\n'),
  );
  const rows = same.flatMap((group) => {
    const origins = group.map(
      ([
        {
          origins: [origin],
        },
      ]) => origin,
    );
    return group[0].map(({ to, journey }, index) => [
      index === 0 ? fromWords(origins) : '',
      index === 0 ? sourceWords(origins) : '',
      toWords(to),
      pathWords(host, journey.origin, journey.ways),
      ...columns.map(([link]) => {
        const down = journey.down.get(link);
        return down === undefined
          ? '–'
          : waysKey(down) === waysKey(journey.ways)
            ? 'same'
            : pathWords(host, journey.origin, down);
      }),
    ]);
  });
  return { head, rows };
}

/** What the server sends from an address in a pool mostly goes as that of the clients in it does. */
function fromPools({ kind, sources }: Origin): boolean {
  return kind === 'clients' || sources.length > 0;
}

function pathsKey({ ways, down }: Journey, links: readonly string[]): string {
  return [ways, ...links.map((link) => down.get(link) ?? ways)].map(waysKey).join(' | ');
}

function originKey({ kind, family, links, sources, selectors }: Origin): string {
  return [kind, family, links.join(), sources.join(), selectors].join(' ');
}

function fromWords(origins: readonly Origin[]): string {
  const [{ selectors }] = origins;
  const links = [...new Set(origins.flatMap((origin) => origin.links))];
  const who = [
    ...(links.length > 0 ? [list(links)] : []),
    ...(origins.some(({ kind, links: by }) => kind !== 'server' && by.length === 0)
      ? ['a link that is not declared']
      : []),
    ...(origins.some(({ kind }) => kind === 'server') ? ['this server'] : []),
  ].join(', ');
  return selectors === '' ? who : `${who}, ${code(selectors)}`;
}

function sourceWords(origins: readonly Origin[]): string {
  const [{ kind, family }] = origins;
  const sources = [...new Set(origins.flatMap((origin) => origin.sources))];
  const any = kind === 'server' ? `IPv${family}, chosen by the kernel` : `any other IPv${family}`;
  return sources.length === 0 ? any : list(sources);
}

function toWords(targets: ReadonlyArray<Journey['target']>): string {
  const [only] = targets.filter(({ kind }) => kind === 'rest');
  return only ? 'anywhere else' : list(targets.flatMap(({ destinations }) => destinations));
}

function list(items: readonly string[]): string {
  const shown = items.length > MOST_PREFIXES + 1 ? items.slice(0, MOST_PREFIXES) : items;
  const more = items.length - shown.length;
  return [...shown.map(code), ...(more > 0 ? [`${more} more`] : [])].join(', ');
}

function pathWords(host: Host, { kind }: Origin, ways: readonly Way[]): string {
  return ways
    .map((way) => `${kind === 'clients' && way.fate === 'uplink' ? `${WARNING} ` : ''}${wayWords(host, way)}`)
    .sort()
    .join(' or ');
}

function wayWords(host: Host, { kind, fate, device, via, tableId, rule }: Way): string {
  const by = tableId === undefined ? (rule ? ` (rule ${rule.priority})` : '') : ` (${tableWords(host, tableId)})`;
  if (fate === 'rejected') {
    return `rejected: ${kind}${by}`;
  }
  if (kind === 'unknown') {
    return `not declared${by}`;
  }
  if (kind !== 'unicast') {
    return 'this server';
  }
  const link = device === undefined ? 'a link not known' : code(device);
  return via === undefined ? `${link}${by}` : `${link} via ${code(shortName(via, host.path))}${by}`;
}

function tableWords(host: Host, id: number): string {
  const name = host.tables.find((table) => table.id === id)?.name;
  return id === MAIN_TABLE_ID
    ? 'main'
    : name === undefined
      ? `table ${id}`
      : /^[A-Za-z0-9-]+$/.test(name)
        ? name
        : code(name);
}

/** Text as it is, whatever Markdown would make of it. */
function code(text: string): string {
  const short = shortened(oneLine(text), WIDEST);
  return /^[\w.:/ ,-]+$/.test(short)
    ? `\`${short}\``
    : `<code>${short.replace(/[^\p{L}\p{N} ./:,-]/gu, (char) => `&#${char.codePointAt(0)};`)}</code>`;
}

import type { Host } from '../model/host';
import type { HostTraffic } from './classes';
import { groupBy } from './groups';
import { mermaid } from './mermaid';
import { LINE_STYLES } from './picture';
import { RowWords, WARNING, cell } from './row-words';
import { TrafficClassRows } from './traffic-class-rows';
import { plural } from './text';
import { topology } from './topology';

/** Limits a list that could grow with the number of pools. */
const MOST_ROWS = 80;
const MOST_LINKS = 6;

/** Returns the heading of the report on a host. */
export function heading({ path }: Host): string {
  return `# Where packets go: ${cell(path)}\n\n`;
}

/** Returns the rest of the report, in Markdown that forges render. */
export function markdown(host: Host, traffic: HostTraffic): string {
  const picture = topology(host, traffic);
  const used = LINE_STYLES.filter(({ ending }) => picture.edges.some((edge) => edge.ending === ending));
  return [
    `What is declared for this host, and what the kernel makes of it. Made at synth.`,
    '',
    '```mermaid',
    mermaid(picture),
    '```',
    '',
    `Lines: ${used.map(({ name, words }) => `${name}, ${words}`).join('; ')}; dashed, only while a link is down.`,
    '',
    '## Classes of traffic',
    '',
    ...classTable(host, traffic),
  ]
    .join('\n')
    .replace(/\n+$/, '\n');
}

function classTable(host: Host, traffic: HostTraffic): string[] {
  const table = new TrafficClassRows(traffic);
  const words = new RowWords(host, traffic);
  const links = traffic.links.map((name, index) => ({ name, index, changes: table.changesBy(index) }));
  const columns = groupBy(
    links.filter(({ changes }) => changes !== undefined),
    ({ changes }) => changes ?? '',
  );
  const head = [
    ...['from', 'source', 'to', 'path'],
    ...columns.map((alike) => `${alike.map(({ name }) => cell(name)).join(' or ')} down`),
  ];
  const numbers = columns.map(([{ index }]) => index);
  const rows = table.groups.slice(0, MOST_ROWS).flatMap((group) => words.rows(group, table.rowsOf(group), numbers));
  const shown = rows.slice(0, MOST_ROWS);
  const more = table.count - shown.length;
  const tunnelsLeftOut = host.interfaces.some(({ name }) => !traffic.links.includes(name));
  const quiet = links.filter(({ changes }) => changes === undefined).map(({ name }) => cell(name));
  return [
    ...[head, head.map(() => '---'), ...shown].map((cells) => `| ${cells.join(' | ')} |`),
    '',
    ...[
      ...(more > 0 ? [`And ${plural(more, 'more class', 'more classes')}.`] : []),
      ...(table.groups.some(({ leaks }) => leaks)
        ? [`${WARNING}: packets of clients leave by the default route of the main table.`]
        : []),
      ...(quiet.length > 0
        ? [
            `With ${quiet.slice(0, MOST_LINKS).join(' or ')}${quiet.length > MOST_LINKS ? ' or another link' : ''} down nothing changes.`,
          ]
        : []),
      ...(tunnelsLeftOut
        ? ['What changes while a link of clients is down is left out: there are too many of them.']
        : []),
      'For a packet that row counts that has the longest prefix around its source; of those the one that says most of it, then the one with the longest prefix around its destination. Packets for the server itself are left out.',
    ].flatMap((line) => [line, '']),
  ];
}

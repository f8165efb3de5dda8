import { oneLine, xmlText } from './escape';
import type { Box, Edge, Fate, Picture, Row } from './picture';
import { FATES, REJECTED } from './picture';
import { shortened, widthOf, wrapped } from './text';

/** Of the fixed-width fonts that readers have, none is wider. */
const CHAR = 7.3;
const FONT = 12;
const LINE = 16;
const PAD = 9;
const HEAD = 25;
const ROW_GAP = 4;
const BOX_GAP = 16;
const COLUMN_GAP = 66;
const MARGIN = 20;
const TOP = 76;
const LEGEND_LINE = 20;
const LEGEND_COLUMN = 400;
/** Of a row of text, in characters: four columns of it can still be read on a page. */
const WIDEST = 41;
/** Where lines of several colours meet they stand beside each other. */
const ABREAST = 5;

const STYLE = `
  svg { --back: #ffffff; --box: #f6f8fa; --edge: #d0d7de; --text: #1f2328; --quiet: #656d76;
    --egress: #0969da; --uplink: #d15704; --local: #7d8590; --rejected: #8250df; --unknown: #bf3989 }
  @media (prefers-color-scheme: dark) {
    svg { --back: #0d1117; --box: #161b22; --edge: #30363d; --text: #e6edf3; --quiet: #9198a1;
      --egress: #58a6ff; --uplink: #ff9248; --local: #8b949e; --rejected: #bc8cff; --unknown: #f778ba }
  }
  text { font: ${FONT}px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace; fill: var(--text); white-space: pre }
  .title { font-size: 16px; font-weight: bold }
  .head { font-weight: bold }
  text.quiet { fill: var(--quiet) }
  .back { fill: var(--back) }
  .box { fill: var(--box); stroke: var(--edge) }
  .line { fill: none; stroke-width: 2 }
  .down { stroke-dasharray: 6 4 }
${FATES.map(({ fate }) => `  .${fate} { --own: var(--${fate}) }`).join('\n')}
  .line, .cross { stroke: var(--own) }
  .cross { stroke-width: 2.5 }
  .arrow, text.own { fill: var(--own) }
`;

interface Placed {
  readonly box: Box;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly rows: ReadonlyArray<{ readonly row: Row; readonly lines: readonly string[]; readonly y: number }>;
}

/** An end of lines: the middle of a row at a side of its box. */
interface Port {
  readonly left: number;
  readonly right: number;
  readonly y: number;
}

/** The picture as a file that needs nothing else: no script, no font, nothing from elsewhere. */
export function svg(picture: Picture): string {
  const { placed, width: columnsWidth, height: columnsHeight, heads } = place(picture);
  const entries = [
    ...FATES.filter(({ fate }) => picture.edges.some((edge) => edge.fate === fate)).map((each) => ({
      ...each,
      down: false,
    })),
    ...(picture.edges.some(({ onlyIfDown }) => onlyIfDown)
      ? [{ fate: 'local' as const, words: 'only while a link is down', down: true }]
      : []),
  ];
  const width = Math.max(columnsWidth, 2 * LEGEND_COLUMN);
  const legendTop = TOP + columnsHeight + 34;
  const legend = entries.map(({ fate, words, down }, index) =>
    legendEntry(
      fate,
      words,
      MARGIN + (index % 2) * LEGEND_COLUMN,
      legendTop + Math.floor(index / 2) * LEGEND_LINE,
      down,
    ),
  );
  const height = legendTop + Math.ceil(entries.length / 2) * LEGEND_LINE + MARGIN - 14;
  const ports = portsOf(placed);
  const titleWidth = Math.floor((width - 2 * MARGIN) / (CHAR * (16 / FONT)));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${n(width)} ${n(height)}" width="${n(width)}" height="${n(height)}" role="img" aria-labelledby="title desc">`,
    `<title id="title">${xmlText(picture.title)}</title>`,
    `<desc id="desc">${xmlText(picture.description)}</desc>`,
    `<style>${STYLE}</style>`,
    `<rect class="back" width="100%" height="100%" rx="8"/>`,
    text(MARGIN, MARGIN + 14, shortened(oneLine(picture.title), titleWidth), 'title'),
    ...heads,
    ...drawEdges(picture.edges, ports),
    ...placed.flatMap(drawBox),
    ...legend,
    '</svg>',
    '',
  ].join('\n');
}

function place(picture: Picture): { placed: Placed[]; heads: string[]; width: number; height: number } {
  const columns = picture.columns.filter(({ boxes }) => boxes.length > 0);
  const heights = columns.map(({ boxes }) => sum(boxes.map(heightOf)) + BOX_GAP * (boxes.length - 1));
  const height = Math.max(0, ...heights);
  const placed: Placed[] = [];
  const heads: string[] = [];
  let x = MARGIN;
  columns.forEach(({ title, boxes }, index) => {
    const width = Math.ceil(Math.max(widthOf(title), ...boxes.map(columnsOf)) * CHAR) + 2 * PAD;
    heads.push(text(x, TOP - 14, title, 'quiet'));
    let y = TOP + (height - heights[index]) / 2;
    for (const box of boxes) {
      placed.push(placeBox(box, x, y, width));
      y += heightOf(box) + BOX_GAP;
    }
    x += width + COLUMN_GAP;
  });
  return { placed, heads, width: x - COLUMN_GAP + MARGIN, height };
}

function placeBox(box: Box, x: number, y: number, width: number): Placed {
  let rowY = y + HEAD + 2;
  const rows = box.rows.map((row) => {
    const lines = linesOf(row);
    const placed = { row, lines, y: rowY };
    rowY += lines.length * LINE + ROW_GAP;
    return placed;
  });
  return { box, x, y, width, height: heightOf(box), rows };
}

function heightOf({ rows }: Box): number {
  return HEAD + (rows.length > 0 ? 6 : 0) + sum(rows.map((row) => linesOf(row).length * LINE + ROW_GAP));
}

function columnsOf({ title, note, rows }: Box): number {
  return Math.min(
    WIDEST,
    Math.max(
      columnsFor(title, note),
      ...rows.map((row) => {
        const lines = linesOf(row);
        return Math.max(...lines.map(widthOf), columnsFor(lines[0], row.note));
      }),
    ),
  );
}

function columnsFor(text: string, note: string | undefined): number {
  return widthOf(text) + (note === undefined ? 0 : widthOf(note) + 2);
}

function linesOf({ text: all, note }: Row): string[] {
  return wrapped(oneLine(all), WIDEST - (note === undefined ? 0 : widthOf(note) + 2));
}

function drawBox({ box, x, y, width, height, rows }: Placed): string[] {
  const room = Math.floor((width - 2 * PAD) / CHAR);
  const title = shortened(oneLine(box.title), room - (box.note === undefined ? 0 : widthOf(box.note) + 2));
  return [
    `<rect class="box" x="${n(x)}" y="${n(y)}" width="${n(width)}" height="${n(height)}" rx="6"/>`,
    text(x + PAD, y + 17, title, 'head'),
    ...(box.note === undefined ? [] : [text(x + width - PAD, y + 17, box.note, 'quiet', 'end')]),
    ...rows.flatMap(({ row, lines, y: top }) => [
      ...lines.map((line, index) =>
        text(x + PAD, top + 12 + index * LINE, line, row.quiet ? 'quiet' : row.fate ? `own ${row.fate}` : undefined),
      ),
      ...(row.note === undefined
        ? []
        : [
            text(x + width - PAD, top + 12, row.note, row.text === '' && row.fate ? `own ${row.fate}` : 'quiet', 'end'),
          ]),
    ]),
  ];
}

function portsOf(placed: readonly Placed[]): Map<string, Port> {
  const ports = new Map<string, Port>();
  for (const { box, x, y, width, rows } of placed) {
    const [left, right] = [x, x + width];
    ports.set(box.id, { left, right, y: y + HEAD / 2 });
    rows.forEach(({ row, lines, y: top }) => ports.set(row.id, { left, right, y: top + (lines.length * LINE) / 2 }));
  }
  return ports;
}

/** Those that packets take while all is well are on top. */
function drawEdges(edges: readonly Edge[], ports: ReadonlyMap<string, Port>): string[] {
  const ends = new Map<string, Fate[]>();
  for (const { from, to, fate } of edges) {
    for (const end of [`${from} out`, `${to} in`]) {
      const there = ends.get(end) ?? [];
      ends.set(end, there.includes(fate) ? there : [...there, fate]);
    }
  }
  const beside = (end: string, fate: Fate): number => {
    const there = ends.get(end) ?? [];
    return (there.indexOf(fate) - (there.length - 1) / 2) * ABREAST;
  };
  return [...edges.filter(({ onlyIfDown }) => onlyIfDown), ...edges.filter(({ onlyIfDown }) => !onlyIfDown)].flatMap(
    ({ from, to, fate, onlyIfDown }) => {
      const [start, end] = [ports.get(from), ports.get(to)];
      if (!start || !end) {
        throw new Error(`an edge leads from "${from}" to "${to}", and one of them is not in the picture`);
      }
      const [x1, y1] = [start.right, start.y + beside(`${from} out`, fate)];
      const [x2, y2] = [end.left, end.y + beside(`${to} in`, fate)];
      const bend = (x2 - x1) / 2;
      const path = `M${n(x1)} ${n(y1)} C${n(x1 + bend)} ${n(y1)} ${n(x2 - bend)} ${n(y2)} ${n(x2 - 5)} ${n(y2)}`;
      return [
        `<path class="line ${fate}${onlyIfDown ? ' down' : ''}" d="${path}"/>`,
        tip(x2, y2, fate, to === REJECTED),
      ];
    },
  );
}

function tip(x: number, y: number, fate: Fate, ends: boolean): string {
  return ends
    ? `<path class="cross ${fate}" d="M${n(x - 9)} ${n(y - 4)} l8 8 m0 -8 l-8 8"/>`
    : `<path class="arrow ${fate}" d="M${n(x)} ${n(y)} l-8 -4 v8 z"/>`;
}

function legendEntry(fate: Fate, words: string, x: number, y: number, onlyIfDown: boolean): string {
  const end = x + 44;
  return [
    `<path class="line ${fate}${onlyIfDown ? ' down' : ''}" d="M${n(x)} ${n(y)} H${n(end - 5)}"/>`,
    ...(onlyIfDown ? [] : [tip(end, y, fate, fate === 'rejected')]),
    text(end + 10, y + 4, words, 'quiet'),
  ].join('\n');
}

function text(x: number, y: number, words: string, className?: string, anchor?: 'end'): string {
  const attributes = `${className ? ` class="${className}"` : ''}${anchor ? ` text-anchor="${anchor}"` : ''}`;
  return `<text x="${n(x)}" y="${n(y)}"${attributes}>${xmlText(words)}</text>`;
}

/** At most one digit behind the point. */
function n(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

import type { Port, Trunk } from './channels';
import { trunksOf } from './channels';
import { oneLine } from './escape';
import type { Box, Edge, Picture, Row } from './picture';
import { widthOf, wrapped } from './text';

/** The width of a character. No common fixed-width font is wider. */
export const CHAR = 7.3;
export const LINE = 16;
export const PAD = 9;
export const HEAD = 25;
export const MARGIN = 20;
export const TOP = 76;
const ROW_GAP = 4;
const BOX_GAP = 16;
const COLUMN_GAP = 66;
/** The widest row of text, in characters. Four such columns are still readable on a page. */
const WIDEST = 41;
/** The space between vertical lines, and between them and the boxes. The space on the right holds the arrows. */
const CHANNEL = 10;
const LEFT_OF_CHANNELS = 16;
const RIGHT_OF_CHANNELS = 24;

export interface PlacedBox {
  readonly box: Box;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly rows: ReadonlyArray<{ readonly row: Row; readonly lines: readonly string[]; readonly y: number }>;
}

/** A trunk, with the right side of the boxes before it and the left side of the boxes behind it. */
export interface PlacedTrunk extends Trunk {
  readonly left: number;
  readonly right: number;
  /** The position of the vertical line of each channel. */
  readonly channels: readonly number[];
}

export interface Layout {
  readonly boxes: readonly PlacedBox[];
  readonly trunks: readonly PlacedTrunk[];
  readonly heads: ReadonlyArray<{ readonly title: string; readonly x: number }>;
  readonly width: number;
  /** The height of the columns. */
  readonly height: number;
}

type Upright = Omit<PlacedBox, 'x' | 'width'>;

export function layoutOf(picture: Picture): Layout {
  const columns = picture.columns.filter(({ boxes }) => boxes.length > 0);
  const heights = columns.map(({ boxes }) => sum(boxes.map(heightOf)) + BOX_GAP * (boxes.length - 1));
  const height = Math.max(0, ...heights);
  const placed = columns.map(({ boxes }, index) =>
    placeInColumn(boxes, TOP + Math.round((height - heights[index]) / 2)),
  );
  const gaps = gapsOf(picture.edges, placed);
  const found: { boxes: PlacedBox[]; trunks: PlacedTrunk[]; heads: Array<{ title: string; x: number }> } = {
    ...{ boxes: [], trunks: [], heads: [] },
  };
  let x = MARGIN;
  columns.forEach(({ title, boxes }, index) => {
    const width = Math.ceil(Math.max(widthOf(title), ...boxes.map(columnsOf)) * CHAR) + 2 * PAD;
    const left = x + width;
    const trunks = gaps[index];
    const gap = channelsOf(left, 1 + Math.max(-1, ...trunks.map(({ channel }) => channel)));
    found.heads.push({ title, x });
    found.boxes.push(...placed[index].map((box) => ({ ...box, x, width })));
    found.trunks.push(...trunks.map((trunk) => ({ ...trunk, left, ...gap })));
    x = gap.right;
  });
  const right = Math.max(0, ...found.boxes.map((box) => box.x + box.width));
  return { ...found, width: right + MARGIN, height };
}

function placeInColumn(boxes: readonly Box[], top: number): Upright[] {
  let y = top;
  return boxes.map((box) => {
    let rowY = y + HEAD + 2;
    const rows = box.rows.map((row) => {
      const lines = linesOf(row);
      const placed = { row, lines, y: rowY };
      rowY += lines.length * LINE + ROW_GAP;
      return placed;
    });
    const placed = { box, y, height: heightOf(box), rows };
    y += placed.height + BOX_GAP;
    return placed;
  });
}

/** Returns the lines between each column and the next. */
function gapsOf(edges: readonly Edge[], columns: ReadonlyArray<readonly Upright[]>): Trunk[][] {
  const ports = new Map<string, Port>();
  const columnOf = new Map<string, number>();
  columns.forEach((boxes, column) =>
    boxes.forEach(({ box, y, rows }) => {
      ports.set(box.id, { y: Math.round(y + HEAD / 2), height: HEAD - 6 });
      rows.forEach(({ row, lines, y: top }) => {
        const height = lines.length * LINE;
        ports.set(row.id, { y: top + height / 2, height });
      });
      [box, ...box.rows].forEach(({ id }) => columnOf.set(id, column));
    }),
  );
  return columns.map((_, column) =>
    trunksOf(
      edges.filter(({ from }) => columnOf.get(from) === column),
      ports,
    ),
  );
}

function channelsOf(left: number, count: number): { right: number; channels: number[] } {
  const needed = LEFT_OF_CHANNELS + Math.max(0, count - 1) * CHANNEL + RIGHT_OF_CHANNELS;
  const spare = Math.max(0, COLUMN_GAP - needed);
  const first = left + LEFT_OF_CHANNELS + Math.round(spare / 2);
  return {
    right: left + needed + spare,
    channels: Array.from({ length: count }, (_, index) => first + index * CHANNEL),
  };
}

function heightOf({ rows }: Box): number {
  return HEAD + (rows.length > 0 ? 6 : 0) + sum(rows.map((row) => linesOf(row).length * LINE + ROW_GAP));
}

/** Returns the text at the end of the title line. The label of a leak needs a margin. */
export function besideTitle({ note, leak }: Box): string | undefined {
  return note ?? (leak && `${leak.label}  `);
}

function columnsOf(box: Box): number {
  const { title, rows } = box;
  return Math.min(
    WIDEST,
    Math.max(
      columnsFor(title, besideTitle(box)),
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

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

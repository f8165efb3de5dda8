import { oneLine, xmlText } from './escape';
import type { Ending, Picture } from './picture';
import { DASHES, LINE_STYLES, REJECTED, styleOf } from './picture';
import type { PlacedBox, PlacedTrunk } from './svg-layout';
import { CHAR, HEAD, LINE, MARGIN, PAD, TOP, besideTitle, layoutOf } from './svg-layout';
import { darkStyle, n, paint, rectangle, text } from './svg-paint';
import { shortened, widthOf } from './text';

const FONT = `ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace`;
const FONT_SIZE = 12;
const TITLE_SIZE = 16;
const LEGEND_LINE = 20;
const LEGEND_COLUMN = 400;
/** The radius of the bends of lines. */
const RADIUS = 6;
const LEAK_BORDER = 3;

/** Returns the picture as a self-contained file: no script, no font, nothing from elsewhere. */
export function svg(picture: Picture): string {
  const layout = layoutOf(picture);
  const width = Math.max(layout.width, 2 * LEGEND_COLUMN);
  const entries = legendEntries(picture);
  const legendTop = TOP + layout.height + 34;
  const height = legendTop + Math.ceil(entries.length / 2) * LEGEND_LINE + MARGIN - 14;
  const titleWidth = Math.floor((width - 2 * MARGIN) / (CHAR * (TITLE_SIZE / FONT_SIZE)));
  const title = shortened(oneLine(picture.title), titleWidth);
  const elements = [
    rectangle({ x: 0, y: 0, width, height }, paint({ fill: 'back' })),
    text(MARGIN, MARGIN + 14, title, { isBold: true, size: TITLE_SIZE }),
    ...layout.heads.map((head) => text(head.x, TOP - 14, head.title, { colour: 'quiet' })),
    ...[...layout.trunks].sort((a, b) => importance(a) - importance(b)).map(drawTrunk),
    ...layout.boxes.flatMap(drawBox),
    ...entries.map((entry, index) =>
      drawEntry(entry, MARGIN + (index % 2) * LEGEND_COLUMN, legendTop + Math.floor(index / 2) * LEGEND_LINE),
    ),
  ];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${n(width)} ${n(height)}" width="${n(width)}" height="${n(height)}" role="img" aria-labelledby="title desc" font-family="${FONT}" font-size="${FONT_SIZE}">`,
    `<title id="title">${xmlText(picture.title)}</title>`,
    `<desc id="desc">${xmlText(picture.description)}</desc>`,
    darkStyle(elements),
    ...elements,
    '</svg>',
    '',
  ].join('\n');
}

/** More important lines are drawn over less important ones. */
function importance({ ending, onlyIfDown }: PlacedTrunk): number {
  return (ending === 'leak' ? 2 : 0) + (onlyIfDown ? 0 : 1);
}

function drawTrunk(trunk: PlacedTrunk): string {
  const { to, ending, onlyIfDown, y, right } = trunk;
  const isRejected = to === REJECTED;
  return [line(pathOf(trunk, right - 5), ending, onlyIfDown), tip(right, y, ending, isRejected)].join('\n');
}

/**
 * Draws the trunk with the two outermost stubs, each one half. The other stubs bend into it. No part is drawn twice,
 * because that would fill the gaps of dashes.
 */
function pathOf({ channel, y, stubs, left, channels }: PlacedTrunk, end: number): string {
  const x = channels[channel];
  const heights = stubs.map((stub) => stub.y);
  const outermost = [Math.min(...heights), Math.max(...heights)].filter(
    (height, index) => (index === 0) === height <= y,
  );
  let arrives = false;
  const arrive = (): string => {
    const rest = arrives ? '' : ` H${n(end)}`;
    arrives = true;
    return rest;
  };
  return stubs
    .map(({ y: from, since }) => {
      const start = `M${n(since === undefined ? left : channels[since] - RADIUS)} ${n(from)}`;
      if (from === y) {
        return `${start}${arrive()}`;
      }
      const bend = Math.min(RADIUS, Math.abs(y - from) / 2);
      const down = Math.sign(y - from) * bend;
      const join = `${start} H${n(x - bend)} Q${n(x)} ${n(from)} ${n(x)} ${n(from + down)}`;
      return bend === RADIUS && !outermost.includes(from)
        ? join
        : `${join} V${n(y - down)} Q${n(x)} ${n(y)} ${n(x + bend)} ${n(y)}${arrive()}`;
    })
    .join(' ');
}

function line(path: string, colour: Ending | 'quiet', onlyIfDown: boolean): string {
  const width = colour === 'quiet' ? 2 : styleOf(colour).width;
  return `<path d="${path}" fill="none" ${paint({ stroke: colour })} stroke-width="${width}"${dashes(onlyIfDown)}/>`;
}

/** Returns the dashes, which are the same for lines, borders and the legend. */
function dashes(onlyIfDown: boolean): string {
  return onlyIfDown ? ` stroke-dasharray="${DASHES}"` : '';
}

function tip(x: number, y: number, colour: Ending | 'quiet', ends: boolean): string {
  const size = colour === 'leak' ? 5.5 : 4;
  return ends
    ? `<path d="M${n(x - 9)} ${n(y - 4)} l8 8 m0 -8 l-8 8" fill="none" ${paint({ stroke: colour })} stroke-width="2.5"/>`
    : `<path d="M${n(x)} ${n(y)} l${-2 * size} ${-size} v${2 * size} z" ${paint({ fill: colour })}/>`;
}

function drawBox({ box, x, y, width, height, rows }: PlacedBox): string[] {
  const { leak, note } = box;
  const room = Math.floor((width - 2 * PAD) / CHAR);
  const beside = besideTitle(box);
  const title = shortened(oneLine(box.title), room - (beside === undefined ? 0 : widthOf(beside) + 2));
  const end = x + width - PAD;
  return [
    leak
      ? rectangle(
          { x, y, width, height },
          paint({ fill: 'leakBox', stroke: 'leak' }) + dashes(leak.onlyIfDown),
          LEAK_BORDER,
        )
      : rectangle({ x, y, width, height }, paint({ fill: 'box', stroke: 'edge' }), 1),
    text(x + PAD, y + 17, title, { isBold: true }),
    ...(note === undefined ? [] : [text(end, y + 17, note, { colour: 'quiet', anchor: 'end' })]),
    ...(leak ? badge(leak.label, end, y + 5) : []),
    ...rows.flatMap(({ row, lines, y: top }) => {
      const isBold = row.ending === 'leak';
      const style = { colour: row.quiet ? 'quiet' : row.ending, isBold } as const;
      const noteStyle = { colour: (row.text === '' && row.ending) || 'quiet', isBold, anchor: 'end' } as const;
      return [
        ...lines.map((words, index) => text(x + PAD, top + 12 + index * LINE, words, style)),
        ...(row.note === undefined ? [] : [text(end, top + 12, row.note, noteStyle)]),
      ];
    }),
  ];
}

function badge(label: string, right: number, top: number): string[] {
  const width = Math.ceil((widthOf(label) + 1) * CHAR);
  return [
    rectangle({ x: right - width, y: top, width, height: HEAD - 7 }, paint({ fill: 'leak' })),
    text(right - width / 2, top + 13, label, { colour: 'onLeak', isBold: true, anchor: 'middle' }),
  ];
}

interface LegendEntry {
  readonly colour: Ending | 'quiet';
  readonly words: string;
}

/** Returns a legend entry for each kind of line in the picture. */
function legendEntries({ edges }: Picture): LegendEntry[] {
  const used = LINE_STYLES.filter(({ ending }) => edges.some((edge) => edge.ending === ending));
  const hasDashes = edges.some(({ onlyIfDown }) => onlyIfDown);
  return [
    ...used.map(({ ending, words }): LegendEntry => ({ colour: ending, words })),
    ...(hasDashes ? [{ colour: 'quiet', words: 'only while a link is down' } as const] : []),
  ];
}

function drawEntry({ colour, words }: LegendEntry, x: number, y: number): string {
  const end = x + 49;
  return [
    line(`M${n(x)} ${n(y)} H${n(end - 5)}`, colour, colour === 'quiet'),
    tip(end, y, colour, colour === 'rejected'),
    text(end + 10, y + 4, words, { colour: 'quiet', isBold: colour === 'leak' }),
  ].join('\n');
}

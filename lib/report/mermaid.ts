import { mermaidText } from './escape';
import type { Box, Edge, Picture, Row } from './picture';
import { DASHES, LINE_STYLES, LEAK, REJECTED, styleOf } from './picture';
import { groupBy } from './groups';

/** Returns the picture as a flowchart that forges render. Its lines lead from box to box. */
export function mermaid(picture: Picture): string {
  const boxes = picture.columns.flatMap((column) => column.boxes);
  const ids = new Map<string, string>();
  const rows = new Map<string, Row>();
  boxes.forEach((box, index) => {
    ids.set(box.id, `n${index}`);
    for (const row of box.rows) {
      ids.set(row.id, `n${index}`);
      rows.set(row.id, row);
    }
  });
  const lines = groupBy(picture.edges, ({ from, to, ending, onlyIfDown }) =>
    [ids.get(from), ids.get(to), ending, onlyIfDown].join(' '),
  );
  return [
    // With `LR`, the rules would be in one column, and the layout would change their order.
    'flowchart TB',
    ...picture.columns.flatMap(({ title, boxes: own }, index) => [
      `  subgraph c${index}["${mermaidText(title)}"]`,
      ...own.map((box) => `    ${ids.get(box.id)}["${boxText(box)}"]`),
      '  end',
    ]),
    ...lines.map((edges) => `  ${ids.get(edges[0].from)} ${arrow(edges, rows)} ${ids.get(edges[0].to)}`),
    ...inOrder(picture, ids),
    ...LINE_STYLES.flatMap(({ ending, colour, width }) =>
      [false, true].flatMap((onlyIfDown) => {
        const numbers = lines.flatMap(([edge], index) =>
          edge.ending === ending && edge.onlyIfDown === onlyIfDown ? [index] : [],
        );
        return numbers.length > 0
          ? [`  linkStyle ${numbers.join(',')} ${strokeOf({ colour, width, onlyIfDown })}`]
          : [];
      }),
    ),
    ...leakStyles(boxes, ids),
  ].join('\n');
}

function boxText({ title, note, leak, rows }: Box): string {
  const texts = rows.filter(({ text }) => text !== '').map(rowText);
  return [
    ...(leak ? [`<b>${mermaidText(leak.label)}</b>`] : []),
    `<b>${mermaidText(title)}</b>${note === undefined ? '' : ` ${mermaidText(note)}`}`,
    ...texts.map(mermaidText),
  ].join('<br>');
}

function rowText({ text, note }: Row): string {
  return note === undefined ? text : `${text}, ${note}`;
}

/** Draws an arrow. A line that begins at a class of traffic has the class as its label. */
function arrow(edges: readonly [Edge, ...Edge[]], rows: ReadonlyMap<string, Row>): string {
  const [{ to, ending, onlyIfDown }] = edges;
  const words = [
    ...new Set(edges.flatMap(({ from }) => (rows.get(from)?.text === '' ? (rows.get(from)?.note ?? []) : []))),
  ].join(', ');
  const head = to === REJECTED ? 'x' : '>';
  const label = words === '' ? '' : `|"${mermaidText(ending === 'leak' ? `${LEAK}: ${words}` : words)}"|`;
  return `${onlyIfDown ? '-.-' : '--'}${head}${label}`;
}

/** Adds invisible links that put each box of an ordered column below the previous one. */
function inOrder({ columns }: Picture, ids: ReadonlyMap<string, string>): string[] {
  return columns
    .filter(({ isOrdered, boxes }) => isOrdered && boxes.length > 1)
    .map(({ boxes }) => `  ${boxes.map(({ id }) => ids.get(id)).join(' ~~~ ')}`);
}

function leakStyles(boxes: readonly Box[], ids: ReadonlyMap<string, string>): string[] {
  const { colour, width } = styleOf('leak');
  return [false, true].flatMap((onlyIfDown) => {
    const leaking = boxes.filter(({ leak }) => leak?.onlyIfDown === onlyIfDown).map(({ id }) => ids.get(id));
    const name = onlyIfDown ? 'leakIfDown' : 'leak';
    return leaking.length > 0
      ? [`  classDef ${name} ${strokeOf({ colour, width, onlyIfDown })}`, `  class ${leaking.join(',')} ${name}`]
      : [];
  });
}

function strokeOf(line: { colour: string; width: number; onlyIfDown: boolean }): string {
  const dashes = line.onlyIfDown ? `,stroke-dasharray:${DASHES}` : '';
  return `stroke:${line.colour},stroke-width:${line.width}px${dashes}`;
}

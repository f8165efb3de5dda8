import type { Edge, Picture, Row } from './picture';
import { FATES, REJECTED } from './picture';
import { groupBy } from './groups';
import { oneLine } from './text';

/** The picture as a flowchart that forges render, with lines between boxes. */
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
  const lines = groupBy(picture.edges, ({ from, to, fate, onlyIfDown }) =>
    [ids.get(from), ids.get(to), fate, onlyIfDown].join(' '),
  );
  const styles = FATES.flatMap(({ fate, colour }) => {
    const numbers = lines.flatMap(([edge], index) => (edge.fate === fate ? [index] : []));
    return numbers.length > 0 ? [`  linkStyle ${numbers.join(',')} stroke:${colour},stroke-width:2px`] : [];
  });
  return [
    'flowchart LR',
    ...picture.columns.flatMap(({ title, boxes: own }, index) => [
      `  subgraph c${index}["${escaped(title)}"]`,
      ...own.map((box) => {
        const head = `<b>${escaped(box.title)}</b>${box.note === undefined ? '' : ` ${escaped(box.note)}`}`;
        const texts = box.rows.filter(({ text }) => text !== '').map(rowText);
        return `    ${ids.get(box.id)}["${[head, ...texts.map(escaped)].join('<br>')}"]`;
      }),
      '  end',
    ]),
    ...lines.map((edges) => `  ${ids.get(edges[0].from)} ${arrow(edges, rows)} ${ids.get(edges[0].to)}`),
    ...styles,
  ].join('\n');
}

function rowText({ text, note }: Row): string {
  return note === undefined ? text : `${text}, ${note}`;
}

/** The class of traffic is said where its line begins. */
function arrow(edges: readonly [Edge, ...Edge[]], rows: ReadonlyMap<string, Row>): string {
  const [{ to, onlyIfDown }] = edges;
  const words = [
    ...new Set(edges.flatMap(({ from }) => (rows.get(from)?.text === '' ? (rows.get(from)?.note ?? []) : []))),
  ];
  const head = to === REJECTED ? 'x' : '>';
  const label = words.length === 0 ? '' : `|"${escaped(words.join(', '))}"|`;
  return `${onlyIfDown ? '-.-' : '--'}${head}${label}`;
}

/** What is not letters, digits or harmless is written by its number; a list a label must not be either. */
function escaped(text: string): string {
  return oneLine(text).replace(/[^\p{L}\p{N} .,:/()_…-]|^-/gu, (char) => `#${char.codePointAt(0)};`);
}

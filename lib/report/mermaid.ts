import { mermaidText } from './escape';
import type { Edge, Picture, Row } from './picture';
import { FATES, REJECTED } from './picture';
import { groupBy } from './groups';

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
      `  subgraph c${index}["${mermaidText(title)}"]`,
      ...own.map((box) => {
        const head = `<b>${mermaidText(box.title)}</b>${box.note === undefined ? '' : ` ${mermaidText(box.note)}`}`;
        const texts = box.rows.filter(({ text }) => text !== '').map(rowText);
        return `    ${ids.get(box.id)}["${[head, ...texts.map(mermaidText)].join('<br>')}"]`;
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
  const label = words.length === 0 ? '' : `|"${mermaidText(words.join(', '))}"|`;
  return `${onlyIfDown ? '-.-' : '--'}${head}${label}`;
}

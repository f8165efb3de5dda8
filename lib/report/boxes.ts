import { getOrInsertComputed } from '../model/maps';
import type { Box, Edge, Ending, Row } from './picture';
import { mean } from './tracks';

/** The most rows of a box that readers can take in at a glance. */
export const MOST_ROWS = 8;

/** Rows of a box. If there are more than fit, the last row stands for the rest. */
export class Rows {
  private readonly rows = new Map<
    string,
    { readonly id: string; readonly ending: Ending; readonly texts: Set<string> }
  >();

  public constructor(
    private readonly boxId: string,
    private readonly what: string,
  ) {}

  /**
   * Returns the id of the row; adds the row if it is new.
   *
   * @param key - texts with the same key share one row, which shows the first text and how many more there are
   */
  public idOf(text: string, ending: Ending, key = text): string {
    const id = `${this.boxId}-${Math.min(this.rows.size, MOST_ROWS - 1)}`;
    const row = getOrInsertComputed(this.rows, key, () => ({ id, ending, texts: new Set() }));
    row.texts.add(text);
    return row.id;
  }

  public get drawn(): Row[] {
    const drawn = [...this.rows.values()].map(({ id, ending, texts }): Row => {
      const [first] = texts;
      return { id, text: texts.size > 1 ? `${first}, ${texts.size - 1} more` : first, ending };
    });
    const more = drawn.length - MOST_ROWS + 1;
    return more > 1
      ? [...drawn.slice(0, MOST_ROWS - 1), { ...drawn[MOST_ROWS - 1], text: `… ${more} more ${this.what}` }]
      : drawn;
  }
}

/** Sorts boxes by the height of the rows that lead to them, so that few lines cross. */
export function inOrderOf(before: readonly Box[], edges: readonly Edge[], boxes: readonly Box[]): Box[] {
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

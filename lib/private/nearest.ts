/** The most typing errors in a name that still tell which one is meant. */
const MOST_ERRORS = 2;

/** The name that is meant by a misspelt one; undefined if none is near. */
export function nearest(misspelt: string, names: readonly string[]): string | undefined {
  const wrong = folded(misspelt);
  const [best] = names
    .map((name) => ({ name, errors: distance(wrong, folded(name)) }))
    // Short names are all near each other.
    .filter(({ name, errors }) => errors <= MOST_ERRORS && errors * 3 <= name.length)
    .sort((a, b) => a.errors - b.errors);
  return best?.name;
}

/** `table_id` is `tableId`, and so is `tableid`. */
function folded(name: string): string {
  return name.toLowerCase().replace(/[_-]/g, '');
}

/** Levenshtein's: the number of letters to insert, delete or replace. */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (const [index, letter] of [...from].entries()) {
    let diagonal = row[0];
    const next = [index + 1];
    for (let at = 1; at <= to.length; at++) {
      next.push(Math.min(row[at] + 1, next[at - 1] + 1, diagonal + Number(letter !== to[at - 1])));
      diagonal = row[at];
    }
    row = next;
  }
  return row[to.length];
}

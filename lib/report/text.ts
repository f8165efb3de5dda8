const MORE = '…';
/** Characters that take about two columns: East Asian scripts, and emoji. */
const WIDE = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\u{1f000}-\u{3ffff}]/u;

/** Returns how many columns of a fixed-width font a text takes at most. */
export function widthOf(text: string): number {
  return [...text].reduce((width, char) => width + (WIDE.test(char) ? 2 : 1), 0);
}

export function shortened(text: string, width: number): string {
  if (widthOf(text) <= width) {
    return text;
  }
  let short = '';
  for (const char of text) {
    if (widthOf(short + char) >= width) break;
    short += char;
  }
  return short.trimEnd() + MORE;
}

/** Wraps a text into lines, between words where possible. */
export function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && widthOf(`${last} ${word}`) <= width) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else {
      lines.push(shortened(word, width));
    }
  }
  return lines;
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

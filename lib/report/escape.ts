/**
 * The one place where text that others wrote (names, paths, messages) becomes text for a terminal, Markdown, Mermaid,
 * SVG or JSON. Whoever proposes a change chooses that text, and somebody else's machine shows it.
 */

/** Cannot stand in a line of text, turns it around, or is not seen. */
const UNPRINTABLE = '[\\p{Cc}\\p{Cf}\\p{Cs}\\p{Zl}\\p{Zp}\\p{Default_Ignorable_Code_Point}\\ufffe\\uffff]';
const RUNS = new RegExp(`${UNPRINTABLE}+`, 'gu');
/** All that JSON does not escape itself; the line breaks are its own. */
const IN_JSON = new RegExp(`(?!\\n)${UNPRINTABLE}|#(?=#)`, 'gu');

/**
 * In one line, with nothing in it that a terminal does not show as it is. Nor is anything in it a command to what runs
 * a job and reads its log, wherever in a line it stands: `##[error]` (GitHub, Azure), `##vso[`, `##teamcity[`.
 */
export function oneLine(text: string): string {
  return text.replace(RUNS, ' ').replace(/#(?=#)/g, '# ');
}

/** For a terminal, or the log of a job: each is one line. */
export function terminal(lines: readonly string[]): string {
  return lines.map((line) => `${terminalLine(line)}\n`).join('');
}

/** For a terminal, where some of the lines are ours and it is not known which. */
export function terminalText(text: string): string {
  return text.split('\n').map(terminalLine).join('\n');
}

/**
 * A line of its own: GitHub reads `::error::` as a command where it begins one, also behind blanks. An address such as
 * `::1` may begin it: no command is called so.
 */
function terminalLine(text: string): string {
  return oneLine(text).replace(/^(\s*):(?=:)(?!:[\da-f:./]*(?:[\s,]|$))/i, '$1: ');
}

/**
 * For Markdown, as code: no forge looks for mentions, links or anything else in a code span. What could end the span,
 * or the cell of a table that it is in, is replaced: how it is escaped, and whether it can be, is another thing in each
 * forge.
 */
export function code(text: string): string {
  const line = oneLine(text).replace(/`/g, "'").replace(/\|/g, '¦');
  return `\`${line === '' ? ' ' : line}\``;
}

/** For a label in Mermaid, which must not look like a list either. */
export function mermaidText(text: string): string {
  return oneLine(text).replace(/[^\p{L}\p{N} .,:/()_…-]|^-/gu, (char) => `#${char.codePointAt(0)};`);
}

const XML: ReadonlyMap<string, string> = new Map([
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
  ['"', '&quot;'],
  ["'", '&#39;'],
]);

/** For SVG. */
export function xmlText(text: string): string {
  return oneLine(text).replace(/[&<>"']/g, (char) => XML.get(char) ?? char);
}

/** For programs: exact, and a terminal or the runner of a job sees no more in it than they do in other text. */
export function json(value: unknown): string {
  const escaped = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
  const text = JSON.stringify(value, undefined, 2);
  return `${text.replace(IN_JSON, (char) => char.split('').map(escaped).join(''))}\n`;
}

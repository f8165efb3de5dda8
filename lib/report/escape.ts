/**
 * The only place that turns text of others (names, paths, messages) into text for a terminal, Markdown, Mermaid,
 * SVG or JSON. The author of a proposed change chooses that text, and the machine of somebody else shows it.
 */

/** Characters that break a line of text, change its direction, or are invisible. */
const UNPRINTABLE = '[\\p{Cc}\\p{Cf}\\p{Cs}\\p{Zl}\\p{Zp}\\p{Default_Ignorable_Code_Point}\\ufffe\\uffff]';
const RUNS = new RegExp(`${UNPRINTABLE}+`, 'gu');
/** Characters to escape that JSON.stringify leaves as they are. It makes the line breaks itself, so they stay. */
const IN_JSON = new RegExp(`(?!\\n)${UNPRINTABLE}|#(?=#)`, 'gu');

/**
 * Returns one line that a terminal shows exactly as it is. It also contains no command to a program that runs a job
 * and reads its log. Such a command can be anywhere in a line: `##[error]` (GitHub, Azure), `##vso[`, `##teamcity[`.
 */
export function oneLine(text: string): string {
  return text.replace(RUNS, ' ').replace(/#(?=#)/g, '# ');
}

/** Escapes text for a terminal, or for the log of a job: one line for each string. */
export function terminal(lines: readonly string[]): string {
  return lines.map((line) => `${terminalLine(line)}\n`).join('');
}

/** Escapes text for a terminal, line by line. Some lines are our own, but it is not known which. */
export function terminalText(text: string): string {
  return text.split('\n').map(terminalLine).join('\n');
}

/**
 * Escapes a whole line. GitHub reads `::error::` at the start of a line as a command, also after blanks. An address
 * such as `::1` may start a line: no command has such a name.
 */
function terminalLine(text: string): string {
  return oneLine(text).replace(/^(\s*):(?=:)(?!:[\da-f:./]*(?:[\s,]|$))/i, '$1: ');
}

/**
 * Escapes text as code for Markdown: no forge looks for mentions, links or anything else in a code span. Characters
 * that could end the span, or the table cell around it, are replaced: each forge escapes them in a different way, or
 * cannot escape them.
 */
export function code(text: string): string {
  const line = oneLine(text).replace(/`/g, "'").replace(/\|/g, '¦');
  return `\`${line === '' ? ' ' : line}\``;
}

/** Escapes text for a label in Mermaid. The label must not look like a list, either. */
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

/** Escapes text for SVG. */
export function xmlText(text: string): string {
  return oneLine(text).replace(/[&<>"']/g, (char) => XML.get(char) ?? char);
}

/** Returns exact JSON for programs, which is also safe for a terminal and for the log of a job. */
export function json(value: unknown): string {
  const escaped = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
  const text = JSON.stringify(value, undefined, 2);
  return `${text.replace(IN_JSON, (char) => char.split('').map(escaped).join(''))}\n`;
}

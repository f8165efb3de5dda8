/** The part of docs/persistence.md that follows from the code: `npm run docs` writes it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { allRenderers } from '../lib/persistence/all';
import type { Support } from '../lib/persistence/capabilities';
import { ROUTE_FEATURES, RULE_FEATURES } from '../lib/persistence/capabilities';

export const PAGE = join(__dirname, '..', 'docs', 'persistence.md');
const BEGIN = '<!-- generated from lib/persistence by npm run docs: begin -->';
const END = '<!-- generated: end -->';

/** The page with that part made anew. */
export function page(text: string): string {
  const [head, rest] = split(text, BEGIN);
  const [, tail] = split(rest, END);
  return `${head}${BEGIN}\n\n${tables()}\n${END}${tail}`;
}

function split(text: string, mark: string): [string, string] {
  const at = text.indexOf(mark);
  if (at < 0) {
    throw new Error(`${PAGE} lacks the line "${mark}"`);
  }
  return [text.slice(0, at), text.slice(at + mark.length)];
}

function tables(): string {
  // netplan hands on to NetworkManager what that one can do.
  const renderers = allRenderers().filter(({ name }) => name !== 'netplan-network-manager');
  const reasons: string[] = [];
  const note = (reason: string): string => {
    if (!reasons.includes(reason)) reasons.push(reason);
    return `(${reasons.indexOf(reason) + 1})`;
  };
  const cell = (support: Support = true): string => {
    if (support === true) return 'yes';
    if ('refused' in support) return `no ${note(support.refused)}`;
    const yes = 'since' in support ? `since ${support.since}` : 'yes';
    return support.note === undefined ? yes : `${yes} ${note(support.note)}`;
  };
  const table = (what: string, rows: ReadonlyArray<readonly [string, ReadonlyArray<Support | undefined>]>): string[] =>
    [
      [what, ...renderers.map(({ call }) => `\`${call.replace('Persistence.', '')}\``)],
      ['---', ...renderers.map(() => '---')],
      ...rows.map(([feature, supports]) => [`\`${feature}\``, ...supports.map(cell)]),
    ].map((cells) => `| ${cells.join(' | ')} |`);
  const lines = [
    ...table(
      'in a rule',
      RULE_FEATURES.map((feature) => [feature, renderers.map(({ capabilities }) => capabilities.rules[feature])]),
    ),
    '',
    ...table(
      'in a route',
      ROUTE_FEATURES.map((feature) => [feature, renderers.map(({ capabilities }) => capabilities.routes[feature])]),
    ),
    '',
    ...reasons.map((reason, index) => `${index + 1}. ${reason}`),
    '',
  ];
  return lines.join('\n');
}

if (require.main === module) {
  writeFileSync(PAGE, page(readFileSync(PAGE, 'utf8')));
}

/**
 * `npm run figures`: how easy is the agent to read? Prints its lines of code, the longest functions and the
 * global variables that several parts assign, and fails where a figure is above its limit.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

const AGENT = resolve(__dirname, '../lib/agent');

/** Above these, the script fails. They go down, but for what a new feature takes. */
const LIMITS = { lines: 6069, sharedGlobals: 8, functionLines: 40 };

interface Part {
  readonly name: string;
  readonly lines: readonly string[];
}

interface FunctionOf {
  readonly part: string;
  readonly name: string;
  readonly body: readonly string[];
}

const parts: Part[] = readdirSync(AGENT)
  .filter((name) => /\.(sh|awk)$/.test(name))
  .map((name) => ({ name, lines: readFileSync(join(AGENT, name), 'utf8').split('\n') }));

const isCode = (line: string): boolean => !/^\s*(#.*)?$/.test(line);

/** A function begins with its name at the start of a line and ends with a brace there. */
function functionsOf({ name: part, lines }: Part): FunctionOf[] {
  return lines.flatMap((line, start) => {
    const [, sh, awk] = /^(?:([a-z_]\w*)\(\) [{(]|function (\w+)\()/.exec(line) ?? [];
    const name = sh ?? awk;
    if (!name) return [];
    const end = /[})]$/.test(line) ? start : lines.findIndex((each, at) => at > start && /^[})]/.test(each));
    return [{ part, name, body: lines.slice(start, end + 1) }];
  });
}

/** The variables that a function of the shell assigns and does not declare with `local`. */
function globalsOf({ body }: FunctionOf): Set<string> {
  const text = body
    .join('\n')
    .replace(/\\\n\s*/g, ' ')
    .replace(/(^|\s)#.*$/gm, '')
    .replace(/'[^']*'/g, "''");
  const local = new Set([...text.matchAll(/^\s*local (.*)$/gm)].flatMap(([, names]) => names.split(/\s+/)));
  const assigned = [
    ...[...text.matchAll(/(?:^|[;&|({!]|\b(?:then|do|else)|[a-z)]\))[ \t]*([a-z_]\w*)=/gm)].map(([, name]) => name),
    ...[...text.matchAll(/\bread -r ((?:[a-z_]\w*[ ]?)+)/g)].flatMap(([, names]) => names.trim().split(' ')),
    ...[...text.matchAll(/\bfor ([a-z_]\w*)(?: in\b|;)/g)].map(([, name]) => name),
  ];
  return new Set(assigned.filter((name) => !local.has(name) && name !== '_' && !/^(do|then)$/.test(name)));
}

const functions = parts.flatMap(functionsOf);
const shell = functions.filter(({ part }) => /^\d.*\.sh$/.test(part));
const partsOf = new Map<string, Set<string>>();
for (const each of shell) {
  for (const name of globalsOf(each)) {
    partsOf.set(name, (partsOf.get(name) ?? new Set()).add(each.part));
  }
}
const lines = parts.reduce((sum, part) => sum + part.lines.filter(isCode).length, 0);
const shared = [...partsOf].filter(([, where]) => where.size > 1).map(([name]) => name);
const long = functions
  .map(({ part, name, body }) => ({ name: `${part} ${name}`, length: body.filter(isCode).length }))
  .sort((a, b) => b.length - a.length);

console.log(`lines of code: ${lines} in ${parts.length} parts (at most ${LIMITS.lines})`);
console.log(`globals: ${partsOf.size}`);
console.log(
  `  assigned in several parts: ${shared.length} (at most ${LIMITS.sharedGlobals}): ${shared.sort().join(', ')}`,
);
console.log(`functions: ${functions.length}, the longest (at most ${LIMITS.functionLines} lines):`);
for (const { name, length } of long.slice(0, 10)) console.log(`  ${String(length).padStart(3)} ${name}`);

process.exitCode =
  lines > LIMITS.lines || shared.length > LIMITS.sharedGlobals || long[0].length > LIMITS.functionLines ? 1 : 0;

import { DEFAULT_TABLE_ID, KERNEL, LOCAL_TABLE_ID } from '../fib/machine';
import type { Rule } from '../model/rule';
import { MOST_ROWS } from './boxes';

/** Returns the rules that a picture shows, in order. */
export function rulesInOrder(rules: readonly Rule[]): Rule[] {
  const hidden = [LOCAL_TABLE_ID, DEFAULT_TABLE_ID];
  return rules
    .filter(({ path, action }) => path !== KERNEL || (action.kind === 'lookup' && !hidden.includes(action.tableId)))
    .sort((a, b) => a.priority - b.priority || String(a.family).localeCompare(String(b.family)));
}

/**
 * Returns for each rule the one that stands for it. Where neighbours look up one table, and are too many for rows of
 * their own, nothing tells their packets apart. Otherwise each of them would have each route of the table for itself.
 */
export function standIns(rules: readonly Rule[]): Map<Rule, Rule> {
  const runs: Rule[][] = [];
  for (const rule of rulesInOrder(rules)) {
    const last = runs.at(-1);
    if (last && lookupOf(rule) !== undefined && lookupOf(rule) === lookupOf(last[0])) {
      last.push(rule);
    } else {
      runs.push([rule]);
    }
  }
  const long = runs.filter((run) => new Set(run.map(({ priority }) => priority)).size > MOST_ROWS);
  return new Map([
    ...rules.map((rule) => [rule, rule] as const),
    ...long.flatMap((run) => run.map((rule) => [rule, run[0]] as const)),
  ]);
}

/** What a rule looks up, and in which way; undefined if it does not. */
function lookupOf({ path, action, suppressPrefixLength, suppressInterfaceGroup }: Rule): string | undefined {
  return action.kind === 'lookup'
    ? [path === KERNEL, action.tableId, suppressPrefixLength === undefined, suppressInterfaceGroup].join(' ')
    : undefined;
}

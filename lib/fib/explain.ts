import type { Disposition, Question } from '../model/expectation';
import { INTERFACE_TOWARD_SOURCE, dispositionWords, selectorWords } from '../model/expectation';
import type { Family } from '../model/family';
import { familyName } from '../model/family';
import { MAIN_TABLE_ID } from '../model/host';
import { defaultMetric } from '../model/route';
import type { Rule, Word } from '../model/rule';
import { option, ruleWords } from '../model/rule';
import type { Value } from '../model/value';
import { isKnown } from '../model/value';
import { prefixText } from './bits';
import { DEFAULT_TABLE_ID, LOCAL_TABLE_ID } from './machine';
import type { Outcome, RuleResult, TraceStep } from './outcome';
import { stepsOf } from './outcome';
import type { CompiledRule } from './rules';
import type { CompiledHop, CompiledRoute } from './table';

/** The packet's way through the rules, line by line, in the words of `ip`. */
export function explain(outcome: Outcome, family: Family): string[] {
  return [
    ...stepsOf(outcome).map((step) => stepText(step, family)),
    ...(outcome.kind === 'no route' && outcome.why === undefined ? ['no rule has a route'] : []),
    ...(outcome.why === undefined ? [] : [`${familyName(family)}: ${outcome.why}`]),
    ...(outcome.source === undefined || outcome.source === 'passes' ? [] : [`source: ${outcome.source}`]),
  ];
}

/** What happens to the packet, as `ip route get` would say it. */
export function outcomeText({ kind, via, device }: Outcome): string {
  if (kind !== 'unicast') {
    return kind;
  }
  return hopText({ via, device, dead: false });
}

/** A packet in the words of `ip route get`, without the user if it is root. */
export function packetText({ source, destination, inputInterface, uid, ...selectors }: Question): string {
  const known = inputInterface === INTERFACE_TOWARD_SOURCE ? undefined : inputInterface;
  return [
    ...option('from', source),
    ...option('to', destination),
    ...selectorWords({ ...selectors, inputInterface: known, uid: uid || undefined }),
  ]
    .map(wordText)
    .join(' ');
}

/** An expected outcome of a packet. */
export function dispositionsText(dispositions: readonly Disposition[]): string {
  return dispositionWords(dispositions).map(wordText).join(' ');
}

function stepText({ rule, result }: TraceStep, family: Family): string {
  return `rule ${rule.rule.priority}: ${ruleText(rule.rule)} -> ${resultText(rule, result, family)}`;
}

/** As `ip rule` prints it. */
export function ruleText(rule: Rule): string {
  const words = ruleWords(rule).map(wordText);
  const from = rule.source ? [] : ['from', 'all'];
  const all = rule.invert ? ['not', ...from, ...words.slice(1)] : [...from, ...words];
  return all.join(' ').replace(/(?<=\blookup )\d+/, (id) => tableName(Number(id)));
}

function wordText(word: Word): string {
  return typeof word === 'string' ? word : valueText(word);
}

/** A value known at apply only is shown by its name. */
export function valueText(value: Value): string {
  return isKnown(value) ? value.text : `<${value.isFollowed ? value.text : value.deferredFor}>`;
}

function resultText(rule: CompiledRule, result: RuleResult, family: Family): string {
  const condition = rule.deferred.length > 0 && result.kind !== 'passed over' ? 'may match: ' : '';
  switch (result.kind) {
    case 'goto':
      return condition + (result.resolved ? 'goes on there' : 'no rule there, passed over');
    case 'rejected':
      return condition + rule.rule.action.kind;
    case 'passed over':
      return `may not match: ${rule.deferred.join(', ')} is known at apply only`;
    default:
      return `${condition}table ${tableName(result.tableId)}: ${inTable(rule.rule, result, family)}`;
  }
}

function inTable(
  rule: Rule,
  result: Exclude<RuleResult, { kind: 'goto' | 'rejected' | 'passed over' }>,
  family: Family,
): string {
  switch (result.kind) {
    case 'no route':
      return 'no route';
    case 'unknown':
      return 'has routes that are not declared';
    case 'throw':
      return `${routeText(result.route, family)}, goes on`;
    case 'suppressed':
      return `${routeText(result.route, family)}, suppressed (${
        result.by === 'prefix length'
          ? `suppress_prefixlength ${rule.suppressPrefixLength}`
          : `suppress_ifgroup ${rule.suppressInterfaceGroup}`
      })`;
    case 'route':
      return routeText(result.route, family);
  }
}

/** A route as `ip route` prints it, with the word `dead` for dead next hops. */
function routeText(route: CompiledRoute, family: Family): string {
  const { kind, destination, metric, hops, deferred } = route;
  const [only] = hops.length === 1 ? hops : [];
  return [
    ...(kind === 'unicast' ? [] : [kind]),
    destination === undefined ? '<not known>' : prefixText(destination, family),
    ...(only ? [hopText(only)] : []),
    ...(metric === 0 || metric === defaultMetric(family) ? [] : [`metric ${metric}`]),
    ...(only ? [] : hops.map((hop) => `nexthop ${hopText(hop)}`)),
    ...(deferred.length === 0 ? [] : [`(may be there or not: ${deferred.join(', ')})`]),
  ].join(' ');
}

function hopText({ via, device = '<not known>', dead }: CompiledHop): string {
  return [...(via === undefined ? [] : [`via ${via}`]), `dev ${device}`, ...(dead ? ['dead'] : [])].join(' ');
}

const TABLE_NAMES: ReadonlyMap<number, string> = new Map([
  [LOCAL_TABLE_ID, 'local'],
  [MAIN_TABLE_ID, 'main'],
  [DEFAULT_TABLE_ID, 'default'],
]);

function tableName(id: number): string {
  return TABLE_NAMES.get(id) ?? String(id);
}

/** `main`, or `table 200`. */
export function tableLabel(id: number): string {
  return TABLE_NAMES.get(id) ?? `table ${id}`;
}

import type { Bits } from '../fib/bits';
import type { HeaderFields } from '../fib/flow';
import type { CompiledRule } from '../fib/rules';
import { isOfKind } from '../fib/rules';

/** Tells whether a rule matches a packet. */
export type Verdict = 'takes' | 'may take' | 'leaves';

/** The effect of a rule on packets of one kind. Only addresses remain to be compared. */
export interface RuleVerdict {
  readonly rule: CompiledRule;
  readonly source?: Bits;
  readonly destination?: Bits;
  /** Verdicts for packets from the source to the destination, and for all others. */
  readonly inside: Verdict;
  readonly outside: Verdict;
}

export function isInside({ source }: RuleVerdict, sourceClass: Bits): boolean {
  return source === undefined || sourceClass.startsWith(source);
}

/** The same for packets of one source, without the source; undefined if it matches none. */
export function withSource(step: RuleVerdict, source: Bits | undefined): RuleVerdict[] {
  if (step.source === undefined || source?.startsWith(step.source) === true) {
    return [{ ...step, source: undefined }];
  }
  const verdict = step.outside;
  return verdict === 'leaves' ? [] : [{ rule: step.rule, inside: verdict, outside: verdict }];
}

/** The rule as a step; none if it takes no packet of the kind. */
export function stepOf(rule: CompiledRule, kind: HeaderFields): RuleVerdict[] {
  const { source: from, destination: to, deferred } = rule;
  const { invert = false, family } = rule.rule;
  const [source, destination] = [from === '' ? undefined : from, to === '' ? undefined : to];
  const known = deferred.length === 0;
  if (!isOfKind(rule, kind)) {
    // One that may be of the other family does not even match what it does not select.
    return invert ? [{ rule, inside: known || family !== 'auto' ? 'takes' : 'may take', outside: 'leaves' }] : [];
  }
  const inside: Verdict = known ? (invert ? 'leaves' : 'takes') : 'may take';
  const outside: Verdict = !invert ? 'leaves' : known || family !== 'auto' ? 'takes' : 'may take';
  return [{ rule, source, destination, inside, outside }];
}

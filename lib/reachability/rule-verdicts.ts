import type { Bits } from '../fib/bits';
import type { HeaderFields } from '../fib/flow';
import type { CompiledRule } from '../fib/rules';
import { isOfKind } from '../fib/rules';

/** Whether a rule takes a packet. */
export type Verdict = 'takes' | 'may take' | 'leaves';

/** What a rule means for packets of one kind: only their addresses are left to tell them apart. */
export interface RuleVerdict {
  readonly rule: CompiledRule;
  readonly source?: Bits;
  readonly destination?: Bits;
  /** Of packets from the source and to the destination, and of all others. */
  readonly inside: Verdict;
  readonly outside: Verdict;
}

export function isInside({ source }: RuleVerdict, sourceClass: Bits): boolean {
  return source === undefined || sourceClass.startsWith(source);
}

/** The same for packets of one source, if it takes any: it no longer looks at the source. */
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

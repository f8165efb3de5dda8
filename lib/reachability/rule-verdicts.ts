import type { Bits } from '../fib/bits';
import type { HeaderFields } from '../fib/packet';
import type { CompiledRule } from '../fib/rules';
import { matchesHeader } from '../fib/rules';

/** Tells whether a rule matches a packet. */
export type RuleMatch = 'takes' | 'may take' | 'leaves';

/** The effect of a rule on packets of one kind. Only addresses remain to be compared. */
export interface RuleVerdict {
  readonly rule: CompiledRule;
  readonly source?: Bits;
  readonly destination?: Bits;
  /** Verdicts for packets from the source to the destination, and for all others. */
  readonly inside: RuleMatch;
  readonly outside: RuleMatch;
}

export function coversSource({ source }: RuleVerdict, sourceClass: Bits): boolean {
  return source === undefined || sourceClass.startsWith(source);
}

/** The same verdict for packets of one source, without the source; undefined if it matches none. */
export function withSource(verdict: RuleVerdict, source: Bits | undefined): RuleVerdict[] {
  if (verdict.source === undefined || source?.startsWith(verdict.source) === true) {
    return [{ ...verdict, source: undefined }];
  }
  const match = verdict.outside;
  return match === 'leaves' ? [] : [{ rule: verdict.rule, inside: match, outside: match }];
}

/** The verdict of a rule about packets of one kind; none if it takes none of them. */
export function verdictOf(rule: CompiledRule, header: HeaderFields): RuleVerdict[] {
  const { source: from, destination: to, deferred } = rule;
  const { invert = false, family } = rule.rule;
  const [source, destination] = [from === '' ? undefined : from, to === '' ? undefined : to];
  const known = deferred.length === 0;
  if (!matchesHeader(rule, header)) {
    // One that may be of the other family does not even match what it does not select.
    return invert ? [{ rule, inside: known || family !== 'auto' ? 'takes' : 'may take', outside: 'leaves' }] : [];
  }
  const inside: RuleMatch = known ? (invert ? 'leaves' : 'takes') : 'may take';
  const outside: RuleMatch = !invert ? 'leaves' : known || family !== 'auto' ? 'takes' : 'may take';
  return [{ rule, source, destination, inside, outside }];
}

import type { CompiledRule } from './rules';
import type { CompiledRoute, RouteKind } from './table';

/** The result of a rule that matched. */
export type RuleResult =
  | { readonly kind: 'route' | 'throw'; readonly tableId: number; readonly route: CompiledRoute }
  | { readonly kind: 'suppressed'; readonly tableId: number; readonly route: CompiledRoute; readonly by: Suppressor }
  | { readonly kind: 'no route' | 'unknown'; readonly tableId: number }
  | { readonly kind: 'goto'; readonly resolved: boolean }
  | { readonly kind: 'rejected' | 'passed over' };

export type Suppressor = 'prefix length' | 'interface group';

/** One step of a packet through the rules. */
export interface TraceStep {
  readonly before?: TraceStep;
  readonly rule: CompiledRule;
  readonly result: RuleResult;
}

/**
 * `invalid`: dropped because of an address. `unknown`: decided by routes that are not declared, or by their absence.
 */
export type OutcomeKind = Exclude<RouteKind, 'throw'> | 'no route' | 'invalid' | 'unknown';

/** What the kernel says of the source of a packet that comes in. */
export type SourceCheck = 'passes' | 'is no address of a neighbour' | 'fails rp_filter' | 'unknown';

/** A possible outcome of a packet. */
export interface Outcome {
  readonly kind: OutcomeKind;
  readonly device?: string;
  readonly via?: string;
  readonly route?: CompiledRoute;
  /** Table that decided; undefined if none did. */
  readonly tableId?: number;
  /** What decided without the rules, or after them. */
  readonly why?: string;
  /** Whether this outcome depends on values known at apply only. */
  readonly unsure?: boolean;
  /** Owner of the rule that decided, if it was asked for. */
  readonly by?: string;
  /** Only for IPv4 packets that come in. */
  readonly source?: SourceCheck;
  /** The last step; undefined if no rule matched, or none was tried. */
  readonly trail?: TraceStep;
}

export function isRejected({ kind }: Pick<Outcome, 'kind'>): boolean {
  return kind === 'blackhole' || kind === 'unreachable' || kind === 'prohibit' || kind === 'no route';
}

/** The steps through the rules, from the first on. */
export function stepsOf({ trail }: Pick<Outcome, 'trail'>): TraceStep[] {
  const steps: TraceStep[] = [];
  for (let step = trail; step; step = step.before) {
    steps.unshift(step);
  }
  return steps;
}

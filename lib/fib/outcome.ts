import type { CompiledRule } from './rules';
import type { CompiledRoute, RouteKind } from './table';

/** What a rule that matched led to. */
export type RuleResult =
  | { readonly kind: 'route' | 'throw'; readonly tableId: number; readonly route: CompiledRoute }
  | { readonly kind: 'suppressed'; readonly tableId: number; readonly route: CompiledRoute; readonly by: Suppressor }
  | { readonly kind: 'no route' | 'unknown'; readonly tableId: number }
  | { readonly kind: 'goto'; readonly resolved: boolean }
  | { readonly kind: 'rejected' | 'passed over' };

export type Suppressor = 'prefix length' | 'interface group';

/** One station on the way of a packet through the rules. */
export interface TraceStep {
  readonly before?: TraceStep;
  readonly rule: CompiledRule;
  readonly said: RuleResult;
}

/**
 * `invalid` packets are dropped for their addresses; `unknown` is what routes do that are
 * not declared, or what becomes of the packet if there are none.
 */
export type OutcomeKind = Exclude<RouteKind, 'throw'> | 'no route' | 'invalid' | 'unknown';

/** What the kernel says of the source of a packet that comes in. */
export type SourceCheck = 'passes' | 'is no address of a neighbour' | 'fails rp_filter' | 'unknown';

/** One thing that may happen to a packet. */
export interface Outcome {
  readonly kind: OutcomeKind;
  readonly device?: string;
  readonly via?: string;
  readonly route?: CompiledRoute;
  /** Where it was found; none where no table decided. */
  readonly tableId?: number;
  /** What decided without rules, or in spite of them. */
  readonly why?: string;
  /** Whether it happens, or another one does, depends on what is known at apply only. */
  readonly unsure?: boolean;
  /** Whose rule decided, where that was asked for. */
  readonly by?: string;
  /** Only of IPv4 packets that come in. */
  readonly source?: SourceCheck;
  /** The last step; undefined if no rule was asked, or none matched. */
  readonly trail?: TraceStep;
}

export function isRejecting({ kind }: Pick<Outcome, 'kind'>): boolean {
  return kind === 'blackhole' || kind === 'unreachable' || kind === 'prohibit' || kind === 'no route';
}

/** The way through the rules, from the first station on. */
export function stepsOf({ trail }: Pick<Outcome, 'trail'>): TraceStep[] {
  const steps: TraceStep[] = [];
  for (let step = trail; step; step = step.before) {
    steps.unshift(step);
  }
  return steps;
}

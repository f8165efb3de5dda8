import type { PacketHeader } from './packet';
import type { Machine } from './machine';
import type { Outcome, OutcomeKind, RuleResult, TraceStep } from './outcome';
import type { CompiledRule, RuleList } from './rules';
import { matches } from './rules';
import type { Found } from './search';
import { SEARCH, rejects } from './search';
import { passSuppressors } from './suppress';
import type { CompiledHop } from './table';

/** The result of a table for a packet: outcomes, and why later rules may decide. */
export interface Answer {
  readonly outcomes: ReadonlyArray<Omit<Outcome, 'trail'> & { readonly result: RuleResult }>;
  readonly goesOn?: RuleResult;
}

/**
 * Follows a packet through the rules of its family. It follows both ways if something is unknown, and takes all next
 * hops if the kernel chooses among several. So the answer is a set.
 */
export function walk(machine: Machine, packet: PacketHeader): Outcome[] {
  const { rules } = machine.families[packet.family];
  const candidates = rules.candidates(packet);
  const outcomes: Outcome[] = [];
  // How each candidate is reached, if at all. A goto leads forward only, so one pass sees every way.
  const reached: Array<{ readonly step?: TraceStep } | undefined> = [{}];
  candidates.forEach((rule, index) => {
    const here = reached[index];
    if (!here) {
      return;
    }
    const goOn = (result?: RuleResult, to = index + 1): void => {
      reached[to] ??= { step: result ? { before: here.step, rule, result } : here.step };
    };
    const end = (result: RuleResult, outcome: Omit<Outcome, 'trail'>): void => {
      outcomes.push({ ...outcome, trail: { before: here.step, rule, result } });
    };
    const matched = matches(rule, packet);
    if (matched === undefined) {
      goOn({ kind: 'passed over' });
    } else if (!matched) {
      goOn();
      return;
    }
    const { action } = rule.rule;
    if (action.kind === 'goto') {
      const target = targetOf(rules, action.priority, rule);
      if (target) {
        goOn({ kind: 'goto', resolved: true }, firstFrom(candidates, target));
      }
      // An unresolved rule may belong to the other family, so it may be missing here.
      if (!target || target.rule.family === 'auto') {
        goOn({ kind: 'goto', resolved: false });
      }
    } else if (action.kind === 'lookup') {
      const answer = lookIn(machine, action.tableId, rule, packet);
      answer.outcomes.forEach(({ result, ...outcome }) => end(result, outcome));
      if (answer.goesOn) {
        goOn(answer.goesOn);
      }
    } else {
      end({ kind: 'rejected' }, { kind: action.kind });
    }
  });
  const last = reached[candidates.length];
  // An unknown result may also be this one.
  const areKnown = outcomes.every(({ kind }) => kind !== 'unknown');
  return last && areKnown ? [...outcomes, { kind: 'no route', trail: last.step }] : outcomes;
}

/** The kernel ignores a goto to a priority without a rule. */
function targetOf(rules: RuleList, priority: number, from: CompiledRule): CompiledRule | undefined {
  return priority > from.rule.priority ? rules.at(priority) : undefined;
}

function firstFrom(candidates: readonly CompiledRule[], target: CompiledRule): number {
  const index = candidates.findIndex((rule) => rule.position >= target.position);
  return index < 0 ? candidates.length : index;
}

/** Looks up a packet in the table of a rule. */
export function lookIn(machine: Machine, tableId: number, rule: CompiledRule, packet: PacketHeader): Answer {
  const table = machine.families[packet.family].tables.get(tableId);
  if (!table) {
    return { outcomes: [], goesOn: { kind: 'no route', tableId } };
  }
  const outcomes: Array<Answer['outcomes'][number]> = [];
  let goesOn: RuleResult | undefined;
  for (const found of SEARCH[packet.family](table, packet)) {
    const { route } = found;
    if (route.kind === 'throw') {
      goesOn ??= { kind: 'throw', tableId, route };
    } else {
      const { hops, by } = passSuppressors(machine, packet.family, rule.rule, found);
      const certainty = route.deferred.length > 0 ? { unsure: true } : {};
      const result = { kind: 'route', tableId, route } as const;
      outcomes.push(...ends(found, hops).map((end) => ({ ...end, ...certainty, tableId, result })));
      goesOn ??= by && { kind: 'suppressed', tableId, route, by };
    }
    if (route.deferred.length === 0) {
      return { outcomes, goesOn };
    }
  }
  const unknown = { kind: 'unknown', tableId } as const;
  return table.complete
    ? { outcomes, goesOn: { kind: 'no route', tableId } }
    : { outcomes: [...outcomes, { kind: 'unknown', tableId, result: unknown }], goesOn: goesOn ?? unknown };
}

function ends({ route }: Found, hops: readonly CompiledHop[]): Array<Omit<Outcome, 'trail'>> {
  const kind = route.kind as OutcomeKind;
  return rejects(route)
    ? [{ kind, route }]
    : hops.map(({ device, via }) => ({ kind, route, device, ...(via === undefined ? {} : { via }) }));
}

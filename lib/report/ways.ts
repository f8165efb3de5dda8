import type { Outcome, OutcomeKind } from '../fib/outcome';
import type { CompiledRoute } from '../fib/table';
import { MAIN_TABLE_ID } from '../model/host';
import type { Rule } from '../model/rule';
import type { Ending } from './picture';

/** One way that packets may take. */
export interface Way {
  readonly ending: Ending;
  readonly kind: OutcomeKind;
  /** The rule that decides; none if no rule leads to a route. */
  readonly rule?: Rule;
  readonly tableId?: number;
  readonly route?: CompiledRoute;
  readonly device?: string;
  readonly via?: string;
}

/** The ways that packets may take with all links up, and then with each one down. */
export type Ways = ReadonlyArray<readonly Way[]>;

/** @param rule - the rule that decided */
export function wayOf(outcome: Outcome, rule: Rule | undefined): Way {
  const { kind, device, via, tableId, route } = outcome;
  return { ending: endingOf(outcome), kind, device, via, tableId, route, rule };
}

/** Where a packet ends. The uplink is the main table's default route, or what is not declared of that table. */
export function endingOf({ kind, route, via, tableId }: Outcome): Ending {
  switch (kind) {
    case 'unicast':
      return route?.destination === '' || via !== undefined
        ? tableId === MAIN_TABLE_ID
          ? 'uplink'
          : 'egress'
        : 'local';
    case 'local':
    case 'broadcast':
    case 'multicast':
    case 'anycast':
      return 'local';
    case 'unknown':
      return tableId === MAIN_TABLE_ID ? 'uplink' : 'unknown';
    default:
      return 'rejected';
  }
}

/** Returns a key that the ways to all networks of links share, and also the ways that rules reject alike. */
export function wayKey({ ending, kind, device, via, tableId, rule }: Way): string {
  switch (ending) {
    case 'local':
      return `local ${tableId}`;
    case 'rejected':
      return `${kind} ${tableId ?? rule?.action.kind}`;
    default:
      return `${kind} ${device} ${via} ${tableId}`;
  }
}

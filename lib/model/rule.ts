import type { FamilyOrAuto } from './family';
import type { Value } from './value';
import { isAny } from './value';

/** One word of an `ip` command line: literal, or a value that may be deferred. */
export type Word = string | Value;

export interface Range {
  readonly first: number;
  readonly last: number;
}

/** What the kernel does with a packet that a rule matches. */
export type Action =
  | { readonly kind: 'lookup'; readonly tableId: number }
  | { readonly kind: 'goto'; readonly priority: number }
  | { readonly kind: 'blackhole' | 'unreachable' | 'prohibit' };

export function isRejecting(action: Action): boolean {
  return action.kind !== 'lookup' && action.kind !== 'goto';
}

/** One policy rule of one family, as the kernel has it. */
export interface Rule {
  /** Path of the construct that declared it. */
  readonly path: string;
  readonly family: FamilyOrAuto;
  readonly priority: number;
  readonly invert?: boolean;
  readonly source?: Value;
  readonly destination?: Value;
  readonly tos?: number;
  readonly firewallMark?: number;
  readonly firewallMask?: number;
  readonly inputInterface?: Value;
  readonly outputInterface?: Value;
  readonly uidRange?: Range;
  readonly ipProtocol?: number;
  readonly sourcePorts?: Range;
  readonly destinationPorts?: Range;
  readonly action: Action;
  readonly suppressPrefixLength?: number;
  readonly suppressInterfaceGroup?: number;
}

/**
 * The kernel gives a rule without a priority that of the second rule in the list, minus one. With a rule of ours at a
 * low number, rules of others would soon be at 0, in reverse order.
 */
export const MIN_PRIORITY = 100;
/** The kernel's own rules have 0, 32766 and 32767. */
export const MAX_PRIORITY = 32765;
export const MAIN_RULE_PRIORITY = 32766;

/** Tells whether a rule matches packets to all destinations. */
export function goesAnywhere({ destination }: Rule): boolean {
  return destination === undefined || isAny(destination);
}

/**
 * The rule without family and priority, in the order of lib/agent/README.md, which is the
 * order in which `ip rule` prints it.
 */
export function ruleWords(rule: Rule): Word[] {
  return [
    ...(rule.invert ? ['not'] : []),
    ...option('from', rule.source),
    ...option('to', rule.destination),
    ...option('tos', hex(rule.tos)),
    ...option('fwmark', mark(rule.firewallMark, rule.firewallMask)),
    ...option('iif', rule.inputInterface),
    ...option('oif', rule.outputInterface),
    ...option('uidrange', rule.uidRange && `${rule.uidRange.first}-${rule.uidRange.last}`),
    ...option('ipproto', rule.ipProtocol),
    ...option('sport', rangeWord(rule.sourcePorts)),
    ...option('dport', rangeWord(rule.destinationPorts)),
    ...actionWords(rule.action),
    ...option('suppress_prefixlength', rule.suppressPrefixLength),
    ...option('suppress_ifgroup', rule.suppressInterfaceGroup),
  ];
}

/** Whether the rule has no selector at all, so that it matches every packet. */
export function matchesEverything(rule: Rule): boolean {
  return (
    ruleWords({ ...rule, suppressPrefixLength: undefined, suppressInterfaceGroup: undefined }).length ===
    actionWords(rule.action).length
  );
}

function actionWords(action: Action): Word[] {
  switch (action.kind) {
    case 'lookup':
      return ['lookup', String(action.tableId)];
    case 'goto':
      return ['goto', String(action.priority)];
    default:
      return [action.kind];
  }
}

export function option(word: string, value: Word | number | undefined): Word[] {
  return value === undefined ? [] : [word, typeof value === 'number' ? String(value) : value];
}

export function hex(value: number | undefined): string | undefined {
  return value === undefined ? undefined : `0x${value.toString(16)}`;
}

function mark(value: number | undefined, mask: number | undefined): string | undefined {
  // The kernel prints no mask where all 32 bits count.
  return value === undefined || mask === undefined || mask === 0xffffffff ? hex(value) : `${hex(value)}/${hex(mask)}`;
}

export function rangeWord(value: Range | undefined): string | undefined {
  return value && (value.first === value.last ? String(value.first) : `${value.first}-${value.last}`);
}

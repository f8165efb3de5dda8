import type { FamilyOrAuto } from './family';
import { overlaps } from './family';
import type { Host } from './host';
import type { Rule } from './rule';
import { MAX_PRIORITY, goesAnywhere, isRejecting } from './rule';
import { isAny, isInside, isKnown } from './value';

/** A guard stands so far behind its rule: behind the suggested band, 10000 to 19999. */
export const GUARD_OFFSET = 10000;

/** The tag of the kernel's own rules; network managers take rules of others away, but not those. */
export const KERNEL_PROTOCOL = 2;

/** A rule that rejects what should never have come past the one that it stands behind. */
export interface Guard extends Rule {
  readonly behind: Rule;
}

/**
 * The rules behind those that look up a table that fails closed, or reject a source: they reject
 * what comes so far, while somebody has flushed the table or taken all other rules away.
 */
export function guards(host: Host): Guard[] {
  return host.rules
    .filter((rule) => needsGuard(host, rule) && guardPriority(rule) <= MAX_PRIORITY)
    .map((rule) => ({ ...rule, priority: guardPriority(rule), action: { kind: 'unreachable' }, behind: rule }));
}

/** The rules that should have a guard, but stand too far behind for one. */
export function unguarded(host: Host): Rule[] {
  return host.rules.filter((rule) => needsGuard(host, rule) && guardPriority(rule) > MAX_PRIORITY);
}

function guardPriority(rule: Rule): number {
  return rule.priority + GUARD_OFFSET;
}

function needsGuard(host: Host, rule: Rule): boolean {
  return (failsClosed(host, rule) || rejectsSource(rule)) && !matchesNextHops(host, rule);
}

function failsClosed(host: Host, { action, family, suppressPrefixLength, suppressInterfaceGroup }: Rule): boolean {
  return (
    action.kind === 'lookup' &&
    host.tables.some((table) => table.id === action.tableId && table.failClosed) &&
    // Those let packets go on to later rules, as a route of type "throw" does.
    suppressPrefixLength === undefined &&
    suppressInterfaceGroup === undefined &&
    !hasThrow(host, action.tableId, family)
  );
}

/** Whether it keeps a source from going anywhere, not just from some destination. */
function rejectsSource(rule: Rule): boolean {
  return isRejecting(rule.action) && rule.source !== undefined && !isAny(rule.source) && goesAnywhere(rule);
}

function hasThrow(host: Host, tableId: number, family: FamilyOrAuto): boolean {
  return host.routes.some(
    (route) => route.tableId === tableId && route.type === 'throw' && overlaps(route.family, family),
  );
}

/**
 * Whether a rule matches the lookup by which the kernel checks the next hop of a new route. That has
 * no source, mark or protocol, and leaves out default routes: it would end at the guard, and no route
 * could be added any more.
 */
function matchesNextHops(host: Host, rule: Rule): boolean {
  if (rule.invert) {
    return true;
  }
  const { source, destination, inputInterface } = rule;
  if (
    (source && !isAny(source)) ||
    (inputInterface && inputInterface.text !== 'lo') ||
    rule.firewallMark !== undefined ||
    rule.tos !== undefined ||
    rule.ipProtocol !== undefined
  ) {
    return false;
  }
  if (!destination || !isKnown(destination) || isAny(destination)) {
    return true;
  }
  const hops = host.routes.flatMap((route) => route.hops.map((hop) => hop.via));
  return hops.some((via) => via !== undefined && (!isKnown(via) || isInside(via.text, destination.text)));
}

import { BOTH_FAMILIES, overlaps } from './family';
import type { Host, Interface } from './host';
import { oncePerObject } from './maps';
import { networksOf } from './networks';
import type { Route } from './route';
import type { Rule } from './rule';
import { MAX_PRIORITY, goesAnywhere, isRejecting } from './rule';
import { tunnelsOf } from './tunnels';
import { isAny, isInside, isKnown } from './value';

/**
 * Distance from the priority of a rule to that of its guard. It puts guards after the suggested band, 10000 to 19999.
 */
export const GUARD_OFFSET = 10000;

/** Protocol of the kernel's own rules. Network managers remove rules of others, but not these. */
export const KERNEL_PROTOCOL = 2;

/** A rule that rejects packets which an earlier rule should have caught. */
export interface Guard extends Rule {
  readonly behind: Rule;
}

/**
 * The guards of rules that look up a table which fails closed, or that reject a source. They reject whatever reaches
 * them, when somebody flushed the table or removed the other rules. The last ones reject all other packets that come in
 * by a tunnel.
 */
export const guards = oncePerObject((host: Host): readonly Guard[] => {
  const behindRules = guarded(host)
    .filter((rule) => guardPriority(rule) <= MAX_PRIORITY)
    .map((rule): Guard => ({
      ...rule,
      priority: guardPriority(rule),
      action: { kind: 'unreachable' },
      behind: rule,
    }));
  return [...behindRules, ...tunnelGuards(host, behindRules)];
});

/** The rules that should have a guard, but whose priority is too high for one. */
export function unguarded(host: Host): Rule[] {
  return guarded(host).filter((rule) => guardPriority(rule) > MAX_PRIORITY);
}

/** The rules that no packet which they select may pass. */
export function guarded(host: Host): Rule[] {
  return closed(host).filter((rule) => throwsOf(host, rule).length === 0);
}

/**
 * These, and the rules whose table passes packets to some destinations on to later rules, by a route of type "throw".
 * A guard would reject these packets, too. But the kill switch holds for all others.
 */
export function closed(host: Host): Rule[] {
  return host.rules.filter((rule) => (failsClosed(host, rule) || rejectsSource(rule)) && !matchesNextHops(host, rule));
}

/** The routes of type "throw" by which packets that a rule selects go on to later rules. */
export function throwsOf(host: Host, { action, family }: Rule): Route[] {
  return action.kind === 'lookup'
    ? host.routes.filter(
        (route) => route.type === 'throw' && route.tableId === action.tableId && overlaps(route.family, family),
      )
    : [];
}

/**
 * The tunnels that may only carry packets from guarded pools. A client may send any source, and IPv6 has no reverse
 * path filter.
 *
 * An interface that only a bare `PolicyRule` names does not count: it may be a LAN with other networks behind it.
 */
export function closedTunnels(host: Host): Interface[] {
  return tunnelsOnlyOf(host, guarded(host), (rule) => opensTable(host, rule) || passesOn(host, rule));
}

/** These, and those whose guard would reject packets that a route of type "throw" passes on to later rules. */
export function checkedTunnels(host: Host): Interface[] {
  return tunnelsOnlyOf(host, closed(host), (rule) => opensTable(host, rule));
}

function tunnelsOnlyOf(host: Host, rules: readonly Rule[], isOpen: (rule: Rule) => boolean): Interface[] {
  const networks = networksOf(host.interfaces);
  const holders = (some: readonly Rule[]): Set<Interface> =>
    new Set(
      some.flatMap(({ source }) =>
        source && isKnown(source) && !isAny(source) ? networks.overlapping(source.text).map(({ link }) => link) : [],
      ),
    );
  const open = holders(host.rules.filter(isOpen));
  const tunnels = tunnelsOf(host);
  return [...holders(rules.filter((rule) => isOfVpn(host, rule)))].filter(
    (link) => tunnels.has(link.name) && !open.has(link),
  );
}

/**
 * Tells whether only VPN clients have the source of a rule: it is that of a `VpnEgress`, or a VPN daemon fills its
 * table.
 */
export function isOfVpn(host: Host, { action, source }: Rule): boolean {
  return (
    host.discards.some(({ destination }) => destination.text === source?.text) ||
    (action.kind === 'lookup' && host.hooks.some(({ tableId }) => tableId === action.tableId))
  );
}

/** Whether a guard is that of a tunnel, not of a rule. */
export function isOfTunnel(guard: Rule): boolean {
  return 'behind' in guard && guard.action.kind === 'blackhole';
}

/**
 * The guards of tunnels. They are for both families, since a client may send either. They send no ICMP error, which
 * would go to the owner of the source address by the uplink.
 */
function tunnelGuards(host: Host, others: readonly Guard[]): Guard[] {
  const last = others.at(-1);
  if (last === undefined) {
    return [];
  }
  const taken = new Set([...host.rules, ...others].map(({ priority }) => priority));
  let priority = Math.max(...others.map((guard) => guard.priority));
  return closedTunnels(host).flatMap(({ name }) => {
    do priority += 1;
    while (taken.has(priority));
    return priority > MAX_PRIORITY
      ? []
      : BOTH_FAMILIES.map((family): Guard => ({
          path: last.path,
          family,
          priority,
          inputInterface: { kind: 'device', text: name },
          action: { kind: 'blackhole' },
          behind: last.behind,
        }));
  });
}

function guardPriority(rule: Rule): number {
  return rule.priority + GUARD_OFFSET;
}

function failsClosed(host: Host, rule: Rule): boolean {
  const { action, suppressPrefixLength, suppressInterfaceGroup } = rule;
  return (
    action.kind === 'lookup' &&
    host.tables.some((table) => table.id === action.tableId && table.failClosed) &&
    // Suppressors let packets go on to later rules.
    suppressPrefixLength === undefined &&
    suppressInterfaceGroup === undefined
  );
}

/** Tells whether packets without a route in a declared table go on to later rules. */
function opensTable(host: Host, { action }: Rule): boolean {
  return action.kind === 'lookup' && host.tables.some(({ id, failClosed }) => id === action.tableId && !failClosed);
}

/** Tells whether packets to some destinations go on to later rules from a declared table. */
function passesOn(host: Host, rule: Rule): boolean {
  const { action } = rule;
  return (
    action.kind === 'lookup' && host.tables.some(({ id }) => id === action.tableId) && throwsOf(host, rule).length > 0
  );
}

/** Tells whether a rule rejects a source for all destinations. */
function rejectsSource(rule: Rule): boolean {
  return isRejecting(rule.action) && rule.source !== undefined && !isAny(rule.source) && goesAnywhere(rule);
}

/**
 * Tells whether a rule matches the lookup with which the kernel checks the next hop of a new route. This lookup has no
 * source, mark or protocol, and ignores default routes. It would end at the guard, so that no route could be added any
 * more.
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

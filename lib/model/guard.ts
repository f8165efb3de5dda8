import { BOTH_FAMILIES, overlaps } from './family';
import type { FamilyOrAuto } from './family';
import type { Host, Interface } from './host';
import { networksOf } from './networks';
import type { Rule } from './rule';
import { MAX_PRIORITY, goesAnywhere, isRejecting } from './rule';
import { tunnelsOf } from './tunnels';
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
 * what comes so far, while somebody has flushed the table or taken all other rules away. Behind all of
 * them stand those that reject what else comes in by a tunnel.
 */
export function guards(host: Host): Guard[] {
  const behindRules = guarded(host)
    .filter((rule) => guardPriority(rule) <= MAX_PRIORITY)
    .map((rule): Guard => ({
      ...rule,
      priority: guardPriority(rule),
      action: { kind: 'unreachable' },
      behind: rule,
    }));
  return [...behindRules, ...tunnelGuards(host, behindRules)];
}

/** The rules that should have a guard, but stand too far behind for one. */
export function unguarded(host: Host): Rule[] {
  return guarded(host).filter((rule) => guardPriority(rule) > MAX_PRIORITY);
}

/** The rules past which none of the packets that they select may get. */
export function guarded(host: Host): Rule[] {
  return host.rules.filter((rule) => (failsClosed(host, rule) || rejectsSource(rule)) && !matchesNextHops(host, rule));
}

/**
 * The tunnels by which nothing but packets of guarded VPN clients may come in. A packet with another source
 * is not one of theirs: a client may give it any address, and no reverse path filter looks at it in IPv6.
 *
 * Not the interface of a pool that a bare `PolicyRule` names: behind a LAN there may be other networks.
 */
export function closedTunnels(host: Host): Interface[] {
  const networks = networksOf(host.interfaces);
  const holders = (rules: readonly Rule[]): Set<Interface> =>
    new Set(
      rules.flatMap(({ source }) =>
        source && isKnown(source) && !isAny(source) ? networks.overlapping(source.text).map(({ link }) => link) : [],
      ),
    );
  const open = holders(host.rules.filter((rule) => opensTable(host, rule)));
  const tunnels = tunnelsOf(host);
  return [...holders(guarded(host).filter((rule) => isOfVpn(host, rule)))].filter(
    (link) => tunnels.has(link.name) && !open.has(link),
  );
}

/** Whether only VPN clients have the source of a rule: that of a `VpnEgress`, or one whose table a VPN daemon fills. */
function isOfVpn(host: Host, { action, source }: Rule): boolean {
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
 * In both families, whichever the pools have: a client may send either. They say nothing: an error would go to
 * who has that address, by the uplink.
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
  const { action, family, suppressPrefixLength, suppressInterfaceGroup } = rule;
  return (
    action.kind === 'lookup' &&
    host.tables.some((table) => table.id === action.tableId && table.failClosed) &&
    // Those let packets go on to later rules, as a route of type "throw" does.
    suppressPrefixLength === undefined &&
    suppressInterfaceGroup === undefined &&
    !hasThrow(host, action.tableId, family)
  );
}

/** Whether what a declared table has no route for goes on to later rules. */
function opensTable(host: Host, rule: Rule): boolean {
  const { action } = rule;
  return (
    action.kind === 'lookup' &&
    host.tables.some(
      (table) => table.id === action.tableId && (!table.failClosed || hasThrow(host, table.id, rule.family)),
    )
  );
}

/** Whether it keeps a source from going anywhere, not just from some destination. */
function rejectsSource(rule: Rule): boolean {
  return isRejecting(rule.action) && rule.source !== undefined && !isAny(rule.source) && goesAnywhere(rule);
}

export function hasThrow(host: Host, tableId: number, family: FamilyOrAuto): boolean {
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

import type { Host } from '../model/host';
import type { Route } from '../model/route';
import { isOtherFamily } from '../model/route';
import type { Rule } from '../model/rule';

export const UNKNOWN_FAMILY = 'family known at apply only';

/** What a rule may ask of a network manager, in the words of `ip rule`. */
export const RULE_FEATURES = [
  'from',
  'to',
  'not',
  'tos',
  'fwmark',
  'fwmark/mask',
  'fwmark 0/mask',
  'iif',
  'oif',
  'mark, iif or oif without from and to',
  'uidrange',
  'ipproto',
  'sport',
  'dport',
  'lookup',
  'goto',
  'blackhole',
  'unreachable',
  'prohibit',
  'suppress_prefixlength',
  'suppress_ifgroup',
  UNKNOWN_FAMILY,
] as const;

/** What a route may ask of a network manager, in the words of `ip route`. */
export const ROUTE_FEATURES = [
  'via',
  'via inet6',
  'via dhcp4 or ra',
  'dev',
  'src',
  'scope',
  'mtu',
  'advmss',
  'onlink',
  'metric',
  'metric above 2147483647',
  'nexthop',
  'nexthop … onlink',
  'blackhole',
  'unreachable',
  'prohibit',
  'throw',
  UNKNOWN_FAMILY,
] as const;

export type RuleFeature = (typeof RULE_FEATURES)[number];
export type RouteFeature = (typeof ROUTE_FEATURES)[number];

/** Yes; yes, but in another file, or since a version of the manager; or no, with the reason. */
export type Support =
  | true
  | { readonly note: string }
  | { readonly since: string; readonly key: string; readonly note?: string }
  | { readonly refused: string };

/** What a network manager can express. It can express every feature that is not named. */
export interface Capabilities {
  readonly rules: Readonly<Partial<Record<RuleFeature, Support>>>;
  readonly routes: Readonly<Partial<Record<RouteFeature, Support>>>;
}

/** Only the watch follows a next hop. A file that has one would bring back an old one. */
export const FOLLOWED: Support = { refused: 'only Persistence.service() follows a next hop that changes' };

/** Without limits, since the agent sets everything itself. */
export const EVERYTHING: Capabilities = { rules: {}, routes: {} };

export function ruleFeatures(rule: Rule): RuleFeature[] {
  const { source, destination, firewallMark, firewallMask, action } = rule;
  const masked = firewallMark !== undefined && firewallMask !== undefined && firewallMask !== 0xffffffff;
  return present<RuleFeature>({
    'from': source,
    'to': destination,
    'not': rule.invert,
    'tos': rule.tos,
    'fwmark': firewallMark,
    'fwmark/mask': masked,
    'fwmark 0/mask': masked && firewallMark === 0,
    'iif': rule.inputInterface,
    'oif': rule.outputInterface,
    'mark, iif or oif without from and to':
      !source && !destination && (firewallMark !== undefined || rule.inputInterface || rule.outputInterface),
    'uidrange': rule.uidRange,
    'ipproto': rule.ipProtocol,
    'sport': rule.sourcePorts,
    'dport': rule.destinationPorts,
    [action.kind]: true,
    'suppress_prefixlength': rule.suppressPrefixLength,
    'suppress_ifgroup': rule.suppressInterfaceGroup,
    [UNKNOWN_FAMILY]: rule.family === 'auto',
  });
}

export function routeFeatures(route: Route): RouteFeature[] {
  const { hops, type, metric } = route;
  const [only] = hops.length === 1 ? hops : [];
  return present<RouteFeature>({
    'via': only?.via,
    'via inet6': hops.some((hop) => isOtherFamily(route, hop)),
    'via dhcp4 or ra': hops.some(({ via }) => via?.isFollowed),
    'dev': only?.device,
    'src': route.preferredSource,
    'scope': route.scope,
    'mtu': route.mtu,
    'advmss': route.advmss,
    'onlink': only?.onLink,
    metric,
    'metric above 2147483647': metric !== undefined && metric > 2147483647,
    'nexthop': hops.length > 1,
    'nexthop … onlink': hops.length > 1 && hops.some((hop) => hop.onLink),
    ...(type === undefined ? {} : { [type]: true }),
    [UNKNOWN_FAMILY]: route.family === 'auto',
  });
}

function present<F extends string>(features: Partial<Record<F, unknown>>): F[] {
  return (Object.keys(features) as F[]).filter((name) => features[name] !== undefined && features[name] !== false);
}

/** One thing that a rule or route asks of a manager. */
interface Demand {
  readonly path: string;
  readonly what: string;
  readonly feature: string;
  readonly support: Support;
}

function* demands(host: Host, capabilities: Capabilities): Generator<Demand> {
  for (const rule of host.rules) {
    for (const feature of ruleFeatures(rule)) {
      const what = `the rule at priority ${rule.priority}`;
      yield { path: rule.path, what, feature, support: capabilities.rules[feature] ?? true };
    }
  }
  for (const route of host.routes) {
    for (const feature of routeFeatures(route)) {
      const what = `the route to "${route.destination.text}" in table ${route.tableId}`;
      yield { path: route.path, what, feature, support: capabilities.routes[feature] ?? true };
    }
  }
}

export interface Refusal {
  readonly path: string;
  readonly what: string;
  readonly feature: string;
  readonly reason: string;
}

/** What the manager cannot express of a host. */
export function refusals(host: Host, capabilities: Capabilities): Refusal[] {
  return [...demands(host, capabilities)].flatMap(({ support, ...demand }) =>
    support !== true && 'refused' in support ? [{ ...demand, reason: support.refused }] : [],
  );
}

/** The highest version of the manager that the host needs, and the feature that needs it. */
export function versionNeeded(host: Host, capabilities: Capabilities): { atLeast: string; for: string } | undefined {
  let needed: { atLeast: string; for: string } | undefined;
  for (const { support, what } of demands(host, capabilities)) {
    if (support !== true && 'since' in support && (!needed || isOlder(needed.atLeast, support.since))) {
      needed = { atLeast: support.since, for: `${support.key} of ${what}` };
    }
  }
  return needed;
}

function isOlder(version: string, than: string): boolean {
  const [left, right] = [version, than].map((text) => text.split('.').map(Number));
  const at = right.findIndex((part, index) => part !== (left[index] ?? 0));
  return at >= 0 && (left[at] ?? 0) < right[at];
}

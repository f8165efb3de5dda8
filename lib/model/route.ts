import type { FamilyOrAuto } from './family';
import type { Word } from './rule';
import { option } from './rule';
import type { Value } from './value';
import { DEFAULT_DESTINATION } from './value';

/** A route that forwards nothing. */
export type RejectType = 'blackhole' | 'unreachable' | 'prohibit' | 'throw';

export interface Hop {
  readonly via?: Value;
  readonly device?: Value;
  readonly weight?: number;
  readonly onLink?: boolean;
}

/** One route of one family in one table, as the kernel has it. */
export interface Route {
  /** Path of the construct that declared it. */
  readonly path: string;
  readonly family: FamilyOrAuto;
  readonly tableId: number;
  readonly destination: Value;
  readonly metric?: number;
  readonly type?: RejectType;
  /** One hop is written as plain `via` and `dev`, several as weighted next hops. */
  readonly hops: readonly Hop[];
  readonly preferredSource?: Value;
  readonly scope?: number;
  readonly mtu?: number;
  readonly advmss?: number;
}

/** Metric that the kernel gives to an IPv6 route without one. */
const DEFAULT_METRIC_IPV6 = 1024;

/** Higher than any metric that a person or a routing daemon would choose, so that real routes win. */
export const FAIL_CLOSED_METRIC = 4278198272;

/**
 * A route with a prefix of this length or shorter is a default route, or a part of one. VPN clients set a default route
 * in parts, to keep the real one: OpenVPN 0.0.0.0/1 and 128.0.0.0/1, and ::/3, 2000::/4, 3000::/4 and fc00::/7; others
 * 2000::/3. The shortest prefixes of private networks are 10.0.0.0/8 and fd00::/8.
 */
export const DEFAULT_ROUTE_LENGTH = 7;

/** Tells whether a route is a default route, or a part of one. */
export function isDefaultRoute({ destination: { text } }: Pick<Route, 'destination'>): boolean {
  return text === DEFAULT_DESTINATION.text || Number(text.split('/')[1] ?? Infinity) <= DEFAULT_ROUTE_LENGTH;
}

export function defaultMetric(family: FamilyOrAuto): number {
  return family === 6 ? DEFAULT_METRIC_IPV6 : 0;
}

export function routeMetric(route: Route): number {
  return route.metric ?? defaultMetric(route.family);
}

/** The route without family, table, destination and metric, in the order of lib/agent/README.md. */
export function routeWords(route: Route): Word[] {
  const [only] = route.hops.length === 1 ? route.hops : [];
  return [
    ...option('type', route.type),
    ...viaWords(route, only),
    ...option('dev', only?.device),
    ...option('src', route.preferredSource),
    ...option('scope', route.scope),
    ...option('mtu', route.mtu),
    ...option('advmss', route.advmss),
    ...(only?.onLink ? ['onlink'] : []),
    ...(only ? [] : route.hops.flatMap((hop) => hopWords(route, hop))),
  ];
}

/**
 * The route that rejects packets which no real route to that destination takes. A default one rejects packets that
 * would go on to the next rule. Others are discard routes (RFC 4632, section 5.1), which keep packets off routes with a
 * shorter prefix.
 */
export function failClosedRoute(
  path: string,
  family: FamilyOrAuto,
  tableId: number,
  destination = DEFAULT_DESTINATION,
): Route {
  return {
    path,
    family,
    tableId,
    destination,
    metric: FAIL_CLOSED_METRIC,
    type: 'unreachable',
    hops: [],
  };
}

/** A next hop of the other family (RFC 8950) needs the name of its family. */
export function isOtherFamily({ family }: Route, { via }: Hop): boolean {
  return family === 4 && via?.family === 6;
}

function viaWords(route: Route, hop: Hop | undefined): Word[] {
  return hop && isOtherFamily(route, hop) ? ['via', ...option('inet6', hop.via)] : option('via', hop?.via);
}

function hopWords(route: Route, hop: Hop): Word[] {
  return [
    'nexthop',
    ...viaWords(route, hop),
    ...option('dev', hop.device),
    ...option('weight', hop.weight),
    ...(hop.onLink ? ['onlink'] : []),
  ];
}

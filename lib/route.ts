import { Token } from 'cdktf';
import { Construct } from 'constructs';
import { Arguments } from './private/arguments';
import type { LinuxHost } from './linux-host';
import type { Family, FamilyOrAuto } from './model/family';
import { familyName } from './model/family';
import { MAX_UINT32 } from './model/limits';
import type { Hop, RejectType, Route as RouteModel } from './model/route';
import type { Value } from './model/value';
import { DEFAULT_DESTINATION, InvalidValue, commonFamily, isKnown } from './model/value';
import { IpFamily } from './ip-family';
import { ADDRESS, DEVICE, FAMILY, TABLE } from './private/kinds';
import type { Shape } from './private/shapes';
import { FLAG, list, member, number, optional, struct, text } from './private/shapes';
import type { SourceRoutingTable } from './source-routing-table';

/**
 * What the kernel does with a packet that matches a route.
 *
 * @see https://man7.org/linux/man-pages/man8/ip-route.8.html
 */
export enum RouteType {
  /** Forwards the packet. */
  UNICAST = 'unicast',
  /** Drops the packet silently. */
  BLACKHOLE = 'blackhole',
  /** Drops the packet and answers "host unreachable". */
  UNREACHABLE = 'unreachable',
  /** Drops the packet and answers "communication administratively prohibited". */
  PROHIBIT = 'prohibit',
  /** Ends the lookup in this table. The kernel goes on with the next rule. */
  THROW = 'throw',
}

/**
 * How far away the destination of an IPv4 route is.
 */
export enum RouteScope {
  /** Reached through a next hop. */
  GLOBAL = 'global',
  /** On the network of the interface. */
  LINK = 'link',
  /** The machine itself. */
  HOST = 'host',
}

/**
 * One of several next hops to a destination. The kernel spreads packets over them by weight.
 */
export interface NextHop {
  /**
   * Address of the next hop.
   *
   * @default - none: the destination is on-link on `device`
   */
  readonly via?: string;

  /**
   * Interface that leads to the next hop.
   *
   * @default - the interface on whose network `via` is
   */
  readonly device?: string;

  /**
   * Share of the packets in relation to the other next hops, 1 to 256.
   *
   * @default 1
   */
  readonly weight?: number;

  /**
   * Treats `via` as on-link, even if it is in no network of the interface.
   *
   * @default false
   */
  readonly onLink?: boolean;
}

/**
 * Options of a route, without its table.
 */
export interface RouteOptions {
  /** Prefix in CIDR notation, or `default`. */
  readonly destination: string;

  /**
   * Address of the next hop. An IPv4 destination may have an IPv6 next hop; its addresses are then resolved by neighbour
   * discovery.
   *
   * `dhcp4` is the router that DHCP gives on `device`, and `ra` that of router advertisements. The machine reads it from
   * the default route of its main table, or from the lease, and follows when it changes.
   *
   * @default - none: the destination is on-link on `device`
   * @see https://www.rfc-editor.org/rfc/rfc8950
   */
  readonly via?: string;

  /**
   * Interface that leads to the next hop.
   *
   * @default - the interface on whose network `via` is
   */
  readonly device?: string;

  /**
   * Several next hops, instead of `via` and `device`.
   *
   * @default - one next hop
   */
  readonly nextHops?: NextHop[];

  /**
   * Metric. Among routes to the same destination, the lowest metric wins.
   *
   * @default - the kernel's: 0 for IPv4, 1024 for IPv6
   */
  readonly metric?: number;

  /**
   * Treats `via` as on-link, even if it is in no network of the interface.
   *
   * @default false
   */
  readonly onLink?: boolean;

  /**
   * Source address of packets that the machine itself sends by this route.
   *
   * @default - the kernel's choice
   */
  readonly preferredSource?: string;

  /**
   * How far away the destination is (IPv4 only).
   *
   * @default - the kernel's: global with `via`, else link
   */
  readonly routeScope?: RouteScope;

  /**
   * Largest packet on this route, in bytes, at most 65520.
   *
   * @default - that of the interface
   */
  readonly mtu?: number;

  /**
   * Maximum segment size that TCP advertises on this route, in bytes.
   *
   * @default - derived from the MTU
   */
  readonly advmss?: number;

  /**
   * What the kernel does with matching packets.
   *
   * @default RouteType.UNICAST
   */
  readonly routeType?: RouteType;

  /**
   * Family of a `default` route without `via`.
   *
   * @default - the family of the addresses
   */
  readonly family?: IpFamily;
}

/**
 * Properties of a `Route`.
 */
export interface RouteProps extends RouteOptions {
  /** Table of the route. */
  readonly table: SourceRoutingTable;
}

const ROUTE = Symbol.for('cdktf-source-routing/Route');
const NEXT_HOP: Shape<NextHop> = {
  via: optional(ADDRESS),
  device: optional(DEVICE),
  weight: optional(number('an integer from 1 to 256')),
  onLink: optional(FLAG),
};
const PROPS: Shape<RouteProps> = {
  table: TABLE,
  destination: text('"default" or a prefix such as "10.0.0.0/8"'),
  via: optional(ADDRESS),
  device: optional(DEVICE),
  nextHops: optional(
    list(struct(NEXT_HOP, 'an object such as { via: "192.168.1.1" }'), 'a list such as [{ via: "192.168.1.1" }]'),
  ),
  metric: optional(number('an integer')),
  onLink: optional(FLAG),
  preferredSource: optional(ADDRESS),
  routeScope: optional(member('RouteScope', RouteScope)),
  mtu: optional(number('a number of bytes')),
  advmss: optional(number('a number of bytes')),
  routeType: optional(member('RouteType', RouteType)),
  family: optional(FAMILY),
};
const SCOPES: Record<RouteScope, number> = { [RouteScope.GLOBAL]: 0, [RouteScope.LINK]: 253, [RouteScope.HOST]: 254 };

/**
 * A route in a table. Usually made by `table.addRoute()`.
 *
 * @example
 * new Route(this, 'default4', { table, destination: 'default', via: '192.168.1.1', device: 'eth1' });
 */
export class Route extends Construct {
  /**
   * Tells whether a value is a `Route`, also of another copy of this library.
   *
   * @param x - any value
   */
  public static isRoute(x: unknown): x is Route {
    return typeof x === 'object' && x !== null && ROUTE in x;
  }

  private readonly host: LinuxHost;

  /**
   * @param scope - parent in the tree
   * @param id - unique in its scope
   * @param props - table, destination and next hop
   * @throws ValidationError if an argument is wrong or two contradict each other
   */
  public constructor(scope: Construct, id: string, props: RouteProps) {
    super(scope, id);
    Object.defineProperty(this, ROUTE, { value: true });
    const args = new Arguments(this);
    args.checkOptions(PROPS, props);
    this.host = props.table.host;
    this.host._declaration.addRoute(parseRoute(this, args, props));
    this.host._declaration.validate(this);
  }

  /** Address of the host's `apply` resource. With it, `dependsOn: [route]` works on any resource. */
  public get fqn(): string {
    return this.host.fqn;
  }
}

function parseRoute(scope: Construct, args: Arguments, props: RouteProps): RouteModel {
  const destination = parseDestination(args, props.destination);
  const preferredSource = args.optional('address', props.preferredSource, 'preferredSource');
  const reject =
    props.routeType === undefined || props.routeType === RouteType.UNICAST
      ? undefined
      : (props.routeType as RejectType);
  const hops = parseHops(args, props, reject);
  const family = args.attempt(() => parseFamily(props, destination, preferredSource, hops));
  if (props.routeScope !== undefined && family === 6) {
    throw args.error(
      `routeScope "${props.routeScope}" is set on an IPv6 route. IPv6 routes have no scope: leave it out.`,
    );
  }
  if (props.routeScope !== undefined && props.routeScope !== RouteScope.GLOBAL && hops.some((hop) => hop.via)) {
    throw args.error(
      `routeScope "${props.routeScope}" is set on a route with a next hop, whose scope is always global. Leave it out.`,
    );
  }
  if (family === 6 && hops.length > 1 && hops.some((hop) => !hop.via)) {
    throw args.error('nextHops has one without via. IPv6 needs the address of each next hop. Set via.');
  }
  if (family === 6) {
    refuseSameHop(args, hops);
  }
  return {
    path: scope.node.path,
    family,
    tableId: props.table.tableId,
    destination,
    hops,
    metric: args.optionalInteger(props.metric, 'metric', family === 6 ? 1 : 0, MAX_UINT32),
    ...(reject && { type: reject }),
    ...(preferredSource && { preferredSource }),
    ...(props.routeScope !== undefined && { scope: SCOPES[props.routeScope] }),
    mtu: args.optionalInteger(props.mtu, 'mtu', family === 6 ? 1280 : 68, 65520),
    advmss: args.optionalInteger(props.advmss, 'advmss', 28, 65495),
  };
}

/** For the kernel, an IPv4 route may have a next hop twice. */
function refuseSameHop(args: Arguments, hops: readonly Hop[]): void {
  hops.forEach(({ via, device }, index) => {
    const first = hops.findIndex((other) => other.via?.text === via?.text && other.device?.text === device?.text);
    if (first < index) {
      throw args.error(
        `nextHops[${index}]${via && isKnown(via) ? ` "${via.text}"` : ''} is the same as nextHops[${first}], so the kernel would refuse the route. ` +
          'Leave it out; for a larger share of the packets, set weight.',
      );
    }
  });
}

function parseDestination(args: Arguments, destination: string): Value {
  if (destination === 'default') {
    return DEFAULT_DESTINATION;
  }
  const prefix = args.value('prefix', destination, 'destination');
  // The kernel prints the default route of both families as "default".
  return prefix.text.endsWith('/0') ? { ...DEFAULT_DESTINATION, family: prefix.family } : prefix;
}

function parseHops(args: Arguments, props: RouteProps, reject: RejectType | undefined): Hop[] {
  const { via, device, onLink, nextHops } = props;
  const single = via !== undefined || device !== undefined;
  if (nextHops?.some(({ via }) => via === 'dhcp4' || via === 'ra')) {
    throw args.error('nextHops has a via that DHCP or router advertisements give. Declare one route with it instead.');
  }
  if (reject) {
    const [property] = Object.entries({ via, device, nextHops, onLink }).find(([, value]) => value !== undefined) ?? [];
    if (property !== undefined) {
      throw args.error(`${property} is set on a route of type "${reject}", which has no next hop. Leave it out.`);
    }
    return [];
  }
  if (nextHops !== undefined) {
    if (single) {
      throw args.error('nextHops is set together with via or device. Move these into nextHops.');
    }
    if (onLink !== undefined) {
      throw args.error('nextHops is set together with onLink. Set onLink on the next hop that needs it.');
    }
    if (nextHops.length === 0) {
      throw args.error('nextHops is empty. Give at least one next hop.');
    }
    return nextHops.map((hop, index) => parseHop(args, hop, `nextHops[${index}].`));
  }
  if (!single) {
    throw args.error(
      'has neither via nor device. Give the next hop or the interface, or set a routeType such as RouteType.UNREACHABLE.',
    );
  }
  return [parseHop(args, { via, device, onLink }, '')];
}

function parseHop(args: Arguments, hop: NextHop, prefix: string): Hop {
  if (hop.via === undefined && hop.device === undefined) {
    throw args.error(`${prefix.slice(0, -1)} has neither via nor device. Give the next hop or the interface.`);
  }
  if (hop.onLink && (hop.via === undefined || hop.device === undefined)) {
    throw args.error(
      `${prefix}onLink needs both via and device, since the kernel cannot find the interface by itself. Set both.`,
    );
  }
  const via = hop.via === undefined ? undefined : args.nextHop(hop.via, `${prefix}via`);
  if (via?.isFollowed && hop.device === undefined) {
    throw args.error(`${prefix}via "${via.text}" needs the interface on which it is given. Set device.`);
  }
  return {
    via,
    device: args.optional('device', hop.device, `${prefix}device`),
    weight: args.optionalInteger(hop.weight, `${prefix}weight`, 1, 256),
    onLink: hop.onLink,
  };
}

function parseFamily(
  props: RouteProps,
  destination: Value,
  preferredSource: Value | undefined,
  hops: readonly Hop[],
): FamilyOrAuto {
  const toIpv4 = props.family === IpFamily.IPV4 || destination.family === 4;
  const vias = hops.map(({ via }) => via).filter((via) => !toIpv4 || via?.family !== 6 || via.isFollowed);
  const found = commonFamily([
    ['destination', destination],
    ...vias.map((via): [string, Value | undefined] => ['via', via]),
    ['preferredSource', preferredSource],
  ]);
  const wanted: Family | undefined = props.family && (props.family === IpFamily.IPV4 ? 4 : 6);
  if (wanted === undefined) {
    if (found === undefined) {
      throw new InvalidValue('destination "default" has no address family. Set family, or use "0.0.0.0/0" or "::/0".');
    }
    return found;
  }
  if (found !== undefined && found !== 'auto' && found !== wanted) {
    const value = Token.isUnresolved(props.destination) ? 'the addresses' : `"${props.destination}"`;
    throw new InvalidValue(
      `family is ${familyName(wanted)} but ${value} is ${familyName(found)}. Correct one of them.`,
    );
  }
  return wanted;
}

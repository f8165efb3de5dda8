import { Construct } from 'constructs';
import { Arguments } from './private/arguments';
import {
  ADDRESSES,
  DEVICE,
  DEVICES,
  FORWARDING,
  HOST,
  LOCAL_TRAFFIC,
  MARK,
  PREFIXES,
  RESOLVER,
  SOURCE_NAT,
  TABLE_ID,
  TABLE_NAME,
} from './private/kinds';
import type { Merged } from './private/pools';
import { mergePools, suppressedLength } from './private/pools';
import { returnAddress } from './private/return-address';
import { addTranslation } from './private/translations';
import type { Shape } from './private/shapes';
import { FLAG, number, optional } from './private/shapes';
import type { Forwarding } from './forwarding';
import { IpFamily } from './ip-family';
import { IpProtocol } from './ip-protocol';
import type { LinuxHost } from './linux-host';
import { LocalTraffic } from './local-traffic';
import type { Family, FamilyOrAuto } from './model/family';
import { BOTH_FAMILIES, familyName, overlaps } from './model/family';
import type { Selectors } from './model/expectation';
import { MAX_UINT32 } from './model/limits';
import { defaultMark } from './model/marking';
import { DEFAULT_ROUTE_LENGTH, failClosedRoute } from './model/route';
import { MAX_PRIORITY, MIN_PRIORITY } from './model/rule';
import type { Value } from './model/value';
import { isInside, isKnown, secondOfFamily } from './model/value';
import { NumberRange } from './number-range';
import type { PolicyRuleProps } from './policy-rule';
import { PolicyRule } from './policy-rule';
import type { Resolver } from './resolver';
import type { RouteOptions } from './route';
import { Route } from './route';
import { RuleAction } from './rule-action';
import type { SourceNat } from './source-nat';
import { SourceRoutingTable } from './source-routing-table';
import { VpnUpHook } from './vpn-up-hook';

/**
 * A static route that the NAT router needs, so that replies reach the clients.
 */
export interface ReturnRoute {
  /** Pool of the clients, in CIDR notation. */
  readonly destination: string;

  /** Address of the VPN server on the network that it shares with the NAT router. */
  readonly via: string;
}

/**
 * Properties of a `VpnEgress`.
 */
export interface VpnEgressProps {
  /** The VPN server. */
  readonly host: LinuxHost;

  /** Interface of the server that leads to the NAT router. */
  readonly device: string;

  /** Id of the table in which the clients' packets are looked up. */
  readonly tableId: number;

  /**
   * Name of the table, for people.
   *
   * @default - no name
   */
  readonly tableName?: string;

  /** Pools that clients get their addresses from, in CIDR notation, of both families. */
  readonly clients: string[];

  /**
   * Addresses of the NAT router on the network of `device`: one for each family of `clients`. Leave it out if `device`
   * is a point-to-point link (PPP, WireGuard), which needs no next hop.
   *
   * @default - packets leave by `device` without a next hop
   */
  readonly gateways?: string[];

  /**
   * Takes the gateways as directly connected, although they are in no network of `device`. Clouds that give an
   * interface a single address (/32) need this.
   *
   * @default false
   */
  readonly onLink?: boolean;

  /**
   * Largest packet that clients can send by `device`, in bytes, at most 65520. An example is 1492 where the NAT router is
   * behind PPPoE. Larger packets get an ICMP error, and the sender makes them smaller.
   *
   * @default - the MTU of `device`
   */
  readonly mtu?: number;

  /**
   * Lowers the maximum segment size that TCP connections of clients negotiate to what the MTUs of `device` and of the
   * tunnel let pass, in both directions. Connections then work even if ICMP errors get lost on the way. Needs nftables.
   *
   * @default false
   * @see https://wiki.nftables.org/wiki-nftables/index.php/Mangling_packet_headers
   */
  readonly mssClamp?: boolean;

  /**
   * Addresses of the server on `device` that the return routes lead to, at most one for each family. An example is the
   * address that a pair of servers shares.
   *
   * @default - the declared address of `device`, if there is one of the family
   */
  readonly returnAddresses?: string[];

  /**
   * Pools whose packets are rejected as unreachable instead of routed, in CIDR notation. An example is the IPv6 pool,
   * if the NAT router has only IPv4. `localTraffic` applies to these pools as well.
   *
   * @default - none
   */
  readonly rejectedClients?: string[];

  /**
   * Priority of the rule for the first pool of each family. The other pools follow, those of `rejectedClients` last.
   * The rules for local traffic are right before them (adjacent pools share one). The rules for packets that the
   * machine itself sends for clients (ICMP errors, queries of `resolver`) are right after them.
   *
   * @default - 10010 for the first `VpnEgress` of a host, and the first free one of 10110, 10210 ... for each other
   */
  readonly priority?: number;

  /**
   * Where packets between clients go, and packets between clients and the server.
   *
   * @default LocalTraffic.mainTable()
   */
  readonly localTraffic?: LocalTraffic;

  /**
   * How packets of clients pass through the server's firewall and forwarding, and what follows if they do not.
   *
   * @default - nothing is configured; a change after which no packet of clients gets through is refused
   */
  readonly forwarding?: Forwarding;

  /**
   * What the server does to the source address of packets that leave by `device`.
   *
   * @default SourceNat.none()
   */
  readonly sourceNat?: SourceNat;

  /**
   * Rejects the clients' packets when the path to the NAT router is gone, instead of letting them leave through the
   * server's default gateway. Also rejects packets to pool addresses that no tunnel holds, which would come back from
   * the NAT router.
   *
   * @default true
   */
  readonly failClosed?: boolean;

  /**
   * Interfaces by which clients' packets may leave in addition to `device` and the tunnels. Without this, the kill
   * switch rejects them. An example is the interface of another VPN, whose rules are in front of ours.
   *
   * @default - none
   */
  readonly allowedInterfaces?: string[];

  /**
   * A resolver on the server whose queries leave through the NAT router, like the packets of clients: those to port 53
   * (UDP, TCP) and 853 (TLS). The NAT router must translate the server's address on `device` as well. If the resolver
   * binds a source address of another interface, the router receives that address.
   *
   * @default - queries use the main table, like other packets of the server itself
   */
  readonly resolver?: Resolver;

  /**
   * Mark of packets to clients that come in by `device`, 1 to 4294967295. ICMP errors that the server sends about them
   * ("too big", "time exceeded") have the same mark. So they leave through the NAT router, which can translate them. A
   * packet that has a mark of other software keeps it.
   *
   * Set this if other software uses the bits of the default. Up to table id 255, the default shares no bits with the
   * masks of Tailscale (`0xff0000`), Kubernetes (`0xc000`) and Cilium (`0x0f00`). Calico's default, `0xffff0000`,
   * overlaps.
   *
   * @default - 0x53000000 + `tableId`, in 32 bits
   */
  readonly errorMark?: number;

  /**
   * The NAT router, if it is a `LinuxHost`. Its main table gets the return routes. A `NatRouter` configures source NAT,
   * too: use that instead.
   *
   * @default - use `returnRoutes()` to configure the router
   */
  readonly natRouter?: LinuxHost;
}

interface Pool {
  /** Name in error messages: `clients[0]`. */
  readonly property: string;
  /** Number of the pool in its property, from 1: part of the ids of its rules. */
  readonly number: number;
  readonly text: string;
  readonly value: Value;
  readonly family: FamilyOrAuto;
}

/** A rule without its priority. */
interface OwnRule {
  readonly id: string;
  readonly props: Omit<PolicyRuleProps, 'priority'>;
}

/** A rule for local traffic, without its priority. */
interface LocalRule extends OwnRule {
  readonly family: FamilyOrAuto;
}

const PROPS: Shape<VpnEgressProps> = {
  host: HOST,
  device: DEVICE,
  tableId: TABLE_ID,
  tableName: optional(TABLE_NAME),
  clients: PREFIXES,
  gateways: optional(ADDRESSES),
  onLink: optional(FLAG),
  mtu: optional(number('a number of bytes such as 1492')),
  mssClamp: optional(FLAG),
  returnAddresses: optional(ADDRESSES),
  rejectedClients: optional(PREFIXES),
  priority: optional(number(`an integer from ${MIN_PRIORITY} to ${MAX_PRIORITY}`)),
  localTraffic: optional(LOCAL_TRAFFIC),
  forwarding: optional(FORWARDING),
  sourceNat: optional(SOURCE_NAT),
  failClosed: optional(FLAG),
  allowedInterfaces: optional(DEVICES),
  resolver: optional(RESOLVER),
  errorMark: optional(MARK),
  natRouter: optional(HOST),
};
const VPN_EGRESS = Symbol.for('cdktf-source-routing/VpnEgress');
const DEFAULT_PRIORITY = 10010;

/**
 * Routes the clients of a VPN server through a NAT router: a table with the default route, a rule for each pool, rules
 * for local traffic, a kill switch, and the return routes.
 *
 * @example
 * new VpnEgress(this, 'egress', {
 *   host: server,
 *   device: 'eth1',
 *   tableId: 200,
 *   clients: ['10.10.10.0/24', 'fd00:4242:4242:4242::/64'],
 *   gateways: ['192.168.1.1', 'fd00:1010:1010:1010::1'],
 * });
 */
export class VpnEgress extends Construct {
  /**
   * Tells whether a value is a `VpnEgress`, also of another copy of this library.
   *
   * @param x - any value
   */
  public static isVpnEgress(x: unknown): x is VpnEgress {
    return typeof x === 'object' && x !== null && VPN_EGRESS in x;
  }

  /** Table in which the clients' packets are looked up. */
  public readonly table: SourceRoutingTable;

  private readonly host: LinuxHost;
  private readonly device: string;
  private readonly pools: readonly Pool[];
  private readonly rejected: readonly Pool[];
  private readonly allPools: readonly Pool[];
  private readonly returnAddresses: readonly Value[];
  /** Id of the first default route. */
  private readonly firstRoute: string;
  private readonly args: Arguments;

  /**
   * @param scope - parent in the tree
   * @param id - unique in its scope
   * @param props - server, clients and gateways
   * @throws ValidationError if an argument is wrong or two contradict each other
   */
  public constructor(scope: Construct, id: string, props: VpnEgressProps) {
    super(scope, id);
    Object.defineProperty(this, VPN_EGRESS, { value: true });
    this.args = new Arguments(this);
    this.args.checkOptions(PROPS, props);
    const device = this.args.value('device', props.device, 'device');
    this.host = props.host;
    this.device = props.device;
    this.pools = this.parsePools(props.clients, 'clients');
    this.rejected = this.parsePools(props.rejectedClients ?? [], 'rejectedClients');
    this.allPools = [...this.pools, ...this.rejected];
    const gateways = props.gateways?.map((text, index) => this.args.value('address', text, `gateways[${index}]`));
    this.returnAddresses = (props.returnAddresses ?? []).map((text, index) =>
      this.args.value('address', text, `returnAddresses[${index}]`),
    );
    this.checkPools();
    this.checkReturnAddresses();
    if (gateways) {
      this.checkFamilies(gateways);
    } else if (props.onLink) {
      throw this.args.error('onLink is set without gateways, which it is about. Give gateways, or leave out onLink.');
    }

    this.table = new SourceRoutingTable(this, 'table', {
      host: props.host,
      tableId: props.tableId,
      tableName: props.tableName,
      failClosed: props.failClosed,
      allowedInterfaces: props.allowedInterfaces,
    });
    const defaultRoutes = this.defaultRoutes(props);
    this.firstRoute = defaultRoutes[0][0];
    defaultRoutes.forEach(([routeId, route]) => this.table.addRoute(routeId, route));
    const localTraffic = props.localTraffic ?? LocalTraffic.mainTable();
    const localRules = this.localRules(localTraffic);
    const errorMark = this.args.integer(
      props.errorMark ?? defaultMark(this.table.tableId),
      'errorMark',
      1,
      MAX_UINT32,
      'Leave it out to derive one from tableId.',
    );
    const queries = props.resolver?._queries(this.args) ?? [];
    const ownRules = this.ownRules(errorMark, queries, gateways ?? this._clients);
    const free = this.host._declaration.nextPriority(DEFAULT_PRIORITY, mostOfAFamily(localRules));
    const priority = this.checkPriority(props.priority ?? free, localRules, ownRules);
    const ranks = ranksOf(this.allPools);
    for (const pool of this.pools) {
      const rule = new PolicyRule(this, `clients-${pool.number}`, {
        table: this.table,
        source: pool.text,
        priority: priority + (ranks.get(pool) ?? 0),
      });
      this.addDiscard(pool, rule);
    }
    for (const pool of this.rejected) {
      const rule = new PolicyRule(this, `rejected-${pool.number}`, {
        host: this.host,
        action: RuleAction.unreachable(),
        source: pool.text,
        priority: priority + (ranks.get(pool) ?? 0),
      });
      this.addDiscard(pool, rule);
    }
    if (localTraffic._kind === 'up-hook') {
      new VpnUpHook(this, 'up-hook', { table: this.table, daemon: localTraffic._daemon });
    }
    for (const [{ id: ruleId, props: selectors }, rank] of ranksOf(localRules)) {
      new PolicyRule(this, ruleId, { ...selectors, priority: priority - rank - 1 });
    }
    // Packets of clients never reach these rules.
    ownRules.forEach(({ id: ruleId, props: selectors }, index) => {
      new PolicyRule(this, ruleId, { ...selectors, priority: priority + mostOfAFamily(this.allPools) + index });
    });
    const lastPriority = priority + mostOfAFamily(this.allPools) + ownRules.length - 1;
    const egress = {
      path: this.node.path,
      device: this.asOfRoutes(device),
      tableId: this.table.tableId,
      clients: this._clients,
      rejectedClients: this.rejected.map(({ value }) => value),
      gateways: gateways ?? [],
      localTraffic: localTraffic._kind,
      failClosed: props.failClosed ?? true,
      forwarding: props.forwarding?._forwarding ?? { required: true, chains: [] },
      translated: props.sourceNat?._translated ?? false,
      mssClamp: props.mssClamp ?? false,
      errorMark,
      queries,
    };
    this.host._declaration.addEgress(egress, lastPriority);
    const { path, device: leavingBy, clients } = egress;
    addTranslation(this.host, this.args, props.sourceNat, { path, device: leavingBy, clients });
    this.host._declaration.validate(this);
    if (props.natRouter) {
      const table = SourceRoutingTable.main(props.natRouter);
      this.returnRoutes().forEach((route, index) => new Route(this, `return-${index + 1}`, { table, ...route }));
    }
  }

  /** Address of the host's `apply` resource. With it, `dependsOn: [egress]` works on any resource. */
  public get fqn(): string {
    return this.host.fqn;
  }

  /**
   * Returns the static routes that the NAT router needs, for a router that another construct configures (a cloud's
   * route table, for example). They need the server's addresses on `device`: `returnAddresses`, or those in the host's
   * `interfaces`.
   *
   * @throws ValidationError if there is no such address, or there are several of one family
   */
  public returnRoutes(): ReturnRoute[] {
    const candidates = {
      device: this.device,
      chosen: this.returnAddresses,
      addresses: this.host._declaration.interfaceNamed(this.device)?.addresses ?? [],
      tokens: this.host._declaration.addressTokens(this.device),
    };
    return this.pools.map((pool) => ({ destination: pool.text, via: returnAddress(pool, candidates, this.args) }));
  }

  /**
   * Pools whose packets are routed.
   *
   * @internal
   */
  public get _clients(): readonly Value[] {
    return this.pools.map(({ value }) => value);
  }

  /** One for each gateway, or for each family of the pools. */
  private defaultRoutes({ gateways, device, onLink, mtu }: VpnEgressProps): Array<[string, RouteOptions]> {
    if (gateways) {
      return gateways.map((via, index) => [
        `gateway-${index + 1}`,
        { destination: 'default', via, device, onLink, mtu },
      ]);
    }
    const unknown = this.pools.find(({ family }) => family === 'auto');
    if (unknown) {
      throw this.args.error(
        `${unknown.property} is known at apply only, and without gateways its family must be known. Give it literally.`,
      );
    }
    return BOTH_FAMILIES.filter((family) => this.pools.some((pool) => pool.family === family)).map((family) => [
      `default-${familyName(family).toLowerCase()}`,
      { destination: family === 4 ? '0.0.0.0/0' : '::/0', device, mtu },
    ]);
  }

  /** Defers the check of an unknown device to the first route, so that a wrong one is reported once. */
  private asOfRoutes(device: Value): Value {
    return isKnown(device) ? device : { ...device, deferredFor: `${this.table.node.path}/${this.firstRoute}:device` };
  }

  private parsePools(texts: string[], property: string): Pool[] {
    return texts.map((text, index) => {
      const value = this.args.value('prefix', text, `${property}[${index}]`);
      return { property: `${property}[${index}]`, number: index + 1, text, value, family: value.family ?? 'auto' };
    });
  }

  // Packets to pool addresses that no tunnel holds would loop: the NAT router has a route back.
  private addDiscard(pool: Pool, { node }: PolicyRule): void {
    this.host._declaration.addDiscard(failClosedRoute(node.path, pool.family, this.table.tableId, pool.value));
  }

  private localRules(local: LocalTraffic): LocalRule[] {
    const { host } = this;
    switch (local._kind) {
      case 'main-table':
        return mergePools(this.allPools, (pool) => this.suppressedTo(pool)).map(({ pool, text, suppressed }) => ({
          id: this.localId(pool),
          family: pool.family,
          props: { table: SourceRoutingTable.main(host), destination: text, suppressPrefixLength: suppressed },
        }));
      case 'suppress-default':
        return this.withoutDefault(this.allPools, SourceRoutingTable.main(host));
      case 'up-hook':
        // The hook puts the tunnels' networks into the table, which has no other routes to these pools.
        return this.withoutDefault(this.rejected, this.table);
      case 'isolated':
        return this.isolation();
    }
  }

  private withoutDefault(pools: readonly Pool[], table: SourceRoutingTable): LocalRule[] {
    return mergeAll(pools).map(({ pool, text, suppressed }) => ({
      id: this.localId(pool),
      family: pool.family,
      props: { table, source: text, suppressPrefixLength: suppressed },
    }));
  }

  private isolation(): LocalRule[] {
    const unknown = this.allPools.find((pool) => pool.family === 'auto');
    if (unknown && this.allPools.length > 1) {
      throw this.args.error(
        `${unknown.property} is known at apply only, but LocalTraffic.isolated() with several pools needs its family. ` +
          'Give it literally, or declare a VpnEgress for each pool.',
      );
    }
    // Packets from a rejected pool are rejected anyway. Packets to one would go to the NAT router.
    const destinations = mergeAll(this.allPools);
    const pairs = [false, true].flatMap((rejected) =>
      mergeAll(this.pools).flatMap((from) =>
        destinations
          .filter(({ pool }) => pool.family === from.pool.family && this.rejected.includes(pool) === rejected)
          .map((to) => ({ from, to })),
      ),
    );
    return pairs.map(({ from, to }) => ({
      id: `isolated-${from.pool.number}-${this.rejected.includes(to.pool) ? 'rejected-' : ''}${to.pool.number}`,
      family: from.pool.family,
      props: { host: this.host, action: RuleAction.prohibit(), source: from.text, destination: to.text },
    }));
  }

  /** Rules for packets of the machine itself: ICMP errors about clients' packets, and queries of a resolver. */
  private ownRules(errorMark: number, queries: readonly Selectors[], gateways: readonly Value[]): OwnRule[] {
    const { table } = this;
    const maybe = (all: ReadonlyArray<{ readonly family?: FamilyOrAuto }>, family: Family): boolean =>
      all.some((each) => overlaps(each.family ?? 'auto', family));
    const families = BOTH_FAMILIES.filter((family) => maybe(this.pools, family) && maybe(gateways, family)).map(
      (family) => (family === 4 ? IpFamily.IPV4 : IpFamily.IPV6),
    );
    return [
      { id: 'errors', props: { table, families, firewallMark: errorMark, inputInterface: 'lo' } },
      ...queries.map(({ uid, sourcePort, ipProtocol, destinationPort }, index): OwnRule => ({
        id: `resolver-${index + 1}`,
        props: {
          table,
          families,
          uidRange: asRange(uid),
          ipProtocol: ipProtocol === undefined ? undefined : IpProtocol.of(ipProtocol),
          sourcePorts: asRange(sourcePort),
          destinationPorts: asRange(destinationPort),
        },
      })),
      ...this.answerRules(queries),
    ];
  }

  /**
   * Rules for the answers to a resolver. The source check of an answer (`rp_filter`, IPv4 only) looks up where a packet
   * in the reverse direction would go, without a user id. So queries that are selected by user need a rule of their
   * own.
   */
  private answerRules(queries: readonly Selectors[]): OwnRule[] {
    const { table } = this;
    const own =
      this.host._declaration.interfaceNamed(this.device)?.addresses.filter(({ family }) => family === 4) ?? [];
    return own
      .flatMap(({ address: source }) =>
        queries.filter(({ uid }) => uid !== undefined).map((query) => ({ source: `${source}/32`, ...query })),
      )
      .map(({ source, ipProtocol = 0, destinationPort }, index) => ({
        id: `resolver-answers-${index + 1}`,
        props: { table, source, ipProtocol: IpProtocol.of(ipProtocol), destinationPorts: asRange(destinationPort) },
      }));
  }

  private suppressedTo({ value }: Pool): number {
    return isKnown(value)
      ? suppressedLength(value.text, this.host._declaration.networksOverlapping(value.text))
      : DEFAULT_ROUTE_LENGTH;
  }

  private localId(pool: Pool): string {
    return `${this.rejected.includes(pool) ? 'rejected-' : ''}local-${pool.number}`;
  }

  /** Checks that there is room for the rules of all pools of a family, and for the rules before and after them. */
  private checkPriority(
    priority: number,
    localRules: readonly LocalRule[],
    { length: behind }: readonly OwnRule[],
  ): number {
    const pools = mostOfAFamily(this.allPools);
    const inFront = mostOfAFamily(localRules);
    return this.args.integer(
      priority,
      'priority',
      MIN_PRIORITY + inFront,
      MAX_PRIORITY - pools - behind + 1,
      `Rules before it: ${inFront} (local traffic). From it on: ${pools} (pools), then ${behind} (packets of the machine itself).`,
    );
  }

  private checkPools(): void {
    if (this.pools.length === 0) {
      throw this.args.error('clients is empty. Give the pools of the VPN server, such as "10.10.10.0/24".');
    }
    const texts = this.allPools.map((pool) => pool.value.text);
    const twice = this.allPools.find((pool, index) => texts.indexOf(pool.value.text) < index);
    if (twice) {
      throw this.args.error(`${twice.property} "${twice.text}" is there twice. Leave out one of them.`);
    }
    for (const pool of this.rejected.filter(({ value }) => isKnown(value))) {
      const outer = this.pools.find(({ value }) => isKnown(value) && isInside(pool.value.text, value.text));
      if (outer) {
        throw this.args.error(
          `${pool.property} "${pool.text}" is inside ${outer.property} "${outer.text}", which is routed. ` +
            'Leave it out, or give clients without it.',
        );
      }
    }
  }

  private checkReturnAddresses(): void {
    const index = secondOfFamily(this.returnAddresses);
    const twice = this.returnAddresses[index];
    if (twice?.family !== undefined) {
      throw this.args.error(
        `returnAddresses[${index}] "${twice.text}" is the second ${familyName(twice.family)} address. Give one for each family.`,
      );
    }
  }

  private checkFamilies(gateways: readonly Value[]): void {
    if (gateways.length === 0) {
      throw this.args.error(
        `gateways is empty. Give the NAT router's addresses on device, such as "192.168.1.1". Leave gateways out if ` +
          'device is a point-to-point link (PPP, WireGuard).',
      );
    }
    const families = gateways.map((gateway) => gateway.family);
    const twice = secondOfFamily(gateways);
    families.forEach((family, index) => {
      if (family !== undefined && index === twice) {
        throw this.args.error(
          `gateways[${index}] "${gateways[index]?.text}" is the second ${familyName(family)} gateway. ` +
            'Give one for each family; for several, use SourceRoutingTable.addRoute() with nextHops.',
        );
      }
      if (family !== undefined && !this.pools.some((pool) => overlaps(pool.family, family))) {
        throw this.args.error(
          `gateways[${index}] "${gateways[index]?.text}" is ${familyName(family)}, but no pool of clients is. ` +
            `Add the clients' ${familyName(family)} pool, or leave out the gateway. A next hop of the other family (RFC 8950) is not supported.`,
        );
      }
    });
    this.pools.forEach((pool) => {
      const { family } = pool.value;
      if (family !== undefined && !families.some((candidate) => candidate === undefined || candidate === family)) {
        throw this.args.error(
          `${pool.property} "${pool.text}" is ${familyName(family)}, but no gateway is. ` +
            `Add the NAT router's ${familyName(family)} address to gateways; if it has none, move the pool to rejectedClients.`,
        );
      }
    });
  }
}

function asRange(value: number | undefined): NumberRange | undefined {
  return value === undefined ? undefined : NumberRange.of(value);
}

function mergeAll(pools: readonly Pool[]): Array<Merged<Pool>> {
  return mergePools(pools, () => DEFAULT_ROUTE_LENGTH);
}

/** Counts how many of the same family precede each: rules of one family need different priorities. */
function ranksOf<T extends { readonly family: FamilyOrAuto }>(all: readonly T[]): Map<T, number> {
  const counts = { 4: 0, 6: 0, auto: 0 };
  return new Map(
    all.map((each) => {
      const { family } = each;
      const rank = family === 'auto' ? counts[4] + counts[6] + counts.auto : counts[family] + counts.auto;
      counts[family] += 1;
      return [each, rank];
    }),
  );
}

function mostOfAFamily(all: ReadonlyArray<{ readonly family: FamilyOrAuto }>): number {
  return Math.max(0, ...[...ranksOf(all).values()].map((rank) => rank + 1));
}

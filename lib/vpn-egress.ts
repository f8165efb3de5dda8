import { Construct } from 'constructs';
import { Arguments } from './private/arguments';
import { refuseFleet } from './private/fleet';
import type { EgressPools, Pool } from './private/egress-pools';
import { mostOfAFamily, parsePools, ranksOf } from './private/egress-pools';
import type { LocalRule, OwnRule } from './private/egress-rules';
import { localRules, ownRules } from './private/egress-rules';
import { defaultRoutes, parseGateways } from './private/gateways';
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
import { parseReturnAddresses, returnAddress } from './private/return-address';
import { addTranslation } from './private/translations';
import type { Shape } from './private/shapes';
import { FLAG, number, optional } from './private/shapes';
import type { Forwarding } from './forwarding';
import type { LinuxHost } from './linux-host';
import { LocalTraffic } from './local-traffic';
import { ONLY_TRIED } from './model/forwarding';
import { MAX_UINT32 } from './model/limits';
import { defaultMark } from './model/marking';
import { failClosedRoute } from './model/route';
import { MAX_PRIORITY, MIN_PRIORITY } from './model/rule';
import type { Value } from './model/value';
import { isKnown } from './model/value';
import { PolicyRule } from './policy-rule';
import type { Resolver } from './resolver';
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
   * is a point-to-point link (PPP, WireGuard), which needs no next hop. If the router has no IPv4 address there, give
   * the next hop of IPv4 packets (RFC 8950) as iproute2 writes it: `inet6 fe80::1`. `dhcp4` and `ra` are the routers
   * that DHCP and router advertisements give on `device`. The machine finds them out, and follows when they change.
   *
   * @default - packets leave by `device` without a next hop
   */
  readonly gateways?: string[];

  /**
   * Takes the gateways as directly connected, although they are in no network of `device`. Clouds that give an
   * interface a single address (/32) need this. If `rp_filter` is 1, the main table needs a route to each IPv4 gateway
   * by `device`. Otherwise, the kernel drops the ARP requests of the gateway.
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
  private readonly pools: EgressPools;
  private readonly returnAddresses: readonly Value[];
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
    this.pools = parsePools(this.args, props.clients, props.rejectedClients ?? []);
    this.returnAddresses = parseReturnAddresses(this.args, props.returnAddresses ?? []);
    const gateways = props.gateways && parseGateways(this.args, props.gateways, this.pools.routed);
    const routes = defaultRoutes(this.args, this.pools, gateways, props);

    this.table = new SourceRoutingTable(this, 'table', {
      host: props.host,
      tableId: props.tableId,
      tableName: props.tableName,
      failClosed: props.failClosed,
      allowedInterfaces: props.allowedInterfaces,
    });
    routes.forEach(([routeId, route]) => this.table.addRoute(routeId, route));
    const mainTable = SourceRoutingTable.main(this.host);
    const parts = { ...props, args: this.args, pools: this.pools, table: this.table, mainTable };
    const localTraffic = props.localTraffic ?? LocalTraffic.mainTable();
    const inFront = localRules(localTraffic, parts);
    const errorMark = this.args.integer(
      props.errorMark ?? defaultMark(this.table.tableId),
      'errorMark',
      1,
      MAX_UINT32,
      'Leave it out to derive one from tableId.',
    );
    const queries = props.resolver?._queries(this.args) ?? [];
    const behind = ownRules(errorMark, queries, gateways ?? this._clients, parts);
    const free = this.host._declaration.nextPriority(DEFAULT_PRIORITY, mostOfAFamily(inFront));
    const priority = this.checkPriority(props.priority ?? free, inFront, behind);
    this.addRules(priority, inFront, behind);
    if (localTraffic._kind === 'up-hook') {
      new VpnUpHook(this, 'up-hook', { table: this.table, daemon: localTraffic._daemon });
    }
    const lastPriority = priority + mostOfAFamily(this.pools.all) + behind.length - 1;
    const egress = {
      path: this.node.path,
      // A wrong device that is known at apply only is reported once, for the first route.
      device: isKnown(device) ? device : { ...device, deferredFor: `${this.table.node.path}/${routes[0][0]}:device` },
      tableId: this.table.tableId,
      clients: this._clients,
      rejectedClients: this.pools.rejected.map(({ value }) => value),
      gateways: gateways ?? [],
      localTraffic: localTraffic._kind,
      failClosed: props.failClosed ?? true,
      forwarding: props.forwarding?._forwarding ?? ONLY_TRIED,
      translated: props.sourceNat?._translated ?? false,
      translates: props.sourceNat?._addresses !== undefined,
      mssClamp: props.mssClamp ?? false,
      errorMark,
      queries,
    };
    this.host._declaration.addEgress(egress, lastPriority);
    const { path, device: leavingBy, clients } = egress;
    addTranslation(this.host, this.args, props.sourceNat, { path, device: leavingBy, clients });
    this.host._declaration.validate(this);
    if (props.natRouter) {
      refuseFleet(this.args, this, 'natRouter');
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
    return this.pools.routed.map((pool) => ({
      destination: pool.text,
      via: returnAddress(pool, candidates, this.args),
    }));
  }

  /**
   * Pools whose packets are routed.
   *
   * @internal
   */
  public get _clients(): readonly Value[] {
    return this.pools.routed.map(({ value }) => value);
  }

  private addRules(priority: number, inFront: readonly LocalRule[], behind: readonly OwnRule[]): void {
    for (const [pool, rank] of ranksOf(this.pools.all)) {
      const isRejected = this.pools.rejected.includes(pool);
      const target = isRejected ? { host: this.host, action: RuleAction.unreachable() } : { table: this.table };
      const ruleId = `${isRejected ? 'rejected' : 'clients'}-${pool.number}`;
      this.addDiscard(pool, new PolicyRule(this, ruleId, { ...target, source: pool.text, priority: priority + rank }));
    }
    for (const [{ id: ruleId, props: selectors }, rank] of ranksOf(inFront)) {
      new PolicyRule(this, ruleId, { ...selectors, priority: priority - rank - 1 });
    }
    // Packets of clients never reach these rules.
    behind.forEach(({ id: ruleId, props: selectors }, index) => {
      new PolicyRule(this, ruleId, { ...selectors, priority: priority + mostOfAFamily(this.pools.all) + index });
    });
  }

  // Packets to pool addresses that no tunnel holds would loop: the NAT router has a route back.
  private addDiscard(pool: Pool, { node }: PolicyRule): void {
    this.host._declaration.addDiscard(failClosedRoute(node.path, pool.family, this.table.tableId, pool.value));
  }

  /** Checks that there is room for the rules of all pools of a family, and for the rules before and after them. */
  private checkPriority(
    priority: number,
    localRules: readonly LocalRule[],
    { length: behind }: readonly OwnRule[],
  ): number {
    const pools = mostOfAFamily(this.pools.all);
    const inFront = mostOfAFamily(localRules);
    return this.args.integer(
      priority,
      'priority',
      MIN_PRIORITY + inFront,
      MAX_PRIORITY - pools - behind + 1,
      `Rules before it: ${inFront} (local traffic). From it on: ${pools} (pools), then ${behind} (packets of the machine itself).`,
    );
  }
}

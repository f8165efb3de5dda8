import type { Egress } from '../model/egress';
import type { Addresses, Disposition, Intent, Selectors, Traffic } from '../model/expectation';
import { INTERFACE_TOWARD_SOURCE, labelOf } from '../model/expectation';
import type { Family } from '../model/family';
import { BOTH_FAMILIES, MULTICAST, familyOf, overlaps } from '../model/family';
import type { Interface } from '../model/host';
import { MAIN_TABLE_ID } from '../model/host';
import type { LinkNetwork, Network, Networks } from '../model/networks';
import { networksBehind, networksOf } from '../model/networks';
import type { Route } from '../model/route';
import { defaultMetric, isDefaultRoute, routeMetric } from '../model/route';
import type { Value } from '../model/value';
import { DEFAULT_DESTINATION, isHostNetwork, isInside, isKnown } from '../model/value';

const REJECTED: Disposition = { kind: 'rejected' };
const UNCHANGED: Disposition = { kind: 'unchanged' };
/** The port tells the probe that no client sends such a packet: a firewall may drop a reply to nothing. */
const FROM_SERVER: Selectors = { ipProtocol: 6, sourcePort: 443 };

/**
 * The expectations of all egresses of a host:
 *
 * - Clients leave through the gateway, and replies reach their tunnels. If its link is down, they do not leave.
 * - They reach each other and the server as `localTraffic` says.
 * - ICMP errors and resolver queries for clients leave like the clients' packets.
 * - The server's own packets go where they went before.
 *
 * There are none for pools known at apply only.
 */
export function expectEgresses(
  egresses: readonly Egress[],
  interfaces: readonly Interface[],
  routes: readonly Route[],
): Intent[] {
  const known = egresses.filter(
    ({ clients, rejectedClients, device }) => [...clients, ...rejectedClients].every(isKnown) && isKnown(device),
  );
  return BOTH_FAMILIES.flatMap((family) => {
    const surroundings = surroundingsOf(known, interfaces, routes, family);
    return known.flatMap((egress) =>
      new EgressExpectations(egress, family, surroundings, addedTo(egress, routes)).intents(),
    );
  });
}

/** The routes that the user has added to the table of the egress. */
function addedTo({ path, tableId, gateways }: Egress, routes: readonly Route[]): Route[] {
  const names = [...gateways.map((_, index) => `gateway-${index + 1}`), 'default-ipv4', 'default-ipv6'];
  const own = new Set(names.map((name) => `${path}/table/${name}`));
  return routes.filter((route) => route.tableId === tableId && !own.has(route.path));
}

/** The common surroundings of all egresses of a host, so that one lookup serves them all. */
interface Surroundings {
  readonly interfaces: readonly Interface[];
  readonly networks: Networks;
  /** The declared routes of the main table. */
  readonly mainRoutes: readonly Route[];
  /** Interfaces with gateways of the main table, by which no clients may leave. */
  readonly uplinks: readonly string[];
  /** All addresses outside the pools. */
  readonly elsewhere: Addresses;
  /** All addresses outside the pools and the host's networks. */
  readonly outside: Addresses;
}

function surroundingsOf(
  egresses: readonly Egress[],
  interfaces: readonly Interface[],
  routes: readonly Route[],
  family: Family,
): Surroundings {
  const pools = egresses
    .flatMap(({ clients, rejectedClients }) => [...clients, ...rejectedClients])
    .filter((pool) => pool.family === family)
    .map(({ text }) => text);
  const networks = networksOf(interfaces);
  const ofFamily = networks.ofFamily(family);
  const behindRouters = interfaces.flatMap((link) => (link.networks ?? []).filter((text) => familyOf(text) === family));
  return {
    interfaces,
    networks,
    mainRoutes: routes.filter((route) => route.tableId === MAIN_TABLE_ID && overlaps(route.family, family)),
    uplinks: interfaces.filter(({ gateways }) => gateways.length > 0).map(({ name }) => name),
    elsewhere: { within: ['default'], except: pools },
    outside: { within: ['default'], except: [...pools, ...ofFamily.map(({ text }) => text), ...behindRouters] },
  };
}

class EgressExpectations {
  private readonly clients: readonly Value[];
  private readonly rejected: readonly Value[];
  private readonly pools: Addresses;
  private readonly elsewhere: Addresses;
  /** The networks of interfaces that overlap a pool. */
  private readonly networksOfPool: ReadonlyMap<Value, readonly Network[]>;
  /** These, and the networks behind clients in a pool. */
  private readonly tunnelsOfPool: ReadonlyMap<Value, readonly LinkNetwork[]>;
  /** Destinations of routes that the user added. No expectation is about them. */
  private readonly addedDestinations: readonly string[];
  /** Added default routes that do not use the main uplink. */
  private readonly backups: readonly Route[];
  /** The outcomes of packets to clients: any tunnel, or rejected. */
  private readonly toClients: readonly Disposition[];

  public constructor(
    private readonly egress: Egress,
    private readonly family: Family,
    private readonly surroundings: Surroundings,
    added: readonly Route[],
  ) {
    const { clients, rejectedClients, localTraffic } = egress;
    const { interfaces, networks, uplinks, outside, elsewhere } = surroundings;
    const ofFamily = (values: readonly Value[]): Value[] => values.filter((value) => value.family === family);
    [this.clients, this.rejected] = [ofFamily(clients), ofFamily(rejectedClients)];
    const pools = [...this.clients, ...this.rejected];
    this.pools = { within: pools.map(({ text }) => text), except: [] };
    const others = added.filter(({ family: of, destination }) => overlaps(of, family) && isKnown(destination));
    this.addedDestinations = others
      .filter((route) => !isDefaultRoute(route))
      .map(({ destination }) => destination.text);
    this.backups = others.filter(
      ({ destination, hops }) =>
        destination.text === DEFAULT_DESTINATION.text &&
        !hops.some(({ device }) => device && uplinks.includes(device.text)),
    );
    this.elsewhere = this.exceptAdded(localTraffic === 'suppress-default' ? outside : elsewhere);
    this.networksOfPool = new Map(pools.map((pool) => [pool, networks.overlapping(pool.text)]));
    this.tunnelsOfPool = new Map(
      pools.map((pool) => [
        pool,
        [...(this.networksOfPool.get(pool) ?? []), ...networksBehind(pool.text, interfaces)].filter(
          ({ link }) => link.name !== egress.device.text,
        ),
      ]),
    );
    const tunnels = [...this.tunnelsOfPool.values()].flat();
    const dispositions = [...new Set(tunnels.map(({ link }) => link.name))].map((name): Disposition => through(name));
    this.toClients = localTraffic === 'isolated' ? [REJECTED] : [...dispositions, REJECTED];
  }

  public intents(): Intent[] {
    return [
      ...this.clients.flatMap((pool, index) => this.ofClients(pool, index + 1)),
      ...this.rejected.flatMap((pool, index) => this.from(pool, `rejected-${index + 1}`, this.elsewhere, [REJECTED])),
      ...(this.clients.length > 0 ? this.forClients() : []),
      ...this.ofServer(),
      ...this.fromGateway(),
    ];
  }

  private exceptAdded({ within, except }: Addresses): Addresses {
    return { within, except: [...except, ...this.addedDestinations] };
  }

  private ofClients(pool: Value, number: number): Intent[] {
    const { device, failClosed } = this.egress;
    return [
      ...this.from(pool, `leave-${number}`, this.elsewhere, this.leaving()),
      ...(failClosed ? this.from(pool, `leave-${number}`, this.elsewhere, this.withoutDevice(), [device.text]) : []),
      // Without a declared tunnel, the clients' interface is unknown.
      ...(this.toClients.length > 1 || this.egress.localTraffic === 'isolated'
        ? this.from(pool, `local-${number}`, this.pools, this.toClients)
        : []),
      // The isolation also rejects the server's answers.
      ...(this.egress.localTraffic === 'isolated' ? [] : this.ownIn(pool)).flatMap(({ address }) =>
        this.from(pool, `to-server-${number}`, { within: [address], except: [] }, [{ kind: 'local' }]),
      ),
      ...this.repliesTo(pool, number),
    ];
  }

  /**
   * Forwarding and `rp_filter` of the egress can stop replies to packets that leave. Asked only where nothing but one
   * tunnel can lead to the clients.
   */
  private repliesTo(pool: Value, number: number): Intent[] {
    return inTunnels(pool, this.networksOfPool.get(pool) ?? [])
      .filter(({ tunnel, text }) => tunnel !== this.egress.device.text && this.waysTo(text) === 1)
      .flatMap(({ tunnel, text }) => this.comingIn(`replies-${number}`, text, through(tunnel)));
  }

  /** A packet that a gateway of the family sends to a prefix. Nothing, if the address of the gateway is not known. */
  private comingIn(name: string, prefix: string, disposition: Disposition): Intent[] {
    const { device, gateways } = this.egress;
    const gateway = gateways.find(({ via }) => via.family === this.family && isKnown(via))?.via;
    if (!gateway) {
      return [];
    }
    const [sources, destinations] = [gateway.text, prefix].map((only) => ({ within: [only], except: [] }));
    const packet = { family: this.family, inputInterface: device.text, sources, destinations, ...FROM_SERVER };
    return [this.intent(name, packet, [disposition])];
  }

  /** Counts networks of interfaces, networks behind these, and routes of the main table with addresses in a prefix. */
  private waysTo(prefix: string): number {
    const { interfaces, networks, mainRoutes } = this.surroundings;
    const behind = interfaces.flatMap((link) => link.networks ?? []);
    const destinations = mainRoutes.filter((route) => !isDefaultRoute(route)).map(({ destination }) => destination);
    return [
      ...networks.overlapping(prefix),
      ...[...behind, ...destinations.filter(isKnown).map(({ text }) => text)].filter(
        (text) => isInside(text, prefix) || isInside(prefix, text),
      ),
    ].length;
  }

  /**
   * A gateway in no network of the interface reaches the server. If `rp_filter` drops its packets, the kernel does not
   * even answer its ARP requests.
   */
  private fromGateway(): Intent[] {
    const { interfaces } = this.surroundings;
    const own = interfaces.find(({ name }) => name === this.egress.device.text)?.addresses ?? [];
    const [address] = own.filter(({ family }) => family === this.family);
    const gateway = this.gateway();
    const isNear = (via: Value): boolean => !isKnown(via) || own.some(({ text }) => isInside(via.text, text));
    // IPv6 has no rp_filter. An IPv6 gateway of IPv4 packets is asked by neighbour discovery.
    return this.family === 6 || !address || !gateway || gateway.family === 6 || isNear(gateway)
      ? []
      : this.comingIn('from-gateway', address.address, { kind: 'local' });
  }

  /** The server's own addresses in a pool. */
  private ownIn(pool: Value): Network[] {
    return (this.networksOfPool.get(pool) ?? []).filter(({ address }) => isInside(address, pool.text));
  }

  private leaving(): Disposition[] {
    const { device } = this.egress;
    const preferred = this.backups.filter((route) => routeMetric(route) <= defaultMetric(this.family));
    return [{ kind: 'unicast', via: this.gateway(), device }, ...preferred.flatMap(dispositionsOf)];
  }

  /** Undefined if there is none, or only the machine knows which. */
  private gateway(): Value | undefined {
    const via = this.egress.gateways.find((gateway) => gateway.family === this.family)?.via;
    return via?.isFollowed ? undefined : via;
  }

  /** The outcomes while the link of the egress is down. */
  private withoutDevice(): Disposition[] {
    return [REJECTED, ...this.backups.flatMap(dispositionsOf)];
  }

  /** Packets of the machine itself for clients. The kernel chooses their source after the route. */
  private forClients(): Intent[] {
    const { device, failClosed, errorMark, queries } = this.egress;
    const { within, except } = this.exceptAdded(this.surroundings.elsewhere);
    // Name servers and senders never have a multicast address.
    const destinations = { within, except: [...except, MULTICAST[this.family]] };
    const sent: Array<[string, Selectors]> = [
      ['errors', { firewallMark: errorMark }],
      ...queries.map((query): [string, Selectors] => ['resolver', query]),
    ];
    return sent.flatMap(([name, selectors]) => {
      const traffic = { family: this.family, destinations, ...selectors };
      return [
        this.intent(name, traffic, this.leaving()),
        ...(failClosed ? [this.intent(name, traffic, this.withoutDevice(), [device.text])] : []),
      ];
    });
  }

  private from(
    pool: Value,
    name: string,
    destinations: Addresses,
    dispositions: readonly Disposition[],
    linksDown: readonly string[] = [],
  ): Intent[] {
    // The guards drop packets that come in elsewhere.
    const networks = inTunnels(pool, this.tunnelsOfPool.get(pool) ?? []);
    const inputs = new Map<string, Addresses>();
    for (const { tunnel, text } of networks) {
      inputs.set(tunnel, { within: [...(inputs.get(tunnel)?.within ?? []), text], except: [] });
    }
    // Only the machine knows the tunnel of the other sources.
    inputs.set(INTERFACE_TOWARD_SOURCE, { within: [pool.text], except: networks.map(({ text }) => text) });
    return [...inputs].map(([inputInterface, sources]) =>
      this.intent(name, { family: this.family, inputInterface, sources, destinations }, dispositions, linksDown),
    );
  }

  private ofServer(): Intent[] {
    const { networks, outside } = this.surroundings;
    const inTunnels = new Set([...this.networksOfPool.keys()].flatMap((pool) => this.ownIn(pool)));
    const own = networks
      .ofFamily(this.family)
      .filter((network) => network.link.name !== this.egress.device.text && !inTunnels.has(network));
    return [
      ...own.map(({ address }) => this.sent('server', address, outside, [UNCHANGED], this.egress.queries)),
      ...[...inTunnels].map(({ address }) => this.sent('server-to-clients', address, this.pools, this.toClients)),
    ];
  }

  private sent(
    name: string,
    address: string,
    destinations: Addresses,
    dispositions: readonly Disposition[],
    except?: readonly Selectors[],
  ): Intent {
    const sources = { within: [address], except: [] };
    return this.intent(name, { family: this.family, sources, destinations, except }, dispositions);
  }

  private intent(
    name: string,
    traffic: Traffic,
    dispositions: readonly Disposition[],
    linksDown: readonly string[] = [],
  ): Intent {
    const { path } = this.egress;
    return { path, label: labelOf(path, name), traffic, dispositions, linksDown, overridable: true };
  }
}

/** The part of a pool in a network of a tunnel. */
interface PartInTunnel {
  readonly tunnel: string;
  readonly text: string;
}

/** On a point-to-point link, packets from and to any address may pass. */
function inTunnels(pool: Value, networks: readonly LinkNetwork[]): PartInTunnel[] {
  return networks
    .filter(({ text }) => !isHostNetwork(text))
    .map(({ link, text }) => ({ tunnel: link.name, text: isInside(text, pool.text) ? text : pool.text }));
}

function dispositionsOf({ type, hops }: Route): Disposition[] {
  return type === undefined
    ? hops.map(({ via, device }) => ({ kind: 'unicast', via: via?.isFollowed ? undefined : via, device }))
    : [];
}

export function through(name: string): Disposition {
  return { kind: 'unicast', device: { kind: 'device', text: name } };
}

import type { Egress } from '../model/egress';
import type { Addresses, Fate, Intent, Selectors, Traffic } from '../model/expectation';
import { INTERFACE_TOWARD_SOURCE } from '../model/expectation';
import type { Family } from '../model/family';
import { BOTH_FAMILIES, overlaps } from '../model/family';
import type { Interface } from '../model/host';
import type { Network, Networks } from '../model/networks';
import { networksOf } from '../model/networks';
import type { Route } from '../model/route';
import { defaultMetric, isDefaultRoute, routeMetric } from '../model/route';
import type { Value } from '../model/value';
import { DEFAULT_DESTINATION, isInside, isKnown } from '../model/value';

const REJECTED: Fate = { kind: 'rejected' };
const UNCHANGED: Fate = { kind: 'unchanged' };
/** Multicast; in IPv4 with the reserved addresses behind it, which end with the broadcast address. */
const MULTICAST: Readonly<Record<Family, string>> = { 4: '224.0.0.0/3', 6: 'ff00::/8' };

/**
 * What is expected of those of a host: clients leave through the gateway and, if its link is down, not at all; they
 * reach each other as chosen, and the server; what the server sends about their traffic goes their way, and its own packets
 * go where they went. Nothing where it is known at apply only who the clients are.
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
    const surroundings = surroundingsOf(known, interfaces, family);
    return known.flatMap((egress) =>
      new EgressExpectations(egress, family, surroundings, addedTo(egress, routes)).intents(),
    );
  });
}

/** The routes that the user has added to the table of the egress. */
function addedTo({ path, tableId, gateways }: Egress, routes: readonly Route[]): Route[] {
  const own = new Set(gateways.map((_, index) => `${path}/table/gateway-${index + 1}`));
  return routes.filter((route) => route.tableId === tableId && !own.has(route.path));
}

/** What all egresses of a host have in common, so that they can be looked up together. */
interface Surroundings {
  readonly networks: Networks;
  /** Interfaces with gateways of the main table, by which no clients may leave. */
  readonly uplinks: readonly string[];
  /** Where nobody's clients are. */
  readonly elsewhere: Addresses;
  /** Nor any network of the host. */
  readonly outside: Addresses;
}

function surroundingsOf(egresses: readonly Egress[], interfaces: readonly Interface[], family: Family): Surroundings {
  const pools = egresses
    .flatMap(({ clients, rejectedClients }) => [...clients, ...rejectedClients])
    .filter((pool) => pool.family === family)
    .map(({ text }) => text);
  const networks = networksOf(interfaces);
  const ofFamily = networks.ofFamily(family);
  const behindRouters = interfaces.flatMap((link) =>
    (link.networks ?? []).filter((text) => text.includes(':') === (family === 6)),
  );
  return {
    networks,
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
  /** The networks that clients of a pool are in, or some of them. */
  private readonly around: ReadonlyMap<Value, readonly Network[]>;
  /** Destinations of the added routes: the expectations leave them to the user. */
  private readonly addedDestinations: readonly string[];
  /** Added default routes that do not use the main uplink. */
  private readonly backups: readonly Route[];
  /** To whichever client it is, or nobody. */
  private readonly toClients: readonly Fate[];

  public constructor(
    private readonly egress: Egress,
    private readonly family: Family,
    private readonly surroundings: Surroundings,
    added: readonly Route[],
  ) {
    const { clients, rejectedClients, localTraffic } = egress;
    const { networks, uplinks, outside, elsewhere } = surroundings;
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
    this.around = new Map(pools.map((pool) => [pool, networks.overlapping(pool.text)]));
    const tunnels = [...this.around.values()].flat().filter(({ link }) => link.name !== egress.device.text);
    const fates = [...new Set(tunnels.map(({ link }) => link.name))].map((name): Fate => through(name));
    this.toClients = localTraffic === 'isolated' ? [REJECTED] : [...fates, REJECTED];
  }

  public intents(): Intent[] {
    return [
      ...this.clients.flatMap((pool, index) => this.ofClients(pool, index + 1)),
      ...this.rejected.flatMap((pool, index) => this.from(pool, `rejected-${index + 1}`, this.elsewhere, [REJECTED])),
      ...(this.clients.length > 0 ? this.forClients() : []),
      ...this.ofServer(),
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
      // Without a declared tunnel it is not known where they are.
      ...(this.toClients.length > 1 || this.egress.localTraffic === 'isolated'
        ? this.from(pool, `local-${number}`, this.pools, this.toClients)
        : []),
      // The isolation also rejects the server's answers.
      ...(this.egress.localTraffic === 'isolated' ? [] : this.ownIn(pool)).flatMap(({ address }) =>
        this.from(pool, `to-server-${number}`, { within: [address], except: [] }, [{ kind: 'local' }]),
      ),
    ];
  }

  /** The server's own addresses in a pool. */
  private ownIn(pool: Value): Network[] {
    return (this.around.get(pool) ?? []).filter(({ address }) => isInside(address, pool.text));
  }

  private leaving(): Fate[] {
    const { device, gateways } = this.egress;
    const preferred = this.backups.filter((route) => routeMetric(route) <= defaultMetric(this.family));
    return [
      { kind: 'unicast', via: gateways.find((gateway) => gateway.family === this.family), device },
      ...preferred.flatMap(fatesOf),
    ];
  }

  /** While the link of the egress is down. */
  private withoutDevice(): Fate[] {
    return [REJECTED, ...this.backups.flatMap(fatesOf)];
  }

  /** What the machine itself sends, of which it chooses the source when it knows the way. */
  private forClients(): Intent[] {
    const { device, failClosed, errorMark, questions } = this.egress;
    const { within, except } = this.exceptAdded(this.surroundings.elsewhere);
    // Neither name servers nor senders of a packet are groups.
    const destinations = { within, except: [...except, MULTICAST[this.family]] };
    const sent: Array<[string, Selectors]> = [
      ['errors', { firewallMark: errorMark }],
      ...questions.map((question): [string, Selectors] => ['resolver', question]),
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
    fates: readonly Fate[],
    linksDown: readonly string[] = [],
  ): Intent[] {
    // A packet that came in elsewhere would be dropped. On a point-to-point link anybody's may come in.
    const networks = (this.around.get(pool) ?? [])
      .filter(({ link, text }) => link.name !== this.egress.device.text && !isOneAddress(text))
      .map(({ link, text }) => ({ tunnel: link.name, text: isInside(text, pool.text) ? text : pool.text }));
    const inputs = new Map<string, Addresses>();
    for (const { tunnel, text } of networks) {
      inputs.set(tunnel, { within: [...(inputs.get(tunnel)?.within ?? []), text], except: [] });
    }
    // Of the others only the machine knows behind which tunnel they are.
    inputs.set(INTERFACE_TOWARD_SOURCE, { within: [pool.text], except: networks.map(({ text }) => text) });
    return [...inputs].map(([inputInterface, sources]) =>
      this.intent(name, { family: this.family, inputInterface, sources, destinations }, fates, linksDown),
    );
  }

  private ofServer(): Intent[] {
    const { networks, outside } = this.surroundings;
    const inTunnels = new Set([...this.around.keys()].flatMap((pool) => this.ownIn(pool)));
    const own = networks
      .ofFamily(this.family)
      .filter((network) => network.link.name !== this.egress.device.text && !inTunnels.has(network));
    return [
      ...own.map(({ address }) => this.sent('server', address, outside, [UNCHANGED], this.egress.questions)),
      ...[...inTunnels].map(({ address }) => this.sent('server-to-clients', address, this.pools, this.toClients)),
    ];
  }

  private sent(
    name: string,
    address: string,
    destinations: Addresses,
    fates: readonly Fate[],
    except?: readonly Selectors[],
  ): Intent {
    const sources = { within: [address], except: [] };
    return this.intent(name, { family: this.family, sources, destinations, except }, fates);
  }

  private intent(name: string, traffic: Traffic, fates: readonly Fate[], linksDown: readonly string[] = []): Intent {
    const { path } = this.egress;
    const label = `${path}/${name}`.replace(/[^A-Za-z0-9_.:/-]/g, '_');
    return { path, label, traffic, fates, linksDown, overridable: true };
  }
}

/** Whether nothing else is in the network of an address, as on a point-to-point link. */
function isOneAddress(text: string): boolean {
  return /\/(32|31|128|127)$/.test(text);
}

function fatesOf({ type, hops }: Route): Fate[] {
  return type === undefined ? hops.map(({ via, device }) => ({ kind: 'unicast', via, device })) : [];
}

export function through(name: string): Fate {
  return { kind: 'unicast', device: { kind: 'device', text: name } };
}

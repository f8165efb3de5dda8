import type { Addresses, Fate, Intent, Traffic } from './expectation';
import { WHERE_THE_SOURCE_IS } from './expectation';
import type { Family } from './family';
import { BOTH_FAMILIES } from './family';
import type { Interface } from './host';
import type { Value } from './value';
import { isInside, isKnown, networkOf } from './value';

/** Clients that leave through a NAT router. */
export interface Egress {
  readonly path: string;
  readonly device: Value;
  readonly interfaces: readonly Interface[];
  readonly clients: readonly Value[];
  readonly rejectedClients: readonly Value[];
  readonly gateways: readonly Value[];
  readonly localTraffic: 'main-table' | 'suppress-default' | 'up-hook' | 'isolated';
  readonly failClosed: boolean;
}

const REJECTED: Fate = { kind: 'rejected' };

/**
 * What is expected of it: clients leave through the gateway and, if its link is down, not at all; they reach
 * each other and the server as chosen; the server's own packets go where they went. Nothing where it is known at
 * apply only who the clients are.
 */
export function expectEgresses(egresses: readonly Egress[]): Intent[] {
  const known = egresses.filter(
    ({ clients, rejectedClients, device }) => [...clients, ...rejectedClients].every(isKnown) && isKnown(device),
  );
  return BOTH_FAMILIES.flatMap((family) => {
    const places = placesOf(known, family);
    return known.flatMap((egress) => new Expecting(egress, family, places).intents());
  });
}

/** Where nobody's clients are. The same for all egresses of a host, so that they can be looked up together. */
interface Places {
  readonly elsewhere: Addresses;
  /** Nor any network of the host. */
  readonly outside: Addresses;
}

function placesOf(egresses: readonly Egress[], family: Family): Places {
  const pools = egresses
    .flatMap(({ clients, rejectedClients }) => [...clients, ...rejectedClients])
    .filter((pool) => pool.family === family)
    .map(({ text }) => text);
  const networks = networksOf(egresses[0]?.interfaces ?? [], family);
  return {
    elsewhere: { within: ['default'], except: pools },
    outside: { within: ['default'], except: [...pools, ...networks] },
  };
}

class Expecting {
  private readonly clients: readonly Value[];
  private readonly rejected: readonly Value[];
  private readonly pools: Addresses;
  private readonly elsewhere: Addresses;
  /** To whichever client it is, or nobody. */
  private readonly toClients: readonly Fate[];

  public constructor(
    private readonly egress: Egress,
    private readonly family: Family,
    private readonly places: Places,
  ) {
    const { clients, rejectedClients, localTraffic } = egress;
    const ofFamily = (values: readonly Value[]): Value[] => values.filter((value) => value.family === family);
    [this.clients, this.rejected] = [ofFamily(clients), ofFamily(rejectedClients)];
    const pools = [...this.clients, ...this.rejected];
    this.pools = { within: pools.map(({ text }) => text), except: [] };
    this.elsewhere = localTraffic === 'suppress-default' ? places.outside : places.elsewhere;
    const tunnels = [...new Set(pools.flatMap((pool) => this.networksOf(pool)).map(({ name }) => name))];
    this.toClients =
      localTraffic === 'isolated' ? [REJECTED] : [...tunnels.map((name): Fate => through(name)), REJECTED];
  }

  public intents(): Intent[] {
    return [
      ...this.clients.flatMap((pool, index) => this.ofClients(pool, index + 1)),
      ...this.rejected.flatMap((pool, index) => this.from(pool, `rejected-${index + 1}`, this.elsewhere, [REJECTED])),
      ...this.ofServer(),
    ];
  }

  private ofClients(pool: Value, number: number): Intent[] {
    const { device, gateways, failClosed } = this.egress;
    const via = gateways.find((gateway) => gateway.family === this.family);
    const leaving: Fate = { kind: 'unicast', via, device };
    return [
      ...this.from(pool, `leave-${number}`, this.elsewhere, [leaving]),
      ...(failClosed ? this.from(pool, `leave-${number}`, this.elsewhere, [REJECTED], [device.text]) : []),
      // Without a declared tunnel it is not known where they are.
      ...(this.toClients.length > 1 || this.egress.localTraffic === 'isolated'
        ? this.from(pool, `local-${number}`, this.pools, this.toClients)
        : []),
    ];
  }

  private from(
    pool: Value,
    name: string,
    destinations: Addresses,
    fates: readonly Fate[],
    linksDown: readonly string[] = [],
  ): Intent[] {
    // A packet that came in elsewhere would be dropped. On a point-to-point link anybody's may come in.
    const networks = this.networksOf(pool).filter(({ network }) => !isOneAddress(network));
    const inputs = new Map<string, Addresses>();
    for (const { name: tunnel, text } of networks) {
      inputs.set(tunnel, { within: [...(inputs.get(tunnel)?.within ?? []), text], except: [] });
    }
    // Of the others only the machine knows behind which tunnel they are.
    inputs.set(WHERE_THE_SOURCE_IS, { within: [pool.text], except: networks.map(({ text }) => text) });
    return [...inputs].map(([inputInterface, sources]) =>
      this.intent(name, { family: this.family, inputInterface, sources, destinations }, fates, linksDown),
    );
  }

  /** The networks of the links that clients come in by, and what of a pool is in each of them. */
  private networksOf(pool: Value): Array<{ readonly name: string; readonly network: string; readonly text: string }> {
    return this.egress.interfaces
      .filter(({ name }) => name !== this.egress.device.text)
      .flatMap(({ name, addresses }) => networksOf([{ addresses }], this.family).map((network) => ({ name, network })))
      .flatMap(({ name, network }) =>
        isInside(network, pool.text)
          ? [{ name, network, text: network }]
          : isInside(pool.text, network)
            ? [{ name, network, text: pool.text }]
            : [],
      );
  }

  private ofServer(): Intent[] {
    const { interfaces, device } = this.egress;
    const uplinks = interfaces.filter((each) => each.name !== device.text && each.gateways.length > 0);
    const gateways = interfaces.flatMap(({ name, gateways: vias }) => vias.map((via) => ({ name, via })));
    const known = gateways.every(({ via }) => isKnown(via));
    const fates = gateways
      .filter(({ via }) => via.family === this.family)
      .map(({ name, via }): Fate => ({ kind: 'unicast', via, device: { kind: 'device', text: name } }));
    const own = this.addressesOf(uplinks).filter((address) => !this.isClient(address));
    const inTunnels = this.addressesOf(interfaces).filter((address) => this.isClient(address));
    return [
      ...(known && fates.length > 0
        ? own.map((address) => this.sent('server', address, this.places.outside, fates))
        : []),
      ...inTunnels.map((address) => this.sent('server-to-clients', address, this.pools, this.toClients)),
    ];
  }

  private sent(name: string, address: string, destinations: Addresses, fates: readonly Fate[]): Intent {
    const sources = { within: [address], except: [] };
    return this.intent(name, { family: this.family, sources, destinations }, fates);
  }

  private intent(name: string, traffic: Traffic, fates: readonly Fate[], linksDown: readonly string[] = []): Intent {
    const { path } = this.egress;
    const label = `${path}/${name}`.replace(/[^A-Za-z0-9_.:/-]/g, '_');
    return { path, label, traffic, fates, linksDown, yieldsToOthers: true };
  }

  private addressesOf(interfaces: readonly Interface[]): string[] {
    return interfaces
      .flatMap(({ addresses }) => addresses)
      .filter(({ family }) => family === this.family)
      .map(({ address }) => address);
  }

  private isClient(address: string): boolean {
    return this.pools.within.some((pool) => isInside(address, pool));
  }
}

/** Whether nothing else is in the network of an address, as on a point-to-point link. */
function isOneAddress(text: string): boolean {
  return /\/(32|31|128|127)$/.test(text);
}

function through(name: string): Fate {
  return { kind: 'unicast', device: { kind: 'device', text: name } };
}

function networksOf(interfaces: ReadonlyArray<Pick<Interface, 'addresses'>>, family: Family): string[] {
  return interfaces
    .flatMap(({ addresses }) => addresses)
    .filter((address) => address.family === family)
    .map(networkOf);
}

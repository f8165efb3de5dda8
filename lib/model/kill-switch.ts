import type { FamilyOrAuto } from './family';
import { familyOf, overlaps } from './family';
import { checkedTunnels, closed, throwsOf } from './guard';
import type { Host, Interface } from './host';
import { MAIN_TABLE_ID } from './host';
import { oncePerObject } from './maps';
import { networksOf } from './networks';
import { isCovered } from './prefixes';
import type { Route } from './route';
import type { Rule } from './rule';
import { isRejecting } from './rule';
import type { Value } from './value';
import { isAny, isEverywhere, isKnown, networkOf } from './value';

/**
 * What packets of clients may do in the forward hook. It holds even when rules and tables are gone.
 *
 * @see https://wiki.nftables.org/wiki-nftables/index.php/Netfilter_hooks
 */
export interface KillSwitch {
  /** Sources of the packets that the kill switch checks. */
  readonly clients: readonly Value[];
  /** Interfaces whose incoming packets are all checked. */
  readonly tunnels: readonly Tunnel[];
  /** Addresses of the machine itself, which no packet from a tunnel has as its source. */
  readonly ownAddresses: readonly string[];
  /** Packets that may pass. All others are rejected. */
  readonly allowances: readonly Allowance[];
}

export interface Tunnel {
  readonly name: string;
  /** Sources that may come in by this tunnel, and by no other. */
  readonly sources: readonly Value[];
  /** A rule selects all packets that come in by it, with any source. */
  readonly anySource: boolean;
}

/** Packets that may leave by some interfaces. An undefined field matches everything. */
export interface Allowance {
  readonly family: FamilyOrAuto;
  readonly source?: Value;
  readonly inputInterface?: Value;
  readonly destination?: Value;
  readonly exits: Exits;
}

/** Interfaces that packets may leave by: all; some; or all but some. */
export type Exits = { readonly kind: 'all' } | { readonly kind: 'only' | 'except'; readonly devices: readonly Value[] };

const ALL: Exits = { kind: 'all' };

/**
 * The kill switch that follows from the rules of a host; undefined if nothing fails closed.
 *
 * It allows what any rule may send out, without regard to the order of rules. So it never rejects packets that the
 * declared routing lets through. If the interface is not declared, it allows all interfaces.
 */
export const killSwitch = oncePerObject((host: Host): KillSwitch | undefined => {
  const rules = closed(host).filter(selectsOnlySource);
  if (rules.length === 0) {
    return undefined;
  }
  const clients = distinctValues(rules.flatMap(({ source }) => source ?? []));
  const inputs = rules.flatMap(({ source, inputInterface }) =>
    !source && inputInterface ? [inputInterface.text] : [],
  );
  const links = checkedTunnels(host);
  const names = [...new Set([...inputs, ...links.map(({ name }) => name)])];
  return {
    clients,
    tunnels: names.map((name) => ({
      name,
      sources: clients.filter((client) => isOnlyBehind(host, links, client, name)),
      anySource: inputs.includes(name),
    })),
    ownAddresses:
      names.length === 0 ? [] : host.interfaces.flatMap(({ addresses }) => addresses.map(({ address }) => address)),
    allowances: new Allowances(host, links).all(),
  };
});

/** Tunnels by the declaration. Clients without a known interface may be behind any tunnel. */
function isOnlyBehind(host: Host, links: readonly Interface[], client: Value, name: string): boolean {
  if (!isKnown(client)) {
    return false;
  }
  const networks = networksOf(host.interfaces).overlapping(client.text);
  return (
    networks.every(({ link }) => link.name === name && links.includes(link)) &&
    isCovered(
      client.text,
      networks.map(({ text }) => text),
    )
  );
}

/** Selectors that still hold in the forward hook. A mark may have changed by then. */
function selectsOnlySource(rule: Rule): boolean {
  const { source, inputInterface, ...others } = rule;
  const selectors = [
    others.invert,
    others.destination && !isAny(others.destination) ? true : undefined,
    others.tos,
    others.firewallMark,
    others.outputInterface,
    others.uidRange,
    others.ipProtocol,
    others.sourcePorts,
    others.destinationPorts,
  ];
  return (
    (source ?? inputInterface) !== undefined &&
    // Both together are less than all packets of the source.
    !(source && inputInterface) &&
    (inputInterface === undefined || isKnown(inputInterface)) &&
    selectors.every((selector) => selector === undefined || selector === false)
  );
}

class Allowances {
  private readonly uplinks: readonly Interface[];
  private readonly hooked: ReadonlySet<number>;

  public constructor(
    private readonly host: Host,
    private readonly links: readonly Interface[],
  ) {
    this.uplinks = host.interfaces.filter(({ gateways }) => gateways.length > 0);
    this.hooked = new Set(host.hooks.map(({ tableId }) => tableId));
  }

  public all(): Allowance[] {
    return this.host.rules.flatMap((rule) => this.ofRule(rule));
  }

  private ofRule(rule: Rule): Allowance[] {
    const { action, family, source, inputInterface, destination } = rule;
    // Packets of the machine itself do not pass the forward hook.
    if (
      isRejecting(rule.action) ||
      action.kind !== 'lookup' ||
      rule.uidRange ||
      rule.outputInterface ||
      inputInterface?.text === 'lo'
    ) {
      return [];
    }
    const selectors = rule.invert ? {} : { source, inputInterface, destination };
    const allowance = (exits: Exits, more: Partial<Allowance> = {}): Allowance => ({
      family,
      ...selectors,
      exits,
      ...more,
    });
    if (action.tableId !== MAIN_TABLE_ID) {
      const isElsewhere = selectors.destination !== undefined && !isAny(selectors.destination);
      return [
        allowance(this.ofTable(rule, action.tableId)),
        ...throwsOf(this.host, rule).map((thrown) => allowance(ALL, isElsewhere ? {} : passedOn(rule, thrown))),
      ];
    }
    if (rule.suppressPrefixLength === undefined || rule.invert) {
      return [allowance(ALL)];
    }
    if (destination && !isAny(destination)) {
      return [allowance(this.towards(destination))];
    }
    return this.connected()
      .filter((more) => overlaps(more.family ?? 'auto', family))
      .map(({ exits, ...more }) => allowance(exits, more));
  }

  private ofTable(rule: Rule, tableId: number): Exits {
    const table = this.host.tables.find(({ id }) => id === tableId);
    if (!table?.failClosed) {
      return ALL;
    }
    const routes = this.host.routes.filter(
      (route) => route.tableId === tableId && overlaps(route.family, rule.family) && route.type === undefined,
    );
    const devices = routes.flatMap(({ hops }) => hops.map(({ device }) => device));
    // A hook adds the routes of tunnels.
    const unknown = this.hooked.has(tableId) && this.links.length === 0;
    return unknown || devices.includes(undefined)
      ? ALL
      : only([
          ...devices.flatMap((device) => device ?? []),
          ...(table.allowedInterfaces ?? []).map(deviceValue),
          ...(this.hooked.has(tableId) ? this.links.map(({ name }) => deviceValue(name)) : []),
        ]);
  }

  /** The links that lead to a prefix; all links, if the declared ones lead only to a part of it. */
  private towards(destination: Value): Exits {
    if (!isKnown(destination)) {
      return ALL;
    }
    const networks = networksOf(this.host.interfaces).overlapping(destination.text);
    const behind = networks.filter(({ link }) => !this.uplinks.includes(link));
    const texts = behind.map(({ text }) => text);
    return isCovered(destination.text, texts) ? only(behind.map(({ link }) => deviceValue(link.name))) : ALL;
  }

  /** The destinations of the main table, without its default routes. */
  private connected(): Array<Pick<Allowance, 'exits'> & Partial<Allowance>> {
    const exits: Exits = { kind: 'except', devices: this.uplinks.map(({ name }) => deviceValue(name)) };
    return this.uplinks.length === 0
      ? [{ exits: ALL }]
      : [
          { exits },
          ...this.uplinks.flatMap(({ name, addresses, networks }) =>
            [...addresses.map(networkOf), ...(networks ?? [])].map((text) => ({
              family: familyOf(text),
              destination: { kind: 'prefix' as const, text, family: familyOf(text) },
              exits: only([deviceValue(name)]),
            })),
          ),
        ];
  }
}

/** Packets that a route of type "throw" passes on to later rules. What these do with them is not looked at. */
function passedOn(rule: Rule, { family, destination }: Route): Partial<Allowance> {
  return {
    family: rule.family === 'auto' ? family : rule.family,
    destination: isEverywhere(destination) ? undefined : destination,
  };
}

function only(devices: readonly Value[]): Exits {
  return { kind: 'only', devices: distinctValues(devices) };
}

function deviceValue(text: string): Value {
  return { kind: 'device', text };
}

function distinctValues(values: readonly Value[]): Value[] {
  return [...new Map(values.map((value) => [value.text, value])).values()];
}

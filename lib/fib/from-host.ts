import type { Family } from '../model/family';
import { BOTH_FAMILIES, familyOf } from '../model/family';
import { guards, isOfTunnel } from '../model/guard';
import type { Host, Interface, UpHook } from '../model/host';
import { MAIN_TABLE_ID, allRoutes } from '../model/host';
import { getOrInsertComputed } from '../model/maps';
import type { Hop, Route } from '../model/route';
import { DEFAULT_DESTINATION, isAny, isHostNetwork, isInside, isKnown } from '../model/value';
import { prefixText } from './bits';
import type { Description, PossibleRoute } from './build';
import { buildMachine, withLinksDown } from './build';
import { kernelRoutes } from './kernel-routes';
import type { Link, Machine } from './machine';
import { DEFAULT_TABLE_ID, LOCAL_TABLE_ID, kernelRules } from './machine';

/**
 * The model of a machine at synth. An address that is not declared counts as that of another machine. The main table is
 * known in the families with declared gateways. Tables that are not declared are unknown.
 */
export function describeHost(host: Host): Description {
  const links = host.interfaces.map(linkOf);
  return {
    links,
    rules: [...kernelRules(), ...host.rules, ...guards(host)],
    routes: [
      ...defaultRoutes(host),
      ...networkRoutes(host),
      ...allRoutes(host),
      ...host.hooks.flatMap((hook) => copiedRoutes(hook, links)),
      ...daemonRoutes(host),
    ],
    incompleteTables: [
      ...BOTH_FAMILIES.filter((family) => !isMainKnown(host, family)).map((family) => ({
        tableId: MAIN_TABLE_ID,
        family,
      })),
      ...[...undeclaredTables(host), ...host.hooks.map((hook) => hook.tableId)].map((tableId) => ({ tableId })),
    ],
    incompleteLinks: links.length === 0 || host.interfaces.some(({ incomplete }) => incomplete),
  };
}

function linkOf({ name, addresses }: Interface): Link {
  return { name, addresses };
}

/** A gateway of unknown family may belong to either family. */
function isMainKnown({ interfaces }: Host, family: Family): boolean {
  const gateways = interfaces.flatMap((each) => each.gateways);
  return gateways.every((via) => via.family !== undefined) && gateways.some((via) => via.family === family);
}

/** The metrics of several default routes are not declared, so any of them may win. */
function defaultRoutes(host: Host): Route[] {
  const { path, interfaces } = host;
  const hops = interfaces.flatMap(({ name, gateways }) =>
    gateways.map((via): Hop => ({ via, device: { kind: 'device', text: name } })),
  );
  return BOTH_FAMILIES.filter((family) => isMainKnown(host, family)).map((family) => {
    const ofFamily = hops.filter(({ via }) => via?.family === family);
    return { path, family, tableId: MAIN_TABLE_ID, destination: DEFAULT_DESTINATION, hops: ofFamily };
  });
}

/** The next hop on the link is not declared. */
function networkRoutes({ path, interfaces }: Host): Route[] {
  return interfaces.flatMap(({ name, networks = [] }) =>
    networks.map((text): Route => {
      const family = familyOf(text);
      const hops = [{ device: { kind: 'device' as const, text: name } }];
      return { path, family, tableId: MAIN_TABLE_ID, destination: { kind: 'prefix', text, family }, hops };
    }),
  );
}

/**
 * A tunnel that has a single address in a pool: the daemon sets a route to the pool, or to each client of it that is
 * connected.
 */
function daemonRoutes({ path, interfaces, discards }: Host): PossibleRoute[] {
  return interfaces
    .filter(({ gateways }) => gateways.length === 0)
    .flatMap(({ name, addresses }) =>
      discards
        .filter(({ destination }) => isKnown(destination) && !isAny(destination))
        .filter(({ destination }) =>
          addresses.some(({ text, address }) => isHostNetwork(text) && isInside(address, destination.text)),
        )
        .map(({ destination, family }) => ({
          ...{ path, family, tableId: MAIN_TABLE_ID, destination },
          hops: [{ device: { kind: 'device' as const, text: name } }],
          possibleFor: name,
        })),
    );
}

function undeclaredTables(host: Host): number[] {
  const declaredIds = new Set([LOCAL_TABLE_ID, DEFAULT_TABLE_ID, MAIN_TABLE_ID, ...host.tables.map(({ id }) => id)]);
  return host.rules.flatMap(({ action }) =>
    action.kind === 'lookup' && !declaredIds.has(action.tableId) ? [action.tableId] : [],
  );
}

/** An up hook copies the routes of its tunnel; which link that is, and whether it is up, is not declared. */
function copiedRoutes(hook: UpHook, links: readonly Link[]): PossibleRoute[] {
  return links.flatMap((link) =>
    BOTH_FAMILIES.flatMap((family) =>
      connectedNetworks(link, family).map((text) => ({
        path: hook.path,
        family,
        tableId: hook.tableId,
        destination: { kind: 'prefix' as const, text, family },
        hops: [{ device: { kind: 'device' as const, text: link.name } }],
        possibleFor: hook.path,
      })),
    ),
  );
}

function connectedNetworks(link: Link, family: Family): string[] {
  const connected = kernelRoutes(link)[family].filter(({ kind }) => kind === 'unicast');
  return connected
    .map(({ destination }) => prefixText(destination, family))
    .filter((text) => !/^(169\.254\.|fe80:)/.test(text));
}

const machines = new WeakMap<Host, Map<string, Machine>>();

/** The declared machine, compiled for lookups, with some of its links down. Computed once. */
export function machineOf(host: Host, linksDown: readonly string[] = []): Machine {
  const made = getOrInsertComputed(machines, host, () => new Map<string, Machine>());
  return getOrInsertComputed(made, linksDown.join(' '), () =>
    buildMachine(withLinksDown(describeHost(host), linksDown)),
  );
}

/** The same without the guards of tunnels, which only drop packets of undeclared sources. */
export function machineWithoutTunnelGuards(host: Host): Machine {
  const { rules, ...others } = describeHost(host);
  return buildMachine({ ...others, rules: rules.filter((rule) => !isOfTunnel(rule)) });
}

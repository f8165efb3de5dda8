import type { Host, Interface } from './host';
import { MAIN_TABLE_ID } from './host';
import { getOrInsertComputed } from './maps';
import { networksBehind, networksOf } from './networks';
import type { Hop } from './route';
import { isDefaultRoute } from './route';
import type { Rule } from './rule';
import { goesAnywhere, matchesEverything } from './rule';
import type { Value } from './value';
import { isAny, isKnown } from './value';

/** The interfaces of clients by name, each with the path of the construct that declares the clients. */
export type Tunnels = ReadonlyMap<string, string>;

const exits = new WeakMap<Host, Set<string>>();

/** The interfaces that lead to the Internet: those with gateways, and those of default routes. */
export function exitsOf(host: Host): ReadonlySet<string> {
  return getOrInsertComputed(exits, host, () => {
    const hops = host.routes.filter(isDefaultRoute).flatMap((route) => route.hops);
    return new Set([
      ...host.interfaces.filter(({ gateways }) => gateways.length > 0).map(({ name }) => name),
      ...hops.flatMap((hop) => interfacesOfHop(hop, host)),
    ]);
  });
}

function interfacesOfHop({ via, device }: Hop, { interfaces }: Host): string[] {
  if (device) {
    return isKnown(device) ? [device.text] : [];
  }
  return via && isKnown(via)
    ? networksOf(interfaces)
        .overlapping(via.text)
        .map(({ link }) => link.name)
    : [];
}

/**
 * The tunnels of a host, whatever their names: interfaces that hold a pool of a `VpnEgress`, or the source of a rule
 * that routes all packets from it, or that such a rule names.
 */
export function tunnelsOf(host: Host): Tunnels {
  const leads = exitsOf(host);
  const tunnels = new Map<string, string>();
  const add = (name: string, path: string): void => {
    if (!leads.has(name) && !tunnels.has(name)) tunnels.set(name, path);
  };
  for (const rule of host.rules.filter(routesAll)) {
    const { source, inputInterface, path } = rule;
    if (inputInterface) {
      add(inputInterface.text, path);
    } else if (source) {
      holdersOf(source, host.interfaces).forEach(({ name }) => add(name, path));
    }
  }
  for (const { destination, path } of host.discards.filter((discard) => isKnown(discard.destination))) {
    holdersOf(destination, host.interfaces).forEach(({ name }) => add(name, path));
  }
  return tunnels;
}

/** Tells whether a rule looks up a table other than main for all packets from a source or an interface. */
export function routesAll(rule: Rule): boolean {
  const { action, source, inputInterface, invert, suppressPrefixLength, suppressInterfaceGroup } = rule;
  const others = { ...rule, source: undefined, destination: undefined, inputInterface: undefined };
  return (
    action.kind === 'lookup' &&
    action.tableId !== MAIN_TABLE_ID &&
    !invert &&
    suppressPrefixLength === undefined &&
    suppressInterfaceGroup === undefined &&
    goesAnywhere(rule) &&
    matchesEverything(others) &&
    inputInterface?.text !== 'lo' &&
    [source, inputInterface].every((value) => !value || isKnown(value))
  );
}

/** The interfaces that hold a pool, by longest prefix match. */
export function holdersOf(pool: Value, interfaces: readonly Interface[]): Interface[] {
  const networks = networksOf(interfaces);
  // An own address of the server has no clients.
  if (isAny(pool) || networks.hasAddress(pool.text)) {
    return [];
  }
  const lengthOf = ({ text }: { readonly text: string }): number => Number(text.split('/')[1] ?? Infinity);
  const overlapping = [...networks.overlapping(pool.text), ...networksBehind(pool.text, interfaces)];
  const inside = overlapping.filter((network) => lengthOf(network) >= lengthOf(pool));
  const longest = Math.max(...overlapping.map(lengthOf));
  const holding = inside.length > 0 ? inside : overlapping.filter((network) => lengthOf(network) === longest);
  return holding.map(({ link }) => link);
}

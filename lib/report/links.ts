import type { Bits } from '../fib/bits';
import { addressBits, prefixBits } from '../fib/bits';
import { networkBits } from '../fib/kernel-routes';
import type { Machine } from '../fib/machine';
import type { Family } from '../model/family';
import { BOTH_FAMILIES, overlaps } from '../model/family';
import type { Host, Interface } from '../model/host';

/** The clients that a host forwards packets for. */
export interface Clients {
  /** The links that their packets come in by. */
  readonly links: ReadonlySet<string>;
  /** The prefixes of their addresses, sorted: the sources of rules, and the networks of their links. */
  readonly prefixes: Readonly<Record<Family, readonly Bits[]>>;
}

export function clientsOf({ rules, interfaces }: Host): Clients {
  const own = new Set(interfaces.flatMap(({ addresses }) => addresses.map(({ address }) => addressBits(address))));
  const pools = (family: Family): Bits[] =>
    rules
      .filter((rule) => overlaps(rule.family, family))
      .flatMap(({ source }) => (source?.family === family ? prefixBits(source.text) : []))
      .filter((prefix) => prefix !== '' && !own.has(prefix));
  const ofRules = { 4: pools(4), 6: pools(6) };
  const named = new Set(rules.flatMap(({ inputInterface }) => inputInterface?.text ?? []));
  const tunnels = interfaces.filter(
    (each) =>
      named.has(each.name) ||
      BOTH_FAMILIES.some((family) => networkPrefixes(each, family).some((network) => isNear(network, ofRules[family]))),
  );
  const prefixes = (family: Family): Bits[] =>
    [...new Set([...ofRules[family], ...tunnels.flatMap((each) => networkPrefixes(each, family))])].sort();
  named.delete('lo');
  return {
    links: new Set([...named, ...tunnels.map(({ name }) => name)]),
    prefixes: { 4: prefixes(4), 6: prefixes(6) },
  };
}

export function networkPrefixes({ addresses }: Interface, family: Family): Bits[] {
  return addresses.filter((each) => each.family === family).map(networkBits);
}

/** Returns the links that packets leave by: links with a gateway or a default route, and links without clients. */
export function egressLinks({ interfaces }: Host, clients: Clients, { families }: Machine): string[] {
  const routes = BOTH_FAMILIES.flatMap((family) =>
    [...families[family].tables.values()].flatMap((table) => [...table.groups()].flat()),
  );
  const leading = routes.flatMap(({ destination, hops }) =>
    hops.flatMap(({ device, via }) => (device && (via !== undefined || !destination) ? device : [])),
  );
  const others = interfaces.filter(({ name, addresses }) => !clients.links.has(name) && addresses.length > 0);
  const found = new Set([...leading, ...others.map(({ name }) => name)]);
  const declared = interfaces.map(({ name }) => name).filter((name) => found.has(name));
  return [...new Set([...declared, ...found])];
}

/** Tells whether the prefix contains one of the others, or is inside one of them. */
export function isNear(prefix: Bits, others: readonly Bits[]): boolean {
  return others.some((other) => other.startsWith(prefix) || prefix.startsWith(other));
}

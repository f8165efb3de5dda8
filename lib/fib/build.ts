import type { Family } from '../model/family';
import { overlaps } from '../model/family';
import { getOrInsertComputed } from '../model/maps';
import type { Hop, Route } from '../model/route';
import { defaultMetric } from '../model/route';
import type { Rule } from '../model/rule';
import type { Value } from '../model/value';
import { isKnown } from '../model/value';
import { addressBits, prefixBits } from './bits';
import { kernelRoutes, networkBits } from './kernel-routes';
import type { Link, Machine, FamilyState, Sysctls } from './machine';
import { LOOPBACK } from './machine';
import { RuleList } from './rules';
import type { CompiledHop } from './table';
import { CompiledTable } from './table';
import { valueText } from './explain';

/** A route that may be missing. */
export interface PossibleRoute extends Route {
  readonly possibleFor: string;
}

export interface IncompleteTable {
  readonly tableId: number;
  /** @default - both */
  readonly family?: Family;
}

/** Everything that decides where the packets of a machine go. */
export interface Description {
  /** The links. The loopback interface may be missing. */
  readonly links: readonly Link[];
  /** All rules, also the kernel's own. */
  readonly rules: readonly Rule[];
  /** The routes, without those that the kernel makes from the links. */
  readonly routes: readonly (Route | PossibleRoute)[];
  readonly sysctls?: Sysctls;
  /** Tables that may have more routes. */
  readonly incompleteTables?: readonly IncompleteTable[];
  /** Whether links may have more addresses. */
  readonly incompleteLinks?: boolean;
}

export function buildMachine(description: Description): Machine {
  const links = new Map(withLoopback(description.links).map((link) => [link.name, link]));
  const { sysctls = {}, incompleteLinks = false } = description;
  const side = (family: Family): FamilyState => ({
    rules: new RuleList(family, description.rules),
    tables: tablesOf(family, description, links, sysctls),
  });
  return { links, families: { 4: side(4), 6: side(6) }, sysctls, complete: !incompleteLinks };
}

/** Adds the loopback interface, which may have more than the usual addresses. */
function withLoopback(links: readonly Link[]): Link[] {
  const more = links.filter(({ name }) => name === LOOPBACK.name).flatMap(({ addresses }) => addresses);
  return [
    { ...LOOPBACK, addresses: [...LOOPBACK.addresses, ...more] },
    ...links.filter(({ name }) => name !== LOOPBACK.name),
  ];
}

/** The same machine with some links down. */
export function withLinksDown(description: Description, down: readonly string[]): Description {
  // Routes may use a link that is not declared.
  const others = down.filter((name) => description.links.every((link) => link.name !== name));
  return {
    ...description,
    links: [
      ...description.links.map((link): Link => (down.includes(link.name) ? { ...link, state: 'down' } : link)),
      ...others.map((name): Link => ({ name, addresses: [], state: 'down' })),
    ],
  };
}

function tablesOf(
  family: Family,
  description: Description,
  links: ReadonlyMap<string, Link>,
  sysctls: Sysctls,
): Map<number, CompiledTable> {
  const tables = new Map<number, CompiledTable>();
  const incomplete = new Set(
    (description.incompleteTables ?? [])
      .filter((each) => each.family === undefined || each.family === family)
      .map(({ tableId }) => tableId),
  );
  const tableOf = (id: number): CompiledTable =>
    getOrInsertComputed(tables, id, () => new CompiledTable(!incomplete.has(id)));
  incomplete.forEach(tableOf);
  const stateOf = (device: string | undefined): Link['state'] =>
    device === undefined ? undefined : links.get(device)?.state;
  const isDead = (device: string | undefined): boolean =>
    stateOf(device) === 'down' || (stateOf(device) === 'no carrier' && sysctls.ignoreRoutesWithLinkdown === true);
  for (const link of links.values()) {
    for (const { tableId, kind, destination, metric, device } of kernelRoutes(link)[family]) {
      // The machine's own addresses do not depend on the carrier, in IPv4 not even on the link.
      const dead = isDead(device) && kind !== 'local' && kind !== 'anycast';
      tableOf(tableId).add({ kind, destination, metric, hops: [{ device, dead }], deferred: [] });
    }
  }
  for (const route of description.routes.filter((each) => overlaps(each.family, family))) {
    const hops = route.hops.map((hop): CompiledHop => {
      const device = linkOfHop(hop, description.links);
      return { device, via: hop.via && valueText(hop.via), dead: isDead(device) };
    });
    // A route stays without carrier. IPv6 then compares metrics only up to the lowest of these routes.
    if (route.type === undefined && hops.every(({ device }) => stateOf(device) === 'down')) {
      continue;
    }
    tableOf(route.tableId).add({
      kind: route.type ?? 'unicast',
      destination: isKnown(route.destination) ? prefixBits(route.destination.text) : undefined,
      metric: route.metric ?? defaultMetric(family),
      hops,
      deferred: deferredOf(route),
    });
  }
  return tables;
}

/** Whose values, known at apply only, decide whether the route exists, and where it leads. */
function deferredOf(route: Route | PossibleRoute): string[] {
  const place = [route.destination, ...(route.family === 'auto' ? route.hops.map((hop) => hop.via) : [])];
  return [
    ...('possibleFor' in route ? [route.possibleFor] : []),
    ...place.flatMap((value) => value?.deferredFor ?? []),
  ];
}

/** A gateway without a device is on the link whose network contains it. */
function linkOfHop({ via, device }: Hop, links: readonly Link[]): string | undefined {
  if (device) {
    return isKnown(device) ? device.text : undefined;
  }
  return via && isKnown(via) ? linkTo(via, links)?.name : undefined;
}

function linkTo(via: Value, links: readonly Link[]): Link | undefined {
  const gateway = addressBits(via.text);
  const lengthOn = (link: Link): number =>
    Math.max(
      -1,
      ...link.addresses
        .filter((address) => address.family === via.family)
        .map(networkBits)
        .filter((network) => gateway.startsWith(network))
        .map((network) => network.length),
    );
  const [best] = links
    .map((link) => ({ link, length: lengthOn(link) }))
    .filter(({ length }) => length >= 0)
    .sort((a, b) => b.length - a.length);
  return best?.link;
}

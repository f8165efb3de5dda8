import type { Family } from '../model/family';
import type { PacketHeader } from './packet';
import type { CompiledHop, CompiledRoute, CompiledTable } from './table';

/** A route that a packet can take, and the next hops among which the kernel chooses. */
export interface Found {
  readonly route: CompiledRoute;
  readonly hops: readonly CompiledHop[];
}

/** The routes to a packet's destination, the preferred one first. */
export type Search = (table: CompiledTable, packet: PacketHeader) => Generator<Found>;

export const SEARCH: Readonly<Record<Family, Search>> = { 4: searchIpv4, 6: searchIpv6 };

export function rejects({ kind }: CompiledRoute): boolean {
  return kind === 'blackhole' || kind === 'unreachable' || kind === 'prohibit' || kind === 'throw';
}

function* searchIpv4(table: CompiledTable, packet: PacketHeader): Generator<Found> {
  for (const routes of table.coveringPrefixes(packet.destination)) {
    for (const route of routes) {
      const hops = route.hops.filter((hop) => !hop.dead && isOn(hop, packet.outputInterface));
      if (rejects(route) || hops.length > 0) {
        // With a given device, packets are not spread over next hops.
        yield { route, hops: packet.outputInterface === undefined ? hops : hops.slice(0, 1) };
      }
    }
  }
}

/**
 * Among routes with one metric, IPv6 prefers one through the device that the packet is bound to or came in by. This is
 * mandatory only for link-scoped destinations, and for a bound socket without a source.
 */
function* searchIpv6(table: CompiledTable, packet: PacketHeader): Generator<Found> {
  const device = packet.inputInterface ?? packet.outputInterface;
  const strict = isOfOneLink(packet) || (packet.inputInterface === undefined && packet.source === undefined);
  for (const routes of table.coveringPrefixes(packet.destination)) {
    const usable = routes.flatMap((route): Found[] => {
      const hops = hopsOf(route).filter((hop) => !hop.dead && (!strict || isOn(hop, device)));
      return hops.length > 0 ? [{ route, hops }] : [];
    });
    const lowest = routes[0]?.metric;
    const first = usable.filter(({ route }) => route.metric === lowest);
    // After the lowest metric, the kernel does not distinguish the others.
    const level = first.length > 0 ? first : usable;
    const preferred = level.filter(({ hops }) => hops.some((hop) => isOn(hop, device)));
    const best = preferred.length > 0 ? preferred : level;
    yield* best.filter(({ route }) => route.metric === best[0]?.route.metric);
  }
}

/** In IPv6, a rejecting route is a route to the loopback interface. */
function hopsOf(route: CompiledRoute): readonly CompiledHop[] {
  return rejects(route) ? [{ device: 'lo', dead: false }] : route.hops;
}

function isOn(hop: CompiledHop, device: string | undefined): boolean {
  return device === undefined || hop.device === undefined || hop.device === device;
}

/** Link-local, multicast or loopback. */
function isOfOneLink({ destination }: PacketHeader): boolean {
  return /^(1111111010|11111111|0{127}1$)/.test(destination);
}

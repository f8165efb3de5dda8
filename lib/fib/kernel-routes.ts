import type { Family } from '../model/family';
import { MAIN_TABLE_ID } from '../model/host';
import type { Bits } from './bits';
import { ADDRESS_LENGTH, addressBits, prefixBits } from './bits';
import type { Link, LinkAddress } from './machine';
import { LOCAL_TABLE_ID } from './machine';
import type { RouteKind } from './table';

/** A route that the kernel makes by itself when a link gets an address or comes up. */
export interface KernelRoute {
  readonly tableId: number;
  readonly kind: RouteKind;
  readonly destination: Bits;
  readonly metric: number;
  readonly device: string;
}

/** Metric of IPv6 routes to networks and multicast groups. */
const KERNEL_METRIC_IPV6 = 256;

export function kernelRoutes(link: Link): Record<Family, KernelRoute[]> {
  const of = (family: Family): LinkAddress[] => link.addresses.filter((address) => address.family === family);
  return { 4: ipv4Routes(link, of(4)), 6: ipv6Routes(link, of(6)) };
}

/** The network that an address of a link is in. */
export function networkBits({ text, address }: LinkAddress): Bits {
  return addressBits(address).slice(0, Number(text.split('/')[1]));
}

function ipv4Routes(link: Link, addresses: readonly LinkAddress[]): KernelRoute[] {
  const route = routeMaker(link, 0);
  const own = addresses.map((address) => route('local', addressBits(address.address)));
  // An address stays local while its link is down.
  if (link.state === 'down') {
    return own;
  }
  // The second address in a network is secondary, and adds no second route to the network.
  const networks = [...new Set(addresses.map(networkBits))].filter((network) => network.length < ADDRESS_LENGTH[4]);
  const named = addresses.flatMap(({ broadcast }) => (broadcast === undefined ? [] : [addressBits(broadcast)]));
  // A network with two addresses has no broadcast address.
  const last = networks
    .filter((network) => network.length < 31)
    .map((network) => network.padEnd(ADDRESS_LENGTH[4], '1'));
  return [
    ...own,
    ...[...new Set([...named, ...last])].map((address) => route('broadcast', address)),
    ...networks.map((network) => route(link.name === 'lo' ? 'local' : 'unicast', network)),
  ];
}

function ipv6Routes(link: Link, addresses: readonly LinkAddress[]): KernelRoute[] {
  // Addresses go away with the link.
  if (link.state === 'down') {
    return [];
  }
  const route = routeMaker(link, 0);
  const own = addresses.map((address) => route('local', addressBits(address.address)));
  if (link.name === 'lo') {
    return own;
  }
  const networks = [...new Set(addresses.map(networkBits))];
  const anycast = networks
    // RFC 6164: a network of two addresses has no anycast address of the router.
    .filter((network) => network.length < 127)
    .map((network) => network.padEnd(ADDRESS_LENGTH[6], '0'));
  const routeFurther = routeMaker(link, KERNEL_METRIC_IPV6);
  return [
    ...own,
    ...anycast.map((address) => route('anycast', address)),
    // Without carrier, IPv6 starts on a link only with its first address.
    ...(link.state === 'no carrier' && own.length === 0 ? [] : [routeFurther('multicast', prefixBits('ff00::/8'))]),
    ...networks.map((network) => routeFurther('unicast', network)),
  ];
}

function routeMaker({ name: device }: Link, metric: number): (kind: RouteKind, destination: Bits) => KernelRoute {
  return (kind, destination) => ({
    tableId: kind === 'unicast' ? MAIN_TABLE_ID : LOCAL_TABLE_ID,
    kind,
    destination,
    metric,
    device,
  });
}

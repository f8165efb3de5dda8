import { BOTH_FAMILIES, defaultPrefix, familyName, overlaps } from '../model/family';
import type { Gateway } from '../model/egress';
import { secondOfFamily } from '../model/value';
import type { RouteOptions } from '../route';
import type { Arguments } from './arguments';
import type { EgressPools, Pool } from './egress-pools';

/** The default routes of an egress, by the ids of their constructs. */
export type DefaultRoutes = ReadonlyArray<readonly [id: string, RouteOptions]>;

/** `inet6 ADDRESS`, as iproute2 writes an IPv6 next hop of an IPv4 route. */
const OTHER_FAMILY = /^inet6\s+(\S+)$/;

/** The gateways of an egress, each for the packets of one family. Checks that they serve the pools. */
export function parseGateways(args: Arguments, texts: readonly string[], pools: readonly Pool[]): Gateway[] {
  const gateways = texts.map((text, index) => parseGateway(args, text, `gateways[${index}]`));
  checkGateways(args, texts, gateways, pools);
  return gateways;
}

function parseGateway(args: Arguments, text: string, property: string): Gateway {
  const [, other] = OTHER_FAMILY.exec(text) ?? [];
  const via = args.nextHop(other ?? text, property);
  if (other !== undefined && via.family === undefined) {
    throw args.error(
      `${property} is known at apply only, but the IPv6 next hop of IPv4 must be known at synth. Give it literally.`,
    );
  }
  if (other !== undefined && via.isFollowed) {
    throw args.error(`${property} "${text}" is not supported. Give the address of the IPv6 next hop: "inet6 fe80::1".`);
  }
  if (other !== undefined && via.family === 4) {
    throw args.error(`${property} "${text}" is IPv4. Leave out "inet6".`);
  }
  return { via, family: other === undefined ? via.family : 4 };
}

function checkGateways(
  args: Arguments,
  texts: readonly string[],
  gateways: readonly Gateway[],
  pools: readonly Pool[],
): void {
  if (gateways.length === 0) {
    throw args.error(
      `gateways is empty. Give the NAT router's addresses on device, such as "192.168.1.1", or "dhcp4" and "ra" if the ` +
        'machine gets them that way. Leave gateways out if device is a point-to-point link (PPP, WireGuard).',
    );
  }
  const twice = secondOfFamily(gateways);
  gateways.forEach(({ family }, index) => {
    if (family !== undefined && index === twice) {
      throw args.error(
        `gateways[${index}] "${texts[index]}" is the second ${familyName(family)} gateway. ` +
          'A VpnEgress has one gateway for each family. For several (ECMP), declare a SourceRoutingTable ' +
          'that has a route with nextHops, and a PolicyRule for each pool, instead of the VpnEgress.',
      );
    }
    if (family !== undefined && !pools.some((pool) => overlaps(pool.family, family))) {
      throw args.error(
        `gateways[${index}] "${texts[index]}" is ${familyName(family)}, but no pool of clients is. ` +
          `Add the clients' ${familyName(family)} pool, or leave out the gateway.` +
          (family === 6 ? ` For IPv4 packets with an IPv6 next hop (RFC 8950), write "inet6 ${texts[index]}".` : ''),
      );
    }
  });
  pools.forEach(({ property, text, value: { family } }) => {
    if (family !== undefined && !gateways.some((gateway) => (gateway.family ?? family) === family)) {
      const [{ via }] = gateways;
      throw args.error(
        `${property} "${text}" is ${familyName(family)}, but no gateway is. ` +
          `Add the NAT router's ${familyName(family)} address to gateways; if it has none, move the pool to rejectedClients` +
          (family === 4 ? `, or give an IPv6 next hop for IPv4 (RFC 8950): "inet6 ${via.text}".` : '.'),
      );
    }
  });
}

/** One default route for each gateway, or, without gateways, for each family of the pools. */
export function defaultRoutes(
  args: Arguments,
  { routed }: EgressPools,
  gateways: readonly Gateway[] | undefined,
  { device, mtu, onLink }: Pick<RouteOptions, 'device' | 'mtu' | 'onLink'>,
): DefaultRoutes {
  const options = { device, mtu, onLink };
  if (gateways) {
    return gateways.map(({ via, family }, index) => [
      `gateway-${index + 1}`,
      {
        // The next hop does not tell the family of the route here, so the destination has to.
        destination: family !== undefined && family !== via.family ? defaultPrefix(family) : 'default',
        via: via.text,
        ...options,
      },
    ]);
  }
  if (onLink) {
    throw args.error('onLink is set without gateways, which it is about. Give gateways, or leave out onLink.');
  }
  const unknown = routed.find(({ family }) => family === 'auto');
  if (unknown) {
    throw args.error(
      `${unknown.property} is known at apply only, and without gateways its family must be known. Give it literally.`,
    );
  }
  return BOTH_FAMILIES.filter((family) => routed.some((pool) => pool.family === family)).map((family) => [
    `default-${familyName(family).toLowerCase()}`,
    { destination: defaultPrefix(family), ...options },
  ]);
}

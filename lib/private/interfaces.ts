import { Token } from 'cdktf';
import type { Interface } from '../model/host';
import { parseInterfaceAddress, parsePrefix } from '../model/value';
import type { NetworkInterface } from '../network-interface';
import type { Arguments } from './arguments';
import { ADDRESSES, DEVICE, PREFIXES } from './kinds';
import type { Shape } from './shapes';
import { list, optional, struct, text } from './shapes';

const INTERFACE: Shape<NetworkInterface> = {
  name: DEVICE,
  addresses: optional(list(text('an address such as "192.168.1.100/24"'), 'a list such as ["192.168.1.100/24"]')),
  gateways: optional(ADDRESSES),
  networks: optional(PREFIXES),
};

export const INTERFACES = list(
  struct(INTERFACE, 'an object such as { name: "eth1" }'),
  'a list such as [{ name: "eth1" }]',
);

/** The interfaces of a machine, and the addresses known at apply only by interface name. */
export interface ParsedInterfaces {
  readonly interfaces: readonly Interface[];
  readonly addressTokens: ReadonlyMap<string, readonly string[]>;
}

export function parseInterfaces(args: Arguments, declared: readonly NetworkInterface[]): ParsedInterfaces {
  const addressTokens = new Map<string, readonly string[]>();
  const interfaces = declared.map((each, index): Interface => {
    const name = args.device(each.name, `interfaces[${index}].name`);
    if (addressTokens.has(name)) {
      throw args.error(`interfaces has "${name}" twice. Put all its addresses into one entry.`);
    }
    const addresses = each.addresses ?? [];
    const tokens = addresses.filter((address) => Token.isUnresolved(address));
    addressTokens.set(name, tokens);
    return {
      name,
      incomplete: tokens.length > 0 || each.addresses === undefined,
      addresses: addresses
        .filter((address) => !Token.isUnresolved(address))
        .map((address) => args.attempt(() => parseInterfaceAddress(address, `interfaces "${name}" address`))),
      gateways: (each.gateways ?? []).map((gateway, at) =>
        args.nextHopAddress(gateway, `interfaces "${name}" gateways[${at}]`),
      ),
      networks: (each.networks ?? []).map(
        (network, at) => args.attempt(() => parsePrefix(network, `interfaces "${name}" networks[${at}]`)).text,
      ),
    };
  });
  return { interfaces, addressTokens };
}

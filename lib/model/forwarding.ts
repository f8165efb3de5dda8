import type { Family } from './family';
import { BOTH_FAMILIES } from './family';
import type { Host, Interface, Problem } from './host';
import { isOf } from './marking';
import { aggregated } from './prefixes';
import { holdersOf } from './tunnels';
import type { Value } from './value';
import { isKnown } from './value';

/** What a declaration says about the way of clients' packets through the machine. */
export interface ForwardingChoice {
  /** Whether a change is refused if no packet of a client gets through. */
  readonly required: boolean;
  /** For which interfaces forwarding of IPv4 is switched on. */
  readonly sysctls?: 'all' | 'per interface';
  /** Chains of firewalls that get accept rules. */
  readonly chains: readonly FirewallChain[];
}

/** Nothing is configured, but packets have to get through. */
export const ONLY_TRIED: ForwardingChoice = { required: true, chains: [] };

/** A chain of a firewall that somebody else manages. */
export type FirewallChain =
  | {
      readonly program: 'nftables';
      readonly family: 'inet' | 'ip' | 'ip6';
      readonly table: string;
      readonly name: string;
    }
  /** Of the table `filter`, for both families. */
  | { readonly program: 'iptables'; readonly name: string }
  /** A policy between all zones, in a file of firewalld. */
  | { readonly program: 'firewalld' };

/** The way of the packets of an egress's clients through the machine. */
export interface Forwarding extends ForwardingChoice {
  readonly path: string;
  /** Whether packets may leave with another source than the client's. */
  readonly translated: boolean;
  /** Whether the machine itself changes the source, so that no packet may leave with that of a client. */
  readonly translates: boolean;
  /** Whether TCP connections of clients are kept to the path MTU. */
  readonly mssClamp: boolean;
  readonly device: Value;
  readonly clients: readonly Value[];
  readonly rejectedClients: readonly Value[];
  /** Interfaces by which packets of clients come in, if these are not tunnels. */
  readonly inputs?: readonly Value[];
  /** Whether clients reach neither each other nor the server. */
  readonly isolated: boolean;
}

/** Packets that a firewall has to accept. */
export interface Accepted {
  readonly family: Family;
  readonly inputInterfaces: readonly Value[];
  readonly outputInterfaces: readonly Value[];
  /** Prefixes; empty for any. */
  readonly sources: readonly string[];
  readonly destinations: readonly string[];
  /** Whether only replies are accepted, and errors about them. */
  readonly replies: boolean;
}

/** A setting of the kernel, whose key may have the name of an interface in it. */
export interface Sysctl {
  readonly key: ReadonlyArray<string | Value>;
  readonly value: number;
}

/** The settings with which the machine forwards packets of clients and replies to them. */
export function forwardingSysctls({ forwardings, interfaces }: Host): Sysctl[] {
  const settings = forwardings.flatMap(({ sysctls, device, clients, inputs }) => {
    const of = (family: Family): boolean => clients.some((pool) => isOf(pool, family));
    const perInterface = [...(inputs ?? tunnelDevices(clients, interfaces, 4)), device];
    return [
      ...(sysctls === 'all' && of(4) ? [['net.ipv4.ip_forward']] : []),
      ...(sysctls === 'per interface' && of(4)
        ? perInterface.map((each) => ['net.ipv4.conf.', each, '.forwarding'])
        : []),
      ...(sysctls && of(6) ? [['net.ipv6.conf.all.forwarding']] : []),
    ];
  });
  const byText = new Map(settings.map((key) => [JSON.stringify(key), { key, value: 1 }]));
  return [...byText.values()];
}

/** Packets that the chains of a forwarding have to accept. All pools are known, and have tunnels. */
export function acceptedPackets(forwarding: Forwarding, interfaces: readonly Interface[]): Accepted[] {
  const { device, clients, rejectedClients, isolated, inputs } = forwarding;
  return BOTH_FAMILIES.flatMap((family) => {
    const pools = poolPrefixes(clients, family);
    if (pools.length === 0) {
      return [];
    }
    const tunnels = inputs ?? tunnelDevices(clients, interfaces, family);
    const local = poolPrefixes([...clients, ...rejectedClients], family);
    const localTunnels = tunnelDevices([...clients, ...rejectedClients], interfaces, family);
    return [
      packets(family, tunnels, [device], pools, [], false),
      packets(family, [device], tunnels, [], pools, true),
      ...(isolated ? [] : [packets(family, tunnels, localTunnels, pools, local, false)]),
    ];
  });
}

function packets(
  family: Family,
  inputInterfaces: readonly Value[],
  outputInterfaces: readonly Value[],
  sources: readonly string[],
  destinations: readonly string[],
  replies: boolean,
): Accepted {
  return { family, inputInterfaces, outputInterfaces, sources, destinations, replies };
}

export function poolPrefixes(pools: readonly Value[], family: Family): string[] {
  const known = pools.filter((pool) => pool.family === family && isKnown(pool));
  return aggregated(
    known.map(({ text }) => text),
    family,
  );
}

function namesTunnels({ chains }: ForwardingChoice): boolean {
  return chains.some(({ program }) => program !== 'firewalld');
}

/** Pools of which nobody knows by which interface their packets come in, or that no accept rule could name. */
export function poolsWithoutTunnel({ forwardings, interfaces }: Host): Problem[] {
  return forwardings
    .filter(({ chains, sysctls, inputs }) => chains.length > 0 || (sysctls === 'per interface' && !inputs))
    .map((each) => ({ ...each, named: !each.inputs && (each.sysctls === 'per interface' || namesTunnels(each)) }))
    .flatMap(({ path, clients, named }) =>
      clients
        .filter((pool) => !isKnown(pool) || (named && holdersOf(pool, interfaces).length === 0))
        .map((pool) => ({
          path,
          message: isKnown(pool)
            ? `forwarding needs the tunnel of the pool ${pool.text}, and no interface of the host holds it. Add the tunnel with its addresses to interfaces.`
            : 'forwarding needs each pool at synth, and one is known at apply only. Give the pool literally.',
        })),
    );
}

function tunnelDevices(pools: readonly Value[], interfaces: readonly Interface[], family: Family): Value[] {
  const names = pools
    .filter((pool) => pool.family === family && isKnown(pool))
    .flatMap((pool) => holdersOf(pool, interfaces).map(({ name }) => name));
  return [...new Set(names)].map((text) => ({ kind: 'device', text }));
}

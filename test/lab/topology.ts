/**
 * The how-to's picture, with its addresses.
 *
 *                       internet 203.0.113.100
 *                           |  203.0.113.0/24
 *              .------------+---------------.
 *              | .1                         | .3
 *          upstream (masquerades)           |
 *              | .1                         |
 *   ovpn1 -.   |  192.168.178.0/24          |
 *   ovpn2 -+---+------------+---------------+-.
 *   wg1 ---|   | .2         | .10           | | .3
 *   wg2 ---'  vpn         admin            nat (masquerades)
 *              | 192.168.1.100              | 192.168.1.1
 *              '----------------------------'
 *
 * A lab may have a third machine, `third`, on the LAN (.4). It routes for nobody.
 *
 * A lab may have a second NAT router, `nat2`: 192.168.2.1 on a network of its own with the VPN server (192.168.2.100 on
 * eth2), and 203.0.113.4 on the internet's.
 *
 * Each line is a bridge in the lab's `switch` namespace, so that a machine that goes down takes
 * the cable out of the switch and not the network card out of its neighbour.
 */

export type NetworkName = 'lan' | 'private' | 'private2' | 'internet';
/** Booted machines: an init of their own, sshd, the network managers. */
export type MachineName = 'vpn' | 'nat' | 'third';
export type ClientName = 'ovpn1' | 'ovpn2' | 'wg1' | 'wg2';
/** Network namespaces that use the box's own file system. */
export type PlainName = 'upstream' | 'internet' | 'admin' | 'nat2';
export type NodeName = MachineName | ClientName | PlainName;
export type Family = 'ipv4' | 'ipv6';

/** The machines of a lab, with a third one or without. */
export const machineNames = (third = false): readonly MachineName[] => [
  'vpn',
  'nat',
  ...(third ? (['third'] as const) : []),
];
export const clientNames: readonly ClientName[] = ['ovpn1', 'ovpn2', 'wg1', 'wg2'];
export const openVpnClients: readonly ClientName[] = ['ovpn1', 'ovpn2'];
export const wireGuardClients: readonly ClientName[] = ['wg1', 'wg2'];
/** What a lab has of plain nodes and networks, with a second NAT router or without. */
export const plainNames = (second = false): readonly PlainName[] => [
  ...(['upstream', 'internet', 'admin'] as const),
  ...(second ? (['nat2'] as const) : []),
];
export const networkNames = (second = false): readonly NetworkName[] => [
  ...(['lan', 'private', 'internet'] as const),
  ...(second ? (['private2'] as const) : []),
];
export const families: readonly Family[] = ['ipv4', 'ipv6'];

/** A network card. Its MAC address is fixed, as on a real one: see `macAddress`. */
export interface Interface {
  readonly name: string;
  readonly network: NetworkName;
  readonly ipv4: string;
  readonly ipv6: string;
}

export interface Node {
  readonly interfaces: readonly Interface[];
  /** Default gateways. A VPN client has none: its default route goes into the tunnel. */
  readonly gateways?: Readonly<Record<Family, string>>;
  /** Forwards packets between its interfaces. */
  readonly forwards?: boolean;
  /** Masquerades what leaves by this interface. */
  readonly masquerade?: string;
}

const lan = (host: number): Interface => ({
  name: 'eth0',
  network: 'lan',
  ipv4: `192.168.178.${host}/24`,
  ipv6: `fd00:178::${host}/64`,
});
const internet = (name: string, host: number): Interface => ({
  name,
  network: 'internet',
  ipv4: `203.0.113.${host}/24`,
  ipv6: `2001:db8:ffff::${host}/64`,
});
const privateLink = (host: number): Interface => ({
  name: 'eth1',
  network: 'private',
  ipv4: `192.168.1.${host}/24`,
  ipv6: `fd00:1010:1010:1010::${host}/64`,
});
const secondLink = (name: string, host: number): Interface => ({
  name,
  network: 'private2',
  ipv4: `192.168.2.${host}/24`,
  ipv6: `fd00:1010:1010:2020::${host}/64`,
});

/** The network that the machines, their clients and the administrator are on. */
export const lanPrefix: Readonly<Record<Family, string>> = { ipv4: '192.168.178.0/24', ipv6: 'fd00:178::/64' };

const internetHost = { ipv4: '203.0.113.100', ipv6: '2001:db8:ffff::100' };
const upstreamRouter = { ipv4: '192.168.178.1', ipv6: 'fd00:178::1' };

export const nodes: Readonly<Record<NodeName, Node>> = {
  vpn: { interfaces: [lan(2), privateLink(100), secondLink('eth2', 100)], gateways: upstreamRouter, forwards: true },
  nat: {
    interfaces: [lan(3), privateLink(1), internet('eth2', 3)],
    gateways: internetHost,
    forwards: true,
    masquerade: 'eth2',
  },
  upstream: { interfaces: [lan(1), internet('eth1', 1)], gateways: internetHost, forwards: true, masquerade: 'eth1' },
  internet: { interfaces: [internet('eth0', 100)] },
  admin: { interfaces: [lan(10)], gateways: upstreamRouter },
  ovpn1: { interfaces: [lan(11)] },
  ovpn2: { interfaces: [lan(12)] },
  wg1: { interfaces: [lan(13)] },
  wg2: { interfaces: [lan(14)] },
  nat2: {
    interfaces: [secondLink('eth1', 1), internet('eth2', 4)],
    gateways: internetHost,
    forwards: true,
    masquerade: 'eth2',
  },
  third: { interfaces: [lan(4)], gateways: upstreamRouter },
};

/** The network cards of a node in a lab that has a second NAT router or not. */
export const cardsOf = (node: NodeName, second = false): readonly Interface[] =>
  nodes[node].interfaces.filter(({ network }) => networkNames(second).includes(network));

/** A tunnel device of the VPN server: the pool of its clients and its own addresses. */
export interface Tunnel {
  readonly device: string;
  readonly port: number;
  readonly pool: Readonly<Record<Family, string>>;
  readonly server: Readonly<Record<Family, string>>;
}

export type TunnelName = 'openvpn' | 'openvpnSecond' | 'wireguard';

const tunnel = (device: string, port: number, third: number, fourth: string): Tunnel => ({
  device,
  port,
  pool: { ipv4: `10.10.${third}.0/24`, ipv6: `fd00:4242:4242:${fourth}::/64` },
  server: { ipv4: `10.10.${third}.1`, ipv6: `fd00:4242:4242:${fourth}::1` },
});

export const tunnels: Readonly<Record<TunnelName, Tunnel>> = {
  openvpn: tunnel('tun0', 1194, 10, '4242'),
  /** A second server process on the same machine; off until it is started. */
  openvpnSecond: tunnel('tun1', 1195, 11, '4343'),
  wireguard: tunnel('wg0', 51820, 20, '2020'),
};

/** The address of a client inside a tunnel: .2 is the first client, .3 the second. */
export function tunnelAddress(client: ClientName, family: Family, name: TunnelName = homeTunnel(client)): string {
  const host = client.endsWith('1') ? 2 : 3;
  return tunnels[name].pool[family].replace(family === 'ipv4' ? /0\/24$/ : /\/64$/, String(host));
}

export const homeTunnel = (client: ClientName): TunnelName =>
  openVpnClients.includes(client) ? 'openvpn' : 'wireguard';

export const poolsOf = (family: Family): string[] => Object.values(tunnels).map((each) => each.pool[family]);

/** Address without its prefix length. */
export const bare = (address: string): string => address.split('/')[0];

export function address(node: NodeName, interfaceName: string, family: Family): string {
  const found = nodes[node].interfaces.find((each) => each.name === interfaceName);
  if (!found) throw new Error(`${node} has no ${interfaceName}`);
  return bare(found[family]);
}

/** What the internet host sees of packets that left by this router. */
export const publicAddress = (router: 'upstream' | 'nat' | 'nat2', family: Family): string =>
  address(router, router === 'upstream' ? 'eth1' : 'eth2', family);

export const internetAddress = (family: Family): string => internetHost[family];

/**
 * Fixed, because the neighbours of a rebooted machine keep its old MAC address in their caches and
 * would not find it under a new one for most of a minute.
 */
export function macAddress(node: NodeName, interfaceName: string): string {
  const index = Object.keys(nodes).indexOf(node) + 1;
  const card = Number(interfaceName.replace(/\D/g, ''));
  return `02:00:00:00:${index.toString(16).padStart(2, '0')}:${card.toString(16).padStart(2, '0')}`;
}

import type { TerraformStack } from 'cdktf';
import type { LinuxHostProps, VpnEgressProps } from '../../lib';
import { LinuxHost, VpnEgress } from '../../lib';
import type { Lab } from '../lab/lab';
import type { Family, NodeName } from '../lab/topology';
import { clientNames, families } from '../lab/topology';
import { sshOf } from './terraform';

export const UPSTREAM = { ipv4: '203.0.113.1', ipv6: '2001:db8:ffff::1' };
export const NAT = { ipv4: '203.0.113.3', ipv6: '2001:db8:ffff::3' };

export const INTERFACES = [
  { name: 'eth0', addresses: ['192.168.178.2/24', 'fd00:178::2/64'], gateways: ['192.168.178.1', 'fd00:178::1'] },
  { name: 'eth1', addresses: ['192.168.1.100/24', 'fd00:1010:1010:1010::100/64'] },
  { name: 'tun0', addresses: ['10.10.10.1/24', 'fd00:4242:4242:4242::1/64'] },
  { name: 'wg0', addresses: ['10.10.20.1/24', 'fd00:4242:4242:2020::1/64'] },
];

/** The pools of the OpenVPN and the WireGuard clients, by family. */
export const POOLS = ['10.10.10.0/24', '10.10.20.0/24', 'fd00:4242:4242:4242::/64', 'fd00:4242:4242:2020::/64'];
export const GATEWAYS = ['192.168.1.1', 'fd00:1010:1010:1010::1'];

/** The VPN server with everything, the way most people will declare it. */
export function declareEgress(
  stack: TerraformStack,
  lab: Lab,
  props: Partial<VpnEgressProps> = {},
  host: Partial<LinuxHostProps> = {},
): VpnEgress {
  const server = new LinuxHost(stack, 'vpn', { ssh: sshOf(lab), owner: 'vpn', interfaces: INTERFACES, ...host });
  return new VpnEgress(stack, 'egress', {
    host: server,
    device: 'eth1',
    tableId: 200,
    tableName: 'vpn',
    clients: POOLS,
    gateways: GATEWAYS,
    ...props,
  });
}

/** Where packets of some nodes come out, as "node family address". */
export async function sources(lab: Lab, nodes: readonly NodeName[] = [...clientNames, 'vpn']): Promise<string[]> {
  const pairs = nodes.flatMap((node) => families.map((family): [NodeName, Family] => [node, family]));
  return Promise.all(
    pairs.map(async ([node, family]) => {
      const source = await lab.sourceSeenFrom(node, family).catch((error: unknown) => `none (${String(error)})`);
      return `${node} ${family} ${source}`;
    }),
  );
}

/** All clients leave through the NAT router, the server itself through the upstream router. */
export const ALL_THROUGH_NAT = [...clientNames, 'vpn' as const].flatMap((node) =>
  families.map((family) => `${node} ${family} ${(node === 'vpn' ? UPSTREAM : NAT)[family]}`),
);

export const ALL_THROUGH_UPSTREAM = [...clientNames, 'vpn' as const].flatMap((node) =>
  families.map((family) => `${node} ${family} ${UPSTREAM[family]}`),
);

/** Which of a client's neighbours in the tunnel answer: other clients and the server. */
export async function neighbours(lab: Lab): Promise<Record<string, boolean>> {
  const pairs: ReadonlyArray<[string, NodeName, string]> = [
    ['OpenVPN client to client, IPv4', 'ovpn1', '10.10.10.3'],
    ['OpenVPN client to client, IPv6', 'ovpn1', 'fd00:4242:4242:4242::3'],
    ['OpenVPN client to server, IPv4', 'ovpn2', '10.10.10.1'],
    ['OpenVPN client to server, IPv6', 'ovpn2', 'fd00:4242:4242:4242::1'],
    ['WireGuard client to client, IPv4', 'wg1', '10.10.20.3'],
    ['WireGuard client to client, IPv6', 'wg1', 'fd00:4242:4242:2020::3'],
    ['WireGuard client to server, IPv4', 'wg2', '10.10.20.1'],
    ['WireGuard client to server, IPv6', 'wg2', 'fd00:4242:4242:2020::1'],
    ['OpenVPN client to WireGuard client, IPv4', 'ovpn1', '10.10.20.2'],
    ['OpenVPN client to WireGuard client, IPv6', 'ovpn1', 'fd00:4242:4242:2020::2'],
  ];
  const answers = await Promise.all(pairs.map(async ([name, from, to]) => [name, await lab.ping(from, to)] as const));
  return Object.fromEntries(answers);
}

export function all(neighbourhood: Record<string, boolean>, answer: boolean): Record<string, boolean> {
  return Object.fromEntries(Object.keys(neighbourhood).map((name) => [name, answer]));
}

/** The server of the README, with the gateways of its main table, and the changes that docs/review.md shows. */
import { TerraformStack, Testing } from 'cdktf';
// The folder alone would load what jsii has compiled, beside the sources.
import type { VpnEgressProps } from '../lib/index';
import { LinuxHost, PolicyRule, SourceRoutingTable, VpnEgress } from '../lib/index';

interface Server extends Pick<VpnEgressProps, 'clients' | 'gateways'> {
  /** Whose packets leave by the main default route. */
  readonly exception?: string;
  readonly owner?: string;
}

const [POOL4, POOL6] = ['10.10.10.0/24', 'fd00:4242:4242:4242::/64'];
const MORE = '10.10.11.0/24';
const GATEWAYS = ['192.168.1.1', 'fd00:1010:1010:1010::1'];

export const SERVERS = {
  before: { clients: [POOL4, POOL6], gateways: GATEWAYS },
  pool: { clients: [POOL4, POOL6, MORE], gateways: GATEWAYS },
  gateway: { clients: [POOL4, POOL6], gateways: ['192.168.1.2', GATEWAYS[1]] },
  owner: { clients: [POOL4, POOL6], gateways: GATEWAYS, owner: 'frankfurt' },
  typo: { clients: [POOL4, POOL6], gateways: GATEWAYS, exception: '10.10.10.128/25' },
} satisfies Record<string, Server>;

export function server({ exception, owner, ...egress }: Server): { stack: TerraformStack; host: LinuxHost } {
  const stack = new TerraformStack(Testing.app(), 'vpn');
  const host = new LinuxHost(stack, 'vpn1', {
    owner,
    ssh: { host: '192.168.178.2', privateKeyFile: '~/.ssh/id_ed25519' },
    interfaces: [
      { name: 'eth0', addresses: ['192.168.178.2/24', 'fd00:178::2/64'], gateways: ['192.168.178.1', 'fd00:178::1'] },
      { name: 'eth1', addresses: ['192.168.1.100/24', 'fd00:1010:1010:1010::100/64'] },
      { name: 'tun0', addresses: ['10.10.10.1/24', 'fd00:4242:4242:4242::1/64'] },
      ...(egress.clients.includes(MORE) ? [{ name: 'tun1', addresses: ['10.10.11.1/24'] }] : []),
    ],
  });
  new VpnEgress(stack, 'egress', { host, device: 'eth1', tableId: 200, tableName: 'vpn', ...egress });
  if (exception !== undefined) {
    new PolicyRule(stack, 'exception', { table: SourceRoutingTable.main(host), source: exception, priority: 10000 });
  }
  return { stack, host };
}

/** The pictures in docs/images: `npm run docs` draws them. */
import { App, TerraformStack } from 'cdktf';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LinuxHost, VpnEgress } from '../lib';
import type { Host } from '../lib/model/host';
import { drawing } from '../lib/report/report';

export const IMAGES = join(__dirname, '..', 'docs', 'images');

const POOLS = ['10.10.10.0/24', 'fd00:4242:4242:4242::/64'];
const GATEWAYS = ['192.168.1.1', 'fd00:1010:1010:1010::1'];

/** Each file by its name: the README's server, and what becomes of it by three changes. */
export function pictures(): Map<string, string> {
  return new Map([
    ['vpn-egress.svg', draw(POOLS, GATEWAYS)],
    ['review-add-pool.svg', draw([...POOLS, '10.10.11.0/24'], GATEWAYS)],
    ['review-swap-gateway.svg', draw(POOLS, ['192.168.1.2', GATEWAYS[1]])],
    ['review-typo.svg', draw(['10.10.10.0/25', POOLS[1]], GATEWAYS)],
  ]);
}

function draw(clients: string[], gateways: string[]): string {
  const host = new LinuxHost(new TerraformStack(new App(), 'vpn-egress'), 'vpn1', {
    ssh: { host: '192.168.178.2' },
    interfaces: [
      { name: 'eth0', addresses: ['192.168.178.2/24', 'fd00:178::2/64'], gateways: ['192.168.178.1', 'fd00:178::1'] },
      { name: 'eth1', addresses: ['192.168.1.100/24', 'fd00:1010:1010:1010::100/64'] },
      { name: 'tun0', addresses: ['10.10.10.1/24', 'fd00:4242:4242:4242::1/64'] },
      ...(clients.includes('10.10.11.0/24') ? [{ name: 'tun1', addresses: ['10.10.11.1/24'] }] : []),
    ],
  });
  new VpnEgress(host.node.scope ?? host, 'egress', {
    host,
    device: 'eth1',
    tableId: 200,
    tableName: 'vpn',
    clients,
    gateways,
  });
  return drawing((host as unknown as { model(): Host }).model());
}

if (require.main === module) {
  mkdirSync(IMAGES, { recursive: true });
  pictures().forEach((picture, name) => writeFileSync(join(IMAGES, name), picture));
}

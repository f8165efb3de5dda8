/**
 * The same with one construct, the NAT router's routes back included, for an OpenVPN and a
 * WireGuard server on one machine.
 */
import { App, TerraformStack } from 'cdktf';
import { LinuxHost, LocalTraffic, VpnEgress } from 'cdktf-source-routing';
import type { Construct } from 'constructs';

class Egress extends TerraformStack {
  public constructor(scope: Construct, id: string) {
    super(scope, id);
    const privateKeyFile = process.env.VPN_SSH_KEY_FILE ?? '~/.ssh/id_ed25519';

    const server = new LinuxHost(this, 'vpn', {
      owner: 'egress',
      ssh: { host: '192.168.178.2', privateKeyFile, hostKey: process.env.VPN_SSH_HOST_KEY },
      interfaces: [
        { name: 'eth0', addresses: ['192.168.178.2/24'] },
        { name: 'eth1', addresses: ['192.168.1.100/24', 'fd00:1010:1010:1010::100/64'] },
        { name: 'tun0', addresses: ['10.10.10.1/24', 'fd00:4242:4242:4242::1/64'] },
        { name: 'wg0', addresses: ['10.10.20.1/24', 'fd00:4242:4242:2020::1/64'] },
      ],
    });
    const natRouter = new LinuxHost(this, 'nat', {
      owner: 'egress',
      ssh: { host: '192.168.178.3', privateKeyFile, hostKey: process.env.NAT_SSH_HOST_KEY },
    });

    new VpnEgress(this, 'egress', {
      host: server,
      natRouter,
      device: 'eth1',
      tableId: 200,
      tableName: 'vpn',
      clients: ['10.10.10.0/24', 'fd00:4242:4242:4242::/64', '10.10.20.0/24', 'fd00:4242:4242:2020::/64'],
      gateways: ['192.168.1.1', 'fd00:1010:1010:1010::1'],
      localTraffic: LocalTraffic.mainTable(),
    });
  }
}

const app = new App();
new Egress(app, 'vpn-egress');
app.synth();

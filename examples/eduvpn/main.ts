/**
 * A node of eduVPN 3 with two profiles: staff leave through one NAT router, guests through another. The values of the
 * profiles are those of vpn-user-portal's config.php.
 */
import { App, TerraformStack } from 'cdktf';
import { EduVpnNode, Forwarding, LinuxHost, VpnEgress } from 'cdktf-source-routing';
import type { Construct } from 'constructs';

class EduVpn extends TerraformStack {
  public constructor(scope: Construct, id: string) {
    super(scope, id);
    const node = new EduVpnNode([
      {
        profileId: 'staff',
        oRangeFour: '10.10.10.0/24',
        oRangeSix: 'fd00:4242:4242:1010::/64',
        wRangeFour: '10.10.11.0/24',
        wRangeSix: 'fd00:4242:4242:1011::/64',
      },
      { profileId: 'guests', wRangeFour: '10.10.20.0/24', wRangeSix: 'fd00:4242:4242:2020::/64' },
    ]);
    const host = new LinuxHost(this, 'vpn', {
      ssh: {
        host: '192.168.178.2',
        privateKeyFile: process.env.VPN_SSH_KEY_FILE ?? '~/.ssh/id_ed25519',
        hostKey: process.env.VPN_SSH_HOST_KEY,
      },
      interfaces: [
        { name: 'eth0', addresses: ['192.168.178.2/24', 'fd00:178::2/64'] },
        { name: 'eth1', addresses: ['192.168.1.100/24', 'fd00:1010:1010:1010::100/64'] },
        { name: 'eth2', addresses: ['192.168.2.100/24', 'fd00:1010:1010:2020::100/64'] },
        ...node.interfaces,
      ],
    });
    // The ruleset of eduVPN accepts packets of clients that leave by the uplink only.
    const forwarding = Forwarding.nftables({ chains: ['inet filter forward'] });
    new VpnEgress(this, 'staff', {
      host,
      forwarding,
      device: 'eth1',
      tableId: 201,
      clients: node.clients('staff'),
      gateways: ['192.168.1.1', 'fd00:1010:1010:1010::1'],
    });
    new VpnEgress(this, 'guests', {
      host,
      forwarding,
      device: 'eth2',
      tableId: 202,
      clients: node.clients('guests'),
      gateways: ['192.168.2.1', 'fd00:1010:1010:2020::1'],
    });
  }
}

const app = new App();
new EduVpn(app, 'eduvpn');
app.synth();

/**
 * The how-to, step by step: a table, its routes, its rules, and an up hook. The clients of an
 * OpenVPN server leave through a NAT router at 192.168.1.1, not through the server's default
 * gateway.
 */
import { App, TerraformStack } from 'cdktf';
import { LinuxHost, PolicyRule, SourceRoutingTable, VpnDaemon, VpnUpHook } from 'cdktf-source-routing';
import type { Construct } from 'constructs';

class HowTo extends TerraformStack {
  public constructor(scope: Construct, id: string) {
    super(scope, id);

    const server = new LinuxHost(this, 'vpn', {
      owner: 'how-to',
      ssh: {
        host: '192.168.178.2',
        user: process.env.VPN_SSH_USER ?? 'root',
        privateKeyFile: process.env.VPN_SSH_KEY_FILE ?? '~/.ssh/id_ed25519',
        // ssh-keyscan -t ecdsa 192.168.178.2 | cut -d ' ' -f 2-
        hostKey: process.env.VPN_SSH_HOST_KEY,
      },
      interfaces: [
        { name: 'eth0', addresses: ['192.168.178.2/24'] },
        { name: 'eth1', addresses: ['192.168.1.100/24', 'fd00:1010:1010:1010::100/64'] },
        { name: 'tun0', addresses: ['10.10.10.1/24', 'fd00:4242:4242:4242::1/64'] },
      ],
    });

    // 200 vpn
    const table = new SourceRoutingTable(this, 'table', { host: server, tableId: 200, tableName: 'vpn' });

    // ip route add default via ... table vpn
    table.addRoute('v4', { destination: 'default', via: '192.168.1.1', device: 'eth1' });
    table.addRoute('v6', { destination: 'default', via: 'fd00:1010:1010:1010::1', device: 'eth1' });

    // ip rule add from ... lookup vpn
    const priority = Number(process.env.VPN_RULE_PRIORITY ?? 10010);
    new PolicyRule(this, 'clients4', { table, source: '10.10.10.0/24', priority });
    new PolicyRule(this, 'clients6', { table, source: 'fd00:4242:4242:4242::/64', priority });

    // /etc/openvpn/up: clients reach each other, and the server's address in the tunnel
    new VpnUpHook(this, 'up', { table, daemon: VpnDaemon.openVpn() });
  }
}

const app = new App();
new HowTo(app, 'how-to');
app.synth();

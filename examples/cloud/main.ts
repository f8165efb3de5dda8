/**
 * A VPN server that is a cloud instance. Its address stays when it is replaced, and then the new one is
 * configured, too. The cloud's own router gets the routes back to the clients.
 */
import { ComputeFloatingipAssociateV2 } from '@cdktf/provider-opentelekomcloud/lib/compute-floatingip-associate-v2';
import { ComputeInstanceV2 } from '@cdktf/provider-opentelekomcloud/lib/compute-instance-v2';
import { NetworkingFloatingipV2 } from '@cdktf/provider-opentelekomcloud/lib/networking-floatingip-v2';
import { NetworkingPortV2 } from '@cdktf/provider-opentelekomcloud/lib/networking-port-v2';
import { NetworkingRouterRouteV2 } from '@cdktf/provider-opentelekomcloud/lib/networking-router-route-v2';
import { OpentelekomcloudProvider } from '@cdktf/provider-opentelekomcloud/lib/provider';
import { App, TerraformStack, TerraformVariable } from 'cdktf';
import { CloudInit, LinuxHost, VpnEgress } from 'cdktf-source-routing';
import type { Construct } from 'constructs';

class Cloud extends TerraformStack {
  public constructor(scope: Construct, id: string) {
    super(scope, id);
    new OpentelekomcloudProvider(this, 'cloud', { cloud: 'vpn' });
    const given = (name: string): string => new TerraformVariable(this, name, { type: 'string' }).stringValue;

    // The network that leads to the NAT gateway.
    const egressPort = new NetworkingPortV2(this, 'egress-port', {
      networkId: given('egress_network_id'),
      fixedIp: { subnetId: given('egress_subnet_id'), ipAddress: '192.168.1.100' },
      // The clients' addresses are not the port's own.
      allowedAddressPairs: [{ ipAddress: '10.10.10.0/24' }],
    });
    const instance = new ComputeInstanceV2(this, 'server', {
      name: 'vpn1',
      imageName: 'Standard_Debian_12_latest',
      flavorName: 's3.medium.1',
      keyPair: 'admin',
      network: [{ uuid: given('management_network_id') }, { port: egressPort.id }],
    });

    const floatingIp = new NetworkingFloatingipV2(this, 'address');
    const association = new ComputeFloatingipAssociateV2(this, 'association', {
      floatingIp: floatingIp.address,
      instanceId: instance.id,
    });

    const server = new LinuxHost(this, 'vpn', {
      owner: 'cloud',
      ssh: {
        host: floatingIp.address,
        user: 'debian',
        privateKeyFile: '~/.ssh/id_ed25519',
        hostKey: given('host_key'),
      },
      // The address tells nothing of which instance is behind it.
      replaceTriggeredBy: [instance.id],
      // No way in without it: it goes after the clean-up.
      dependsOn: [association],
      interfaces: [
        { name: 'eth1', addresses: ['192.168.1.100/24'] },
        // No IPv6 in the tunnel, so none has to be routed.
        { name: 'tun0', addresses: ['10.10.10.1/24'] },
      ],
    });
    const egress = new VpnEgress(this, 'egress', {
      host: server,
      device: 'eth1',
      tableId: 200,
      clients: ['10.10.10.0/24'],
      gateways: [given('nat_gateway')],
    });
    // It routes its clients from the first boot. Later changes come over SSH, without a new instance.
    instance.userData = CloudInit.of(server).userData;
    instance.lifecycle = { ignoreChanges: ['user_data'] };

    const routerId = given('router_id');
    egress.returnRoutes().forEach(({ destination, via }, index) => {
      new NetworkingRouterRouteV2(this, `return-${index + 1}`, {
        routerId,
        destinationCidr: destination,
        nextHop: via,
      });
    });
  }
}

const app = new App();
new Cloud(app, 'cloud');
app.synth();

/**
 * An app with so many hosts: `declared`, or `distinct`, each with an address of its own; or `bare`: as many resources,
 * with three provisioners that run `true`.
 */
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const { App, TerraformResource, TerraformStack } = require('cdktf');
const [what, number, outdir, gateway = '192.168.1.1'] = process.argv.slice(2);

/** `terraform_data` without what a library would add. */
class Data extends TerraformResource {
  constructor(scope, id, hosts) {
    super(scope, id, {
      terraformResourceType: 'terraform_data',
      terraformGeneratorMetadata: { providerName: 'terraform' },
      connection: { type: 'ssh', host: hosts },
      provisioners: ['upload', 'apply', 'confirm'].map(() => ({ type: 'remote-exec', inline: ['true'] })),
    });
  }
  synthesizeAttributes() {
    return { triggers_replace: { generation: '1' } };
  }
}

function declare(stack, index) {
  const { LinuxHost, VpnEgress } = require('../lib/index.js');
  const address = what === 'distinct' ? `172.16.${index >> 8}.${index & 255}/12` : '172.16.0.2/12';
  const host = new LinuxHost(stack, `vpn${index}`, {
    ssh: { host: `vpn${index}.example.org`, privateKeyFile: '~/.ssh/id_ed25519' },
    interfaces: [
      { name: 'eth0', addresses: [address], gateways: ['172.16.0.1'] },
      { name: 'eth1', addresses: ['192.168.1.100/24', 'fd00:1010::100/64'] },
      { name: 'tun0', addresses: ['10.10.10.1/24', 'fd00:4242::1/64'] },
    ],
  });
  new VpnEgress(stack, `egress${index}`, {
    host,
    device: 'eth1',
    tableId: 200,
    clients: ['10.10.10.0/24', 'fd00:4242::/64'],
    gateways: [gateway, 'fd00:1010::1'],
  });
}

const app = new App({ outdir, context: { cdktfJsonPath: '' } });
const stack = new TerraformStack(app, 'fleet');
for (let index = 1; index <= Number(number); index++) {
  if (what !== 'bare') {
    declare(stack, index);
  } else {
    new Data(stack, `anchor${index}`, `vpn${index}.example.org`);
    new Data(stack, `apply${index}`, `vpn${index}.example.org`);
  }
}
app.synth();
const { user, system } = process.cpuUsage();
console.log(JSON.stringify({ cpuMs: (user + system) / 1000, peakMb: process.resourceUsage().maxRSS / 1024 }));

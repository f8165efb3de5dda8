/**
 * Applies two pools to a healthy machine, and tries packets of their clients, again and again, as root. A run that says
 * that one is stopped is a false alarm. Prints what the probe adds to an apply. `npm run soak:probe -- --rounds 200`.
 */
import { parseArgs } from 'node:util';
import { TerraformStack, Testing } from 'cdktf';
import { LinuxHost } from '../../lib/linux-host';
import { VpnEgress } from '../../lib/vpn-egress';
import type { Outcome } from '../agent/machine';
import { Machine, lines } from '../agent/machine';
import { bundleOf } from '../fixtures';

const OWNER = 'stack-vpn';
const POOLS = [
  { name: 'tun0', addresses: ['10.10.10.1/24', 'fd00:4242:1::1/64'], clients: ['10.10.10.0/24', 'fd00:4242:1::/64'] },
  { name: 'tun1', addresses: ['10.10.20.1/24', 'fd00:4242:2::1/64'], clients: ['10.10.20.0/24', 'fd00:4242:2::/64'] },
];

function declared(): string[] {
  const stack = new TerraformStack(Testing.app(), 'stack');
  const host = new LinuxHost(stack, 'vpn', {
    ssh: { host: '192.168.178.2', privateKeyFile: '~/.ssh/id', hostKey: 'ecdsa-sha2-nistp256 AAAA' },
    interfaces: [
      { name: 'eth0', addresses: ['192.168.178.2/24'], gateways: ['192.168.178.1'] },
      { name: 'eth1', addresses: ['192.168.1.100/24', 'fd00:1010::100/64'] },
      ...POOLS.map(({ name, addresses }) => ({ name, addresses })),
    ],
  });
  const gateways = ['192.168.1.1', 'fd00:1010::1'];
  new VpnEgress(stack, 'egress', {
    ...{ host, device: 'eth1', tableId: 200, gateways },
    clients: POOLS.flatMap(({ clients }) => clients),
  });
  return bundleOf(stack).filter((line) => !/^(bundle|owner|sum) /.test(line));
}

function tunnels(): string {
  return POOLS.map(
    ({ name, addresses: [four, six] }) => `ip link add ${name} type bridge; ip link set ${name} up
      ip addr add ${four} dev ${name}; ip -6 addr add ${six} dev ${name} nodad
      until ip -6 route show table local | grep -q ${six.split('/')[0]}; do sleep 0.01; done`,
  ).join('\n');
}

/** As most routers have it: replies pass because conntrack knows them. */
const FIREWALL = `nft -f - <<'END'
table inet fw {
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state invalid drop
    ct state established,related accept
    iifname { "tun0", "tun1" } accept
  }
}
END`;

/** Complaints of a run about a healthy machine. */
function alarms({ code, out }: Outcome): string[] {
  const said = lines(out).filter((line) => /^source-routing: ([-!] |note: (packets of|no) client)/.test(line));
  return code === 0 ? said : [...said, `exit status ${code}: ${out}`];
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? NaN;
}

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '200' } } });
const rounds = Number(values.rounds);
if (!(rounds > 1)) {
  throw new Error(`--rounds "${values.rounds}": a number above 1 is wanted.`);
}

const data = declared();
const machine = new Machine();
const found: string[] = [];
const milliseconds: Record<string, number[]> = { probed: [], plain: [] };
try {
  machine.must(`${tunnels()}\n${FIREWALL}`);
  machine.fakeSystemd();
  const apply = (kind: string, text: readonly string[], round: number): void => {
    const started = performance.now();
    const done = machine.apply(text, { owner: OWNER, generation: `${kind}${round}` });
    milliseconds[kind].push(performance.now() - started);
    found.push(...alarms(done));
  };
  const plain = data.filter((line) => !line.startsWith('probe '));
  for (let round = 0; round < rounds; round++) {
    apply('plain', plain, round);
    apply('probed', data, round);
    found.push(...alarms(machine.agent('probe', OWNER)));
  }
} finally {
  machine.close();
}
// The first round makes what the others find in place.
const [probed, plain] = [milliseconds.probed, milliseconds.plain].map((all) => median(all.slice(1)));
const added = median(milliseconds.probed.map((each, round) => each - milliseconds.plain[round]).slice(1));
console.log(
  `${rounds} applies and ${rounds} probes of two pools: ${found.length} false alarms; medians: an apply ${probed.toFixed(0)} ms, ` +
    `without the probe ${plain.toFixed(0)} ms, so the probe adds ${added.toFixed(0)} ms`,
);
found.slice(0, 20).forEach((line) => console.log(line));
process.exitCode = found.length === 0 ? 0 : 1;

import { spawnSync } from 'child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'fs';
import { tmpdir } from 'os';
import { join } from 'path';
import { TerraformStack, Testing } from 'cdktf';
import { killSwitchFiles } from '../lib/delivery/kill-switch';
import { LinuxHost } from '../lib/linux-host';
import { KERNEL_PROTOCOL, guards } from '../lib/model/guard';
import type { Host } from '../lib/model/host';
import { allRoutes } from '../lib/model/host';
import { parseHostFile } from '../lib/model/host-file';
import { ROUTING_PROTOCOL } from '../lib/model/protocol';
import { routeMetric, routeWords } from '../lib/model/route';
import type { Rule, Word } from '../lib/model/rule';
import { ruleWords } from '../lib/model/rule';
import { VpnEgress } from '../lib/vpn-egress';
import { median } from './median';

const POOLS = [1, 10, 100];
/** Many short rounds, in each all of them in turn: the machine has other things to do, too. */
const ROUNDS = 9;
/** Of CPU time in /proc, for each second (`getconf CLK_TCK`). */
const TICKS = 100;

/**
 * How many packets of clients OpenVPN delivers in a second of its CPU time with what is declared, against the bare rules
 * of a how-to: one `from POOL lookup vpn` for each pool. Small packets of clients of all pools: the kernel forwards each
 * in the time of the daemon that hands it over.
 */
export function benchForwarding(): void {
  const missing = ['openvpn', 'nft', 'perl'].filter(
    (tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0,
  );
  if (missing.length > 0 || process.getuid?.() !== 0) {
    console.log(`forwarding: needs root, and openvpn, nft and perl (packages openvpn, nftables, perl)`);
    return;
  }
  console.log(`forwarding of small packets from clients of OpenVPN, medians of ${ROUNDS} rounds`);
  for (const layout of ['adjacent', 'apart'] as const) {
    for (const pools of POOLS) {
      bench(poolsOf(pools, layout), layout);
    }
  }
}

/** With gaps between them, no two pools are one prefix. */
function poolsOf(count: number, layout: 'adjacent' | 'apart'): string[] {
  return Array.from({ length: count }, (_, i) => `10.64.${layout === 'apart' ? 2 * i + 1 : i}.0/24`);
}

function bench(pools: readonly string[], layout: string): void {
  const directory = mkdtempSync(join(tmpdir(), 'bench-forwarding-'));
  try {
    const host = declared(pools);
    const files = killSwitchFiles(host).files.filter(({ path }) => path.endsWith('.nft'));
    writeFileSync(join(directory, 'kill-switch'), files.map(({ lines }) => text(lines as string[][])).join('\n'));
    writeFileSync(join(directory, 'declared'), [...ruleLines(host), ''].join('\n'));
    writeFileSync(join(directory, 'bare'), [...pools.map((pool) => `rule add from ${pool} lookup 200`), ''].join('\n'));
    writeFileSync(join(directory, 'routes'), [...routeLines(host), ''].join('\n'));
    writeFileSync(join(directory, 'send.pl'), SEND);
    writeFileSync(join(directory, 'run.sh'), script(directory, pools));
    const { status, stderr } = spawnSync('unshare', ['--net', '--mount', 'sh', join(directory, 'run.sh')], {
      encoding: 'utf8',
    });
    if (status !== 0) {
      throw new Error(`run.sh: ${stderr}`);
    }
    print(pools.length, layout, readFileSync(join(directory, 'counts'), 'utf8'));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function declared(pools: readonly string[]): Host {
  const stack = new TerraformStack(Testing.app(), 'stack');
  const host = new LinuxHost(stack, 'vpn', {
    ssh: { host: '192.168.178.2', privateKeyFile: '~/.ssh/id', hostKey: 'ecdsa-sha2-nistp256 AAAA' },
    interfaces: [
      { name: 'eth0', addresses: ['192.168.178.2/24'], gateways: ['192.168.178.1'] },
      { name: 'eth1', addresses: ['192.168.1.100/24'] },
      { name: 'tun0', addresses: pools.map((pool) => pool.replace('.0/24', '.1/24')) },
    ],
  });
  const clients = [...pools];
  new VpnEgress(stack, 'egress', { host, device: 'eth1', tableId: 200, clients, gateways: ['192.168.1.1'] });
  const directory = join(Testing.fullSynth(stack), 'stacks/stack/source-routing');
  const [file] = readdirSync(directory).filter((name) => name.endsWith('.json'));
  return parseHostFile(readFileSync(join(directory, file), 'utf8'), file);
}

function ruleLines(host: Host): string[] {
  const line = (rule: Rule, protocol: number): string =>
    `rule add pref ${rule.priority} ${text([ruleWords(rule)], ' ')} proto ${protocol}`;
  const ofFamily = (rules: readonly Rule[]): Rule[] => rules.filter(({ family }) => family === 4);
  return [
    ...ofFamily(guards(host)).map((guard) => line(guard, KERNEL_PROTOCOL)),
    ...ofFamily(host.rules).map((rule) => line(rule, ROUTING_PROTOCOL)),
  ];
}

function routeLines(host: Host): string[] {
  return allRoutes(host).map((route) => {
    const [type, kind, ...words] = routeWords(route);
    const all = type === 'type' ? [kind, route.destination, ...words] : [route.destination, ...routeWords(route)];
    return `route add ${text([all], ' ')} table 200 metric ${routeMetric(route)}`;
  });
}

function text(lines: ReadonlyArray<readonly Word[]>, between = ''): string {
  return lines
    .map((words) => words.map((word) => (typeof word === 'string' ? word : word.text)).join(between))
    .join('\n');
}

/** Sends for a second, from each client in turn. */
const SEND = `use strict;
use Socket;
use Time::HiRes qw(time);
my @sockets = map {
  socket(my $socket, PF_INET, SOCK_DGRAM, 17) or die $!;
  bind($socket, sockaddr_in(0, inet_aton($_))) or die $!;
  connect($socket, sockaddr_in(9, inet_aton('198.51.100.7'))) or die $!;
  $socket
} @ARGV;
my $payload = "\\0" x 18;
my $sent = 0;
my $end = time + 1;
while (time < $end) { send($sockets[$sent++ % @sockets], $payload, 0) for 1 .. 100 }
`;

function script(directory: string, pools: readonly string[]): string {
  const networks = pools.map((pool) => pool.replace('.0/24', ''));
  return `set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs /run
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
# The client, and whatever is behind the uplinks, are at the other end of a cable.
for link in eth0 eth1; do
  ip netns add far-$link
  ip link add $link address 02:00:00:00:00:01 type veth peer name far netns far-$link
  ip link set $link up
  ip -n far-$link link set lo up
  ip -n far-$link link set far address 02:00:00:00:00:02 up
  ip netns exec far-$link sh -c 'echo 0 >/proc/sys/net/ipv4/ip_forward'
done
ip addr add 192.168.178.2/24 dev eth0
ip -n far-eth0 addr add 192.168.178.1/24 dev far
ip addr add 192.168.1.100/24 dev eth1
ip neigh add 192.168.1.1 lladdr 02:00:00:00:00:02 dev eth1
ip route add default via 192.168.178.1
openvpn --genkey secret /run/key
vpn="--secret /run/key --cipher AES-256-CBC --dev-type tun --verb 0 --daemon"
openvpn $vpn --dev tun0 --remote 192.168.178.1 --writepid /run/server
ip netns exec far-eth0 openvpn $vpn --dev tun0 --remote 192.168.178.2 --writepid /run/client
trap 'kill $(cat /run/server /run/client)' EXIT
until ip -n far-eth0 link set tun0 up 2>/dev/null && ip link set tun0 up 2>/dev/null; do sleep 0.1; done
ip -n far-eth0 route add default dev tun0
for network in ${networks.join(' ')}; do
  ip addr add $network.1/24 dev tun0
  ip -n far-eth0 addr add $network.2/32 dev lo
done
for file in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >$file; done
ip -batch ${directory}/routes
as_bare() { ip -batch ${directory}/bare; }
as_declared() { ip -batch ${directory}/declared; }
as_guarded() { as_declared; nft -f ${directory}/kill-switch; }
restore() { ip rule flush; ip rule add pref 32766 lookup main; nft flush ruleset; }
delivered() { sed -n 's/^ *eth1: *//p' /proc/net/dev | awk '{ print $10 }'; }
ticks() { awk '{ print $14 + $15 }' "/proc/$(cat /run/server)/stat"; }
for round in $(seq ${ROUNDS}); do
  for what in bare declared guarded; do
    as_$what
    before="$(delivered) $(ticks)"
    ip netns exec far-eth0 perl ${directory}/send.pl ${networks.map((network) => `${network}.2`).join(' ')}
    echo "$what $before $(delivered) $(ticks)" >>${directory}/counts
    restore
  done
done
`;
}

function print(pools: number, layout: string, counts: string): void {
  const rates: Record<string, number[]> = {};
  for (const line of counts.trim().split('\n')) {
    const [what, ...numbers] = line.split(' ');
    const [packets, ticks, packetsThen, ticksThen] = numbers.map(Number);
    (rates[what] ??= []).push(((packetsThen - packets) * TICKS) / (ticksThen - ticks));
  }
  // Of each round, as what else the machine does slows all of a round down.
  const ratio = (what: string): string => median(rates[what].map((rate, round) => rate / rates.bare[round])).toFixed(2);
  console.log(
    `  ${String(pools).padStart(3)} pools, ${layout.padEnd(8)}: bare rules ${Math.round(median(rates.bare) / 1000)}k a second; ` +
      `rules and guards alone ${ratio('declared')} x, with the kill switch ${ratio('guarded')} x`,
  );
}

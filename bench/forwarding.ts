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

const POOLS = [1, 10, 100];
/** Many short rounds, in each all of them in turn: the machine has other things to do, too. */
const ROUNDS = 7;
const PACKETS = 200_000;

/**
 * How many packets a second a server forwards with what is declared, against the bare rules of a how-to: one
 * `from POOL lookup vpn` for each pool. Small packets of clients of all pools, as many as one core can send.
 */
export function benchForwarding(): void {
  const missing = ['trafgen', 'nft'].filter((tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0);
  if (missing.length > 0 || process.getuid?.() !== 0) {
    console.log(`forwarding: needs root, trafgen (package netsniff-ng) and nft (package nftables)`);
    return;
  }
  console.log(`forwarding, small packets for each second of CPU time; medians of ${ROUNDS} rounds`);
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
    const clients = pools.map((pool) => pool.replace('.0/24', '.2'));
    writeFileSync(
      join(directory, 'out'),
      packets(clients, () => '198.51.100.7'),
    );
    writeFileSync(
      join(directory, 'back'),
      packets(clients, () => '198.51.100.7', true),
    );
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

/** For trafgen: a small UDP packet for each client, one after the other. */
function packets(clients: readonly string[], peer: () => string, back = false): string {
  return clients
    .map((client) => {
      const [saddr, daddr] = back ? [peer(), client] : [client, peer()];
      return `{ eth(da=02:00:00:00:00:01, sa=02:00:00:00:00:02), ipv4(saddr=${saddr}, daddr=${daddr}, ttl=64), udp(sp=1234, dp=9), fill(0, 18) }`;
    })
    .join('\n');
}

function script(directory: string, pools: readonly string[]): string {
  return `set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs /run
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
for file in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >$file; done
# Whatever leaves ends at the other end of a cable.
for link in eth0 eth1 tun0; do
  ip netns add far-$link
  ip link add $link address 02:00:00:00:00:01 type veth peer name far netns far-$link
  ip link set $link up
  ip -n far-$link link set far address 02:00:00:00:00:02 up
  ip netns exec far-$link sh -c 'echo 0 >/proc/sys/net/ipv4/ip_forward'
done
ip addr add 192.168.178.2/24 dev eth0
ip addr add 192.168.1.100/24 dev eth1
ip neigh add 192.168.178.1 lladdr 02:00:00:00:00:02 dev eth0
ip neigh add 192.168.1.1 lladdr 02:00:00:00:00:02 dev eth1
ip route add default via 192.168.178.1
for pool in ${pools.map((pool) => pool.replace('.0/24', '')).join(' ')}; do
  ip addr add $pool.1/24 dev tun0
  ip neigh add $pool.2 lladdr 02:00:00:00:00:02 dev tun0
done
ip -batch ${directory}/routes
as_bare() { ip -batch ${directory}/bare; }
as_declared() { ip -batch ${directory}/declared; }
as_guarded() { as_declared; nft -f ${directory}/kill-switch; }
restore() { ip rule flush; ip rule add pref 32766 lookup main; nft flush ruleset; }
sent() { sed -n "s/^ *$1: *//p" /proc/net/dev | awk '{ print $10 }'; }
# count WHAT DIRECTION IN OUT
count() {
  before=$(sent "$4")
  # The kernel forwards a packet in the time of who sends it: what else the machine does takes none of that.
  time=$(ip netns exec "far-$3" bash -c 'TIMEFORMAT="%U %S"; time "$@" >/dev/null 2>&1' bash \
    timeout -s KILL 60 trafgen --dev far --conf "${directory}/$2" --cpus 1 --num ${PACKETS} 2>&1)
  echo "$1 $2 $(($(sent "$4") - before)) $time" >>${directory}/counts
}
for round in $(seq ${ROUNDS}); do
  for what in bare declared guarded; do
    as_$what
    count $what out tun0 eth1
    count $what back eth1 tun0
    restore
  done
done
`;
}

function print(pools: number, layout: string, counts: string): void {
  const rates = new Map<string, number[]>();
  for (const line of counts.trim().split('\n')) {
    const [what, direction, count, user, system] = line.split(' ');
    const key = `${what} ${direction}`;
    rates.set(key, [...(rates.get(key) ?? []), Number(count) / (Number(user) + Number(system))]);
  }
  const of = (key: string): number[] => rates.get(key) ?? [];
  // Of each round, as what else the machine does slows all of a round down.
  const ratios = (what: string, direction: string): number[] =>
    of(`${what} ${direction}`).map((rate, round) => rate / of(`bare ${direction}`)[round]);
  console.log(`  ${pools} pools, ${layout}: bare rules ${Math.round(median(of('bare out')) / 1000)}k from clients`);
  for (const [label, what] of [
    ['rules and guards alone', 'declared'],
    ['with the kill switch', 'guarded'],
  ]) {
    const [out, back] = ['out', 'back'].map((direction) => ratios(what, direction));
    const both = median(out.map((ratio, round) => 2 / (1 / ratio + 1 / back[round])));
    const text = (ratio: number): string => `${ratio.toFixed(2)} x`;
    console.log(
      `    ${label.padEnd(24)} ${text(both)} (from clients ${text(median(out))}, to clients ${text(median(back))})`,
    );
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? NaN;
}

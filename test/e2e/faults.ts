import type { Construct } from 'constructs';
import type { LinuxHostProps } from '../../lib';
import { LinuxHost, LocalTraffic, Persistence, VpnEgress } from '../../lib';
import type { Lab } from '../lab/lab';
import type { Machine } from '../lab/machine';
import { poll } from '../lab/process';
import type { Snapshot } from '../lab/snapshot';
import { tunnels } from '../lab/topology';
import type { Traffic } from '../lab/traffic';
import { GATEWAYS, POOLS } from './egress';
import { sshOf } from './terraform';

/** The shortest time that a host may wait for the confirmation, in seconds: tests wait for its end. */
export const CONFIRM_TIMEOUT = 10;

/** The VPN server leads its clients to the NAT router, and the NAT router, for the tests, back to the upstream. */
const WAYS = {
  vpn: { device: 'eth1', gateways: GATEWAYS },
  nat: { device: 'eth0', gateways: ['192.168.178.1', 'fd00:178::1'] },
};

/** A machine that leads clients somewhere. */
export type RoutingMachine = keyof typeof WAYS;

const WIREGUARD_POOLS = Object.values(tunnels.wireguard.pool);

export type Generation = 'old' | 'new';

/**
 * One of two generations that differ in all that a generation has: rules and routes, units, files
 * of the network scripts, the hook of a VPN daemon.
 */
export function declareGeneration(
  scope: Construct,
  lab: Lab,
  which: Generation,
  machine: RoutingMachine = 'vpn',
  props: Partial<LinuxHostProps> = {},
): void {
  const old = which === 'old';
  const host = new LinuxHost(scope, machine, {
    ssh: sshOf(lab, machine),
    owner: machine,
    confirmTimeoutSeconds: CONFIRM_TIMEOUT,
    persistence: old ? Persistence.service() : Persistence.networkScripts(),
    ...props,
  });
  new VpnEgress(scope, 'egress', {
    host,
    ...WAYS[machine],
    tableId: 200,
    // The hook of OpenVPN does nothing for the clients of WireGuard.
    clients: old ? POOLS : POOLS.filter((pool) => !WIREGUARD_POOLS.includes(pool)),
    localTraffic: old ? LocalTraffic.mainTable() : LocalTraffic.upHook(),
    priority: old ? undefined : 11010,
  });
}

/** Traffic of all clients that has found its way: whoever is to be told that a change lost nothing begins with nothing lost. */
export async function steadyTraffic(lab: Lab): Promise<Traffic> {
  const traffic = await lab.startTraffic(170);
  await poll('traffic of which nothing is lost', 20_000, async () => {
    const mark = await traffic.mark();
    await sleep(500);
    const flows = (await traffic.since(mark)).filter(({ client }) => lab.clients.includes(client));
    return flows.every(({ lost }) => lost === 0) ? true : undefined;
  });
  return traffic;
}

/** Applies both generations, to know what they are like; leaves the machine in the old one. */
export async function recordGenerations(
  machine: Machine,
  apply: (which: Generation) => Promise<unknown>,
): Promise<Record<Generation, Snapshot>> {
  await apply('new');
  await settled(machine);
  const changed = await machine.snapshotState();
  await apply('old');
  await settled(machine);
  return { old: await machine.snapshotState(), new: changed };
}

/**
 * Until nothing is under way on a machine any more: no run of the agent and no change on trial,
 * for two seconds in a row, since a run that was started a moment ago may not have begun.
 */
export async function settled(machine: Machine): Promise<void> {
  const look = `quiet=0
  for try in $(seq 200); do
    if [ -e /run/source-routing.lock ] || ls -d /var/lib/source-routing/*/trial >/dev/null 2>&1; then
      quiet=0
    else
      quiet=$((quiet + 1))
      [ "$quiet" -lt 8 ] || exit 0
    fi
    sleep 0.25
  done
  ls -l /var/lib/source-routing/* /run/source-routing.lock; exit 1`;
  await machine.exec(look, { timeoutMs: 70_000 });
}

/** A seed of its own for each run, printed; that of an earlier run with FAULT_SEED. */
export function seed(): number {
  const chosen = Number(process.env.FAULT_SEED ?? Date.now() % 1_000_000);
  process.stderr.write(`faults: FAULT_SEED=${chosen}\n`);
  return chosen;
}

export const sleep = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

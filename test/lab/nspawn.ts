import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { isAlive, kill, poll, type ProcessId, processStat, run } from './process';
import { controlGroupRoots, type RunDirectory } from './run-directory';
import type { NodeName } from './topology';

/** A root file system of its own for a node: the common image below, what it changes above. */
export async function mountRoot(directory: RunDirectory, node: NodeName, image: string): Promise<string> {
  const root = directory.path(node, 'root');
  const upper = directory.path(node, 'upper');
  const work = directory.path(node, 'work');
  for (const path of [root, upper, work]) mkdirSync(path, { recursive: true });
  await run(['mount', '-t', 'overlay', '-o', `lowerdir=${image},upperdir=${upper},workdir=${work}`, 'overlay', root]);
  return root;
}

/** Before the first boot: keep what the disk holds, for `mountNewDisk`. */
export async function keepNewDisk(directory: RunDirectory, node: NodeName): Promise<void> {
  const kept = directory.path(node, 'new');
  if (!existsSync(kept)) await run(['cp', '-a', directory.path(node, 'upper'), kept]);
}

/** In the place of the disk, while its machine is off: one that holds what this one did before the first boot. */
export async function mountNewDisk(directory: RunDirectory, node: NodeName, image: string): Promise<void> {
  await run(['umount', directory.path(node, 'root')]);
  await run(['rm', '-r', directory.path(node, 'upper'), directory.path(node, 'work')]);
  await run(['cp', '-a', directory.path(node, 'new'), directory.path(node, 'upper')]);
  await mountRoot(directory, node, image);
}

/** A running systemd-nspawn and the first process (PID 1) of the machine in it. */
export interface Container {
  readonly nspawn: ProcessId;
  readonly leader: ProcessId;
}

/**
 * Start a node's machine in its network namespace. It outlives this process: `RunDirectory` knows
 * it and ends it.
 */
export async function startContainer(
  directory: RunDirectory,
  node: NodeName,
  payload: readonly string[],
): Promise<Container> {
  const name = directory.name(node);
  // A control group for each machine. systemd-nspawn would put them all into one, where one
  // machine's systemd takes the processes of the other for its own.
  const groups = controlGroupRoots().map((root) => `${root}/${name}`);
  groups.forEach((group) => mkdirSync(group, { recursive: true }));
  const enterGroups = 'while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit 1; shift; done; shift; exec "$@"';
  const nspawn = [
    'systemd-nspawn',
    '--quiet',
    `--directory=${directory.path(node, 'root')}`,
    `--machine=${name}`,
    `--hostname=${node}`,
    `--network-namespace-path=/run/netns/${name}`,
    '--capability=all',
    '--bind=/dev/net/tun',
    '--register=no',
    '--keep-unit',
    '--resolv-conf=off',
    '--timezone=off',
    '--link-journal=no',
    ...payload,
  ];
  const log = openSync(logFile(directory, node), 'a');
  const child = spawn('sh', ['-c', enterGroups, 'sh', ...groups, '--', ...nspawn], {
    detached: true,
    stdio: ['ignore', log, log],
    // Without this, /proc/sys/net is read-only in the machine and ip_forward stays 0, silently.
    env: { ...process.env, SYSTEMD_NSPAWN_API_VFS_WRITABLE: 'network' },
  });
  closeSync(log);
  child.unref();
  if (child.pid === undefined) throw new Error('cannot start systemd-nspawn');
  const id = directory.record(node, child.pid);
  const leader = await poll(`starting ${node}`, 10_000, () => {
    if (!isAlive(id)) throw new Error(`${node} did not start:\n${readFileSync(logFile(directory, node), 'utf8')}`);
    return leaderOf(id);
  });
  return { nspawn: id, leader };
}

/** The console of a machine, of all its boots; of a client, what its VPN says. */
export const logFile = (directory: RunDirectory, node: NodeName): string => directory.path(node, 'log');

/** The running container of a node, also one that another process started. */
export function findContainer(directory: RunDirectory, node: NodeName): Container {
  const nspawn = directory.process(node);
  const leader = nspawn && isAlive(nspawn) ? leaderOf(nspawn) : undefined;
  if (!nspawn || !leader) throw new Error(`${node} is not running`);
  return { nspawn, leader };
}

/** The child of systemd-nspawn that is process 1 in a PID namespace of its own. */
function leaderOf(nspawn: ProcessId): ProcessId | undefined {
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry);
    const stat = Number.isInteger(pid) ? processStat(pid) : undefined;
    if (stat?.parent !== nspawn.pid) continue;
    try {
      if (/^NSpid:(\t\d+)+\t1$/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))) {
        return { pid, startTime: stat.startTime };
      }
    } catch {
      // Gone between the two looks.
    }
  }
  return undefined;
}

/**
 * End a machine at once and without a word to it. Killing systemd-nspawn does not do it: the
 * machine runs on without. Its PID 1 takes everything in it along, though a moment later: until
 * then its processes may see that systemd does not answer any more.
 */
export async function killContainer(container: Container): Promise<void> {
  kill(container.leader);
  await stopped(container);
}

/** Wait until a machine that was told to stop has stopped. */
export async function stopped(container: Container, timeoutMs = 10_000): Promise<void> {
  await poll('stopping a machine', timeoutMs, () =>
    isAlive(container.leader) || isAlive(container.nspawn) ? undefined : true,
  );
}

/** Arguments that run a command inside a container, with its files, processes and network. */
export const enter = (container: Container, argv: readonly string[], user = 'root'): string[] => [
  ...['nsenter', `--target=${container.leader.pid}`, '--mount', '--uts', '--ipc', '--net', '--pid'],
  ...['setpriv', `--reuid=${user}`, `--regid=${user}`, '--init-groups', '--reset-env', 'env', 'LC_ALL=C.UTF-8'],
  'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  ...argv,
];

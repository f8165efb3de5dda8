import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { commandExists } from './process';

/** A command and the package of Debian and Ubuntu that brings it. */
interface Requirement {
  readonly command: string;
  readonly packageName: string;
}

/** What the lab itself calls on the box; everything else is in the machines' root image. */
export const labRequirements: readonly Requirement[] = [
  { command: 'debootstrap', packageName: 'debootstrap' },
  { command: 'systemd-nspawn', packageName: 'systemd-container' },
  { command: 'ip', packageName: 'iproute2' },
  { command: 'nft', packageName: 'nftables' },
  { command: 'ssh', packageName: 'openssh-client' },
  { command: 'openssl', packageName: 'openssl' },
  { command: 'ping', packageName: 'iputils-ping' },
  { command: 'nsenter', packageName: 'util-linux' },
  { command: 'setsid', packageName: 'util-linux' },
  { command: 'flock', packageName: 'util-linux' },
  { command: 'mount', packageName: 'mount' },
];

/** What the agent's tests run: the shells and awks that it must work with, and the linter. */
export const agentTestRequirements: readonly Requirement[] = [
  { command: 'ip', packageName: 'iproute2' },
  { command: 'unshare', packageName: 'util-linux' },
  { command: 'dash', packageName: 'dash' },
  { command: 'busybox', packageName: 'busybox' },
  { command: 'gawk', packageName: 'gawk' },
  { command: 'mawk', packageName: 'mawk' },
  { command: 'original-awk', packageName: 'original-awk' },
  { command: 'shellcheck', packageName: 'shellcheck' },
];

/** What the tests of deployments call besides the lab. */
export const deploymentTestRequirements: readonly Requirement[] = [{ command: 'unzip', packageName: 'unzip' }];

/** What compiles the generated module. */
export const packageTestRequirements: readonly Requirement[] = [{ command: 'python3', packageName: 'python3' }];

/** What the recipes for pull requests call, and what `gh --jq` has built in. */
export const recipeTestRequirements: readonly Requirement[] = [
  { command: 'bash', packageName: 'bash' },
  { command: 'curl', packageName: 'curl' },
  { command: 'git', packageName: 'git' },
  { command: 'jq', packageName: 'jq' },
];

/** What draws the pictures: librsvg, which knows little of CSS, and a browser. */
export const pictureTestRequirements: readonly Requirement[] = [
  { command: 'rsvg-convert', packageName: 'librsvg2-bin' },
  { command: 'chromium', packageName: 'chromium' },
];

/**
 * Make the box able to run what needs these commands. Returns undefined when it is, else one line
 * that says why it is not. Installs what is missing; touches nothing when nothing is missing.
 *
 * Synchronous, because a test runner must know which tests there are before it runs any.
 */
export function ensureRequirements(
  requirements: readonly Requirement[] = labRequirements,
  progress: (line: string) => void = () => undefined,
): string | undefined {
  if (process.platform !== 'linux') return `needs Linux, this is ${process.platform}`;
  if (process.getuid?.() !== 0) return 'needs root (network namespaces, overlay mounts, booted machines)';
  const missing = (): Requirement[] => requirements.filter(({ command }) => !commandExists(command));
  const before = missing();
  if (before.length > 0) {
    const commands = before.map(({ command }) => command).join(', ');
    if (!boxRelease()) return `needs ${commands}; only on Debian and Ubuntu are they installed by themselves`;
    const packages = [...new Set(before.map(({ packageName }) => packageName))];
    progress(`installing ${packages.join(' ')}`);
    const failure = aptInstall(packages);
    const after = missing();
    if (after.length > 0) {
      return `needs ${after.map(({ command }) => command).join(', ')}; could not be installed: ${failure}`;
    }
  }
  return requirements === labRequirements ? labObstacle() : undefined;
}

/** Returns the last thing that apt said when it failed. */
function aptInstall(packages: readonly string[]): string {
  const script = `apt-get -qq update && apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@"`;
  // One of us at a time: test files run side by side.
  const { stderr } = spawnSync('flock', ['/run/lock', 'sh', '-c', script, 'sh', ...packages], {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    encoding: 'utf8',
  });
  return (stderr ?? '').trim().split('\n').slice(-1)[0] || 'apt-get says nothing';
}

/** What no package can mend. */
function labObstacle(): string | undefined {
  if (!boxRelease()) return 'needs Debian or Ubuntu: the machines are made from the packages of the box';
  if (!existsSync('/dev/net/tun')) return 'needs /dev/net/tun (modprobe tun; in a container: pass the device in)';
  const script = 'mount -t tmpfs tmpfs /mnt && ip link add type veth && ip link add type bridge && nft list tables';
  const { status, stderr } = spawnSync('unshare', ['--mount', '--net', 'sh', '-c', script], { encoding: 'utf8' });
  if (status !== 0) return `may not make mounts, namespaces or network devices here: ${stderr.trim().split('\n')[0]}`;
  return undefined;
}

/** Name and release of the box's distribution, if the machines can be made from it. */
export function boxRelease(): { id: 'debian' | 'ubuntu'; codename: string } | undefined {
  if (!existsSync('/etc/os-release') || !commandExists('apt-get')) return undefined;
  const text = readFileSync('/etc/os-release', 'utf8');
  const value = (key: string): string => new RegExp(`^${key}="?([^"\n]*)"?$`, 'm').exec(text)?.[1] ?? '';
  const id = value('ID');
  const codename = value('VERSION_CODENAME');
  return (id === 'debian' || id === 'ubuntu') && codename ? { id, codename } : undefined;
}

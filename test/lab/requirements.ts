import { existsSync, readFileSync } from 'node:fs';
import { commandExists, run } from './process';

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

/**
 * Make the box able to run what needs these commands. Returns undefined when it is, else one line
 * that says why it is not. Installs what is missing; touches nothing when nothing is missing.
 */
export async function ensureRequirements(
  requirements: readonly Requirement[] = labRequirements,
  progress: (line: string) => void = () => undefined,
): Promise<string | undefined> {
  if (process.platform !== 'linux') return `needs Linux, this is ${process.platform}`;
  if (process.getuid?.() !== 0) return 'needs root (network namespaces, overlay mounts, booted machines)';
  const missing = requirements.filter((requirement) => !commandExists(requirement.command));
  if (missing.length > 0) {
    const packages = [...new Set(missing.map((requirement) => requirement.packageName))];
    if (!commandExists('apt-get')) {
      return `needs ${missing.map((requirement) => requirement.command).join(', ')}, and there is no apt-get to install them`;
    }
    try {
      progress(`installing ${packages.join(' ')}`);
      await aptInstall(packages);
    } catch (error) {
      return `could not install ${packages.join(' ')}: ${(error as Error).message.split('\n').slice(-1)[0]}`;
    }
    const still = missing.filter((requirement) => !commandExists(requirement.command));
    if (still.length > 0) return `needs ${still.map((requirement) => requirement.command).join(', ')}`;
  }
  return requirements === labRequirements ? await labObstacle() : undefined;
}

async function aptInstall(packages: readonly string[]): Promise<void> {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  // Another apt on the box (unattended upgrades) is waited for instead of failing.
  const apt = ['apt-get', '-qq', '-o', 'DPkg::Lock::Timeout=300'];
  await run([...apt, 'update'], { env });
  await run([...apt, 'install', '-y', '--no-install-recommends', ...packages], { env });
}

/** What no package can mend. */
async function labObstacle(): Promise<string | undefined> {
  if (!boxRelease()) return 'needs Debian or Ubuntu: the machines are made from the packages of the box';
  if (!existsSync('/dev/net/tun')) return 'needs /dev/net/tun (modprobe tun; in a container: pass the device in)';
  const probe = await run(
    [
      'unshare',
      '--mount',
      '--net',
      'sh',
      '-c',
      'mount -t tmpfs tmpfs /mnt && ip link add type veth && nft list tables',
    ],
    { allowFailure: true },
  );
  if (probe.code !== 0) return `may not make namespaces, mounts or veths here: ${probe.stderr.trim().split('\n')[0]}`;
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

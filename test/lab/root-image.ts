import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { run, withLock } from './process';
import { boxRelease } from './requirements';

/** What a machine has installed. Without libpam-systemd, polkitd (and so NetworkManager) cannot be configured. */
const packages = [
  'systemd',
  'systemd-sysv',
  'libpam-systemd',
  'dbus',
  'udev',
  'iproute2',
  'openssh-server',
  'sudo',
  'netplan.io',
  'network-manager',
  'ifupdown',
  'openvpn',
  'wireguard-tools',
  'wireguard-go',
  'nftables',
  'iptables',
  'ufw',
  'firewalld',
  'procps',
  'iputils-ping',
  'busybox',
  'prometheus-node-exporter',
];

/** What the VPN server of the how-to has where its release is another one. Debian 11 has no wireguard-go. */
const serverPackages = [
  ...['systemd', 'systemd-sysv', 'libpam-systemd', 'dbus', 'udev', 'iproute2', 'openssh-server', 'sudo'],
  ...['openvpn', 'nftables', 'procps', 'iputils-ping'],
];

/** Releases of Debian that a VPN server may have instead of the release of the box. */
export type DebianRelease = 'bullseye' | 'trixie';

/**
 * Run inside the new root. Only what every machine has in common; what differs from machine to
 * machine is written when the machine is made, so that it can change without a new image.
 */
const setup = `set -eu
disable() {
  for unit; do
    # Releases differ in what they bring along.
    if systemctl --quiet is-enabled "$unit" 2>/dev/null; then systemctl --quiet disable "$unit"; fi
  done
}
# Every network manager is installed and none is on: a machine turns on the one that it is to have.
disable NetworkManager.service NetworkManager-dispatcher.service NetworkManager-wait-online.service \\
  networking.service systemd-networkd.service systemd-networkd-wait-online.service
# Likewise the VPN and the packet filter; and sshd is a service of its own everywhere.
disable openvpn.service nftables.service ufw.service firewalld.service ssh.socket
# And what watches a machine.
disable prometheus-node-exporter.service
# A machine of the lab has no registry to ask and no disk to care for.
disable apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \\
  fstrim.timer systemd-pstore.service
useradd --create-home --shell /bin/bash debian
useradd --create-home --shell /bin/bash --groups sudo nosudo
echo nosudo:nosudo | chpasswd
echo 'debian ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/debian
chmod 0440 /etc/sudoers.d/debian
# These make a machine that machine; each gets its own.
rm -f /etc/ssh/ssh_host_* /etc/machine-id /var/lib/dbus/machine-id /etc/hostname /etc/resolv.conf
# No resolver: a name that cannot be looked up fails at once.
: >/etc/resolv.conf
rm -rf /var/cache/apt/archives/*.deb /var/lib/apt/lists/* /var/log/*.log
`;

/** An image that nobody started a lab from for so long is removed when another one is built. */
const keepMs = 60 * 60 * 1000;

const cacheDir = (): string => process.env.CDKTF_SOURCE_ROUTING_LAB_CACHE ?? '/var/cache/cdktf-source-routing-lab';

/**
 * Directory of the machines' root file system, built when there is none for this list of packages
 * and this setup. It is read only by agreement: machines put an overlay on it.
 */
export async function rootImage(
  progress: (line: string) => void = () => undefined,
  codename?: DebianRelease,
): Promise<string> {
  const box = boxRelease();
  if (!box) throw new Error('the machines are made from the packages of Debian or Ubuntu, the box is neither');
  const release = codename ? { id: 'debian', codename } : box;
  const include = codename ? serverPackages : packages;
  const hash = createHash('sha256')
    .update(JSON.stringify([release, process.arch, include, setup]))
    .digest('hex')
    .slice(0, 16);
  const image = join(cacheDir(), hash);
  const root = join(image, 'root');
  const touch = (): string => {
    utimesSync(image, new Date(), new Date());
    return root;
  };
  if (existsSync(root)) return touch();
  mkdirSync(cacheDir(), { recursive: true });
  return withLock(join(cacheDir(), 'lock'), async () => {
    if (existsSync(root)) return touch();
    removeOld(hash);
    const building = mkdtempSync(join(cacheDir(), 'building-'));
    try {
      progress(`building the machines' root image, once (${release.id} ${release.codename}, a few minutes)`);
      await build(join(building, 'root'), release, include, await boxMirror(box));
      renameSync(building, image);
    } catch (error) {
      rmSync(building, { recursive: true, force: true });
      throw error;
    }
    return root;
  });
}

async function build(
  root: string,
  release: { id: string; codename: string },
  include: readonly string[],
  mirror: string,
): Promise<void> {
  const downloads = join(cacheDir(), 'packages');
  mkdirSync(downloads, { recursive: true });
  const components = release.id === 'ubuntu' ? ['--components=main,universe'] : [];
  await run([
    // Whatever ends us ends it too, and its mounts go with it: nobody has to clean up after it.
    ...['setpriv', '--pdeathsig', 'KILL', 'unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'],
    'debootstrap',
    '--variant=minbase',
    `--cache-dir=${downloads}`,
    `--include=${include.join(',')}`,
    ...components,
    release.codename,
    root,
    mirror,
  ]);
  await run(['chroot', root, '/bin/sh', '-c', setup], { env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' } });
}

/** Put another package of the box's archive into the root of a machine, instead of one that the image has. */
export async function replacePackage(root: string, old: string, name: string): Promise<void> {
  const downloads = join(cacheDir(), 'packages');
  // apt fetches only what is not there yet.
  await withLock(join(cacheDir(), 'lock'), () => run(['apt-get', 'download', '--quiet', name], { cwd: downloads }));
  const file = readdirSync(downloads).find((each) => each.startsWith(`${name}_`));
  if (!file) throw new Error(`apt-get did not download ${name}`);
  copyFileSync(join(downloads, file), join(root, 'package.deb'));
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };
  await run(['chroot', root, '/bin/sh', '-c', `dpkg --remove ${old} && dpkg --install /package.deb`], { env });
  rmSync(join(root, 'package.deb'));
}

/** Install a package of the box's archive in the root of a machine, with what it needs and the image does not have. */
export async function addPackage(root: string, name: string): Promise<void> {
  const archives = join(cacheDir(), 'archives');
  const nowhere = join(archives, 'none');
  mkdirSync(join(archives, 'partial'), { recursive: true });
  mkdirSync(join(nowhere, 'partial'), { recursive: true });
  const status = `Dir::State::status=${root}/var/lib/dpkg/status`;
  const apt = (directory: string, option: string): string[] => [
    ...['apt-get', '--quiet', '--yes', '--no-install-recommends', '-o', status],
    ...['-o', `Dir::Cache::archives=${directory}`, option, 'install', name],
  ];
  const files = await withLock(join(cacheDir(), 'lock'), async () => {
    await run(apt(archives, '--download-only'), { timeoutMs: 300_000 });
    // Where nothing is downloaded yet, it names everything.
    const { stdout } = await run(apt(nowhere, '--print-uris'));
    return [...stdout.matchAll(/^'\S+' (\S+\.deb) /gm)].map(([, file]) => file);
  });
  mkdirSync(join(root, 'packages'));
  files.forEach((file) => copyFileSync(join(archives, file), join(root, 'packages', file)));
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' };
  await run(['chroot', root, '/bin/sh', '-c', 'dpkg --install --recursive /packages'], { env, timeoutMs: 300_000 });
  rmSync(join(root, 'packages'), { recursive: true });
}

/** A file of a source package of the box's archive, by its name. */
export async function fileOfSourcePackage(name: string, file: string): Promise<string> {
  const release = boxRelease();
  if (!release) throw new Error('the box is neither Debian nor Ubuntu');
  mkdirSync(cacheDir(), { recursive: true });
  const scratch = mkdtempSync(join(cacheDir(), 'building-'));
  try {
    const keyring = `/usr/share/keyrings/${release.id}-archive-keyring.gpg`;
    const source = `deb-src [signed-by=${keyring}] ${await boxMirror(release)} ${release.codename} main\n`;
    writeFileSync(join(scratch, 'sources.list'), source);
    mkdirSync(join(scratch, 'lists', 'partial'), { recursive: true });
    // The box's own lists have no sources, and stay as they are.
    const apt = [
      'apt-get',
      '--quiet',
      ...['Dir::Etc::sourceparts=/dev/null', `Dir::Etc::sourcelist=${scratch}/sources.list`],
      ...[`Dir::State::lists=${scratch}/lists`, `Dir::Cache::pkgcache=`, `Dir::Cache::srcpkgcache=`],
    ].flatMap((word) => (word.startsWith('Dir::') ? ['--option', word] : [word]));
    await run([...apt, 'update']);
    await run([...apt, 'source', '--download-only', name], { cwd: scratch });
    const archive = readdirSync(scratch).find((each) => /\.orig\.tar\.\w+$/.test(each));
    if (!archive) throw new Error(`apt-get did not download the source of ${name}`);
    const { stdout } = await run(['tar', '-xOf', join(scratch, archive), '--wildcards', `*/${file}`]);
    return stdout;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** The archive that the box's own apt uses: it is reachable, trusted and near. */
async function boxMirror(release: { id: string; codename: string }): Promise<string> {
  const fields = '$(ORIGIN)|$(RELEASE)|$(COMPONENT)|$(REPO_URI)';
  const list = async (): Promise<string[]> => {
    const targets = await run(['apt-get', 'indextargets', '--format', fields, 'Created-By: Packages']);
    const rows = targets.stdout.split('\n').map((line) => line.split('|'));
    const matching = rows.filter((row) => row[1] === release.codename && row[2] === 'main' && row[3]);
    // The origin is known once apt has fetched the archive's index; other archives use the same names.
    const official = matching.filter((row) => row[0].toLowerCase() === release.id);
    return (official.length > 0 ? official : matching).map((row) => row[3]);
  };
  const mirror = (await list())[0];
  if (!mirror) throw new Error(`the box's apt configuration names no archive for ${release.codename} main`);
  return mirror;
}

/** Remove images that are neither used by a running lab nor were lately, and what a killed builder left. */
function removeOld(current: string): void {
  const mounts = readFileSync('/proc/self/mounts', 'utf8');
  for (const name of readdirSync(cacheDir())) {
    const path = join(cacheDir(), name);
    // We hold the lock: nobody else is building.
    const abandoned = name.startsWith('building-');
    const old = /^[0-9a-f]{16}$/.test(name) && name !== current && Date.now() - statSync(path).mtimeMs > keepMs;
    if (abandoned || (old && !mounts.includes(`lowerdir=${path}/`))) rmSync(path, { recursive: true, force: true });
  }
}

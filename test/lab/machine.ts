import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { configureNetwork, type NetworkManagerName } from './network-manager';
import { connect, disconnect, hasSecond, masqueradeRules, setCarrier } from './namespace';
import {
  type Container,
  enter,
  findContainer,
  keepNewDisk,
  killContainer,
  logFile,
  mountNewDisk,
  mountRoot,
  startContainer,
  stopped,
} from './nspawn';
import { greeting } from './internet';
import { cloudFiles } from './cloud';
import { addPackage, replacePackage } from './root-image';
import { poll, run, type RunOptions, type RunResult } from './process';
import type { RunDirectory } from './run-directory';
import { diffSnapshots, parseSnapshot, type Snapshot, snapshotScript } from './snapshot';
import type { SshKeys } from './ssh';
import { address, cardsOf, type Family, type Interface, type MachineName, nodes } from './topology';

export interface ExecOptions extends RunOptions {
  /** User inside the machine; root unless told. */
  readonly user?: string;
}

/** Booting and shutting down may take this long on a slow and busy box. */
const bootTimeoutMs = 60_000;

/** A booted machine: its own init, sshd, network manager; files that survive a reboot. */
export class Machine {
  private container?: Container;
  private image?: string;

  constructor(
    readonly name: MachineName,
    private readonly directory: RunDirectory,
    private readonly keys: SshKeys,
  ) {}

  /** Name of its network namespace, for `ip netns exec`. A new one after each boot. */
  get namespace(): string {
    return this.directory.name(this.name);
  }

  /** Address of one of its interfaces; without arguments the one that the administrator uses. */
  address(interfaceName = 'eth0', family: Family = 'ipv4'): string {
    return address(this.name, interfaceName, family);
  }

  /** Make its disk. What is written below the returned directory is there at the first boot. */
  async install(
    image: string,
    manager: NetworkManagerName,
    returnRoutes: boolean,
    userData?: string,
    packages: readonly string[] = [],
  ): Promise<string> {
    this.image = image;
    const root = await mountRoot(this.directory, this.name, image);
    const write = (path: string, text: string, mode = 0o644): void => {
      mkdirSync(`${root}${path}`.replace(/\/[^/]*$/, ''), { recursive: true });
      writeFileSync(`${root}${path}`, text);
      chmodSync(`${root}${path}`, mode);
    };
    write('/etc/hostname', `${this.name}\n`);
    write('/etc/hosts', `127.0.0.1 localhost\n127.0.1.1 ${this.name}\n::1 localhost ip6-localhost\n`);
    // With none, systemd takes the boot for the first one and enables everything that is installed.
    write('/etc/machine-id', `${Buffer.from(`lab-machine-${this.name}`.padEnd(16)).toString('hex').slice(0, 32)}\n`);
    write('/etc/sysctl.d/50-lab.conf', sysctls(this.name));
    this.keys.install(this.name, root);
    if (manager === 'ifupdown2') await replacePackage(root, 'ifupdown', 'ifupdown2');
    if (userData !== undefined) {
      await addPackage(root, 'cloud-init');
      cloudFiles(this.name, userData).forEach(([path, text]) => write(path, text));
    }
    for (const name of packages) await addPackage(root, name);
    const cards = cardsOf(this.name, hasSecond(this.directory));
    const units = [...configureNetwork(root, this.name, cards, manager, returnRoutes), 'ssh.service'];
    const { masquerade } = nodes[this.name];
    if (masquerade) {
      write('/etc/nftables.conf', masqueradeRules(masquerade));
      units.push('nftables.service');
    }
    if (this.name === 'vpn') units.push('openvpn-server@server.service');
    if (this.name === 'vpn' && existsSync(`${root}/usr/bin/wg-quick`)) units.push('wg-quick@wg0.service');
    await run(['chroot', root, 'systemctl', '--quiet', 'enable', ...units]);
    // The boot has not ended before the network is up, on every machine.
    await run(['chroot', root, 'systemctl', '--quiet', 'add-wants', 'multi-user.target', 'network-online.target']);
    return root;
  }

  /**
   * Switch it on and wait until it has booted and its sshd can be reached from the LAN. Units that fail are an
   * error, unless `degraded` says that some are to.
   */
  async boot(degraded = false): Promise<void> {
    await keepNewDisk(this.directory, this.name);
    await connect(this.directory, this.name, false);
    this.container = await startContainer(this.directory, this.name, ['--boot']);
    await poll(`booting ${this.name}`, bootTimeoutMs, async () => {
      // Before the bus is there it fails at once; then it waits for the end of the boot.
      const { stdout } = await this.exec(['systemctl', 'is-system-running', '--wait'], {
        allowFailure: true,
        timeoutMs: bootTimeoutMs,
      });
      if (stdout.trim() === 'degraded' && !degraded) {
        const failed = await this.exec(`systemctl --failed --no-legend --plain | while read -r unit rest; do
            echo "$unit $rest"
            journalctl -b -u "$unit" -o cat --no-pager
          done
          journalctl -b -n 50 --no-pager`);
        throw new Error(`${this.name} booted with failed units:\n${failed.stdout}`);
      }
      return ['running', 'degraded'].includes(stdout.trim()) ? true : undefined;
    });
    await this.waitForSsh();
  }

  /** `systemctl reboot`, until it is back. */
  async reboot(degraded = false): Promise<void> {
    const container = this.running();
    // The machine may be gone before the command has ended.
    await this.exec(['systemctl', 'reboot'], { allowFailure: true });
    await stopped(container, bootTimeoutMs);
    await this.bootAgain(degraded);
  }

  /** Everything in it dies at once; then it is switched on again. */
  async powerCut(): Promise<void> {
    await killContainer(this.running());
    await this.bootAgain();
  }

  /** Another machine takes its place, with its addresses and keys: it is as this one was before its first boot. */
  async replace(): Promise<void> {
    if (this.image === undefined) throw new Error(`${this.name} was not installed by this process`);
    await killContainer(this.running());
    await mountNewDisk(this.directory, this.name, this.image);
    await this.bootAgain();
  }

  private async bootAgain(degraded = false): Promise<void> {
    // A namespace keeps addresses, rules and routes: one that lives on would fake persistence.
    await disconnect(this.directory, this.name);
    await this.boot(degraded);
  }

  /** Install another package of the box's archive while it runs. Its units are not started, now or at a boot. */
  async addPackage(name: string, units: readonly string[] = []): Promise<void> {
    const { code } = await this.exec(['dpkg', '--status', name], { allowFailure: true });
    if (code === 0) return;
    await addPackage(this.directory.path(this.name, 'root'), name);
    await this.exec(['systemctl', 'daemon-reload']);
    if (units.length > 0) await this.exec(['systemctl', '--quiet', 'disable', ...units]);
  }

  /** Until sshd greets somebody on the LAN. */
  async waitForSsh(): Promise<void> {
    await poll(`reaching the sshd of ${this.name}`, 20_000, async () => {
      const text = await greeting(this.directory, 'admin', this.address(), 22).catch(() => '');
      return text.startsWith('SSH-') ? true : undefined;
    });
  }

  /** Run a command or a piece of shell inside the machine, without the network in between. */
  exec(command: string | readonly string[], options: ExecOptions = {}): Promise<RunResult> {
    const argv = typeof command === 'string' ? ['/bin/sh', '-c', command] : command;
    return run(enter(this.running(), argv, options.user), { timeoutMs: 60_000, ...options, cwd: '/' });
  }

  /** Arguments of a command inside the machine, for whoever starts it himself (a terminal). */
  enterArguments(argv: readonly string[], user?: string): string[] {
    return enter(this.running(), argv, user);
  }

  /** Run a piece of shell over SSH, from the administrator's place, in a login session of the user. */
  ssh(command: string, options: ExecOptions = {}): Promise<RunResult> {
    const argv = [...this.keys.command(options.user ?? 'root', this.address()), command];
    return run(['ip', 'netns', 'exec', this.directory.name('admin'), ...argv], { timeoutMs: 60_000, ...options });
  }

  async readFile(path: string): Promise<string> {
    return (await this.exec(['cat', path])).stdout;
  }

  async writeFile(path: string, text: string, mode = '0644'): Promise<void> {
    const script = 'mkdir -p "$(dirname "$1")" && cat >"$1" && chmod "$2" "$1"';
    await this.exec(['sh', '-c', script, 'sh', path, mode], { input: text });
  }

  /** Pull the cable of an interface out of the switch. */
  async unplug(interfaceName: string): Promise<void> {
    await setCarrier(this.directory, this.name, interfaceName, false);
  }

  async plug(interfaceName: string): Promise<void> {
    await setCarrier(this.directory, this.name, interfaceName, true);
  }

  async snapshotState(): Promise<Snapshot> {
    return parseSnapshot((await this.exec(snapshotScript)).stdout);
  }

  /** What has changed since an earlier snapshot, one readable line each; empty when nothing has. */
  async changedSince(before: Snapshot): Promise<string[]> {
    return diffSnapshots(before, await this.snapshotState());
  }

  /**
   * Give an interface to network scripts, as the how-to's distribution has them: every line of its
   * route-*, route6-*, rule-* and rule6-* is given to `ip`.
   */
  async enableNetworkScripts(device = 'eth1'): Promise<void> {
    const scripts = '/etc/sysconfig/network-scripts';
    const card = nodes[this.name].interfaces.find(({ name }) => name === device);
    if (!card) throw new Error(`${this.name} has no interface ${device}`);
    await this.writeFile(`${scripts}/ifcfg-${device}`, ifcfg(card));
    await this.writeFile(`${scripts}/ifup-routes`, ifupRoutes, '0755');
    await this.writeFile(`${scripts}/ifdown-routes`, ifdownRoutes, '0755');
    await this.writeFile('/usr/local/libexec/lab-network-scripts', networkScriptsProgram, '0755');
    await this.writeFile('/etc/systemd/system/lab-network-scripts.service', networkScriptsUnit);
    await this.writeFile(
      `/etc/systemd/network/10-${device}.network`,
      `[Match]\nName=${device}\n[Link]\nUnmanaged=yes\n`,
    );
    await this.exec(`systemctl daemon-reload && networkctl reload
      until networkctl status ${device} | grep -q unmanaged; do sleep 0.1; done
      systemctl --quiet enable --now lab-network-scripts.service`);
  }

  /** The journal of this boot, for a test that failed. */
  async journal(): Promise<string> {
    return (await this.exec(['journalctl', '--boot', '--no-pager'])).stdout;
  }

  /** What systemd said on the console, in all boots. */
  console(): string {
    return readFileSync(logFile(this.directory, this.name), 'utf8');
  }

  private running(): Container {
    this.container ??= findContainer(this.directory, this.name);
    return this.container;
  }
}

/** rp_filter is strict, as on the how-to's distribution: what works so works everywhere. */
const sysctls = (name: MachineName): string => `net.ipv4.ip_forward = 1
net.ipv6.conf.all.forwarding = 1
net.ipv4.conf.all.rp_filter = ${name === 'vpn' ? 1 : 0}
`;

const ifcfg = (card: Interface): string => `DEVICE=${card.name}
BOOTPROTO=none
ONBOOT=yes
IPADDR=${card.ipv4.replace(/\/.*/, '')}
PREFIX=${card.ipv4.replace(/.*\//, '')}
IPV6INIT=yes
IPV6ADDR=${card.ipv6}
`;

/** As the script of that name: comments and empty lines are skipped, a line that fails does not stop the next. */
const ifupRoutes = `#!/bin/sh
cd /etc/sysconfig/network-scripts || exit 0
feed() {
  [ -f "$3" ] || return 0
  grep -v '^[[:space:]]*\\(#.*\\)\\{0,1\\}$' "$3" | while read -r line; do
    # The line is made of arguments: it has to be split.
    # shellcheck disable=SC2086
    ip $1 $2 add $line || [ "$2" = rule ] || ip $1 $2 replace $line
  done
}
feed -4 route "route-$1"
feed -6 route "route6-$1"
feed -4 rule "rule-$1"
feed -6 rule "rule6-$1"
exit 0
`;

/** As the script of that name: routes go with the link, rules by their lines. */
const ifdownRoutes = `#!/bin/sh
cd /etc/sysconfig/network-scripts || exit 0
take() {
  [ -f "$2" ] || return 0
  grep -v '^[[:space:]]*\\(#.*\\)\\{0,1\\}$' "$2" | while read -r line; do
    # shellcheck disable=SC2086
    ip $1 rule del $line
  done
}
take -4 "rule-$1"
take -6 "rule6-$1"
exit 0
`;

/** As ifup and ifdown, of what the ifcfg files of the lab say. */
const networkScriptsProgram = `#!/bin/sh
cd /etc/sysconfig/network-scripts || exit 0
for ifcfg in ifcfg-*; do
  . "./$ifcfg"
  case $1 in
    start)
      ip link set "$DEVICE" up
      ip addr replace "$IPADDR/$PREFIX" dev "$DEVICE"
      ip -6 addr replace "$IPV6ADDR" dev "$DEVICE"
      while ip -6 addr show dev "$DEVICE" tentative | grep -q inet6; do sleep 0.1; done
      ./ifup-routes "$DEVICE"
      ;;
    stop)
      ip addr flush dev "$DEVICE" scope global
      ip link set "$DEVICE" down
      ./ifdown-routes "$DEVICE"
      ;;
  esac
done
exit 0
`;

const networkScriptsUnit = `[Unit]
Description=Network scripts
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/libexec/lab-network-scripts start
ExecStop=/usr/local/libexec/lab-network-scripts stop

[Install]
WantedBy=multi-user.target
`;

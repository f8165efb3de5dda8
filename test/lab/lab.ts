import { startInternetServer, sourceSeen } from './internet';
import { Machine } from './machine';
import type { NetworkManagerName } from './network-manager';
import { connect, createSwitch, inNamespace, ipBatch, setCarrier } from './namespace';
import { enter, findContainer, killContainer, mountRoot, startContainer } from './nspawn';
import {
  configureOpenVpn,
  openVpnClientCommand,
  type ServerProcess,
  serverProcesses,
  tunnelServerAddresses,
} from './openvpn';
import { PacketCounter } from './packet-counter';
import { poll, run, type Running, type RunOptions, type RunResult, start } from './process';
import { ensureRequirements } from './requirements';
import { type DebianRelease, rootImage } from './root-image';
import { RunDirectory } from './run-directory';
import { SshKeys } from './ssh';
import {
  address,
  cardsOf,
  type ClientName,
  clientNames,
  families,
  type Family,
  homeTunnel,
  lanPrefix,
  type MachineName,
  machineNames,
  type NodeName,
  openVpnClients,
  plainNames,
  type TunnelName,
} from './topology';
import { Traffic } from './traffic';
import { configureWireGuard, wireGuardClientCommand } from './wireguard';

export interface LabOptions {
  /** Whether the NAT router has the how-to's static routes back to the clients. @default true */
  readonly returnRoutes?: boolean;
  /** What brings up the VPN server's interfaces. @default 'networkd' */
  readonly networkManager?: NetworkManagerName;
  /** Whether network scripts bring up eth1 of the VPN server, instead of systemd-networkd. @default false */
  readonly networkScripts?: boolean;
  /** Release of the VPN server; then it serves the clients of OpenVPN only. @default - that of the box */
  readonly release?: DebianRelease;
  /** Whether there is a second NAT router, `nat2`, on eth2 of the VPN server. @default false */
  readonly secondNatRouter?: boolean;
  /** Whether there is a third machine, `third`. @default false */
  readonly thirdMachine?: boolean;
  /** What cloud-init finds on the VPN server, which then has the package. @default - there is no cloud-init */
  readonly userData?: string;
  /** More packages of the VPN server, of the release of the box. @default - none */
  readonly packages?: readonly string[];
}

export interface UpOptions extends LabOptions {
  readonly progress?: (line: string) => void;
  /** Name of the run; without it a random one, so that labs can be up side by side. */
  readonly id?: string;
}

/** The how-to's picture, booted. See topology.ts for who is where. */
export class Lab {
  /**
   * Boot everything and wait until all clients' tunnels are up. When this process ends, however
   * it ends, the lab goes down; `keep` changes that.
   */
  static async up(options: UpOptions = {}): Promise<Lab> {
    const { progress = () => undefined, id, ...labOptions } = options;
    const obstacle = ensureRequirements(undefined, progress);
    if (obstacle) throw new Error(`the lab cannot run here: ${obstacle}`);
    const image = await rootImage(progress);
    const server = options.release ? await rootImage(progress, options.release) : image;
    const directory = await RunDirectory.create(labOptions, id);
    const lab = new Lab(directory, directory.guard());
    try {
      await lab.start(image, server, labOptions, progress);
      return lab;
    } catch (error) {
      await lab.down();
      throw error;
    }
  }

  /** A lab that another process made. */
  static open(id: string): Lab {
    return new Lab(RunDirectory.open(id), () => undefined);
  }

  readonly vpn: Machine;
  readonly nat: Machine;
  readonly third: Machine;
  readonly keys: SshKeys;
  /** Which OpenVPN server process each of the clients talks to. */
  private readonly processOf = new Map<ClientName, ServerProcess>();
  private traffic?: Traffic;
  private administrator: 'admin' | 'internet' = 'admin';

  private constructor(
    private readonly directory: RunDirectory,
    private readonly callOffGuard: () => void,
  ) {
    this.keys = new SshKeys(directory);
    this.vpn = new Machine('vpn', directory, this.keys);
    this.nat = new Machine('nat', directory, this.keys);
    this.third = new Machine('third', directory, this.keys);
  }

  get id(): string {
    return this.directory.id;
  }

  get options(): LabOptions {
    return this.directory.options as LabOptions;
  }

  /** Those that the VPN server serves. */
  get clients(): readonly ClientName[] {
    return this.options.release ? openVpnClients : clientNames;
  }

  machine(name: MachineName): Machine {
    return this[name];
  }

  /** Name of a node's network namespace. */
  namespace(node: NodeName | 'switch'): string {
    return this.directory.name(node);
  }

  /** End all processes of the lab and remove all that it made. */
  async down(): Promise<void> {
    await RunDirectory.remove(this.id);
    this.callOffGuard();
  }

  /** Leave the lab up when this process ends. */
  keep(): void {
    this.directory.keep();
    this.callOffGuard();
  }

  private async start(
    image: string,
    server: string,
    options: LabOptions,
    progress: (line: string) => void,
  ): Promise<void> {
    progress('laying the cables');
    const network = async (): Promise<void> => {
      await createSwitch(this.directory);
      await Promise.all(
        [...plainNames(options.secondNatRouter), ...clientNames].map((node) => connect(this.directory, node, true)),
      );
      await startInternetServer(this.directory);
    };
    const disks = async (): Promise<void> => {
      await this.keys.generate();
      const [vpn] = await Promise.all([
        this.vpn.install(server, options.networkManager ?? 'networkd', false, options.userData, options.packages),
        this.nat.install(image, 'networkd', options.returnRoutes ?? true),
        options.thirdMachine && this.third.install(image, 'networkd', false),
      ]);
      const clients = await Promise.all(clientNames.map((name) => mountRoot(this.directory, name, image)));
      const roots = {
        vpn,
        ...(Object.fromEntries(clientNames.map((name, index) => [name, clients[index]])) as Record<ClientName, string>),
      };
      await configureOpenVpn(this.directory, roots);
      configureWireGuard(roots);
    };
    await Promise.all([network(), disks()]);
    progress('booting the machines');
    await Promise.all([
      ...machineNames(options.thirdMachine).map((name) => this.machine(name).boot()),
      ...this.clients.map((name) => this.startClient(name)),
    ]);
    if (options.networkScripts) await this.vpn.enableNetworkScripts();
    progress('waiting for the tunnels');
    await this.waitForVpn();
  }

  private async startClient(name: ClientName, serverProcess: ServerProcess = 'server'): Promise<void> {
    const openVpn = openVpnClients.includes(name);
    if (openVpn) this.processOf.set(name, serverProcess);
    await startContainer(this.directory, name, [
      '--as-pid2',
      ...(openVpn ? openVpnClientCommand(serverProcess) : wireGuardClientCommand),
    ]);
  }

  /** Stop a client's VPN and start it again; an OpenVPN client may be sent to the other server process. */
  async restartClient(name: ClientName, serverProcess?: ServerProcess): Promise<void> {
    await killContainer(findContainer(this.directory, name));
    await this.startClient(name, serverProcess);
  }

  /**
   * Until each client (or each of these) gets an answer from inside its tunnel, in both families. A missing answer does
   * not say why, so the error says what both sides have.
   */
  async waitForVpn(clients: readonly ClientName[] = this.clients, timeoutMs = 60_000): Promise<void> {
    const waiting = clients.map(async (name) => {
      try {
        const targets = tunnelServerAddresses(this.tunnelOf(name));
        await Promise.all(targets.map((target) => this.waitForAnswer(name, target, timeoutMs)));
      } catch (error) {
        const look = 'ip -br address; ip route; ip -6 route';
        const sides = await Promise.all([
          this.exec(name, ['sh', '-c', look], { allowFailure: true }),
          this.vpn.exec(`${look}; wg show all latest-handshakes; journalctl -b -n 60 -o short-precise --no-pager`, {
            allowFailure: true,
          }),
        ]);
        const [client, server] = sides.map(({ stdout, stderr }) => `${stdout}${stderr}`);
        throw new Error(`${String(error)}\n${name}:\n${client}\nvpn:\n${server}`, { cause: error });
      }
    });
    await Promise.all(waiting);
  }

  /** Until an address answers a node's ping, sent from `source` if that matters. */
  async waitForAnswer(node: NodeName, target: string, timeoutMs = 30_000, source?: string): Promise<void> {
    // Sends until the first answer; but as long as there is no route or no source it gives up at once.
    const from = source ? ['-I', source] : [];
    const argv = ['ping', '-q', '-n', '-i', '0.1', '-c', '1', '-w', '1', ...from, target];
    await poll(`an answer to ${node} from ${target}`, timeoutMs, async () =>
      (await this.exec(node, argv, { allowFailure: true })).code === 0 ? true : undefined,
    );
  }

  private tunnelOf(name: ClientName): TunnelName {
    return openVpnClients.includes(name) ? serverProcesses[this.processOf.get(name) ?? 'server'] : homeTunnel(name);
  }

  /** Run a command in a node's network namespace, with the box's own file system and programs. */
  exec(node: NodeName | 'switch', argv: readonly string[], options?: RunOptions): Promise<RunResult> {
    return inNamespace(this.directory, node, argv, options);
  }

  /** Run a command where the administrator sits: terraform, cdktf, ssh. A failure is returned, not thrown. */
  admin(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return this.startAdmin(argv, options).result;
  }

  /** The same, without waiting for its end. */
  startAdmin(argv: readonly string[], options: RunOptions = {}): Running {
    const place = ['ip', 'netns', 'exec', this.namespace(this.administrator)];
    return start([...place, ...argv], { allowFailure: true, ...options });
  }

  /**
   * Where the administrator sits: on the LAN as long as nothing is said, or on the internet, from
   * where the upstream router lets him in to the machines on the LAN.
   */
  async administrateFrom(node: 'admin' | 'internet'): Promise<void> {
    this.administrator = node;
    const change = node === 'internet' ? 'replace' : 'flush';
    await ipBatch(
      this.directory,
      'internet',
      families.map((family) => `route ${change} ${lanPrefix[family]} via ${address('upstream', 'eth1', family)}`),
    );
  }

  /** Pull the cable of a node that has only one out of the switch, or put it back. */
  async cut(node: 'admin' | 'internet'): Promise<void> {
    await setCarrier(this.directory, node, 'eth0', false);
  }

  async mend(node: 'admin' | 'internet'): Promise<void> {
    await setCarrier(this.directory, node, 'eth0', true);
  }

  /** Run a command inside a machine's or client's own file system. */
  inside(node: MachineName | ClientName, argv: readonly string[], options?: RunOptions): Promise<RunResult> {
    return run(enter(findContainer(this.directory, node), argv), { ...options, cwd: '/' });
  }

  /**
   * The source address that the internet host sees of a connection from this node: upstream's or
   * nat's. Throws NoConnection, with the reason, when there is none.
   */
  sourceSeenFrom(
    node: NodeName,
    family: Family,
    options?: { readonly timeoutMs?: number; readonly source?: string },
  ): Promise<string> {
    return sourceSeen(this.directory, node, family, options);
  }

  /** Whether an address answers a node's ping. */
  async ping(node: NodeName, target: string, source?: string): Promise<boolean> {
    const from = source ? ['-I', source] : [];
    const argv = ['ping', '-q', '-n', '-c', '1', '-W', '2', ...from, target];
    return (await this.exec(node, argv, { allowFailure: true })).code === 0;
  }

  /** Count from now on what arrives at a router from the VPN's clients. */
  countPackets(router: 'upstream' | 'nat' | 'nat2'): Promise<PacketCounter> {
    return new PacketCounter(this.directory, router).start();
  }

  /** Let all VPN clients send to the internet host from now on, for at most so long. */
  async startTraffic(maxSeconds = 120): Promise<Traffic> {
    // A test that failed left its own behind.
    await this.traffic?.end();
    this.traffic = await Traffic.start(this.directory, maxSeconds);
    return this.traffic;
  }

  /** What there is, for the person at the keyboard. */
  describe(): string {
    const { secondNatRouter: second, thirdMachine } = this.options;
    const names = [...machineNames(thirdMachine), ...plainNames(second), ...clientNames];
    const rows = names.flatMap((node) =>
      cardsOf(node, second).map(({ name, ipv4, ipv6 }) => `  ${node.padEnd(9)} ${name}  ${ipv4.padEnd(18)} ${ipv6}`),
    );
    return rows.join('\n');
  }
}

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { identify, isAlive, kill, poll, type ProcessId, run, withLock } from './process';

/** Everything that is known of running labs: one directory for each, so that none is ever lost. */
const base = '/run/cdktf-source-routing-lab';

interface State {
  /** Whose lab it is. When this process is gone and the lab is not to be kept, the lab is stale. */
  owner: ProcessId;
  /** Stays until `down`: the lab of the command line. */
  keep: boolean;
  /** The options that the lab was made with, for whoever opens it later. */
  options: unknown;
  /** The processes that we started and that outlive the command that started them. */
  processes: Record<string, ProcessId>;
}

/**
 * One run of the lab: its id, which is part of every name it uses, its files, its processes.
 *
 * All its files are on a tmpfs: overlayfs takes one as its upper layer even where the box's own
 * root is an overlay, and unmounting it leaves nothing behind.
 */
export class RunDirectory {
  /** Whether a lab of this id is there. */
  static exists(id: string): boolean {
    return existsSync(join(base, id, 'state.json'));
  }

  static ids(): string[] {
    return existsSync(base) ? readdirSync(base).filter((id) => RunDirectory.exists(id)) : [];
  }

  /** Make a new one, after having cleaned up what killed runs left behind. */
  static async create(options: unknown, id = randomBytes(3).toString('hex')): Promise<RunDirectory> {
    mkdirSync(base, { recursive: true, mode: 0o700 });
    return withLock(join(base, 'lock'), async () => {
      for (const other of RunDirectory.ids()) {
        const { owner, keep } = new RunDirectory(other).state;
        if (!keep && !isAlive(owner)) await new RunDirectory(other).clean();
      }
      if (RunDirectory.exists(id)) throw new Error(`the lab "${id}" is already up`);
      const made = new RunDirectory(id);
      mkdirSync(made.directory, { recursive: true, mode: 0o700 });
      const owner = identify(process.pid);
      if (!owner) throw new Error('cannot read /proc/self');
      made.state = { owner, keep: false, options, processes: {} };
      mkdirSync(made.files, { recursive: true });
      await run(['mount', '-t', 'tmpfs', '-o', 'mode=0755', 'tmpfs', made.files]);
      return made;
    });
  }

  static open(id: string): RunDirectory {
    if (!RunDirectory.exists(id)) throw new Error(`there is no lab "${id}"`);
    return new RunDirectory(id);
  }

  /** Remove a run and all that is left of it, unless it is gone already. */
  static async remove(id: string): Promise<void> {
    if (!RunDirectory.exists(id)) return;
    await withLock(join(base, 'lock'), async () => {
      if (RunDirectory.exists(id)) await new RunDirectory(id).clean();
    });
  }

  readonly files: string;
  private readonly directory: string;

  private constructor(readonly id: string) {
    this.directory = join(base, id);
    this.files = join(this.directory, 'files');
  }

  path(...parts: string[]): string {
    return join(this.files, ...parts);
  }

  /** Name of a namespace, a machine or a control group of this run. */
  name(node: string): string {
    return `${this.prefix}${node}`;
  }

  private get prefix(): string {
    return `srlab-${this.id}-`;
  }

  get options(): unknown {
    return this.state.options;
  }

  private get state(): State {
    return JSON.parse(readFileSync(join(this.directory, 'state.json'), 'utf8')) as State;
  }

  private set state(state: State) {
    const file = join(this.directory, 'state.json');
    writeFileSync(`${file}.new`, JSON.stringify(state, undefined, 2));
    renameSync(`${file}.new`, file);
  }

  /** The lab stays when the process that made it ends. */
  keep(): void {
    this.state = { ...this.state, keep: true };
  }

  process(name: string): ProcessId | undefined {
    return this.state.processes[name];
  }

  /** Remember a process that we started, so that it can be ended whatever becomes of us. */
  record(name: string, pid: number): ProcessId {
    const id = identify(pid);
    if (!id) throw new Error(`${name} ended as soon as it was started`);
    this.state = { ...this.state, processes: { ...this.state.processes, [name]: id } };
    return id;
  }

  /**
   * Clean up when this process dies, however it dies: the guard reads from us, and reads the end
   * of file when we are gone. It needs no handler for signals or for exit here, and also does its
   * work after a SIGKILL. The returned function calls it off.
   */
  guard(): () => void {
    const tsx = resolve(__dirname, '../../node_modules/.bin/tsx');
    const guard = spawn(
      'sh',
      ['-c', 'read -r line && [ "$line" = done ] || exec "$@"', 'sh', tsx, join(__dirname, 'cli.ts'), 'down', this.id],
      { detached: true, stdio: ['pipe', 'ignore', 'inherit'] },
    );
    guard.stdin.on('error', () => undefined);
    guard.unref();
    // Neither may the pipe keep us alive.
    (guard.stdin as unknown as { unref(): void }).unref();
    return () => guard.stdin.end('done\n');
  }

  private async clean(): Promise<void> {
    // A machine outlives its systemd-nspawn: its processes are found by their network namespace.
    await poll(`ending the processes of lab ${this.id}`, 10_000, () => {
      const remaining = [...Object.values(this.state.processes).filter(isAlive), ...this.inhabitants()];
      remaining.forEach((id) => kill(id));
      return remaining.length === 0 ? true : undefined;
    });
    for (const mount of this.mounts()) await run(['umount', mount], { allowFailure: true });
    for (const mount of this.mounts()) await run(['umount', '--lazy', mount]);
    for (const name of this.namespaces()) await run(['ip', 'netns', 'delete', name]);
    // A process that has left its network namespace may be about to leave its control group.
    await poll(`removing the control groups of lab ${this.id}`, 10_000, () =>
      this.controlGroups().every(removeControlGroup) ? true : undefined,
    );
    rmSync(this.directory, { recursive: true, force: true });
  }

  private controlGroups(): string[] {
    return controlGroupRoots().flatMap((root) =>
      readdirSync(root)
        .filter((name) => name.startsWith(this.prefix))
        .map((name) => join(root, name)),
    );
  }

  private namespaces(): string[] {
    return existsSync('/run/netns') ? readdirSync('/run/netns').filter((name) => name.startsWith(this.prefix)) : [];
  }

  /** All processes inside a network namespace of this run: only the lab can have put them there. */
  private inhabitants(): ProcessId[] {
    const ours = new Set(this.namespaces().map((name) => `net:[${statSync(`/run/netns/${name}`).ino}]`));
    return readdirSync('/proc')
      .filter((entry) => /^\d+$/.test(entry))
      .flatMap((entry) => {
        try {
          if (!ours.has(readlinkSync(`/proc/${entry}/ns/net`))) return [];
        } catch {
          return [];
        }
        const id = identify(Number(entry));
        return id ? [id] : [];
      });
  }

  /** What is mounted below our directory, the deepest first. */
  private mounts(): string[] {
    return readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .map((line) => line.split(' ')[1] ?? '')
      .filter((path) => path.startsWith(`${this.files}/`) || path === this.files)
      .reverse();
  }
}

/** Mount points of the hierarchies in which systemd keeps its control groups: version 2, 1 or both. */
export function controlGroupRoots(): string[] {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, , type, options]) => type === 'cgroup2' || (type === 'cgroup' && /\bname=systemd\b/.test(options)))
    .map(([, path]) => path);
}

/** Fails where there is still a process in it. */
function removeControlGroup(path: string): boolean {
  const inner = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  if (!inner.every((entry) => removeControlGroup(join(path, entry.name)))) return false;
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EBUSY') return false;
    throw error;
  }
}

import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** What a finished command left behind. */
export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Text for its standard input; without it, standard input is empty. */
  readonly input?: string;
  /** After this the command and everything that it started in its process group is ended. */
  readonly timeoutMs?: number;
  /** Return a failure instead of throwing it. */
  readonly allowFailure?: boolean;
}

/** A command that runs, together with everything that it started in its process group. */
export interface Running {
  /** What it is and what it has said until now, on both outputs. */
  output(): string;
  /** Send a signal to all of them; nothing happens when they are gone. */
  signal(signal: NodeJS.Signals): void;
  /** Its end. A failure says what the command said. */
  readonly result: Promise<RunResult>;
}

/** Run a command to its end, its output captured. A failure says what the command said. */
export const run = (argv: readonly string[], options: RunOptions = {}): Promise<RunResult> =>
  start(argv, options).result;

/** Start a command; whoever starts it waits for its `result` at some time. */
export function start(argv: readonly string[], options: RunOptions = {}): Running {
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  const both: Buffer[] = [];
  // Its own process group: a timeout must end the whole tree, not only the shell at its top.
  const child = spawn(argv[0], argv.slice(1), {
    env: options.env ?? process.env,
    cwd: options.cwd,
    detached: true,
    stdio: 'pipe',
  });
  const signal = (name: NodeJS.Signals): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, name);
    } catch {
      // It ended by itself at the same moment.
    }
  };
  const result = new Promise<RunResult>((resolve, reject) => {
    let timedOut = false;
    const timer =
      options.timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            timedOut = true;
            signal('SIGKILL');
          }, options.timeoutMs);
    child.stdout.on('data', (data: Buffer) => void (stdout.push(data), both.push(data)));
    child.stderr.on('data', (data: Buffer) => void (stderr.push(data), both.push(data)));
    // A command that does not read all its input is no error of ours.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on('close', (code, signalName) => {
      clearTimeout(timer);
      const result = {
        code: code ?? 128,
        stdout: Buffer.concat(stdout).toString(),
        stderr: Buffer.concat(stderr).toString(),
      };
      if (timedOut) {
        reject(new Error(`${describe(argv)}: not finished after ${options.timeoutMs} ms\n${said(result)}`));
      } else if (result.code !== 0 && !options.allowFailure) {
        const how = signalName ? `ended by ${signalName}` : `exit status ${result.code}`;
        reject(new Error(`${describe(argv)}: ${how}\n${said(result)}`));
      } else {
        resolve(result);
      }
    });
  });
  return { output: () => Buffer.concat(both).toString(), signal, result };
}

const describe = (argv: readonly string[]): string => {
  const line = argv.join(' ').replaceAll('\n', ' ');
  return line.length > 200 ? `${line.slice(0, 200)}…` : line;
};

const said = (result: RunResult): string => `${result.stdout}${result.stderr}`.trim().split('\n').slice(-30).join('\n');

/** True if the command is somewhere in PATH. */
export const commandExists = (command: string): boolean =>
  spawnSync('/bin/sh', ['-c', 'command -v "$1"', 'sh', command]).status === 0;

/** A process that cannot be confused with a later one that was given the same number. */
export interface ProcessId {
  readonly pid: number;
  readonly startTime: string;
}

/** The parent and the start time of a process, or undefined when it is gone (a zombie is gone). */
export function processStat(pid: number): { parent: number; startTime: string } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command's name, in parentheses, may itself hold blanks and parentheses.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : { parent: Number(fields[1]), startTime: fields[19] };
  } catch {
    return undefined;
  }
}

export function identify(pid: number): ProcessId | undefined {
  const stat = processStat(pid);
  return stat && { pid, startTime: stat.startTime };
}

export const isAlive = (id: ProcessId): boolean => processStat(id.pid)?.startTime === id.startTime;

/** End exactly this process; nothing happens when it is gone or its number was given to another. */
export function kill(id: ProcessId, signal: NodeJS.Signals = 'SIGKILL'): void {
  try {
    if (isAlive(id)) process.kill(id.pid, signal);
  } catch {
    // It ended between the look and the signal.
  }
}

/**
 * Look again and again until there is something to see, at most `timeoutMs` long. For what gives
 * no event to wait for; whoever fails says what it was waiting for.
 */
export async function poll<T>(
  what: string,
  timeoutMs: number,
  look: () => Promise<T | undefined> | T | undefined,
  everyMs = 20,
): Promise<T> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const seen = await look();
    if (seen !== undefined) return seen;
    if (Date.now() > end) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

/**
 * Hold a lock that the kernel lets go of when we die, however we die: flock(1) keeps it for as
 * long as it can read from us.
 */
export async function withLock<T>(file: string, action: () => Promise<T>): Promise<T> {
  const holder = spawn('flock', ['--exclusive', file, 'sh', '-c', 'echo locked; cat >/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    detached: true,
  });
  try {
    await new Promise<void>((resolve, reject) => {
      holder.stdout.once('data', () => resolve());
      holder.once('error', reject);
      holder.once('exit', (code) => reject(new Error(`flock ${file}: exit status ${code}`)));
    });
    return await action();
  } finally {
    holder.stdin.end();
  }
}

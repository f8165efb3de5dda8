import { spawn } from 'node:child_process';
import { packagedText } from '../agent/texts';

/** What came of a question to a machine. */
export interface Answer {
  readonly state: 'as declared' | 'differs' | 'not asked';
  /** What the machine said, or why it could not be asked. */
  readonly lines: readonly string[];
}

/**
 * Asks a machine over SSH whether it is as declared, with the script that a plan runs, too.
 *
 * @param connection - what the state keeps for the clean-up
 * @param seconds - how long to wait
 */
export async function askMachine(
  owner: string,
  connection: Readonly<Record<string, string>>,
  seconds: number,
): Promise<Answer> {
  const login = Object.entries(connection).map(([name, value]) => `${name}=${value}`);
  const script = `${packagedText('delivery/ask.sh')}\nask "$@"`;
  const child = spawn('sh', ['-c', script, 'ask', ...login, `owner=${owner}`, `seconds=${seconds}`], {
    env: process.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const collect = (data: Buffer): void => void (output += data.toString());
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const code = await new Promise<number | undefined>((resolve) => {
    child.on('error', (error) => {
      output += `sh cannot be run: ${error.message}`;
      resolve(undefined);
    });
    child.on('close', (status) => resolve(status ?? undefined));
  });
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  return { state: code === 0 ? 'as declared' : code === 1 ? 'differs' : 'not asked', lines };
}

/** A word for a shell. */
export function shellQuoted(word: string): string {
  return `'${word.replace(/'/g, "'\\''")}'`;
}

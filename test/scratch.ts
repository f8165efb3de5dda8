import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { identify, isAlive } from './lab/process';

const NAME = /^source-routing-tests\.(\d+)\.(\d+)/;

/**
 * Gives a run of the tests a directory of its own for temporary files. cdktf leaves one behind for each stack that it
 * synthesizes, and a Terraform that is killed leaves its uploads. All of them go when this process ends, however it
 * ends.
 */
export default function scratch(): void {
  const self = identify(process.pid);
  if (!self) return;
  const base = tmpdir();
  for (const name of readdirSync(base)) {
    const [, pid, startTime] = NAME.exec(name) ?? [];
    if (pid !== undefined && !isAlive({ pid: Number(pid), startTime })) {
      rmSync(join(base, name), { recursive: true, force: true });
    }
  }
  const directory = join(base, `source-routing-tests.${self.pid}.${self.startTime}`);
  mkdirSync(directory);
  removeAfterwards(directory);
  // For what tests start, and for their workers.
  process.env.TMPDIR = directory;
}

/** Starts what reads from us, and reads the end of file when we are gone. */
function removeAfterwards(directory: string): void {
  // A worker that goes on for a moment finds no place to write to.
  const script = 'read -r _; mv "$1" "$1.old" && rm -rf "$1.old"';
  const guard = spawn('sh', ['-c', script, 'sh', directory], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  guard.unref();
  // Neither may the pipe keep us alive.
  (guard.stdin as unknown as { unref(): void }).unref();
}

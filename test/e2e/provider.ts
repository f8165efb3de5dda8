import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Lab } from '../lab/lab';

/** A provider that runs at the administrator's place. */
export interface RunningProvider {
  /** Tells Terraform where it is. */
  readonly env: { readonly TF_REATTACH_PROVIDERS: string };
  stop(): void;
}

/**
 * Starts one of the stand-ins for a provider.
 *
 * @param cwd - where Terraform works, since the real ones are its children
 */
export async function startProvider(lab: Lab, name: 'null' | 'external', cwd?: string): Promise<RunningProvider> {
  const directory = mkdtempSync(join(tmpdir(), `${name}-`));
  const program = [process.execPath, join(__dirname, `${name}-provider.mjs`), join(directory, 's')];
  const provider = spawn('ip', ['netns', 'exec', lab.namespace('admin'), ...program], {
    cwd,
    env: process.env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [reattach] = (await once(provider.stdout, 'data')) as [Buffer];
  return {
    env: { TF_REATTACH_PROVIDERS: reattach.toString() },
    stop: () => {
      provider.kill();
      rmSync(directory, { recursive: true });
    },
  };
}

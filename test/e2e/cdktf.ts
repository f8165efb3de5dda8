import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Lab } from '../lab/lab';
import { TERRAFORM_ENV, expectSuccess } from './terraform';

const ROOT = resolve(__dirname, '../..');

/** The `cdktf` command on one of the examples, at the administrator's place. */
export class Cdktf {
  private readonly output = mkdtempSync(join(tmpdir(), 'source-routing-cdktf-'));
  private readonly env: NodeJS.ProcessEnv;

  public constructor(
    private readonly lab: Lab,
    private readonly example: string,
  ) {
    this.env = {
      ...process.env,
      ...TERRAFORM_ENV,
      CDKTF_HOME: this.output,
      VPN_SSH_KEY_FILE: lab.keys.privateKeyFile,
      VPN_SSH_HOST_KEY: lab.keys.hostKey('vpn', 'ecdsa'),
      NAT_SSH_HOST_KEY: lab.keys.hostKey('nat', 'ecdsa'),
    };
  }

  public async run(command: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<string> {
    return expectSuccess(
      await this.lab.admin(
        [join(ROOT, 'node_modules/.bin/cdktf'), command, '--output', join(this.output, 'cdktf.out'), ...args],
        {
          cwd: join(ROOT, 'examples', this.example),
          env: { ...this.env, ...env },
          timeoutMs: 300_000,
        },
      ),
    );
  }

  public close(): void {
    rmSync(this.output, { recursive: true, force: true });
  }
}

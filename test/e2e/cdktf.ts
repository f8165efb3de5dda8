import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Lab } from '../lab/lab';
import { TERRAFORM_ENV, expectSuccess } from './terraform';

const ROOT = resolve(__dirname, '../..');

/**
 * The `cdktf` command on one of the examples, at the administrator's place. It works in a directory
 * of its own, since that is where cdktf keeps the state.
 */
export class Cdktf {
  private readonly directory = mkdtempSync(join(tmpdir(), 'source-routing-cdktf-'));
  private readonly app: string;
  private readonly env: NodeJS.ProcessEnv;

  public constructor(
    private readonly lab: Lab,
    example: string,
  ) {
    const main = join(ROOT, 'examples', example, 'main.ts');
    copyFileSync(join(ROOT, 'examples', example, 'cdktf.json'), join(this.directory, 'cdktf.json'));
    this.app = `${join(ROOT, 'node_modules/.bin/tsx')} --tsconfig ${join(ROOT, 'tsconfig.json')} ${main}`;
    this.env = {
      ...process.env,
      ...TERRAFORM_ENV,
      CDKTF_HOME: this.directory,
      VPN_SSH_KEY_FILE: lab.keys.privateKeyFile,
      VPN_SSH_HOST_KEY: lab.keys.hostKey('vpn', 'ecdsa'),
      NAT_SSH_HOST_KEY: lab.keys.hostKey('nat', 'ecdsa'),
    };
  }

  public async run(command: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<string> {
    const cdktf = join(ROOT, 'node_modules/.bin/cdktf');
    const result = await this.lab.admin([cdktf, command, '--app', this.app, ...args], {
      cwd: this.directory,
      env: { ...this.env, ...env },
      timeoutMs: 300_000,
    });
    return expectSuccess(result);
  }

  public close(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

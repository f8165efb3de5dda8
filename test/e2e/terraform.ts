import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { App, TerraformStack } from 'cdktf';
import type { SshConnection } from '../../lib';
import { HOST_FILES } from '../../lib/model/host-file';
import { FILE } from '../fixtures';
import type { Lab } from '../lab/lab';
import type { RunResult, Running } from '../lab/process';
import type { MachineName } from '../lab/topology';

/** No look at the internet, no configuration of the box, no colours. */
export const TERRAFORM_ENV = {
  CHECKPOINT_DISABLE: '1',
  DISABLE_VERSION_CHECK: '1',
  TF_CLI_CONFIG_FILE: '/dev/null',
  TF_IN_AUTOMATION: '1',
  TF_CLI_ARGS: '-no-color',
  FORCE_COLOR: '0',
  CI: '1',
};

/** Terraform at the administrator's place, with one stack that tests change from step to step. */
export class Terraform {
  private readonly directory = mkdtempSync(join(tmpdir(), 'source-routing-e2e-'));
  private initialized = false;

  public constructor(
    private readonly lab: Lab,
    private readonly env: NodeJS.ProcessEnv = {},
  ) {}

  /** Declares the stack anew; what it was before is in Terraform's state only. */
  public declare(build: (stack: TerraformStack) => void): void {
    const outdir = join(this.directory, 'cdktf.out');
    rmSync(outdir, { recursive: true, force: true });
    mkdirSync(outdir);
    // The annotations that App would print are not of interest here.
    const app = new App({ outdir, context: { cdktfJsonPath: '' } });
    const stack = new TerraformStack(app, 'e2e');
    build(stack);
    app.synth();
    const synthesized = join(outdir, 'stacks/e2e');
    const json = JSON.parse(readFileSync(join(synthesized, 'cdk.tf.json'), 'utf8')) as { terraform?: object };
    // The state stays where it is, beside the program.
    delete json.terraform;
    writeFileSync(join(this.directory, 'main.tf.json'), JSON.stringify(json, undefined, 2));
    if (existsSync(join(synthesized, HOST_FILES))) {
      cpSync(join(synthesized, HOST_FILES), join(this.directory, HOST_FILES), { recursive: true });
    }
  }

  public async run(command: string, args: readonly string[] = []): Promise<RunResult> {
    return (await this.start(command, args)).result;
  }

  /** Starts what `run` waits for: for a test that does something to it meanwhile. */
  public async start(command: string, args: readonly string[] = []): Promise<Running> {
    const env = { ...process.env, ...TERRAFORM_ENV, ...this.env };
    if (!this.initialized) {
      this.initialized = true;
      expectSuccess(await this.lab.admin(['terraform', `-chdir=${this.directory}`, 'init'], { env }));
    }
    return this.lab.startAdmin(['terraform', `-chdir=${this.directory}`, command, '-input=false', ...args], {
      env,
      timeoutMs: 300_000,
    });
  }

  /** Applies; fails with all that Terraform said. */
  public async apply(args: readonly string[] = []): Promise<string> {
    return expectSuccess(await this.run('apply', ['-auto-approve', ...args]));
  }

  public async destroy(args: readonly string[] = []): Promise<string> {
    return expectSuccess(await this.run('destroy', ['-auto-approve', ...args]));
  }

  public async plan(args: readonly string[] = []): Promise<string> {
    return expectSuccess(await this.run('plan', args));
  }

  /** A file in the directory that Terraform works in. */
  public path(name: string): string {
    return join(this.directory, name);
  }

  /** The file that Terraform would upload to the one host that is declared. Without Terraform itself there is time for many. */
  public bundle(): string {
    const bundles = bundlesIn(this.path('main.tf.json'));
    expect(bundles).toHaveLength(1);
    return bundles[0];
  }

  public close(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** What Terraform would upload to the hosts of a configuration: `cdk.tf.json`, with the files beside it. */
export function bundlesIn(file: string): string[] {
  const { resource } = JSON.parse(readFileSync(file, 'utf8')) as {
    resource: { terraform_data: Record<string, { provisioner?: { file?: { content: string } }[] }> };
  };
  const contents = Object.values(resource.terraform_data).flatMap(({ provisioner = [] }) =>
    provisioner.flatMap(({ file: upload }) => (upload?.content.includes('#--- bundle') ? [upload.content] : [])),
  );
  const text = (_: string, name: string): string => readFileSync(join(dirname(file), name), 'utf8');
  return contents.map((content) => content.replace(FILE, text));
}

export function expectSuccess(result: RunResult): string {
  if (result.code !== 0) {
    throw new Error(`exit code ${result.code}\n${result.stdout}\n${result.stderr}`);
  }
  return result.stdout;
}

/** How the administrator reaches a machine of the lab. */
export function sshOf(lab: Lab, name: MachineName = 'vpn', user = 'root'): SshConnection {
  return {
    host: lab.machine(name).address(),
    user,
    privateKeyFile: lab.keys.privateKeyFile,
    hostKey: lab.keys.hostKey(name, 'ecdsa'),
    timeoutSeconds: 20,
  };
}

/**
 * What the machine itself said, without the prefix that Terraform puts in front of it. The last line
 * is that of the confirmation, which says once more why a change failed.
 */
export function saidBy(kind: 'apply' | 'anchor', output: string): string[] {
  const prefix = new RegExp(`^\\S*_${kind}_\\S* \\(remote-exec\\): (.*)$`);
  return output
    .split('\n')
    .map((line) => prefix.exec(line)?.[1]?.trim())
    .filter((line) => line !== undefined)
    .filter((line) => line.startsWith('source-routing:'));
}

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { median } from './median';

const ROUNDS = 3;
const APP = join(__dirname, 'fleet-app.mjs');
const CLI = join(__dirname, '../lib/cli/main.js');
const PACKET = ['--host', 'vpn500', '--to', '1.1.1.1', '--from', '10.10.10.2', '--in', 'tun0'];
const TERRAFORM_ENV = { CHECKPOINT_DISABLE: '1', TF_CLI_CONFIG_FILE: '/dev/null', TF_IN_AUTOMATION: '1' };

/** `distinct`: no two hosts have equal addresses, so the lookup is made for each. */
type Kind = 'declared' | 'distinct' | 'bare';

interface Usage {
  readonly cpuMs: number;
  readonly peakMb: number;
}

/**
 * What a fleet costs whoever runs Terraform, against as many bare resources: CPU time and memory of a synth, a plan, the
 * length of the configuration, and the commands for pull requests.
 */
export function benchFleet(): void {
  const directory = mkdtempSync(join(tmpdir(), 'bench-fleet-'));
  try {
    console.log(`fleet of one stack; median of ${ROUNDS} runs, in CPU time`);
    const costs = [1, 100, 1000].map((hosts) => synths(directory, 'declared', hosts));
    const exponent = Math.log10(costs[2].cpuMs / costs[1].cpuMs);
    console.log(`  growth from 100 to 1000 hosts: exponent ${exponent.toFixed(2)}`);
    const file = join(outdirOf(directory, 'declared', 1000), 'stacks/fleet/cdk.tf.json');
    console.log(`  cdk.tf.json of 1000 hosts: ${(statSync(file).size / 1e6).toFixed(1)} MB`);
    synths(directory, 'distinct', 100);
    plans(directory, 100);
    commands(directory, 1000);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function outdirOf(directory: string, kind: string, hosts: number): string {
  return join(directory, `${kind}-${hosts}`);
}

function synth(directory: string, kind: Kind, hosts: number, name: string = kind, ...more: string[]): Usage {
  const outdir = outdirOf(directory, name, hosts);
  rmSync(outdir, { recursive: true, force: true });
  mkdirSync(outdir);
  const output = execFileSync(process.execPath, [APP, kind, String(hosts), outdir, ...more], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return JSON.parse(output.trim().split('\n').at(-1) ?? '') as Usage;
}

function synths(directory: string, kind: Kind, hosts: number): Usage {
  const runs = Array.from({ length: ROUNDS }, () => {
    const bare = synth(directory, 'bare', hosts);
    const declared = synth(directory, kind, hosts);
    return { ...declared, ratio: declared.cpuMs / bare.cpuMs };
  });
  const of = (key: keyof (typeof runs)[number]): number => median(runs.map((run) => run[key]));
  const peak = `${Math.round(of('peakMb'))} MB at most`;
  console.log(
    `  synth of ${hosts} ${kind} host(s): ${(of('cpuMs') / 1000).toFixed(2)} s, ${of('ratio').toFixed(1)} x bare, ${peak}`,
  );
  return { cpuMs: of('cpuMs'), peakMb: of('peakMb') };
}

/** `terraform plan` from nothing. */
function plans(directory: string, hosts: number): void {
  const plan = (kind: Kind): number => {
    const stack = join(outdirOf(directory, kind, hosts), 'stacks/fleet');
    const file = join(stack, 'cdk.tf.json');
    const configuration = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
    // The backend would have the state of each run.
    delete configuration.terraform;
    writeFileSync(file, JSON.stringify(configuration));
    terraform(stack, 'init');
    return median(Array.from({ length: ROUNDS }, () => seconds(() => terraform(stack, 'plan', '-input=false'))));
  };
  const [bare, declared] = [plan('bare'), plan('declared')];
  console.log(`  plan of ${hosts} hosts: ${declared.toFixed(2)} s, ${(declared / bare).toFixed(1)} x bare`);
}

function terraform(directory: string, ...args: string[]): void {
  execFileSync('terraform', [`-chdir=${directory}`, ...args], {
    env: { ...process.env, ...TERRAFORM_ENV },
    stdio: 'ignore',
  });
}

/** The commands for pull requests, on a fleet of which nothing and everything changes. */
function commands(directory: string, hosts: number): void {
  const before = outdirOf(directory, 'declared', hosts);
  synth(directory, 'declared', hosts, 'after', '192.168.1.7');
  const after = outdirOf(directory, 'after', hosts);
  const rows: Array<[string, string[]]> = [
    ['explain --host', ['explain', before, ...PACKET]],
    ['diff, nothing changes', ['diff', before, before]],
    ['diff, each host changes', ['diff', before, after]],
  ];
  for (const [label, args] of rows) {
    const time = median(
      Array.from({ length: ROUNDS }, () => seconds(() => spawnSync(process.execPath, [CLI, ...args]))),
    );
    console.log(`  ${label}, ${hosts} hosts: ${time.toFixed(2)} s`);
  }
}

function seconds(action: () => void): number {
  const start = process.hrtime.bigint();
  action();
  return Number(process.hrtime.bigint() - start) / 1e9;
}

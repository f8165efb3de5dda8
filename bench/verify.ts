import { mkdtempSync, rmSync, writeFileSync } from 'fs';
import { tmpdir } from 'os';
import { join } from 'path';
import { TERRAFORM_ENV, expectSuccess, sshOf } from '../test/e2e/terraform';
import { Lab } from '../test/lab/lab';
import { ensureRequirements } from '../test/lab/requirements';
import { median } from './median';

const ROUNDS = 3;
const HOSTS = 200;
/** For `--timeout`. */
const SECONDS = 8;
/** Drops what it gets, as a machine that is off behind a router. */
const SILENT = HOSTS >> 1;
/** How long an agent looks at its machine. */
const ANSWER_SECONDS = 0.3;

const addressOf = (host: number): string => `10.222.0.${host + 1}`;

/**
 * Measures `cdktf-source-routing verify` of many machines. One machine of the lab stands for all of them: it has all the
 * addresses, a real sshd, and a program that answers after a while, since the processors of this box would have to do the
 * work of all agents.
 */
export async function benchVerify(): Promise<void> {
  const obstacle = ensureRequirements();
  if (obstacle) {
    console.log(`verify over SSH: the lab cannot run here: ${obstacle}`);
    return;
  }
  const lab = await Lab.up();
  const directory = mkdtempSync(join(tmpdir(), 'bench-verify-'));
  try {
    await prepare(lab, directory);
    console.log(
      `verify over SSH of ${HOSTS} machines, each of which takes ${ANSWER_SECONDS} s; medians of ${ROUNDS} rounds`,
    );
    const one = await measure(lab, directory, 1);
    const all = await measure(lab, directory, HOSTS);
    await lab.vpn.exec(`ip addr del ${addressOf(SILENT)}/32 dev lo; ip route add blackhole ${addressOf(SILENT)}`);
    const silent = await measure(lab, directory, HOSTS, HOSTS - 1);
    console.log(`  one machine ${one.toFixed(2)} s; all ${all.toFixed(2)} s, ${(all / one).toFixed(1)} x as long`);
    console.log(`  all, one of which never answers (--timeout ${SECONDS}): ${silent.toFixed(2)} s`);
  } finally {
    rmSync(directory, { recursive: true });
    await lab.down();
  }
}

async function prepare(lab: Lab, directory: string): Promise<void> {
  const program = '/usr/local/sbin/source-routing';
  await lab.vpn.writeFile(
    program,
    `#!/bin/sh\nsleep ${ANSWER_SECONDS}\necho source-routing: done: as declared\n`,
    '0755',
  );
  // One sshd has the connections of all.
  await lab.vpn.exec(
    "printf '%s\\n' 'MaxStartups 500' 'UsePAM no' >/etc/ssh/sshd_config.d/bench.conf; systemctl restart ssh; " +
      `for host in $(seq ${HOSTS}); do ip addr add 10.222.0.$host/32 dev lo; done`,
  );
  expectSuccess(await lab.admin(['ip', 'route', 'add', '10.222.0.0/24', 'via', lab.vpn.address()]));
  const init = ['terraform', `-chdir=${directory}`, 'init'];
  writeFileSync(join(directory, 'main.tf'), '');
  expectSuccess(await lab.admin(init, { env: { ...process.env, ...TERRAFORM_ENV } }));
}

/** The state of Terraform after an apply to so many hosts. */
function writeState(lab: Lab, directory: string, hosts: number): void {
  const { user, hostKey, privateKeyFile } = sshOf(lab);
  const resources = Array.from({ length: hosts }, (_, host) => {
    const kept = { host: addressOf(host), port: '22', user, agent: 'false', owner: 'vpn' };
    const input = { ...kept, key_file: privateKeyFile, host_key: hostKey };
    return [
      instance(`vpn${host}_anchor`, { id: `anchor${host}`, input: dynamic(input) }),
      instance(`vpn${host}_apply`, { id: `apply${host}`, triggers_replace: dynamic({ anchor: `anchor${host}` }) }),
    ];
  });
  const state = { version: 4, terraform_version: '1.4.0', serial: 1, lineage: 'bench', outputs: {} };
  writeFileSync(join(directory, 'terraform.tfstate'), JSON.stringify({ ...state, resources: resources.flat() }));
}

function instance(name: string, attributes: object): object {
  const provider = 'provider["terraform.io/builtin/terraform"]';
  return { mode: 'managed', type: 'terraform_data', name, provider, instances: [{ schema_version: 0, attributes }] };
}

/** A value of any type, as Terraform keeps it. */
function dynamic(value: Record<string, string | undefined>): object {
  return { value, type: ['object', Object.fromEntries(Object.keys(value).map((key) => [key, 'string']))] };
}

/** The median time of the command, in seconds. */
async function measure(lab: Lab, directory: string, hosts: number, healthy = hosts): Promise<number> {
  writeState(lab, directory, hosts);
  const env = { ...process.env, ...TERRAFORM_ENV };
  const command = [process.execPath, join(__dirname, '../lib/cli/main.js'), 'verify', directory];
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const started = performance.now();
    const { stdout, stderr } = await lab.admin([...command, '--timeout', String(SECONDS)], { env });
    times.push((performance.now() - started) / 1000);
    if (!stdout.includes(`As declared: ${healthy} of ${hosts}.`)) {
      throw new Error(`verify of ${hosts} machines: ${stdout}${stderr}`);
    }
  }
  return median(times);
}

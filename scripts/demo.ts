/**
 * `npm run demo`: the how-to on booted machines, from before `cdktf deploy` to after
 * `cdktf destroy`. Where machines cannot be booted: what can be shown without them.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Cdktf } from '../test/e2e/cdktf';
import { TERRAFORM_ENV } from '../test/e2e/terraform';
import { Lab } from '../test/lab/lab';
import { commandExists } from '../test/lab/process';
import { ensureRequirements } from '../test/lab/requirements';
import type { ClientName } from '../test/lab/topology';
import { families, internetAddress, tunnelAddress } from '../test/lab/topology';
import { packetPath } from './packet-path';

const ROOT = resolve(__dirname, '..');
const CLIENTS: readonly ClientName[] = ['ovpn1', 'ovpn2'];
const NAMES: Record<string, string> = {
  '203.0.113.1': 'the upstream router',
  '2001:db8:ffff::1': 'the upstream router',
  '203.0.113.3': 'the NAT router',
  '2001:db8:ffff::3': 'the NAT router',
};
let failures = 0;

function heading(text: string): void {
  console.log(`\n== ${text}`);
}

/** Says what was found, and remembers when it was not what the demo is to show. */
function finding(text: string, good: boolean): void {
  console.log(`   ${good ? 'ok  ' : 'FAIL'} ${text}`);
  failures += good ? 0 : 1;
}

async function showSources(lab: Lab, clientsThrough: string): Promise<void> {
  for (const node of [...CLIENTS, 'vpn' as const]) {
    for (const family of families) {
      const address = await lab.sourceSeenFrom(node, family).catch(() => 'nothing');
      const through = NAMES[address] ?? 'nowhere';
      const who = node === 'vpn' ? 'the VPN server itself' : `client ${node}`;
      finding(
        `${who.padEnd(21)} ${family}: the internet sees ${address.padEnd(17)} (${through})`,
        through === (node === 'vpn' ? 'the upstream router' : clientsThrough),
      );
    }
  }
}

async function showNeighbours(lab: Lab): Promise<void> {
  for (const [target, name] of [
    ['10.10.10.3', 'client ovpn2'],
    ['fd00:4242:4242:4242::3', 'client ovpn2'],
    ['10.10.10.1', 'the VPN server'],
    ['fd00:4242:4242:4242::1', 'the VPN server'],
  ] as const) {
    finding(`client ovpn1 reaches ${name} at ${target}`, await lab.ping('ovpn1', target));
  }
}

/** Shows one client's packet on its way, in both families. */
async function showPath(lab: Lab, client: ClientName, through: 'upstream' | 'nat'): Promise<void> {
  for (const family of families) {
    const { hops, router } = await packetPath(lab, client, family);
    hops.forEach((hop, index) => console.log(`   ${index === 0 ? `${family} ` : '     -> '}${hop}`));
    finding(`it goes through the router "${through}"`, router === through);
  }
}

/** Has the machine try packets of a client, which it drops where they would leave. */
async function showProbe(lab: Lab, client: ClientName): Promise<void> {
  for (const family of families) {
    const addresses = `--from ${tunnelAddress(client, family)} --to ${internetAddress(family)}`;
    const command = `source-routing probe how-to ${addresses} --in tun0`;
    const { code, stdout, stderr } = await lab.vpn.exec(command, { allowFailure: true });
    console.log(`   # ${command}`);
    console.log(indented(`${stdout}${stderr}`.replace(/^source-routing:/gm, '')));
    finding('the probe finds that they get through', code === 0);
  }
}

function indented(text: string): string {
  return text.trimEnd().replace(/^ */gm, '   ');
}

/** What the machine said, and Terraform's own summary. */
function showProgress(output: string): void {
  for (const line of output.split('\n')) {
    const said =
      /\(remote-exec\): (source-routing: .*)/.exec(line)?.[1] ??
      /(Apply complete!.*|Destroy complete!.*)/.exec(line)?.[1];
    if (said) {
      console.log(`   ${said.trim()}`);
    }
  }
}

async function withLab(): Promise<void> {
  heading('Booting a VPN server, a NAT router, an upstream router, an internet host and VPN clients');
  const lab = await Lab.up({ progress: (line) => console.log(`   ${line}`) });
  const cdktf = new Cdktf(lab, 'how-to');
  try {
    heading('Before: everybody leaves through the default gateway');
    await showSources(lab, 'the upstream router');
    await showPath(lab, 'ovpn1', 'upstream');
    const before = await lab.vpn.snapshotState();

    heading('cdktf deploy (examples/how-to)');
    showProgress(await cdktf.run('deploy', ['--auto-approve']));

    heading('After: the clients leave through the NAT router, the server itself does not');
    await showSources(lab, 'the NAT router');
    await showNeighbours(lab);

    heading("The way of one client's packet, as the machines on it tell");
    await showPath(lab, 'ovpn1', 'nat');

    heading('On the machine: source-routing probe');
    await showProbe(lab, 'ovpn1');

    heading('On the machine: source-routing status');
    console.log(indented((await lab.vpn.exec('source-routing status')).stdout.replace(/^source-routing:/gm, '')));

    heading('A pull request moves the rules to another priority: the plan');
    const plan = await cdktf.run('diff', [], { VPN_RULE_PRIORITY: '10020' });
    // What comes before is said of the providers and the signs.
    const changes = plan.slice(plan.indexOf('# terraform_data'));
    console.log(
      changes
        .split('\n')
        .map((line) => line.replace(/^how-to {2,}/, ''))
        .filter((line) => /^\s*([~+#-]|-\/\+|\}|Plan:)/.test(line))
        .map((line) => `   ${line}`)
        .join('\n'),
    );

    heading('cdktf destroy');
    showProgress(await cdktf.run('destroy', ['--auto-approve']));
    const left = await lab.vpn.changedSince(before);
    left.forEach((line) => console.log(`   ${line}`));
    finding('rules, routes, /etc, /usr/local, /var/lib and units are as they were before', left.length === 0);
    await showSources(lab, 'the upstream router');
  } finally {
    cdktf.close();
    await lab.down();
  }
}

function withoutLab(obstacle: string): void {
  const outdir = mkdtempSync(join(tmpdir(), 'source-routing-demo-'));
  const env = { ...process.env, ...TERRAFORM_ENV, CDKTF_OUTDIR: outdir };
  try {
    heading('Synth of examples/how-to');
    const args = ['--tsconfig', join(ROOT, 'tsconfig.json'), join(ROOT, 'examples/how-to/main.ts')];
    // Terraform's state is where the program was run.
    const synth = spawnSync(join(ROOT, 'node_modules/.bin/tsx'), args, { cwd: outdir, env, encoding: 'utf8' });
    process.stderr.write(synth.stderr);
    finding('the program makes cdk.tf.json', synth.status === 0);
    if (commandExists('terraform')) {
      heading('terraform plan');
      const stack = `-chdir=${join(outdir, 'stacks/how-to')}`;
      spawnSync('terraform', [stack, 'init'], { env });
      const plan = spawnSync('terraform', [stack, 'plan', '-input=false'], { env, encoding: 'utf8' });
      console.log(`${plan.stdout}${plan.stderr}`);
      finding('the plan can be made without a machine', plan.status === 0);
    } else {
      console.log('\nskipped: terraform plan, because there is no terraform on this machine');
    }
  } finally {
    rmSync(outdir, { recursive: true, force: true });
  }
  console.log(`\nskipped: deploy, packets and destroy, because the lab ${obstacle}`);
}

async function main(): Promise<void> {
  const progress = (line: string): void => console.log(`   ${line}`);
  const obstacle = commandExists('terraform')
    ? ensureRequirements(undefined, progress)
    : 'needs terraform (https://developer.hashicorp.com/terraform/install)';
  if (obstacle) {
    withoutLab(obstacle);
  } else {
    await withLab();
  }
  console.log(failures === 0 ? '\nAll as it should be.' : `\n${failures} findings are not as they should be.`);
  process.exitCode = failures === 0 ? 0 : 1;
}

void main();

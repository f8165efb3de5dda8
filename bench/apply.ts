import { spawnSync } from 'child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'fs';
import { tmpdir } from 'os';
import { join } from 'path';
import type { TerraformStack } from 'cdktf';
import { TerraformResource } from 'cdktf';
import { LinuxHost } from '../lib/linux-host';
import { PolicyRule } from '../lib/policy-rule';
import { SourceRoutingTable } from '../lib/source-routing-table';
import { Terraform, expectSuccess, sshOf } from '../test/e2e/terraform';
import { Lab } from '../test/lab/lab';
import { ensureRequirements } from '../test/lab/requirements';
import { median } from './median';

/** Of all ways in turn, so that what else this machine does slows all of a round down. */
const ROUNDS = 3;
const RULES = [1, 100, 1000];
/** Beyond this, the first run of Ansible with a task for each rule takes minutes. */
const MOST_TASKS = 100;

const GATEWAY = '192.168.1.1';
const FIRST_PRIORITY = 10_000;

/** One way to have rules on a machine, with what it keeps at the administrator's place. */
interface Way {
  readonly name: string;
  /** Prepares a run with so many rules. Another variant has another first rule. This is not measured. */
  declare(rules: number, variant: number): void;
  run(): Promise<void>;
  /** Removes everything from the machine. */
  clear(): Promise<void>;
  /** Removes everything from the administrator's place. */
  close(): void;
}

/**
 * Measures how long a user waits for `terraform apply` over SSH, with guards and kill switch. Compares it with Terraform
 * that runs `true`, with commands in a `remote-exec`, and with Ansible. The machine is one of the lab, which has booted
 * with systemd. The time of `cdktf synth` is printed, but not counted.
 */
export async function benchApply(): Promise<void> {
  const obstacle = ensureRequirements();
  if (obstacle) {
    console.log(`apply over SSH: the lab cannot run here: ${obstacle}`);
    return;
  }
  const lab = await Lab.up();
  try {
    const ansible = spawnSync('ansible-playbook', ['--version'], { encoding: 'utf8' });
    const [version] = ansible.status === 0 ? ansible.stdout.split('\n') : [];
    if (version === undefined) {
      console.log('apply over SSH: ansible-playbook is missing, so nothing is compared with it (package ansible)');
    }
    console.log(`apply over SSH to one machine, medians of ${ROUNDS} rounds; ${version ?? 'without Ansible'}`);
    for (const rules of RULES) {
      await compare(lab, rules, version !== undefined);
    }
  } finally {
    await lab.down();
  }
}

/** The second run has nothing to do. An update has another first rule. */
const PHASES = ['first', 'again', 'update'] as const;
type Phase = (typeof PHASES)[number];
type Times = Record<Phase | 'synth', number[]>;

async function compare(lab: Lab, rules: number, withAnsible: boolean): Promise<void> {
  const ways: Way[] = [
    new ByTerraform(lab, 'ours', declareOurs),
    new ByTerraform(lab, 'bare Terraform', declareBare),
    new ByTerraform(lab, 'remote-exec', declareCommands, flush),
    ...(withAnsible ? [new ByAnsible(lab, 'Ansible, template', template)] : []),
    ...(withAnsible && rules <= MOST_TASKS ? [new ByAnsible(lab, 'Ansible, tasks', tasks)] : []),
  ];
  const times = new Map<string, Times>();
  try {
    for (let round = 0; round < ROUNDS; round++) {
      for (const way of ways) {
        const of = times.get(way.name) ?? { first: [], again: [], update: [], synth: [] };
        times.set(way.name, of);
        for (const phase of PHASES) {
          const started = performance.now();
          way.declare(rules, phase === 'update' ? 1 : 0);
          const declared = performance.now();
          await way.run();
          of.synth.push(declared - started);
          of[phase].push(performance.now() - declared);
        }
        await way.clear();
      }
    }
  } finally {
    ways.forEach((way) => way.close());
  }
  print(rules, times);
}

function print(rules: number, times: ReadonlyMap<string, Times>): void {
  const ours = times.get('ours');
  console.log(`  ${rules} rules${' '.repeat(14)}first run      second run     an update     (in brackets: ÷ ours)`);
  for (const [name, of] of times) {
    const cells = PHASES.map((phase) => {
      const ratios = of[phase].map((time, round) => time / (ours?.[phase][round] ?? NaN));
      const ratio = name === 'ours' ? '' : `(${median(ratios).toFixed(2)})`;
      return `${(median(of[phase]) / 1000).toFixed(2).padStart(7)} s ${ratio.padEnd(8)}`;
    });
    console.log(`    ${name.padEnd(19)}${cells.join('')}`);
  }
  const bare = times.get('bare Terraform');
  const against = (phase: Phase): string =>
    median((ours?.[phase] ?? []).map((time, round) => time / (bare?.[phase][round] ?? NaN))).toFixed(2);
  console.log(
    `    ours ÷ bare Terraform: first ${against('first')}, update ${against('update')}; ` +
      `our synth, in a process that runs already: ${(median(ours?.synth ?? []) / 1000).toFixed(2)} s`,
  );
}

function sourceOf(rule: number, variant: number): string {
  return rule === 0 ? `10.200.${variant}.0/24` : `10.${100 + Math.floor(rule / 250)}.${rule % 250}.0/24`;
}

function declareOurs(stack: TerraformStack, lab: Lab, rules: number, variant: number): void {
  const sources = Array.from({ length: rules }, (_, rule) => sourceOf(rule, variant));
  const host = new LinuxHost(stack, 'vpn', {
    ssh: sshOf(lab),
    interfaces: [
      { name: 'eth0', addresses: ['192.168.178.2/24'], gateways: ['192.168.178.1'] },
      { name: 'eth1', addresses: ['192.168.1.100/24'] },
      { name: 'tun0', addresses: sources.map((source) => source.replace('.0/24', '.1/24')) },
    ],
  });
  const table = new SourceRoutingTable(stack, 'table', { host, tableId: 200 });
  table.addRoute('v4', { destination: 'default', via: GATEWAY, device: 'eth1' });
  sources.forEach((source, rule) => {
    new PolicyRule(stack, `rule${rule}`, { table, source, priority: FIRST_PRIORITY + rule });
  });
}

/** Three connections, each of which runs `true`. */
function declareBare(stack: TerraformStack, lab: Lab, rules: number, variant: number): void {
  declareExec(stack, lab, `${rules} ${variant}`, [['true'], ['true'], ['true']]);
}

/** What a first program with CDKTF looks like: commands, no rollback, nothing for the next boot. */
function declareCommands(stack: TerraformStack, lab: Lab, rules: number, variant: number): void {
  declareExec(stack, lab, `${rules} ${variant}`, [commands(rules, variant)]);
}

/** While it deletes, `ip rule flush` may overlook some of many rules. */
const FLUSH = 'while ip -N rule show | grep -q "proto 99"; do ip rule flush protocol 99; done';

function commands(rules: number, variant: number): string[] {
  return [
    FLUSH,
    `ip route replace default via ${GATEWAY} dev eth1 table 200`,
    ...Array.from(
      { length: rules },
      (_, rule) => `ip rule add pref ${FIRST_PRIORITY + rule} from ${sourceOf(rule, variant)} lookup 200 protocol 99`,
    ),
  ];
}

function declareExec(stack: TerraformStack, lab: Lab, trigger: string, scripts: readonly string[][]): void {
  const { host, user, hostKey, privateKeyFile } = sshOf(lab);
  const resource = new TerraformResource(stack, 'machine', {
    terraformResourceType: 'terraform_data',
    provisioners: scripts.map((inline) => ({ type: 'remote-exec' as const, inline })),
    connection: {
      ...{ type: 'ssh', host, user, hostKey, timeout: '20s' },
      privateKey: `\${file("${privateKeyFile}")}`,
    },
  });
  resource.addOverride('triggers_replace', [trigger]);
}

async function flush(lab: Lab): Promise<void> {
  await lab.vpn.exec(`${FLUSH}; ip route flush table 200 2>/dev/null || :`);
}

type Declare = (stack: TerraformStack, lab: Lab, rules: number, variant: number) => void;

class ByTerraform implements Way {
  private readonly terraform: Terraform;

  constructor(
    private readonly lab: Lab,
    readonly name: string,
    private readonly declaration: Declare,
    private readonly clean: (lab: Lab) => Promise<void> = () => Promise.resolve(),
  ) {
    this.terraform = new Terraform(lab);
  }

  declare(rules: number, variant: number): void {
    this.terraform.declare((stack) => this.declaration(stack, this.lab, rules, variant));
  }

  async run(): Promise<void> {
    await this.terraform.apply();
  }

  async clear(): Promise<void> {
    await this.terraform.destroy();
    await this.clean(this.lab);
  }

  close(): void {
    this.terraform.close();
  }
}

const RULES_FILE = '/etc/source-routing-rules';

type Playbook = (rules: number, variant: number) => { readonly files: Record<string, string>; readonly play: object };

/** A file for `ip -batch`, which a handler loads if it has changed. */
const template: Playbook = (rules, variant) => {
  const [, ...lines] = commands(rules, variant);
  return {
    files: { 'rules.j2': lines.map((line) => line.replace('ip ', '')).join('\n') + '\n' },
    play: {
      tasks: [
        {
          name: 'Install the rules',
          template: { src: 'rules.j2', dest: RULES_FILE, mode: '0644' },
          notify: 'Load the rules',
        },
      ],
      handlers: [{ name: 'Load the rules', shell: `${FLUSH}; ip -batch ${RULES_FILE}` }],
    },
  };
};

/** A task that runs for each rule, and looks at what there is. */
const tasks: Playbook = (rules, variant) => {
  const [, route, ...add] = commands(rules, variant);
  return {
    files: {},
    play: {
      tasks: [
        { name: 'Look', command: 'ip rule show', register: 'there', changed_when: false },
        { name: 'Route', command: route, changed_when: false },
        {
          name: 'Rule',
          command: '{{ item }}',
          when: "item.split(' ')[6] not in there.stdout",
          loop: add,
        },
      ],
    },
  };
};

class ByAnsible implements Way {
  private readonly directory = mkdtempSync(join(tmpdir(), 'bench-ansible-'));

  constructor(
    private readonly lab: Lab,
    readonly name: string,
    private readonly playbook: Playbook,
  ) {
    mkdirSync(this.path('control'));
  }

  declare(rules: number, variant: number): void {
    const { files, play } = this.playbook(rules, variant);
    for (const [name, text] of Object.entries(files)) {
      writeFileSync(this.path(name), text);
    }
    writeFileSync(this.path('play.json'), JSON.stringify([{ hosts: 'all', gather_facts: false, ...play }]));
    const { host, user, privateKeyFile } = sshOf(this.lab);
    const options = `-o UserKnownHostsFile=${this.lab.keys.knownHostsFile}`;
    writeFileSync(
      this.path('inventory'),
      `${host} ansible_user=${user} ansible_ssh_private_key_file=${privateKeyFile} ` +
        `ansible_ssh_common_args="${options}" ansible_python_interpreter=/usr/bin/python3\n`,
    );
  }

  async run(): Promise<void> {
    const env = {
      ...process.env,
      HOME: this.directory,
      ANSIBLE_SSH_CONTROL_PATH_DIR: this.path('control'),
      ANSIBLE_LOCAL_TEMP: this.path('tmp'),
    };
    const options = { env, timeoutMs: 600_000 };
    expectSuccess(
      await this.lab.admin(['ansible-playbook', '-i', this.path('inventory'), this.path('play.json')], options),
    );
  }

  async clear(): Promise<void> {
    await this.lab.vpn.exec(`rm -rf ${RULES_FILE} ~/.ansible`);
    await flush(this.lab);
    this.hangUp();
  }

  /** Ends the connection that OpenSSH keeps for the next run. */
  private hangUp(): void {
    spawnSync('sh', [
      '-c',
      'for socket in "$1"/*; do ssh -o ControlPath="$socket" -O exit any; done',
      'sh',
      this.path('control'),
    ]);
  }

  close(): void {
    this.hangUp();
    rmSync(this.directory, { recursive: true, force: true });
  }

  private path(name: string): string {
    return join(this.directory, name);
  }
}

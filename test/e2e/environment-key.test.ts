import { mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { TerraformIterator, TerraformVariable, Token } from 'cdktf';
import type { TerraformStack } from 'cdktf';
import type { LinuxHostProps, SshConnection } from '../../lib';
import { LinuxHost, PolicyRule, RemovedLinuxHost, RuleAction } from '../../lib';
import { describeLab } from '../lab/describe-lab';
import type { Snapshot } from '../lab/snapshot';
import type { MachineName } from '../lab/topology';
import { Terraform, expectSuccess, sshOf } from './terraform';

const ROOT = resolve(__dirname, '../..');
const [TSX, CLI] = ['node_modules/.bin/tsx', 'lib/cli/main.ts'].map((path) => join(ROOT, path));

describeLab('a key that only a variable has', {}, (lab) => {
  const machines = ['vpn', 'nat'] as const;
  let terraform: Terraform;
  let env: NodeJS.ProcessEnv;
  let before: Record<(typeof machines)[number], Snapshot>;
  const adminKey = (): string => readFileSync(lab().keys.privateKeyFile, 'utf8');

  beforeEach(async () => {
    // No SSH agent, and a place for temporary files where we see what stays.
    env = { SSH_AUTH_SOCK: '' };
    terraform = new Terraform(lab(), env);
    env.TMPDIR = terraform.path('tmp');
    env.TF_LOG = 'TRACE';
    env.TF_LOG_PATH = terraform.path('log');
    mkdirSync(env.TMPDIR);
    const [vpn, nat] = await Promise.all([lab().vpn.snapshotState(), lab().nat.snapshotState()]);
    before = { vpn, nat };
  });
  afterEach(() => terraform.close());

  /** How to log in with a key that is nowhere but in a variable. */
  const login = (name: MachineName, user = 'root'): SshConnection => ({
    ...sshOf(lab(), name, user),
    privateKeyFile: undefined,
  });
  const declareHost = (stack: TerraformStack, props: LinuxHostProps): void => {
    const host = new LinuxHost(stack, 'server', { owner: 'one', ...props });
    new PolicyRule(stack, 'r', { host, source: '198.18.1.0/24', action: RuleAction.prohibit(), priority: 11000 });
  };
  const variableOf = (stack: TerraformStack, kind: 'sensitive' | 'ephemeral'): string => {
    const variable = new TerraformVariable(stack, 'key', { type: 'string', sensitive: true });
    variable.addOverride('ephemeral', kind === 'ephemeral');
    return variable.stringValue;
  };

  const owners = async (name: MachineName): Promise<string> =>
    (await lab().machine(name).exec('ls /var/lib/source-routing 2>/dev/null || :')).stdout.trim();
  const expectClean = async (): Promise<void> => {
    for (const name of machines) {
      expect([name, await lab().machine(name).changedSince(before[name])]).toEqual([name, []]);
    }
  };

  /** A line of a key as it is, and as base64 of whatever it stands in. */
  const patterns = (key: string): string[] => {
    const line = key.split('\n')[2] ?? '';
    expect(line.length).toBeGreaterThan(40);
    return [
      line,
      ...['', 'x', 'xx'].map((first) =>
        Buffer.from(first + line)
          .toString('base64')
          .slice(4, -4),
      ),
    ];
  };
  /** The files that have a part of the key: the state, saved plans, logs, temporary files, those on the machines. */
  const filesWith = async (key: string): Promise<string[]> => {
    const words = patterns(key).map((each) => `-e '${each}'`);
    const search = (places: string): string => `grep -rlaF -D skip ${words.join(' ')} ${places} 2>/dev/null || :`;
    const unpack = `cd '${terraform.path('.')}' && for plan in *.plan; do [ ! -e "$plan" ] || unzip -oq "$plan" -d "in-$plan"; done`;
    const here = expectSuccess(await lab().admin(['sh', '-c', `${unpack}; ${search('.')}`]));
    const there = await Promise.all(
      machines.map(async (name) => (await lab().machine(name).exec(search('/root /home /tmp /var /run'))).stdout),
    );
    return [here, ...there].flatMap((output) => output.split('\n')).filter((file) => file !== '');
  };
  /** What the command says of all machines, run where Terraform runs. */
  const verify = async (): Promise<string> => {
    const { stdout } = await lab().admin([TSX, CLI, 'verify', terraform.path('.')], {
      env: { ...process.env, ...env },
    });
    return stdout;
  };
  const failure = async (command: 'apply' | 'destroy'): Promise<string> => {
    const { code, stdout, stderr } = await terraform.run(command, ['-auto-approve']);
    expect(code).toBe(1);
    // Terraform breaks the lines of an error at 78 columns.
    return `${stdout}${stderr.replace(/\s+/g, ' ')}`;
  };

  test.each(['ephemeral', 'sensitive'] as const)(
    'that is %s: a change of owner and of host, and a destroy',
    async (kind) => {
      const key = adminKey();
      env.TF_VAR_key = key;
      const declare = (name: MachineName, owner: string): void =>
        terraform.declare((stack) => {
          const privateKey = variableOf(stack, kind);
          declareHost(stack, {
            ssh: { ...login(name), privateKey, privateKeyEnvironmentVariable: 'TF_VAR_key' },
            owner,
          });
        });
      /** Applies a saved plan, of which we see what it has. */
      const apply = async (name: string): Promise<void> => {
        await terraform.plan([`-out=${name}.plan`]);
        expectSuccess(await terraform.run('apply', [`${name}.plan`]));
      };
      declare('vpn', 'one');
      await apply('first');
      expect([await owners('vpn'), await owners('nat')]).toEqual(['one', '']);
      if (kind === 'ephemeral') {
        declare('vpn', 'two');
        await apply('owner');
        expect([await owners('vpn'), await owners('nat')]).toEqual(['two', '']);
      }
      declare('nat', 'two');
      await apply('host');
      expect([await owners('vpn'), await owners('nat')]).toEqual(['', 'two']);
      await terraform.plan(['-destroy', '-out=destroy.plan']);
      expectSuccess(await terraform.run('apply', ['destroy.plan']));
      await expectClean();
      // Terraform writes each sensitive variable into a plan, and no ephemeral one.
      const plans = kind === 'ephemeral' ? [] : ['first', 'host', 'destroy'];
      expect((await filesWith(key)).sort()).toEqual(plans.map((name) => `./in-${name}.plan/tfplan`).sort());
    },
    180_000,
  );

  test('of the environment alone, an RSA key in base64, for several machines at a time', async () => {
    const file = terraform.path('rsa');
    expectSuccess(
      await lab().admin(['ssh-keygen', '-q', '-t', 'rsa', '-b', '2048', '-m', 'PEM', '-N', '', '-f', file]),
    );
    const key = readFileSync(file, 'utf8');
    expect(key).toContain('BEGIN RSA PRIVATE KEY');
    const authorized = '/etc/ssh/lab_authorized_keys';
    for (const name of machines) {
      await lab()
        .machine(name)
        .exec(`cp -p ${authorized} /run/kept && echo '${readFileSync(`${file}.pub`, 'utf8').trim()}' >>${authorized}`);
    }
    expectSuccess(await lab().admin(['rm', file]));
    env.VPN_KEY = Buffer.from(key).toString('base64');
    const declare = (names: readonly MachineName[]): void =>
      terraform.declare((stack) => {
        const values = names.map((name) => [name, { host: login(name).host, host_key: login(name).hostKey }] as const);
        const variable = new TerraformVariable(stack, 'servers', {
          type: 'map(object({ host = string, host_key = string }))',
          default: Object.fromEntries(values),
        });
        const forEach = TerraformIterator.fromMap(Token.asAnyMap(variable.value));
        const [host, hostKey] = [forEach.getString('host'), forEach.getString('host_key')];
        const ssh = { host, hostKey, user: 'debian', privateKeyEnvironmentVariable: 'VPN_KEY' };
        declareHost(stack, { forEach, ssh, owner: 'fleet' });
      });
    declare(machines);
    await terraform.plan(['-out=fleet.plan']);
    expectSuccess(await terraform.run('apply', ['fleet.plan']));
    expect([await owners('vpn'), await owners('nat')]).toEqual(['fleet', 'fleet']);
    expect(await verify()).toBe('As declared: 2 of 2.\n');
    declare(['nat']);
    await terraform.apply();
    expect([await owners('vpn'), await owners('nat')]).toEqual(['', 'fleet']);
    declare(machines);
    await terraform.apply();
    await terraform.destroy();
    for (const name of machines) {
      await lab().machine(name).exec(`cat /run/kept >${authorized} && rm /run/kept`);
    }
    await expectClean();
    expect(await filesWith(key)).toEqual([]);
  }, 180_000);

  test('through a bastion that has a key of its own', async () => {
    env.VPN_KEY = adminKey();
    env.BASTION_KEY = Buffer.from(adminKey()).toString('base64');
    const bastion = { host: lab().nat.address(), user: 'debian', privateKeyEnvironmentVariable: 'BASTION_KEY' };
    terraform.declare((stack) =>
      declareHost(stack, {
        ssh: { ...login('vpn'), hostKey: undefined, privateKeyEnvironmentVariable: 'VPN_KEY', bastion },
      }),
    );
    await terraform.apply();
    env.BASTION_KEY = 'wrong';
    expect(await failure('destroy')).toContain(
      'ssh.bastion.privateKeyEnvironmentVariable: BASTION_KEY is not a private key without a passphrase.',
    );
    expect(await owners('vpn')).toBe('one');
    env.BASTION_KEY = adminKey();
    await terraform.destroy();
    await expectClean();
    expect(await filesWith(adminKey())).toEqual([]);
  }, 180_000);

  test('that is not set: neither an apply nor a destroy changes anything, and both say so at once', async () => {
    const told =
      'source-routing: refused, nothing was changed: ssh.privateKeyEnvironmentVariable: VPN_KEY is not set where Terraform runs. Set it to the contents of a key file';
    terraform.declare((stack) =>
      declareHost(stack, { ssh: { ...login('vpn'), privateKeyEnvironmentVariable: 'VPN_KEY' } }),
    );
    expect(await terraform.plan()).toContain('Plan: 2 to add');
    expect(await failure('apply')).toContain(told);
    await expectClean();
    env.VPN_KEY = adminKey();
    await terraform.apply();
    const applied = await lab().vpn.snapshotState();
    delete env.VPN_KEY;
    const begin = Date.now();
    expect(await failure('destroy')).toContain(told);
    expect(Date.now() - begin).toBeLessThan(10_000);
    expect(await lab().vpn.changedSince(applied)).toEqual([]);
    // What the state says is enough for a host that is no longer declared.
    terraform.declare((stack) => void new RemovedLinuxHost(stack, 'server'));
    expect(await failure('apply')).toContain('self.input.key_variable is "VPN_KEY"');
    expect(await lab().vpn.changedSince(applied)).toEqual([]);
    env.VPN_KEY = adminKey();
    await terraform.apply();
    await expectClean();
    expect(await filesWith(adminKey())).toEqual([]);
  }, 180_000);

  test('and was applied before the environment had it: the destroy finds it all the same', async () => {
    const key = adminKey();
    const declare = (more: Partial<SshConnection>): void =>
      terraform.declare((stack) => {
        const privateKey = variableOf(stack, 'ephemeral');
        declareHost(stack, { ssh: { ...login('vpn'), privateKey, ...more } });
      });
    env.TF_VAR_key = key;
    declare({});
    await terraform.apply();
    expect(await failure('destroy')).toContain('SSH_AUTH_SOCK not-specified');
    declare({ privateKeyEnvironmentVariable: 'TF_VAR_key' });
    await terraform.destroy();
    await expectClean();
    expect(await filesWith(key)).toEqual([]);
  }, 180_000);
});

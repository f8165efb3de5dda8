import { readFileSync, writeFileSync } from 'node:fs';
import type { TerraformStack } from 'cdktf';
import { TerraformVariable } from 'cdktf';
import type { SshConnection } from '../../lib';
import { describeLab } from '../lab/describe-lab';
import { noExecHome } from '../lab/faults';
import type { Snapshot } from '../lab/snapshot';
import { declareEgress } from './egress';
import { Terraform, expectSuccess, sshOf } from './terraform';

describeLab('a connection', {}, (lab) => {
  let terraform: Terraform;
  let before: Snapshot;

  beforeEach(async () => {
    before = await lab().vpn.snapshotState();
  });
  afterEach(() => terraform.close());

  const HOME = '/home/debian';

  /** Applies, looks at the machine, and destroys again: each way must be good for both. */
  async function roundTrip(
    ssh: (stack: TerraformStack) => Partial<SshConnection>,
    { env = {}, args = [] as string[], check = (): void => undefined } = {},
  ): Promise<void> {
    terraform = new Terraform(lab(), env);
    terraform.declare((stack) => void declareEgress(stack, lab(), {}, { ssh: { ...sshOf(lab()), ...ssh(stack) } }));
    await terraform.apply(args);
    await lab().vpn.exec('source-routing verify');
    check();
    await terraform.destroy(args);
    expect(await lab().vpn.changedSince(before)).toEqual([]);
  }

  /** Runs something with an SSH agent that holds the administrator's key. */
  async function withAgent(use: (env: NodeJS.ProcessEnv) => Promise<void>): Promise<void> {
    const { stdout } = await lab().admin(['ssh-agent', '-s']);
    const socket = /SSH_AUTH_SOCK=([^;]+)/.exec(stdout)?.[1];
    const pid = /SSH_AGENT_PID=(\d+)/.exec(stdout)?.[1];
    const env = { SSH_AUTH_SOCK: socket };
    try {
      expectSuccess(
        await lab().admin(['ssh-add', '-q', lab().keys.privateKeyFile], { env: { ...process.env, ...env } }),
      );
      await use(env);
    } finally {
      process.kill(Number(pid));
    }
  }

  test('as another user than root, through sudo', () => roundTrip(() => ({ user: 'debian' })));

  test('with the agent', () => withAgent((env) => roundTrip(() => ({ privateKeyFile: undefined }), { env })));

  test('with a certificate', () =>
    roundTrip(() => ({ privateKeyFile: lab().keys.certifiedKeyFile, certificateFile: lab().keys.certificateFile })));

  test('through a bastion', () =>
    roundTrip(() => ({ hostKey: undefined, bastion: { host: lab().nat.address(), user: 'debian' } })));

  test.each(['sensitive', 'ephemeral'])(
    'with a private key from a variable that is %s: the state does not have it',
    (kind) =>
      withAgent(async (env) => {
        const key = readFileSync(lab().keys.privateKeyFile, 'utf8');
        const secret = key.split('\n')[1] ?? '';
        const declareKey = (stack: TerraformStack): string => {
          const variable = new TerraformVariable(stack, 'key', { type: 'string', sensitive: true });
          if (kind === 'ephemeral') {
            variable.addOverride('ephemeral', true);
          }
          return variable.stringValue;
        };
        await roundTrip((stack) => ({ privateKeyFile: undefined, privateKey: declareKey(stack) }), {
          env: { ...env, TF_VAR_key: key },
          check: () => {
            expect(secret.length).toBeGreaterThan(20);
            expect(readFileSync(terraform.path('terraform.tfstate'), 'utf8')).not.toContain(secret);
          },
        });
      }),
  );

  test('with a key file: neither the state nor a saved plan has it', async () => {
    const key = readFileSync(lab().keys.privateKeyFile, 'utf8');
    const secret = key.split('\n')[1] ?? '';
    terraform = new Terraform(lab());
    terraform.declare((stack) => void declareEgress(stack, lab()));
    await terraform.plan(['-out=saved']);
    expectSuccess(
      await lab().admin([
        'sh',
        '-c',
        'cd "$1" && mkdir plan && cd plan && unzip -q ../saved',
        'sh',
        terraform.path('.'),
      ]),
    );
    for (const file of ['plan/tfplan', 'plan/tfstate', 'plan/tfconfig/m-/main.tf.json']) {
      expect(readFileSync(terraform.path(file), 'latin1')).not.toContain(secret);
    }
    expectSuccess(await terraform.run('apply', ['saved']));
    expect(readFileSync(terraform.path('terraform.tfstate'), 'utf8')).not.toContain(secret);
    await terraform.destroy();
  });

  test('a plan needs no key, as in a pull request', async () => {
    terraform = new Terraform(lab());
    const privateKeyFile = terraform.path('missing');
    terraform.declare((stack) => void declareEgress(stack, lab(), {}, { ssh: { ...sshOf(lab()), privateKeyFile } }));
    expect(await terraform.plan()).toContain('Plan: 2 to add');
    writeFileSync(privateKeyFile, '');
  });

  test('to a machine with another host key is refused', async () => {
    terraform = new Terraform(lab());
    const hostKey = lab().keys.hostKey('nat', 'ecdsa');
    terraform.declare(
      (stack) => void declareEgress(stack, lab(), {}, { ssh: { ...sshOf(lab()), hostKey, timeoutSeconds: 3 } }),
    );
    const { code, stderr } = await terraform.run('apply', ['-auto-approve']);
    expect(code).toBe(1);
    expect(stderr.replace(/\s+/g, ' ')).toContain('key mismatch');
    expect(await lab().vpn.changedSince(before)).toEqual([]);
  });

  describe('a directory for the scripts that', () => {
    const declare = (ssh: Partial<SshConnection> = {}): void =>
      terraform.declare(
        (stack) => void declareEgress(stack, lab(), {}, { ssh: { ...sshOf(lab(), 'vpn', 'debian'), ...ssh } }),
      );
    const failure = async (command: 'apply' | 'destroy', args: string[] = []): Promise<string> => {
      const { code, stdout, stderr } = await terraform.run(command, ['-auto-approve', ...args]);
      expect(code).toBe(1);
      // Terraform breaks the lines of an error at 78 columns.
      return `${stdout}${stderr.replace(/\s+/g, ' ')}`;
    };
    /** The mode of the directory, and those of ours in there once the scripts have cleaned up behind themselves. */
    const uploads = async (): Promise<string> => {
      const look = `cd ${HOME}
        # Not with a pattern: a name that goes while ls looks at the others would be an error.
        for try in $(seq 100); do ls -A .ssh 2>/dev/null | grep -q '^.source' || break; sleep 0.1; done
        ls -Ald .ssh .ssh/.source* 2>/dev/null | cut -c 1-10`;
      return (await lab().vpn.exec(look)).stdout.trim();
    };

    beforeEach(() => {
      terraform = new Terraform(lab());
    });

    test.each([
      [
        'is not there',
        `rmdir ${HOME}/.ssh`,
        `install -d -m 700 -o debian -g debian ${HOME}/.ssh`,
        'bundle.see-ssh.scriptDirectory: No such file or directory',
        '',
      ],
      [
        "is not the user's own",
        `chown root ${HOME}/.ssh`,
        `chown debian ${HOME}/.ssh`,
        'bundle.see-ssh.scriptDirectory: Permission denied',
        'drwx------',
      ],
      [
        'others can enter',
        `chmod 755 ${HOME} ${HOME}/.ssh`,
        `chmod 700 ${HOME}/.ssh`,
        `source-routing: refused, nothing was changed: others can enter ${HOME}/.ssh, and so change what root is to run: chmod go-rwx ${HOME}/.ssh`,
        'drwxr-xr-x',
      ],
    ])('%s: the error says so, and nothing is left', async (_, begin, end, words, left) => {
      declare();
      await lab().vpn.exec(begin);
      expect(await failure('apply')).toContain(words);
      expect(await uploads()).toBe(left);
      await lab().vpn.exec(end);
      await terraform.apply();
      expect(await uploads()).toBe('drwx------');
      await lab().vpn.exec(begin);
      expect(await failure('destroy')).toContain(words);
      expect(await uploads()).toBe(left);
      await lab().vpn.exec(end);
      await terraform.destroy();
      // The next test takes the directory away from the script that removes the last of them.
      expect(await uploads()).toBe('drwx------');
      expect(await lab().vpn.changedSince(before)).toEqual([]);
    });

    test('is noexec: the error names the property that is the way out', async () => {
      const mend = await noExecHome(lab().vpn);
      declare();
      expect(await failure('apply')).toMatch(/\.see-ssh\.scriptDirectory: Permission denied/);
      await lab().vpn.exec('install -d -m 700 -o debian -g debian /srv/deploy');
      declare({ scriptDirectory: '/srv/deploy' });
      await terraform.apply();
      await lab().vpn.exec('source-routing verify');
      await terraform.destroy();
      // The last script goes a moment after it has ended.
      await lab().vpn.exec('for try in $(seq 100); do rmdir /srv/deploy && exit; sleep 0.1; done; exit 1');
      await mend();
      await lab().vpn.exec(`rm ${HOME}/.ssh/.source-routing-*`);
      expect(await lab().vpn.changedSince(before)).toEqual([]);
    });

    test('is known at apply only means nothing to the shell', async () => {
      terraform.declare((stack) => {
        const scriptDirectory = new TerraformVariable(stack, 'directory', { type: 'string' }).stringValue;
        declareEgress(stack, lab(), {}, { ssh: { ...sshOf(lab(), 'vpn', 'debian'), scriptDirectory } });
      });
      const hostile = ['-var', 'directory=.ssh;touch /tmp/owned;'];
      expect(await failure('apply', hostile)).toContain('No such file or directory');
      await lab().vpn.exec('! [ -e /tmp/owned ]');
      await terraform.apply(['-var', 'directory=./.ssh']);
      await terraform.destroy(['-var', 'directory=./.ssh']);
      expect(await lab().vpn.changedSince(before)).toEqual([]);
    });
  });

  test('that gets another property later can still clean up', async () => {
    terraform = new Terraform(lab());
    const { hostKey, ...unpinned } = sshOf(lab());
    terraform.declare((stack) => void declareEgress(stack, lab(), {}, { ssh: unpinned }));
    await terraform.apply();
    // Not applied before: the clean-up has what was kept at the first time.
    terraform.declare((stack) => void declareEgress(stack, lab(), {}, { ssh: { ...unpinned, hostKey } }));
    await terraform.destroy();
    expect(await lab().vpn.changedSince(before)).toEqual([]);
  });
});

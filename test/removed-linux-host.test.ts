import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NullProvider } from '@cdktf/provider-null/lib/provider';
import type { TerraformStack } from 'cdktf';
import { Construct } from 'constructs';
import type { RemovedLinuxHostProps } from '../lib';
import { Engine, RemovedLinuxHost } from '../lib';
import { newHost, newStack, resourceOf, synthesize } from './fixtures';

interface Removed {
  readonly from: string;
  readonly lifecycle: { readonly destroy: boolean };
  readonly provisioner?: ReadonlyArray<Record<string, Record<string, unknown>>>;
}

function removedOf(stack: TerraformStack): Removed[] {
  return (synthesize(stack) as unknown as { removed: Removed[] }).removed;
}

function removedFrom(props?: RemovedLinuxHostProps): TerraformStack {
  const stack = newStack();
  new RemovedLinuxHost(stack, 'vpn1', props);
  return stack;
}

type Provisioners = ReadonlyArray<Record<string, Record<string, unknown>>>;

/** What is removed may have been a fleet, of which nobody should forget all machines. */
function asRemoved(provisioners: Provisioners): Provisioners {
  return provisioners.map(({ 'local-exec': note, ...others }) =>
    note === undefined
      ? others
      : note.environment
        ? { 'local-exec': note }
        : { 'local-exec': { ...note, command: `${String(note.command)}${OF_A_FLEET}` } },
  );
}

const OF_A_FLEET = ', each with the key of the machine if it is one of several';

test('the blocks have the addresses of the resources, and the provisioners of the anchor', () => {
  const before = newStack();
  newHost(before);
  const stack = removedFrom();
  expect(removedOf(stack)).toEqual([
    {
      from: 'terraform_data.vpn1_anchor_6BC782AD',
      lifecycle: { destroy: true },
      provisioner: asRemoved(resourceOf(before, 'anchor').provisioner),
    },
    { from: 'terraform_data.vpn1_apply_DFDC6F98', lifecycle: { destroy: true } },
  ]);
  expect(synthesize(stack).resource).toBeUndefined();
});

test('they add up', () => {
  const stack = removedFrom();
  new RemovedLinuxHost(new Construct(stack, 'region'), 'vpn1');
  newHost(stack, {}, 'vpn2');
  stack.addOverride('removed', [{ from: 'null_resource.mine', lifecycle: { destroy: false } }]);
  expect(removedOf(stack).map(({ from }) => from)).toEqual([
    'terraform_data.vpn1_anchor_6BC782AD',
    'terraform_data.vpn1_apply_DFDC6F98',
    'terraform_data.region_vpn1_anchor_F93AB9E9',
    'terraform_data.region_vpn1_apply_C19D812F',
    'null_resource.mine',
  ]);
  expect(Object.keys(synthesize(stack).resource.terraform_data ?? {})).toHaveLength(2);
});

test('forget runs nothing', () => {
  expect(removedOf(removedFrom({ forget: true }))).toEqual([
    { from: 'terraform_data.vpn1_anchor_6BC782AD', lifecycle: { destroy: false } },
    { from: 'terraform_data.vpn1_apply_DFDC6F98', lifecycle: { destroy: false } },
  ]);
});

test('confirmTimeoutSeconds', () => {
  const [, , cleanUp, confirm] = removedOf(removedFrom({ confirmTimeoutSeconds: 90 }))[0]?.provisioner ?? [];
  expect(cleanUp?.['remote-exec']?.inline).toEqual([expect.stringContaining("confirm_timeout='90'\n")]);
  expect(confirm?.['remote-exec']?.connection).toMatchObject({ timeout: '130s' });
  expect(() => removedFrom({ confirmTimeoutSeconds: 9 })).toThrow(
    '[stack/vpn1] confirmTimeoutSeconds 9 is not an integer from 10',
  );
});

test('privateKeyEnvironmentVariable: the clean-up is that of a host that has it', () => {
  const name = { privateKeyEnvironmentVariable: 'KEY' };
  const before = newStack();
  newHost(before, { ssh: { host: 'h', ...name } });
  expect(removedOf(removedFrom(name))[0]?.provisioner).toEqual(asRemoved(resourceOf(before, 'anchor').provisioner));
  expect(() => removedFrom({ privateKeyEnvironmentVariable: '$KEY' })).toThrow(
    '[stack/vpn1] privateKeyEnvironmentVariable "$KEY" is not the name of an environment variable, without "$" and "=".',
  );
});

test('it cannot stand beside what it says is gone', () => {
  expect(() => newHost(removedFrom())).toThrow("There is already a Construct with name 'vpn1'");
});

describe('null engine', () => {
  const ENGINE = { engine: Engine.NULL_RESOURCE };

  test('the blocks are those of its resources, and its provider stays', () => {
    const before = newStack();
    newHost(before, ENGINE);
    const stack = removedFrom(ENGINE);
    expect(removedOf(stack)).toEqual([
      {
        from: expect.stringMatching(/^null_resource\.vpn1_anchor_/),
        lifecycle: { destroy: true },
        provisioner: asRemoved(resourceOf(before, 'anchor', 'null_resource').provisioner),
      },
      { from: expect.stringMatching(/^null_resource\.vpn1_apply_/), lifecycle: { destroy: true } },
    ]);
    expect(synthesize(stack).provider).toEqual({ null: [{}] });
  });

  test('takes the provider that is there', () => {
    const stack = removedFrom(ENGINE);
    new NullProvider(stack, 'mine', { alias: 'mine' });
    expect(synthesize(stack).provider).toEqual({ null: [{ alias: 'mine' }] });
  });
});

describe('with Terraform', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'removed-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const terraform = (...args: string[]): string =>
    execFileSync('terraform', [`-chdir=${directory}`, ...args], {
      encoding: 'utf8',
      env: { ...process.env, CHECKPOINT_DISABLE: '1', TF_CLI_CONFIG_FILE: '/dev/null', TF_CLI_ARGS: '-no-color' },
    });

  /** The configuration without what an apply does; what would clean up a machine only notes that it ran. */
  function write(stack: TerraformStack): void {
    const json = JSON.stringify(synthesize(stack), (key, value: unknown) => {
      if (key !== 'provisioner') {
        return value;
      }
      const provisioners = (value as Array<Record<string, Record<string, unknown>>>).flatMap((provisioner) => {
        const { 'local-exec': local, 'remote-exec': remote } = provisioner;
        if ((local ?? remote)?.when !== 'destroy') {
          return [];
        }
        const [script = ''] = (remote?.inline ?? []) as string[];
        const owner = /^owner='(.*)'$/m.exec(script)?.[1];
        const name = script.includes("removal='--removal'") ? 'confirm' : 'clean-up';
        const command = `echo ${name} ${owner} >>${directory}/ran; [ ! -e ${directory}/${name}-fails ]`;
        return local ? provisioner : { 'local-exec': { command, when: 'destroy', on_failure: remote?.on_failure } };
      });
      return provisioners.length > 0 ? provisioners : undefined;
    });
    writeFileSync(join(directory, 'main.tf.json'), json);
  }

  /** A state that has the host, though no machine has seen it. */
  function applied(): void {
    const stack = newStack();
    newHost(stack);
    write(stack);
    terraform('init');
    terraform('apply', '-auto-approve');
  }

  const ran = (): string[] =>
    existsSync(join(directory, 'ran')) ? readFileSync(join(directory, 'ran'), 'utf8').trim().split('\n') : [];
  const WAY_OUT = 'terraform state rm terraform_data.vpn1_anchor_6BC782AD terraform_data.vpn1_apply_DFDC6F98';

  test('what synth makes is valid, cleans up once, and may stay for ever', () => {
    applied();
    writeFileSync(join(directory, 'main.tf.json'), JSON.stringify(synthesize(removedFrom())));
    expect(terraform('validate')).toContain('Success! The configuration is valid.');
    write(removedFrom());
    const output = terraform('apply', '-auto-approve');
    expect(output).toContain('Apply complete! Resources: 0 added, 0 changed, 2 destroyed.');
    expect(output.split('\n').filter((line) => line.endsWith(WAY_OUT + OF_A_FLEET))).toHaveLength(1);
    expect(ran()).toEqual(['clean-up stack-vpn1', 'confirm stack-vpn1']);
    expect(terraform('plan')).toContain('No changes.');
    expect(terraform('state', 'list')).toBe('');
  }, 120_000);

  test('a clean-up that may have failed is forgotten only if the confirmation says so', () => {
    applied();
    write(removedFrom());
    writeFileSync(join(directory, 'clean-up-fails'), '');
    writeFileSync(join(directory, 'confirm-fails'), '');
    const args = [`-chdir=${directory}`, 'apply', '-auto-approve'];
    expect(spawnSync('terraform', args).status).toBe(1);
    expect(terraform('state', 'list').trim()).toBe('terraform_data.vpn1_anchor_6BC782AD');
    rmSync(join(directory, 'confirm-fails'));
    terraform('apply', '-auto-approve');
    expect(terraform('state', 'list')).toBe('');
    expect(ran()).toEqual(['clean-up stack-vpn1', 'confirm stack-vpn1', 'clean-up stack-vpn1', 'confirm stack-vpn1']);
  }, 120_000);

  test('forget leaves nothing in the state and runs nothing', () => {
    applied();
    write(removedFrom({ forget: true }));
    expect(terraform('apply', '-auto-approve')).toContain('Resources: 0 added, 0 changed, 0 destroyed.');
    expect(terraform('state', 'list')).toBe('');
    expect(ran()).toEqual([]);
    expect(terraform('plan')).toContain('No changes.');
  }, 120_000);
});

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  DataTerraformRemoteStateLocal,
  Fn,
  Lazy,
  TerraformLocal,
  TerraformStack,
  TerraformVariable,
  Testing,
} from 'cdktf';
import type { LinuxHostProps } from '../lib';
import { Engine, HostState } from '../lib';
import { referencedResources } from '../lib/delivery/escape';
import { TerraformData } from '../lib/delivery/terraform-data';
import type { Synthesized } from './fixtures';
import { SSH, newHost, newStack, resourceOf, synthWarnings, synthesize } from './fixtures';

/** What stands for an instance that was made from an image, and for an address that stays. */
function cloud(stack: TerraformStack, image = 'bookworm'): { id: string; address: string } {
  const instance = new TerraformData(stack, 'instance', { triggersReplace: { image } });
  const address = new TerraformData(stack, 'address', { input: { ip: '192.0.2.7' } });
  return { id: instance.getStringAttribute('id'), address: address.getStringAttribute('output.ip') };
}

function declared(stack: TerraformStack, props: Partial<LinuxHostProps> = {}, image?: string): TerraformStack {
  const { id, address } = cloud(stack, image);
  newHost(stack, { ssh: { ...SSH, host: address }, replaceTriggeredBy: [id], ...props });
  return stack;
}

describe.each([Engine.TERRAFORM_DATA, Engine.NULL_RESOURCE])('replaceTriggeredBy with %s', (engine) => {
  const keys = (kind: 'anchor' | 'apply', props: Partial<LinuxHostProps>): Record<string, string> => {
    const resource = resourceOf(declared(newStack(), { engine, ...props }), kind, engine) as unknown as Record<
      string,
      Record<string, string> | undefined
    >;
    return (engine === Engine.TERRAFORM_DATA ? resource.triggers_replace : resource.triggers) ?? {};
  };

  test('is a key of the apply alone: the clean-up of the anchor would meet the new machine', () => {
    expect(keys('apply', {}).machine).toBe('${terraform_data.instance.id}');
    expect(keys('anchor', {})).toEqual(keys('anchor', { replaceTriggeredBy: undefined }));
    expect(Object.keys(keys('apply', { replaceTriggeredBy: undefined }))).not.toContain('machine');
    expect(Object.keys(keys('apply', { replaceTriggeredBy: [] }))).not.toContain('machine');
    expect(keys('apply', { ensure: HostState.ABSENT })).toMatchObject({ ensure: 'absent', machine: /id/ });
  });

  test('takes several values, and plain ones', () => {
    const replaceTriggeredBy = ['i-0abc', 'of ${rack}'];
    expect(keys('apply', { replaceTriggeredBy }).machine).toBe('i-0abc of $${rack}');
  });

  test('keeps what it refers to until the machine is cleaned up', () => {
    const dependencies = (props: Partial<LinuxHostProps>): string[] | undefined =>
      resourceOf(declared(newStack(), { engine, ...props }), 'anchor', engine).depends_on;
    expect(dependencies({})).toEqual(['terraform_data.instance']);
    expect(dependencies({ replaceTriggeredBy: ['i-0abc'] })).toBeUndefined();
    const stack = newStack();
    const firewall = new TerraformData(stack, 'firewall', {});
    const { id } = cloud(stack);
    newHost(stack, { engine, replaceTriggeredBy: [`${id}/${id}`], dependsOn: [firewall] });
    expect(resourceOf(stack, 'anchor', engine).depends_on).toEqual([
      'terraform_data.firewall',
      'terraform_data.instance',
    ]);
  });
});

describe('replaceTriggeredBy', () => {
  test('may be of another stack, which does not wait', () => {
    const app = Testing.app();
    const { id } = cloud(new TerraformStack(app, 'network'));
    const stack = new TerraformStack(app, 'stack');
    newHost(stack, { replaceTriggeredBy: [id] });
    app.synth();
    const file = join(app.outdir, 'stacks/stack/cdk.tf.json');
    const { resource } = JSON.parse(readFileSync(file, 'utf8')) as Synthesized;
    const [anchor, apply] = Object.values(resource.terraform_data ?? {});
    expect(apply?.triggers_replace.machine).toMatch(/^\$\{data\.terraform_remote_state\./);
    expect(anchor?.depends_on).toBeUndefined();
  });

  test('must be known in number, and takes nothing that would be code', () => {
    const stack = newStack();
    const variable = new TerraformVariable(stack, 'ids', {});
    expect(() => newHost(stack, { replaceTriggeredBy: variable.listValue })).toThrow(
      '[stack/vpn1] replaceTriggeredBy is a list that is known at apply only, but its length must be known at synth.',
    );
    expect(() => newHost(newStack(), { replaceTriggeredBy: [`${variable.stringValue}"`] })).toThrow(
      '[stack/vpn1] replaceTriggeredBy[0] has "\\"" beside a value that is known at apply only.',
    );
  });

  test('the plan shows another machine, replaces the apply, and leaves the anchor alone', () => {
    const directory = mkdtempSync(join(tmpdir(), 'replaced-'));
    try {
      const terraform = (...args: string[]): string =>
        execFileSync('terraform', [`-chdir=${directory}`, ...args, '-no-color'], {
          encoding: 'utf8',
          env: { ...process.env, CHECKPOINT_DISABLE: '1', TF_CLI_CONFIG_FILE: '/dev/null' },
        });
      // Without what would look for a machine.
      const declare = (image: string, props: Partial<LinuxHostProps>): void => {
        const { resource } = synthesize(declared(newStack(), props, image));
        for (const each of Object.values(resource.terraform_data ?? {}) as Array<{
          provisioner?: unknown;
          connection?: unknown;
        }>) {
          delete each.provisioner;
          delete each.connection;
        }
        writeFileSync(join(directory, 'main.tf.json'), JSON.stringify({ resource }));
      };
      declare('bookworm', {});
      terraform('apply', '-auto-approve');
      expect(terraform('plan')).toContain('No changes.');
      declare('trixie', {});
      const plan = terraform('plan');
      expect(plan).toContain('Plan: 2 to add, 0 to change, 2 to destroy.');
      expect(plan).toMatch(/terraform_data\.vpn1_apply_\w+ must be replaced/);
      expect(plan).toMatch(
        /~ machine += "[0-9a-f-]{36}" -> \(known after apply\)\n +# \(\d+ unchanged attributes hidden\)/,
      );
      expect(plan).not.toMatch(/vpn1_anchor_\w+ (must|will) be/);
      // What it is for: otherwise nobody sees it.
      declare('bookworm', { replaceTriggeredBy: undefined });
      terraform('apply', '-auto-approve');
      declare('trixie', { replaceTriggeredBy: undefined });
      expect(terraform('plan')).not.toMatch(/vpn1_(apply|anchor)_\w+ (must|will) be/);
    } finally {
      rmSync(directory, { recursive: true });
    }
  }, 120_000);
});

describe('a machine that may be replaced behind its address', () => {
  const warned = (props: Partial<LinuxHostProps>, host: (stack: TerraformStack) => string): string[] => {
    const stack = newStack();
    newHost(stack, { ssh: { ...SSH, host: host(stack) }, ...props });
    return synthWarnings(stack);
  };
  const elastic = (stack: TerraformStack): string => cloud(stack).address;
  const WARNING =
    '[stack/vpn1] ssh.host comes from terraform_data.address: if another machine comes to have that address, the plan shows ' +
    'no change, and its clients leave by the uplink. Set replaceTriggeredBy, for example to the id of the instance.';

  test('is warned of where the address comes from a resource', () => {
    expect(warned({}, elastic)).toEqual([WARNING]);
    expect(warned({}, (stack) => Fn.element([elastic(stack)], 0) as string)).toEqual([WARNING]);
    expect(warned({}, (stack) => Fn.join('', ['module.x', elastic(stack)]))).toEqual([WARNING]);
  });

  test('also of another stack', () => {
    const app = Testing.app();
    const { address } = cloud(new TerraformStack(app, 'network'));
    const stack = new TerraformStack(app, 'stack');
    newHost(stack, { ssh: { ...SSH, host: address } });
    expect(synthWarnings(stack)).toEqual([WARNING]);
  });

  test('but not with the property, even if it is empty, nor where nothing is left on it', () => {
    expect(warned({ replaceTriggeredBy: ['i-0abc'] }, elastic)).toEqual([]);
    expect(warned({ replaceTriggeredBy: [] }, elastic)).toEqual([]);
    expect(warned({ ensure: HostState.ABSENT }, elastic)).toEqual([]);
  });

  test.each<[string, (stack: TerraformStack) => string]>([
    ['a variable', (stack) => new TerraformVariable(stack, 'host', {}).stringValue],
    ['a local', (stack) => new TerraformLocal(stack, 'host', elastic(stack)).asString],
    ['plain text', () => Lazy.stringValue({ produce: () => '192.0.2.7' })],
    [
      'a data source',
      (stack) => new DataTerraformRemoteStateLocal(stack, 'other', { path: 'x' }).getString('public_ip'),
    ],
  ])('and not where it is %s', (_, host) => {
    expect(warned({}, host)).toEqual([]);
  });
});

test.each<[string, string[]]>([
  ['aws_eip.a.public_ip', []],
  ['${aws_eip.a.public_ip}', ['aws_eip.a']],
  ['%{if true}${aws_eip.a[0].public_ip}%{endif}-${aws_eip.b["k.aws_x.y"].id}', ['aws_eip.a', 'aws_eip.b']],
  ['${data.aws_eip.a.id}${var.a_b.c}${local.a_b.c}${each.value.a_b}${self.a_b.c}', []],
  ['${module.vpn.aws_eip.a}', ['module.vpn']],
  ['${module.vpn[0].ip}', ['module.vpn']],
  ['${join(".", ["aws_x.y", "${aws_eip.a.id}", "\\"${aws_eip.b.id}\\""])}', ['aws_eip.a', 'aws_eip.b']],
  ['${[for k, v in aws_eip.a : { (k) = v.id }]} aws_eip.b.id', ['aws_eip.a']],
  ['$${aws_eip.a.id}${aws_eip.b.id}%%{aws_eip.c.id}', ['aws_eip.b']],
  ['${merge({a = aws_eip.a.id}, aws_eip.b)}', ['aws_eip.a', 'aws_eip.b']],
  ['"}${"}"}', []],
])('the resources in %s', (text, resources) => {
  expect(referencedResources(text)).toEqual(resources);
});

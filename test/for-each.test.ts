import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TerraformStack } from 'cdktf';
import { Lazy, TerraformCount, TerraformIterator, TerraformVariable, Token } from 'cdktf';
import type { LinuxHostProps } from '../lib';
import type * as library from '../lib';
import { TerraformData } from '../lib/delivery/terraform-data';
import { LinuxHost, NatRouter, PolicyRule, RuleAction, VpnEgress } from '../lib';
import {
  HOST_KEY,
  SSH,
  bundleOf,
  contentOf,
  newHost,
  newStack,
  resourceOf,
  synthWarnings,
  synthesize,
  validationErrors,
} from './fixtures';

const INTERFACES = [{ name: 'eth1' }, { name: 'tun0' }];

function servers(stack: TerraformStack, id = 'servers'): TerraformIterator {
  const variable = new TerraformVariable(stack, id, { type: 'map(object({ address = string, pool = string }))' });
  return TerraformIterator.fromMap(Token.asAnyMap(variable.value));
}

interface Fleet {
  readonly stack: TerraformStack;
  readonly iterator: TerraformIterator;
  readonly host: LinuxHost;
  readonly egress: VpnEgress;
}

function fleet(props: Partial<LinuxHostProps> = {}): Fleet {
  const stack = newStack();
  const iterator = servers(stack);
  const ssh = { ...SSH, host: iterator.getString('address') };
  const host = newHost(stack, { forEach: iterator, ssh, interfaces: INTERFACES, ...props });
  const clients = [iterator.getString('pool')];
  const egress = new VpnEgress(stack, 'egress', {
    host,
    device: 'eth1',
    tableId: 200,
    clients,
    gateways: ['192.168.1.1'],
  });
  return { stack, iterator, host, egress };
}

describe('a host with forEach', () => {
  test('has one instance of both resources for each machine', () => {
    const { stack } = fleet();
    const [anchor, apply] = [resourceOf(stack, 'anchor'), resourceOf(stack, 'apply')];
    expect([anchor, apply]).toMatchObject([{ for_each: '${var.servers}' }, { for_each: '${var.servers}' }]);
    expect(anchor.triggers_replace).toEqual({ host: '${each.value.address}', port: '22', owner: 'stack-vpn1' });
    expect(apply.triggers_replace.anchor).toMatch(/^\$\{terraform_data\.vpn1_anchor_\w+\[each\.key\]\.id\}$/);
    expect(apply.connection).toMatchObject({ host: '${each.value.address}' });
  });

  test('has the values of the machine in the bundle and in the plan', () => {
    const { stack } = fleet();
    expect(validationErrors(stack)).toEqual([]);
    expect(bundleOf(stack).filter((line) => line.startsWith('value '))).toEqual([
      'value 1 prefix - stack/egress/clients-1:source ${jsonencode(each.value.pool)}',
      'value 2 prefix - stack/egress/local-1:destination ${jsonencode(each.value.pool)}',
      'value 3 prefix - stack/egress:clients_0_ ${jsonencode(each.value.pool)}',
    ]);
    expect(contentOf(stack)).toContain('lookup 200');
    expect(Object.values(resourceOf(stack, 'apply').triggers_replace)).toContain('from ${each.value.pool} lookup 200');
  });

  test.each([
    [
      'one list',
      (): undefined => undefined,
      ['[stack/vpn2] owner "vpn" already declares this machine in "stack/vpn1".'],
    ],
    ['another list', (stack: TerraformStack): TerraformIterator => servers(stack, 'others'), []],
  ])('is the only one of its owner for %s', (_, list, errors) => {
    const { stack, iterator } = fleet({ owner: 'vpn' });
    const forEach = list(stack) ?? iterator;
    newHost(stack, { owner: 'vpn', forEach, ssh: { ...SSH, host: forEach.getString('address') } }, 'vpn2');
    expect(validationErrors(stack)).toEqual(errors.map((error) => expect.stringContaining(error) as unknown));
  });

  test.each([
    ['differ by their bastions: another bastion is another machine', '10.0.0.1', true],
    ['have addresses of their own: another bastion leads to the same machine', undefined, false],
  ])('whose machines %s', (_, host, isIdentity) => {
    const stack = newStack();
    const forEach = servers(stack);
    const ssh = { ...SSH, host: host ?? forEach.getString('address'), bastion: { host: forEach.getString('bastion') } };
    newHost(stack, { forEach, ssh });
    const { triggers_replace } = resourceOf(stack, 'anchor');
    expect(triggers_replace.bastion).toBe(isIdentity ? '${each.value.bastion} 22' : undefined);
  });

  test('tells how to forget one machine, not all', () => {
    const note = resourceOf(fleet().stack, 'anchor').provisioner[0]?.['local-exec']?.command as string;
    expect(note).toMatch(
      /state rm \S+anchor\S+ \S+apply\S+, each with the key of the machine if it is one of several$/,
    );
    expect(note).toMatch(/^echo [A-Za-z0-9 .,:_-]+$/);
  });

  test.each<[string, (all: Fleet) => void, string]>([
    [
      'an address that is the same for all',
      () => fleet({ ssh: SSH }),
      '[stack/vpn1] ssh.host is the same for all machines of forEach. Take it from the iterator, for example servers.getString("address").',
    ],
    [
      'a list of machines that is none',
      () => fleet({ forEach: ['a'] as never }),
      '[stack/vpn1] forEach ["a"] is a list, not a TerraformIterator. Give TerraformIterator.fromMap(...) or fromList(...).',
    ],
    [
      'a value of its machines at another host',
      ({ stack, iterator }) => {
        const host = new LinuxHost(stack, 'other', { ssh: SSH });
        const source = iterator.getString('pool');
        new PolicyRule(stack, 'rule', { host, source, action: RuleAction.prohibit(), priority: 10100 });
      },
      '[stack/rule] source is a value of a TerraformIterator or TerraformCount, which has a value only in a resource with forEach or count. Give a TerraformIterator as forEach of the LinuxHost, or declare one host for each machine in a loop of the program.',
    ],
    [
      'that value also in a construct inside the fleet',
      ({ stack, host: scope, iterator }) => {
        const host = new LinuxHost(stack, 'other', { ssh: SSH });
        const source = iterator.getString('pool');
        new PolicyRule(scope, 'rule', { host, source, action: RuleAction.prohibit(), priority: 10100 });
      },
      '[stack/vpn1/rule] source is a value of a TerraformIterator or TerraformCount,',
    ],
    [
      'that value in another host inside the fleet',
      ({ host, iterator }) => new LinuxHost(host, 'x', { owner: 'x', ssh: { ...SSH, host: iterator.getString('a') } }),
      '[stack/vpn1/x] ssh.host is a value of a TerraformIterator or TerraformCount,',
    ],
    [
      'the index of a TerraformCount',
      () => fleet({ ssh: { ...SSH, host: `10.0.0.${Token.asString(TerraformCount.of(2).index)}` } }),
      '[stack/vpn1] ssh.host is a value of a TerraformIterator or TerraformCount,',
    ],
    [
      'a router of another host',
      ({ stack, host, iterator }) => {
        const natRouter = new LinuxHost(stack, 'nat', { ssh: { ...SSH, host: '192.0.2.9' } });
        const clients = [iterator.getString('pool')];
        new VpnEgress(stack, 'second', {
          host,
          natRouter,
          device: 'eth1',
          tableId: 201,
          clients,
          gateways: ['192.168.1.1'],
        });
      },
      '[stack/second] natRouter needs the addresses and pools of each server at synth, and those of a host with forEach are known at apply only. Declare one host for each machine in a loop of the program, or give the router its routes by other means.',
    ],
    [
      'a NatRouter',
      ({ stack, egress }) => {
        const host = new LinuxHost(stack, 'nat', { ssh: { ...SSH, host: '192.0.2.9' } });
        new NatRouter(stack, 'router', { host, egress, inside: 'eth1', outside: 'eth2' });
      },
      '[stack/router] egress needs the addresses and pools of each server at synth, and those of a host with forEach are known at apply only. Declare one host for each machine in a loop of the program, or give the router its routes by other means.',
    ],
  ])('refuses %s', (_, declare, message) => {
    expect(() => declare(fleet())).toThrow(message);
  });

  test('may differ in the port, or in the host that is jumped over', () => {
    const iterator = servers(newStack());
    expect(() => fleet({ ssh: { ...SSH, port: iterator.getNumber('port') } })).not.toThrow();
    expect(() => fleet({ ssh: { ...SSH, bastion: { host: iterator.getString('address') } } })).not.toThrow();
  });

  test('made by another copy of this library takes rules of this one', () => {
    jest.isolateModules(() => {
      const other = jest.requireActual<typeof library>('../lib');
      const stack = newStack();
      const iterator = servers(stack);
      const ssh = { ...SSH, host: iterator.getString('address') };
      const host = new other.LinuxHost(stack, 'vpn1', { forEach: iterator, ssh });
      const source = iterator.getString('pool');
      const rule = { host, source, action: RuleAction.prohibit(), priority: 10100 };
      expect(host).not.toBeInstanceOf(LinuxHost);
      expect(() => new PolicyRule(stack, 'rule', rule)).not.toThrow();
    });
  });

  test('is warned of machines that are replaced, where they come from resources', () => {
    const stack = newStack();
    const instances = new TerraformData(stack, 'instances', { forEach: servers(stack) });
    const iterator = TerraformIterator.fromResources(instances);
    const ssh = { ...SSH, host: iterator.getString('output') };
    newHost(stack, { forEach: iterator, ssh });
    expect(synthWarnings(stack)).toEqual([
      expect.stringContaining('[stack/vpn1] ssh.host comes from terraform_data.instances: '),
    ]);
  });

  test('takes an address that cannot be read yet', () => {
    const host = Lazy.stringValue({
      produce: () => {
        throw new Error('too early');
      },
    });
    expect(() => fleet({ ssh: { ...SSH, host } })).not.toThrow();
  });
});

describe('with Terraform', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'fleet-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  function terraform(command: string, machines: Record<string, string>): string {
    const servers_ = Object.fromEntries(
      Object.entries(machines).map(([name, pool], index) => [name, { address: `192.0.2.${index}`, pool }]),
    );
    writeFileSync(join(directory, 'terraform.tfvars.json'), JSON.stringify({ servers: servers_ }));
    return execFileSync('terraform', [`-chdir=${directory}`, ...command.split(' ')], {
      encoding: 'utf8',
      env: { ...process.env, CHECKPOINT_DISABLE: '1', TF_CLI_CONFIG_FILE: '/dev/null', TF_CLI_ARGS: '-no-color' },
    });
  }

  /** The resources that a plan changes, by their keys. */
  function planned(machines: Record<string, string>): string[] {
    const lines = terraform('plan -input=false', machines).split('\n');
    return lines.flatMap((line) => {
      const [, kind, key, what] =
        /^ {2}# terraform_data\.vpn1_(\w+?)_\w+\["(\w+)"\] (?:will|must) be (\w+)/.exec(line) ?? [];
      return what === undefined ? [] : [`${key} ${kind} ${what}`];
    });
  }

  test('only the machine that joins, leaves or changes is touched', () => {
    const { stack } = fleet({ ssh: { host: servers(newStack()).getString('address'), hostKey: HOST_KEY } });
    // There is no machine to connect to.
    const json = JSON.stringify(synthesize(stack), (key, value: unknown) =>
      key === 'provisioner' ? undefined : value,
    );
    writeFileSync(join(directory, 'main.tf.json'), json);
    terraform('init', {});
    terraform('apply -auto-approve', { a: '10.1.0.0/24', b: '10.2.0.0/24' });
    expect(planned({ a: '10.1.0.0/24', b: '10.2.0.0/24' })).toEqual([]);
    expect(planned({ a: '10.1.0.0/24', b: '10.2.0.0/24', c: '10.3.0.0/24' })).toEqual([
      'c anchor created',
      'c apply created',
    ]);
    expect(planned({ a: '10.1.0.0/24' })).toEqual(['b anchor destroyed', 'b apply destroyed']);
    expect(planned({ a: '10.1.0.0/24', b: '10.9.0.0/24' })).toEqual(['b apply replaced']);
  });
});

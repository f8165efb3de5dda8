import { mkdtempSync, readFileSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App, TerraformStack, TerraformVariable, Testing } from 'cdktf';
import type { VpnEgressProps } from '../lib';
import { Expected, LinuxHost, RemovedLinuxHost, VpnEgress } from '../lib';
import { ALL_INTERFACES, GATEWAYS, POOLS, SSH, newStack, synthesize, validationErrors } from './fixtures';

interface Server extends Partial<VpnEgressProps> {
  /** The address of SSH. */
  readonly ssh?: string;
}

/** Declares a server and its egress: `vpn1` and `egress1`. */
function server(
  stack: TerraformStack,
  number: number,
  { ssh = `198.51.100.${number}`, ...props }: Server = {},
): LinuxHost {
  const host = new LinuxHost(stack, `vpn${number}`, { ssh: { ...SSH, host: ssh }, interfaces: ALL_INTERFACES });
  const egress = { host, device: 'eth1', tableId: 200, clients: POOLS, gateways: GATEWAYS };
  new VpnEgress(stack, `egress${number}`, { ...egress, ...props });
  return host;
}

/** The directory with the files beside the configuration. */
function filesOf(stack: TerraformStack): string {
  return join(Testing.fullSynth(stack), 'stacks/stack/source-routing');
}

/** The file of a host by its ending. */
function fileOf(directory: string, number: number, ending: string): string {
  const [name, ...others] = readdirSync(directory).filter(
    (each) => each.startsWith(`stack.vpn${number}.`) && each.endsWith(`.${ending}`),
  );
  expect(others).toEqual([]);
  return readFileSync(join(directory, name), 'utf8');
}

describe('the hosts of a stack', () => {
  test('share the program and the scripts', () => {
    const stack = newStack();
    [1, 2, 3].forEach((number) => server(stack, number));
    const names = readdirSync(filesOf(stack)).map((name) => name.replace(/[0-9a-f]{16}/, '*'));
    expect(names.sort()).toEqual([
      ...['agent.*.sh', 'clean-up.*.sh', 'confirm.*.sh', 'deliver.*.sh'],
      ...[1, 2, 3].flatMap((number) => ['*.bundle', 'json', 'md'].map((ending) => `stack.vpn${number}.${ending}`)),
    ]);
  });

  test('add little to the configuration, however many rules they have', () => {
    const stack = newStack();
    const clients = Array.from({ length: 50 }, (_, index) => `10.${index}.0.0/24`);
    server(stack, 1, { clients, gateways: GATEWAYS.slice(0, 1) });
    const apply = Object.entries(synthesize(stack).resource.terraform_data ?? {}).find(([name]) =>
      name.includes('_apply_'),
    );
    expect(JSON.stringify(apply?.[1].provisioner).length).toBeLessThan(1500);
  });

  test('have files with names that a file system takes, whatever they are called', () => {
    const stack = newStack();
    const name = 'a'.repeat(240);
    new LinuxHost(stack, name, { owner: 'vpn', ssh: SSH });
    const names = readdirSync(filesOf(stack)).filter((each) => each.startsWith('stack.a'));
    expect(names.map((each) => each.replace(/^.*[.]/, '')).sort()).toEqual(['bundle', 'json', 'md']);
    expect(names.filter((each) => each.length > 255)).toEqual([]);
  });

  test('and a removed one have their scripts', () => {
    const stack = newStack();
    new RemovedLinuxHost(stack, 'vpn1');
    const directory = filesOf(stack);
    const { removed } = synthesize(stack) as unknown as { removed: object[] };
    const named = [...JSON.stringify(removed).matchAll(/source-routing\/([\w.-]+\.sh)/g)].map(([, name]) => name);
    expect(named.length).toBeGreaterThan(1);
    expect(readdirSync(directory)).toEqual(expect.arrayContaining(named));
  });
});

test('what a plan was made with stays beside what a later synth writes', () => {
  const outdir = mkdtempSync(join(tmpdir(), 'fleet-'));
  const directory = join(outdir, 'stacks/stack');
  const bundleAfter = (gateway: string): string => {
    const app = new App({ outdir, context: { cdktfJsonPath: '' } });
    server(new TerraformStack(app, 'stack'), 1, { gateways: [gateway, GATEWAYS[1]] });
    app.synth();
    const text = readFileSync(join(directory, 'cdk.tf.json'), 'utf8');
    return /source-routing\/[\w.-]+\.bundle/.exec(text)?.[0] ?? '';
  };
  const [before, after] = [bundleAfter('192.168.1.1'), bundleAfter('192.168.1.7')];
  expect(readFileSync(join(directory, before), 'utf8')).toContain('via 192.168.1.1 ');
  expect(readFileSync(join(directory, after), 'utf8')).toContain('via 192.168.1.7 ');
});

describe('hosts that differ in their names only', () => {
  test('have the same expectations, each about its own constructs', () => {
    const stack = newStack();
    [1, 2].forEach((number) => server(stack, number));
    const directory = filesOf(stack);
    const asked = (number: number): string[] =>
      fileOf(directory, number, 'bundle')
        .split('\n')
        .filter((line) => line.startsWith('expect '));
    expect(asked(1).length).toBeGreaterThan(5);
    expect(asked(1).filter((line) => !/^expect [46] stack\/egress1\//.test(line))).toEqual([]);
    expect(asked(2)).toEqual(asked(1).map((line) => line.replace('/egress1/', '/egress2/')));
  });

  test('have the same report under their own names', () => {
    const stack = newStack();
    [1, 2].forEach((number) => server(stack, number));
    const directory = filesOf(stack);
    const [first, second] = [1, 2].map((number) => fileOf(directory, number, 'md'));
    expect(first).toMatch(/^# Where packets go: `stack\/vpn1`\n/);
    expect(second).toBe(first.replace('stack/vpn1', 'stack/vpn2'));
  });

  test('have each their own errors', () => {
    const stack = newStack();
    [1, 2].forEach((number) =>
      server(stack, number).expect(
        'untrue',
        { source: '10.10.10.2', destination: '198.51.100.7', inputInterface: 'tun0' },
        Expected.via('192.168.178.1', 'eth0'),
      ),
    );
    const found = validationErrors(stack);
    expect(found).toHaveLength(2);
    expect(found[0]).toMatch(/^\[stack\/vpn1\] expectation "untrue" is untrue: .* Rule 10010 of "stack\/egress1\//);
    expect(found[1]).toMatch(/^\[stack\/vpn2\] expectation "untrue" is untrue: .* Rule 10010 of "stack\/egress2\//);
  });

  test('a report names the constructs of values that are known at apply only', () => {
    const stack = newStack();
    [1, 2].forEach((number) => {
      const pool = new TerraformVariable(stack, `pool${number}`, { type: 'string' });
      server(stack, number, { clients: [pool.stringValue], gateways: GATEWAYS.slice(0, 1) });
    });
    const directory = filesOf(stack);
    expect(fileOf(directory, 2, 'md')).toContain('egress2');
    expect(fileOf(directory, 2, 'md')).not.toContain('egress1');
  });
});

describe('a host that differs from a sound one', () => {
  test.each<[string, Server]>([
    ['its gateway', { gateways: ['192.168.1.7', GATEWAYS[1]] }],
    ['its table', { tableId: 201 }],
    ['its pools', { clients: ['10.10.10.0/25', '10.10.10.128/26', '10.10.10.192/26', POOLS[1]] }],
    ['SSH at an address of its own', { ssh: '192.168.178.2' }],
  ])('by %s gets its own questions', (_, props) => {
    const lines = (other: Server): string => {
      const stack = newStack();
      server(stack, 1);
      server(stack, 2, other);
      return fileOf(filesOf(stack), 2, 'bundle');
    };
    const alone = (): string => {
      const stack = newStack();
      server(stack, 2, props);
      return fileOf(filesOf(stack), 2, 'bundle');
    };
    expect(lines(props)).toBe(alone());
    if (props.ssh === undefined) {
      expect(lines(props)).not.toBe(lines({}));
    }
  });
});

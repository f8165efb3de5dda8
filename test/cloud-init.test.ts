import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Fn, TerraformIterator, TerraformOutput, TerraformVariable, Testing, Token } from 'cdktf';
import type { TerraformStack } from 'cdktf';
import { CloudInit, Forwarding, HostState, PolicyRule, RuleAction, SourceNat, VpnEgress } from '../lib';
import type { LinuxHost, LinuxHostProps, VpnEgressProps } from '../lib';
import {
  ALL_INTERFACES,
  GATEWAYS,
  POOLS,
  SSH,
  filesOf,
  newHost,
  newStack,
  newTable,
  validationErrors,
} from './fixtures';

const SHELLS = ['dash', 'bash --posix', 'busybox ash'];

function declare(
  stack: TerraformStack,
  egress: Partial<VpnEgressProps> = {},
  props: Partial<LinuxHostProps> = {},
): LinuxHost {
  const host = newHost(stack, { owner: 'vpn', interfaces: ALL_INTERFACES, ...props });
  new VpnEgress(stack, 'egress', { host, device: 'eth1', tableId: 200, clients: POOLS, gateways: GATEWAYS, ...egress });
  return host;
}

/** A text as the configuration has it, with what Terraform evaluates. */
function synthesized(stack: TerraformStack, value: string, id = 'text'): string {
  new TerraformOutput(stack, id, { value, staticId: true });
  const { output } = JSON.parse(Testing.synth(stack)) as { output: Record<string, { value: string }> };
  return output[id].value;
}

function textOf(stack: TerraformStack, host: LinuxHost): string {
  return synthesized(stack, CloudInit.of(host).userData);
}

/** As Terraform evaluates a text without values. */
const evaluated = (text: string): string => text.replace(/([$%])\1\{/g, '$1{');

/** What commands of the text write, by the end of the command: the agent, the state, and files. */
function documents(text: string): Record<string, string> {
  const found = text.matchAll(/^.* ("?\S+?"?) <<'END_OF_FILE'\n([^]*?)^END_OF_FILE$/gm);
  return Object.fromEntries([...found].map(([, path = '', content = '']) => [path, content]));
}

describe('the text', () => {
  test('is a boot hook without secrets that is the whole of user_data', () => {
    const stack = newStack();
    const key = new TerraformVariable(stack, 'key', { type: 'string', sensitive: true }).stringValue;
    const text = textOf(stack, declare(stack, {}, { ssh: { ...SSH, privateKey: key } }));
    expect(text).toMatch(/^#cloud-boothook\n#!\/bin\/sh\n/);
    // Terraform finds nothing to evaluate.
    expect(text.replace(/[$%]([$%])\{/g, '')).not.toMatch(/[$%]\{/);
    expect(text).not.toMatch(/192\.168\.178\.2:|id_ed25519|\.ssh|BEGIN/);
    expect(evaluated(text).length).toBeLessThan(13_000);
  });

  test('has what rejects packets in front of what lets them through, in both families', () => {
    const stack = newStack();
    const state = documents(evaluated(textOf(stack, declare(stack))))['>"$new/state"'].split('\n');
    const kinds = state.map((line) => line.split(' ')[0]).filter((word) => /^(guard|rule|route)$/.test(word));
    expect([...new Set(kinds.map((kind, index) => (kinds[index - 1] === kind ? '' : kind)))].filter(Boolean)).toEqual([
      'guard',
      'route',
      'rule',
    ]);
    for (const [family, pool, gateway] of [
      [4, POOLS[0], GATEWAYS[0]],
      [6, POOLS[1], GATEWAYS[1]],
    ]) {
      const metric = family === 4 ? 0 : 1024;
      const wanted = [
        `guard ${family} 20010 from ${pool} unreachable`,
        `route ${family} 200 default 4278198272 type unreachable`,
        `rule ${family} 10010 from ${pool} lookup 200`,
        `route ${family} 200 default ${metric} via ${gateway} dev eth1`,
      ];
      expect(state.filter((line) => wanted.includes(line))).toEqual(wanted);
    }
  });

  test('has the files that an apply writes, to the byte', () => {
    const stack = newStack();
    const host = declare(stack, { sourceNat: SourceNat.masquerade() });
    const found = documents(evaluated(textOf(stack, host)));
    const files = filesOf(stack);
    const paths = Object.keys(found).filter((path) => path.startsWith('/'));
    expect(paths.sort()).toEqual(
      [
        '/etc/source-routing/vpn.nft',
        '/etc/sysctl.d/60-source-routing-vpn.conf',
        '/etc/systemd/system/source-routing-vpn.kill-switch.service',
        '/etc/systemd/system/source-routing-vpn.service',
      ].sort(),
    );
    for (const path of paths) {
      expect(found[path]).toBe(`${files[path].join('\n')}\n`);
    }
    expect(found['/etc/source-routing/vpn.nft']).toContain('masquerade');
  });

  test('switches forwarding on where that is declared', () => {
    const stack = newStack();
    const text = evaluated(textOf(stack, declare(stack, { forwarding: Forwarding.sysctl() })));
    const path = '/etc/sysctl.d/99-z-source-routing-vpn.conf';
    expect(documents(text)[path]).toBe(`${filesOf(stack)[path].join('\n')}\n`);
    expect(text).toContain(`\ninstall_file 0644 ${path} <<`);
    expect(text).toContain(`\nsysctl -q -p ${path}\n`);
  });

  test('grows with constructs that come later', () => {
    const stack = newStack();
    const host = newHost(stack);
    const { userData } = CloudInit.of(host);
    new PolicyRule(stack, 'late', { host, source: '10.66.0.0/16', action: RuleAction.prohibit(), priority: 12000 });
    expect(synthesized(stack, userData)).toContain('rule 4 12000 from 10.66.0.0/16 prohibit\n');
  });

  test('leaves out a next hop that the machine finds, so packets are rejected until the apply', () => {
    const stack = newStack();
    const text = textOf(
      stack,
      declare(stack, { clients: [POOLS[0]], gateways: ['dhcp4'], rejectedClients: [POOLS[1]] }),
    );
    expect(text).toContain('rule 4 10010 from 10.10.10.0/24 lookup 200\n');
    expect(text).not.toContain('dhcp4');
  });

  test('does nothing for a host that is to be removed', () => {
    const stack = newStack();
    expect(
      textOf(stack, declare(stack, {}, { ensure: HostState.ABSENT }))
        .split('\n')
        .slice(3),
    ).toEqual(["owner='vpn'", '']);
  });

  test('goes with others as parts of one message', () => {
    const stack = newStack();
    const other = '#cloud-config\npackages: [nftables]\n';
    const text = evaluated(synthesized(stack, CloudInit.of(declare(stack)).userDataWith([other])));
    const parser =
      'import email,json,sys; m=email.message_from_file(sys.stdin); print(json.dumps([p.get_payload() for p in m.walk() if not p.is_multipart()]))';
    const { stdout } = spawnSync('python3', ['-c', parser], { input: text, encoding: 'utf8', env: process.env });
    const [own, ...others] = JSON.parse(stdout) as string[];
    expect(own).toMatch(/^#cloud-boothook\n[^]*: >"\$made"\n$/);
    expect(others).toEqual([other]);
  });

  test('that is too long for a cloud is an error, with its size', () => {
    const stack = newStack();
    const host = declare(stack);
    for (let index = 0; index < 200; index++) {
      const source = `10.66.${index}.0/24`;
      new PolicyRule(stack, `rule-${index}`, { host, source, action: RuleAction.prohibit(), priority: 12000 + index });
    }
    expect(validationErrors(stack)).toEqual([]);
    CloudInit.of(host);
    CloudInit.of(host);
    const [error, ...more] = validationErrors(stack);
    const bytes = Buffer.byteLength(evaluated(textOf(stack, host)));
    expect(bytes).toBeGreaterThan(20_000);
    expect(error).toBe(
      `[stack/vpn1] The user data of this host has ${bytes} bytes, but a cloud takes 16384. Declare fewer pools and rules, ` +
        'such as one pool for several adjacent ones, or leave CloudInit out.',
    );
    expect(more).toEqual([]);
  });

  test('is for a host only', () => {
    const stack = newStack();
    expect(() => CloudInit.of(newTable(newHost(stack)) as never)).toThrow(
      '[CloudInit.of()] host is a SourceRoutingTable, not a LinuxHost. Give the construct itself.',
    );
  });
});

describe('other forms of the text', () => {
  test.each([
    ['echo hi', 'others[1] does not begin with a line such as "#cloud-config" or "#!/bin/sh"'],
    ['MIME-Version: 1.0', 'others[1] does not begin with a line such as'],
    ['#cloud-config\n# M\u00fcller', 'others[1] has "\u00fc", which cloud-init garbles'],
  ])('%j does not go along', (text, message) => {
    const cloudInit = CloudInit.of(declare(newStack()));
    expect(() => cloudInit.userDataWith(['#cloud-config\n', text])).toThrow(`[stack/vpn1] ${message}`);
  });
});

function terraformIn(directory: string, ...args: string[]): { status: number | null; said: string } {
  const env = { ...process.env, CHECKPOINT_DISABLE: '1', TF_CLI_CONFIG_FILE: '/dev/null', TF_CLI_ARGS: '-no-color' };
  const { status, stdout, stderr } = spawnSync('terraform', [`-chdir=${directory}`, ...args], {
    encoding: 'utf8',
    env,
  });
  return { status, said: `${stdout}${stderr}` };
}

describe('base64', () => {
  const directory = mkdtempSync(join(tmpdir(), 'cloud-init-'));
  afterAll(() => rmSync(directory, { recursive: true }));

  /** What Terraform makes of texts of an instance with the same iterator, by its key. */
  function applied(stack: TerraformStack, texts: Record<string, string>): Record<string, Record<string, string>> {
    const input = Object.fromEntries(
      Object.entries(texts).map(([name, text]) => [name, synthesized(stack, text, name)]),
    );
    const servers = { a: { pool: '10.9.0.0/24' }, b: { pool: 'fd00:9::/64' } };
    const config = {
      variable: { servers: { default: servers } },
      resource: { terraform_data: { instance: { for_each: '${var.servers}', input } } },
      output: { texts: { value: '${{ for key, each in terraform_data.instance : key => each.output }}' } },
    };
    writeFileSync(join(directory, 'main.tf.json'), JSON.stringify(config));
    expect(terraformIn(directory, 'init')).toMatchObject({ status: 0 });
    expect(terraformIn(directory, 'apply', '-auto-approve')).toMatchObject({ status: 0 });
    return JSON.parse(terraformIn(directory, 'output', '-json', 'texts').said) as Record<
      string,
      Record<string, string>
    >;
  }

  test('is that of the text of each machine, also in a function', () => {
    const stack = newStack();
    const variable = new TerraformVariable(stack, 'servers', { type: 'map(object({ pool = string }))' });
    const forEach = TerraformIterator.fromMap(Token.asAnyMap(variable.value));
    const ssh = { ...SSH, host: forEach.getString('address') };
    const fleet = { clients: [forEach.getString('pool')], gateways: GATEWAYS.slice(0, 1) };
    const { userData, userDataBase64 } = CloudInit.of(declare(stack, fleet, { forEach, ssh, interfaces: [] }));
    const reversed = Fn.strrev(Fn.base64decode(userDataBase64));
    const machines = applied(stack, { userData, userDataBase64, reversed });
    expect(Object.keys(machines)).toEqual(['a', 'b']);
    for (const [key, pool] of [
      ['a', '10.9.0.0/24'],
      ['b', 'fd00:9::/64'],
    ]) {
      const machine = machines[key];
      expect(machine.userData).toContain(` from ${pool} lookup 200\n`);
      expect(Buffer.from(machine.userDataBase64, 'base64').toString()).toBe(machine.userData);
      expect([...machine.reversed].reverse().join('')).toBe(machine.userData);
    }
  });

  test('is that of the same text', () => {
    const stack = newStack();
    const { userData, userDataBase64 } = CloudInit.of(declare(stack));
    const { a } = applied(stack, { userData, userDataBase64 });
    expect(a.userData).toMatch(/^#cloud-boothook\n/);
    expect(Buffer.from(a.userDataBase64, 'base64').toString()).toBe(a.userData);
  });
});

describe('values that only Terraform knows', () => {
  const directory = mkdtempSync(join(tmpdir(), 'cloud-init-'));
  afterAll(() => rmSync(directory, { recursive: true }));

  const terraform = (...args: string[]): { status: number | null; said: string } => terraformIn(directory, ...args);

  const variables = (values: Record<string, string>): string[] =>
    Object.entries(values).flatMap(([name, value]) => ['-var', `${name}=${value}`]);

  beforeAll(() => {
    const stack = newStack();
    const variable = (name: string): string => new TerraformVariable(stack, name, { type: 'string' }).stringValue;
    const host = newHost(stack, { owner: 'vpn' });
    new VpnEgress(stack, 'egress', {
      host,
      device: 'eth1',
      tableId: 200,
      clients: [variable('pool')],
      gateways: [variable('gateway')],
    });
    new TerraformOutput(stack, 'text', { value: CloudInit.of(host).userData, staticId: true });
    const { output, variable: variablesOf } = JSON.parse(Testing.synth(stack)) as Record<string, unknown>;
    writeFileSync(join(directory, 'main.tf.json'), JSON.stringify({ output, variable: variablesOf }));
    terraform('init');
  });

  test.each([
    ['10.9.0.0/24', '192.168.1.1', 4, 0],
    ['fd00:9::/64', 'fd00:1010:1010:1010::1', 6, 1024],
  ])('%s by %s', (pool, gateway, family, metric) => {
    expect(terraform('apply', '-auto-approve', ...variables({ pool, gateway }))).toMatchObject({ status: 0 });
    const text = terraform('output', '-raw', 'text').said;
    const found = documents(text);
    const state = found['>"$new/state"'];
    expect(state).toContain(`\nguard ${family} 20010 from ${pool} unreachable\n`);
    expect(state).toContain(`\nrule ${family} 10010 from ${pool} lookup 200\n`);
    expect(state).toContain(`\nroute ${family} 200 default ${metric} via ${gateway} dev eth1\n`);
    const rules = found['/etc/source-routing/vpn.nft'].split('\n').filter((line) => line.includes(pool));
    expect(rules.length).toBeGreaterThan(2);
    const ofFamily = family === 4 ? /\bip [sd]addr/ : /\bip6 [sd]addr/;
    expect(rules.filter((line) => !ofFamily.test(line))).toEqual([]);
    expect(text).not.toMatch(/%\{|\$\{var/);
  });

  test.each([
    '10.9.0.0/24\nEND_OF_FILE\nreboot',
    '$(reboot)',
    'fd00::/64;',
    '',
    '10.9.0.0/33',
    '10.9.0.300/24',
    'dead',
    '10.9.0.1',
  ])('%j fails the plan', (pool) => {
    const { status, said } = terraform('plan', ...variables({ pool, gateway: '192.168.1.1' }));
    expect(status).toBe(1);
    expect(said).toContain('invalid CIDR');
  });
});

describe.each(SHELLS)('%s', (shell) => {
  const directory = mkdtempSync(join(tmpdir(), 'boot-hook-'));
  afterAll(() => rmSync(directory, { recursive: true }));

  test('can read the text', () => {
    const stack = newStack();
    const file = join(directory, 'hook');
    const text = evaluated(textOf(stack, declare(stack)));
    writeFileSync(file, text);
    writeFileSync(join(directory, 'agent'), documents(text)['>"$home/agent"']);
    for (const name of ['hook', 'agent']) {
      const [program = '', ...args] = shell.split(' ');
      const { status, stderr } = spawnSync(program, [...args, '-n', join(directory, name)], {
        encoding: 'utf8',
        env: process.env,
      });
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    }
  });
});

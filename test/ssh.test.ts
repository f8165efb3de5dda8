import { Lazy, TerraformVariable } from 'cdktf';
import type { TerraformStack } from 'cdktf';
import type { SshConnection } from '../lib';
import { HostState } from '../lib';
import { HOST_KEY, SSH, environmentKeyOf, newHost, newStack, resourceOf, synthWarnings } from './fixtures';

type Make<T> = (variable: (name: string) => string) => T;

interface Connections {
  readonly create: Record<string, unknown>;
  readonly kept: Record<string, string>;
  readonly warnings: string[];
}

function variableOf(stack: TerraformStack): (name: string) => string {
  return (name) => new TerraformVariable(stack, name, {}).stringValue;
}

/** How Terraform logs in when it creates, what is kept for the clean-up, and the warnings. */
function connections(make: Make<SshConnection>): Connections {
  const stack = newStack();
  newHost(stack, { ssh: make(variableOf(stack)) });
  return {
    create: resourceOf(stack, 'apply').connection ?? {},
    kept: resourceOf(stack, 'anchor').input ?? {},
    warnings: synthWarnings(stack),
  };
}

describe('keys', () => {
  afterEach(() => jest.restoreAllMocks());

  test('privateKey is for create, privateKeyFile for the clean-up', () => {
    const { create, kept, warnings } = connections((variable) => ({ ...SSH, privateKey: variable('key') }));
    expect(create).toMatchObject({ private_key: '${var.key}', agent: 'false' });
    expect(kept).toMatchObject({ key_file: '~/.ssh/id', agent: 'false' });
    expect(JSON.stringify(kept)).not.toContain('var.key');
    expect(warnings).toEqual([]);
  });

  test.each<[string, Make<string>, string, string]>([
    ['a path', () => '/k', 'fileexists(pathexpand("/k")) ? file(pathexpand("/k")) : null', '/k'],
    [
      'a path that is known at apply only',
      (variable) => variable('path'),
      'fileexists(pathexpand(var.path)) ? file(pathexpand(var.path)) : null',
      '${var.path}',
    ],
    [
      'a path that is known in part',
      (variable) => `/keys/${variable('name')}`,
      'fileexists(pathexpand("/keys/${var.name}")) ? file(pathexpand("/keys/${var.name}")) : null',
      '/keys/${var.name}',
    ],
    [
      'a token that stands for a path',
      () => Lazy.stringValue({ produce: () => '/a "k"' }),
      'fileexists(pathexpand("/a \\"k\\"")) ? file(pathexpand("/a \\"k\\"")) : null',
      '/a "k"',
    ],
  ])('%s', (_, path, expression, text) => {
    // cdktf doubts what it makes of text around a token in a function; it is right.
    jest.spyOn(console, 'warn').mockImplementation();
    const { create, kept } = connections((variable) => {
      const file = path(variable);
      return { ...SSH, privateKeyFile: file, certificateFile: file, bastion: { host: 'b', privateKeyFile: file } };
    });
    const bare = (value: unknown): string => String(value).replace(/[()]/g, '');
    for (const key of ['private_key', 'certificate', 'bastion_private_key']) {
      expect(bare(create[key])).toBe(bare(`\${${expression}}`));
    }
    expect(kept).toMatchObject({ key_file: text, certificate_file: text, bastion_key_file: text });
  });
});

/** The first of what the state names, and of what is declared now, that holds a key. */
function cleanUpKey(prefix: string, variable: string): string {
  const declared = environmentKeyOf(`"${variable}"`);
  const stored = environmentKeyOf(`self.input.${prefix}key_variable`);
  const sources = [`file(pathexpand(self.input.${prefix}key_file))`, stored, declared].map(
    (each) => `try(${each}, "")`,
  );
  const first = `[for key in [${sources.join(', ')}] : key if can(regex("PRIVATE KEY-----", key))][0]`;
  return `\${can(self.input.${prefix}host) ? try(${first}, ${declared}) : null}`;
}

describe('a key in the environment of Terraform', () => {
  const bare = { host: '192.168.178.2' };
  const ssh = { ...bare, hostKey: HOST_KEY, privateKeyEnvironmentVariable: 'VPN_KEY' };
  const cleanUp = (make: Make<SshConnection>): Record<string, unknown> => {
    const stack = newStack();
    newHost(stack, { ssh: make(variableOf(stack)) });
    return resourceOf(stack, 'anchor').provisioner.at(-1)?.['remote-exec']?.connection as Record<string, unknown>;
  };

  test('is for create and for the clean-up, and the state has its name', () => {
    const { create, kept, warnings } = connections(() => ssh);
    expect(create).toMatchObject({ private_key: `\${try(${environmentKeyOf('"VPN_KEY"')}, null)}`, agent: 'false' });
    expect(kept).toMatchObject({ key_variable: 'VPN_KEY', agent: 'false' });
    expect(warnings).toEqual([]);
    expect(cleanUp(() => ssh)).toMatchObject({
      // The file of an older state, what the state names, and what is declared now.
      private_key: cleanUpKey('', 'VPN_KEY'),
      bastion_private_key: expect.stringMatching(/^\$\{can\(self\.input\.bastion_key_variable\) \?/) as string,
      agent: 'false',
    });
  });

  test('with privateKey it is for the clean-up alone', () => {
    const { create, kept, warnings } = connections((variable) => ({ ...ssh, privateKey: variable('key') }));
    expect(create).toMatchObject({ private_key: '${var.key}', agent: 'false' });
    expect(kept).toMatchObject({ key_variable: 'VPN_KEY', agent: 'false' });
    expect(warnings).toEqual([]);
  });

  test('with agent: true there are both', () => {
    const { create, kept } = connections(() => ({ ...ssh, agent: true }));
    expect([create.agent, kept.agent, cleanUp(() => ({ ...ssh, agent: true })).agent]).toEqual([
      'true',
      'true',
      'true',
    ]);
  });

  test('needs no pinned host key, since no SSH agent is forwarded', () => {
    expect(connections(() => ({ ...bare, privateKeyEnvironmentVariable: 'K' })).create).toMatchObject({
      agent: 'false',
    });
  });

  test("can be the bastion's", () => {
    const make = (): SshConnection => ({ ...SSH, bastion: { host: 'b', privateKeyEnvironmentVariable: 'B' } });
    const { create, kept } = connections(make);
    expect(create.bastion_private_key).toBe(`\${try(${environmentKeyOf('"B"')}, null)}`);
    expect(kept).toMatchObject({ key_file: '~/.ssh/id', bastion_key_variable: 'B' });
    expect(cleanUp(make)).toMatchObject({
      private_key: expect.stringMatching(/^\$\{can\(self\.input\.key_variable\) \?/) as string,
      bastion_private_key: cleanUpKey('bastion_', 'B'),
      agent: '${self.input.agent}',
    });
  });

  const checks = (kind: 'anchor' | 'apply', connection: SshConnection, ensure?: HostState): unknown[] => {
    const stack = newStack();
    newHost(stack, { ssh: connection, ensure });
    return resourceOf(stack, kind).provisioner.map((each) => each['local-exec'] ?? Object.keys(each)[0]);
  };
  const check = (property: string): unknown =>
    expect.objectContaining({
      command: 'test -z "$problem" || { echo "$problem"; exit 1; }',
      environment: { problem: expect.stringContaining(`nothing was changed: ${property}: `) as string },
    });

  test('is checked before anything else, both times', () => {
    const both = { ...ssh, bastion: { host: 'b', privateKeyEnvironmentVariable: 'B' } };
    const [one, other] = ['ssh.privateKeyEnvironmentVariable', 'ssh.bastion.privateKeyEnvironmentVariable'].map(check);
    const cleaning = ['file', 'remote-exec', 'remote-exec'];
    expect(checks('apply', both)).toEqual([one, other, 'file', 'remote-exec', 'remote-exec']);
    expect(checks('apply', ssh, HostState.ABSENT)).toEqual([one, ...cleaning]);
    const note = expect.objectContaining({ command: expect.stringContaining('putting the machine back') as string });
    expect(checks('anchor', both)).toEqual([note, one, other, ...cleaning]);
    expect(checks('anchor', both)[1]).toMatchObject({ when: 'destroy' });
    expect(checks('anchor', both)[1]).not.toHaveProperty('on_failure');
    expect(checks('apply', both)[0]).not.toHaveProperty('when');
  });

  test('is not checked where there is none', () => {
    expect(checks('apply', SSH)).toEqual(['file', 'remote-exec', 'remote-exec']);
    expect(checks('anchor', SSH)).toHaveLength(4);
  });
});

describe('ports', () => {
  test('are kept with their defaults', () => {
    const { create, kept } = connections(() => ({ ...SSH, bastion: { host: 'b' } }));
    expect(kept).toMatchObject({ port: '22', bastion_host: 'b', bastion_port: '22' });
    expect(create).toMatchObject({ bastion_host: 'b' });
    expect(create).not.toHaveProperty('port');
    expect(create).not.toHaveProperty('bastion_port');
    expect(create).not.toHaveProperty('bastion_user');
    expect(kept).not.toHaveProperty('bastion_user');
  });

  test('without a bastion none is kept', () => {
    expect(Object.keys(connections(() => SSH).kept).filter((key) => key.startsWith('bastion'))).toEqual([]);
  });

  test('may be known at apply only', () => {
    const stack = newStack();
    const port = new TerraformVariable(stack, 'port', {}).numberValue;
    newHost(stack, { ssh: { ...SSH, port, bastion: { host: 'b', port } } });
    expect(resourceOf(stack, 'apply').connection).toMatchObject({ port: '${var.port}', bastion_port: '${var.port}' });
    expect(resourceOf(stack, 'anchor').input).toMatchObject({ port: '${var.port}', bastion_port: '${var.port}' });
    expect(resourceOf(stack, 'anchor').triggers_replace).toMatchObject({ port: '${var.port}' });
  });
});

describe('warnings', () => {
  const noWayIn =
    '[stack/vpn1] ssh.agent is false and there is no privateKeyFile, so the clean-up at destroy cannot log in. Set privateKeyFile, privateKeyEnvironmentVariable if the key is in the environment of Terraform, or leave out agent.';
  const bare = { host: '192.168.178.2', hostKey: HOST_KEY };
  test.each<[string, Make<SshConnection>, string[]]>([
    [
      'host key and bastion',
      () => ({ ...SSH, bastion: { host: 'b' } }),
      [
        '[stack/vpn1] ssh.hostKey is set together with a bastion: Terraform before 1.16 checks the bastion against it, too. It cannot connect, unless a certificate authority signed both keys.',
      ],
    ],
    [
      'no host key, and a bastion',
      () => ({ ...SSH, hostKey: undefined, bastion: { host: 'b' } }),
      [
        '[stack/vpn1] ssh.hostKey is not set, so Terraform trusts any machine that answers. With a bastion, set it with Terraform 1.16 or later, or if a certificate authority signed the keys of both machines.',
      ],
    ],
    [
      'privateKey alone',
      (variable) => ({ ...bare, privateKey: variable('key') }),
      [
        '[stack/vpn1] ssh.privateKey is not kept in the state, so the clean-up at destroy logs in with the SSH agent. Set privateKeyEnvironmentVariable if the key is in the environment of Terraform, privateKeyFile to use a key file, or agent: true to use the agent without this warning.',
      ],
    ],
    ['privateKey with agent: true', (variable) => ({ ...bare, privateKey: variable('key'), agent: true }), []],
    ['privateKey with agent: false', (variable) => ({ ...bare, privateKey: variable('key'), agent: false }), [noWayIn]],
    ['agent: false alone', () => ({ ...bare, agent: false }), [noWayIn]],
    ...[SSH, bare].map((ssh): [string, Make<SshConnection>, string[]] => [
      `agent: true without a host key, and ${'privateKeyFile' in ssh ? 'a' : 'no'} key file`,
      () => ({ ...ssh, agent: true, hostKey: undefined }),
      [
        '[stack/vpn1] ssh.agent is true and ssh.hostKey is not set, so Terraform forwards your SSH agent to any machine that answers, and root there can log in with your keys. Pin ssh.hostKey.',
        expect.stringContaining('[stack/vpn1] ssh.hostKey is not set, so Terraform trusts any machine') as string,
      ],
    ]),
    [
      'the agent, with a host key that is known at apply only',
      (variable) => ({ ...bare, hostKey: variable('key') }),
      [],
    ],
    ['agent: false with privateKeyFile', () => ({ ...SSH, agent: false }), []],
    ['a host key that is known at apply only', (variable) => ({ ...SSH, hostKey: variable('key') }), []],
  ])('%s', (_, make, messages) => {
    expect(connections(make).warnings).toEqual(messages);
  });
});

describe('scriptDirectory', () => {
  test.each(['.ssh', '.', 'a/b', './x', '/var/lib/deploy', '/run/user/1000', 'a..b/..c'])('%s', (directory) => {
    const { create, kept } = connections(() => ({ ...SSH, scriptDirectory: directory }));
    expect(create.script_path).toBe(`${directory}/.source-routing-stack-vpn1.%RAND%.see-ssh.scriptDirectory`);
    expect(kept.script_directory).toBe(directory);
  });

  test('is ~/.ssh, also for what was applied without it', () => {
    const { create, kept } = connections(() => SSH);
    expect(create.script_path).toMatch(/^\.ssh\/\./);
    // A null_resource would be replaced.
    expect(kept).not.toHaveProperty('script_directory');
  });

  test('holds for the bundle too', () => {
    const stack = newStack();
    newHost(stack, { ssh: { ...SSH, scriptDirectory: '/d' } });
    expect(resourceOf(stack, 'apply').provisioner[0]?.file?.destination).toBe(
      '/d/.source-routing-stack-vpn1.${self.id}.bundle.see-ssh.scriptDirectory/bundle',
    );
  });

  test('that is known at apply only means nothing to the shell', () => {
    const { create, kept } = connections((variable) => ({ ...SSH, scriptDirectory: `/srv/${variable('name')}` }));
    const safe = '${replace("/srv/${var.name}", "/^$|^-|[^A-Za-z0-9./_@+-]/", "_")}';
    expect(create.script_path).toBe(`${safe}/.source-routing-stack-vpn1.%RAND%.see-ssh.scriptDirectory`);
    expect(kept.script_directory).toBe(safe);
  });
});

describe('arguments', () => {
  test.each<[string, Make<Partial<SshConnection>>, string]>([
    [
      'empty key file',
      () => ({ privateKeyFile: '' }),
      'ssh.privateKeyFile "" is empty. Give the path of a file such as "~/.ssh/id_ed25519".',
    ],
    [
      'empty certificate file',
      () => ({ certificateFile: '' }),
      'ssh.certificateFile "" is empty. Give the path of a file such as "~/.ssh/id_ed25519".',
    ],
    [
      "empty key file of the bastion's",
      () => ({ bastion: { host: 'b', privateKeyFile: '' } }),
      'ssh.bastion.privateKeyFile "" is empty. Give the path of a file such as "~/.ssh/id_ed25519".',
    ],
    ...['', '$KEY', 'A=B', '1A', 'A-B', 'é', 'A\nB'].map((name): [string, Make<Partial<SshConnection>>, string] => [
      `the environment variable ${JSON.stringify(name)}`,
      () => ({ privateKeyFile: undefined, privateKeyEnvironmentVariable: name }),
      name === ''
        ? 'ssh.privateKeyEnvironmentVariable "" is empty. Give the name of an environment variable such as "VPN_SSH_KEY".'
        : `ssh.privateKeyEnvironmentVariable ${JSON.stringify(name)} is not the name of an environment variable, without "$" and "=".`,
    ]),
    [
      'an environment variable that is known at apply only',
      (variable) => ({ privateKeyFile: undefined, privateKeyEnvironmentVariable: variable('name') }),
      'ssh.privateKeyEnvironmentVariable is known at apply only, but must be known at synth. Give it literally.',
    ],
    [
      'two keys',
      () => ({ privateKeyEnvironmentVariable: 'KEY' }),
      'ssh.privateKeyEnvironmentVariable "KEY" is set, and so is privateKeyFile, but there is one key. Leave out one of them.',
    ],
    [
      "two keys for the bastion's",
      () => ({ bastion: { host: 'b', privateKeyFile: '/b', privateKeyEnvironmentVariable: 'KEY' } }),
      'ssh.bastion.privateKeyEnvironmentVariable "KEY" is set, and so is privateKeyFile, but there is one key. Leave out one of them.',
    ],
    ['the root directory', () => ({ privateKeyFile: '/' }), 'ssh.privateKeyFile "/" is not the path of a file.'],
    [
      "the bastion's user",
      () => ({ bastion: { host: 'b', user: 'a b' } }),
      'ssh.bastion.user "a b" is not a user name.',
    ],
    [
      "the bastion's port",
      () => ({ bastion: { host: 'b', port: 65536 } }),
      'ssh.bastion.port 65536 is not an integer from 1 to 65535.',
    ],
    [
      "the bastion's host key",
      () => ({ bastion: { host: 'b', hostKey: 'b ssh-rsa AAAA' } }),
      'ssh.bastion.hostKey "b ssh-rsa AAAA" is not a public key such as "ecdsa-sha2-nistp256 AAAA...". Take the output of: ssh-keyscan -t ecdsa BASTION | cut -d " " -f 2-',
    ],
    [
      'no script directory',
      () => ({ scriptDirectory: '' }),
      'ssh.scriptDirectory "" is empty. Give a directory such as ".ssh".',
    ],
    ...['/', 'x/', '~/x', 'a b', '-x', '..', 'a/../b', '../x', 'x/..', "'", 'a\nb', '$HOME', '%RAND%', 'a;b', 'é'].map(
      (directory): [string, Make<Partial<SshConnection>>, string] => [
        `script directory ${JSON.stringify(directory)}`,
        () => ({ scriptDirectory: directory }),
        `ssh.scriptDirectory ${JSON.stringify(directory)} is not a directory such as ".ssh" or "/var/lib/deploy", of letters, digits and ". _ @ + - /", without ".." and "~".`,
      ],
    ),
    ...[
      ['no key', (): Partial<SshConnection> => ({})] as const,
      [
        'a key that is not kept for the clean-up',
        (variable: (name: string) => string): Partial<SshConnection> => ({ privateKey: variable('key') }),
      ] as const,
    ].map(([name, make]): [string, Make<Partial<SshConnection>>, string] => [
      `the agent, with no host key and ${name}`,
      (variable) => ({ privateKeyFile: undefined, hostKey: undefined, ...make(variable) }),
      'ssh.hostKey is not set and there is no privateKeyFile, so Terraform would forward your SSH agent to any machine that answers, and root there could log in with your keys. Pin ssh.hostKey, or give privateKeyFile.',
    ]),
    [
      'a quote beside a token',
      (variable) => ({ host: `${variable('host')}"` }),
      'ssh.host has "\\"" beside a value that is known at apply only. Leave out quotes, braces, "$", "%" and control characters there.',
    ],
    [
      'a template beside a token',
      (variable) => ({ privateKeyFile: `%{if x}${variable('name')}` }),
      'ssh.privateKeyFile has "%{if x}" beside a value that is known at apply only. Leave out quotes, braces, "$", "%" and control characters there.',
    ],
    [
      "a line break beside a token, for the bastion's host",
      (variable) => ({ bastion: { host: `a\n${variable('host')}` } }),
      'ssh.bastion.host has "a\\n" beside a value that is known at apply only. Leave out quotes, braces, "$", "%" and control characters there.',
    ],
  ])('%s', (_, make, message) => {
    const stack = newStack();
    const ssh = { ...SSH, ...make(variableOf(stack)) };
    expect(() => newHost(stack, { ssh })).toThrow(new Error(`[stack/vpn1] ${message}`));
  });

  test('plain text beside a token passes', () => {
    const { create } = connections((variable) => ({ ...SSH, host: `${variable('name')}.example.org` }));
    expect(create).toMatchObject({ host: '${var.name}.example.org' });
  });
});

test('Terraform waits longer for a machine whose address it does not know yet', () => {
  expect(connections(() => SSH).create.timeout).toBe('60s');
  expect(connections((variable) => ({ ...SSH, host: variable('host') })).create.timeout).toBe('300s');
  const given = connections((variable) => ({ ...SSH, host: variable('host'), timeoutSeconds: 20 }));
  expect(given.create.timeout).toBe('20s');
});

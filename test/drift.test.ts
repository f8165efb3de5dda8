import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TerraformIterator, TerraformVariable, Testing, Token } from 'cdktf';
import type { LinuxHostProps } from '../lib';
import { Drift, Engine, HostState } from '../lib';
import { HOST_KEY, SSH, newHost, newStack, resourceOf, validationErrors } from './fixtures';

const SHELLS = ['dash', 'bash --posix', 'busybox ash'];
const TEXT = ['ask', 'drift']
  .map((name) => readFileSync(join(__dirname, `../lib/delivery/${name}.sh`), 'utf8'))
  .join('\n');

interface Synthesized {
  readonly data?: { readonly external: Record<string, { program: string[]; for_each?: string }> };
  readonly locals?: Record<string, unknown>;
  readonly resource: Record<string, Record<string, Record<string, Record<string, string>>>>;
  readonly check?: Record<string, { assert: Array<{ condition: string; error_message: string }> }>;
}

function synth(props: Partial<LinuxHostProps>): { stack: Synthesized; drift: unknown } {
  const stack = newStack();
  newHost(stack, props);
  expect(validationErrors(stack)).toEqual([]);
  const synthesized = JSON.parse(Testing.synth(stack)) as Synthesized;
  const resources = Object.entries(Object.values(synthesized.resource)[0]);
  const [, apply] = resources.find(([name]) => name.includes('_apply_')) ?? [];
  return { stack: synthesized, drift: (apply?.triggers_replace ?? apply?.triggers)?.drift };
}

describe('Drift.inPlan()', () => {
  test('asks the machine with the login of the clean-up, and warns if it is not as declared', () => {
    const { stack, drift } = synth({ drift: Drift.inPlan() });
    const [[name, { program }]] = Object.entries(stack.data?.external ?? {});
    expect(program).toEqual([
      'sh',
      expect.stringMatching(/^\$\{path\.module\}\/source-routing\/drift\.[0-9a-f]{16}\.sh$/),
      'seconds=20',
      'owner=stack-vpn1',
      'host=192.168.178.2',
      'port=22',
      'user=root',
      'agent=false',
      'key_file=~/.ssh/id',
      `host_key=${HOST_KEY}`,
    ]);
    // A local is for what only Terraform knows.
    expect(stack.locals).toBeUndefined();
    const answer = `data.external.${name}.result`;
    expect(stack.check?.[name].assert).toEqual([
      {
        condition: `\${terraform.applying || !(${answer}.state == "differs")}`,
        error_message: `stack/vpn1 is not as declared, so this plan applies everything again: \${${answer}.found}`,
      },
      {
        condition: `\${terraform.applying || !(${answer}.state == "blocked")}`,
        error_message: `stack/vpn1 is not as declared because of something that an apply does not change: \${${answer}.found}`,
      },
      {
        condition: `\${terraform.applying || !(${answer}.state == "not asked")}`,
        error_message: `stack/vpn1 could not be asked whether it is as declared, so nothing is planned for it: \${${answer}.found}`,
      },
    ]);
    expect(drift).toBe(`\${${answer}.state == "differs" ? (timestamp() == "" ? "" : "none") : "none"}`);
  });

  test('asks each machine of a fleet', () => {
    const stack = newStack();
    const variable = new TerraformVariable(stack, 'servers', { type: 'map(string)' });
    const iterator = TerraformIterator.fromMap(Token.asAnyMap(variable.value));
    const ssh = { ...SSH, host: Token.asString(iterator.value) };
    newHost(stack, { forEach: iterator, ssh, drift: Drift.inPlan({ timeoutSeconds: 5 }) });
    const { data, check, locals } = JSON.parse(Testing.synth(stack)) as Synthesized;
    const [[name, { program, for_each: forEach }]] = Object.entries(data?.external ?? {});
    expect(Object.values(locals ?? {})).toEqual(['${var.servers}']);
    expect(forEach).toMatch(/^\$\{local\.vpn1_drift-machines_\w+\}$/);
    expect(program).toEqual(expect.arrayContaining(['seconds=5', '${try("host=${each.value}", "")}']));
    expect(resourceOf(stack, 'apply').triggers_replace.drift).toContain(`data.external.${name}[each.key].result.state`);
    expect(check?.[name].assert.map(({ condition }) => condition)).toEqual(
      ['differs', 'blocked', 'not asked'].map(
        (state) =>
          `\${terraform.applying || !contains([for answer in data.external.${name} : answer.result.state == "${state}"], true)}`,
      ),
    );
    const those = (state: string): string =>
      `\${join("; ", [for key, answer in data.external.${name} : "\${key}: \${answer.result.found}" if answer.result.state == "${state}"])}`;
    expect(check?.[name].assert.map((each) => each.error_message)).toEqual([
      `stack/vpn1: a machine is not as declared, so this plan applies everything again. ${those('differs')}`,
      `stack/vpn1: a machine is not as declared because of something that an apply does not change. ${those('blocked')}`,
      `stack/vpn1: a machine could not be asked whether it is as declared, so nothing is planned for it. ${those('not asked')}`,
    ]);
  });

  test('takes an address of a resource from a local, which no change of the resource puts off', () => {
    const stack = newStack();
    const host = new TerraformVariable(stack, 'address', { type: 'string' }).stringValue;
    const port = new TerraformVariable(stack, 'port', { type: 'number' }).numberValue;
    newHost(stack, { ssh: { ...SSH, host, port }, drift: Drift.inPlan() });
    const { data, locals } = JSON.parse(Testing.synth(stack)) as Synthesized;
    const [[local, login]] = Object.entries(locals ?? {});
    expect(login).toEqual({ host: '${var.address}', port: '${var.port}' });
    const [{ program }] = Object.values(data?.external ?? {});
    expect(program.slice(4, 6)).toEqual(
      ['host', 'port'].map((key) => `\${try("${key}=\${local.${local}.${key}}", "")}`),
    );
    expect(JSON.stringify(program)).not.toContain('var.');
  });

  test.each<[string, Partial<LinuxHostProps>]>([
    ['without it', {}],
    ['for a machine that is to have nothing', { drift: Drift.inPlan(), ensure: HostState.ABSENT }],
  ])('%s, nobody is asked', (_, props) => {
    const { stack, drift } = synth(props);
    expect([stack.data, stack.check, drift]).toEqual([undefined, undefined, undefined]);
  });

  test('works with null_resource, too', () => {
    expect(synth({ drift: Drift.inPlan(), engine: Engine.NULL_RESOURCE }).drift).toContain(
      '.result.state == "differs"',
    );
  });

  test('is refused where a plan would keep the key', () => {
    const stack = newStack();
    const privateKey = new TerraformVariable(stack, 'key', { sensitive: true }).stringValue;
    const ssh = { host: SSH.host, hostKey: HOST_KEY, privateKey };
    expect(() => newHost(stack, { ssh, drift: Drift.inPlan() })).toThrow(
      '[stack/vpn1] drift asks the machine in each plan, where ssh.privateKey would be kept. ' +
        'Give ssh.privateKeyFile, privateKeyEnvironmentVariable or agent: true, or leave out drift and run "cdktf-source-routing verify".',
    );
    newHost(stack, { ssh: { ...ssh, privateKeyEnvironmentVariable: 'TF_VAR_key' }, drift: Drift.inPlan() }, 'vpn2');
  });

  test('waits for 1 to 300 seconds', () => {
    expect(() => Drift.inPlan({ timeoutSeconds: 0 })).toThrow('timeoutSeconds 0 is not an integer from 1 to 300');
  });
});

describe.each(SHELLS)('the script of a plan, with %s', (shell) => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'drift-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  /** The answer, where OpenSSH is this script. */
  function answer(ssh: string, ...args: string[]): { state: string; found: string } {
    writeFileSync(join(directory, 'ssh'), `#!/bin/sh\n[ "$1" != -Q ] || exit 0\n${ssh}\n`);
    chmodSync(join(directory, 'ssh'), 0o755);
    const [program, ...options] = shell.split(' ');
    const env = { ...process.env, PATH: `${directory}:${process.env.PATH}`, TMPDIR: directory };
    const output = execFileSync(program, [...options, '-c', TEXT, 'drift', 'host=h', 'owner=vpn', ...args], {
      env,
      encoding: 'utf8',
    });
    // It has removed what it has made.
    expect(readdirSync(directory)).toEqual(['ssh']);
    return JSON.parse(output) as { state: string; found: string };
  }

  test('is as declared', () => {
    expect(answer('echo "source-routing: done: kernel and files agree"')).toEqual({ state: 'as declared', found: '' });
  });

  test('says what is missing, in the way, or not as expected', () => {
    const said = [
      'source-routing: packets asked about: 32, not all as expected',
      'source-routing: + IPv4 rule 10010: from 10.0.0.0/8 lookup 200',
      'source-routing: - IPv4 rule 10009: from all lookup main',
      'source-routing: ! IPv4 to 192.0.2.1: unreachable',
      'source-routing: 3 differences from generation g1 of vpn (+ missing, - in the way). To mend: apply again',
    ];
    expect(answer(`printf '%s\\n' ${said.map((line) => `'${line}'`).join(' ')}; exit 1`)).toEqual({
      state: 'differs',
      found:
        'missing: IPv4 rule 10010: from 10.0.0.0/8 lookup 200; in the way: IPv4 rule 10009: from all lookup main; ' +
        'not as expected: IPv4 to 192.0.2.1: unreachable',
    });
  });

  test.each([
    'see "ip rule" and "ip route show table all" for what stands in front of ours',
    'change what the lines name, then: source-routing probe vpn',
  ])('differs, and no apply mends it: %s', (advice) => {
    const said = `source-routing: ! x\\nsource-routing: 1 differences from generation g1 of vpn (+ missing). To mend: ${advice}\\n`;
    expect(answer(`printf '${said}'; exit 1`)).toEqual({ state: 'blocked', found: 'not as expected: x' });
  });

  test.each([0, 1, 64])('a login shell that ends with %d is no answer', (code) => {
    expect(answer(`echo 'This account is currently not available.'; exit ${code}`)).toEqual({
      state: 'not asked',
      found: 'This account is currently not available.',
    });
  });

  test('says no more than a plan can show', () => {
    const { found } = answer('for i in 1 2 3 4 5 6 7; do echo "source-routing: + rule $i"; done; exit 1');
    expect(found).toBe(`${[1, 2, 3, 4, 5].map((each) => `missing: rule ${each}`).join('; ')}; and 2 more`);
    expect(answer('printf "source-routing: %01000d\\n" 0; exit 1').found).toHaveLength(303);
  });

  test('what a machine says is text, not commands', () => {
    const evil = String.raw`printf 'source-routing: a"b\\c \033[31m \303\251 ${'$'}{x} %%{x} \t\r\n'; exit 1`;
    expect(answer(evil)).toEqual({ state: 'differs', found: 'a"b\\c ?[31m ?? ${x} %{x} ?' });
  });

  test.each([
    ['another run', 'echo "source-routing: another run is under way"; exit 75', 'another run is under way'],
    ['no connection', 'echo "ssh: connect to host h port 22: No route to host" >&2; exit 255', /^ssh: connect/],
    ['no answer', 'exec sleep 30', 'no answer within 1 seconds'],
  ])('could not be asked: %s', (_, ssh, found) => {
    expect(answer(ssh, 'seconds=1')).toEqual({ state: 'not asked', found: expect.stringMatching(found) as string });
  });

  test('an empty argument is one that is not given', () => {
    expect(answer('echo "source-routing: $(echo "$*" | grep -o "Strict[^ ]*")"; exit 1', '', 'host_key=').found).toBe(
      '',
    );
  });
});

test('shellcheck has nothing to say', () => {
  const directory = mkdtempSync(join(tmpdir(), 'drift-'));
  try {
    writeFileSync(join(directory, 'drift.sh'), TEXT);
    execFileSync('shellcheck', ['-s', 'dash', '-f', 'gcc', join(directory, 'drift.sh')]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

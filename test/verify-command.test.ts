import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Ajv from 'ajv/dist/2020';
import { run } from '../lib/cli/main';
import { hostFileName } from '../lib/model/host-file';

/** Values that an anchor keeps. */
const KEPT = { port: '22', user: 'root', agent: 'false', key_file: '~/.ssh/id' };

interface Declared {
  readonly host: string;
  readonly ensure?: string;
  readonly [key: string]: string | undefined;
}

interface VerifyOutput {
  readonly machines: ReadonlyArray<Record<string, unknown>>;
}

/** Both resources of a host, as `terraform show -json` prints them. */
function resources(id: string, { ensure, ...kept }: Declared, index?: string): object[] {
  const key = index === undefined ? '' : `["${index}"]`;
  const [anchor, apply] = ['anchor', 'apply'].map((kind) => `terraform_data.${id}_${kind}_0A1B2C3D${key}`);
  return [
    { address: anchor, values: { id: anchor, input: { ...KEPT, owner: 'vpn', ...kept }, triggers_replace: {} } },
    { address: apply, values: { id: apply, triggers_replace: { anchor, ensure } } },
    { address: `terraform_data.other-${id}`, values: { id: 'x', input: null, triggers_replace: null } },
  ];
}

describe('cdktf-source-routing verify', () => {
  let directory: string;
  const path = process.env.PATH;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'verify-'));
    process.env.PATH = `${directory}:${path}`;
    // Stands in for OpenSSH: what it is asked, and what each machine answers.
    program(
      'ssh',
      `[ "$1" != -Q ] || { cat ${directory}/kex; exit; }
      all=$*; echo "$all" >>${directory}/asked
      for word; do [ "$word" != -- ] || break; shift; done
      case $2 in
        same) echo 'source-routing: done: as declared' ;;
        differs) echo 'source-routing: rule IPv4 10010 is missing'; exit 1 ;;
        away) echo 'ssh: connect to host away port 22: No route to host' >&2; exit 255 ;;
        slow) exec sleep 30 ;;
        busy) echo 'source-routing: another run is under way'; exit 75 ;;
        unknown) echo 'source-routing: there is no such owner on this machine'; exit 64 ;;
        held) { sleep 4; : >${directory}/ended; } & exec sleep 30 ;;
        runs:*) echo "source-routing: done: kernel and files agree with generation \${2#runs:}" ;;
        evil) printf '::error::x \\033[31m\\n'; exit 1 ;;
        *) cat "$(echo "$all" | sed -n 's/.*UserKnownHostsFile="\\([^"]*\\)".*/\\1/p')" ;;
      esac`,
    );
  });
  afterEach(() => {
    process.env.PATH = path;
    rmSync(directory, { recursive: true });
  });

  function program(name: string, script: string): void {
    writeFileSync(join(directory, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(directory, name), 0o755);
  }

  function state(root: object[], children: object[] = []): void {
    const values = { root_module: { resources: root, child_modules: [{ resources: children }] } };
    writeFileSync(join(directory, 'state.json'), JSON.stringify({ values }));
    program('terraform', `echo "$@" >>${directory}/shown; cat ${directory}/state.json`);
  }

  /** Files as `cdktf synth` writes them, with the ids of the hosts of each stack. */
  function output(stacks: Record<string, string[]>): void {
    const manifest = Object.keys(stacks).map((name) => {
      const workingDirectory = `stacks/${name}`;
      return [name, { workingDirectory, synthesizedStackPath: `${workingDirectory}/cdk.tf.json` }];
    });
    writeFileSync(join(directory, 'manifest.json'), JSON.stringify({ stacks: Object.fromEntries(manifest) as object }));
    Object.entries(stacks).forEach(([name, ids]) => stack(`stacks/${name}`, ids));
  }

  function stack(place: string, ids: string[]): void {
    mkdirSync(join(directory, place, 'source-routing'), { recursive: true });
    const paths = ids.map((id) => ({ '//': { metadata: { path: `stack/${id}/anchor` } } }));
    writeFileSync(join(directory, place, 'cdk.tf.json'), JSON.stringify(paths));
    // That of a host that was deleted stays.
    for (const id of [...ids, 'deleted']) {
      writeFileSync(join(directory, place, 'source-routing', hostFileName(`stack/${id}`)), '');
    }
  }

  /** The state as above, and how it is when it is read again. */
  function states(first: object[], second: object[]): void {
    state(second);
    renameSync(join(directory, 'state.json'), join(directory, 'later.json'));
    state(first);
    program('terraform', `cd ${directory}; cat state.json; [ ! -e later.json ] || mv later.json state.json`);
  }

  const asked = (): string[] => readFileSync(join(directory, 'asked'), 'utf8').trim().split('\n');

  test('is content if all machines are as declared', async () => {
    state(resources('vpn1', { host: 'same' }), resources('vpn2', { host: 'same' }, 'a'));
    expect(await run(['verify', directory])).toEqual({ text: 'As declared: 2 of 2.\n', error: '', status: 0 });
    expect(readFileSync(join(directory, 'shown'), 'utf8')).toBe(`-chdir=${directory} show -json -no-color\n`);
  });

  test('names what differs and how to mend it, and what could not be asked', async () => {
    state([
      ...resources('vpn1', { host: 'differs' }, 'a'),
      ...resources('vpn2', { host: 'away' }),
      ...resources('vpn3', { host: 'same' }),
    ]);
    const { text, status } = await run(['verify', directory]);
    expect(text.split('\n')).toEqual([
      'terraform_data.vpn1_apply_0A1B2C3D["a"] (differs) is not as declared:',
      '  source-routing: rule IPv4 10010 is missing',
      'terraform_data.vpn2_apply_0A1B2C3D (away) could not be asked:',
      '  ssh: connect to host away port 22: No route to host',
      'As declared: 1 of 3.',
      'To apply everything again:',
      `  terraform -chdir=${directory} apply -replace='terraform_data.vpn1_apply_0A1B2C3D["a"]'`,
      '',
    ]);
    expect(status).toBe(1);
  });

  test('the JSON is what its schema says, for each state of a machine, and none', async () => {
    const schema = JSON.parse(readFileSync(join(__dirname, '../docs/verify.schema.json'), 'utf8')) as object;
    const validate = new Ajv({ strict: true, allErrors: true }).compile(schema);
    const machines = ['same', 'differs', 'away'].map((host) => resources(host, { host }));
    for (const all of [[], machines.flat()]) {
      state(all);
      const output = JSON.parse((await run(['verify', directory, '--json'])).text) as VerifyOutput;
      expect([validate(output), validate.errors]).toEqual([true, null]);
      for (const spoil of [
        { ...output, format: 2 },
        { ...output, more: 1 },
        { ...output, machines: [{ ...output.machines[0], state: 'DIFFERS' }] },
      ]) {
        expect(validate(spoil)).toBe(false);
      }
    }
  });

  test('a machine that is away, or does not answer, holds up no other', async () => {
    state([
      ...resources('vpn1', { host: 'slow' }),
      ...Array.from({ length: 40 }, (_, index) => resources(`m${index}`, { host: 'same' })).flat(),
    ]);
    const { text, status } = await run(['verify', directory, '--timeout', '1', '--json']);
    const { format, machines } = JSON.parse(text) as { format: number; machines: Array<Record<string, unknown>> };
    expect(format).toBe(1);
    expect(machines.filter(({ state: each }) => each === 'as declared')).toHaveLength(40);
    expect(machines.filter(({ state: each }) => each !== 'as declared')).toEqual([
      {
        directory,
        apply: 'terraform_data.vpn1_apply_0A1B2C3D',
        owner: 'vpn',
        host: 'slow',
        state: 'not asked',
        lines: ['no answer within 1 seconds'],
      },
    ]);
    expect(status).toBe(2);
  });

  test('a machine differs if its apply was interrupted or failed, whatever it says itself', async () => {
    const [anchor] = resources('vpn1', { host: 'same' });
    const [failed, apply] = resources('vpn2', { host: 'same' });
    // What a replacement of the anchor has left is no machine that is declared.
    const [deposed] = resources('vpn3', { host: 'same' });
    state([anchor, failed, { ...apply, tainted: true }, { ...deposed, deposed_key: '0a1b2c3d' }]);
    const { text, status } = await run(['verify', directory]);
    expect(text.split('\n')).toEqual([
      'terraform_data.vpn1_anchor_0A1B2C3D (same) is not as declared:',
      '  has no finished apply: one was interrupted, or still runs. Run "terraform apply".',
      '  source-routing: done: as declared',
      'terraform_data.vpn2_apply_0A1B2C3D (same) is not as declared:',
      '  its last apply failed (tainted in the state of Terraform). Run "terraform apply".',
      '  source-routing: done: as declared',
      'As declared: 0 of 2.',
      'To apply everything again:',
      `  terraform -chdir=${directory} apply`,
      `  terraform -chdir=${directory} apply -replace=terraform_data.vpn2_apply_0A1B2C3D`,
      '',
    ]);
    expect(status).toBe(1);
    const { machines } = JSON.parse((await run(['verify', directory, '--json'])).text) as VerifyOutput;
    // A replacement of the anchor would run the clean-up.
    expect(machines.map((each) => each.apply)).toEqual(['', 'terraform_data.vpn2_apply_0A1B2C3D']);
  });

  test('a removal that failed is not as declared', async () => {
    const [anchor, apply] = resources('vpn1', { host: 'same', ensure: 'absent' });
    state([anchor, { ...apply, tainted: true }]);
    expect(await run(['verify', directory])).toMatchObject({
      text: expect.stringContaining('  its last apply failed') as string,
      status: 1,
    });
  });

  describe('a machine that agrees with', () => {
    const id = 'terraform_data.vpn1_apply_0A1B2C3D';

    test('another generation than Terraform has applied differs', async () => {
      state(resources('vpn1', { host: 'runs:2842eb94 of vpn' }));
      const { text, status } = await run(['verify', directory]);
      expect(text.split('\n').slice(0, 3)).toEqual([
        `${id} (runs:2842eb94 of vpn) is not as declared:`,
        `  runs generation 2842eb94, Terraform has applied ${id}: it was restored from a backup, or applied from another checkout.`,
        '  source-routing: done: kernel and files agree with generation 2842eb94 of vpn',
      ]);
      expect(text).toContain(`apply -replace=${id}\n`);
      expect(status).toBe(1);
    });

    test.each([
      ['the generation that Terraform has applied', `${id} of vpn`],
      ['the same, applied once more', `${id}.12 of vpn`],
      ['what its user data set up', 'cloud-init of vpn'],
      ['what is on trial, since an apply is under way', '2842eb94 of vpn (on trial, for 60 more seconds at most)'],
    ])('%s is as declared', async (_, said) => {
      state(resources('vpn1', { host: `runs:${said}` }));
      expect(await run(['verify', directory])).toEqual({ text: 'As declared: 1 of 1.\n', error: '', status: 0 });
    });

    test('a generation: the agent says so in these words', () => {
      expect(readFileSync(join(__dirname, '../lib/agent/87-inspect.sh'), 'utf8')).toContain(
        'say "done: kernel and files agree with generation ${name:-(nothing)} of $owner$on_trial"',
      );
    });

    test('what was applied after the state was read is as declared', async () => {
      const [anchor, apply] = resources('vpn1', { host: 'runs:new of vpn' });
      states([anchor, apply], [anchor, { ...apply, values: { ...(apply as { values: object }).values, id: 'new' } }]);
      expect(await run(['verify', directory])).toMatchObject({ text: 'As declared: 1 of 1.\n', status: 0 });
    });
  });

  describe('many at a time', () => {
    const many = (count: number, name: string, values: object = {}): object[] =>
      Array.from({ length: count }, (_, index) => resources(`${name}${index}`, { host: 'same', ...values })).flat();

    test('but 8 at most through the same bastion', async () => {
      program(
        'ssh',
        `[ "$1" != -Q ] || exit 0
        case $* in *"'one'"*) way=one ;; *) way=other ;; esac
        mkdir -p ${directory}/$way; : >${directory}/$way/$$
        ls ${directory}/$way | wc -l >>${directory}/counts-$way
        sleep 0.3; rm ${directory}/$way/$$; echo source-routing: done`,
      );
      const [one, two] = ['one', 'two'].map((host) => ({ bastion_host: host, bastion_port: '22' }));
      state([...many(20, 'a', one), ...many(4, 'b', two), ...many(4, 'c')]);
      expect(await run(['verify', directory])).toMatchObject({ text: 'As declared: 28 of 28.\n' });
      const counts = readFileSync(join(directory, 'counts-one'), 'utf8').trim().split('\n').map(Number);
      expect(Math.max(...counts)).toBeLessThanOrEqual(8);
    });

    test('and more without a bastion', async () => {
      // Each waits until 9 of them are asked.
      program(
        'ssh',
        `[ "$1" != -Q ] || exit 0
        cd ${directory}; mkdir -p now; : >now/$$; tries=0
        until [ "$(ls now | wc -l)" -ge 9 ]; do
          tries=$((tries + 1)); [ "$tries" -lt 100 ] || exit 1; sleep 0.1
        done
        echo source-routing: done`,
      );
      state(many(9, 'a'));
      expect(await run(['verify', directory])).toMatchObject({ text: 'As declared: 9 of 9.\n' });
    });
  });

  test.each([
    ['busy', 'could not be asked', 2],
    ['unknown', 'is not as declared', 1],
  ])('a machine that is %s %s', async (host, what, code) => {
    state(resources('vpn1', { host }));
    const { text, status } = await run(['verify', directory]);
    expect(text).toContain(`terraform_data.vpn1_apply_0A1B2C3D (${host}) ${what}:\n`);
    expect(status).toBe(code);
  });

  test('does not wait for what ssh leaves behind', async () => {
    state(resources('vpn1', { host: 'held' }));
    expect(await run(['verify', directory, '--timeout', '1'])).toMatchObject({ status: 2 });
    expect(existsSync(join(directory, 'ended'))).toBe(false);
  });

  test.each([
    ['knows ML-KEM, which is fast', 'mlkem768x25519-sha256 curve25519-sha256', ''],
    [
      'would take a slow key exchange first',
      'sntrup761x25519-sha512@openssh.com curve25519-sha256',
      ' -o KexAlgorithms=^curve25519-sha256',
    ],
    ['is old, and would refuse the option', 'curve25519-sha256 ecdh-sha2-nistp256', ''],
  ])('an OpenSSH that %s', async (_, known, options) => {
    writeFileSync(join(directory, 'kex'), known.replace(/ /g, '\n'));
    state(resources('vpn1', { host: 'same', bastion_host: 'jump' }));
    await run(['verify', directory]);
    expect(asked()[0]).toMatch(`-F none -o BatchMode=yes${options} -o ConnectTimeout=10 `);
    const quoted = options.replace(/\S+/g, "'$&'");
    expect(asked()[0]).toContain(`ProxyCommand='ssh' '-F' 'none' '-o' 'BatchMode=yes'${quoted} '-p' `);
  });

  test('logs in as Terraform does, and runs one command', async () => {
    state(resources('vpn1', { host: 'same', user: 'debian', port: '2222', certificate_file: '/c' }));
    await run(['verify', directory]);
    expect(asked()).toEqual([
      '-F none -o BatchMode=yes -o ConnectTimeout=10 -o LogLevel=ERROR -p 2222 -l debian -i ~/.ssh/id -o IdentitiesOnly=yes ' +
        '-o IdentityAgent=none -o CertificateFile="/c" -- same ' +
        `exec sh -c '[ -x /usr/local/sbin/source-routing ] || { echo "nothing of vpn is on this machine"; exit 1; }; ` +
        `[ "$(id -u)" != 0 ] || exec /usr/local/sbin/source-routing verify vpn; ` +
        `sudo -n true || exit 255; exec sudo -n /usr/local/sbin/source-routing verify vpn'`,
    ]);
  });

  test('takes the pinned key, and no other', async () => {
    state(resources('vpn1', { host: 'pinned', host_key: 'ssh-ed25519 AAAA' }));
    const { text } = await run(['verify', directory, '--json']);
    expect(asked()[0]).toContain('-o StrictHostKeyChecking=yes -o UserKnownHostsFile="');
    const { machines } = JSON.parse(text) as { machines: Array<{ lines: string[] }> };
    expect(machines[0].lines).toEqual([
      'pinned,[pinned]:22 ssh-ed25519 AAAA',
      '@cert-authority pinned,[pinned]:22 ssh-ed25519 AAAA',
    ]);
  });

  test('goes by way of the bastion, whose values are data', async () => {
    const bastion = { bastion_host: 'jump', bastion_user: "o'neil", bastion_port: '22', bastion_key_file: '/a b%c' };
    state(resources('vpn1', { host: 'same', ...bastion }));
    await run(['verify', directory]);
    expect(asked()[0]).toContain(
      `ProxyCommand='ssh' '-F' 'none' '-o' 'BatchMode=yes' '-p' '22' '-l' 'o'\\''neil' '-i' '/a b%%%%c' '-o' 'IdentitiesOnly=yes' ` +
        `'-o' 'IdentityAgent=none' -W '[%h]:%p' -- 'jump' -p 22 `,
    );
  });

  describe('with keys in environment variables', () => {
    const variables = { bastion_host: 'jump', bastion_key_variable: 'BASTION_KEY', key_variable: 'VPN_KEY' };
    const key = (name: string): string => `-----BEGIN ${name}-----\nAAAA\n-----END ${name}-----\n`;
    afterEach(() => {
      delete process.env.VPN_KEY;
      delete process.env.BASTION_KEY;
    });

    test('gives them to an SSH agent of its own, and to no command line', async () => {
      program('ssh-agent', `echo agent "$1" "$2" >>${directory}/asked; exec "$@"`);
      program('ssh-add', `echo "$*" >>${directory}/added; cat >>${directory}/added`);
      state(resources('vpn1', { host: 'same', key_file: undefined, ...variables }));
      process.env.VPN_KEY = key('a').replace(/\n/g, '\r\n').trimEnd();
      process.env.BASTION_KEY = Buffer.from(key('b')).toString('base64');
      expect(await run(['verify', directory])).toMatchObject({ text: 'As declared: 1 of 1.\n', status: 0 });
      expect(readFileSync(join(directory, 'added'), 'utf8')).toBe(`-q -\n${key('a')}-q -\n${key('b')}`);
      expect(asked().join('\n')).not.toContain('BEGIN');
      expect(asked()).toEqual([
        'agent sh -c',
        expect.stringMatching(/ -o ProxyCommand='ssh' .* -p 22 -l root -o IdentityFile=none -- same /) as string,
        'agent -k',
      ]);
      expect(asked()[1]).toContain(`'-l' 'root' '-o' 'IdentityFile=none' -W `);
    });

    test('leaves the SSH agent of the user to the machine whose login has no variable', async () => {
      program('ssh-agent', 'SSH_AUTH_SOCK=/new exec "$@"');
      program('ssh-add', 'cat >/dev/null');
      const login = { ...variables, key_file: undefined, key_variable: undefined, agent: 'true' };
      state(resources('vpn1', { host: 'same', ...login }));
      process.env.BASTION_KEY = key('b');
      const before = process.env.SSH_AUTH_SOCK;
      process.env.SSH_AUTH_SOCK = '/old';
      try {
        await run(['verify', directory]);
      } finally {
        if (before === undefined) delete process.env.SSH_AUTH_SOCK;
        else process.env.SSH_AUTH_SOCK = before;
      }
      expect(asked()[0]).toMatch(/'root' '-o' 'IdentityFile=none' -W .* -p 22 -l root -o IdentityAgent=\/old -- same /);
    });

    test('one that is not set, or is no key: says so, and connects to nothing', async () => {
      program('ssh-agent', 'exec "$@"');
      program('ssh-add', 'cat >/dev/null; echo "Error loading key" >&2; exit 1');
      state(resources('vpn1', { host: 'same', ...variables }));
      process.env.VPN_KEY = 'x';
      expect((await run(['verify', directory])).text).toContain(
        '  BASTION_KEY is not set. Set it to the private key, as for Terraform.\n',
      );
      process.env.BASTION_KEY = 'x';
      expect(await run(['verify', directory])).toMatchObject({
        text: expect.stringContaining('  Error loading key\n') as string,
        status: 2,
      });
      expect(existsSync(join(directory, 'asked'))).toBe(false);
    });
  });

  test('asks nobody who is to be absent, or whom the library did not make', async () => {
    state([
      ...resources('vpn1', { host: 'same', ensure: 'absent' }),
      ...resources('x', { host: 'same', owner: 'a; b' }),
    ]);
    expect(await run(['verify', directory])).toMatchObject({
      text: 'Terraform has configured no machine here.\n',
      status: 0,
    });
  });

  test('what a machine says is no command for the terminal or the log', async () => {
    state(resources('vpn1', { host: 'evil' }));
    const { text } = await run(['verify', directory]);
    expect(text).toContain('\n  : :error::x  [31m\n');
    const json = await run(['verify', directory, '--json']);
    expect(json.text).not.toMatch(/\u001b/);
  });

  describe('of what cdktf has synthesized', () => {
    const shown = (): string => readFileSync(join(directory, 'shown'), 'utf8');
    const NONE_INITIALISED = `echo "
      Warning: Unable to open CLI configuration file

      | Error: Backend initialization required
      " >&2; exit 1`;

    test('reads each stack', async () => {
      state(resources('vpn1', { host: 'same' }));
      output({ one: ['vpn.1'], two: ['a%b'] });
      expect(await run(['verify', directory])).toEqual({ text: 'As declared: 2 of 2.\n', error: '', status: 0 });
    });

    test('skips a stack without hosts', async () => {
      state(resources('vpn1', { host: 'same' }));
      output({ network: [], vpn: ['vpn1'] });
      expect(await run(['verify', directory])).toMatchObject({ text: 'As declared: 1 of 1.\n', status: 0 });
      expect(shown()).toBe(`-chdir=${directory}/stacks/vpn show -json -no-color\n`);
    });

    test('refuses an output without hosts', async () => {
      output({ network: [] });
      expect(await run(['verify', directory])).toEqual({
        text: '',
        error: `cdktf-source-routing: "${directory}" declares no host. Give what "cdktf synth" wrote there, with all files of its stacks.\n`,
        status: 2,
      });
    });

    test.each(['same', 'differs'])('reports a stack that fails, and asks the others: one that is %s', async (host) => {
      state(resources('vpn1', { host }));
      output({ one: ['vpn1'], two: ['vpn2'] });
      program('terraform', `case $1 in */one) ${NONE_INITIALISED} ;; esac; cat ${directory}/state.json`);
      const error =
        `cdktf-source-routing: "terraform show" fails in "${directory}/stacks/one": ` +
        'Error: Backend initialization required. Run "terraform init" there.\n';
      const text = expect.stringContaining(`As declared: ${host === 'same' ? 1 : 0} of 1.\n`) as string;
      expect(await run(['verify', directory])).toEqual({ text, error, status: 2 });
      const json = await run(['verify', directory, '--json']);
      expect(json).toMatchObject({ error, status: 2 });
      expect((JSON.parse(json.text) as VerifyOutput).machines).toHaveLength(1);
    });

    test('a state that knows none of the hosts is that of another workspace', async () => {
      state([]);
      output({ one: ['vpn1', 'vpn2'] });
      const failure = (place: string, count: number): object => ({
        text: '',
        error:
          `cdktf-source-routing: the state of Terraform in "${place}" knows none of the declared hosts (${count}): ` +
          'it is that of another workspace or backend, or nothing was applied yet. See "terraform workspace show" there.\n',
        status: 2,
      });
      expect(await run(['verify', directory])).toEqual(failure(`${directory}/stacks/one`, 2));
      // In the directory of the stack itself, too.
      expect(await run(['verify', join(directory, 'stacks/one')])).toEqual(failure(`${directory}/stacks/one`, 2));
      state(resources('vpn1', { host: 'same', ensure: 'absent' }));
      expect(await run(['verify', directory])).toMatchObject({
        text: 'Terraform has configured no machine here.\n',
        status: 0,
      });
    });
  });

  test.each<[string, string[], string]>([
    ['no directory', [], 'verify takes one directory; 0 given.'],
    ['a wrong time', ['x', '--timeout', 'soon'], '--timeout "soon" is not a number from 0 to 3600.'],
    [
      'a directory without a state',
      ['/nowhere'],
      '"terraform show" fails in "/nowhere": Error: Backend initialization required. Run "terraform init" there.',
    ],
  ])('%s: says so', async (_, args, message) => {
    program('terraform', 'echo "\n\nError: Backend initialization required" >&2; exit 1');
    expect(await run(['verify', ...args])).toEqual({
      text: '',
      error: `cdktf-source-routing: ${message}\n`,
      status: 2,
    });
  });
});

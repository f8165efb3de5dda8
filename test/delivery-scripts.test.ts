import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { LinuxHostProps } from '../lib';
import { HostState } from '../lib';
import { getOrInsertComputed } from '../lib/model/maps';
import { newHost, newStack, scriptsOf } from './fixtures';

const SHELLS = ['dash', 'bash --posix', 'busybox ash'];
const OWNER = 'stack-vpn1';
const GENERATION = 'e0b1';
const ANCHOR = 'a0c1';
const CONNECTION = '10.0.0.1 50000 10.0.0.2 22';
const NOT_HERE = `source-routing: ERROR: generation ${GENERATION} is not on this machine: the change was never made, or undone by a reboot; see above, and: journalctl -t source-routing`;
const NOTHING = `source-routing: done: nothing of ${OWNER} is on this machine`;

interface Outcome {
  readonly code: number | null;
  readonly lines: string[];
  /** What agents were called with, one line each. */
  readonly calls: string[];
}

/** A machine as far as these scripts can see: directories, and the commands that they call. */
class Place {
  private readonly directory = mkdtempSync(join(tmpdir(), 'scripts-'));
  public readonly home = join(this.directory, 'home');
  /** Where Terraform uploads to; the home keeps nobody out. */
  public readonly uploads = join(this.home, '.ssh');
  private readonly bin = join(this.directory, 'bin');
  private runs = 0;

  public constructor(private readonly shell: string) {
    mkdirSync(this.uploads, { recursive: true });
    this.command('sh', `exec ${shell} "$@"`);
    chmodSync(this.directory, 0o755);
    chmodSync(this.home, 0o755);
    chmodSync(this.uploads, 0o700);
    this.command('id', 'case $1 in -u) echo 0 ;; *) echo root ;; esac');
    this.command('sleep', 'exit 0');
    this.owners();
  }

  public command(name: string, text: string): void {
    this.write(`bin/${name}`, `#!/bin/sh\n${text}\n`);
    chmodSync(join(this.bin, name), 0o755);
  }

  /** A user who needs sudo, which keeps nothing of the environment, or wants a password. */
  public login(user: string, sudo: 'sudo' | 'password'): void {
    this.command('id', `case $1 in -u) echo \${UID_OF_STUB-1000} ;; *) echo ${user} ;; esac`);
    const run = 'shift; exec env -i PATH="$PATH" UID_OF_STUB=0 "$@"';
    this.command('sudo', sudo === 'password' ? 'exit 1' : run);
  }

  /** Whoever runs the tests stands for root; an awk program says what belongs to somebody else. */
  public owners(others = ''): void {
    this.command('ls', `/bin/ls "$@" | awk '${others} $3 == ${process.getuid?.()} { $3 = 0 } { print }'`);
  }

  /** An agent that notes how it was called, and behaves as told. */
  public agent(name: 'agent' | 'trial/agent', behaviour: string): void {
    const note = `printf '%s' ${name} >>'${this.path('calls')}'; printf ' <%s>' "$@" >>'${this.path('calls')}'; echo >>'${this.path('calls')}'`;
    this.write(`lib/${OWNER}/${name}`, `${note}\n${behaviour}\n`);
  }

  public said(text: string): void {
    this.write(`said/${OWNER}`, text);
  }

  public path(name: string): string {
    return join(this.directory, name);
  }

  /** Runs a script as Terraform does once it has put in what it knows. */
  public run(script: string, directory = '.ssh'): Outcome {
    const text = script
      .replace(/\$\{self\.id\}/g, GENERATION)
      .replace(/\$\{self\.input\.owner\}/g, OWNER)
      .replace(/\$\{terraform_data\.\w+\.id\}/g, ANCHOR)
      .replace(/([$%])\1\{/g, '$1{')
      .replace(/^PATH=/m, `PATH=${this.bin}:`)
      .replaceAll('/var/lib/source-routing', this.path('lib'))
      .replaceAll('/run/source-routing.said', this.path('said'))
      .replaceAll('/run/cloud-init', this.path('cloud-init'))
      // Other tests run at the same time.
      .replaceAll('/proc/', `${this.path('proc')}/`);
    // Each removes itself, a moment after its end.
    const name = `${directory}/script.${(this.runs += 1)}.sh`;
    this.write(`home/${name}`, text);
    const [program = '', ...args] = this.shell.split(' ');
    const { status, stdout, stderr } = spawnSync(program, [...args, name], {
      cwd: this.home,
      encoding: 'utf8',
      env: { PATH: process.env.PATH, SSH_CONNECTION: CONNECTION },
    });
    return {
      code: status,
      lines: `${stdout}${stderr}`.split('\n').slice(0, -1),
      calls: existsSync(this.path('calls')) ? readFileSync(this.path('calls'), 'utf8').split('\n').slice(0, -1) : [],
    };
  }

  /** What is left of the uploads once the script has cleaned up behind itself. */
  public left(expected = 0): string[] {
    for (let i = 0; i < 500 && readdirSync(this.uploads).length > expected; i++) {
      spawnSync('sleep', ['0.01']);
    }
    return readdirSync(this.uploads);
  }

  public write(name: string, text: string): void {
    const path = this.path(name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }

  public close(): void {
    rmSync(this.directory, { recursive: true });
  }
}

type Scripts = Record<'deliver' | 'confirm' | 'cleanUp' | 'removed', string>;

/** Made once for all shells and tests that ask for the same. */
const made = new Map<string, Scripts>();

/** The scripts of a host, by what they do. */
function scripts(props: Partial<LinuxHostProps> = {}): Scripts {
  return getOrInsertComputed(made, JSON.stringify(props), () => synthesizedScripts(props));
}

function synthesizedScripts(props: Partial<LinuxHostProps>): Scripts {
  const stack = newStack();
  newHost(stack, props);
  const [deliver = '', confirm = ''] = scriptsOf(stack, 'apply');
  const [cleanUp = '', removed = ''] = scriptsOf(stack, 'anchor');
  return { deliver, confirm, cleanUp, removed };
}

/** What the test runner has not installed is not there on a developer's box. */
const present = (shell: string): boolean => spawnSync(shell.split(' ')[0] ?? '', ['--help']).error === undefined;

describe.each(SHELLS)('%s', (shell) => {
  if (!present(shell) && process.env.CI !== 'true') {
    test.skip('is not on this box', () => undefined);
    return;
  }

  let place: Place;
  beforeEach(() => {
    place = new Place(shell);
  });
  afterEach(() => place.close());

  const bundle = (): string => `home/.ssh/.source-routing-${OWNER}.${GENERATION}.bundle.see-ssh.scriptDirectory`;

  describe('deliver', () => {
    const CALL = `<apply> <--owner> <${OWNER}> <--generation> <${GENERATION}> <--confirm-timeout> <60> <--anchor> <${ANCHOR}> <--ssh> <${CONNECTION}>`;
    const BUNDLE = `<.ssh/.source-routing-${OWNER}.${GENERATION}.bundle.see-ssh.scriptDirectory>`;
    const note = (): string => `printf '<%s> ' "$@"; echo; exit 69`;

    test.each<[string, Partial<LinuxHostProps>, string]>([
      ['puts the bundle on trial', {}, `${CALL} ${BUNDLE} `],
      ['for as long as told', { confirmTimeoutSeconds: 90 }, `${CALL.replace('<60>', '<90>')} ${BUNDLE} `],
      [
        'with another way back',
        { allowManagementPathChange: true },
        `${CALL} <--allow-management-path-change> ${BUNDLE} `,
      ],
    ])('%s', (_, props, line) => {
      place.write(bundle(), note());
      expect(place.run(scripts(props).deliver)).toEqual({ code: 69, lines: [line], calls: [] });
      expect(place.left()).toEqual([]);
    });

    const WAITING = 'source-routing: waiting for cloud-init to finish, for 300 seconds at most';
    const LONG = 'source-routing: note: cloud-init still runs, and may change the network: cloud-init status --long';
    test.each<[string, () => void, string[]]>([
      ['is there', () => place.write('cloud-init/status.json', ''), [WAITING]],
      ['takes too long', () => place.command('timeout', 'exit 124'), [WAITING, LONG]],
      ['is done', () => place.write('cloud-init/result.json', ''), []],
      ['has not run', () => rmSync(place.path('cloud-init'), { recursive: true }), []],
    ])('waits for cloud-init before it changes anything, if it %s', (_, prepare, said) => {
      place.write('cloud-init/status.json', '');
      place.command('cloud-init', `printf '%s ' cloud-init "$@" >>'${place.path('calls')}'; exit 2`);
      place.command('timeout', '[ "$1" = 300 ] && shift && exec "$@"');
      prepare();
      place.write(bundle(), note());
      const { code, lines } = place.run(scripts().deliver);
      expect({ code, lines }).toEqual({ code: 69, lines: [...said, `${CALL} ${BUNDLE} `] });
      const called = existsSync(place.path('calls')) ? readFileSync(place.path('calls'), 'utf8') : '';
      expect(called).toBe(said.length === 1 ? 'cloud-init status --wait ' : '');
    });

    const REFUSED = 'source-routing: refused, nothing was changed:';
    const CHANGE = 'and so change what root is to run: ';
    test.each<[string, () => void, (home: string) => string]>([
      [
        'others can enter its directory',
        () => chmodSync(place.uploads, 0o701),
        (home) => `others can enter ${home}/.ssh, ${CHANGE}chmod go-rwx ${home}/.ssh`,
      ],
      [
        'the group can enter its directory',
        () => chmodSync(place.uploads, 0o710),
        (home) => `others can enter ${home}/.ssh, ${CHANGE}chmod go-rwx ${home}/.ssh`,
      ],
      [
        'others can put another directory in its place',
        () => chmodSync(place.home, 0o757),
        (home) => `others can write to ${home}, ${CHANGE}chmod go-w ${home}`,
      ],
      [
        'the group can put another directory in its place',
        () => chmodSync(place.home, 0o775),
        (home) => `others can write to ${home}, ${CHANGE}chmod go-w ${home}`,
      ],
      [
        'its directory is behind a link',
        () => {
          renameSync(place.uploads, place.path('elsewhere'));
          symlinkSync(place.path('elsewhere'), place.uploads);
        },
        (home) => `${home}/.ssh is a link: set ssh.scriptDirectory to where it leads`,
      ],
      [
        'its directory is not the user',
        () => place.owners('/home/ { $3 = 4321 }'),
        (home) =>
          `${home} belongs to another user, who could change what root is to run: set ssh.scriptDirectory to a directory of debian's own`,
      ],
    ])('does not become root when %s', (_, open, why) => {
      place.login('debian', 'sudo');
      open();
      place.write(bundle(), note());
      const line = `${REFUSED} ${why(realpathSync(place.home))}`;
      expect(place.run(scripts().deliver)).toEqual({ code: 69, lines: [line], calls: [] });
      expect(place.left()).toEqual([]);
      expect(place.run(scripts().confirm)).toEqual({ code: 69, lines: [line], calls: [] });
    });

    test.each<[string, () => void]>([
      [
        'the home keeps others out',
        () => {
          chmodSync(place.home, 0o700);
          chmodSync(place.uploads, 0o777);
        },
      ],
      ['others can write to the home, and not remove what is in there', () => chmodSync(place.home, 0o1777)],
    ])('is content when %s', (_, open) => {
      place.login('debian', 'sudo');
      open();
      place.write(bundle(), note());
      expect(place.run(scripts().deliver).lines).toEqual([`${CALL} ${BUNDLE} `]);
    });

    test('names the connection to root, whom sudo does not tell', () => {
      place.login('debian', 'sudo');
      place.write(bundle(), note());
      expect(place.run(scripts().deliver).lines).toEqual([`${CALL} ${BUNDLE} `]);
    });
  });

  describe('confirm', () => {
    const WORDS = `<confirm> <--owner> <${OWNER}> <--generation> <${GENERATION}> <--ssh> <${CONNECTION}>`;

    test('asks the agent of the trial, and ends as it does', () => {
      place.agent('agent', 'echo not me');
      place.agent('trial/agent', 'echo progress; echo "source-routing: done: in force"');
      // The one before it may have been cut off before it could take away anything.
      place.write(bundle(), '');
      const { code, lines, calls } = place.run(scripts().confirm);
      expect([code, lines]).toEqual([0, ['progress', 'source-routing: done: in force']]);
      expect(calls).toEqual([`trial/agent ${WORDS}`]);
      expect(place.left()).toEqual([]);
    });

    test.each([1, 65, 67, 70, 71, 75])('asks the agent that is installed when there is no trial: %d', (status) => {
      place.agent('agent', `echo "source-routing: ERROR: what it was" >&2; exit ${status}`);
      const { code, lines, calls } = place.run(scripts().confirm);
      expect([code, lines]).toEqual([status, ['source-routing: ERROR: what it was']]);
      expect(calls).toEqual([`agent ${WORDS}`]);
    });

    test('names the connection to root, whom sudo does not tell', () => {
      place.login('debian', 'sudo');
      place.agent('agent', 'exit 0');
      expect(place.run(scripts().confirm).calls).toEqual([`agent ${WORDS}`]);
    });

    test('goes on to the next when the trial ends before it can be asked', () => {
      place.agent('trial/agent', 'exit 127');
      place.agent('agent', 'echo "source-routing: ERROR: too late"; exit 67');
      expect(place.run(scripts().confirm)).toMatchObject({ code: 67, lines: ['source-routing: ERROR: too late'] });
    });

    test.each(['', 'f() {', ': <<END\nsource-routing: done: nothing', 'exit 0'])(
      'an agent of which only the beginning was written proves nothing: %j',
      (beginning) => {
        place.write(`lib/${OWNER}/trial/agent`, beginning);
        expect(place.run(scripts().confirm)).toMatchObject({ code: 67, lines: [NOT_HERE] });
        place.agent('agent', 'echo "source-routing: ERROR: too late"; exit 67');
        expect(place.run(scripts().confirm)).toMatchObject({ code: 67, lines: ['source-routing: ERROR: too late'] });
      },
    );

    test.each<[string, () => void]>([
      ['there is no agent', () => undefined],
      ['the agent knows of no trials', () => place.agent('agent', 'echo "there is no command confirm"; exit 64')],
    ])('tells what was said when %s', (_, before) => {
      before();
      place.said(`${GENERATION} 69\nERROR: refused \\n: device eth7 does not exist\n`);
      expect(place.run(scripts().confirm)).toMatchObject({
        code: 69,
        lines: ['source-routing: ERROR: refused \\n: device eth7 does not exist'],
      });
      expect(existsSync(place.path(`said/${OWNER}`))).toBe(false);
      expect(place.run(scripts().confirm)).toMatchObject({ code: 67, lines: [NOT_HERE] });
    });

    test.each(['0', '', 'x', '256', '069'])('a status of "%s" is no success', (status) => {
      place.said(`${GENERATION} ${status}\nwords\n`);
      expect(place.run(scripts().confirm)).toMatchObject({ code: 70, lines: ['source-routing: words'] });
    });

    test('what was said of another change is not told', () => {
      place.said('other 69\nERROR: refused\n');
      expect(place.run(scripts().confirm)).toMatchObject({ code: 67, lines: [NOT_HERE] });
      expect(existsSync(place.path(`said/${OWNER}`))).toBe(true);
    });

    test('says what keeps it from being root, and does not confirm', () => {
      place.login('debian', 'password');
      place.agent('agent', 'exit 0');
      expect(place.run(scripts().confirm)).toEqual({
        code: 69,
        lines: [
          'source-routing: refused, nothing was changed: sudo wants a password from debian: allow it NOPASSWD: ALL in /etc/sudoers.d, or set ssh.user to root',
        ],
        calls: [],
      });
    });
  });

  test('a script goes once Terraform has emptied it, however late: it would come back otherwise', () => {
    place.agent('agent', 'echo "source-routing: done: in force"');
    place.command('sleep', 'exec /bin/sleep 0.01');
    expect(place.run(scripts().confirm).code).toBe(0);
    const script = '.ssh/script.1.sh';
    spawnSync('sleep', ['0.1']);
    expect(readdirSync(place.uploads)).toEqual(['script.1.sh']);
    place.write(`home/${script}`, '');
    expect(place.left()).toEqual([]);
  });

  describe('clean-up', () => {
    // When Terraform destroys the anchor, that is the resource that the generation is named after.
    const WORDS = `<remove> <--owner> <${OWNER}> <--generation> <${GENERATION}> <--confirm-timeout> <60> <--ssh> <${CONNECTION}> <--anchor> <${GENERATION}>`;

    test.each(['agent', 'trial/agent'] as const)('has %s remove, on trial', (name) => {
      place.agent('agent', 'exit 3');
      place.agent(name, 'echo removing; exit 70');
      place.write(bundle(), '');
      place.write(`home/.ssh/.source-routing-${OWNER}.1.see-ssh.scriptDirectory`, '');
      expect(place.run(scripts().cleanUp)).toEqual({ code: 70, lines: ['removing'], calls: [`${name} ${WORDS}`] });
      expect(place.left()).toEqual([]);
    });

    test.each([
      ['waits for its end', `sh\0.ssh/.source-routing-${OWNER}.b0b1.bundle.see-ssh.scriptDirectory\0apply`, false],
      ['has just uploaded something', '', true],
    ])('leaves the files of a declaration alone that %s', (_, words, isLater) => {
      const theirs = `.source-routing-${OWNER}.b0b1.bundle.see-ssh.scriptDirectory`;
      place.write('proc/77/cmdline', words);
      place.write(bundle(), '');
      place.write(`home/.ssh/${theirs}`, '');
      if (isLater) utimesSync(place.path(`home/.ssh/${theirs}`), Date.now() / 1000 + 60, Date.now() / 1000 + 60);
      place.agent('agent', 'echo removed');
      expect(place.run(scripts().cleanUp)).toMatchObject({ code: 0, lines: ['removed'] });
      expect(place.left(1)).toEqual([theirs]);
    });

    test('removes the script of a Terraform that was killed, which still waits to be emptied', () => {
      const script = `.source-routing-${OWNER}.494.see-ssh.scriptDirectory`;
      place.write('proc/77/cmdline', `/bin/sh\0.ssh/${script}\0`);
      place.write(`home/.ssh/${script}`, 'x');
      place.agent('agent', 'echo removed');
      expect(place.run(scripts().cleanUp)).toMatchObject({ code: 0, lines: ['removed'] });
      expect(place.left()).toEqual([]);
    });

    test('an agent that knows of no trials removes at once', () => {
      place.agent('agent', '[ $# -eq 3 ] || exit 64; echo removed');
      expect(place.run(scripts().cleanUp)).toEqual({
        code: 0,
        lines: [
          'source-routing: note: the agent on this machine is of an earlier version: it removes without waiting for a confirmation',
          'removed',
        ],
        calls: [`agent ${WORDS}`, `agent <remove> <--owner> <${OWNER}>`],
      });
    });

    test.each(['', `lib/${OWNER}/leftover`])('has nothing to do where there is no agent', (leftover) => {
      if (leftover) {
        place.write(leftover, '');
      }
      const lines = [`source-routing: ${OWNER}: nothing to remove`];
      expect(place.run(scripts().cleanUp)).toEqual({ code: 0, lines, calls: [] });
    });
  });

  describe('confirm of a removal', () => {
    const WORDS = `<confirm> <--owner> <${OWNER}> <--generation> <${GENERATION}> <--ssh> <${CONNECTION}> <--removal> <--anchor> <${GENERATION}>`;

    test('asks the agent of the trial', () => {
      place.agent('trial/agent', 'echo "source-routing: done: removed"');
      expect(place.run(scripts().removed)).toEqual({
        code: 0,
        lines: ['source-routing: done: removed'],
        calls: [`trial/agent ${WORDS}`],
      });
    });

    test.each(['', 'lib/other/agent', `lib/${OWNER}/leftover`])('is content with nothing', (other) => {
      if (other) {
        place.write(other, '');
      }
      expect(place.run(scripts().removed)).toEqual({ code: 0, lines: [NOTHING], calls: [] });
    });

    test('needs no root where nothing ever was', () => {
      place.login('debian', 'password');
      expect(place.run(scripts().removed)).toEqual({ code: 0, lines: [NOTHING], calls: [] });
    });

    test('an agent that knows of no trials and is still there did not remove everything', () => {
      place.agent('agent', 'exit 64');
      expect(place.run(scripts().removed)).toMatchObject({
        code: 71,
        lines: [`source-routing: ERROR: ${OWNER} is still on this machine: see above, and: source-routing status`],
      });
    });

    test('tells what was said of it', () => {
      place.write(`lib/${OWNER}/leftover`, '');
      place.said(`${GENERATION} 71\nERROR: not everything was removed\n`);
      expect(place.run(scripts().removed)).toMatchObject({
        code: 71,
        lines: ['source-routing: ERROR: not everything was removed'],
      });
    });
  });
});

test('ensure: absent runs the scripts of the clean-up', () => {
  const stack = newStack();
  newHost(stack, { ensure: HostState.ABSENT });
  const atDestroy = scriptsOf(stack, 'anchor').map((text) => text.replace('${self.input.owner}', OWNER));
  // It removes what anybody has configured for this owner.
  expect(scriptsOf(stack, 'apply')).toEqual(atDestroy.map((text) => text.replace("anchor='${self.id}'", "anchor=''")));
});

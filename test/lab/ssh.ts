import { chmodSync, chownSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { hasThird } from './namespace';
import { run } from './process';
import type { RunDirectory } from './run-directory';
import { bare, cardsOf, families, type MachineName, machineNames } from './topology';

const hostKeyTypes = ['ecdsa', 'ed25519'] as const;
export type HostKeyType = (typeof hostKeyTypes)[number];

/** The administrator's and the machines' keys, made anew for each run. */
export class SshKeys {
  /** Log in as root or debian (or nosudo) with this. */
  readonly privateKeyFile: string;
  readonly publicKeyFile: string;
  /** The same kind of key behind a passphrase: for an agent, and for tests of the refusal. */
  readonly encryptedKeyFile: string;
  readonly passphrase = 'correct horse battery staple';
  /** A key that is in no authorized_keys; only its certificate opens the door. */
  readonly certifiedKeyFile: string;
  readonly certificateFile: string;
  /** OpenSSH's known_hosts for the machines and all their addresses. */
  readonly knownHostsFile: string;

  constructor(private readonly directory: RunDirectory) {
    this.privateKeyFile = this.path('admin');
    this.publicKeyFile = `${this.privateKeyFile}.pub`;
    this.encryptedKeyFile = this.path('encrypted');
    this.certifiedKeyFile = this.path('certified');
    this.certificateFile = this.path('certified-cert.pub');
    this.knownHostsFile = this.path('known_hosts');
  }

  async generate(): Promise<void> {
    const machines = machineNames(hasThird(this.directory));
    mkdirSync(this.path(), { recursive: true });
    const make = (file: string, type: string, passphrase = ''): Promise<unknown> =>
      run(['ssh-keygen', '-q', '-t', type, '-N', passphrase, '-C', 'lab', '-f', this.path(file)]);
    await Promise.all([
      make('admin', 'ed25519'),
      make('encrypted', 'ed25519', this.passphrase),
      make('certified', 'ed25519'),
      make('user_ca', 'ed25519'),
      ...machines.flatMap((name) => hostKeyTypes.map((type) => make(`${name}_${type}`, type))),
    ]);
    const principals = ['-n', 'root,debian,nosudo', '-V', '-1h:+1d'];
    await run([
      'ssh-keygen',
      '-q',
      '-s',
      this.path('user_ca'),
      '-I',
      'lab',
      ...principals,
      `${this.certifiedKeyFile}.pub`,
    ]);
    const lines = machines.flatMap((name) =>
      hostKeyTypes.flatMap((type) =>
        cardsOf(name)
          .flatMap((card) => families.map((family) => bare(card[family])))
          .map((host) => `${host} ${this.hostKey(name, type)}`),
      ),
    );
    writeFileSync(this.knownHostsFile, `${lines.join('\n')}\n`);
  }

  /** Public host key of a machine, as in known_hosts without the host: "ecdsa-sha2-nistp256 AAAA…". */
  hostKey(machine: MachineName, type: HostKeyType = 'ecdsa'): string {
    return readFileSync(this.path(`${machine}_${type}.pub`), 'utf8')
      .trim()
      .split(' ')
      .slice(0, 2)
      .join(' ');
  }

  /** Put into a machine's root what its sshd needs. */
  install(machine: MachineName, root: string): void {
    const write = (path: string, text: string, mode: number): void => {
      writeFileSync(`${root}${path}`, text);
      chmodSync(`${root}${path}`, mode);
    };
    for (const type of hostKeyTypes) {
      const key = this.path(`${machine}_${type}`);
      write(`/etc/ssh/ssh_host_${type}_key`, readFileSync(key, 'utf8'), 0o600);
      write(`/etc/ssh/ssh_host_${type}_key.pub`, readFileSync(`${key}.pub`, 'utf8'), 0o644);
    }
    write('/etc/ssh/lab_user_ca.pub', readFileSync(this.path('user_ca.pub'), 'utf8'), 0o644);
    for (const home of ['/root', '/home/debian', '/home/nosudo'].map((path) => `${root}${path}`)) {
      mkdirSync(`${home}/.ssh`, { recursive: true, mode: 0o700 });
      chownSync(`${home}/.ssh`, statSync(home).uid, statSync(home).gid);
    }
    // One file of keys for all users: tests do what they like with the directories of their own.
    const authorized = [this.publicKeyFile, `${this.encryptedKeyFile}.pub`].map((file) => readFileSync(file, 'utf8'));
    write('/etc/ssh/lab_authorized_keys', authorized.join(''), 0o644);
    write(
      '/etc/ssh/sshd_config.d/lab.conf',
      [
        'PermitRootLogin prohibit-password',
        'PasswordAuthentication no',
        'AuthorizedKeysFile /etc/ssh/lab_authorized_keys',
        'TrustedUserCAKeys /etc/ssh/lab_user_ca.pub',
        '',
      ].join('\n'),
      0o644,
    );
  }

  /** Command line of an ssh that knows the machines, asks nothing and reads nobody's configuration. */
  command(user: string, host: string): string[] {
    const options = [
      'BatchMode=yes',
      'ConnectTimeout=5',
      'StrictHostKeyChecking=yes',
      'IdentitiesOnly=yes',
      'LogLevel=ERROR',
    ];
    return [
      'ssh',
      ...['-F', 'none', '-i', this.privateKeyFile],
      ...[...options, `UserKnownHostsFile=${this.knownHostsFile}`].flatMap((option) => ['-o', option]),
      `${user}@${host}`,
    ];
  }

  private path(...parts: string[]): string {
    return this.directory.path('ssh', ...parts);
  }
}

import type { SSHProvisionerConnection } from 'cdktf';
import { Fn, Token } from 'cdktf';
import type { SshConnection } from '../ssh-connection';
import { expression, literal, quoted } from './escape';

const DEFAULT_USER = 'root';
const DEFAULT_TIMEOUT_SECONDS = 60;

/**
 * Where Terraform puts its script: `%RAND%` is a number. The home of the login user, because the
 * default is a world-writable file in /tmp, which may also be mounted noexec.
 */
export function scriptPath(owner: string): string {
  return `./.source-routing-${owner}.%RAND%.sh`;
}

/** The connection of the provisioners that run at create. */
export function createConnection(owner: string, ssh: SshConnection): SSHProvisionerConnection {
  const { bastion } = ssh;
  return compact({
    ...common(owner, ssh),
    host: text(ssh.host),
    user: text(ssh.user ?? DEFAULT_USER),
    port: ssh.port,
    privateKey: ssh.privateKey ?? optionalFile(ssh.privateKeyFile),
    certificate: optionalFile(ssh.certificateFile),
    hostKey: optionalText(ssh.hostKey),
    bastionHost: optionalText(bastion?.host),
    bastionPort: bastion?.port,
    bastionUser: optionalText(bastion?.user),
    bastionPrivateKey: optionalFile(bastion?.privateKeyFile),
    bastionHostKey: optionalText(bastion?.hostKey),
  });
}

/** What the destroy-time connection needs: it may name nothing but `self`. No secrets. */
export function storedConnection(ssh: SshConnection): { host: string; port: string } & Record<string, string> {
  const { bastion } = ssh;
  return {
    host: text(ssh.host),
    port: String(ssh.port ?? 22),
    ...compact({
      user: text(ssh.user ?? DEFAULT_USER),
      key_file: optionalText(ssh.privateKeyFile),
      certificate_file: optionalText(ssh.certificateFile),
      host_key: optionalText(ssh.hostKey),
      bastion_host: optionalText(bastion?.host),
      bastion_port: bastion && String(bastion.port ?? 22),
      bastion_user: optionalText(bastion?.user),
      bastion_key_file: optionalText(bastion?.privateKeyFile),
      bastion_host_key: optionalText(bastion?.hostKey),
    }),
  };
}

/** The connection of the clean-up, out of what `storedConnection` kept. */
export function destroyConnection(ssh: SshConnection, stored: (key: string) => string): SSHProvisionerConnection {
  const keep = (condition: unknown, key: string): string | undefined =>
    condition === undefined ? undefined : expression(stored(key));
  const file = (condition: unknown, key: string): string | undefined =>
    condition === undefined ? undefined : expression(`file(pathexpand(${stored(key)}))`);
  const { bastion } = ssh;
  return compact({
    ...common(expression(stored('owner')), { ...ssh, privateKey: undefined }),
    host: expression(stored('host')),
    user: expression(stored('user')),
    port: expression(stored('port')) as unknown as number,
    privateKey: file(ssh.privateKeyFile, 'key_file'),
    certificate: file(ssh.certificateFile, 'certificate_file'),
    hostKey: keep(ssh.hostKey, 'host_key'),
    bastionHost: keep(bastion?.host, 'bastion_host'),
    bastionPort: keep(bastion?.host, 'bastion_port') as unknown as number | undefined,
    bastionUser: keep(bastion?.user, 'bastion_user'),
    bastionPrivateKey: file(bastion?.privateKeyFile, 'bastion_key_file'),
    bastionHostKey: keep(bastion?.hostKey, 'bastion_host_key'),
  });
}

function common(
  owner: string,
  ssh: SshConnection,
): Pick<SSHProvisionerConnection, 'type' | 'timeout' | 'scriptPath' | 'agent'> {
  const agent = ssh.agent ?? (ssh.privateKey === undefined && ssh.privateKeyFile === undefined);
  return {
    type: 'ssh',
    agent: String(agent),
    // Without a unit Terraform takes its default of five minutes, and says nothing.
    timeout: `${ssh.timeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS}s`,
    scriptPath: scriptPath(owner),
  };
}

/** The contents of a file, or nothing where it is missing: a plan must not need the key. */
function optionalFile(path: string | undefined): string | undefined {
  if (path === undefined) {
    return undefined;
  }
  if (Token.isUnresolved(path)) {
    const expanded = Fn.pathexpand(path);
    return Token.asString(Fn.conditional(Fn.fileexists(expanded), Fn.file(expanded), Token.nullValue()));
  }
  const expanded = `pathexpand(${quoted(path)})`;
  return expression(`fileexists(${expanded}) ? file(${expanded}) : null`);
}

function optionalText(value: string | undefined): string | undefined {
  return value === undefined ? undefined : text(value);
}

function text(value: string): string {
  return Token.isUnresolved(value) ? value : literal(value);
}

function compact<T extends object>(record: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}

import type { SSHProvisionerConnection } from 'cdktf';
import { Fn, Lazy, Token } from 'cdktf';
import type { SshConnection } from '../ssh-connection';
import { expression, isTemplate, literal, quoted } from './escape';

const DEFAULT_USER = 'root';
const DEFAULT_TIMEOUT_SECONDS = 60;

/** Undoing takes a few seconds; Terraform waits up to 20 between two tries, and up to 15 in one. */
const CONFIRM_MARGIN_SECONDS = 40;

/**
 * Private nearly everywhere, and it exists: keys are kept there. Terraform makes each of its scripts
 * writable for everybody, so that no directory that others can enter will do.
 */
const DEFAULT_SCRIPT_DIRECTORY = '.ssh';

/** Terraform gives the path of its script to the remote shell without quotes. */
const UNSAFE_IN_PATH = '/^$|^-|[^A-Za-z0-9./_@+-]/';

/** Where Terraform uploads to. A token is data: what would mean something to the shell is taken out of it. */
export function scriptDirectory({ scriptDirectory: given = DEFAULT_SCRIPT_DIRECTORY }: SshConnection): string {
  return Token.isUnresolved(given) ? Fn.replace(given, UNSAFE_IN_PATH, '_') : given;
}

/** The same at destroy, out of what `storedConnection` kept. */
export function storedScriptDirectory(stored: (key: string) => string): string {
  return expression(`try(${stored('script_directory')}, "${DEFAULT_SCRIPT_DIRECTORY}")`);
}

/**
 * The end of the names of what is uploaded. Where that fails, or cannot be run (a directory that is missing, not
 * the user's own, or `noexec`), Terraform shows the path and two words of the machine's, and none of ours.
 */
export const HINT = 'see-ssh.scriptDirectory';

/** `%RAND%` is a number. */
function scriptPath(directory: string, owner: string): string {
  return `${directory}/.source-routing-${owner}.%RAND%.${HINT}`;
}

/** The connection of the provisioners that run at create. */
export function createConnection(owner: string, ssh: SshConnection): SSHProvisionerConnection {
  const { bastion } = ssh;
  return compact({
    type: 'ssh' as const,
    timeout: timeout(ssh),
    scriptPath: scriptPath(scriptDirectory(ssh), owner),
    agent: String(usesAgent(ssh, ssh.privateKey)),
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
      agent: String(usesAgent(ssh, undefined)),
      key_file: optionalText(ssh.privateKeyFile),
      certificate_file: optionalText(ssh.certificateFile),
      host_key: optionalText(ssh.hostKey),
      bastion_host: optionalText(bastion?.host),
      bastion_port: bastion && String(bastion.port ?? 22),
      bastion_user: optionalText(bastion?.user),
      bastion_key_file: optionalText(bastion?.privateKeyFile),
      bastion_host_key: optionalText(bastion?.hostKey),
      script_directory: ssh.scriptDirectory && scriptDirectory(ssh),
    }),
  };
}

/**
 * The connection of the clean-up, out of what `storedConnection` kept. It is written in the new
 * configuration but read with the old values, so it must not depend on which properties the new
 * one has: every key is asked for, and may be missing.
 */
export function destroyConnection(
  ssh: Pick<SshConnection, 'timeoutSeconds'>,
  stored: (key: string) => string,
): SSHProvisionerConnection {
  const kept = (key: string): string => expression(`try(${stored(key)}, null)`);
  // A path that was kept must be readable: no silent fallback to another way in.
  const file = (key: string): string => expression(`can(${stored(key)}) ? file(pathexpand(${stored(key)})) : null`);
  return {
    type: 'ssh',
    timeout: timeout(ssh),
    scriptPath: scriptPath(storedScriptDirectory(stored), expression(stored('owner'))),
    host: expression(stored('host')),
    user: expression(stored('user')),
    port: expression(stored('port')) as unknown as number,
    agent: expression(stored('agent')),
    privateKey: file('key_file'),
    certificate: file('certificate_file'),
    hostKey: kept('host_key'),
    bastionHost: kept('bastion_host'),
    bastionPort: kept('bastion_port') as unknown as number,
    bastionUser: kept('bastion_user'),
    bastionPrivateKey: file('bastion_key_file'),
    bastionHostKey: kept('bastion_host_key'),
  };
}

/**
 * How the connection that confirms differs from the one before it. It must still be tried when
 * the machine has undone a change that had cut it off, to hear what became of it.
 *
 * @see https://developer.hashicorp.com/terraform/language/resources/provisioners/connection
 */
export function confirmConnection(props: { confirmTimeoutSeconds: number; timeoutSeconds?: number }): {
  timeout: string;
} {
  const { confirmTimeoutSeconds, timeoutSeconds = DEFAULT_TIMEOUT_SECONDS } = props;
  return { timeout: `${Math.max(confirmTimeoutSeconds + CONFIRM_MARGIN_SECONDS, timeoutSeconds)}s` };
}

/** At destroy there is no `privateKey`. */
function usesAgent(ssh: SshConnection, privateKey: string | undefined): boolean {
  return ssh.agent ?? (privateKey === undefined && ssh.privateKeyFile === undefined);
}

function timeout(ssh: Pick<SshConnection, 'timeoutSeconds'>): string {
  // Without a unit Terraform takes its default of five minutes, and says nothing.
  return `${ssh.timeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS}s`;
}

/** The contents of a file, or nothing where it is missing: a plan must not need the key. */
function optionalFile(path: string | undefined): string | undefined {
  if (path === undefined) {
    return undefined;
  }
  // Only when it is resolved can a token that stands for plain text be told from a reference.
  return Lazy.stringValue({
    produce: (context) => {
      const resolved = context.resolve(path) as unknown;
      if (typeof resolved === 'string' && (!Token.isUnresolved(path) || !isTemplate(resolved))) {
        const expanded = `pathexpand(${quoted(resolved)})`;
        return expression(`fileexists(${expanded}) ? file(${expanded}) : null`);
      }
      const expanded = Fn.pathexpand(path);
      return Token.asString(Fn.conditional(Fn.fileexists(expanded), Fn.file(expanded), Token.nullValue()));
    },
  });
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

import type { SSHProvisionerConnection } from 'cdktf';
import { Fn, Lazy, Token } from 'cdktf';
import type { SshBastion, SshConnection } from '../ssh-connection';
import type { KeySource } from './environment-key';
import { environmentKey } from './environment-key';
import { expression, isTemplate, literal, quoted } from './escape';

const DEFAULT_USER = 'root';
const DEFAULT_TIMEOUT_SECONDS = 60;

/** The default of Terraform. A new machine has to boot first. */
const NEW_MACHINE_TIMEOUT_SECONDS = 300;

/** A rollback takes a few seconds. Terraform waits up to 20 seconds between two tries, and up to 15 in one. */
const CONFIRM_MARGIN_SECONDS = 40;

/**
 * The default directory for uploads. It holds keys, so it exists and is private nearly everywhere. Terraform makes each
 * of its scripts writable for everybody, so others must not be able to enter the directory.
 */
const DEFAULT_SCRIPT_DIRECTORY = '.ssh';

/** Terraform gives the path of its script to the remote shell without quotes. */
const UNSAFE_IN_PATH = '/^$|^-|[^A-Za-z0-9./_@+-]/';

/** The upload directory. A token is data, so characters that are special in the shell are removed from it. */
export function scriptDirectory({ scriptDirectory: given = DEFAULT_SCRIPT_DIRECTORY }: SshConnection): string {
  return Token.isUnresolved(given) ? Fn.replace(given, UNSAFE_IN_PATH, '_') : given;
}

/** The same at destroy, from the values that `storedConnection` kept. */
export function storedScriptDirectory(stored: (key: string) => string): string {
  return expression(`try(${stored('script_directory')}, "${DEFAULT_SCRIPT_DIRECTORY}")`);
}

/**
 * The end of the names of uploaded files. If an upload fails or cannot run (the directory is missing, belongs to
 * another user, or is `noexec`), Terraform shows only the path and two words of the machine. So the name is our
 * message.
 */
export const HINT = 'see-ssh.scriptDirectory';

/** `%RAND%` is a number. */
function scriptPath(directory: string, owner: string): string {
  return `${directory}/.source-routing-${owner}.%RAND%.${HINT}`;
}

/** The connection of the provisioners that run at create. */
export function createConnection(owner: string, ssh: SshConnection): SSHProvisionerConnection {
  const { bastion } = ssh;
  const { timeoutSeconds = Token.isUnresolved(ssh.host) ? NEW_MACHINE_TIMEOUT_SECONDS : undefined } = ssh;
  return compact({
    type: 'ssh' as const,
    timeout: timeout({ timeoutSeconds }),
    scriptPath: scriptPath(scriptDirectory(ssh), owner),
    agent: String(usesAgent(ssh, ssh.privateKey)),
    host: text(ssh.host),
    user: text(ssh.user ?? DEFAULT_USER),
    port: ssh.port,
    privateKey: ssh.privateKey ?? declaredKey(ssh),
    certificate: optionalFile(ssh.certificateFile),
    hostKey: optionalText(ssh.hostKey),
    bastionHost: optionalText(bastion?.host),
    bastionPort: bastion?.port,
    bastionUser: optionalText(bastion?.user),
    bastionPrivateKey: bastion && declaredKey(bastion),
    bastionHostKey: optionalText(bastion?.hostKey),
  });
}

/** Values for the destroy-time connection, which may only refer to `self`. No secrets. */
export function storedConnection(ssh: SshConnection): { host: string; port: string } & Record<string, string> {
  const { bastion } = ssh;
  return {
    host: text(ssh.host),
    port: String(ssh.port ?? 22),
    ...compact({
      user: text(ssh.user ?? DEFAULT_USER),
      agent: String(usesAgent(ssh, undefined)),
      key_file: optionalText(ssh.privateKeyFile),
      key_variable: ssh.privateKeyEnvironmentVariable,
      certificate_file: optionalText(ssh.certificateFile),
      host_key: optionalText(ssh.hostKey),
      bastion_host: optionalText(bastion?.host),
      bastion_port: bastion && String(bastion.port ?? 22),
      bastion_user: optionalText(bastion?.user),
      bastion_key_file: optionalText(bastion?.privateKeyFile),
      bastion_key_variable: bastion?.privateKeyEnvironmentVariable,
      bastion_host_key: optionalText(bastion?.hostKey),
      script_directory: ssh.scriptDirectory && scriptDirectory(ssh),
    }),
  };
}

/** What of the new configuration the clean-up of the old machine uses. */
export type DestroyLogin = Pick<SshConnection, 'timeoutSeconds' | 'privateKeyEnvironmentVariable' | 'agent'> & {
  readonly bastion?: Pick<SshBastion, 'privateKeyEnvironmentVariable'>;
};

/**
 * The connection of the clean-up, from the values that `storedConnection` kept. The new configuration defines it, but
 * it reads the old values. So it must not depend on the properties of the new one: it looks up every key, and each may
 * be missing. The exception is an environment variable, which belongs to where Terraform runs now, not to the machine.
 */
export function destroyConnection(ssh: DestroyLogin, stored: (key: string) => string): SSHProvisionerConnection {
  const kept = (key: string): string => expression(`try(${stored(key)}, null)`);
  // A stored path must be readable: there is no silent fallback to another login.
  const file = (key: string): string => expression(`can(${stored(key)}) ? file(pathexpand(${stored(key)})) : null`);
  const key = (prefix: '' | 'bastion_', variable?: string): string => {
    const [path, name] = [stored(`${prefix}key_file`), stored(`${prefix}key_variable`)];
    return expression(
      variable === undefined
        ? `can(${name}) ? ${environmentKey(name)} : can(${path}) ? file(pathexpand(${path})) : null`
        : // The state may be older than the bastion.
          `can(${stored(`${prefix}host`)}) ? ${storedOrDeclaredKey(prefix, variable, stored)} : null`,
    );
  };
  return {
    type: 'ssh',
    timeout: timeout(ssh),
    scriptPath: scriptPath(storedScriptDirectory(stored), expression(stored('owner'))),
    host: expression(stored('host')),
    user: expression(stored('user')),
    port: expression(stored('port')) as unknown as number,
    // The state may be older than the variable, and then says that there is an SSH agent.
    agent: ssh.privateKeyEnvironmentVariable === undefined ? expression(stored('agent')) : String(ssh.agent ?? false),
    privateKey: key('', ssh.privateKeyEnvironmentVariable),
    certificate: file('certificate_file'),
    hostKey: kept('host_key'),
    bastionHost: kept('bastion_host'),
    bastionPort: kept('bastion_port') as unknown as number,
    bastionUser: kept('bastion_user'),
    bastionPrivateKey: key('bastion_', ssh.bastion?.privateKeyEnvironmentVariable),
    bastionHostKey: kept('bastion_host_key'),
  };
}

/**
 * The environment variables that must have a key, and how a connection takes it from there.
 *
 * @param stored - how to name what the state has, for the clean-up
 */
export function keySources(ssh: DestroyLogin, stored?: (key: string) => string): KeySource[] {
  const source = (owner: string, prefix: '' | 'bastion_', variable?: string): KeySource[] =>
    variable === undefined
      ? []
      : [
          {
            property: `${owner}.privateKeyEnvironmentVariable`,
            variable,
            key: stored ? storedOrDeclaredKey(prefix, variable, stored) : environmentKey(quoted(variable)),
            needed: stored && `can(${stored(`${prefix}host`)})`,
          },
        ];
  return [
    ...source('ssh', '', ssh.privateKeyEnvironmentVariable),
    ...source('ssh.bastion', 'bastion_', ssh.bastion?.privateKeyEnvironmentVariable),
  ];
}

/**
 * What the state names, or else what the configuration names: the state may be older than a move from one to the other,
 * and a variable may have got a new name. What holds no key counts for nothing.
 */
function storedOrDeclaredKey(prefix: '' | 'bastion_', variable: string, stored: (key: string) => string): string {
  const [path, name] = [stored(`${prefix}key_file`), stored(`${prefix}key_variable`)];
  const declared = environmentKey(quoted(variable));
  const sources = [`file(pathexpand(${path}))`, environmentKey(name), declared].map((each) => `try(${each}, "")`);
  return `try([for key in [${sources.join(', ')}] : key if can(regex("PRIVATE KEY-----", key))][0], ${declared})`;
}

/**
 * The differences of the confirming connection. It must still be tried after the machine rolled back a change that cut
 * it off, to learn the result.
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
  const { privateKeyFile, privateKeyEnvironmentVariable } = ssh;
  return ssh.agent ?? [privateKey, privateKeyFile, privateKeyEnvironmentVariable].every((each) => each === undefined);
}

function timeout(ssh: Pick<SshConnection, 'timeoutSeconds'>): string {
  // Without a unit, Terraform silently uses its default of five minutes.
  return `${ssh.timeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS}s`;
}

/** The key of the environment or of a file, or null if it is missing: a plan must not need the key. */
function declaredKey(of: Pick<SshBastion, 'privateKeyFile' | 'privateKeyEnvironmentVariable'>): string | undefined {
  const { privateKeyFile, privateKeyEnvironmentVariable: variable } = of;
  return variable === undefined
    ? optionalFile(privateKeyFile)
    : expression(`try(${environmentKey(quoted(variable))}, null)`);
}

/** The contents of a file, or null if it is missing: a plan must not need the key. */
function optionalFile(path: string | undefined): string | undefined {
  if (path === undefined) {
    return undefined;
  }
  // Only after resolution is it known whether a token is plain text or a reference.
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

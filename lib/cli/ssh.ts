import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** How a command on a machine ended. */
export interface Ended {
  /** Undefined if it was stopped because it took too long. */
  readonly code: number | undefined;
  readonly output: string;
}

/** What `ssh` itself ends with if it cannot run the command. */
export const NO_CONNECTION = 255;
const CONNECT_SECONDS = 10;

/**
 * Runs a command on a machine with OpenSSH, which asks for nothing.
 *
 * @param connection - what the state keeps for the clean-up
 * @see https://man.openbsd.org/ssh_config
 */
export async function overSsh(
  connection: Readonly<Record<string, string>>,
  command: string,
  seconds: number,
): Promise<Ended> {
  const names = keyVariables(connection);
  const unset = names.find((name) => !process.env[name]);
  if (unset !== undefined) {
    return { code: NO_CONNECTION, output: `${unset} is not set. Set it to the private key, as for Terraform.` };
  }
  const directory = mkdtempSync(join(tmpdir(), 'source-routing-ssh-'));
  try {
    const words = ['ssh', ...sshOptions(connection, directory), '--', connection.host, command];
    const [program = '', ...args] = names.length > 0 ? ['ssh-agent', 'sh', '-c', WITH_KEYS, ...words] : words;
    const child = spawn(program, args, {
      env: { ...process.env, ...Object.fromEntries(names.map((name, index) => [KEYS[index], keyText(name)])) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    const collect = (data: Buffer): void => void (output += data.toString());
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      child.kill('SIGKILL');
      // What it has started may go on, and hold these open.
      child.stdout.destroy();
      child.stderr.destroy();
    }, seconds * 1000);
    const code = await new Promise<number>((resolve) => {
      child.on('error', (error) => {
        output += `ssh cannot be run: ${error.message}`;
        resolve(NO_CONNECTION);
      });
      child.on('close', (status) => resolve(status ?? NO_CONNECTION));
    });
    clearTimeout(timer);
    return { code: isLate ? undefined : code, output };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** For keys in environment variables: one of the host, and one of the bastion. */
const KEYS = ['SOURCE_ROUTING_KEY', 'SOURCE_ROUTING_BASTION_KEY'];

/** Runs `ssh` with an agent that has the keys and ends with it, so that no file has them. */
const WITH_KEYS = `
  for key in ${KEYS.map((name) => `"\${${name}-}"`).join(' ')}; do
    [ -z "$key" ] || printf '%s\\n' "$key" | ssh-add -q - || exit ${NO_CONNECTION}
  done
  unset ${KEYS.join(' ')}
  exec "$0" "$@"`;

function keyVariables(connection: Readonly<Record<string, string>>): string[] {
  return [connection.key_variable, connection.bastion_key_variable].filter((name) => name !== undefined);
}

/** The key in an environment variable, as it is or in base64. */
function keyText(variable: string): string {
  const value = process.env[variable] ?? '';
  const decoded = Buffer.from(value, 'base64').toString();
  const text = decoded.includes('-----BEGIN ') ? decoded : value;
  // OpenSSH reads neither line breaks of Windows, nor a key without the last line break.
  return text.replace(/\r/g, '').trim();
}

/** The same login that Terraform uses, which reads no configuration of OpenSSH. */
const BASIC_OPTIONS = ['-F', 'none', '-o', 'BatchMode=yes'];

function sshOptions(connection: Readonly<Record<string, string>>, directory: string): string[] {
  const { bastion_host: bastion } = connection;
  return [
    ...[...BASIC_OPTIONS, '-o', `ConnectTimeout=${CONNECT_SECONDS}`, '-o', 'LogLevel=ERROR'],
    ...login(connection, '', directory),
    ...(bastion === undefined ? [] : ['-o', `ProxyCommand=${proxyCommand(connection, directory)}`]),
  ];
}

/** The options for one of the two machines on the way, whose values have names that begin with the prefix. */
function login(connection: Readonly<Record<string, string>>, prefix: '' | 'bastion_', directory: string): string[] {
  const of = (key: string): string | undefined => connection[`${prefix}${key}`];
  const [host, port, keyFile, hostKey] = [of('host') ?? '', of('port') ?? '22', of('key_file'), of('host_key')];
  const certificate = prefix === '' ? connection.certificate_file : undefined;
  const options = ['-p', port, '-l', of('user') ?? connection.user];
  const hasVariables = keyVariables(connection).length > 0;
  if (keyFile !== undefined) options.push('-i', keyFile, '-o', 'IdentitiesOnly=yes');
  else if (hasVariables) options.push('-o', 'IdentityFile=none');
  if (connection.agent === 'false' && !hasVariables) options.push('-o', 'IdentityAgent=none');
  if (certificate !== undefined) options.push('-o', `CertificateFile=${certificate}`);
  if (hostKey !== undefined) {
    // The key is that of the machine, or of the authority that signs it.
    const known = join(directory, `${prefix}known-hosts`);
    const names = `${host},[${host}]:${port}`;
    writeFileSync(known, `${names} ${hostKey}\n@cert-authority ${names} ${hostKey}\n`);
    options.push('-o', 'StrictHostKeyChecking=yes', '-o', `UserKnownHostsFile=${known}`);
    options.push('-o', 'GlobalKnownHostsFile=/dev/null');
  }
  return options;
}

/** A shell runs it. */
function proxyCommand(connection: Readonly<Record<string, string>>, directory: string): string {
  const word = (text: string): string => shellQuoted(text.replace(/%/g, '%%'));
  const options = [...BASIC_OPTIONS, ...login(connection, 'bastion_', directory)].map(word);
  return ['ssh', ...options, '-W', "'[%h]:%p'", '--', word(connection.bastion_host)].join(' ');
}

/** A word for a shell. */
export function shellQuoted(word: string): string {
  return `'${word.replace(/'/g, "'\\''")}'`;
}

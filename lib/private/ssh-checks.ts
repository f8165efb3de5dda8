import { Annotations, Token } from 'cdktf';
import type { Construct } from 'constructs';
import { Arguments } from './arguments';
import type { Management } from '../model/host';
import { parseAddress } from '../model/value';
import type { SshBastion, SshConnection } from '../ssh-connection';
import type { Shape } from './shapes';
import { FLAG, number, optional, secret, struct, text } from './shapes';
import { checkFile } from './ssh-files';
import { checkHost } from './ssh-host';

const HOST = text('a host name or an IP address');
const PORT = number('a port number');
const USER_NAME = text('a user name');
const PUBLIC_KEY = text('a public key such as "ecdsa-sha2-nistp256 AAAA..."');
const FILE = text('the path of a file such as "~/.ssh/id_ed25519"');
export const ENVIRONMENT_VARIABLE = text('the name of an environment variable such as "VPN_SSH_KEY"');
const BASTION: Shape<SshBastion> = {
  host: HOST,
  port: optional(PORT),
  user: optional(USER_NAME),
  privateKeyFile: optional(FILE),
  privateKeyEnvironmentVariable: optional(ENVIRONMENT_VARIABLE),
  hostKey: optional(PUBLIC_KEY),
};
export const SSH: Shape<SshConnection> = {
  host: HOST,
  port: optional(PORT),
  user: optional(USER_NAME),
  privateKeyFile: optional(FILE),
  privateKeyEnvironmentVariable: optional(ENVIRONMENT_VARIABLE),
  privateKey: optional(secret('a token, such as that of a variable')),
  certificateFile: optional(FILE),
  agent: optional(FLAG),
  hostKey: optional(PUBLIC_KEY),
  scriptDirectory: optional(text('a directory such as ".ssh"')),
  timeoutSeconds: optional(number('a number of seconds')),
  bastion: optional(struct(BASTION, 'an object such as { host: "192.0.2.1" }')),
};

const USER = /^[A-Za-z0-9_][A-Za-z0-9_.@-]*\$?$/;
const PATH = /[^/]/;
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;
const SCRIPT_DIRECTORY = /^(?!-)(?!(.*\/)?\.\.(\/|$))[A-Za-z0-9._@+/-]*[A-Za-z0-9._@+-]$/;
const HOST_KEY = /^(ssh-|ecdsa-|sk-)[a-z0-9@.-]+ [A-Za-z0-9+/]+=*( [^\n]*)?$/;

/**
 * Checks a connection, as far as its values are known.
 *
 * @internal
 */
export function checkSshConnection(scope: Construct, ssh: SshConnection): void {
  const args = new Arguments(scope);
  const check = (value: string | undefined, property: string, pattern: RegExp, form: string): void => {
    if (value !== undefined && Token.isUnresolved(value)) {
      args.checkLiteralPart(value, property);
    } else if (value !== undefined) {
      args.text(value, property, pattern, form);
    }
  };
  const checkPath = (value: string | undefined, property: string, isPrivate: boolean): void => {
    checkFile(args, scope, value, property, isPrivate);
    check(value, property, PATH, 'the path of a file');
  };
  checkHost(args, ssh.host, 'ssh');
  check(ssh.user, 'ssh.user', USER, 'a user name');
  checkPath(ssh.privateKeyFile, 'ssh.privateKeyFile', true);
  checkKeySource(args, ssh, 'ssh');
  checkPath(ssh.certificateFile, 'ssh.certificateFile', false);
  check(
    ssh.scriptDirectory,
    'ssh.scriptDirectory',
    SCRIPT_DIRECTORY,
    'a directory such as ".ssh" or "/var/lib/deploy", of letters, digits and ". _ @ + - /", without ".." and "~"',
  );
  checkPort(args, ssh.port, 'ssh.port');
  checkHostKey(args, ssh.hostKey, 'ssh.hostKey', 'HOST');
  args.optionalInteger(ssh.timeoutSeconds, 'ssh.timeoutSeconds', 1, 3600);
  if (ssh.privateKey !== undefined && !Token.isUnresolved(ssh.privateKey)) {
    throw args.error(
      'ssh.privateKey is written in the program, so cdk.tf.json would show it to everybody. ' +
        'Use privateKeyFile, or a TerraformVariable that is ephemeral or sensitive.',
    );
  }
  checkAgent(scope, args, ssh);
  warnOfCleanUp(scope, ssh);
  const { bastion } = ssh;
  if (bastion) {
    checkHost(args, bastion.host, 'ssh.bastion');
    check(bastion.user, 'ssh.bastion.user', USER, 'a user name');
    checkPath(bastion.privateKeyFile, 'ssh.bastion.privateKeyFile', true);
    checkKeySource(args, bastion, 'ssh.bastion');
    checkPort(args, bastion.port, 'ssh.bastion.port');
    checkHostKey(args, bastion.hostKey, 'ssh.bastion.hostKey', 'BASTION');
    if (ssh.hostKey !== undefined) {
      Annotations.of(scope).addWarning(
        'ssh.hostKey is set together with a bastion: Terraform before 1.16 checks the bastion against it, too. It ' +
          'cannot connect, unless a certificate authority signed both keys.',
      );
    }
  }
}

/**
 * Checks the name of an environment variable of Terraform.
 *
 * @internal
 */
export function checkEnvironmentVariable(args: Arguments, name: string | undefined, property: string): void {
  if (name !== undefined) {
    args.text(name, property, VARIABLE, 'the name of an environment variable, without "$" and "="');
  }
}

/**
 * What the checks of the model need to know of the connection.
 *
 * @internal
 */
export function managementOf(ssh: SshConnection): Management {
  const hostKey = ssh.hostKey === undefined || Token.isUnresolved(ssh.hostKey) ? undefined : ssh.hostKey;
  const { host, port = 22 } = ssh;
  return {
    host: knownAddress(host),
    endpoint: {
      host: Token.isUnresolved(host) ? undefined : host,
      port: Token.isUnresolved(port) ? undefined : port,
    },
    hostKeyPinned: ssh.hostKey !== undefined,
    hostKey,
    bastion: ssh.bastion !== undefined,
  };
}

function knownAddress(host: string): string | undefined {
  try {
    return Token.isUnresolved(host) ? undefined : parseAddress(host, 'ssh.host').text;
  } catch {
    return undefined;
  }
}

/** A host or a bastion has one key, so it has one place. */
function checkKeySource(args: Arguments, of: SshConnection | SshBastion, owner: string): void {
  checkEnvironmentVariable(args, of.privateKeyEnvironmentVariable, `${owner}.privateKeyEnvironmentVariable`);
  if (of.privateKeyEnvironmentVariable !== undefined && of.privateKeyFile !== undefined) {
    throw args.error(
      `${owner}.privateKeyEnvironmentVariable ${JSON.stringify(of.privateKeyEnvironmentVariable)} is set, and so is ` +
        'privateKeyFile, but there is one key. Leave out one of them.',
    );
  }
}

/** Warns if the clean-up cannot log in, or not as an apply does. */
function warnOfCleanUp(scope: Construct, ssh: SshConnection): void {
  if (hasKeptKey(ssh)) {
    return;
  }
  if (ssh.agent === false) {
    Annotations.of(scope).addWarning(
      'ssh.agent is false and there is no privateKeyFile, so the clean-up at destroy cannot log in. Set privateKeyFile, ' +
        'privateKeyEnvironmentVariable if the key is in the environment of Terraform, or leave out agent.',
    );
  } else if (ssh.privateKey !== undefined && ssh.agent === undefined) {
    Annotations.of(scope).addWarning(
      'ssh.privateKey is not kept in the state, so the clean-up at destroy logs in with the SSH agent. ' +
        'Set privateKeyEnvironmentVariable if the key is in the environment of Terraform, privateKeyFile to use a key ' +
        'file, or agent: true to use the agent without this warning.',
    );
  }
}

/** Tells whether the state says where the key is, so that the clean-up finds it. */
function hasKeptKey({ privateKeyFile, privateKeyEnvironmentVariable }: SshConnection): boolean {
  return privateKeyFile !== undefined || privateKeyEnvironmentVariable !== undefined;
}

/**
 * Checks the use of the SSH agent. Terraform forwards it, so root on the machine can meanwhile log in with its keys.
 */
function checkAgent(scope: Construct, args: Arguments, ssh: SshConnection): void {
  if (ssh.hostKey !== undefined) {
    return;
  }
  if (ssh.agent === undefined && !hasKeptKey(ssh)) {
    throw args.error(
      'ssh.hostKey is not set and there is no privateKeyFile, so Terraform would forward your SSH agent to any machine ' +
        'that answers, and root there could log in with your keys. Pin ssh.hostKey, or give privateKeyFile.',
    );
  }
  if (ssh.agent === true) {
    Annotations.of(scope).addWarning(
      'ssh.agent is true and ssh.hostKey is not set, so Terraform forwards your SSH agent to any machine that answers, ' +
        'and root there can log in with your keys. Pin ssh.hostKey.',
    );
  }
}

/** A plan keeps the arguments of what asks the machine, so there is no `privateKey` in them. */
export function checkLoginOfPlan(args: Arguments, ssh: SshConnection): void {
  if (ssh.privateKey !== undefined && !hasKeptKey(ssh) && ssh.agent !== true) {
    throw args.error(
      'drift asks the machine in each plan, where ssh.privateKey would be kept. ' +
        'Give ssh.privateKeyFile, privateKeyEnvironmentVariable or agent: true, or leave out drift and run "cdktf-source-routing verify".',
    );
  }
}

function checkPort(args: Arguments, port: number | undefined, property: string): void {
  if (port !== undefined && !Token.isUnresolved(port)) {
    args.integer(port, property, 1, 65535);
  }
}

function checkHostKey(args: Arguments, key: string | undefined, property: string, host: string): void {
  if (key !== undefined && !Token.isUnresolved(key) && !HOST_KEY.test(key)) {
    throw args.error(
      `${property} ${JSON.stringify(key)} is not a public key such as "ecdsa-sha2-nistp256 AAAA...". ` +
        `Take the output of: ssh-keyscan -t ecdsa ${host} | cut -d " " -f 2-`,
    );
  }
}

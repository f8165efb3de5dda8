import type { LocalExecProvisioner } from 'cdktf';
import { expression, quoted } from './escape';

/**
 * Private keys in the environment of Terraform. A destroy-time provisioner may name no variable of Terraform, but it may
 * read a file, and Linux shows a process its own environment as one. So the key is in the memory of Terraform only: in
 * no state, no plan, and no file that somebody has to remove.
 *
 * The environment of a process that runs stays the same, so each evaluation gives the same. Terraform 1.13 or later
 * requires that, and shows both contents if they differ.
 *
 * @see https://man7.org/linux/man-pages/man5/proc_pid_environ.5.html
 */
const ENVIRONMENT = '/proc/self/environ';

/** Any byte is a character of this encoding, since another variable may be in none that Terraform reads. */
const ENVIRONMENT_TEXT = `textdecodebase64(filebase64("${ENVIRONMENT}"), "ISO-8859-1")`;

/** An environment variable that has a key. Both are expressions of Terraform. */
export interface KeySource {
  /** The property of the user that names the variable. */
  readonly property: string;
  /** The name of the variable, as the user wrote it. */
  readonly variable: string;
  /** The key; fails where there is none. */
  readonly key: string;
  /** Whether the login is used at all. @default - it is */
  readonly needed?: string;
}

/**
 * An expression for the key in an environment variable. It fails if the variable is not set. Not every CI keeps line
 * breaks in a variable, so the text of the key may be in base64.
 *
 * @param name - an expression for the name of the variable
 */
export function environmentKey(name: string): string {
  const value = `regex(${valuePattern(name)}, ${ENVIRONMENT_TEXT})`;
  // What is not base64 goes on as it is: Terraform would show it in its error.
  const text = 'can(regex("-----BEGIN ", v)) ? v : try(base64decode(v), v)';
  // With a carriage return at its end, as with a shell that took the line feed, Terraform finds no key.
  return `[for v in ${value} : trimspace(replace(${text}, "\\r", ""))][0]`;
}

/** Whether an expression gives a key in lines. A passphrase shows in some forms of keys only. */
export function isKey(key: string): string {
  const line = (word: string): string => `-----${word} [A-Z ]*PRIVATE KEY-----`;
  // A file ends with a line break.
  return `can(regex("^(?s)\\\\s*${line('BEGIN')}\\r?\\n.*\\n${line('END')}\\\\s*$", ${key})) && !can(regex("ENCRYPTED", ${key}))`;
}

/** Fails with one line, before anything is changed, if a key is not where the user says. Needs no shell but POSIX sh. */
export function keyCheck({ property, variable, key, needed }: KeySource): LocalExecProvisioner {
  const problems = [
    ...(needed === undefined ? [] : [[`!${needed}`, '']]),
    [isKey(key), ''],
    [
      `!can(filebase64("${ENVIRONMENT}"))`,
      `Terraform cannot read ${ENVIRONMENT}, which Linux has. Use a key file instead.`,
    ],
    [
      `can(regex(${valuePattern(quoted(variable))}, ${ENVIRONMENT_TEXT}))`,
      `${variable} is not a private key without a passphrase. Set it to the contents of a key file, with its line breaks or in base64.`,
    ],
  ];
  const unset = `${variable} is not set where Terraform runs. Set it to the contents of a key file, with its line breaks or in base64.`;
  const told = (text: string): string =>
    quoted(text && `source-routing: refused, nothing was changed: ${property}: ${text}`);
  return {
    type: 'local-exec',
    command: 'test -z "$problem" || { echo "$problem"; exit 1; }',
    environment: {
      problem: expression([...problems.map(([test, text]) => `${test} ? ${told(text)}`), told(unset)].join(' : ')),
    },
    quiet: true,
  } as LocalExecProvisioner;
}

/** The whole value, up to the end of the variable. */
function valuePattern(name: string): string {
  return `"(?:^|\\\\x00)\${${name}}=([^\\\\x00]+)"`;
}

import { createHash } from 'crypto';
import { packagedText } from './texts';

/**
 * The form of bundles, and of what an agent keeps on the machine. Goes up when an earlier agent would misread either.
 * The state of all lower formats must stay readable.
 */
export const FORMAT = 1;

/** The command of the person on the machine. */
export const DISPATCHER = '/usr/local/sbin/source-routing';

/** The line of a bundle after which the data begins. */
export const BUNDLE_MARK = '#--- bundle';

/** The parts of the program, in this order. */
const SHELL_PARTS = [
  '10-base.sh',
  '20-lock.sh',
  '30-generations.sh',
  '35-trial.sh',
  '36-rollback-timer.sh',
  '40-kernel.sh',
  '45-kill-switch.sh',
  '46-accept-rules.sh',
  '48-followed-gateways.sh',
  '50-preflight.sh',
  '55-logins.sh',
  '60-files.sh',
  '61-blocks.sh',
  '62-sysctls.sh',
  '63-adopt.sh',
  '65-managers.sh',
  '66-retired.sh',
  '67-load.sh',
  '70-units.sh',
  '75-undo.sh',
  '77-expectations.sh',
  '78-probe.sh',
  '80-apply.sh',
  '81-confirm.sh',
  '85-remove.sh',
  '86-assert.sh',
  '87-inspect.sh',
  '88-watch.sh',
  '89-monitoring.sh',
  '99-main.sh',
];

/** Each becomes a shell variable of the program: `plan.awk` is `$AWK_PLAN`. */
const AWK_PARTS = [
  'address',
  'kernel',
  'sysctl',
  'plan',
  'bundle',
  'covers',
  'preflight',
  'hooks',
  'keyfile',
  'logins',
  'expectations',
  'probe',
];

/** The program that runs on the machine, the same for every one. Ends with a newline. */
export function agentProgram(): string {
  const [base, ...parts] = SHELL_PARTS.map(part);
  const sender = `# shellcheck disable=SC2016  # for another shell\nPROBE_SENDER=${quoted(part('probe-sender.sh'))}\n`;
  const data = [`BUNDLE_MARK=${quoted(BUNDLE_MARK)}\n`, `FORMAT=${FORMAT}\n`, sender].concat(
    AWK_PARTS.map(
      (name) =>
        `# shellcheck disable=SC2016  # awk, not shell\nAWK_${name.toUpperCase()}=${quoted(part(`${name}.awk`))}\n`,
    ),
  );
  // `exit` on the same line: the shell must not read on into the data of a bundle.
  return [base, ...data, ...parts].join('\n') + '\nmain "$@"; exit\n';
}

/** The checksum of the data lines of a bundle. It leaves out the values in them, which only Terraform knows. */
export function bundleChecksum(lines: readonly string[]): string {
  const hash = createHash('sha256');
  for (const line of lines) {
    hash.update(`${line.replace(/^(value( \S+){4}) .*/, '$1')}\n`);
  }
  return hash.digest('hex');
}

/** `/usr/local/sbin/source-routing`, the command for the person on the machine. */
export function dispatcherText(): string {
  return part('dispatcher.sh');
}

/** The up hook of a VPN daemon, which fills these tables. */
export function upHookText(tableIds: number[]): string {
  for (const id of tableIds) {
    if (!Number.isInteger(id) || id < 1 || id > 4294967295) {
      throw new Error(`table id ${id} is not a number from 1 to 4294967295`);
    }
  }
  return part('up-hook.sh').replace('@TABLES@', tableIds.join(' '));
}

function part(name: string): string {
  return packagedText(`agent/${name}`);
}

function quoted(text: string): string {
  if (text.includes("'")) {
    throw new Error(`a single quote would end the shell variable: ${text.slice(0, 200)}`);
  }
  return `'${text}'`;
}

import { spawnSync } from 'child_process';
import type { Description } from '../../lib/fib/build';
import { addressCommand, packetCommand, machineCommands, routeCommand, ruleCommand } from './commands';
import type { Scenario } from './scenario';

/** A scenario as the kernel took it, with its answers, one for each packet. */
export interface Recorded extends Scenario {
  readonly answers: readonly string[];
  /** The commands that it refused; what they stand for is no longer part of the description. */
  readonly refused: readonly string[];
}

const MARK = '=====';

/** Builds a scenario in a network namespace of its own, and asks about all its packets. */
export function askKernel({ description, packets }: Scenario): Recorded {
  const questions = packets.map(packetCommand);
  const family = packets[0]?.family ?? 4;
  const { stdout, stderr, ...made } = onMachine(description, [
    `ip -${family} -N -o -force -batch - <<END`,
    ...questions.map((question) => question.replace(/^ip -[46] /, '')),
    'END',
  ]);
  return { ...made, packets, answers: inOrder(stdout, stderr, packets.length) };
}

/** Output of a script on a machine, and the description as the kernel took it. */
interface Printed extends Pick<Recorded, 'description' | 'refused'> {
  readonly stdout: string;
  readonly stderr: string;
}

/** Builds a machine in namespaces of its own, and runs a script there. */
export function onMachine(description: Description, then: readonly string[], namespaces = ['--net']): Printed {
  const commands = machineCommands(description);
  const script = [
    ...commands.map((command, index) => `{ ${command}; } 2>/dev/null || echo ${index} >&2`),
    `echo ${MARK} >&2`,
    ...then,
    ':',
  ].join('\n');
  const { status, stdout, stderr, error } = spawnSync('unshare', [...namespaces, 'sh'], {
    input: script,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (status !== 0 || !stderr.includes(MARK)) {
    throw new Error(`the namespace failed: ${error?.message ?? stderr.slice(0, 2000)}`);
  }
  const [failed = '', errors = ''] = stderr.split(`${MARK}\n`);
  const refused = failed
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => commands[Number(line)] ?? line);
  return { description: without(description, refused), refused, stdout, stderr: errors };
}

/** Answers come on one stream, errors with the number of their line on another. */
function inOrder(stdout: string, stderr: string, count: number): string[] {
  const failures = new Map<number, string>();
  let message = '';
  for (const line of stderr.split('\n')) {
    const [, number] = /^Command failed -:(\d+)/.exec(line) ?? [];
    if (number === undefined) {
      message = line;
    } else {
      failures.set(Number(number) - 1, message);
    }
  }
  const lines = stdout.split('\n').filter((line) => line !== '');
  const answers = Array.from({ length: count }, (_, index) => failures.get(index) ?? lines.shift() ?? 'no answer');
  if (lines.length > 0) {
    throw new Error(`${lines.length} answers are left over, the first: ${lines[0]}`);
  }
  return answers;
}

/** What is left of a description without the commands that the kernel refused. */
export function without(description: Description, refused: readonly string[]): Description {
  const gone = new Set(refused);
  const known = new Set<string>();
  const kept = (command: string): boolean => {
    known.add(command);
    return !gone.has(command);
  };
  const left: Description = {
    ...description,
    links: description.links.map((link) => ({
      ...link,
      addresses: link.addresses.filter((address) => kept(addressCommand(link, address))),
    })),
    routes: description.routes.filter((route) => kept(routeCommand(route))),
    rules: description.rules.filter((rule) => rule.path === 'kernel' || kept(ruleCommand(rule))),
  };
  const strange = refused.find((command) => !known.has(command));
  if (strange !== undefined) {
    throw new Error(`the kernel refused: ${strange}`);
  }
  return left;
}

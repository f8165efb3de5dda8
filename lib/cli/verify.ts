import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { json } from '../report/escape';
import type { Machine } from './machines';
import { machinesOf } from './machines';
import { directoriesOf } from './output';
import { NO_CONNECTION, overSsh, shellQuoted } from './ssh';

/** The form of the JSON. Goes up when a reader of the earlier one would misread it. */
const FORMAT = 1;

/** Machines that are asked at the same time. */
const AT_ONCE = 16;

/** Exit statuses of `source-routing verify` on a machine that is not as declared. */
const DIFFERS = 1;
const UNKNOWN_OWNER = 64;

/** What came of the question to a machine. */
export interface Verified {
  readonly directory: string;
  readonly machine: Machine;
  readonly state: 'as declared' | 'differs' | 'not asked';
  /** What the machine said, or why it could not be asked. */
  readonly lines: readonly string[];
}

/**
 * Asks all machines that Terraform has configured whether they are as declared, without an apply.
 *
 * @param directory - what `cdktf synth` wrote, or a directory in which Terraform works
 * @param seconds - how long to wait for each machine
 */
export async function verifyAll(directory: string, seconds: number): Promise<Verified[]> {
  const directories = existsSync(join(directory, 'manifest.json')) ? directoriesOf(directory) : [directory];
  const waiting: Array<{ readonly directory: string; readonly machine: Machine }> = [];
  for (const each of directories) {
    waiting.push(...(await machinesOf(each)).map((machine) => ({ directory: each, machine })));
  }
  const results: Verified[] = [];
  const next = async (): Promise<void> => {
    for (let job = waiting.shift(); job; job = waiting.shift()) {
      results.push({ ...job, ...(await verify(job.machine, seconds)) });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
  const key = ({ directory: where, machine }: Verified): string => `${where} ${machine.apply}`;
  return results.sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

async function verify({ owner, connection }: Machine, seconds: number): Promise<Pick<Verified, 'state' | 'lines'>> {
  // A login shell of any kind reads this. There may be no sudo, and root needs none.
  const program = '/usr/local/sbin/source-routing';
  const script =
    `[ -x ${program} ] || { echo "nothing of ${owner} is on this machine"; exit ${DIFFERS}; }; ` +
    `[ "$(id -u)" != 0 ] || exec ${program} verify ${owner}; ` +
    `sudo -n true || exit ${NO_CONNECTION}; exec sudo -n ${program} verify ${owner}`;
  const { code, output } = await overSsh(connection, `exec sh -c ${shellQuoted(script)}`, seconds);
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  switch (code) {
    case 0:
      return { state: 'as declared', lines };
    case DIFFERS:
    case UNKNOWN_OWNER:
      return { state: 'differs', lines };
    case undefined:
      return { state: 'not asked', lines: [...lines, `no answer within ${seconds} seconds`] };
    default:
      // No connection, no sudo, or a change is under way.
      return { state: 'not asked', lines };
  }
}

/** 0 if all machines are as declared, 1 if one differs, 2 if one could not be asked. */
export function statusOf(all: readonly Verified[]): number {
  return all.some(({ state }) => state === 'differs') ? 1 : all.some(({ state }) => state === 'not asked') ? 2 : 0;
}

export function verifiedJson(all: readonly Verified[]): string {
  const machines = all.map(({ directory, machine: { apply, owner, connection }, state, lines }) => ({
    ...{ directory, apply, owner, host: connection.host, state, lines },
  }));
  return json({ format: FORMAT, machines });
}

/** Lines for people: the machines that are not as declared, and how to apply everything to them again. */
export function verifiedLines(all: readonly Verified[]): string[] {
  const others = all.filter(({ state }) => state !== 'as declared');
  const differing = others.filter(({ state }) => state === 'differs');
  return [
    ...others.flatMap(({ machine: { apply, connection }, state, lines }) => [
      `${apply} (${connection.host}) ${state === 'differs' ? 'is not as declared' : 'could not be asked'}:`,
      ...lines.map((line) => `  ${line}`),
    ]),
    ...(all.length === 0
      ? ['Terraform has configured no machine here.']
      : [`As declared: ${all.length - others.length} of ${all.length}.`]),
    ...(differing.length === 0 ? [] : ['To apply everything again:']),
    ...differing.map(
      ({ directory, machine: { apply } }) =>
        `  terraform -chdir=${shellWord(directory)} apply -replace=${shellWord(apply)}`,
    ),
  ];
}

/** A word for a person to read and to paste. */
function shellWord(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : shellQuoted(text);
}

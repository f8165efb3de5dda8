import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { json } from '../report/escape';
import type { Machine } from './machines';
import { machinesOf } from './machines';
import { directoriesOf } from './output';
import type { Answer } from './ssh';
import { askMachine, shellQuoted } from './ssh';

/** The form of the JSON. Goes up when a reader of the earlier one would misread it. */
const FORMAT = 1;

/** Machines that are asked at the same time. */
const AT_ONCE = 16;

/** What came of the question to a machine. */
export interface Verified extends Answer {
  readonly directory: string;
  readonly machine: Machine;
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
      const { owner, connection } = job.machine;
      results.push({ ...job, ...(await askMachine(owner, connection, seconds)) });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
  const key = ({ directory: where, machine }: Verified): string => `${where} ${machine.apply}`;
  return results.sort((a, b) => (key(a) < key(b) ? -1 : 1));
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

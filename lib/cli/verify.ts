import { json } from '../report/escape';
import type { Machine } from './machines';
import { machinesOf } from './machines';
import type { StackDirectory } from './output';
import { UsageError, stackDirectories } from './output';
import type { Answer } from './ssh';
import { askMachine, shellQuoted } from './ssh';

/** The form of the JSON. Goes up when a reader of the earlier one would misread it. */
const FORMAT = 1;

/** Machines that are asked at the same time. */
const AT_ONCE = 16;

/**
 * The same for machines behind one bastion. OpenSSH drops connections at random while 10 others have not yet
 * logged in (`MaxStartups 10:30:100`).
 */
const AT_ONCE_BY_BASTION = 8;

/** A machine, and the directory in which Terraform has its state. */
interface Job {
  readonly directory: string;
  readonly machine: Machine;
}

/** What came of the question to a machine. */
export interface Verified extends Answer, Job {}

/** What came of all questions. */
export interface Verification {
  readonly all: readonly Verified[];
  /** Why a stack could not be asked, a sentence for each. */
  readonly failures: readonly string[];
}

/**
 * Asks all machines that Terraform has configured whether they are as declared, without an apply.
 *
 * @param directory - what `cdktf synth` wrote, or a directory in which Terraform works
 * @param seconds - how long to wait for each machine
 */
export async function verifyAll(directory: string, seconds: number): Promise<Verification> {
  const stacks = stackDirectories(directory);
  if (stacks.length === 0) {
    throw new UsageError(
      `"${directory}" declares no host. Give what "cdktf synth" wrote there, with all files of its stacks.`,
    );
  }
  const jobs: Job[] = [];
  const failures: string[] = [];
  for (const stack of stacks) {
    try {
      jobs.push(...(await jobsOf(stack)));
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      failures.push(error.message);
    }
  }
  const key = ({ directory: where, machine }: Verified): string => `${where} ${addressOf(machine)}`;
  const all = await compareGenerations(await askMachines(jobs, seconds));
  return { all: all.sort((a, b) => (key(a) < key(b) ? -1 : 1)), failures };
}

/** @throws UsageError if Terraform cannot show the state, or if that is not the state of the declared hosts */
async function jobsOf({ directory, hosts }: StackDirectory): Promise<Job[]> {
  const machines = await machinesOf(directory);
  if (machines.length === 0 && hosts > 0) {
    throw new UsageError(
      `the state of Terraform in "${directory}" knows none of the declared hosts (${hosts}): it is that of another ` +
        'workspace or backend, or nothing was applied yet. See "terraform workspace show" there.',
    );
  }
  return machines.filter(({ absent }) => !absent).map((machine) => ({ directory, machine }));
}

/** Asks several machines at a time. */
async function askMachines(jobs: readonly Job[], seconds: number): Promise<Verified[]> {
  const waiting = [...jobs];
  const results: Verified[] = [];
  const asked: Array<string | undefined> = [];
  const hasRoom = ({ machine }: Job): boolean => {
    const bastion = bastionOf(machine);
    return bastion === undefined || asked.filter((each) => each === bastion).length < AT_ONCE_BY_BASTION;
  };
  const next = async (): Promise<void> => {
    // If no bastion has room, those who now ask by way of them take the rest.
    for (let index = waiting.findIndex(hasRoom); index >= 0; index = waiting.findIndex(hasRoom)) {
      const [job] = waiting.splice(index, 1);
      const bastion = bastionOf(job.machine);
      asked.push(bastion);
      results.push(judged(job, await askMachine(job.machine.owner, job.machine.connection, seconds)));
      asked.splice(asked.indexOf(bastion), 1);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
  return results;
}

function bastionOf({ connection: { bastion_host: host, bastion_port: port } }: Machine): string | undefined {
  return host ? `${host} ${port}` : undefined;
}

/** The address for people. */
function addressOf({ apply, anchor }: Machine): string {
  return apply ?? anchor;
}

/** Adds what the state says against the machine, whatever the machine itself says. */
function judged(job: Job, answer: Answer): Verified {
  const { apply, failed } = job.machine;
  const fault =
    apply === undefined
      ? 'has no finished apply: one was interrupted, or still runs. Run "terraform apply".'
      : failed
        ? 'its last apply failed (tainted in the state of Terraform). Run "terraform apply".'
        : undefined;
  return { ...job, ...(fault === undefined ? answer : { state: 'differs', lines: [fault, ...answer.lines] }) };
}

/**
 * Finds machines that are as declared by another generation than Terraform has applied. An apply may have ended between
 * the reading of the state and the answer. So the state is read again, and must be the same as before.
 */
async function compareGenerations(all: readonly Verified[]): Promise<Verified[]> {
  const suspects = all.filter((each) => otherGeneration(each) !== undefined);
  const now = new Map<string, string | undefined>();
  for (const directory of new Set(suspects.map((each) => each.directory))) {
    // A state that cannot be read any more proves nothing.
    const machines = await machinesOf(directory).catch(() => []);
    machines.forEach((machine) => now.set(`${directory} ${machine.apply}`, machine.generation));
  }
  return all.map((each) => {
    const { directory, machine, lines } = each;
    const other = otherGeneration(each);
    if (other === undefined || now.get(`${directory} ${machine.apply}`) !== machine.generation) {
      return each;
    }
    const fault =
      `runs generation ${other}, Terraform has applied ${machine.generation}: ` +
      'it was restored from a backup, or applied from another checkout.';
    return { ...each, state: 'differs', lines: [fault, ...lines] };
  });
}

/**
 * The generation with which the machine agrees, if it is another one than Terraform has applied.
 *
 * The agent adds a number to the name of one that it applies once more. Not compared are a generation on trial, since an
 * apply is under way, and one of cloud-init, which has no id of Terraform.
 */
function otherGeneration({ state, lines, machine: { generation } }: Verified): string | undefined {
  const [, name] = lines.map((line) => / agree with generation ([\w.-]+) of [\w.-]+$/.exec(line)).find(Boolean) ?? [];
  if (state !== 'as declared' || generation === undefined || name === undefined || name === 'cloud-init') {
    return undefined;
  }
  return name === generation || name.replace(/\.\d+$/, '') === generation ? undefined : name;
}

/** 0 if all machines are as declared, 1 if one differs, 2 if one, or all of a stack, could not be asked. */
export function statusOf({ all, failures }: Verification): number {
  if (failures.length > 0) {
    return 2;
  }
  return all.some(({ state }) => state === 'differs') ? 1 : all.some(({ state }) => state === 'not asked') ? 2 : 0;
}

export function verifiedJson({ all }: Verification): string {
  const machines = all.map(({ directory, machine: { apply = '', owner, connection }, state, lines }) => ({
    ...{ directory, apply, owner, host: connection.host, state, lines },
  }));
  return json({ format: FORMAT, machines });
}

/** Lines for people: the machines that are not as declared, and how to apply everything to them again. */
export function verifiedLines({ all, failures }: Verification): string[] {
  if (all.length === 0) {
    return failures.length === 0 ? ['Terraform has configured no machine here.'] : [];
  }
  const others = all.filter(({ state }) => state !== 'as declared');
  const differing = others.filter(({ state }) => state === 'differs');
  return [
    ...others.flatMap(({ machine, state, lines }) => [
      `${addressOf(machine)} (${machine.connection.host}) ${state === 'differs' ? 'is not as declared' : 'could not be asked'}:`,
      ...lines.map((line) => `  ${line}`),
    ]),
    `As declared: ${all.length - others.length} of ${all.length}.`,
    ...(differing.length === 0 ? [] : ['To apply everything again:']),
    // Those without an apply of a directory have one command.
    ...new Set(differing.map(({ directory, machine: { apply } }) => commandOf(directory, apply))),
  ];
}

function commandOf(directory: string, apply: string | undefined): string {
  const replacement = apply === undefined ? '' : ` -replace=${shellWord(apply)}`;
  return `  terraform -chdir=${shellWord(directory)} apply${replacement}`;
}

/** A word for a person to read and to paste. */
function shellWord(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : shellQuoted(text);
}

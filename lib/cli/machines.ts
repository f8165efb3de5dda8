import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { OWNER_PATTERN } from '../model/limits';
import { UsageError } from './output';

/** A machine as the state of Terraform has it: all that the clean-up would use. */
export interface Machine {
  readonly anchor: string;
  /** The address of the resource whose replacement applies everything again. Undefined if no apply has ended. */
  readonly apply?: string;
  /** Whether the machine is to have nothing, and has, so that there is nothing to verify. */
  readonly absent: boolean;
  /** Whether the last apply failed. */
  readonly failed: boolean;
  /** What was applied last, by its name on the machine. */
  readonly generation?: string;
  readonly owner: string;
  /** What the anchor keeps, by its names in the state. */
  readonly connection: Readonly<Record<string, string>>;
}

interface Resource {
  readonly address: string;
  readonly tainted?: boolean;
  /** Set for what a replacement has left, such as a machine whose clean-up failed. */
  readonly deposed_key?: string;
  readonly values: { readonly id?: unknown; readonly input?: unknown; readonly [attribute: string]: unknown };
}

interface Module {
  readonly resources?: readonly Resource[];
  readonly child_modules?: readonly Module[];
}

const MOST_BYTES = 2 ** 28;

/**
 * The machines that Terraform has configured, by way of its own command, so with any backend.
 *
 * @param directory - a directory in which Terraform works
 * @throws UsageError if Terraform cannot show its state
 */
export async function machinesOf(directory: string): Promise<Machine[]> {
  const terraform = process.env.TERRAFORM_BINARY_NAME ?? 'terraform';
  let output: string;
  try {
    ({ stdout: output } = await promisify(execFile)(terraform, [`-chdir=${directory}`, 'show', '-json', '-no-color'], {
      env: process.env,
      maxBuffer: MOST_BYTES,
    }));
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string };
    const lines = (stderr ?? '').split('\n').filter((line) => /\w/.test(line));
    // Warnings come first, such as those of the configuration of the command line.
    const reason = lines.find((line) => line.includes('Error:'))?.replace(/^.*?(?=Error:)/, '') ?? lines[0];
    const sentence = (reason ?? message).replace(/\.?$/, '.');
    throw new UsageError(`"${terraform} show" fails in "${directory}": ${sentence} Run "terraform init" there.`);
  }
  const { values } = JSON.parse(output) as { values?: { root_module?: Module } };
  const resources = resourcesIn(values?.root_module ?? {}).filter(({ deposed_key: deposed }) => deposed === undefined);
  const applyOf = new Map(resources.map((resource) => [keysOf(resource.values).anchor, resource]));
  return resources.flatMap((anchor) => machineOf(anchor, applyOf.get(anchor.values.id)));
}

/** None if the resource is no anchor. */
function machineOf(anchor: Resource, apply: Resource | undefined): Machine[] {
  const connection = connectionOf(anchor);
  if (!connection) {
    return [];
  }
  const failed = apply?.tainted ?? false;
  const id = apply?.values.id;
  return [
    {
      anchor: anchor.address,
      apply: apply?.address,
      // A removal that failed has left something.
      absent: apply !== undefined && keysOf(apply.values).ensure !== undefined && !failed,
      failed,
      generation: typeof id === 'string' ? id : undefined,
      owner: connection.owner,
      connection,
    },
  ];
}

function resourcesIn({ resources = [], child_modules: children = [] }: Module): Resource[] {
  return [...resources, ...children.flatMap(resourcesIn)];
}

/** The values of an anchor; undefined for any other resource. */
function connectionOf({ values }: Resource): Record<string, string> | undefined {
  const kept = (values.input ?? values.triggers ?? {}) as Record<string, unknown>;
  const isText = ['host', 'port', 'user', 'agent', 'owner'].every((key) => typeof kept[key] === 'string');
  return isText && OWNER_PATTERN.test(String(kept.owner)) ? (kept as Record<string, string>) : undefined;
}

/** What replaces a resource, by keys. */
function keysOf(values: Resource['values']): Record<string, unknown> {
  return (values.triggers_replace ?? values.triggers ?? {}) as Record<string, unknown>;
}

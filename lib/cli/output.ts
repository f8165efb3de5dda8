import { existsSync, readFileSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { join, sep } from 'node:path';
import type { Host } from '../model/host';
import { HOST_FILES, hostFileName, parseHostFile } from '../model/host-file';
import { getOrInsertComputed } from '../model/maps';
import type { Succession } from '../reachability/compare-hosts';

/** A wrong command line or input, reported without a stack trace. */
export class UsageError extends Error {}

interface Stack {
  readonly workingDirectory: string;
  readonly synthesizedStackPath: string;
  readonly stackMetadataPath?: string;
}

/** No file of a synth is that long, and a string cannot be much longer. */
const MOST_BYTES = 2 ** 28;

/**
 * The hosts of a synthesized app, by their paths.
 *
 * @param directory - what `cdktf synth` wrote: `cdktf.out`
 * @param known - the hosts that were read before, by the texts of their files: equal texts become the same host
 * @throws UsageError if it is not such a directory, or one of another version
 */
export function readHosts(directory: string, known = new Map<string, Host>()): Map<string, Host> {
  const hosts = stacksOf(directory).flatMap((stack) => {
    const names = namesIn(directory, join(stack.workingDirectory, HOST_FILES));
    const found = names.map((name) => parse(directory, join(stack.workingDirectory, HOST_FILES, name), known));
    const declared = found.length === 0 ? new Set() : declaredPaths(directory, stack);
    return found.filter(({ path }) => declared.has(path));
  });
  return new Map(hosts.sort((a, b) => (a.path < b.path ? -1 : 1)).map((host) => [host.path, host]));
}

/** A directory in which Terraform works, and how many hosts are declared there. */
export interface StackDirectory {
  readonly directory: string;
  readonly hosts: number;
}

/**
 * The stacks of a synthesized app that declare hosts, or the directory itself if it is not what `cdktf synth` wrote.
 *
 * @throws UsageError if the output is damaged
 */
export function stackDirectories(directory: string): StackDirectory[] {
  if (isThere(directory, 'manifest.json')) {
    return stacksOf(directory)
      .map((stack) => ({ directory: inside(directory, stack.workingDirectory), hosts: countHosts(directory, stack) }))
      .filter(({ hosts }) => hosts > 0);
  }
  const stack = { workingDirectory: '', synthesizedStackPath: 'cdk.tf.json', stackMetadataPath: 'metadata.json' };
  return [{ directory, hosts: countHosts(directory, stack) }];
}

/** Goes by the names of the files: verify does not need what is in them, which may be of another version. */
function countHosts(directory: string, stack: Stack): number {
  const names = new Set(namesIn(directory, join(stack.workingDirectory, HOST_FILES)));
  return names.size === 0
    ? 0
    : [...declaredPaths(directory, stack)].filter((path) => names.has(hostFileName(path))).length;
}

/**
 * What happens to anchors between two synthesized apps, by `removed` and `moved` blocks.
 *
 * @throws UsageError if one is not such a directory
 */
export function successionOf(before: string, after: string): Succession {
  const was = anchorsOf(before, stacksOf(before));
  const cleanedUp = new Set<string>();
  const movedFrom = new Map<string, string>();
  for (const stack of stacksOf(after)) {
    const earlier = (address: unknown): string | undefined =>
      was.get(`${stack.synthesizedStackPath} ${textOf(address)}`);
    const { removed, moved } = configurationOf(after, stack);
    for (const { from, lifecycle } of recordsIn(removed)) {
      const path = earlier(from);
      if (path !== undefined && recordOf(lifecycle).destroy === true) cleanedUp.add(path);
    }
    const is = anchorsOf(after, [stack]);
    for (const { from, to } of recordsIn(moved)) {
      const [old, path] = [earlier(from), is.get(`${stack.synthesizedStackPath} ${textOf(to)}`)];
      if (old !== undefined && path !== undefined) movedFrom.set(path, old);
    }
  }
  return { cleanedUp, movedFrom };
}

/** The paths of hosts, by the files of their stacks and the addresses of their anchors. */
function anchorsOf(directory: string, stacks: readonly Stack[]): Map<string, string> {
  const anchors = new Map<string, string>();
  for (const stack of stacks) {
    for (const [type, resources] of Object.entries(recordOf(configurationOf(directory, stack).resource))) {
      for (const [name, resource] of Object.entries(recordOf(resources))) {
        const { path: own } = recordOf(recordOf(recordOf(resource)['//']).metadata);
        const [, path] = /^(.+)\/anchor$/s.exec(textOf(own)) ?? [];
        if (path !== undefined) anchors.set(`${stack.synthesizedStackPath} ${type}.${name}`, path);
      }
    }
  }
  return anchors;
}

/** The configuration of a stack; empty if it is not JSON but HCL. */
function configurationOf(directory: string, { synthesizedStackPath: file }: Stack): Record<string, unknown> {
  try {
    return isThere(directory, file) ? recordOf(JSON.parse(read(directory, file))) : {};
  } catch (error) {
    if (error instanceof UsageError) throw error;
    return {};
  }
}

function recordOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

/** An object from a stranger may have a `toString` that is no function. */
function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function recordsIn(value: unknown): Array<Record<string, unknown>> {
  return Array.isArray(value) ? value.map(recordOf) : [];
}

function stacksOf(directory: string): Stack[] {
  let stacks: unknown;
  try {
    ({ stacks } = JSON.parse(read(directory, 'manifest.json')) as { stacks: unknown });
  } catch {
    stacks = undefined;
  }
  const all: unknown[] = typeof stacks === 'object' && stacks !== null ? Object.values(stacks) : [undefined];
  if (!all.every(isStack)) {
    throw new UsageError(
      `"${directory}" is not what "cdktf synth" writes: it has no readable manifest.json. Give a cdktf.out directory.`,
    );
  }
  return all;
}

function isStack(value: unknown): value is Stack {
  const { workingDirectory, synthesizedStackPath, stackMetadataPath = '' } = (value ?? {}) as Partial<Stack>;
  return [workingDirectory, synthesizedStackPath, stackMetadataPath].every((path) => typeof path === 'string');
}

function namesIn(directory: string, path: string): string[] {
  return isThere(directory, path) ? readdirSync(inside(directory, path)).filter((name) => name.endsWith('.json')) : [];
}

function parse(directory: string, file: string, known: Map<string, Host>): Host {
  try {
    const text = read(directory, file);
    return getOrInsertComputed(known, text, () => parseHostFile(text, join(directory, file)));
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** The paths of the hosts that are declared. A synth does not clean its directory, so the file of a deleted one remains. */
function declaredPaths(directory: string, stack: Stack): Set<string> {
  const texts = [stack.synthesizedStackPath, stack.stackMetadataPath ?? []]
    .flat()
    .filter((file) => isThere(directory, file))
    .flatMap((file) => stringsOf(read(directory, file)).filter((text) => text.endsWith('/anchor"')));
  return new Set(texts.map((text) => unquoted(text).replace(/\/anchor$/, '')));
}

function unquoted(text: string): string {
  try {
    return JSON.parse(text) as string;
  } catch {
    // HCL has other escapes, and no path of ours.
    return '';
  }
}

/** The quoted strings of JSON or HCL. Each is read once to its end, since a stranger may write thousands of quotes. */
function stringsOf(text: string): string[] {
  return text.match(/"(?:[^"\\\n]|\\[^]?)*(?:"|$)/gm) ?? [];
}

function isThere(directory: string, path: string): boolean {
  return existsSync(join(directory, path));
}

/** The directory may come from a stranger. So no file outside of it is read, and no endless one. */
function read(directory: string, path: string): string {
  const file = inside(directory, path);
  const status = statSync(file);
  if (!status.isFile() || status.size > MOST_BYTES) {
    throw new UsageError(`"${join(directory, path)}" is not a file of at most ${MOST_BYTES} bytes. Synthesize again.`);
  }
  return readFileSync(file, 'utf8');
}

function inside(directory: string, path: string): string {
  const [root, real] = [realpathSync(directory), realpathSync(join(directory, path))];
  if (!real.startsWith(join(root, sep))) {
    throw new UsageError(
      `"${join(directory, path)}" is outside of "${directory}". Give what "cdktf synth" wrote there.`,
    );
  }
  return real;
}

/**
 * Finds a host by its path, the end of its path, or its owner.
 *
 * @throws UsageError if there is none, or more than one
 */
export function findHost<T extends Pick<Host, 'path' | 'owner'>>(hosts: Iterable<T>, id: string): T {
  const all = [...hosts];
  const exact = all.filter(({ path }) => path === id);
  const found = exact.length > 0 ? exact : all.filter(({ path, owner }) => owner === id || path.endsWith(`/${id}`));
  const [only, ...others] = found;
  if (!only) {
    const names = all.length === 0 ? 'There is none.' : `Hosts: ${all.map(({ path }) => path).join(', ')}.`;
    throw new UsageError(`there is no host "${id}". ${names}`);
  }
  if (others.length > 0) {
    throw new UsageError(`"${id}" is ambiguous: ${found.map(({ path }) => path).join(' or ')}. Give the whole path.`);
  }
  return only;
}

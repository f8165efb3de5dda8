import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Host } from '../model/host';
import { HOST_FILES, parseHostFile } from '../model/host-file';

/** What was typed, or what it points to, is wrong: said without a stack trace. */
export class UsageError extends Error {}

interface Stack {
  readonly workingDirectory: string;
  readonly synthesizedStackPath: string;
  readonly stackMetadataPath: string;
}

/**
 * The hosts of a synthesized app, by their paths.
 *
 * @param directory - what `cdktf synth` wrote: `cdktf.out`
 * @throws UsageError if it is none, or not one of this version
 */
export function readHosts(directory: string): Map<string, Host> {
  const hosts = stacksOf(directory).flatMap((stack) => {
    const files = join(directory, stack.workingDirectory, HOST_FILES);
    const names = existsSync(files) ? readdirSync(files).filter((name) => name.endsWith('.json')) : [];
    return names.map((name) => read(join(files, name))).filter((host) => isDeclared(host, directory, stack));
  });
  return new Map(hosts.sort((a, b) => (a.path < b.path ? -1 : 1)).map((host) => [host.path, host]));
}

function stacksOf(directory: string): Stack[] {
  const file = join(directory, 'manifest.json');
  try {
    const { stacks } = JSON.parse(readFileSync(file, 'utf8')) as { stacks: Record<string, Stack> };
    return Object.values(stacks);
  } catch {
    throw new UsageError(
      `"${directory}" is not what "cdktf synth" writes: it has no readable manifest.json. Give a cdktf.out directory.`,
    );
  }
}

function read(file: string): Host {
  try {
    return parseHostFile(readFileSync(file, 'utf8'), file);
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** A synth does not clean its directory: the file of a host that is gone is still there. */
function isDeclared({ path }: Host, directory: string, stack: Stack): boolean {
  return [stack.synthesizedStackPath, stack.stackMetadataPath]
    .map((file) => join(directory, file))
    .some((file) => existsSync(file) && readFileSync(file, 'utf8').includes(JSON.stringify(`${path}/anchor`)));
}

/**
 * The host that is meant by its path, the end of its path, or its owner.
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
    throw new UsageError(`"${id}" may be ${found.map(({ path }) => path).join(' or ')}. Give the whole path.`);
  }
  return only;
}

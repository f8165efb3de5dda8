import type { Arguments } from './arguments';

const HOST_PATH = /^(\/[A-Za-z0-9_@+-][A-Za-z0-9._@+-]*)+$/;

/**
 * The path of a file on the machine, in the letters that the agent takes.
 *
 * @internal
 */
export function parseHostPath(args: Arguments, path: string, property: string): string {
  return args.text(path, property, HOST_PATH, 'an absolute path of letters, digits and . _ @ + -');
}

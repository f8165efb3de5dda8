import type { Arguments } from './arguments';

const HOST_PATH = /^(\/[A-Za-z0-9_@+-][A-Za-z0-9._@+-]*)+$/;

/**
 * Parses the path of a file on the machine. It may only have characters that the agent accepts.
 *
 * @internal
 */
export function parseHostPath(args: Arguments, path: string, property: string): string {
  return args.text(path, property, HOST_PATH, 'an absolute path of letters, digits and . _ @ + -');
}

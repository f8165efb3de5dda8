import type { Arguments } from './arguments';
import { parseHostPath } from './host-path';

/**
 * Parses the directory for the results of `verify`. They need something that runs it.
 *
 * @internal
 */
export function parseTextfileDirectory(
  args: Arguments,
  props: { readonly verifyIntervalSeconds?: number; readonly textfileDirectory?: string },
): string | undefined {
  const { textfileDirectory, verifyIntervalSeconds } = props;
  if (textfileDirectory === undefined) {
    return undefined;
  }
  const path = parseHostPath(args, textfileDirectory, 'textfileDirectory');
  if (verifyIntervalSeconds === undefined) {
    throw args.error(
      'textfileDirectory is given without verifyIntervalSeconds, so nothing would write the file. Set that, too, for example to 60.',
    );
  }
  return path;
}

import type { Arguments } from './arguments';

const DEFAULT_SECONDS = 60;
const WHY =
  'A slow login takes up to 10 seconds. Terraform gives up a silent connection after 120 seconds, ' +
  'so with more than 90 it would not learn what happened on the machine.';

/**
 * How long a machine waits for a confirmation, in seconds.
 *
 * @internal
 */
export function parseConfirmTimeout(args: Arguments, given: number | undefined): number {
  return args.integer(given ?? DEFAULT_SECONDS, 'confirmTimeoutSeconds', 10, 90, WHY);
}

import type { Arguments } from './arguments';

const DEFAULT_SECONDS = 60;
const WHY =
  'A slow login does not make it in less than 10 seconds. Terraform gives up a silent connection after 120, ' +
  'so with more than 90 it would no longer hear from the machine what happened.';

/**
 * How long a machine keeps what is not confirmed, in seconds.
 *
 * @internal
 */
export function parseConfirmTimeout(args: Arguments, given: number | undefined): number {
  return args.integer(given ?? DEFAULT_SECONDS, 'confirmTimeoutSeconds', 10, 90, WHY);
}

import { Arguments } from './private/arguments';
import { SECONDS } from './private/kinds';
import type { Shape } from './private/shapes';
import { optional } from './private/shapes';

/**
 * Options of a look at the machine for a plan.
 */
export interface DriftOptions {
  /**
   * How long a plan waits for the machine, in seconds, from 1 to 300. Terraform asks ten machines at a time.
   *
   * @default 20
   */
  readonly timeoutSeconds?: number;
}

const OPTIONS: Shape<DriftOptions> = { timeoutSeconds: optional(SECONDS) };

/**
 * Whether a plan shows that a machine is not as declared: a rule that somebody deleted, a unit that is off, a machine
 * that was installed again.
 */
export class Drift {
  /**
   * Each plan asks the machine over SSH. If it differs, the plan warns what is missing or in the way, and applies
   * everything again: `drift = "none" -> (known after apply)`. A machine that does not answer is a warning, and nothing
   * is planned for it.
   *
   * This needs `ssh` where Terraform runs, with the same key files, the `hashicorp/external` provider, and Terraform
   * 1.10 or later. Without a pinned `ssh.hostKey`, the key of the machine must be in the `known_hosts` of the user.
   *
   * @param options - how long to wait
   * @throws ValidationError if the time is out of range
   * @see https://developer.hashicorp.com/terraform/language/block/check
   */
  public static inPlan(options: DriftOptions = {}): Drift {
    const args = new Arguments('Drift.inPlan');
    args.checkOptions(OPTIONS, options, 'options');
    return new Drift(args.optionalInteger(options.timeoutSeconds, 'timeoutSeconds', 1, 300) ?? 20);
  }

  /** @internal */
  public readonly _timeoutSeconds: number;

  private constructor(timeoutSeconds: number) {
    this._timeoutSeconds = timeoutSeconds;
  }
}

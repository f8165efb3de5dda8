import { Aspects } from 'cdktf';
import { Construct } from 'constructs';
import { ensureProvider } from './delivery/engine';
import { Removal } from './delivery/removal';
import { Engine } from './engine';
import { Arguments } from './private/arguments';
import { SECONDS } from './private/kinds';
import { parseConfirmTimeout } from './private/confirm-timeout';
import type { Shape } from './private/shapes';
import { FLAG, member, optional } from './private/shapes';

/**
 * Properties of a `RemovedLinuxHost`.
 */
export interface RemovedLinuxHostProps {
  /**
   * The engine that the deleted `LinuxHost` had.
   *
   * @default Engine.TERRAFORM_DATA
   */
  readonly engine?: Engine;

  /**
   * How long the machine waits to hear over a new connection that it can still be reached, in
   * seconds, from 10 to 90. Without that it undoes the clean-up, and the apply fails.
   *
   * @default 60
   */
  readonly confirmTimeoutSeconds?: number;

  /**
   * Have Terraform forget the host and leave the machine alone: because it is gone for good, or
   * because its routing is to stay.
   *
   * @default false
   */
  readonly forget?: boolean;
}

const PROPS: Shape<RemovedLinuxHostProps> = {
  engine: optional(member('Engine', Engine)),
  confirmTimeoutSeconds: optional(SECONDS),
  forget: optional(FLAG),
};

/**
 * Stands where a `LinuxHost` stood that was deleted from the program: in the same scope, with the
 * same id. The next apply puts the machine back to what it was; after that it does nothing, and can
 * stay or be deleted as well. Without it Terraform would forget the host and run no clean-up.
 *
 * Where to, as whom and with which key comes from the state. Needs Terraform 1.9 or later. With an
 * earlier one, apply `LinuxHost` with `ensure: HostState.ABSENT` before you delete it.
 *
 * @see https://developer.hashicorp.com/terraform/language/resources/syntax#removing-resources
 */
export class RemovedLinuxHost extends Construct {
  /**
   * @param scope - where the `LinuxHost` was in the tree
   * @param id - the id that it had there
   * @param props - how it is removed
   * @throws ValidationError if an argument is wrong
   */
  public constructor(scope: Construct, id: string, props: RemovedLinuxHostProps = {}) {
    super(scope, id);
    const args = new Arguments(this);
    args.checkOptions(PROPS, props);
    const engine = props.engine ?? Engine.TERRAFORM_DATA;
    new Removal(this, {
      engine,
      confirmTimeoutSeconds: parseConfirmTimeout(args, props.confirmTimeoutSeconds),
      forget: props.forget ?? false,
    });
    Aspects.of(this).add({
      visit: (node) => {
        if (node === this) {
          ensureProvider(this, engine);
        }
      },
    });
  }
}

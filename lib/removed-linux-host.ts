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
import { ENVIRONMENT_VARIABLE, checkEnvironmentVariable } from './private/ssh-checks';

/**
 * Properties of a `RemovedLinuxHost`.
 */
export interface RemovedLinuxHostProps {
  /**
   * Engine of the deleted `LinuxHost`.
   *
   * @default Engine.TERRAFORM_DATA
   */
  readonly engine?: Engine;

  /**
   * How long the machine waits for the confirmation of the clean-up, in seconds, from 10 to 90. Terraform confirms over
   * a new connection. Without a confirmation, the machine undoes the clean-up, and the apply fails.
   *
   * @default 60
   */
  readonly confirmTimeoutSeconds?: number;

  /**
   * Name of an environment variable of Terraform that has the private key, as in `SshConnection`. The state has this
   * name if it was applied. Set it here if the host was applied without it, or if the variable has a new name.
   *
   * @default - as it was last applied
   */
  readonly privateKeyEnvironmentVariable?: string;

  /**
   * Makes Terraform forget the host without touching the machine: because it is gone for good, or because its routing
   * must stay.
   *
   * @default false
   */
  readonly forget?: boolean;
}

const PROPS: Shape<RemovedLinuxHostProps> = {
  engine: optional(member('Engine', Engine)),
  confirmTimeoutSeconds: optional(SECONDS),
  privateKeyEnvironmentVariable: optional(ENVIRONMENT_VARIABLE),
  forget: optional(FLAG),
};

/**
 * Takes the place of a `LinuxHost` that was deleted from the program, in the same scope and with the same id. The next
 * apply cleans the machine up. After that it does nothing, and can stay or be deleted as well. Without it, Terraform
 * would forget the host and run no clean-up.
 *
 * The address, the user and the source of the key come from the state. Needs Terraform 1.9 or later. With an earlier
 * version, apply the `LinuxHost` with `ensure: HostState.ABSENT` before you delete it.
 *
 * @example
 * new RemovedLinuxHost(this, 'vpn');
 *
 * @see https://developer.hashicorp.com/terraform/language/resources/syntax#removing-resources
 */
export class RemovedLinuxHost extends Construct {
  /**
   * @param scope - parent that the `LinuxHost` had
   * @param id - id that the `LinuxHost` had
   * @param props - how to remove it
   * @throws ValidationError if an argument is wrong
   */
  public constructor(scope: Construct, id: string, props: RemovedLinuxHostProps = {}) {
    super(scope, id);
    const args = new Arguments(this);
    args.checkOptions(PROPS, props);
    const { engine = Engine.TERRAFORM_DATA, privateKeyEnvironmentVariable } = props;
    checkEnvironmentVariable(args, privateKeyEnvironmentVariable, 'privateKeyEnvironmentVariable');
    new Removal(this, {
      engine,
      confirmTimeoutSeconds: parseConfirmTimeout(args, props.confirmTimeoutSeconds),
      ssh: { privateKeyEnvironmentVariable },
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

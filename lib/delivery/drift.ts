import type { ITerraformIterator } from 'cdktf';
import { Fn, TerraformDataSource, TerraformLocal, TerraformStack, Token } from 'cdktf';
import type { Construct } from 'constructs';
import type { SshConnection } from '../ssh-connection';
import { expression, literal } from './escape';
import { scriptFile } from './scripts';
import { storedConnection } from './ssh';
import type { StackFile } from './stack-files';
import { pathOf } from './stack-files';

export interface PlannedDriftProps {
  readonly owner: string;
  readonly ssh: SshConnection;
  readonly timeoutSeconds: number;
  readonly forEach?: ITerraformIterator;
}

let made: StackFile | undefined;

/** The script that asks a machine. Made once for each program. */
function script(): StackFile {
  made ??= scriptFile('drift', ['ask', 'drift']);
  return made;
}

/** The question to the machine at each plan, and the warnings of the plan. */
export class PlannedDrift {
  public readonly file = script();
  private readonly answer: External;

  public constructor(
    scope: Construct,
    private readonly props: PlannedDriftProps,
  ) {
    const { owner, ssh, timeoutSeconds, forEach } = props;
    const values = [`seconds=${timeoutSeconds}`, `owner=${owner}`, ...loginArguments(scope, ssh, forEach)];
    const iterator = forEach && indirect(scope, forEach);
    this.answer = new External(scope, 'drift', ['sh', pathOf(this.file), ...values], iterator);
    const stack = TerraformStack.of(scope);
    const words = (state: string, text: string): object => this.assertion(scope.node.path, state, text);
    stack.addOverride(`check.${this.answer.friendlyUniqueId}`, {
      assert: [
        words('differs', 'is not as declared, so this plan applies everything again'),
        words('blocked', 'is not as declared because of something that an apply does not change'),
        words('not asked', 'could not be asked whether it is as declared, so nothing is planned for it'),
      ],
    });
  }

  /**
   * A value that replaces the `apply` resource if the machine differs. It is the same before and after the apply, or
   * else the next plan would have a change again: only a plan does not know the time.
   */
  public trigger(): string {
    const key = this.props.forEach ? '[each.key]' : '';
    return expression(
      `${this.answer.address}${key}.result.state == "differs" ? (timestamp() == "" ? "" : "none") : "none"`,
    );
  }

  /** Warns in a plan. The apply, which mends it, does not warn again. */
  private assertion(path: string, state: string, text: string): object {
    const { address } = this.answer;
    const isState = (answer: string): string => `${answer}.result.state == "${state}"`;
    if (!this.props.forEach) {
      return {
        condition: expression(`terraform.applying || !(${isState(address)})`),
        error_message: `${literal(path)} ${text}: ${expression(`${address}.result.found`)}`,
      };
    }
    const those = `[for key, answer in ${address} : "\${key}: \${answer.result.found}" if ${isState('answer')}]`;
    return {
      // Of one that is not known yet, the others are known all the same.
      condition: expression(`terraform.applying || !contains([for answer in ${address} : ${isState('answer')}], true)`),
      error_message: `${literal(path)}: a machine ${text}. ${expression(`join("; ", ${those})`)}`,
    };
  }
}

/** The data source `external`, whose provider Terraform finds by its name. */
class External extends TerraformDataSource {
  public constructor(
    scope: Construct,
    id: string,
    private readonly program: readonly string[],
    forEach?: ITerraformIterator,
  ) {
    super(scope, id, { terraformResourceType: 'external', forEach });
  }

  public get address(): string {
    return `data.external.${this.friendlyUniqueId}`;
  }

  protected override synthesizeAttributes(): { [name: string]: unknown } {
    return { program: this.program };
  }
}

/**
 * The login as arguments of the script, each of which is empty if Terraform finds that its value is null. They take what
 * only Terraform knows from a local. If a data source named a resource itself, any change of that resource, such as
 * another tag of an instance, would put the question off until the apply.
 *
 * @see https://developer.hashicorp.com/terraform/language/data-sources#data-resource-dependencies
 */
function loginArguments(scope: Construct, ssh: SshConnection, forEach?: ITerraformIterator): string[] {
  const values = Object.entries(storedConnection(ssh));
  const deferred = values.filter(([, value]) => isDeferred(value));
  // A local cannot hold the value of one machine of a fleet.
  const login =
    forEach || deferred.length === 0
      ? undefined
      : new TerraformLocal(scope, 'drift-login', Object.fromEntries(deferred)).friendlyUniqueId;
  return values.map(([name, value]) => {
    if (!isDeferred(value)) {
      return `${name}=${value}`;
    }
    return login === undefined
      ? Token.asString(Fn.try([`${name}=${value}`, '']))
      : expression(`try("${name}=\${local.${login}.${name}}", "")`);
  });
}

/** A port is a number, and so is its token. */
function isDeferred(value: string): boolean {
  return Token.isUnresolved(value) || Token.isUnresolved(Number(value));
}

/** The same machines, by way of a local. */
function indirect(scope: Construct, iterator: ITerraformIterator): ITerraformIterator {
  const local = new TerraformLocal(scope, 'drift-machines', iterator._getForEachExpression());
  // The iterator of cdktn has more to it than what a data source asks for.
  return Object.assign(Object.create(iterator) as ITerraformIterator, {
    _getForEachExpression: () => local.expression as unknown,
  });
}

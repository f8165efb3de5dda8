import type { IResolveContext, ITerraformDependable, TerraformResource } from 'cdktf';
import { Lazy, Token } from 'cdktf';
import type { Construct } from 'constructs';
import type { Host } from '../model/host';
import type { Persistence } from '../persistence';
import type { SshConnection } from '../ssh-connection';
import { lazyBundleContent } from './bundle';
import type { EngineType } from './engine';
import { engineResource } from './engine';
import { literal, referencedResources } from './escape';
import { deliveryProvisioners, destroyProvisioners, removalProvisioners } from './provisioners';
import { createConnection, scriptDirectory, storedConnection } from './ssh';
import { generationTriggers } from './triggers';

export interface DeploymentProps {
  readonly engine: EngineType;
  readonly owner: string;
  readonly ssh: SshConnection;
  readonly persistence: Persistence;
  readonly host: () => Host;
  /** Nothing is to be left on the machine. */
  readonly absent: boolean;
  readonly confirmTimeoutSeconds: number;
  readonly allowManagementPathChange: boolean;
  /** Values that change with the machine. */
  readonly replaceTriggeredBy: readonly string[];
  readonly dependsOn?: ITerraformDependable[];
}

/**
 * The two resources of a host. Their ids are part of the public contract: renaming one would
 * replace it in every deployment.
 *
 * - `anchor` holds the address and the owner, and runs the clean-up. It exists before the first change, and a failed
 *   change cannot taint it, so the clean-up is never lost.
 * - `apply` is one generation. Replacing it runs no clean-up, so the machine is never without rules.
 */
export class Deployment {
  public readonly anchor: TerraformResource;
  public readonly apply: TerraformResource;

  public constructor(scope: Construct, props: DeploymentProps) {
    const { engine, owner, ssh, persistence, host, absent, confirmTimeoutSeconds, allowManagementPathChange } = props;
    const { replaceTriggeredBy } = props;
    const { timeoutSeconds } = ssh;
    const connection = storedConnection(ssh);
    this.anchor = engineResource(scope, 'anchor', engine, {
      identity: () => ({ host: connection.host, port: connection.port, owner }),
      stored: { ...connection, owner },
      provisioners: destroyProvisioners({
        engine,
        confirmTimeoutSeconds,
        timeoutSeconds,
        addresses: () => [this.anchor, this.apply].map(addressOf),
      }),
      dependsOn: props.dependsOn,
    });
    if (replaceTriggeredBy.length > 0) {
      this.keepUntilCleanedUp(replaceTriggeredBy);
    }

    const change = { owner, directory: scriptDirectory(ssh), confirmTimeoutSeconds, timeoutSeconds };
    this.apply = engineResource(scope, 'apply', engine, {
      identity: () => ({
        anchor: Token.asString(this.anchor.interpolationForAttribute('id')),
        // These values do not identify the anchor, whose clean-up would run on the new machine instead of the old one.
        ...(replaceTriggeredBy.length > 0 ? { machine: replaceTriggeredBy.map(textOf).join(' ') } : {}),
        ...(absent ? { ensure: 'absent' } : generation(props)),
      }),
      connection: createConnection(owner, ssh),
      provisioners: absent
        ? removalProvisioners(change)
        : deliveryProvisioners({
            ...change,
            allowManagementPathChange,
            bundle: lazyBundleContent(host, (model) => persistence._choice(model)),
          }),
    });
  }

  /** The anchor has none of these values, so Terraform would not know that its clean-up needs their resources. */
  private keepUntilCleanedUp(values: readonly string[]): void {
    const declared = this.anchor.dependsOn ?? [];
    const produce = (context: IResolveContext): string[] => {
      const texts = values.map((value) => String(context.resolve(value)));
      return [...new Set([...(context.resolve(declared) as string[]), ...texts.flatMap(referencedResources)])];
    };
    this.anchor.dependsOn = Lazy.listValue({ produce }, { omitEmpty: true });
  }
}

function textOf(value: string): string {
  return Token.isUnresolved(value) ? value : literal(value);
}

function generation({ host, persistence }: DeploymentProps): Record<string, string> {
  const model = host();
  return generationTriggers(model, persistence._choice(model));
}

/** The address of a resource on Terraform's command line. */
export function addressOf(resource: TerraformResource): string {
  return `${resource.terraformResourceType}.${resource.friendlyUniqueId}`;
}

import type { IResolveContext, ITerraformDependable, ITerraformIterator, TerraformResource } from 'cdktf';
import { Lazy, Token } from 'cdktf';
import type { Construct } from 'constructs';
import type { Host } from '../model/host';
import type { Persistence } from '../persistence';
import type { SshConnection } from '../ssh-connection';
import type { Bundle } from './bundle';
import { makeBundle } from './bundle';
import { PlannedDrift } from './drift';
import type { EngineType } from './engine';
import { engineResource } from './engine';
import { keyCheck } from './environment-key';
import { expression, literal, referencedResources } from './escape';
import { deliveryProvisioners, destroyProvisioners, removalProvisioners } from './provisioners';
import { sharedFiles } from './scripts';
import { createConnection, keySources, scriptDirectory, storedConnection } from './ssh';
import type { StackFile } from './stack-files';
import { generationTriggers } from './triggers';

export interface DeploymentProps {
  readonly engine: EngineType;
  readonly owner: string;
  readonly ssh: SshConnection;
  /** Whether another bastion means another machine. */
  readonly knownByBastion: boolean;
  readonly persistence: Persistence;
  readonly host: () => Host;
  /** Nothing is to be left on the machine. */
  readonly absent: boolean;
  readonly confirmTimeoutSeconds: number;
  readonly allowManagementPathChange: boolean;
  /** Values that change with the machine. */
  readonly replaceTriggeredBy: readonly string[];
  /** How long each plan waits for the machine, if it asks. */
  readonly driftTimeoutSeconds?: number;
  /** One machine for each of its elements. */
  readonly forEach?: ITerraformIterator;
  readonly dependsOn?: ITerraformDependable[];
}

/** What is applied: a declaration, how a plan shows it, and what the machine gets. */
interface Generation {
  readonly model: Host;
  readonly triggers: Record<string, string>;
  readonly bundle: Bundle;
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
  private readonly drift?: PlannedDrift;
  private made?: Generation;

  public constructor(
    scope: Construct,
    private readonly props: DeploymentProps,
  ) {
    const { engine, owner, ssh, absent, confirmTimeoutSeconds, allowManagementPathChange } = props;
    const { replaceTriggeredBy, forEach } = props;
    const { timeoutSeconds } = ssh;
    const connection = storedConnection(ssh);
    this.anchor = engineResource(scope, 'anchor', engine, {
      identity: () => ({
        host: connection.host,
        port: connection.port,
        ...(props.knownByBastion ? { bastion: `${connection.bastion_host} ${connection.bastion_port}` } : {}),
        owner,
      }),
      stored: { ...connection, owner },
      provisioners: destroyProvisioners({
        engine,
        confirmTimeoutSeconds,
        ssh,
        addresses: () => [this.anchor, this.apply].map(addressOf),
        isFleet: forEach !== undefined,
      }),
      forEach,
      dependsOn: props.dependsOn,
    });
    if (replaceTriggeredBy.length > 0) {
      this.keepUntilCleanedUp(replaceTriggeredBy);
    }

    if (props.driftTimeoutSeconds !== undefined && !absent) {
      this.drift = new PlannedDrift(scope, { owner, ssh, timeoutSeconds: props.driftTimeoutSeconds, forEach });
    }

    const change = { owner, directory: scriptDirectory(ssh), confirmTimeoutSeconds, timeoutSeconds };
    const anchorId = (): string => expression(`${addressOf(this.anchor)}${forEach ? '[each.key]' : ''}.id`);
    this.apply = engineResource(scope, 'apply', engine, {
      identity: () => ({
        anchor: anchorId(),
        // These values do not identify the anchor, whose clean-up would run on the new machine instead of the old one.
        ...(replaceTriggeredBy.length > 0 ? { machine: replaceTriggeredBy.map(textOf).join(' ') } : {}),
        ...(this.drift && { drift: this.drift.trigger() }),
        ...(absent ? { ensure: 'absent' } : this.generation().triggers),
      }),
      forEach,
      connection: createConnection(owner, ssh),
      provisioners: [
        ...keySources(ssh).map(keyCheck),
        ...(absent
          ? removalProvisioners(change)
          : deliveryProvisioners({
              ...change,
              anchor: Lazy.stringValue({ produce: anchorId }),
              allowManagementPathChange,
              bundle: Lazy.stringValue({ produce: (context) => this.generation().bundle.content(context) }),
            })),
      ],
    });
  }

  /** The files that the provisioners read. */
  public files(): StackFile[] {
    return [
      ...Object.values(sharedFiles()),
      ...(this.props.absent ? [] : [this.generation().bundle.file]),
      ...(this.drift ? [this.drift.file] : []),
    ];
  }

  /** Made once per change of the declaration. */
  private generation(): Generation {
    const model = this.props.host();
    if (this.made?.model !== model) {
      const choice = this.props.persistence._choice(model);
      this.made = { model, triggers: generationTriggers(model, choice), bundle: makeBundle(model, choice) };
    }
    return this.made;
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

/** The address of a resource on Terraform's command line. */
export function addressOf(resource: TerraformResource): string {
  return `${resource.terraformResourceType}.${resource.friendlyUniqueId}`;
}

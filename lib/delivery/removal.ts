import type { TerraformResourceConfig } from 'cdktf';
import { TerraformResource } from 'cdktf';
import type { Construct } from 'constructs';
import { addressOf } from './deployment';
import type { EngineType } from './engine';
import { refuseOtherFork } from './fork';
import { destroyProvisioners } from './provisioners';
import { sharedFiles } from './scripts';
import type { DestroyLogin } from './ssh';
import { writeStackFiles } from './stack-files';

export interface RemovalProps {
  readonly engine: EngineType;
  readonly confirmTimeoutSeconds: number;
  readonly ssh: DestroyLogin;
  /** Only Terraform's state changes. */
  readonly forget: boolean;
}

/** The `removed` blocks for the two resources of a deployment that is no longer declared. */
export class Removal {
  public constructor(scope: Construct, props: RemovalProps) {
    refuseOtherFork(scope);
    const { engine, forget } = props;
    const config = { terraformResourceType: engine, destroy: !forget };
    // The ids are those of the deployment, so the addresses are the same.
    const anchor: TerraformResource = new RemovedResource(scope, 'anchor', {
      ...config,
      provisioners: forget
        ? undefined
        : destroyProvisioners({ ...props, addresses: () => [anchor, apply].map(addressOf) }),
    });
    const apply: TerraformResource = new RemovedResource(scope, 'apply', config);
    writeStackFiles(scope, () => Object.values(sharedFiles()));
  }
}

interface RemovedResourceConfig extends TerraformResourceConfig {
  readonly destroy: boolean;
}

/** A `removed` block, which cdktf has no class for. Its address and provisioners are made like those of a resource. */
class RemovedResource extends TerraformResource {
  private readonly destroy: boolean;

  public constructor(scope: Construct, id: string, config: RemovedResourceConfig) {
    super(scope, id, config);
    this.destroy = config.destroy;
  }

  public override toTerraform(): object {
    const { resource } = super.toTerraform() as {
      resource: Record<string, Record<string, { provisioner?: object[] }>>;
    };
    const provisioner = resource[this.terraformResourceType]?.[this.friendlyUniqueId]?.provisioner;
    // A list, since cdktf joins the lists of all constructs of a stack.
    return { removed: [{ from: addressOf(this), lifecycle: { destroy: this.destroy }, provisioner }] };
  }
}

import type { TerraformResourceConfig } from 'cdktf';
import { TerraformResource } from 'cdktf';
import type { Construct } from 'constructs';
import { addressOf } from './deployment';
import type { EngineType } from './engine';
import { destroyProvisioners } from './provisioners';

export interface RemovalProps {
  readonly engine: EngineType;
  readonly confirmTimeoutSeconds: number;
  /** Only Terraform's state changes. */
  readonly forget: boolean;
}

/** What is left of a deployment that is no longer declared: `removed` blocks for its two resources. */
export class Removal {
  public constructor(scope: Construct, props: RemovalProps) {
    const { engine, forget } = props;
    const config = { terraformResourceType: engine, destroy: !forget };
    // With the ids that they had in the deployment they have the addresses that they had there.
    const anchor: TerraformResource = new RemovedResource(scope, 'anchor', {
      ...config,
      provisioners: forget
        ? undefined
        : destroyProvisioners({ ...props, addresses: () => [anchor, apply].map(addressOf) }),
    });
    const apply: TerraformResource = new RemovedResource(scope, 'apply', config);
  }
}

interface RemovedResourceConfig extends TerraformResourceConfig {
  readonly destroy: boolean;
}

/** A `removed` block, which cdktf does not know: its address and provisioners are made as a resource's. */
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
    // Elements of one list: cdktf joins those of all constructs of a stack.
    return { removed: [{ from: addressOf(this), lifecycle: { destroy: this.destroy }, provisioner }] };
  }
}

import { TerraformProvider, TerraformResource } from 'cdktf';
import type { Construct } from 'constructs';
import type { NullResourceConfig } from './engine';

/**
 * Takes the place of `null-provider.ts` in the package for cdktn: npm has no null provider for it, and one for cdktf
 * fails in its stacks. Everything that Terraform sees is the same.
 */
const METADATA = { providerName: 'null', providerVersion: '3.2.4', providerVersionConstraint: '~> 3.0' };

class NullResource extends TerraformResource {
  private readonly triggers: Record<string, string>;

  public constructor(scope: Construct, id: string, { triggers, ...meta }: NullResourceConfig) {
    super(scope, id, { ...meta, terraformResourceType: 'null_resource', terraformGeneratorMetadata: METADATA });
    this.triggers = triggers;
  }

  protected override synthesizeAttributes(): { [name: string]: unknown } {
    return { triggers: this.triggers };
  }
}

class NullProvider extends TerraformProvider {
  public constructor(scope: Construct, id: string) {
    super(scope, id, {
      terraformResourceType: 'null',
      terraformGeneratorMetadata: METADATA,
      terraformProviderSource: 'null',
    });
  }
}

export function newNullResource(scope: Construct, id: string, config: NullResourceConfig): TerraformResource {
  return new NullResource(scope, id, config);
}

export function newNullProvider(scope: Construct, id: string): TerraformProvider {
  return new NullProvider(scope, id);
}

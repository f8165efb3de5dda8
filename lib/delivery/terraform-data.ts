import type { TerraformMetaArguments } from 'cdktf';
import { TerraformResource } from 'cdktf';
import type { Construct } from 'constructs';

export interface TerraformDataConfig extends TerraformMetaArguments {
  readonly input?: Record<string, string>;
  readonly triggersReplace?: unknown;
}

/**
 * `terraform_data`, without cdktf's `DataResource`, which starts `terraform version` for each instance at each synth,
 * and fails without terraform.
 *
 * @see https://developer.hashicorp.com/terraform/language/resources/terraform-data
 */
export class TerraformData extends TerraformResource {
  private readonly config: TerraformDataConfig;

  public constructor(scope: Construct, id: string, config: TerraformDataConfig) {
    super(scope, id, {
      ...config,
      terraformResourceType: 'terraform_data',
      terraformGeneratorMetadata: { providerName: 'terraform' },
    });
    this.config = config;
  }

  protected override synthesizeAttributes(): { [name: string]: unknown } {
    return { input: this.config.input, triggers_replace: this.config.triggersReplace };
  }
}

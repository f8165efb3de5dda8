/**
 * The type of the Terraform resources that carry a host's configuration.
 */
export enum Engine {
  /** Built into Terraform: nothing to download. */
  TERRAFORM_DATA = 'terraform_data',

  /**
   * From the `hashicorp/null` provider, which is added to the stack if it is not there. Any change
   * of the connection replaces both resources, which removes the routing from the host and puts it
   * back; with `TERRAFORM_DATA` only a change of host, port or owner does.
   */
  NULL_RESOURCE = 'null_resource',
}

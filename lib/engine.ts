/**
 * The type of the Terraform resources of a host.
 */
export enum Engine {
  /** Built into Terraform: nothing to download. */
  TERRAFORM_DATA = 'terraform_data',

  /**
   * From the `hashicorp/null` provider, which is added to the stack if it is missing. With cdktf, this needs the package
   * `@cdktf/provider-null`. Any change of the connection replaces both resources. This removes the routing from the host
   * and puts it back. With `TERRAFORM_DATA`, only a change of host, port or owner does so.
   */
  NULL_RESOURCE = 'null_resource',
}

import type { SSHProvisionerConnection, TerraformMetaArguments, TerraformResource } from 'cdktf';
import { Lazy, TerraformProvider, TerraformStack } from 'cdktf';
import type { Construct, IConstruct } from 'constructs';
import { refuseOtherFork } from './fork';
import { newNullProvider, newNullResource } from './null-provider';
import { TerraformData } from './terraform-data';

export type EngineType = 'terraform_data' | 'null_resource';

/** What both resource types can do, in their own attributes. */
export interface EngineConfig extends TerraformMetaArguments {
  readonly connection?: SSHProvisionerConnection;
  /** A change replaces the resource. */
  readonly identity: () => Record<string, string>;
  /**
   * Values in the state for the destroy-time provisioners. If possible, a change of them does not replace the resource.
   */
  readonly stored?: Record<string, string>;
}

export interface NullResourceConfig extends TerraformMetaArguments {
  readonly triggers: Record<string, string>;
}

/** Creates the resource that carries provisioners. */
export function engineResource(
  scope: Construct,
  id: string,
  type: EngineType,
  config: EngineConfig,
): TerraformResource {
  refuseOtherFork(scope);
  const { identity, stored, ...meta } = config;
  if (type === 'terraform_data') {
    return new TerraformData(scope, id, {
      ...meta,
      ...(stored && { input: stored }),
      triggersReplace: Lazy.anyValue({ produce: identity }),
    });
  }
  // null_resource has no other place to keep values than its triggers.
  const triggers = Lazy.anyValue({ produce: () => ({ ...stored, ...identity() }) });
  return newNullResource(scope, id, { ...meta, triggers: triggers as unknown as Record<string, string> });
}

/** A value of `stored`, as the destroy-time provisioners may name it. */
export function storedValue(type: EngineType, key: string): string {
  return `self.${type === 'terraform_data' ? 'input' : 'triggers'}.${key}`;
}

/** Stacks that have a null provider, so that the tree is not searched for each host. */
const provided = new WeakSet<TerraformStack>();

/**
 * `null_resource` needs its provider. Called late, so that the user's own provider is seen
 * wherever in the program it is declared.
 */
export function ensureProvider(scope: Construct, type: EngineType): void {
  if (type !== 'null_resource') {
    return;
  }
  const stack = TerraformStack.of(scope);
  const isNullProvider = (node: IConstruct): boolean =>
    TerraformProvider.isTerraformProvider(node) && node.terraformResourceType === 'null';
  if (!provided.has(stack) && !stack.node.findAll().some(isNullProvider)) {
    newNullProvider(stack, 'source-routing-null-provider');
  }
  provided.add(stack);
}

import type * as provider from '@cdktf/provider-null/lib/provider';
import type * as resource from '@cdktf/provider-null/lib/resource';
import type { TerraformProvider, TerraformResource } from 'cdktf';
import type { Construct } from 'constructs';
import { ValidationError } from '../errors';
import type { NullResourceConfig } from './engine';

export function newNullResource(scope: Construct, id: string, config: NullResourceConfig): TerraformResource {
  return new (load(scope).Resource)(scope, id, config);
}

export function newNullProvider(scope: Construct, id: string): TerraformProvider {
  return new (load(scope).NullProvider)(scope, id);
}

/** An optional peer: only those who use this engine need it. Bundlers leave out a `require` in `try` that fails. */
function load(scope: Construct): typeof provider & typeof resource {
  try {
    /* eslint-disable @typescript-eslint/no-require-imports */
    return {
      ...(require('@cdktf/provider-null/lib/provider') as typeof provider),
      ...(require('@cdktf/provider-null/lib/resource') as typeof resource),
    };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') {
      throw error;
    }
    throw new ValidationError(
      scope.node.path,
      'engine "null_resource" needs the package @cdktf/provider-null, which is not installed. Add it to your dependencies.',
    );
  }
}

import { TerraformStack } from 'cdktf';
import type { Construct } from 'constructs';
import { ValidationError } from '../errors';

/** Under this symbol jsii writes the name of each class that it compiles. */
const JSII_NAME = Symbol.for('jsii.rtti');

/**
 * Refuses a stack or an app of the other fork. Otherwise synth fails with an error that names neither package.
 *
 * @throws ValidationError if it is of cdktn and this package is for cdktf, or the reverse
 */
export function refuseOtherFork(scope: Construct): void {
  const own = frameworkClass(TerraformStack)?.fork;
  for (const { constructor } of [TerraformStack.of(scope), scope.node.root]) {
    const theirs = frameworkClass(constructor);
    if (own !== undefined && theirs !== undefined && own !== theirs.fork) {
      throw new ValidationError(
        scope.node.path,
        `the ${theirs.name} is of the package ${theirs.fork}, but this is ${own}-source-routing. ` +
          `Use ${theirs.fork}-source-routing.`,
      );
    }
  }
}

/** The class of cdktf or cdktn from which a class inherits. */
function frameworkClass(type: unknown): { readonly fork: string; readonly name: string } | undefined {
  for (let each = type; typeof each === 'function'; each = Object.getPrototypeOf(each) as unknown) {
    const jsii = (each as { [JSII_NAME]?: { readonly fqn: string } })[JSII_NAME];
    const [, fork, name] = /^(cdktf|cdktn)\.(App|TerraformStack)$/.exec(jsii?.fqn ?? '') ?? [];
    if (fork !== undefined) {
      return { fork, name };
    }
  }
  return undefined;
}

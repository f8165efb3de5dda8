import type { ITerraformIterator } from 'cdktf';
import { Token } from 'cdktf';
import type { Construct } from 'constructs';
import { referencedResources } from '../delivery/escape';
import type { Problem } from '../model/host';
import type { SshConnection } from '../ssh-connection';
import type { Arguments } from './arguments';
import { expressionOf } from './tokens';

export function parseReplaceTriggeredBy(args: Arguments, given: readonly string[] = []): readonly string[] {
  given.forEach((value, index) => {
    if (Token.isUnresolved(value)) args.checkLiteralPart(value, `replaceTriggeredBy[${index}]`);
  });
  return given;
}

/** Warns that no plan shows the replacement of a machine behind the address of another resource. */
export function unnoticedReplacement(host: Construct, ssh: SshConnection, forEach?: ITerraformIterator): Problem[] {
  // The value of an iterator names no resource: what it iterates over does.
  const values = [ssh.host, forEach?._getForEachExpression() as unknown];
  const sources = [...new Set(values.flatMap((value) => referencedResources(expressionOf(value, host))))];
  if (sources.length === 0) {
    return [];
  }
  const message =
    `ssh.host comes from ${sources.join(', ')}: if another machine comes to have that address, the plan shows no ` +
    'change, and its clients leave by the uplink. Set replaceTriggeredBy, for example to the id of the instance.';
  return [{ path: host.node.path, message }];
}

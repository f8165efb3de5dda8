import type { ITerraformIterator } from 'cdktf';
import { TerraformStack, Token } from 'cdktf';
import type { Construct, IConstruct } from 'constructs';
import { OWNER_PATTERN } from '../model/limits';
import { oncePerObject, pushTo } from '../model/maps';
import { terminalText } from '../report/escape';
import type { SshConnection } from '../ssh-connection';
import type { Arguments } from './arguments';
import { managementOf } from './ssh-checks';
import { expressionOf } from './tokens';

const OWNER_FORM = 'lower-case letters, digits and "-" (at most 31, a letter first)';

export function parseOwner(host: Construct, args: Arguments, given: string | undefined): string {
  if (given !== undefined) {
    return args.text(given, 'owner', OWNER_PATTERN, OWNER_FORM);
  }
  const made = [TerraformStack.of(host).node.id, host.node.id]
    .join('-')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^[^a-z]+|-$/g, '');
  if (!OWNER_PATTERN.test(made)) {
    throw args.error(`owner "${made}", made of the ids of stack and construct, is not ${OWNER_FORM}. Set owner.`);
  }
  return made;
}

/** The hosts of an app, by their owners and machines. */
const claimsOf = oncePerObject((_: IConstruct) => new Map<string, Construct[]>());

/** Reports a second host with the same owner and machine: the two would remove each other's rules in turn. */
export function refuseSameOwner(
  host: Construct,
  owner: string,
  ssh: SshConnection,
  forEach?: ITerraformIterator,
): void {
  const claims = claimsOf(host.node.root);
  const { port = 22, bastion } = ssh;
  const address = managementOf(ssh).host ?? ssh.host;
  // Sites behind different bastions may have the same private addresses.
  const machine = [address, port, bastion?.host, bastion?.port, forEach?._getForEachExpression() as unknown];
  const claim = [owner, ...machine.map((value) => comparable(value, host))].join(' ');
  pushTo(claims, claim, host);
  host.node.addValidation({
    validate: () => {
      const first = claims.get(claim)?.find(isInTree);
      return first === undefined || first === host
        ? []
        : [
            terminalText(
              `owner "${owner}" already declares this machine in "${first.node.path}". Use one LinuxHost for both, or give this one another owner.`,
            ),
          ];
    },
  });
}

/** A program may remove a construct again. */
function isInTree({ node }: IConstruct): boolean {
  return node.scopes.every(
    (each) => each.node.scope === undefined || each.node.scope.node.tryFindChild(each.node.id) === each,
  );
}

/** A value as text that is the same for the same value: each use of an attribute makes a new token. */
function comparable(value: unknown, host: Construct): string {
  if (!Token.isUnresolved(value)) {
    return String(value);
  }
  const expression = expressionOf(value, host);
  // Another stack has other resources by the same names.
  return expression === '' ? String(value) : `${TerraformStack.of(host).node.path} ${expression}`;
}

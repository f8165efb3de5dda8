import { familyOf, overlaps } from '../model/family';
import type { Host, Problem } from '../model/host';
import { MAIN_TABLE_ID } from '../model/host';
import type { Rule } from '../model/rule';
import { MAIN_RULE_PRIORITY, matchesEverything } from '../model/rule';
import type { Value } from '../model/value';
import { isAny, isInside, isKnown } from '../model/value';

export function capturedManagement(host: Host): Problem[] {
  const address = host.management.host;
  return host.rules
    .filter(
      (rule) =>
        isOfFamily(rule, address) &&
        !leadsToMain(rule) &&
        captures(rule, address) &&
        !isSpared(rule, address, host.rules),
    )
    .map((rule) => ({
      path: rule.path,
      message:
        `matches the replies of this host's own SSH server${address ? ` (${address})` : ''}: this rule would redirect them. ` +
        `Narrow its source, or add an earlier rule for that address with the main table.`,
    }));
}

function isOfFamily(rule: Rule, address: string | undefined): boolean {
  return address === undefined || overlaps(rule.family, familyOf(address));
}

function leadsToMain(rule: Rule): boolean {
  const { action } = rule;
  return action.kind === 'lookup'
    ? action.tableId === MAIN_TABLE_ID
    : action.kind === 'goto' && action.priority === MAIN_RULE_PRIORITY;
}

/** Whether a rule matches packets that the machine itself sends from its management address. */
function captures(rule: Rule, address: string | undefined): boolean {
  const comesFrom = (source: Value): boolean =>
    isAny(source) || (address !== undefined && isKnown(source) && isInside(address, source.text));
  if (rule.invert) {
    // An inverted rule spares the address only if its one selector is a source that contains it.
    return !(rule.source && isSource(rule) && comesFrom(rule.source));
  }
  const onlyPlace = {
    ...rule,
    source: undefined,
    destination: rule.destination && isAny(rule.destination) ? undefined : rule.destination,
  };
  return rule.source ? !rule.inputInterface && comesFrom(rule.source) : matchesEverything(onlyPlace);
}

function isSource(rule: Rule): boolean {
  return matchesEverything({ ...rule, invert: undefined, source: undefined });
}

/** Whether an earlier rule sends the management address to the main table. */
function isSpared(rule: Rule, address: string | undefined, rules: readonly Rule[]): boolean {
  return rules.some(
    (other) =>
      other.priority < rule.priority &&
      overlaps(other.family, rule.family) &&
      leadsToMain(other) &&
      isSource(other) &&
      other.suppressPrefixLength === undefined &&
      captures(other, address),
  );
}

export function unpinnedHostKey(host: Host): Problem[] {
  const { hostKeyPinned, hostKey, bastion } = host.management;
  if (!hostKeyPinned && bastion) {
    return [
      {
        path: host.path,
        message:
          'ssh.hostKey is not set, so Terraform trusts any machine that answers. With a bastion, set it with Terraform 1.16 or later, ' +
          'or if a certificate authority signed the keys of both machines.',
      },
    ];
  }
  if (!hostKeyPinned) {
    return [
      {
        path: host.path,
        message:
          'ssh.hostKey is not set, so Terraform trusts any machine that answers. ' +
          'Set it to the output of: ssh-keyscan -t ecdsa HOST | cut -d " " -f 2-',
      },
    ];
  }
  if (hostKey !== undefined && !hostKey.startsWith('ecdsa-')) {
    return [
      {
        path: host.path,
        message: `ssh.hostKey is of type "${hostKey.split(' ')[0]}": Terraform asks for an ECDSA key first, and fails if the machine has one. Pin its ECDSA key.`,
      },
    ];
  }
  return [];
}

import type { Family } from '../model/family';
import { familyName, otherFamily, overlaps } from '../model/family';
import type { Host, Interface, Problem } from '../model/host';
import { MAIN_TABLE_ID } from '../model/host';
import { getOrInsertComputed } from '../model/maps';
import { networksBehind, networksOf } from '../model/networks';
import type { Action, Rule } from '../model/rule';
import { goesAnywhere, isRejecting } from '../model/rule';
import type { InterfaceAddress, Value } from '../model/value';
import { isAny, isInside, isKnown, isLinkLocal, networkOf } from '../model/value';

const WAYS =
  `Route it, too, or reject it: with rejectedClients of VpnEgress, ` +
  `or with a PolicyRule with RuleAction.unreachable() for that pool.`;

/**
 * Finds clients whose packets of one family are routed by source, while those of the other would leave through the main
 * default route. Interfaces with all their addresses tell the clients' networks. Without them, a table that only rules
 * of one family look up is suspicious.
 */
export function oneFamilyOnly(host: Host): Problem[] {
  const routed = host.rules
    .filter((rule) => routesFamily(rule, host))
    .map((rule) => ({ rule, tunnels: clientInterfacesOf(rule, host) }));
  return [...forgottenNetworks(host, routed), ...forgottenFamilies(host, routed)];
}

/** A rule that routes clients, and the interfaces of these clients. */
interface Routed {
  readonly rule: Rule;
  readonly tunnels: readonly Interface[];
}

/** Tells whether a rule routes packets of clients in another table than main; false if this is unknown. */
function routesFamily(rule: Rule, host: Host): boolean {
  const { source, inputInterface } = rule;
  return (
    isElsewhere(rule.action) &&
    rule.family !== 'auto' &&
    !rule.invert &&
    // A rule with a destination says nothing about the other family.
    goesAnywhere(rule) &&
    // These select packets of the machine itself.
    !rule.outputInterface &&
    !rule.uidRange &&
    inputInterface?.text !== 'lo' &&
    !(source && isOwnAddress(source, host)) &&
    [source, inputInterface].every((value) => !value || isKnown(value))
  );
}

function isOwnAddress(source: Value, host: Host): boolean {
  return source.text === host.management.host || networksOf(host.interfaces).hasAddress(source.text);
}

function isElsewhere(action: Action): boolean {
  return action.kind === 'lookup' && action.tableId !== MAIN_TABLE_ID;
}

function forgottenNetworks(host: Host, routed: readonly Routed[]): Problem[] {
  const problems = new Map<InterfaceAddress, Problem>();
  // The rules that cover a network, found once for all rules that route its clients.
  const careful = new Map<InterfaceAddress, Rule[]>();
  for (const { rule, tunnels } of routed) {
    for (const tunnel of tunnels.filter((candidate) => !candidate.incomplete)) {
      for (const address of tunnel.addresses) {
        if (address.family === rule.family || isLinkLocal(address.address) || problems.has(address)) {
          continue;
        }
        const others = getOrInsertComputed(careful, address, () =>
          host.rules.filter((other) => takesCareOf(other, address, tunnel)),
        );
        if (!others.some((other) => isAsWide(other, rule))) {
          problems.set(address, { path: rule.path, message: forgottenNetwork(tunnel, address) });
        }
      }
    }
  }
  return [...problems.values()];
}

function forgottenNetwork(tunnel: Interface, address: InterfaceAddress): string {
  const other = familyName(address.family);
  return (
    `routes ${familyName(otherFamily(address.family))} packets of clients behind "${tunnel.name}", but no rule routes or rejects ` +
    `their ${other} network ${networkOf(address)}: they would leave through the main default route. ${WAYS}`
  );
}

/** The interfaces of the clients whose packets a rule matches. */
function clientInterfacesOf({ source, inputInterface }: Rule, host: Host): Interface[] {
  if (inputInterface) {
    return host.interfaces.filter((candidate) => candidate.name === inputInterface.text);
  }
  const networks =
    source && !isAny(source)
      ? [...networksOf(host.interfaces).overlapping(source.text), ...networksBehind(source.text, host.interfaces)]
      : [];
  return [...new Set(networks.map(({ link }) => link))];
}

/** Tells whether a rule covers packets from a network, or may cover them. */
function takesCareOf(rule: Rule, address: InterfaceAddress, tunnel: Interface): boolean {
  const { source, inputInterface } = rule;
  return (
    overlaps(rule.family, address.family) &&
    ((isElsewhere(rule.action) && rule.suppressPrefixLength === undefined) || isRejecting(rule.action)) &&
    goesAnywhere(rule) &&
    (!inputInterface || !isKnown(inputInterface) || inputInterface.text === tunnel.name) &&
    !rule.invert &&
    (!source || !isKnown(source) || isAny(source) || touches(source, address))
  );
}

/** Tells whether a rule matches at least the packets of another one, apart from addresses and interfaces. */
function isAsWide(rule: Rule, like: Rule): boolean {
  const more = ({ tos, firewallMark, firewallMask, ipProtocol, sourcePorts, destinationPorts }: Rule): unknown[] => [
    tos,
    firewallMark,
    firewallMask,
    // ICMP has a different number in each family.
    ipProtocol === 58 ? 1 : ipProtocol,
    sourcePorts,
    destinationPorts,
  ];
  const wanted = more(like).map((value) => JSON.stringify(value));
  return (
    !rule.outputInterface &&
    !rule.uidRange &&
    more(rule).every((value, index) => value === undefined || JSON.stringify(value) === wanted[index])
  );
}

function forgottenFamilies(host: Host, routed: readonly Routed[]): Problem[] {
  const elsewhere = { 4: tablesLookedUp(host, 4), 6: tablesLookedUp(host, 6) };
  return host.tables.flatMap((table) => {
    const [unknown] = routed.filter(
      ({ rule, tunnels }) =>
        rule.action.kind === 'lookup' &&
        rule.action.tableId === table.id &&
        !tunnels.some((tunnel) => !tunnel.incomplete),
    );
    if (!unknown || unknown.rule.family === 'auto') {
      return [];
    }
    const { family } = unknown.rule;
    const other = otherFamily(family);
    const answered =
      elsewhere[other].has(table.id) ||
      // Each family may have a table of its own.
      [...elsewhere[other]].some((id) => !elsewhere[family].has(id)) ||
      host.rules.some((rule) => rejectsClients(rule, other));
    return answered
      ? []
      : [
          {
            path: table.path,
            message:
              `only ${familyName(family)} rules look up table ${table.id}: if the clients have ${familyName(other)}, too, it would leave through the ` +
              `main default route. ${WAYS} If they have none, declare their interface and its addresses in the host's interfaces, ` +
              `and add a network behind a client to networks of its tunnel.`,
          },
        ];
  });
}

/** The tables beside the main one that rules of a family look up. */
function tablesLookedUp(host: Host, family: Family): Set<number> {
  return new Set(
    host.rules.flatMap(({ action, family: own }) =>
      overlaps(own, family) && action.kind === 'lookup' && isElsewhere(action) ? [action.tableId] : [],
    ),
  );
}

function rejectsClients(rule: Rule, family: Family): boolean {
  return isRejecting(rule.action) && overlaps(rule.family, family) && goesAnywhere(rule);
}

/** Tells whether one of the two is inside the other. */
function touches(source: Value, address: InterfaceAddress): boolean {
  return isInside(address.address, source.text) || isInside(source.text, address.text);
}

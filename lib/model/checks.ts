import { foreignBand } from './bands';
import { familyName, overlaps } from './family';
import type { Guard } from './guard';
import { GUARD_OFFSET, guards, unguarded } from './guard';
import type { Host, Problem, Table } from './host';
import { MAIN_TABLE_ID, allRoutes, familiesOf } from './host';
import { getOrInsertComputed } from './maps';
import { sameMarks } from './marking';
import { oneFamilyOnly } from './parity';
import type { Hop, Route } from './route';
import { DEFAULT_ROUTE_LENGTH, routeMetric } from './route';
import type { Rule } from './rule';
import { MAIN_RULE_PRIORITY, MAX_PRIORITY, matchesEverything } from './rule';
import type { Value } from './value';
import { isAny, isInside, isKnown, isLinkLocal } from './value';

/** What is wrong across the constructs of one host: nothing of it is deployed. */
export function errors(host: Host): Problem[] {
  return [
    ...duplicateTables(host),
    ...duplicatePriorities(host),
    ...duplicateRoutes(host),
    ...tablesWithoutRule(host),
    ...tablesWithoutRoute(host),
    ...danglingGotos(host),
    ...unreachableNextHops(host),
    ...foreignSources(host),
    ...sharedHooks(host),
    ...sameMarks(host),
    ...oneFamilyOnly(host),
    ...adoptsNothing(host),
  ];
}

/** What is legal but likely to hurt. */
export function warnings(host: Host): Problem[] {
  return [
    ...capturedManagement(host),
    ...withoutGuard(host),
    ...jumpsToGuards(host),
    ...foreignBands(host),
    ...defaultRoutesInPieces(host),
    ...firewallMarks(host),
    ...unpinnedHostKey(host),
  ];
}

/** What was made by hand is known by the table that it is about. */
function adoptsNothing({ adopts, tables, path }: Host): Problem[] {
  return adopts === undefined || tables.length > 0
    ? []
    : [
        {
          path,
          message: 'adopt has no table to take over. Declare a SourceRoutingTable or VpnEgress, or leave adopt out.',
        },
      ];
}

function duplicateTables(host: Host): Problem[] {
  const problems: Problem[] = [];
  const ids = new Map<number, Table>();
  const names = new Map<string, Table>();
  for (const table of host.tables) {
    const sameId = ids.get(table.id);
    const sameName = table.name === undefined ? undefined : names.get(table.name);
    if (sameId) {
      problems.push({
        path: table.path,
        message: `tableId ${table.id} is already used by "${sameId.path}" on this host. Use one construct for both, or another id.`,
      });
    }
    if (sameName) {
      problems.push({
        path: table.path,
        message: `tableName "${table.name}" is already used by "${sameName.path}" on this host. Give each table its own name.`,
      });
    }
    ids.set(table.id, sameId ?? table);
    if (table.name !== undefined) {
      names.set(table.name, sameName ?? table);
    }
  }
  return problems;
}

function duplicatePriorities(host: Host): Problem[] {
  const problems: Problem[] = [];
  const seen = new Map<number, Rule[]>();
  for (const rule of host.rules) {
    const others = getOrInsertComputed(seen, rule.priority, (): Rule[] => []);
    const other = others.find((candidate) => overlaps(candidate.family, rule.family));
    if (other) {
      const family = rule.family === 'auto' ? other.family : rule.family;
      const name = family === 'auto' ? '' : `${familyName(family)} `;
      problems.push({
        path: rule.path,
        message:
          `priority ${rule.priority} is already used by the ${name}rule "${other.path}". ` +
          `The order of two rules at one priority is not defined: give each its own.`,
      });
    }
    others.push(rule);
  }
  return [...problems, ...guards(host).flatMap((guard) => takenPlace(guard, seen.get(guard.priority) ?? []))];
}

function takenPlace(guard: Guard, others: readonly Rule[]): Problem[] {
  const other = others.find((candidate) => overlaps(candidate.family, guard.family));
  return other
    ? [
        {
          path: guard.path,
          message:
            `its guard stands ${GUARD_OFFSET} behind it, but priority ${guard.priority} is already used by the rule "${other.path}". ` +
            `Move one of the two rules.`,
        },
      ]
    : [];
}

function duplicateRoutes(host: Host): Problem[] {
  const problems: Problem[] = [];
  const declared = new Set(host.routes);
  const seen = new Map<string, Route>();
  for (const route of allRoutes(host)) {
    const key = [route.family, route.tableId, route.destination.text, routeMetric(route)].join(' ');
    const other = seen.get(key);
    // Two tables of one id are told so once, not again by their unreachable defaults.
    if (other && route.family !== 'auto' && (declared.has(route) || declared.has(other))) {
      problems.push({
        path: route.path,
        message:
          `destination "${route.destination.text}" with metric ${routeMetric(route)} is already routed by "${other.path}" ` +
          `(${familyName(route.family)}, table ${route.tableId}). Give the second another metric, or use nextHops for several gateways.`,
      });
    }
    seen.set(key, other ?? route);
  }
  return problems;
}

function tablesWithoutRule(host: Host): Problem[] {
  return host.tables
    .filter((table) => familiesOf(table.id, host.rules).size === 0)
    .map((table) => ({
      path: table.path,
      message: `no rule looks up table ${table.id}, so its routes are never used. Add a PolicyRule with this table.`,
    }));
}

function tablesWithoutRoute(host: Host): Problem[] {
  return host.tables
    .filter((table) => ![...host.routes, ...host.hooks].some(({ tableId }) => tableId === table.id))
    .map((table) => ({
      path: table.path,
      message:
        `table ${table.id} has no route. Add one with addRoute(); ` +
        `to reject packets, use a PolicyRule with action RuleAction.unreachable() instead.`,
    }));
}

function danglingGotos(host: Host): Problem[] {
  return host.rules.flatMap((rule) => {
    const { action } = rule;
    if (action.kind !== 'goto') {
      return [];
    }
    // The kernel's own rules are always there.
    if (action.priority > MAX_PRIORITY) {
      return [];
    }
    const found = host.rules.some((other) => other.priority === action.priority && overlaps(other.family, rule.family));
    return found
      ? []
      : [
          {
            path: rule.path,
            message: `goes to priority ${action.priority}, where this host has no rule of its family. Declare that rule, or name the priority of one.`,
          },
        ];
  });
}

function unreachableNextHops(host: Host): Problem[] {
  return host.routes.flatMap((route) => route.hops.flatMap((hop) => nextHopProblem(host, route, hop)));
}

function nextHopProblem(host: Host, route: Route, hop: Hop): Problem[] {
  const { via, device } = hop;
  const known =
    device && isKnown(device) ? host.interfaces.find((candidate) => candidate.name === device.text) : undefined;
  if (device && isKnown(device) && !known && host.interfaces.length > 0) {
    const names = host.interfaces.map((candidate) => candidate.name).join(', ');
    return [
      {
        path: route.path,
        message: `device "${device.text}" is not among the interfaces declared for this host (${names}). Correct the name, or add it to the host's interfaces.`,
      },
    ];
  }
  if (!via || !isKnown(via) || hop.onLink) {
    return [];
  }
  if (isLinkLocal(via.text)) {
    return device ? [] : [{ path: route.path, message: `via "${via.text}" is link-local: name its device too.` }];
  }
  const own = host.interfaces.find(({ addresses }) => addresses.some(({ address }) => address === via.text));
  if (own) {
    return [
      {
        path: route.path,
        message: `via "${via.text}" is this host's own address on "${own.name}". Give the address of the next router.`,
      },
    ];
  }
  const candidates = known ? [known] : device ? [] : host.interfaces;
  const addresses = candidates.flatMap((candidate) => candidate.addresses).filter((a) => a.family === via.family);
  if (candidates.length === 0 || candidates.some((candidate) => candidate.incomplete)) {
    return [];
  }
  if (addresses.some((address) => isInside(via.text, address.text))) {
    return [];
  }
  const where = known ? `"${known.name}"` : 'any interface of this host';
  const have = addresses.map((address) => address.text).join(', ') || `no ${familyName(via.family ?? 4)} address`;
  return [
    {
      path: route.path,
      message:
        `via "${via.text}" is not on-link on ${where} (${have}), so the kernel would refuse the route. ` +
        `Correct the address, declare the missing one in the host's interfaces, or set onLink: true.`,
    },
  ];
}

function foreignSources(host: Host): Problem[] {
  if (host.interfaces.length === 0 || host.interfaces.some((candidate) => candidate.incomplete)) {
    return [];
  }
  const own = host.interfaces.flatMap((candidate) => candidate.addresses.map((address) => address.address));
  return host.routes
    .filter(
      (route) => route.preferredSource && isKnown(route.preferredSource) && !own.includes(route.preferredSource.text),
    )
    .map((route) => ({
      path: route.path,
      message:
        `preferredSource "${route.preferredSource?.text}" is not an address of this host (${own.join(', ')}). ` +
        `Use one of them, or declare it in the host's interfaces.`,
    }));
}

function sharedHooks(host: Host): Problem[] {
  const problems: Problem[] = [];
  host.hooks.forEach((hook, index) => {
    const other = host.hooks.slice(0, index).find((candidate) => candidate.file === hook.file);
    if (other && other.daemon !== hook.daemon) {
      problems.push({
        path: hook.path,
        message: `"${hook.file}" is already the up hook that "${other.path}" installs for another daemon. Give this one another path.`,
      });
    } else if (other && other.tableId === hook.tableId) {
      problems.push({
        path: hook.path,
        message: `"${hook.file}" already serves table ${hook.tableId} through "${other.path}". Remove one of the two.`,
      });
    }
  });
  return problems;
}

function capturedManagement(host: Host): Problem[] {
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
        `matches the replies of this host's own SSH server${address ? ` (${address})` : ''}: they would take the way of this rule. ` +
        `Narrow its source, or put a rule for that address with the main table in front of it.`,
    }));
}

function isOfFamily(rule: Rule, address: string | undefined): boolean {
  return address === undefined || overlaps(rule.family, address.includes(':') ? 6 : 4);
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
    // All but what it names: spared only if nothing but a source is named, and that has the address.
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
      other.source !== undefined &&
      isSource(other) &&
      other.suppressPrefixLength === undefined &&
      captures(other, address),
  );
}

function withoutGuard(host: Host): Problem[] {
  return unguarded(host).map((rule) => ({
    path: rule.path,
    message:
      `has no guard: that would stand ${GUARD_OFFSET} behind it, which is more than ${MAX_PRIORITY}. While somebody flushes the ${rule.action.kind === 'lookup' ? 'table' : 'rules'}, ` +
      `packets leave through the main default route. Use a priority up to ${MAX_PRIORITY - GUARD_OFFSET}, for example 10000 to 19999.`,
  }));
}

/** Packets that a goto carries over a rule must not end at the guard of that rule. */
function jumpsToGuards(host: Host): Problem[] {
  const all = guards(host);
  return host.rules.flatMap((rule) => {
    const { action } = rule;
    if (action.kind !== 'goto') {
      return [];
    }
    const target = action.priority;
    const between = all.filter(
      (guard) =>
        rule.priority < guard.behind.priority &&
        guard.behind.priority < target &&
        target <= guard.priority &&
        overlaps(guard.family, rule.family),
    );
    const [first] = between;
    const last = Math.max(...between.map((guard) => guard.priority));
    return first
      ? [
          {
            path: rule.path,
            message:
              `goes over the rule "${first.path}", but not over its guard at priority ${first.priority}: what no rule in between takes is rejected there. ` +
              `Go to a rule behind ${last}, or to ${MAIN_RULE_PRIORITY} for the main table.`,
          },
        ]
      : [];
  });
}

function foreignBands(host: Host): Problem[] {
  const warn = (path: string, what: string, priority: number, example: string): Problem[] => {
    const band = foreignBand(priority);
    const message = `${what} ${priority} is where ${band?.owner} put theirs (${band?.first} to ${band?.last}). Use another, for example ${example}.`;
    return band ? [{ path, message }] : [];
  };
  return [
    ...host.rules.flatMap((rule) => warn(rule.path, 'priority', rule.priority, '10000 to 19999')),
    ...guards(host).flatMap((guard) =>
      warn(guard.path, "its guard's priority", guard.priority, '10000 to 19899 for the rule'),
    ),
  ];
}

function defaultRoutesInPieces(host: Host): Problem[] {
  return host.rules
    .filter(({ action }) => action.kind === 'lookup' && action.tableId === MAIN_TABLE_ID)
    .filter(({ suppressPrefixLength = Infinity }) => suppressPrefixLength < DEFAULT_ROUTE_LENGTH)
    .map(({ path, suppressPrefixLength }) => ({
      path,
      message:
        `suppressPrefixLength ${suppressPrefixLength} does not leave out a default route in pieces, such as the 0.0.0.0/1 and 128.0.0.0/1 ` +
        `of OpenVPN, or 2000::/3: packets would leave by it. Set it to ${DEFAULT_ROUTE_LENGTH}.`,
    }));
}

function firewallMarks(host: Host): Problem[] {
  return (
    host.rules
      // An error gets no answer.
      .filter(
        ({ firewallMark }) => firewallMark !== undefined && !host.markings.some(({ mark }) => mark === firewallMark),
      )
      .filter(({ family }) => family !== 6)
      .map((rule) => ({
        path: rule.path,
        message:
          `matches firewallMark: with rp_filter=1 on the egress interface replies are dropped unless the host has ` +
          `net.ipv4.conf.all.src_valid_mark=1. A rule by source or inputInterface needs neither.`,
      }))
  );
}

function unpinnedHostKey(host: Host): Problem[] {
  const { hostKeyPinned, hostKey, bastion } = host.management;
  if (!hostKeyPinned && bastion) {
    return [
      {
        path: host.path,
        message:
          'ssh.hostKey is not set, so Terraform trusts any machine that answers. With a bastion it can be set from Terraform 1.16 on, ' +
          'or where a certificate authority has signed the keys of both machines.',
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
        message: `ssh.hostKey is of type "${hostKey.split(' ')[0]}": Terraform asks for an ECDSA key first and fails if the machine has one. Pin its ECDSA key.`,
      },
    ];
  }
  return [];
}

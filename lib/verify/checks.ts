import { foreignBand } from './priority-bands';
import { overlaps } from '../model/family';
import { poolsWithoutTunnel } from '../model/forwarding';
import { GUARD_OFFSET, closed, guards, throwsOf, unguarded } from '../model/guard';
import type { Host, Problem } from '../model/host';
import { MAIN_TABLE_ID, familiesOf } from '../model/host';
import { sameMarks } from '../model/marking';
import { oneFamilyOnly } from './family-parity';
import { DEFAULT_ROUTE_LENGTH } from '../model/route';
import { MAIN_RULE_PRIORITY, MAX_PRIORITY } from '../model/rule';
import { isEverywhere, isKnown } from '../model/value';
import { duplicateTables, duplicatePriorities, duplicateRoutes } from './duplicates';
import { unreachableNextHops, foreignSources } from './next-hops';
import { capturedManagement, unpinnedHostKey } from './management-path';

/** Errors across the constructs of one host. With an error, nothing is deployed. */
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
    ...poolsWithoutTunnel(host),
  ];
}

/** Warnings: legal, but likely to hurt. */
export function warnings(host: Host): Problem[] {
  return [
    ...capturedManagement(host),
    ...withoutGuard(host),
    ...throwsPastGuards(host),
    ...jumpsToGuards(host),
    ...foreignBands(host),
    ...defaultRoutesInPieces(host),
    ...firewallMarks(host),
    ...unpinnedHostKey(host),
  ];
}

/** A set-up made by hand is found by its table, so adopt needs a declared table. */
function adoptsNothing({ adopts, tables, path }: Host): Problem[] {
  return adopts === undefined || tables.length > 0
    ? []
    : [
        {
          path,
          message: 'adopt has no table to take over. Declare a SourceRoutingTable or VpnEgress, or leave out adopt.',
        },
      ];
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
        `table ${table.id} has no route. Add one with addRoute(). ` +
        `To reject packets, use a PolicyRule with action RuleAction.unreachable() instead.`,
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
            message: `goes to priority ${action.priority}, where this host has no rule of its family. Declare that rule, or give the priority of an existing one.`,
          },
        ];
  });
}

function sharedHooks(host: Host): Problem[] {
  const problems: Problem[] = [];
  host.hooks.forEach((hook, index) => {
    const other = host.hooks.slice(0, index).find((candidate) => candidate.file === hook.file);
    if (other && other.daemon !== hook.daemon) {
      problems.push({
        path: hook.path,
        message: `"${hook.file}" is already the up hook of another daemon, installed by "${other.path}". Give this one another path.`,
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

function withoutGuard(host: Host): Problem[] {
  return unguarded(host).map((rule) => ({
    path: rule.path,
    message:
      `has no guard, since priority + ${GUARD_OFFSET} is more than ${MAX_PRIORITY}. When somebody flushes the ${rule.action.kind === 'lookup' ? 'table' : 'rules'}, ` +
      `packets leave through the main default route. Use a priority up to ${MAX_PRIORITY - GUARD_OFFSET}, for example 10000 to 19999.`,
  }));
}

/** One route of type "throw" takes the guards of all rules that look up its table. */
function throwsPastGuards(host: Host): Problem[] {
  const routes = new Set(closed(host).flatMap((rule) => throwsOf(host, rule)));
  return [...routes].map(({ path, tableId, destination }) => {
    const where = isKnown(destination) ? destination.text : 'a destination known at apply only';
    return {
      path,
      message:
        `lets packets to ${where} go on to later rules (routeType "throw"), so the rules that look up table ${tableId} have no guards, which would reject these packets, too. ` +
        (isEverywhere(destination)
          ? `When somebody flushes the table, packets leave through the main default route. Leave this route out, or set failClosed: false if that is meant.`
          : `When somebody flushes the table, only the kill switch keeps packets to other destinations off the main default route. ` +
            `Use a PolicyRule for that destination in front of these rules instead, with SourceRoutingTable.main(host).`),
    };
  });
}

/** Packets that skip a rule by a goto must not reach the guard of that rule. */
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
              `skips the rule "${first.path}", but not its guard at priority ${first.priority}, which rejects what no rule in between matches. ` +
              `Go to a priority above ${last}, or to ${MAIN_RULE_PRIORITY} for the main table.`,
          },
        ]
      : [];
  });
}

function foreignBands(host: Host): Problem[] {
  const warn = (path: string, what: string, priority: number, example: string): Problem[] => {
    const band = foreignBand(priority);
    const message = `${what} ${priority} is in the range of ${band?.owner} (${band?.first} to ${band?.last}). Use another, for example ${example}.`;
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
        `suppressPrefixLength ${suppressPrefixLength} does not ignore a default route in parts, such as the 0.0.0.0/1 and 128.0.0.0/1 ` +
        `of OpenVPN, or 2000::/3. Packets would leave by it. Set it to ${DEFAULT_ROUTE_LENGTH}.`,
    }));
}

function firewallMarks(host: Host): Problem[] {
  return (
    host.rules
      // ICMP errors get no reply.
      .filter(
        ({ firewallMark }) => firewallMark !== undefined && !host.markings.some(({ mark }) => mark === firewallMark),
      )
      .filter(({ family }) => family !== 6)
      .map((rule) => ({
        path: rule.path,
        message:
          `matches firewallMark. With rp_filter=1 on the egress interface, replies are dropped unless the host has ` +
          `net.ipv4.conf.all.src_valid_mark=1. Set it, or match source or inputInterface instead.`,
      }))
  );
}

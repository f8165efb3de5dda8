import { familyName, overlaps } from '../model/family';
import type { Guard } from '../model/guard';
import { GUARD_OFFSET, guards } from '../model/guard';
import type { Host, Problem, Table } from '../model/host';
import { allRoutes } from '../model/host';
import { getOrInsertComputed } from '../model/maps';
import type { Route } from '../model/route';
import { routeMetric } from '../model/route';
import type { Rule } from '../model/rule';

export function duplicateTables(host: Host): Problem[] {
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

export function duplicatePriorities(host: Host): Problem[] {
  const problems: Problem[] = [];
  const seen = new Map<number, Rule[]>();
  for (const rule of host.rules) {
    const others = getOrInsertComputed(seen, rule.priority, (): Rule[] => []);
    const other = others.find((candidate) => overlaps(candidate.family, rule.family));
    if (other) {
      const name = other.family === 'auto' ? '' : `${familyName(other.family)} `;
      problems.push({
        path: rule.path,
        message:
          `priority ${rule.priority} is already used by the ${name}rule "${other.path}". ` +
          `The order of two rules with one priority is undefined. Give each its own.`,
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
            `its guard needs priority ${guard.priority} (priority + ${GUARD_OFFSET}), which is already used by the rule "${other.path}". ` +
            `Move one of the two rules.`,
        },
      ]
    : [];
}

export function duplicateRoutes(host: Host): Problem[] {
  const problems: Problem[] = [];
  const declared = new Set(host.routes);
  const seen = new Map<string, Route>();
  for (const route of allRoutes(host)) {
    const key = [route.family, route.tableId, route.destination.text, routeMetric(route)].join(' ');
    const other = seen.get(key);
    // Two tables with one id are reported once, not again for their unreachable default routes.
    if (other && route.family !== 'auto' && (declared.has(route) || declared.has(other))) {
      problems.push({
        path: route.path,
        message:
          `destination "${route.destination.text}" with metric ${routeMetric(route)} is already routed by "${other.path}" ` +
          `(${familyName(route.family)}, table ${route.tableId}). Give the second another metric, or ${severalGateways(host, [route, other])}`,
      });
    }
    seen.set(key, other ?? route);
  }
  return problems;
}

/** The default routes of a `VpnEgress` are its own, so that nextHops would not help. */
function severalGateways({ markings }: Host, routes: readonly Route[]): string {
  const isOfEgress = markings.some(({ path: egress }) =>
    routes.some(({ path }) => /^(gateway-[0-9]+|default-ipv[46])$/.test(path.replace(`${egress}/table/`, ''))),
  );
  return isOfEgress
    ? 'for several gateways (ECMP), declare a SourceRoutingTable that has a route with nextHops, and a PolicyRule for each pool, instead of the VpnEgress, which has one gateway for each family.'
    : 'use nextHops for several gateways.';
}

import type { Host, Problem } from '../model/host';
import type { Route } from '../model/route';
import type { Rule } from '../model/rule';
import { isInside, isKnown } from '../model/value';

/** Finds the interface that brings up a rule or route: network managers attach each to one. */
export class Devices {
  private readonly own = new Map<Route, string | undefined>();
  private readonly ofTable = new Map<number, string | undefined>();
  private readonly fallback?: string;

  /**
   * @param host - whose rules and routes
   * @param fallback - brings up what has no interface of its own; without it, the one of all routes, if there is one
   */
  public constructor(
    private readonly host: Host,
    fallback: string | undefined,
  ) {
    const byTable = new Map<number, Set<string>>();
    for (const route of host.routes) {
      const device = interfaceOfRoute(route, host);
      this.own.set(route, device);
      byTable.set(
        route.tableId,
        new Set([...(byTable.get(route.tableId) ?? []), ...(device === undefined ? [] : [device])]),
      );
    }
    byTable.forEach((devices, tableId) => this.ofTable.set(tableId, only(devices)));
    this.fallback = fallback ?? only([...byTable.values()].flatMap((devices) => [...devices]));
  }

  /** A rule comes up with the interface of its table's routes. */
  public ofRule({ action }: Rule): string | undefined {
    return (action.kind === 'lookup' ? this.ofTable.get(action.tableId) : undefined) ?? this.fallback;
  }

  public ofRoute(route: Route): string | undefined {
    return this.own.get(route) ?? this.ofTable.get(route.tableId) ?? this.fallback;
  }

  /** All interfaces that bring up rules or routes. */
  public all(): string[] {
    const { rules, routes } = this.host;
    const devices = [...rules.map((rule) => this.ofRule(rule)), ...routes.map((route) => this.ofRoute(route))];
    return [...new Set(devices.flatMap((device) => device ?? []))];
  }

  public rulesOf(device: string): Rule[] {
    return this.host.rules.filter((rule) => this.ofRule(rule) === device);
  }

  public routesOf(device: string): Route[] {
    return this.host.routes.filter((route) => this.ofRoute(route) === device);
  }

  /** Errors for rules and routes without a known interface. */
  public problems(call: string): Problem[] {
    const fix = `Give ${call} a device, or use Persistence.service().`;
    const rules = this.host.rules
      .filter((rule) => this.ofRule(rule) === undefined)
      .map((rule) => ({
        path: rule.path,
        message: `${call} cannot tell which interface brings up the rule at priority ${rule.priority}. ${fix}`,
      }));
    const routes = this.host.routes
      .filter((route) => this.ofRoute(route) === undefined)
      .map((route) => ({
        path: route.path,
        message: `${call} cannot tell which interface brings up the route to "${route.destination.text}". ${fix}`,
      }));
    return [...rules, ...routes];
  }
}

/** The interface that a route names, or on whose network its next hop is. */
function interfaceOfRoute(route: Route, host: Host): string | undefined {
  const named = route.hops.map((hop) => hop.device).find((device) => device && isKnown(device));
  if (named) {
    return named.text;
  }
  const via = route.hops.map((hop) => hop.via).find((address) => address && isKnown(address));
  return via && host.interfaces.find((i) => i.addresses.some((address) => isInside(via.text, address.text)))?.name;
}

/** The common value of all items; undefined if they differ. */
export function only<T>(items: Iterable<T>): T | undefined {
  const distinct = [...new Set(items)];
  return distinct.length === 1 ? distinct[0] : undefined;
}

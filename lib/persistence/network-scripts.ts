import type { FamilyOrAuto } from '../model/family';
import { KERNEL_PROTOCOL, gates, guards } from '../model/guard';
import type { Host, Problem } from '../model/host';
import { allRoutes } from '../model/host';
import { ROUTING_PROTOCOL } from '../model/protocol';
import type { Route } from '../model/route';
import { routeMetric, routeWords } from '../model/route';
import type { Rule, Word } from '../model/rule';
import { option, ruleWords } from '../model/rule';
import type { Value } from '../model/value';
import { isInside, isKnown } from '../model/value';
import type { HostFile, PersistenceRenderer, Rendered } from './persistence';

const DIRECTORY = '/etc/sysconfig/network-scripts';

/**
 * The `rule-`, `rule6-`, `route-` and `route6-` files of the network scripts: one line of
 * arguments for `ip rule add` or `ip route add` each, brought up with their interface.
 */
export class NetworkScriptsRenderer implements PersistenceRenderer {
  public readonly name = 'network-scripts';
  private readonly device?: string;

  public constructor(device?: string) {
    this.device = device;
  }

  public render(host: Host): Rendered {
    const devices = new Devices(host, this.device);
    const files = new Map<string, Word[][]>();
    const add = (kind: string, family: FamilyOrAuto, device: string | undefined, words: Word[]): void => {
      if (family === 'auto' || device === undefined) {
        // Said by `problems`: nothing is deployed.
        return;
      }
      const path = `${DIRECTORY}/${kind}${family === 6 ? '6' : ''}-${device}`;
      const lines = files.get(path) ?? [];
      lines.push(words);
      files.set(path, lines);
    };
    const addRule = (rule: Rule, device: string | undefined, protocol: number): void =>
      add('rule', rule.family, device, [...ruleWords(rule), ...placed(rule.priority, protocol)]);
    for (const rule of host.rules) {
      addRule(rule, devices.ofRule(rule), ROUTING_PROTOCOL);
    }
    for (const guard of guards(host)) {
      addRule(guard, devices.ofRule(guard.behind), KERNEL_PROTOCOL);
    }
    const opened = new Set<string>();
    const shut = gates(host).map((gate) => ({ ...gate, device: devices.ofRule(gate.guard.behind) }));
    const single = only(shut.flatMap(({ device }) => device ?? [])) !== undefined;
    for (const { guard, selectors, device } of shut) {
      // One for each interface, or whichever goes down would close the gates of the others.
      if (device !== undefined && !opened.has(`${guard.family} ${device}`)) {
        opened.add(`${guard.family} ${device}`);
        add('rule', guard.family, device, [...(single ? [] : ['iif', device]), 'nop', ...placed(1, ROUTING_PROTOCOL)]);
      }
      add('rule', guard.family, device, [...selectors, 'goto', '1', ...placed(0, KERNEL_PROTOCOL)]);
      add('rule', guard.family, device, [...selectors, 'unreachable', ...placed(0, KERNEL_PROTOCOL)]);
    }
    for (const route of allRoutes(host)) {
      add('route', route.family, devices.ofRoute(route), routeLine(route));
    }
    return {
      files: [...files].map(([path, lines]): HostFile => ({ path, mode: '0644', lines })),
      units: [],
      requirements: [{ kind: 'directory', path: DIRECTORY }],
    };
  }

  public problems(host: Host): Problem[] {
    const devices = new Devices(host, this.device);
    const fix = 'Give Persistence.networkScripts() the device, or use Persistence.service().';
    const unknownFamily = [...host.rules, ...host.routes]
      .filter((item) => item.family === 'auto')
      .map((item) => ({
        path: item.path,
        message:
          'Persistence.networkScripts() keeps IPv4 and IPv6 in different files and cannot tell the family of a value that is known at apply only. ' +
          'Set families on the rule or family on the route, or use Persistence.service().',
      }));
    const rules = host.rules
      .filter((rule) => devices.ofRule(rule) === undefined)
      .map((rule) => ({
        path: rule.path,
        message: `Persistence.networkScripts() cannot tell which interface brings up the rule at priority ${rule.priority}. ${fix}`,
      }));
    const routes = host.routes
      .filter((route) => devices.ofRoute(route) === undefined)
      .map((route) => ({
        path: route.path,
        message: `Persistence.networkScripts() cannot tell which interface brings up the route to "${route.destination.text}". ${fix}`,
      }));
    return [...unknownFamily, ...rules, ...routes];
  }
}

/** Which interface brings up a rule or route. */
class Devices {
  private readonly own = new Map<Route, string | undefined>();
  private readonly ofTable = new Map<number, string | undefined>();
  private readonly fallback?: string;

  public constructor(host: Host, fallback: string | undefined) {
    const byTable = new Map<number, Set<string>>();
    for (const route of host.routes) {
      const device = deviceOf(route, host);
      this.own.set(route, device);
      byTable.set(
        route.tableId,
        new Set([...(byTable.get(route.tableId) ?? []), ...(device === undefined ? [] : [device])]),
      );
    }
    byTable.forEach((devices, tableId) => this.ofTable.set(tableId, only(devices)));
    this.fallback = fallback ?? only([...byTable.values()].flatMap((devices) => [...devices]));
  }

  /** A rule comes up with the interface of the routes that it leads to. */
  public ofRule({ action }: Rule): string | undefined {
    return (action.kind === 'lookup' ? this.ofTable.get(action.tableId) : undefined) ?? this.fallback;
  }

  public ofRoute(route: Route): string | undefined {
    return this.own.get(route) ?? this.ofTable.get(route.tableId) ?? this.fallback;
  }
}

function placed(priority: number, protocol: number): Word[] {
  return [...option('priority', priority), ...option('protocol', protocol)];
}

function routeLine(route: Route): Word[] {
  // `ip route` takes the type in front of the destination.
  const [keyword, type, ...rest] = routeWords(route);
  const words =
    keyword === 'type' && type !== undefined
      ? [type, destination(route), ...rest]
      : [destination(route), ...routeWords(route)];
  // Next hops must come last.
  const cut = words.indexOf('nexthop');
  const [front, hops] = cut < 0 ? [words, []] : [words.slice(0, cut), words.slice(cut)];
  const metric = routeMetric(route);
  return [
    ...front,
    ...option('table', route.tableId),
    ...(metric === 0 ? [] : option('metric', metric)),
    ...option('proto', ROUTING_PROTOCOL),
    ...hops,
  ];
}

function destination(route: Route): Value | string {
  return isKnown(route.destination) ? route.destination.text : route.destination;
}

/** The interface that a route names, or on whose network its next hop is. */
function deviceOf(route: Route, host: Host): string | undefined {
  const named = route.hops.map((hop) => hop.device).find((device) => device && isKnown(device));
  if (named) {
    return named.text;
  }
  const via = route.hops.map((hop) => hop.via).find((address) => address && isKnown(address));
  return via && host.interfaces.find((i) => i.addresses.some((address) => isInside(via.text, address.text)))?.name;
}

function only(devices: Iterable<string>): string | undefined {
  const distinct = [...new Set(devices)];
  return distinct.length === 1 ? distinct[0] : undefined;
}

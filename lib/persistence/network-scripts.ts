import type { Family } from '../model/family';
import { BOTH_FAMILIES } from '../model/family';
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
    const files = new Map<string, Word[][]>();
    const add = (kind: string, family: Family, device: string, words: Word[]): void => {
      const path = `${DIRECTORY}/${kind}${family === 6 ? '6' : ''}-${device}`;
      files.set(path, [...(files.get(path) ?? []), words]);
    };
    for (const family of BOTH_FAMILIES) {
      for (const rule of host.rules.filter((candidate) => candidate.family === family)) {
        add('rule', family, this.ruleDevice(rule, host) ?? '', [
          ...ruleWords(rule),
          ...option('priority', rule.priority),
          ...option('protocol', ROUTING_PROTOCOL),
        ]);
      }
      for (const route of allRoutes(host).filter((candidate) => candidate.family === family)) {
        add('route', family, this.routeDevice(route, host) ?? '', routeLine(route));
      }
    }
    return {
      files: [...files].map(([path, lines]): HostFile => ({ path, mode: '0644', lines })),
      units: [],
      requirements: [{ kind: 'directory', path: DIRECTORY }],
    };
  }

  public problems(host: Host): Problem[] {
    const fix = 'Give Persistence.networkScripts() the device, or use Persistence.service().';
    const unknownFamily = [...host.rules, ...host.routes]
      .filter((item) => item.family === 'auto')
      .map((item) => ({
        path: item.path,
        message:
          'Persistence.networkScripts() keeps IPv4 and IPv6 in different files and cannot tell the family of a value that is known at apply only. ' +
          'Set families on the rule, or use Persistence.service().',
      }));
    const rules = host.rules
      .filter((rule) => this.ruleDevice(rule, host) === undefined)
      .map((rule) => ({
        path: rule.path,
        message: `Persistence.networkScripts() cannot tell which interface brings up the rule at priority ${rule.priority}. ${fix}`,
      }));
    const routes = host.routes
      .filter((route) => this.routeDevice(route, host) === undefined)
      .map((route) => ({
        path: route.path,
        message: `Persistence.networkScripts() cannot tell which interface brings up the route to "${route.destination.text}". ${fix}`,
      }));
    return [...unknownFamily, ...rules, ...routes];
  }

  /** A rule comes up with the interface of the routes that it leads to. */
  private ruleDevice(rule: Rule, host: Host): string | undefined {
    const { action } = rule;
    const own =
      action.kind === 'lookup'
        ? only(host.routes.filter((route) => route.tableId === action.tableId).map((route) => deviceOf(route, host)))
        : undefined;
    return own ?? this.fallback(host);
  }

  private routeDevice(route: Route, host: Host): string | undefined {
    const siblings = host.routes.filter((candidate) => candidate.tableId === route.tableId);
    return deviceOf(route, host) ?? only(siblings.map((sibling) => deviceOf(sibling, host))) ?? this.fallback(host);
  }

  private fallback(host: Host): string | undefined {
    return this.device ?? only(host.routes.map((route) => deviceOf(route, host)));
  }
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

function only(devices: ReadonlyArray<string | undefined>): string | undefined {
  const distinct = [...new Set(devices.filter((device) => device !== undefined))];
  return distinct.length === 1 ? distinct[0] : undefined;
}

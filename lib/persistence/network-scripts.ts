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
import { isKnown } from '../model/value';
import type { Capabilities } from './capabilities';
import { UNKNOWN_FAMILY } from './capabilities';
import { Devices, only } from './devices';
import type { HostFile, PersistenceRenderer, Rendered } from './persistence';
import { spaced } from './persistence';
import { watchUnit } from './service';

const FAMILIES = 'IPv4 and IPv6 are in different files';
const DIRECTORY = '/etc/sysconfig/network-scripts';

/**
 * The `rule-`, `rule6-`, `route-` and `route6-` files of the network scripts: one line of
 * arguments for `ip rule add` or `ip route add` each, brought up with their interface.
 */
export class NetworkScriptsRenderer implements PersistenceRenderer {
  public readonly name = 'network-scripts';
  public readonly call = 'Persistence.networkScripts()';
  public readonly tag = 'own';
  public readonly capabilities: Capabilities = {
    rules: { [UNKNOWN_FAMILY]: { refused: FAMILIES } },
    routes: { [UNKNOWN_FAMILY]: { refused: FAMILIES } },
  };
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
        add('rule', guard.family, device, [...(single ? [] : ['iif', device]), 'nop', ...placed(1, KERNEL_PROTOCOL)]);
      }
      add('rule', guard.family, device, [...selectors, 'goto', '1', ...placed(0, KERNEL_PROTOCOL)]);
      add('rule', guard.family, device, [...selectors, 'unreachable', ...placed(0, KERNEL_PROTOCOL)]);
    }
    for (const route of allRoutes(host)) {
      add('route', route.family, devices.ofRoute(route), routeLine(route));
    }
    const watch = watchUnit(host.owner);
    return {
      devices: devices.all(),
      files: [
        ...[...files].map(([path, lines]): HostFile => ({ path, mode: '0644', lines: lines.map(spaced) })),
        { ...watch.file, systemdOnly: true },
      ],
      units: [{ name: watch.name, systemdOnly: true }],
      requirements: [{ kind: 'directory', path: DIRECTORY }],
    };
  }

  public problems(host: Host): Problem[] {
    return new Devices(host, this.device).problems(this.call);
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

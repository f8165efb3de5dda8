import type { Host } from '../model/host';
import type { Route } from '../model/route';
import { defaultMetric, routeMetric } from '../model/route';
import type { Rule, Word } from '../model/rule';
import type { Value } from '../model/value';
import type { Capabilities, RouteFeature, RuleFeature, Support } from './capabilities';
import { ROUTE_FEATURES, RULE_FEATURES, routeFeatures, ruleFeatures } from './capabilities';
import type { Devices } from './devices';
import { NETWORKD_CAPABILITIES, explicitDestination, dropIn } from './networkd';
import type { HostFile } from './persistence';
import { NetworkManagerRenderer } from './network-manager';
import { HEADER } from './persistence';
import type { Written } from './link-renderer';
import { LinkRenderer } from './link-renderer';

/** The keys of netplan's YAML since 0.103. With an unknown key, netplan reads none of its files. */
const RULES_IN_YAML: readonly RuleFeature[] = ['from', 'to', 'tos', 'fwmark', 'lookup'];
const ROUTES_IN_YAML: readonly RouteFeature[] = [
  'via',
  'dev',
  'src',
  'mtu',
  'onlink',
  'metric',
  'blackhole',
  'unreachable',
  'prohibit',
];
/** For a larger number, netplan silently writes a negative one. */
const MAX_IN_YAML = 2147483647;

/** Measured with netplan 0.106. What its YAML cannot say, systemd-networkd is told in a drop-in. */
export const NETPLAN_CAPABILITIES: Capabilities = {
  rules: besides(RULE_FEATURES, RULES_IN_YAML, NETWORKD_CAPABILITIES.rules),
  routes: besides(ROUTE_FEATURES, ROUTES_IN_YAML, NETWORKD_CAPABILITIES.routes),
};

/**
 * netplan with systemd-networkd: a YAML file for each interface, and a drop-in beside the file that netplan makes of
 * it.
 */
export class NetplanRenderer extends LinkRenderer {
  public readonly name = 'netplan';
  public readonly call = 'Persistence.netplan()';
  public readonly routeProtocol = 'static';
  public readonly capabilities = NETPLAN_CAPABILITIES;

  protected write(host: Host, devices: Devices): Written {
    const links = devices.all().map((device) => ({
      device,
      rules: devices.rulesOf(device),
      routes: devices.routesOf(device),
    }));
    return {
      files: links.flatMap(({ device, rules, routes }) =>
        yamlFile(host.owner, device, rules.filter(isRuleInYaml), routes.filter(isRouteInYaml)),
      ),
      dropIns: links.flatMap(({ device, rules, routes }) =>
        dropIn(
          host.owner,
          device,
          rules.filter((rule) => !isRuleInYaml(rule)),
          routes.filter((route) => !isRouteInYaml(route)),
        ),
      ),
    };
  }

  protected override versionOf(): string {
    return 'networkd';
  }
}

/**
 * netplan with NetworkManager: the keys of its profile, which the agent writes into a YAML file under `passthrough`.
 * With this renderer, netplan silently drops `routing-policy`.
 */
export class NetplanNetworkManagerRenderer extends NetworkManagerRenderer {
  public override readonly name: string = 'netplan-network-manager';
  public override readonly call: string = 'Persistence.netplan()';
}

function besides<F extends string>(
  features: readonly F[],
  inYaml: readonly F[],
  networkd: Readonly<Partial<Record<F, Support>>>,
): Partial<Record<F, Support>> {
  const supports: Partial<Record<F, Support>> = {};
  for (const feature of features.filter((each) => !inYaml.includes(each))) {
    const support: Support = networkd[feature] ?? true;
    supports[feature] =
      support !== true && 'refused' in support
        ? support
        : { ...(support === true ? {} : support), note: 'in a drop-in of systemd-networkd' };
  }
  return supports;
}

function isRuleInYaml(rule: Rule): boolean {
  const { action, firewallMark = 0 } = rule;
  return (
    ruleFeatures(rule).every((feature) => RULES_IN_YAML.includes(feature)) &&
    // netplan refuses a rule without both.
    (rule.source !== undefined || rule.destination !== undefined) &&
    action.kind === 'lookup' &&
    Math.max(action.tableId, firewallMark) <= MAX_IN_YAML
  );
}

function isRouteInYaml(route: Route): boolean {
  return (
    routeFeatures(route).every((feature) => ROUTES_IN_YAML.includes(feature)) &&
    // Without a gateway netplan chooses a scope of its own.
    (route.type !== undefined || route.hops[0]?.via !== undefined) &&
    route.tableId <= MAX_IN_YAML
  );
}

/**
 * The file for one interface, as if it were an Ethernet that netplan calls by its name: the agent puts
 * in what it is and how it is called.
 */
function yamlFile(owner: string, device: string, rules: readonly Rule[], routes: readonly Route[]): HostFile[] {
  const lines = [...list('routes', routes.map(routeItem)), ...list('routing-policy', rules.map(ruleItem))];
  return lines.length === 0
    ? []
    : [
        {
          path: `/etc/netplan/90-source-routing-${owner}-${device}.yaml`,
          mode: '0600',
          lines: [HEADER, ['network:'], ['  version: 2'], ['  ethernets:'], [`    "${device}":`], ...lines],
        },
      ];
}

type Item = ReadonlyArray<readonly [key: string, value: Value | string | number | boolean | undefined]>;

function list(name: string, items: readonly Item[]): Word[][] {
  return items.length === 0 ? [] : [[`      ${name}:`], ...items.flatMap(itemLines)];
}

function itemLines(item: Item): Word[][] {
  return item
    .filter(([, value]) => value !== undefined && value !== false)
    .map(([key, value], index) => [
      `        ${index === 0 ? '-' : ' '} ${key}: `,
      // An IPv6 address without quotes would be something else.
      ...(typeof value === 'object' ? ['"', value, '"'] : [JSON.stringify(value)]),
    ]);
}

function ruleItem({ source, destination: to, tos, firewallMark, action, priority }: Rule): Item {
  return [
    ['from', source],
    ['to', to],
    ['type-of-service', tos],
    ['mark', firewallMark],
    ['table', action.kind === 'lookup' ? action.tableId : undefined],
    ['priority', priority],
  ];
}

function routeItem(route: Route): Item {
  const [hop] = route.hops;
  const metric = routeMetric(route);
  return [
    ['to', explicitDestination(route)],
    ['type', route.type],
    ['via', hop?.via],
    ['on-link', hop?.onLink],
    ['from', route.preferredSource],
    ['table', route.tableId],
    ['metric', metric === defaultMetric(route.family) ? undefined : metric],
    ['mtu', route.mtu],
  ];
}

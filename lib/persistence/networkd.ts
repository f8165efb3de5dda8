import type { Family } from '../model/family';
import type { Host, Problem } from '../model/host';
import type { Hop, Route } from '../model/route';
import { routeMetric, defaultMetric } from '../model/route';
import type { Range, Rule, Word } from '../model/rule';
import type { Value } from '../model/value';
import { isKnown } from '../model/value';
import type { Capabilities } from './capabilities';
import { versionNeeded } from './capabilities';
import { Devices } from './devices';
import type { DropIn, PersistenceRenderer, Rendered } from './persistence';
import { watchUnit } from './service';

const since = (version: string, key: string): { since: string; key: string } => ({ since: version, key });
const FAMILY = 'Family= must be literal where neither From= nor To= says it';

/**
 * A drop-in beside the `.network` file of each interface. Measured with systemd 252; the versions are those
 * of its man page.
 *
 * @see https://www.freedesktop.org/software/systemd/man/systemd.network.html
 */
export const NETWORKD_CAPABILITIES: Capabilities = {
  rules: {
    'not': since('240', 'InvertRule='),
    'fwmark 0/mask': { refused: 'systemd-networkd loses the mask of a mark 0 and matches every packet' },
    'mark, iif or oif without from and to': since('243', 'Family='),
    'iif': since('236', 'IncomingInterface='),
    'oif': since('236', 'OutgoingInterface='),
    'uidrange': since('245', 'User='),
    'ipproto': since('240', 'IPProtocol='),
    'sport': since('240', 'SourcePort='),
    'dport': since('240', 'DestinationPort='),
    // 257 knows GoTo=, but nobody has seen yet that it makes the same rule.
    'goto': { refused: 'systemd-networkd before 257 has no such rule' },
    'blackhole': since('248', 'Type='),
    'unreachable': since('248', 'Type='),
    'prohibit': since('248', 'Type='),
    'suppress_prefixlength': since('245', 'SuppressPrefixLength='),
    'suppress_ifgroup': since('250', 'SuppressInterfaceGroup='),
  },
  routes: {
    'nexthop': since('245', 'MultiPathRoute='),
    'nexthop … onlink': { refused: 'MultiPathRoute= has no on-link next hops' },
  },
};

/** systemd-networkd: `*.network.d/*.conf`. */
export class NetworkdRenderer implements PersistenceRenderer {
  public readonly name = 'networkd';
  public readonly call = 'Persistence.networkd()';
  public readonly tag = 'static';
  public readonly capabilities = NETWORKD_CAPABILITIES;
  private readonly device?: string;

  public constructor(device?: string) {
    this.device = device;
  }

  public render(host: Host): Rendered {
    const devices = new Devices(host, this.device);
    const watch = watchUnit(host.owner);
    const needed = versionNeeded(host, this.capabilities);
    return {
      devices: devices.all(),
      files: [watch.file],
      dropIns: devices.all().map((device): DropIn => ({
        device,
        name: `50-source-routing-${host.owner}.conf`,
        lines: [
          ['# Managed by cdktf-source-routing: changes here are lost.'],
          ...host.rules.filter((rule) => devices.ofRule(rule) === device).flatMap(ruleSection),
          ...host.routes.filter((route) => devices.ofRoute(route) === device).flatMap(routeSection),
        ],
      })),
      units: [{ name: watch.name }],
      requirements: [
        { kind: 'systemd' },
        ...(needed ? [{ kind: 'version', manager: this.name, ...needed } as const] : []),
      ],
    };
  }

  public problems(host: Host): Problem[] {
    const unknownFamily = host.rules
      .filter((rule) => rule.family === 'auto' && !rule.source && !rule.destination)
      .map((rule) => ({ path: rule.path, message: `${this.call}: ${FAMILY} (rule at priority ${rule.priority}).` }));
    return [...unknownFamily, ...new Devices(host, this.device).problems(this.call)];
  }
}

/** `[RoutingPolicyRule]` of one rule. */
export function ruleSection(rule: Rule): Word[][] {
  const { action, firewallMark, firewallMask } = rule;
  return [
    ['[RoutingPolicyRule]'],
    ['Priority=', String(rule.priority)],
    ...key('From', rule.source),
    ...key('To', rule.destination),
    ...(rule.source || rule.destination || rule.family === 'auto' ? [] : key('Family', familyWord(rule.family))),
    ...key('InvertRule', rule.invert ? 'yes' : undefined),
    ...key('TypeOfService', rule.tos),
    ...key(
      'FirewallMark',
      firewallMark === undefined ? undefined : `${firewallMark}${firewallMask === undefined ? '' : `/${firewallMask}`}`,
    ),
    ...key('IncomingInterface', rule.inputInterface),
    ...key('OutgoingInterface', rule.outputInterface),
    ...key('User', range(rule.uidRange)),
    ...key('IPProtocol', rule.ipProtocol),
    ...key('SourcePort', range(rule.sourcePorts)),
    ...key('DestinationPort', range(rule.destinationPorts)),
    ...(action.kind === 'lookup' ? key('Table', action.tableId) : key('Type', action.kind)),
    ...key('SuppressPrefixLength', rule.suppressPrefixLength),
    ...key('SuppressInterfaceGroup', rule.suppressInterfaceGroup),
  ];
}

/** `[Route]` of one route. */
export function routeSection(route: Route): Word[][] {
  const [only] = route.hops.length === 1 ? route.hops : [];
  const metric = routeMetric(route);
  return [
    ['[Route]'],
    ...key('Destination', destination(route)),
    ...key('Type', route.type),
    ...key('Gateway', only?.via),
    ...key('GatewayOnLink', only?.onLink ? 'yes' : undefined),
    ...(only ? [] : route.hops.map((hop) => ['MultiPathRoute=', ...hopWords(hop)])),
    ...key('Table', route.tableId),
    ...key('Metric', metric === defaultMetric(route.family) ? undefined : metric),
    ...key('PreferredSource', route.preferredSource),
    ...key('Scope', route.scope),
    ...key('MTUBytes', route.mtu),
    ...key('TCPAdvertisedMaximumSegmentSize', route.advmss),
  ];
}

function key(name: string, value: Value | string | number | undefined): Word[][] {
  return value === undefined ? [] : [[`${name}=`, typeof value === 'number' ? String(value) : value]];
}

/** A default route of a family that only the host knows takes it from its gateway. */
function destination(route: Route): Value | string | undefined {
  if (!isKnown(route.destination) || route.destination.text !== 'default') {
    return route.destination;
  }
  return route.family === 'auto' ? undefined : everywhere(route.family);
}

/** What `default` stands for. */
export function everywhere(family: Family): string {
  return family === 4 ? '0.0.0.0/0' : '::/0';
}

function familyWord(family: Family): string {
  return family === 4 ? 'ipv4' : 'ipv6';
}

function range(value: Range | undefined): string | undefined {
  return value && (value.first === value.last ? String(value.first) : `${value.first}-${value.last}`);
}

function hopWords({ via, device, weight }: Hop): Word[] {
  return [...(via ? [via] : []), ...(device ? ['@', device] : []), ...(weight === undefined ? [] : [` ${weight}`])];
}

import type { Family } from '../model/family';
import { defaultPrefix } from '../model/family';
import type { Host } from '../model/host';
import { MAIN_TABLE_ID } from '../model/host';
import type { Hop, Route } from '../model/route';
import { routeMetric, defaultMetric } from '../model/route';
import type { Rule, Word } from '../model/rule';
import { rangeWord } from '../model/rule';
import type { Value } from '../model/value';
import { isKnown } from '../model/value';
import { FOLLOWED } from './capabilities';
import type { Capabilities } from './capabilities';
import type { Devices } from './devices';
import type { DropIn } from './persistence';
import { HEADER } from './persistence';
import type { Written } from './link-renderer';
import { LinkRenderer } from './link-renderer';

const since = (version: string, key: string): { since: string; key: string } => ({ since: version, key });

/**
 * A drop-in beside the `.network` file of each interface. Measured with systemd 252; the versions are those
 * of its man page.
 *
 * @see https://www.freedesktop.org/software/systemd/man/systemd.network.html
 */
export const NETWORKD_CAPABILITIES: Capabilities = {
  rules: {
    'not': since('240', 'InvertRule='),
    'fwmark 0/mask': { refused: 'systemd-networkd drops the mask of a mark 0, so the rule would match every packet' },
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
    // Some versions ignore it without a word.
    'via inet6': { refused: 'Gateway= of the other family does not work in all versions' },
    'via dhcp4 or ra': FOLLOWED,
    'nexthop': since('245', 'MultiPathRoute='),
    'nexthop … onlink': { refused: 'MultiPathRoute= has no on-link next hops' },
  },
};

/** systemd-networkd: `*.network.d/*.conf`. */
export class NetworkdRenderer extends LinkRenderer {
  public readonly name = 'networkd';
  public readonly call = 'Persistence.networkd()';
  public readonly routeProtocol = 'static';
  public readonly capabilities = NETWORKD_CAPABILITIES;

  protected write(host: Host, devices: Devices): Written {
    return {
      dropIns: devices
        .all()
        .flatMap((device) => dropIn(host.owner, device, devices.rulesOf(device), devices.routesOf(device))),
    };
  }
}

/** The drop-in with these rules and routes, if there are any. */
export function dropIn(owner: string, device: string, rules: readonly Rule[], routes: readonly Route[]): DropIn[] {
  const sections = [...rules.flatMap(ruleSection), ...routes.flatMap(routeSection)];
  return sections.length === 0
    ? []
    : [{ device, name: `50-source-routing-${owner}.conf`, lines: [HEADER, ...sections] }];
}

/** `[RoutingPolicyRule]` of one rule. */
function ruleSection(rule: Rule): Word[][] {
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
    ...key('User', rangeWord(rule.uidRange)),
    ...key('IPProtocol', rule.ipProtocol),
    ...key('SourcePort', rangeWord(rule.sourcePorts)),
    ...key('DestinationPort', rangeWord(rule.destinationPorts)),
    // Without a table, systemd-networkd sets main in every rule. The agent sets the same rule.
    ...key('Table', action.kind === 'lookup' ? action.tableId : MAIN_TABLE_ID),
    ...key('Type', action.kind === 'lookup' ? undefined : action.kind),
    ...key('SuppressPrefixLength', rule.suppressPrefixLength),
    ...key('SuppressInterfaceGroup', rule.suppressInterfaceGroup),
  ];
}

/** `[Route]` of one route. */
function routeSection(route: Route): Word[][] {
  const [only] = route.hops.length === 1 ? route.hops : [];
  const metric = routeMetric(route);
  return [
    ['[Route]'],
    ...key('Destination', explicitDestination(route)),
    ...key('Type', route.type),
    ...key('Gateway', only?.via),
    ...key('GatewayOnLink', only?.onLink ? 'yes' : undefined),
    ...(only ? [] : route.hops.map((hop) => ['MultiPathRoute=', ...multiPathWords(hop)])),
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

/** A default route of unknown family takes the family of its gateway. */
export function explicitDestination(route: Route): Value | string | undefined {
  if (!isKnown(route.destination) || route.destination.text !== 'default') {
    return route.destination;
  }
  return route.family === 'auto' ? undefined : defaultPrefix(route.family);
}

function familyWord(family: Family): string {
  return family === 4 ? 'ipv4' : 'ipv6';
}

function multiPathWords({ via, device, weight }: Hop): Word[] {
  return [...(via ? [via] : []), ...(device ? ['@', device] : []), ...(weight === undefined ? [] : [` ${weight}`])];
}

import { createHash } from 'crypto';
import type { Family } from '../model/family';
import { BOTH_FAMILIES, defaultPrefix } from '../model/family';
import type { Host, Problem } from '../model/host';
import type { Route } from '../model/route';
import { routeMetric } from '../model/route';
import type { Rule, Word } from '../model/rule';
import { option, ruleWords } from '../model/rule';
import type { Value } from '../model/value';
import { isKnown } from '../model/value';
import type { Capabilities } from './capabilities';
import { FOLLOWED, UNKNOWN_FAMILY } from './capabilities';
import type { Devices } from './devices';
import type { ProfileBlock } from './persistence';
import { spaced } from './persistence';
import type { Written } from './link-renderer';
import { LinkRenderer } from './link-renderer';

// Before that version, rules get "proto boot" in the kernel.
const RULE = { since: '1.42', key: 'routing-rule under proto static' } as const;
const TYPE = { since: '1.36', key: 'type=' } as const;
const FAMILIES = { refused: '[ipv4] and [ipv6] are different sections of the profile' } as const;

/** The scope that NetworkManager does not set on a route that names no gateway. */
const SCOPE_HOST = 254;

/**
 * Keys in the profile of each interface. Measured with NetworkManager 1.42; the versions are those of its
 * NEWS.
 *
 * @see https://networkmanager.dev/docs/api/latest/nm-settings-keyfile.html
 */
export const NETWORK_MANAGER_CAPABILITIES: Capabilities = {
  rules: {
    lookup: RULE,
    goto: { refused: 'NetworkManager has no such rule' },
    blackhole: RULE,
    unreachable: RULE,
    prohibit: RULE,
    suppress_ifgroup: { refused: 'NetworkManager has no such selector' },
    [UNKNOWN_FAMILY]: FAMILIES,
  },
  routes: {
    'scope': { since: '1.22', key: 'scope=' },
    // 1.42 merges routes with weight= into one, whose next hops it then wants in an order of its own.
    'nexthop': { refused: 'NetworkManager supports several next hops in IPv4 only, and changes their order' },
    'blackhole': TYPE,
    'unreachable': TYPE,
    'prohibit': TYPE,
    'throw': { since: '1.38', key: 'type=throw' },
    [UNKNOWN_FAMILY]: FAMILIES,
    'via dhcp4 or ra': FOLLOWED,
    'via inet6': { refused: 'a route of [ipv4] has an IPv4 gateway' },
  },
};

/** NetworkManager: a block in the keyfile of a profile. */
export class NetworkManagerRenderer extends LinkRenderer {
  public readonly name: string = 'network-manager';
  public readonly call: string = 'Persistence.networkManager()';
  public readonly routeProtocol = 'static';
  public readonly capabilities = NETWORK_MANAGER_CAPABILITIES;

  protected write(host: Host, devices: Devices): Written {
    return {
      blocks: devices.all().map((device): ProfileBlock => ({
        device,
        lines: BOTH_FAMILIES.flatMap((family) =>
          section(
            family,
            firstNumber(host.owner),
            devices.routesOf(device).filter((route) => route.family === family),
            devices.rulesOf(device).filter((rule) => rule.family === family),
          ),
        ),
      })),
    };
  }

  protected override versionOf(): string {
    return 'network-manager';
  }

  public override problems(host: Host): Problem[] {
    const unset = host.routes
      .filter(({ scope, hops }) => scope === SCOPE_HOST && hops.every((hop) => !hop.via))
      .map((route) => ({
        path: route.path,
        message: `${this.call} cannot express "scope ${SCOPE_HOST}" of the route to "${route.destination.text}" without a gateway: NetworkManager does not set it. Use Persistence.service().`,
      }));
    return [...unset, ...super.problems(host)];
  }
}

/**
 * Of two lines with one number, only one counts. People and NetworkManager count from 1, so ours start high. The
 * highest number is 2147483647.
 */
function firstNumber(owner: string): number {
  return 1_000_000 + (createHash('sha256').update(owner).digest().readUInt32BE() % 2_146_000_000);
}

function section(family: Family, first: number, routes: readonly Route[], rules: readonly Rule[]): Word[][] {
  if (routes.length + rules.length === 0) {
    return [];
  }
  return [
    [`[ipv${family}]`],
    ...routes.flatMap((route, index) => routeLines(`route${first + index}`, family, route)),
    ...rules.map((rule, index) => [`routing-rule${first + index}=`, ...spaced(words(family, rule))]),
  ];
}

/** The metric is always given: without one, NetworkManager takes that of the device. */
function routeLines(key: string, family: Family, route: Route): Word[][] {
  const [hop] = route.hops;
  const { type, scope = type && 0 } = route;
  // In the order in which NetworkManager itself would write them.
  const options = [
    ...set('advmss', route.advmss),
    ...set('mtu', route.mtu),
    ...set('onlink', hop?.onLink ? 'true' : undefined),
    // Otherwise NetworkManager would set scope link, even for a route without a next hop.
    ...set('scope', family === 4 ? scope : undefined),
    ...set('src', route.preferredSource),
    ...set('table', route.tableId),
    ...set('type', type),
  ];
  const gateway = hop?.via ?? (family === 4 ? '0.0.0.0' : '::');
  return [
    [`${key}=`, prefixWord(family, route.destination), ',', gateway, `,${routeMetric(route)}`],
    [`${key}_options=`, ...options.flatMap((each, index) => (index === 0 ? each : [',', ...each]))],
  ];
}

function set(name: string, value: Value | string | number | undefined): Word[][] {
  return value === undefined ? [] : [[`${name}=`, typeof value === 'number' ? String(value) : value]];
}

function prefixWord(family: Family, prefix: Value): Word {
  if (isKnown(prefix) && prefix.text === 'default') {
    return defaultPrefix(family);
  }
  return isKnown(prefix) && !prefix.text.includes('/') ? `${prefix.text}/${family === 4 ? 32 : 128}` : prefix;
}

/** The words of `ip rule`, but that of the table, and one of the prefixes is a must. */
function words(family: Family, rule: Rule): Word[] {
  const source = rule.source ?? (rule.destination ? undefined : anyOf(family));
  const { action } = rule;
  return [
    ...option('priority', rule.priority),
    ...ruleWords({ ...rule, source }).flatMap((word) =>
      word === 'lookup' ? ['table'] : word === action.kind ? ['type', word] : [word],
    ),
  ];
}

function anyOf(family: Family): Value {
  return { kind: 'prefix', text: defaultPrefix(family), family };
}

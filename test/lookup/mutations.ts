import type { PacketHeader } from '../../lib/fib/packet';
import type { Link } from '../../lib/fib/machine';
import { ReversePathFilter } from '../../lib/fib/machine';
import type { Outcome } from '../../lib/fib/outcome';
import { SEARCH } from '../../lib/fib/search';
import type { CompiledRoute } from '../../lib/fib/table';
import { CompiledTable } from '../../lib/fib/table';
import type { Route } from '../../lib/model/route';
import type { Rule } from '../../lib/model/rule';
import type { Lookup } from './compare';
import { realLookup } from './compare';

/** Lookups that are broken on purpose, by what is wrong with them: the comparison must notice each. */
export const MUTATIONS: ReadonlyArray<readonly [string, Lookup]> = [
  ['suppress_prefixlength is dropped', withRules((rule) => ({ ...rule, suppressPrefixLength: undefined }))],
  ['suppress_ifgroup is dropped', withRules((rule) => ({ ...rule, suppressInterfaceGroup: undefined }))],
  [
    'suppressors spare everything',
    withRules((rule) => ({ ...rule, suppressPrefixLength: rule.suppressPrefixLength && 128 })),
  ],
  ['not is ignored', withRules((rule) => ({ ...rule, invert: undefined }))],
  ['from is ignored', withRules((rule) => ({ ...rule, source: undefined }))],
  ['to is ignored', withRules((rule) => ({ ...rule, destination: undefined }))],
  ['tos is ignored', withRules((rule) => ({ ...rule, tos: undefined }))],
  ['fwmark is ignored', withRules((rule) => ({ ...rule, firewallMark: undefined }))],
  ['the mask is ignored', withRules((rule) => ({ ...rule, firewallMask: undefined }))],
  ['mark 0 means unmarked', withRules((rule) => ({ ...rule, firewallMask: rule.firewallMask ?? 0xffffffff }))],
  ['iif is ignored', withRules((rule) => ({ ...rule, inputInterface: undefined }))],
  ['oif is ignored', withRules((rule) => ({ ...rule, outputInterface: undefined }))],
  ['uidrange is ignored', withRules((rule) => ({ ...rule, uidRange: undefined }))],
  ['ipproto is ignored', withRules((rule) => ({ ...rule, ipProtocol: undefined }))],
  ['sport is ignored', withRules((rule) => ({ ...rule, sourcePorts: undefined }))],
  ['dport is ignored', withRules((rule) => ({ ...rule, destinationPorts: undefined }))],
  [
    'a goto leads to the next rule',
    withRules(({ action, ...rule }) => ({
      ...rule,
      action: action.kind === 'goto' ? { kind: 'lookup', tableId: 999 } : action,
    })),
  ],
  [
    'a goto without target ends',
    withRules((rule, all) => (isDangling(rule, all) ? { ...rule, action: { kind: 'unreachable' } } : rule)),
  ],
  [
    'the first rule at a priority comes last',
    (description) => realLookup({ ...description, rules: [...description.rules].reverse() }),
  ],
  [
    'the kernel has its rule for the local table',
    withRules((rule) => (rule.path === 'moved' ? { ...rule, priority: 0 } : rule)),
  ],
  ['the metric is ignored', withRoutes((route) => ({ ...route, metric: undefined }))],
  ['a missing metric is 0 in IPv6', withRoutes((route) => ({ ...route, metric: route.metric ?? 0 }))],
  ['throw ends', withRoutes((route) => (route.type === 'throw' ? { ...route, type: 'unreachable' } : route))],
  [
    'throw is no route',
    (description) => realLookup({ ...description, routes: description.routes.filter(({ type }) => type !== 'throw') }),
  ],
  [
    'all that rejects is unreachable',
    withRoutes((route) =>
      route.type === 'throw' || route.type === undefined ? route : { ...route, type: 'unreachable' },
    ),
  ],
  ['only the first next hop is used', withRoutes((route) => ({ ...route, hops: route.hops.slice(0, 1) }))],
  ['links are never down', withLinks((link) => (link.state === 'down' ? { ...link, state: 'up' } : link))],
  [
    'links without carrier are down',
    withLinks((link) => (link.state === 'no carrier' ? { ...link, state: 'down' } : link)),
  ],
  ['all links are in one group', withLinks((link) => ({ ...link, group: 0 }))],
  [
    'broadcast addresses are not named',
    withLinks((link) => ({ ...link, addresses: link.addresses.map((each) => ({ ...each, broadcast: undefined })) })),
  ],
  [
    'ignore_routes_with_linkdown is ignored',
    (description) =>
      realLookup({ ...description, sysctls: { ...description.sysctls, ignoreRoutesWithLinkdown: false } }),
  ],
  [
    'src_valid_mark is ignored',
    (description) => realLookup({ ...description, sysctls: { ...description.sysctls, srcValidMark: false } }),
  ],
  ['rp_filter is off', withLinks((link) => ({ ...link, reversePathFilter: ReversePathFilter.OFF }))],
  [
    'rp_filter is never loose',
    withLinks((link) => ({ ...link, reversePathFilter: link.reversePathFilter && ReversePathFilter.STRICT })),
  ],
  ['the source is not checked', withOutcomes((outcome) => ({ ...outcome, source: undefined }))],
  [
    'a bound socket finds no neighbour',
    withOutcomes((outcome) => (outcome.why?.startsWith('bound') ? { ...outcome, kind: 'no route' } : outcome)),
  ],
  ['IPv4 is looked up like IPv6', patched(SEARCH, 4, SEARCH[6])],
  ['IPv6 is looked up like IPv4', patched(SEARCH, 6, SEARCH[4])],
  ['the shortest prefix is taken', patched(CompiledTable.prototype, 'coveringPrefixes', shortestFirst)],
  [
    'no source matches what 0.0.0.0 does',
    withPacket((packet) => ({ ...packet, source: packet.source ?? '0'.repeat(128) })),
  ],
  ['a bound socket is not bound', withPacket((packet) => ({ ...packet, outputInterface: undefined }))],
  [
    'what is of no protocol is none that a rule asks for',
    withPacket((packet) => ({ ...packet, ipProtocol: packet.ipProtocol ?? 255 })),
  ],
  ['what comes in is sent', withPacket((packet) => ({ ...packet, inputInterface: undefined }))],
];

function withRules(change: (rule: Rule, all: readonly Rule[]) => Rule): Lookup {
  return (description) =>
    realLookup({ ...description, rules: description.rules.map((rule) => change(rule, description.rules)) });
}

function withRoutes(change: (route: Route) => Route): Lookup {
  return (description) => realLookup({ ...description, routes: description.routes.map(change) });
}

function withLinks(change: (link: Link) => Link): Lookup {
  return (description) => realLookup({ ...description, links: description.links.map(change) });
}

function withPacket(change: (packet: PacketHeader) => PacketHeader): Lookup {
  return (description) => {
    const look = realLookup(description);
    return (packet) => look(change(packet));
  };
}

function withOutcomes(change: (outcome: Outcome) => Outcome): Lookup {
  return (description) => {
    const look = realLookup(description);
    return (packet) => look(packet).map(change);
  };
}

/** Something of the real lookup is another while it runs. */
function patched<T extends object, K extends keyof T>(target: T, key: K, value: T[K]): Lookup {
  return (description) => {
    const look = realLookup(description);
    return (packet) => {
      const real = target[key];
      target[key] = value;
      try {
        return look(packet);
      } finally {
        target[key] = real;
      }
    };
  };
}

const coveringPrefixes = Object.getOwnPropertyDescriptor(CompiledTable.prototype, 'coveringPrefixes')
  ?.value as CompiledTable['coveringPrefixes'];

function* shortestFirst(this: CompiledTable, address: string): Generator<readonly CompiledRoute[]> {
  yield* [...coveringPrefixes.call(this, address)].reverse();
}

function isDangling({ action }: Rule, all: readonly Rule[]): boolean {
  return action.kind === 'goto' && !all.some(({ priority }) => priority === action.priority);
}

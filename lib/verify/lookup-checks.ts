import type { Family } from '../model/family';
import { BOTH_FAMILIES, overlaps } from '../model/family';
import { unguarded } from '../model/guard';
import type { Host, Problem } from '../model/host';
import { MAIN_TABLE_ID } from '../model/host';
import { getOrInsertComputed } from '../model/maps';
import type { Network } from '../model/networks';
import { networksOf } from '../model/networks';
import type { Rule } from '../model/rule';
import { exitsOf, tunnelsOf } from '../model/tunnels';
import { isAny, isKnown, isLinkLocal } from '../model/value';
import type { Bits } from '../fib/bits';
import { ADDRESS_LENGTH, addressBits, hostIn, longestMatch, prefixBits } from '../fib/bits';
import { OTHER_INTERFACE, interfacesToldApart } from '../reachability/header-classes';
import type { Chain } from '../reachability/trie-chain';
import { chainValues, prefixWith, simplified } from '../reachability/trie-chain';
import { decide } from '../fib/decide';
import type { Decision, DecisionInterner } from '../reachability/decision';
import { isCertain } from '../reachability/decision';
import type { PacketHeader, HeaderFields } from '../fib/packet';
import { UNSPECIFIED } from '../fib/packet';
import { machineOf } from '../fib/from-host';
import { decisionsOf } from '../reachability/decision';
import { headersOf } from '../reachability/header-fields';
import { unpooledParts } from './leaks';
import type { Machine } from '../fib/machine';
import { KERNEL, ownerOf } from '../fib/machine';
import type { Outcome } from '../fib/outcome';
import type { Scope } from '../reachability/reachability';
import { Reachability } from '../reachability/reachability';
import type { CompiledRule } from '../fib/rules';
import { matchesHeader } from '../fib/rules';
import { outcomeText, ruleText } from '../fib/explain';

/**
 * Errors: rules that no packet meets, tables that only such rules look up, and parts of tunnels that no rule covers.
 */
export function lookupErrors(host: Host): Problem[] {
  const machine = machineOf(host);
  const shadowed = BOTH_FAMILIES.flatMap((family) => shadowedRules(host, machine, family));
  const rules = new Set(shadowed.map(({ rule }) => rule));
  return [...shadowed.map(({ problem }) => problem), ...tablesNeverReached(host, rules), ...unpooledParts(host)];
}

/** Warnings about packets that probably go where nobody wants them. */
export function lookupWarnings(host: Host): Problem[] {
  return BOTH_FAMILIES.flatMap((family) => [
    ...fallThrough(host, family),
    ...clientsCutOff(host, family),
    ...forgottenTunnels(host, family),
  ]);
}

/** Limit of the search. If there are more kinds of packets, every rule counts as one that packets meet. */
const HEADERS_TRIED = 200;

function shadowedRules(host: Host, machine: Machine, family: Family): Array<{ rule: Rule; problem: Problem }> {
  const declared = new Set(host.rules);
  let left = machine.families[family].rules.inOrder.filter(({ rule }) => declared.has(rule) && canBeMet(rule));
  let tried = 0;
  for (const { header, scope } of scopedHeaders(machine, family)) {
    if (left.length === 0 || tried >= HEADERS_TRIED) break;
    if (!left.some((each) => matchesHeader(each, header))) continue;
    tried++;
    const reachability = new Reachability(machine, header, { ...scope, decisions: decisionsOf(host) });
    left = left.filter((each) => !matchesHeader(each, header) || reachability.packetOf(each) === undefined);
  }
  return tried >= HEADERS_TRIED
    ? []
    : left.map((each) => ({ rule: each.rule, problem: shadowed(each, machine, family) }));
}

/** Excludes rules that select by the socket's device or user: the kinds of packets do not cover these. */
function canBeMet({ outputInterface, uidRange, invert }: Rule): boolean {
  return !outputInterface && !uidRange && !invert;
}

/**
 * Packets that come in by any interface, and packets that the machine sends: without a source yet, or from its own
 * address.
 */
function scopedHeaders(machine: Machine, family: Family): Array<{ header: HeaderFields; scope: Scope }> {
  const headers = (inputInterface?: string): HeaderFields[] => headersOf(machine, family, inputInterface);
  return [
    ...[OTHER_INTERFACE, ...interfacesToldApart([machine], family)]
      .flatMap(headers)
      .map((header) => ({ header, scope: {} })),
    ...headers().flatMap((header) => [
      { header, scope: { source: UNSPECIFIED[family] } },
      { header, scope: { anyOwnSource: true } },
    ]),
  ];
}

function shadowed({ rule, source = '', destination = '' }: CompiledRule, machine: Machine, family: Family): Problem {
  const length = ADDRESS_LENGTH[family];
  const packet: PacketHeader = {
    family,
    mark: rule.firewallMark ?? 0,
    tos: rule.tos ?? 0,
    uid: 0,
    ipProtocol: rule.ipProtocol,
    sourcePort: rule.sourcePorts?.first,
    destinationPort: rule.destinationPorts?.first,
    inputInterface: rule.inputInterface?.text ?? OTHER_INTERFACE,
    source: source.padEnd(length, '0'),
    destination: destination.padEnd(length - 1, '0').padEnd(length, '1'),
  };
  const decider = decide(machine, packet)[0]?.trail?.rule.rule;
  const by =
    decider === undefined || decider === rule
      ? 'Rules before it match'
      : `Rule ${decider.priority} (${ruleText(decider)})${decider.path === KERNEL ? '' : ` of "${decider.path}"`} and those before it match`;
  return {
    path: rule.path,
    message:
      `is never reached: ${by} all packets that it selects (${ruleText(rule)}). ` +
      `Give it a priority lower than theirs, or leave it out.`,
  };
}

function tablesNeverReached(host: Host, unmet: ReadonlySet<Rule>): Problem[] {
  return host.tables.flatMap((table) => {
    const rules = host.rules.filter(({ action }) => action.kind === 'lookup' && action.tableId === table.id);
    return rules.length > 0 && rules.every((rule) => unmet.has(rule))
      ? [
          {
            path: table.path,
            message: `table ${table.id} is never looked up: no packet reaches its rules. Give these lower priorities, or leave out the table.`,
          },
        ]
      : [];
  });
}

/** Finds rules whose table passes clients on to the main table while a link is down. */
function fallThrough(host: Host, family: Family): Problem[] {
  const open = new Set(unguardedOrOpen(host));
  const rules = host.rules.filter((rule) => open.has(rule) && routesClients(rule) && overlaps(rule.family, family));
  const devices = new Set(rules.flatMap((rule) => devicesOfRule(host, rule)));
  const problems = new Map<Rule, Problem>();
  for (const down of devices) {
    const affected = rules.filter((rule) => devicesOfRule(host, rule).includes(down) && !problems.has(rule));
    if (affected.length === 0) continue;
    const machine = machineOf(host, [down]);
    const reachability = new Reachability(machine, plainHeader(family, OTHER_INTERFACE), {
      decisions: decisionsOf(host),
      cuts: affected.flatMap(({ source }) => (source ? [prefixBits(source.text)] : [])),
      whose: ownerOf,
    });
    for (const rule of affected) {
      const leak = firstOutcome(reachability, rule, (outcome) => outcome.by === KERNEL && leaves(outcome));
      if (leak) {
        problems.set(rule, {
          path: rule.path,
          message:
            `with "${down}" down, table ${tableOf(rule)} has no route for packets ${ruleText(rule).replace(/ lookup .*/, '')}: they would use the main table and ` +
            `${leak.kind === 'unknown' ? 'leave through its default route' : `leave ${outcomeText(leak)}`}. Set failClosed: true, which rejects them instead.`,
        });
      }
    }
  }
  return [...problems.values()];
}

/** Rules without a guard, or whose table does not fail closed. */
function unguardedOrOpen(host: Host): Rule[] {
  const open = new Set(host.tables.filter(({ failClosed }) => !failClosed).map(({ id }) => id));
  return [
    ...unguarded(host),
    ...host.rules.filter(({ action }) => action.kind === 'lookup' && open.has(action.tableId)),
  ];
}

function routesClients(rule: Rule): boolean {
  const { action, source, destination, invert, suppressPrefixLength, suppressInterfaceGroup, inputInterface } = rule;
  return (
    action.kind === 'lookup' &&
    action.tableId !== MAIN_TABLE_ID &&
    !invert &&
    !destination &&
    !inputInterface &&
    suppressPrefixLength === undefined &&
    suppressInterfaceGroup === undefined &&
    source !== undefined &&
    isKnown(source) &&
    !isAny(source)
  );
}

function devicesOfRule(host: Host, rule: Rule): string[] {
  const id = tableOf(rule);
  return host.routes
    .filter(({ tableId }) => tableId === id)
    .flatMap(({ hops }) => hops.flatMap(({ device }) => (device && isKnown(device) ? [device.text] : [])));
}

function tableOf({ action }: Rule): number | undefined {
  return action.kind === 'lookup' ? action.tableId : undefined;
}

function leaves({ kind }: Outcome): boolean {
  return kind === 'unicast' || kind === 'unknown';
}

function plainHeader(family: Family, inputInterface: string): HeaderFields {
  return { family, inputInterface, mark: 0, tos: 0, uid: 0 };
}

/** Finds the first wanted outcome of packets from the source of a rule. */
function firstOutcome(
  reachability: Reachability,
  { source }: Rule,
  wanted: (outcome: Outcome) => boolean,
): Outcome | undefined {
  for (const sourceClass of reachability.sources.within(source ? prefixBits(source.text) : '')) {
    for (const { outcomes } of chainValues(reachability.chainOf(sourceClass), reachability.decisions)) {
      const found = outcomes.find(wanted);
      if (found) return found;
    }
  }
  return undefined;
}

/** Finds clients whose packets to each other leave through a gateway, or the server's packets to them. */
function clientsCutOff(host: Host, family: Family): Problem[] {
  const rules = host.rules.filter((rule) => routesClients(rule) && overlaps(rule.family, family));
  const problems: Problem[] = [];
  if (rules.length === 0) {
    return problems;
  }
  const machine = machineOf(host);
  const bySource = new BySource(rules);
  const clients = networksOfClients(host, family).filter(
    // Another check reports a rule that matches the replies of SSH.
    ({ address }) => address !== host.management.host && bySource.longestMatch(address) !== undefined,
  );
  const destinations = { within: clients.map(({ text }) => prefixBits(text)), except: [] };
  const scope: Scope = {
    cuts: destinations.within,
    destinations,
    decisions: decisionsOf(host),
    whose: ownerOf,
  };
  // Interfaces that no rule names all behave alike.
  const named = new Set(interfacesToldApart([machine], family));
  const made = new Map<string, Reachability>();
  const reachabilityFrom = ({ link }: Network): Reachability => {
    const input = named.has(link.name) ? link.name : OTHER_INTERFACE;
    return getOrInsertComputed(made, input, () => new Reachability(machine, plainHeader(family, input), scope));
  };
  const told = new Set<string>();
  const fine = new Set<string>();
  for (const network of clients) {
    const rule = bySource.longestMatch(network.address);
    if (!rule || told.has(rule.path)) continue;
    const lost = lostBetween(reachabilityFrom(network), network, clients, fine);
    const reply = decide(machine, sentTo(network, family))[0];
    const unheard = reply?.kind === 'unicast' && reply.device !== network.link.name;
    if (!lost && !unheard) continue;
    told.add(rule.path);
    const isOthers = lost !== undefined && lost.to !== network;
    const whose = isOthers ? `to the clients of ${lost.to.text}` : `between the clients of ${network.text}`;
    const missing = [
      ...(isOthers ? [`source "${network.text}", destination "${lost.to.text}"`] : []),
      ...(unheard || (lost && !isOthers) ? [`destination "${network.text}"`] : []),
    ].join(', and one with ');
    const like = isOthers ? 'with LocalTraffic.suppressDefault()' : 'for its own clients';
    const what = [
      ...(lost
        ? [
            `clients behind "${network.link.name}" do not reach ${isOthers ? `those in ${lost.to.text}` : 'each other'} (their packets leave ${outcomeText(lost.outcome)})`,
          ]
        : []),
      ...(unheard
        ? [
            `the server's replies from its address ${network.address} do not reach them (they leave ${outcomeText(reply)}), so they cannot ping it`,
          ]
        : []),
    ].join(', and ');
    problems.push({
      path: rule.path,
      message:
        `matches packets ${whose}, too: ${what}. Add an earlier rule with ${missing} and the main table, ` +
        `as VpnEgress does ${like}. To isolate clients, reject these packets instead.`,
    });
  }
  return problems;
}

/** @param fine - what is known to lose no packets: of thousands of networks, the packets of most meet the same rules */
function lostBetween(
  reachability: Reachability,
  from: Network,
  clients: readonly Network[],
  fine: Set<string>,
): { readonly to: Network; readonly outcome: Outcome } | undefined {
  for (const sourceClass of reachability.sources.within(prefixBits(from.text))) {
    const chain = simplified(reachability.chainOf(sourceClass), reachability.decisions);
    const key = chain.map(({ id }) => id).join();
    const lost = fine.has(key) ? [] : lostIn(chain, reachability.decisions);
    if (lost.length === 0) fine.add(key);
    for (const [decision, outcome] of lost) {
      const prefix = prefixWith(chain, reachability.decisions, decision) ?? '';
      const to = clients.find(({ text }) => overlap(prefixBits(text), prefix));
      if (to) {
        return { to, outcome };
      }
    }
  }
  return undefined;
}

function lostIn(chain: Chain<Decision>, decisions: DecisionInterner): Array<readonly [Decision, Outcome]> {
  return [...chainValues(chain, decisions)].filter(isCertain).flatMap((decision) => {
    const lost = decision.outcomes.find(
      ({ kind, via, by }) => kind === 'unicast' && via !== undefined && by !== KERNEL,
    );
    return lost ? [[decision, lost] as const] : [];
  });
}

function overlap(one: Bits, other: Bits): boolean {
  return one.startsWith(other) || other.startsWith(one);
}

function sentTo({ text, address }: Network, family: Family): PacketHeader {
  const destination = hostIn(prefixBits(text), family);
  return {
    ...plainHeader(family, OTHER_INTERFACE),
    inputInterface: undefined,
    source: addressBits(address),
    destination,
  };
}

/** Networks that may have clients: those of all interfaces that are not exits. */
function networksOfClients(host: Host, family: Family): Network[] {
  const exits = exitsOf(host);
  return networksOf(host.interfaces)
    .ofFamily(family)
    .filter(({ link, address }) => !exits.has(link.name) && !isLinkLocal(address))
    .filter(({ text }) => prefixBits(text).length <= ADDRESS_LENGTH[family] - 2);
}

/** Rules by source prefix, so that a lookup does not try thousands of rules for disjoint pools. */
class BySource {
  private readonly rules = new Map<string, Rule>();

  public constructor(rules: readonly Rule[]) {
    for (const rule of rules) {
      if (rule.source && isKnown(rule.source)) this.rules.set(prefixBits(rule.source.text), rule);
    }
  }

  /** The rule with the longest matching source prefix. */
  public longestMatch(address: string): Rule | undefined {
    return longestMatch(addressBits(address), this.rules);
  }
}

/**
 * Names that VPN daemons give to interfaces. They count only for an interface without a pool. Nothing else tells
 * whether clients or servers are behind it.
 */
const TUNNEL = /^(tun|tap|wg|ovpn|vpns|ppp|nebula)/;

/** Finds tunnels without rules beside tunnels with rules. For a tunnel that holds a pool, there is an error instead. */
function forgottenTunnels(host: Host, family: Family): Problem[] {
  const ofFamily = host.rules.filter((rule) => overlaps(rule.family, family));
  const elsewhere = ofFamily.filter(({ action }) => action.kind !== 'lookup' || action.tableId !== MAIN_TABLE_ID);
  const bySource = new BySource(elsewhere);
  const others = elsewhere.filter(({ source, invert }) => invert === true || !source || !isKnown(source));
  const cared = ({ address, link }: Network): boolean =>
    bySource.longestMatch(address) !== undefined ||
    others.some(
      ({ source, inputInterface, invert }) => invert || source || !inputInterface || inputInterface.text === link.name,
    );
  const tunnels = tunnelsOf(host);
  const networks = networksOfClients(host, family);
  const caredFor = networks.find((network) => tunnels.has(network.link.name) && cared(network));
  // If an uplink has the same stem, the name tells nothing.
  const stems = new Set([...tunnels.keys()].map(stemOf));
  exitsOf(host).forEach((name) => stems.delete(stemOf(name)));
  return networks
    .filter(({ link: { name } }) => !tunnels.has(name) && (TUNNEL.test(name) || stems.has(stemOf(name))))
    .filter((network) => caredFor && !cared(network))
    .map(({ link, text }) => ({
      path: host.path,
      message:
        `no rule matches packets of the clients in ${text} behind "${link.name}", while those in ${caredFor?.text} are routed by source. ` +
        `They leave through the main default route. Add a rule for ${text}, or reject it.`,
    }));
}

/** The stem of an interface name: `vpns` of `vpns0`. */
function stemOf(name: string): string {
  return /^[a-z]*/i.exec(name)?.[0] ?? '';
}

import type { Family } from '../model/family';
import { BOTH_FAMILIES, familyOf, overlaps } from '../model/family';
import { isOfVpn } from '../model/guard';
import type { Host, Problem } from '../model/host';
import { pushTo } from '../model/maps';
import type { LinkNetwork } from '../model/networks';
import { networksBehind, networksOf } from '../model/networks';
import type { Tunnels } from '../model/tunnels';
import { exitsOf, holdersOf, routesAll, tunnelsOf } from '../model/tunnels';
import { isAny, isKnown, isLinkLocal } from '../model/value';
import type { Bits } from '../fib/bits';
import { ADDRESS_LENGTH, addressBits, longestMatch, prefixBits } from '../fib/bits';
import { OTHER_INTERFACE, interfacesToldApart } from '../reachability/header-classes';
import { chainValues } from '../reachability/trie-chain';
import type { Decision } from '../reachability/decision';
import { DecisionInterner } from '../reachability/decision';
import { machineWithoutTunnelGuards } from '../fib/from-host';
import type { Machine } from '../fib/machine';
import { KERNEL, ownerOf } from '../fib/machine';
import type { Outcome } from '../fib/outcome';
import { Reachability } from '../reachability/reachability';
import { prefixSetText } from '../reachability/words';

/** A message shows only the first prefixes of a long list. */
const PREFIXES_SHOWN = 4;

/** A network of a tunnel, or behind a client of it. */
interface TunnelNetwork extends LinkNetwork {
  /** The server's address in it. */
  readonly address?: string;
}

/**
 * Finds parts of tunnels' networks that no rule covers, so that packets from there leave through the main table's
 * default route. If a rule covers them, even one that looks up the main table, this is intended.
 */
export function unpooledParts(host: Host): Problem[] {
  const tunnels = tunnelsOf(host);
  const machine = machineWithoutTunnelGuards(host);
  const behind = behindClients(host);
  return BOTH_FAMILIES.flatMap((family) => {
    const networks: TunnelNetwork[] = [
      ...networksOf(host.interfaces)
        .ofFamily(family)
        .filter(({ address }) => !isLinkLocal(address)),
      ...behind.filter(({ text }) => familyOf(text) === family),
    ];
    const named = new Set(interfacesToldApart([machine], family));
    const byInput = new Map<string, TunnelNetwork[]>();
    for (const network of networks.filter(({ link }) => tunnels.has(link.name))) {
      pushTo(byInput, named.has(network.link.name) ? network.link.name : OTHER_INTERFACE, network);
    }
    return [...byInput].flatMap(([input, own]) => partsOf(host, machine, family, input, own, tunnels));
  });
}

/** The networks behind VPN clients. Behind an interface that only a bare `PolicyRule` names, others may be meant. */
function behindClients(host: Host): LinkNetwork[] {
  const links = host.rules
    .filter((rule) => isOfVpn(host, rule))
    .flatMap(({ source }) => (source && isKnown(source) ? holdersOf(source, host.interfaces) : []));
  return [...new Set(links)].flatMap((link) => (link.networks ?? []).map((text) => ({ link, text })));
}

/** @param own - the networks of the tunnels that packets come in by */
function partsOf(
  host: Host,
  machine: Machine,
  family: Family,
  inputInterface: string,
  own: readonly TunnelNetwork[],
  tunnels: Tunnels,
): Problem[] {
  const linkByNetwork = new Map<Bits, string>();
  // Networks of other interfaces are included, since the innermost of nested networks counts.
  const others = own.flatMap(({ text }) => [
    ...networksOf(host.interfaces).overlapping(text),
    ...networksBehind(text, host.interfaces),
  ]);
  for (const { text, link } of [...others, ...own]) {
    linkByNetwork.set(prefixBits(text), link.name);
  }
  const nobodys = new Set(own.flatMap((network) => notOfClients(network, family)));
  const reachability = new Reachability(
    machine,
    { family, inputInterface, mark: 0, tos: 0, uid: 0 },
    { decisions: new DecisionInterner(), cuts: [...linkByNetwork.keys(), ...nobodys], whose: ownerOf },
  );
  const inputs = new Set(own.map(({ link }) => link.name));
  const routed = routedSources(host, family, inputInterface);
  const exits = exitsOf(host);
  const parts = reachability.sources.prefixesOf((source) => {
    if (nobodys.has(source)) return undefined;
    const link = longestMatch(source, linkByNetwork);
    const isLeaking =
      link !== undefined &&
      inputs.has(link) &&
      longestMatch(source, routed) === undefined &&
      [...chainValues(reachability.chainOf(source), reachability.decisions)].some((decision) =>
        isLeak(decision, exits),
      );
    return isLeaking ? link : '';
  });
  return [...parts].flatMap(([name, set]) => {
    const part = `${prefixSetText(set, family, PREFIXES_SHOWN)} of "${name}" ${set.prefixes.length > 1 ? 'are' : 'is'}`;
    return name === '' ? [] : problem(host, tunnels.get(name) ?? host.path, part);
  });
}

/** The addresses of a network that no client has. Their packets do not matter. */
function notOfClients({ address, text }: TunnelNetwork, family: Family): Bits[] {
  const length = ADDRESS_LENGTH[family];
  const bits = prefixBits(text);
  return [
    ...(address === undefined ? [] : [addressBits(address)]),
    ...(length - bits.length > 1 ? [bits.padEnd(length, '0')] : []),
    // IPv6 has no broadcast.
    ...(length - bits.length > 1 && family === 4 ? [bits.padEnd(length, '1')] : []),
  ];
}

/** The sources whose packets a rule routes completely. Another check is about packets that its table passes on. */
function routedSources(host: Host, family: Family, input: string): Map<Bits, true> {
  const rules = host.rules.filter(
    (rule) =>
      overlaps(rule.family, family) && routesAll(rule) && (!rule.inputInterface || rule.inputInterface.text === input),
  );
  return new Map(rules.map(({ source }) => [!source || isAny(source) ? '' : prefixBits(source.text), true] as const));
}

/** Tells whether a decision is a leak for all values known at apply only. */
function isLeak({ outcomes }: Decision, exits: ReadonlySet<string>): boolean {
  const leaves = ({ kind, device = '', by }: Outcome): boolean =>
    by === KERNEL && (kind === 'unknown' || (kind === 'unicast' && exits.has(device)));
  return outcomes.length > 0 && outcomes.every(leaves);
}

function problem(host: Host, path: string, part: string): Problem {
  const leak = `${part} in no pool, so clients there would leave by the main default route.`;
  // The rule of a pool is inside its VpnEgress.
  const isEgress = host.discards.some((discard) => discard.path === path);
  return isEgress
    ? {
        path: path.slice(0, path.lastIndexOf('/')),
        message: `${leak} Add it to clients or rejectedClients. If they may leave there, declare a PolicyRule for this source with SourceRoutingTable.main(host).`,
      }
    : {
        path,
        message: `${leak} Declare a PolicyRule for this source, too: with this table, or with RuleAction.unreachable(). If they may leave there, use SourceRoutingTable.main(host).`,
      };
}

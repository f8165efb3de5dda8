import type { Family } from '../model/family';
import { BOTH_FAMILIES, overlaps } from '../model/family';
import type { Host, Problem } from '../model/host';
import { pushTo } from '../model/maps';
import type { Network } from '../model/networks';
import { networksOf } from '../model/networks';
import type { Tunnels } from '../model/tunnels';
import { exitsOf, routesAll, tunnelsOf } from '../model/tunnels';
import { isAny, isLinkLocal } from '../model/value';
import type { Bits } from '../fib/bits';
import { ADDRESS_LENGTH, addressBits, prefixBits } from '../fib/bits';
import { OTHER_INTERFACE, interfacesToldApart } from '../reachability/header-classes';
import { chainValues } from '../reachability/trie-chain';
import type { Decision } from '../reachability/decision';
import { DecisionInterner } from '../reachability/decision';
import { machineWithOpenTunnels } from '../fib/from-host';
import type { Machine } from '../fib/machine';
import { KERNEL, ownerOf } from '../fib/machine';
import type { Outcome } from '../fib/outcome';
import { Reachability } from '../reachability/reachability';
import { prefixSetText } from '../reachability/words';

/** Of a long list of prefixes the first ones say enough. */
const PREFIXES_SHOWN = 4;

/**
 * Parts of the networks of tunnels that no rule routes or rejects, so that packets from there leave through the main
 * table's default route. What a rule says of them, be it to look up the main table, is meant.
 */
export function unpooledParts(host: Host): Problem[] {
  const tunnels = tunnelsOf(host);
  const machine = machineWithOpenTunnels(host);
  return BOTH_FAMILIES.flatMap((family) => {
    const networks = networksOf(host.interfaces).ofFamily(family);
    const named = new Set(interfacesToldApart([machine], family));
    const byInput = new Map<string, Network[]>();
    for (const network of networks.filter(({ link, address }) => tunnels.has(link.name) && !isLinkLocal(address))) {
      pushTo(byInput, named.has(network.link.name) ? network.link.name : OTHER_INTERFACE, network);
    }
    return [...byInput].flatMap(([input, own]) => partsOf(host, machine, family, input, own, tunnels));
  });
}

/** @param own - the networks of the tunnels that packets come in by */
function partsOf(
  host: Host,
  machine: Machine,
  family: Family,
  inputInterface: string,
  own: readonly Network[],
  tunnels: Tunnels,
): Problem[] {
  const linkOf = new Map<Bits, string>();
  // Those of others are there, too: of networks in each other the innermost counts.
  const others = own.flatMap(({ text }) => networksOf(host.interfaces).overlapping(text));
  for (const { text, link } of [...others, ...own]) {
    linkOf.set(prefixBits(text), link.name);
  }
  const nobodys = new Set(own.flatMap((network) => notOfClients(network, family)));
  const paths = new Reachability(
    machine,
    { family, inputInterface, mark: 0, tos: 0, uid: 0 },
    { decisions: new DecisionInterner(), cuts: [...linkOf.keys(), ...nobodys], whose: ownerOf },
  );
  const inputs = new Set(own.map(({ link }) => link.name));
  const routed = routedSources(host, family, inputInterface);
  const exits = exitsOf(host);
  const parts = paths.sources.prefixesOf((source) => {
    if (nobodys.has(source)) return undefined;
    const link = longestAround(source, linkOf);
    const isLeaking =
      link !== undefined &&
      inputs.has(link) &&
      longestAround(source, routed) === undefined &&
      [...chainValues(paths.chainOf(source), paths.decisions)].some((decision) => isLeak(decision, exits));
    return isLeaking ? link : '';
  });
  return [...parts].flatMap(([name, set]) => {
    const part = `${prefixSetText(set, family, PREFIXES_SHOWN)} of "${name}" ${set.prefixes.length > 1 ? 'are' : 'is'}`;
    return name === '' ? [] : problem(host, tunnels.get(name) ?? host.path, part);
  });
}

/** The addresses of a network that no client has: it makes no difference what becomes of their packets. */
function notOfClients({ address, text }: Network, family: Family): Bits[] {
  const length = ADDRESS_LENGTH[family];
  const bits = prefixBits(text);
  return [
    addressBits(address),
    ...(length - bits.length > 1 ? [bits.padEnd(length, '0')] : []),
    // IPv6 has no broadcast.
    ...(length - bits.length > 1 && family === 4 ? [bits.padEnd(length, '1')] : []),
  ];
}

/** The sources that rules route as a whole. What their tables let go on, another check is about. */
function routedSources(host: Host, family: Family, input: string): Map<Bits, true> {
  const rules = host.rules.filter(
    (rule) =>
      overlaps(rule.family, family) && routesAll(rule) && (!rule.inputInterface || rule.inputInterface.text === input),
  );
  return new Map(rules.map(({ source }) => [!source || isAny(source) ? '' : prefixBits(source.text), true] as const));
}

/** Whether it is one for certain, whatever becomes known at apply. */
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

/** What the longest prefix around others stands for. */
function longestAround<T>(bits: Bits, values: ReadonlyMap<Bits, T>): T | undefined {
  for (let length = bits.length; length >= 0; length--) {
    const value = values.get(bits.slice(0, length));
    if (value !== undefined) return value;
  }
  return undefined;
}

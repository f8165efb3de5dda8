import type { Family } from './family';
import type { Word } from './rule';
import { hex, option } from './rule';
import type { Value } from './value';

/** The interface that leads to the source of a packet, which only the machine knows. No interface has this name. */
export const INTERFACE_TOWARD_SOURCE = '-';

/** What of a packet counts for routing besides its addresses; what is not given is any, but for mark and uid, which are 0. */
export interface Selectors {
  /** Where it comes in, or `WHERE_THE_SOURCE_IS`; none for one that the machine itself sends. */
  readonly inputInterface?: string;
  readonly firewallMark?: number;
  readonly tos?: number;
  readonly uid?: number;
  readonly ipProtocol?: number;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
}

/** A packet that the kernel is asked about. */
export interface Question extends Selectors {
  readonly family: Family;
  readonly destination: string;
  /** Destinations of the same class, for a machine that has a route of its own to `destination`. */
  readonly alternatives?: readonly string[];
  /** None where the machine sends it and leaves the choice to the kernel. */
  readonly source?: string;
}

/** What may become of a packet. */
export type Fate =
  | { readonly kind: 'unicast'; readonly via?: Value; readonly device?: Value }
  | { readonly kind: 'local' }
  /** Whatever rejects it, and whatever the sender is told. */
  | { readonly kind: 'rejected' }
  /** No rule of ours decides: it leaves by the same interface as before the change. */
  | { readonly kind: 'unchanged' };

/** What some packets stand for, and what is to become of each of them. */
export interface Expectation {
  /** Path of the construct that declared it. */
  readonly path: string;
  /** Unique in the host, of letters, digits and `_ . : / -`. */
  readonly label: string;
  readonly questions: readonly Question[];
  /** Any of these. */
  readonly fates: readonly Fate[];
}

/** Some addresses: those in some prefixes, without others in them. */
export interface Addresses {
  readonly within: readonly string[];
  readonly except: readonly string[];
}

/** Packets from all of some addresses to all of others. */
export interface Traffic extends Selectors {
  readonly family: Family;
  /** Undefined where the machine sends them and leaves the choice to the kernel. */
  readonly sources?: Addresses;
  readonly destinations: Addresses;
  /** Kinds of packets to leave out. */
  readonly except?: readonly Selectors[];
}

/** What is to become of all packets of some traffic. */
export interface Intent {
  readonly path: string;
  /** As in `Expectation`. */
  readonly label: string;
  readonly traffic: Traffic;
  /** Any of these. */
  readonly fates: readonly Fate[];
  /** Interfaces that are taken to be down; with any, the machine is not asked. */
  readonly linksDown: readonly string[];
  /** Packets that rules of other constructs decide are not meant: somebody wants that. */
  readonly overridable?: boolean;
}

/** The packet in the order of lib/agent/README.md; all but the label that stands before. */
export function questionWords({ destination, alternatives = [], source, ...selectors }: Question): Word[] {
  return [
    ...option('to', destination),
    ...alternatives.flatMap((each) => option('or', each)),
    ...option('from', source),
    ...selectorWords(selectors),
  ];
}

/** Packets, in the same words. */
export function trafficWords({ sources, destinations, ...selectors }: Traffic): Word[] {
  const prefixes = (word: string, { within, except }: Addresses): Word[] => [
    word,
    ...within,
    ...(except.length > 0 ? ['except', ...except] : []),
  ];
  return [...prefixes('to', destinations), ...(sources ? prefixes('from', sources) : []), ...selectorWords(selectors)];
}

/** What may become of it, with `or` between. */
export function fateWords(fates: readonly Fate[]): Word[] {
  return fates.flatMap((fate, index) => [
    ...(index === 0 ? [] : ['or']),
    ...(fate.kind === 'unicast' ? [...option('via', fate.via), ...option('dev', fate.device)] : [fate.kind]),
  ]);
}

/** What counts besides the addresses. */
export function selectorWords(selectors: Selectors): Word[] {
  return [
    ...option('iif', selectors.inputInterface),
    ...option('mark', hex(selectors.firewallMark)),
    ...option('tos', hex(selectors.tos)),
    ...option('uid', selectors.uid),
    ...option('ipproto', selectors.ipProtocol),
    ...option('sport', selectors.sourcePort),
    ...option('dport', selectors.destinationPort),
  ];
}

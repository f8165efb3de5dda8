import { shortDigest } from './digest';
import type { Family } from './family';
import type { Word } from './rule';
import { hex, option } from './rule';
import type { Value } from './value';

/** The interface that leads to the source of a packet, which only the machine knows. No interface has this name. */
export const INTERFACE_TOWARD_SOURCE = '-';

/**
 * Header fields that count for routing, beside the addresses. An undefined field means any; mark and uid default to 0.
 */
export interface Selectors {
  /** Input interface, or `INTERFACE_TOWARD_SOURCE`; undefined for packets of the machine itself. */
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
  /** Undefined if the machine sends the packet and the kernel chooses the source. */
  readonly source?: string;
}

/** An expected outcome of a packet. */
export type Disposition =
  | { readonly kind: 'unicast'; readonly via?: Value; readonly device?: Value }
  | { readonly kind: 'local' }
  /** Rejected in any way, with any reply to the sender. */
  | { readonly kind: 'rejected' }
  /** No rule of ours decides: the packet leaves by the same interface as before the change. */
  | { readonly kind: 'unchanged' };

/** Packets to ask the kernel about, and their expected outcomes. */
export interface Expectation {
  /** Path of the construct that declared it. */
  readonly path: string;
  /** Unique in the host, of letters, digits and `_ . : / -`. */
  readonly label: string;
  readonly questions: readonly Question[];
  /** One of these outcomes. */
  readonly dispositions: readonly Disposition[];
}

/** A label for a construct's expectations. */
export function labelOf(path: string, name: string): string {
  return pathLabel(`${path}/${name}`);
}

/** A path in the characters of a label. No other path has the same label. */
export function pathLabel(path: string): string {
  const ids = path.split('/').map((id) => (safeLabel(id) === id ? id : `${safeLabel(id)}:${shortDigest(id)}`));
  return ids.join('/');
}

/** A text in the characters that the host takes for a label. */
export function safeLabel(text: string): string {
  return text.replace(/[^A-Za-z0-9_.:/-]/g, '_');
}

/** A set of addresses: some prefixes, without other prefixes inside them. */
export interface Addresses {
  readonly within: readonly string[];
  readonly except: readonly string[];
}

/** All packets from a set of addresses to another set. */
export interface Traffic extends Selectors {
  readonly family: Family;
  /** Undefined if the machine sends the packets and the kernel chooses the source. */
  readonly sources?: Addresses;
  readonly destinations: Addresses;
  /** Kinds of packets to leave out. */
  readonly except?: readonly Selectors[];
}

/** The expected outcomes of all packets of some traffic. */
export interface Intent {
  readonly path: string;
  /** As in `Expectation`. */
  readonly label: string;
  readonly traffic: Traffic;
  /** One of these outcomes. */
  readonly dispositions: readonly Disposition[];
  /** Interfaces that count as down. With any, the kernel cannot be asked. */
  readonly linksDown: readonly string[];
  /** Leaves out packets that rules of other constructs decide, since these are intended. */
  readonly overridable?: boolean;
}

/** The packet in the order of lib/agent/README.md, without the leading label. */
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

/** The outcomes, with `or` between them. */
export function dispositionWords(dispositions: readonly Disposition[]): Word[] {
  return dispositions.flatMap((disposition, index) => [
    ...(index === 0 ? [] : ['or']),
    ...(disposition.kind === 'unicast'
      ? [...option('via', disposition.via), ...option('dev', disposition.device)]
      : [disposition.kind]),
  ]);
}

/** The fields other than the addresses. */
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

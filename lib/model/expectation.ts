import type { Family } from './family';
import type { Value } from './value';

/** A packet that the kernel is asked about. */
export interface Question {
  readonly family: Family;
  readonly destination: string;
  /** None where the machine sends it and leaves the choice to the kernel. */
  readonly source?: string;
  /** Where it comes in; none for one that the machine itself sends. */
  readonly inputInterface?: string | typeof WHERE_THE_SOURCE_IS;
  readonly firewallMark?: number;
  readonly tos?: number;
  readonly uid?: number;
  readonly ipProtocol?: number;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
}

/** The interface that leads to the source of a packet, which only the machine knows. No interface has this name. */
export const WHERE_THE_SOURCE_IS = '-';

/** What may become of a packet. */
export type Fate =
  | { readonly kind: 'unicast'; readonly via?: Value; readonly device?: Value }
  | { readonly kind: 'local' }
  /** Whatever rejects it, and whatever the sender is told. */
  | { readonly kind: 'rejected' };

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

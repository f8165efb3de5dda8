import type { Family } from '../model/family';
import type { Host, Problem } from '../model/host';
import type { Word } from '../model/rule';
import type { Value } from '../model/value';
import type { Capabilities } from './capabilities';

/** A deferred value in a line that is only there if the value turns out to be of that family. */
export interface IfFamily {
  readonly value: Value;
  readonly family: Family;
}

/** One of the pieces that stand side by side in a line of text. */
export type Piece = Word | IfFamily;

export type Lines = ReadonlyArray<readonly Piece[]>;

/** The first line of a file that is all ours. */
export const HEADER: readonly Word[] = ['# Managed by cdktf-source-routing: changes here are lost.'];

/** A file on the host. */
export interface HostFile {
  readonly path: string;
  readonly mode: '0600' | '0644' | '0755';
  readonly lines: Lines;
  /** The same for all owners; goes with the last one. */
  readonly shared?: boolean;
  /** Only where systemd runs the machine. */
  readonly systemdOnly?: boolean;
  /** Only where nftables can be used. */
  readonly nftablesOnly?: boolean;
}

/** A drop-in beside the file in which systemd-networkd finds the configuration of a device: the host knows which. */
export interface DropIn {
  readonly device: string;
  readonly name: string;
  readonly lines: Lines;
}

/** Lines in the NetworkManager profile of a device, beside what is there. */
export interface ProfileBlock {
  readonly device: string;
  readonly lines: Lines;
}

/** A systemd unit to enable and start. */
export interface Unit {
  readonly name: string;
  /** Only where systemd runs the machine. */
  readonly systemdOnly?: boolean;
  /** Only where nftables can be used. */
  readonly nftablesOnly?: boolean;
}

/** What the machine must have for a persistence to work. */
export type Requirement =
  | { readonly kind: 'systemd' }
  | { readonly kind: 'version'; readonly manager: string; readonly atLeast: string; readonly for: string };

/** What a persistence puts on a machine. */
export interface Rendered {
  /** The devices of which the network manager must be in charge. */
  readonly devices: readonly string[];
  readonly files: readonly HostFile[];
  readonly dropIns?: readonly DropIn[];
  readonly blocks?: readonly ProfileBlock[];
  readonly units: readonly Unit[];
  readonly requirements: readonly Requirement[];
}

/**
 * One network manager's way to make rules and routes permanent. The agent sets them in the kernel
 * with the tag that the manager would give them, and the manager reads its files again without
 * touching the link; the watch puts back what anybody takes away.
 */
export interface PersistenceRenderer {
  /** As it stands in the plan, and as the agent calls the manager. */
  readonly name: string;
  /** How it is declared. */
  readonly call: string;
  /** Under which protocol its rules and routes are in the kernel: our own, or `static`. */
  readonly tag: 'own' | 'static';
  /** What of the model it can express. */
  readonly capabilities: Capabilities;
  render(host: Host): Rendered;
  /** What of this host it cannot express, beyond what the capabilities say. */
  problems(host: Host): Problem[];
}

/**
 * What is to be on the machine: the one that is named; either of two that are declared by the same call,
 * whichever is in charge; or what the machine has chosen before, and chooses if there is nothing yet.
 */
export interface Choice {
  readonly kind: 'named' | 'either' | 'automatic';
  readonly among: readonly PersistenceRenderer[];
}

/** Lines of text without deferred values. */
export function textLines(text: string): string[][] {
  return text
    .replace(/\n$/, '')
    .split('\n')
    .map((line) => [line]);
}

/** Words of one line, with a blank between. */
export function spaced(words: readonly Word[]): Word[] {
  return words.flatMap((word, index) => (index === 0 ? [word] : [' ', word]));
}

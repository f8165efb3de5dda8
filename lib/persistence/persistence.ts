import type { Family } from '../model/family';
import type { Host, Problem } from '../model/host';
import type { Word } from '../model/rule';
import type { Value } from '../model/value';
import type { Capabilities } from './capabilities';

/** A deferred value in a line that exists only if the value has this family. */
export interface IfFamily {
  readonly value: Value;
  readonly family: Family;
}

/** One of the pieces that stand side by side in a line of text. */
export type Piece = Word | IfFamily;

export type Lines = ReadonlyArray<readonly Piece[]>;

/** The first line of a file that belongs to us alone. */
export const HEADER: readonly Word[] = ['# Managed by cdktf-source-routing: changes here are lost.'];

/** A file on the host. */
export interface HostFile {
  readonly path: string;
  readonly mode: '0600' | '0644' | '0755';
  readonly lines: Lines;
  /** Shared by all owners; removed with the last one. */
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

/** The requirements of a persistence on the machine. */
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
 * Renders rules and routes for one network manager. The agent sets them in the kernel with the protocol that the
 * manager would use. The manager reads its files again without touching the link. The watch repairs the rest.
 */
export interface PersistenceRenderer {
  /** Name of the manager in the plan and for the agent. */
  readonly name: string;
  /** The call that declares it. */
  readonly call: string;
  /** Protocol of its rules and routes in the kernel: our own, or `static`. */
  readonly routeProtocol: 'own' | 'static';
  /** The features that it can express. */
  readonly capabilities: Capabilities;
  render(host: Host): Rendered;
  /** Errors for this host beyond those of the capabilities. */
  problems(host: Host): Problem[];
}

/**
 * How the renderer is chosen. `named`: it is the only one. `either`: the one of two whose manager is in charge.
 * `automatic`: the one that the machine chose before, or chooses now.
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

import type { Host, Problem } from '../model/host';
import type { Word } from '../model/rule';

/** A file on the host. Its lines may hold deferred values. */
export interface HostFile {
  readonly path: string;
  readonly mode: '0600' | '0644' | '0755';
  readonly lines: ReadonlyArray<readonly Word[]>;
  /** The same for all owners; goes with the last one. */
  readonly shared?: boolean;
}

/** What the machine must have for a persistence to work. */
export type Requirement = { readonly kind: 'systemd' } | { readonly kind: 'directory'; readonly path: string };

/** What a persistence puts on a machine. */
export interface Rendered {
  readonly files: readonly HostFile[];
  /** systemd units to enable and start. */
  readonly units: readonly string[];
  readonly requirements: readonly Requirement[];
}

/** One network manager's way to make rules and routes permanent. */
export interface PersistenceRenderer {
  /** As it stands in the plan. */
  readonly name: string;
  render(host: Host): Rendered;
  /** What of this host it cannot express. */
  problems(host: Host): Problem[];
}

/** Lines of text without deferred values. */
export function textLines(text: string): string[][] {
  return text
    .replace(/\n$/, '')
    .split('\n')
    .map((line) => [line]);
}

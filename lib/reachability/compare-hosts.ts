import type { Host } from '../model/host';
import type { Change } from './differential';
import { compare } from './differential';
import { machineOf } from '../fib/from-host';

/** What changes on one host. */
export interface HostChanges {
  readonly path: string;
  /** A host that only one side declares is compared with itself without rules and routes. */
  readonly presence: 'both' | 'added' | 'removed';
  readonly changes: readonly Change[];
}

/** What changes on all hosts that are declared before or after, by their paths. */
export function compareHosts(before: ReadonlyMap<string, Host>, after: ReadonlyMap<string, Host>): HostChanges[] {
  const paths = [...new Set([...before.keys(), ...after.keys()])].sort();
  return paths.flatMap((path): HostChanges[] => {
    const [was, is] = [before.get(path), after.get(path)];
    const any = is ?? was;
    const presence = !was ? 'added' : !is ? 'removed' : 'both';
    return any ? [{ path, presence, changes: compare(machineOf(was ?? bare(any)), machineOf(is ?? bare(any))) }] : [];
  });
}

function bare(host: Host): Host {
  return { ...host, tables: [], rules: [], routes: [], hooks: [] };
}

import { canonicalForm, hasDeferredValues } from '../model/canonical-form';
import type { Host } from '../model/host';
import { getOrInsertComputed } from '../model/maps';
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
  const known = new Map<string, readonly Change[]>();
  return paths.flatMap((path): HostChanges[] => {
    const [was, is] = [before.get(path), after.get(path)];
    const any = is ?? was;
    const presence = !was ? 'added' : !is ? 'removed' : 'both';
    return any ? [{ path, presence, changes: changesOf(was ?? bare(any), is ?? bare(any), known) }] : [];
  });
}

/** Computed once for all hosts of a fleet that routing cannot distinguish, before and after. */
function changesOf(was: Host, is: Host, known: Map<string, readonly Change[]>): readonly Change[] {
  if (was === is) {
    return [];
  }
  const forms = [canonicalForm(was), canonicalForm(is)];
  const make = (): readonly Change[] => compare(machineOf(was), machineOf(is));
  if (forms.some(hasDeferredValues)) {
    return make();
  }
  return forms[0] === forms[1] ? [] : getOrInsertComputed(known, forms.join('\n'), make);
}

function bare(host: Host): Host {
  return { ...host, tables: [], rules: [], routes: [], hooks: [] };
}

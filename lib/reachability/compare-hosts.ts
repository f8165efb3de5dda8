import { canonicalForm, deferredSources, hasDeferredValues } from '../model/canonical-form';
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
  /** Properties whose change replaces the anchor. It cleans the machine up before anything is applied again. */
  readonly replacedBy: readonly string[];
  /** Whether nothing cleans up the machine of a removed host. So no traffic changes its path there. */
  readonly keepsRules: boolean;
  /** What gives the values that both sides know at apply only. */
  readonly notCompared: readonly string[];
}

/** What Terraform does to anchors that both sides do not have at the same path. */
export interface Succession {
  /** Removed hosts whose machines Terraform cleans up. */
  readonly cleanedUp: ReadonlySet<string>;
  /** The earlier paths of moved hosts, by the later ones. */
  readonly movedFrom: ReadonlyMap<string, string>;
}

const NO_SUCCESSION: Succession = { cleanedUp: new Set(), movedFrom: new Map() };

type Hosts = ReadonlyMap<string, Host>;

/** What changes on all hosts that are declared before or after, by their paths. */
export function compareHosts(before: Hosts, after: Hosts, succession = NO_SUCCESSION): HostChanges[] {
  const { cleanedUp, movedFrom } = succession;
  const earlier = (path: string): string => (before.has(path) ? path : (movedFrom.get(path) ?? path));
  const moved = new Set([...after.keys()].map(earlier));
  const paths = [...after.keys(), ...[...before.keys()].filter((path) => !moved.has(path))].sort();
  const known = new Map<string, readonly Change[]>();
  return paths.flatMap((path): HostChanges[] => {
    const [was, is] = [before.get(earlier(path)), after.get(path)];
    if (was && is) {
      const changes = changesOf(was, is, known);
      return [{ ...same(path), changes, replacedBy: replacedBy(was, is), notCompared: notCompared(was, is) }];
    }
    if (is) {
      return [{ ...same(path), presence: 'added', changes: changesOf(bare(is), is, known) }];
    }
    return was ? [removed(was, changesOf(was, bare(was), known), cleanedUp.has(path))] : [];
  });
}

function same(path: string): HostChanges {
  return { path, presence: 'both', changes: [], replacedBy: [], keepsRules: false, notCompared: [] };
}

function removed({ path }: Host, changes: readonly Change[], isCleanedUp: boolean): HostChanges {
  return {
    ...same(path),
    presence: 'removed',
    changes: isCleanedUp ? changes : [],
    keepsRules: !isCleanedUp && changes.length > 0,
  };
}

/** Without rules before, there is nothing to clean up. */
function replacedBy(was: Host, is: Host): string[] {
  const [before, after] = [was, is].map(({ management }) => management.endpoint ?? {});
  const differs = <T>(one: T | undefined, other: T | undefined): boolean =>
    one !== undefined && other !== undefined && one !== other;
  const replaced = [
    ...(was.owner === is.owner ? [] : ['owner']),
    ...(differs(before.host, after.host) ? ['ssh.host'] : []),
    ...(differs(before.port, after.port) ? ['ssh.port'] : []),
  ];
  return was.rules.length > 0 ? replaced : [];
}

/** Several constructs may use one value. */
function notCompared(was: Host, is: Host): string[] {
  const before = deferredSources(was);
  const sources = new Map<string, string>();
  for (const [source, token] of deferredSources(is)) {
    if (before.has(source) && !sources.has(token)) sources.set(token, source);
  }
  const [one, other] = [was, is].map(({ management }) => management.endpoint);
  const endpoint = one && other ? (['host', 'port'] as const) : [];
  return [
    ...sources.values(),
    ...endpoint
      .filter((key) => one?.[key] === undefined || other?.[key] === undefined)
      .map((key) => `${is.path}:ssh.${key}`),
  ];
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

import type { Outcome } from '../fib/outcome';
import { defaultPrefix } from '../model/family';
import { getOrInsertComputed, oncePerObject } from '../model/maps';
import type { PrefixSet } from '../reachability/aggregate';
import type { Change } from '../reachability/differential';
import { decisionText, packetsText, prefixSetText } from '../reachability/words';
import { endingOf } from '../report/ways';

/** Of longer lists of prefixes only the first are named; `--json` has them all. */
const NAMED = 3;

/** A change of a path, as people read it. */
export interface Line {
  readonly packets: string;
  readonly was: string;
  readonly now: string;
  /** Whether packets that come in leave by the main default route, and did not before. */
  readonly isLeak: boolean;
}

/**
 * The lines of the changes of a host, leaks first. An address that becomes the machine's own, or stops being so, gets
 * one line for all sources. Hosts with the same changes share the lines.
 */
export const linesOf = oncePerObject((changes: readonly Change[]): readonly Line[] => {
  const byAddress = new Map<string, { readonly packets: string; readonly all: Change[] }>();
  for (const change of changes.filter(isOwn)) {
    const packets = `to ${toText({ ...change, packets: [] })}`;
    const key = `${packets} ${change.before.every(isHere)}`;
    getOrInsertComputed(byAddress, key, () => ({ packets, all: [] })).all.push(change);
  }
  const others = changes
    .filter((change) => !isOwn(change))
    .map((change) => ({ packets: packetsOf(change), all: [change] }));
  const lines = [...others, ...byAddress.values()].map(({ packets, all }) => ({
    packets,
    was: decisionText({ outcomes: all.flatMap(({ before }) => before) }),
    now: decisionText({ outcomes: all.flatMap(({ after }) => after) }),
    isLeak: all.some(isLeak),
  }));
  return lines.sort((one, other) => Number(other.isLeak) - Number(one.isLeak));
});

function isLeak({ direction, before, after }: Change): boolean {
  return direction === 'incoming' && after.some(isByUplink) && !before.every(isByUplink);
}

function isByUplink(outcome: Outcome): boolean {
  return endingOf(outcome) === 'uplink';
}

function isOwn({ before, after }: Change): boolean {
  return before.every(isHere) !== after.every(isHere);
}

function isHere({ kind }: Outcome): boolean {
  return kind === 'local' || kind === 'broadcast' || kind === 'anycast';
}

/** `10.10.10.0/24 to any`. */
function packetsOf(change: Change): string {
  const { family, direction, sources } = change;
  const from = sources ? prefixSetText(sources, family, NAMED) : 'with no source yet,';
  return `${direction === 'sent' ? 'from the machine itself, ' : ''}${from} to ${toText(change)}`;
}

function toText({ family, packets, destinations }: Change): string {
  const by = packets.map(packetsText).filter((text) => text !== '');
  const to = containsAll(destinations) ? defaultPrefix(family) : prefixSetText(destinations, family, NAMED);
  return by.length === 0 ? to : `${to} (${by.join('; ')})`;
}

function containsAll({ prefixes: [first, ...others], except }: PrefixSet): boolean {
  return first === '' && others.length === 0 && except.length === 0;
}

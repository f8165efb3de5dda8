import { prefixText } from '../fib/bits';
import type { Change } from '../reachability/differential';
import type { HostChanges } from '../reachability/compare-hosts';
import type { Outcome } from '../fib/outcome';
import type { PrefixSet } from '../reachability/aggregate';
import { decisionText, packetsText, prefixSetText } from '../reachability/words';
import type { Family } from '../model/family';
import { defaultPrefix } from '../model/family';
import { code, json, terminal } from '../report/escape';

/** Marks the comment on a pull request, so that the next run can update it. */
const MARKER = '<!-- source-routing diff -->';
const NOTHING = 'No traffic changes its path.';
/** Of longer lists of prefixes only the first are named; `--json` has them all. */
const NAMED = 3;
/** More rows than that are folded. */
const UNFOLDED = 10;
/** A longer text gets a line of its own. */
const WIDEST = 48;

export function hasChanges(hosts: readonly HostChanges[]): boolean {
  return hosts.some(({ changes }) => changes.length > 0);
}

/** For a terminal. */
export function diffText(hosts: readonly HostChanges[]): string {
  const told = toldOf(hosts);
  const short = told
    .flatMap(({ lines }) => lines.map(({ packets }) => packets.length))
    .filter((length) => length <= WIDEST);
  const width = Math.max(0, ...short) + 1;
  const text = ({ packets, was, now }: Line): string[] => {
    const which = `${packets}:`;
    const ways = `was ${was}, now ${now}`;
    return which.length <= width ? [`  ${which.padEnd(width)} ${ways}`] : [`  ${which}`, `    ${ways}`];
  };
  return terminal([
    ...told.flatMap(({ host, lines }) => [`${host.path}${presenceText(host)}`, ...lines.flatMap(text), '']),
    hasChanges(hosts) ? summary(told, hosts.length) : NOTHING,
  ]);
}

/** For a comment on a pull request. */
export function diffMarkdown(hosts: readonly HostChanges[]): string {
  const told = toldOf(hosts);
  const rows = told.flatMap(({ host, lines }) => lines.map((line) => row(host.path, line)));
  const table = ['| host | packets | was | now |', '| --- | --- | --- | --- |', ...rows].join('\n');
  const folded = `<details>\n<summary>All ${rows.length} changes</summary>\n\n${table}\n\n</details>`;
  const presence = hosts
    .filter(({ presence }) => presence !== 'both')
    .map((host) => `- ${code(host.path)}${presenceText(host)}`);
  return `${[
    MARKER,
    rows.length === 0 ? NOTHING : `**${summary(told, hosts.length)}**`,
    ...(presence.length === 0 ? [] : [presence.join('\n')]),
    ...(rows.length === 0 ? [] : [rows.length > UNFOLDED ? folded : table]),
  ].join('\n\n')}\n`;
}

/** For programs: all prefixes and outcomes. */
export function diffJson(hosts: readonly HostChanges[]): string {
  const content = hosts.map(({ path, presence, changes }) => ({
    host: path,
    presence,
    changes: changes.map(({ family, direction, packets, sources, destinations, before, after }) => ({
      family,
      direction,
      packets: packets.map((each) => each.map(({ by, not, values }) => ({ by, not, values }))),
      sources: sources ? prefixes(sources, family) : null,
      destinations: prefixes(destinations, family),
      before: before.map(outcomeJson),
      after: after.map(outcomeJson),
    })),
  }));
  return json({ format: 1, hosts: content });
}

function outcomeJson({ kind, via, device, tableId }: Outcome): object {
  return { kind, via, device, table: tableId };
}

function prefixes(set: PrefixSet, family: Family): object {
  const whole = defaultPrefix(family);
  const texts = (list: PrefixSet['prefixes']): string[] =>
    list.map((bits) => (bits === '' ? whole : prefixText(bits, family)));
  return { prefixes: texts(set.prefixes), except: texts(set.except) };
}

/** A host with changes. */
interface Told {
  readonly host: HostChanges;
  readonly lines: readonly Line[];
}

function toldOf(hosts: readonly HostChanges[]): Told[] {
  return hosts
    .filter(({ presence, changes }) => presence !== 'both' || changes.length > 0)
    .map((host) => ({ host, lines: linesOf(host) }));
}

function presenceText({ presence }: HostChanges): string {
  return presence === 'both' ? '' : presence === 'added' ? ': host added' : ': host removed';
}

function summary(told: readonly Told[], hosts: number): string {
  const counts = told.map(({ lines }) => lines.length).filter((count) => count > 0);
  const count = counts.reduce((sum, each) => sum + each, 0);
  const where = hosts === 1 ? '' : `, on ${counts.length} of ${hosts} hosts`;
  return `${count} ${count === 1 ? 'change' : 'changes'} of where traffic goes${where}.`;
}

/** A change of a path, as people read it. */
interface Line {
  readonly packets: string;
  readonly was: string;
  readonly now: string;
}

/** An address that becomes the machine's own, or stops being so, gets one line for all sources. */
function linesOf({ changes }: HostChanges): Line[] {
  const byAddress = new Map<string, { readonly packets: string; readonly was: Outcome[]; readonly now: Outcome[] }>();
  for (const change of changes.filter(isOwn)) {
    const packets = `to ${toText({ ...change, packets: [] })}`;
    const key = `${packets} ${change.before.every(isHere)}`;
    const { was, now } = byAddress.get(key) ?? { was: [], now: [] };
    byAddress.set(key, { packets, was: [...was, ...change.before], now: [...now, ...change.after] });
  }
  const others = changes.filter((change) => !isOwn(change));
  return [
    ...others.map((change) => ({ packets: packetsOf(change), was: change.before, now: change.after })),
    ...byAddress.values(),
  ].map(({ packets, was, now }) => ({
    packets,
    was: decisionText({ outcomes: was }),
    now: decisionText({ outcomes: now }),
  }));
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

function row(path: string, { packets, was, now }: Line): string {
  return `| ${[path, packets, was, now].map(code).join(' | ')} |`;
}

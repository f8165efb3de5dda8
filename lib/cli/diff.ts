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
/** What GitHub takes in one comment. GitLab takes more. */
export const MOST_CHARACTERS = 65_536;
/** Room for the numbers of what is shown, which are known last. */
const DIGITS = 20;
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

/** For a comment on a pull request: at most `MOST_CHARACTERS`. It says what it leaves out. */
export function diffMarkdown(hosts: readonly HostChanges[]): string {
  const told = toldOf(hosts);
  const rows = told.flatMap(({ host, lines }) => lines.map((line) => row(host.path, line)));
  const presence = hosts
    .filter((host) => host.presence !== 'both')
    .map((host) => `- ${code(host.path)}${presenceText(host)}`);
  const heading = rows.length === 0 ? NOTHING : `**${summary(told, hosts.length)}**`;
  const whole = comment(heading, presence, rows, rows.length);
  if (whole.length <= MOST_CHARACTERS) {
    return whole;
  }
  const cut = (shownPresence: number, shownRows: number): string =>
    comment(
      `${heading}\n\n${leftOut(presence.length - shownPresence, rows.length - shownRows)}`,
      presence.slice(0, shownPresence),
      rows.slice(0, shownRows),
      rows.length,
    );
  // Hosts that come or go are named first, in up to half of the comment.
  const room = MOST_CHARACTERS - DIGITS - cut(0, 0).length;
  const shownPresence = fitting(presence, rows.length === 0 ? room : room / 2);
  return cut(shownPresence, fitting(rows, MOST_CHARACTERS - DIGITS - cut(shownPresence, 0).length));
}

function comment(heading: string, presence: readonly string[], rows: readonly string[], all: number): string {
  const table = ['| host | packets | was | now |', '| --- | --- | --- | --- |', ...rows].join('\n');
  const which = rows.length === all ? `All ${all} changes` : `The first ${rows.length} of ${all} changes`;
  const folded = `<details>\n<summary>${which}</summary>\n\n${table}\n\n</details>`;
  return `${[
    MARKER,
    heading,
    ...(presence.length === 0 ? [] : [presence.join('\n')]),
    ...(all === 0 ? [] : [all > UNFOLDED ? folded : table]),
  ].join('\n\n')}\n`;
}

/** How many of the lines fit, from the first on. */
function fitting(lines: readonly string[], room: number): number {
  let used = 0;
  const tooMany = lines.findIndex((line) => (used += line.length + 1) > room);
  return tooMany < 0 ? lines.length : tooMany;
}

function leftOut(hosts: number, changes: number): string {
  const parts = [
    ...(changes > 0 ? [`${changes} ${changes === 1 ? 'change' : 'changes'}`] : []),
    ...(hosts > 0 ? [`${hosts} added or removed ${hosts === 1 ? 'host' : 'hosts'}`] : []),
  ];
  return `**Not shown here: ${parts.join(', ')}**, since a comment holds ${MOST_CHARACTERS} characters. Without \`--markdown\`, the command prints all.`;
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

import { prefixText } from '../fib/bits';
import type { HostChanges } from '../reachability/compare-hosts';
import type { Outcome } from '../fib/outcome';
import type { PrefixSet } from '../reachability/aggregate';
import type { Family } from '../model/family';
import { defaultPrefix } from '../model/family';
import { code, json, terminal } from '../report/escape';
import { groupBy } from '../report/groups';
import { plural } from '../report/text';
import type { Line } from './diff-lines';
import { linesOf } from './diff-lines';

/** Marks the comment on a pull request, so that the next run can update it. */
const MARKER = '<!-- source-routing diff -->';
const NOTHING = 'No traffic changes its path';
/** Of more hosts than that, a comment names only the first. */
const MOST_HOSTS = 5;
/** More rows than that are folded. */
const UNFOLDED = 10;
/** What GitHub takes in one comment. GitLab takes more. */
export const MOST_CHARACTERS = 65_536;
/** Room for the numbers of what is shown, which are known last. */
const DIGITS = 20;
/** A longer text gets a line of its own. */
const WIDEST = 48;

export function hasChanges(hosts: readonly HostChanges[]): boolean {
  return hosts.some(({ changes, replacedBy, keepsRules }) => changes.length > 0 || replacedBy.length > 0 || keepsRules);
}

/** For a terminal. Hosts with the same changes share their lines. */
export function diffText(hosts: readonly HostChanges[]): string {
  const short = hosts
    .flatMap(({ changes }) => linesOf(changes).map(({ packets }) => packets.length))
    .filter((length) => length <= WIDEST);
  const width = Math.max(0, ...short) + 1;
  const text = ({ packets, was, now }: Line): string[] => {
    const which = `${packets}:`;
    const ways = `was ${was}, now ${now}`;
    return which.length <= width ? [`  ${which.padEnd(width)} ${ways}`] : [`  ${which}`, `    ${ways}`];
  };
  return terminal([
    ...groupsOf(hosts).flatMap((group) => [
      ...group.map((host) => `${host.path}${noticeOf(host)}`),
      ...linesOf(group[0].changes).flatMap(text),
      '',
    ]),
    ...summary(hosts),
  ]);
}

/** The hosts of which something is said, by what changes on them: the most dangerous first, then the rarest. */
function groupsOf(hosts: readonly HostChanges[]): Array<[HostChanges, ...HostChanges[]]> {
  const told = hosts.filter((host) => noticeOf(host) !== '' || host.changes.length > 0);
  const groups = groupBy(told, ({ changes }) => JSON.stringify(linesOf(changes)));
  const isDangerous = (group: readonly HostChanges[]): boolean =>
    group.some(({ changes, replacedBy }) => replacedBy.length > 0 || linesOf(changes).some(({ isLeak }) => isLeak));
  return groups.sort(
    (one, other) => Number(isDangerous(other)) - Number(isDangerous(one)) || one.length - other.length,
  );
}

/** What happens to a host besides its changes, behind its path. */
function noticeOf({ presence, replacedBy, keepsRules }: HostChanges): string {
  if (keepsRules) {
    return ': host removed, but nothing cleans the machine up, so it keeps its rules. To clean it up, put RemovedLinuxHost in its place';
  }
  if (presence !== 'both') {
    return presence === 'added' ? ': host added' : ': host removed';
  }
  if (replacedBy.length === 0) {
    return '';
  }
  const cause = `${replacedBy.join(', ')} ${replacedBy.length === 1 ? 'changes' : 'change'}`;
  return replacedBy.every((property) => property === 'owner')
    ? `: ${cause}: the machine is cleaned up, then applied again; in between clients leave by the uplink`
    : `: ${cause}: the old machine is cleaned up, then the new one is applied; if they are the same, in between clients leave by the uplink`;
}

/** What changes in all, and what was not compared. */
function summary(hosts: readonly HostChanges[]): [string, ...string[]] {
  const counts = hosts.map(({ changes }) => linesOf(changes).length).filter((count) => count > 0);
  const count = counts.reduce((sum, each) => sum + each, 0);
  const where = hosts.length === 1 ? '' : `, on ${counts.length} of ${hosts.length} hosts`;
  const replaced = hosts.some(({ replacedBy }) => replacedBy.length > 0);
  const nothing = replaced ? `${NOTHING}, except while hosts are cleaned up and applied again.` : `${NOTHING}.`;
  const unknown = new Set(hosts.flatMap(({ notCompared }) => notCompared)).size;
  const are = unknown === 1 ? 'is known at apply only, and was' : 'are known at apply only, and were';
  return [
    count === 0 ? nothing : `${plural(count, 'change')} of where traffic goes${where}.`,
    ...(unknown === 0 ? [] : [`${plural(unknown, 'value')} ${are} not compared.`]),
  ];
}

/** A line of a comment, and how many changes or hosts it stands for. */
interface Row {
  readonly text: string;
  readonly count: number;
}

/** For a comment on a pull request: at most `MOST_CHARACTERS`. It says what it leaves out. */
export function diffMarkdown(hosts: readonly HostChanges[]): string {
  const [notices, rows] = [noticesOf(hosts), rowsOf(hosts)];
  const [main, ...more] = summary(hosts);
  const heading = [rows.length === 0 ? main : `**${main}**`, ...more].join('\n\n');
  const whole = comment(heading, notices, rows, rows);
  if (whole.length <= MOST_CHARACTERS) {
    return whole;
  }
  const cut = (shownNotices: number, shownRows: number): string => {
    const left = leftOut(countOf(notices.slice(shownNotices)), countOf(rows.slice(shownRows)));
    return comment(`${heading}\n\n${left}`, notices.slice(0, shownNotices), rows.slice(0, shownRows), rows);
  };
  // What is said of whole hosts comes first, in up to half of the comment.
  const room = MOST_CHARACTERS - DIGITS - cut(0, 0).length;
  const shownNotices = fitting(notices, rows.length === 0 ? room : room / 2);
  return cut(shownNotices, fitting(rows, MOST_CHARACTERS - DIGITS - cut(shownNotices, 0).length));
}

/** What happens to hosts besides their changes: the most dangerous first. */
function noticesOf(hosts: readonly HostChanges[]): Row[] {
  const rank = ({ replacedBy, keepsRules }: HostChanges): number => (replacedBy.length > 0 ? 0 : keepsRules ? 1 : 2);
  const told = hosts.filter((host) => noticeOf(host) !== '').sort((one, other) => rank(one) - rank(other));
  return groupBy(told, noticeOf).map((group) => ({
    text: `- ${hostsCode(group.map(({ path }) => path))}${noticeOf(group[0])}`,
    count: group.length,
  }));
}

/** One row for all hosts with the same change: leaks first, then the rarest. */
function rowsOf(hosts: readonly HostChanges[]): Row[] {
  const all = hosts.flatMap(({ path, changes }) => linesOf(changes).map((line) => ({ path, line })));
  return groupBy(all, ({ line }) => JSON.stringify(line))
    .sort(
      ([{ line: one }, ...likeOne], [{ line: other }, ...likeOther]) =>
        Number(other.isLeak) - Number(one.isLeak) || likeOne.length - likeOther.length,
    )
    .map((group) => {
      const [{ line }] = group;
      const cells = [hostsCode(group.map(({ path }) => path)), ...[line.packets, line.was, line.now].map(code)];
      return { text: `| ${cells.join(' | ')} |`, count: group.length };
    });
}

function hostsCode(paths: readonly string[]): string {
  const names = [...new Set(paths)];
  const text = names.slice(0, MOST_HOSTS).join(', ');
  return code(names.length > MOST_HOSTS ? `${names.length} hosts: ${text}, ...` : text);
}

function countOf(rows: readonly Row[]): number {
  return rows.reduce((sum, { count }) => sum + count, 0);
}

function comment(heading: string, notices: readonly Row[], rows: readonly Row[], all: readonly Row[]): string {
  const texts = (some: readonly Row[]): string[] => some.map(({ text }) => text);
  const table = ['| host | packets | was | now |', '| --- | --- | --- | --- |', ...texts(rows)].join('\n');
  const [shown, count] = [countOf(rows), countOf(all)];
  const which = shown === count ? `All ${count} changes` : `The first ${shown} of ${count} changes`;
  const folded = `<details>\n<summary>${which}</summary>\n\n${table}\n\n</details>`;
  return `${[
    MARKER,
    heading,
    ...(notices.length === 0 ? [] : [texts(notices).join('\n')]),
    ...(all.length === 0 ? [] : [all.length > UNFOLDED ? folded : table]),
  ].join('\n\n')}\n`;
}

/** How many of the lines fit, from the first on. */
function fitting(rows: readonly Row[], room: number): number {
  let used = 0;
  const tooMany = rows.findIndex(({ text }) => (used += text.length + 1) > room);
  return tooMany < 0 ? rows.length : tooMany;
}

function leftOut(hosts: number, changes: number): string {
  const parts = [
    ...(changes > 0 ? [plural(changes, 'change')] : []),
    ...(hosts > 0 ? [`notes on ${plural(hosts, 'host')}`] : []),
  ];
  return `**Not shown here: ${parts.join(', ')}**, since a comment holds ${MOST_CHARACTERS} characters. Without \`--markdown\`, the command prints all.`;
}

/** For programs: all prefixes and outcomes. */
export function diffJson(hosts: readonly HostChanges[]): string {
  const content = hosts.map(({ path, presence, replacedBy, keepsRules, notCompared, changes }) => ({
    host: path,
    ...{ presence, replacedBy, keepsRules, notCompared },
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

import { prefixText } from '../fib/bits';
import { familyName } from '../model/family';
import type { HostClass, HostTraffic } from './classes';
import { groupBy } from './groups';
import { networkPrefixes } from './links';
import type { Box, Leak, Row } from './picture';
import { LEAK } from './picture';
import { plural } from './text';
import type { Track } from './tracks';
import { boxOf, mean, whenDown } from './tracks';

const MOST_POOLS = 5;
const MOST_BOXES = 8;

/** The order of the origins, from top to bottom. */
const PLACES: ReadonlyArray<HostClass['from']> = ['clients', 'others', 'server'];

/** Packets that share one box, and the ways that they take. */
export interface Origin {
  readonly classes: readonly HostClass[];
  readonly tracks: readonly Track[];
}

/** Returns the first column of the picture, and the tracks that begin at its rows. */
export function originBoxes(traffic: HostTraffic, origins: readonly Origin[]): { boxes: Box[]; tracks: Track[] } {
  const all = merged(origins)
    .map((each) => ({ ...each, place: PLACES.indexOf(each.classes[0].from) + meanRule(each.tracks) / 1000 }))
    .sort((one, other) => one.place - other.place);
  const drawn = all.map(({ classes, tracks }, index) => {
    const hasKindred = all.filter((other) => other.classes[0].from === classes[0].from).length > 1;
    return draw(`from${index}`, titleOf(classes), linesOf(traffic, classes, hasKindred), tracks);
  });
  return { boxes: drawn.map(({ box }) => box), tracks: drawn.flatMap((each) => each.tracks) };
}

/** Merges origins whose packets go the same ways. Merges across links only if there are too many boxes otherwise. */
function merged(origins: readonly Origin[]): Origin[] {
  const ways = (tracks: readonly Track[]): string => [...new Set(tracks.map(trackKey))].sort().join('\n');
  const by = (each: readonly Origin[], key: (of: HostClass) => string): Origin[] =>
    groupBy(each, ({ classes, tracks }) => `${key(classes[0])}\n${ways(tracks)}`).map(mergeOrigins);
  const near = by(origins, ({ from, links, packets }) => `${from} ${links.join()} ${packets}`);
  const far = near.length <= MOST_BOXES ? near : by(near, ({ from, packets }) => `${from} ${packets}`);
  const rest = PLACES.map((place) => {
    const those = far.filter(({ classes }) => classes[0].from === place);
    return those.length > MOST_BOXES ? those.slice(MOST_BOXES - 1) : [];
  }).filter(({ length }) => length > 0);
  return [...far.filter((each) => !rest.flat().includes(each)), ...rest.map(mergeOrigins)];
}

function mergeOrigins(origins: readonly Origin[]): Origin {
  return {
    classes: origins.flatMap(({ classes }) => classes),
    tracks: origins.flatMap(({ tracks }) => tracks),
  };
}

/** Rules for several pools share one box. The tunnel that clients use makes no separate class of traffic. */
function trackKey({ words, rule, ending, down }: Track): string {
  return [words, boxOf(rule), ending, down].join(' ');
}

function titleOf(classes: readonly HostClass[]): string {
  const links = [...new Set(classes.flatMap((each) => each.links))];
  const by = links.length === 0 ? '' : ` on ${links.length > 2 ? plural(links.length, 'link') : links.join(', ')}`;
  return { clients: `clients${by}`, server: 'this server', others: 'anybody else' }[classes[0].from];
}

function linesOf({ host, clients, names }: HostTraffic, classes: readonly HostClass[], hasKindred: boolean): string[] {
  const [{ from, namesLinks }] = classes;
  const [packets, ...otherPackets] = new Set(classes.map((each) => each.packets));
  const families = [...new Set(classes.map(({ family }) => family))];
  const sources = classes.flatMap((each) =>
    each.sources.flatMap((source) => (source ? (names.get(source) ?? prefixText(source, each.family)) : [])),
  );
  const pools = from === 'server' ? [] : [...new Set(sources)];
  const most = pools.length > MOST_POOLS ? MOST_POOLS - 1 : MOST_POOLS;
  const others = host.interfaces.filter(
    (each) => !clients.links.has(each.name) && families.some((family) => networkPrefixes(each, family).length > 0),
  );
  const by = others.length > 3 ? plural(others.length, 'link') : others.map(({ name }) => name).join(', ');
  return [
    ...pools.slice(0, most),
    ...(pools.length > most ? [`… ${pools.length - most} more pools`] : []),
    ...(from === 'others' && others.length > 0 && !namesLinks ? [`in by ${by}`] : []),
    ...(pools.length === 0 && hasKindred ? [families.map(familyName).join(', ')] : []),
    ...(packets === '' ? [] : [packets]),
    ...(otherPackets.length === 0 ? [] : [`… ${otherPackets.length} more kinds`]),
  ];
}

function draw(
  id: string,
  title: string,
  lines: readonly string[],
  tracks: readonly Track[],
): { box: Box; tracks: Track[] } {
  const ports = groupBy(tracks, (track) => portWords(track, tracks)).sort((a, b) => meanRule(a) - meanRule(b));
  const leak = leakOf(tracks);
  const rows = [
    ...lines.map((text, index): Row => ({ id: `${id}-text${index}`, text })),
    ...ports.map((group, index): Row => ({
      id: `${id}-${index}`,
      text: '',
      note: portWords(group[0], tracks),
      ending: group[0].ending,
    })),
  ];
  return {
    box: { id, title, ...(leak && { leak }), rows },
    tracks: ports.flatMap((group, index) => group.map((track) => ({ ...track, origin: `${id}-${index}` }))),
  };
}

function leakOf(tracks: readonly Track[]): Leak | undefined {
  const leaking = tracks.filter(({ ending }) => ending === 'leak');
  if (leaking.length === 0) return undefined;
  return leaking.some(({ down }) => down === undefined)
    ? { label: LEAK, onlyIfDown: false }
    : { label: `${LEAK}, ${whenDown([...new Set(leaking.flatMap(({ down }) => down ?? []))])}`, onlyIfDown: true };
}

/** Returns the mean position of the rules, counted from the top. */
function meanRule(tracks: readonly Track[]): number {
  return mean(tracks.map(({ rule }) => Number(/^rules(\d+)/.exec(rule)?.[1])));
}

/** Names the row of a track: one for ways to the same rules, another for ways elsewhere while a link is down. */
function portWords({ words, rule, down }: Track, tracks: readonly Track[]): string {
  const usual = tracks.some(
    (each) => each.words === words && each.down === undefined && boxOf(each.rule) === boxOf(rule),
  );
  if (down === undefined || usual) {
    return words;
  }
  const links = [
    ...new Set(tracks.filter((each) => each.words === words && each.rule === rule).flatMap((each) => each.down ?? [])),
  ];
  return `${words}, ${whenDown(links)}`;
}

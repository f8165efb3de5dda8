import { getOrInsertComputed } from '../model/maps';
import type { Edge } from './picture';
import { groupBy } from './groups';
import { mean } from './tracks';

/** The place at a side of a box where lines may begin or end. */
export interface Port {
  readonly y: number;
  readonly height: number;
}

/** Lines of one kind that end at the same row. They join one vertical line that leads to that row. */
export interface Trunk extends Pick<Edge, 'to' | 'ending' | 'onlyIfDown'> {
  /** Counted from the left; trunks that would touch have different channels. */
  readonly channel: number;
  /** The height at which the trunk arrives. */
  readonly y: number;
  readonly stubs: readonly Joint[];
}

/** A line from the left that joins the trunk. */
export interface Joint {
  readonly y: number;
  /** The channel of the previous trunk that the same line also joins. */
  readonly since?: number;
}

/** The space between lines that leave or arrive at one row. */
const ABREAST = 8;
/** The least space between lines: closer lines look like one. */
const APART = 6;

interface Stub {
  y: number;
  /** The channel of the last trunk that the stub joins. */
  end: number;
}

interface Draft {
  readonly edges: readonly [Edge, ...Edge[]];
  readonly stubs: readonly Stub[];
  y: number;
  channel: number;
}

/**
 * Gives each line between two columns its own place. Lines that end at different rows never share a place, so that
 * readers can follow each line. Lines cross only at right angles.
 */
export function trunksOf(edges: readonly Edge[], ports: ReadonlyMap<string, Port>): Trunk[] {
  const drafts = draftsOf(edges, ports);
  placeInChannels(inOrder(drafts));
  for (const { stubs, channel } of drafts) {
    stubs.forEach((stub) => (stub.end = Math.max(stub.end, channel)));
  }
  const alone = new Set(groupBy(drafts, ({ edges: [{ to }] }) => to).flatMap((same) => (same.length > 1 ? [] : same)));
  for (const draft of drafts) {
    const room = alone.has(draft) ? Math.min(APART, (portAt(ports, draft.edges[0].to).height - 4) / 2) : 1;
    draft.y = clearHeight(draft, drafts, Math.floor(room));
  }
  return drafts.map((draft): Trunk => {
    const {
      edges: [{ to, ending, onlyIfDown }],
      channel,
      y,
    } = draft;
    const stubs = draft.stubs.map((stub): Joint => {
      const before = drafts.filter((each) => each.channel < channel && each.stubs.includes(stub));
      return { y: stub.y, ...(before.length > 0 && { since: Math.max(...before.map((each) => each.channel)) }) };
    });
    return { to, ending, onlyIfDown, channel, y, stubs };
  });
}

function portAt(ports: ReadonlyMap<string, Port>, id: string): Port {
  const port = ports.get(id);
  if (!port) {
    throw new Error(`a line leads from or to "${id}", which is not in the picture`);
  }
  return port;
}

function kindOf({ ending, onlyIfDown }: Edge): string {
  return `${ending} ${onlyIfDown}`;
}

function draftsOf(edges: readonly Edge[], ports: ReadonlyMap<string, Port>): Draft[] {
  const heightOf = (id: string): number => portAt(ports, id).y;
  const stubs = new Map<string, Stub>();
  for (const leaving of groupBy(edges, ({ from }) => from)) {
    const kinds = groupBy(leaving, kindOf).sort(
      (a, b) => mean(a.map(({ to }) => heightOf(to))) - mean(b.map(({ to }) => heightOf(to))),
    );
    spread(portAt(ports, leaving[0].from), kinds.length).forEach((y, index) => {
      const [edge] = kinds[index];
      stubs.set(`${edge.from} ${kindOf(edge)}`, { y, end: -1 });
    });
  }
  return groupBy(edges, ({ to }) => to).flatMap((arriving) => {
    const kinds = groupBy(arriving, kindOf).sort(
      (a, b) => mean(a.map(({ from }) => heightOf(from))) - mean(b.map(({ from }) => heightOf(from))),
    );
    return spread(portAt(ports, arriving[0].to), kinds.length).map((y, index): Draft => {
      const own = kinds[index].map((edge) => stubs.get(`${edge.from} ${kindOf(edge)}`) as Stub);
      return { edges: kinds[index], stubs: [...new Set(own)], y, channel: 0 };
    });
  });
}

/** Returns heights around the middle of a row, one for each line. */
function spread({ y, height }: Port, count: number): number[] {
  const step = Math.min(ABREAST, (height - 2) / Math.max(1, count - 1));
  return Array.from({ length: count }, (_, index) => Math.round(y + (index - (count - 1) / 2) * step));
}

/** Sorts the trunks from left to right. Neighbours change places as long as this reduces crossings. */
function inOrder(drafts: readonly Draft[]): Draft[] {
  const order = [...drafts].sort((a, b) => a.y - b.y);
  const costs = new Map<Draft, Map<Draft, number>>();
  const cost = (left: Draft, right: Draft): number =>
    getOrInsertComputed(
      getOrInsertComputed(costs, left, () => new Map<Draft, number>()),
      right,
      () => crossings(left, right),
    );
  for (let pass = 0, isBetter = true; isBetter && pass < order.length; pass++) {
    isBetter = false;
    for (let index = 1; index < order.length; index++) {
      const [left, right] = [order[index - 1], order[index]];
      if (cost(right, left) < cost(left, right)) {
        [order[index - 1], order[index]] = [right, left];
        isBetter = true;
      }
    }
  }
  return order;
}

function crossings(left: Draft, right: Draft): number {
  const passing = right.stubs.filter((stub) => !left.stubs.includes(stub));
  const [from, to] = spanOf(left);
  const [top, bottom] = spanOf(right);
  // Lines that run into each other are harder to read than lines that cross.
  const merged = right.stubs.filter(({ y }) => Math.abs(y - left.y) < APART).length;
  return passing.filter(({ y }) => y > from && y < to).length + Number(left.y > top && left.y < bottom) + 4 * merged;
}

function spanOf({ y, stubs }: Draft): [number, number] {
  const heights = [y, ...stubs.map((stub) => stub.y)];
  return [Math.min(...heights), Math.max(...heights)];
}

/** Assigns channels and keeps the order. Trunks that do not touch may share a channel. */
function placeInChannels(order: readonly Draft[]): void {
  order.forEach((draft, index) => {
    const [top, bottom] = spanOf(draft);
    const inTheWay = order.slice(0, index).filter((other) => {
      const [from, to] = spanOf(other);
      return from - 2 * APART < bottom && top < to + 2 * APART;
    });
    draft.channel = 1 + Math.max(-1, ...inTheWay.map(({ channel }) => channel));
  });
}

/** Returns a height near the middle of the row, away from lines that pass there, and without small steps. */
function clearHeight(draft: Draft, drafts: readonly Draft[], room: number): number {
  const passing = new Set(drafts.flatMap(({ stubs }) => stubs.filter(({ end }) => end > draft.channel)));
  const near = (y: number, heights: Iterable<Stub>): number =>
    [...heights].reduce((sum, stub) => sum + Math.max(0, APART - Math.abs(stub.y - y)), 0);
  const cost = (y: number): number =>
    100 * near(y, passing) +
    10 *
      near(
        y,
        draft.stubs.filter((stub) => stub.y !== y && !passing.has(stub)),
      ) +
    Math.abs(y - draft.y);
  const heights = Array.from({ length: 2 * room + 1 }, (_, index) => draft.y + index - room);
  return heights.reduce((best, y) => (cost(y) < cost(best) ? y : best), draft.y);
}

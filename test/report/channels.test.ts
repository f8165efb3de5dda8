import type { Port, Trunk } from '../../lib/report/channels';
import { trunksOf } from '../../lib/report/channels';
import { hostTraffic } from '../../lib/report/classes';
import type { Edge, Ending } from '../../lib/report/picture';
import { layoutOf } from '../../lib/report/svg-layout';
import { topology } from '../../lib/report/topology';
import { Random } from '../lookup/random';
import { egress, large, mixed } from './hosts';

const ENDINGS: readonly Ending[] = ['egress', 'uplink', 'local', 'rejected'];

function rangeOf({ y, stubs }: Trunk): [number, number] {
  const heights = [y, ...stubs.map((stub) => stub.y)];
  return [Math.min(...heights), Math.max(...heights)];
}

/** Trunks of which vertical lines touch. */
function touching(trunks: readonly Trunk[]): Array<[Trunk, Trunk]> {
  return trunks.flatMap((one, index) =>
    trunks.slice(index + 1).flatMap((other): Array<[Trunk, Trunk]> => {
      const [[top, bottom], [from, to]] = [rangeOf(one), rangeOf(other)];
      return one.channel === other.channel && top <= to && from <= bottom ? [[one, other]] : [];
    }),
  );
}

/** Lines that arrive where another one passes to a trunk that is farther right: the two look like one. */
function merging(trunks: readonly Trunk[], apart: number): Array<[Trunk, Trunk]> {
  return trunks.flatMap((arriving) =>
    trunks
      .filter(
        ({ channel, stubs }) => channel > arriving.channel && stubs.some(({ y }) => Math.abs(y - arriving.y) < apart),
      )
      .map((passing): [Trunk, Trunk] => [arriving, passing]),
  );
}

function randomGap(random: Random): { edges: Edge[]; ports: Map<string, Port> } {
  const column = (name: string, top: number): Array<[string, Port]> =>
    Array.from({ length: 2 + random.below(12) }, (_, index) => [
      `${name}${index}`,
      { y: top + 20 * index, height: 16 },
    ]);
  const [left, right] = [column('from', random.below(60)), column('to', random.below(60))];
  const edges = Array.from({ length: 1 + random.below(30) }, (): Edge => {
    const [from, to] = [random.one(left)[0], random.one(right)[0]];
    return { from, to, ending: random.one(ENDINGS), onlyIfDown: random.chance(4) };
  });
  return { edges, ports: new Map([...left, ...right]) };
}

describe('lines between two columns', () => {
  test('have each their place, whatever they are', () => {
    const random = new Random(5);
    for (let round = 0; round < 300; round++) {
      const { edges, ports } = randomGap(random);
      const trunks = trunksOf(edges, ports);
      expect(touching(trunks)).toEqual([]);
      // Each line is there: it joins the trunk of its end, once.
      const expected = new Set(edges.map(({ from, to, ending, onlyIfDown }) => [from, to, ending, onlyIfDown].join()));
      expect(trunks.flatMap(({ stubs }) => stubs)).toHaveLength(expected.size);
      // Those of one row stand beside each other.
      for (const { to, y } of trunks) {
        expect(Math.abs(y - (ports.get(to)?.y ?? 0))).toBeLessThanOrEqual(8);
        expect(trunks.filter((other) => other.to === to && Math.abs(other.y - y) < 1)).toHaveLength(1);
      }
    }
  });
  test.each([
    ['a server', egress()],
    ['a leak', egress(false)],
    ['many kinds', mixed()],
    ['many rows', large(12, 2)],
  ])('never look like one: %s', (_, host) => {
    const { trunks } = layoutOf(topology(host, hostTraffic(host)));
    const gaps = [...new Set(trunks.map(({ left }) => left))].map((left) =>
      trunks.filter((trunk) => trunk.left === left),
    );
    expect(gaps).toHaveLength(3);
    for (const gap of gaps) {
      expect(touching(gap)).toEqual([]);
      expect(merging(gap, 4)).toEqual([]);
    }
  });
  test('cross each other as little as they can', () => {
    const ports = new Map(Object.entries({ a: 0, b: 20, c: 60, d: 100 }).map(([id, y]) => [id, { y, height: 16 }]));
    const edge = (from: string, to: string): Edge => ({ from, to, ending: 'local', onlyIfDown: false });
    const channels = trunksOf([edge('a', 'c'), edge('b', 'd')], ports).map(({ to, channel }) => [to, channel]);
    // The other way round each would cross the other.
    expect(channels).toEqual([
      ['c', 1],
      ['d', 0],
    ]);
  });
  test('lead to nothing that is not there', () => {
    const edge: Edge = { from: 'here', to: 'nowhere', ending: 'local', onlyIfDown: false };
    expect(() => trunksOf([edge], new Map([['here', { y: 0, height: 16 }]]))).toThrow('"nowhere"');
  });
});

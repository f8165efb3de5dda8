import { AddressMaps, partOf, valueAt } from '../../lib/reachability/prefix-trie';
import type { AddressMap, PartialValueOps } from '../../lib/reachability/prefix-trie';
import type { Chain } from '../../lib/reachability/trie-chain';
import { Random } from './random';
import { chainValues, chainValueAt } from '../../lib/reachability/trie-chain';

const WIDTH = 5;
const ADDRESSES = Array.from({ length: 2 ** WIDTH }, (_, index) => index.toString(2).padStart(WIDTH, '0'));

/** Undefined says nothing; an odd number says something, and may be added to. */
type Value = number | undefined;

const VALUES: PartialValueOps<Value> = {
  nothing: undefined,
  isUndecided: (value) => value === undefined || value % 2 === 1,
  add: (undecided, other) =>
    other === undefined ? undecided : undecided === undefined ? other : (undecided + 10) * 100 + other,
};
const together = (said: readonly Value[]): Value =>
  said.reduce((before, value) => (VALUES.isUndecided(before) ? VALUES.add(before, value) : before), undefined);

/** Random maps beside what they should say of each address. */
class Both {
  public readonly maps = new AddressMaps<Value>(VALUES);

  public constructor(private readonly random: Random) {}

  public prefix(): string {
    return ADDRESSES[this.random.below(ADDRESSES.length)].slice(0, this.random.below(WIDTH + 1));
  }

  public map(): { map: AddressMap<Value>; plain: Value[] } {
    let map: AddressMap<Value> = this.maps.all(undefined);
    const plain = ADDRESSES.map((): Value => undefined);
    for (let i = this.random.below(6); i > 0; i--) {
      const prefix = this.prefix();
      const value = this.random.below(5) || undefined;
      map = this.maps.within(map, prefix, () => this.maps.all(value));
      ADDRESSES.forEach((address, index) => {
        if (address.startsWith(prefix)) plain[index] = value;
      });
    }
    return { map, plain };
  }

  public chain(): { chain: Chain<Value>; plain: Value[] } {
    const all = Array.from({ length: 1 + this.random.below(3) }, () => this.map());
    return {
      chain: all.map(({ map }) => map),
      plain: ADDRESSES.map((_, index) => together(all.map(({ plain }) => plain[index]))),
    };
  }
}

const sorted = (values: Iterable<Value>): string[] => [...new Set(values)].map(String).sort();

test.each([1, 2, 3])('random maps say of each address what they should (seed %i)', (seed) => {
  const both = new Both(new Random(seed));
  for (let round = 0; round < 100; round++) {
    const [a, b] = [both.map(), both.map()];
    expect(ADDRESSES.map((address) => valueAt(a.map, address))).toEqual(a.plain);
    expect(sorted(a.map.values)).toEqual(sorted(a.plain));
    const filled = both.maps.fill(a.map, b.map);
    expect(ADDRESSES.map((address) => valueAt(filled, address))).toEqual(
      a.plain.map((value, index) => together([value, b.plain[index]])),
    );
    const prefix = both.prefix();
    const inside = ADDRESSES.filter((address) => address.startsWith(prefix));
    expect(inside.map((address) => valueAt(partOf(a.map, prefix), address.slice(prefix.length)))).toEqual(
      inside.map((address) => valueAt(a.map, address)),
    );
  }
});

test('what is equal is the same object, however it was made', () => {
  const maps = new AddressMaps<Value>(VALUES);
  const one = maps.within(
    maps.within(maps.all(0), '01', () => maps.all(1)),
    '00',
    () => maps.all(1),
  );
  expect(one).toBe(maps.within(maps.all(0), '0', () => maps.all(1)));
  expect(maps.within(one, '0', () => maps.all(0))).toBe(maps.all(0));
});

test.each([1, 2, 3])('random chains: all their values, and which address has which (seed %i)', (seed) => {
  const both = new Both(new Random(seed));
  for (let round = 0; round < 100; round++) {
    const a = both.chain();
    expect(sorted(chainValues(a.chain, VALUES))).toEqual(sorted(a.plain));
    expect(ADDRESSES.map((address) => chainValueAt(a.chain, address, VALUES))).toEqual(a.plain);
  }
});

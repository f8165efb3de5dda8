import { AddressMaps, valueAt } from '../../lib/reachability/prefix-trie';
import type { AddressMap } from '../../lib/reachability/prefix-trie';
import type { Bits } from '../../lib/fib/bits';
import type { Entry } from '../../lib/reachability/aggregate';
import { entriesOf, nodeOf, setsOf } from '../../lib/reachability/aggregate';
import { cases } from '../random';
import { Random } from './random';

const LENGTH = 4;
const ADDRESSES = Array.from({ length: 2 ** LENGTH }, (_, index) => index.toString(2).padStart(LENGTH, '0'));
/** Nobody asks for those. */
const WHATEVER = '-';

function randomMap(random: Random): AddressMap<string> {
  const maps = new AddressMaps<string>({ nothing: '', isUndecided: () => false, add: (_, other) => other });
  const prefixes = random.times(random.below(9), () => random.one(ADDRESSES).slice(0, random.below(LENGTH + 1)));
  return prefixes.reduce<AddressMap<string>>(
    (map, prefix) => maps.within(map, prefix, () => maps.all(random.one(['a', 'b', 'c', WHATEVER]))),
    maps.all(random.one(['a', WHATEVER])),
  );
}

/** The fewest entries for the addresses in a prefix, where `above` comes down from a shorter one. */
function fewest(map: AddressMap<string>, prefix: Bits, above: string): number {
  const without = (value: string): number => {
    if (prefix.length < LENGTH) {
      return fewest(map, `${prefix}0`, value) + fewest(map, `${prefix}1`, value);
    }
    const wanted = valueAt(map, prefix);
    return wanted === WHATEVER || wanted === value ? 0 : Infinity;
  };
  return Math.min(without(above), ...['a', 'b', 'c'].map((value) => 1 + without(value)));
}

function longest(entries: ReadonlyArray<Entry<string>>, address: Bits): Entry<string> | undefined {
  return entries
    .filter(({ prefix }) => address.startsWith(prefix))
    .sort((a, b) => b.prefix.length - a.prefix.length)[0];
}

test('a table says what the map says, in as few entries as there can be', () => {
  const random = new Random(1);
  for (let round = 0; round < cases(60); round++) {
    const map = randomMap(random);
    const entries = entriesOf(nodeOf(map, (value) => (value === WHATEVER ? undefined : value)));
    const asked = ADDRESSES.filter((address) => valueAt(map, address) !== WHATEVER);
    expect(asked.map((address) => longest(entries, address)?.value)).toEqual(
      asked.map((address) => valueAt(map, address)),
    );
    expect(entries).toHaveLength(fewest(map, '', WHATEVER));
    for (const [value, { prefixes, except }] of setsOf(entries)) {
      const lines = [
        ...prefixes.map((prefix) => ({ prefix, value: 'in' })),
        ...except.map((prefix) => ({ prefix, value: 'out' })),
      ];
      expect(asked.filter((address) => longest(lines, address)?.value === 'in')).toEqual(
        asked.filter((address) => valueAt(map, address) === value),
      );
    }
  }
});

test('an entry is no wider than it has to be, and what most addresses have is the default', () => {
  const maps = new AddressMaps<string>({ nothing: '', isUndecided: () => false, add: (_, other) => other });
  const inner = maps.within(maps.all('a'), '0100', () => maps.all('b'));
  const map = maps.within(inner, '0101', () => maps.all('c'));
  expect(entriesOf(nodeOf(map, (value) => value))).toEqual([
    { prefix: '', value: 'a' },
    { prefix: '0100', value: 'b' },
    { prefix: '0101', value: 'c' },
  ]);
});

test('a set names no prefix that an outer one of it says already', () => {
  const entries = ['', '0', '01', '010'].map((prefix) => ({ prefix, value: prefix === '01' ? 'b' : 'a' }));
  expect([...setsOf(entries)]).toEqual([
    ['a', { prefixes: ['', '010'], except: ['01'] }],
    ['b', { prefixes: ['01'], except: ['010'] }],
  ]);
});

import { marksOf, numbersOf } from '../../lib/fib/representatives';

test('ranges: one number for each piece', () => {
  const ranges = [
    { first: 53, last: 53 },
    { first: 1024, last: 65535 },
    { first: 50, last: 2000 },
  ];
  expect(numbersOf(ranges, 65535)).toEqual([0, 50, 53, 54, 1024, 2001]);
  expect(numbersOf([], 255)).toEqual([0]);
});

const signature = (mark: number, selectors: Array<{ value: number; mask: number }>): string =>
  selectors.map(({ value, mask }) => (((mark ^ value) & mask) === 0 ? 1 : 0)).join('');

test.each([
  [[{ value: 1, mask: 0xffffffff }]],
  [
    [
      { value: 0x80000000, mask: 0x80000000 },
      { value: 0xffffffff, mask: 0xffffffff },
    ],
  ],
  [
    [
      { value: 0, mask: 1 },
      { value: 0, mask: 2 },
      { value: 0, mask: 3 },
    ],
  ],
  [
    [
      { value: 5, mask: 7 },
      { value: 1, mask: 3 },
      { value: 4, mask: 4 },
      { value: 2, mask: 0xf },
    ],
  ],
  [
    [
      { value: 0, mask: 0 },
      { value: 3, mask: 3 },
    ],
  ],
])('marks: one for each set of selectors that match together', (selectors) => {
  const all = new Set<string>();
  for (let low = 0; low < 256; low++) {
    for (const high of [0, 0x80000000, 0xffffff00]) all.add(signature((low | high) >>> 0, selectors));
  }
  const found = marksOf(selectors).map((mark) => signature(mark, selectors));
  expect(new Set(found).size).toBe(found.length);
  expect(new Set(found)).toEqual(all);
});

test('an unmarked packet is one of them', () => {
  expect(marksOf([{ value: 0x10, mask: 0xf0 }])).toEqual([0, 0x10]);
  expect(marksOf([])).toEqual([0]);
});

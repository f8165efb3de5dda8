import type { Marking } from '../../lib/model/marking';
import { defaultMark, sameMarks, sysctls } from '../../lib/model/marking';
import { parsePrefix } from '../../lib/model/value';
import { modelHost } from './host';

function marking(path: string, mark: number, ...pools: string[]): Marking {
  return {
    path,
    mark,
    device: { kind: 'device', text: 'eth1' },
    destinations: pools.map((text) => parsePrefix(text, 'clients')),
  };
}

test.each([
  [200, 0x530000c8],
  [0xad000000 - 1, 0xffffffff],
  [0xad000000, 0x53000000],
  [0xad000001, 1],
])('table %i has the mark %i', (tableId, mark) => {
  expect(defaultMark(tableId)).toBe(mark);
});

test('errors keep the mark in the families of the pools', () => {
  const keys = (...markings: Marking[]): unknown => sysctls(modelHost({ markings }));
  expect(keys()).toEqual([]);
  expect(keys(marking('a', 1, '10.0.0.0/8'))).toEqual([['net.ipv4.fwmark_reflect', 1]]);
  expect(keys(marking('a', 1, 'fd00::/64'))).toEqual([['net.ipv6.fwmark_reflect', 1]]);
  expect(keys(marking('a', 1, 'fd00::/64', '10.0.0.0/8'))).toHaveLength(2);
  const later = { kind: 'prefix' as const, text: '${var.x}', deferredFor: 'a:clients' };
  expect(keys({ ...marking('a', 1), destinations: [later] })).toEqual([
    ['net.ipv4.fwmark_reflect', 1],
    ['net.ipv6.fwmark_reflect', 1],
  ]);
});

test('two egresses have two marks', () => {
  expect(sameMarks(modelHost({ markings: [marking('a', 1), marking('b', 2)] }))).toEqual([]);
  expect(sameMarks(modelHost({ markings: [marking('a', 1), marking('b', 2), marking('c', 1)] }))).toEqual([
    { path: 'c', message: 'errorMark 0x1 is already that of "a". Give this one another mark.' },
  ]);
});

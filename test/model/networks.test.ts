import type { Interface } from '../../lib/model/host';
import { Networks } from '../../lib/model/networks';
import { isInside, parseInterfaceAddress } from '../../lib/model/value';
import { Random } from '../lookup/random';
import { cases } from '../random';

const PREFIXES = {
  4: [
    '0.0.0.0/0',
    '10.0.0.0/8',
    '10.0.0.0/16',
    '10.0.0.0/24',
    '10.0.0.0/25',
    '10.0.0.128/25',
    '10.0.0.129',
    '10.0.0.255',
    '10.0.1.0/24',
  ],
  6: ['::/0', 'fd00::/16', 'fd00::/64', 'fd00::/80', 'fd00::8000:0:0:0/65', 'fd00::8000:0:0:1', 'fd00:0:0:1::/64'],
};

function randomInterface(random: Random, index: number): Interface {
  const addresses = random.times(random.below(4), () => {
    const [address, length = '128'] = random.one(PREFIXES[random.one([4, 6] as const)]).split('/');
    const bits = address.includes(':') ? 128 : 32;
    return parseInterfaceAddress(`${address}/${Math.min(Number(length), bits)}`, 'address');
  });
  return { name: `eth${index}`, addresses, gateways: [], incomplete: false };
}

test.each([1, 2, 3])('overlapping networks are those that are found one by one (seed %i)', (seed) => {
  const random = new Random(seed);
  let found = 0;
  for (let round = 0; round < cases(60); round++) {
    const interfaces = random.times(random.below(6), (index) => randomInterface(random, index));
    const networks = new Networks(interfaces);
    const all = ([4, 6] as const).flatMap((family) => networks.ofFamily(family));
    expect(all.map(({ address }) => address).sort()).toEqual(
      interfaces.flatMap(({ addresses }) => addresses.map(({ address }) => address)).sort(),
    );
    for (const prefix of [...PREFIXES[4], ...PREFIXES[6]]) {
      const expected = all.filter(({ text }) => isInside(text, prefix) || isInside(prefix, text));
      found += expected.length;
      expect(networks.overlapping(prefix)).toEqual(expected);
    }
  }
  expect(found).toBeGreaterThan(cases(200));
});

test('networks are as they are declared, each with its link', () => {
  const eth0 = {
    ...randomInterface(new Random(1), 0),
    addresses: ['10.0.1.1/24', '10.0.0.1/24'].map((text) => parseInterfaceAddress(text, 'x')),
  };
  const networks = new Networks([eth0]);
  expect(networks.overlapping('10.0.0.0/8')).toMatchObject([
    { link: { name: 'eth0' }, address: '10.0.1.1', text: '10.0.1.0/24' },
    { link: { name: 'eth0' }, address: '10.0.0.1', text: '10.0.0.0/24' },
  ]);
  expect([networks.hasAddress('10.0.1.1'), networks.hasAddress('10.0.1.2')]).toEqual([true, false]);
});

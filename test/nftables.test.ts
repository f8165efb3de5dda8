import { Forwarding, SourceNat, VpnEgress } from '../lib';
import { prefixMatches } from '../lib/delivery/nftables';
import { bundleOf, GATEWAYS, INTERFACES, newHost, newStack } from './fixtures';

test.each<[string[], string[]]>([
  [[], []],
  [['10.0.0.5'], ['10.0.0.5']],
  [['10.0.0.0/24'], ['10.0.0.0/24']],
  [['10.0.0.5', '10.0.0.9'], ['{ 10.0.0.5, 10.0.0.9 }']],
  [['10.2.0.0/24', '10.0.0.0/24'], ['& 255.255.255.0 == { 10.0.0.0, 10.2.0.0 }']],
  [['10.0.0.0/15', '10.8.0.0/15'], ['& 255.254.0.0 == { 10.0.0.0, 10.8.0.0 }']],
  [
    ['10.0.0.0/24', '10.2.0.0/16', '10.4.0.0/24', '10.6.0.1'],
    ['& 255.255.255.0 == { 10.0.0.0, 10.4.0.0 }', '10.2.0.0/16', '10.6.0.1'],
  ],
  [['10.0.0.0/25', '10.0.0.128/25'], ['10.0.0.0/24']],
  [['0.0.0.0/1', '128.0.0.0/1'], ['0.0.0.0/0']],
])('the prefixes %j are found by %j', (prefixes, expected) => {
  expect(prefixMatches('saddr', prefixes, 4)).toEqual(expected.map((match) => `ip saddr ${match}`));
});

test('the same in IPv6', () => {
  expect(prefixMatches('daddr', ['fd00:1::/64', 'fd00:3::/64', 'fd00:5::/49', 'fd00:7::/49'], 6)).toEqual([
    'ip6 daddr & ffff:ffff:ffff:ffff:: == { fd00:1::, fd00:3:: }',
    'ip6 daddr & ffff:ffff:ffff:8000:: == { fd00:5::, fd00:7:: }',
  ]);
});

// A set of ranges may be empty for a moment: what its rule accepts would be lost, what it rejects would pass.
test('no rule has a set of ranges', () => {
  const stack = newStack();
  const networks = ['10.20.0.0/24', '10.30.0.0/16', 'fd00:20::/64', 'fd00:30::/48'];
  const tun0 = { name: 'tun0', addresses: ['10.10.10.1/24', 'fd00:10::1/64'], networks };
  const tun1 = { name: 'tun1', addresses: ['10.40.0.1/24', 'fd00:40::1/64'], networks: ['10.50.0.0/24'] };
  const host = newHost(stack, { interfaces: [...INTERFACES.filter(({ name }) => name !== 'tun0'), tun0, tun1] });
  const clients = ['10.10.10.0/24', 'fd00:10::/64', ...networks, '10.40.0.0/24', 'fd00:40::/64', '10.50.0.0/24'];
  const ways = { forwarding: Forwarding.nftables(), sourceNat: SourceNat.masquerade(), mssClamp: true };
  new VpnEgress(stack, 'egress', { host, device: 'eth1', tableId: 200, clients, gateways: GATEWAYS, ...ways });
  const rules = bundleOf(stack).filter((line) => /^accept |^\|\t\t.* [sd]addr /.test(line));
  for (const word of [
    /^accept /,
    / accept$/,
    / drop$/,
    / goto clients$/,
    / reject with /,
    / mark set /,
    / masquerade$/,
    / maxseg /,
  ]) {
    expect(rules.filter((line) => word.test(line)).length).toBeGreaterThan(0);
  }
  expect(rules.filter((line) => /\{[^}]*\/|@/.test(line))).toEqual([]);
});

import { TerraformVariable } from 'cdktf';
import type { VpnEgressProps } from '../lib';
import {
  Forwarding,
  IpProtocol,
  LinuxHost,
  LocalTraffic,
  Persistence,
  PolicyRule,
  Resolver,
  SourceRoutingTable,
  VpnDaemon,
  VpnEgress,
} from '../lib';
import {
  ALL_INTERFACES,
  GATEWAYS,
  INTERFACES,
  IPV4_TUNNELS,
  POOLS,
  SSH,
  bundleOf,
  newHost,
  newStack,
  resolve,
  resourceOf,
  validationErrors,
} from './fixtures';

const IPV6_POOL = 'fd00:4242:4242:4242::/64';
const BASE = { device: 'eth1', tableId: 200, clients: POOLS, gateways: GATEWAYS };

function linesOf(props: Partial<VpnEgressProps> = {}, interfaces = INTERFACES): string[] {
  const stack = newStack();
  new VpnEgress(stack, 'egress', { host: newHost(stack, { interfaces }), ...BASE, ...props });
  expect(validationErrors(stack)).toEqual([]);
  return bundleOf(stack).filter((line) => /^(table|rule|guard|route|hook) /.test(line));
}

const EGRESS = ['rule 4 10010 from 10.10.10.0/24 lookup 200', 'rule 6 10010 from fd00:4242:4242:4242::/64 lookup 200'];
const ERRORS = ['rule 4 10011 fwmark 0x530000c8 iif lo lookup 200', 'rule 6 10011 fwmark 0x530000c8 iif lo lookup 200'];
const GUARDS = [
  'guard 4 20010 from 10.10.10.0/24 unreachable',
  'guard 6 20010 from fd00:4242:4242:4242::/64 unreachable',
  'guard 4 20011 fwmark 0x530000c8 iif lo unreachable',
  'guard 6 20011 fwmark 0x530000c8 iif lo unreachable',
  'guard 4 20012 iif tun0 blackhole',
  'guard 6 20012 iif tun0 blackhole',
];
const ROUTES = [
  'route 4 200 default 0 via 192.168.1.1 dev eth1',
  'route 6 200 default 1024 via fd00:1010:1010:1010::1 dev eth1',
  'route 4 200 default 4278198272 type unreachable proto 77',
  'route 6 200 default 4278198272 type unreachable proto 77',
  // What of a pool is in no tunnel goes nowhere.
  'route 4 200 10.10.10.0/24 4278198272 type unreachable proto 77',
  'route 6 200 fd00:4242:4242:4242::/64 4278198272 type unreachable proto 77',
];

describe('local traffic', () => {
  test('mainTable() is the default', () => {
    const expected = [
      'table 200 -',
      ...EGRESS,
      'rule 4 10009 to 10.10.10.0/24 lookup 254 suppress_prefixlength 23',
      'rule 6 10009 to fd00:4242:4242:4242::/64 lookup 254 suppress_prefixlength 63',
      ...ERRORS,
      ...GUARDS,
      ...ROUTES,
    ];
    expect(linesOf()).toEqual(expected);
    expect(linesOf({ localTraffic: LocalTraffic.mainTable() })).toEqual(expected);
  });

  test('suppressDefault()', () => {
    expect(linesOf({ localTraffic: LocalTraffic.suppressDefault() })).toEqual([
      'table 200 -',
      ...EGRESS,
      'rule 4 10009 from 10.10.10.0/24 lookup 254 suppress_prefixlength 7',
      'rule 6 10009 from fd00:4242:4242:4242::/64 lookup 254 suppress_prefixlength 7',
      ...ERRORS,
      ...GUARDS,
      ...ROUTES,
    ]);
  });

  test('upHook()', () => {
    expect(linesOf({ localTraffic: LocalTraffic.upHook() })).toEqual([
      'table 200 -',
      ...EGRESS,
      ...ERRORS,
      ...GUARDS,
      ...ROUTES,
      'hook openvpn /etc/openvpn/up 200',
    ]);
    expect(linesOf({ localTraffic: LocalTraffic.upHook(VpnDaemon.wireGuard()) })).toContain(
      'hook wireguard /etc/wireguard/up 200',
    );
  });

  test('isolated()', () => {
    expect(linesOf({ localTraffic: LocalTraffic.isolated() })).toEqual([
      'table 200 -',
      ...EGRESS,
      'rule 4 10009 from 10.10.10.0/24 to 10.10.10.0/24 prohibit',
      'rule 6 10009 from fd00:4242:4242:4242::/64 to fd00:4242:4242:4242::/64 prohibit',
      ...ERRORS,
      ...GUARDS,
      ...ROUTES,
    ]);
  });
});

test('several pools of one family stand at consecutive priorities, local traffic in front of all', () => {
  const rules = linesOf({ clients: ['10.10.10.0/24', 'fd00:4242:4242:4242::/64', '10.10.11.0/24'] }).filter((line) =>
    line.startsWith('rule 4'),
  );
  expect(rules).toEqual([
    'rule 4 10010 from 10.10.10.0/24 lookup 200',
    'rule 4 10011 from 10.10.11.0/24 lookup 200',
    'rule 4 10009 to 10.10.10.0/24 lookup 254 suppress_prefixlength 23',
    'rule 4 10008 to 10.10.11.0/24 lookup 254 suppress_prefixlength 7',
    'rule 4 10012 fwmark 0x530000c8 iif lo lookup 200',
  ]);
});

test('priority, tableName and failClosed are passed on', () => {
  const lines = linesOf({ priority: 500, tableName: 'vpn', failClosed: false });
  expect(lines).toContain('table 200 vpn');
  expect(lines).toContain('rule 4 500 from 10.10.10.0/24 lookup 200');
  expect(lines).toContain('rule 4 499 to 10.10.10.0/24 lookup 254 suppress_prefixlength 23');
  expect(lines.filter((line) => line.includes('unreachable'))).toEqual([]);
});

describe('what the machine itself sends for clients', () => {
  const marksOf = (lines: readonly string[]): string[] =>
    lines.filter((line) => line.includes('meta mark set')).map((line) => line.replace(/^\|\t*/, ''));
  const bundle = (props: Partial<VpnEgressProps> = {}): string[] => {
    const stack = newStack();
    new VpnEgress(stack, 'egress', { host: newHost(stack, { interfaces: ALL_INTERFACES }), ...BASE, ...props });
    expect(validationErrors(stack)).toEqual([]);
    return bundleOf(stack);
  };
  const MARKS = [
    'iifname "eth1" ip daddr 10.10.10.0/24 meta mark 0 meta mark set 0x530000c8',
    'iifname "eth1" ip6 daddr fd00:4242:4242:4242::/64 meta mark 0 meta mark set 0x530000c8',
  ];

  test.each<[string, Partial<VpnEgressProps>]>([
    ['a table that fails closed', {}],
    ['one that does not', { failClosed: false }],
  ])('errors are known by a mark, which the kernel is told to reflect: %s', (_, props) => {
    const lines = bundle(props);
    expect(marksOf(lines)).toEqual(MARKS);
    expect(lines).toEqual(
      expect.arrayContaining([
        'sysctl net.ipv4.fwmark_reflect 1 nftables',
        'sysctl net.ipv6.fwmark_reflect 1 nftables',
        'file 0644 /etc/sysctl.d/60-source-routing-stack-vpn1.conf 3 nftables',
        '|net.ipv4.fwmark_reflect = 1',
      ]),
    );
  });

  test('of a family without clients there are none', () => {
    const lines = bundle({
      clients: POOLS.slice(0, 1),
      rejectedClients: POOLS.slice(1),
      gateways: GATEWAYS.slice(0, 1),
    });
    expect(marksOf(lines)).toEqual(MARKS.slice(0, 1));
    expect(lines.filter((line) => line.startsWith('sysctl '))).toEqual(['sysctl net.ipv4.fwmark_reflect 1 nftables']);
    expect(lines.filter((line) => /^rule 6 .*fwmark/.test(line))).toEqual([]);
  });

  test.each<[Partial<VpnEgressProps>, string]>([
    [{ tableId: 252 }, '0x530000fc'],
    [{ tableId: 51820 }, '0x5300ca6c'],
    [{ tableId: 4294967295 }, '0x52ffffff'],
    // That would be no mark at all.
    [{ tableId: 0xad000000 }, '0x53000000'],
    [{ errorMark: 0x100 }, '0x100'],
  ])('%j has mark %s', (props, mark) => {
    const lines = bundle(props);
    expect(lines).toContain(`rule 4 10011 fwmark ${mark} iif lo lookup ${props.tableId ?? 200}`);
    expect(marksOf(lines)[0]).toMatch(new RegExp(` meta mark set ${mark}$`));
  });

  test('two tables have two marks', () => {
    const stack = newStack();
    const host = newHost(stack);
    const more = { clients: ['10.10.20.0/24'], gateways: ['192.168.1.1'], tableId: 201, priority: 10100 };
    new VpnEgress(stack, 'one', { host, ...BASE });
    new VpnEgress(stack, 'two', { host, ...BASE, ...more, errorMark: 0x530000c8 });
    expect(validationErrors(stack)).toContain(
      '[stack/two] errorMark 0x530000c8 is already that of "stack/one". Give this one another mark.',
    );
    // The first one as it is by itself.
    expect(marksOf(bundle({ tableId: 201 }))).not.toEqual(marksOf(bundle()));
  });

  test('is looked up and shown', () => {
    const stack = newStack();
    const host = newHost(stack, { interfaces: ALL_INTERFACES });
    new VpnEgress(stack, 'egress', { host, ...BASE, resolver: Resolver.user(107) });
    const packet = { destination: '198.51.100.7', firewallMark: 0x530000c8 };
    expect(host.lookup(packet)).toMatchObject([{ via: '192.168.1.1', device: 'eth1' }]);
    expect(host.lookup({ ...packet, linksDown: ['eth1'] })).toMatchObject([{ text: 'unreachable' }]);
    const question = { destination: '2001:db8::7', uid: 107, ipProtocol: IpProtocol.UDP, destinationPort: 53 };
    expect(host.lookup(question)).toMatchObject([{ via: 'fd00:1010:1010:1010::1', device: 'eth1' }]);
    expect(host.lookup({ ...question, uid: 0 })).toMatchObject([{ via: 'fd00:178::1', device: 'eth0' }]);
    expect(host.lookup({ ...question, linksDown: ['eth1'] })).toMatchObject([{ text: 'unreachable' }]);
    expect(resourceOf(stack, 'apply').triggers_replace).toMatchObject({
      'rule ipv4 10011': 'fwmark 0x530000c8 iif lo lookup 200',
      'mark from eth1 0x530000c8': 'to 10.10.10.0/24, fd00:4242:4242:4242::/64',
      'sysctl net.ipv6.fwmark_reflect': '1',
    });
    expect(
      stack.node.findAll().flatMap(({ node }) => node.metadata.map(({ data }) => String(data))),
    ).not.toContainEqual(expect.stringContaining('src_valid_mark'));
  });

  test.each<[string, Resolver, string]>([
    ['user', Resolver.user(107), 'uidrange 107-107 ipproto P dport D'],
    ['port', Resolver.port(5353), 'ipproto P sport 5353 dport D'],
  ])('the questions of a resolver are known by its %s', (_, resolver, words) => {
    const rules = [
      ['17', '53'],
      ['6', '53'],
      ['6', '853'],
    ].map(([protocol, port]) => words.replace('P', protocol).replace('D', port));
    const lines = linesOf({ resolver }).filter((line) => line.includes(' dport ') && !line.includes(' from '));
    expect(lines.filter((line) => line.startsWith('rule '))).toEqual(
      rules.flatMap((rule, index) => [4, 6].map((family) => `rule ${family} ${10012 + index} ${rule} lookup 200`)),
    );
    expect(lines.filter((line) => line.startsWith('guard '))).toEqual(
      rules.flatMap((rule, index) => [4, 6].map((family) => `guard ${family} ${20012 + index} ${rule} unreachable`)),
    );
  });

  test('the answers to a user pass a strict rp_filter', () => {
    const rules = (resolver: Resolver): string[] =>
      linesOf({ resolver }).filter((line) => /^rule .* from .* dport /.test(line));
    expect(rules(Resolver.user(107))).toEqual([
      'rule 4 10015 from 192.168.1.100 ipproto 17 dport 53 lookup 200',
      'rule 4 10016 from 192.168.1.100 ipproto 6 dport 53 lookup 200',
      'rule 4 10017 from 192.168.1.100 ipproto 6 dport 853 lookup 200',
    ]);
    // Whoever asks from that port, so that its own rules are enough.
    expect(rules(Resolver.port(5353))).toEqual([]);
  });
});

describe('pools whose family is known at apply only', () => {
  const bare = (props: (pool: string) => Partial<VpnEgressProps>): string[] => {
    const stack = newStack();
    const pool = new TerraformVariable(stack, 'pool', {}).stringValue;
    new VpnEgress(stack, 'egress', { host: newHost(stack), ...BASE, ...props(pool) });
    expect(validationErrors(stack)).toEqual([]);
    return bundleOf(stack).filter((line) => line.startsWith('rule '));
  };

  test('share a priority with no other', () => {
    expect(bare((pool) => ({ clients: [pool, '10.10.11.0/24'], gateways: ['192.168.1.1'] }))).toEqual([
      'rule auto 10010 from @1@ lookup 200',
      'rule 4 10011 from 10.10.11.0/24 lookup 200',
      'rule auto 10009 to @2@ lookup 254 suppress_prefixlength 7',
      'rule 4 10008 to 10.10.11.0/24 lookup 254 suppress_prefixlength 7',
      'rule 4 10012 fwmark 0x530000c8 iif lo lookup 200',
    ]);
    expect(bare((pool) => ({ clients: ['10.10.11.0/24', ...POOLS.slice(1), pool] }))).toEqual([
      'rule 4 10010 from 10.10.11.0/24 lookup 200',
      'rule 6 10010 from fd00:4242:4242:4242::/64 lookup 200',
      'rule auto 10012 from @1@ lookup 200',
      'rule 4 10009 to 10.10.11.0/24 lookup 254 suppress_prefixlength 7',
      'rule 6 10009 to fd00:4242:4242:4242::/64 lookup 254 suppress_prefixlength 63',
      'rule auto 10007 to @2@ lookup 254 suppress_prefixlength 7',
      'rule 4 10013 fwmark 0x530000c8 iif lo lookup 200',
      'rule 6 10013 fwmark 0x530000c8 iif lo lookup 200',
    ]);
  });

  test('can be isolated where there is one', () => {
    const localTraffic = LocalTraffic.isolated();
    expect(bare((pool) => ({ clients: [pool], gateways: ['192.168.1.1'], localTraffic }))).toEqual([
      'rule auto 10010 from @1@ lookup 200',
      'rule auto 10009 from @2@ to @3@ prohibit',
      'rule 4 10011 fwmark 0x530000c8 iif lo lookup 200',
    ]);
    expect(() =>
      bare((pool) => ({ clients: ['10.10.11.0/24', pool], gateways: ['192.168.1.1'], localTraffic })),
    ).toThrow(
      new Error(
        '[stack/egress] clients[1] is known at apply only, but LocalTraffic.isolated() with several pools needs its family. Give it literally, or declare a VpnEgress for each pool.',
      ),
    );
  });
});

test('isolated() keeps every pool from every pool of its family', () => {
  const localTraffic = LocalTraffic.isolated();
  const clients = ['10.10.10.0/24', 'fd00:4242:4242:4242::/64', '10.10.20.0/24'];
  expect(linesOf({ clients, localTraffic }).filter((line) => line.endsWith(' prohibit'))).toEqual([
    'rule 4 10009 from 10.10.10.0/24 to 10.10.10.0/24 prohibit',
    'rule 4 10008 from 10.10.10.0/24 to 10.10.20.0/24 prohibit',
    'rule 6 10009 from fd00:4242:4242:4242::/64 to fd00:4242:4242:4242::/64 prohibit',
    'rule 4 10007 from 10.10.20.0/24 to 10.10.10.0/24 prohibit',
    'rule 4 10006 from 10.10.20.0/24 to 10.10.20.0/24 prohibit',
  ]);
});

describe('rules for local traffic are as few as there can be', () => {
  /** Tunnels tun0, tun1 ... with these addresses, and the rules for local traffic of these pools. */
  function localRules(
    clients: string[],
    addresses: string[] = [],
    { localTraffic = LocalTraffic.mainTable(), rejectedClients = [] as string[] } = {},
  ): string[] {
    const stack = newStack();
    const tunnels = addresses.map((address, index) => ({ name: `tun${index}`, addresses: [address] }));
    const host = newHost(stack, { interfaces: [...ALL_INTERFACES.slice(0, 2), ...tunnels] });
    const families = [clients.some((pool) => !pool.includes(':')), clients.some((pool) => pool.includes(':'))];
    const gateways = GATEWAYS.filter((_, index) => families[index]);
    new VpnEgress(stack, 'egress', { ...BASE, host, clients, rejectedClients, gateways, localTraffic });
    return bundleOf(stack)
      .filter((line) => /^rule /.test(line) && (line.includes(' 254 ') || line.endsWith(' prohibit')))
      .map((line) => line.replace(/^rule [46] /, '').replace('lookup 254 suppress_prefixlength', 'suppress'));
  }

  test.each<[string, string[], string[], string[]]>([
    [
      'adjacent pools become one',
      ['10.10.0.0/24', '10.10.1.0/24', '10.10.2.0/23', '10.10.4.0/24'],
      [],
      ['10009 to 10.10.0.0/22 suppress 7', '10008 to 10.10.4.0/24 suppress 7'],
    ],
    [
      'neighbours in different halves do not',
      ['10.10.1.0/24', '10.10.2.0/24'],
      [],
      ['10009 to 10.10.1.0/24 suppress 7', '10008 to 10.10.2.0/24 suppress 7'],
    ],
    ['a pool in another one has none', ['10.10.7.0/24', '10.10.0.0/16'], [], ['10009 to 10.10.0.0/16 suppress 7']],
    [
      'both families',
      ['fd00:1::/65', 'fd00:1:0:0:8000::/65', '10.0.0.0/9', '10.128.0.0/9'],
      [],
      ['10009 to fd00:1::/64 suppress 7', '10009 to 10.0.0.0/8 suppress 7'],
    ],
    [
      'no prefix without bits',
      ['0.0.0.0/1', '128.0.0.0/1'],
      [],
      ['10009 to 0.0.0.0/1 suppress 7', '10008 to 128.0.0.0/1 suppress 7'],
    ],
    [
      'the same tunnels, the same routes',
      ['10.10.0.0/24', '10.10.1.0/24'],
      ['10.10.0.1/24', '10.10.1.1/24'],
      ['10009 to 10.10.0.0/23 suppress 23'],
    ],
    [
      'what is suppressed for one, another one needs',
      ['10.10.0.0/24', '10.10.1.0/24'],
      ['10.10.0.1/24'],
      ['10009 to 10.10.0.0/24 suppress 23', '10008 to 10.10.1.0/24 suppress 7'],
    ],
  ])('%s', (_, clients, addresses, rules) => {
    expect(localRules(clients, addresses)).toEqual(rules);
  });

  test('of 100 adjacent pools there are three', () => {
    const clients = Array.from({ length: 100 }, (_, index) => `10.10.${index}.0/24`);
    expect(localRules(clients)).toEqual([
      '10009 to 10.10.0.0/18 suppress 7',
      '10008 to 10.10.64.0/19 suppress 7',
      '10007 to 10.10.96.0/22 suppress 7',
    ]);
    const localTraffic = LocalTraffic.suppressDefault();
    expect(localRules(clients, [], { localTraffic })).toHaveLength(3);
    expect(localRules(clients, [], { localTraffic: LocalTraffic.isolated() })).toHaveLength(9);
  });

  test('also of those that are rejected', () => {
    const rejectedClients = ['10.10.1.0/24', '10.10.2.0/24'];
    const rules = (localTraffic: LocalTraffic): string[] =>
      localRules(['10.10.0.0/24'], [], { rejectedClients, localTraffic });
    expect(rules(LocalTraffic.mainTable())).toEqual([
      '10009 to 10.10.0.0/23 suppress 7',
      '10008 to 10.10.2.0/24 suppress 7',
    ]);
    expect(rules(LocalTraffic.isolated())).toEqual([
      '10009 from 10.10.0.0/24 to 10.10.0.0/23 prohibit',
      '10008 from 10.10.0.0/24 to 10.10.2.0/24 prohibit',
    ]);
  });

  test('priorities need no more room than there are rules', () => {
    const stack = newStack();
    const clients = ['10.10.10.0/24', '10.10.11.0/24'];
    const host = newHost(stack, { interfaces: IPV4_TUNNELS });
    new VpnEgress(stack, 'egress', { ...BASE, host, clients, gateways: ['192.168.1.1'], priority: 101 });
    expect(bundleOf(stack)).toContain('rule 4 100 to 10.10.10.0/23 lookup 254 suppress_prefixlength 23');
  });

  describe('to a pool no route is taken that is shorter than the networks which it is in:', () => {
    const POOL = '10.10.10.0/24';
    test.each<[string, string, string[], number]>([
      ['a tunnel of its size', POOL, ['10.10.10.1/24'], 23],
      ['a wider tunnel', POOL, ['10.10.0.1/16'], 15],
      ['a wider network around that of its tunnel', POOL, ['10.0.0.1/8', '10.10.10.1/24'], 23],
      ['two tunnels, one for each half', POOL, ['10.10.10.1/25', '10.10.10.129/25'], 24],
      ['two tunnels of different sizes', '10.10.10.0/23', ['10.10.10.1/24', '10.10.11.1/25', '10.10.11.129/25'], 23],
      ['a tunnel for a part of it', POOL, ['10.10.10.1/25'], 7],
      ['a tunnel with one address, whose routes the daemon sets', POOL, ['10.10.10.1/32'], 7],
      ['no tunnel that is declared', POOL, [], 7],
      ['a network of somebody else', POOL, ['10.10.20.1/24'], 7],
      ['a network that is no longer than a default route', POOL, ['8.0.0.1/6'], 7],
      ['IPv6', IPV6_POOL, ['fd00:4242:4242:4242::1/64'], 63],
      ['IPv6, one address', IPV6_POOL, ['fd00:4242:4242:4242::1/128'], 7],
    ])('%s', (_, pool, addresses, length) => {
      expect(localRules([pool], addresses)).toEqual([`10009 to ${pool} suppress ${length}`]);
    });

    test('packets to a client that is not connected do not leave by a wide network of somebody else', () => {
      const stack = newStack();
      const lan = { name: 'eth2', addresses: ['10.250.0.2/24'] };
      const host = newHost(stack, { interfaces: [...ALL_INTERFACES, lan] });
      SourceRoutingTable.main(host).addRoute('wide', { destination: '10.0.0.0/8', via: '10.250.0.1', device: 'eth2' });
      new VpnEgress(stack, 'egress', { host, ...BASE });
      const packet = { source: '10.10.10.9', destination: '10.10.10.7', inputInterface: 'tun0' };
      expect(host.lookup(packet).map(({ text }) => text)).toEqual(['dev tun0']);
      expect(host.lookup({ ...packet, linksDown: ['tun0'] }).map(({ text }) => text)).toEqual(['unreachable']);
    });
  });
});

describe('a default route in pieces', () => {
  // As the clients of OpenVPN (def1), and others, put them beside the real one.
  const PIECES = ['0.0.0.0/1', '128.0.0.0/1', '::/3', '2000::/4', '3000::/4', '2000::/3', 'fc00::/7'];
  const packets = [
    ['10.10.10.9', '198.51.100.7', '192.168.1.1'],
    ['10.10.10.9', '10.66.0.1', '192.168.1.1'],
    ['fd00:4242:4242:4242::9', '2001:db8::7', 'fd00:1010:1010:1010::1'],
    ['fd00:4242:4242:4242::9', 'fd77::7', 'fd00:1010:1010:1010::1'],
  ];
  test.each<[string, LocalTraffic]>([
    ['mainTable()', LocalTraffic.mainTable()],
    ['suppressDefault()', LocalTraffic.suppressDefault()],
    ['isolated()', LocalTraffic.isolated()],
  ])('does not take packets of clients with %s', (_, localTraffic) => {
    const stack = newStack();
    const tun7 = { name: 'tun7', addresses: ['10.66.66.2/24', 'fd66::2/64'] };
    const host = newHost(stack, { interfaces: [...ALL_INTERFACES, tun7] });
    PIECES.forEach((destination, index) =>
      SourceRoutingTable.main(host).addRoute(`piece-${index}`, {
        destination,
        via: destination.includes(':') ? 'fd66::1' : '10.66.66.1',
        device: 'tun7',
      }),
    );
    new VpnEgress(stack, 'egress', { host, ...BASE, localTraffic });
    // The server's own packets take the pieces, which is what they are for.
    expect(validationErrors(stack).filter((line) => !line.includes('"stack/egress/server"'))).toEqual([]);
    for (const [source, destination, via] of packets) {
      expect(host.lookup({ source, destination, inputInterface: 'tun0' })).toMatchObject([{ via, device: 'eth1' }]);
    }
    // To an address of the pool that is in no tunnel neither.
    const [lost] = host.lookup({
      source: '10.10.10.9',
      destination: '10.10.10.7',
      inputInterface: 'tun0',
      linksDown: ['tun0'],
    });
    expect(['unreachable', 'prohibit']).toContain(lost?.text);
  });
});

describe('rejected clients', () => {
  const clients = POOLS.slice(0, 1);
  const rejectedClients = POOLS.slice(1);
  const gateways = GATEWAYS.slice(0, 1);
  const rulesOf = (props: Partial<VpnEgressProps>): string[] =>
    linesOf({ clients, rejectedClients, gateways, ...props }).filter((line) => /^rule 6|^route 6|^guard 6/.test(line));
  const REJECTED = 'rule 6 10010 from fd00:4242:4242:4242::/64 unreachable';
  const GUARD = ['guard 6 20010 from fd00:4242:4242:4242::/64 unreachable', 'guard 6 20012 iif tun0 blackhole'];

  test.each<[string, LocalTraffic, string[]]>([
    [
      'mainTable()',
      LocalTraffic.mainTable(),
      [REJECTED, 'rule 6 10009 to fd00:4242:4242:4242::/64 lookup 254 suppress_prefixlength 63', ...GUARD],
    ],
    [
      'suppressDefault()',
      LocalTraffic.suppressDefault(),
      [REJECTED, 'rule 6 10009 from fd00:4242:4242:4242::/64 lookup 254 suppress_prefixlength 7', ...GUARD],
    ],
    [
      'upHook()',
      LocalTraffic.upHook(),
      [
        REJECTED,
        'rule 6 10009 from fd00:4242:4242:4242::/64 lookup 200 suppress_prefixlength 7',
        ...GUARD,
        'route 6 200 default 4278198272 type unreachable proto 77',
        'route 6 200 fd00:4242:4242:4242::/64 4278198272 type unreachable proto 77',
      ],
    ],
    ['isolated()', LocalTraffic.isolated(), [REJECTED, ...GUARD]],
  ])('with %s', (_, localTraffic, expected) => {
    expect(rulesOf({ localTraffic })).toEqual(expected);
  });

  test('of a family that others are routed of stand behind those, and have no return route', () => {
    const props = { clients: ['10.10.10.0/24', '10.10.20.0/24'], rejectedClients: ['10.10.30.0/24', IPV6_POOL] };
    const rules = (localTraffic: LocalTraffic): string[] =>
      linesOf({ ...props, gateways, localTraffic }).filter((line) => line.startsWith('rule 4'));
    expect(rules(LocalTraffic.mainTable())).toEqual([
      'rule 4 10010 from 10.10.10.0/24 lookup 200',
      'rule 4 10011 from 10.10.20.0/24 lookup 200',
      'rule 4 10012 from 10.10.30.0/24 unreachable',
      'rule 4 10009 to 10.10.10.0/24 lookup 254 suppress_prefixlength 23',
      'rule 4 10008 to 10.10.20.0/24 lookup 254 suppress_prefixlength 7',
      'rule 4 10007 to 10.10.30.0/24 lookup 254 suppress_prefixlength 7',
      'rule 4 10013 fwmark 0x530000c8 iif lo lookup 200',
    ]);
    expect(rules(LocalTraffic.isolated()).filter((line) => line.endsWith(' prohibit'))).toEqual([
      'rule 4 10009 from 10.10.10.0/24 to 10.10.10.0/24 prohibit',
      'rule 4 10008 from 10.10.10.0/24 to 10.10.20.0/24 prohibit',
      'rule 4 10007 from 10.10.20.0/24 to 10.10.10.0/24 prohibit',
      'rule 4 10006 from 10.10.20.0/24 to 10.10.20.0/24 prohibit',
      'rule 4 10005 from 10.10.10.0/24 to 10.10.30.0/24 prohibit',
      'rule 4 10004 from 10.10.20.0/24 to 10.10.30.0/24 prohibit',
    ]);
    const stack = newStack();
    const egress = new VpnEgress(stack, 'egress', { host: newHost(stack), ...BASE, ...props, gateways });
    expect(egress.returnRoutes().map(({ destination }) => destination)).toEqual(props.clients);
  });

  test('keep their ids and, where no other of their family is routed, their priorities when a pool is added', () => {
    const ids = (more: string[]): string[] => {
      const stack = newStack();
      const props = { clients: [...clients, ...more], rejectedClients, gateways };
      const egress = new VpnEgress(stack, 'egress', { host: newHost(stack), ...BASE, ...props });
      return egress.node.children.flatMap((child) =>
        PolicyRule.isPolicyRule(child) && child.node.id !== 'errors' ? [`${child.node.id} ${child.priority}`] : [],
      );
    };
    expect(ids([])).toEqual(['clients-1 10010', 'rejected-1 10010', 'local-1 10009', 'rejected-local-1 10009']);
    expect(ids(['10.10.11.0/24'])).toEqual(expect.arrayContaining(ids([])));
  });

  test('may be of a family that is known at apply only', () => {
    const stack = newStack();
    const pool = new TerraformVariable(stack, 'pool', {}).stringValue;
    const props = { clients, gateways, rejectedClients: [pool] };
    new VpnEgress(stack, 'egress', { host: newHost(stack), ...BASE, ...props });
    expect(validationErrors(stack)).toEqual([]);
    expect(bundleOf(stack)).toEqual(
      expect.arrayContaining([
        'rule auto 10011 from @1@ unreachable',
        'rule auto 10008 to @2@ lookup 254 suppress_prefixlength 7',
      ]),
    );
  });

  test('need room in front of and behind the others', () => {
    const at =
      (priority: number, localTraffic: LocalTraffic): (() => string[]) =>
      () =>
        linesOf({ clients, rejectedClients: ['10.10.12.0/24', IPV6_POOL], gateways, localTraffic, priority });
    expect(at(32763, LocalTraffic.mainTable())).not.toThrow();
    expect(at(32764, LocalTraffic.mainTable())).toThrow('priority 32764 is not an integer from 102 to 32763.');
    expect(at(101, LocalTraffic.upHook())).not.toThrow();
    expect(at(100, LocalTraffic.upHook())).toThrow('priority 100 is not an integer from 101 to 32763.');
    expect(at(102, LocalTraffic.isolated())).not.toThrow();
    expect(at(101, LocalTraffic.isolated())).toThrow('priority 101 is not an integer from 102 to 32763.');
  });
});

describe('room for the rules', () => {
  const clients = ['10.10.10.0/24', '10.10.20.0/24'];
  const gateways = ['192.168.1.1'];
  const DISTANT_TUNNELS = [...IPV4_TUNNELS.slice(0, 3), { name: 'tun1', addresses: ['10.10.20.1/24'] }];
  test.each<[string, LocalTraffic, number]>([
    ['mainTable()', LocalTraffic.mainTable(), 2],
    ['suppressDefault()', LocalTraffic.suppressDefault(), 2],
    ['upHook()', LocalTraffic.upHook(), 0],
    ['isolated()', LocalTraffic.isolated(), 4],
  ])('of two pools with %s', (_, localTraffic, inFront) => {
    const prioritiesOf = (priority: number): number[] =>
      linesOf({ clients, gateways, localTraffic, priority }, DISTANT_TUNNELS)
        .filter((line) => line.startsWith('rule '))
        .map((line) => Number(line.split(' ')[2]));
    expect(Math.min(...prioritiesOf(inFront + 100))).toBe(100);
    expect(Math.max(...prioritiesOf(32763))).toBe(32765);
    for (const priority of [inFront + 99, 32764]) {
      expect(() => prioritiesOf(priority)).toThrow(
        new Error(
          `[stack/egress] priority ${priority} is not an integer from ${inFront + 100} to 32763. Rules before it: ${inFront} (local traffic). From it on: 2 (pools), then 1 (packets of the machine itself).`,
        ),
      );
    }
  });
});

describe('return routes', () => {
  test('can be read as values', () => {
    const stack = newStack();
    const egress = new VpnEgress(stack, 'egress', { host: newHost(stack), ...BASE });
    expect(egress.returnRoutes()).toEqual([
      { destination: '10.10.10.0/24', via: '192.168.1.100' },
      { destination: 'fd00:4242:4242:4242::/64', via: 'fd00:1010:1010:1010::100' },
    ]);
  });

  test('are put on the NAT router if it is managed', () => {
    const stack = newStack();
    const natRouter = new LinuxHost(stack, 'nat', { ssh: { ...SSH, host: '192.168.178.3' } });
    const host = newHost(stack);
    new VpnEgress(stack, 'egress', { host, natRouter, ...BASE });
    const applies = Object.entries(natRouter.apply.toTerraform() as object);
    expect(applies.length).toBeGreaterThan(0);
    const triggers = Object.values(
      (
        JSON.parse(JSON.stringify(resolve(stack, natRouter.apply.toTerraform()))) as {
          resource: { terraform_data: object };
        }
      ).resource.terraform_data,
    ).map((resource: { triggers_replace: object }) => resource.triggers_replace);
    expect(triggers).toEqual([
      expect.objectContaining({
        'route ipv4 254 10.10.10.0/24': 'via 192.168.1.100',
        'route ipv6 254 fd00:4242:4242:4242::/64': 'via fd00:1010:1010:1010::100',
      }),
    ]);
  });

  test('take an address that is known at apply only, with or without prefix length', () => {
    const stack = newStack();
    const address = new TerraformVariable(stack, 'address', {}).stringValue;
    const host = newHost(stack, { interfaces: [{ name: 'eth1', addresses: [address] }] });
    const egress = new VpnEgress(stack, 'egress', {
      host,
      device: 'eth1',
      tableId: 200,
      clients: ['10.10.10.0/24'],
      gateways: ['192.168.1.1'],
    });
    expect(resolve(stack, egress.returnRoutes())).toEqual([
      { destination: '10.10.10.0/24', via: '${element(split("/", var.address), 0)}' },
    ]);
  });

  test('lead to the address that is named, where there are several', () => {
    const stack = newStack();
    const addresses = ['192.168.1.100/24', '192.168.1.110/32', 'fe80::2/64', 'fd00:1010:1010:1010::100/64'];
    const host = newHost(stack, { interfaces: [{ name: 'eth1', addresses }] });
    expect(() => new VpnEgress(stack, 'one', { host, ...BASE }).returnRoutes()).toThrow(
      '[stack/one] clients[0] "10.10.10.0/24" needs a return route via one IPv4 address of this server, and "eth1" has several (192.168.1.100, 192.168.1.110). Name it in returnAddresses.',
    );
    const named = { ...BASE, host, tableId: 201, priority: 11010, returnAddresses: ['192.168.1.110'] };
    expect(new VpnEgress(stack, 'two', named).returnRoutes()).toEqual([
      { destination: '10.10.10.0/24', via: '192.168.1.110' },
      { destination: IPV6_POOL, via: 'fd00:1010:1010:1010::100' },
    ]);
  });

  test('need an address of that family', () => {
    const stack = newStack();
    const host = newHost(stack, { interfaces: [{ name: 'eth1', addresses: ['192.168.1.100/24'] }] });
    const egress = new VpnEgress(stack, 'egress', { host, ...BASE });
    expect(() => egress.returnRoutes()).toThrow(
      `[stack/egress] clients[1] "fd00:4242:4242:4242::/64" needs a return route via this server's IPv6 address on "eth1", which is not declared. Add it to the addresses of "eth1" in the host's interfaces, or to returnAddresses.`,
    );
  });
});

describe('return routes via addresses that are known at apply only', () => {
  const V4 = '192.168.1.100/24';
  const V6 = 'fd00:1010:1010:1010::100/64';
  const TOKEN = '${element(split("/", var.one), 0)}';
  type Make = (variable: (name: string) => string) => { clients: string[]; addresses: string[] };
  function viasOf(make: Make): unknown {
    const stack = newStack();
    const { clients, addresses } = make((name) => new TerraformVariable(stack, name, {}).stringValue);
    const host = newHost(stack, { interfaces: [{ name: 'eth1', addresses }] });
    const gateways = clients.some((pool) => pool.includes('::')) ? GATEWAYS : GATEWAYS.slice(0, 1);
    const egress = new VpnEgress(stack, 'egress', { ...BASE, host, clients, gateways });
    return resolve(
      stack,
      egress.returnRoutes().map((route) => route.via),
    );
  }

  test.each<[string, Make, string[]]>([
    [
      'the other one',
      (variable) => ({ clients: POOLS, addresses: [variable('one'), V6] }),
      [TOKEN, 'fd00:1010:1010:1010::100'],
    ],
    ['not needed', (variable) => ({ clients: [POOLS[0] ?? ''], addresses: [variable('one'), V4] }), ['192.168.1.100']],
    ['the pool alone', (variable) => ({ clients: [variable('pool')], addresses: [V4] }), ['192.168.1.100']],
    ['both', (variable) => ({ clients: [variable('pool')], addresses: [variable('one')] }), [TOKEN]],
  ])('%s', (_, make, vias) => {
    expect(viasOf(make)).toEqual(vias);
  });

  const several = (pool: string, family: string, addresses: string): string =>
    `[stack/egress] clients[0] "${pool}" needs a return route via one ${family}address of this server, and "eth1" has several (${addresses}). Name it in returnAddresses.`;
  test.each<[string, Make, string]>([
    [
      'a pool, and two known addresses',
      (variable) => ({ clients: [variable('pool')], addresses: [V4, V6] }),
      several('a token', '', '192.168.1.100, fd00:1010:1010:1010::100'),
    ],
    [
      'a pool, and one address more',
      (variable) => ({ clients: [variable('pool')], addresses: [V4, variable('one')] }),
      several('a token', '', '192.168.1.100, a token'),
    ],
    [
      'two addresses',
      (variable) => ({ clients: POOLS.slice(0, 1), addresses: [variable('one'), variable('two')] }),
      several('10.10.10.0/24', 'IPv4 ', 'a token, a token'),
    ],
    [
      'a pool, and no address',
      (variable) => ({ clients: [variable('pool')], addresses: [] }),
      '[stack/egress] clients[0] "a token" needs a return route via this server\'s address on "eth1", which is not declared. Add it to the addresses of "eth1" in the host\'s interfaces, or to returnAddresses.',
    ],
  ])('%s: it cannot be told which', (_, make, message) => {
    expect(() => viasOf(make)).toThrow(new Error(message));
  });
});

describe('clients that no network of a tunnel holds', () => {
  const [eth0, eth1] = ALL_INTERFACES.map((each) => ({ ...each, addresses: each.addresses?.slice(0, 1) }));
  const CLIENTS = { clients: ['10.8.0.0/24', '192.168.50.0/24'], gateways: GATEWAYS.slice(0, 1) };

  test('are known by the networks of their tunnel, as behind a client with `iroute`', () => {
    const stack = newStack();
    const tun0 = { name: 'tun0', addresses: ['10.8.0.1/24'], networks: ['192.168.50.0/24'] };
    const host = newHost(stack, { interfaces: [eth0, eth1, tun0].flatMap((each) => each ?? []) });
    new VpnEgress(stack, 'egress', { host, ...BASE, ...CLIENTS, forwarding: Forwarding.nftables() });
    expect(validationErrors(stack)).toEqual([]);
    const lines = bundleOf(stack);
    expect(lines.filter((line) => / from 192\.168\.50\.\d+ iif \S+ .*is via /.test(line))).toEqual([
      expect.stringMatching(/^expect 4 stack\/egress\/leave-2 .* iif tun0 .* is via 192\.168\.1\.1 dev eth1$/),
    ]);
    expect(lines).toContain(
      'accept inet filter forward iifname { "tun0" } oifname { "eth1" } ip saddr & 255.255.255.0 == { 10.8.0.0, 192.168.50.0 } accept',
    );
    const ways = (source: string, destination: string): string[] =>
      host.lookup({ source, destination, inputInterface: 'tun0' }).map(({ text }) => text);
    expect(ways('10.8.0.9', '192.168.50.9')).toEqual(['dev tun0']);
    expect(ways('192.168.50.9', '198.51.100.7')).toEqual(['via 192.168.1.1 dev eth1']);
  });

  test('may be behind a tunnel with a single address, whose daemon sets the routes', () => {
    const stack = newStack();
    const wg0 = { name: 'wg0', addresses: ['10.8.0.1/32'] };
    const host = newHost(stack, { interfaces: [eth0, eth1, wg0].flatMap((each) => each ?? []) });
    new VpnEgress(stack, 'egress', { host, ...BASE, ...CLIENTS, clients: ['10.8.0.0/24'] });
    expect(validationErrors(stack)).toEqual([]);
    const ways = (source: string, destination: string, inputInterface?: string): string[] =>
      host.lookup({ source, destination, inputInterface }).map(({ text }) => text);
    // Whether the client is connected is not known.
    expect(ways('10.8.0.6', '10.8.0.10', 'wg0')).toEqual(['dev wg0', 'unreachable']);
    expect(ways('10.8.0.1', '10.8.0.6')).toEqual(['dev wg0', 'unreachable']);
  });
});

describe('the way to the NAT router', () => {
  const routes = (props: Partial<VpnEgressProps>): string[] =>
    linesOf(props).filter((line) => /^route \d 200 default (0|1024) /.test(line));

  test('needs no gateway on a point-to-point link', () => {
    expect(routes({ gateways: undefined })).toEqual([
      'route 4 200 default 0 dev eth1',
      'route 6 200 default 1024 dev eth1',
    ]);
    const stack = newStack();
    const host = newHost(stack, { interfaces: ALL_INTERFACES });
    new VpnEgress(stack, 'egress', { host, ...BASE, gateways: undefined });
    expect(bundleOf(stack)).toContainEqual(
      expect.stringMatching(/^expect 4 stack\/egress\/leave-1 .* from 10\.10\.10\.\d+ iif tun0.* is dev eth1$/),
    );
  });

  test('has one only for the families of the clients', () => {
    const stack = newStack();
    const host = newHost(stack, { interfaces: IPV4_TUNNELS });
    new VpnEgress(stack, 'egress', { host, ...BASE, clients: ['10.10.10.0/24'], gateways: undefined });
    expect(validationErrors(stack)).toEqual([]);
    expect(bundleOf(stack).filter((line) => /^route \d 200 default (0|1024) /.test(line))).toEqual([
      'route 4 200 default 0 dev eth1',
    ]);
  });

  test('may be a gateway outside of the networks of the interface', () => {
    const interfaces = [
      { name: 'eth1', addresses: ['192.168.1.100/32', 'fd00:1010:1010:1010::100/128'] },
      ...INTERFACES.slice(2),
    ];
    expect(linesOf({ onLink: true }, interfaces).filter((line) => / via /.test(line))).toEqual([
      'route 4 200 default 0 via 192.168.1.1 dev eth1 onlink',
      'route 6 200 default 1024 via fd00:1010:1010:1010::1 dev eth1 onlink',
    ]);
    const stack = newStack();
    new VpnEgress(stack, 'egress', { host: newHost(stack, { interfaces }), ...BASE, onLink: true });
    // A strict rp_filter would drop what comes from there.
    expect(bundleOf(stack).filter((line) => /from-gateway/.test(line))).toEqual([
      'expect 4 stack/egress/from-gateway to 192.168.1.100 from 192.168.1.1 iif eth1 ipproto 6 sport 443 is local',
    ]);
  });

  test('may be an IPv6 next hop of IPv4 packets', () => {
    const stack = newStack();
    const host = newHost(stack, { interfaces: ALL_INTERFACES });
    new VpnEgress(stack, 'egress', { host, ...BASE, gateways: ['inet6 fe80::1', 'fe80::1'] });
    const written = bundleOf(stack);
    expect(written.filter((line) => /^route .* via /.test(line))).toEqual([
      'route 4 200 default 0 via inet6 fe80::1 dev eth1',
      'route 6 200 default 1024 via fe80::1 dev eth1',
    ]);
    expect(written.filter((line) => /^expect 4 stack.egress.(leave|errors)/.test(line))).toEqual([
      expect.stringMatching(/leave-1 .* is via fe80::1 dev eth1$/),
      expect.stringMatching(/errors .* is via fe80::1 dev eth1$/),
    ]);
  });

  test('may be what DHCP and router advertisements give, which the machine finds out', () => {
    const stack = newStack();
    const host = newHost(stack, { interfaces: ALL_INTERFACES });
    new VpnEgress(stack, 'egress', { host, ...BASE, gateways: ['dhcp4', 'ra'] });
    expect(validationErrors(stack)).toEqual([]);
    const written = bundleOf(stack);
    expect(written.filter((line) => /^(follow|route .* via|value) /.test(line))).toEqual([
      'route 4 200 default 0 via dhcp4 dev eth1',
      'route 6 200 default 1024 via ra dev eth1',
      'follow 4 200 default 0 eth1',
      'follow 6 200 default 1024 eth1',
    ]);
    expect(written).toContain('|ReadWritePaths=/run /var/lib/source-routing/stack-vpn1');
    expect(written.filter((line) => /^expect 4 stack.egress.(leave|errors|replies)/.test(line))).toEqual([
      expect.stringMatching(/leave-1 .* is dev eth1$/),
      expect.stringMatching(/errors .* is dev eth1$/),
    ]);
    expect(
      host
        .lookup({ source: '10.10.10.2', destination: '198.51.100.1', inputInterface: 'tun0' })
        .map(({ text }) => text),
    ).toEqual(['via <dhcp4> dev eth1']);
    expect(resourceOf(stack, 'apply').triggers_replace).toMatchObject({
      'route ipv4 200 default': 'via dhcp4 dev eth1',
    });
  });

  test('is an address at synth, if it is an IPv6 next hop of IPv4', () => {
    const stack = newStack();
    const gateway = new TerraformVariable(stack, 'gateway', {}).stringValue;
    const props = { host: newHost(stack, { interfaces: ALL_INTERFACES }), ...BASE };
    expect(() => new VpnEgress(stack, 'egress', { ...props, gateways: [`inet6 ${gateway}`, GATEWAYS[1]] })).toThrow(
      '[stack/egress] gateways[0] is known at apply only, but the IPv6 next hop of IPv4 must be known at synth. Give it literally.',
    );
  });

  test('may have a backup whose next hop only the machine knows', () => {
    const stack = newStack();
    const eth2 = { name: 'eth2', addresses: ['172.16.9.100/24'] };
    const host = newHost(stack, { interfaces: [...ALL_INTERFACES, eth2] });
    const { table } = new VpnEgress(stack, 'egress', { host, ...BASE });
    table.addRoute('backup', { destination: '::/0', via: 'ra', device: 'eth2', metric: 512 });
    expect(validationErrors(stack)).toEqual([]);
    expect(bundleOf(stack)).toContainEqual(
      expect.stringMatching(/^expect 6 .*leave-1 .* is via fd00:1010:1010:1010::1 dev eth1 or dev eth2$/),
    );
  });

  test('is followed by the service only', () => {
    const stack = newStack();
    const host = newHost(stack, { interfaces: ALL_INTERFACES, persistence: Persistence.networkd() });
    new VpnEgress(stack, 'egress', { host, ...BASE, gateways: ['dhcp4', 'ra'] });
    expect(validationErrors(stack)).toContainEqual(
      expect.stringContaining('only Persistence.service() follows a next hop that changes'),
    );
  });

  test('needs clients all the same', () => {
    expect(() => linesOf({ clients: [], gateways: undefined })).toThrow('clients is empty. Give the pools');
  });

  test('has no gateway that could be on-link where there is none', () => {
    expect(() => linesOf({ gateways: undefined, onLink: true })).toThrow(
      '[stack/egress] onLink is set without gateways, which it is about. Give gateways, or leave out onLink.',
    );
  });

  test.each([
    [{ gateways: ['0.0.0.0'] }, 'gateways[0] "0.0.0.0" is the unspecified address'],
    [{ gateways: ['inet6 ff02::1'] }, 'gateways[0] "ff02::1" is a multicast address'],
    [{ returnAddresses: ['127.0.0.1'] }, 'returnAddresses[0] "127.0.0.1" is a loopback address'],
  ])('has next hops that are other machines: %j', (props, message) => {
    expect(() => linesOf(props)).toThrow(
      `[stack/egress] ${message}, so it cannot be a next hop. Give the address of the next hop, or leave it out if there is none.`,
    );
    const interfaces = [{ name: 'eth0', gateways: ['224.0.0.1'] }];
    expect(() => newHost(newStack(), { interfaces })).toThrow(
      'interfaces "eth0" gateways[0] "224.0.0.1" is a multicast',
    );
  });

  test('leads to one return address of a family', () => {
    expect(() => linesOf({ returnAddresses: ['192.168.1.100', '192.168.1.110'] })).toThrow(
      '[stack/egress] returnAddresses[1] "192.168.1.110" is the second IPv4 address. Give one for each family.',
    );
  });

  test('may have a smaller MTU', () => {
    expect(routes({ mtu: 1492 })).toEqual([
      'route 4 200 default 0 via 192.168.1.1 dev eth1 mtu 1492',
      'route 6 200 default 1024 via fd00:1010:1010:1010::1 dev eth1 mtu 1492',
    ]);
  });
});

test('everything may be known at apply only', () => {
  const stack = newStack();
  const variable = (name: string): string => new TerraformVariable(stack, name, {}).stringValue;
  new VpnEgress(stack, 'egress', {
    host: newHost(stack, { interfaces: undefined }),
    device: variable('device'),
    tableId: 200,
    clients: [variable('pool')],
    gateways: [variable('gateway')],
  });
  expect(validationErrors(stack)).toEqual([]);
  const lines = bundleOf(stack);
  expect(lines.filter((line) => /^(value|rule|route) /.test(line))).toEqual([
    'value 1 prefix - stack/egress/clients-1:source ${jsonencode(var.pool)}',
    'value 2 prefix - stack/egress/local-1:destination ${jsonencode(var.pool)}',
    'value 3 address - stack/egress/table/gateway-1:via ${jsonencode(var.gateway)}',
    'value 4 device - stack/egress/table/gateway-1:device ${jsonencode(var.device)}',
    'value 5 prefix - stack/egress:clients_0_ ${jsonencode(var.pool)}',
    'rule auto 10010 from @1@ lookup 200',
    'rule auto 10009 to @2@ lookup 254 suppress_prefixlength 7',
    'rule 4 10011 fwmark 0x530000c8 iif lo lookup 200',
    'rule 6 10011 fwmark 0x530000c8 iif lo lookup 200',
    'route auto 200 default 0 via @3@ dev @4@',
    'route 4 200 default 4278198272 type unreachable proto 77',
    'route 6 200 default 4278198272 type unreachable proto 77',
    'route auto 200 @5@ 4278198272 type unreachable proto 77',
  ]);
  expect(resourceOf(stack, 'apply').triggers_replace).toMatchObject({
    'rule 10010': 'from ${var.pool} lookup 200',
    'route stack/egress/clients-1': 'type unreachable',
  });
});

test('a pool may be around an earlier one, whose rule comes first', () => {
  const stack = newStack();
  const props = { device: 'eth1', tableId: 200, clients: ['10.10.10.128/25', ...POOLS], gateways: GATEWAYS };
  new VpnEgress(stack, 'egress', { host: newHost(stack, { interfaces: ALL_INTERFACES }), ...props });
  expect(validationErrors(stack)).toEqual([]);
});

describe('arguments', () => {
  test.each<[string, Partial<VpnEgressProps>, string]>([
    ['no clients', { clients: [] }, 'clients is empty. Give the pools of the VPN server, such as "10.10.10.0/24".'],
    [
      'host bits',
      { clients: ['10.10.10.1/24'] },
      'clients[0] "10.10.10.1/24" has host bits set. Did you mean "10.10.10.0/24"?',
    ],
    [
      'a pool without gateway',
      { gateways: ['192.168.1.1'] },
      `clients[1] "fd00:4242:4242:4242::/64" is IPv6, but no gateway is. Add the NAT router's IPv6 address to gateways; if it has none, move the pool to rejectedClients.`,
    ],
    [
      'a gateway without pool',
      { clients: ['10.10.10.0/24'] },
      `gateways[1] "fd00:1010:1010:1010::1" is IPv6, but no pool of clients is. Add the clients' IPv6 pool, or leave out the gateway. For IPv4 packets with an IPv6 next hop (RFC 8950), write "inet6 fd00:1010:1010:1010::1".`,
    ],
    [
      'an IPv4 pool without gateway',
      { gateways: ['fe80::1'] },
      `clients[0] "10.10.10.0/24" is IPv4, but no gateway is. Add the NAT router's IPv4 address to gateways; if it has none, move the pool to rejectedClients, or give an IPv6 next hop for IPv4 (RFC 8950): "inet6 fe80::1".`,
    ],
    [
      'an IPv6 next hop of IPv4 that is not an address',
      { gateways: ['inet6 ra', 'ra'] },
      'gateways[0] "inet6 ra" is not supported. Give the address of the IPv6 next hop: "inet6 fe80::1".',
    ],
    [
      'an IPv4 next hop that is called IPv6',
      { gateways: ['inet6 192.168.1.1', 'fe80::1'] },
      'gateways[0] "inet6 192.168.1.1" is IPv4. Leave out "inet6".',
    ],
    [
      'two gateways of one family',
      { gateways: [...GATEWAYS, '192.168.1.2'] },
      'gateways[2] "192.168.1.2" is the second IPv4 gateway. A VpnEgress has one gateway for each family. For several (ECMP), declare a SourceRoutingTable that has a route with nextHops, and a PolicyRule for each pool, instead of the VpnEgress.',
    ],
    [
      'a pool twice',
      { clients: [...POOLS, 'FD00:4242:4242:4242::/64'] },
      'clients[2] "FD00:4242:4242:4242::/64" is there twice. Leave out one of them.',
    ],
    [
      'a pool that is rejected, too',
      { rejectedClients: [IPV6_POOL] },
      'rejectedClients[0] "fd00:4242:4242:4242::/64" is there twice. Leave out one of them.',
    ],
    [
      'a part of a pool that is rejected',
      { rejectedClients: ['10.10.10.128/25'] },
      'rejectedClients[0] "10.10.10.128/25" is inside clients[0] "10.10.10.0/24", which is routed. Leave it out, or give clients without it.',
    ],
    [
      'a pool inside another',
      { clients: [...POOLS, '10.10.10.128/25'] },
      'clients[2] "10.10.10.128/25" is inside clients[0] "10.10.10.0/24", which is routed. Leave it out.',
    ],
    [
      'a pool inside all of IPv6',
      { clients: ['10.10.10.0/24', '::/0', IPV6_POOL] },
      'clients[2] "fd00:4242:4242:4242::/64" is inside clients[1] "::/0", which is routed. Leave it out.',
    ],
    [
      'a rejected pool inside another',
      { rejectedClients: ['10.10.12.0/23', '10.10.13.0/24'] },
      'rejectedClients[1] "10.10.13.0/24" is inside rejectedClients[0] "10.10.12.0/23", which is rejected. Leave it out.',
    ],
    [
      'a rejected pool with host bits',
      { rejectedClients: ['10.10.12.1/24'] },
      'rejectedClients[0] "10.10.12.1/24" has host bits set. Did you mean "10.10.12.0/24"?',
    ],
    [
      'a gateway of a family that is rejected',
      { clients: ['10.10.10.0/24'], rejectedClients: [IPV6_POOL] },
      `gateways[1] "fd00:1010:1010:1010::1" is IPv6, but no pool of clients is. Add the clients' IPv6 pool, or leave out the gateway. For IPv4 packets with an IPv6 next hop (RFC 8950), write "inet6 fd00:1010:1010:1010::1".`,
    ],
    [
      'a resolver that runs as root',
      { resolver: Resolver.user(0) },
      'resolver user 0 is not an integer from 1 to 4294967294. 0 is root, whose rule would match all queries of the machine.',
    ],
    [
      'no mark',
      { errorMark: 0 },
      'errorMark 0 is not an integer from 1 to 4294967295. Leave it out to derive one from tableId.',
    ],
    [
      'priority',
      { priority: 1 },
      'priority 1 is not an integer from 101 to 32764. Rules before it: 1 (local traffic). From it on: 1 (pools), then 1 (packets of the machine itself).',
    ],
  ])('%s', (_, props, message) => {
    const stack = newStack();
    const host = newHost(stack);
    expect(() => new VpnEgress(stack, 'egress', { host, ...BASE, ...props })).toThrow(
      new Error(`[stack/egress] ${message}`),
    );
  });

  test.each<[string, (list: string[]) => Partial<VpnEgressProps>]>([
    ['clients', (clients) => ({ clients })],
    ['gateways', (gateways) => ({ gateways })],
    ['rejectedClients', (rejectedClients) => ({ rejectedClients })],
  ])('%s cannot be a list that is known at apply only', (property, props) => {
    const stack = newStack();
    const host = newHost(stack);
    const list = new TerraformVariable(stack, 'list', {}).listValue;
    expect(() => new VpnEgress(stack, 'egress', { host, ...BASE, ...props(list) })).toThrow(
      new Error(
        `[stack/egress] ${property} is a list that is known at apply only, but its length must be known at synth. Give its elements, for example Fn.element(list, 0).`,
      ),
    );
  });
});

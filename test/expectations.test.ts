import { TerraformVariable } from 'cdktf';
import type { TerraformStack } from 'cdktf';
import type { Flow, LinuxHost, LinuxHostProps, NetworkInterface, VpnEgressProps } from '../lib';
import {
  Expected,
  IpProtocol,
  LocalTraffic,
  PolicyRule,
  Resolver,
  RouteType,
  RuleAction,
  SourceRoutingTable,
  VpnEgress,
} from '../lib';
import {
  ALL_INTERFACES,
  GATEWAYS,
  INTERFACES,
  POOLS,
  bundleOf,
  newHost,
  newStack,
  synthesisError,
  validationErrors,
} from './fixtures';

function egress(stack: TerraformStack, host: LinuxHost, props: Partial<VpnEgressProps> = {}): VpnEgress {
  return new VpnEgress(stack, 'egress', {
    host,
    device: 'eth1',
    tableId: 200,
    clients: POOLS,
    gateways: GATEWAYS,
    ...props,
  });
}

/** The how-to's server, all of it declared, with its clients routed. */
function server(props: Partial<LinuxHostProps> = {}): { stack: TerraformStack; host: LinuxHost } {
  const stack = newStack();
  const host = newHost(stack, { interfaces: ALL_INTERFACES, ...props });
  egress(stack, host);
  return { stack, host };
}

const IPV4_ONLY = { clients: POOLS.slice(0, 1), gateways: GATEWAYS.slice(0, 1) };

const CLIENTS: Flow = {
  source: POOLS[0],
  destination: 'default',
  exceptDestinations: [...POOLS],
  inputInterface: 'tun0',
};
/** Some places in the world. */
const ANYWHERE = '198.51.100.1 or 203.0.113.1 or 23.0.0.1 or 101.0.0.1 or 185.0.0.1';
const THROUGH_NAT = Expected.via('192.168.1.1', 'eth1');

describe('lookup', () => {
  const packet = { source: '10.10.10.2', destination: '198.51.100.7', inputInterface: 'tun0' };
  test('says where a packet goes, and how it came to that', () => {
    expect(server().host.lookup(packet)).toEqual([
      {
        text: 'via 192.168.1.1 dev eth1',
        via: '192.168.1.1',
        device: 'eth1',
        trail: [
          'rule 0: from all lookup local -> table local: no route',
          'rule 10010: from 10.10.10.0/24 lookup 200 -> table 200: default via 192.168.1.1 dev eth1',
        ],
      },
    ]);
  });
  test('takes links to be down that are said to be', () => {
    const down = server().host.lookup({ ...packet, linksDown: ['eth1'] });
    expect(down.map(({ text, device }) => [text, device])).toEqual([['unreachable', undefined]]);
  });
  test.each([
    [{ ...packet, source: undefined }, 'a packet to "198.51.100.7" that comes in through "tun0" needs a source'],
    [{ ...packet, source: '10.10.10.0/24' }, 'source "10.10.10.0/24" has a prefix length'],
    [{ ...packet, destination: '::1' }, 'source "10.10.10.2" is IPv4 but destination "::1" is IPv6'],
    [{ ...packet, tos: 17 }, 'tos 17 has ECN bits set, which no rule compares. Did you mean 16?'],
    [{ ...packet, sourcePort: 7 }, 'sourcePort is given without ipProtocol'],
    [
      { ...packet, uid: 7 },
      'uid 7 is that of a local process, but inputInterface "tun0" means that the packet comes in',
    ],
    [{ ...packet, inputInterface: 'tun9' }, 'inputInterface "tun9" is not among the interfaces declared for this host'],
    [{ ...packet, linksDown: ['eth9'] }, 'linksDown[0] "eth9" is not among the interfaces declared for this host'],
    [{ ...packet, linksDown: ['eth 1'] }, 'linksDown[0] "eth 1" is not an interface name'],
  ])('%j is refused', (wrong, message) => {
    expect(() => server().host.lookup(wrong)).toThrow(`[stack/vpn1] ${message}`);
  });
});

describe('what is expected and true', () => {
  test.each<[string, Flow, Expected]>([
    ['all clients leave through the gateway', CLIENTS, THROUGH_NAT],
    ['through that interface', CLIENTS, Expected.device('eth1')],
    ['or are rejected', { ...CLIENTS, linksDown: ['eth1'] }, Expected.unreachable()],
    ['one of several things', CLIENTS, Expected.anyOf(Expected.local(), THROUGH_NAT)],
    ['the server itself', { destination: '198.51.100.0/24' }, Expected.via('192.168.178.1', 'eth0')],
    [
      'the server from one of its addresses',
      { source: '192.168.178.2', destination: '8.8.8.8' },
      Expected.device('eth0'),
    ],
    ['the interface alone', CLIENTS, Expected.anyOf(Expected.device('eth0'), Expected.device('eth1'))],
    [
      'that the router of a network is this machine',
      { source: POOLS[1], destination: 'fd00:1010:1010:1010::', inputInterface: 'tun0' },
      Expected.local(),
    ],
    ['what is for the server', { ...CLIENTS, destination: '192.168.178.2', exceptDestinations: [] }, Expected.local()],
    [
      'both families',
      { destination: 'default', exceptDestinations: [], inputInterface: 'eth1' },
      Expected.anyOf(Expected.device('eth0'), Expected.device('eth1'), Expected.device('tun0'), Expected.unreachable()),
    ],
  ])('%s', (_, flow, expected) => {
    const { stack, host } = server();
    host.expect('x', flow, expected);
    expect(validationErrors(stack)).toEqual([]);
  });
  test('all but some sources', () => {
    const { stack, host } = server();
    const source = { source: '10.10.0.0/16', exceptSources: ['10.10.0.0/21', '10.10.8.0/23', '10.10.11.0/24'] };
    const others = ['10.10.12.0/22', '10.10.16.0/20', '10.10.32.0/19', '10.10.64.0/18', '10.10.128.0/17'];
    const exceptSources = [...source.exceptSources, ...others];
    host.expect('x', { ...CLIENTS, ...source, exceptSources }, THROUGH_NAT);
    expect(validationErrors(stack)).toEqual([]);
    host.expect('y', { ...CLIENTS, ...source, exceptSources: others }, THROUGH_NAT);
    expect(synthesisError(stack)).toContain('expectation "y" is untrue: a packet from 10.10.');
  });
  test('of packets from two addresses, one of which has a rule', () => {
    const { stack, host } = server();
    const action = RuleAction.prohibit();
    new PolicyRule(stack, 'one', { host, source: '192.168.1.100/32', action, priority: 5000 });
    const from = (source: string): Flow => ({ source, destination: '198.51.0.0/16' });
    host.expect('one', from('192.168.1.100'), Expected.unreachable());
    host.expect('two', from('192.168.178.2'), Expected.via('192.168.178.1', 'eth0'));
    expect(validationErrors(stack)).toEqual([]);
    host.expect('three', from('192.168.178.2'), Expected.unreachable());
    expect(synthesisError(stack)).toContain(
      'expectation "three" is untrue: a packet from 192.168.178.2 to 198.51.100.1 goes via 192.168.178.1 dev eth0',
    );
  });
  test('of packets for the machine among others', () => {
    const { stack, host } = server();
    const expected = Expected.anyOf(Expected.local(), THROUGH_NAT);
    host.expect('x', { ...CLIENTS, destination: '192.168.178.2/31' }, expected);
    expect(validationErrors(stack)).toEqual([]);
    expect(bundleOf(stack).filter((line) => line.startsWith('expect 4 x '))).toEqual([
      'expect 4 x to 192.168.178.2 from 10.10.10.2 iif tun0 ipproto 17 is local or via 192.168.1.1 dev eth1',
      'expect 4 x to 192.168.178.3 from 10.10.10.2 iif tun0 ipproto 17 is local or via 192.168.1.1 dev eth1',
    ]);
  });
  test('may be so where only the machine knows the next hop', () => {
    const stack = newStack();
    const host = newHost(stack, { interfaces: ALL_INTERFACES });
    egress(stack, host, { gateways: ['dhcp4', 'ra'] });
    host.expect('x', CLIENTS, THROUGH_NAT);
    expect(validationErrors(stack)).toEqual([]);
    host.expect('y', CLIENTS, Expected.via('192.168.1.1', 'eth0'));
    expect(synthesisError(stack)).toContain('expectation "y" is untrue');
  });
  test('is left to the machine where it is not known here', () => {
    const { stack, host } = server({ interfaces: INTERFACES });
    host.expect('server', { destination: '198.51.100.7' }, Expected.via('192.168.178.254', 'eth0'));
    expect(validationErrors(stack)).toEqual([]);
    expect(bundleOf(stack)).toContain(
      'expect 4 server to 198.51.100.7 uid 0 ipproto 17 is via 192.168.178.254 dev eth0',
    );
  });
});

describe('what is expected and untrue', () => {
  test('is shown with a packet, its way, and the rule at fault', () => {
    const { stack, host } = server();
    const table = SourceRoutingTable.main(host);
    new PolicyRule(stack, 'oops', { table, source: '10.10.10.128/25', priority: 5000 });
    host.expect('clients', CLIENTS, THROUGH_NAT);
    expect(synthesisError(stack)).toContain(
      [
        '[stack/vpn1] expectation "clients" is untrue: a packet from 10.10.10.130 to 198.51.100.1 iif tun0 goes via 192.168.178.1 dev eth0, ' +
          'where "via 192.168.1.1 dev eth1" is expected. Rule 5000 of "stack/oops" decides: from 10.10.10.128/25 lookup main. Its way through the rules:',
        '  rule 0: from all lookup local -> table local: no route',
        '  rule 5000: from 10.10.10.128/25 lookup main -> table main: default via 192.168.178.1 dev eth0',
      ].join('\n'),
    );
  });
  test.each<[string, Flow, Expected, string]>([
    [
      'no rule',
      { ...CLIENTS, source: '10.10.11.0/24', inputInterface: 'eth0' },
      THROUGH_NAT,
      'No declared rule matches it.',
    ],
    [
      'another port',
      { ...CLIENTS, destination: '203.0.113.0/24', exceptDestinations: [] },
      THROUGH_NAT,
      'ipproto 6 sport 0 dport 25 ends as "prohibit"',
    ],
    [
      'a hole in it',
      { ...CLIENTS, destination: '198.51.0.0/16', exceptDestinations: [] },
      THROUGH_NAT,
      'to 198.51.7.3 iif tun0 ends as "blackhole"',
    ],
    ['a link down', { ...CLIENTS, linksDown: ['eth1'] }, THROUGH_NAT, 'with eth1 down, a packet'],
    ['two links down', { ...CLIENTS, linksDown: ['eth1', 'eth0'] }, THROUGH_NAT, 'with eth1, eth0 down, a packet'],
    [
      'another interface',
      CLIENTS,
      Expected.device('eth0'),
      'goes via 192.168.1.1 dev eth1, where "dev eth0" is expected.',
    ],
    [
      'another interface to that router',
      CLIENTS,
      Expected.via('192.168.1.1', 'eth0'),
      'goes via 192.168.1.1 dev eth1, where "via 192.168.1.1 dev eth0" is expected.',
    ],
    [
      'none, as they are rejected',
      { ...CLIENTS, linksDown: ['eth1'] },
      Expected.device('eth1'),
      'ends as "unreachable", where "dev eth1" is expected.',
    ],
    [
      'an address of the server',
      { ...CLIENTS, destination: '192.168.178.2', exceptDestinations: [] },
      THROUGH_NAT,
      'to 192.168.178.2 iif tun0 ends as "local", where',
    ],
    [
      'an address for all in a network',
      { ...CLIENTS, destination: '192.168.178.255', exceptDestinations: [] },
      THROUGH_NAT,
      'to 192.168.178.255 iif tun0 ends as "broadcast", where',
    ],
    [
      'a hole at the address that is asked first',
      { ...CLIENTS, source: '10.10.12.0/24', destination: '198.51.0.0/16', exceptDestinations: [] },
      Expected.device('eth0'),
      'from 10.10.12.2 to 198.51.100.1 iif tun0 ends as "blackhole"',
    ],
    [
      'the other family',
      { ...CLIENTS, source: POOLS[1] },
      Expected.local(),
      'from fd00:4242:4242:4242::2 to 2001:db8::1 iif tun0',
    ],
    [
      'not for the server',
      { ...CLIENTS, destination: '192.168.178.0/24' },
      Expected.local(),
      'goes via 192.168.1.1 dev eth1',
    ],
  ])('%s', (_, flow, expected, message) => {
    const { stack, host } = server();
    const smtp = { first: 25, last: 25 };
    const table = SourceRoutingTable.main(host);
    new PolicyRule(stack, 'no-mail', {
      host,
      action: RuleAction.prohibit(),
      destination: '203.0.113.0/24',
      ipProtocol: IpProtocol.TCP,
      destinationPorts: smtp,
      priority: 5000,
    });
    table.addRoute('hole', { destination: '10.99.0.0/16', via: '192.168.178.9' });
    new PolicyRule(stack, 'hole', {
      host,
      action: RuleAction.blackhole(),
      destination: '198.51.7.0/24',
      priority: 5001,
    });
    new PolicyRule(stack, 'first', {
      host,
      action: RuleAction.blackhole(),
      source: '10.10.12.0/24',
      destination: '198.51.100.0/24',
      priority: 5002,
    });
    host.expect('x', flow, expected);
    expect(synthesisError(stack)).toContain(message);
  });
});

test('it is untrue of packets from an address that the machine does not have, whatever is expected', () => {
  for (const expected of [THROUGH_NAT, Expected.unreachable()]) {
    const { stack, host } = server();
    host.expect('x', { source: '192.168.178.22', destination: '198.51.0.0/16' }, expected);
    expect(synthesisError(stack)).toMatch(
      /"x" is untrue: a packet from 192\.168\.178\.22 to 198\.51\.100\.1 ends as "invalid", .*\n.*IPv4: the source is no address of this machine/,
    );
  }
});

test('it is untrue if the kernel spreads packets over two routers, and one is another', () => {
  const stack = newStack();
  const host = newHost(stack, { interfaces: ALL_INTERFACES });
  const table = new SourceRoutingTable(stack, 'vpn', { host, tableId: 200 });
  const nextHops = ['192.168.1.1', '192.168.1.2'].map((via) => ({ via, device: 'eth1' }));
  table.addRoute('both', { destination: '0.0.0.0/0', nextHops });
  new PolicyRule(stack, 'clients', { table, source: POOLS[0], priority: 10010 });
  new PolicyRule(stack, 'no-ipv6', { host, source: POOLS[1], action: RuleAction.unreachable(), priority: 10010 });
  host.expect('one', CLIENTS, THROUGH_NAT);
  expect(synthesisError(stack)).toContain(
    'expectation "one" is untrue: a packet from 10.10.10.2 to 198.51.100.1 iif tun0 goes via 192.168.1.2 dev eth1',
  );
  host.expect('both', CLIENTS, Expected.device('eth1'));
  expect(synthesisError(stack)).not.toContain('expectation "both"');
});

describe('an expectation', () => {
  test.each<[Partial<Flow>, string]>([
    [{ source: '10.10.10.5/24' }, 'source "10.10.10.5/24" has host bits set. Did you mean "10.10.10.0/24"?'],
    [
      { inputInterface: undefined },
      'source "10.10.10.0/24" is a prefix, but packets that the machine itself sends have one source address',
    ],
    [{ destination: '2001:db8::/32' }, 'destination "2001:db8::/32" is IPv6 but source "10.10.10.0/24" is IPv4'],
    [{ exceptDestinations: ['x'] }, 'exceptDestinations[0] "x" is not an IP address or prefix'],
    [
      { exceptDestinations: ['0.0.0.0/1', '128.0.0.0/1'] },
      'exceptDestinations ["0.0.0.0/1", "128.0.0.0/1"] leaves nothing of destination "default", so no packet is left to expect anything of. Leave out less, or correct destination.',
    ],
    [
      { destination: '198.51.100.7', exceptDestinations: ['198.51.100.0/24'] },
      'exceptDestinations ["198.51.100.0/24"] leaves nothing of destination "198.51.100.7"',
    ],
    [
      { exceptSources: ['10.10.0.0/16'] },
      'exceptSources ["10.10.0.0/16"] leaves nothing of source "10.10.10.0/24", so no packet is left to expect anything of. Leave out less, or correct source.',
    ],
    [
      { source: undefined, exceptSources: ['0.0.0.0/0', '::/0'] },
      'exceptSources ["0.0.0.0/0", "::/0"] leaves nothing of source "default"',
    ],
    [
      { inputInterface: 'tun00' },
      `inputInterface "tun00" is not among the interfaces declared for this host (eth0, eth1, tun0). Correct the name, or add it to the host's interfaces.`,
    ],
    [
      { linksDown: ['eth1', 'eth9'] },
      `linksDown[1] "eth9" is not among the interfaces declared for this host (eth0, eth1, tun0). Correct the name, or add it to the host's interfaces.`,
    ],
  ])('with %j is refused', (wrong, message) => {
    expect(() => server().host.expect('x', { ...CLIENTS, ...wrong }, THROUGH_NAT)).toThrow(`[stack/vpn1] ${message}`);
  });
  test('of one family, with nothing left of the other, is fine', () => {
    const { stack, host } = server();
    const exceptDestinations = ['0.0.0.0/0', POOLS[1]];
    host.expect('x', { ...CLIENTS, source: undefined, exceptDestinations }, Expected.anyOf(Expected.unreachable()));
    expect(validationErrors(stack)).toEqual([expect.stringContaining('expectation "x" is untrue: a packet from ')]);
  });
  test.each<[string, Flow]>([
    ['multicast', { ...CLIENTS, destination: '224.0.0.0/4', exceptDestinations: [] }],
    ['loopback', { ...CLIENTS, source: POOLS[1], destination: '::/127', exceptDestinations: [] }],
    ['the broadcast address', { destination: '192.168.178.254/31', exceptDestinations: ['192.168.178.254'] }],
  ])('of packets that nobody forwards is told: %s', (_, flow) => {
    const { stack, host } = server();
    host.expect('x', flow, Expected.local());
    expect(validationErrors(stack)).toEqual([
      '[stack/vpn1] expectation "x" checks nothing: no packet from its source to its destination is forwarded. Those to the machine itself, ' +
        'and to loopback, broadcast and multicast addresses, count only if destination is one address. Correct the addresses.',
    ]);
  });
  test('may name any interface of a host of which none is declared, and lo of any', () => {
    const { host } = server({ interfaces: undefined });
    expect(() =>
      host.expect('x', { ...CLIENTS, inputInterface: 'tun9', linksDown: ['eth9'] }, THROUGH_NAT),
    ).not.toThrow();
    const sent = { source: '192.168.178.2', destination: '198.51.100.7', inputInterface: 'lo' };
    expect(() => server().host.lookup(sent)).not.toThrow();
  });
  test('of no outcome is refused', () => {
    expect(() => server().host.expect('x', CLIENTS, Expected.anyOf())).toThrow(
      '[stack/vpn1] expected [] of anyOf is empty, so nothing could meet it. Give at least one outcome.',
    );
  });
  test('of what is known at apply only is refused', () => {
    const { stack, host } = server();
    const source = new TerraformVariable(stack, 'pool', {}).stringValue;
    expect(() => host.expect('x', { ...CLIENTS, source }, THROUGH_NAT)).toThrow(
      '[stack/vpn1] source is known at apply only, but synth looks up where its packets go. Give it literally.',
    );
  });
  test('needs an id of its own', () => {
    const { host } = server();
    host.expect('x', CLIENTS, THROUGH_NAT);
    expect(() => host.expect('x', CLIENTS, THROUGH_NAT)).toThrow('id "x" is already used by another expectation');
    expect(() => host.expect('x y', CLIENTS, THROUGH_NAT)).toThrow('id "x y" is not letters, digits, "_", "." and "-"');
  });
});

describe('a VpnEgress expects', () => {
  const labels = (stack: TerraformStack): string[] => [
    ...new Set(bundleOf(stack).flatMap((line) => /^expect \S+ (\S+)/.exec(line)?.[1] ?? [])),
  ];
  test('that clients leave through the gateway and reach each other, and that the server stays as it is', () => {
    const { stack } = server();
    expect(labels(stack)).toEqual([
      'stack/egress/leave-1',
      'stack/egress/local-1',
      'stack/egress/to-server-1',
      'stack/egress/replies-1',
      'stack/egress/errors',
      'stack/egress/server',
      'stack/egress/server-to-clients',
    ]);
    expect(bundleOf(stack).filter((line) => line.startsWith('expect 4'))).toEqual([
      `expect 4 stack/egress/leave-1 to ${ANYWHERE} from 10.10.10.2 iif tun0 ipproto 17 is via 192.168.1.1 dev eth1`,
      'expect 4 stack/egress/local-1 to 10.10.10.3 from 10.10.10.2 iif tun0 ipproto 17 is dev tun0 or rejected',
      'expect 4 stack/egress/to-server-1 to 10.10.10.1 from 10.10.10.2 iif tun0 ipproto 17 is local',
      'expect 4 stack/egress/replies-1 to 10.10.10.3 from 192.168.1.1 iif eth1 ipproto 6 sport 443 is dev tun0',
      `expect 4 stack/egress/errors to ${ANYWHERE} mark 0x530000c8 uid 0 ipproto 17 is via 192.168.1.1 dev eth1`,
      `expect 4 stack/egress/server to ${ANYWHERE} from 192.168.178.2 uid 0 ipproto 17 is unchanged`,
      'expect 4 stack/egress/server-to-clients to 10.10.10.3 from 10.10.10.1 uid 0 ipproto 17 is dev tun0 or rejected',
    ]);
  });
  test.each<[string, NetworkInterface[]]>([
    ['another network around it', [{ name: 'eth2', addresses: ['10.10.10.254/23'] }]],
    ['the same network', [{ name: 'tun1', addresses: ['10.10.10.2/24'] }]],
    ['a network behind a client of another tunnel', [{ name: 'tun1', networks: ['10.10.10.128/25'] }]],
  ])('that replies reach a tunnel, but where more than that may lead there: %s', (_, more) => {
    const stack = newStack();
    egress(stack, newHost(stack, { interfaces: [...ALL_INTERFACES, ...more] }));
    const replies = bundleOf(stack).filter((line) => /^expect . stack.egress.replies/.test(line));
    expect(replies).toEqual([expect.stringMatching(/^expect 6 .* is dev tun0$/)]);
  });
  test('nothing of replies to a pool of which a route of the main table leads to a part', () => {
    const stack = newStack();
    const host = newHost(stack, { interfaces: ALL_INTERFACES });
    const main = SourceRoutingTable.main(host);
    main.addRoute('part', { destination: '10.10.10.128/25', via: '192.168.178.9', device: 'eth0' });
    main.addRoute('other', { destination: 'fd00:5::/64', via: 'fd00:178::9', device: 'eth0' });
    egress(stack, host);
    const replies = bundleOf(stack).filter((line) => /^expect . stack.egress.replies/.test(line));
    expect(replies).toEqual([expect.stringMatching(/^expect 6 .* is dev tun0$/)]);
  });
  test("that a resolver's queries leave like the packets of clients", () => {
    const stack = newStack();
    egress(stack, newHost(stack, { interfaces: ALL_INTERFACES }), { resolver: Resolver.user(997) });
    expect(validationErrors(stack)).toEqual([]);
    const leaving = bundleOf(stack).filter((line) => /^expect 4 stack.egress.resolver(?!.* sport 0 )/.test(line));
    expect(leaving).toEqual(
      ['17 dport 53', '6 dport 53', '6 dport 853'].map(
        (words) => `expect 4 stack/egress/resolver to ${ANYWHERE} uid 997 ipproto ${words} is via 192.168.1.1 dev eth1`,
      ),
    );
  });
  test("that all but a resolver's queries stays as it is, if those are told by their port alone", () => {
    const stack = newStack();
    egress(stack, newHost(stack, { interfaces: ALL_INTERFACES }), { resolver: Resolver.port(5300) });
    expect(validationErrors(stack)).toEqual([]);
    const unchanged = bundleOf(stack).filter((line) => /^expect 4 stack.egress.server /.test(line));
    expect(unchanged.length).toBeGreaterThan(1);
    expect(
      unchanged.filter((line) => /ipproto (17 sport 5300 dport 53|6 sport 5300 dport (53|853)) /.test(line)),
    ).toEqual([]);
  });
  test('that rejected clients leave nowhere', () => {
    const stack = newStack();
    const host = newHost(stack, { interfaces: ALL_INTERFACES });
    egress(stack, host, { ...IPV4_ONLY, rejectedClients: POOLS.slice(1) });
    expect(validationErrors(stack)).toEqual([]);
    expect(bundleOf(stack).filter((line) => line.startsWith('expect 6'))).toEqual([
      'expect 6 stack/egress/rejected-1 to 2001:db8::1 or 2400::1 or 2600::1 or 2a00::1 from fd00:4242:4242:4242::2 iif tun0 is rejected',
      expect.stringMatching(/^expect 6 stack.egress.server to 2001:db8::1 .* from fd00:178::2 uid 0 is unchanged$/),
      expect.stringMatching(/^expect 6 stack.egress.server-to-clients to \S+ from fd00:4242:4242:4242::1 /),
    ]);
  });
  test('nothing of pools that are known at apply only', () => {
    const stack = newStack();
    const pool = new TerraformVariable(stack, 'pool', {}).stringValue;
    const host = newHost(stack, { interfaces: ALL_INTERFACES });
    egress(stack, host, { ...IPV4_ONLY, clients: [POOLS[0], pool] });
    expect(labels(stack)).toEqual([]);
  });
  test('that clients may be rejected where another default route of its table rejects them', () => {
    const stack = newStack();
    const { table } = egress(stack, newHost(stack, { interfaces: ALL_INTERFACES }), { failClosed: false });
    table.addRoute('none', { destination: '0.0.0.0/0', routeType: RouteType.PROHIBIT, metric: 100 });
    expect(validationErrors(stack)).toEqual([]);
    const leaving = bundleOf(stack).filter((line) => /^expect 4 stack\/egress\/leave-/.test(line));
    expect(leaving.map((line) => line.replace(/.* is /, ''))).toEqual(['via 192.168.1.1 dev eth1']);
  });
  test('that clients leave, wherever they come in, if their tunnel is not declared', () => {
    const stack = newStack();
    egress(stack, newHost(stack, { interfaces: ALL_INTERFACES.slice(0, 2) }));
    expect(bundleOf(stack).filter((line) => line.startsWith('expect 4 stack/egress/leave'))).toEqual([
      `expect 4 stack/egress/leave-1 to ${ANYWHERE} from 10.10.10.2 iif - ipproto 17 is via 192.168.1.1 dev eth1`,
    ]);
  });
  test.each([LocalTraffic.mainTable(), LocalTraffic.suppressDefault(), LocalTraffic.upHook(), LocalTraffic.isolated()])(
    'what it declares itself, with each kind of local traffic',
    (localTraffic) => {
      const stack = newStack();
      egress(stack, newHost(stack, { interfaces: ALL_INTERFACES }), { localTraffic });
      expect(validationErrors(stack)).toEqual([]);
    },
  );
  test('what it declares itself, on a host of which nothing is declared', () => {
    const stack = newStack();
    egress(stack, newHost(stack, { interfaces: undefined }));
    expect(validationErrors(stack)).toEqual([]);
    expect(labels(stack)).toEqual(['stack/egress/leave-1', 'stack/egress/errors']);
  });
  test('nothing of packets that somebody carries over its rules', () => {
    const { stack, host } = server({ interfaces: INTERFACES });
    const action = RuleAction.goTo(32766);
    new PolicyRule(stack, 'over', { host, destination: '203.0.113.9/32', tos: 0x08, priority: 5000, action });
    expect(validationErrors(stack)).toEqual([]);
    expect(bundleOf(stack).filter((line) => line.startsWith('expect') && line.includes('203.0.113.9'))).toEqual([]);
  });
  test('the same of what the server sends, wherever its default route leads', () => {
    const stack = newStack();
    const [eth0, eth1, tun0] = ALL_INTERFACES;
    const host = newHost(stack, {
      interfaces: [{ ...eth0, gateways: undefined }, eth1, tun0, { name: 'tun7', addresses: ['10.66.0.2/24'] }],
    });
    for (const destination of ['0.0.0.0/1', '128.0.0.0/1']) {
      SourceRoutingTable.main(host).addRoute(destination, { destination, via: '10.66.0.1', device: 'tun7' });
    }
    egress(stack, host);
    expect(validationErrors(stack)).toEqual([]);
    expect(bundleOf(stack).filter((line) => line.startsWith('expect 4 stack/egress/server '))).toEqual([
      `expect 4 stack/egress/server to ${ANYWHERE} from 192.168.178.2 uid 0 ipproto 17 is unchanged`,
      `expect 4 stack/egress/server to ${ANYWHERE} from 10.66.0.2 uid 0 ipproto 17 is unchanged`,
    ]);
  });
  test('nothing of where routes lead that somebody has added to its table', () => {
    const stack = newStack();
    const host = newHost(stack, { interfaces: ALL_INTERFACES });
    const { table } = egress(stack, host);
    table.addRoute('behind', { destination: '172.16.0.0/12', via: '192.168.1.2', device: 'eth1' });
    table.addRoute('name-server', { destination: '192.168.178.53/32', device: 'eth0' });
    expect(validationErrors(stack)).toEqual([]);
    // But the rest goes where it went.
    new PolicyRule(stack, 'oops', { table: SourceRoutingTable.main(host), source: POOLS[0], priority: 5000 });
    host.expect('x', CLIENTS, THROUGH_NAT);
    expect(validationErrors(stack)).toContainEqual(expect.stringContaining('expectation "x" is untrue'));
  });
  test('that clients may leave by another default route of its table, but not by the main uplink', () => {
    const stack = newStack();
    const eth2 = { name: 'eth2', addresses: ['172.16.9.100/24', 'fd00:9::100/64'] };
    const host = newHost(stack, { interfaces: [...ALL_INTERFACES, eth2] });
    const { table } = egress(stack, host);
    table.addRoute('backup', { destination: 'default', via: '172.16.9.1', device: 'eth2', metric: 200 });
    table.addRoute('first', { destination: 'default', via: 'fd00:9::1', device: 'eth2', metric: 512 });
    expect(validationErrors(stack)).toEqual([]);
    const leaving = bundleOf(stack).filter((line) => /^expect . stack\/egress\/leave-/.test(line));
    expect(leaving.map((line) => line.replace(/.* is /, ''))).toEqual([
      'via 192.168.1.1 dev eth1',
      'via fd00:1010:1010:1010::1 dev eth1 or via fd00:9::1 dev eth2',
    ]);
    const leaking = newStack();
    const other = egress(leaking, newHost(leaking, { interfaces: [...ALL_INTERFACES, eth2] })).table;
    other.addRoute('leak', { destination: 'default', via: '192.168.178.1', device: 'eth0', metric: 200 });
    expect(validationErrors(leaking)).toContainEqual(
      expect.stringMatching(
        /"stack\/egress\/leave-1" is untrue: with eth1 down, .* goes via 192\.168\.178\.1 dev eth0/,
      ),
    );
  });
  test('no answer of the server to clients that are isolated', () => {
    const stack = newStack();
    egress(stack, newHost(stack, { interfaces: ALL_INTERFACES }), { localTraffic: LocalTraffic.isolated() });
    expect(validationErrors(stack)).toEqual([]);
    expect(labels(stack).filter((label) => label.includes('server'))).toEqual([
      'stack/egress/server',
      'stack/egress/server-to-clients',
    ]);
  });
  test('packets of a protocol of which no rule speaks', () => {
    const of = (protocols: number[]): string[] => {
      const stack = newStack();
      const host = newHost(stack, { interfaces: ALL_INTERFACES });
      const { table } = egress(stack, host);
      protocols.forEach(
        (number, index) =>
          new PolicyRule(stack, `p${number}`, {
            table,
            source: '172.16.0.0/12',
            ipProtocol: IpProtocol.of(number),
            priority: 5000 + index,
          }),
      );
      const lines = bundleOf(stack).filter((line) => line.startsWith('expect 4 stack/egress/leave-1 '));
      return lines.map((line) => /ipproto (\d+)/.exec(line)?.[1] ?? '');
    };
    expect(of([])).toEqual(['17']);
    // Those of which one speaks are packets of their own.
    expect(of([17])).toEqual(['6', '17']);
    expect(of([17, 6]).sort()).toEqual(['1', '17', '6']);
    expect(of([17, 6, 1]).sort()).toEqual(['1', '17', '6']);
  });
  test('of clients behind several tunnels, that each leaves from its own', () => {
    const stack = newStack();
    const tunnels = [
      { name: 'tun0', addresses: ['10.10.10.1/26'] },
      { name: 'tun1', addresses: ['10.10.10.65/26'] },
      { name: 'wg0', addresses: ['10.10.10.129/32'] },
    ];
    const host = newHost(stack, { interfaces: [...ALL_INTERFACES.slice(0, 2), ...tunnels] });
    egress(stack, host, { clients: POOLS.slice(0, 1), gateways: GATEWAYS.slice(0, 1) });
    const leaving = bundleOf(stack).filter((line) => line.startsWith('expect 4 stack/egress/leave-1 '));
    expect(leaving.map((line) => /from \S+ iif \S+/.exec(line)?.[0])).toEqual([
      'from 10.10.10.2 iif tun0',
      'from 10.10.10.66 iif tun1',
      'from 10.10.10.128 iif -',
    ]);
  });
  test('nothing of packets that another rule is for', () => {
    const { stack, host } = server();
    new PolicyRule(stack, 'partner', {
      table: SourceRoutingTable.main(host),
      source: POOLS[0],
      destination: '203.0.113.0/24',
      priority: 5000,
    });
    expect(validationErrors(stack)).toEqual([]);
    // Nor is one asked there instead of another.
    expect(bundleOf(stack).filter((line) => line.startsWith('expect 4 stack/egress/leave-1 '))).toEqual([
      'expect 4 stack/egress/leave-1 to 198.51.100.1 or 23.0.0.1 or 101.0.0.1 or 185.0.0.1 from 10.10.10.2 iif tun0 ipproto 17 ' +
        'is via 192.168.1.1 dev eth1',
    ]);
  });
  test('no other way out of its own table', () => {
    const stack = newStack();
    const host = newHost(stack, { interfaces: ALL_INTERFACES });
    egress(stack, host).table.addRoute('leak', { destination: '0.0.0.0/1', via: '192.168.178.1', device: 'eth0' });
    expect(validationErrors(stack)).toEqual([
      expect.stringMatching(
        /^\[stack\/egress\] expectation "stack\/egress\/leave-1" is untrue: a packet from 10.10.10.2 to \S+ iif tun0 goes via 192.168.178.1 dev eth0, where "via 192.168.1.1 dev eth1" is expected. Rule 10010 of "stack\/egress\/clients-1" decides/,
      ),
      expect.stringMatching(/^\[stack\/egress\] expectation "stack\/egress\/leave-1" is untrue: with eth1 down/),
      expect.stringMatching(
        /^\[stack\/egress\] expectation "stack\/egress\/errors" is untrue: a packet to \S+ mark 0x530000c8 goes via 192.168.178.1/,
      ),
      expect.stringMatching(/^\[stack\/egress\] expectation "stack\/egress\/errors" is untrue: with eth1 down/),
    ]);
  });
  test('nothing on a host that is to be absent', () => {
    const stack = newStack();
    const host = newHost(stack, { interfaces: ALL_INTERFACES });
    expect(labels(stack)).toEqual([]);
    expect(host.lookup({ destination: '198.51.100.7' }).map(({ text }) => text)).toEqual([
      'via 192.168.178.1 dev eth0',
    ]);
  });
});

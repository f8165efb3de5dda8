import type { TerraformStack } from 'cdktf';
import type { LinuxHost, LinuxHostProps, PolicyRuleProps, VpnEgressProps } from '../lib';
import {
  IpFamily,
  IpProtocol,
  LocalTraffic,
  NumberRange,
  PolicyRule,
  RuleAction,
  SourceRoutingTable,
  VpnEgress,
} from '../lib';
import {
  ALL_INTERFACES,
  GATEWAYS,
  INTERFACES,
  POOLS,
  SSH,
  bundleOf,
  newHost,
  newStack,
  synthWarnings,
  validationErrors,
} from './fixtures';

/** A server whose clients have IPv4 only. */
const IPV4_ONLY = [...ALL_INTERFACES.slice(0, 2), { name: 'tun0', addresses: ['10.10.10.1/24'] }];

interface Server {
  readonly stack: TerraformStack;
  readonly host: LinuxHost;
  readonly vpn: SourceRoutingTable;
}

/** The how-to's server with its table, and as many of its rules as a test asks for. */
function server(
  { rules = ['clients4', 'clients6', 'local4', 'local6'], failClosed = true } = {},
  props: Partial<LinuxHostProps> = {},
): Server {
  const stack = newStack();
  const host = newHost(stack, { interfaces: ALL_INTERFACES, ...props });
  const main = SourceRoutingTable.main(host);
  const vpn = new SourceRoutingTable(stack, 'vpn', { host, tableId: 200, failClosed });
  GATEWAYS.forEach((via, index) => vpn.addRoute(`gateway-${index}`, { destination: 'default', via, device: 'eth1' }));
  const [source4, source6] = POOLS;
  const all: Record<string, () => void> = {
    clients4: () => new PolicyRule(stack, 'clients4', { table: vpn, source: source4, priority: 10010 }),
    clients6: () => new PolicyRule(stack, 'clients6', { table: vpn, source: source6, priority: 10010 }),
    local4: () => new PolicyRule(stack, 'local4', { table: main, destination: source4, priority: 10009 }),
    local6: () => new PolicyRule(stack, 'local6', { table: main, destination: source6, priority: 10009 }),
  };
  rules.forEach((name) => all[name]());
  return { stack, host, vpn };
}

test('nothing is wrong with it as it should be', () => {
  const { stack } = server();
  expect([validationErrors(stack), synthWarnings(stack)]).toEqual([[], []]);
});

/** Two VpnEgress of one host, the rules of the second behind those of the first. */
function twoEgresses({ localTraffic }: Pick<Partial<VpnEgressProps>, 'localTraffic'>): {
  stack: TerraformStack;
  host: LinuxHost;
} {
  const stack = newStack();
  const interfaces = [
    ...ALL_INTERFACES.slice(0, 2),
    { name: 'tun0', addresses: ['10.10.10.1/24'] },
    { name: 'tun1', addresses: ['10.10.20.1/24'] },
  ];
  const host = newHost(stack, { interfaces });
  ['10.10.10.0/24', '10.10.20.0/24'].forEach((pool, index) => {
    new VpnEgress(stack, `egress${index}`, {
      ...{ host, device: 'eth1', tableId: 200 + index, clients: [pool], gateways: [GATEWAYS[0]] },
      localTraffic,
    });
  });
  return { stack, host };
}

describe('each known defect of what people make of the how-to is found:', () => {
  test('rules in an order that nobody has chosen', () => {
    const { stack, vpn } = server();
    new PolicyRule(stack, 'more', { table: vpn, source: '10.10.0.0/16', priority: 10010 });
    expect(validationErrors(stack)).toEqual([
      '[stack/more] priority 10010 is already used by the IPv4 rule "stack/clients4". The order of two rules with one priority is undefined. Give each its own.',
    ]);
  });
  test('clients do not reach each other, and the gateway cannot be pinged', () => {
    const { stack } = server({ rules: ['clients4', 'clients6', 'local6'] });
    expect(synthWarnings(stack)).toEqual([
      '[stack/clients4] matches packets between the clients of 10.10.10.0/24, too: clients behind "tun0" do not reach each other ' +
        "(their packets leave via 192.168.1.1 dev eth1), and the server's replies from its address 10.10.10.1 do not reach them " +
        '(they leave via 192.168.1.1 dev eth1), so they cannot ping it. Add an earlier rule with destination "10.10.10.0/24" and the ' +
        'main table, as VpnEgress does for its own clients. To isolate clients, reject these packets instead.',
    ]);
  });
  test('packets to clients of another VpnEgress, whose rules come later, leave through the NAT router', () => {
    const ways = (props: Parameters<typeof twoEgresses>[0]): string[] => {
      const { host, stack } = twoEgresses(props);
      expect(synthWarnings(stack)).toEqual([]);
      const way = (source: string, destination: string, inputInterface: string): string =>
        host
          .lookup({ source, destination, inputInterface })
          .map(({ text }) => text)
          .join();
      return [way('10.10.10.2', '10.10.20.2', 'tun0'), way('10.10.20.2', '10.10.10.2', 'tun1')];
    };
    // The other direction has no way back.
    expect(ways({})).toEqual(['unreachable', 'dev tun0']);
    expect(ways({ localTraffic: LocalTraffic.suppressDefault() })).toEqual(['dev tun1', 'dev tun0']);
    expect(ways({ localTraffic: LocalTraffic.isolated() })).toEqual(['unreachable', 'unreachable']);
    // The hook runs for all tunnels, if they are up.
    expect(ways({ localTraffic: LocalTraffic.upHook() })).toEqual(['dev tun1,unreachable', 'dev tun0,unreachable']);
  });
  test('clients of two VpnEgress reach each other by a rule of their own', () => {
    const { stack, host } = twoEgresses({});
    const table = SourceRoutingTable.main(host);
    new PolicyRule(stack, 'more', { table, source: '10.10.10.0/24', destination: '10.10.20.0/24', priority: 10005 });
    expect(synthWarnings(stack)).toEqual([]);
    expect(
      host.lookup({ source: '10.10.10.2', destination: '10.10.20.2', inputInterface: 'tun0' }).map(({ text }) => text),
    ).toEqual(['dev tun1']);
  });
  test('the gateway alone cannot be pinged, as the rule that keeps clients together asks for what comes in', () => {
    const { stack, host } = server({ rules: ['clients4', 'clients6', 'local6'] });
    const table = SourceRoutingTable.main(host);
    new PolicyRule(stack, 'in', { table, destination: POOLS[0], inputInterface: 'tun0', priority: 10009 });
    expect(synthWarnings(stack)).toEqual([
      expect.stringContaining(
        '[stack/clients4] matches packets between the clients of 10.10.10.0/24, too: ' +
          "the server's replies from its address 10.10.10.1 do not reach them (they leave via 192.168.1.1 dev eth1)",
      ),
    ]);
  });
  describe('clients do not reach those of another tunnel', () => {
    const tun1 = { name: 'tun1', addresses: ['10.10.20.1/24'] };
    /** The rules of the second tunnel come later, so that its clients reach those of the first. */
    const second = (rules: string[]): Server => {
      const made = server({ rules }, { interfaces: [...ALL_INTERFACES, tun1] });
      const main = SourceRoutingTable.main(made.host);
      new PolicyRule(made.stack, 'local20', { table: main, destination: '10.10.20.0/24', priority: 10011 });
      new PolicyRule(made.stack, 'clients20', { table: made.vpn, source: '10.10.20.0/24', priority: 10012 });
      return made;
    };
    test('whose rules come later', () => {
      expect(synthWarnings(second(['clients4', 'clients6', 'local4', 'local6']).stack)).toEqual([
        '[stack/clients4] matches packets to the clients of 10.10.20.0/24, too: clients behind "tun0" do not reach those in 10.10.20.0/24 ' +
          '(their packets leave via 192.168.1.1 dev eth1). Add an earlier rule with source "10.10.10.0/24", destination "10.10.20.0/24" and ' +
          'the main table, as VpnEgress does with LocalTraffic.suppressDefault(). To isolate clients, reject these packets instead.',
      ]);
    });
    test('nor do replies of the server reach them', () => {
      const { stack, host } = second(['clients4', 'clients6', 'local6']);
      const table = SourceRoutingTable.main(host);
      new PolicyRule(stack, 'in', { table, destination: POOLS[0], inputInterface: 'tun0', priority: 10009 });
      expect(synthWarnings(stack)).toEqual([
        '[stack/clients4] matches packets to the clients of 10.10.20.0/24, too: clients behind "tun0" do not reach those in 10.10.20.0/24 ' +
          "(their packets leave via 192.168.1.1 dev eth1), and the server's replies from its address 10.10.10.1 do not reach them (they " +
          'leave via 192.168.1.1 dev eth1), so they cannot ping it. Add an earlier rule with source "10.10.10.0/24", destination ' +
          '"10.10.20.0/24", and one with destination "10.10.10.0/24" and the main table, as VpnEgress does with ' +
          'LocalTraffic.suppressDefault(). To isolate clients, reject these packets instead.',
        expect.stringContaining('[stack/clients20] matches packets to the clients of 10.10.10.0/24, too:'),
      ]);
    });
  });
  test('clients of a tunnel by which the machine is managed: the replies of SSH are told, and nothing else', () => {
    const { stack } = server({ rules: ['clients4', 'clients6', 'local6'] }, { ssh: { ...SSH, host: '10.10.10.1' } });
    expect(synthWarnings(stack)).toEqual([
      expect.stringContaining("[stack/clients4] matches the replies of this host's own SSH server (10.10.10.1)"),
    ]);
  });
  test.each<[string, number]>([
    ['10.10.10.1/30', 1],
    // Nobody else is in there.
    ['10.10.10.1/31', 0],
    ['10.10.10.1/32', 0],
  ])('clients do not reach each other, if there is room for two: %s', (address, found) => {
    const interfaces = [...ALL_INTERFACES.slice(0, 2), { name: 'tun0', addresses: [address] }];
    const { stack } = server({ rules: ['clients4'] }, { interfaces });
    expect(synthWarnings(stack)).toHaveLength(found);
  });
  test('nothing is said of clients whose packets to each other are rejected', () => {
    const { stack, host } = server({ rules: ['clients4', 'clients6', 'local6'] });
    const action = RuleAction.prohibit();
    new PolicyRule(stack, 'isolated', { host, source: POOLS[0], destination: POOLS[0], action, priority: 10008 });
    expect(synthWarnings(stack)).toEqual([]);
  });
  test('packets fall through to the default gateway when eth1 is down', () => {
    const { stack } = server({ failClosed: false });
    expect(synthWarnings(stack)).toEqual([
      '[stack/clients4] with "eth1" down, table 200 has no route for packets from 10.10.10.0/24: they would use the main table and ' +
        'leave via 192.168.178.1 dev eth0. Set failClosed: true, which rejects them instead.',
      '[stack/clients6] with "eth1" down, table 200 has no route for packets from fd00:4242:4242:4242::/64: they would use the main table and ' +
        'leave via fd00:178::1 dev eth0. Set failClosed: true, which rejects them instead.',
    ]);
  });
  test('packets fall through to a default gateway that only the machine knows', () => {
    const { stack } = server({ failClosed: false }, { interfaces: INTERFACES });
    expect(synthWarnings(stack).filter((line) => line.includes('10.10.10.0/24'))).toEqual([
      '[stack/clients4] with "eth1" down, table 200 has no route for packets from 10.10.10.0/24: they would use the main table and ' +
        'leave through its default route. Set failClosed: true, which rejects them instead.',
    ]);
  });
  test('packets fall through when one of two interfaces is down, which is said once', () => {
    const stack = newStack();
    const host = newHost(stack, { interfaces: IPV4_ONLY });
    const table = new SourceRoutingTable(stack, 'vpn', { host, tableId: 200, failClosed: false });
    table.addRoute('low', { destination: '0.0.0.0/1', device: 'eth1' });
    table.addRoute('high', { destination: '128.0.0.0/1', via: '192.168.178.7', device: 'eth0' });
    new PolicyRule(stack, 'clients4', { table, source: POOLS[0], priority: 10010 });
    expect(synthWarnings(stack).filter((line) => line.includes(' down, table'))).toEqual([
      expect.stringMatching(
        /^\[stack\/clients4\] with "eth1" down, table 200 has no route for packets from 10\.10\.10\.0\/24: they would use the main table and leave via 192\.168\.178\.1 dev eth0\./,
      ),
    ]);
  });
  test.each<[string, Partial<PolicyRuleProps>]>([
    ['to some place', { source: POOLS[0], destination: '10.99.0.0/16' }],
    ['of whoever comes in there', { inputInterface: 'tun0', families: [IpFamily.IPV4] }],
    ['from all but some place', { source: '192.168.178.0/24', invert: true }],
    ['but those without a closer route', { source: POOLS[0], suppressPrefixLength: 7 }],
    ['but those without a route of a group', { source: POOLS[0], suppressInterfaceGroup: 3 }],
    ['from anywhere', { source: '0.0.0.0/0', inputInterface: 'tun0' }],
  ])('but nothing is said of a rule for packets %s that fall through', (_, props) => {
    const { stack, vpn } = server({ rules: [], failClosed: false }, { interfaces: IPV4_ONLY });
    new PolicyRule(stack, 'clients4', { table: vpn, priority: 10010, ...props });
    const found = synthWarnings(stack).filter((line) => line.includes(' down, table'));
    // Where there are errors, nothing else is said.
    expect([validationErrors(stack), found]).toEqual([[], []]);
  });
  test('IPv6 leaks', () => {
    const { stack } = server({ rules: ['clients4', 'local4', 'local6'] });
    expect(validationErrors(stack)).toEqual([
      '[stack/clients4] routes IPv4 packets of clients behind "tun0", but no rule routes or rejects their IPv6 network ' +
        'fd00:4242:4242:4242::/64: they would leave through the main default route. Route it, too, or reject it: with rejectedClients of ' +
        'VpnEgress, or with a PolicyRule with RuleAction.unreachable() for that pool.',
    ]);
  });
  test('the second line of the rule file is lost', () => {
    const tun1 = { name: 'tun1', addresses: ['10.10.11.1/24', 'fd00:4242:4242:4343::1/64'] };
    const { stack } = server({}, { interfaces: [...ALL_INTERFACES, tun1] });
    expect(synthWarnings(stack)).toEqual([
      '[stack/vpn1] no rule matches packets of the clients in 10.10.11.0/24 behind "tun1", while those in 10.10.10.0/24 are routed by ' +
        'source. They leave through the main default route. Add a rule for 10.10.11.0/24, or reject it.',
      expect.stringContaining('no rule matches packets of the clients in fd00:4242:4242:4343::/64 behind "tun1"'),
    ]);
  });
  test.each(['vpns0', 'ppp0', 'nebula1', 'vpn-staff', 'lan0'])(
    'clients do not reach each other, and the gateway cannot be pinged, whatever the tunnel is called: %s',
    (name) => {
      const interfaces = [...ALL_INTERFACES.slice(0, 2), { name, addresses: ['10.10.10.1/24'] }];
      const { stack } = server({ rules: ['clients4'] }, { interfaces });
      expect(synthWarnings(stack)).toEqual([
        expect.stringContaining(
          `[stack/clients4] matches packets between the clients of 10.10.10.0/24, too: clients behind "${name}" do not reach each other`,
        ),
      ]);
    },
  );
  describe('a second tunnel is forgotten', () => {
    const forgotten = (name: string): string =>
      `[stack/vpn1] no rule matches packets of the clients in 10.10.20.0/24 behind "${name}", while those in 10.10.10.0/24 are routed by ` +
      'source. They leave through the main default route. Add a rule for 10.10.20.0/24, or reject it.';
    test.each<[string, string, boolean]>([
      ['tun0', 'vpns0', true],
      ['tun0', 'ppp0', true],
      ['tun0', 'nebula1', true],
      // Called like one that holds a pool.
      ['vpn-staff', 'vpn-guests', true],
      ['lab0', 'lab1', true],
      // Servers may be in there.
      ['tun0', 'eth2', false],
      ['tun0', 'lan0', false],
      // Uplinks are called so.
      ['eth3', 'eth2', false],
    ])('beside %s: %s', (name, other, isForgotten) => {
      const interfaces = [
        ...ALL_INTERFACES.slice(0, 2),
        { name, addresses: ['10.10.10.1/24'] },
        { name: other, addresses: ['10.10.20.1/24'] },
      ];
      const { stack } = server({ rules: ['clients4', 'local4'] }, { interfaces });
      expect([validationErrors(stack), synthWarnings(stack)]).toEqual([[], isForgotten ? [forgotten(other)] : []]);
    });
  });
  test.each<[string, Partial<PolicyRuleProps>, boolean]>([
    ['that come in by it', { inputInterface: 'tun1', families: [IpFamily.IPV4] }, false],
    ['that come in by another', { inputInterface: 'tun2', families: [IpFamily.IPV4] }, true],
    ['from anywhere', { families: [IpFamily.IPV4] }, false],
    ['from all but some place', { source: '172.16.0.0/12', invert: true }, false],
    ['from another place', { source: '172.16.0.0/12' }, true],
  ])('a second tunnel is forgotten, unless there is a rule for packets %s', (_, props, isForgotten) => {
    const tun1 = { name: 'tun1', addresses: ['10.10.20.1/24'] };
    const { stack, vpn } = server({}, { interfaces: [...ALL_INTERFACES, tun1] });
    new PolicyRule(stack, 'more', { table: vpn, priority: 19000, ...props });
    const found = synthWarnings(stack).filter((line) => line.includes('no rule matches packets of the clients in'));
    expect([validationErrors(stack), found.length]).toEqual([[], isForgotten ? 1 : 0]);
  });
  test('a second tunnel is forgotten that a rule for the main table names: its packets leave all the same', () => {
    const tun1 = { name: 'tun1', addresses: ['10.10.20.1/24'] };
    const { stack, host } = server({}, { interfaces: [...ALL_INTERFACES, tun1] });
    const table = SourceRoutingTable.main(host);
    new PolicyRule(stack, 'more', { table, source: '10.10.20.0/24', priority: 19000 });
    expect(synthWarnings(stack)).toContainEqual(
      expect.stringContaining('no rule matches packets of the clients in 10.10.20.0/24 behind "tun1"'),
    );
  });
  test('no tunnel is forgotten of which only a link-local address is known', () => {
    const tun1 = { name: 'tun1', addresses: ['fe80::1/64'] };
    expect(synthWarnings(server({}, { interfaces: [...ALL_INTERFACES, tun1] }).stack)).toEqual([]);
  });
  test("the server's own replies are captured", () => {
    const { stack, vpn } = server();
    new PolicyRule(stack, 'all', { table: vpn, source: '192.168.0.0/16', priority: 11000 });
    expect(synthWarnings(stack)).toEqual([
      expect.stringContaining(
        "[stack/all] matches the replies of this host's own SSH server (192.168.178.2): this rule would redirect them.",
      ),
    ]);
  });
});

test('a defect is found on each of several machines alike, and what is fine on none', () => {
  const found = (make: () => TerraformStack): string[][] =>
    [make(), make()].map((stack) => [...validationErrors(stack), ...synthWarnings(stack)]);
  const [first, second] = found(() => server({ failClosed: false }).stack);
  expect(first).toHaveLength(2);
  expect(second).toEqual(first);
  const shadowed = found(() => {
    const { stack, host } = server();
    for (const priority of [9000, 9001]) {
      const action = RuleAction.prohibit();
      new PolicyRule(stack, `rule-${priority}`, { host, source: '10.10.20.0/24', action, priority });
    }
    return stack;
  });
  expect(shadowed.map((lines) => lines.map((line) => line.split(':')[0]))).toEqual([
    ['[stack/rule-9001] is never reached'],
    ['[stack/rule-9001] is never reached'],
  ]);
  // The second of these is not computed again.
  const egresses = (): string[] => bundleOf(twoEgresses({}).stack).filter((line) => line.startsWith('expect'));
  expect(egresses().length).toBeGreaterThan(4);
  expect(egresses()).toEqual(egresses());
});

describe('a rule that no packet meets', () => {
  const WIDE = { source: '10.10.0.0/16', action: RuleAction.unreachable() };
  test('is refused, naming those in front of it, and with them the table', () => {
    const { stack, host } = server({ rules: ['clients4', 'local4'] });
    new PolicyRule(stack, 'no-ipv6', { host, source: POOLS[1], action: RuleAction.prohibit(), priority: 9000 });
    new PolicyRule(stack, 'wide', { host, ...WIDE, priority: 9001 });
    expect(validationErrors(stack)).toEqual([
      '[stack/vpn] table 200 is never looked up: no packet reaches its rules. Give these lower priorities, or leave out the table.',
      '[stack/clients4] is never reached: Rule 9001 (from 10.10.0.0/16 unreachable) of "stack/wide" and those before it match all packets ' +
        'that it selects (from 10.10.10.0/24 lookup 200). Give it a priority lower than theirs, or leave it out.',
    ]);
  });
  test.each<[string, (stack: TerraformStack, host: LinuxHost) => void, string[]]>([
    [
      'two halves',
      (stack, host) => {
        new PolicyRule(stack, 'low', {
          host,
          source: '10.10.10.0/25',
          action: RuleAction.unreachable(),
          priority: 9000,
        });
        new PolicyRule(stack, 'high', {
          host,
          source: '10.10.10.128/25',
          action: RuleAction.unreachable(),
          priority: 9001,
        });
      },
      ['stack/clients4'],
    ],
    [
      'one half',
      (stack, host) => {
        new PolicyRule(stack, 'low', {
          host,
          source: '10.10.10.0/25',
          action: RuleAction.unreachable(),
          priority: 9000,
        });
      },
      [],
    ],
    [
      'what comes in by one interface',
      (stack, host) => {
        new PolicyRule(stack, 'wide', { host, ...WIDE, inputInterface: 'tun0', priority: 9000 });
      },
      [],
    ],
    [
      'what is marked',
      (stack, host) => {
        new PolicyRule(stack, 'wide', { host, ...WIDE, firewallMark: 7, priority: 9000 });
      },
      [],
    ],
    [
      'what has a mark, and what has none',
      (stack, host) => {
        new PolicyRule(stack, 'odd', { host, ...WIDE, firewallMark: 1, firewallMask: 1, priority: 9000 });
        new PolicyRule(stack, 'even', { host, ...WIDE, firewallMark: 2, firewallMask: 2, priority: 9001 });
      },
      [],
    ],
    [
      'a table with a hole',
      (stack, host) => {
        const table = new SourceRoutingTable(stack, 'other', { host, tableId: 201, failClosed: false });
        table.addRoute('some', { destination: '198.51.0.0/16', via: '192.168.1.1', device: 'eth1' });
        new PolicyRule(stack, 'wide', { table, source: WIDE.source, priority: 9000 });
      },
      [],
    ],
    [
      'a table without',
      (stack, host) => {
        const table = new SourceRoutingTable(stack, 'other', { host, tableId: 201 });
        table.addRoute('some', { destination: '198.51.0.0/16', via: '192.168.1.1', device: 'eth1' });
        new PolicyRule(stack, 'wide', { table, source: WIDE.source, priority: 9000 });
      },
      ['stack/clients4'],
    ],
  ])('behind %s', (_, add, unmet) => {
    const { stack, host } = server();
    add(stack, host);
    const found = validationErrors(stack).filter((line) => line.includes('is never reached'));
    expect(found.map((line) => /\[(.*?)\]/.exec(line)?.[1])).toEqual(unmet);
  });
  test.each<[string, Partial<PolicyRuleProps>, string]>([
    ['a mark', { firewallMark: 7 }, 'from 10.10.0.0/16 fwmark 0x7'],
    ['a type of service', { tos: 0x10 }, 'from 10.10.0.0/16 tos 0x10'],
    ['a protocol', { ipProtocol: IpProtocol.TCP }, 'from 10.10.0.0/16 ipproto 6'],
    [
      'ports',
      {
        ipProtocol: IpProtocol.TCP,
        sourcePorts: NumberRange.between(1000, 1999),
        destinationPorts: NumberRange.between(25, 26),
      },
      'from 10.10.0.0/16 ipproto 6 sport 1000-1999 dport 25-26',
    ],
    ['an interface', { inputInterface: 'tun0' }, 'from 10.10.0.0/16 iif tun0'],
    ['a destination', { destination: '203.0.113.0/24' }, 'from 10.10.0.0/16 to 203.0.113.0/24'],
  ])('with %s is refused, naming the rule that takes its packets', (_, props, words) => {
    const { stack, host } = server();
    new PolicyRule(stack, 'wide', { host, ...WIDE, ...props, priority: 9000 });
    const action = RuleAction.prohibit();
    new PolicyRule(stack, 'narrow', { host, source: '10.10.10.0/24', ...props, action, priority: 9001 });
    expect(validationErrors(stack)).toContainEqual(
      expect.stringContaining(
        `[stack/narrow] is never reached: Rule 9000 (${words} unreachable) of "stack/wide" and those before it match all packets`,
      ),
    );
  });
  test('leaves its table alone while another rule reaches that', () => {
    const { stack, host, vpn } = server({ rules: ['clients4', 'local4'] });
    new PolicyRule(stack, 'no-ipv6', { host, source: POOLS[1], action: RuleAction.prohibit(), priority: 9000 });
    new PolicyRule(stack, 'wide', { host, ...WIDE, priority: 9001 });
    new PolicyRule(stack, 'marked', { table: vpn, firewallMark: 9, families: [IpFamily.IPV4], priority: 9002 });
    expect(validationErrors(stack).map((line) => line.split(':')[0])).toEqual(['[stack/clients4] is never reached']);
  });
  test("is shadowed by the kernel's own rules", () => {
    const { stack, host } = server();
    new PolicyRule(stack, 'self', {
      ...{ host, destination: '10.10.10.1/32', action: RuleAction.prohibit(), priority: 9000 },
    });
    expect(validationErrors(stack)).toEqual([
      '[stack/self] is never reached: Rules before it match all packets that it selects (from all to 10.10.10.1 prohibit). ' +
        'Give it a priority lower than theirs, or leave it out.',
    ]);
  });
  test.each<[string, Partial<PolicyRuleProps>]>([
    ['the user', { uidRange: NumberRange.of(1000) }],
    ['the interface of a socket', { outputInterface: 'eth1' }],
  ])('is not told from one that selects by %s', (_, props) => {
    const { stack, host } = server();
    new PolicyRule(stack, 'narrow', { host, source: '10.10.20.0/24', action: RuleAction.prohibit(), priority: 9001 });
    new PolicyRule(stack, 'more', { host, ...WIDE, source: '10.10.20.0/24', ...props, priority: 9002 });
    expect(validationErrors(stack)).toEqual([]);
  });
  test('of a machine with more addresses than can be gone through one by one', () => {
    const stack = newStack();
    const interfaces = Array.from({ length: 300 }, (_, index) => ({
      name: `tun${index}`,
      addresses: [`10.${10 + (index >> 8)}.${index & 255}.1/24`],
    }));
    const host = newHost(stack, { interfaces });
    new PolicyRule(stack, 'wide', { host, ...WIDE, priority: 9000 });
    new PolicyRule(stack, 'inside', { host, source: POOLS[0], action: RuleAction.prohibit(), priority: 9001 });
    new PolicyRule(stack, 'own', { host, inputInterface: 'lo', action: RuleAction.prohibit(), priority: 9002 });
    const found = validationErrors(stack).filter((line) => line.includes('is never reached'));
    expect(found.map((line) => /\[(.*?)\]/.exec(line)?.[1])).toEqual(['stack/inside']);
  });
});

import { Lazy, TerraformVariable } from 'cdktf';
import type { TerraformStack } from 'cdktf';
import type { LinuxHost, LinuxHostProps, NetworkInterface, PolicyRuleProps, VpnEgressProps } from '../lib';
import {
  IpFamily,
  IpProtocol,
  LocalTraffic,
  NumberRange,
  Persistence,
  PolicyRule,
  Route,
  RouteType,
  RuleAction,
  SourceRoutingTable,
  VpnDaemon,
  VpnEgress,
  VpnUpHook,
} from '../lib';
import { errors, warnings } from '../lib/verify/checks';
import {
  ALL_INTERFACES,
  GATEWAYS,
  INTERFACES,
  IPV4_TUNNELS,
  POOLS,
  SSH,
  bundleOf,
  filesOf,
  newHost,
  newStack,
  newTable,
  resourceOf,
  synthWarnings,
  validationErrors,
} from './fixtures';
import { modelHost } from './model/host';
import { hostWith } from './report/hosts';

const IPV6_POOL = 'fd00:4242:4242:4242::/64';

type Add = (stack: TerraformStack, host: LinuxHost, table: SourceRoutingTable) => void;

/** A host whose one table is complete, whose clients have no IPv6, and what a test adds to it. */
function declare(add: Add, props: Partial<LinuxHostProps> = {}): TerraformStack {
  return declareIpv4((stack, host, table) => {
    new PolicyRule(stack, 'no-ipv6', { host, source: IPV6_POOL, priority: 9000, action: RuleAction.unreachable() });
    add(stack, host, table);
  }, props);
}

/** The same where nothing is said of the clients' IPv6. */
function declareIpv4(add: Add, props: Partial<LinuxHostProps> = {}): TerraformStack {
  const stack = newStack();
  const host = newHost(stack, props);
  const table = newTable(host);
  local(stack, host, 'local4', '10.10.10.0/24');
  new PolicyRule(stack, 'clients4', { table, source: '10.10.10.0/24', priority: 10010 });
  add(stack, host, table);
  return stack;
}

/** Clients reach each other. */
function local(stack: TerraformStack, host: LinuxHost, id: string, destination: string): void {
  const table = SourceRoutingTable.main(host);
  new PolicyRule(stack, id, { table, destination, suppressPrefixLength: 7, priority: 9998 });
}

function variable(stack: TerraformStack, name: string): string {
  return new TerraformVariable(stack, name, {}).stringValue;
}

test('nothing is wrong with the how-to', () => {
  const stack = declareIpv4((scope, host, table) => {
    table.addRoute('v6', { destination: 'default', via: 'fd00:1010:1010:1010::1', device: 'eth1' });
    local(scope, host, 'local6', IPV6_POOL);
    new PolicyRule(scope, 'clients6', { table, source: 'fd00:4242:4242:4242::/64', priority: 10010 });
  });
  expect(validationErrors(stack)).toEqual([]);
  expect(synthWarnings(stack)).toEqual([]);
});

test('nothing is wrong with a host that has one of each, in the model itself', () => {
  const model = hostWith((host, stack) => {
    const clients = { clients: POOLS, gateways: GATEWAYS };
    const { table } = new VpnEgress(stack, 'egress', { host, device: 'eth1', tableId: 200, ...clients });
    new VpnUpHook(stack, 'hook', { table });
    [9500, 32766].forEach((target, index) => {
      const action = RuleAction.goTo(target);
      new PolicyRule(stack, `jump-${index}`, { host, source: '10.66.0.0/16', priority: 9000 + index, action });
    });
    const rejected = { source: '10.66.7.0/24', action: RuleAction.prohibit() };
    new PolicyRule(stack, 'target', { host, priority: 9500, ...rejected });
  });
  // A problem without a construct would be lost later.
  expect([errors(model), warnings(model)]).toEqual([[], []]);
});

describe('errors', () => {
  test.each<[string, Add, string[]]>([
    [
      'two rules of one family at one priority',
      (stack, _, table) => new PolicyRule(stack, 'more', { table, source: '10.10.11.0/24', priority: 10010 }),
      [
        '[stack/more] priority 10010 is already used by the IPv4 rule "stack/clients4". The order of two rules with one priority is undefined. Give each its own.',
      ],
    ],
    [
      'table id twice',
      (_stack, host) => void newTable(host, 'other'),
      [
        '[stack/other] tableId 200 is already used by "stack/vpn" on this host. Use one construct for both, or another id.',
        expect.stringContaining(
          '[stack/other/v4] destination "default" with metric 0 is already routed by "stack/vpn/v4"',
        ) as string,
      ],
    ],
    [
      'table that no rule looks up',
      (_stack, host) => void newTable(host, 'other', 201),
      ['[stack/other] no rule looks up table 201, so its routes are never used. Add a PolicyRule with this table.'],
    ],
    [
      'table without route',
      (stack, host) => {
        const table = new SourceRoutingTable(stack, 'other', { host, tableId: 201 });
        new PolicyRule(stack, 'more', { table, source: '10.10.11.0/24', priority: 10011 });
      },
      [
        '[stack/other] table 201 has no route. Add one with addRoute(). To reject packets, use a PolicyRule with action RuleAction.unreachable() instead.',
      ],
    ],
    [
      'next hop not on-link',
      (_stack, _host, table) =>
        table.addRoute('lan', { destination: '10.0.0.0/8', via: '192.168.2.1', device: 'eth1' }),
      [
        '[stack/vpn/lan] via "192.168.2.1" is not on-link on "eth1" (192.168.1.100/24), so the kernel would refuse the route. Correct the address, declare the missing one in the host\'s interfaces, or set onLink: true.',
      ],
    ],
    [
      'next hop on-link nowhere',
      (_stack, _host, table) => table.addRoute('lan', { destination: '10.0.0.0/8', via: '192.168.2.1' }),
      [
        '[stack/vpn/lan] via "192.168.2.1" is not on-link on any interface of this host (192.168.178.2/24, 192.168.1.100/24, 10.10.10.1/24), so the kernel would refuse the route. Correct the address, declare the missing one in the host\'s interfaces, or set onLink: true.',
      ],
    ],
    [
      'no address of that family',
      (_stack, _host, table) => table.addRoute('v6', { destination: 'default', via: 'fd00:178::1', device: 'eth0' }),
      [
        '[stack/vpn/v6] via "fd00:178::1" is not on-link on "eth0" (no IPv6 address), so the kernel would refuse the route. Correct the address, declare the missing one in the host\'s interfaces, or set onLink: true.',
      ],
    ],
    [
      'link-local next hop without device',
      (_stack, _host, table) => table.addRoute('v6', { destination: 'default', via: 'fe80::1' }),
      ['[stack/vpn/v6] via "fe80::1" is link-local, so it needs a device. Set device.'],
    ],
    [
      'unknown device',
      (_stack, _host, table) => table.addRoute('lan', { destination: '10.0.0.0/8', device: 'eth9' }),
      [
        '[stack/vpn/lan] device "eth9" is not among the interfaces declared for this host (eth0, eth1, tun0). Correct the name, or add it to the host\'s interfaces.',
      ],
    ],
    [
      'foreign source',
      (_stack, _host, table) =>
        table.addRoute('lan', { destination: '10.0.0.0/8', device: 'eth1', preferredSource: '192.168.1.7' }),
      [
        '[stack/vpn/lan] preferredSource "192.168.1.7" is not an address of this host (192.168.178.2, 192.168.1.100, fd00:1010:1010:1010::100, 10.10.10.1, fd00:4242:4242:4242::1). Use one of them, or declare it in the host\'s interfaces.',
      ],
    ],
    [
      'the same route twice',
      (stack, host) => {
        const table = SourceRoutingTable.main(host);
        new Route(stack, 'one', { table, destination: '10.0.0.0/8', via: '192.168.1.1' });
        new Route(stack, 'two', { table, destination: '10.0.0.0/8', via: '192.168.1.2' });
      },
      [
        '[stack/two] destination "10.0.0.0/8" with metric 0 is already routed by "stack/one" (IPv4, table 254). Give the second another metric, or use nextHops for several gateways.',
      ],
    ],
    [
      'a second gateway of a VpnEgress',
      (stack, host) => {
        const props = { device: 'eth1', tableId: 201, clients: ['10.10.11.0/24'], gateways: ['192.168.1.1'] };
        const egress = new VpnEgress(stack, 'egress', { host, priority: 12000, ...props });
        const nextHops = ['192.168.1.1', '192.168.1.2'].map((via) => ({ via, device: 'eth1' }));
        egress.table.addRoute('both', { destination: 'default', nextHops });
        egress.table.addRoute('one', { destination: '10.0.0.0/8', via: '192.168.1.1', device: 'eth1' });
        egress.table.addRoute('two', { destination: '10.0.0.0/8', via: '192.168.1.2', device: 'eth1' });
      },
      [
        '[stack/egress/table/both] destination "default" with metric 0 is already routed by "stack/egress/table/gateway-1" (IPv4, table 201). Give the second another metric, or for several gateways (ECMP), declare a SourceRoutingTable that has a route with nextHops, and a PolicyRule for each pool, instead of the VpnEgress, which has one gateway for each family.',
        '[stack/egress/table/two] destination "10.0.0.0/8" with metric 0 is already routed by "stack/egress/table/one" (IPv4, table 201). Give the second another metric, or use nextHops for several gateways.',
      ],
    ],
    [
      'a route in the place of the unreachable default',
      (_stack, _host, table) =>
        table.addRoute('worst', { destination: '0.0.0.0/0', device: 'eth1', metric: 4278198272 }),
      [
        '[stack/vpn] destination "default" with metric 4278198272 is already routed by "stack/vpn/worst" (IPv4, table 200). Give the second another metric, or use nextHops for several gateways.',
      ],
    ],
    [
      'goto without target',
      (stack, host) =>
        new PolicyRule(stack, 'jump', { host, source: '10.0.0.0/8', priority: 10001, action: RuleAction.goTo(10002) }),
      [
        '[stack/jump] goes to priority 10002, where this host has no rule of its family. Declare that rule, or give the priority of an existing one.',
      ],
    ],
    [
      'goto to the last priority of a declared rule',
      (stack, host) =>
        new PolicyRule(stack, 'jump', { host, source: '10.0.0.0/8', priority: 10001, action: RuleAction.goTo(32765) }),
      [
        '[stack/jump] goes to priority 32765, where this host has no rule of its family. Declare that rule, or give the priority of an existing one.',
      ],
    ],
    [
      'goto where the target is of the other family',
      (stack, host) => {
        const action = RuleAction.goTo(10002);
        new PolicyRule(stack, 'jump', { host, source: '10.0.0.0/8', priority: 10001, action });
        new PolicyRule(stack, 'target', {
          host,
          source: 'fd00::/8',
          priority: 10002,
          action: RuleAction.prohibit(),
        });
      },
      [
        '[stack/jump] goes to priority 10002, where this host has no rule of its family. Declare that rule, or give the priority of an existing one.',
      ],
    ],
    [
      'goto without target in both families is said once',
      (stack, host) =>
        new PolicyRule(stack, 'jump', {
          host,
          inputInterface: 'tun0',
          priority: 10001,
          action: RuleAction.goTo(10002),
        }),
      [
        '[stack/jump] goes to priority 10002, where this host has no rule of its family. Declare that rule, or give the priority of an existing one.',
      ],
    ],
    [
      'a rule whose family is known at apply only beside one of IPv4',
      (stack, host) =>
        new PolicyRule(stack, 'more', {
          host,
          source: variable(stack, 'pool'),
          priority: 10010,
          action: RuleAction.prohibit(),
        }),
      [
        '[stack/more] priority 10010 is already used by the IPv4 rule "stack/clients4". The order of two rules with one priority is undefined. Give each its own.',
      ],
    ],
    [
      'a rule of IPv4 beside one whose family is known at apply only',
      (stack, host) => {
        const action = RuleAction.prohibit();
        new PolicyRule(stack, 'one', { host, source: variable(stack, 'pool'), priority: 10020, action });
        new PolicyRule(stack, 'two', { host, source: '10.10.11.0/24', priority: 10020, action });
      },
      [
        '[stack/two] priority 10020 is already used by the rule "stack/one". The order of two rules with one priority is undefined. Give each its own.',
      ],
    ],
    [
      'two rules whose families are known at apply only',
      (stack, host) => {
        const action = RuleAction.prohibit();
        new PolicyRule(stack, 'one', { host, source: variable(stack, 'pool1'), priority: 10020, action });
        new PolicyRule(stack, 'two', { host, source: variable(stack, 'pool2'), priority: 10020, action });
      },
      [
        '[stack/two] priority 10020 is already used by the rule "stack/one". The order of two rules with one priority is undefined. Give each its own.',
      ],
    ],
    [
      "next hop that is this host's own address",
      (_stack, _host, table) =>
        table.addRoute('lan', { destination: '10.0.0.0/8', via: '192.168.1.100', device: 'eth1' }),
      ['[stack/vpn/lan] via "192.168.1.100" is this host\'s own address on "eth1". Give the address of the next hop.'],
    ],
    [
      'next hop on-link that is its own address there',
      (_stack, _host, table) =>
        table.addRoute('lan', { destination: '10.0.0.0/8', via: '192.168.1.100', device: 'eth1', onLink: true }),
      ['[stack/vpn/lan] via "192.168.1.100" is this host\'s own address on "eth1". Give the address of the next hop.'],
    ],
    ...[{}, { device: 'eth1' }, { device: 'eth1', onLink: true }].map((options): [string, Add, string[]] => [
      `next hop that is the broadcast address of a network, with ${JSON.stringify(options)}`,
      (_stack, _host, table) => table.addRoute('lan', { destination: '10.0.0.0/8', via: '192.168.1.255', ...options }),
      [
        '[stack/vpn/lan] via "192.168.1.255" is the broadcast address of the network of "192.168.1.100/24", so the kernel would refuse the route. Give the address of the next hop.',
      ],
    ]),
    [
      'the same hook twice',
      (stack, _host, table) => {
        new VpnUpHook(stack, 'one', { table });
        new VpnUpHook(stack, 'two', { table });
      },
      ['[stack/two] "/etc/openvpn/up" already serves table 200 through "stack/one". Remove one of the two.'],
    ],
    [
      'one path for two daemons',
      (stack, _host, table) => {
        new VpnUpHook(stack, 'one', { table });
        new VpnUpHook(stack, 'two', { table, daemon: VpnDaemon.wireGuard({ upHook: '/etc/openvpn/up' }) });
      },
      [
        '[stack/two] "/etc/openvpn/up" is already the up hook of another daemon, installed by "stack/one". Give this one another path.',
      ],
    ],
  ])('%s', (_, add, messages) => {
    expect(validationErrors(declare(add))).toEqual(messages);
  });

  /** The interface through which the table goes is declared in a way that says less. */
  const eth1 = (...addresses: string[]): Partial<LinuxHostProps> => ({ interfaces: [{ name: 'eth1', addresses }] });
  const offLink = { destination: '10.0.0.0/8', via: '192.168.2.1' };
  test.each<[string, Add, Partial<LinuxHostProps>]>([
    [
      "goto to the kernel's own rules",
      (stack, host) => {
        new PolicyRule(stack, 'one', { host, source: '10.1.0.0/16', priority: 10001, action: RuleAction.goTo(32766) });
        new PolicyRule(stack, 'two', { host, source: '10.2.0.0/16', priority: 10002, action: RuleAction.goTo(32767) });
      },
      {},
    ],
    [
      'goto to a later rule of its family',
      (stack, host) => {
        const action = RuleAction.goTo(10020);
        new PolicyRule(stack, 'jump', { host, source: '10.1.0.0/16', priority: 10001, action });
        const target = { source: '10.1.2.0/24', action: RuleAction.prohibit() };
        new PolicyRule(stack, 'target', { host, priority: 10020, ...target });
      },
      {},
    ],
    [
      'rules of two families at one priority',
      (stack, host) => {
        const action = RuleAction.prohibit();
        new PolicyRule(stack, 'drop', { host, source: 'fd00:66::/64', priority: 10010, action });
      },
      {},
    ],
    [
      'hooks of two daemons, each with a path of its own',
      (stack, _host, table) => {
        new VpnUpHook(stack, 'one', { table });
        new VpnUpHook(stack, 'two', { table, daemon: VpnDaemon.wireGuard() });
      },
      {},
    ],
    [
      'one hook for two tables',
      (stack, host, table) => {
        const other = newTable(host, 'other', 201);
        new PolicyRule(stack, 'more', { table: other, source: '10.10.11.0/24', priority: 10011 });
        new VpnUpHook(stack, 'one', { table });
        new VpnUpHook(stack, 'two', { table: other });
      },
      {},
    ],
    ['adopt with a table to take over', () => undefined, { adopt: {} }],
    [
      'two routes whose families are known at apply only',
      (stack, _host, table) => {
        table.addRoute('one', { destination: 'default', via: variable(stack, 'one'), device: 'eth1' });
        table.addRoute('two', { destination: 'default', via: variable(stack, 'two'), device: 'eth1' });
      },
      {},
    ],
    [
      'routes of two tables that are the same without the spaces',
      (stack, host) => {
        for (const [tableId, destination] of [
          [20, '10.0.0.0/8'],
          [201, '0.0.0.0/8'],
        ] as const) {
          const table = new SourceRoutingTable(stack, `table-${tableId}`, { host, tableId });
          table.addRoute('only', { destination, via: '192.168.1.1' });
          new PolicyRule(stack, `rule-${tableId}`, {
            table,
            source: `10.10.${tableId}.0/24`,
            priority: 10000 + tableId,
          });
        }
      },
      {},
    ],
    [
      'the same destination with another metric',
      (_stack, _host, table) => table.addRoute('more', { destination: 'default', via: '192.168.1.2', metric: 1 }),
      {},
    ],
    [
      'device that is known at apply only',
      (stack, _host, table) => table.addRoute('lan', { ...offLink, device: variable(stack, 'device') }),
      {},
    ],
    [
      'interface without addresses',
      (_stack, _host, table) => table.addRoute('lan', { ...offLink, device: 'eth1' }),
      { interfaces: [{ name: 'eth1' }] },
    ],
    [
      'next hop that may be on-link on another interface',
      (_stack, _host, table) => table.addRoute('lan', offLink),
      { interfaces: [{ name: 'eth0' }, ...(eth1('192.168.1.100/24').interfaces ?? [])] },
    ],
    [
      'source where no interfaces are declared',
      (_stack, _host, table) =>
        table.addRoute('lan', { destination: '10.0.0.0/8', device: 'eth1', preferredSource: '192.168.1.7' }),
      { interfaces: [] },
    ],
    [
      'no interfaces',
      (_stack, _host, table) => table.addRoute('lan', { ...offLink, device: 'eth9' }),
      { interfaces: [] },
    ],
    [
      'link-local next hop with its device',
      (_stack, _host, table) => table.addRoute('v6', { destination: 'default', via: 'fe80::1', device: 'eth1' }),
      {},
    ],
    [
      'source that may be among those that are not declared',
      (_stack, _host, table) =>
        table.addRoute('lan', { destination: '10.0.0.0/8', device: 'eth1', preferredSource: '192.168.1.7' }),
      { interfaces: [{ name: 'eth0' }, ...(eth1('192.168.1.100/24').interfaces ?? [])] },
    ],
    [
      'table that an up hook alone fills',
      (stack, host) => {
        const table = new SourceRoutingTable(stack, 'tunnels', { host, tableId: 201 });
        new VpnUpHook(stack, 'hook', { table });
        new PolicyRule(stack, 'more', { table, source: '10.10.11.0/24', priority: 10011 });
      },
      {},
    ],
  ])('none: %s', (_, add, props) => {
    expect(validationErrors(declare(add, props))).toEqual([]);
  });

  test('an interface that is said to have no address has none', () => {
    expect(validationErrors(declare(() => undefined, eth1()))).toEqual([
      '[stack/vpn/v4] via "192.168.1.1" is not on-link on "eth1" (no IPv4 address), so the kernel would refuse the route. Correct the address, declare the missing one in the host\'s interfaces, or set onLink: true.',
    ]);
  });

  test('all at once', () => {
    const stack = declare((scope, host, table) => {
      new PolicyRule(scope, 'more', { table, source: '10.10.11.0/24', priority: 10010 });
      newTable(host, 'other', 201);
      table.addRoute('lan', { destination: '10.0.0.0/8', device: 'eth9' });
    });
    expect(validationErrors(stack).map((message) => message.split(' ')[0])).toEqual([
      '[stack/vpn/lan]',
      '[stack/more]',
      '[stack/other]',
    ]);
  });

  test('table name twice', () => {
    const stack = declare((scope, host) => {
      for (const [id, tableId] of [
        ['one', 201],
        ['two', 202],
      ] as const) {
        const table = new SourceRoutingTable(scope, id, { host, tableId, tableName: 'exit' });
        table.addRoute('v4', { destination: 'default', via: '192.168.1.1' });
        new PolicyRule(scope, `rule-${id}`, { table, source: '10.0.0.0/8', priority: tableId });
      }
    });
    expect(validationErrors(stack)).toEqual([
      '[stack/two] tableName "exit" is already used by "stack/one" on this host. Give each table its own name.',
    ]);
  });

  test('the last address of a network of two hosts, or of IPv6, is one like others', () => {
    const interfaces = [{ name: 'eth1', addresses: ['192.168.1.254/31', 'fd00::/127', 'fd00:1::/64'] }];
    const stack = newStack();
    const host = newHost(stack, { interfaces });
    const table = new SourceRoutingTable(stack, 'vpn', { host, tableId: 200 });
    for (const via of ['192.168.1.255', 'fd00::1', 'fd00:1::ffff:ffff:ffff:ffff']) {
      table.addRoute(via, { destination: via.includes(':') ? `${via}/128` : 'default', via, device: 'eth1' });
    }
    new PolicyRule(stack, 'clients4', { table, source: '10.10.10.0/24', priority: 10010 });
    new PolicyRule(stack, 'clients6', { table, source: IPV6_POOL, priority: 10010 });
    expect(validationErrors(stack)).toEqual([]);
  });
  test('on another link, another machine may have the same address', () => {
    const via = { via: '192.168.1.100', device: 'eth0', onLink: true };
    const stack = declare((_stack, _host, table) => table.addRoute('lan', { destination: '10.0.0.0/8', ...via }));
    expect(validationErrors(stack)).toEqual([]);
  });

  test('onLink allows a next hop outside, and so do addresses that are known at apply only', () => {
    const outside = { destination: '10.0.0.0/8', via: '192.168.2.1', device: 'eth1' };
    expect(
      validationErrors(declare((_stack, _host, table) => table.addRoute('lan', { ...outside, onLink: true }))),
    ).toEqual([]);
    const stack = newStack();
    const address = new TerraformVariable(stack, 'address', {}).stringValue;
    const host = newHost(stack, { interfaces: [{ name: 'eth1', addresses: [address] }] });
    const table = newTable(host);
    table.addRoute('lan', outside);
    new PolicyRule(stack, 'clients4', { table, source: '10.10.10.0/24', priority: 10010 });
    new PolicyRule(stack, 'no-ipv6', { host, source: IPV6_POOL, priority: 10010, action: RuleAction.unreachable() });
    expect(validationErrors(stack)).toEqual([]);
  });

  test('two hosts do not see each other', () => {
    const stack = declare((scope) => {
      const table = newTable(newHost(scope, { interfaces: IPV4_TUNNELS }, 'vpn2'), 'table2');
      new PolicyRule(scope, 'clients2', { table, source: '10.10.10.0/24', priority: 10010 });
    });
    expect(validationErrors(stack)).toEqual([]);
  });

  test('networkScripts() says what it cannot express', () => {
    const stack = newStack();
    const pool = new TerraformVariable(stack, 'pool', {}).stringValue;
    const host = newHost(stack, { persistence: Persistence.networkScripts() });
    const table = newTable(host);
    table.addRoute('lan', { destination: '10.0.0.0/8', via: '192.168.178.9', device: 'eth0' });
    new PolicyRule(stack, 'deferred', { table, source: pool, priority: 10010 });
    new PolicyRule(stack, 'blackhole', {
      host,
      source: '10.66.0.0/16',
      priority: 10011,
      action: RuleAction.blackhole(),
    });
    const message =
      'cannot tell which interface brings up the rule at priority 10011. Give Persistence.networkScripts() a device, or use Persistence.service().';
    expect(validationErrors(stack)).toEqual([
      '[stack/deferred] Persistence.networkScripts() cannot express "family known at apply only" of the rule at priority 10010: IPv4 and IPv6 are in different files. Set families on the rule or family on the route, or use Persistence.service().',
      expect.stringContaining('[stack/deferred] Persistence.networkScripts() cannot tell which interface'),
      `[stack/blackhole] Persistence.networkScripts() ${message}`,
    ]);
  });
});

describe('clients of whom one family is routed', () => {
  const WAYS =
    'Route it, too, or reject it: with rejectedClients of VpnEgress, or with a PolicyRule with RuleAction.unreachable() for that pool.';
  const forgotten = (path: string, device: string, routed: string, other: string, network: string): string =>
    `[stack/${path}] routes ${routed} packets of clients behind "${device}", but no rule routes or rejects their ${other} network ${network}: they would leave through the main default route. ${WAYS}`;
  const onlyIpv4 = `[stack/vpn] only IPv4 rules look up table 200: if the clients have IPv6, too, it would leave through the main default route. ${WAYS} If they have none, declare their interface and its addresses in the host's interfaces, and add a network behind a client to networks of its tunnel.`;
  const tun0 = forgotten('clients4', 'tun0', 'IPv4', 'IPv6', IPV6_POOL);
  const nothing: Add = () => undefined;
  const rule =
    (props: Partial<PolicyRuleProps>): Add =>
    (stack, host) =>
      void new PolicyRule(stack, 'more', { host, priority: 10011, ...props });
  const unreachable = RuleAction.unreachable();
  const rejectedIf = (props: Partial<PolicyRuleProps>): Add =>
    rule({ source: IPV6_POOL, action: unreachable, ...props });
  const TCP = { ipProtocol: IpProtocol.TCP };
  const unlessDefault: Add = (stack, host, table) =>
    rule({ table, source: IPV6_POOL, suppressPrefixLength: 7 })(stack, host, table);
  const UNKNOWN: Partial<LinuxHostProps> = { interfaces: undefined };

  test.each<[string, Add, Partial<LinuxHostProps>, string[]]>([
    ['the tunnel has both', nothing, {}, [tun0]],
    ['the tunnel has IPv4', nothing, { interfaces: IPV4_TUNNELS }, []],
    ['IPv6 is rejected', rule({ source: IPV6_POOL, action: unreachable }), {}, []],
    [
      'IPv6 of a part of the network is rejected',
      rule({ source: 'fd00:4242:4242:4242:1::/80', action: unreachable }),
      {},
      [
        expect.stringContaining(
          '[stack/clients4] fd00:4242:4242:4242::/64 but fd00:4242:4242:4242:1::/80 of "tun0" is in no pool',
        ) as string,
      ],
    ],
    [
      'all IPv6 from the tunnel is dropped',
      rule({ inputInterface: 'tun0', families: [IpFamily.IPV6], action: RuleAction.blackhole() }),
      {},
      [],
    ],
    ['all IPv6 is prohibited', rule({ source: '::/0', action: RuleAction.prohibit() }), {}, []],
    [
      'IPv6 of another tunnel is rejected',
      rule({ inputInterface: 'tun9', families: [IpFamily.IPV6], action: unreachable }),
      {},
      [tun0],
    ],
    ['IPv6 of another pool is rejected', rule({ source: 'fd00:66::/64', action: unreachable }), {}, [tun0]],
    [
      'IPv6 to some place is rejected',
      rule({ source: IPV6_POOL, destination: IPV6_POOL, action: unreachable }),
      {},
      [tun0],
    ],
    [
      'IPv6 to some port is rejected',
      rule({ source: IPV6_POOL, ipProtocol: IpProtocol.TCP, action: unreachable }),
      {},
      [tun0],
    ],
    ['IPv6 of some users is rejected', rejectedIf({ uidRange: NumberRange.of(1000) }), {}, [tun0]],
    ['IPv6 of some sockets is rejected', rejectedIf({ outputInterface: 'eth1' }), {}, [tun0]],
    ['IPv6 of some kind is rejected', rejectedIf({ tos: 16 }), {}, [tun0]],
    ['IPv6 with some mark is rejected', rejectedIf({ firewallMark: 1 }), {}, [tun0]],
    ['IPv6 from some port is rejected', rejectedIf({ ...TCP, sourcePorts: NumberRange.of(80) }), {}, [tun0]],
    ['IPv6 is looked up in a table of its own but for its default route', unlessDefault, {}, [tun0]],
    ['all but the IPv6 is rejected', rule({ source: IPV6_POOL, invert: true, action: unreachable }), {}, [tun0]],
    ['IPv4 is rejected', rule({ source: '10.66.0.0/16', action: unreachable }), {}, [tun0]],
    ['IPv6 goes on elsewhere', rule({ source: IPV6_POOL, action: RuleAction.goTo(32766) }), {}, [tun0]],
    [
      'IPv6 is looked up in the main table',
      (stack, host, table) => rule({ table: SourceRoutingTable.main(host), source: IPV6_POOL })(stack, host, table),
      {},
      [tun0],
    ],
    [
      'a pool whose family is not known is rejected',
      (stack, host, table) => rule({ source: variable(stack, 'pool'), action: unreachable })(stack, host, table),
      {},
      [],
    ],
    [
      'link-local addresses are routed nowhere',
      nothing,
      { interfaces: [{ name: 'tun0', addresses: ['10.10.10.1/24', 'fe80::1/64'] }, INTERFACES[1]] },
      [],
    ],
    [
      'the interface is as large as several pools',
      nothing,
      { interfaces: [{ name: 'tun0', addresses: ['10.10.0.1/16', 'fd00:7::1/64'] }, INTERFACES[1]] },
      [forgotten('clients4', 'tun0', 'IPv4', 'IPv6', 'fd00:7::/64')],
    ],
    ['no interface is known', nothing, UNKNOWN, [onlyIpv4]],
    ['the tunnel is not among the interfaces', nothing, { interfaces: INTERFACES.slice(0, 2) }, [onlyIpv4]],
    [
      'the tunnel may have more addresses',
      nothing,
      {
        interfaces: [
          ...INTERFACES.slice(0, 2),
          { name: 'tun0', addresses: ['10.10.10.1/24', Lazy.stringValue({ produce: () => 'fd00::1/64' })] },
        ],
      },
      [onlyIpv4],
    ],
    [
      'no interface is known, some IPv6 pool is rejected',
      rule({ source: 'fd00:66::/64', action: unreachable }),
      UNKNOWN,
      [],
    ],
    [
      'no interface is known, IPv6 of some tunnel is rejected',
      rule({ inputInterface: 'tun9', families: [IpFamily.IPV6], action: unreachable }),
      UNKNOWN,
      [],
    ],
    [
      'no interface is known, IPv4 is rejected',
      rule({ source: '10.66.0.0/16', action: unreachable }),
      UNKNOWN,
      [onlyIpv4],
    ],
    [
      'no interface is known, IPv6 to some place is rejected',
      rule({ source: IPV6_POOL, destination: IPV6_POOL, action: unreachable }),
      UNKNOWN,
      [onlyIpv4],
    ],
    [
      'no interface is known, IPv6 goes on elsewhere',
      rule({ source: IPV6_POOL, action: RuleAction.goTo(32766) }),
      UNKNOWN,
      [onlyIpv4],
    ],
    [
      'no interface is known, IPv6 has a table of its own',
      (stack, host) => {
        const table = new SourceRoutingTable(stack, 'vpn6', { host, tableId: 201 });
        table.addRoute('v6', { destination: 'default', via: 'fd00:1010:1010:1010::1', device: 'eth1' });
        new PolicyRule(stack, 'clients6', { table, source: IPV6_POOL, priority: 10010 });
      },
      UNKNOWN,
      [],
    ],
    [
      'the other family of another tunnel, by interface',
      (stack, host, table) => {
        rule({ table, inputInterface: 'wg0', families: [IpFamily.IPV6], source: undefined })(stack, host, table);
        new PolicyRule(stack, 'no-ipv6', { host, source: IPV6_POOL, priority: 10010, action: unreachable });
      },
      { interfaces: [...INTERFACES, { name: 'wg0', addresses: ['10.10.20.1/24', 'fd00:20::1/64'] }] },
      [forgotten('more', 'wg0', 'IPv6', 'IPv4', '10.10.20.0/24')],
    ],
    [
      'both families by interface',
      (stack, host, table) => {
        rule({ table, inputInterface: 'wg0' })(stack, host, table);
        new PolicyRule(stack, 'no-ipv6', { host, source: IPV6_POOL, priority: 10010, action: unreachable });
      },
      { interfaces: [...INTERFACES, { name: 'wg0', addresses: ['10.10.20.1/24', 'fd00:20::1/64'] }] },
      [],
    ],
  ])('%s', (_, add, props, messages) => {
    expect(validationErrors(declareIpv4(add, props))).toEqual(messages);
  });

  const eth0 = { name: 'eth0', addresses: ['192.168.178.2/24', 'fd00:178::2/64'] };
  test.each<[string, Partial<PolicyRuleProps>]>([
    ['to some place', { source: '192.168.178.0/24', destination: '10.99.0.0/16' }],
    ["from the machine's own address", { source: '192.168.178.2/32' }],
    ['of the machine itself', { source: '192.168.178.0/24', inputInterface: 'lo' }],
    ['of some users', { source: '192.168.178.0/24', uidRange: NumberRange.of(1000) }],
    ['of some sockets', { source: '192.168.178.0/24', outputInterface: 'eth1' }],
    ["from another of the machine's own addresses", { source: '192.168.1.100/32' }],
    ['from all but some place', { source: '192.168.178.0/24', invert: true }],
  ])('packets %s are not those of clients', (_, props) => {
    const stack = declare(
      (scope, _host, table) => new PolicyRule(scope, 'more', { table, priority: 10011, ...props }),
      {
        interfaces: [eth0, ...INTERFACES.slice(1)],
      },
    );
    expect(validationErrors(stack)).toEqual([]);
  });

  test('the same ports of both families will do', () => {
    const ports = { ipProtocol: IpProtocol.TCP, destinationPorts: NumberRange.of(80) };
    const stack = newStack();
    const host = newHost(stack);
    const table = newTable(host);
    new PolicyRule(stack, 'web4', { table, source: '10.10.10.0/24', priority: 10010, ...ports });
    const errors = (): string[] => validationErrors(stack);
    expect(errors()).toEqual([forgotten('web4', 'tun0', 'IPv4', 'IPv6', IPV6_POOL)]);
    new PolicyRule(stack, 'web6', { host, source: IPV6_POOL, priority: 10010, action: unreachable, ...ports });
    expect(errors()).toEqual([]);
  });

  test.each<[string, (stack: TerraformStack) => Partial<PolicyRuleProps>, string[]]>([
    ['from some address', () => ({ source: '192.168.178.7/32' }), [onlyIpv4]],
    ['from the address of SSH', () => ({ source: '192.168.178.2/32' }), []],
    ['of the machine itself', () => ({ inputInterface: 'lo', families: [IpFamily.IPV4] }), []],
    [
      'known at apply only',
      (stack) => ({ source: variable(stack, 'pool'), inputInterface: 'tun0', families: [IpFamily.IPV4] }),
      [],
    ],
    [
      'that come in by what is known at apply only',
      (stack) => ({ source: '10.10.10.0/24', inputInterface: variable(stack, 'tunnel') }),
      [],
    ],
  ])('where no interface is known, of packets %s', (_, props, messages) => {
    const stack = newStack();
    const table = newTable(newHost(stack, UNKNOWN));
    new PolicyRule(stack, 'more', { table, priority: 10010, ...props(stack) });
    expect(validationErrors(stack)).toEqual(messages);
  });

  test('where no interface is known, of the second of two tables', () => {
    const stack = newStack();
    const host = newHost(stack, UNKNOWN);
    const table = newTable(host);
    new PolicyRule(stack, 'clients6', { table, source: IPV6_POOL, priority: 10010 });
    new PolicyRule(stack, 'clients4', { table, source: '10.10.10.0/24', priority: 10010 });
    const other = newTable(host, 'other', 201);
    new PolicyRule(stack, 'more', { table: other, source: '10.10.11.0/24', priority: 10011 });
    expect(validationErrors(stack)).toEqual([onlyIpv4.replace('stack/vpn', 'stack/other').replace('200', '201')]);
  });

  test('IPv6 that is rejected as a whole will do for some ports', () => {
    const stack = newStack();
    const host = newHost(stack);
    const web = { ...TCP, destinationPorts: NumberRange.of(80) };
    new PolicyRule(stack, 'web4', { table: newTable(host), source: '10.10.10.0/24', priority: 10010, ...web });
    new PolicyRule(stack, 'no-ipv6', { host, source: IPV6_POOL, priority: 10010, action: unreachable });
    expect(validationErrors(stack)).toEqual([]);
  });

  test('ICMP of both families is one protocol', () => {
    const stack = newStack();
    const host = newHost(stack);
    const table = newTable(host);
    const ping = { table, source: '10.10.10.0/24', ipProtocol: IpProtocol.ICMP };
    new PolicyRule(stack, 'ping4', { priority: 10010, ...ping });
    const ping6 = { host, source: IPV6_POOL, action: unreachable, ipProtocol: IpProtocol.ICMPV6 };
    new PolicyRule(stack, 'ping6', { priority: 10010, ...ping6 });
    expect(validationErrors(stack)).toEqual([]);
  });

  test('is said once of a network, however many rules there are', () => {
    const stack = declareIpv4((scope, _host, table) => {
      for (let i = 0; i < 500; i += 1) {
        new PolicyRule(scope, `rule-${i}`, { table, source: `10.10.10.${i % 250}/32`, priority: 11000 + i });
      }
    });
    expect(validationErrors(stack)).toEqual([tun0]);
  });
});

describe('a part of a tunnel that is in no pool', () => {
  const IPV6 = 'fd00:4242:4242:4242::1/64';
  const forgotten = (part: string, device = 'tun0'): string =>
    `[stack/egress] ${part} of "${device}" is in no pool, so clients there would leave by the main default route. ` +
    'Add it to clients or rejectedClients. If they may leave there, declare a PolicyRule for this source with SourceRoutingTable.main(host).';
  const UPLINKS: NetworkInterface[] = ALL_INTERFACES.slice(0, 2);
  const withTunnel = (addresses: string[], name = 'tun0'): NetworkInterface[] => [...UPLINKS, { name, addresses }];

  function errorsOf(
    clients: string[],
    interfaces: NetworkInterface[],
    props: Partial<VpnEgressProps> = {},
    add: (stack: TerraformStack, host: LinuxHost) => void = () => undefined,
  ): string[] {
    const stack = newStack();
    const host = newHost(stack, { interfaces });
    const gateways = GATEWAYS.filter((gateway) => clients.some((pool) => pool.includes(':') === gateway.includes(':')));
    new VpnEgress(stack, 'egress', { host, device: 'eth1', tableId: 200, clients, gateways, ...props });
    add(stack, host);
    return validationErrors(stack);
  }

  describe.each<[string, LocalTraffic]>([
    ['mainTable()', LocalTraffic.mainTable()],
    ['suppressDefault()', LocalTraffic.suppressDefault()],
    ['upHook()', LocalTraffic.upHook()],
    ['isolated()', LocalTraffic.isolated()],
  ])('with %s', (_, localTraffic) => {
    test.each<[string, string[], string]>([
      ['the lower half', ['10.10.10.128/25', IPV6_POOL], '10.10.10.0/25'],
      ['the upper half', ['10.10.10.0/25', IPV6_POOL], '10.10.10.128/25'],
      ['of IPv6', ['10.10.10.0/24', 'fd00:4242:4242:4242::/65'], 'fd00:4242:4242:4242:8000::/65'],
    ])('%s', (__, clients, part) => {
      // Whether the main table is known or not.
      for (const uplinks of [UPLINKS, INTERFACES.slice(0, 2)]) {
        const interfaces = [...uplinks, { name: 'tun0', addresses: ['10.10.10.1/24', IPV6] }];
        expect(errorsOf(clients, interfaces, { localTraffic })).toEqual([forgotten(part)]);
      }
    });
  });

  test.each(['tun0', 'vpns0', 'ppp0', 'nebula1', 'vpn-staff', 'eth7'])('whatever it is called: %s', (device) => {
    expect(errorsOf(['10.10.10.0/25'], withTunnel(['10.10.10.1/24'], device))).toEqual([
      forgotten('10.10.10.128/25', device),
    ]);
  });

  test('is named in few prefixes', () => {
    expect(errorsOf(['10.10.10.0/24', '10.10.20.0/24'], withTunnel(['10.10.0.1/16']))).toEqual([
      forgotten('10.10.0.0/16 but 10.10.10.0/24, 10.10.20.0/24'),
    ]);
    const quarters = ['10.10.10.0/26', '10.10.10.128/26'];
    expect(errorsOf(quarters, withTunnel(['10.10.10.1/24']))).toEqual([
      forgotten('10.10.10.64/26, 10.10.10.192/26').replace(' is in', ' are in'),
    ]);
  });

  test('is each network that its interface has besides', () => {
    expect(errorsOf(['10.10.10.0/24'], withTunnel(['10.10.10.1/24', '10.10.11.1/24']))).toEqual([
      forgotten('10.10.11.0/24'),
    ]);
  });

  describe('may be a network behind a client', () => {
    const site = (networks: string[], more: NetworkInterface[] = []): NetworkInterface[] => [
      ...UPLINKS,
      { name: 'tun0', addresses: ['10.10.10.1/24'], networks },
      ...more,
    ];

    test.each<[string, string[], string[], string[]]>([
      ['in no pool', ['10.99.0.0/24'], [], ['10.99.0.0/24']],
      ['of IPv6', ['fd00:99::/64'], [], ['fd00:99::/64']],
      ['partly in a pool', ['10.99.0.0/24'], ['10.99.0.0/25'], ['10.99.0.128/25']],
      ['around that of the tunnel', ['10.10.0.0/16'], [], ['10.10.0.0/16 but 10.10.10.0/24']],
      ['in a pool', ['10.99.0.0/24'], ['10.99.0.0/16'], []],
    ])('%s', (_, networks, more, parts) => {
      const found = errorsOf(['10.10.10.0/24', ...more], site(networks), { rejectedClients: ['fd00:77::/64'] });
      expect(found).toEqual(parts.map((part) => forgotten(part)));
    });

    test('but none that is rejected, or behind another interface', () => {
      const interfaces = site(['10.99.0.0/24']);
      expect(errorsOf(['10.10.10.0/24'], interfaces, { rejectedClients: ['10.99.0.0/24'] })).toEqual([]);
      const lan = { name: 'eth2', addresses: ['10.20.0.1/24'], networks: ['10.99.0.0/24'] };
      expect(errorsOf(['10.10.10.0/24'], site([], [lan]))).toEqual([]);
      const halves = errorsOf(['10.10.10.0/24', '10.98.0.0/16'], site(['10.98.0.0/15'], [lan]), {
        rejectedClients: ['fd00:77::/64'],
      });
      expect(halves).toEqual([forgotten('10.99.0.0/16 but 10.99.0.0/24')]);
    });

    test('nor one behind an interface that only a PolicyRule names', () => {
      const lan = { name: 'eth2', addresses: ['10.20.0.1/24'], networks: ['10.99.0.0/24'] };
      const stack = declare(
        (scope, _host, table) => void new PolicyRule(scope, 'lan', { table, source: '10.20.0.0/24', priority: 10011 }),
        { interfaces: [...INTERFACES, lan] },
      );
      expect(validationErrors(stack)).toEqual([]);
    });
  });

  test('is none that a rejected pool has, or that is rejected as a whole', () => {
    const interfaces = withTunnel(['10.10.10.1/24']);
    expect(errorsOf(['10.10.10.0/25'], interfaces, { rejectedClients: ['10.10.10.128/25'] })).toEqual([]);
    expect(
      errorsOf(['10.10.10.0/25'], interfaces, {}, (stack, host) => {
        new PolicyRule(stack, 'all', {
          ...{ host, inputInterface: 'tun0', families: [IpFamily.IPV4], priority: 11000 },
          action: RuleAction.unreachable(),
        });
      }),
    ).toEqual([]);
    // Of a tunnel that holds nothing else.
    const tun1 = { name: 'tun1', addresses: ['10.10.20.1/24'] };
    expect(errorsOf(['10.10.10.0/24'], [...interfaces, tun1], { rejectedClients: ['10.10.20.0/25'] })).toEqual([
      forgotten('10.10.20.128/25', 'tun1'),
    ]);
  });

  test.each<[string, Partial<PolicyRuleProps>, boolean]>([
    ['looked up in the main table', { source: '10.10.10.128/25' }, true],
    ['looked up in the main table by interface', { inputInterface: 'tun0', families: [IpFamily.IPV4] }, true],
    ['looked up in the main table to some place', { source: '10.10.10.128/25', destination: '10.99.0.0/16' }, false],
    ['looked up there without its default route', { source: '10.10.10.128/25', suppressPrefixLength: 7 }, false],
    ['of which a half is looked up there', { source: '10.10.10.128/26' }, false],
  ])('is meant where it is %s', (_, props, isMeant) => {
    const part = props.source === '10.10.10.128/26' ? '10.10.10.192/26' : '10.10.10.128/25';
    expect(
      errorsOf(['10.10.10.0/25'], withTunnel(['10.10.10.1/24']), {}, (stack, host) => {
        new PolicyRule(stack, 'meant', { table: SourceRoutingTable.main(host), priority: 11000, ...props });
      }),
    ).toEqual(isMeant ? [] : [forgotten(part)]);
  });

  test('is meant where a goto carries its packets to the main table', () => {
    expect(
      errorsOf(['10.10.10.0/25'], withTunnel(['10.10.10.1/24']), {}, (stack, host) => {
        const action = RuleAction.goTo(32766);
        new PolicyRule(stack, 'meant', { host, action, source: '10.10.10.128/25', priority: 11000 });
      }),
    ).toEqual([]);
  });

  test('is not known where a rule may take it whose source is known at apply only', () => {
    const stack = newStack();
    const host = newHost(stack, { interfaces: withTunnel(['10.10.10.1/24']) });
    const clients = ['10.10.10.0/25', variable(stack, 'pool')];
    new VpnEgress(stack, 'egress', { host, device: 'eth1', tableId: 200, clients, gateways: ['192.168.1.1'] });
    expect(validationErrors(stack)).toEqual([]);
  });

  test('may be of addresses that no client has: of the server, the network, and all in it', () => {
    const lengths = [31, 30, 29, 28, 27, 26, 25];
    const pools = lengths.map((length) => `10.10.10.${2 ** (32 - length)}/${length}`);
    expect(errorsOf(pools, withTunnel(['10.10.10.1/24']))).toEqual([]);
    expect(errorsOf(pools.slice(1), withTunnel(['10.10.10.1/24']))).toEqual([forgotten('10.10.10.0/30')]);
    expect(errorsOf(['10.10.10.0/24'], withTunnel(['10.10.20.1/32', '10.10.10.1/24', 'fe80::1/64']))).toEqual([]);
  });

  test('may be the broadcast address of IPv4, but no other last address', () => {
    const lengths = [25, 26, 27, 28, 29, 30, 31, 32];
    const pools = lengths.map((length) => `10.10.10.${256 - 2 ** (33 - length)}/${length}`);
    expect(errorsOf(pools, withTunnel(['10.10.10.1/24']))).toEqual([]);
    const pools6 = ['fd00:7::/125', 'fd00:7::8/126', 'fd00:7::c/127', 'fd00:7::e/128'];
    expect(errorsOf(pools6, withTunnel(['fd00:7::1/124']))).toEqual([forgotten('fd00:7::f')]);
    // A network of two has none.
    for (const own of ['10.10.20.0/31', '10.10.20.1/31']) {
      expect(errorsOf(['10.10.10.0/24'], withTunnel(['10.10.10.1/24', own]))).toEqual([forgotten('10.10.20.0/31')]);
    }
  });

  test.each<[string, NetworkInterface[]]>([
    ['a network of servers', [{ name: 'eth2', addresses: ['10.20.0.1/16'] }]],
    ['a network of servers around the tunnel', [{ name: 'eth2', addresses: ['10.0.0.1/8'] }]],
    ['an uplink', [{ name: 'eth2', addresses: ['10.10.10.254/23'], gateways: ['10.10.11.1'] }]],
  ])('is none of %s', (_, more) => {
    expect(errorsOf(['10.10.10.0/24'], [...withTunnel(['10.10.10.1/24']), ...more])).toEqual([]);
  });

  describe('without VpnEgress', () => {
    const bare = (part: string, device: string): string =>
      `[stack/more] ${part} of "${device}" is in no pool, so clients there would leave by the main default route. ` +
      'Declare a PolicyRule for this source, too: with this table, or with RuleAction.unreachable(). If they may leave there, use SourceRoutingTable.main(host).';
    const errorsWith = (props: Partial<PolicyRuleProps>, addresses = ['10.10.20.1/24']): string[] =>
      validationErrors(
        declare(
          (stack, host, table) => {
            const target = props.action ? { host } : { table };
            new PolicyRule(stack, 'more', { priority: 10011, ...target, ...props });
          },
          { interfaces: [...INTERFACES, { name: 'vpns0', addresses }] },
        ),
      );
    const ipv4 = { families: [IpFamily.IPV4] };
    test.each<[string, Partial<PolicyRuleProps>, string[]]>([
      ['a source', { source: '10.10.20.0/25' }, [bare('10.10.20.128/25', 'vpns0')]],
      [
        'a source that comes in by it',
        { source: '10.10.20.0/25', inputInterface: 'vpns0' },
        [bare('10.10.20.128/25', 'vpns0')],
      ],
      ['all of it', { source: '10.10.20.0/24' }, []],
      ['more than it', { source: '10.10.16.0/20' }, []],
      ['what comes in by it', { inputInterface: 'vpns0', ...ipv4 }, []],
      ["the server's own address", { source: '10.10.20.1/32' }, []],
      ['some ports', { source: '10.10.20.0/25', ipProtocol: IpProtocol.TCP, destinationPorts: NumberRange.of(80) }, []],
      ['some place', { source: '10.10.20.0/25', destination: '10.99.0.0/16' }, []],
      ['local traffic', { source: '10.10.20.0/25', suppressPrefixLength: 7 }, []],
      ['a source that is rejected', { source: '10.10.20.7/32', action: RuleAction.prohibit() }, []],
    ])('%s', (_, props, messages) => {
      expect(errorsWith(props)).toEqual(messages);
    });
    test.each<[string, Array<Partial<PolicyRuleProps>>, string[]]>([
      ['all of it', [{ source: '10.10.20.0/24' }], []],
      ['all of it, as it comes in', [{ source: '10.10.20.0/24', inputInterface: 'vpns0' }], []],
      ['a half', [{ source: '10.10.20.0/25' }], [bare('10.10.20.128/25', 'vpns0')]],
      [
        'halves, one of which comes in by another tunnel',
        [{ source: '10.10.20.0/25' }, { source: '10.10.20.128/25', inputInterface: 'tun9' }],
        [bare('10.10.20.128/25', 'vpns0')],
      ],
    ])('a table that lets packets go on is no part without a pool: %s', (_, rules, messages) => {
      const stack = declare(
        (scope, host) => {
          const table = new SourceRoutingTable(scope, 'open', { host, tableId: 201, failClosed: false });
          table.addRoute('some', { destination: '10.99.0.0/16', via: '192.168.1.1', device: 'eth1' });
          rules.forEach((props, index) => {
            new PolicyRule(scope, index === 0 ? 'more' : 'other', { table, priority: 10011 + index, ...props });
          });
        },
        { interfaces: [...ALL_INTERFACES, { name: 'vpns0', addresses: ['10.10.20.1/24'] }] },
      );
      expect(validationErrors(stack)).toEqual(messages);
    });
    test('a tunnel beside that of a VpnEgress', () => {
      const interfaces = [...withTunnel(['10.10.10.1/24']), { name: 'vpns0', addresses: ['10.10.20.1/24'] }];
      expect(
        errorsOf(['10.10.10.0/24'], interfaces, {}, (stack, host) => {
          new PolicyRule(stack, 'more', {
            table: newTable(host, 'own', 201),
            source: '10.10.20.0/25',
            priority: 10020,
          });
        }),
      ).toEqual([bare('10.10.20.128/25', 'vpns0')]);
    });
    test('another network of an interface that a rule names', () => {
      expect(
        errorsWith({ source: '10.10.20.0/24', inputInterface: 'vpns0' }, ['10.10.20.1/24', '10.10.21.1/24']),
      ).toEqual([bare('10.10.21.0/24', 'vpns0')]);
    });
  });
});

describe('guards', () => {
  const guardsOf = (add: Add, props: Partial<LinuxHostProps> = {}): string[] =>
    bundleOf(declare(add, props)).filter((line) => line.startsWith('guard ') && line !== OF_THE_OTHER);
  // The IPv6 pool is rejected.
  const OF_THE_OTHER = 'guard 6 19000 from fd00:4242:4242:4242::/64 unreachable';
  const FIRST = 'guard 4 20010 from 10.10.10.0/24 unreachable';
  const more =
    (props: Partial<PolicyRuleProps>): Add =>
    (stack, _host, table) =>
      void new PolicyRule(stack, 'more', { table, priority: 10011, ...props });
  const throwing =
    (destination: string): Add =>
    (_stack, _host, table) =>
      void table.addRoute('throw', { destination, routeType: RouteType.THROW });

  const passedOn = (where: string, remedy: string): string =>
    `[stack/vpn/throw] lets packets to ${where} go on to later rules (routeType "throw"), so the rules that look up table 200 have no guards, which would reject these packets, too. ` +
    `When somebody flushes the table, ${remedy}`;
  const INSTEAD =
    'only the kill switch keeps packets to other destinations off the main default route. ' +
    'Use a PolicyRule for that destination in front of these rules instead, with SourceRoutingTable.main(host).';

  test.each<[string, Add, string[]]>([
    ['of one rule', () => undefined, [FIRST]],
    [
      'with all its selectors',
      more({
        source: '10.10.11.0/24',
        inputInterface: 'tun1',
        firewallMark: 1,
        tos: 16,
        ipProtocol: IpProtocol.TCP,
        destinationPorts: NumberRange.of(25),
      }),
      [FIRST, 'guard 4 20011 from 10.10.11.0/24 tos 0x10 fwmark 0x1 iif tun1 ipproto 6 dport 25 unreachable'],
    ],
    [
      'of both families',
      more({ inputInterface: 'tun1' }),
      [FIRST, 'guard 4 20011 iif tun1 unreachable', 'guard 6 20011 iif tun1 unreachable'],
    ],
    [
      'of a family that is known at apply',
      (stack, host, table) => more({ source: variable(stack, 'pool') })(stack, host, table),
      [FIRST, 'guard auto 20011 from @1@ unreachable'],
    ],
    ['not where the rule lets packets go on', more({ source: '10.10.11.0/24', suppressPrefixLength: 0 }), [FIRST]],
    [
      'not where the rule lets packets of a group go on',
      more({ source: '10.10.11.0/24', suppressInterfaceGroup: 1 }),
      [FIRST],
    ],
    ['not where the table lets packets go on', throwing('10.77.0.0/16'), []],
    ['where it lets packets of the other family go on', throwing('fd00:77::/64'), [FIRST]],
    [
      'of the last place that has room',
      more({ source: '10.10.11.0/24', priority: 22765 }),
      [FIRST, 'guard 4 32765 from 10.10.11.0/24 unreachable'],
    ],
    ['not behind that', more({ source: '10.10.11.0/24', priority: 22766 }), [FIRST]],
    // They would keep the kernel from finding any next hop.
    ['not of all packets', more({ families: [IpFamily.IPV4] }), [FIRST]],
    ['not of all but some', more({ source: '10.10.11.0/24', invert: true }), [FIRST]],
    ['not of those from anywhere', more({ source: '0.0.0.0/0' }), [FIRST]],
    ["not of the machine's own", more({ inputInterface: 'lo' }), [FIRST]],
    ['not of those to the next router', more({ destination: '192.168.1.0/24' }), [FIRST]],
    [
      'of those to another place',
      more({ destination: '10.99.0.0/16' }),
      [FIRST, 'guard 4 20011 to 10.99.0.0/16 unreachable'],
    ],
    [
      'of a rule that rejects a source, but not some destination of it, nor everybody',
      (stack, host) => {
        const reject = (props: Partial<PolicyRuleProps>, priority: number, action = RuleAction.prohibit()): void =>
          void new PolicyRule(stack, `reject-${priority}`, { host, priority, action, ...props });
        reject({ source: '10.10.11.0/24', inputInterface: 'tun1' }, 10011);
        reject({ source: '10.10.12.0/24', destination: '0.0.0.0/0' }, 10012, RuleAction.blackhole());
        reject({ source: '10.10.13.0/24', destination: '10.10.10.0/24' }, 10013);
        reject({ source: '10.10.14.0/24', invert: true }, 10014);
        reject({ source: '0.0.0.0/0', inputInterface: 'tun1' }, 10015);
        reject({ inputInterface: 'tun1' }, 10016);
        reject({ source: '10.10.15.0/24' }, 10017, RuleAction.goTo(20000));
      },
      [FIRST, 'guard 4 20011 from 10.10.11.0/24 iif tun1 unreachable', 'guard 4 20012 from 10.10.12.0/24 unreachable'],
    ],
    [
      'not of the main table, nor of a table that does not fail closed',
      (stack, host) => {
        const table = new SourceRoutingTable(stack, 'open', { host, tableId: 201, failClosed: false });
        table.addRoute('v4', { destination: 'default', via: '192.168.1.1' });
        new PolicyRule(stack, 'more', { table, source: '10.10.11.0/24', priority: 10011 });
        new PolicyRule(stack, 'main', {
          table: SourceRoutingTable.main(host),
          source: '10.10.12.0/24',
          priority: 10012,
        });
      },
      [FIRST],
    ],
  ])('%s', (_, add, expected) => {
    expect(guardsOf(add)).toEqual(expected);
  });

  test('and a rule at one priority', () => {
    const at = (props: Partial<PolicyRuleProps>): string[] =>
      validationErrors(declare(more({ ...props, priority: 20010 })));
    expect(at({ source: '10.10.11.0/24' })).toEqual([
      '[stack/clients4] its guard needs priority 20010 (priority + 10000), which is already used by the rule "stack/more". Move one of the two rules.',
    ]);
    expect(at({ source: 'fd00:66::/64' })).toEqual([]);
  });

  test.each<[string, Add, string[]]>([
    [
      'no room',
      more({ source: '10.10.11.0/24', priority: 22766 }),
      [
        '[stack/more] has no guard, since priority + 10000 is more than 32765. When somebody flushes the table, packets leave through the main default route. Use a priority up to 22765, for example 10000 to 19999.',
      ],
    ],
    [
      'no room behind a rule that rejects',
      (stack, host) => {
        const action = RuleAction.unreachable();
        new PolicyRule(stack, 'more', { host, source: '10.10.11.0/24', priority: 22766, action });
      },
      [
        '[stack/more] has no guard, since priority + 10000 is more than 32765. When somebody flushes the rules, packets leave through the main default route. Use a priority up to 22765, for example 10000 to 19999.',
      ],
    ],
    ['room', more({ source: '10.10.11.0/24', priority: 22600 }), []],
    ['a table that lets packets to one place go on', throwing('10.77.0.0/16'), [passedOn('10.77.0.0/16', INSTEAD)]],
    [
      'one that lets packets to a place go on that is known at apply only',
      (stack, host, table) => throwing(variable(stack, 'place'))(stack, host, table),
      [passedOn('a destination known at apply only', INSTEAD)],
    ],
    [
      'one that lets all packets go on',
      throwing('0.0.0.0/0'),
      [
        passedOn(
          'default',
          'packets leave through the main default route. Leave this route out, or set failClosed: false if that is meant.',
        ),
      ],
    ],
    ['one that lets packets of the other family go on', throwing('fd00:77::/64'), []],
    [
      'where another program puts its own',
      more({ source: '10.10.11.0/24', priority: 19950 }),
      [
        "[stack/more] its guard's priority 29950 is in the range of pbr (29900 to 30000). Use another, for example 10000 to 19899 for the rule.",
      ],
    ],
    [
      'over the rule, but not over the guard',
      (stack, host) => {
        new PolicyRule(stack, 'jump', {
          host,
          source: '10.10.10.7/32',
          priority: 10001,
          action: RuleAction.goTo(15000),
        });
        new PolicyRule(stack, 'there', {
          host,
          source: '10.66.0.0/16',
          priority: 15000,
          action: RuleAction.blackhole(),
        });
      },
      [
        '[stack/jump] skips the rule "stack/clients4", but not its guard at priority 20010, which rejects what no rule in between matches. Go to a priority above 20010, or to 32766 for the main table.',
      ],
    ],
    [
      'over two rules, but over none of their guards',
      (stack, host, table) => {
        more({ source: '10.10.11.0/24', priority: 10020 })(stack, host, table);
        const action = RuleAction.goTo(15000);
        new PolicyRule(stack, 'jump', { host, source: '10.10.10.7/32', priority: 10001, action });
        const target = { source: '10.66.0.0/16', action: RuleAction.blackhole() };
        new PolicyRule(stack, 'there', { host, priority: 15000, ...target });
      },
      [
        '[stack/jump] skips the rule "stack/clients4", but not its guard at priority 20010, which rejects what no rule in between matches. Go to a priority above 20020, or to 32766 for the main table.',
      ],
    ],
    [
      'over neither, from behind the rule',
      (stack, host) => {
        const action = RuleAction.goTo(15000);
        new PolicyRule(stack, 'jump', { host, source: '10.10.10.7/32', priority: 10020, action });
        const target = { source: '10.66.0.0/16', action: RuleAction.blackhole() };
        new PolicyRule(stack, 'there', { host, priority: 15000, ...target });
      },
      [],
    ],
    [
      'over both',
      (stack, host) => {
        new PolicyRule(stack, 'jump', {
          host,
          source: '10.10.10.7/32',
          priority: 10001,
          action: RuleAction.goTo(32766),
        });
      },
      [],
    ],
  ])('%s', (_, add, messages) => {
    expect(synthWarnings(declare(add))).toEqual(messages);
  });

  test.each<[string, string, string[]]>([
    ['one place', '192.168.178.9/32', ['ip saddr 10.10.10.0/24 ip daddr 192.168.178.9 accept']],
    ['a place of IPv6', 'fd00:178::/64', ['ip6 saddr fd00:4242:4242:4242::/64 ip6 daddr fd00:178::/64 accept']],
    ['everywhere', '0.0.0.0/0', ['ip saddr 10.10.10.0/24 accept']],
    [
      'a place known at apply only',
      '',
      ['ip saddr 10.10.10.0/24 ip daddr @1.4@ accept', 'ip6 saddr fd00:4242:4242:4242::/64 ip6 daddr @1.6@ accept'],
    ],
  ])('are no more, but the kill switch is, beside a route of type "throw" to %s', (_, destination, allowed) => {
    const killSwitchOf = (isThrow: boolean): string[] => {
      const stack = newStack();
      const host = newHost(stack, { interfaces: ALL_INTERFACES });
      const props = { device: 'eth1', tableId: 200, clients: POOLS, gateways: GATEWAYS };
      const { table } = new VpnEgress(stack, 'egress', { host, ...props });
      if (isThrow) throwing(destination || variable(stack, 'place'))(stack, host, table);
      return filesOf(stack)['/etc/source-routing/stack-vpn1.nft'];
    };
    const [before, after] = [killSwitchOf(false), killSwitchOf(true)];
    expect(before).toContain('\t\tip saddr 10.10.10.0/24 oifname { "eth1" } accept');
    expect(after.filter((line) => !before.includes(line))).toEqual(allowed.map((line) => `\t\t${line}`));
    expect(before.filter((line) => !after.includes(line))).toEqual([]);
  });

  test('of a rule to one place are no more, and the kill switch lets that place pass as a whole', () => {
    const stack = declare((scope, host, table) => {
      throwing('10.99.7.0/24')(scope, host, table);
      more({ source: '10.10.11.0/24', destination: '10.99.0.0/16' })(scope, host, table);
    });
    expect(filesOf(stack)['/etc/source-routing/stack-vpn1.nft']).toContain(
      '\t\tip saddr 10.10.11.0/24 ip daddr 10.99.0.0/16 accept',
    );
  });

  test('stay where a rule in front of a VpnEgress does what a route of type "throw" would', () => {
    const inFront = (host: LinuxHost, { table }: VpnEgress, isThrow: boolean): void => {
      const destination = '192.168.178.9/32';
      if (isThrow) {
        table.addRoute('print', { destination, routeType: RouteType.THROW });
      } else {
        const main = SourceRoutingTable.main(host);
        new PolicyRule(host, 'print', { table: main, source: POOLS[0], destination, priority: 10001 });
      }
    };
    const declared = (isThrow: boolean): TerraformStack => {
      const stack = newStack();
      const host = newHost(stack, { interfaces: ALL_INTERFACES });
      const props = { device: 'eth1', tableId: 200, clients: POOLS, gateways: GATEWAYS };
      inFront(host, new VpnEgress(stack, 'egress', { host, ...props }), isThrow);
      expect(validationErrors(stack)).toEqual([]);
      return stack;
    };
    const guardOfPool = 'guard 4 20010 from 10.10.10.0/24 unreachable';
    expect(bundleOf(declared(true))).not.toContain(guardOfPool);
    expect(synthWarnings(declared(true))).toEqual([
      expect.stringContaining('[stack/egress/table/print] lets packets to 192.168.178.9 go on to later rules'),
    ]);
    expect(bundleOf(declared(false))).toContain(guardOfPool);
    expect(synthWarnings(declared(false))).toEqual([]);
  });

  test('are in the plan', () => {
    const { triggers_replace: keys } = resourceOf(
      declare((stack, host, table) => more({ source: variable(stack, 'pool') })(stack, host, table)),
      'apply',
    );
    expect(keys['guard ipv4 20010']).toBe('from 10.10.10.0/24 unreachable');
    expect(keys['guard 20011']).toBe('from ${var.pool} unreachable');
  });
});

describe('warnings', () => {
  test.each<[string, Add, object, string[]]>([
    [
      'no host key',
      () => undefined,
      {
        ssh: { ...SSH, hostKey: undefined },
        interfaces: [...INTERFACES.slice(0, 2), { name: 'tun0', addresses: ['10.10.10.1/24'] }],
      },
      [
        '[stack/vpn1] ssh.hostKey is not set, so Terraform trusts any machine that answers. Set it to the output of: ssh-keyscan -t ecdsa HOST | cut -d " " -f 2-',
      ],
    ],
  ])('%s', (_, add, props, messages) => {
    expect(synthWarnings(declare(add, props))).toEqual(messages);
  });

  const both = (stack: TerraformStack, table: SourceRoutingTable): void => {
    table.addRoute('v6', { destination: 'default', via: 'fd00:1010:1010:1010::1', device: 'eth1' });
    new PolicyRule(stack, 'clients6', { table, source: 'fd00:4242:4242:4242::/64', priority: 10010 });
  };

  test.each<[string, Add, string]>([
    [
      'a priority where another program puts its own',
      (stack, host) =>
        new PolicyRule(stack, 'drop', { host, source: '10.66.0.0/16', priority: 5210, action: RuleAction.blackhole() }),
      '[stack/drop] priority 5210 is in the range of Tailscale (5210 to 5270). Use another, for example 10000 to 19999.',
    ],
    [
      'such a priority in both families is said once',
      (stack, host) =>
        new PolicyRule(stack, 'drop', {
          host,
          inputInterface: 'tun9',
          priority: 220,
          action: RuleAction.blackhole(),
        }),
      '[stack/drop] priority 220 is in the range of strongSwan (220 to 220). Use another, for example 10000 to 19999.',
    ],
    [
      'a rule that takes the replies of SSH',
      (stack, _host, table) => new PolicyRule(stack, 'lan', { table, source: '192.168.178.0/24', priority: 10020 }),
      `[stack/lan] matches the replies of this host's own SSH server (192.168.178.2): this rule would redirect them. Narrow its source, or add an earlier rule for that address with the main table.`,
    ],
    [
      'a rule that lets pieces of a default route of the main table pass',
      (stack, host) =>
        new PolicyRule(stack, 'local', {
          table: SourceRoutingTable.main(host),
          source: '10.10.10.0/24',
          suppressPrefixLength: 0,
          priority: 9000,
        }),
      '[stack/local] suppressPrefixLength 0 does not ignore a default route in parts, such as the 0.0.0.0/1 and 128.0.0.0/1 of OpenVPN, or 2000::/3. Packets would leave by it. Set it to 7.',
    ],
    [
      'firewallMark',
      (stack, _host, table) =>
        new PolicyRule(stack, 'mark', { table, source: '10.10.11.0/24', firewallMark: 1, priority: 10020 }),
      '[stack/mark] matches firewallMark. With rp_filter=1 on the egress interface, replies are dropped unless the host has net.ipv4.conf.all.src_valid_mark=1. Set it, or match source or inputInterface instead.',
    ],
  ])('%s', (_, add, message) => {
    const stack = declare((scope, host, table) => {
      both(scope, table);
      add(scope, host, table);
    });
    expect(synthWarnings(stack)).toEqual([message]);
  });

  test.each<[number, string | undefined]>([
    [104, 'Cilium'],
    [105, 'NetBird'],
    [110, 'NetBird'],
    [111, 'Cilium'],
    [112, undefined],
    [219, undefined],
    [220, 'strongSwan'],
    [221, undefined],
    [1309, undefined],
    [1310, 'Tailscale (beside mwan3)'],
    [1370, 'Tailscale (beside mwan3)'],
    [1371, undefined],
    [5209, undefined],
    [5210, 'Tailscale'],
    [5270, 'Tailscale'],
    [5271, undefined],
    [29899, undefined],
    [29900, 'pbr'],
    [30000, 'pbr'],
    [30001, undefined],
    [32699, undefined],
    [32700, 'rules that wg-quick and others add without a priority'],
    [32765, 'rules that wg-quick and others add without a priority'],
  ])('of priority %d: %s', (priority, owner) => {
    const rule = { path: 'stack/drop', family: 4, priority, action: { kind: 'blackhole' } } as const;
    const owners = warnings(modelHost({ rules: [rule] })).flatMap(
      ({ message }) => /^priority \d+ is in the range of (.*) \(\d+ to \d+\)/.exec(message)?.[1] ?? [],
    );
    expect(owners).toEqual(owner === undefined ? [] : [owner]);
  });

  test.each<[string, Add]>([
    [
      'another table that lets its default route pass',
      (stack, _host, table) => {
        new PolicyRule(stack, 'part', { table, source: '10.10.11.0/24', suppressPrefixLength: 0, priority: 10020 });
      },
    ],
    [
      'firewallMark of IPv6, which has no rp_filter',
      (stack, _host, table) => {
        new PolicyRule(stack, 'mark', { table, source: 'fd00:66::/64', firewallMark: 1, priority: 10020 });
      },
    ],
  ])('none: %s', (_, add) => {
    const stack = declare((scope, host, table) => {
      both(scope, table);
      add(scope, host, table);
    });
    expect(synthWarnings(stack)).toEqual([]);
  });

  test("firewallMark beside the mark of a VpnEgress, which sets its host's sysctl", () => {
    const stack = newStack();
    const host = newHost(stack, { interfaces: ALL_INTERFACES });
    const clients = { clients: POOLS, gateways: GATEWAYS };
    const { table } = new VpnEgress(stack, 'egress', { host, device: 'eth1', tableId: 200, ...clients });
    expect(synthWarnings(stack)).toEqual([]);
    new PolicyRule(stack, 'mark', { table, source: '10.10.11.0/24', firewallMark: 1, priority: 11000 });
    expect(synthWarnings(stack)).toEqual([expect.stringContaining('[stack/mark] matches firewallMark.')]);
  });

  describe('replies of SSH', () => {
    const captured = (id: string): string =>
      `[stack/${id}] matches the replies of this host's own SSH server (192.168.178.2): this rule would redirect them. Narrow its source, or add an earlier rule for that address with the main table.`;
    const MANAGEMENT = { source: '192.168.178.0/24', priority: 10020 };
    const one =
      (id: string, props: Partial<PolicyRuleProps>): Add =>
      (stack, _host, table) =>
        void new PolicyRule(stack, id, { table, priority: 10020, ...props });
    /** A rule for the management address with the main table, beside one that takes it. */
    const spared =
      (props: Partial<PolicyRuleProps>): Add =>
      (stack, host, table) => {
        new PolicyRule(stack, 'lan', { table, ...MANAGEMENT });
        new PolicyRule(stack, 'main', {
          table: SourceRoutingTable.main(host),
          source: '192.168.178.2/32',
          priority: 10019,
          ...props,
        });
      };
    const families = [IpFamily.IPV4];

    test.each<[string, Add, string[]]>([
      ['source', one('lan', MANAGEMENT), [captured('lan')]],
      ['any source', one('lan', { source: '0.0.0.0/0' }), [captured('lan')]],
      ['source, of what comes in', one('lan', { ...MANAGEMENT, inputInterface: 'eth0' }), []],
      ['another source', one('lan', { source: '192.168.179.0/24' }), []],
      ['any destination', one('lan', { destination: '0.0.0.0/0' }), [captured('lan')]],
      ['a destination', one('lan', { destination: '10.0.0.0/8' }), []],
      ['what comes in', one('lan', { inputInterface: 'eth0' }), []],
      ['all but a pool', one('lan', { source: '10.10.0.0/16', invert: true }), [captured('lan')]],
      ['all but the network of the address', one('lan', { ...MANAGEMENT, invert: true }), []],
      [
        'all but what comes in from there',
        one('lan', { ...MANAGEMENT, inputInterface: 'tun0', invert: true }),
        [captured('lan')],
      ],
      ['all but what comes in', one('lan', { inputInterface: 'tun0', families, invert: true }), [captured('lan')]],
      [
        'rejected',
        (stack, host) => {
          new PolicyRule(stack, 'lan', { host, ...MANAGEMENT, action: RuleAction.prohibit() });
        },
        [captured('lan')],
      ],
      ['spared by an earlier rule', spared({}), []],
      ['spared by an earlier rule for everything', spared({ source: undefined }), []],
      ['spared by an earlier rule for all but others', spared({ source: '10.0.0.0/8', invert: true }), []],
      ['the other family', one('lan', { source: '::/0' }), []],
      ['all of the other family but a pool', one('lan', { source: 'fd00::/8', invert: true }), []],
      [
        'sent to the main table',
        (stack, host) => {
          new PolicyRule(stack, 'lan', { host, ...MANAGEMENT, action: RuleAction.goTo(32766) });
        },
        [],
      ],
      [
        'sent on to another rule',
        (stack, host) => {
          new PolicyRule(stack, 'lan', { host, ...MANAGEMENT, action: RuleAction.goTo(15000) });
          const target = { source: '10.66.0.0/16', action: RuleAction.blackhole() };
          new PolicyRule(stack, 'there', { host, priority: 15000, ...target });
        },
        [captured('lan')],
      ],
      ['spared by a later rule', spared({ priority: 10021 }), [captured('lan')]],
      ['spared for another address', spared({ source: '192.168.178.3/32' }), [captured('lan')]],
      ['spared but for the default route', spared({ suppressPrefixLength: 7 }), [captured('lan')]],
      ['spared when it goes to some place', spared({ destination: '10.0.0.0/8' }), [captured('lan')]],
    ])('%s', (_, add, messages) => {
      const stack = declare((scope, host, table) => {
        both(scope, table);
        add(scope, host, table);
      });
      expect(synthWarnings(stack)).toEqual(messages);
    });

    test('an address that is not known is taken by rules for any source only', () => {
      const stack = declare(
        (scope, _host, table) => {
          both(scope, table);
          new PolicyRule(scope, 'lan', { table, ...MANAGEMENT });
          new PolicyRule(scope, 'any', { table, source: '0.0.0.0/0', priority: 10021 });
        },
        { ssh: { ...SSH, host: 'vpn.example.org' }, interfaces: ALL_INTERFACES },
      );
      expect(synthWarnings(stack)).toEqual([
        "[stack/any] matches the replies of this host's own SSH server: this rule would redirect them. Narrow its source, or add an earlier rule for that address with the main table.",
      ]);
    });
  });

  test('a rule without selectors takes the replies of SSH', () => {
    const stack = declare((scope, _host, table) => {
      both(scope, table);
      new PolicyRule(scope, 'all', { table, priority: 10020 });
    });
    expect(synthWarnings(stack)).toEqual([
      expect.stringContaining("[stack/all] matches the replies of this host's own SSH server (192.168.178.2)"),
    ]);
  });

  test('none: a host key that is known at apply only', () => {
    const stack = newStack();
    const host = newHost(stack, { ssh: { ...SSH, hostKey: variable(stack, 'host-key') } });
    new PolicyRule(stack, 'clients4', { table: newTable(host), source: '10.10.10.0/24', priority: 10010 });
    expect(synthWarnings(stack).filter((line) => line.includes('hostKey'))).toEqual([]);
  });

  test('an Ed25519 host key', () => {
    const stack = declare((scope, _host, table) => both(scope, table), {
      ssh: { ...SSH, hostKey: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA' },
    });
    expect(synthWarnings(stack)).toEqual([
      '[stack/vpn1] ssh.hostKey is of type "ssh-ed25519": Terraform asks for an ECDSA key first, and fails if the machine has one. Pin its ECDSA key.',
    ]);
  });
});

import { TerraformVariable } from 'cdktf';
import type { LinuxHost } from '../lib';
import {
  IpFamily,
  IpProtocol,
  NumberRange,
  Persistence,
  PolicyRule,
  RouteScope,
  RouteType,
  RuleAction,
  SourceRoutingTable,
} from '../lib';
import { IPV4_TUNNELS, bundleOf, newHost, newStack, newTable, validationErrors } from './fixtures';

/** The blocks of a host with what is added, by device, and what it requires. */
function blocks(
  add: (host: LinuxHost) => void,
  device?: string,
  owner = 'vpn',
): { readonly blocks: Record<string, string[]>; readonly requires: string[]; readonly values: string[] } {
  const stack = newStack();
  const host = newHost(stack, {
    owner,
    interfaces: IPV4_TUNNELS,
    persistence: Persistence.networkManager({ device }),
  });
  add(host);
  expect(validationErrors(stack)).toEqual([]);
  const lines = bundleOf(stack);
  const found = lines.flatMap((line, index) => {
    const [, name, length] = /^block (\S+) (\d+)$/.exec(line) ?? [];
    return name === undefined ? [] : [[name, lines.slice(index + 1, index + 1 + Number(length))] as const];
  });
  return {
    blocks: Object.fromEntries(found.map(([name, text]) => [name, text.map((line) => line.slice(1))])),
    requires: lines.filter((line) => line.startsWith('requires version')),
    values: lines.filter((line) => line.startsWith('value ')),
  };
}

/** As if the numbers began with 1. */
function renumbered(lines: readonly string[] = []): string[] {
  const numbers = lines.flatMap((line) => /^[a-z-]+(\d+)/.exec(line)?.[1] ?? []).map(Number);
  const first = Math.min(...numbers);
  return lines.map((line) => line.replace(/^([a-z-]+)(\d+)/, (_, key: string, n) => `${key}${Number(n) - first + 1}`));
}

describe('networkManager()', () => {
  test('the block of the how-to', () => {
    const { blocks: found, requires } = blocks((host) => {
      const table = newTable(host);
      table.addRoute('v6', { destination: 'default', via: 'fd00:1010:1010:1010::1', device: 'eth1' });
      new PolicyRule(table, 'clients4', { table, source: '10.10.10.0/24', priority: 10010 });
      new PolicyRule(table, 'clients6', { table, source: 'fd00:4242:4242:4242::/64', priority: 10010 });
    });
    // The unreachable defaults are not here: they must not go when the connection goes down.
    expect(found).toEqual({
      eth1: [
        '[ipv4]',
        'route1813508783=0.0.0.0/0,192.168.1.1,0',
        'route1813508783_options=table=200',
        'routing-rule1813508783=priority 10010 from 10.10.10.0/24 table 200',
        '[ipv6]',
        'route1813508783=::/0,fd00:1010:1010:1010::1,1024',
        'route1813508783_options=table=200',
        'routing-rule1813508783=priority 10010 from fd00:4242:4242:4242::/64 table 200',
      ],
    });
    expect(requires).toEqual([
      'requires version network-manager 1.42 routing-rule under proto static of the rule at priority 10010',
    ]);
  });

  test('everything that it can express', () => {
    const { blocks: found } = blocks((host) => {
      const table = newTable(host);
      new PolicyRule(table, 'all', {
        table,
        priority: 10010,
        source: '10.10.10.0/24',
        destination: '10.66.0.1/32',
        invert: true,
        tos: 4,
        firewallMark: 16,
        firewallMask: 255,
        inputInterface: 'lo',
        outputInterface: 'eth1',
        uidRange: NumberRange.between(0, 500),
        ipProtocol: IpProtocol.TCP,
        sourcePorts: NumberRange.of(80),
        destinationPorts: NumberRange.between(90, 99),
        suppressPrefixLength: 0,
      });
      new PolicyRule(table, 'both', { table, inputInterface: 'tun0', priority: 10011 });
      new PolicyRule(table, 'prohibit', {
        host,
        source: '10.10.12.0/24',
        priority: 10012,
        action: RuleAction.prohibit(),
      });
      table.addRoute('attributes', {
        destination: '10.66.0.1/32',
        via: '192.168.1.2',
        device: 'eth1',
        onLink: true,
        metric: 7,
        mtu: 1300,
        advmss: 1200,
        preferredSource: '192.168.1.100',
      });
      table.addRoute('link', { destination: '10.67.0.0/16', device: 'eth1', routeScope: RouteScope.LINK });
      table.addRoute('reject', { destination: '10.68.0.0/16', routeType: RouteType.UNREACHABLE });
      table.addRoute('reject6', { destination: 'fd00:66::/32', routeType: RouteType.BLACKHOLE });
    });
    expect(Object.keys(found)).toEqual(['eth1']);
    expect(renumbered(found.eth1)).toEqual([
      '[ipv4]',
      'route1=0.0.0.0/0,192.168.1.1,0',
      'route1_options=table=200',
      'route2=10.66.0.1/32,192.168.1.2,7',
      'route2_options=advmss=1200,mtu=1300,onlink=true,src=192.168.1.100,table=200',
      'route3=10.67.0.0/16,0.0.0.0,0',
      'route3_options=scope=253,table=200',
      'route4=10.68.0.0/16,0.0.0.0,0',
      'route4_options=scope=0,table=200,type=unreachable',
      'routing-rule1=priority 10010 not from 10.10.10.0/24 to 10.66.0.1 tos 0x4 fwmark 0x10/0xff iif lo oif eth1 uidrange 0-500 ipproto 6 sport 80 dport 90-99 table 200 suppress_prefixlength 0',
      'routing-rule2=priority 10011 from 0.0.0.0/0 iif tun0 table 200',
      'routing-rule3=priority 10012 from 10.10.12.0/24 type prohibit',
      '[ipv6]',
      'route1=fd00:66::/32,::,1024',
      'route1_options=table=200,type=blackhole',
      'routing-rule1=priority 10011 from ::/0 iif tun0 table 200',
    ]);
  });

  test('what only Terraform knows is put in on the machine', () => {
    const { blocks: found, values } = blocks((host) => {
      const table = newTable(host);
      const source = new TerraformVariable(host, 'pool', {}).stringValue;
      new PolicyRule(table, 'clients', { table, source, families: [IpFamily.IPV4], priority: 10010 });
    });
    expect(values).toContainEqual(expect.stringMatching(/^value 2 prefix - stack\/vpn\/clients:source /));
    expect(found.eth1).toContainEqual(expect.stringMatching(/=priority 10010 from @2@ table 200$/));
  });

  test('the numbers of two owners are far from each other, and from those of people', () => {
    const numbers = ['vpn', 'nat', 'a', 'b', 'other'].map((owner) => {
      const { blocks: found } = blocks(
        (host) => {
          const table = newTable(host);
          new PolicyRule(table, 'clients', { table, source: '10.10.10.0/24', priority: 10010 });
        },
        undefined,
        owner,
      );
      return Number(/^route(\d+)=/.exec(found.eth1?.[1] ?? '')?.[1]);
    });
    const sorted = [...numbers].sort((one, other) => one - other);
    sorted.forEach((number, index) => {
      expect(number).toBeGreaterThan((sorted[index - 1] ?? 0) + 100_000);
      expect(number).toBeLessThan(2147483647 - 100_000);
    });
  });

  test('a rule without routes comes up with the device that is given', () => {
    const rule = (host: LinuxHost): void =>
      void new PolicyRule(host, 'main', {
        table: SourceRoutingTable.main(host),
        destination: '10.10.10.0/24',
        priority: 10009,
      });
    expect(Object.keys(blocks(rule, 'eth0').blocks)).toEqual(['eth0']);
  });

  test.each<[string, (host: LinuxHost, table: SourceRoutingTable) => void, string]>([
    [
      'goto',
      (host) =>
        new PolicyRule(host, 'rule', {
          host,
          source: '10.10.10.0/24',
          priority: 10010,
          action: RuleAction.goTo(10020),
        }),
      'Persistence.networkManager() cannot express "goto" of the rule at priority 10010: NetworkManager has no such rule. Use Persistence.service().',
    ],
    [
      'suppress_ifgroup',
      (host, table) =>
        new PolicyRule(host, 'rule', { table, source: '10.10.10.0/24', priority: 10010, suppressInterfaceGroup: 1 }),
      'Persistence.networkManager() cannot express "suppress_ifgroup" of the rule at priority 10010: NetworkManager has no such selector. Use Persistence.service().',
    ],
    [
      'several next hops',
      (_, table) =>
        table.addRoute('rule', {
          destination: '10.66.0.0/16',
          nextHops: [
            { via: '192.168.1.1', device: 'eth1' },
            { via: '192.168.1.2', device: 'eth1' },
          ],
        }),
      'Persistence.networkManager() cannot express "nexthop" of the route to "10.66.0.0/16" in table 200: NetworkManager supports several next hops in IPv4 only, and changes their order. Use Persistence.service().',
    ],
    [
      'a scope that it does not set',
      (_, table) =>
        table.addRoute('rule', { destination: '10.66.0.0/16', device: 'eth1', routeScope: RouteScope.HOST }),
      'Persistence.networkManager() cannot express "scope 254" of the route to "10.66.0.0/16" without a gateway: NetworkManager does not set it. Use Persistence.service().',
    ],
    [
      'a family that only the machine knows',
      (host, table) =>
        new PolicyRule(host, 'rule', {
          table,
          source: new TerraformVariable(host, 'pool', {}).stringValue,
          priority: 10010,
        }),
      'Persistence.networkManager() cannot express "family known at apply only" of the rule at priority 10010: [ipv4] and [ipv6] are different sections of the profile. Set families on the rule or family on the route, or use Persistence.service().',
    ],
  ])('refuses %s', (_, add, message) => {
    const stack = newStack();
    const host = newHost(stack, { interfaces: IPV4_TUNNELS, persistence: Persistence.networkManager() });
    add(host, newTable(host));
    const said = validationErrors(stack).filter((line) => line.includes('networkManager()'));
    expect(said.map((line) => line.replace(/^\[\S+\] /, ''))).toEqual([message]);
  });
});

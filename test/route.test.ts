import { TerraformVariable } from 'cdktf';
import type { RouteOptions } from '../lib';
import { IpFamily, PolicyRule, Route, RouteScope, RouteType, SourceRoutingTable, VpnUpHook } from '../lib';
import { bundleOf, newHost, newStack, resourceOf } from './fixtures';

function routesOf(options: RouteOptions): string[] {
  const stack = newStack();
  const table = new SourceRoutingTable(stack, 'vpn', { host: newHost(stack), tableId: 200, failClosed: false });
  table.addRoute('route', options);
  return bundleOf(stack).filter((line) => line.startsWith('route '));
}

describe('attributes', () => {
  test.each<[string, RouteOptions, string]>([
    [
      'via and device',
      { destination: 'default', via: '192.168.1.1', device: 'eth1' },
      'route 4 200 default 0 via 192.168.1.1 dev eth1',
    ],
    [
      'IPv6 metric made plain',
      { destination: 'default', via: 'fd00:1010:1010:1010::1' },
      'route 6 200 default 1024 via fd00:1010:1010:1010::1',
    ],
    [
      'an IPv6 next hop of an IPv4 route',
      { destination: '0.0.0.0/0', via: 'fe80::1', device: 'eth1' },
      'route 4 200 default 0 via inet6 fe80::1 dev eth1',
    ],
    [
      'next hops of both families',
      {
        destination: 'default',
        family: IpFamily.IPV4,
        nextHops: [{ via: 'fe80::1', device: 'eth1' }, { via: '192.168.1.1' }],
      },
      'route 4 200 default 0 nexthop via inet6 fe80::1 dev eth1 nexthop via 192.168.1.1',
    ],
    [
      'an IPv6 next hop on two links',
      {
        destination: 'fd00::/8',
        nextHops: [
          { via: 'fe80::1', device: 'eth0' },
          { via: 'fe80::1', device: 'eth1' },
        ],
      },
      'route 6 200 fd00::/8 1024 nexthop via fe80::1 dev eth0 nexthop via fe80::1 dev eth1',
    ],
    [
      'an IPv4 next hop twice',
      { destination: '10.0.0.0/8', nextHops: [{ via: '192.168.1.1' }, { via: '192.168.1.1' }] },
      'route 4 200 10.0.0.0/8 0 nexthop via 192.168.1.1 nexthop via 192.168.1.1',
    ],
    ['0.0.0.0/0', { destination: '0.0.0.0/0', device: 'eth1' }, 'route 4 200 default 0 dev eth1'],
    ['::/0', { destination: '::/0', device: 'eth1' }, 'route 6 200 default 1024 dev eth1'],
    ['::0/0', { destination: '::0/0', device: 'eth1' }, 'route 6 200 default 1024 dev eth1'],
    ['family', { destination: 'default', device: 'eth1', family: IpFamily.IPV6 }, 'route 6 200 default 1024 dev eth1'],
    [
      'everything',
      {
        destination: '10.0.0.0/8',
        via: '192.168.1.1',
        device: 'eth1',
        metric: 50,
        onLink: true,
        preferredSource: '192.168.1.100',
        routeScope: RouteScope.GLOBAL,
        mtu: 1400,
        advmss: 1360,
      },
      'route 4 200 10.0.0.0/8 50 via 192.168.1.1 dev eth1 src 192.168.1.100 scope 0 mtu 1400 advmss 1360 onlink',
    ],
    [
      'link scope',
      { destination: '10.0.0.0/8', device: 'eth1', routeScope: RouteScope.LINK },
      'route 4 200 10.0.0.0/8 0 dev eth1 scope 253',
    ],
    [
      'host scope',
      { destination: '10.0.0.0/8', device: 'eth1', routeScope: RouteScope.HOST },
      'route 4 200 10.0.0.0/8 0 dev eth1 scope 254',
    ],
    [
      'smallest advmss',
      { destination: '10.0.0.0/8', device: 'eth1', advmss: 28 },
      'route 4 200 10.0.0.0/8 0 dev eth1 advmss 28',
    ],
    [
      'largest mtu and advmss',
      { destination: '10.0.0.0/8', device: 'eth1', mtu: 65520, advmss: 65495 },
      'route 4 200 10.0.0.0/8 0 dev eth1 mtu 65520 advmss 65495',
    ],
    [
      'IPv4 next hops without via',
      { destination: '10.0.0.0/8', nextHops: [{ device: 'eth0' }, { device: 'eth1' }] },
      'route 4 200 10.0.0.0/8 0 nexthop dev eth0 nexthop dev eth1',
    ],
    [
      'blackhole',
      { destination: '10.0.0.0/8', routeType: RouteType.BLACKHOLE },
      'route 4 200 10.0.0.0/8 0 type blackhole',
    ],
    ['throw', { destination: 'fd00::/8', routeType: RouteType.THROW }, 'route 6 200 fd00::/8 1024 type throw'],
    [
      'next hops',
      {
        destination: 'default',
        nextHops: [
          { via: '192.168.1.1', device: 'eth1', weight: 2 },
          { via: '192.168.1.2', device: 'eth1', onLink: true },
        ],
      },
      'route 4 200 default 0 nexthop via 192.168.1.1 dev eth1 weight 2 nexthop via 192.168.1.2 dev eth1 onlink',
    ],
    [
      'one next hop',
      { destination: 'default', nextHops: [{ via: '192.168.1.1' }] },
      'route 4 200 default 0 via 192.168.1.1',
    ],
  ])('%s', (_, options, line) => {
    expect(routesOf(options)).toEqual([line]);
  });

  test('addresses that are known at apply only are handed over as data', () => {
    const stack = newStack();
    const gateway = new TerraformVariable(stack, 'gateway', {});
    const table = new SourceRoutingTable(stack, 'vpn', { host: newHost(stack), tableId: 200 });
    table.addRoute('gw', { destination: 'default', via: gateway.stringValue, device: 'eth1' });
    const lines = bundleOf(stack);
    expect(lines).toContain('value 1 address - stack/vpn/gw:via ${jsonencode(var.gateway)}');
    expect(lines).toContain('route auto 200 default 0 via @1@ dev eth1');
    expect(resourceOf(stack, 'apply').triggers_replace['route stack/vpn/gw']).toBe('via ${var.gateway} dev eth1');
  });
});

describe('fail-closed', () => {
  function lines(failClosed?: boolean): string[] {
    const stack = newStack();
    const table = new SourceRoutingTable(stack, 'vpn', { host: newHost(stack), tableId: 200, failClosed });
    table.addRoute('v4', { destination: 'default', via: '192.168.1.1' });
    new PolicyRule(stack, 'clients', { table, source: '10.10.10.0/24', priority: 10010 });
    return bundleOf(stack).filter((line) => line.startsWith('route '));
  }

  test('is the default, for the families that come to the table', () => {
    expect(lines()).toEqual([
      'route 4 200 default 0 via 192.168.1.1',
      'route 4 200 default 4278198272 type unreachable proto 77',
    ]);
  });

  test('can be turned off', () => {
    expect(lines(false)).toEqual(['route 4 200 default 0 via 192.168.1.1']);
  });
});

describe('arguments', () => {
  test.each<[string, RouteOptions, string]>([
    [
      'neither via nor device',
      { destination: '10.0.0.0/8' },
      'has neither via nor device. Give the next hop or the interface, or set a routeType such as RouteType.UNREACHABLE.',
    ],
    [
      'host bits',
      { destination: '10.0.0.1/8', device: 'eth1' },
      'destination "10.0.0.1/8" has host bits set. Did you mean "10.0.0.0/8"?',
    ],
    [
      'no family',
      { destination: 'default', device: 'eth1' },
      'destination "default" has no address family. Set family, or use "0.0.0.0/0" or "::/0".',
    ],
    [
      'a router of router advertisements for IPv4',
      { destination: '10.0.0.0/8', via: 'ra', device: 'eth1' },
      'via "ra" is IPv6 but destination "10.0.0.0/8" is IPv4. Give both in one family, and declare another construct for the other family.',
    ],
    [
      'a router of DHCP on no interface',
      { destination: 'default', via: 'dhcp4' },
      'via "dhcp4" needs the interface on which it is given. Set device.',
    ],
    [
      'a router of DHCP among next hops',
      { destination: 'default', nextHops: [{ via: 'dhcp4', device: 'eth1' }] },
      'nextHops has a via that DHCP or router advertisements give. Declare one route with it instead.',
    ],
    [
      'families mixed, the other way round',
      { destination: 'fd00::/8', via: '10.0.0.1' },
      'via "10.0.0.1" is IPv4 but destination "fd00::/8" is IPv6. Give both in one family, and declare another construct for the other family.',
    ],
    [
      'wrong family',
      { destination: '10.0.0.0/8', device: 'eth1', family: IpFamily.IPV6 },
      'family is IPv6 but "10.0.0.0/8" is IPv4. Correct one of them.',
    ],
    [
      'via with a prefix length',
      { destination: 'default', via: '192.168.1.1/24' },
      'via "192.168.1.1/24" has a prefix length, but a single address is needed. Did you mean "192.168.1.1"?',
    ],
    [
      'a way to nowhere',
      { destination: 'default', via: '192.168.1.1', routeType: RouteType.UNREACHABLE },
      'via is set on a route of type "unreachable", which has no next hop. Leave it out.',
    ],
    [
      'via and nextHops',
      { destination: 'default', via: '192.168.1.1', nextHops: [] },
      'nextHops is set together with via or device. Move these into nextHops.',
    ],
    ['no next hop', { destination: 'default', nextHops: [] }, 'nextHops is empty. Give at least one next hop.'],
    [
      'an empty next hop',
      { destination: 'default', nextHops: [{}] },
      'nextHops[0] has neither via nor device. Give the next hop or the interface.',
    ],
    [
      'weight',
      { destination: 'default', nextHops: [{ via: '192.168.1.1', weight: 257 }] },
      'nextHops[0].weight 257 is not an integer from 1 to 256.',
    ],
    [
      'onLink',
      { destination: 'default', via: '192.168.1.1', onLink: true },
      'onLink needs both via and device, since the kernel cannot find the interface by itself. Set both.',
    ],
    [
      'scope in IPv6',
      { destination: 'fd00::/8', device: 'eth1', routeScope: RouteScope.LINK },
      'routeScope "link" is set on an IPv6 route. IPv6 routes have no scope: leave it out.',
    ],
    [
      'metric',
      { destination: '10.0.0.0/8', device: 'eth1', metric: -1 },
      'metric -1 is not an integer from 0 to 4294967295.',
    ],
    [
      'metric 0 in IPv6',
      { destination: 'fd00::/8', device: 'eth1', metric: 0 },
      'metric 0 is not an integer from 1 to 4294967295.',
    ],
    [
      'link scope with a next router',
      { destination: '10.0.0.0/8', via: '192.168.1.1', routeScope: RouteScope.LINK },
      'routeScope "link" is set on a route with a next hop, whose scope is always global. Leave it out.',
    ],
    [
      'host scope with next routers',
      { destination: '10.0.0.0/8', nextHops: [{ via: '192.168.1.1' }], routeScope: RouteScope.HOST },
      'routeScope "host" is set on a route with a next hop, whose scope is always global. Leave it out.',
    ],
    [
      'IPv6 next hop without via',
      { destination: 'fd00::/8', nextHops: [{ via: 'fd00:1010:1010:1010::1' }, { device: 'eth1' }] },
      'nextHops has one without via. IPv6 needs the address of each next hop. Set via.',
    ],
    ...[
      ['0.0.0.0', 'the unspecified address'],
      ['::', 'the unspecified address'],
      ['127.0.0.1', 'a loopback address'],
      ['::1', 'a loopback address'],
      ['224.0.0.1', 'a multicast address'],
      ['239.255.255.255', 'a multicast address'],
      ['ff02::1', 'a multicast address'],
      ['255.255.255.255', 'the broadcast address'],
    ].map(([via, kind]): [string, RouteOptions, string] => [
      `next hop ${via}`,
      { destination: 'default', via, device: 'eth1', onLink: true },
      `via "${via}" is ${kind}, so it cannot be a next hop. Give the address of the next hop, or leave it out if there is none.`,
    ]),
    [
      'next hop among several',
      { destination: 'default', nextHops: [{ via: '192.168.1.1' }, { via: '224.0.0.1' }] },
      'nextHops[1].via "224.0.0.1" is a multicast address, so it cannot be a next hop. Give the address of the next hop, or leave it out if there is none.',
    ],
    [
      'IPv6 next hop twice',
      {
        destination: 'fd00::/8',
        nextHops: [
          { via: 'fd00:1010:1010:1010::1', device: 'eth1' },
          { via: 'fd00:1010:1010:1010::2', device: 'eth1' },
          { via: 'fd00:1010:1010:1010:0::1', device: 'eth1', weight: 2 },
        ],
      },
      'nextHops[2] "fd00:1010:1010:1010::1" is the same as nextHops[0], so the kernel would refuse the route. Leave it out; for a larger share of the packets, set weight.',
    ],
    [
      'onLink and nextHops',
      { destination: 'default', onLink: true, nextHops: [{ via: '192.168.1.1', device: 'eth1' }] },
      'nextHops is set together with onLink. Set onLink on the next hop that needs it.',
    ],
    [
      'onLink to nowhere',
      { destination: '10.0.0.0/8', onLink: true, routeType: RouteType.BLACKHOLE },
      'onLink is set on a route of type "blackhole", which has no next hop. Leave it out.',
    ],
    [
      'nextHops to nowhere',
      { destination: '10.0.0.0/8', nextHops: [{ via: '192.168.1.1' }], routeType: RouteType.THROW },
      'nextHops is set on a route of type "throw", which has no next hop. Leave it out.',
    ],
    [
      'advmss too small',
      { destination: '10.0.0.0/8', device: 'eth1', advmss: 27 },
      'advmss 27 is not an integer from 28 to 65495.',
    ],
    [
      'advmss too large',
      { destination: '10.0.0.0/8', device: 'eth1', advmss: 65496 },
      'advmss 65496 is not an integer from 28 to 65495.',
    ],
    [
      'mtu too large',
      { destination: '10.0.0.0/8', device: 'eth1', mtu: 65521 },
      'mtu 65521 is not an integer from 68 to 65520.',
    ],
    ['mtu', { destination: 'fd00::/8', device: 'eth1', mtu: 1000 }, 'mtu 1000 is not an integer from 1280 to 65520.'],
  ])('%s', (_, options, message) => {
    const stack = newStack();
    const table = new SourceRoutingTable(stack, 'vpn', { host: newHost(stack), tableId: 200 });
    expect(() => table.addRoute('route', options)).toThrow(new Error(`[stack/vpn/route] ${message}`));
  });
});

describe('tables', () => {
  test.each([
    [
      0,
      'tableId 0 belongs to the kernel (0 unspec, 253 default, 254 main, 255 local). Use another, for example 200; for the main table use SourceRoutingTable.main(host).',
    ],
    [
      254,
      'tableId 254 belongs to the kernel (0 unspec, 253 default, 254 main, 255 local). Use another, for example 200; for the main table use SourceRoutingTable.main(host).',
    ],
    [-1, 'tableId -1 is not an integer from 0 to 4294967295.'],
    [2 ** 32, 'tableId 4294967296 is not an integer from 0 to 4294967295.'],
  ])('tableId %d is refused', (tableId, message) => {
    const stack = newStack();
    const host = newHost(stack);
    expect(() => new SourceRoutingTable(stack, 'vpn', { host, tableId })).toThrow(new Error(`[stack/vpn] ${message}`));
  });

  test.each([
    ['all', `tableName "all" means something else to "ip route". Use another, for example "vpn".`],
    ['main', `tableName "main" means something else to "ip route". Use another, for example "vpn".`],
    ['200', 'tableName "200" is not letters, digits, "_" and "-" (at most 31, a letter first).'],
    ['vpn $(reboot)', 'tableName "vpn $(reboot)" is not letters, digits, "_" and "-" (at most 31, a letter first).'],
  ])('tableName %s is refused', (tableName, message) => {
    const stack = newStack();
    const host = newHost(stack);
    expect(() => new SourceRoutingTable(stack, 'vpn', { host, tableId: 200, tableName })).toThrow(
      new Error(`[stack/vpn] ${message}`),
    );
  });

  test('tableName that is known at apply only is refused', () => {
    const stack = newStack();
    const tableName = new TerraformVariable(stack, 'name', {}).stringValue;
    const host = newHost(stack);
    expect(() => new SourceRoutingTable(stack, 'vpn', { host, tableId: 200, tableName })).toThrow(
      new Error('[stack/vpn] tableName is known at apply only, but must be known at synth. Give it literally.'),
    );
  });

  test('an up hook for the main table is refused', () => {
    const stack = newStack();
    const table = SourceRoutingTable.main(newHost(stack));
    expect(() => new VpnUpHook(stack, 'hook', { table })).toThrow(
      new Error(
        '[stack/hook] table is the main table, which has the tunnel networks anyway. Give the table that packets of clients use.',
      ),
    );
  });

  test('the main table is one construct a host, and nothing is said of it but its routes', () => {
    const stack = newStack();
    const host = newHost(stack);
    const main = SourceRoutingTable.main(host);
    expect(SourceRoutingTable.main(host)).toBe(main);
    new Route(stack, 'return', { table: main, destination: '10.10.10.0/24', via: '192.168.1.5' });
    expect(bundleOf(stack)).toContain('route 4 254 10.10.10.0/24 0 via 192.168.1.5');
    expect(bundleOf(stack).filter((line) => line.startsWith('table '))).toEqual([]);
  });
});

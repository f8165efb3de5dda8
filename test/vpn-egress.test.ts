import { TerraformVariable } from 'cdktf';
import type { VpnEgressProps } from '../lib';
import { LinuxHost, LocalTraffic, VpnDaemon, VpnEgress } from '../lib';
import { GATEWAYS, POOLS, SSH, bundleOf, newHost, newStack, resolve, resourceOf, validationErrors } from './fixtures';

const BASE = { device: 'eth1', tableId: 200, clients: POOLS, gateways: GATEWAYS };

function linesOf(props: Partial<VpnEgressProps> = {}): string[] {
  const stack = newStack();
  new VpnEgress(stack, 'egress', { host: newHost(stack), ...BASE, ...props });
  expect(validationErrors(stack)).toEqual([]);
  return bundleOf(stack).filter((line) => /^(table|rule|route|hook) /.test(line));
}

const EGRESS = ['rule 4 10010 from 10.10.10.0/24 lookup 200', 'rule 6 10010 from fd00:4242:4242:4242::/64 lookup 200'];
const ROUTES = [
  'route 4 200 default 0 via 192.168.1.1 dev eth1',
  'route 6 200 default 1024 via fd00:1010:1010:1010::1 dev eth1',
  'route 4 200 default 4278198272 type unreachable',
  'route 6 200 default 4278198272 type unreachable',
];

describe('local traffic', () => {
  test('mainTable() is the default', () => {
    const expected = [
      'table 200 -',
      ...EGRESS,
      'rule 4 10009 to 10.10.10.0/24 lookup 254',
      'rule 6 10009 to fd00:4242:4242:4242::/64 lookup 254',
      ...ROUTES,
    ];
    expect(linesOf()).toEqual(expected);
    expect(linesOf({ localTraffic: LocalTraffic.mainTable() })).toEqual(expected);
  });

  test('suppressDefault()', () => {
    expect(linesOf({ localTraffic: LocalTraffic.suppressDefault() })).toEqual([
      'table 200 -',
      ...EGRESS,
      'rule 4 10009 from 10.10.10.0/24 lookup 254 suppress_prefixlength 0',
      'rule 6 10009 from fd00:4242:4242:4242::/64 lookup 254 suppress_prefixlength 0',
      ...ROUTES,
    ]);
  });

  test('upHook()', () => {
    expect(linesOf({ localTraffic: LocalTraffic.upHook() })).toEqual([
      'table 200 -',
      ...EGRESS,
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
    'rule 4 10009 to 10.10.10.0/24 lookup 254',
    'rule 4 10008 to 10.10.11.0/24 lookup 254',
  ]);
});

test('priority, tableName and failClosed are passed on', () => {
  const lines = linesOf({ priority: 500, tableName: 'vpn', failClosed: false });
  expect(lines).toContain('table 200 vpn');
  expect(lines).toContain('rule 4 500 from 10.10.10.0/24 lookup 200');
  expect(lines).toContain('rule 4 499 to 10.10.10.0/24 lookup 254');
  expect(lines.filter((line) => line.includes('unreachable'))).toEqual([]);
});

describe('return routes', () => {
  test('can be read as values', () => {
    const stack = newStack();
    const egress = new VpnEgress(stack, 'egress', { host: newHost(stack), ...BASE });
    expect(egress.returnRoutes).toEqual([
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
    expect(resolve(stack, egress.returnRoutes)).toEqual([
      { destination: '10.10.10.0/24', via: '${element(split("/", var.address), 0)}' },
    ]);
  });

  test('need an address of that family', () => {
    const stack = newStack();
    const host = newHost(stack, { interfaces: [{ name: 'eth1', addresses: ['192.168.1.100/24'] }] });
    const egress = new VpnEgress(stack, 'egress', { host, ...BASE });
    expect(() => egress.returnRoutes).toThrow(
      `[stack/egress] clients[1] "fd00:4242:4242:4242::/64" needs a return route via this server's IPv6 address on "eth1", which is not declared. Add it to the addresses of "eth1" in the host's interfaces.`,
    );
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
    'rule auto 10010 from @1@ lookup 200',
    'rule auto 10009 to @2@ lookup 254',
    'route auto 200 default 0 via @3@ dev @4@',
    'route 4 200 default 4278198272 type unreachable',
    'route 6 200 default 4278198272 type unreachable',
  ]);
  expect(resourceOf(stack, 'apply').triggers_replace['rule 10010']).toBe('from ${var.pool} lookup 200');
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
      `clients[1] "fd00:4242:4242:4242::/64" is IPv6, but no gateway is. Add the NAT router's IPv6 address to gateways.`,
    ],
    [
      'a gateway without pool',
      { clients: ['10.10.10.0/24'] },
      `gateways[1] "fd00:1010:1010:1010::1" is IPv6, but no pool of clients is. Add the clients' IPv6 pool, or leave out the gateway.`,
    ],
    [
      'two gateways of one family',
      { gateways: [...GATEWAYS, '192.168.1.2'] },
      'gateways[2] "192.168.1.2" is the second IPv4 gateway. Give one for each family; for several, use SourceRoutingTable.addRoute() with nextHops.',
    ],
    [
      'priority',
      { priority: 1 },
      'priority 1 is not an integer from 2 to 32765. There are rules for up to 1 pools of a family from it on, and 1 rules for local traffic in front of it.',
    ],
  ])('%s', (_, props, message) => {
    const stack = newStack();
    const host = newHost(stack);
    expect(() => new VpnEgress(stack, 'egress', { host, ...BASE, ...props })).toThrow(
      new Error(`[stack/egress] ${message}`),
    );
  });
});

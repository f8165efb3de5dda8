import { TerraformVariable } from 'cdktf';
import type { TerraformStack } from 'cdktf';
import type { LinuxHost, PersistenceOptions } from '../lib';
import { IpFamily, Persistence, PolicyRule, RouteType, RuleAction, SourceRoutingTable } from '../lib';
import { NETPLAN_CAPABILITIES } from '../lib/persistence/netplan';
import { NETWORKD_CAPABILITIES } from '../lib/persistence/networkd';
import { IPV4_TUNNELS, bundleOf, filesOf, newHost, newStack, newTable, validationErrors } from './fixtures';

type Add = (stack: TerraformStack, host: LinuxHost, table: SourceRoutingTable) => void;

interface Rendered {
  /** By device, without what is the same in all of them. */
  readonly yaml: Record<string, string>;
  /** The same, section by section. */
  readonly dropIns: Record<string, string[]>;
  readonly requirements: string[];
}

const HEADER = '# Managed by cdktf-source-routing: changes here are lost.';

/** The lines that count only if this is who makes it permanent. */
function sectionFor(name: string, lines: readonly string[]): string[] {
  const start = lines.indexOf(`for ${name}`) + 1;
  const length = lines.slice(start).findIndex((line) => /^(for|sum) /.test(line));
  return start === 0 ? [] : lines.slice(start, start + length);
}

/** What netplan and systemd-networkd get of a host with the how-to's route, a rule and what is added. */
function rendered(add: Add, options?: PersistenceOptions): Rendered {
  const stack = newStack();
  const host = newHost(stack, { owner: 'vpn', interfaces: IPV4_TUNNELS, persistence: Persistence.netplan(options) });
  const table = newTable(host);
  new PolicyRule(stack, 'base', { table, source: '10.10.11.0/24', priority: 10000 });
  add(stack, host, table);
  expect(validationErrors(stack)).toEqual([]);
  const lines = sectionFor('netplan', bundleOf(stack));
  const yaml = Object.entries(filesOf(stack)).flatMap(([path, text]) => {
    const [, device] = /^\/etc\/netplan\/90-source-routing-vpn-(.*)\.yaml$/.exec(path) ?? [];
    if (device === undefined) return [];
    expect(text.slice(0, 5)).toEqual([HEADER, 'network:', '  version: 2', '  ethernets:', `    "${device}":`]);
    expect(lines).toContain(`file 0600 ${path} ${text.length}`);
    return [[device, text.slice(5).join('\n')]];
  });
  const dropIns = lines.flatMap((line, index) => {
    const [, device, name, length] = /^dropin (\S+) (\S+) (\d+)$/.exec(line) ?? [];
    if (device === undefined) return [];
    const text = lines.slice(index + 1, index + 1 + Number(length)).map((each) => each.slice(1));
    expect([name, text[0]]).toEqual(['50-source-routing-vpn.conf', HEADER]);
    return [
      [
        device,
        text
          .slice(1)
          .join(' ')
          .split(/ (?=\[)/),
      ],
    ];
  });
  return {
    yaml: Object.fromEntries(yaml) as Record<string, string>,
    dropIns: Object.fromEntries(dropIns) as Record<string, string[]>,
    requirements: lines.filter((line) => line.startsWith('requires ')),
  };
}

/** The YAML with more routes and rules. */
const withMore = (routes: string, rules: string): string => `      routes:
        - to: "0.0.0.0/0"
          via: "192.168.1.1"
          table: 200${routes}
      routing-policy:
        - from: "10.10.11.0/24"
          table: 200
          priority: 10000${rules}`;
const BASE = withMore('', '');

test('what most people declare is all in the YAML', () => {
  const { yaml, dropIns, requirements } = rendered((stack, _, table) => {
    table.addRoute('v6', { destination: 'default', via: 'fd00:1010:1010:1010::1', device: 'eth1' });
    for (const source of ['10.10.10.0/24', 'fd00:4242:4242:4242::/64']) {
      new PolicyRule(stack, `from ${source.slice(0, 2)}`, { table, source, priority: 10010 });
    }
  });
  expect(yaml).toEqual({
    eth1: withMore(
      `
        - to: "::/0"
          via: "fd00:1010:1010:1010::1"
          table: 200`,
      `
        - from: "10.10.10.0/24"
          table: 200
          priority: 10010
        - from: "fd00:4242:4242:4242::/64"
          table: 200
          priority: 10010`,
    ),
  });
  expect(dropIns).toEqual({});
  expect(requirements).toEqual(['requires systemd']);
});

const SOURCE = '10.10.10.0/24';

test.each<[string, Add, string]>([
  [
    'a destination alone',
    (stack, _, table) => void new PolicyRule(stack, 'x', { table, destination: '10.0.0.0/8', priority: 10010 }),
    withMore(
      '',
      `
        - to: "10.0.0.0/8"
          table: 200
          priority: 10010`,
    ),
  ],
  [
    'selectors',
    (stack, _, table) => {
      const destination = '10.0.0.0/8';
      new PolicyRule(stack, 'all', {
        table,
        source: SOURCE,
        destination,
        tos: 0x10,
        firewallMark: 7,
        priority: 10010,
      });
    },
    withMore(
      '',
      `
        - from: "10.10.10.0/24"
          to: "10.0.0.0/8"
          type-of-service: 16
          mark: 7
          table: 200
          priority: 10010`,
    ),
  ],
  [
    'attributes of routes',
    (_, __, table) => {
      table.addRoute('one', {
        destination: '10.1.0.0/16',
        via: '192.168.1.2',
        device: 'eth1',
        onLink: true,
        preferredSource: '192.168.1.100',
        metric: 2147483647,
        mtu: 1400,
      });
      table.addRoute('none', { destination: 'fd00:66::/64', routeType: RouteType.PROHIBIT });
      table.addRoute('off', { destination: '10.3.0.0/16', via: '192.168.1.2', device: 'eth1', onLink: false });
    },
    withMore(
      `
        - to: "10.1.0.0/16"
          via: "192.168.1.2"
          on-link: true
          from: "192.168.1.100"
          table: 200
          metric: 2147483647
          mtu: 1400
        - to: "fd00:66::/64"
          type: "prohibit"
          table: 200
        - to: "10.3.0.0/16"
          via: "192.168.1.2"
          table: 200`,
      '',
    ),
  ],
])('in the YAML: %s', (_, add, yaml) => {
  const all = rendered(add);
  expect(all.yaml).toEqual({ eth1: yaml });
  expect(all.dropIns).toEqual({});
});

test.each<[string, Add, string[], string]>([
  [
    'a rule that rejects',
    (stack, host) =>
      void new PolicyRule(stack, 'x', { host, source: SOURCE, priority: 10010, action: RuleAction.unreachable() }),
    ['[RoutingPolicyRule] Priority=10010 From=10.10.10.0/24 Table=254 Type=unreachable'],
    'requires version networkd 248 Type= of the rule at priority 10010',
  ],
  [
    'an interface',
    (stack, _, table) =>
      void new PolicyRule(stack, 'x', { table, source: SOURCE, inputInterface: 'tun0', priority: 10010 }),
    ['[RoutingPolicyRule] Priority=10010 From=10.10.10.0/24 IncomingInterface=tun0 Table=200'],
    'requires version networkd 236 IncomingInterface= of the rule at priority 10010',
  ],
  [
    'a mark alone',
    (stack, host) => {
      const action = RuleAction.prohibit();
      new PolicyRule(stack, 'x', { host, firewallMark: 7, families: [IpFamily.IPV4], priority: 10010, action });
    },
    ['[RoutingPolicyRule] Priority=10010 Family=ipv4 FirewallMark=7 Table=254 Type=prohibit'],
    'requires version networkd 248 Type= of the rule at priority 10010',
  ],
  [
    'a type of service alone',
    (stack, _, table) => void new PolicyRule(stack, 'x', { table, tos: 0x10, priority: 10010 }),
    ['ipv4', 'ipv6'].map((family) => `[RoutingPolicyRule] Priority=10010 Family=${family} TypeOfService=16 Table=200`),
    '',
  ],
  [
    'a mask',
    (stack, _, table) =>
      void new PolicyRule(stack, 'x', {
        table,
        source: SOURCE,
        firewallMark: 7,
        firewallMask: 255,
        priority: 10010,
      }),
    ['[RoutingPolicyRule] Priority=10010 From=10.10.10.0/24 FirewallMark=7/255 Table=200'],
    '',
  ],
  [
    'a mark for which netplan would write a negative number',
    (stack, _, table) =>
      void new PolicyRule(stack, 'x', { table, source: SOURCE, firewallMark: 0x80000000, priority: 10010 }),
    ['[RoutingPolicyRule] Priority=10010 From=10.10.10.0/24 FirewallMark=2147483648 Table=200'],
    '',
  ],
  [
    'such a metric',
    (_, __, table) =>
      void table.addRoute('x', { destination: '10.1.0.0/16', via: '192.168.1.2', device: 'eth1', metric: 2147483648 }),
    ['[Route] Destination=10.1.0.0/16 Gateway=192.168.1.2 Table=200 Metric=2147483648'],
    '',
  ],
  [
    'a route to a network of its own',
    (_, __, table) => void table.addRoute('x', { destination: '10.1.0.0/16', device: 'eth1' }),
    ['[Route] Destination=10.1.0.0/16 Table=200'],
    '',
  ],
  [
    'several next hops, and a route of type throw',
    (_, __, table) => {
      const nextHops = ['192.168.1.2', '192.168.1.3'].map((via) => ({ via, device: 'eth1' }));
      table.addRoute('x', { destination: '10.1.0.0/16', nextHops });
      table.addRoute('y', { destination: '10.2.0.0/16', routeType: RouteType.THROW });
      table.addRoute('z', { destination: '10.3.0.0/16', nextHops: [{ via: '192.168.1.2' }, { via: '192.168.1.3' }] });
    },
    [
      '[Route] Destination=10.1.0.0/16 MultiPathRoute=192.168.1.2@eth1 MultiPathRoute=192.168.1.3@eth1 Table=200',
      '[Route] Destination=10.2.0.0/16 Type=throw Table=200',
      '[Route] Destination=10.3.0.0/16 MultiPathRoute=192.168.1.2 MultiPathRoute=192.168.1.3 Table=200',
    ],
    'requires version networkd 245 MultiPathRoute= of the route to "10.1.0.0/16" in table 200',
  ],
])('in the drop-in: %s', (_, add, sections, needed) => {
  const { yaml, dropIns, requirements } = rendered(add);
  expect(yaml).toEqual({ eth1: BASE });
  expect(dropIns).toEqual({ eth1: sections });
  expect(requirements).toEqual(['requires systemd', ...(needed === '' ? [] : [needed])]);
});

test('a table whose number netplan would write as a negative one is all in the drop-in', () => {
  const { yaml, dropIns } = rendered((stack, host) => {
    const table = new SourceRoutingTable(stack, 'high', { host, tableId: 2147483648 });
    table.addRoute('v4', { destination: 'default', via: '192.168.1.1', device: 'eth1' });
    new PolicyRule(stack, 'x', { table, source: SOURCE, priority: 10010 });
  });
  expect(yaml).toEqual({ eth1: BASE });
  expect(dropIns).toEqual({
    eth1: [
      '[RoutingPolicyRule] Priority=10010 From=10.10.10.0/24 Table=2147483648',
      '[Route] Destination=0.0.0.0/0 Gateway=192.168.1.1 Table=2147483648',
    ],
  });
});

test('the highest table that netplan writes as it is', () => {
  const { yaml, dropIns } = rendered((stack, host) => {
    const table = new SourceRoutingTable(stack, 'high', { host, tableId: 2147483647 });
    table.addRoute('v4', { destination: 'default', via: '192.168.1.1', device: 'eth1' });
    new PolicyRule(stack, 'x', { table, source: SOURCE, priority: 10010 });
  });
  expect(yaml.eth1?.match(/table: 2147483647/g)).toHaveLength(2);
  expect(dropIns).toEqual({});
});

test('an interface has no YAML file if all is in its drop-in', () => {
  const { yaml, dropIns } = rendered((stack, host) => {
    const table = new SourceRoutingTable(stack, 'other', { host, tableId: 201 });
    table.addRoute('v4', { destination: '0.0.0.0/0', device: 'eth0' });
    new PolicyRule(stack, 'x', { table, source: SOURCE, inputInterface: 'tun0', priority: 10010 });
  });
  expect(yaml).toEqual({ eth1: BASE });
  expect(dropIns).toEqual({
    eth0: [
      '[RoutingPolicyRule] Priority=10010 From=10.10.10.0/24 IncomingInterface=tun0 Table=201',
      '[Route] Destination=0.0.0.0/0 Table=201',
    ],
  });
});

test('each interface has files of its own', () => {
  const { yaml, dropIns } = rendered((stack, host) => {
    const table = new SourceRoutingTable(stack, 'other', { host, tableId: 201 });
    table.addRoute('v4', { destination: 'default', via: '192.168.178.1', device: 'eth0' });
    new PolicyRule(stack, 'x', { table, source: SOURCE, inputInterface: 'tun0', priority: 10010 });
  });
  expect(Object.keys(yaml)).toEqual(['eth1', 'eth0']);
  expect(Object.keys(dropIns)).toEqual(['eth0']);
});

test('values that only Terraform knows', () => {
  const { yaml } = rendered((stack, _, table) => {
    const source = new TerraformVariable(stack, 'source', {}).stringValue;
    new PolicyRule(stack, 'x', { table, source, families: [IpFamily.IPV4], priority: 10010 });
  });
  expect(yaml.eth1).toMatch(/- from: "@\d+@"$/m);
});

test('says what neither can express, and who can', () => {
  const stack = newStack();
  const host = newHost(stack, { interfaces: IPV4_TUNNELS, persistence: Persistence.netplan() });
  const table = newTable(host);
  const nextHops = ['192.168.1.2', '192.168.1.3'].map((via) => ({ via, device: 'eth1', onLink: true }));
  table.addRoute('x', { destination: '10.1.0.0/16', nextHops });
  new PolicyRule(stack, 'y', { host, source: SOURCE, priority: 10010, action: RuleAction.goTo(10020) });
  new PolicyRule(stack, 'z', { table, source: SOURCE, priority: 10020 });
  expect(validationErrors(stack).sort()).toEqual([
    '[stack/vpn/x] Persistence.netplan() cannot express "nexthop … onlink" of the route to "10.1.0.0/16" in table 200: MultiPathRoute= has no on-link next hops. Use Persistence.service().',
    '[stack/y] Persistence.netplan() cannot express "goto" of the rule at priority 10010: systemd-networkd before 257 has no such rule. Use Persistence.service().',
  ]);
});

test('it can do all that systemd-networkd can', () => {
  const refused = (all: object): string[] =>
    Object.entries(all).flatMap(([feature, support]) =>
      typeof support === 'object' && support !== null && 'refused' in support ? [feature] : [],
    );
  expect(refused(NETPLAN_CAPABILITIES.rules)).toEqual(refused(NETWORKD_CAPABILITIES.rules));
  expect(refused(NETPLAN_CAPABILITIES.routes)).toEqual(refused(NETWORKD_CAPABILITIES.routes));
});

describe('the machine says who does the work of netplan', () => {
  /** The persistences that it may choose among. */
  function offered(add: Add): { offered: string[]; lines: string[] } {
    const stack = newStack();
    const host = newHost(stack, { owner: 'vpn', interfaces: IPV4_TUNNELS, persistence: Persistence.netplan() });
    const table = newTable(host);
    new PolicyRule(stack, 'base', { table, source: '10.10.11.0/24', priority: 10000 });
    add(stack, host, table);
    expect(validationErrors(stack)).toEqual([]);
    const lines = bundleOf(stack);
    return { offered: lines.filter((line) => /^(either|automatic|persistence .*)$/.test(line)), lines };
  }
  const [networkd, networkManager] = ['netplan', 'netplan-network-manager'].map(
    (name) => `persistence ${name} static eth1`,
  );

  test("both ways are in the bundle, NetworkManager's as lines for its profile", () => {
    const { offered: found, lines } = offered(() => undefined);
    expect(found).toEqual(['either', networkd, networkManager]);
    const section = sectionFor('netplan-network-manager', lines);
    expect(
      section.some((line) => /^\|routing-rule\d+=priority 10000 from 10\.10\.11\.0\/24 table 200$/.test(line)),
    ).toBe(true);
    expect(section).toContain(
      'requires version network-manager 1.42 routing-rule under proto static of the rule at priority 10000',
    );
    expect(section.join()).not.toContain('/etc/netplan');
  });

  test('only one, if the other cannot express it', () => {
    const { offered: found } = offered((_stack, _host, table) =>
      table.addRoute('twice', {
        destination: '10.1.0.0/16',
        nextHops: [{ via: '192.168.1.1' }, { via: '192.168.1.2' }],
      }),
    );
    expect(found).toEqual(['either', networkd]);
  });
});

import { spawnSync } from 'child_process';
import { TerraformVariable } from 'cdktf';
import type { TerraformStack } from 'cdktf';
import type { LinuxHost, PersistenceOptions } from '../lib';
import { IpFamily, Persistence, PolicyRule, Route, RouteType, RuleAction, SourceRoutingTable, VpnEgress } from '../lib';
import {
  GATEWAYS,
  IPV4_TUNNELS,
  POOLS,
  bundleOf,
  filesOf,
  newHost,
  newStack,
  newTable,
  validationErrors,
} from './fixtures';

describe('service()', () => {
  test('the whole unit', () => {
    const stack = newStack();
    newHost(stack, { owner: 'vpn' });
    expect(bundleOf(stack)).toContain('file 0644 /etc/systemd/system/source-routing-vpn.service 48');
    expect(filesOf(stack)['/etc/systemd/system/source-routing-vpn.service']?.join('\n')).toBe(
      `# Managed by cdktf-source-routing: changes here are lost.
[Unit]
Description=Source routing (vpn)
DefaultDependencies=no
RequiresMountsFor=/var/lib/source-routing
Conflicts=shutdown.target
After=local-fs.target systemd-sysctl.service
Before=network-pre.target shutdown.target
Wants=network-pre.target
StartLimitIntervalSec=0

[Service]
Type=simple
ExecStartPre=-+/bin/sh /var/lib/source-routing/vpn/agent assert --owner vpn
ExecStart=/bin/sh /var/lib/source-routing/vpn/agent watch --owner vpn
Restart=always
RestartSec=1
RuntimeDirectory=source-routing-vpn
RuntimeDirectoryMode=0700
Environment=TMPDIR=/run/source-routing-vpn
UMask=0077
TasksMax=64
CapabilityBoundingSet=CAP_NET_ADMIN
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=/run
ProtectHome=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_NETLINK AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
IPAddressDeny=any

[Install]
WantedBy=multi-user.target`,
    );
  });
});

describe('networkScripts()', () => {
  type Add = (stack: TerraformStack, host: LinuxHost) => void;

  /** A host with what is added, and its files by their names. */
  function scripts(add: Add, options?: PersistenceOptions): Record<string, string[]> {
    const stack = newStack();
    // 10.100.0.0/15 is what the test of many rules needs.
    const interfaces = [...IPV4_TUNNELS, { name: 'tun2', addresses: ['10.100.0.1/15'] }];
    add(stack, newHost(stack, { interfaces, persistence: Persistence.networkScripts(options) }));
    expect(validationErrors(stack)).toEqual([]);
    const directory = '/etc/sysconfig/network-scripts/';
    return Object.fromEntries(
      Object.entries(filesOf(stack)).flatMap(([path, lines]) =>
        path.startsWith(directory) ? [[path.slice(directory.length), lines]] : [],
      ),
    );
  }

  const CLIENTS = ['from 10.10.10.0/24 lookup 200 priority 10010 protocol 77'];
  const FAIL_CLOSED = 'unreachable default table 200 metric 4278198272 proto 77';

  function tableFor(stack: TerraformStack, host: LinuxHost): SourceRoutingTable {
    const table = new SourceRoutingTable(stack, 'vpn', { host, tableId: 200 });
    new PolicyRule(stack, 'clients', { table, source: '10.10.10.0/24', priority: 10010 });
    return table;
  }

  const twoDevices: Add = (stack, host) => {
    tableFor(stack, host).addRoute('v4', { destination: 'default', via: '192.168.1.1', device: 'eth1' });
    const other = new SourceRoutingTable(stack, 'other', { host, tableId: 201 });
    other.addRoute('v4', { destination: 'default', via: '192.168.178.1', device: 'eth0' });
    new PolicyRule(stack, 'more', { table: other, source: '10.10.11.0/24', priority: 10011 });
  };
  const TWO_DEVICES = {
    'rule-eth1': CLIENTS,
    'rule-eth0': ['from 10.10.11.0/24 lookup 201 priority 10011 protocol 77'],
    'route-eth1': ['default via 192.168.1.1 dev eth1 table 200 proto 77', FAIL_CLOSED],
    'route-eth0': [
      'default via 192.168.178.1 dev eth0 table 201 proto 77',
      'unreachable default table 201 metric 4278198272 proto 77',
    ],
  };

  test.each<[string, Add, PersistenceOptions | undefined, Record<string, string[]>]>([
    ['two egress devices', twoDevices, undefined, TWO_DEVICES],
    [
      'what has no interface of its own comes up with the one that is given',
      (stack, host) => {
        twoDevices(stack, host);
        new PolicyRule(stack, 'local', {
          table: SourceRoutingTable.main(host),
          destination: '10.10.10.0/24',
          priority: 10009,
        });
        new PolicyRule(stack, 'drop', {
          host,
          source: 'fd00:66::/64',
          priority: 10009,
          action: RuleAction.prohibit(),
        });
      },
      { device: 'tun0' },
      {
        ...TWO_DEVICES,
        'rule-tun0': ['to 10.10.10.0/24 lookup 254 priority 10009 protocol 77'],
        'rule6-tun0': ['from fd00:66::/64 prohibit priority 10009 protocol 77'],
      },
    ],
    [
      'next hops come last',
      (stack, host) =>
        tableFor(stack, host).addRoute('v4', {
          destination: 'default',
          metric: 50,
          mtu: 1400,
          nextHops: [
            { via: '192.168.1.1', device: 'eth1', weight: 2 },
            { via: '192.168.1.2', device: 'eth1', onLink: true },
          ],
        }),
      undefined,
      {
        'rule-eth1': CLIENTS,
        'route-eth1': [
          'default mtu 1400 table 200 metric 50 proto 77 nexthop via 192.168.1.1 dev eth1 weight 2 nexthop via 192.168.1.2 dev eth1 onlink',
          FAIL_CLOSED,
        ],
      },
    ],
    [
      'a route that names only its next hop comes up with the interface on whose network that is',
      (stack, host) => tableFor(stack, host).addRoute('v4', { destination: 'default', via: '192.168.1.1' }),
      undefined,
      {
        'rule-eth1': CLIENTS,
        'route-eth1': ['default via 192.168.1.1 table 200 proto 77', FAIL_CLOSED],
      },
    ],
    [
      'a route that goes nowhere comes up with the others of its table',
      (stack, host) => {
        twoDevices(stack, host);
        const table = stack.node.findChild('vpn') as SourceRoutingTable;
        table.addRoute('drop', { destination: '10.66.0.0/16', routeType: RouteType.BLACKHOLE, metric: 7 });
      },
      undefined,
      {
        ...TWO_DEVICES,
        'route-eth1': [
          'default via 192.168.1.1 dev eth1 table 200 proto 77',
          'blackhole 10.66.0.0/16 table 200 metric 7 proto 77',
          FAIL_CLOSED,
        ],
      },
    ],
    [
      'a table with routes through two interfaces has its rules where it is said',
      (stack, host) => {
        const table = tableFor(stack, host);
        table.addRoute('one', { destination: '10.1.0.0/16', device: 'eth0' });
        table.addRoute('two', { destination: '10.2.0.0/16', device: 'eth1' });
      },
      { device: 'eth1' },
      {
        'rule-eth1': CLIENTS,
        // Or NetworkManager would take the routes for its own.
        'rule-eth0': [expect.stringMatching(/^#/) as string],
        'route-eth0': ['10.1.0.0/16 dev eth0 table 200 proto 77'],
        'route-eth1': ['10.2.0.0/16 dev eth1 table 200 proto 77', FAIL_CLOSED],
      },
    ],
  ])('%s', (_, add, options, files) => {
    expect(scripts(add, options)).toEqual(files);
  });

  test('says what it cannot express once, also of a rule of both families', () => {
    const stack = newStack();
    const host = newHost(stack, { interfaces: IPV4_TUNNELS, persistence: Persistence.networkScripts() });
    twoDevices(stack, host);
    new PolicyRule(stack, 'drop', { host, inputInterface: 'tun9', priority: 10020, action: RuleAction.prohibit() });
    const main = SourceRoutingTable.main(host);
    new Route(stack, 'nowhere', { table: main, destination: '10.66.0.0/16', routeType: RouteType.BLACKHOLE });
    const fix = 'Give Persistence.networkScripts() a device, or use Persistence.service().';
    expect(validationErrors(stack)).toEqual([
      `[stack/drop] Persistence.networkScripts() cannot tell which interface brings up the rule at priority 10020. ${fix}`,
      `[stack/nowhere] Persistence.networkScripts() cannot tell which interface brings up the route to "10.66.0.0/16". ${fix}`,
    ]);
  });

  test('many rules and routes', () => {
    const files = scripts((stack, host) => {
      const table = newTable(host);
      for (let i = 0; i < 128; i += 1) {
        const prefix = `10.${100 + (i >> 6)}.${(i & 63) * 4}.0/22`;
        new PolicyRule(stack, `rule-${i}`, { table, source: prefix, priority: 10000 + i });
        table.addRoute(`route-${i}`, { destination: prefix, via: '192.168.1.1' });
      }
    });
    expect(Object.entries(files).map(([name, lines]) => [name, lines.length])).toEqual([
      ['rule-eth1', 128],
      ['route-eth1', 130],
    ]);
  });
});

describe('ifupdown()', () => {
  const PATH = '/etc/network/if-up.d/source-routing-vpn';

  function script(add: (stack: TerraformStack, host: LinuxHost) => void, options?: PersistenceOptions): string[] {
    const stack = newStack();
    add(stack, newHost(stack, { owner: 'vpn', interfaces: IPV4_TUNNELS, persistence: Persistence.ifupdown(options) }));
    expect(validationErrors(stack)).toEqual([]);
    return filesOf(stack)[PATH] ?? [];
  }

  const WHOLE = `#!/bin/sh
# Managed by cdktf-source-routing: changes here are lost.
# What is there already is no error, and neither is a gateway whose network comes with the next stanza.
case $IFACE in
  eth1)
    ip -4 -force -batch - 2>/dev/null <<'END'
route replace default via 192.168.1.1 dev eth1 table 200 proto 77
route replace unreachable default table 200 metric 4278198272 proto 77
rule add from 10.10.10.0/24 unreachable priority 20010 protocol 2
rule add from 10.10.10.0/24 lookup 200 priority 10010 protocol 77
END
    ip -6 -force -batch - 2>/dev/null <<'END'
rule add to fd00:66::/64 lookup 254 priority 10009 protocol 77
END
    ;;
  eth0)
    ip -4 -force -batch - 2>/dev/null <<'END'
route replace default table 201 proto 77 nexthop via 192.168.178.1 dev eth0 nexthop via 192.168.178.3 dev eth0 weight 2
route replace unreachable default table 201 metric 4278198272 proto 77
rule add from 10.10.11.0/24 unreachable priority 20011 protocol 2
rule add from 10.10.11.0/24 lookup 201 priority 10011 protocol 77
END
    ;;
esac
exit 0`;

  test('the whole file', () => {
    const lines = script(
      (stack, host) => {
        const table = new SourceRoutingTable(stack, 'vpn', { host, tableId: 200 });
        table.addRoute('v4', { destination: 'default', via: '192.168.1.1', device: 'eth1' });
        new PolicyRule(stack, 'clients', { table, source: '10.10.10.0/24', priority: 10010 });
        const other = new SourceRoutingTable(stack, 'other', { host, tableId: 201 });
        other.addRoute('v4', {
          destination: 'default',
          nextHops: [
            { via: '192.168.178.1', device: 'eth0' },
            { via: '192.168.178.3', device: 'eth0', weight: 2 },
          ],
        });
        new PolicyRule(stack, 'more', { table: other, source: '10.10.11.0/24', priority: 10011 });
        const main = SourceRoutingTable.main(host);
        new PolicyRule(stack, 'local', { table: main, destination: 'fd00:66::/64', priority: 10009 });
      },
      { device: 'eth1' },
    );
    expect(lines.join('\n')).toBe(WHOLE);
  });

  test('it passes shellcheck', () => {
    const checked = spawnSync('shellcheck', ['-s', 'sh', '-'], { input: `${WHOLE}\n`, encoding: 'utf8' });
    expect([checked.status, checked.stdout]).toEqual([0, '']);
  });

  test('what is known at apply only is put in on the machine', () => {
    const lines = script((stack, host) => {
      const table = newTable(host);
      const source = new TerraformVariable(stack, 'pool', {}).stringValue;
      new PolicyRule(stack, 'deferred', { table, source, priority: 10010, families: [IpFamily.IPV4] });
    });
    expect(lines).toContainEqual(expect.stringMatching(/^rule add from @\d+@ lookup 200 priority 10010 protocol 77$/));
  });

  test('no script where there is nothing to bring up', () => {
    const stack = newStack();
    newHost(stack, { owner: 'vpn', persistence: Persistence.ifupdown() });
    expect(Object.keys(filesOf(stack))).not.toContain(PATH);
  });

  test('says what it cannot express', () => {
    const stack = newStack();
    const host = newHost(stack, { persistence: Persistence.ifupdown() });
    const table = newTable(host);
    table.addRoute('lan', { destination: '10.0.0.0/8', via: '192.168.1.1', device: 'eth1' });
    const source = new TerraformVariable(stack, 'pool', {}).stringValue;
    new PolicyRule(stack, 'deferred', { table, source, priority: 10010 });
    expect(validationErrors(stack)).toEqual([
      '[stack/deferred] Persistence.ifupdown() cannot express "family known at apply only" of the rule at priority 10010: its commands are for IPv4 or for IPv6. Set families on the rule or family on the route, or use Persistence.service().',
    ]);
  });
});

describe.each(['networkScripts', 'ifupdown'] as const)('%s()', (name) => {
  test.each<[string, (stack: TerraformStack) => string, string]>([
    [
      'no interface name',
      () => '../eth1',
      'device "../eth1" is not an interface name: 1 to 15 letters, digits and _ . -, as "ip link" shows it.',
    ],
    [
      'known at apply only',
      (stack) => new TerraformVariable(stack, 'device', {}).stringValue,
      'device is known at apply only, but must be known at synth. Give it literally.',
    ],
  ])('a device that is %s is refused', (_, device, message) => {
    const stack = newStack();
    expect(() => Persistence[name]({ device: device(stack) })).toThrow(new Error(`[Persistence.${name}()] ${message}`));
  });
});

test.each<[string, Persistence, string[]]>([
  ['service()', Persistence.service(), []],
  [
    'networkd()',
    Persistence.networkd(),
    ['requires version networkd 245 SuppressPrefixLength= of the rule at priority 10009'],
  ],
  [
    'netplan()',
    Persistence.netplan(),
    [
      'requires version networkd 245 SuppressPrefixLength= of the rule at priority 10009',
      'requires version network-manager 1.42 routing-rule under proto static of the rule at priority 10010',
    ],
  ],
  [
    'networkManager()',
    Persistence.networkManager(),
    ['requires version network-manager 1.42 routing-rule under proto static of the rule at priority 10010'],
  ],
  ['networkScripts()', Persistence.networkScripts(), []],
  ['ifupdown()', Persistence.ifupdown(), []],
])('%s can express a VpnEgress, and of what version the manager must be', (_, persistence, versions) => {
  const stack = newStack();
  const host = newHost(stack, { persistence });
  new VpnEgress(stack, 'egress', { host, device: 'eth1', tableId: 200, clients: POOLS, gateways: GATEWAYS });
  expect(validationErrors(stack)).toEqual([]);
  expect(bundleOf(stack).filter((line) => line.startsWith('requires version'))).toEqual(versions);
});

describe('auto()', () => {
  function tableWithRule(host: LinuxHost): void {
    new PolicyRule(host, 'clients', { table: newTable(host), source: '10.10.10.0/24', priority: 10010 });
  }

  /** The persistences among which the machine chooses. */
  function among(declare: (host: LinuxHost) => void): string[] {
    const stack = newStack();
    declare(newHost(stack, { interfaces: IPV4_TUNNELS, persistence: Persistence.auto() }));
    expect(validationErrors(stack)).toEqual([]);
    return bundleOf(stack).filter((line) => /^(automatic|persistence|for) /.test(`${line} `));
  }

  test('brings along what every network manager wants', () => {
    const lines = among((host) => tableWithRule(host));
    expect(lines[0]).toBe('automatic');
    expect(lines).toContain('persistence networkd static eth1');
    expect(lines.filter((line) => line.startsWith('persistence ')).at(-1)).toBe('persistence service own');
    expect(lines.filter((line) => line.startsWith('for ')).map((line) => line.split(' ')[1])).toEqual(
      lines.filter((line) => line.startsWith('persistence ')).map((line) => line.split(' ')[1]),
    );
  });

  test('leaves out who cannot express it, or has nothing to do with it', () => {
    const jump = among((host) => {
      tableWithRule(host);
      new PolicyRule(host, 'jump', { host, source: '10.66.0.0/16', priority: 10020, action: RuleAction.goTo(32766) });
    });
    expect(jump.join()).not.toContain('networkd');
    expect(among(() => undefined)).toEqual(['automatic', 'persistence service own', 'for service']);
  });
});

import type fsModule from 'node:fs';
import { Lazy, TerraformVariable } from 'cdktf';
import type { TerraformStack } from 'cdktf';
import type { Flow, LinuxHost, LinuxHostProps } from '../lib';
import {
  Expected,
  Forwarding,
  IpFamily,
  IpProtocol,
  Persistence,
  PolicyRule,
  RuleAction,
  SourceNat,
  SourceRoutingTable,
  VpnEgress,
  VpnUpHook,
} from '../lib';
import { agentProgram, dispatcherText, upHookText } from '../lib/agent/program';
import { generationTriggers } from '../lib/delivery/triggers';
import type { PersistenceRenderer, Rendered } from '../lib/persistence/persistence';
import { ServiceRenderer } from '../lib/persistence/service';
import {
  ALL_INTERFACES,
  FILE,
  GATEWAYS,
  INTERFACES,
  POOLS,
  bundleOf,
  contentOf,
  filesOf,
  newHost,
  newStack,
  newTable,
  resourceOf,
} from './fixtures';
import { modelHost } from './model/host';
import { howTo } from './report/hosts';

/** What Terraform makes of text in which every template is escaped. */
function unescaped(text: string): string {
  return text.replace(/([$%])\1\{/g, '$1{');
}

describe('bundle', () => {
  function complete(): TerraformStack {
    const stack = newStack();
    const variable = (name: string): string => new TerraformVariable(stack, name, {}).stringValue;
    const table = newTable(newHost(stack));
    table.addRoute('gw', { destination: '10.0.0.0/8', via: variable('gateway'), device: variable('device') });
    new PolicyRule(stack, 'clients', { table, source: variable('pool'), priority: 10010 });
    new VpnUpHook(stack, 'hook', { table });
    return stack;
  }

  test('nothing but the values is a template', () => {
    const content = contentOf(complete());
    const lines = content
      .replace(/\$\$\{|%%\{/g, '')
      .split('\n')
      .filter((line) => /[$%]\{/.test(line));
    expect(lines).toEqual([
      'value 1 prefix - stack/clients:source ${jsonencode(var.pool)}',
      'value 2 address 4 stack/vpn/gw:via ${jsonencode(var.gateway)}',
      'value 3 device - stack/vpn/gw:device ${jsonencode(var.device)}',
    ]);
    // Or this test would show nothing.
    expect(content.match(/\$\$\{/g)?.length).toBeGreaterThan(10);
  });

  test('has the program in front of the mark, and the files, as they are', () => {
    const stack = complete();
    const content = contentOf(stack);
    const program = content.slice(0, content.indexOf('\n#--- bundle\n') + 1);
    expect(unescaped(program)).toBe(agentProgram());
    const text = (path: string): string => unescaped((filesOf(stack)[path] ?? []).join('\n') + '\n');
    expect(text('/usr/local/sbin/source-routing')).toBe(dispatcherText());
    expect(text('/etc/openvpn/up')).toBe(upHookText([200]));
  });

  test('is in files whose names have a short digest each, and change with their text', () => {
    const names = (stack: TerraformStack): string[] => {
      const content = resourceOf(stack, 'apply').provisioner[0]?.file?.content as string;
      return [...content.matchAll(FILE)].map(([, name]) => name.replace(/.*\//, ''));
    };
    const [program, data] = names(complete());
    expect(program).toMatch(/^agent\.[0-9a-f]{16}\.sh$/);
    expect(data).toMatch(/^stack\.vpn1\.[0-9a-f]{16}\.bundle$/);
    expect(names(complete())).toEqual([program, data]);
    const other = newStack();
    newHost(other);
    expect(names(other)[1]).not.toBe(data);
  });

  test('a token that stands for plain text is that text, not an expression', () => {
    const stack = newStack();
    const source = Lazy.stringValue({ produce: () => '10.10.10.0/24' });
    new PolicyRule(stack, 'clients', { table: newTable(newHost(stack)), source, priority: 10010 });
    expect(bundleOf(stack)).toContain('value 1 prefix - stack/clients:source "10.10.10.0/24"');
  });

  test('has a line for each thing that the machine gets', () => {
    const stack = newStack();
    const host = newHost(stack, { interfaces: ALL_INTERFACES, persistence: Persistence.service() });
    const { table } = new VpnEgress(stack, 'egress', {
      ...{ host, device: 'eth1', tableId: 200, tableName: 'vpn', clients: [POOLS[0]], gateways: [GATEWAYS[0]] },
      ...{ rejectedClients: [POOLS[1]], sourceNat: SourceNat.masquerade(), forwarding: Forwarding.iptables() },
    });
    table.addRoute('anywhere', { destination: '0.0.0.0/0', via: '192.168.1.2', metric: 7 });
    const other = new SourceRoutingTable(stack, 'other', { host, tableId: 201 });
    other.addRoute('lan', { destination: '10.0.0.0/8', device: 'eth0' });
    new PolicyRule(stack, 'any', { table: other, source: '0.0.0.0/0', inputInterface: 'eth0', priority: 11000 });
    const lines = bundleOf(stack).filter((line) => !/^([|]|expect|gateway|probe|sum|bundle|owner|$)/.test(line));
    // Without the number of lines in each file.
    expect(lines.map((line) => line.replace(/^(file \S+ \S+) \d+/, '$1'))).toEqual([
      'persistence service own',
      'requires nftables',
      'table 200 vpn',
      'table 201 -',
      'rule 4 10010 from 10.10.10.0/24 lookup 200',
      'rule 6 10010 from fd00:4242:4242:4242::/64 unreachable',
      'rule 4 10009 to 10.10.10.0/24 lookup 254 suppress_prefixlength 23',
      'rule 6 10009 to fd00:4242:4242:4242::/64 lookup 254 suppress_prefixlength 63',
      'rule 4 10011 fwmark 0x530000c8 iif lo lookup 200',
      'rule 4 11000 iif eth0 lookup 201',
      'guard 4 20010 from 10.10.10.0/24 unreachable',
      'guard 6 20010 from fd00:4242:4242:4242::/64 unreachable',
      'guard 4 20011 fwmark 0x530000c8 iif lo unreachable',
      'guard 4 21000 iif eth0 unreachable',
      'guard 4 21001 iif tun0 blackhole',
      'guard 6 21001 iif tun0 blackhole',
      'route 4 200 default 0 via 192.168.1.1 dev eth1',
      'route 4 200 default 7 via 192.168.1.2',
      'route 4 201 10.0.0.0/8 0 dev eth0',
      'route 4 200 default 4278198272 type unreachable proto 77',
      'route 4 200 10.10.10.0/24 4278198272 type unreachable proto 77',
      'route 4 201 default 4278198272 type unreachable proto 77',
      'file 0755 /usr/local/sbin/source-routing shared',
      'file 0644 /etc/iproute2/rt_tables.d/source-routing-stack-vpn1.conf',
      'file 0644 /etc/source-routing/stack-vpn1.nft nftables',
      'file 0644 /etc/systemd/system/source-routing-stack-vpn1.kill-switch.service systemd nftables',
      'file 0644 /etc/sysctl.d/60-source-routing-stack-vpn1.conf nftables',
      'file 0644 /etc/sysctl.d/99-z-source-routing-stack-vpn1.conf',
      'unit source-routing-stack-vpn1.kill-switch.service systemd nftables',
      'sysctl net.ipv4.fwmark_reflect 1 nftables',
      'sysctl net.ipv4.ip_forward 1',
      'accept iptables filter FORWARD -i tun0 -o eth1 -s 10.10.10.0/24 -j ACCEPT',
      'accept iptables filter FORWARD -i eth1 -o tun0 -d 10.10.10.0/24 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      'accept iptables filter FORWARD -i tun0 -o tun0 -s 10.10.10.0/24 -d 10.10.10.0/24 -j ACCEPT',
      'for service',
      'requires systemd',
      'file 0644 /etc/systemd/system/source-routing-stack-vpn1.service',
      'unit source-routing-stack-vpn1.service',
    ]);
    expect(filesOf(stack)['/etc/iproute2/rt_tables.d/source-routing-stack-vpn1.conf']).toEqual(['200 vpn']);
  });

  test('has what each of several network managers needs', () => {
    const stack = newStack();
    const host = newHost(stack, { persistence: Persistence.auto() });
    new PolicyRule(stack, 'clients', { table: newTable(host), source: POOLS[0], priority: 10010 });
    const lines = bundleOf(stack).filter((line) => /^(auto|persistence|for|requires|dropin|block)/.test(line));
    expect(lines.map((line) => line.replace(/^((dropin|block) .*) \d+$/, '$1'))).toEqual([
      'automatic',
      'persistence networkd static eth1',
      'persistence netplan static eth1',
      'persistence netplan-network-manager static eth1',
      'persistence network-manager static eth1',
      'persistence network-scripts own eth1',
      'persistence ifupdown own eth1',
      'persistence service own',
      'for networkd',
      'requires systemd',
      'dropin eth1 50-source-routing-stack-vpn1.conf',
      'for netplan',
      'requires systemd',
      'for netplan-network-manager',
      'requires systemd',
      'requires version network-manager 1.42 routing-rule under proto static of the rule at priority 10010',
      'block eth1',
      'for network-manager',
      'requires systemd',
      'requires version network-manager 1.42 routing-rule under proto static of the rule at priority 10010',
      'block eth1',
      'for network-scripts',
      'for ifupdown',
      'for service',
      'requires systemd',
    ]);
  });

  test('hooks of two tables at one path are one file that serves both', () => {
    const stack = newStack();
    const host = newHost(stack);
    new VpnUpHook(stack, 'one', { table: newTable(host) });
    new VpnUpHook(stack, 'two', { table: newTable(host, 'other', 201) });
    expect(bundleOf(stack).filter((line) => line.startsWith('hook '))).toEqual([
      'hook openvpn /etc/openvpn/up 200 201',
    ]);
    const hooks = bundleOf(stack).filter((line) => line.startsWith('file 0755 /etc/openvpn/up '));
    expect(hooks).toHaveLength(1);
    expect(filesOf(stack)['/etc/openvpn/up']?.filter((line) => /200/.test(line))).toEqual(["tables='200 201'"]);
    expect(resourceOf(stack, 'apply').triggers_replace['hook /etc/openvpn/up']).toBe('openvpn, table 200 201');
  });
});

describe('expectations', () => {
  const CLIENT: Flow = { source: '10.10.10.2', destination: '198.51.100.7', inputInterface: 'tun0' };
  const GATEWAY = Expected.via('192.168.1.1', 'eth1');

  function stackWith(
    declare: (host: LinuxHost, stack: TerraformStack) => void,
    gateways: string[] = [],
  ): TerraformStack {
    const stack = newStack();
    const [eth0, ...others] = INTERFACES;
    const host = newHost(stack, { interfaces: [{ ...eth0, gateways }, ...others] });
    const table = newTable(host);
    new PolicyRule(stack, 'clients', { table, source: '10.10.10.0/24', priority: 10010 });
    new PolicyRule(stack, 'no-ipv6', { host, source: POOLS[1], priority: 10010, action: RuleAction.unreachable() });
    declare(host, stack);
    return stack;
  }
  const linesOf = (stack: TerraformStack): string[] => bundleOf(stack).filter((line) => /^(expect|value) /.test(line));

  test('have a line for each packet that the kernel is asked about', () => {
    const mark = { firewallMark: 0xca6c, tos: 0x10, ipProtocol: IpProtocol.TCP, sourcePort: 5, destinationPort: 80 };
    const stack = stackWith((host) => {
      host.expect('one', CLIENT, GATEWAY);
      host.expect('of-a-kind', { ...CLIENT, ...mark }, GATEWAY);
      host.expect('sent', { destination: '10.10.10.9', uid: 7 }, Expected.device('tun0'));
      host.expect('ipv6', { ...CLIENT, source: POOLS[1], destination: '2001:db8::7' }, Expected.unreachable());
    });
    expect(linesOf(stack)).toEqual([
      'expect 4 one to 198.51.100.7 from 10.10.10.2 iif tun0 ipproto 17 is via 192.168.1.1 dev eth1',
      'expect 4 of-a-kind to 198.51.100.7 from 10.10.10.2 iif tun0 mark 0xca6c tos 0x10 ipproto 6 sport 5 dport 80 is via 192.168.1.1 dev eth1',
      'expect 4 sent to 10.10.10.9 uid 7 ipproto 17 is dev tun0',
      'expect 6 ipv6 to 2001:db8::7 from fd00:4242:4242:4242::2 iif tun0 is rejected',
    ]);
  });

  test('name all that may become of a packet; what is known at apply only as a value', () => {
    const stack = stackWith((host, scope) => {
      const gateway = new TerraformVariable(scope, 'gateway', {}).stringValue;
      const any = [Expected.via(gateway), Expected.device('eth1'), Expected.local(), Expected.unreachable()];
      host.expect('clients', CLIENT, Expected.anyOf(...any));
    });
    expect(linesOf(stack)).toEqual([
      'value 1 address 4 stack/vpn1:gateway ${jsonencode(var.gateway)}',
      'expect 4 clients to 198.51.100.7 from 10.10.10.2 iif tun0 ipproto 17 is via @1@ or dev eth1 or local or rejected',
    ]);
    expect(resourceOf(stack, 'apply').triggers_replace['expect clients']).toBe(
      'to 198.51.100.7 from 10.10.10.2 iif tun0 is via ${var.gateway} or dev eth1 or local or rejected',
    );
  });

  test('have the machine try packets, if they are about packets that come in', () => {
    const probed = (flow: Flow): boolean =>
      bundleOf(stackWith((host) => host.expect('one', flow, Expected.device('eth1')))).includes('probe note');
    expect(probed(CLIENT)).toBe(true);
    expect(probed({ destination: '10.10.10.9', uid: 7 })).toBe(false);
  });

  test('are readable in a plan, with the links that are down, and each family', () => {
    const stack = stackWith((host) => {
      host.expect('down', { ...CLIENT, linksDown: ['eth0', 'eth1'] }, Expected.unreachable());
      host.expect('any', { destination: 'default', inputInterface: 'eth1' }, Expected.device('tun0'));
    });
    expect(resourceOf(stack, 'apply').triggers_replace).toMatchObject({
      'expect down': 'to 198.51.100.7 from 10.10.10.2 iif tun0 with eth0, eth1 down is rejected',
      'expect any': 'to default from default iif eth1 is dev tun0; to default from default iif eth1 is dev tun0',
    });
  });

  test('that follow from a VpnEgress are one digest in a plan', () => {
    const stack = newStack();
    const host = newHost(stack);
    new VpnEgress(stack, 'egress', { host, device: 'eth1', tableId: 200, clients: POOLS, gateways: GATEWAYS });
    const keys = Object.keys(resourceOf(stack, 'apply').triggers_replace);
    expect(keys.filter((key) => /^(expect|packets)/.test(key))).toEqual(['packets']);
  });

  test('give the machine gateways to try only where there is something to ask', () => {
    const given = (flow: Flow, expected: Expected): string[] =>
      bundleOf(stackWith((host) => host.expect('one', flow, expected), ['192.168.178.1'])).filter((line) =>
        line.startsWith('gateway '),
      );
    expect(given(CLIENT, GATEWAY)).toEqual(['gateway 4 eth0 192.168.178.1']);
    expect(given({ ...CLIENT, linksDown: ['eth1'] }, Expected.unreachable())).toEqual([]);
  });

  test('reach the machine when anything about them changes', () => {
    const triggers = (flow: Flow, expected: Expected, gateways?: string[]): Record<string, string> =>
      resourceOf(
        stackWith((host) => host.expect('clients', flow, expected), gateways),
        'apply',
      ).triggers_replace;
    const before = triggers(CLIENT, GATEWAY);
    const changed = (after: Record<string, string>): string[] =>
      [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((key) => before[key] !== after[key]);
    expect(changed(triggers(CLIENT, GATEWAY))).toEqual([]);
    expect(changed(triggers(CLIENT, Expected.device('eth1')))).toEqual(['expect clients', 'packets']);
    expect(changed(triggers({ ...CLIENT, source: '10.10.10.0/24' }, GATEWAY))).toEqual(['expect clients']);
    expect(changed(triggers(CLIENT, Expected.via('192.168.1.2', 'eth1')))).toEqual(['expect clients', 'packets']);
    // The machine tries packets as if they came from a gateway.
    const beside = (gateway: string): Record<string, string> => triggers(CLIENT, GATEWAY, [gateway]);
    expect(changed(beside('192.168.178.1'))).toEqual(['packets']);
    expect(beside('192.168.178.9').packets).not.toBe(beside('192.168.178.1').packets);
  });
});

test('another token in the stack changes no digest', () => {
  const triggers = (others: number): Record<string, string> => {
    const stack = newStack();
    const variable = (name: string): string => new TerraformVariable(stack, name, {}).stringValue;
    Array.from({ length: others }, (_, index) => variable(`other-${index}`));
    const [eth0, ...rest] = INTERFACES;
    const host = newHost(stack, { interfaces: [{ ...eth0, gateways: [variable('gateway')] }, ...rest] });
    new VpnEgress(stack, 'egress', { host, device: 'eth1', tableId: 200, clients: POOLS, gateways: GATEWAYS });
    host.expect('server', { destination: '198.51.100.7' }, Expected.via(variable('router')));
    return resourceOf(stack, 'apply').triggers_replace;
  };
  expect(triggers(0).packets).toMatch(/^sha256:/);
  expect(triggers(3)).toEqual(triggers(0));
});

describe('up hook', () => {
  test.each([0, -1, 1.5, 4294967296])('table id %d is refused', (id) => {
    expect(() => upHookText([200, id])).toThrow(new Error(`table id ${id} is not a number from 1 to 4294967295`));
  });

  test('the highest table id passes', () => {
    expect(upHookText([4294967295])).toContain('4294967295');
  });
});

describe('triggers', () => {
  type Add = (stack: TerraformStack, table: SourceRoutingTable) => void;
  function triggersOf(props: Partial<LinuxHostProps>, add: Add): Record<string, string> {
    const stack = newStack();
    const host = newHost(stack, props);
    add(stack, new SourceRoutingTable(stack, 'vpn', { host, tableId: 200 }));
    return resourceOf(stack, 'apply').triggers_replace;
  }

  /** Which keys differ. */
  function changed(before: Record<string, string>, after: Record<string, string>): string[] {
    const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
    return [...keys].filter((key) => before[key] !== after[key]);
  }

  test('files changes when a rule moves to the file of another interface', () => {
    const add: Add = (stack, { host }) =>
      new PolicyRule(stack, 'drop', { host, source: '10.66.0.0/16', priority: 10010, action: RuleAction.blackhole() });
    const by = (device: string): Record<string, string> =>
      triggersOf({ persistence: Persistence.networkScripts({ device }) }, add);
    expect(changed(by('eth0'), by('eth1'))).toEqual(['files']);
    expect(changed(by('eth0'), by('eth0'))).toEqual([]);
  });

  test('files changes when the interface of a route that names only its next hop is renamed', () => {
    const by = (name: string): Record<string, string> =>
      triggersOf(
        {
          persistence: Persistence.networkScripts(),
          interfaces: INTERFACES.map((declared) => (declared.name === 'eth1' ? { ...declared, name } : declared)),
        },
        (_stack, table) => table.addRoute('v4', { destination: 'default', via: '192.168.1.1' }),
      );
    expect(changed(by('eth1'), by('ens4'))).toEqual(['files']);
  });

  /** The triggers where a persistence renders something else. */
  function rendered(other: Partial<Rendered>): Record<string, string> {
    const renderer = new ServiceRenderer();
    const { name, call, routeProtocol, capabilities } = renderer;
    const persistence: PersistenceRenderer = {
      ...{ name, call, routeProtocol, capabilities },
      problems: () => [],
      render: (host) => ({ ...renderer.render(host), ...other }),
    };
    return generationTriggers(howTo(), { kind: 'named', among: [persistence] });
  }

  test.each<[string, Partial<Rendered>]>([
    ['files', { files: [] }],
    ['drop-ins', { dropIns: [{ device: 'eth1', name: 'x.conf', lines: [['[Route]']] }] }],
    ['blocks', { blocks: [{ device: 'eth1', lines: [['[ipv4]']] }] }],
    ['units', { units: [] }],
    ['requirements', { requirements: [] }],
    ['devices', { devices: ['eth9'] }],
  ])('files changes with the %s of a persistence', (_, other) => {
    expect(changed(rendered({}), rendered(other))).toEqual(['files']);
  });

  test('files changes with the name of a file, and with the files of a timer', () => {
    const at = (path: string): Record<string, string> => rendered({ files: [{ path, mode: '0644', lines: [] }] });
    expect(changed(at('/etc/a'), at('/etc/b'))).toEqual(['files']);
    expect(changed(at('/etc/a'), at('/etc/a'))).toEqual([]);
    const every = (verifyIntervalSeconds: number): Record<string, string> =>
      triggersOf({ verifyIntervalSeconds }, () => undefined);
    expect(changed(every(60), every(120))).toEqual(['files', 'verify']);
  });

  test('files stays when only a value changes that is known at apply', () => {
    const by = (name: string): Record<string, string> =>
      triggersOf({ persistence: Persistence.networkScripts({ device: 'eth1' }) }, (stack, table) => {
        const source = new TerraformVariable(stack, name, {}).stringValue;
        new PolicyRule(stack, 'clients', { table, source, priority: 10010, families: [IpFamily.IPV4] });
      });
    expect(changed(by('pool'), by('pool'))).toEqual([]);
    expect(changed(by('pool'), by('clients-pool'))).toEqual(['guard ipv4 20010', 'rule ipv4 10010']);
  });

  test.each<[string, string, number]>([
    ['IPv6', 'fd00:1010:1010:1010::1', 1024],
    ['IPv4', '192.168.1.1', 0],
  ])("the kernel's own metric of %s is the same as none", (_, via, metric) => {
    const by = (given: number | undefined): Record<string, string> =>
      triggersOf({ persistence: Persistence.networkScripts() }, (_stack, table) =>
        table.addRoute('gw', { destination: 'default', via, device: 'eth1', metric: given }),
      );
    expect(changed(by(undefined), by(metric))).toEqual([]);
    expect(changed(by(undefined), by(metric + 1))).toHaveLength(3);
  });

  describe('agent', () => {
    /** The digest when some of what runs on the machine is of another version. */
    async function digest(mock: () => void): Promise<string | undefined> {
      let found: string | undefined;
      await jest.isolateModulesAsync(async () => {
        mock();
        const { generationTriggers } = await import('../lib/delivery/triggers');
        found = generationTriggers(modelHost(), { kind: 'automatic', among: [] }).agent;
      });
      return found;
    }

    const program = (changes: object) => (): void => {
      jest.doMock('../lib/agent/program', () => ({
        ...jest.requireActual<object>('../lib/agent/program'),
        ...changes,
      }));
    };
    const script = (name: string) => (): void => {
      jest.doMock('node:fs', () => {
        const fs = jest.requireActual<typeof fsModule>('node:fs');
        return {
          ...fs,
          readFileSync: (path: string, encoding: 'utf8'): string =>
            fs.readFileSync(path, encoding) + (path.endsWith(`/${name}`) ? '# changed\n' : ''),
        };
      });
    };

    afterEach(() => {
      jest.dontMock('../lib/agent/program');
      jest.dontMock('node:fs');
    });

    test.each<[string, () => void]>([
      ['program', program({ agentProgram: () => 'changed' })],
      ['dispatcher', program({ dispatcherText: () => 'changed' })],
      ['up hook', program({ upHookText: () => 'changed' })],
      ['script of the upload', script('deliver.sh')],
      ['script in front of it', script('as-root.sh')],
    ])('changes with the %s', async (_, mock) => {
      const before = await digest(() => undefined);
      expect(before).toMatch(/^sha256:[0-9a-f]{16}$/);
      expect(await digest(() => undefined)).toBe(before);
      expect(await digest(mock)).not.toBe(before);
    });
  });
});

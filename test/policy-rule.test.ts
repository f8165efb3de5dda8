import { TerraformVariable } from 'cdktf';
import type { PolicyRuleProps } from '../lib';
import { Errors, IpFamily, IpProtocol, NumberRange, PolicyRule, RuleAction, SourceRoutingTable } from '../lib';
import { bundleOf, newHost, newStack, newTable, resourceOf } from './fixtures';

function rulesOf(props: Omit<PolicyRuleProps, 'table' | 'priority'> & { priority?: number }): string[] {
  const stack = newStack();
  const host = newHost(stack);
  new PolicyRule(stack, 'rule', {
    ...(props.action ? { host } : { table: newTable(host) }),
    priority: 10010,
    ...props,
  });
  return bundleOf(stack).filter((line) => line.startsWith('rule '));
}

describe('selectors and actions', () => {
  test.each<[string, Omit<PolicyRuleProps, 'table' | 'priority'>, string[]]>([
    ['source', { source: '10.10.10.0/24' }, ['rule 4 10010 from 10.10.10.0/24 lookup 200']],
    ['destination', { destination: 'FD00:4242::/64' }, ['rule 6 10010 to fd00:4242::/64 lookup 200']],
    [
      'no prefix: both families',
      { inputInterface: 'tun0' },
      ['rule 4 10010 iif tun0 lookup 200', 'rule 6 10010 iif tun0 lookup 200'],
    ],
    ['families', { inputInterface: 'tun0', families: [IpFamily.IPV6] }, ['rule 6 10010 iif tun0 lookup 200']],
    ['outputInterface', { outputInterface: 'eth1', families: [IpFamily.IPV4] }, ['rule 4 10010 oif eth1 lookup 200']],
    ['firewallMark', { firewallMark: 1, families: [IpFamily.IPV4] }, ['rule 4 10010 fwmark 0x1 lookup 200']],
    [
      'firewallMask',
      { firewallMark: 0x100, firewallMask: 0xff00, families: [IpFamily.IPV4] },
      ['rule 4 10010 fwmark 0x100/0xff00 lookup 200'],
    ],
    [
      'the highest bit alone',
      { firewallMark: 0x80000000, firewallMask: 0x80000000, families: [IpFamily.IPV4] },
      ['rule 4 10010 fwmark 0x80000000/0x80000000 lookup 200'],
    ],
    [
      'firewallMask of all bits, which is none',
      { firewallMark: 1, firewallMask: 0xffffffff, families: [IpFamily.IPV4] },
      ['rule 4 10010 fwmark 0x1 lookup 200'],
    ],
    ['tos 0, which is any', { tos: 0, source: '10.10.10.0/24' }, ['rule 4 10010 from 10.10.10.0/24 lookup 200']],
    ['highest tos of IPv4', { tos: 28, source: '10.0.0.0/8' }, ['rule 4 10010 from 10.0.0.0/8 tos 0x1c lookup 200']],
    ['highest tos of IPv6', { tos: 252, source: 'fd00::/8' }, ['rule 6 10010 from fd00::/8 tos 0xfc lookup 200']],
    [
      'packets of some users and sockets of the machine',
      {
        ...{ inputInterface: 'lo', outputInterface: 'eth1', uidRange: NumberRange.of(1000) },
        families: [IpFamily.IPV4],
      },
      ['rule 4 10010 iif lo oif eth1 uidrange 1000-1000 lookup 200'],
    ],
    [
      'invert of anything but prefixes',
      { invert: true, firewallMark: 1, families: [IpFamily.IPV4] },
      ['rule 4 10010 not fwmark 0x1 lookup 200'],
    ],
    ['tos', { tos: 16, families: [IpFamily.IPV4] }, ['rule 4 10010 tos 0x10 lookup 200']],
    [
      'ports',
      {
        ipProtocol: IpProtocol.UDP,
        sourcePorts: NumberRange.of(1194),
        destinationPorts: NumberRange.between(1, 1023),
        families: [IpFamily.IPV4],
      },
      ['rule 4 10010 ipproto 17 sport 1194 dport 1-1023 lookup 200'],
    ],
    [
      'uidRange',
      { uidRange: NumberRange.of(1000), families: [IpFamily.IPV4] },
      ['rule 4 10010 uidrange 1000-1000 lookup 200'],
    ],
    [
      'highest uidRange',
      { uidRange: NumberRange.between(0, 4294967294), families: [IpFamily.IPV4] },
      ['rule 4 10010 uidrange 0-4294967294 lookup 200'],
    ],
    [
      'a family twice',
      { inputInterface: 'tun0', families: [IpFamily.IPV6, IpFamily.IPV6] },
      ['rule 6 10010 iif tun0 lookup 200'],
    ],
    [
      'suppressPrefixLength in IPv6',
      { source: 'fd00::/8', suppressPrefixLength: 128 },
      ['rule 6 10010 from fd00::/8 lookup 200 suppress_prefixlength 128'],
    ],
    ['invert', { source: '10.10.10.0/24', invert: true }, ['rule 4 10010 not from 10.10.10.0/24 lookup 200']],
    [
      'suppressors',
      { source: '10.10.10.0/24', suppressPrefixLength: 0, suppressInterfaceGroup: 3 },
      ['rule 4 10010 from 10.10.10.0/24 lookup 200 suppress_prefixlength 0 suppress_ifgroup 3'],
    ],
    ['blackhole', { source: '10.0.0.0/8', action: RuleAction.blackhole() }, ['rule 4 10010 from 10.0.0.0/8 blackhole']],
    [
      'unreachable',
      { source: '10.0.0.0/8', action: RuleAction.unreachable() },
      ['rule 4 10010 from 10.0.0.0/8 unreachable'],
    ],
    ['prohibit', { source: '10.0.0.0/8', action: RuleAction.prohibit() }, ['rule 4 10010 from 10.0.0.0/8 prohibit']],
    ['goto', { source: '10.0.0.0/8', action: RuleAction.goTo(10020) }, ['rule 4 10010 from 10.0.0.0/8 goto 10020']],
  ])('%s', (_, props, lines) => {
    expect(rulesOf(props)).toEqual(lines);
  });

  test('a source that is known at apply only is handed over as data, its family found on the host', () => {
    const stack = newStack();
    const pool = new TerraformVariable(stack, 'pool', { type: 'string' });
    new PolicyRule(stack, 'clients', { table: newTable(newHost(stack)), source: pool.stringValue, priority: 10010 });
    const lines = bundleOf(stack);
    expect(lines).toContain('value 1 prefix - stack/clients:source ${jsonencode(var.pool)}');
    expect(lines).toContain('rule auto 10010 from @1@ lookup 200');
    expect(resourceOf(stack, 'apply').triggers_replace['rule 10010']).toBe('from ${var.pool} lookup 200');
  });

  test.each<[string, (value: string) => Partial<PolicyRuleProps>]>([
    ['an interface can be lo', (inputInterface) => ({ inputInterface, outputInterface: 'eth1' })],
    ['a prefix can have a length', (source) => ({ source, invert: true })],
  ])('what is known at apply only is not refused: %s', (_, props) => {
    const stack = newStack();
    const given = props(new TerraformVariable(stack, 'v', {}).stringValue);
    const table = newTable(newHost(stack));
    expect(() => new PolicyRule(stack, 'rule', { table, priority: 10010, ...given })).not.toThrow();
  });

  test('families says of what family such a value must be', () => {
    const stack = newStack();
    const pool = new TerraformVariable(stack, 'pool', { type: 'string' });
    new PolicyRule(stack, 'clients', {
      table: newTable(newHost(stack)),
      source: pool.stringValue,
      priority: 10010,
      families: [IpFamily.IPV6],
    });
    const lines = bundleOf(stack);
    expect(lines).toContain('value 1 prefix 6 stack/clients:source ${jsonencode(var.pool)}');
    expect(lines).toContain('rule 6 10010 from @1@ lookup 200');
  });
});

describe('arguments', () => {
  test.each<[string, Partial<PolicyRuleProps>, string]>([
    [
      'host bits',
      { source: '10.10.10.5/24' },
      'source "10.10.10.5/24" has host bits set. Did you mean "10.10.10.0/24"?',
    ],
    [
      'families mixed',
      { source: '10.10.10.0/24', destination: 'fd00::/64' },
      'destination "fd00::/64" is IPv6 but source "10.10.10.0/24" is IPv4. Give both in one family, and declare another construct for the other family.',
    ],
    [
      'wrong family',
      { source: '10.10.10.0/24', families: [IpFamily.IPV6] },
      'families is IPv6 but "10.10.10.0/24" is IPv4. Leave out families.',
    ],
    [
      'both families',
      { source: '10.10.10.0/24', families: [IpFamily.IPV6, IpFamily.IPV4] },
      'families has both families, but source or destination has one. Declare one rule for each family.',
    ],
    ['no families', { families: [] }, 'families is empty. Give IpFamily.IPV4 or IpFamily.IPV6, or leave it out.'],
    [
      'priority 99',
      { priority: 99 },
      `priority 99 is not an integer from 100 to 32765. The kernel's own rules have 0, 32766 and 32767. A rule near 0 changes the order of rules that other tools add without a priority.`,
    ],
    [
      'priority 32766',
      { priority: 32766 },
      `priority 32766 is not an integer from 100 to 32765. The kernel's own rules have 0, 32766 and 32767. A rule near 0 changes the order of rules that other tools add without a priority.`,
    ],
    [
      'priority 1.5',
      { priority: 1.5 },
      `priority 1.5 is not an integer from 100 to 32765. The kernel's own rules have 0, 32766 and 32767. A rule near 0 changes the order of rules that other tools add without a priority.`,
    ],
    ['mask without mark', { firewallMask: 255 }, 'firewallMask 255 is set without firewallMark. Set the mark too.'],
    ['mark too large', { firewallMark: 2 ** 32 }, 'firewallMark 4294967296 is not an integer from 1 to 4294967295.'],
    ['mark 0', { firewallMark: 0 }, 'firewallMark 0 is not an integer from 1 to 4294967295.'],
    [
      'mark outside the mask',
      { firewallMark: 0x100, firewallMask: 0xff },
      'firewallMark 0x100 has bits outside firewallMask 0xff, which the kernel ignores, so the rule would match packets without a mark. Did you mean firewallMask 0x1ff?',
    ],
    [
      'highest mark partly outside the mask',
      { firewallMark: 0xf0000001, firewallMask: 0x80000000 },
      'firewallMark 0xf0000001 has bits outside firewallMask 0x80000000, which the kernel ignores, so the rule would match 0x80000000. Did you mean firewallMask 0xf0000001, or firewallMark 0x80000000?',
    ],
    ['mask 0', { firewallMark: 1, firewallMask: 0 }, 'firewallMask 0 is not an integer from 1 to 4294967295.'],
    [
      'uidRange too large',
      { uidRange: NumberRange.of(4294967295) },
      'uidRange 4294967295 is not an integer from 0 to 4294967294.',
    ],
    [
      'port 65535',
      { ipProtocol: IpProtocol.TCP, destinationPorts: NumberRange.of(65535) },
      'destinationPorts 65535 is not an integer from 1 to 65534.',
    ],
    ['tos too large for IPv6', { tos: 256, families: [IpFamily.IPV6] }, 'tos 256 is not an integer from 0 to 252.'],
    ['ECN bits', { tos: 17, families: [IpFamily.IPV6] }, 'tos 17 has ECN bits set. Did you mean 16?'],
    [
      'tos too large for IPv4',
      { tos: 32, source: '10.0.0.0/8' },
      'tos 32 is not an integer from 0 to 28. That is the limit of IPv4; for IPv6, set families to [IpFamily.IPV6].',
    ],
    [
      'ports without protocol',
      { destinationPorts: NumberRange.of(443) },
      'destinationPorts needs ipProtocol to be IpProtocol.TCP, UDP or SCTP: no other has ports.',
    ],
    [
      'ports backwards',
      { ipProtocol: IpProtocol.TCP, sourcePorts: NumberRange.between(10, 5) },
      'sourcePorts 10-5 runs backwards. Did you mean 5-10?',
    ],
    [
      'port 0',
      { ipProtocol: IpProtocol.TCP, sourcePorts: NumberRange.of(0) },
      'sourcePorts 0 is not an integer from 1 to 65534.',
    ],
    [
      'the interface of a socket for packets that come in',
      { inputInterface: 'tun0', outputInterface: 'eth0' },
      'outputInterface "eth0" is that of a local socket, but inputInterface "tun0" means that the packet comes in. Leave out one of them, or set inputInterface to "lo", which means packets of the machine itself.',
    ],
    [
      'users for packets that come in',
      { inputInterface: 'tun0', uidRange: NumberRange.between(1000, 1999) },
      'uidRange 1000-1999 is that of local processes, but inputInterface "tun0" means that the packet comes in. Leave out one of them, or set inputInterface to "lo", which means packets of the machine itself.',
    ],
    [
      'invert of nothing',
      { invert: true },
      'invert is true, but no selector says which packets not to match, so the rule would match none. Set a selector such as source, or leave out invert.',
    ],
    [
      'invert of everything',
      { invert: true, source: '0.0.0.0/0', tos: 0 },
      'invert is true, but no selector says which packets not to match, so the rule would match none. Set a selector such as source, or leave out invert.',
    ],
    ['protocol 0', { ipProtocol: IpProtocol.of(0) }, 'ipProtocol 0 is not an integer from 1 to 255.'],
    [
      'suppressPrefixLength',
      { source: '10.0.0.0/8', suppressPrefixLength: 33 },
      'suppressPrefixLength 33 is not an integer from 0 to 32.',
    ],
    [
      'interface name',
      { inputInterface: 'tun0; reboot' },
      'inputInterface "tun0; reboot" is not an interface name: 1 to 15 letters, digits and _ . -, as "ip link" shows it.',
    ],
  ])('%s', (_, props, message) => {
    const stack = newStack();
    const table = newTable(newHost(stack));
    const declare = (): PolicyRule => new PolicyRule(stack, 'clients4', { table, priority: 10010, ...props });
    expect(declare).toThrow(new Error(`[stack/clients4] ${message}`));
  });

  test.each<[string, (stack: ReturnType<typeof newStack>) => Partial<PolicyRuleProps>, string]>([
    [
      'neither table nor action',
      () => ({}),
      'has neither table nor action. Set table, or an action such as RuleAction.unreachable().',
    ],
    [
      'both table and action',
      (stack) => ({ table: newTable(newHost(stack)), action: RuleAction.blackhole() }),
      'table and action are both set. Leave out action to look up the table, or leave out table.',
    ],
    [
      'no host',
      () => ({ action: RuleAction.blackhole() }),
      'host is not set, and there is no table to take it from. Set host.',
    ],
    [
      'another host',
      (stack) => ({ table: newTable(newHost(stack)), host: newHost(stack, {}, 'vpn2') }),
      'host "stack/vpn2" is not the host of table "stack/vpn". Leave out host.',
    ],
    [
      'suppressor without lookup',
      (stack) => ({ host: newHost(stack), action: RuleAction.blackhole(), suppressPrefixLength: 0 }),
      'suppressPrefixLength is set, but the rule looks up no table whose routes it could ignore. Set table instead of action.',
    ],
    [
      'goto backwards',
      (stack) => ({ host: newHost(stack), action: RuleAction.goTo(10010) }),
      'action goes to priority 10010, which is not higher than its own priority 10010. Give a higher one: the kernel only goes forward.',
    ],
    [
      'goto behind the last',
      (stack) => ({ host: newHost(stack), action: RuleAction.goTo(32768) }),
      'action goTo 32768 is not an integer from 1 to 32767.',
    ],
    [
      'families known at apply only',
      (stack) => ({
        table: newTable(newHost(stack)),
        families: new TerraformVariable(stack, 'f', {}).listValue as unknown as IpFamily[],
      }),
      'families is a list that is known at apply only, but its length must be known at synth. Give a list such as [IpFamily.IPV4].',
    ],
    [
      'a quote beside a value known at apply only',
      (stack) => ({
        table: newTable(newHost(stack)),
        source: `${new TerraformVariable(stack, 's', {}).stringValue}"/24`,
      }),
      'source has "\\"/24" beside a value that is known at apply only. Leave out quotes, braces, "$", "%" and control characters there.',
    ],
    [
      'priority known at apply only',
      (stack) => ({ table: newTable(newHost(stack)), priority: new TerraformVariable(stack, 'p', {}).numberValue }),
      'priority is known at apply only, but must be known at synth. Give a number.',
    ],
  ])('%s', (_, props, message) => {
    const stack = newStack();
    const given = props(stack);
    expect(() => new PolicyRule(stack, 'rule', { priority: 10010, ...given })).toThrow(
      new Error(`[stack/rule] ${message}`),
    );
  });

  test('what is thrown can be told from other errors', () => {
    const stack = newStack();
    const table = newTable(newHost(stack));
    expect.assertions(2);
    try {
      new PolicyRule(stack, 'rule', { table, priority: -1 });
    } catch (error) {
      expect(Errors.isValidationError(error)).toBe(true);
    }
    expect(Errors.isValidationError(new Error())).toBe(false);
  });
});

test('a rule can look up the main table', () => {
  const stack = newStack();
  const host = newHost(stack);
  new PolicyRule(stack, 'local', {
    table: SourceRoutingTable.main(host),
    destination: '10.10.10.0/24',
    priority: 10009,
  });
  expect(bundleOf(stack)).toContain('rule 4 10009 to 10.10.10.0/24 lookup 254');
});

import { TerraformOutput, Testing } from 'cdktf';
import type { TerraformStack } from 'cdktf';
import {
  CloudInit,
  IpFamily,
  IpProtocol,
  NumberRange,
  PolicyRule,
  RouteScope,
  RouteType,
  RuleAction,
  SourceRoutingTable,
} from '../../lib';
import type { PolicyRuleProps, RouteOptions } from '../../lib';
import { contentOf, newStack, newHost } from '../fixtures';
import { BASH, BUSYBOX, DASH, Machine, describeOnMachine } from './machine';
import type { Outcome } from './machine';

const OWNER = 'vpn';

const RULES: Array<Partial<PolicyRuleProps>> = [
  { source: '10.66.1.0/24', invert: true },
  { firewallMark: 0x51, invert: true, families: [IpFamily.IPV4] },
  { destination: 'fd00:66::/64' },
  { source: '10.66.2.0/24', tos: 0x10 },
  { source: 'fd00:66:3::/64', firewallMark: 0x50, firewallMask: 0xf0 },
  { inputInterface: 'wg0', families: [IpFamily.IPV6] },
  { outputInterface: 'wg0', families: [IpFamily.IPV4] },
  { source: '10.66.4.0/24', uidRange: NumberRange.between(2000, 2009) },
  { source: '10.66.6.0/24', ipProtocol: IpProtocol.TCP, sourcePorts: NumberRange.of(53) },
  { source: 'fd00:66:6::/64', ipProtocol: IpProtocol.TCP, destinationPorts: NumberRange.between(53, 60) },
  { source: '10.66.7.0/24', suppressPrefixLength: 7 },
  { source: '10.66.8.0/24', suppressInterfaceGroup: 5 },
];

const ROUTES: RouteOptions[] = [
  { destination: '10.250.0.0/16', via: '192.168.1.1', device: 'eth1', mtu: 1400, advmss: 1200 },
  { destination: 'default', via: '192.168.1.1', device: 'eth1', preferredSource: '192.168.1.100' },
  { destination: 'fd00:250::/32', via: 'fd00:1010::1', device: 'eth1' },
  { destination: '10.251.0.0/16', via: '172.31.1.1', device: 'eth1', onLink: true },
  { destination: '10.252.0.0/16', device: 'eth1', routeScope: RouteScope.LINK },
  { destination: '10.253.0.0/16', routeType: RouteType.BLACKHOLE },
  {
    destination: '10.254.0.0/16',
    nextHops: [
      { via: '192.168.1.1', device: 'eth1' },
      { via: '192.168.1.2', device: 'eth1', weight: 3 },
    ],
  },
];

function declare(): TerraformStack {
  const stack = newStack();
  const host = newHost(stack, { owner: OWNER, interfaces: undefined });
  const table = new SourceRoutingTable(stack, 'table', { host, tableId: 250, tableName: 'each' });
  ROUTES.forEach((options, index) => table.addRoute(`route-${index}`, options));
  RULES.forEach((props, index) => {
    new PolicyRule(stack, `rule-${index}`, { table, priority: 12010 + index, ...props });
  });
  const action = RuleAction.prohibit();
  new PolicyRule(stack, 'rejected', { host, source: '10.67.0.0/16', action, priority: 12001 });
  new TerraformOutput(stack, 'text', { value: CloudInit.of(host).userData, staticId: true });
  return stack;
}

/** A text as Terraform gives it to the machine, which looks for its tools in the test's directory first. */
const onMachine = (text: string): string =>
  text.replace(/([$%])\1\{/g, '$1{').replace(/^PATH=(.*)$/gm, 'PATH=/mnt/bin:$1');

const stack = declare();
const BUNDLE = onMachine(contentOf(stack));
const HOOK = onMachine((JSON.parse(Testing.synth(stack)) as { output: { text: { value: string } } }).output.text.value);

describe.each([DASH, BASH, BUSYBOX])('under $name:', (flavour) => {
  describeOnMachine('a machine that cloud-init has set up', () => {
    let machine: Machine;
    beforeEach(() => {
      machine = new Machine(flavour);
      machine.fakeSystemd();
      machine.must('mkdir -p /var/lib/cloud/instance');
      machine.write('/mnt/hook', HOOK);
    });
    afterEach(() => machine.close());

    const boot = (): Outcome => machine.sh(`${flavour.shell} /mnt/hook`);

    /** What is on the machine, but for the mark that it was set up. */
    const picture = (): string =>
      machine
        .picture()
        .split('\n')
        .filter((line) => !line.includes('/var/lib/cloud/instance/source-routing'))
        .join('\n');

    test('has in the kernel what an apply would set, which then changes nothing there', () => {
      expect(boot()).toMatchObject({ code: 0, out: '' });
      expect(machine.rules(4).length + machine.rules(6).length).toBeGreaterThan(RULES.length);
      expect(machine.routes(250).join('\n')).toContain('nexthop');
      const outcomes: Outcome[] = [];
      expect(machine.monitored(() => outcomes.push(machine.apply([], { owner: OWNER, text: BUNDLE })))).toEqual([]);
      expect(outcomes[0].out).not.toMatch(/^source-routing: [+-]/m);
      expect(outcomes[0].last).toMatch(/^source-routing: done: generation g1/);
      expect(machine.verify(OWNER)).toMatchObject({ code: 0 });
      expect(machine.must(`ls /var/lib/source-routing/${OWNER}`)).not.toContain('cloud-init');
      const units = [`source-routing-${OWNER}.kill-switch.service`, `source-routing-${OWNER}.service`].join(' ');
      expect(machine.systemctlLog()).toEqual([
        `enable --no-reload ${units}`,
        `start --no-block ${units}`,
        `restart --no-block ${units}`,
      ]);
    });

    test('is as before after a removal, by the agent of the boot or that of the apply', () => {
      const before = picture();
      boot();
      machine.agent('remove', OWNER);
      expect(picture()).toBe(before);
      machine.must('rm /var/lib/cloud/instance/*');
      boot();
      machine.apply([], { owner: OWNER, text: BUNDLE });
      machine.agent('remove', OWNER);
      expect(picture()).toBe(before);
      // The instance boots again.
      boot();
      expect(picture()).toBe(before);
    });

    test('does it once more if it was interrupted, and never twice', () => {
      machine.write('/mnt/half', HOOK.replace(/^start_units$/m, 'exit 1'));
      machine.sh(`${flavour.shell} /mnt/half`);
      expect(machine.sh(`test -e /var/lib/source-routing/${OWNER}/current`).code).toBe(1);
      boot();
      const once = picture();
      expect(once).toContain(`/var/lib/source-routing/${OWNER}/current`);
      expect(machine.monitored(() => void boot())).toEqual([]);
      expect(picture()).toBe(once);
    });

    test('puts back what something takes away', () => {
      boot();
      const before = machine.picture();
      machine.must('ip rule flush; ip rule add pref 32766 lookup main; ip rule add pref 32767 lookup default');
      machine.must('ip route flush table 250');
      machine.agent('assert', OWNER);
      expect(machine.routes(250)).not.toEqual([]);
      expect(machine.rules(4).length).toBeGreaterThan(RULES.length / 2);
      expect(machine.picture().split('\n').length).toBe(before.split('\n').length);
      expect(machine.agent('confirm', OWNER).code).toBe(64);
    });
  });
});

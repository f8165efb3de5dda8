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
  // They leave the machine's own way out alone.
  { source: '10.66.1.0/24', invert: true, suppressPrefixLength: 0 },
  { firewallMark: 0x51, invert: true, suppressPrefixLength: 0, families: [IpFamily.IPV4] },
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

    describe('whose declaration is at fault', () => {
      const REACHES = 'ip route get 192.0.2.1 from 192.168.178.2';
      const HOME = `/var/lib/source-routing/${OWNER}`;
      const swapped = (from: string, to: string): Outcome => {
        machine.write('/mnt/hook', HOOK.split(from).join(to));
        return boot();
      };

      test('has all but the line that ip cannot parse, and says which', () => {
        const { code, out } = swapped('from 10.66.2.0/24', 'from 10.66.2.0/33');
        expect(code).toBe(0);
        expect(out).toMatch(/^source-routing: rule add pref 12013 from 10\.66\.2\.0\/33 .*: Error: .*$/m);
        expect(machine.rules(4).join('\n')).toContain('from 10.66.8.0/24');
        expect(machine.routes(250).join('\n')).toContain('nexthop');
        machine.must('ip rule del pref 12020; ip route del 10.250.0.0/16 table 250');
        machine.agent('assert', OWNER);
        expect(machine.rules(4).join('\n')).toContain('from 10.66.8.0/24');
        expect(machine.routes(250).join('\n')).toContain('10.250.0.0/16');
      });

      test.each(['from 192.168.178.0/24', 'from 0.0.0.0/0'])('is as before if a pool is %s, and says so', (pool) => {
        const before = picture();
        const { code, out } = swapped('from 10.67.0.0/16', pool);
        expect(code).toBe(0);
        expect(out).toMatch(/^source-routing: vpn withdrawn until the first apply: .* from 192\.168\.178\.2 *$/m);
        expect(machine.sh(REACHES).out).toContain('dev eth0');
        expect(picture()).toBe(before);
        expect(boot()).toMatchObject({ code: 0, out: '' });
        expect(picture()).toBe(before);
      });

      test('withdraws when the address comes later', () => {
        const before = picture();
        machine.must('ip route del default; ip addr del 192.168.178.2/24 dev eth0');
        expect(swapped('from 10.67.0.0/16', 'from 192.168.178.0/24')).toMatchObject({ code: 0, out: '' });
        expect(machine.sh(`test -e ${HOME}/current`).code).toBe(0);
        machine.must('ip addr add 192.168.178.2/24 dev eth0; ip route add default via 192.168.178.1');
        expect(machine.sh(REACHES).code).not.toBe(0);
        // The watch ends, and systemd starts the unit again, which asserts first.
        expect(machine.agent('watch', OWNER)).toMatchObject({ code: 0 });
        expect(machine.agent('assert', OWNER)).toMatchObject({ code: 0 });
        expect(machine.sh(REACHES).out).toContain('dev eth0');
        expect(picture()).toBe(before);
      });

      test('keeps its rules if what rejects its own packets is not ours', () => {
        machine.must('ip rule add pref 5 from 192.168.178.2 unreachable');
        expect(boot()).toMatchObject({ code: 0, out: '' });
        expect(machine.rules(4).join('\n')).toContain('from 10.66.8.0/24');
        expect(machine.sh(`grep -x '4 192.168.178.2 eth0' ${HOME}/cloud-init/checked`).code).toBe(0);
      });
    });

    test('gets its table of nftables back while the unit watches', () => {
      boot();
      const file = `/etc/source-routing/${OWNER}.nft`;
      const text = `table inet source_routing_${OWNER} {\n}\n`;
      machine.must(`mkdir -p /etc/source-routing; printf '${text}' >${file}`);
      machine.must(
        `${flavour.shell} /var/lib/source-routing/${OWNER}/agent watch >/dev/null 2>&1 & echo $! >/mnt/watch`,
      );
      machine.until(`nft list table inet source_routing_${OWNER} >/dev/null 2>&1`);
      machine.must('nft flush ruleset');
      machine.until(`nft list table inet source_routing_${OWNER} >/dev/null 2>&1`);
      expect(machine.must('kill $(cat /mnt/watch)')).toBe('');
    });

    test('is made again for another instance, unless an apply was there', () => {
      const instance = (id: string): void => {
        machine.must(`mkdir -p /var/lib/cloud/data; echo ${id} >/var/lib/cloud/data/instance-id`);
        machine.sh('rm /var/lib/cloud/instance/*');
      };
      instance('i-1');
      boot();
      instance('i-2');
      machine.write('/mnt/hook', HOOK.split('10.66.8.0/24').join('10.66.9.0/24'));
      expect(boot()).toMatchObject({ code: 0, out: '' });
      expect(machine.rules(4).join('\n')).toContain('from 10.66.9.0/24');
      expect(machine.rules(4).join('\n')).not.toContain('from 10.66.8.0/24');
      machine.apply([], { owner: OWNER, text: BUNDLE });
      instance('i-3');
      boot();
      expect(machine.rules(4).join('\n')).toContain('from 10.66.8.0/24');
      expect(machine.must(`cat /var/lib/source-routing/${OWNER}/current`)).toBe('g1\n');
    });

    test('takes the directory of all owners along, whoever made it', () => {
      // Another owner, which goes first, has made it.
      machine.must('mkdir -p /etc/source-routing');
      boot();
      machine.agent('remove', OWNER);
      expect(machine.sh('test -e /etc/source-routing').code).toBe(1);
    });

    test('leaves forwarding of IPv6 to the apply while the first router advertisement may still come', () => {
      const settings = 'net/ipv4/ip_forward = 1\nnet/ipv6/conf/all/forwarding = 1\n';
      const functions = HOOK.slice(0, HOOK.indexOf('cat >"$home/agent"'));
      const path = '/etc/sysctl.d/99-z-source-routing-vpn.conf';
      const written = (): string => {
        machine.must('rm -rf /etc/sysctl.d');
        machine.must(`${flavour.shell} /mnt/functions`);
        return machine.must(`cat ${path}`);
      };
      machine.write('/mnt/functions', `${functions}install_file 0644 ${path} <<'E'\n${settings}E\n`);
      expect(written()).toBe(settings);
      machine.must('echo 0 >/proc/sys/net/ipv6/conf/all/forwarding');
      expect(machine.must('cat /proc/sys/net/ipv6/conf/eth0/accept_ra')).toBe('1\n');
      expect(written()).toBe('net/ipv4/ip_forward = 1\n');
      machine.must('ip -6 route add default via fd00:1010::1 dev eth1 proto static');
      expect(written()).toBe(settings);
      machine.must('ip -6 route del default via fd00:1010::1 dev eth1');
      machine.must('for n in 0 1; do echo 0 >/proc/sys/net/ipv6/conf/eth$n/accept_ra; done');
      expect(written()).toBe(settings);
    });
  });
});

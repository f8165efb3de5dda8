import type { TerraformStack } from 'cdktf';
import type { PolicyRuleProps, VpnEgress, VpnEgressProps } from '../../lib';
import { IpFamily, IpProtocol, NumberRange, Persistence, PolicyRule, RuleAction, SourceRoutingTable } from '../../lib';
import { describeLab } from '../lab/describe-lab';
import type { Lab, LabOptions } from '../lab/lab';
import type { Machine } from '../lab/machine';
import type { Snapshot } from '../lab/snapshot';
import { addressed, diffSnapshots, withoutIds } from '../lab/snapshot';
import type { Traffic } from '../lab/traffic';
import { ALL_THROUGH_NAT, ALL_THROUGH_UPSTREAM, GATEWAYS, POOLS, declareEgress, sources } from './egress';
import { CONFIRM_TIMEOUT, settled, sleep, steadyTraffic } from './faults';
import { Terraform, saidBy } from './terraform';
import { timed } from './timing';

/** What one persistence has to show. */
export interface Conformance {
  /** The machine that it is for. */
  readonly lab: LabOptions;
  readonly persistence: Persistence;
  /** Under which protocol rules and routes are in the kernel, as `ip` calls it. */
  readonly tag: 'static' | '77';
  /** The files of other people that may change while it is in force; no others do. */
  readonly edits?: RegExp;
  /** The files that are there besides what every host has. */
  readonly files: readonly string[];
  /** What other people do to the machine, in shell. */
  readonly events: Readonly<Record<string, string>>;
  /** Whether the manager also brings up what rejects. @default false */
  readonly rejects?: boolean;
  /** Makes the machine what the tests need, in shell, after each boot. */
  readonly prepare?: string;
  /** Puts on the machine what it needs besides what is in its image. */
  readonly install?: (machine: Machine) => Promise<void>;
  /** Puts something of somebody else beside ours, in shell. */
  readonly foreign?: string;
  /** Who makes it permanent, as the machine says it. @default - as in the call */
  readonly manager?: string;
  /** Whether the uplink is in its charge, too. @default true */
  readonly hasUplink?: boolean;
  /** The selectors that the manager does not have. @default - none */
  readonly without?: readonly string[];
  /** A persistence for another machine, the selectors that it does not have besides, and what the refusal says. */
  readonly wrong: { readonly persistence: Persistence; readonly without?: readonly string[]; readonly says: RegExp };
}

/** Without udev in its namespace, systemd-networkd would not look at what there is before it configures a link. */
export const FAKE_UDEV = `mount -o remount,rw /sys 2>/dev/null || :
  mkdir -p /run/udev/data
  for link in /sys/class/net/*; do echo I:1 >"/run/udev/data/n$(cat "$link/ifindex")"; done`;

const RESTORED_MS = 2_000;

/** Each selector once. The table has no default route, so that they change nothing for whoever is there. */
const SELECTORS: Readonly<Record<string, Partial<PolicyRuleProps>>> = {
  invert: { source: '10.66.1.0/24', invert: true },
  invertMark: { firewallMark: 0x51, invert: true, families: [IpFamily.IPV4] },
  destination: { destination: 'fd00:66::/64' },
  tos: { source: '10.66.2.0/24', tos: 0x10 },
  firewallMark: { source: '10.66.3.0/24', firewallMark: 0x52 },
  firewallMask: { source: 'fd00:66:3::/64', firewallMark: 0x50, firewallMask: 0xf0 },
  inputInterface: { inputInterface: 'wg0', families: [IpFamily.IPV6] },
  outputInterface: { outputInterface: 'wg0', families: [IpFamily.IPV4] },
  uidRange: { source: '10.66.4.0/24', uidRange: NumberRange.between(2000, 2009) },
  ipProtocol: { source: '10.66.5.0/24', ipProtocol: IpProtocol.UDP },
  sourcePorts: { source: '10.66.6.0/24', ipProtocol: IpProtocol.TCP, sourcePorts: NumberRange.of(53) },
  destinationPorts: {
    source: 'fd00:66:6::/64',
    ipProtocol: IpProtocol.TCP,
    destinationPorts: NumberRange.between(53, 60),
  },
  suppressPrefixLength: { source: '10.66.7.0/24', suppressPrefixLength: 7 },
  suppressInterfaceGroup: { source: '10.66.8.0/24', suppressInterfaceGroup: 5 },
};

/** Rules of all kinds: managers have other words, or other places, for some than for most. */
function declareRules(
  stack: TerraformStack,
  { table }: VpnEgress,
  { device = 'eth1', gateways = GATEWAYS }: Partial<VpnEgressProps>,
  without: readonly string[],
): void {
  const selectors = new SourceRoutingTable(stack, 'selectors', {
    host: table.host,
    tableId: 250,
    tableName: 'selectors',
    failClosed: false,
  });
  selectors.addRoute('v4', { destination: '10.250.0.0/16', via: gateways[0], device });
  selectors.addRoute('v6', { destination: 'fd00:250::/32', via: gateways[1], device });
  Object.entries(SELECTORS)
    .filter(([name]) => !without.includes(name))
    .forEach(([name, props], index) => {
      new PolicyRule(stack, `selector-${name}`, { table: selectors, priority: 12_010 + index, ...props });
    });
  new PolicyRule(stack, 'narrow', { table, source: '10.66.0.0/16', inputInterface: 'wg0', priority: 12_000 });
  for (const source of ['10.67.0.0/16', 'fd00:67::/64']) {
    const action = RuleAction.prohibit();
    new PolicyRule(stack, `reject ${source.replace(/\W/g, '-')}`, {
      host: table.host,
      source,
      action,
      priority: 12_001,
    });
  }
}

/** The same cases for every persistence. */
export function conformance(name: string, options: Conformance): void {
  const { persistence, tag, events, wrong, without = [], hasUplink = true, manager = agentName(name) } = options;

  describeLab(`${name} on a machine`, options.lab, (lab) => {
    let terraform: Terraform;
    let before: Snapshot;

    const declare = (props: Partial<VpnEgressProps> = {}, use = persistence, allowManagementPathChange = false): void =>
      terraform.declare((stack: TerraformStack) =>
        declareRules(
          stack,
          declareEgress(stack, lab(), props, {
            interfaces: undefined,
            confirmTimeoutSeconds: CONFIRM_TIMEOUT,
            persistence: use,
            allowManagementPathChange,
          }),
          props,
          [...without, ...(use === wrong.persistence ? (wrong.without ?? []) : [])],
        ),
      );

    beforeAll(async () => {
      await options.install?.(lab().vpn);
      if (options.foreign) await lab().vpn.exec(options.foreign);
      if (options.prepare) await lab().vpn.exec(options.prepare);
      before = await lab().vpn.snapshotState();
      terraform = new Terraform(lab());
    }, 120_000);
    afterAll(() => terraform.close());

    /** Exactly what is declared, each thing once, under the tag of the manager, and the clients come out where they should. */
    async function exact(tagged = tag): Promise<void> {
      await settled(lab().vpn);
      expect((await lab().vpn.exec('source-routing verify vpn', { allowFailure: true })).stdout).toMatch(
        /agree with generation/,
      );
      expect(await duplicates(lab())).toEqual([]);
      expect(await tags(lab())).toEqual([tagged]);
    }

    test('a wrong declaration is refused, with the name of the right one, and changes nothing', async () => {
      declare({}, wrong.persistence);
      const { code, stdout, stderr } = await terraform.run('apply', ['-auto-approve']);
      expect(code).not.toBe(0);
      expect(stderr + stdout).toMatch(wrong.says);
      expect(await lab().vpn.changedSince(before)).toEqual([]);
    });

    test('apply: the machine chooses it, the kernel is as declared, and there are no files but those that are ours', async () => {
      declare({}, Persistence.auto());
      expect(saidBy('apply', await terraform.apply()).join('\n')).toContain(
        `made permanent by ${manager}, which manages eth1`,
      );
      await exact();
      expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
      const changed = (await lab().vpn.changedSince(before)).filter((line) => / file \/etc\//.test(line));
      expect(changed.map((line) => line.replace(/^(. file \S+?):? .*/, '$1')).sort()).toEqual(
        [
          '+ file /etc/iproute2/rt_tables.d/source-routing-vpn.conf',
          ...['', '.rollback'].flatMap((kind) => [
            `+ file /etc/systemd/system/multi-user.target.wants/source-routing-vpn${kind}.service`,
            `+ file /etc/systemd/system/source-routing-vpn${kind}.service`,
          ]),
          '+ file /etc/source-routing',
          '+ file /etc/source-routing/vpn.nft',
          '+ file /etc/sysctl.d/60-source-routing-vpn.conf',
          '+ file /etc/systemd/system/source-routing-vpn.kill-switch.service',
          '+ file /etc/systemd/system/multi-user.target.wants/source-routing-vpn.kill-switch.service',
          ...options.files,
        ].sort(),
      );
    });

    test('a second apply has nothing to do, and neither has one that names it', async () => {
      expect(await terraform.apply()).toMatch(/No changes/);
      const chosen = await lab().vpn.snapshotState();
      declare();
      await terraform.apply();
      await settled(lab().vpn);
      expect(diffSnapshots(withoutIds(chosen), withoutIds(await lab().vpn.snapshotState()))).toEqual([]);
    });

    describe('under traffic', () => {
      let traffic: Traffic;
      beforeEach(async () => {
        await lab().waitForVpn();
        traffic = await steadyTraffic(lab());
      });
      afterEach(() => traffic.stop().catch(() => undefined));

      async function hitless(change: () => Promise<unknown>): Promise<void> {
        const leaked = await lab().countPackets('upstream');
        await lab().vpn.exec('systemctl stop addresses', { allowFailure: true });
        const mark = await traffic.mark();
        await lab().vpn.exec(
          'systemd-run -q --collect --unit=addresses sh -c "exec ip -o monitor address >/run/addresses"',
        );
        await change();
        await sleep(1_000);
        // The routes of a link go with its addresses, and nobody should have to put them back.
        const { stdout } = await lab().vpn.exec('systemctl stop addresses; cat /run/addresses');
        expect(stdout).not.toMatch(/Deleted/);
        const flows = await traffic.since(mark);
        expect(flows.filter(({ lost, upstream }) => lost > 0 || upstream > 0)).toEqual([]);
        expect(await leaked.total()).toBe(0);
      }

      test.each<[string, Partial<VpnEgressProps>]>([
        ['another priority', { priority: 11010 }],
        ['another table', { priority: 11010, tableId: 201 }],
        ['another name', { priority: 11010, tableId: 201, tableName: 'tunnels' }],
        ['back to what it was', {}],
      ])('a change is hitless: %s', async (_, props) => {
        declare(props);
        await hitless(() => terraform.apply());
        await exact();
        expect(await terraform.plan()).toMatch(/No changes/);
      });

      if (hasUplink) {
        test('another egress interface, and back', async () => {
          // What comes back through eth1 is not what strict reverse path filtering would expect.
          await lab().vpn.exec('sysctl -qw net.ipv4.conf.all.rp_filter=2');
          for (const props of [{ device: 'eth0', gateways: ['192.168.178.3', 'fd00:178::3'] }, {}]) {
            declare(props);
            await hitless(() => terraform.apply());
            await exact();
            expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
          }
          await lab().vpn.exec('sysctl -qw net.ipv4.conf.all.rp_filter=1');
        });
      }

      test('from and to our own unit: nothing of it stays or comes back', async () => {
        declare({}, Persistence.service());
        await hitless(() => terraform.apply());
        await exact('77');
        const left = (await lab().vpn.changedSince(before)).filter((line) =>
          options.files.includes(line.split(':')[0]),
        );
        expect(left).toEqual([]);
        await lab().vpn.exec(Object.values(events)[0]);
        await sleep(1_000);
        await exact('77');
        await lab().waitForVpn();
        declare();
        await hitless(() => terraform.apply());
        await exact();
      });

      test.each(Object.entries(events))('%s', async (_, command) => {
        const leaked = await lab().countPackets('upstream');
        const healed = Number((await lab().vpn.exec(timed(command))).stdout);
        process.stderr.write(`conformance: ${name}: ${_}: ${healed} ms\n`);
        await exact();
        expect(await leaked.total()).toBe(0);
        expect(healed).toBeLessThan(RESTORED_MS);
        await lab().vpn.exec(addressed);
        await lab().waitForVpn();
        expect(await sources(lab(), ['ovpn1', 'wg1'])).toEqual(
          ALL_THROUGH_NAT.filter((line) => /^(ovpn1|wg1) /.test(line)),
        );
      });

      test('a cable that is pulled for 8 s', async () => {
        const leaked = await lab().countPackets('upstream');
        await lab().vpn.unplug('eth1');
        await sleep(8_000);
        const up = await traffic.mark();
        await lab().vpn.plug('eth1');
        await sleep(5_000);
        const flows = await traffic.since(up);
        // IPv6 looks for somebody else with the same address first.
        const waited = { ipv4: 0, ipv6: 2_000 };
        expect(
          flows.filter(({ family, first }) => first === undefined || first > waited[family] + RESTORED_MS),
        ).toEqual([]);
        await exact();
        expect(await leaked.total()).toBe(0);
      });
    });

    test('a reboot', async () => {
      const leaked = await lab().countPackets('upstream');
      await lab().vpn.reboot();
      if (options.prepare) await lab().vpn.exec(options.prepare);
      await lab().waitForVpn();
      await exact();
      expect(await leaked.total()).toBe(0);
      expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
    });

    test('a reboot without our unit: it is the network manager that has it', async () => {
      await exact();
      const own = 'ip rule; ip -6 rule; ip route show table 200; ip -6 route show table 200';
      const declared = `{ ${own}; } | grep -e "lookup vpn" -e "lookup selectors" -e "prohibit" -e "via .* dev eth1" ${options.rejects ? '-e unreachable' : ''} | sort`;
      const wanted = (await lab().vpn.exec(declared)).stdout;
      expect(wanted.match(/lookup selectors/g)).toHaveLength(Object.keys(SELECTORS).length - without.length);
      await lab().vpn.exec('systemctl disable source-routing-vpn; systemctl mask --runtime source-routing-vpn');
      await lab().vpn.reboot();
      await lab().waitForVpn();
      const found = (await lab().vpn.exec(`${declared}; systemctl is-active source-routing-vpn >&2 || :`)).stdout;
      expect(found).toBe(wanted);
      await lab().vpn.exec('systemctl enable --now source-routing-vpn');
      if (options.prepare) await lab().vpn.exec(options.prepare);
      await exact();
    });

    test('a change that cuts off who makes it is undone, in the files of the manager, too', async () => {
      const old = await lab().vpn.snapshotState();
      await lab().administrateFrom('internet');
      // The answers of the server itself would go to the NAT router.
      declare({ clients: [...POOLS, '192.168.178.2/32'] }, persistence, true);
      const { code, stdout } = await terraform.run('apply', ['-auto-approve']);
      await lab().administrateFrom('admin');
      expect(code).not.toBe(0);
      expect(saidBy('apply', stdout).at(-1)).toMatch(/ROLLED BACK, everything is as it was/);
      expect(await lab().vpn.changedSince(old)).toEqual([]);
      await lab().vpn.exec(timed(Object.values(events)[0]));
      await exact();
      expect(await lab().vpn.changedSince(old)).toEqual([]);
      declare();
      await terraform.apply();
    });

    test('destroy: the machine is as it was, and stays so', async () => {
      await terraform.destroy();
      expect(await lab().vpn.changedSince(before)).toEqual([]);
      for (const command of Object.values(events)) {
        await lab().vpn.exec(command);
        await sleep(1_000);
      }
      await sleep(2_000);
      expect(await lab().vpn.changedSince(before)).toEqual([]);
      expect(await sources(lab(), ['vpn'])).toEqual(ALL_THROUGH_UPSTREAM.filter((line) => line.startsWith('vpn ')));
    });
  });
}

/** How the agent calls what is declared as `Persistence.networkManager()`. */
function agentName(call: string): string {
  const [, name] = /^Persistence\.(\w+)/.exec(call) ?? [];
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** Rules that are there more than once, under whatever protocol and however they are put. */
async function duplicates(lab: Lab): Promise<string[]> {
  const { stdout } = await lab.vpn.exec('ip -d -4 rule | sed "s/^/4 /"; ip -d -6 rule | sed "s/^/6 /"');
  const rules = stdout.split('\n').map((line) =>
    line
      .replace(/ proto \S+/, '')
      .replace(/^(. [1-9]\d*:).*/, '$1')
      .trim(),
  );
  return rules.filter((line, index) => line !== '' && rules.indexOf(line) !== index);
}

/** The protocols of the rules that lead to tables of ours, and of the routes through the egress device. */
async function tags(lab: Lab): Promise<string[]> {
  const { stdout } = await lab.vpn.exec(
    'ip -d -4 rule; ip -d -6 rule; ip -4 route show table all; ip -6 route show table all',
  );
  const lines = stdout
    .split('\n')
    .filter((line) => /lookup (vpn|tunnels|selectors|20\d) |^12001:|default via .* dev eth[01] table/.test(line));
  return [...new Set(lines.map((line) => / proto (\S+)/.exec(line)?.[1] ?? 'none'))];
}

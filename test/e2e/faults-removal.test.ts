import { Construct } from 'constructs';
import {
  HostState,
  IpFamily,
  LinuxHost,
  PolicyRule,
  RemovedLinuxHost,
  RuleAction,
  SourceRoutingTable,
} from '../../lib';
import { describeLab } from '../lab/describe-lab';
import type { Snapshot } from '../lab/snapshot';
import { CONFIRM_TIMEOUT, declareGeneration, settled } from './faults';
import { Terraform, saidBy, sshOf } from './terraform';

const ADMINISTRATOR = '192.168.178.10/32';

describeLab('a host that goes', { networkScripts: true }, (lab) => {
  let terraform: Terraform;
  let before: Snapshot;

  beforeEach(async () => {
    terraform = new Terraform(lab());
    before = await lab().vpn.snapshotState();
  });
  afterEach(() => terraform.close());

  const expectClean = async (): Promise<void> => {
    await settled(lab().vpn);
    expect(await lab().vpn.changedSince(before)).toEqual([]);
  };
  const declare = (ensure?: HostState): void =>
    terraform.declare((stack) => declareGeneration(stack, lab(), 'new', 'vpn', { ensure }));

  test('after an apply that failed: destroy leaves the machine as it was', async () => {
    terraform.declare((stack) => {
      const host = new LinuxHost(stack, 'vpn', {
        ssh: sshOf(lab()),
        owner: 'vpn',
        confirmTimeoutSeconds: CONFIRM_TIMEOUT,
        allowManagementPathChange: true,
      });
      const action = RuleAction.blackhole();
      new PolicyRule(stack, 'blackhole', { host, priority: 100, destination: ADMINISTRATOR, action });
    });
    expect((await terraform.run('apply', ['-auto-approve'])).code).toBe(1);
    await terraform.destroy();
    await expectClean();
  });

  test('after an apply that was killed half-way: destroy leaves the machine as it was', async () => {
    declare();
    const run = await terraform.start('apply', ['-auto-approve']);
    await lab().vpn.exec(
      'for try in $(seq 2000); do [ -e /var/lib/source-routing/vpn/trial/open ] && break; sleep 0.01; done',
    );
    run.signal('SIGKILL');
    await run.result;
    await terraform.destroy();
    await expectClean();
  });

  test('ensure: absent leaves the machine as it was, and the declaration can be deleted', async () => {
    declare();
    await terraform.apply();
    declare(HostState.ABSENT);
    await terraform.apply();
    await expectClean();
    terraform.declare(() => undefined);
    await terraform.apply();
    await expectClean();
  });

  test('RemovedLinuxHost in its place leaves the machine as it was', async () => {
    declare();
    await terraform.apply();
    terraform.declare((stack) => void new RemovedLinuxHost(stack, 'vpn', { confirmTimeoutSeconds: CONFIRM_TIMEOUT }));
    await terraform.apply();
    await expectClean();
    // Nothing is left to do.
    expect(await terraform.plan()).toContain('No changes.');
  });

  // Terraform runs the clean-up of the one and the apply of the other at once: each may be the first.
  test('a construct that is renamed has the machine under its new name, and can be destroyed', async () => {
    declare();
    await terraform.apply();
    terraform.declare((stack) => {
      new RemovedLinuxHost(stack, 'vpn', { confirmTimeoutSeconds: CONFIRM_TIMEOUT });
      const renamed = new Construct(stack, 'renamed');
      declareGeneration(renamed, lab(), 'new');
    });
    await terraform.apply();
    await settled(lab().vpn);
    await lab().vpn.exec('source-routing verify');
    expect(await terraform.plan()).toContain('No changes.');
    await terraform.destroy();
    await expectClean();
  });

  test('a clean-up that cuts the administrator off is undone, and destroy says so', async () => {
    terraform.declare((stack) => {
      const host = new LinuxHost(stack, 'vpn', {
        ssh: sshOf(lab()),
        owner: 'vpn',
        confirmTimeoutSeconds: CONFIRM_TIMEOUT,
      });
      const table = new SourceRoutingTable(stack, 'table', { host, tableId: 201, failClosed: false });
      table.addRoute('administrator', { destination: ADMINISTRATOR, device: 'eth0' });
      new PolicyRule(stack, 'administrator', { table, priority: 100, destination: ADMINISTRATOR });
    });
    await terraform.apply();
    // Somebody else's rule, which ours stands in front of.
    await lab().vpn.exec(`ip rule add priority 200 to ${ADMINISTRATOR} blackhole`);
    await settled(lab().vpn);
    const managed = await lab().vpn.snapshotState();
    const { code, stdout } = await terraform.run('destroy', ['-auto-approve']);
    expect(code).toBe(1);
    expect(saidBy('anchor', stdout).at(-1)).toMatch(/ROLLED BACK/);
    expect(await lab().vpn.changedSince(managed)).toEqual([]);
    await lab().vpn.exec(`ip rule del priority 200`);
    await terraform.destroy();
    await expectClean();
  });

  test('two owners have a machine to share; one that is in the way of the other is told of whom', async () => {
    const other = new Terraform(lab());
    const declareOther = (priority: number, tableId: number): void =>
      other.declare((stack) => {
        const host = new LinuxHost(stack, 'vpn', {
          ssh: sshOf(lab()),
          owner: 'other',
          confirmTimeoutSeconds: CONFIRM_TIMEOUT,
        });
        const table = new SourceRoutingTable(stack, 'table', { host, tableId });
        table.addRoute('v4', { destination: 'default', via: '192.168.1.1', device: 'eth1' });
        new PolicyRule(stack, 'clients', { table, priority, source: '10.10.11.0/24' });
        new PolicyRule(stack, 'no-ipv6', {
          host,
          priority: priority + 1,
          families: [IpFamily.IPV6],
          inputInterface: 'tun1',
          action: RuleAction.unreachable(),
        });
      });
    declare();
    await terraform.apply();
    await settled(lab().vpn);
    const alone = await lab().vpn.snapshotState();

    for (const [priority, tableId] of [
      [11010, 300],
      [12010, 200],
    ] as const) {
      declareOther(priority, tableId);
      const { code, stdout } = await other.run('apply', ['-auto-approve']);
      expect(code).toBe(1);
      expect(saidBy('apply', stdout).join('\n')).toMatch(/belongs to owner vpn on this machine/);
      expect(saidBy('apply', stdout).at(-1)).toMatch(/refused, nothing was changed/);
      expect(await lab().vpn.changedSince(alone)).toEqual([]);
    }

    declareOther(12010, 300);
    await other.apply();
    await settled(lab().vpn);
    const both = await lab().vpn.changedSince(alone);
    expect(both.filter((line) => !/^\+ .*(other|[12]201[01]|table 300|10\.10\.11\.0)/.test(line))).toEqual([]);
    await lab().vpn.exec('source-routing verify vpn && source-routing verify other');
    await other.destroy();
    await settled(lab().vpn);
    expect(await lab().vpn.changedSince(alone)).toEqual([]);
    other.close();
    await terraform.destroy();
    await expectClean();
  });

  test('that is dead: destroy fails in a bounded time and names the way out', async () => {
    terraform.declare((stack) =>
      declareGeneration(stack, lab(), 'new', 'vpn', { ssh: { ...sshOf(lab()), timeoutSeconds: 5 } }),
    );
    await terraform.apply();
    await lab().cut('admin');
    const start = Date.now();
    const { code, stdout, stderr } = await terraform
      .run('destroy', ['-auto-approve', '-refresh=false'])
      .finally(() => lab().mend('admin'));
    const seconds = (Date.now() - start) / 1000;
    expect(code).toBe(1);
    // One connection with its time, and the confirmation with that of the machine.
    expect(seconds).toBeLessThan(5 + CONFIRM_TIMEOUT + 60);
    process.stderr.write(`faults: destroy of a dead host failed after ${seconds.toFixed(0)} s\n`);
    expect(`${stdout}${stderr}`).toMatch(
      /terraform state rm terraform_data\.vpn_anchor_\S+ terraform_data\.vpn_apply_\S+/,
    );
    await terraform.destroy();
    await expectClean();
  });
});

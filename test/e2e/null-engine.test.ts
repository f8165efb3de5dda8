import { readFileSync } from 'node:fs';
import { Engine, PolicyRule } from '../../lib';
import { describeLab } from '../lab/describe-lab';
import type { Snapshot } from '../lab/snapshot';
import { ALL_THROUGH_NAT, declareEgress, sources } from './egress';
import type { RunningProvider } from './provider';
import { startProvider } from './provider';
import { Terraform, saidBy, sshOf } from './terraform';

describeLab('the null engine', {}, (lab) => {
  let terraform: Terraform;
  let env: NodeJS.ProcessEnv;
  let provider: RunningProvider;
  let before: Snapshot;

  beforeAll(async () => {
    provider = await startProvider(lab(), 'null');
    env = { ...provider.env };
    terraform = new Terraform(lab(), env);
    before = await lab().vpn.snapshotState();
  });
  afterAll(() => {
    terraform.close();
    provider.stop();
  });

  const declare = (extra?: number, ssh = sshOf(lab())): void =>
    terraform.declare((stack) => {
      const { table } = declareEgress(stack, lab(), {}, { engine: Engine.NULL_RESOURCE, ssh });
      if (extra !== undefined) {
        new PolicyRule(stack, 'extra', { table, source: '10.77.0.0/16', priority: extra });
      }
    });

  test('init, plan and apply', async () => {
    declare();
    expect(await terraform.plan()).toContain('Plan: 2 to add, 0 to change, 0 to destroy.');
    await terraform.apply();
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
  });

  test('again without a change', async () => {
    declare();
    expect(await terraform.plan(['-detailed-exitcode'])).toContain('No changes.');
  });

  test('replace: the plan shows the one rule', async () => {
    declare(12000);
    const plan = await terraform.plan();
    expect(plan).toContain('Plan: 1 to add, 0 to change, 1 to destroy.');
    expect(plan).toMatch(/\+ "rule ipv4 12000" += "from 10\.77\.0\.0\/16 lookup 200"/);
    await terraform.apply();
    expect((await lab().vpn.exec('ip rule show priority 12000')).stdout).toContain('from 10.77.0.0/16 lookup vpn');
  });

  test('another property of the connection replaces both resources', async () => {
    declare(12000, { ...sshOf(lab()), hostKey: undefined });
    expect(await terraform.plan()).toContain('Plan: 2 to add, 0 to change, 2 to destroy.');
    await terraform.apply();
    declare(12000);
    await terraform.apply();
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
  });

  test('a key in the environment instead of a file, and back: the clean-up takes what the state names', async () => {
    const { privateKeyFile = '', ...ssh } = sshOf(lab());
    env.VPN_KEY = readFileSync(privateKeyFile, 'utf8');
    declare(12000, { ...ssh, privateKeyEnvironmentVariable: 'VPN_KEY' });
    expect(await terraform.apply()).toContain('Apply complete! Resources: 2 added, 0 changed, 2 destroyed.');
    declare(12000);
    delete env.VPN_KEY;
    expect((await terraform.run('apply', ['-auto-approve'])).stderr).toContain(
      'self.triggers.key_variable is "VPN_KEY"',
    );
    env.VPN_KEY = readFileSync(privateKeyFile, 'utf8');
    await terraform.apply();
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
  });

  test('destroy: the machine is as it was', async () => {
    const output = await terraform.destroy();
    expect(saidBy('anchor', output).length).toBeGreaterThan(0);
    expect(await lab().vpn.changedSince(before)).toEqual([]);
  });
});

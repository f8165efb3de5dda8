import { join, resolve } from 'node:path';
import { Drift } from '../../lib';
import { describeLab } from '../lab/describe-lab';
import { ALL_THROUGH_NAT, declareEgress, sources } from './egress';
import { settled } from './faults';
import type { RunningProvider } from './provider';
import { startProvider } from './provider';
import { TERRAFORM_ENV, Terraform } from './terraform';

const ROOT = resolve(__dirname, '../..');
const VERIFY = ['node_modules/.bin/tsx', 'lib/cli/main.ts'].map((path) => join(ROOT, path));
const NOTHING_TO_DO = { plan: 'No changes.', warnings: [], verify: 0 };

describeLab('a plan that asks the machine', {}, (lab) => {
  let terraform: Terraform;
  let provider: RunningProvider;
  beforeAll(async () => {
    const env: NodeJS.ProcessEnv = {};
    terraform = new Terraform(lab(), env);
    provider = await startProvider(lab(), 'external', terraform.path('.'));
    Object.assign(env, provider.env);
    terraform.declare((stack) => declareEgress(stack, lab(), {}, { drift: Drift.inPlan({ timeoutSeconds: 5 }) }));
  });
  afterAll(() => {
    terraform.close();
    provider.stop();
  });

  /** What a plan says, and how `verify` of the command line ends. */
  async function look(): Promise<{ plan: string; warnings: string[]; verify: number | null }> {
    const said = await terraform.plan();
    const [plan = ''] = /No changes\.|Plan: .*/.exec(said) ?? [];
    const { code: verify } = await lab().admin([...VERIFY, 'verify', terraform.path('.')], {
      env: { ...process.env, ...TERRAFORM_ENV, ...provider.env },
    });
    return { plan, warnings: warningsIn(said), verify };
  }

  /** The sentences of the warnings; Terraform breaks their lines. */
  function warningsIn(said: string): string[] {
    const paragraphs = said.split('\n\n').map((text) => text.trim().replace(/\n/g, ' '));
    return paragraphs.filter((text) => text.startsWith('e2e/'));
  }

  /** Applies; the machine is then as declared. */
  async function mends(): Promise<void> {
    const said = await terraform.apply();
    expect(said).toContain('Apply complete! Resources: 1 added, 0 changed, 1 destroyed.');
    await settled(lab().vpn);
    expect(await look()).toEqual(NOTHING_TO_DO);
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
  }

  test('a first plan says that nothing is there yet, and after the apply there is nothing to do', async () => {
    const said = await terraform.plan();
    expect(said).toContain('Plan: 2 to add, 0 to change, 0 to destroy.');
    expect(warningsIn(said)).toEqual([
      'e2e/vpn is not as declared, so this plan applies everything again: nothing of vpn is on this machine',
    ]);
    const applied = await terraform.apply();
    // What it has mended is no warning.
    expect(applied.slice(applied.indexOf('Creating...'))).not.toContain('Warning');
    await settled(lab().vpn);
    expect(await look()).toEqual(NOTHING_TO_DO);
  });

  test('a rule that somebody deleted', async () => {
    await lab().vpn.exec('systemctl stop source-routing-vpn; ip -6 rule del pref 10010');
    const said = await terraform.plan();
    expect(said).toMatch(/~ drift += "none" -> \(known after apply\)/);
    expect(await look()).toEqual({
      plan: 'Plan: 1 to add, 0 to change, 1 to destroy.',
      warnings: [
        expect.stringContaining(
          'e2e/vpn is not as declared, so this plan applies everything again: missing: IPv6 rule 10010: from fd00:4242:4242:4242::/64 lookup 200; not as expected: ',
        ),
      ],
      verify: 1,
    });
    await mends();
  });

  test('a unit that is switched off', async () => {
    await lab().vpn.exec('systemctl disable source-routing-vpn');
    const { warnings, ...rest } = await look();
    expect(rest).toEqual({ plan: 'Plan: 1 to add, 0 to change, 1 to destroy.', verify: 1 });
    expect(warnings).toEqual([expect.stringContaining('source-routing-vpn.service')]);
    await mends();
  });

  test('a machine that was installed again', async () => {
    await lab().vpn.exec('source-routing remove vpn; rm -f /usr/local/sbin/source-routing');
    expect(await look()).toEqual({
      plan: 'Plan: 1 to add, 0 to change, 1 to destroy.',
      warnings: [
        'e2e/vpn is not as declared, so this plan applies everything again: nothing of vpn is on this machine',
      ],
      verify: 1,
    });
    await mends();
  });

  test('a machine that does not answer: a warning, and nothing is planned', async () => {
    await lab().vpn.exec('systemctl stop ssh.socket ssh');
    try {
      expect(await look()).toEqual({
        plan: 'No changes.',
        warnings: [
          'e2e/vpn could not be asked whether it is as declared, so nothing is planned for it: ssh: connect to host 192.168.178.2 port 22: Connection refused',
        ],
        verify: 2,
      });
    } finally {
      await lab().vpn.exec('systemctl start ssh');
    }
  });

  test('the clean-up asks nobody in vain', async () => {
    await terraform.destroy();
    expect((await lab().vpn.exec(['test', '-e', '/var/lib/source-routing'], { allowFailure: true })).code).toBe(1);
  });
});

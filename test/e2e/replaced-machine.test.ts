import { TerraformData } from '../../lib/delivery/terraform-data';
import { describeLab } from '../lab/describe-lab';
import { ALL_THROUGH_NAT, ALL_THROUGH_UPSTREAM, declareEgress, sources } from './egress';
import { Terraform, saidBy } from './terraform';

describeLab('a machine that is replaced behind its address', {}, (lab) => {
  let terraform: Terraform;
  beforeAll(() => {
    terraform = new Terraform(lab());
  });
  afterAll(() => terraform.close());

  /** The VPN server, and what stands for the instance that it is. */
  const declare = (image: string): void =>
    terraform.declare((stack) => {
      const instance = new TerraformData(stack, 'instance', { triggersReplace: { image } });
      declareEgress(stack, lab(), {}, { replaceTriggeredBy: [instance.getStringAttribute('id')] });
    });

  test('its clients leave through the upstream router, and Terraform cannot know', async () => {
    declare('old');
    await terraform.apply();
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
    await lab().vpn.replace();
    await lab().waitForVpn();
    expect((await lab().vpn.exec(['test', '-e', '/var/lib/source-routing'], { allowFailure: true })).code).toBe(1);
    expect(await sources(lab())).toEqual(ALL_THROUGH_UPSTREAM);
    expect(await terraform.plan()).toContain('No changes.');
  });

  test('another instance: the plan shows the apply, and nothing that would clean up', async () => {
    declare('new');
    const plan = await terraform.plan();
    expect(plan).toContain('Plan: 2 to add, 0 to change, 2 to destroy.');
    expect(plan).toMatch(/~ machine += "[0-9a-f-]{36}" -> \(known after apply\)/);
    expect(plan).not.toMatch(/vpn_anchor_\w+ (must|will) be/);
  });

  test('its clients leave through the NAT router after the apply, which runs no clean-up', async () => {
    const said = await terraform.apply();
    expect(saidBy('anchor', said)).toEqual([]);
    expect(saidBy('apply', said).at(-1)).toContain('source-routing: done: generation ');
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
    await lab().vpn.exec('source-routing verify');
    expect(await terraform.plan()).toContain('No changes.');
  });

  test('destroy cleans the new machine up', async () => {
    const before = (await lab().vpn.exec('ip rule show; ip -6 rule show')).stdout;
    expect(before).toContain('lookup vpn');
    await terraform.destroy();
    expect((await lab().vpn.exec('ip rule show; ip -6 rule show')).stdout).not.toContain('lookup vpn');
    expect((await lab().vpn.exec(['test', '-e', '/var/lib/source-routing'], { allowFailure: true })).code).toBe(1);
    expect(await sources(lab())).toEqual(ALL_THROUGH_UPSTREAM);
  });
});

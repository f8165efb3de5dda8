import type { TerraformStack } from 'cdktf';
import { Persistence } from '../../lib';
import { describeLab } from '../lab/describe-lab';
import type { Snapshot } from '../lab/snapshot';
import type { Traffic } from '../lab/traffic';
import { declareEgress } from './egress';
import { CONFIRM_TIMEOUT, settled, sleep, steadyTraffic } from './faults';
import { Terraform, saidBy } from './terraform';

const DROP_IN = '/etc/systemd/network/10-eth1.network.d/50-source-routing-vpn.conf';

describeLab('who makes it permanent is changed on a machine of systemd-networkd', {}, (lab) => {
  let terraform: Terraform;
  let before: Snapshot;
  let traffic: Traffic;

  beforeAll(async () => {
    before = await lab().vpn.snapshotState();
    terraform = new Terraform(lab());
    declare(Persistence.service());
    await terraform.apply();
    await lab().waitForVpn();
    traffic = await steadyTraffic(lab());
  }, 120_000);
  afterAll(async () => {
    await traffic.stop().catch(() => undefined);
    terraform.close();
  });

  function declare(persistence: Persistence): void {
    terraform.declare(
      (stack: TerraformStack) =>
        void declareEgress(
          stack,
          lab(),
          {},
          {
            interfaces: undefined,
            confirmTimeoutSeconds: CONFIRM_TIMEOUT,
            persistence,
          },
        ),
    );
  }

  /** Applies what is declared while clients send: no packet is lost, none leaks. What the machine said. */
  async function hitless(): Promise<string> {
    const mark = await traffic.mark();
    const output = await terraform.apply();
    await sleep(1_000);
    const flows = await traffic.since(mark);
    expect(flows.filter(({ lost, upstream }) => lost > 0 || upstream > 0)).toEqual([]);
    await settled(lab().vpn);
    await lab().vpn.exec('source-routing verify vpn');
    return saidBy('apply', output).join('\n');
  }

  async function has(path: string): Promise<boolean> {
    return (await lab().vpn.exec(['test', '-e', path], { allowFailure: true })).code === 0;
  }

  async function tags(): Promise<string[]> {
    const { stdout } = await lab().vpn.exec('ip -4 rule; ip -6 rule');
    const lines = stdout.split('\n').filter((line) => /from \S+ lookup vpn/.test(line));
    return lines.map((line) => / proto (\S+)/.exec(line)?.[1] ?? 'none');
  }

  const all = (tag: string): string[] => Array<string>(4).fill(tag);

  test('from our own unit to systemd-networkd', async () => {
    expect(await tags()).toEqual(all('77'));
    declare(Persistence.networkd());
    await hitless();
    expect(await tags()).toEqual(all('static'));
    expect(await has(DROP_IN)).toBe(true);
  });

  test('what is chosen on the machine is what is in force', async () => {
    declare(Persistence.auto());
    expect(await hitless()).toContain('made permanent by networkd, which manages eth1');
    expect(await tags()).toEqual(all('static'));
    expect((await lab().vpn.exec('source-routing status vpn')).stdout).toContain('made permanent by networkd');
  });

  test('back to our own unit: systemd-networkd does not bring anything back', async () => {
    declare(Persistence.service());
    await hitless();
    expect(await tags()).toEqual(all('77'));
    expect(await has(DROP_IN)).toBe(false);
    await lab().vpn.exec('networkctl reconfigure eth1; sleep 2');
    await lab().vpn.exec('source-routing verify vpn');
    expect(await tags()).toEqual(all('77'));
  });

  test('what was chosen stays chosen', async () => {
    await lab().waitForVpn();
    declare(Persistence.auto());
    expect(await hitless()).toContain('made permanent by service');
    expect(await tags()).toEqual(all('77'));
  });

  test('leaves nothing', async () => {
    await terraform.destroy();
    expect(await lab().vpn.changedSince(before)).toEqual([]);
  });
});

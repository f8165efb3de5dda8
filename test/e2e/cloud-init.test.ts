import { TerraformOutput, TerraformStack, Testing } from 'cdktf';
import { CloudInit, LinuxHost, Persistence, VpnEgress } from '../../lib';
import { describeLab } from '../lab/describe-lab';
import type { PacketCounter } from '../lab/packet-counter';
import type { Traffic } from '../lab/traffic';
import { ALL_THROUGH_NAT, ALL_THROUGH_UPSTREAM, GATEWAYS, INTERFACES, POOLS, declareEgress, sources } from './egress';
import { CONFIRM_TIMEOUT, settled, sleep, steadyTraffic } from './faults';
import { Terraform, saidBy, sshOf } from './terraform';

/** Runs in the last stage of cloud-init, as the installation of packages does. */
const SLOW = `#!/bin/sh
sleep 8
date +%s.%N >/var/lib/slow
`;

/** The declaration of the tests below, as the machine has it when it boots. */
function userData(): string {
  const stack = new TerraformStack(Testing.app(), 'stack');
  const host = new LinuxHost(stack, 'vpn', {
    ssh: { host: '192.168.178.2', privateKeyFile: '~/.ssh/id' },
    owner: 'vpn',
    interfaces: INTERFACES,
  });
  new VpnEgress(stack, 'egress', { host, device: 'eth1', tableId: 200, clients: POOLS, gateways: GATEWAYS });
  new TerraformOutput(stack, 'text', { value: CloudInit.of(host).userDataWith([SLOW]), staticId: true });
  const { output } = JSON.parse(Testing.synth(stack)) as { output: { text: { value: string } } };
  // Terraform would do that.
  return output.text.value.replace(/([$%])\1\{/g, '$1{');
}

describeLab('a machine that boots with its declaration', { userData: userData() }, (lab) => {
  let terraform: Terraform;
  let leaked: PacketCounter;
  beforeAll(() => {
    terraform = new Terraform(lab());
  });
  beforeEach(async () => {
    leaked = await lab().countPackets('upstream');
  });
  afterAll(() => terraform.close());

  const inside = async (command: string): Promise<string> => (await lab().vpn.exec(command)).stdout.trim();

  /** All that is ours on the machine. */
  const ours = (): Promise<string> =>
    inside(`ip rule; ip -6 rule; ip route show table 200; ip -6 route show table 200; nft list tables
      find /etc /run /usr/local /var/lib -xdev -path /var/lib/cloud -prune -o -name '*source-routing*' -print`);

  /** The clients' packets since a moment of the traffic: none lost, and all by the NAT router. */
  async function hitless(traffic: Traffic, change: () => Promise<unknown>): Promise<void> {
    const mark = await traffic.mark();
    await change();
    await sleep(1_500);
    const flows = await traffic.since(mark);
    expect(flows.filter(({ lost, upstream, sent, nat }) => lost > 0 || upstream > 0 || nat < sent)).toEqual([]);
    expect(await leaked.total()).toBe(0);
  }

  test('its clients leave by the NAT router, and there was no apply', async () => {
    expect(await inside('cloud-init status')).toContain('status: done');
    expect(await inside('cat /var/lib/source-routing/vpn/current')).toBe('cloud-init');
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
    expect(await inside('systemctl --failed --no-legend')).toBe('');
  });

  test('from power on, no packet of a client leaves by the uplink', async () => {
    const traffic = await steadyTraffic(lab());
    const before = await traffic.mark();
    await lab().vpn.replace();
    await lab().waitForVpn();
    await sleep(3_000);
    const flows = await traffic.since(before);
    process.stderr.write(`cloud-init: first boot: ${JSON.stringify(flows.map(({ longestGap }) => longestGap))} ms\n`);
    expect(flows.filter(({ upstream, nat }) => upstream > 0 || nat === 0)).toEqual([]);
    expect(await leaked.total()).toBe(0);
    await traffic.stop();
  });

  test('nor after a reboot, a flush or a restarted network manager, and all is there again', async () => {
    const traffic = await steadyTraffic(lab());
    await lab().vpn.reboot();
    await lab().waitForVpn();
    for (const event of [
      'ip rule flush proto 77; ip -6 rule flush proto 77',
      'systemctl restart systemd-networkd',
      'ip link set eth1 down; sleep 1; ip link set eth1 up',
    ]) {
      await inside(event);
      await sleep(4_000);
      expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
    }
    expect(await leaked.total()).toBe(0);
    await traffic.stop();
  });

  test('a first apply that is rolled back leaves what was there', async () => {
    // The answers of the server itself would go to the NAT router.
    const props = { clients: [...POOLS, '192.168.178.2/32'] };
    const options = { interfaces: undefined, confirmTimeoutSeconds: CONFIRM_TIMEOUT, allowManagementPathChange: true };
    terraform.declare((stack) => declareEgress(stack, lab(), props, options));
    const before = await lab().vpn.snapshotState();
    await lab().administrateFrom('internet');
    const { code, stdout } = await terraform.run('apply', ['-auto-approve']);
    await lab().administrateFrom('admin');
    expect(code).not.toBe(0);
    expect(saidBy('apply', stdout).at(-1)).toMatch(/ROLLED BACK, everything is as it was/);
    await settled(lab().vpn);
    expect(await lab().vpn.changedSince(before)).toEqual([]);
    expect(await inside('cat /var/lib/source-routing/vpn/current')).toBe('cloud-init');
    await inside('ip rule flush proto 77; sleep 3');
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
    expect(await leaked.total()).toBe(0);
  });

  test('the first apply takes it over, and loses no packet', async () => {
    terraform.declare((stack) => declareEgress(stack, lab()));
    const traffic = await steadyTraffic(lab());
    await hitless(traffic, async () => {
      const said = saidBy('apply', await terraform.apply());
      // Nothing had to be added.
      expect(said.filter((line) => /^source-routing: [+-] /.test(line))).toEqual([]);
      await settled(lab().vpn);
    });
    await traffic.stop();
    expect(await inside('source-routing verify')).toMatch(/kernel and files agree/);
    expect(await inside('ls /var/lib/source-routing/vpn')).not.toContain('cloud-init');
    expect(await terraform.plan()).toContain('No changes.');
    await lab().vpn.reboot();
    await lab().waitForVpn();
    expect(await inside('source-routing verify')).toMatch(/kernel and files agree/);
    expect(await leaked.total()).toBe(0);
  });

  test('destroy: nothing is left, and a reboot brings nothing back', async () => {
    await terraform.destroy();
    const left = await ours();
    await lab().vpn.reboot();
    await lab().waitForVpn();
    for (const text of [left, await ours()]) {
      expect(text).not.toMatch(/source.routing|proto 77|^[12]\d{4}:|lookup 200|unreachable/m);
    }
    expect(await sources(lab())).toEqual(ALL_THROUGH_UPSTREAM);
  });

  test('an apply waits for a new machine and its cloud-init, and removes what is not declared any more', async () => {
    const clients = POOLS.slice(0, 1).concat(POOLS.slice(2, 3));
    terraform.declare((stack) => {
      const persistence = Persistence.auto();
      declareEgress(
        stack,
        lab(),
        { clients },
        { persistence, interfaces: undefined, ssh: { ...sshOf(lab()), timeoutSeconds: 120 } },
      );
    });
    const [said] = await Promise.all([terraform.apply(), lab().vpn.replace()]);
    expect(saidBy('apply', said)[0]).toContain('waiting for cloud-init to finish');
    expect(said).toContain('made permanent by networkd, which manages eth1');
    await settled(lab().vpn);
    expect(await inside('[ /var/lib/source-routing/vpn/current -nt /var/lib/slow ] && echo after')).toBe('after');
    expect(await inside('source-routing verify')).toMatch(/kernel and files agree/);
    expect(await ours()).not.toMatch(/10\.10\.20\.0|4242:2020|proto 77.*lookup|lookup.*proto 77/);
    await lab().waitForVpn(['ovpn1', 'ovpn2']);
    const nodes = ['ovpn1', 'ovpn2'] as const;
    expect(await sources(lab(), nodes)).toEqual(ALL_THROUGH_NAT.filter((line) => /^ovpn/.test(line)));
  });

  test('without an apply, a clean-up removes it, too', async () => {
    await lab().vpn.replace();
    await terraform.destroy();
    expect(await ours()).not.toMatch(/source.routing|proto 77|^[12]\d{4}:|unreachable/m);
  });
});

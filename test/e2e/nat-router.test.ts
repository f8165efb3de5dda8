import { Forwarding, LinuxHost, NatRouter, SourceNat } from '../../lib';
import { describeLab } from '../lab/describe-lab';
import type { Snapshot } from '../lab/snapshot';
import { ALL_THROUGH_NAT, ALL_THROUGH_UPSTREAM, NAT, declareEgress, sources } from './egress';
import { Terraform, sshOf } from './terraform';

describeLab('a NAT router', { returnRoutes: false }, (lab) => {
  let terraform: Terraform;
  let before: { vpn: Snapshot; nat: Snapshot };
  let settings: string;

  const ofNat = async (command: string): Promise<string> => (await lab().nat.exec(command)).stdout.trim();
  const others = (): Promise<string> =>
    ofNat('nft list ruleset; cd /proc/sys/net; grep . ipv4/ip_forward ipv4/conf/*/forwarding ipv6/conf/*/forwarding');

  beforeAll(async () => {
    terraform = new Terraform(lab());
    // A machine that is no router yet.
    await ofNat(`systemctl --quiet disable --now nftables; nft flush ruleset
      sed -i /forward/d /etc/sysctl.d/50-lab.conf; sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0`);
    before = { vpn: await lab().vpn.snapshotState(), nat: await lab().nat.snapshotState() };
    settings = await others();
  });
  afterAll(() => terraform.close());

  const declare = (sourceNat?: SourceNat): void =>
    terraform.declare((stack) => {
      const egress = declareEgress(stack, lab());
      const host = new LinuxHost(stack, 'nat', { ssh: sshOf(lab(), 'nat'), owner: 'nat' });
      const forwarding = Forwarding.sysctl();
      new NatRouter(stack, 'router', { host, egress, inside: 'eth1', outside: 'eth2', sourceNat, forwarding });
    });

  test.each<[string, SourceNat | undefined]>([
    ['masquerades', undefined],
    ['gives a fixed address', SourceNat.to(Object.values(NAT))],
  ])('%s: clients leave through it, with its address', async (_, sourceNat) => {
    declare(sourceNat);
    await terraform.apply();
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
    await lab().nat.exec('source-routing verify nat');
  });

  test('does so after a reboot', async () => {
    await lab().nat.reboot();
    await lab().waitForVpn();
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
  });

  test('destroy: both machines are as they were', async () => {
    await terraform.destroy();
    expect(await lab().vpn.changedSince(before.vpn)).toEqual([]);
    expect(await lab().nat.changedSince(before.nat)).toEqual([]);
    expect(await others()).toBe(settings);
    expect(await sources(lab())).toEqual(ALL_THROUGH_UPSTREAM);
  });
});

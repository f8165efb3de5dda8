import { Forwarding, LinuxHost, NatRouter, SourceNat } from '../../lib';
import { describeLab } from '../lab/describe-lab';
import type { Snapshot } from '../lab/snapshot';
import { ALL_THROUGH_NAT, ALL_THROUGH_UPSTREAM, NAT, declareEgress, sources } from './egress';
import { Terraform, saidBy, sshOf } from './terraform';

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

  const declare = (sourceNat?: SourceNat, trigger?: string): void =>
    terraform.declare((stack) => {
      const egress = declareEgress(stack, lab());
      const host = new LinuxHost(stack, 'nat', {
        ssh: sshOf(lab(), 'nat'),
        owner: 'nat',
        replaceTriggeredBy: trigger === undefined ? undefined : [trigger],
      });
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
    const { stdout } = await lab().nat.exec('source-routing probe nat');
    for (const address of Object.values(NAT)) {
      expect(stdout).toMatch(
        new RegExp(
          `^source-routing: \\+ e2e/router/leave-\\d: packets \\S+ -> \\S+ from eth1 \\(.*\\) leave by eth2, their source changed to ${address}$`,
          'm',
        ),
      );
    }
  });

  test.each([
    [
      'drops them',
      "nft 'add table inet fw; add chain inet fw c { type filter hook forward priority 0; policy drop; }'",
      /leave-1: packets 10\.10\.\S+ -> \S+ from eth1 \(.*\) are dropped by chain inet fw c \(policy drop\)\. Accept them there, .*Forwarding\.nftables/,
    ],
    [
      'does not translate them',
      "nft 'add table inet fw; add chain inet fw c { type filter hook prerouting priority raw; }; add rule inet fw c iifname eth1 notrack'",
      /leave-1: packets 10\.10\.\S+ -> \S+ from eth1 \(.*\) leave by eth2 with the address of the client, which is not translated\. Nobody could answer them: /,
    ],
  ])('of which a firewall %s: a change is refused, and says why', async (_, broken, reason) => {
    await lab().nat.exec(broken);
    try {
      declare(undefined, broken);
      const { code, stdout } = await terraform.run('apply', ['-auto-approve']);
      expect(code).toBe(1);
      expect(saidBy('apply', stdout).at(-1)).toMatch(reason);
    } finally {
      await lab().nat.exec('nft delete table inet fw');
    }
    await terraform.apply();
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
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

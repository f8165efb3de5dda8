import type { VpnEgressProps } from '../../lib';
import { describeLab } from '../lab/describe-lab';
import type { Snapshot } from '../lab/snapshot';
import { ALL_THROUGH_NAT, declareEgress, sources } from './egress';
import { steadyTraffic } from './faults';
import { Terraform } from './terraform';

const DROP_IN = '/etc/systemd/network/10-eth1.network.d/lab.conf';
/** The NAT router gives addresses, and names itself as the router. */
const server = (router: string): string => `[Network]
DHCPServer=yes
IPv6SendRA=yes
[DHCPServer]
PoolOffset=150
PoolSize=20
Router=${router}
EmitDNS=no
[IPv6SendRA]
EmitDNS=no
`;
/** The server's own packets go on by eth0. */
const CLIENT = `[Network]
DHCP=ipv4
IPv6AcceptRA=yes
[DHCPv4]
RouteMetric=2000
UseDNS=no
[IPv6AcceptRA]
RouteMetric=2000
UseDNS=no
`;

describeLab('the next hop of the clients', {}, (lab) => {
  let terraform: Terraform;
  let before: Snapshot;
  beforeEach(async () => {
    terraform = new Terraform(lab());
    before = await lab().vpn.snapshotState();
  });
  afterEach(() => terraform.close());

  const inside = async (command: string): Promise<string> => (await lab().vpn.exec(command)).stdout.trim();
  const apply = async (props: Partial<VpnEgressProps>): Promise<void> => {
    terraform.declare((stack) => void declareEgress(stack, lab(), props));
    await terraform.apply();
  };
  const destroy = async (): Promise<void> => {
    await terraform.destroy();
    expect(await lab().vpn.changedSince(before)).toEqual([]);
  };

  test('may be an IPv6 address for IPv4 packets', async () => {
    const { stdout } = await lab().nat.exec('ip -6 -o addr show dev eth1 scope link');
    const address = /inet6 (fe80\S+)\//.exec(stdout)?.[1] ?? 'none';
    await apply({ gateways: [`inet6 ${address}`, address] });
    expect(await inside('ip route show table 200')).toContain(`default via inet6 ${address} dev eth1`);
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
    await inside('source-routing probe && source-routing verify');
    await destroy();
  });

  test('may be what DHCP and router advertisements give, also when that changes', async () => {
    await lab().nat.writeFile(DROP_IN, server('192.168.1.1'));
    await lab().nat.exec('networkctl reload');
    await lab().vpn.writeFile(DROP_IN, CLIENT);
    const given = '[ -n "$(ip route show default dev eth1)" ] && [ -n "$(ip -6 route show default dev eth1)" ]';
    await inside(`networkctl reload; timeout 60 sh -c 'until ${given}; do sleep 0.2; done'`);
    before = await lab().vpn.snapshotState();
    await apply({ gateways: ['dhcp4', 'ra'] });
    expect(await inside('ip route show table 200; ip -6 route show table 200')).toMatch(
      /^default via 192\.168\.1\.1 dev eth1 [^]*\ndefault via fe80::\S+ dev eth1 /,
    );
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);

    const traffic = await steadyTraffic(lab());
    try {
      const mark = await traffic.mark();
      await lab().nat.writeFile(DROP_IN, server('192.168.1.77'));
      await lab().nat.exec('networkctl reload; sleep 3; ip addr add 192.168.1.77/24 dev eth1');
      const followed = 'ip route show table 200 | grep -q "via 192.168.1.77 "';
      await inside(`networkctl renew eth1; timeout 30 sh -c 'until ${followed}; do sleep 0.2; done'`);
      const flows = await traffic.since(mark);
      expect(flows.filter(({ upstream }) => upstream > 0)).toEqual([]);
    } finally {
      await traffic.stop();
    }
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
    await inside('source-routing verify');
    await terraform.destroy();
    expect(await inside('ip route show table 200; ip -6 route show table 200; ip rule | grep -c 10010 || :')).toBe('0');
  });
});

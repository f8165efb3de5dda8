import { describeLab } from '../lab/describe-lab';
import { ALL_THROUGH_NAT, declareEgress, sources } from './egress';
import { Terraform } from './terraform';

/** It has routes with next hop objects in the main table and in ours, and rules in front of ours. */
const FRR = `cat >/etc/frr/frr.conf <<END
ip route 198.51.100.0/24 192.168.178.1
ip route 198.51.100.0/24 192.168.1.1
ip route 198.18.0.0/16 192.168.178.1 table 200
ipv6 route 2001:db8:18::/48 fd00:178::1 table 200
END
  sed -i 's/^pbrd=no/pbrd=yes/' /etc/frr/daemons
  systemctl restart frr
  until ip route show 198.51.100.0/24 | grep -q . && ip -6 route show table 200 | grep -q db8:18; do sleep 0.1; done
  vtysh -c 'configure terminal' -c 'pbr-map admins seq 10' -c 'match dst-ip 198.18.5.0/24' \\
    -c 'set nexthop 192.168.178.1' -c exit -c 'interface eth0' -c 'pbr-policy admins'
  until ip rule | grep -q zebra; do sleep 0.1; done`;

/** Zebra also makes next hop objects for routes of ours, and keeps them for some minutes: they are not compared. */
const WITHOUT_OURS = `for family in 4 6; do
    ip -N -$family rule | grep -v -e ' proto 77' -e '^2001[0-9]:'
    ip -N -o -$family route show table all | grep -v -e ' proto 77' -e ' expires '
  done`;

describeLab('beside FRR', { packages: ['frr'] }, (lab) => {
  let terraform: Terraform;
  beforeAll(async () => {
    terraform = new Terraform(lab());
    await lab().vpn.exec(FRR);
  });
  afterAll(() => terraform.close());

  const inside = async (command: string): Promise<string> => (await lab().vpn.exec(command)).stdout;

  test('zebra lives on with all that it has; clients leave where they should', async () => {
    const zebra = await inside('pidof zebra');
    const theirs = await inside(WITHOUT_OURS);
    expect(theirs).toMatch(/table 200 .*proto 196/);
    const leaked = await lab().countPackets('upstream');
    terraform.declare((stack) => void declareEgress(stack, lab()));
    await terraform.apply();
    for (let round = 0; round < 3; round++) {
      expect(await inside('source-routing verify vpn && source-routing probe vpn')).toContain('agree');
    }
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
    expect(await inside(WITHOUT_OURS)).toBe(theirs);
    await lab().vpn.exec('ip rule flush proto 77; ip route flush table 200 proto 77');
    await lab().vpn.exec('until source-routing verify vpn; do sleep 0.2; done');
    expect(await leaked.total()).toBe(0);
    await terraform.destroy();
    expect(await inside(WITHOUT_OURS)).toBe(theirs);
    expect(await inside('pidof zebra')).toBe(zebra);
  });
});

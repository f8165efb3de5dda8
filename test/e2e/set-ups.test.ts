import type { LinuxHostProps, VpnEgress, VpnEgressProps } from '../../lib';
import { describeLab } from '../lab/describe-lab';
import type { Lab } from '../lab/lab';
import { poll } from '../lab/process';
import type { ClientName, Family } from '../lab/topology';
import { families } from '../lab/topology';
import { ALL_THROUGH_NAT, INTERFACES, POOLS, declareEgress, sources } from './egress';
import { Terraform, saidBy } from './terraform';

/** A network as some people have it, in which the clients leave through the NAT router after the change. */
interface SetUp {
  readonly on: (lab: Lab) => Promise<unknown>;
  readonly off: (lab: Lab) => Promise<unknown>;
  readonly interfaces?: LinuxHostProps['interfaces'];
  readonly egress?: Partial<VpnEgressProps>;
  readonly more?: (egress: VpnEgress) => void;
  /** What has to be true beside that all clients leave through the NAT router. */
  readonly check?: (lab: Lab) => Promise<void>;
}

const [ETH0, ETH1, TUN0, WG0] = INTERFACES;
/** A line of its own to the NAT router: the other end is a peer, and IPv6 has only link-local addresses, as with PPPoE. */
const line = (own: string, peer: string, from: string, to: string): string => `set -e
  openvpn --daemon --dev ppp0 --dev-type tun --local ${from} --remote ${to} --port 2000 --cipher none --auth none \\
    --writepid /run/lab-line.pid
  for try in $(seq 50); do [ -e /sys/class/net/ppp0 ] && break; sleep 0.1; done
  ip address add ${own} peer ${peer} dev ppp0
  ip link set ppp0 up`;
const onNetworkd = (change: string): string => `sed -i '${change}' /etc/systemd/network/10-eth1.network
  networkctl reload; networkctl reconfigure eth1; sleep 1`;
const returnRoutes = (pools: readonly string[], way: (family: Family) => string): string =>
  pools.map((pool) => `ip route replace ${pool} ${way(pool.includes(':') ? 'ipv6' : 'ipv4')}`).join('; ');
const byEth1 = (family: Family): string => `via ${ETH1.addresses[family === 'ipv4' ? 0 : 1].split('/')[0]}`;
const BEHIND = { ipv4: '10.99.0.1', ipv6: 'fd00:99::1' };

const SET_UPS: Record<string, SetUp> = {
  'a point-to-point line, without a gateway': {
    on: async ({ vpn, nat }) => {
      await nat.exec(line('192.0.2.1', '192.0.2.2', '192.168.1.1', '192.168.1.100'));
      await vpn.exec(line('192.0.2.2', '192.0.2.1', '192.168.1.100', '192.168.1.1'));
      await nat.exec(returnRoutes(POOLS, () => 'dev ppp0'));
    },
    off: async ({ vpn, nat }) => {
      await nat.exec(returnRoutes(POOLS, byEth1));
      for (const machine of [vpn, nat]) await machine.exec('kill $(cat /run/lab-line.pid); rm /run/lab-line.pid');
    },
    interfaces: [ETH0, ETH1, { name: 'ppp0', addresses: ['192.0.2.2/32'] }, TUN0, WG0],
    egress: { device: 'ppp0', gateways: undefined },
  },
  'an interface with a single address, and a gateway that is on no network of it': {
    on: ({ vpn }) => vpn.exec(onNetworkd('/^Address=/{ s,/24,/32,; s,/64,/128, }')),
    off: ({ vpn }) => vpn.exec(onNetworkd('/^Address=/{ s,/32,/24,; s,/128,/64, }')),
    interfaces: [ETH0, { name: 'eth1', addresses: ['192.168.1.100/32', 'fd00:1010:1010:1010::100/128'] }, TUN0, WG0],
    egress: { onLink: true },
  },
};

describeLab('a set-up', {}, (lab) => {
  let terraform: Terraform;
  beforeEach(() => {
    terraform = new Terraform(lab());
  });
  afterEach(() => terraform.close());

  test.each(Object.entries(SET_UPS))('%s', async (_, { on, off, interfaces, egress, more, check }) => {
    await on(lab());
    try {
      await lab().waitForVpn();
      const before = await lab().vpn.snapshotState();
      terraform.declare((stack) => {
        const declared = declareEgress(stack, lab(), egress, { interfaces: interfaces ?? INTERFACES });
        more?.(declared);
      });
      const said = saidBy('apply', await terraform.apply());
      process.stderr.write(said.join('\n') + '\n');
      expect(said.filter((line) => line.includes('note:'))).toEqual([]);
      expect(said.at(-1)).toMatch(/^source-routing: done: /);
      expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
      await check?.(lab());
      await lab().vpn.exec('source-routing verify vpn');
      await lab().vpn.exec('source-routing probe vpn');
      expect(await terraform.plan()).toContain('No changes.');
      await terraform.destroy();
      expect(await lab().vpn.changedSince(before)).toEqual([]);
    } finally {
      await terraform.run('destroy', ['-auto-approve']);
      await off(lab());
    }
  });
});

import { describeLab } from '../lab/describe-lab';
import type { Snapshot } from '../lab/snapshot';
import type { ClientName } from '../lab/topology';
import { publicAddress } from '../lab/topology';
import { Cdktf } from './cdktf';
import { NAT, UPSTREAM, sources } from './egress';

const PROFILES = { ovpn1: 'staff', ovpn2: 'staff', wg1: 'staff', wg2: 'guests' } as const;
const CLIENTS = ['ovpn1', 'ovpn2', 'wg1', 'wg2'] as const;
const NAT2 = { ipv4: publicAddress('nat2', 'ipv4'), ipv6: publicAddress('nat2', 'ipv6') };

/** The server's addresses in each client's tunnel: they answer as soon as the tunnel is up. */
const SERVER = {
  ovpn1: ['10.10.10.1', 'fd00:4242:4242:1010::1'],
  ovpn2: ['10.10.10.129', 'fd00:4242:4242:1010::1:1'],
  wg1: ['10.10.11.1', 'fd00:4242:4242:1011::1'],
  wg2: ['10.10.20.1', 'fd00:4242:4242:2020::1'],
};

/** Addresses of clients. OpenVPN gives the first one that it has. */
const STAFF = {
  ovpn2: ['10.10.10.130', 'fd00:4242:4242:1010::1:2'],
  wg1: ['10.10.11.2', 'fd00:4242:4242:1011::2'],
};
const GUEST = ['10.10.20.3', 'fd00:4242:4242:2020::3'];

/** What vpn-server-node writes for the profiles of the example, and its firewall. */
const NODE = `set -e
  cd /etc/openvpn/server
  sed -i -e '/^client-config-dir/d' -e 's,^server .*,server 10.10.10.0 255.255.255.128,' \\
    -e 's,^server-ipv6 .*,server-ipv6 fd00:4242:4242:1010::/112,' server.conf
  sed -i -e '/^client-config-dir/d' -e 's,^server .*,server 10.10.10.128 255.255.255.128,' \\
    -e 's,^server-ipv6 .*,server-ipv6 fd00:4242:4242:1010::1:0/112,' \\
    -e 's/^proto .*/proto tcp-server/; s/^port .*/port 1194/; /^multihome/d; /^explicit-exit-notify/d' second.conf
  sed -i -e 's,^Address = .*,&\\, 10.10.11.1/24\\, fd00:4242:4242:1011::1/64,' \\
    -e 's,10.10.20.2/32.*,10.10.11.2/32\\, fd00:4242:4242:1011::2/128,' /etc/wireguard/wg0.conf
  cat >/etc/nftables.conf <<'RULES'
flush ruleset
table inet filter {
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state vmap { established : accept, related : accept, invalid : drop }
		iifname { "tun*", "wg*" } oifname "eth0" accept
	}
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		oifname "eth0" masquerade
	}
}
RULES
  systemctl --quiet enable nftables openvpn-server@second
  systemctl restart nftables openvpn-server@server openvpn-server@second wg-quick@wg0`;

/** The routes come back within a second of the carrier (measured in `watch.test.ts`), not with it. */
const GUESTS_HAVE_THEIR_WAY = `for family in -4 -6; do
    end=$(($(date +%s) + 20))
    until ip $family route show table 202 default | grep -q eth2; do
      [ $(date +%s) -lt $end ] || exit 1
      sleep 0.05
    done
  done`;

describeLab('a node of eduVPN with a NAT router for each profile', { secondNatRouter: true }, (lab) => {
  let cdktf: Cdktf;
  let before: Snapshot;
  let rules: string;

  const ruleset = async (): Promise<string> => (await lab().vpn.exec('nft -s list ruleset')).stdout;
  const tunnelsAreUp = (): Promise<unknown> =>
    Promise.all(CLIENTS.flatMap((client) => SERVER[client].map((address) => lab().waitForAnswer(client, address))));
  const expected = (ways: Record<'staff' | 'guests', typeof NAT>): string[] =>
    [...CLIENTS.map((client) => [client, ways[PROFILES[client]]] as const), ['vpn', UPSTREAM] as const].flatMap(
      ([node, { ipv4, ipv6 }]) => [`${node} ipv4 ${ipv4}`, `${node} ipv6 ${ipv6}`],
    );
  const [THROUGH_UPSTREAM, THROUGH_NAT] = [
    expected({ staff: UPSTREAM, guests: UPSTREAM }),
    expected({ staff: NAT, guests: NAT2 }),
  ];

  beforeAll(async () => {
    await lab().vpn.exec(NODE);
    // The other ranges are those of the lab: both routers have return routes to them.
    await lab().nat.exec('ip route add fd00:4242:4242:1010::/63 via fd00:1010:1010:1010::100');
    const overTcp = 's/^proto .*/proto tcp-client/; s/ 1195$/ 1194/; /^explicit-exit-notify/d';
    await lab().inside('ovpn2', ['sed', '-i', overTcp, '/etc/openvpn/second.conf']);
    const ofStaff = 's,^Address = .*,Address = 10.10.11.2/24\\, fd00:4242:4242:1011::2/64,';
    await lab().inside('wg1', ['sed', '-i', ofStaff, '/etc/wireguard/wg0.conf']);
    await Promise.all([lab().restartClient('ovpn1'), lab().restartClient('ovpn2', 'second')]);
    await lab().restartClient('wg1');
    await tunnelsAreUp();
    [before, rules] = [await lab().vpn.snapshotState(), await ruleset()];
    cdktf = new Cdktf(lab(), 'eduvpn');
  });
  afterAll(() => cdktf.close());

  test('before: everybody leaves through the upstream router', async () => {
    expect(await sources(lab(), [...CLIENTS, 'vpn'])).toEqual(THROUGH_UPSTREAM);
  });

  test('the clients of each profile leave through its router, the server itself does not', async () => {
    await cdktf.run('deploy', ['--auto-approve']);
    expect(await sources(lab(), [...CLIENTS, 'vpn'])).toEqual(THROUGH_NAT);
    await lab().vpn.exec('source-routing verify');
    await lab().vpn.exec('source-routing probe');
    expect(await cdktf.run('deploy', ['--auto-approve'])).toContain('No changes.');
  });

  test('clients reach those of their profile, and no packet to the other profile leaves by a NAT router', async () => {
    const [nat, nat2] = await Promise.all([lab().countPackets('nat'), lab().countPackets('nat2')]);
    const pairs: ReadonlyArray<[ClientName, string[]]> = [
      ['ovpn1', STAFF.wg1],
      ['wg1', STAFF.ovpn2],
      ['ovpn1', GUEST],
      ['wg1', GUEST],
      ['wg2', STAFF.wg1],
      ['wg2', STAFF.ovpn2],
    ];
    const answers = await Promise.all(
      pairs.flatMap(([from, addresses]) => addresses.map((address) => lab().ping(from, address))),
    );
    expect(answers).toEqual([true, true, true, true, ...Array.from({ length: 8 }, () => false)]);
    expect([await nat.total(), await nat2.total()]).toEqual([0, 0]);
  });

  test('without the way to its router, clients of a profile go nowhere, those of the other one as before', async () => {
    await lab().vpn.unplug('eth2');
    const cut = (await sources(lab(), [...CLIENTS, 'vpn'])).map((line) => line.replace(/ none .*/, ' none'));
    await lab().vpn.plug('eth2');
    const nowhere = { ipv4: 'none', ipv6: 'none' };
    expect(cut).toEqual(expected({ staff: NAT, guests: nowhere }));
    await lab().vpn.exec(GUESTS_HAVE_THEIR_WAY);
    expect(await sources(lab(), ['wg2'])).toEqual(THROUGH_NAT.filter((line) => line.startsWith('wg2 ')));
  });

  test('also after a reboot', async () => {
    await lab().vpn.reboot();
    await tunnelsAreUp();
    expect(await sources(lab(), [...CLIENTS, 'vpn'])).toEqual(THROUGH_NAT);
    await lab().vpn.exec('source-routing verify');
  });

  test('destroy: the machine is as it was', async () => {
    await cdktf.run('destroy', ['--auto-approve']);
    expect(await lab().vpn.changedSince(before)).toEqual([]);
    expect(await ruleset()).toBe(rules);
    expect(await sources(lab(), [...CLIENTS, 'vpn'])).toEqual(THROUGH_UPSTREAM);
  });
});

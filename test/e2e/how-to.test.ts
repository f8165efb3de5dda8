import { describeLab } from '../lab/describe-lab';
import { poll } from '../lab/process';
import type { Snapshot } from '../lab/snapshot';
import { Cdktf } from './cdktf';
import { NAT, UPSTREAM, neighbours, sources } from './egress';

const OPENVPN = ['ovpn1', 'ovpn2', 'vpn'] as const;

/** Times that sshd let somebody in since the machine has booted. */
async function logins(lab: Parameters<typeof sources>[0]): Promise<number> {
  const { stdout } = await lab.vpn.exec('journalctl -b -u ssh --no-pager -o cat | grep -c "^Accepted " || true');
  return Number(stdout);
}

describeLab('cdktf deploy of the how-to', {}, (lab) => {
  let cdktf: Cdktf;
  let before: Snapshot;
  let loginsAfterFirst: number;

  beforeAll(async () => {
    cdktf = new Cdktf(lab(), 'how-to');
    before = await lab().vpn.snapshotState();
  });
  afterAll(() => cdktf.close());

  test('does what the how-to does by hand', async () => {
    await cdktf.run('deploy', ['--auto-approve']);
    expect(await sources(lab(), OPENVPN)).toEqual([
      `ovpn1 ipv4 ${NAT.ipv4}`,
      `ovpn1 ipv6 ${NAT.ipv6}`,
      `ovpn2 ipv4 ${NAT.ipv4}`,
      `ovpn2 ipv6 ${NAT.ipv6}`,
      `vpn ipv4 ${UPSTREAM.ipv4}`,
      `vpn ipv6 ${UPSTREAM.ipv6}`,
    ]);
    const reached = await neighbours(lab());
    expect(Object.entries(reached).filter(([name]) => /^OpenVPN client to (client|server)/.test(name))).toEqual([
      ['OpenVPN client to client, IPv4', true],
      ['OpenVPN client to client, IPv6', true],
      ['OpenVPN client to server, IPv4', true],
      ['OpenVPN client to server, IPv6', true],
    ]);
    loginsAfterFirst = await logins(lab());
  });

  test('shows on the machine what the how-to shows', async () => {
    const show = async (what: string): Promise<string[]> =>
      (await lab().vpn.exec(`ip ${what}`)).stdout
        .trim()
        .split('\n')
        .map((line) => line.trim());
    expect(await show('-4 rule show table vpn')).toEqual(['10010:\tfrom 10.10.10.0/24 lookup vpn proto 77']);
    expect(await show('-6 rule show table vpn')).toEqual(['10010:\tfrom fd00:4242:4242:4242::/64 lookup vpn proto 77']);
    expect(await show('-4 route show table vpn')).toEqual([
      'default via 192.168.1.1 dev eth1 proto 77',
      'unreachable default proto 77 metric 4278198272',
      '10.10.10.0/24 dev tun0 proto 78 scope link',
    ]);
    expect(await show('-6 route show table vpn')).toEqual(
      expect.arrayContaining([
        'default via fd00:1010:1010:1010::1 dev eth1 proto 77 metric 1024 pref medium',
        'fd00:4242:4242:4242::/64 dev tun0 proto 78 metric 1024 pref medium',
      ]),
    );
  });

  test('a second OpenVPN process gets its network into the table by itself', async () => {
    await lab().vpn.exec(['systemctl', 'start', 'openvpn-server@second']);
    // OpenVPN tells systemd that it has started while its hook may still run.
    await poll('routes of the second process in both families', 10_000, async () => {
      const { stdout } = await lab().vpn.exec(
        'ip -4 route show table 200 dev tun1; ip -6 route show table 200 dev tun1',
      );
      const found = [/^10\.10\.11\.0\/24 .*proto 78/m, /^fd00:4242:4242:4343::\/64 .*proto 78/m];
      return found.every((route) => route.test(stdout)) || undefined;
    });
    await lab().vpn.exec(['systemctl', 'stop', 'openvpn-server@second']);
  });

  test('again without a change: no resource changed, no connection opened', async () => {
    const loginsBefore = await logins(lab());
    expect(loginsBefore).toBe(loginsAfterFirst);
    const output = await cdktf.run('deploy', ['--auto-approve']);
    expect(output).toContain('No changes. Your infrastructure matches the configuration.');
    expect(await logins(lab())).toBe(loginsBefore);
  });

  test('destroy: the machine is as it was', async () => {
    await cdktf.run('destroy', ['--auto-approve']);
    expect(await lab().vpn.changedSince(before)).toEqual([]);
    expect(await sources(lab(), ['ovpn1'])).toEqual([`ovpn1 ipv4 ${UPSTREAM.ipv4}`, `ovpn1 ipv6 ${UPSTREAM.ipv6}`]);
  });

  test('nothing is left in the login user home either', async () => {
    // Terraform puts an empty file in its script's place; ours is removed a moment later.
    await lab().vpn.exec(
      'for i in $(seq 50); do ls -A /root | grep -q source-routing || exit 0; sleep 0.2; done; ls -A /root; exit 1',
    );
  });
});

import { describeLab } from './describe-lab';
import { poll } from './process';
import {
  address,
  clientNames,
  families,
  internetAddress,
  type NodeName,
  publicAddress,
  tunnelAddress,
  tunnels,
} from './topology';

/** Whoever depends on the lab must be able to trust it: this is the how-to's picture before any source routing. */
describeLab('the lab', {}, (lab) => {
  const expectUpstreamFor = async (nodes: readonly NodeName[]): Promise<void> => {
    const seen = await Promise.all(
      nodes.flatMap((node) => families.map(async (family) => [node, await lab().sourceSeenFrom(node, family)])),
    );
    expect(seen).toEqual(nodes.flatMap((node) => families.map((family) => [node, publicAddress('upstream', family)])));
  };

  test('clients, VPN server and administrator leave by the upstream router', async () => {
    await expectUpstreamFor([...clientNames, 'vpn', 'admin']);
  });

  test('the NAT router leaves by its own line', async () => {
    for (const family of families) {
      expect(await lab().sourceSeenFrom('nat', family)).toBe(publicAddress('nat', family));
    }
  });

  test('a packet counter sees whose packets arrive at which router, also those without an answer', async () => {
    const [upstream, nat] = await Promise.all([lab().countPackets('upstream'), lab().countPackets('nat')]);
    const none = { ipv4: 0, ipv6: 0 };
    expect(await upstream.read()).toEqual({ openvpn: none, openvpnSecond: none, wireguard: none });
    await lab().ping('ovpn1', internetAddress('ipv4'));
    await lab().ping('wg2', '2001:db8:ffff::dead');
    const { openvpn, wireguard } = await upstream.read();
    expect(openvpn).toEqual({ ipv4: 1, ipv6: 0 });
    expect(wireguard).toEqual({ ipv4: 0, ipv6: 1 });
    expect(await nat.total()).toBe(0);
  });

  test('what has no way out says so', async () => {
    await lab().vpn.exec('ip route add unreachable 203.0.113.100/32');
    await expect(lab().sourceSeenFrom('vpn', 'ipv4')).rejects.toMatchObject({ reason: 'EHOSTUNREACH' });
    await lab().vpn.exec('ip route del unreachable 203.0.113.100/32');
  });

  test.each(clientNames)('%s reaches the VPN server and all other clients through the tunnels', async (client) => {
    const targets = families.flatMap((family) => [
      tunnels.openvpn.server[family],
      tunnels.wireguard.server[family],
      ...clientNames.filter((other) => other !== client).map((other) => tunnelAddress(other, family)),
    ]);
    const answers = await Promise.all(targets.map(async (target) => [target, await lab().ping(client, target)]));
    expect(answers).toEqual(targets.map((target) => [target, true]));
  });

  test('an address that nobody has does not answer', async () => {
    expect(await lab().ping('wg1', '10.10.10.200')).toBe(false);
  });

  test('the box is not reachable from the lab', async () => {
    const { stdout } = await lab().exec('admin', ['ip', '-o', 'route', 'show', 'table', 'main']);
    expect(stdout.trim().split('\n')).toHaveLength(2);
    const ports = (await lab().exec('switch', ['ip', '-br', 'address'])).stdout;
    expect(ports).not.toMatch(/\d+\.\d+\.\d+\.\d+\//);
  });

  describe('SSH from the administrator', () => {
    test.each(['root', 'debian', 'nosudo'])('as %s', async (user) => {
      expect((await lab().vpn.ssh('id --user --name', { user })).stdout.trim()).toBe(user);
    });

    test('debian may sudo without a password, nosudo may not', async () => {
      expect((await lab().vpn.ssh('sudo -n id -u', { user: 'debian' })).stdout.trim()).toBe('0');
      const refused = await lab().vpn.ssh('sudo -n id -u', { user: 'nosudo', allowFailure: true });
      expect(refused.stderr).toMatch(/password is required/);
    });

    test('with a certificate instead of an installed key', async () => {
      const { keys, vpn } = lab();
      const login = (options: readonly string[]): Promise<{ code: number; stdout: string }> =>
        lab().admin([
          ...['ssh', '-F', 'none', '-i', keys.certifiedKeyFile, ...options.flatMap((option) => ['-o', option])],
          ...['-o', 'BatchMode=yes', '-o', `UserKnownHostsFile=${keys.knownHostsFile}`, '-o', 'IdentitiesOnly=yes'],
          `root@${vpn.address()}`,
          'id -u',
        ]);
      expect((await login([`CertificateFile=${keys.certificateFile}`])).stdout.trim()).toBe('0');
      expect((await login(['CertificateFile=none'])).code).not.toBe(0);
    });

    test('by the private link, with the NAT router as bastion', async () => {
      const { keys, vpn, nat } = lab();
      const proxy = [...keys.command('debian', nat.address()), '-W', '%h:%p'].join(' ');
      const [ssh, ...rest] = keys.command('root', vpn.address('eth1'));
      const seen = await lab().admin([ssh, '-o', `ProxyCommand=${proxy}`, ...rest, 'echo $SSH_CONNECTION']);
      expect(seen.stdout).toMatch(new RegExp(`^${nat.address('eth1')} .* ${vpn.address('eth1')} 22$`, 'm'));
    });
  });

  describe("OpenVPN's up hook", () => {
    // OpenVPN tells systemd that it has started while its hook may still run.
    const hook =
      '#!/bin/sh\n{ echo "arguments=$*"; env; } >"/run/up-hook.$dev" && mv "/run/up-hook.$dev" "/run/up-hook-$dev"\n';
    const seenBy = (device: string): Promise<string> =>
      poll(`what the hook has seen of ${device}`, 10_000, async () => {
        const { code, stdout } = await lab().vpn.exec(['cat', `/run/up-hook-${device}`], { allowFailure: true });
        return code === 0 ? stdout : undefined;
      });

    test('is run when it is there, with the environment that OpenVPN documents', async () => {
      const { vpn } = lab();
      await vpn.writeFile('/etc/openvpn/up', hook, '0755');
      await vpn.exec('systemctl restart openvpn-server@server');
      const seen = (await seenBy('tun0')).split('\n');
      expect(seen).toEqual(
        expect.arrayContaining([
          'arguments=tun0 1500 0 10.10.10.1 255.255.255.0 init',
          'dev=tun0',
          'dev_type=tun',
          'ifconfig_local=10.10.10.1',
          'ifconfig_netmask=255.255.255.0',
          'ifconfig_ipv6_local=fd00:4242:4242:4242::1',
          'ifconfig_ipv6_netbits=64',
          'script_type=up',
        ]),
      );
    });

    test('is run by every server process, and clients can go to the second one', async () => {
      const { vpn } = lab();
      await vpn.exec('systemctl start openvpn-server@second');
      expect(await seenBy('tun1')).toMatch(/^ifconfig_local=10\.10\.11\.1$/m);
      await lab().restartClient('ovpn2', 'second');
      await lab().waitForVpn(['ovpn1', 'ovpn2']);
      expect(await lab().ping('ovpn1', tunnelAddress('ovpn2', 'ipv4', 'openvpnSecond'))).toBe(true);
      await expectUpstreamFor(['ovpn2']);
    });

    test('is no option of a server that started without it', async () => {
      const { vpn } = lab();
      await vpn.exec('rm -f /etc/openvpn/up && systemctl restart openvpn-server@server');
      expect(await vpn.readFile('/run/openvpn-server/up-server.conf')).not.toMatch(/^up /m);
    });

    afterAll(async () => {
      await lab().vpn.exec('systemctl stop openvpn-server@second; rm -f /etc/openvpn/up');
      await lab().restartClient('ovpn2', 'server');
      await lab().waitForVpn();
    });
  });

  describe('a snapshot of a machine', () => {
    test('does not change by itself, not even by a restart of the VPN', async () => {
      const before = await lab().vpn.snapshotState();
      await lab().vpn.exec('systemctl restart openvpn-server@server wg-quick@wg0');
      await lab().waitForVpn();
      expect(await lab().vpn.changedSince(before)).toEqual([]);
    });

    test('shows rules, routes, files, modes and units', async () => {
      const { vpn } = lab();
      const before = await vpn.snapshotState();
      await vpn.exec(`
        ip rule add priority 77 from 10.10.10.0/24 lookup 200
        ip -6 route add unreachable default metric 4278198272 table 200
        echo 200 vpn >/etc/lab-new; chmod 0600 /etc/hosts; echo more >>/etc/issue
        systemctl --quiet enable nftables
        systemd-run --quiet --on-active=1h --unit=lab-forgotten true`);
      const changes = await vpn.changedSince(before);
      await vpn.exec(`
        ip rule del priority 77
        ip -6 route del unreachable default metric 4278198272 table 200
        rm /etc/lab-new; chmod 0644 /etc/hosts; sed -i '$d' /etc/issue
        systemctl --quiet disable nftables
        systemctl stop lab-forgotten.timer`);
      expect(changes).toEqual([
        expect.stringMatching(/^~ file \/etc\/hosts: -rw-r--r-- root:root .* -> -rw------- root:root /),
        expect.stringMatching(/^~ file \/etc\/issue: /),
        expect.stringMatching(/^\+ file \/etc\/lab-new -rw-r--r-- root:root +[0-9a-f]{64}$/),
        expect.stringMatching(/^\+ file \/etc\/systemd\/system\/.*nftables.service lrwxrwxrwx/),
        expect.stringMatching(/^\+ route ipv6 unreachable default dev lo table 200 metric 4278198272/),
        '+ rule ipv4 77: from 10.10.10.0/24 lookup 200',
        '+ unit lab-forgotten.service transient',
        '+ unit lab-forgotten.timer transient',
        '~ unit nftables.service: disabled -> enabled',
      ]);
      expect(await vpn.changedSince(before)).toEqual([]);
    });
  });

  test('an unplugged cable takes the carrier, and only that', async () => {
    const { vpn } = lab();
    const link = async (): Promise<string> => (await vpn.exec('ip -br link show eth1')).stdout;
    await vpn.unplug('eth1');
    expect(await link()).toMatch(/NO-CARRIER/);
    expect(await lab().ping('vpn', address('nat', 'eth1', 'ipv4'))).toBe(false);
    await vpn.plug('eth1');
    expect(await link()).not.toMatch(/NO-CARRIER/);
    // With the address of eth1, which comes back a moment after the carrier.
    for (const family of families) {
      await lab().waitForAnswer('vpn', address('nat', 'eth1', family), 10_000, vpn.address('eth1', family));
    }
  });

  describe('a machine that goes down and up', () => {
    const volatile = 'ip rule add priority 77 from 10.10.10.0/24 lookup 200; touch /etc/lab-survives';

    test.each(['reboot', 'powerCut'] as const)('%s: keeps its files, loses its rules, serves again', async (how) => {
      const { vpn } = lab();
      await vpn.exec('rm -f /etc/lab-survives');
      const before = await vpn.snapshotState();
      const boot = await vpn.readFile('/proc/sys/kernel/random/boot_id');
      await vpn.exec(volatile);
      await vpn[how]();
      expect(await vpn.readFile('/proc/sys/kernel/random/boot_id')).not.toBe(boot);
      await lab().waitForVpn();
      expect(await vpn.changedSince(before)).toEqual([expect.stringMatching(/^\+ file \/etc\/lab-survives/)]);
      await expectUpstreamFor(clientNames);
      expect((await vpn.ssh('id -u')).stdout.trim()).toBe('0');
    });

    test('the NAT router', async () => {
      await lab().nat.reboot();
      expect(await lab().sourceSeenFrom('nat', 'ipv6')).toBe(publicAddress('nat', 'ipv6'));
    });
  });
});

/** The how-to by hand, with the priorities that it forgot: the proof that the lab can show what the constructs do. */
describeLab('the how-to, by hand', { networkScripts: true }, (lab) => {
  const pools = {
    ipv4: [tunnels.openvpn.pool.ipv4, tunnels.wireguard.pool.ipv4],
    ipv6: [tunnels.openvpn.pool.ipv6, tunnels.wireguard.pool.ipv6],
  };

  test('from its four files, after a reboot, all clients leave by the NAT router and reach each other', async () => {
    const { vpn } = lab();
    for (const [family, suffix] of [
      ['ipv4', ''],
      ['ipv6', '6'],
    ] as const) {
      const rules = pools[family].flatMap((pool, index) => [
        `to ${pool} lookup main priority ${1000 + index}`,
        `from ${pool} lookup 200 priority ${2000 + index}`,
      ]);
      await vpn.writeFile(
        `/etc/sysconfig/network-scripts/rule${suffix}-eth1`,
        `# the VPN's clients\n\n${rules.join('\n')}\n`,
      );
      await vpn.writeFile(
        `/etc/sysconfig/network-scripts/route${suffix}-eth1`,
        `default via ${address('nat', 'eth1', family)} table 200\n`,
      );
    }
    await vpn.reboot();
    await lab().waitForVpn();
    for (const client of clientNames) {
      for (const family of families) {
        expect([client, await lab().sourceSeenFrom(client, family)]).toEqual([client, publicAddress('nat', family)]);
      }
      expect(await lab().ping(client, tunnelAddress(client === 'wg1' ? 'ovpn1' : 'wg1', 'ipv6'))).toBe(true);
    }
    expect(await lab().sourceSeenFrom('vpn', 'ipv4')).toBe(publicAddress('upstream', 'ipv4'));
    expect(await lab().ping('ovpn1', internetAddress('ipv6'))).toBe(true);
  });
});

describeLab('without return routes', { returnRoutes: false }, (lab) => {
  test('what is sent to the NAT router is not answered until it knows the way back', async () => {
    await lab().vpn.exec(`
      ip rule add priority 2000 from ${tunnels.openvpn.pool.ipv4} lookup 200
      ip route add default via ${address('nat', 'eth1', 'ipv4')} table 200`);
    await expect(lab().sourceSeenFrom('ovpn1', 'ipv4', { timeoutMs: 1_000 })).rejects.toMatchObject({
      reason: 'no answer',
    });
    await lab().nat.exec(`ip route add ${tunnels.openvpn.pool.ipv4} via ${address('vpn', 'eth1', 'ipv4')}`);
    expect(await lab().sourceSeenFrom('ovpn1', 'ipv4')).toBe(publicAddress('nat', 'ipv4'));
  });
});

describe.each(['networkManager', 'netplan', 'ifupdown'] as const)('%s', (networkManager) => {
  describeLab('brings up the VPN server', { networkManager }, (lab) => {
    test('the clients leave by the upstream router', async () => {
      for (const family of families) {
        expect(await lab().sourceSeenFrom('ovpn1', family)).toBe(publicAddress('upstream', family));
        expect(await lab().ping('vpn', address('nat', 'eth1', family))).toBe(true);
      }
    });

    test('and again after a reboot', async () => {
      await lab().vpn.reboot();
      await lab().waitForVpn();
      expect(await lab().sourceSeenFrom('wg1', 'ipv6')).toBe(publicAddress('upstream', 'ipv6'));
    });
  });
});

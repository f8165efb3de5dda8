import type { Outcome } from './machine';
import { BASH, BUSYBOX, DASH, Machine, describeOnMachine } from './machine';

/** What the programs of a machine say, recorded on Debian 12 unless said otherwise. */
interface Recorded {
  /** Services that run. */
  readonly active: readonly string[];
  readonly networkctl?: string;
  readonly nmcli?: string;
  /** Of eth1: state, uuid; then all uuids and files. */
  readonly device?: string;
  readonly eth0?: string;
  readonly profiles?: string;
  readonly status?: string;
}

const PROFILE = '/etc/NetworkManager/system-connections/eth1.nmconnection';
const UUID = '5eb4da26-5d1d-30a5-8747-80181ed055fa';
const NETWORKD: Recorded = {
  active: ['systemd-networkd.service'],
  networkctl: 'systemd 252 (252.39-1~deb12u2)\n+PAM +AUDIT +SELINUX',
  status: `3: eth1
                     Link File: n/a
                  Network File: /etc/systemd/network/10-eth1.network
                          Type: ether
                         State: routable (configured)
                  Online state: online`,
};
const NETWORK_MANAGER: Recorded = {
  active: ['NetworkManager.service'],
  nmcli: 'nmcli tool, version 1.42.4',
  device: `100 (connected)\n${UUID}`,
  profiles: `7ba00b1d-8cdd-30da-91ad-bb83ed4f7474:/etc/NetworkManager/system-connections/eth0.nmconnection\n${UUID}:${PROFILE}`,
};

const KEYFILE = '[connection]\\nid=eth1\\n[ipv4]\\nmethod=manual\\n[ipv6]\\nmethod=manual\\n';

/** A machine on which these programs say that. */
function record(machine: Machine, { active, networkctl, nmcli, device, eth0, profiles, status }: Recorded): void {
  machine.must('mkdir -p /run/systemd/system');
  const program = (name: string, cases: Record<string, string | undefined>): void =>
    machine.write(
      `/mnt/bin/${name}`,
      `#!/bin/sh\ncase "$*" in\n${Object.entries(cases)
        .filter(([, text]) => text !== undefined)
        .map(([pattern, text]) => `  ${pattern}) cat <<'END'\n${text}\nEND\n  ;;`)
        .join('\n')}\n  *) exit 1 ;;\nesac\n`,
    );
  machine.write(
    '/mnt/bin/systemctl',
    `#!/bin/sh\ncase "$*" in\n${active.map((unit) => `  *is-active*${unit}) exit 0 ;;\n`).join('')}  *is-active*) exit 3 ;;\nesac\n`,
  );
  if (networkctl !== undefined) program('networkctl', { '--version': networkctl, '*status*eth1': status });
  if (nmcli !== undefined) {
    program('nmcli', {
      '--version': nmcli,
      '*device*show*eth1': device,
      '*device*show*eth0': eth0,
      '*UUID,FILENAME*': profiles,
    });
  }
}

describeOnMachine('network managers', () => {
  describe.each([DASH, BASH, BUSYBOX])('with $name', (flavour) => {
    let machine: Machine;
    beforeEach(() => {
      machine = new Machine(flavour);
    });
    afterEach(() => {
      machine.close();
    });

    const apply = (manager: string, more: readonly string[] = []): Outcome =>
      machine.apply([`persistence ${manager} static eth1`, `for ${manager}`, ...more]);

    test.each<[string, string, string, boolean]>([
      ['networkd', 'systemd 252 (252.39-1~deb12u2)\n+PAM', '248', true],
      ['networkd', 'systemd 247 (247.3-7+deb11u5)\n+PAM', '248', false],
      ['networkd', 'systemd 257 (257.9-1.fc42)\n+PAM', '257', true],
      ['network-manager', 'nmcli tool, version 1.42.4', '1.42', true],
      ['network-manager', 'nmcli tool, version 1.40.16-1.el8', '1.42', false],
      ['network-manager', 'nmcli tool, version 1.36.6', '1.42', false],
      ['network-manager', 'nmcli tool, version 1.52.0-1.fc42', '1.42', true],
    ])('%s of version "%s" is of %s or later: %s', (manager, said, wanted, enough) => {
      const recorded = manager === 'networkd' ? { ...NETWORKD, networkctl: said } : { ...NETWORK_MANAGER, nmcli: said };
      record(machine, recorded);
      const { code, out } = apply(manager, [
        `requires version ${manager} ${wanted} Type= of the rule at priority 10010`,
      ]);
      expect(code).toBe(enough ? 0 : 69);
      const complaint = `and ${wanted} or later is needed for Type= of the rule at priority 10010: use Persistence.service()`;
      expect(out.includes(complaint)).toBe(!enough);
    });

    const netplan = `/run/NetworkManager/system-connections/netplan-eth1.nmconnection`;
    test.each<[string, Recorded, RegExp]>([
      ['systemd-networkd', NETWORKD, /by networkd \(\/etc\/systemd\/network\/10-eth1.network\)/],
      [
        'netplan, by way of systemd-networkd',
        {
          ...NETWORKD,
          status: NETWORKD.status?.replace('/etc/systemd/network/10-', '/run/systemd/network/10-netplan-'),
        },
        /by netplan \(\/run\/systemd\/network\/10-netplan-eth1.network\)/,
      ],
      [
        'NetworkManager, beside systemd-networkd',
        {
          ...NETWORKD,
          ...NETWORK_MANAGER,
          active: ['systemd-networkd.service', 'NetworkManager.service'],
          status: NETWORKD.status?.replace('routable (configured)', 'routable (unmanaged)').replace(/\/etc\S+/, 'n/a'),
        },
        /by network-manager \(\/etc\/NetworkManager\/system-connections\/eth1.nmconnection\)/,
      ],
      [
        'NetworkManager, with a profile of an odd name',
        { ...NETWORK_MANAGER, profiles: `${UUID}:/etc/NetworkManager/system-connections/a:b \\c.nmconnection` },
        /by network-manager \(\/etc\/NetworkManager\/system-connections\/a:b \\c.nmconnection\)/,
      ],
      [
        'netplan, by way of NetworkManager',
        { ...NETWORK_MANAGER, profiles: `${UUID}:${netplan}` },
        /by netplan-network-manager \(\/run\/NetworkManager\/system-connections\/netplan-eth1.nmconnection\)/,
      ],
      [
        'NetworkManager, with a profile that is only called as those of netplan are',
        { ...NETWORK_MANAGER, profiles: `${UUID}:${netplan.replace('/run/', '/etc/')}` },
        /by network-manager \(\/etc\/NetworkManager\/system-connections\/netplan-eth1.nmconnection\)/,
      ],
      [
        'the network scripts, by way of NetworkManager',
        { ...NETWORK_MANAGER, profiles: `${UUID}:/etc/sysconfig/network-scripts/ifcfg-eth1` },
        /by network-scripts \(\/etc\/sysconfig\/network-scripts\/ifcfg-eth1\)/,
      ],
      [
        'nobody: NetworkManager has found it configured',
        {
          ...NETWORK_MANAGER,
          device: `100 (connected (externally))\n${UUID}`,
          profiles: `${UUID}:/run/NetworkManager/system-connections/eth1.nmconnection`,
        },
        /by no network manager that is known here, not by/,
      ],
      [
        'nobody: NetworkManager leaves it alone',
        { ...NETWORK_MANAGER, device: '10 (unmanaged)\n' },
        /by no network manager that is known here, not by/,
      ],
      [
        'nobody: NetworkManager does not run',
        { active: [], nmcli: 'nmcli tool, version 1.42.4' },
        /by no network manager/,
      ],
    ])('eth1 is managed by %s', (_, recorded, says) => {
      record(machine, recorded);
      const { code, out } = apply('ifupdown');
      expect(code).toBe(69);
      expect(out).toMatch(says);
    });

    test.each([
      [
        'a profile in /run',
        '/run/NetworkManager/system-connections/Wired connection 1.nmconnection',
        KEYFILE,
        `does not survive a reboot, or is not for people to edit. To have it in /etc/NetworkManager/system-connections: nmcli connection modify ${UUID} `,
      ],
      [
        'IPv6 that is disabled',
        PROFILE,
        KEYFILE.replace(/(ipv6.*)manual/, '$1disabled'),
        `does not set routes of ipv6 under ${PROFILE}, where ipv6.method is disabled`,
      ],
      [
        'IPv6 that is ignored',
        PROFILE,
        KEYFILE.replace(/(ipv6.*)=manual/, '$1 = ignore'),
        'where ipv6.method is ignore',
      ],
      ['no IPv6', PROFILE, KEYFILE.replace(/\[ipv6.*/, ''), 'where ipv6.method is not given'],
      ['a file that is gone', PROFILE, '', 'does not exist'],
    ])('%s is refused', (_, path, text, says) => {
      record(machine, { ...NETWORK_MANAGER, profiles: `${UUID}:${path}` });
      machine.must(`mkdir -p "${path.replace(/\/[^/]*$/, '')}"${text ? `; printf '${text}' >"${path}"` : ''}`);
      const { code, out } = apply('network-manager', ['block eth1 2', '|[ipv6]', '|route9=::/0,fd00:1010::1,1024']);
      expect(code).toBe(69);
      expect(out).toContain(says);
      expect(machine.must('ls -A /var/lib; ls /run')).not.toMatch(/source-routing/);
    });

    test('what is declared for another interface goes from one profile to the other', () => {
      const other = PROFILE.replace('eth1', 'eth0');
      const on = (device: string): string[] => [
        `persistence network-manager static ${device}`,
        'for network-manager',
        `block ${device} 2`,
        '|[ipv4]',
        '|route9=10.66.0.0/16,192.168.1.1,0',
      ];
      record(machine, {
        ...NETWORK_MANAGER,
        active: [],
        eth0: '100 (connected)\n0-1',
        profiles: `0-1:${other}\n${UUID}:${PROFILE}`,
      });
      machine.must(`mkdir -p ${PROFILE.replace(/\/[^/]*$/, '')}
        for file in ${PROFILE} ${other}; do printf '${KEYFILE}' >$file; done`);
      expect(machine.apply(on('eth1'))).toMatchObject({ code: 0 });
      expect(machine.apply(on('eth0'), { generation: 'g2' })).toMatchObject({ code: 0 });
      expect(machine.must(`grep -c route9 ${other}`)).toBe('1\n');
      expect(machine.must(`cat ${PROFILE}`)).toBe(machine.must(`printf '${KEYFILE}'`));
    });

    describe('what NetworkManager may bring back', () => {
      const POOL = 'rule 4 10010 from 10.10.10.0/24 lookup 200';
      const ROUTE = 'route 4 200 10.66.0.0/16 0 via 192.168.1.1 dev eth1';
      const generation = (lines: readonly string[], options = {}): void => {
        const data = ['persistence network-manager static eth1', ...lines, 'for network-manager', 'block eth1 2'];
        const { code, out } = machine.apply(
          [...data, '|[ipv4]', `|route9=10.${lines.length}.0.0/16,192.168.1.1,0`],
          options,
        );
        expect([code, code === 0 ? '' : out]).toEqual([0, '']);
      };
      const comes = (tag: string): void =>
        void machine.must(`
          ip route add 10.66.0.0/16 via 192.168.1.1 dev eth1 table 200 proto ${tag}
          ip rule add from 10.10.10.0/24 lookup 200 pref 10010 proto ${tag}`);
      const stays = (owner = 'vpn1'): boolean => {
        expect(machine.agent('assert', owner).code).toBe(0);
        const there = machine.routes(200).filter((line) => line.startsWith('10.66.')).length;
        expect(machine.rules().filter((line) => line.startsWith('10010:'))).toHaveLength(there);
        return there > 0;
      };

      beforeEach(() => {
        // It does not run: nothing is asked of it.
        record(machine, { ...NETWORK_MANAGER, active: [] });
        machine.must(`mkdir -p ${PROFILE.replace(/\/[^/]*$/, '')}; printf '${KEYFILE}' >${PROFILE}`);
        generation(['table 200 -', POOL, ROUTE]);
        generation(['table 201 -', 'rule 4 11010 from 10.10.10.0/24 lookup 201'], { generation: 'g2' });
        expect(machine.routes(200)).toEqual([]);
      });

      test('is taken away, and what only looks like it is not', () => {
        comes('static');
        expect(stays()).toBe(false);
        comes('77');
        expect(stays()).toBe(true);
      });

      test('may be declared again, by another owner, too', () => {
        generation(['table 200 -', POOL, ROUTE], { owner: 'b' });
        expect(stays()).toBe(true);
        expect(stays('b')).toBe(true);
        expect(machine.agent('remove', 'b').code).toBe(0);
        generation(['table 200 -', POOL, ROUTE], { generation: 'g3' });
        expect(stays()).toBe(true);
        expect(machine.must('cat /run/source-routing.retired')).not.toMatch(/ 200\b/);
      });

      test('goes with its last owner', () => {
        comes('static');
        expect(machine.agent('remove').code).toBe(0);
        expect(machine.routes(200)).toEqual([]);
        expect(machine.must('ls -A /run /var/lib')).not.toContain('source-routing');
        expect(machine.must(`cat ${PROFILE}`)).toBe(machine.must(`printf '${KEYFILE}'`));
      });
    });
  });
});

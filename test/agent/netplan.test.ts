import type { Outcome } from './machine';
import { Machine, describeOnMachine } from './machine';

/** systemd-networkd says in which file it has found the configuration of eth1. */
const networkctl = (file: string, version = 252): string => `#!/bin/sh
echo "networkctl $*" >>/mnt/managers.log
case "$*" in
  --version) echo "systemd ${version} (${version}.1-1)" ;;
  *status*) printf '    Network File: %s\\n           State: routable (configured)\\n' ${file} ;;
  reload) ls /run/systemd/network/*.d >>/mnt/managers.log ;;
esac
`;

/** netplan gives the files of some interfaces anew, whatever they say. */
const NETPLAN = `#!/bin/sh
echo "netplan $*" >>/mnt/managers.log
case $1 in
  get) cat /mnt/merged.yaml ;;
  generate)
    cd /run/systemd/network
    for id in eth0 egress; do rm -f "10-netplan-$id.network"; echo "of $id" >"10-netplan-$id.network"; done
    cat /etc/netplan/* >>10-netplan-egress.network
    ;;
esac
`;
const MERGED = `network:
  version: 2
  ethernets:
    eth0:
      addresses:
      - "192.168.178.2/24"
  bonds:
    egress:
      match:
        name: "eth1"
`;

const RULES = [
  'table 200 vpn',
  'rule 4 10010 from 10.10.0.0/16 lookup 200',
  'rule 4 10011 from 10.11.0.0/16 unreachable',
  'route 4 200 default 0 via 192.168.1.1',
];
const YAML = ['network:', '  ethernets:', '    "eth1":', '      routes:', '        - to: "0.0.0.0/0"'];
const FILES = [
  `file 0600 /etc/netplan/90-source-routing-vpn1-eth1.yaml ${YAML.length}`,
  ...YAML.map((line) => `|${line}`),
  'dropin eth1 50-source-routing-vpn1.conf 1',
  '|[RoutingPolicyRule]',
];
const declared = (name: string, ...more: string[]): string[] => [
  `persistence ${name} static eth1`,
  ...RULES,
  `for ${name}`,
  ...more,
];

describeOnMachine('network managers', () => {
  let machine: Machine;
  beforeEach(() => {
    machine = new Machine();
    machine.fakeSystemd();
    machine.must(`touch /mnt/active.systemd-networkd.service
      mkdir -p /run/systemd/network /etc/netplan; echo theirs >/etc/netplan/50-eth1.yaml`);
    machine.write('/mnt/bin/netplan', NETPLAN);
    machine.write('/mnt/merged.yaml', MERGED);
  });
  afterEach(() => {
    machine.close();
  });

  const isNetworkd = (file: string, version?: number): void =>
    machine.write('/mnt/bin/networkctl', networkctl(file, version));
  const isNetplan = (): void => isNetworkd('/run/systemd/network/10-netplan-egress.network');
  const refused = (done: Outcome): string => {
    expect(done.code).toBe(69);
    expect(machine.sh('ls -A /var/lib/source-routing /etc/systemd /etc/netplan 2>/dev/null').out).not.toMatch(
      /90-|\.conf/,
    );
    return done.last;
  };

  test('a declaration for another manager is refused, with the name of the right one', () => {
    isNetplan();
    expect(refused(machine.apply(declared('networkd')))).toMatch(
      /eth1 is managed by netplan \(.*10-netplan-egress\.network\), not by networkd: use Persistence\.netplan\(\)$/,
    );
    isNetworkd('/etc/systemd/network/10-eth1.network');
    expect(refused(machine.apply(declared('netplan', ...FILES)))).toMatch(
      /eth1 is managed by networkd \(.*10-eth1\.network\), not by netplan: use Persistence\.networkd\(\)$/,
    );
  });

  describe('by way of NetworkManager', () => {
    const profile = '/run/NetworkManager/system-connections/netplan-egress.nmconnection';
    const KEYS = ['[ipv4]', 'route7=0.0.0.0/0,192.168.1.1,0', 'route7_options=table=200'];
    const either = (...more: string[]): string[] => [
      'either',
      'persistence netplan static eth1',
      ...declared('netplan-network-manager', ...more),
    ];
    beforeEach(() => {
      machine.write(
        '/mnt/bin/nmcli',
        `#!/bin/sh
case "$*" in
  *device*show*) echo '100 (connected)'; echo 1-2 ;;
  *FILENAME*) echo 1-2:${profile} ;;
  *ipv4.routes*) printf '%s\\n' '0.0.0.0/0 192.168.1.1 0 table=200' '' '' '' ;;
  *) echo "nmcli $*" >>/mnt/managers.log ;;
esac
`,
      );
      machine.must(`touch /mnt/active.NetworkManager.service; mkdir -p ${profile.replace(/[^/]*$/, '')}
        printf '[ipv4]\\nmethod=manual\\n' >${profile}`);
      isNetworkd('n/a');
    });

    test('is refused if what is declared cannot be expressed there, with a way out', () => {
      expect(refused(machine.apply(declared('netplan', ...FILES)))).toMatch(
        /eth1 is managed by netplan-network-manager \(.*netplan-egress\.nmconnection\), not by netplan: use Persistence\.service\(\)$/,
      );
    });

    test('hands on the keys of the profile, and has them read', () => {
      const keys = [`block eth1 ${KEYS.length}`, ...KEYS.map((line) => `|${line}`)];
      expect(machine.apply(either(...keys))).toMatchObject({ code: 0 });
      expect(machine.must('cat /etc/netplan/90-source-routing-vpn1-eth1.yaml'))
        .toBe(`# Managed by cdktf-source-routing: changes here are lost.
network:
  version: 2
  bonds:
    "egress":
      networkmanager:
        passthrough:
          "ipv4.route7": "0.0.0.0/0,192.168.1.1,0"
          "ipv4.route7_options": "table=200"
`);
      expect(machine.must('grep -e generate -e load /mnt/managers.log')).toBe(
        `netplan generate\nnmcli connection load ${profile}\n`,
      );
      expect(machine.apply(either(...keys), { generation: 'g2' })).toMatchObject({ code: 0 });
      expect(machine.must('grep -c generate /mnt/managers.log')).toBe('1\n');
      expect(machine.agent('status').out).toContain('made permanent by netplan-network-manager, which manages eth1');
      expect(machine.agent('remove')).toMatchObject({ code: 0 });
      expect(machine.must('ls /etc/netplan; grep -c load /mnt/managers.log')).toBe('50-eth1.yaml\n2\n');
    });

    test('is refused for a family that the profile does not configure', () => {
      const keys = ['block eth1 2', '|[ipv6]', '|route7=::/0,fd00::1,1024'];
      expect(refused(machine.apply(either(...keys)))).toMatch(
        /NetworkManager does not set routes of ipv6 under .*, where ipv6\.method is not given\. .*in \/etc\/netplan, and call netplan apply$/,
      );
    });
  });

  test('one file for several interfaces is refused, with a way out', () => {
    machine.write(
      '/mnt/bin/networkctl',
      `${networkctl('/etc/systemd/network/10-all.network')}case $* in
  *all*status*) printf '    Network File: %s  \\n' /etc/systemd/network/10-all.network ;;
esac
`,
    );
    expect(refused(machine.apply(declared('networkd')))).toMatch(
      /eth1 is managed by networkd with one file for several interfaces \(.*10-all\.network\), not by networkd: use Persistence\.service\(\)$/,
    );
  });

  test('an older systemd-networkd is refused, with the version that is needed', () => {
    isNetworkd('/run/systemd/network/10-netplan-egress.network', 247);
    const needed = 'requires version networkd 248 Type= of the rule at priority 10011';
    expect(refused(machine.apply(declared('netplan', needed, ...FILES)))).toMatch(
      /networkd is of version 247 here, and 248 or later is needed for Type= of the rule at priority 10011: use Persistence\.service\(\)$/,
    );
  });

  test.each([
    ['knows no such interface', MERGED.replace('egress', 'other'), 'netplan get" says nothing of "egress"'],
    ['is called by a name that has to be escaped', MERGED, 'netplan get" says nothing of "e%20"'],
  ])('an interface that netplan %s is refused', (_, merged, says) => {
    machine.write('/mnt/merged.yaml', merged);
    isNetworkd(`/run/systemd/network/10-netplan-${says.includes('%') ? 'e%20' : 'egress'}.network`);
    const last = refused(machine.apply(declared('netplan', ...FILES)));
    expect(last).toContain(says);
    expect(last).toMatch(/: use Persistence\.service\(\)$/);
  });

  test('the interface is what and how netplan calls it, and the files of others stay the very same', () => {
    isNetplan();
    machine.must('netplan generate; : >/mnt/managers.log'.replace('netplan', '/mnt/bin/netplan'));
    const inode = (): string => machine.must('ls -i /run/systemd/network/10-netplan-eth0.network');
    const [before, generated] = [inode(), machine.must('cat /run/systemd/network/10-netplan-egress.network')];
    expect(machine.apply(declared('netplan', ...FILES))).toMatchObject({ code: 0 });
    expect(machine.must('cat /etc/netplan/90-source-routing-vpn1-eth1.yaml')).toBe(
      'network:\n  bonds:\n    "egress":\n      routes:\n        - to: "0.0.0.0/0"\n',
    );
    expect(machine.must('ls /etc/systemd/network/10-netplan-egress.network.d')).toBe('50-source-routing-vpn1.conf\n');
    expect(inode()).toBe(before);
    expect(machine.must('grep -v status /mnt/managers.log')).toBe(
      'netplan get all\nnetplan generate\nnetworkctl reload\n99-source-routing-keep.conf\n',
    );
    expect(machine.sh('ls -A /run/systemd/network').out).toBe('10-netplan-egress.network\n10-netplan-eth0.network\n');
    // Nothing to do is nothing done.
    machine.must(': >/mnt/managers.log');
    expect(machine.apply(declared('netplan', ...FILES), { generation: 'g2' })).toMatchObject({ code: 0 });
    expect(machine.must('grep -v status /mnt/managers.log')).toBe('netplan get all\n');
    expect(machine.sh('sh /var/lib/source-routing/vpn1/agent remove --owner vpn1').code).toBe(0);
    expect(machine.must('cat /run/systemd/network/10-netplan-egress.network; ls /etc/netplan')).toBe(
      `${generated}50-eth1.yaml\n`,
    );
    expect(inode()).toBe(before);
  });

  test.each([
    ['networkd', 'lookup 254 7'],
    ['service', '7'],
  ])('a rule that rejects is the one that %s would make', (name, action) => {
    isNetworkd('/etc/systemd/network/10-eth1.network');
    const data = name === 'service' ? ['persistence service own', ...RULES, 'for service'] : declared(name);
    expect(machine.apply(data).code).toBe(0);
    expect(machine.must('ip -N rule | grep ^10011')).toMatch(
      new RegExp(`from 10\\.11\\.0\\.0/16 ${action} proto \\d+`),
    );
    expect(machine.apply(data, { generation: 'g2' }).last).toMatch(/nothing to do/);
    expect(machine.sh('sh /var/lib/source-routing/vpn1/agent verify --owner vpn1').code).toBe(0);
    expect(machine.sh('sh /var/lib/source-routing/vpn1/agent remove --owner vpn1').code).toBe(0);
    expect(machine.must('ip -N rule')).not.toMatch(/10\.11/);
  });
});

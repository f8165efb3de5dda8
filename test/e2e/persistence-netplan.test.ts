import type { VpnEgressProps } from '../../lib';
import { LinuxHost, Persistence, Route, SourceRoutingTable } from '../../lib';
import { describeLab } from '../lab/describe-lab';
import type { Snapshot } from '../lab/snapshot';
import { FAKE_UDEV, conformance } from './conformance';
import { declareEgress } from './egress';
import { CONFIRM_TIMEOUT, settled, sleep, steadyTraffic } from './faults';
import { Terraform, saidBy, sshOf } from './terraform';

/** What somebody else has in the file of the interface, and how it came into force. */
const FOREIGN = `cat >>/etc/netplan/50-eth1.yaml <<'END'
      # The printers: ask Ada before you change this.
      routes:
        - {to: "10.99.0.0/16", via: "192.168.1.1"}
        - {to: "10.97.0.0/16", via: "192.168.1.1", table: 97}
      routing-policy:
        - {from: "10.98.0.0/16", table: 97, priority: 500}
END
netplan generate && networkctl reload && sleep 3`;

conformance('Persistence.netplan()', {
  lab: { networkManager: 'netplan' },
  persistence: Persistence.netplan(),
  tag: 'static',
  without: ['suppressInterfaceGroup'],
  files: [
    '+ file /etc/netplan/90-source-routing-vpn-eth1.yaml',
    '+ file /etc/systemd/network/10-netplan-eth1.network.d',
    '+ file /etc/systemd/network/10-netplan-eth1.network.d/50-source-routing-vpn.conf',
  ],
  foreign: FOREIGN,
  // `netplan apply` triggers udev, for which /sys of a container is not good enough.
  prepare: `${FAKE_UDEV}
    mount --bind /bin/true /usr/bin/udevadm`,
  events: {
    'netplan apply': 'netplan apply; sleep 0.5',
    'netplan generate and networkctl reload': 'netplan generate && networkctl reload; sleep 0.5',
    'a restart of systemd-networkd': 'systemctl restart systemd-networkd; sleep 0.5',
    'networkctl reconfigure': 'networkctl reconfigure eth1; sleep 0.5',
    'a link that is set down and up': 'ip link set eth1 down; sleep 1; ip link set eth1 up; sleep 0.1',
  },
  wrong: {
    persistence: Persistence.networkd(),
    says: /eth1 is managed by netplan \(.*10-netplan-eth1\.network\), not by networkd: use Persistence\.netplan\(\)/,
  },
});

/** The interface has another name in netplan, and there is one that is no Ethernet. */
const OTHER_NAMES = `sed -i 's/^    eth1:$/    egress:\\n      match: {name: eth1}/' /etc/netplan/50-eth1.yaml
cat >/etc/netplan/60-bridge.yaml <<'END'
network:
  version: 2
  bridges:
    br0: {addresses: [10.5.0.1/24], optional: true}
END
chmod 600 /etc/netplan/60-bridge.yaml
netplan generate && networkctl reload && sleep 3`;

describeLab('netplan on a machine', { networkManager: 'netplan' }, (lab) => {
  let terraform: Terraform;
  let before: Snapshot;

  const declare = (props: Partial<VpnEgressProps> = {}): void =>
    terraform.declare((stack) => {
      const own = Persistence.netplan({ device: 'eth1' });
      const host = { interfaces: undefined, confirmTimeoutSeconds: CONFIRM_TIMEOUT, persistence: own };
      const main = SourceRoutingTable.main(declareEgress(stack, lab(), props, host).table.host);
      new Route(stack, 'beyond', { table: main, destination: '10.6.0.0/16', via: '10.5.0.2', device: 'br0' });
    });

  /** What a failed apply says last. */
  async function failure(): Promise<string | undefined> {
    const { code, stdout } = await terraform.run('apply', ['-auto-approve']);
    expect(code).not.toBe(0);
    return saidBy('apply', stdout).at(-1);
  }

  beforeAll(async () => {
    await lab().vpn.exec(OTHER_NAMES);
    await lab().vpn.exec(FAKE_UDEV);
    before = await lab().vpn.snapshotState();
    terraform = new Terraform(lab());
  }, 120_000);
  afterAll(() => terraform.close());

  test('files that netplan cannot read are found before anything is changed', async () => {
    await lab().vpn.writeFile('/etc/netplan/70-broken.yaml', 'network: {version: 2, ethernet: {}}\n', '0600');
    declare();
    const said = await failure();
    await lab().vpn.exec('rm /etc/netplan/70-broken.yaml');
    expect(said).toMatch(/refused, nothing was changed: netplan get failed: \/etc\/netplan\/70-broken\.yaml:1/);
    expect(await lab().vpn.changedSince(before)).toEqual([]);
  });

  test('if netplan refuses the new file, everything is put back', async () => {
    const generated = 'cd /run/systemd/network; cat 10-netplan-*; ls 10-netplan-*';
    const old = (await lab().vpn.exec(generated)).stdout;
    await lab().vpn.exec(`cp /usr/share/netplan/netplan.script /var/tmp/netplan.script
      cat >/var/tmp/netplan <<'END'
#!/bin/sh
if [ "$1" = generate ] && ! [ -e /run/refused ]; then
  : >/run/refused
  echo 'Error in network definition: unknown key' >&2
  exit 1
fi
PYTHONPATH=/usr/share/netplan exec python3 /var/tmp/netplan.script "$@"
END
      chmod 755 /var/tmp/netplan
      mount --bind /var/tmp/netplan /usr/share/netplan/netplan.script`);
    declare();
    const said = await failure();
    await lab().vpn.exec('umount /usr/share/netplan/netplan.script; rm /var/tmp/netplan*');
    expect(said).toMatch(/put back as it was: netplan generate failed: Error in network definition/);
    expect(await lab().vpn.changedSince(before)).toEqual([]);
    expect((await lab().vpn.exec(generated)).stdout).toBe(old);
  });

  test('each interface is called what netplan calls it', async () => {
    declare();
    await terraform.apply();
    const { stdout } = await lab().vpn.exec('sed -s -n 4,5p /etc/netplan/90-source-routing-vpn-*.yaml');
    expect(stdout).toBe('  bridges:\n    "br0":\n  ethernets:\n    "egress":\n');
    await exact();
    await lab().vpn.exec('networkctl reconfigure eth1 br0; sleep 1');
    await exact();
    expect(await terraform.apply()).toMatch(/No changes/);
  });

  test('what somebody else does later leaves the addresses of the uplink alone', async () => {
    const { stdout } = await lab().vpn.exec(`ip -o monitor address >/run/addresses & sleep 0.5
      networkctl reload; sleep 1; kill $!; cat /run/addresses`);
    expect(stdout).not.toMatch(/eth0/);
    await exact();
  });

  test('one file for several interfaces is refused', async () => {
    await lab().vpn.exec(`printf '[Match]\\nName=br1 br2\\n' >/run/systemd/network/70-several.network
      networkctl reload; ip link add br1 type bridge; ip link add br2 type bridge; sleep 1`);
    terraform.declare((stack) => {
      const host = new LinuxHost(stack, 'vpn', {
        ssh: sshOf(lab()),
        owner: 'vpn',
        persistence: Persistence.networkd(),
      });
      const table = SourceRoutingTable.main(host);
      new Route(stack, 'beyond', { table, destination: '10.7.0.0/16', device: 'br1' });
    });
    const said = await failure();
    await lab().vpn.exec(
      'rm /run/systemd/network/70-several.network; ip link del br1; ip link del br2; networkctl reload',
    );
    expect(said).toMatch(
      /br1 is managed by networkd with one file for several interfaces \(.*\), .* use Persistence\.service\(\)/,
    );
    await exact();
  });

  test.each([
    // Between the two netplan has a file that is not what systemd-networkd has read.
    ['before netplan has read it', 'grep -qs 11010 /etc/netplan/90-source-routing-vpn-eth1.yaml', 0],
    ['when it is made', '[ -e /var/lib/source-routing/vpn/trial/applied ]', 500],
  ])('a power cut during a change, %s: the machine boots what it had before', async (_, condition, more) => {
    const old = await lab().vpn.snapshotState();
    declare({ priority: 11010 });
    const run = await terraform.start('apply', ['-auto-approve']);
    await lab().vpn.exec(`for try in $(seq 3000); do ${condition} && exit 0; sleep 0.01; done; exit 1`);
    run.signal('SIGKILL');
    await sleep(more);
    await lab().vpn.powerCut();
    await run.result;
    await lab().waitForVpn();
    await exact();
    expect(await lab().vpn.changedSince(old)).toEqual([]);
    await lab().vpn.exec('networkctl reconfigure eth1; sleep 1');
    await exact();
    expect(await lab().vpn.changedSince(old)).toEqual([]);
  });

  test('destroy: the machine is as it was', async () => {
    await lab().vpn.exec(FAKE_UDEV);
    declare();
    await terraform.destroy();
    await lab().vpn.exec('networkctl reconfigure eth1 br0; sleep 3');
    expect(await lab().vpn.changedSince(before)).toEqual([]);
  });

  async function exact(): Promise<void> {
    await settled(lab().vpn);
    expect((await lab().vpn.exec('source-routing verify vpn', { allowFailure: true })).stdout).toMatch(/agree with/);
    const { stdout } = await lab().vpn.exec('ip rule; ip -6 rule; ip route');
    expect(stdout.match(/lookup vpn|10\.6\.0\.0/g)).toHaveLength(7);
  }
});

describeLab('the first applies on a machine of netplan', { networkManager: 'netplan' }, (lab) => {
  let terraform: Terraform;
  beforeAll(() => {
    terraform = new Terraform(lab());
  });
  afterAll(() => terraform.close());

  test.each([
    // systemd reads its units again, and netplan writes the files of all links anew.
    ['our own unit', Persistence.service()],
    ['netplan', Persistence.netplan()],
  ])('interrupt no link: %s', async (_, persistence) => {
    terraform.declare((stack) => declareEgress(stack, lab(), {}, { persistence }));
    await lab().vpn.exec(
      'systemd-run -q --collect --unit=addresses sh -c "exec ip -o monitor address >/run/addresses"',
    );
    const traffic = await steadyTraffic(lab());
    const mark = await traffic.mark();
    await terraform.apply();
    await settled(lab().vpn);
    const flows = await traffic.since(mark);
    await traffic.stop();
    expect((await lab().vpn.exec('systemctl stop addresses; cat /run/addresses')).stdout).not.toMatch(/Deleted/);
    expect(flows.filter(({ lost }) => lost > 0)).toEqual([]);
  });
});

import { Persistence } from '../../lib';
import { FAKE_UDEV, conformance } from './conformance';

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

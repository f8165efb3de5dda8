import { Persistence } from '../../lib';
import { conformance } from './conformance';

/** What somebody else has in the file of the interface: netplan itself drops rules here. */
const FOREIGN = `cat >>/etc/netplan/50-eth1.yaml <<'END'
      # The printers: ask Ada before you change this.
      routes:
        - {to: "10.99.0.0/16", via: "192.168.1.1"}
        - {to: "10.97.0.0/16", via: "192.168.1.1", table: 97}
      networkmanager:
        passthrough:
          ipv4.routing-rule1: "priority 500 from 10.98.0.0/16 table 97"
END
netplan generate && nmcli connection reload && nmcli connection up netplan-eth1 && sleep 3`;

conformance('Persistence.netplan(), by way of NetworkManager,', {
  lab: { networkManager: 'netplanNetworkManager' },
  persistence: Persistence.netplan(),
  tag: 'static',
  without: ['suppressInterfaceGroup'],
  manager: 'netplan-network-manager',
  files: ['+ file /etc/netplan/90-source-routing-vpn-eth1.yaml'],
  foreign: FOREIGN,
  // `netplan apply` triggers udev, for which /sys of a container is not good enough.
  prepare: 'mount --bind /bin/true /usr/bin/udevadm',
  events: {
    'netplan generate and nmcli connection up':
      'netplan generate && nmcli connection reload && nmcli connection up netplan-eth1',
    'a restart of NetworkManager': 'systemctl restart NetworkManager; sleep 0.5',
    'a link that is set down and up': 'ip link set eth1 down; sleep 1; ip link set eth1 up; sleep 0.1',
    'nmcli device reapply': 'nmcli device reapply eth1',
    'netplan apply': 'netplan apply; sleep 0.5',
  },
  wrong: {
    persistence: Persistence.networkManager(),
    says: /eth1 is managed by netplan-network-manager \(.*netplan-eth1\.nmconnection\), not by network-manager: use\s+Persistence\.netplan\(\)/,
  },
});

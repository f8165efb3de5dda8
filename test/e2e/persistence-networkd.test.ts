import { Persistence } from '../../lib';
import { FAKE_UDEV, conformance } from './conformance';

conformance('Persistence.networkd()', {
  lab: { networkManager: 'networkd' },
  persistence: Persistence.networkd(),
  tag: 'static',
  files: [
    '+ file /etc/systemd/network/10-eth1.network.d',
    '+ file /etc/systemd/network/10-eth1.network.d/50-source-routing-vpn.conf',
  ],
  prepare: FAKE_UDEV,
  events: {
    'a restart of systemd-networkd': 'systemctl restart systemd-networkd; sleep 0.5',
    'networkctl reconfigure': 'networkctl reconfigure eth1; sleep 0.5',
    'a touched file and networkctl reload': 'touch /etc/systemd/network/10-eth0.network; networkctl reload; sleep 0.5',
    'a link that is set down and up': 'ip link set eth1 down; sleep 1; ip link set eth1 up; sleep 0.1',
  },
  wrong: {
    persistence: Persistence.networkManager(),
    without: ['suppressInterfaceGroup'],
    says: /eth1 is managed by networkd \(\S+10-eth1\.network\), not by network-manager: use\s+Persistence\.networkd\(\)/,
  },
});

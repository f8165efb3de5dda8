import { Persistence } from '../../lib';
import { conformance } from './conformance';

conformance('Persistence.ifupdown() with ifupdown2', {
  lab: { networkManager: 'ifupdown2' },
  persistence: Persistence.ifupdown(),
  tag: '77',
  files: ['+ file /etc/network/if-up.d/source-routing-vpn'],
  rejects: true,
  foreign: `cat >>/etc/network/interfaces.d/eth1 <<'END'
    # the printers, see ticket 42
    up ip -6 route replace fd00:77::/64 dev $IFACE || true
    up ip rule add from 10.77.0.0/16 lookup 77 priority 7700 || true
END
    ifreload -a
    until ip -6 route show table local | grep -q "local fd00:1010:1010:1010::100"; do sleep 0.1; done`,
  events: {
    'ifreload': 'ifreload -a',
    'ifdown and ifup': 'ifdown eth1; ifup eth1',
    'a restart of networking': 'systemctl restart networking',
    // The kernel drops a static IPv6 address with its link; ifupdown2 sets it again when it is asked.
    'a link that is set down and up': 'ip link set eth1 down; sleep 1; ip link set eth1 up; ifreload -a',
  },
  wrong: {
    persistence: Persistence.networkScripts(),
    says: /eth1 is managed by ifupdown \(\/etc\/network\/interfaces\), not by network-scripts: use Persistence\.ifupdown\(\)/,
  },
});

import { Persistence } from '../../lib';
import { conformance } from './conformance';

/** The kernel drops a static IPv6 address with its link, and ifupdown does not notice. */
const ADDRESS = 'fd00:1010:1010:1010::100/64';

conformance('Persistence.ifupdown()', {
  lab: { networkManager: 'ifupdown' },
  persistence: Persistence.ifupdown(),
  tag: '77',
  files: ['+ file /etc/network/if-up.d/source-routing-vpn'],
  rejects: true,
  // The stanzas of the interface are where the installer of Debian puts them.
  foreign: `ifdown eth1
    cat /etc/network/interfaces.d/eth1 >>/etc/network/interfaces; rm /etc/network/interfaces.d/eth1
    cat >>/etc/network/interfaces <<'END'
    # the printers, see ticket 42
    up ip -6 route add fd00:77::/64 dev $IFACE || true
    up ip rule add from 10.77.0.0/16 lookup 77 priority 7700 || true
END
    ifup eth1`,
  events: {
    'ifdown and ifup': 'ifdown eth1; ifup eth1',
    'a restart of networking': 'systemctl restart networking',
    'a link that is set down and up': `ip link set eth1 down; sleep 1; ip link set eth1 up
      ip -6 addr replace ${ADDRESS} dev eth1 nodad; ip -6 route replace fd00:77::/64 dev eth1; sleep 0.1`,
  },
  wrong: {
    persistence: Persistence.networkd(),
    says: /eth1 is managed by ifupdown \(\/etc\/network\/interfaces\), not by networkd: use Persistence\.ifupdown\(\)/,
  },
});

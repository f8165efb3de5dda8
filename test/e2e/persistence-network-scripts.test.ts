import { Persistence } from '../../lib';
import { fileOfSourcePackage } from '../lab/root-image';
import { conformance } from './conformance';

const SCRIPTS = '/etc/sysconfig/network-scripts';
const DISPATCHER = '/usr/local/libexec/10-ifcfg-rh-routes.sh';

conformance('Persistence.networkScripts()', {
  lab: { networkScripts: true },
  persistence: Persistence.networkScripts(),
  tag: '77',
  hasUplink: false,
  files: ['rule', 'rule6', 'route', 'route6'].map((kind) => `+ file ${SCRIPTS}/${kind}-eth1`),
  // Debian has the dispatcher script of NetworkManager-dispatcher-routing-rules, but no package with it.
  install: async (machine) =>
    machine.writeFile(DISPATCHER, await fileOfSourcePackage('network-manager', '10-ifcfg-rh-routes.sh'), '0755'),
  foreign: `printf '# the printers\\nfrom 10.77.0.0/16 lookup 77 priority 7700\\n' >${SCRIPTS}/rule-eth9`,
  events: {
    'ifdown and ifup': 'systemctl restart lab-network-scripts',
    'the lines of the files once more': `${SCRIPTS}/ifup-routes eth1 2>/dev/null`,
    'the dispatcher script of NetworkManager': `export CONNECTION_FILENAME=${SCRIPTS}/ifcfg-eth1 DEVICE_IP_IFACE=eth1
      ${DISPATCHER} eth1 down; sleep 0.3; ${DISPATCHER} eth1 pre-up 2>/dev/null`,
    // The kernel drops a static IPv6 address with its link, and network scripts do not notice.
    'a link that is set down and up': `ip link set eth1 down; sleep 1; ip link set eth1 up
      ip -6 addr replace fd00:1010:1010:1010::100/64 dev eth1 nodad; sleep 0.1`,
    'a restart of systemd-networkd, which has the other interface': 'systemctl restart systemd-networkd; sleep 0.5',
  },
  wrong: {
    persistence: Persistence.networkd(),
    says: /eth1 is managed by network-scripts \(\/etc\/sysconfig\/network-scripts\/ifcfg-eth1\), not by networkd: use Persistence\.networkScripts\(\)/,
  },
});

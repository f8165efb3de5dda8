import type { EduVpnProfile } from '../lib';
import { EduVpnNode, LinuxHost, VpnEgress } from '../lib';
import { GATEWAYS, INTERFACES, SSH, bundleOf, newStack, validationErrors } from './fixtures';

const STAFF = { profileId: 'staff', oRangeFour: '10.10.10.0/24', oRangeSix: 'fd00:4242:4242:1010::/64' };
const GUESTS = { profileId: 'guests', wRangeFour: '10.10.20.0/24', wRangeSix: 'fd00:4242:4242:2020::/64' };

describe('the tunnels of a node of eduVPN', () => {
  test.each<[string, EduVpnProfile[], Record<string, string[]>]>([
    [
      'a process for each port, which has its part of the range',
      [STAFF],
      {
        tun0: ['10.10.10.1/25', 'fd00:4242:4242:1010::1/112'],
        tun1: ['10.10.10.129/25', 'fd00:4242:4242:1010::1:1/112'],
      },
    ],
    [
      'one process has an IPv6 part, too',
      [{ ...STAFF, oTcpPortList: [] }],
      { tun0: ['10.10.10.1/24', 'fd00:4242:4242:1010::1/112'] },
    ],
    [
      'numbers are counted across profiles',
      [
        { ...STAFF, oUdpPortList: [1194, 1195, 1196], oTcpPortList: [1194] },
        { profileId: 'more', oRangeFour: '10.10.30.0/24', oUdpPortList: [1200], oTcpPortList: [] },
      ],
      {
        tun0: ['10.10.10.1/26', 'fd00:4242:4242:1010::1/112'],
        tun1: ['10.10.10.65/26', 'fd00:4242:4242:1010::1:1/112'],
        tun2: ['10.10.10.129/26', 'fd00:4242:4242:1010::2:1/112'],
        tun3: ['10.10.10.193/26', 'fd00:4242:4242:1010::3:1/112'],
        tun4: ['10.10.30.1/24'],
      },
    ],
    [
      'WireGuard has one for all profiles',
      [GUESTS, { ...STAFF, oTcpPortList: [], wRangeFour: '10.10.11.0/24', wRangeSix: 'fd00:4242:4242:1011::/64' }],
      {
        tun0: ['10.10.10.1/24', 'fd00:4242:4242:1010::1/112'],
        wg0: ['10.10.20.1/24', 'fd00:4242:4242:2020::1/64', '10.10.11.1/24', 'fd00:4242:4242:1011::1/64'],
      },
    ],
  ])('%s', (_, profiles, tunnels) => {
    const { interfaces } = new EduVpnNode(profiles);
    expect(Object.fromEntries(interfaces.map(({ name, addresses }) => [name, addresses]))).toEqual(tunnels);
  });

  test('two profiles leave by two routers, with priorities that do not collide', () => {
    const stack = newStack();
    const node = new EduVpnNode([STAFF, GUESTS]);
    const [eth0, eth1] = INTERFACES;
    const eth2 = { name: 'eth2', addresses: ['192.168.2.100/24', 'fd00:1010:1010:2020::100/64'] };
    const interfaces = [eth0, eth1, eth2].flatMap((each) => each ?? []);
    const host = new LinuxHost(stack, 'vpn', { ssh: SSH, interfaces: [...interfaces, ...node.interfaces] });
    const staff = { host, device: 'eth1', tableId: 201, clients: node.clients('staff'), gateways: GATEWAYS };
    new VpnEgress(stack, 'staff', staff);
    const gateways = ['192.168.2.1', 'fd00:1010:1010:2020::1'];
    new VpnEgress(stack, 'guests', {
      ...{ host, gateways, device: 'eth2', tableId: 202, clients: node.clients('guests') },
    });
    expect(validationErrors(stack)).toEqual([]);
    expect(bundleOf(stack).filter((line) => /^rule . \d+ from /.test(line))).toEqual([
      'rule 4 10010 from 10.10.10.0/24 lookup 201',
      'rule 6 10010 from fd00:4242:4242:1010::/64 lookup 201',
      'rule 4 10110 from 10.10.20.0/24 lookup 202',
      'rule 6 10110 from fd00:4242:4242:2020::/64 lookup 202',
    ]);
  });

  test.each<[string, () => unknown, string]>([
    ['no profile', () => new EduVpnNode([]), '[EduVpnNode] profiles is empty. Give the profiles of the node'],
    [
      'a profile twice',
      () => new EduVpnNode([STAFF, STAFF]),
      '[EduVpnNode] profiles[1].profileId "staff" is there twice. Give each profile its own id.',
    ],
    [
      'a number of ports that eduVPN does not take',
      () => new EduVpnNode([{ ...STAFF, oUdpPortList: [1194, 1195] }]),
      '[EduVpnNode] profiles[0].oUdpPortList and profiles[0].oTcpPortList have 3 ports together, and eduVPN takes 1, 2, 4, 8, 16, 32, 64. Give as many as in config.php.',
    ],
    [
      'the other family',
      () => new EduVpnNode([{ ...STAFF, oRangeFour: 'fd00::/64' }]),
      '[EduVpnNode] profiles[0].oRangeFour "fd00::/64" is not IPv4. Give an IPv4 range.',
    ],
    [
      'a range that is too small for its processes',
      () => new EduVpnNode([{ ...STAFF, oRangeFour: '10.10.10.0/30' }]),
      '[EduVpnNode] profiles[0].oRangeFour "10.10.10.0/30" is too small for 2 processes of OpenVPN. Give that of config.php.',
    ],
    [
      'an IPv6 range that is too small',
      () => new EduVpnNode([{ ...STAFF, oRangeSix: 'fd00::/112' }]),
      '[EduVpnNode] profiles[0].oRangeSix "fd00::/112" is too small for 2 processes of OpenVPN. Give that of config.php.',
    ],
    [
      'an unknown profile',
      () => new EduVpnNode([STAFF, GUESTS]).clients('students'),
      '[EduVpnNode] profileId "students" is no profile of this node. Give one of these: "staff", "guests".',
    ],
  ])('%s is an error', (_, make, message) => {
    expect(make).toThrow(message);
  });
});

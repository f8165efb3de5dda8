import { VpnEgress } from '../../lib';
import { contentOf, newHost, newStack } from '../fixtures';
import { BASH, BUSYBOX, DASH, Machine, describeOnMachine } from './machine';

const OWNER = 'stack-vpn1';
const TABLE = `inet source_routing_${OWNER}`;
const ENDS_WELL = /source-routing: done: /;

const INTERFACES = [
  { name: 'eth0', addresses: ['192.168.178.2/24'], gateways: ['192.168.178.1'] },
  { name: 'eth1', addresses: ['192.168.1.100/24', 'fd00:1010::100/64'] },
  { name: 'tun0', addresses: ['10.10.10.1/24', 'fd00:4242::1/64'] },
];

/** The data lines of what the library declares. */
function declared(props: Partial<ConstructorParameters<typeof VpnEgress>[2]> = {}): string[] {
  const stack = newStack();
  new VpnEgress(stack, 'egress', {
    host: newHost(stack, { interfaces: INTERFACES }),
    device: 'eth1',
    tableId: 200,
    clients: ['10.10.10.0/24', 'fd00:4242::/64'],
    gateways: ['192.168.1.1', 'fd00:1010::1'],
    ...props,
  });
  const lines = contentOf(stack).split('\n');
  return lines.slice(lines.findIndex((line) => line.startsWith('owner ')) + 1, -2);
}

/** What another owner has that needs one of the settings, too. */
const OTHER = [
  'persistence service own',
  'table 201 -',
  'rule 4 12000 from 10.99.0.0/24 lookup 201',
  'route 4 201 default 0 via 192.168.1.1 dev eth1',
  'sysctl net.ipv4.fwmark_reflect 1 nftables',
];

/** A tunnel with a small MTU, and a NAT router that is a host on the internet, too. */
const NETWORK = `
  ip netns add far
  ip link add port type veth peer name far netns far
  ip link set port master eth1 up
  ip -n far link set far address 02:00:00:00:00:01
  ip -n far link set far up
  ip -n far link set lo up
  for each in 192.168.1.1/24 198.51.100.7/32; do ip -n far addr add $each dev far; done
  for each in fd00:1010::1/64 2001:db8::7/128; do ip -n far addr add $each dev far nodad; done
  ip -n far route add 10.10.10.0/24 via 192.168.1.100
  ip -n far route add fd00:4242::/64 via fd00:1010::100
  for each in 192.168.1.100 fd00:1010::100; do
    ip -n far neigh replace $each lladdr $(ip -o link show eth1 | sed "s/.*ether //;s/ .*//") dev far nud permanent
  done
  for each in 192.168.1.1 fd00:1010::1; do ip neigh replace $each lladdr 02:00:00:00:00:01 dev eth1 nud permanent; done
  ip addr add fd00:178::2/64 dev eth0 nodad
  ip -6 route add default via fd00:178::1 dev eth0
  ip link add tun0 type bridge
  ip link set tun0 mtu 1300 up
  ip addr add 10.10.10.1/24 dev tun0
  ip addr add fd00:4242::1/64 dev tun0 nodad
  for each in 10.10.10.2 fd00:4242::2; do ip neigh replace $each lladdr 02:00:00:00:00:02 dev tun0 nud permanent; done
  for file in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 1 >$file; done
  echo 0 >/proc/sys/net/ipv4/icmp_ratelimit
  echo 0 >/proc/sys/net/ipv6/icmp/ratelimit
  mkdir -p /etc/systemd/system`;

describe.each([DASH, BASH, BUSYBOX])('errors about packets to clients under $name', (flavour) => {
  describeOnMachine('on a machine', () => {
    let machine: Machine;
    beforeEach(() => {
      machine = new Machine(flavour);
      machine.must(NETWORK);
      machine.fakeSystemd();
    });
    afterEach(() => machine.close());

    const apply = (data: string[], generation = 'g1', options = ''): ReturnType<Machine['apply']> =>
      machine.apply(data, { owner: OWNER, generation, options });
    const applied = (data: string[], generation?: string): void => {
      expect(apply(data, generation).last).toMatch(ENDS_WELL);
    };
    const settings = (): string => machine.must('cat /proc/sys/net/ipv[46]/fwmark_reflect').replace(/\n/g, '');
    const verified = (): string => machine.agent('verify', OWNER).out;
    /** Who tells a host on the internet, by way of the NAT router, that its packets to a client are too big. */
    const told = (): string[] =>
      [
        ['198.51.100.7', '10.10.10.2'],
        ['2001:db8::7', 'fd00:4242::2'],
      ].map(([from, to]) => {
        machine.must('ip -n far route flush cache; ip -n far -6 route flush cache');
        const { out } = machine.sh(`ip netns exec far ping -n -M do -s 1400 -c 1 -W 1 -I ${from} ${to}`);
        return /^From (\S+) icmp_seq=1 .*mtu ?= ?1300/m.exec(out)?.[1] ?? 'nobody';
      });
    const BY_EGRESS = ['192.168.1.100', 'fd00:1010::100'];
    const BY_MAIN = ['nobody', 'nobody'];

    test.each([[{}], [{ failClosed: false }]])('go to the NAT router (%j)', (props) => {
      expect(told()).toEqual(BY_MAIN);
      applied(declared(props));
      expect(told()).toEqual(BY_EGRESS);
      expect(verified()).toMatch(ENDS_WELL);
      // What is marked already is somebody else's.
      machine.must(
        `nft 'table inet mine { chain first { type filter hook prerouting priority -200; meta mark set 1; }; }'`,
      );
      expect(told()).toEqual(BY_MAIN);
      machine.must('nft delete table inet mine');
      machine.must(`nft delete table ${TABLE}`);
      expect(told()).toEqual(BY_MAIN);
      machine.agent('assert', OWNER);
      machine.must('ip route flush table 200; ip -6 route flush table 200');
      expect(told()).toEqual(BY_MAIN);
    });

    test('the settings for it are given back', () => {
      machine.must('echo 1 >/proc/sys/net/ipv6/fwmark_reflect');
      const pristine = machine.picture();
      expect(settings()).toBe('01');
      applied(declared());
      expect(settings()).toBe('11');
      // They stay what they were before the first generation.
      applied(declared({ priority: 10100 }), 'g2');
      expect(machine.agent('status', OWNER).out).toContain('sysctl net.ipv4.fwmark_reflect is 1, wanted is 1');
      expect(machine.agent('remove', OWNER).last).toMatch(ENDS_WELL);
      expect(settings()).toBe('01');
      expect(machine.picture()).toBe(pristine);
    });

    test('a change that is undone leaves the settings of before', () => {
      const pristine = machine.pictureOfChanges();
      expect(apply(declared(), 'g1', '--confirm-timeout 60').last).toContain('on trial');
      expect(settings()).toBe('11');
      expect(machine.agent('rollback', OWNER).last).toMatch(ENDS_WELL);
      expect(settings()).toBe('00');
      expect(machine.pictureOfChanges()).toBe(pristine);
      applied(declared());
      expect(apply(OTHER, 'g2', '--confirm-timeout 60').code).toBe(0);
      expect(settings()).toBe('10');
      expect(machine.agent('rollback', OWNER).last).toMatch(ENDS_WELL);
      expect(settings()).toBe('11');
      expect(machine.agent('remove --generation g3 --confirm-timeout 60', OWNER).code).toBe(0);
      expect(settings()).toBe('00');
      expect(machine.agent('rollback', OWNER).last).toMatch(ENDS_WELL);
      expect(settings()).toBe('11');
    });

    test('what another owner needs stays, whoever goes first', () => {
      const pristine = machine.picture();
      const other = (): void => {
        expect(machine.apply(OTHER, { owner: 'other' }).last).toMatch(ENDS_WELL);
      };
      const removed = (owner: string): string => {
        expect(machine.agent('remove', owner).last).toMatch(ENDS_WELL);
        return settings();
      };
      applied(declared());
      other();
      expect(removed(OWNER)).toBe('10');
      expect(removed('other')).toBe('00');
      other();
      applied(declared());
      expect(removed('other')).toBe('11');
      expect(removed(OWNER)).toBe('00');
      expect(machine.picture()).toBe(pristine);
    });

    test('it is seen and mended that a setting is gone', () => {
      applied(declared());
      machine.must('echo 0 >/proc/sys/net/ipv4/fwmark_reflect');
      expect(verified()).toContain('+ sysctl net.ipv4.fwmark_reflect 1 (it is 0)');
      expect(machine.agent('diff', OWNER).out).toContain('+ sysctl net.ipv4.fwmark_reflect 1 (it is 0)');
      expect(machine.agent('assert', OWNER).last).toMatch(ENDS_WELL);
      expect(settings()).toBe('11');
      expect(verified()).toMatch(ENDS_WELL);
    });

    test('where nothing can be set, it is said', () => {
      machine.must('mount --bind /proc/sys/net /proc/sys/net; mount -o remount,bind,ro /proc/sys/net');
      const done = apply(declared());
      expect(done.last).toMatch(ENDS_WELL);
      expect(done.out).toContain(
        'note: net.ipv6.fwmark_reflect is 0 and cannot be set to 1 here: errors about packets to clients leave by the main default route',
      );
      expect(settings()).toBe('00');
      expect(verified()).toMatch(ENDS_WELL);
      expect(machine.agent('status', OWNER).out).toContain('sysctl net.ipv6.fwmark_reflect is 0, wanted is 1');
      expect(machine.agent('remove', OWNER).last).toMatch(ENDS_WELL);
    });

    test('without nftables there are neither marks nor settings', () => {
      machine.write('/mnt/bin/nft', '#!/bin/sh\necho "Protocol not supported" >&2\nexit 1\n');
      const done = apply(declared());
      expect(done.last).toMatch(ENDS_WELL);
      expect(done.out).toContain('errors about packets to clients leave by the main default route');
      expect(settings()).toBe('00');
      expect(machine.must('ls /etc/sysctl.d 2>/dev/null || :')).toBe('');
    });
  });
});

import { BASH, BUSYBOX, DASH, Machine, describeOnMachine } from './machine';

const DATA = [
  'table 200 vpn',
  'rule 4 10010 from 10.10.10.0/24 lookup 200',
  'rule 6 10010 from fd00:4242::/64 lookup 200',
  'route 4 200 default 0 via 192.168.1.1 dev eth1',
  'route 6 200 default 1024 via fd00:1010::1 dev eth1',
];
const REFUSED = 'source-routing: refused, nothing was changed: ';

describe.each([DASH, BUSYBOX, BASH])('what stands in the way of a change, under $name', (flavour) => {
  describeOnMachine('on a machine', () => {
    let machine: Machine;
    beforeEach(() => {
      machine = new Machine(flavour);
    });
    afterEach(() => machine.close());

    test('a gateway that is not there', () => {
      // Somebody is at the one of IPv6, and has been told so by hand.
      machine.must('ip link set eth1 arp on; ip -6 neigh add fd00:1010::1 lladdr 02:00:00:00:00:01 dev eth1');
      const before = machine.pictureOfChanges();
      const done = machine.apply(DATA);
      expect(done).toMatchObject({
        code: 69,
        last: `${REFUSED}nobody answers at 192.168.1.1 on eth1, where a route of ours goes through: is the address right, the machine up, and the cable in the right socket? (ip -4 neigh show dev eth1)`,
      });
      expect(machine.pictureOfChanges()).toBe(before);
      expect(machine.must('ip -6 neigh show fd00:1010::1')).toContain('PERMANENT');
      machine.must('ip neigh replace 192.168.1.1 lladdr 02:00:00:00:00:01 dev eth1');
      expect(machine.apply(DATA).code).toBe(0);
      // What is there stays, whoever is away for a moment.
      machine.must('ip neigh del 192.168.1.1 dev eth1');
      expect(machine.apply([...DATA, 'rule 4 10011 from 10.10.11.0/24 lookup 200'], { generation: 'g2' }).code).toBe(0);
    });

    /** A router that answers, behind eth1. */
    const ROUTER = `ip netns add far; ip link add port type veth peer name far netns far
      ip link set eth1 arp on; ip link set port master eth1 up
      ip -n far addr add 192.168.1.1/24 dev far; ip -n far addr add fd00:1010::1/64 dev far nodad
      ip -n far addr add fe80::1/64 dev far nodad; ip -n far link set far up; sleep 0.3`;

    test.each([
      ['with a version of ip that can look for a neighbour', ''],
      ['with an older one', 'old'],
    ])('no gateway that answers, %s', (_, old) => {
      machine.must(ROUTER);
      if (old) {
        machine.write(
          '/mnt/bin/ip',
          '#!/bin/sh\nfor word; do case $word in use) exit 255 ;; esac; done\nexec $(PATH=/usr/sbin:/sbin:/usr/bin:/bin command -v ip) "$@"\n',
        );
      }
      const linkLocal = 'route 6 200 fd00:7::/64 1024 via fe80::1 dev eth1';
      const otherFamily = 'route 4 200 10.99.0.0/16 0 via inet6 fe80::1 dev eth1';
      expect(machine.apply([...DATA, linkLocal, otherFamily])).toMatchObject({ code: 0 });
    });

    test('an IPv6 gateway of an IPv4 route that is not there', () => {
      machine.must(`${ROUTER}; ip addr add fe80::100/64 dev eth1 nodad`);
      expect(machine.apply([...DATA, 'route 4 200 10.99.0.0/16 0 via inet6 fe80::9 dev eth1'])).toMatchObject({
        code: 69,
        last: expect.stringMatching(/nobody answers at fe80::9 on eth1, .*\(ip -6 neigh show dev eth1\)$/),
      });
    });

    test('a gateway that has not answered for long, and cannot be asked', () => {
      machine.must(
        'ip link set eth1 arp on; ip neigh add 192.168.1.1 dev eth1 nud failed; ip -6 neigh add fd00:1010::1 dev eth1 nud failed',
      );
      machine.write(
        '/mnt/bin/ip',
        '#!/bin/sh\nfor word; do case $word in use) exit 255 ;; esac; done\nexec $(PATH=/usr/sbin:/sbin:/usr/bin:/bin command -v ip) "$@"\n',
      );
      machine.write('/mnt/bin/ping', '#!/bin/sh\nexit 127\n');
      expect(machine.apply(DATA).code).toBe(0);
    });

    test('one of several gateways is a note only', () => {
      machine.must(ROUTER);
      const backup = 'route 4 200 default 200 via 192.168.1.77 dev eth1';
      const spread = 'route 4 200 10.7.0.0/16 0 nexthop via 192.168.1.1 dev eth1 nexthop via 192.168.1.78 dev eth1';
      const done = machine.apply([...DATA, backup, spread]);
      expect(done.code).toBe(0);
      expect(done.out).toContain('note: nobody answers at 192.168.1.77 on eth1');
      expect(done.out).toContain('note: nobody answers at 192.168.1.78 on eth1');
    });

    test('a main table of another number', () => {
      machine.must(
        'ip rule add pref 32000 lookup 100; ip route add default via 192.168.178.1 table 100; ip route add 192.168.1.0/24 dev eth1 table 100; ip rule del pref 32766',
      );
      expect(machine.apply(DATA).code).toBe(0);
      machine.must('ip rule del pref 32000; ip rule add pref 99 to 10.0.0.0/8 lookup main');
      expect(
        machine.apply([...DATA, 'rule 4 10011 from 10.10.11.0/24 lookup 200'], { generation: 'g2' }).last,
      ).toContain('no IPv4 rule leads to the main table');
    });

    test.each([4, 6])('no rule of IPv%d that leads to the main table', (family) => {
      machine.must(`ip -${family} rule del pref 32766`);
      const done = machine.apply(DATA);
      expect(done).toMatchObject({
        code: 69,
        last: `${REFUSED}no IPv${family} rule leads to the main table, so this machine itself has no way to anywhere: ip -${family} rule add pref 32766 lookup main`,
      });
      // Wherever it stands.
      machine.must(`ip -${family} rule add pref 30000 lookup main`);
      expect(machine.apply(DATA).code).toBe(0);
    });
  });
});

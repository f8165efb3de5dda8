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

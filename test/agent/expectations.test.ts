import { BASH, BUSYBOX, DASH, Machine, describeOnMachine, lines } from './machine';

const BEFORE = [
  'table 200 vpn',
  'rule 4 10010 from 10.10.11.0/24 lookup 200',
  'route 4 200 default 0 via 192.168.1.1 dev eth1',
];
const AFTER = [
  'table 200 vpn',
  'rule 4 10009 to 10.10.10.0/24 lookup 254',
  'rule 4 10010 from 10.10.10.0/24 lookup 200',
  'rule 6 10010 from fd00:4242::/64 lookup 200',
  'route 4 200 default 0 via 192.168.1.1 dev eth1',
  'route 4 200 default 4278198272 type unreachable',
  'route 6 200 default 1024 via fd00:1010::1 dev eth1',
  'route 6 200 default 4278198272 type unreachable',
  'file 0644 /usr/local/new 1',
  '|x',
];
const EXPECTED = [
  'expect 4 e2e/egress to 198.51.100.7 from 10.10.10.2 iif - is via 192.168.1.1 dev eth1',
  'expect 4 e2e/egress to 198.51.100.7 from 10.10.10.2 iif tun0 mark 0x1 tos 0x10 uid 5 ipproto 6 sport 5 dport 80 is rejected or dev eth1',
  'expect 4 e2e/clients to 10.10.10.3 from 10.10.10.2 iif - is dev tun0',
  'expect 4 e2e/server to 198.51.100.7 is via 192.168.178.1',
  'expect 4 e2e/clients-to-server to 10.10.10.1 from 10.10.10.2 iif tun0 is local',
  'expect 6 e2e/egress to 2001:db8::7 from fd00:4242::2 iif - is via fd00:1010::1 dev eth1',
  'expect 6 e2e/server to 2001:db8::7 is rejected',
];

const TUNNEL = `ip link add tun0 type bridge; ip link set tun0 up
  ip addr add 10.10.10.1/24 dev tun0; ip -6 addr add fd00:4242::1/64 dev tun0 nodad`;
const FOREIGN = 'ip rule add pref 100 from 10.10.10.0/24 lookup main';

describe.each([DASH, BUSYBOX, BASH])('what is expected of the kernel', (flavour) => {
  describeOnMachine(`under ${flavour.name}`, () => {
    let machine: Machine;
    beforeEach(() => {
      machine = new Machine(flavour);
    });
    afterEach(() => {
      machine.close();
    });

    /** What was said about the packets. */
    const asked = (out: string): string[] => lines(out).filter((line) => /packets asked about/.test(line));

    test('and is so: the change is kept', () => {
      machine.must(TUNNEL);
      const done = machine.apply([...AFTER, ...EXPECTED]);
      expect(done).toMatchObject({ code: 0, last: expect.stringContaining('generation g1 of vpn1 is in force') });
      expect(asked(done.out)).toEqual(['source-routing: packets asked about: 7, all as expected']);
      expect(machine.verify()).toMatchObject({ code: 0, last: expect.stringContaining('agree') });
      // What an older agent has applied has no such file.
      machine.must('rm /var/lib/source-routing/vpn1/g1/expectations');
      const older = machine.verify();
      expect(older.code).toBe(0);
      expect(asked(older.out)).toEqual([]);
    });

    test.each<[string, string, string, RegExp]>([
      [
        'a foreign rule in front',
        FOREIGN,
        'ip rule del pref 100',
        /^source-routing: FAILED, and everything was put back as it was: the kernel does otherwise than expected: e2e\/egress, 2 packets: "ip -4 route get 198\.51\.100\.7 from 10\.10\.10\.2 iif tun0" must say via 192\.168\.1\.1 dev eth1, and says via 192\.168\.178\.1 dev eth0 \(the main table\): rule 100 \(from 10\.10\.10\.0\/24 lookup 254\) decides\. If that is not meant, take it away, or declare another one in front of it$/,
      ],
      [
        'a foreign rule of IPv6 that rejects',
        'ip -6 rule add pref 100 from fd00:4242::/64 prohibit',
        'ip -6 rule del pref 100',
        /: e2e\/egress: "ip -6 route get 2001:db8::7 from fd00:4242::2 iif tun0" must say via fd00:1010::1 dev eth1, and says rejected \(Permission denied\): rule 100 \(from fd00:4242::\/64 prohibit\) decides/,
      ],
      [
        'a foreign rule with a selector that is not looked at',
        'ip rule add pref 100 tos 0x10 lookup main',
        'ip rule del pref 100',
        /: e2e\/egress: "ip -4 route get 198\.51\.100\.7 from 10\.10\.10\.2 iif tun0 mark 0x1 tos 0x10 uid 5 ipproto 6 sport 5 dport 80" must say rejected or dev eth1, and says via 192\.168\.178\.1 dev eth0 \(the main table\): see /,
      ],
      [
        'a foreign rule for a protocol',
        'ip rule add pref 100 ipproto 6 dport 80 lookup main',
        'ip rule del pref 100',
        /ipproto 6 sport 5 dport 80" must say rejected or dev eth1, and says via 192\.168\.178\.1 dev eth0 \(the main table\): rule 100 \(ipproto 6 dport 80 lookup 254\) decides/,
      ],
      [
        'the rule of a full tunnel, for all but the packets of that',
        'ip route add default dev eth0 table 51820; ip rule add pref 101 lookup main suppress_prefixlength 0; ip rule add pref 102 not fwmark 0xca6c lookup 51820',
        'ip rule del pref 101; ip rule del pref 102',
        /and says dev eth0 \(table 51820\): rule 102 \(not fwmark 0xca6c lookup 51820\) decides/,
      ],
      [
        'a local table behind our rules',
        'ip rule add pref 32000 lookup local; ip rule del pref 0',
        'ip rule add pref 0 lookup local; ip rule del pref 32000',
        /: e2e\/clients-to-server: "ip -4 route get 10\.10\.10\.1 from 10\.10\.10\.2 iif tun0" must say local, and says dev tun0 \(the main table\): rule 10009 \(to 10\.10\.10\.0\/24 lookup 254\) comes first, as "lookup local" stands behind it, at 32000\. Give ours a priority behind that, or put it in front: ip -4 rule add pref 0 lookup local$/,
      ],
      [
        'a foreign route in a table of the kernel',
        'ip route add local 198.51.100.7 dev lo table local',
        'ip route del local 198.51.100.7 dev lo table local',
        /says local: see "ip -4 rule" and "ip -4 route show table all"$/,
      ],
      [
        'the reverse path filter',
        'echo 1 >/proc/sys/net/ipv4/conf/tun0/rp_filter; ip rule add pref 99 to 10.10.10.2 lookup 99; ip route add 10.10.10.2 dev eth0 table 99',
        'ip rule del pref 99',
        /must say via 192\.168\.1\.1 dev eth1, and says rejected \(.*dropped by rp_filter of tun0\): see/,
      ],
    ])('and is not, for %s: everything is put back, and the last line says why', (name, foreign, away, last) => {
      machine.must(TUNNEL);
      machine.apply(BEFORE);
      machine.must(foreign);
      const before = machine.pictureOfChanges();
      // Where the kernel does not lead to the sender any more, the question names the tunnel.
      const named = name.includes('filter') ? EXPECTED.map((line) => line.replace('iif -', 'iif tun0')) : EXPECTED;
      const done = machine.apply([...AFTER, ...named], { generation: 'g2' });
      expect(done).toMatchObject({ code: 70, last: expect.stringMatching(last) });
      expect(asked(done.out)).toEqual(['source-routing: packets asked about: 7, not all as expected']);
      expect(machine.pictureOfChanges()).toBe(before);
      machine.must(away);
      expect(machine.apply([...AFTER, ...named], { generation: 'g2' }).code).toBe(0);
    });

    test('and is so by an IPv6 next hop of an IPv4 route', () => {
      machine.must(TUNNEL);
      const lines4 = [
        'table 200 vpn',
        'rule 4 10010 from 10.10.10.0/24 lookup 200',
        'route 4 200 default 0 via inet6 fe80::1 dev eth1',
        'expect 4 e2e/egress to 198.51.100.7 from 10.10.10.2 iif tun0 is via fe80::1 dev eth1',
      ];
      expect(machine.apply(lines4)).toMatchObject({ code: 0, last: expect.stringContaining('g1 of vpn1 is in force') });
      expect(machine.must('ip route show table 200')).toBe('default via inet6 fe80::1 dev eth1 proto 77 \n');
      expect(machine.verify()).toMatchObject({ code: 0, last: expect.stringContaining('agree') });
    });

    describe('what is to go as it does', () => {
      const SERVER = 'expect 4 e2e/server to 198.51.100.7 from 192.168.178.2 uid 0 ipproto 17 is unchanged';
      const CAPTURED = 'rule 4 100 from 192.168.178.0/24 lookup 200';

      test('may go by whatever gateway there is', () => {
        machine.must('ip route replace default via 192.168.178.77');
        const done = machine.apply([...BEFORE, SERVER]);
        expect(asked(done.out)).toEqual(['source-routing: packets asked about: 1, all as expected']);
        machine.must('ip route del default');
        expect(machine.verify().code).toBe(0);
        expect(machine.apply([...BEFORE, SERVER], { generation: 'g2' }).code).toBe(0);
      });

      test('may not go by a table of ours', () => {
        machine.apply(BEFORE);
        const before = machine.pictureOfChanges();
        const done = machine.apply([...BEFORE, CAPTURED, SERVER], { generation: 'g2' });
        expect(done).toMatchObject({
          code: 70,
          last: expect.stringContaining(
            '"ip -4 route get 198.51.100.7 from 192.168.178.2 uid 0 ipproto 17" must say dev eth0, as before, and says via 192.168.1.1 dev eth1 (table 200): rule 100 (from 192.168.178.0/24 lookup 200) decides. ',
          ),
        });
        expect(machine.pictureOfChanges()).toBe(before);
      });

      test('may go elsewhere by a route of the main table that is declared, or is no more', () => {
        const office = 'route 4 254 198.51.100.0/24 0 via 192.168.1.9 dev eth1';
        expect(machine.apply([...BEFORE, SERVER]).code).toBe(0);
        for (const [index, more] of [[office], []].entries()) {
          const done = machine.apply([...BEFORE, SERVER, ...more], { generation: `g${index + 2}` });
          expect([done.code, asked(done.out)]).toEqual([
            0,
            ['source-routing: packets asked about: 1, all as expected'],
          ]);
        }
      });

      test('may go back to where it went before a table of ours', () => {
        const own = [
          'table 300 -',
          'rule 4 100 from 192.168.178.2 lookup 300',
          'route 4 300 default 0 via 192.168.1.9 dev eth1',
        ];
        expect(machine.apply([...BEFORE, ...own]).code).toBe(0);
        expect(machine.apply([...BEFORE, SERVER], { generation: 'g2' })).toMatchObject({ code: 0 });
      });

      test('is not rejected by a rule of ours', () => {
        const done = machine.apply([...BEFORE, 'rule 4 100 from 192.168.178.0/24 prohibit', SERVER]);
        expect(done.last).toContain('must say dev eth0, as before, and says rejected (Permission denied): rule 100 ');
      });

      test('is asked about later, too', () => {
        expect(machine.apply([...BEFORE, SERVER]).code).toBe(0);
        machine.must('ip rule add pref 100 from 192.168.178.2 lookup 200');
        expect(machine.verify()).toMatchObject({
          code: 1,
          out: expect.stringContaining('must say what it says without our tables, and says via 192.168.1.1 dev eth1'),
        });
      });
    });

    test('a packet to anywhere is one to a place that the machine knows nothing about', () => {
      machine.must(`${TUNNEL}; ip route add blackhole 198.51.100.0/24; ip route add 203.0.113.0/25 via 192.168.178.9
        ip route del default; ip route add 0.0.0.0/1 via 192.168.178.1; ip route add 128.0.0.0/1 via 192.168.178.1`);
      const many = 'to 198.51.100.7 or 203.0.113.1 or 185.0.0.1';
      const data = [
        'table 200 vpn',
        'rule 4 10009 from 10.10.10.0/24 lookup 254 suppress_prefixlength 7',
        'rule 4 10010 from 10.10.10.0/24 lookup 200',
        'route 4 200 default 0 via 192.168.1.1 dev eth1',
      ];
      const expected = (where: string): string =>
        `expect 4 e2e/leave ${where} from 10.10.10.2 iif - ipproto 17 is via 192.168.1.1 dev eth1`;
      expect(machine.apply([...data, expected('to 198.51.100.7')]).last).toContain('says rejected');
      const done = machine.apply([...data, expected(many)]);
      expect(asked(done.out)).toEqual(['source-routing: packets asked about: 1, all as expected']);
      // What is the same everywhere is said of the first.
      machine.must(FOREIGN);
      expect(machine.verify().out).toContain(
        '"ip -4 route get 185.0.0.1 from 10.10.10.2 iif tun0 ipproto 17" must say',
      );
      machine.must('ip route add blackhole 185.0.0.0/8');
      expect(machine.verify().out).toContain('"ip -4 route get 198.51.100.7 from 10.10.10.2 iif tun0 ipproto 17" must');
    });

    test('the interface that leads to a sender is that of packets of the same protocol', () => {
      machine.must(`${TUNNEL}; ip rule add pref 50 ipproto 17 lookup 51; ip route add default dev eth0 table 51`);
      const from = (protocol: number): string =>
        `expect 4 e2e/leave to 198.51.100.7 from 10.10.10.2 iif - ipproto ${protocol} is via 192.168.1.1 dev eth1`;
      expect(asked(machine.apply([...AFTER, from(6)]).out)).toEqual([
        'source-routing: packets asked about: 1, all as expected',
      ]);
      expect(machine.apply([...AFTER, from(17)], { generation: 'g2' }).out).toContain(
        'no interface leads to 10.10.10.2',
      );
    });

    test('other gateways than those that are declared are said, and are no failure', () => {
      const declared = ['gateway 4 eth0 192.168.178.1', 'gateway 6 eth0 fd00:178::1', 'gateway 4 gone0 10.0.0.1'];
      const notes = (out: string): string[] => lines(out).filter((line) => line.includes('note: gateways of'));
      const done = machine.apply([...AFTER, ...declared, 'gateway 4 eth1 192.168.1.1']);
      expect(done).toMatchObject({ code: 0, last: expect.stringContaining('in force') });
      expect(notes(done.out)).toEqual([
        expect.stringContaining(
          'note: gateways of eth0 are none of IPv6 here (default routes of the main table), and declared as fd00:178::1. Declare them as they are: ',
        ),
        expect.stringContaining(
          'note: gateways of eth1 are none of IPv4 here (default routes of the main table), and declared as 192.168.1.1. ',
        ),
      ]);
      machine.must(`ip -6 addr add fd00:178::2/64 dev eth0 nodad; ip -6 route add default via fd00:178::1
        ip route add default via 192.168.178.254 metric 9`);
      expect(notes(machine.apply([...AFTER, ...declared], { generation: 'g2' }).out)).toEqual([
        expect.stringContaining(
          'note: gateways of eth0 are 192.168.178.1 192.168.178.254 here (default routes of the main table), and declared as 192.168.178.1. ',
        ),
      ]);
      const both = machine.apply([...AFTER, 'gateway 4 eth0 192.168.178.1 192.168.178.254'], { generation: 'g3' });
      expect(notes(both.out)).toEqual([]);
    });

    test('a first apply that is not as expected leaves nothing', () => {
      machine.must(`${TUNNEL}; ${FOREIGN}`);
      const before = machine.pictureOfChanges();
      expect(machine.apply([...AFTER, ...EXPECTED]).code).toBe(70);
      expect(machine.pictureOfChanges()).toBe(before);
    });

    test('under the rollback timer it is put back at once', () => {
      machine.must(`${TUNNEL}; ${FOREIGN}`);
      const before = machine.pictureOfChanges();
      const options = '--confirm-timeout 60';
      expect(machine.apply([...AFTER, ...EXPECTED], { options })).toMatchObject({ code: 70 });
      expect(machine.pictureOfChanges()).toBe(before);
    });

    test('what cannot be asked now is no failure', () => {
      const done = machine.apply([...AFTER, ...EXPECTED]);
      expect(done.code).toBe(0);
      expect(asked(done.out)).toEqual([
        'source-routing: packets asked about: 2, all as expected; not asked about: 5 (no interface leads to 10.10.10.2, no interface tun0, no interface leads to fd00:4242::2)',
      ]);
      machine.must(`${TUNNEL}; ip link set tun0 down`);
      expect(asked(machine.verify().out)).toEqual([
        expect.stringContaining('5 (no interface leads to 10.10.10.2, tun0 is down, '),
      ]);
      machine.must(
        'ip link set tun0 up; ip -6 addr add fd00:4242::1/64 dev tun0 nodad; echo 0 >/proc/sys/net/ipv4/conf/tun0/forwarding',
      );
      expect(asked(machine.verify().out)).toEqual([
        'source-routing: packets asked about: 4, all as expected; not asked about: 3 (IPv4 forwarding is off for tun0)',
      ]);
      machine.must('echo 1 >/proc/sys/net/ipv4/conf/tun0/forwarding');
      expect(asked(machine.verify().out)).toEqual(['source-routing: packets asked about: 7, all as expected']);
    });

    test('the way to the tunnel is not taken for the tunnel', () => {
      machine.must(
        'ip route add 10.0.0.0/8 via 192.168.178.9; ip route add 10.10.12.0/24 dev eth1; ip tuntap add tun5 mode tun',
      );
      machine.must(
        'ip link set tun5 up; ip addr add 10.8.0.1 peer 10.8.0.2 dev tun5; ip route add 10.8.0.0/24 via 10.8.0.2',
      );
      const from = (address: string): string =>
        `expect 4 pool to 198.51.100.7 from ${address} iif - is via 192.168.178.1 dev eth1`;
      const done = machine.apply([...BEFORE, ...['10.10.10.2', '10.10.12.2', '192.168.178.2'].map(from)]);
      expect(asked(done.out)).toEqual([
        'source-routing: packets asked about: 0, all as expected; not asked about: 3 (no interface leads to 10.10.10.2, no interface leads to 10.10.12.2, no interface leads to 192.168.178.2)',
      ]);
      // As over PPP: everything goes there.
      machine.must('ip route replace default dev eth0');
      expect(asked(machine.verify().out)).toEqual(asked(done.out));
      // As OpenVPN has it: by way of the other end.
      const through = machine.apply([...BEFORE, from('10.8.0.7')], { generation: 'g2' });
      expect(through.last).toContain('"ip -4 route get 198.51.100.7 from 10.8.0.7 iif tun5" must say');
    });

    test('a tunnel may come back under another name', () => {
      machine.must(TUNNEL);
      const data = [
        ...AFTER,
        'expect 4 e2e/egress to 198.51.100.7 from 10.10.10.2 iif - ipproto 17 is via 192.168.1.1 dev eth1',
        'expect 4 e2e/clients to 10.10.10.3 from 10.10.10.2 iif - ipproto 17 is dev tun0 or rejected',
        'expect 4 e2e/server to 10.10.10.3 from 10.10.10.1 uid 0 ipproto 17 is dev tun0',
      ];
      expect(machine.apply(data).code).toBe(0);
      machine.must('ip link set tun0 down; ip link set tun0 name vpns7; ip link set vpns7 up');
      for (const generation of ['g2', 'g3']) {
        const done = machine.apply(data, { generation });
        expect(done.code).toBe(0);
        expect(asked(done.out)).toEqual(['source-routing: packets asked about: 3, all as expected']);
      }
      // It is somewhere else, not just anywhere, and not where everything goes.
      machine.must('ip link set vpns7 down; ip route add 0.0.0.0/1 dev eth0');
      expect(machine.verify().out).toContain('no interface tun0');
      machine.must('ip route del 0.0.0.0/1; ip link set vpns7 up');
      machine.must(
        'ip rule add pref 100 from 10.10.10.0/24 to 10.10.10.0/24 lookup 300; ip route add default dev eth0 table 300',
      );
      expect(machine.verify()).toMatchObject({
        code: 1,
        out: expect.stringContaining('says dev eth0 (table 300): rule 100 '),
      });
    });

    test('what goes to a tunnel that is not up cannot be asked', () => {
      const to = (fate: string): string => `expect 4 replies to 10.10.10.2 from 198.51.100.7 iif eth1 is ${fate}`;
      expect(asked(machine.apply([...BEFORE, to('dev tun0')]).out)).toEqual([
        'source-routing: packets asked about: 0, all as expected; not asked about: 1 (no interface tun0)',
      ]);
      // Any of the others could be.
      for (const fate of ['dev tun0 or rejected', 'dev tun0 or dev eth1', 'via 10.10.10.1 dev tun0']) {
        expect(machine.apply([...BEFORE, to(fate)], { generation: 'g2' }).code).toBe(70);
      }
    });

    test('what ip cannot ask is said in its own words', () => {
      const done = machine.apply([...BEFORE, 'expect 4 gre to 198.51.100.7 ipproto 47 is dev eth0', EXPECTED[3] ?? '']);
      expect(asked(done.out)).toEqual([
        'source-routing: packets asked about: 1, all as expected; not asked about: 1 (ip says "Unsupported ip proto.")',
      ]);
    });

    test('a value that is known at apply only can be part of it', () => {
      const data = (gateway: string): string[] => [
        `value 1 address 4 e2e/egress:gateway "${gateway}"`,
        'value 2 device - e2e/egress:device "eth1"',
        ...BEFORE,
        'expect 4 e2e/egress to 198.51.100.7 from 10.10.11.2 iif eth0 is via @1@ dev @2@',
      ];
      expect(machine.apply(data('192.168.1.1')).code).toBe(0);
      expect(machine.apply(data('192.168.1.9'), { generation: 'g2' })).toMatchObject({
        code: 70,
        last: expect.stringContaining(
          'must say via 192.168.1.9 dev eth1, and says via 192.168.1.1 dev eth1 (table 200): rule 10010 ',
        ),
      });
      expect(machine.apply(data('192.168.1.9; x'), { generation: 'g2' })).toMatchObject({
        code: 65,
        last: expect.stringContaining('e2e/egress:gateway is not an IP address. Give an IPv4 address'),
      });
    });

    test('a route that others have put into a table of ours: says in which table it is', () => {
      machine.must(TUNNEL);
      machine.apply([...AFTER, ...EXPECTED]);
      machine.must('ip -6 route add default via fe80::1 dev eth0 metric 32 proto 12 table 200');
      expect(machine.verify()).toMatchObject({
        code: 1,
        out: expect.stringContaining(
          'says via fe80::1 dev eth0 (table 200): rule 10010 (from fd00:4242::/64 lookup 200) decides. ' +
            'If that is not meant, take it away, or declare another one in front of it, ' +
            'or take away what others have put into its table: ip -6 route show table 200',
        ),
      });
    });

    test('packets to the machine that rp_filter drops: does not ask for the address', () => {
      machine.must(TUNNEL);
      machine.apply([...AFTER, ...EXPECTED]);
      machine.must(`echo 1 >/proc/sys/net/ipv4/conf/tun0/rp_filter; ip addr add 10.10.10.1/32 dev lo
        ip rule add pref 99 to 10.10.10.0/24 lookup 99; ip route add 10.10.10.0/24 dev eth0 table 99`);
      const { code, out } = machine.verify();
      expect([code, out]).toEqual([
        1,
        expect.stringMatching(/must say local, and says rejected \(.*rp_filter of tun0/),
      ]);
      expect(out).not.toContain('is that address still on an interface');
    });

    test('an address that an interface has lost: asks for it', () => {
      machine.must(TUNNEL);
      machine.apply([...AFTER, ...EXPECTED]);
      machine.must('ip addr del 10.10.10.1/24 dev tun0; ip addr add 10.10.10.9/24 dev tun0');
      expect(machine.verify()).toMatchObject({
        code: 1,
        out: expect.stringMatching(
          /must say local, and says dev tun0 .*: is that address still on an interface\? ip -4 address show to 10\.10\.10\.1$/m,
        ),
      });
    });

    test('verify, diff and status say where the kernel does otherwise since', () => {
      machine.must(TUNNEL);
      machine.apply([...AFTER, ...EXPECTED]);
      machine.must(FOREIGN);
      const line =
        'source-routing: ! e2e/egress, 2 packets: "ip -4 route get 198.51.100.7 from 10.10.10.2 iif tun0" must say ';
      for (const command of ['verify', 'diff']) {
        const done = machine.agent(command);
        expect(done).toMatchObject({
          code: 1,
          last: 'source-routing: 1 differences from generation g1 of vpn1 (+ missing, - in the way, ! not as expected). To mend: see "ip rule" and "ip route show table all" for what stands in front of ours',
        });
        expect(done.out).toContain(line);
      }
      expect(machine.agent('status')).toMatchObject({ code: 0, out: expect.stringContaining(line) });
      // What the agent itself can mend comes first.
      machine.must('ip rule del pref 100; ip rule del pref 10010');
      expect(machine.verify().last).toMatch(/To mend: source-routing assert vpn1$/);
      expect(machine.agent('assert').code).toBe(0);
      expect(machine.verify().code).toBe(0);
    });

    test('it is what is on trial that is asked about, and what was before after a rollback', () => {
      machine.must(TUNNEL);
      machine.apply(BEFORE);
      expect(machine.apply([...AFTER, ...EXPECTED], { generation: 'g2', options: '--confirm-timeout 60' }).code).toBe(
        0,
      );
      machine.must(FOREIGN);
      expect(machine.verify()).toMatchObject({ code: 1, out: expect.stringContaining('! e2e/egress, 2 packets: ') });
      machine.agent('rollback');
      expect(machine.verify().code).toBe(0);
    });

    test('two hundred packets take little longer than two', () => {
      machine.must(TUNNEL);
      const packets = Array.from({ length: 200 }, (_, i) => {
        const source = `10.10.10.${(i % 250) + 2}`;
        return `expect 4 e2e/egress to 198.51.100.${i} from ${source} iif - is via 192.168.1.1 dev eth1`;
      });
      const timed = (data: readonly string[], generation: string): number => {
        const start = Date.now();
        expect(machine.apply([...AFTER, ...data], { generation }).code).toBe(0);
        return Date.now() - start;
      };
      timed([], 'g1');
      const [few, many] = [timed(packets.slice(0, 2), 'g2'), timed(packets, 'g3')];
      expect(many - few).toBeLessThan(1000);
    });
  });
});

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
  'expect 4 e2e/server to 10.10.10.1 from 10.10.10.2 iif tun0 is local',
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
        'ip rule add pref 100 ipproto 6 lookup main',
        'ip rule del pref 100',
        /: e2e\/egress: "ip -4 route get 198\.51\.100\.7 from 10\.10\.10\.2 iif tun0 mark 0x1 tos 0x10 uid 5 ipproto 6 sport 5 dport 80" must say rejected or dev eth1, and says via 192\.168\.178\.1 dev eth0 \(the main table\): see /,
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
          last: 'source-routing: 1 differences from generation g1 of vpn1 (+ missing, - in the way, ! not as expected). To mend: see "ip rule" for what stands in front of ours',
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

    test('a line that is not as it must be is refused', () => {
      const before = machine.pictureOfChanges();
      const hostile = [
        'expect 5 x to 198.51.100.7 is local',
        'expect auto x to 198.51.100.7 is local',
        'expect 4 x;y to 198.51.100.7 is local',
        'expect 4 @9@ to 198.51.100.7 is local',
        'expect 4 x from 10.0.0.1 to 198.51.100.7 is local',
        'expect 4 x to 2001:db8::7 is local',
        'expect 4 x to 198.51.100.0/24 is local',
        'expect 4 x to $(reboot) is local',
        'expect 4 x to 198.51.100.7 from fd00::1 is local',
        'expect 4 x to 198.51.100.7 iif - is local',
        'expect 4 x to 198.51.100.7 iif ../../x is local',
        'expect 4 x to 198.51.100.7 mark 5 is local',
        'expect 4 x to 198.51.100.7 mark 0x100000000 is local',
        'expect 4 x to 198.51.100.7 tos 0x100 is local',
        'expect 4 x to 198.51.100.7 ipproto 256 is local',
        'expect 4 x to 198.51.100.7 dport 65536 is local',
        'expect 4 x to 198.51.100.7 dport 5-6 is local',
        'expect 4 x to 198.51.100.7 is',
        'expect 4 x to 198.51.100.7 local',
        'expect 4 x to 198.51.100.7 is unreachable',
        'expect 4 x to 198.51.100.7 is local or',
        'expect 4 x to 198.51.100.7 is local local',
        'expect 4 x to 198.51.100.7 is dev eth1 via 192.168.1.1',
        'expect 4 x to 198.51.100.7 is via fd00::1',
        'expect 4 x to 198.51.100.7 is via 192.168.1.1 dev a/b',
      ];
      for (const line of hostile) {
        const done = machine.apply([...BEFORE, line]);
        expect([line, done.code, done.last.includes('damaged')]).toEqual([line, 65, true]);
      }
      expect(machine.pictureOfChanges()).toBe(before);
    });
  });
});

import { BASH, BUSYBOX, DASH, Machine, describeOnMachine, lines } from './machine';
import type { Outcome } from './machine';

const TABLE_FILE = ['file 0644 /etc/iproute2/rt_tables.d/source-routing-vpn1.conf 1', '|200 vpn'];

const RULES = [
  'table 200 vpn',
  'rule 4 10010 from 10.10.10.0/24 lookup 200',
  'rule 6 10010 from fd00:4242:4242:4242::/64 lookup 200',
  'guard 4 20010 from 10.10.10.0/24 unreachable',
  'route 4 200 default 0 via 192.168.1.1 dev eth1',
  'route 4 200 default 4278198272 type unreachable proto 77',
  'route 6 200 default 1024 via fd00:1010::1 dev eth1',
  ...TABLE_FILE,
];

const SERVICE = ['for service', 'requires systemd'];
const NETWORKD = [
  'for networkd',
  'requires systemd',
  'requires version networkd 245 SuppressPrefixLength= of the rule at priority 10008',
  'dropin eth1 50-source-routing-vpn1.conf 2',
  '|[RoutingPolicyRule]',
  '|Priority=10010',
];

const bySystemd = (data = RULES): string[] => [...headOf('networkd static eth1'), ...data, ...NETWORKD];
const byService = (data = RULES): string[] => [...headOf('service own'), ...data, ...SERVICE];
const automatic = (data = RULES): string[] => [
  'automatic',
  ...headOf('networkd static eth1', 'service own'),
  ...data,
  ...NETWORKD,
  ...SERVICE,
];

function headOf(...persistences: string[]): string[] {
  return persistences.map((each) => `persistence ${each}`);
}

/** What holds the place of rules and routes while systemd-networkd reads its files. */
const STAND_INS = `ip rule add pref 10010 from 10.10.10.0/24 lookup 200 proto kernel
  ip route add default via 192.168.1.1 dev eth1 table 200 metric 4278190000 proto kernel`;

function succeeds(done: Outcome): void {
  if (done.code !== 0) {
    throw new Error(`exit ${done.code}\n${done.out}`);
  }
}

describe.each([DASH, BASH, BUSYBOX])('under $name', (flavour) => {
  describeOnMachine('network managers', () => {
    let machine: Machine;
    beforeEach(() => {
      machine = new Machine(flavour);
      machine.fakeSystemd();
      networkd('/etc/systemd/network/10-eth1.network');
      machine.must('mkdir -p /etc/systemd/network; touch /mnt/active.systemd-networkd.service');
    });
    afterEach(() => {
      machine.close();
    });

    /**
     * A systemd-networkd that has the configuration of eth1 in that file, and notes what it is told. Before version 248 it
     * fills lines with blanks.
     */
    function networkd(file: string, version = '252 (252.39-1~deb12u1)', state = 'routable (configured)'): void {
      machine.write(
        '/mnt/bin/networkctl',
        `#!/bin/sh
case $* in
  --version) echo 'systemd ${version}'; echo '+PAM +AUDIT' ;;
  *status*) printf '● 3: eth1\\n                     Link File: n/a\\n                  Network File: ${file}      \\n                          State: ${state}   \\n' ;;
  reload) { echo reload; cat /run/systemd/network/*/99-*; } >>/mnt/networkctl.log 2>&1 ;;
esac
`,
      );
    }

    const told = (): string[] => lines(machine.sh('cat /mnt/networkctl.log; : >/mnt/networkctl.log').out);
    const dropIns = (): string[] => lines(machine.must('find /etc/systemd/network -type f'));
    const DROP_IN = '/etc/systemd/network/10-eth1.network.d/50-source-routing-vpn1.conf';

    test('rules and routes bear the tag of the manager, and what fails closed does not', () => {
      succeeds(machine.apply(bySystemd()));
      expect(machine.rules(4)).toEqual([
        '10010:\tfrom 10.10.10.0/24 lookup 200 proto 4',
        '20010:\tfrom 10.10.10.0/24 7 proto 2',
      ]);
      expect(machine.routes(200, 4)).toEqual([
        'default via 192.168.1.1 dev eth1 proto 4',
        '7 default proto 77 metric 4278198272',
      ]);
      expect(machine.routes(200, 6)).toEqual(['default via fd00:1010::1 dev eth1 proto 4 metric 1024 pref medium']);
      succeeds(machine.verify());
      expect(machine.agent('status').out).toContain('made permanent by networkd, which manages eth1');
    });

    test('the manager reads its files again with what there is kept, and only if they have changed', () => {
      succeeds(machine.apply(bySystemd()));
      expect(machine.must(`cat ${DROP_IN}`)).toBe('[RoutingPolicyRule]\nPriority=10010\n');
      expect(told()).toEqual(['reload', '[Network]', 'KeepConfiguration=static']);
      expect(machine.sh('ls /run/systemd/network').out).toBe('');
      succeeds(machine.apply(bySystemd(), { generation: 'g2' }));
      expect(told()).toEqual([]);
      succeeds(machine.agent('remove'));
      expect(told()).toEqual(['reload', '[Network]', 'KeepConfiguration=static']);
      expect(machine.sh('ls /run').out).not.toContain('source-routing');
      expect(dropIns()).toEqual([]);
      expect(machine.rules()).toEqual([]);
      expect(machine.routes(200)).toEqual([]);
    });

    test('what somebody takes away comes back under the same tag', () => {
      succeeds(machine.apply(bySystemd()));
      const before = machine.picture();
      machine.must('ip rule del pref 10010; ip route del default via 192.168.1.1 table 200');
      succeeds(machine.agent('assert'));
      expect(machine.picture()).toBe(before);
    });

    test('from one persistence to another, what is new is there before what is old goes', () => {
      succeeds(machine.apply(byService()));
      const seen = machine.monitored(() => succeeds(machine.apply(bySystemd(), { generation: 'g2' })));
      const rules = seen.filter((line) => /(^|Deleted )10010:.*10\.10\.10/.test(line));
      expect(rules.map((line) => line.replace(/\s+/g, ' ').trim())).toEqual([
        '10010: from 10.10.10.0/24 lookup 200 proto 4',
        'Deleted 10010: from 10.10.10.0/24 lookup 200 proto 77',
        // Under the kernel's tag, which stands in while the manager reads.
        '10010: from 10.10.10.0/24 lookup 200',
        'Deleted 10010: from 10.10.10.0/24 lookup 200',
      ]);
      expect(machine.rules(4)).toContain('10010:\tfrom 10.10.10.0/24 lookup 200 proto 4');
      expect(machine.routes(200, 4)).toContain('default via 192.168.1.1 dev eth1 proto 4');
      succeeds(machine.verify());
      succeeds(machine.apply(byService(), { generation: 'g3' }));
      expect(machine.rules(4)).toContain('10010:\tfrom 10.10.10.0/24 lookup 200 proto 77');
      expect(machine.rules(4)).not.toContain('10010:\tfrom 10.10.10.0/24 lookup 200 proto 4');
      expect(machine.routes(200, 4)).toContain('default via 192.168.1.1 dev eth1 proto 77');
      expect(dropIns()).toEqual([]);
      succeeds(machine.verify());
    });

    test('a run that was killed while the manager read leaves nothing that the next one does not take away', () => {
      succeeds(machine.apply(bySystemd()));
      machine.must(STAND_INS);
      succeeds(machine.apply(bySystemd(), { generation: 'g2' }));
      expect(machine.rules(4)).toHaveLength(2);
      expect(machine.routes(200, 4)).toHaveLength(2);
      machine.must(STAND_INS);
      succeeds(machine.agent('remove'));
      expect(machine.rules(4)).toEqual([]);
      expect(machine.routes(200, 4)).toEqual([]);
    });

    test('a failure puts the files of the manager back, and has it read them again', () => {
      succeeds(machine.apply(bySystemd()));
      const before = machine.picture();
      told();
      const changed = [...bySystemd(), '|x'].map((line) => line.replace(/(dropin .*) 2$/, '$1 3'));
      const failing = [...changed, 'file 0644 /etc/systemd/system/x.service 1', '|x', 'unit x.service'];
      machine.fakeSystemd(['enable']);
      const done = machine.apply(failing, { generation: 'g2' });
      expect(done.code).toBe(70);
      expect(machine.picture()).toBe(before);
    });

    test.each<[string, string, string[]]>([
      [
        'the same rule of somebody else, under the tag of managers',
        'ip rule add pref 10010 from 10.10.10.0/24 lookup 200 proto static',
        ['someone else has an IPv4 rule at priority 10010'],
      ],
      [
        'the same route of somebody else',
        'ip route add default via 192.168.1.1 dev eth1 table 200 proto static',
        ['someone else has a route where ours goes'],
      ],
    ])('refuses %s', (_, command, says) => {
      machine.must(command);
      const before = machine.picture();
      const done = machine.apply(bySystemd());
      expect(done.code).toBe(69);
      says.forEach((text) => expect(done.out).toContain(text));
      expect(machine.picture()).toBe(before);
    });

    test('refuses a manager that is not in charge, with the name of the one that is', () => {
      const before = machine.picture();
      networkd('/run/systemd/network/10-netplan-eth1.network');
      expect(machine.apply(bySystemd())).toMatchObject({
        code: 69,
        last: 'source-routing: refused, nothing was changed: eth1 is managed by netplan (/run/systemd/network/10-netplan-eth1.network), not by networkd: use Persistence.netplan()',
      });
      networkd('n/a', '252', 'routable (unmanaged)');
      expect(machine.apply(bySystemd()).last).toBe(
        'source-routing: refused, nothing was changed: eth1 is managed by no network manager that is known here, not by networkd: use Persistence.service()',
      );
      expect(machine.picture()).toBe(before);
    });

    test.each([
      ['241 (241-7~deb10u10)', 69],
      ['244 (244.3)', 69],
      ['245 (245.4-4ubuntu3.24)', 0],
      ['252 (252.39-1~deb12u1)', 0],
      ['257.9-0ubuntu2', 0],
    ])('asks for the version that knows what is declared: %s', (version, code) => {
      networkd('/etc/systemd/network/10-eth1.network', version);
      const done = machine.apply(bySystemd());
      expect(done.code).toBe(code);
      if (code !== 0) {
        expect(done.last).toMatch(
          /networkd is of version 24[14] here, and 245 or later is needed for SuppressPrefixLength= of the rule at priority 10008: use Persistence.service\(\)$/,
        );
      }
    });

    describe('where the machine chooses', () => {
      test('it is who is in charge', () => {
        const done = machine.apply(automatic());
        expect(done.out).toContain('made permanent by networkd, which manages eth1');
        expect(machine.rules(4)[0]).toContain('proto 4');
        expect(dropIns()).toEqual([DROP_IN]);
      });

      test('it is the service where nobody is, and stays so', () => {
        networkd('n/a', '252', 'routable (unmanaged)');
        expect(machine.apply(automatic()).out).toContain('made permanent by service\n');
        networkd('/etc/systemd/network/10-eth1.network');
        expect(machine.apply(automatic(), { generation: 'g2' }).out).toContain('made permanent by service\n');
        expect(machine.rules(4)[0]).toContain('proto 77');
        expect(dropIns()).toEqual([]);
      });

      test('it does not move by itself, but where it is told to', () => {
        succeeds(machine.apply(automatic()));
        networkd('n/a', '252', 'routable (unmanaged)');
        const before = machine.picture();
        const done = machine.apply(automatic(), { generation: 'g2' });
        expect(done.code).toBe(69);
        expect(done.last).toMatch(
          /the rules of vpn1 were made permanent by networkd, but now eth1 is managed by no network manager that is known here. .* declare Persistence.service\(\) once/,
        );
        expect(machine.picture()).toBe(before);
        succeeds(machine.apply(byService(), { generation: 'g3' }));
        succeeds(machine.apply(automatic(), { generation: 'g4' }));
        expect(machine.rules(4)[0]).toContain('proto 77');
      });

      test('one that cannot express it any more is not left without a word', () => {
        succeeds(machine.apply(automatic()));
        const only = ['automatic', ...headOf('service own'), ...RULES, ...SERVICE];
        expect(machine.apply(only, { generation: 'g2' })).toMatchObject({
          code: 69,
          last: expect.stringContaining('which cannot express what is declared now'),
        });
      });
    });
  });
});

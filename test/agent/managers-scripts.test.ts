import { BASH, BUSYBOX, DASH, Machine, describeOnMachine } from './machine';
import type { Flavour, Outcome } from './machine';

const SCRIPTS = '/etc/sysconfig/network-scripts';
const LEGACY = `mkdir -p ${SCRIPTS}; cd ${SCRIPTS}; echo DEVICE=eth1 >ifcfg-eth1`;
const INITSCRIPTS = `: >${SCRIPTS}/ifup-routes`;
const DISPATCHER = '/etc/NetworkManager/dispatcher.d/10-ifcfg-rh-routes.sh';
const WITH_DISPATCHER = `mkdir -p ${DISPATCHER.replace(/\/[^/]*$/, '')}; : >${DISPATCHER}`;
const IFUPDOWN2_SETTINGS = '/etc/network/ifupdown2/ifupdown2.conf';

/** Data of a bundle whose persistence keeps one file. */
function data(name: string, path: string): string[] {
  return [
    `persistence ${name} own eth1`,
    'rule 4 10010 from 10.10.10.0/24 lookup 254',
    `for ${name}`,
    `file 0644 ${path} 1`,
    '|# ours',
  ];
}

function suite(flavour: Flavour): void {
  describeOnMachine(`who manages a device, under ${flavour.name}:`, () => {
    let machine: Machine;
    beforeEach(() => {
      machine = new Machine(flavour);
    });
    afterEach(() => {
      machine.close();
    });

    /** As nmcli 1.42 answers; an empty file name for a device that is not managed. */
    function networkManager(file: string): void {
      const [uuid, other] = ['5eb4ee32-0000-4000-8000-000000000001', '6fb4ee32-0000-4000-8000-000000000002'];
      machine.write(
        '/mnt/bin/nmcli',
        `#!/bin/sh
case $* in
  *'GENERAL.STATE,GENERAL.CON-UUID device show eth1') printf '%s\\n' '${file ? '100 (connected)' : '10 (unmanaged)'}' '${file && uuid}' ;;
  *'UUID,FILENAME connection show') printf '%s\\n' '${other}:/run/NetworkManager/system-connections/lo.nmconnection' '${uuid}:${file}' ;;
  *) exit 2 ;;
esac
`,
      );
    }

    /** As networkctl 252 answers. */
    function networkd(): void {
      machine.must('mkdir -p /run/systemd/system');
      machine.write('/mnt/bin/systemctl', '#!/bin/sh\n[ "$*" = "is-active systemd-networkd.service" ]\n');
      machine.write(
        '/mnt/bin/networkctl',
        `#!/bin/sh
cat <<'END'
● 3: eth1
                     Link File: /usr/lib/systemd/network/99-default.link
                  Network File: /etc/systemd/network/10-eth1.network
                         State: routable (configured)
END
`,
      );
    }

    function accepted(done: Outcome): void {
      expect([done.code, done.last]).toEqual([0, expect.stringMatching(/^source-routing: done: /)]);
    }

    function refused(apply: () => Outcome, because: string): void {
      const before = machine.picture();
      const done = apply();
      expect([done.code, done.last]).toEqual([69, `source-routing: refused, nothing was changed: ${because}`]);
      expect(machine.picture()).toBe(before);
    }

    describe('network scripts', () => {
      const apply = (): Outcome => machine.apply(data('network-scripts', `${SCRIPTS}/rule-eth1`));
      const NOBODY =
        'eth1 is managed by no network manager that is known here, not by network-scripts: use Persistence.service()';
      const PACKAGE = `eth1 is managed by network-scripts (${SCRIPTS}/ifcfg-eth1), but NetworkManager does not read rule-eth1: install the package NetworkManager-dispatcher-routing-rules, or use Persistence.service()`;

      test('are read by their own service', () => {
        machine.must(`${LEGACY}; ${INITSCRIPTS}`);
        accepted(apply());
      });

      test('are read by their own service where NetworkManager leaves the device alone', () => {
        machine.must(`${LEGACY}; ${INITSCRIPTS}`);
        networkManager('');
        accepted(apply());
      });

      test('are read by the dispatcher script for a profile that is an ifcfg file', () => {
        machine.must(`${LEGACY}; ${WITH_DISPATCHER}`);
        networkManager(`${SCRIPTS}/ifcfg-eth1`);
        accepted(apply());
      });

      test.each<[string, string, string | undefined, string]>([
        ['nobody where there are none', ':', undefined, NOBODY],
        ['nobody where only the files are left of them', LEGACY, undefined, NOBODY],
        ['nobody for another device', `${LEGACY}; ${INITSCRIPTS}; mv ifcfg-eth1 ifcfg-eth0`, undefined, NOBODY],
        [
          'nobody without the dispatcher script, whatever their service would do',
          `${LEGACY}; ${INITSCRIPTS}`,
          `${SCRIPTS}/ifcfg-eth1`,
          PACKAGE,
        ],
        [
          'nobody with a dispatcher script that is switched off',
          `${LEGACY}; ${WITH_DISPATCHER}; ln -sf /dev/null ${DISPATCHER}`,
          `${SCRIPTS}/ifcfg-eth1`,
          PACKAGE,
        ],
        [
          'nobody for a profile of another name',
          `${LEGACY}; ${WITH_DISPATCHER}; mv ifcfg-eth1 ifcfg-System_eth1`,
          `${SCRIPTS}/ifcfg-System_eth1`,
          `eth1 is managed by network-scripts (${SCRIPTS}/ifcfg-System_eth1), but rule-System_eth1 is what is read for that, not rule-eth1: name the file ifcfg-eth1, or use Persistence.service()`,
        ],
        [
          'nobody for a profile that is a keyfile, whatever else is there',
          `${LEGACY}; ${INITSCRIPTS}; ${WITH_DISPATCHER}`,
          '/etc/NetworkManager/system-connections/eth1.nmconnection',
          'eth1 is managed by network-manager (/etc/NetworkManager/system-connections/eth1.nmconnection), not by network-scripts: use Persistence.networkManager()',
        ],
      ])('are read by %s', (_, prepare, profile, because) => {
        machine.must(prepare);
        if (profile !== undefined) networkManager(profile);
        refused(apply, because);
      });

      test('are read by nobody for a device of systemd-networkd', () => {
        machine.must(`${LEGACY}; ${INITSCRIPTS}`);
        networkd();
        refused(
          apply,
          'eth1 is managed by networkd (/etc/systemd/network/10-eth1.network), not by network-scripts: use Persistence.networkd()',
        );
      });

      test('are not chosen if nobody would read them', () => {
        machine.must(`${LEGACY}; ${INITSCRIPTS}`);
        networkManager(`${SCRIPTS}/ifcfg-eth1`);
        const [first, ...rest] = data('network-scripts', `${SCRIPTS}/rule-eth1`);
        const both = ['automatic', first, 'persistence service own', ...rest, 'for service'];
        const done = machine.apply(both);
        accepted(done);
        expect(done.out).toContain('made permanent by service');
        machine.agent('remove');
        machine.must(WITH_DISPATCHER);
        expect(machine.apply(both).out).toContain('made permanent by network-scripts, which manages eth1');
        machine.must(`rm ${DISPATCHER}`);
        refused(
          () => machine.apply(both, { generation: 'g2' }),
          `the rules of vpn1 were made permanent by network-scripts, but now eth1 is managed by network-scripts (${SCRIPTS}/ifcfg-eth1), and NetworkManager does not read rule-eth1: install the package NetworkManager-dispatcher-routing-rules. Moving them is for you to decide: declare Persistence.service() once, then automatic choice keeps that`,
        );
      });
    });

    describe('ifupdown', () => {
      const apply = (): Outcome => machine.apply(data('ifupdown', '/etc/network/if-up.d/source-routing-vpn1'));
      const NOBODY =
        'eth1 is managed by no network manager that is known here, not by ifupdown: use Persistence.service()';

      /** As ifupdown 0.8.41 answers: it knows what it has brought up. */
      function ifupdown(...up: string[]): void {
        machine.write(
          '/mnt/bin/ifquery',
          `#!/bin/sh\n[ "$1" = --state ] || exit 3\ncase " ${up.join(' ')} " in *" $2 "*) echo "$2=$2" ;; *) exit 1 ;; esac\n`,
        );
      }

      /** As ifupdown2 3.0 answers: it has no such option, and knows what is configured. */
      function ifupdown2(...configured: string[]): void {
        machine.write(
          '/mnt/bin/ifquery',
          `#!/bin/sh\ncase $1 in -*) echo usage >&2; exit 2 ;; esac\ncase " ${configured.join(' ')} " in *" $1 "*) echo "auto $1" ;; *) exit 1 ;; esac\n`,
        );
      }

      test('is in charge of what it has brought up', () => {
        ifupdown('lo', 'eth1');
        accepted(apply());
      });

      test('of version 2 is in charge of what it has a stanza for', () => {
        machine.must('mkdir -p /etc/network/ifupdown2');
        machine.write(IFUPDOWN2_SETTINGS, '# x\naddon_scripts_support=1\n');
        ifupdown2('eth0');
        refused(apply, NOBODY);
        ifupdown2('eth0', 'eth1');
        accepted(apply());
      });

      test.each(['# x', 'addon_scripts_support=0', '#addon_scripts_support=1'])(
        'of version 2 must run scripts: %j',
        (setting) => {
          machine.must('mkdir -p /etc/network/ifupdown2');
          machine.write(IFUPDOWN2_SETTINGS, `${setting}\n`);
          ifupdown2('eth1');
          refused(
            apply,
            `eth1 is managed by ifupdown (/etc/network/interfaces), but it does not run what is in /etc/network/if-up.d: set addon_scripts_support=1 in ${IFUPDOWN2_SETTINGS}, or use Persistence.service()`,
          );
        },
      );

      test('is not in charge of what it has not brought up, or where another one is', () => {
        refused(apply, NOBODY);
        ifupdown('lo', 'eth0');
        refused(apply, NOBODY);
        ifupdown('lo', 'eth1');
        networkd();
        refused(
          apply,
          'eth1 is managed by networkd (/etc/systemd/network/10-eth1.network), not by ifupdown: use Persistence.networkd()',
        );
      });
    });
  });
}

[DASH, BASH, BUSYBOX].forEach(suite);

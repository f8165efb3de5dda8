import type { RemoteExecProvisioner } from 'cdktf';
import { deliveryProvisioners, removalProvisioners } from '../../lib/delivery/provisioners';
import type { Provisioner } from '../../lib/delivery/provisioners';
import { sharedFiles } from '../../lib/delivery/scripts';
import { fileContents } from '../../lib/delivery/stack-files';
import { DASH, Machine, describeOnMachine, lines, steps } from './machine';
import type { Outcome } from './machine';

const unit = (name: string): string[] => [`file 0644 /etc/systemd/system/${name} 1`, '|[Unit]', `unit ${name}`];
const WATCH = 'source-routing-vpn1.service';
const RECOVERY = 'source-routing-vpn1.rollback.service';

const HOME = '/var/lib/source-routing/vpn1';

const OLD = [
  'requires systemd',
  'table 200 vpn',
  'rule 4 10010 from 10.10.10.0/24 lookup 200',
  'route 4 200 default 0 via 192.168.1.1 dev eth1',
  ...unit(WATCH),
  ...unit('old.service'),
  'file 0644 /etc/changed 1',
  '|old',
  'file 0755 /usr/local/old/sub/x 1',
  '|x',
  // On the disk of the trial: what was there gets a second name there.
  'file 0644 /var/lib/changed 1',
  '|old',
  'file 0644 /var/lib/old 1',
  '|x',
];
const NEW = [
  'requires systemd',
  'table 200 vpn',
  'rule 4 10011 from 10.10.11.0/24 lookup 200',
  'route 4 200 default 0 via 192.168.1.7 dev eth1',
  ...unit(WATCH),
  ...unit('new.service'),
  'file 0644 /etc/changed 1',
  '|new',
  'file 0755 /usr/local/new/sub/x 1',
  '|x',
  'file 0644 /var/lib/changed 1',
  '|new',
];
const CONNECTION = '192.0.2.1 40000 192.168.178.2 22';
const NEXT_CONNECTION = '192.0.2.1 40001 192.168.178.2 22';

const HOST = { owner: 'vpn1', directory: '.ssh', confirmTimeoutSeconds: 60 };
const [, , CONFIRM] = deliveryProvisioners({ ...HOST, anchor: 'a1', allowManagementPathChange: false, bundle: '' });
const [, CLEAN_UP, CONFIRM_REMOVAL] = removalProvisioners(HOST);

/** In which rm -rf may remove the files of a directory: sort's options. */
const ORDERS = ['', '-r'] as const;

interface Fault {
  readonly power: boolean;
  readonly order: (typeof ORDERS)[number];
}

/** What changes the disk; each is a step before which the power may go. */
const TOOLS = ['rm', 'mv', 'ln', 'cp', 'chmod', 'mkdir', 'rmdir', 'systemctl', 'sync'];

/**
 * Counts the steps of a run, each file of an rm -rf as one, and kills all of the run at the one that /mnt/cut names.
 * With the power goes what is written into the log of a trial and not synced, while renames, as in the journal of a
 * file system, are there.
 */
const STEP = `#!/bin/sh
name=\${0##*/}
step() {
  read -r steps </mnt/steps
  steps=$((steps + 1))
  echo "$steps" >/mnt/steps
  read -r cut </mnt/cut
  [ "$steps" -eq "$cut" ] || return 0
  echo "$*" >/mnt/fired
  if [ -e /mnt/power ] && [ -e ${HOME}/trial/undo ]; then cat /mnt/synced >${HOME}/trial/undo; fi
  kill -9 0
}
in_some_order() {
  find "$1" ! -type d | sort $order
  find "$1" -type d | sort -r
}
case "$name $*" in
  'systemctl is-'*) exec /mnt/systemctl "$@" ;;
  sync*) cat ${HOME}/trial/undo >/mnt/synced 2>/dev/null; exit 0 ;;
  systemctl*) step "$name" "$@"; exec /mnt/systemctl "$@" ;;
  *' /etc/'* | *' /usr/local/'* | *' /var/lib/'*) ;;
  *) exec "/bin/$name" "$@" ;;
esac
if [ "$name $1" = 'rm -rf' ]; then
  shift
  read -r order </mnt/order
  for path; do
    [ -e "$path" ] || continue
    in_some_order "$path" | while read -r each; do step rm "$each"; /bin/rm -d "$each"; done
  done
else
  step "$name" "$@"
  exec "/bin/$name" "$@"
fi
`;

/** For every commit the power goes at one of so many steps. */
const ONE_OF = 4;

/** A machine with systemd, of which the power can be cut. */
class MachineWithPlug extends Machine {
  private scripts = 0;

  public constructor() {
    super({ ...DASH, shell: 'setsid --wait dash' });
    this.fakeSystemd();
    this.must('mv /mnt/bin/systemctl /mnt/systemctl');
    this.write('/mnt/bin/step', STEP);
    this.write(
      '/mnt/bin/systemd-run',
      '#!/bin/sh\nfor word; do case $word in --unit=*) touch "/mnt/active.${word#--unit=}.timer" ;; esac; done\n',
    );
    this.must(`mkdir -p /etc/systemd/system
      ${TOOLS.map((tool) => `ln -s step /mnt/bin/${tool}`).join('\n')}`);
    this.plugIn();
    this.boot();
  }

  private plugIn(): void {
    this.must('echo 0 >/mnt/steps; echo 0 >/mnt/cut; echo >/mnt/order');
  }

  /** Cuts the power, or only kills, before the n-th step of a run; says which that was, or how many if the run had fewer. */
  public cutAt(n: number, { power, order }: Fault, run: () => void): string | number {
    this.must(`rm -f /mnt/fired; echo 0 >/mnt/steps; echo ${n} >/mnt/cut; echo ${order} >/mnt/order
      ${power ? 'touch' : 'rm -f'} /mnt/power`);
    run();
    const [made, step] = lines(this.must('cat /mnt/steps /mnt/fired 2>/dev/null || :'));
    this.plugIn();
    return step ?? Number(made);
  }

  /** Runs what Terraform would, with an id of its own in it. */
  public provision(provisioner: Provisioner | undefined, id: string, connection: string): Outcome {
    const [text = ''] = (provisioner as RemoteExecProvisioner).inline ?? [];
    // It removes itself, a moment after its end.
    const script = `/mnt/.ssh/script.${(this.scripts += 1)}`;
    const scripts = Object.values(sharedFiles()).map((file) => [fileContents(file), file.text] as const);
    const whole = scripts.reduce((known, [name, script]) => known.replace(name, () => script), text);
    const known = whole.replaceAll('${self.id}', id);
    this.must('mkdir -p -m 700 /mnt/.ssh');
    this.write(script, known.replace(/^PATH=/m, 'PATH=/mnt/bin:'));
    return this.sh(`SSH_CONNECTION="${connection}" ${this.flavour.shell} ${script}`);
  }

  /** Runs the units that are enabled: the one that rolls back, and then ours, which asserts. */
  public boot(after = ''): void {
    this.switchOff();
    const rollback = this.rollBackAtBoot();
    expect([after, rollback.out, rollback.code]).toEqual([after, rollback.out, 0]);
    const assert = this.sh(`[ -e /mnt/enabled.${WATCH} ] || exit 0
      ${this.flavour.shell} ${HOME}/agent assert --owner vpn1`);
    expect([after, assert.out, assert.code]).toEqual([after, assert.out, 0]);
  }

  /** What is not on the disk is gone. */
  public switchOff(): void {
    this.must(`find /run -mindepth 1 -delete; mkdir -p /run/systemd/system; rm -f /mnt/active.*
      ip rule flush; ip rule add pref 32766 lookup main; ip rule add pref 32767 lookup default
      ip route flush table 200 2>/dev/null || :`);
  }

  public rollBackAtBoot(): Outcome {
    return this.sh(`agent=${HOME}/trial/agent
      [ -e /mnt/enabled.${RECOVERY} ] && [ -e "$agent" ] || exit 0
      ${this.flavour.shell} "$agent" rollback --owner vpn1 --boot`);
  }

  public override picture(): string {
    const enabled = this.must('ls /mnt | grep ^enabled || :');
    // An empty directory by which a run finds out whether it can write; the next one takes it away.
    return (super.picture() + enabled).replace(/^.*\/\.source-routing-probe 700\n/gm, '');
  }
}

/** The first step of a confirmation. */
const decides = (step: string): boolean => step.startsWith('1 ');

/** How what is there reads, whenever it was written. */
const withoutTimes = (picture: string): string => picture.replace(/ \d{10} $/gm, '');

describeOnMachine('a run that ends before any of its steps', () => {
  let machine: MachineWithPlug;
  beforeEach(() => {
    machine = new MachineWithPlug();
  });
  afterEach(() => {
    machine.close();
  });

  const tryOut = (data: readonly string[], generation: string): Outcome =>
    machine.apply(data, {
      generation,
      options: `--confirm-timeout ${HOST.confirmTimeoutSeconds} --ssh "${CONNECTION}"`,
    });
  const confirm = (generation: string): Outcome => machine.provision(CONFIRM, generation, NEXT_CONNECTION);
  const remove = (): Outcome => machine.provision(CLEAN_UP, 'gone', CONNECTION);
  const confirmRemoval = (): Outcome => machine.provision(CONFIRM_REMOVAL, 'gone', NEXT_CONNECTION);
  /** What waits for the time of a trial to be over does this. */
  const rollBack = (): Outcome =>
    machine.sh(`agent=${HOME}/trial/agent
      [ ! -e "$agent" ] || exec ${machine.flavour.shell} "$agent" rollback --owner vpn1 --generation g2`);

  const succeeds = ({ out, code }: Outcome, step = ''): void => {
    expect([step, out, code]).toEqual([step, out, 0]);
  };
  /** Makes that be in force; what the machine is like then. */
  function have(data: readonly string[], generation: string): string {
    succeeds(tryOut(data, generation));
    succeeds(confirm(generation));
    machine.boot();
    return machine.picture();
  }

  /** Ends a run, for which `prepare` makes ready, before its steps, one after the other; how many there are. */
  function sweep(
    { prepare, run, power = true, order = '' }: { prepare?: () => void; run: () => void } & Partial<Fault>,
    then: (step: string) => void,
  ): number {
    for (const n of steps(ONE_OF)) {
      prepare?.();
      const step = machine.cutAt(n, { power, order }, run);
      if (typeof step === 'number') return step;
      then(`${n} ${step}`);
    }
    throw new Error('there is no end of steps');
  }

  /** Files that a run had only read from its bundle stay until somebody asks what has become of it. */
  function isUndone(step: string, before: string): void {
    expect([step, confirm('g2')]).toEqual([step, expect.objectContaining({ code: 67 })]);
    expect([step, machine.picture()]).toEqual([step, before]);
  }

  /** Directories may stay until the host is destroyed. */
  function isDestroyed(step: string, pristine: string): void {
    expect([step, confirm('g2')]).toEqual([step, expect.objectContaining({ code: 67 })]);
    succeeds(remove(), step);
    succeeds(confirmRemoval(), step);
    expect([step, machine.picture()]).toEqual([step, pristine]);
  }

  describe('by a power cut', () => {
    test('in a change: the machine boots what was there before', () => {
      const before = have(OLD, 'g1');
      const steps = sweep({ run: () => tryOut(NEW, 'g2') }, (step) => {
        machine.boot(step);
        isUndone(step, before);
      });
      expect(steps).toBeGreaterThan(30);
    }, 300_000);

    test('in the first change: nothing is left when the host is destroyed', () => {
      const pristine = machine.picture();
      const steps = sweep({ run: () => tryOut(NEW, 'g2') }, (step) => {
        machine.boot(step);
        isDestroyed(step, pristine);
      });
      expect(steps).toBeGreaterThan(30);
    }, 300_000);

    test('in a removal: the machine boots what was there before', () => {
      const before = have(OLD, 'g1');
      const steps = sweep({ run: remove }, (step) => {
        machine.boot(step);
        expect([step, confirmRemoval().code]).not.toEqual([step, 0]);
        expect([step, machine.picture()]).toEqual([step, before]);
      });
      expect(steps).toBeGreaterThan(15);
    }, 300_000);

    const rejected = (): void => {
      succeeds(tryOut(NEW, 'g2'));
      machine.switchOff();
    };
    const atBoot = { prepare: rejected, run: (): Outcome => machine.rollBackAtBoot() };

    test.each(ORDERS)(
      'on the way back at boot: the next boot goes on (order of rm: "%s")',
      (order) => {
        const before = have(OLD, 'g1');
        const steps = sweep({ ...atBoot, order }, (step) => {
          machine.boot(step);
          isUndone(step, before);
        });
        expect(steps).toBeGreaterThan(20);
      },
      300_000,
    );

    test.each(ORDERS)(
      'on the way back from the first change at boot, too (order of rm: "%s")',
      (order) => {
        const pristine = machine.picture();
        const steps = sweep({ ...atBoot, order }, (step) => {
          machine.boot(step);
          // Of what there was to do, nothing is left for whoever comes next.
          const left = machine.sh('ls -d /etc/changed /usr/local/new /mnt/enabled.new.service 2>/dev/null').out;
          expect([step, left]).toEqual([step, '']);
          isDestroyed(step, pristine);
        });
        expect(steps).toBeGreaterThan(20);
      },
      300_000,
    );

    test.each(ORDERS)(
      'in a confirmation: it is all of one, or none (order of rm: "%s")',
      (order) => {
        // As often as it takes until each knows the directories of the other.
        have(NEW, 'g2');
        have(OLD, 'g1');
        const after = withoutTimes(have(NEW, 'g2'));
        let before = '';
        const prepare = (): void => {
          before = withoutTimes(have(OLD, 'g1'));
          succeeds(tryOut(NEW, 'g2'));
        };
        const steps = sweep({ prepare, run: () => confirm('g2'), order }, (step) => {
          machine.boot(step);
          const { code } = confirm('g2');
          const wanted = decides(step) ? [67, before] : [0, after];
          expect([step, code, withoutTimes(machine.picture())]).toEqual([step, ...wanted]);
        });
        expect(steps).toBeGreaterThan(15);
      },
      300_000,
    );

    test.each(ORDERS)(
      'in the confirmation of a removal: nothing stays, or all (order of rm: "%s")',
      (order) => {
        const pristine = withoutTimes(machine.picture());
        let before = '';
        const prepare = (): void => {
          before = withoutTimes(have(OLD, 'g1'));
          succeeds(remove());
        };
        const steps = sweep({ prepare, run: confirmRemoval, order }, (step) => {
          machine.boot(step);
          const { code } = confirmRemoval();
          const wanted = decides(step) ? [67, before] : [0, pristine];
          expect([step, code, withoutTimes(machine.picture())]).toEqual([step, ...wanted]);
        });
        expect(steps).toBeGreaterThan(15);
      },
      300_000,
    );
  });

  describe('by kill -9', () => {
    test('in a change: it is undone when the time is over', () => {
      const before = have(OLD, 'g1');
      const steps = sweep({ run: () => tryOut(NEW, 'g2'), power: false }, (step) => {
        succeeds(rollBack(), step);
        isUndone(step, before);
      });
      expect(steps).toBeGreaterThan(30);
    }, 300_000);

    test.each(ORDERS)(
      'on the way back: whoever comes next goes on (order of rm: "%s")',
      (order) => {
        const before = have(OLD, 'g1');
        const prepare = (): void => {
          succeeds(tryOut(NEW, 'g2'));
        };
        const steps = sweep({ prepare, run: rollBack, order, power: false }, (step) => {
          succeeds(rollBack(), step);
          isUndone(step, before);
        });
        expect(steps).toBeGreaterThan(30);
      },
      300_000,
    );
  });
});

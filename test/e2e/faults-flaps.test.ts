import { describeLab } from '../lab/describe-lab';
import { portName } from '../lab/namespace';
import { FULL } from '../random';
import { declareEgress } from './egress';
import { CONFIRM_TIMEOUT, settled } from './faults';
import { Terraform } from './terraform';

const FLAPS = FULL ? 500 : 100;
const UNIT = 'source-routing-vpn';

describeLab('an egress link that goes up and down all the time', {}, (lab) => {
  let terraform: Terraform;
  beforeAll(async () => {
    terraform = new Terraform(lab());
    terraform.declare((stack) => void declareEgress(stack, lab(), {}, { confirmTimeoutSeconds: CONFIRM_TIMEOUT }));
    await terraform.apply();
    await settled(lab().vpn);
  });
  afterAll(() => terraform.close());

  /** Files of ours that live as long as the machine is up. */
  const volatile = async (): Promise<string[]> =>
    (await lab().vpn.exec("find /run /tmp -path '*source-routing*' | sed 's/[.][0-9]*$//' | sort")).stdout.split('\n');

  /** What the unit's processes have in memory, in kilobytes; what they share is counted in parts. */
  const memory = async (): Promise<number> => {
    const script = `group=$(systemctl show -P ControlGroup ${UNIT})
      for procs in /sys/fs/cgroup/*"$group"/cgroup.procs /sys/fs/cgroup"$group"/cgroup.procs; do
        [ ! -f "$procs" ] || cat "$procs"
      done | sort -u | while read -r pid; do cat "/proc/$pid/smaps_rollup"; done 2>/dev/null |
        awk '$1 == "Pss:" { sum += $2 } END { print sum + 0 }'`;
    return Number((await lab().vpn.exec(script)).stdout);
  };

  test(`leaves no duplicate rule, no file and no memory behind after ${FLAPS} times`, async () => {
    const { vpn } = lab();
    // The watch counts what it puts back, in a file that stays until the owner is removed.
    await vpn.exec(
      "ip rule del pref 10010; timeout 10 sh -c 'until [ -e /run/source-routing.repairs.vpn ]; do sleep 0.1; done'",
    );
    await settled(vpn);
    const before = { state: await vpn.snapshotState(), files: await volatile(), memory: await memory() };
    const port = portName('vpn', 'eth1');
    const flaps = `for flap in $(seq ${FLAPS}); do
      ip link set ${port} down; sleep 0.04; ip link set ${port} up; sleep 0.06
    done`;
    await lab().exec('switch', ['sh', '-c', flaps], { timeoutMs: 150_000 });
    await lab().waitForAnswer('vpn', '192.168.1.1', 10_000);
    // Until the watch has had its last word.
    await vpn.exec('for try in $(seq 40); do source-routing verify >/dev/null && exit; sleep 0.5; done; exit 1');
    await settled(vpn);
    const after = { files: await volatile(), memory: await memory() };
    process.stderr.write(`faults: memory of the unit before and after: ${before.memory} kB, ${after.memory} kB\n`);
    expect(await vpn.changedSince(before.state)).toEqual([]);
    for (const family of ['-4', '-6']) {
      const rules = (await vpn.exec(['ip', family, 'rule'])).stdout.trim().split('\n');
      expect(rules).toEqual([...new Set(rules)]);
    }
    expect(after.files.filter((file) => !before.files.includes(file))).toEqual([]);
    expect(before.memory).toBeGreaterThan(0);
    expect(after.memory).toBeLessThan(10_000);
  });
});

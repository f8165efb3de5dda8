import { LinuxHost } from '../../lib';
import { describeLab } from '../lab/describe-lab';
import type { Snapshot } from '../lab/snapshot';
import { ALL_THROUGH_NAT, ALL_THROUGH_UPSTREAM, declareEgress, sources } from './egress';
import { Terraform, sshOf } from './terraform';

const UNIT = 'source-routing-vpn.service';

/** The watch, and what tells it of routing and of nftables, each with a reader. */
const PROCESSES = 5;

/** All of it is in the kernel. */
const WHOLE = [
  '[ "$(ip -4 rule show | grep -c "proto 77")$(ip -6 rule show | grep -c "proto 77")" = 55 ]',
  '[ "$(ip -4 route show table 200 | grep -c "proto 77")$(ip -6 route show table 200 | grep -c "proto 77")" = 44 ]',
].join(' && ');

describeLab('the watch', { returnRoutes: false }, (lab) => {
  let terraform: Terraform;
  let before: Snapshot;
  beforeAll(async () => {
    terraform = new Terraform(lab());
    before = await lab().vpn.snapshotState();
    terraform.declare((stack) => {
      const natRouter = new LinuxHost(stack, 'nat', { ssh: sshOf(lab(), 'nat'), owner: 'nat' });
      declareEgress(stack, lab(), { natRouter });
    });
    await terraform.apply();
  });
  afterAll(() => terraform.close());

  const inside = async (command: string): Promise<string> => (await lab().vpn.exec(command)).stdout.trim();

  /** Since the epoch, in milliseconds: when the condition holds. */
  const whenWhole = async (): Promise<number> =>
    Number(
      await inside(
        `end=$(($(date +%s) + 20)); until ${WHOLE}; do [ $(date +%s) -lt $end ] || exit 1; sleep 0.01; done; date +%s%3N`,
      ),
    );

  /** Milliseconds from the end of the command until all is there again. */
  const healedAfter = async (command: string): Promise<number> => {
    const done = Number((await inside(`${command}; date +%s%3N`)).split('\n').at(-1));
    return (await whenWhole()) - done;
  };

  const agrees = async (): Promise<void> => {
    expect(await inside('source-routing verify')).toMatch(/kernel and files agree/);
  };

  /** The processes of the unit: how many, and how many kB they take, what they share divided. */
  const usage = async (): Promise<{ processes: number; kilobytes: number }> => {
    const out = await inside(`group=$(systemctl show -P ControlGroup ${UNIT})
      cat $(find /sys/fs/cgroup -path "*$group/cgroup.procs") | sort -u | while read -r pid; do
        sed -n 's/^Pss: *\\([0-9]*\\) kB/\\1/p' /proc/$pid/smaps_rollup; done`);
    const each = out.split('\n').map(Number);
    return { processes: each.length, kilobytes: each.reduce((sum, pss) => sum + pss, 0) };
  };

  test('the unit runs, locked up as far as it goes', async () => {
    // It starts while the apply ends, and looks a second time after a second; then it rests.
    await inside('sleep 3');
    expect(await inside(`systemctl is-active ${UNIT}`)).toBe('active');
    expect(await inside(`systemd-analyze verify /etc/systemd/system/${UNIT} 2>&1`)).toBe('');
    const exposure = /exposure level for \S+: (\S+)/.exec(await inside(`systemd-analyze security --no-pager ${UNIT}`));
    expect(Number(exposure?.[1])).toBeLessThan(2);
    expect((await usage()).kilobytes).toBeLessThan(10_000);
    expect((await usage()).processes).toBe(PROCESSES);
  });

  test('after a reboot everything is there, and the unit has nothing to complain of', async () => {
    await lab().vpn.reboot();
    await lab().waitForVpn();
    await whenWhole();
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
    await agrees();
    const journal = await inside(`journalctl -b -u ${UNIT} -o cat --no-pager`);
    expect(journal).toContain('watching the rules and routes of vpn');
    expect(journal).not.toMatch(/FAILED|denied|permitted|read-only|removing the lock/i);
    expect(await inside('systemctl show -P NRestarts ' + UNIT)).toBe('0');
  });

  // What systemd-networkd does by default: it removes rules that it does not know.
  test.each([
    'networkctl reload',
    'systemctl restart systemd-networkd',
    'networkctl reconfigure eth1',
    'ip rule flush proto 77; ip -6 rule flush proto 77',
    'ip route flush table 200; ip -6 route flush table 200',
    'ip link set eth1 down; sleep 0.5; ip link set eth1 up',
  ])('is whole again after: %s', async (command) => {
    const milliseconds = await healedAfter(command);
    // Something may come a moment later: it must be whole then, too.
    await inside('sleep 1.5');
    const later = (await whenWhole()) - Number(await inside('date +%s%3N'));
    process.stderr.write(`watch: ${milliseconds} ms after ${command}\n`);
    expect(milliseconds).toBeLessThan(1500);
    expect(later).toBeLessThan(1000);
    await agrees();
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
  });

  test('routes in the main table, too', async () => {
    const nat = async (command: string): Promise<string> => (await lab().nat.exec(command)).stdout.trim();
    const back = '[ "$(ip -4 route | grep -c "proto 77")$(ip -6 route | grep -c "proto 77")" = 22 ]';
    const until = `for i in $(seq 100); do ${back} && exit 0; sleep 0.01; done; exit 1`;
    await nat(`${back}; ip route del 10.10.10.0/24; ${until}`);
    await nat(`ip link set eth1 down; sleep 0.3; ip link set eth1 up; ${until}`);
    expect(await nat('source-routing verify')).toMatch(/kernel and files agree/);
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
  });

  test('routes are back within a second of their cable', async () => {
    const after: number[] = [];
    for (let i = 0; i < 5; i += 1) {
      await lab().vpn.unplug('eth1');
      await inside('for i in $(seq 100); do ip route show table 200 | grep -q eth1 || exit 0; sleep 0.1; done; exit 1');
      const plugged = Date.now();
      await lab().vpn.plug('eth1');
      after.push((await whenWhole()) - plugged);
      await inside('sleep 1');
    }
    process.stderr.write(`watch: ${after.join(', ')} ms after the cable\n`);
    expect([...after].sort((a, b) => a - b)[2]).toBeLessThan(1000);
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
  });

  test('fifty flaps leave no duplicate, no process and no memory behind, and start no quarrel', async () => {
    const usedBefore = await usage();
    for (let i = 0; i < 50; i += 1) {
      await lab().vpn.unplug('eth1');
      await inside(`sleep 0.${i % 5}`);
      await lab().vpn.plug('eth1');
      await inside(`sleep 0.${i % 7}`);
    }
    await whenWhole();
    await inside('sleep 3');
    await agrees();
    const rules = (await inside('ip -4 rule show | sed "s/^/4 /"; ip -6 rule show | sed "s/^/6 /"')).split('\n');
    expect(new Set(rules).size).toBe(rules.length);
    const used = await usage();
    process.stderr.write(`watch: ${JSON.stringify(usedBefore)} before, ${JSON.stringify(used)} after 50 flaps\n`);
    expect(used.processes).toBe(usedBefore.processes);
    expect(used.kilobytes).toBeLessThan(Math.min(usedBefore.kilobytes * 1.2, 10_000));
    expect(await inside('ls -A /run/source-routing-vpn/*/')).not.toMatch(/change|link|lost/);
    const journal = await inside(`journalctl -b -u ${UNIT} -o cat --no-pager`);
    expect(journal).not.toMatch(/again and again/);
    expect(await inside(`systemctl show -P NRestarts ${UNIT}`)).toBe('0');
    expect(await healedAfter('ip rule del pref 10010')).toBeLessThan(1000);
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
  });

  test('who kills it finds it there again', async () => {
    await inside(`systemctl kill --kill-whom=main -s KILL ${UNIT}; ip rule flush proto 77`);
    await whenWhole();
    await inside('sleep 1; pkill -9 -x ip; sleep 3');
    expect(await inside(`systemctl is-active ${UNIT}`)).toBe('active');
    expect(await inside(`systemctl show -P NRestarts ${UNIT}`)).toBe('2');
    expect((await usage()).processes).toBe(PROCESSES);
    await agrees();
  });

  test('destroy: it ends first, and nothing is left of it', async () => {
    await terraform.destroy();
    expect(await lab().vpn.changedSince(before)).toEqual([]);
    expect(await inside('pgrep -x "ip|nft" || ls -d /run/source-routing* 2>/dev/null || true')).toBe('');
    expect(await sources(lab())).toEqual(ALL_THROUGH_UPSTREAM);
  });
});

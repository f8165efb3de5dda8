import type { TerraformStack } from 'cdktf';
import type { LinuxHost, VpnEgress } from '../../lib';
import { PolicyRule, RuleAction, SourceRoutingTable } from '../../lib';
import { describeLab } from '../lab/describe-lab';
import { poll } from '../lab/process';
import type { Snapshot } from '../lab/snapshot';
import { declareEgress } from './egress';
import { CONFIRM_TIMEOUT, settled } from './faults';
import { Terraform, saidBy } from './terraform';

const ADMINISTRATOR = '192.168.178.10/32';
const MAIN_TABLE_RULE = 32766;

interface Change {
  /** Where the administrator must sit to be cut off by it. */
  readonly from: 'admin' | 'internet';
  readonly declare: (host: LinuxHost, egress: VpnEgress) => void;
}

const CHANGES: Record<string, Change> = {
  "that drops the administrator's address": {
    from: 'admin',
    declare: (host) => {
      const action = RuleAction.blackhole();
      new PolicyRule(host, 'blackhole', { host, priority: 100, destination: ADMINISTRATOR, action });
    },
  },
  'that kills the default route': {
    from: 'internet',
    declare: (host) => {
      const main = SourceRoutingTable.main(host);
      // Nobody has this address.
      main.addRoute('lower-half', { destination: '0.0.0.0/1', via: '192.168.178.250' });
      main.addRoute('upper-half', { destination: '128.0.0.0/1', via: '192.168.178.250' });
    },
  },
  'that lets the session that makes it live on, and drops all new ones': {
    from: 'admin',
    declare: (host) => {
      // sshd marks the packets of a session once somebody has logged in.
      const marked = { tos: 0x08, action: RuleAction.goTo(MAIN_TABLE_RULE) };
      new PolicyRule(host, 'marked', { host, priority: 100, destination: ADMINISTRATOR, ...marked });
      const action = RuleAction.blackhole();
      new PolicyRule(host, 'others', { host, priority: 101, destination: ADMINISTRATOR, action });
    },
  },
  "that sends the server's own answers to the NAT router": {
    from: 'internet',
    declare: (host, { table }) => {
      new PolicyRule(host, 'server', { table, priority: 12000, source: '192.168.178.2/32' });
    },
  },
};

/** When the first rule or route came, and when the last one was gone again, by `ip -ts monitor`. Milliseconds. */
function madeAndUndone(seen: string): { made: number; undone: number } {
  const events = [...seen.matchAll(/^\[([^\]]+)\] (Deleted )?/gm)].map(([, at, gone]) => ({
    at: Date.parse(at),
    gone,
  }));
  return {
    made: events.filter(({ gone }) => !gone)[0]?.at,
    undone: events.filter(({ gone }) => gone).at(-1)?.at ?? NaN,
  };
}

describeLab('a change', {}, (lab) => {
  let terraform: Terraform;
  let before: Snapshot;

  const declare = (change: (host: LinuxHost, egress: VpnEgress) => void, allow = false): void =>
    terraform.declare((stack: TerraformStack) => {
      const egress = declareEgress(
        stack,
        lab(),
        {},
        // The route to everywhere is no mistake that could be seen without the machine.
        { interfaces: undefined, confirmTimeoutSeconds: CONFIRM_TIMEOUT, allowManagementPathChange: allow },
      );
      change(egress.table.host, egress);
    });

  beforeAll(async () => {
    terraform = new Terraform(lab());
    declare(() => undefined);
    await terraform.apply();
    await settled(lab().vpn);
    before = await lab().vpn.snapshotState();
  });
  afterEach(() => lab().administrateFrom('admin'));
  afterAll(() => terraform.close());

  describe.each(Object.keys(CHANGES))('%s', (name) => {
    const { from, declare: change } = CHANGES[name];

    test('is undone at once, and the session that makes it lives on', async () => {
      await lab().administrateFrom(from);
      declare(change);
      const { vpn } = lab();
      await vpn.exec('ip -ts -N -o monitor rule route >/run/monitor 2>&1 </dev/null & echo $! >/run/monitor.pid');
      const { code, stdout } = await terraform.run('apply', ['-auto-approve']);
      const seen = (await vpn.exec('kill "$(cat /run/monitor.pid)"; cat /run/monitor; rm /run/monitor*')).stdout;
      expect(code).toBe(1);
      // Whoever else is logged in is named, too.
      expect(saidBy('apply', stdout).join('\n')).toMatch(/could be locked out.*allowManagementPathChange/);
      expect(saidBy('apply', stdout).at(-1)).toMatch(
        /FAILED, and everything was put back as it was: this change moved/,
      );
      const { made, undone } = madeAndUndone(seen);
      process.stderr.write(`faults: ${name}: undone after ${undone - made} ms\n`);
      // Long before the timer.
      expect(undone - made).toBeLessThan(1000);
      expect(await lab().vpn.changedSince(before)).toEqual([]);
    });

    test('is undone by the machine itself if it is made nevertheless, and the apply says so', async () => {
      await lab().administrateFrom(from);
      declare(change, true);
      const run = await terraform.start('apply', ['-auto-approve']);
      await poll('the connection to the machine', 60_000, () => run.output().includes('Connected!') || undefined);
      const start = Date.now();
      const { code, stdout, stderr } = await run.result;
      const seconds = (Date.now() - start) / 1000;
      expect(code).toBe(1);
      expect(stderr.replace(/\s+/g, ' ')).toContain('Process exited with status 67');
      expect(saidBy('apply', stdout).at(-1)).toMatch(
        /^source-routing: ROLLED BACK, everything is as it was: .* not confirmed over a new connection in time/,
      );
      expect(seconds).toBeLessThan(CONFIRM_TIMEOUT + 10);
      expect(await lab().vpn.changedSince(before)).toEqual([]);
    });
  });

  test('of the way to the administrator that leads there all the same is kept', async () => {
    const declareDetour = (allow: boolean): void =>
      declare((host) => {
        const table = new SourceRoutingTable(host, 'detour', { host, tableId: 201 });
        // The upstream router is on the LAN, too, and hands on what is for somebody there.
        table.addRoute('administrator', { destination: ADMINISTRATOR, via: '192.168.178.1', device: 'eth0' });
        new PolicyRule(host, 'administrator', { table, priority: 100, destination: ADMINISTRATOR });
      }, allow);
    declareDetour(false);
    expect((await terraform.run('apply', ['-auto-approve'])).code).toBe(1);
    expect(await lab().vpn.changedSince(before)).toEqual([]);
    declareDetour(true);
    await terraform.apply();
    expect((await lab().vpn.exec('ip route get 192.168.178.10')).stdout).toContain('via 192.168.178.1');
    await lab().vpn.exec('source-routing verify');
  });

  test('is accepted again after all that', async () => {
    // The way to the administrator moves once more.
    declare(() => undefined, true);
    await terraform.apply();
    await lab().vpn.exec('source-routing verify');
  });
});

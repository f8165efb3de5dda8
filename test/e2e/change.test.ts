import type { TerraformStack } from 'cdktf';
import { LinuxHost, PolicyRule, RuleAction, SourceRoutingTable } from '../../lib';
import { describeLab } from '../lab/describe-lab';
import { INTERFACES } from './egress';
import { Terraform, sshOf } from './terraform';

const POOL4 = '10.10.10.0/24';
const POOL6 = 'fd00:4242:4242:4242::/64';

describeLab('a change', {}, (lab) => {
  let terraform: Terraform;
  beforeAll(() => {
    terraform = new Terraform(lab());
  });
  afterAll(() => terraform.close());

  /** Sixty rules, of which one may be another. */
  const declare = (changedSource = '10.30.0.0/16', extraRules = 60): void =>
    terraform.declare((stack: TerraformStack) => {
      const host = new LinuxHost(stack, 'vpn', { ssh: sshOf(lab()), owner: 'vpn', interfaces: INTERFACES });
      const table = new SourceRoutingTable(stack, 'table', { host, tableId: 200 });
      table.addRoute('v4', { destination: 'default', via: '192.168.1.1', device: 'eth1' });
      table.addRoute('v6', { destination: 'default', via: 'fd00:1010:1010:1010::1', device: 'eth1' });
      new PolicyRule(stack, 'clients4', { table, source: POOL4, priority: 10010 });
      new PolicyRule(stack, 'clients6', { table, source: POOL6, priority: 10010 });
      // 10.20.0.0/16 below has IPv4 of this tunnel, too.
      const action = RuleAction.unreachable();
      new PolicyRule(stack, 'wireguard6', { host, source: 'fd00:4242:4242:2020::/64', priority: 10011, action });
      for (let i = 0; i < extraRules; i += 1) {
        const source =
          i === 30 ? changedSource : i >= 250 ? `100.${64 + Math.floor(i / 250)}.${i % 250}.0/24` : `10.${i}.0.0/16`;
        new PolicyRule(stack, `rule-${i}`, { table, source, priority: 11000 + i });
      }
    });

  test('of one rule: the plan shows that rule and little else', async () => {
    declare();
    await terraform.apply();
    declare('10.30.0.0/17');
    const plan = await terraform.plan();
    expect(plan).toContain('Plan: 1 to add, 0 to change, 1 to destroy.');
    const lines = plan.split('\n');
    const start = lines.findIndex((line) => /^\s+# terraform_data\.vpn_apply_\S+ must be replaced$/.test(line));
    const end = lines.findIndex((line, index) => index > start && line === '    }');
    const block = lines.slice(start, end + 1);
    expect(block.length).toBeGreaterThan(3);
    expect(block.length).toBeLessThanOrEqual(15);
    expect(block.join('\n')).toMatch(
      /~ "guard ipv4 21030" += "from 10\.30\.0\.0\/16 unreachable" -> "from 10\.30\.0\.0\/17 unreachable"/,
    );
    expect(block.join('\n')).toMatch(
      /~ "rule ipv4 11030" += "from 10\.30\.0\.0\/16 lookup 200" -> "from 10\.30\.0\.0\/17 lookup 200"/,
    );
  });

  test('of one rule: only that rule changes, and there is no moment without rules', async () => {
    // Who asks the kernel without pause, in the machine, and who notes all changes in their order.
    const asked: Record<string, [string, string]> = {
      clients4: ['ip -4 rule show priority 10010', `from ${POOL4} lookup 200`],
      clients6: ['ip -6 rule show priority 10010', `from ${POOL6} lookup 200`],
      changed: ['ip -4 rule show priority 11030', 'lookup 200'],
      route: ['ip -4 route show table 200', 'default via 192.168.1.1'],
    };
    const pollers = Object.entries(asked).map(
      ([name, [command, wanted]]) =>
        `setsid -f sh -c 'n=0; while [ ! -e /run/stop ]; do n=$((n + 1))
           case "$(${command})" in *"${wanted}"*) ;; *) echo missing ;; esac
         done >/run/missing.${name}; echo "${name} $n" >/run/polls.${name}' </dev/null >/dev/null 2>&1`,
    );
    await lab().vpn.exec(
      [
        'rm -f /run/monitor /run/missing.* /run/polls.* /run/stop',
        'setsid -f sh -c "exec ip monitor rule route >/run/monitor" </dev/null >/dev/null 2>&1',
        ...pollers,
        'for i in $(seq 50); do pgrep -x -f "ip monitor rule route" >/dev/null && break; sleep 0.1; done',
      ].join('\n'),
    );
    await terraform.apply();
    const { stdout } = await lab().vpn.exec(
      `touch /run/stop; pkill -x -f "ip monitor rule route"
       for i in $(seq 50); do [ "$(ls /run/polls.* 2>/dev/null | wc -l)" -eq ${pollers.length} ] && break; sleep 0.1; done
       cat /run/polls.*; echo --; cat /run/missing.*; echo --; cat /run/monitor`,
    );
    const [polls = '', missing, changes = ''] = stdout.split('--\n');
    const counts = polls.trim().split('\n');
    expect(counts.map((line) => line.split(' ')[0]).sort()).toEqual(Object.keys(asked).sort());
    counts.forEach((line) => expect(Number(line.split(' ')[1])).toBeGreaterThan(50));
    expect(missing).toBe('');
    // In this order: the new one was there before the old one went, each with its guard.
    expect(changes.split('\n').map((line) => line.trim())).toEqual([
      '21030:\tfrom 10.30.0.0/17 unreachable',
      '11030:\tfrom 10.30.0.0/17 lookup 200 proto 77',
      'Deleted 11030:\tfrom 10.30.0.0/16 lookup 200 proto 77',
      'Deleted 21030:\tfrom 10.30.0.0/16 unreachable',
      '',
    ]);
  });

  test('opens as many connections for 1,000 rules as for one', async () => {
    const accepted = async (): Promise<number> =>
      Number((await lab().vpn.exec('journalctl -b -u ssh --no-pager -o cat | grep -c "^Accepted " || true')).stdout);
    declare('10.30.0.0/18');
    const start = await accepted();
    await terraform.apply();
    const forOne = (await accepted()) - start;
    declare('10.30.0.0/18', 1000);
    await terraform.apply();
    const forThousand = (await accepted()) - start - forOne;
    expect(forThousand).toBe(forOne);
    expect(forOne).toBeLessThanOrEqual(3);
    const { stdout } = await lab().vpn.exec('ip -4 rule show table 200 | wc -l');
    expect(Number(stdout)).toBe(1001);
  });

  test('of the owner, the old one is removed and the new one put there', async () => {
    terraform.declare((stack) => {
      const host = new LinuxHost(stack, 'vpn', { ssh: sshOf(lab()), owner: 'other', interfaces: INTERFACES });
      const table = new SourceRoutingTable(stack, 'table', { host, tableId: 200 });
      table.addRoute('v4', { destination: 'default', via: '192.168.1.1', device: 'eth1' });
      new PolicyRule(stack, 'clients4', { table, source: POOL4, priority: 10010 });
      new PolicyRule(stack, 'no-ipv6', { host, source: POOL6, priority: 10010, action: RuleAction.unreachable() });
    });
    await terraform.apply();
    const { stdout } = await lab().vpn.exec('ls /var/lib/source-routing; ip -4 rule show table 200 | wc -l');
    expect(stdout.trim().split('\n')).toEqual(['other', '1']);
  });
});

import { join, resolve } from 'node:path';
import { TerraformIterator, TerraformVariable, Token } from 'cdktf';
import { LinuxHost, PolicyRule, RuleAction } from '../../lib';
import { describeLab } from '../lab/describe-lab';
import type { MachineName } from '../lab/topology';
import { Terraform, saidBy, sshOf } from './terraform';

const ROOT = resolve(__dirname, '../..');
const [TSX, CLI] = ['node_modules/.bin/tsx', 'lib/cli/main.ts'].map((path) => join(ROOT, path));

/** A machine of the fleet: what it is now, and the addresses that it rejects. */
interface Server {
  readonly image: string;
  readonly rejected: string;
}

type Servers = Partial<Record<MachineName, Server>>;

describeLab('a fleet from a variable', {}, (lab) => {
  let terraform: Terraform;
  beforeAll(() => {
    terraform = new Terraform(lab());
  });
  afterAll(() => terraform.close());

  const declare = (servers: Servers): void =>
    terraform.declare((stack) => {
      const values = Object.entries(servers).map(([name, server]) => {
        const { host, hostKey } = sshOf(lab(), name as MachineName);
        return [name, { ...server, host, host_key: hostKey }] as const;
      });
      const variable = new TerraformVariable(stack, 'servers', {
        type: 'map(object({ image = string, rejected = string, host = string, host_key = string }))',
        default: Object.fromEntries(values),
      });
      const iterator = TerraformIterator.fromMap(Token.asAnyMap(variable.value));
      const host = new LinuxHost(stack, 'server', {
        forEach: iterator,
        owner: 'fleet',
        ssh: { ...sshOf(lab()), host: iterator.getString('host'), hostKey: iterator.getString('host_key') },
        replaceTriggeredBy: [iterator.getString('image')],
      });
      const source = iterator.getString('rejected');
      new PolicyRule(stack, 'rejected', { host, source, action: RuleAction.prohibit(), priority: 11000 });
    });

  const rules = async (name: MachineName): Promise<string> =>
    (await lab().machine(name).exec("ip rule show | grep '^11000:' || :")).stdout.trim();
  const generation = async (name: MachineName): Promise<string> =>
    (await lab().machine(name).exec('cat /var/lib/source-routing/fleet/current 2>/dev/null || :')).stdout.trim();

  /** What the command says of all machines, run where Terraform runs. */
  const verify = async (): Promise<{ status: number | null; lines: string[] }> => {
    const { code, stdout } = await lab().admin([TSX, CLI, 'verify', terraform.path('.')]);
    return { status: code, lines: stdout.trimEnd().split('\n') };
  };

  test('has on each machine what is declared for it', async () => {
    declare({ vpn: { image: '1', rejected: '198.18.1.0/24' } });
    await terraform.apply();
    expect(await rules('vpn')).toBe('11000:\tfrom 198.18.1.0/24 prohibit proto 77');
    expect(await rules('nat')).toBe('');
  });

  test('one that joins is configured, and no other touched', async () => {
    const before = await generation('vpn');
    declare({ vpn: { image: '1', rejected: '198.18.1.0/24' }, nat: { image: '1', rejected: '198.18.2.0/24' } });
    const said = await terraform.apply();
    expect(said).toContain('Apply complete! Resources: 2 added, 0 changed, 0 destroyed.');
    expect(saidBy('apply', said).at(-1)).toContain('source-routing: done: generation ');
    expect(await rules('nat')).toBe('11000:\tfrom 198.18.2.0/24 prohibit proto 77');
    expect(before).not.toBe('');
    expect(await generation('vpn')).toBe(before);
    expect(await terraform.plan()).toContain('No changes.');
  });

  test('verify asks each of them, and names what mends the one that differs', async () => {
    expect(await verify()).toEqual({ status: 0, lines: ['As declared: 2 of 2.'] });
    await lab().machine('nat').exec('systemctl stop source-routing-fleet; ip rule del pref 11000');
    const { status, lines } = await verify();
    expect(status).toBe(1);
    expect(lines[0]).toMatch(/^terraform_data\.server_apply_\w+\["nat"\] \(\S+\) is not as declared:$/);
    expect(lines.join('\n')).toContain('11000');
    const [, address = ''] = /-replace='(.*)'$/.exec(lines.at(-1) ?? '') ?? [];
    await terraform.apply([`-replace=${address}`]);
    expect(await rules('nat')).toBe('11000:\tfrom 198.18.2.0/24 prohibit proto 77');
    expect(await verify()).toEqual({ status: 0, lines: ['As declared: 2 of 2.'] });
  });

  test('one that is reinstalled is configured again, and no other touched', async () => {
    const before = await generation('nat');
    await lab().vpn.replace();
    expect(await rules('vpn')).toBe('');
    expect((await verify()).lines).toContain('  nothing of fleet is on this machine');
    declare({ vpn: { image: '2', rejected: '198.18.1.0/24' }, nat: { image: '1', rejected: '198.18.2.0/24' } });
    expect(await terraform.apply()).toContain('Apply complete! Resources: 1 added, 0 changed, 1 destroyed.');
    expect(await rules('vpn')).toBe('11000:\tfrom 198.18.1.0/24 prohibit proto 77');
    expect(await generation('nat')).toBe(before);
  });

  test('one that leaves is cleaned, and no other touched', async () => {
    const before = await generation('vpn');
    declare({ vpn: { image: '2', rejected: '198.18.1.0/24' } });
    const said = await terraform.apply();
    expect(said).toContain('Apply complete! Resources: 0 added, 0 changed, 2 destroyed.');
    expect(await rules('nat')).toBe('');
    expect((await lab().machine('nat').exec('ls -d /var/lib/source-routing 2>&1 || :')).stdout).toContain(
      'No such file',
    );
    expect(await generation('vpn')).toBe(before);
    expect(await rules('vpn')).toBe('11000:\tfrom 198.18.1.0/24 prohibit proto 77');
  });
});

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

const REJECTED: Readonly<Record<MachineName, string>> = {
  vpn: '198.18.1.0/24',
  nat: '198.18.2.0/24',
  third: '198.18.3.0/24',
};

describeLab('a fleet from a variable', { thirdMachine: true }, (lab) => {
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

  /** The machines of the fleet, each with the number of its image. */
  const fleet = (images: Partial<Record<MachineName, number>>): void =>
    declare(
      Object.fromEntries(
        Object.entries(images).map(([name, image]) => [
          name,
          { image: String(image), rejected: REJECTED[name as MachineName] },
        ]),
      ),
    );

  const rules = async (name: MachineName): Promise<string> =>
    (await lab().machine(name).exec("ip rule show | grep '^11000:' || :")).stdout.trim();
  const expected = (name: MachineName): string => `11000:\tfrom ${REJECTED[name]} prohibit proto 77`;

  /** Everything that a run on a machine would touch, the time of its state included. */
  const picture = async (names: readonly MachineName[]): Promise<string[]> =>
    Promise.all(
      names.map(async (name) => {
        const { stdout } = await lab()
          .machine(name)
          .exec(
            'cat /var/lib/source-routing/fleet/current; find /var/lib/source-routing -printf "%p %T+\\n" | sort; ' +
              'ip rule show; systemctl show -p ActiveEnterTimestampMonotonic source-routing-fleet',
          );
        return stdout;
      }),
    );

  /** What the command says of all machines, run where Terraform runs. */
  const verify = async (): Promise<{ status: number | null; lines: string[] }> => {
    const { code, stdout } = await lab().admin([TSX, CLI, 'verify', terraform.path('.')]);
    return { status: code, lines: stdout.trimEnd().split('\n') };
  };

  test('has on each machine what is declared for it', async () => {
    fleet({ vpn: 1, nat: 1 });
    await terraform.apply();
    expect(await Promise.all([rules('vpn'), rules('nat'), rules('third')])).toEqual([
      expected('vpn'),
      expected('nat'),
      '',
    ]);
  });

  test('one that joins is configured, and no other touched', async () => {
    const before = await picture(['vpn', 'nat']);
    fleet({ vpn: 1, nat: 1, third: 1 });
    const said = await terraform.apply();
    expect(said).toContain('Apply complete! Resources: 2 added, 0 changed, 0 destroyed.');
    expect(saidBy('apply', said).at(-1)).toContain('source-routing: done: generation ');
    expect(await rules('third')).toBe(expected('third'));
    expect(await picture(['vpn', 'nat'])).toEqual(before);
    expect(await terraform.plan()).toContain('No changes.');
  });

  test('verify asks each of them, and names what mends the one that differs', async () => {
    expect(await verify()).toEqual({ status: 0, lines: ['As declared: 3 of 3.'] });
    const before = await picture(['vpn', 'third']);
    await lab().machine('nat').exec('systemctl stop source-routing-fleet; ip rule del pref 11000');
    const { status, lines } = await verify();
    expect(status).toBe(1);
    expect(lines[0]).toMatch(/^terraform_data\.server_apply_\w+\["nat"\] \(\S+\) is not as declared:$/);
    expect(lines.join('\n')).toContain('11000');
    const [, address = ''] = /-replace='(.*)'$/.exec(lines.at(-1) ?? '') ?? [];
    await terraform.apply([`-replace=${address}`]);
    expect(await rules('nat')).toBe(expected('nat'));
    expect(await verify()).toEqual({ status: 0, lines: ['As declared: 3 of 3.'] });
    expect(await picture(['vpn', 'third'])).toEqual(before);
  });

  test('one that is reinstalled is configured again, and no other touched', async () => {
    const before = await picture(['nat', 'third']);
    await lab().vpn.replace();
    expect(await rules('vpn')).toBe('');
    expect((await verify()).lines).toContain('  nothing of fleet is on this machine');
    fleet({ vpn: 2, nat: 1, third: 1 });
    expect(await terraform.apply()).toContain('Apply complete! Resources: 1 added, 0 changed, 1 destroyed.');
    expect(await rules('vpn')).toBe(expected('vpn'));
    expect(await picture(['nat', 'third'])).toEqual(before);
  });

  test('one that leaves is cleaned, and no other touched', async () => {
    const before = await picture(['vpn', 'third']);
    fleet({ vpn: 2, third: 1 });
    const said = await terraform.apply();
    expect(said).toContain('Apply complete! Resources: 0 added, 0 changed, 2 destroyed.');
    expect(await rules('nat')).toBe('');
    expect((await lab().machine('nat').exec('ls -d /var/lib/source-routing 2>&1 || :')).stdout).toContain(
      'No such file',
    );
    expect(await picture(['vpn', 'third'])).toEqual(before);
  });

  test('one joins and one leaves in one apply, and the destroy cleans all', async () => {
    const before = await picture(['third']);
    fleet({ nat: 1, third: 1 });
    expect(await terraform.apply()).toContain('Apply complete! Resources: 2 added, 0 changed, 2 destroyed.');
    expect(await Promise.all([rules('vpn'), rules('nat')])).toEqual(['', expected('nat')]);
    expect(await picture(['third'])).toEqual(before);
    await terraform.destroy();
    expect(await Promise.all([rules('vpn'), rules('nat'), rules('third')])).toEqual(['', '', '']);
  });
});

import { BUNDLE_MARK, FORMAT, bundleChecksum } from '../../lib/agent/program';
import { LinuxHost, LocalTraffic, PolicyRule, VpnEgress } from '../../lib';
import { describeLab } from '../lab/describe-lab';
import { GATEWAYS, POOLS } from './egress';
import { random } from '../random';
import { seed, settled, steadyTraffic } from './faults';
import { Terraform, sshOf } from './terraform';

const CHANGES = 50;

/** All lead the clients to the NAT router, each in another way. */
interface Way {
  readonly localTraffic: LocalTraffic;
  readonly tableId: number;
  readonly priority: number;
  /** The order of the pools, and so which priority belongs to which. */
  readonly clients: string[];
  readonly moreRules: number;
}

describeLab('changes', {}, (lab) => {
  const chance = random(seed());
  const pick = <T>(choices: readonly T[]): T => choices[Math.floor(chance() * choices.length)];
  const anyWay = (): Way => ({
    localTraffic: pick([
      LocalTraffic.mainTable(),
      LocalTraffic.suppressDefault(),
      LocalTraffic.isolated(),
      LocalTraffic.upHook(),
    ]),
    tableId: pick([200, 201, 202]),
    priority: pick([10010, 10011, 11010]),
    clients: pick([POOLS, [...POOLS].reverse()]),
    moreRules: pick([0, 1, 20]),
  });

  let terraform: Terraform;
  beforeAll(() => {
    terraform = new Terraform(lab());
  });
  afterAll(() => terraform.close());

  /** The file that Terraform would upload. Without Terraform itself there is time for many. */
  function bundle(way: Way): string {
    terraform.declare((stack) => {
      const host = new LinuxHost(stack, 'vpn', { ssh: sshOf(lab()), owner: 'vpn' });
      const { moreRules, ...props } = way;
      const { table } = new VpnEgress(stack, 'egress', { host, device: 'eth1', gateways: GATEWAYS, ...props });
      for (let i = 0; i < moreRules; i += 1) {
        new PolicyRule(stack, `rule-${i}`, { table, priority: 12000 + i, source: `10.99.${i}.0/24` });
      }
    });
    return terraform.bundle();
  }

  async function change(number: number, edit = (text: string): string => text): Promise<void> {
    await lab().vpn.writeFile('/root/bundle', edit(bundle(anyWay())), '0600');
    await lab().vpn.exec(
      `sh /root/bundle apply --owner vpn --generation g${number} --confirm-timeout 30 /root/bundle &&
      sh /var/lib/source-routing/vpn/trial/agent confirm --owner vpn --generation g${number}`,
    );
  }

  test(`${CHANGES} in a row, while all clients are busy: not one packet is lost, not one leaks`, async () => {
    await change(0);
    await settled(lab().vpn);
    const leaked = await lab().countPackets('upstream');
    const traffic = await lab().startTraffic(170);
    for (let number = 1; number <= CHANGES; number += 1) await change(number);
    const flows = await traffic.stop();
    process.stderr.write(
      `faults: ${CHANGES} changes: ${flows.map(({ lost, sent }) => `${lost} of ${sent} lost`).join(', ')}\n`,
    );
    expect(flows.map(({ client, family, lost, nat, sent }) => [client, family, lost, nat - sent])).toEqual(
      flows.map(({ client, family }) => [client, family, 0, 0]),
    );
    expect(flows.filter(({ sent }) => sent < 1_000)).toEqual([]);
    expect(await leaked.total()).toBe(0);
    await lab().vpn.exec('source-routing verify; source-routing remove');
  });

  test('by an earlier version and a later one: nothing is lost, and back it is refused in one line', async () => {
    const later = (text: string): string => {
      const begin = text.lastIndexOf(`\n${BUNDLE_MARK}\n`) + BUNDLE_MARK.length + 2;
      const program = text.slice(0, begin).replace(`\nFORMAT=${FORMAT}\n`, `\nFORMAT=${FORMAT + 1}\n`);
      const data = text.slice(begin).trimEnd().split('\n').slice(1, -1);
      const lines = [`bundle ${FORMAT + 1} 99.0.0`, ...data];
      return `${program}${lines.join('\n')}\nsum ${bundleChecksum(lines)}\n`;
    };
    await change(0);
    await settled(lab().vpn);
    const leaked = await lab().countPackets('upstream');
    const traffic = await steadyTraffic(lab());
    const mark = await traffic.mark();
    await change(1);
    await change(2, later);
    const before = await lab().vpn.snapshotState();
    await lab().vpn.writeFile('/root/bundle', bundle(anyWay()), '0600');
    const refused = await lab().vpn.exec('sh /root/bundle apply --owner vpn --generation g3 /root/bundle', {
      allowFailure: true,
    });
    // The watch may be at work.
    const said = refused.stdout.split('\n').filter((line) => line !== '' && !line.includes('waiting for another run'));
    expect([refused.code, said.join('\n')]).toEqual([
      69,
      expect.stringMatching(
        /^source-routing: refused, nothing was changed: what vpn has on this machine was written by cdktf-source-routing 99\.0\.0 .*\. Apply with 99\.0\.0 or later$/,
      ),
    ]);
    expect(await lab().vpn.changedSince(before)).toEqual([]);
    await change(4, later);
    const flows = await traffic.since(mark);
    expect(flows.filter(({ lost, sent }) => lost > 0 || sent < 50)).toEqual([]);
    expect(await leaked.total()).toBe(0);
    await traffic.stop();
    await lab().vpn.exec('source-routing verify; source-routing remove');
  });
});

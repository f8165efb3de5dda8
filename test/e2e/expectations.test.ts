import type { TerraformStack } from 'cdktf';
import { Expected } from '../../lib';
import { describeLab } from '../lab/describe-lab';
import { poll } from '../lab/process';
import { ALL_THROUGH_NAT, INTERFACES, declareEgress, sources } from './egress';
import { Terraform, saidBy } from './terraform';

/** Where Debian's node_exporter looks. */
const TEXTFILES = '/var/lib/prometheus/node-exporter';

describeLab('a change that the kernel does not carry out as expected', {}, (lab) => {
  let terraform: Terraform;
  beforeAll(() => {
    terraform = new Terraform(lab());
  });
  afterAll(() => terraform.close());

  /** What a scrape of node_exporter says of us, and whether it could read all files. */
  const scraped = async (): Promise<Record<string, number>> => {
    const { vpn } = lab();
    const request = String.raw`exec 3<>/dev/tcp/127.0.0.1/9100; printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3; cat <&3`;
    const { stdout } = await vpn.exec(['bash', '-c', request]);
    const values = stdout.matchAll(/^(?:source_routing_(\w+)\{owner="vpn"\}|(node_textfile_scrape_error)) (\S+)$/gm);
    return Object.fromEntries([...values].map(([, ours, theirs, value]) => [ours ?? theirs, Number(value)]));
  };

  const declare = (destinations: readonly string[] = []): void =>
    terraform.declare((stack: TerraformStack) => {
      const { table } = declareEgress(
        stack,
        lab(),
        {},
        {
          interfaces: [...INTERFACES, { name: 'tun7' }],
          verifyIntervalSeconds: 30,
          textfileDirectory: TEXTFILES,
        },
      );
      const tomorrow = { source: '10.77.0.2', destination: '10.10.10.1', inputInterface: 'tun7' };
      table.host.expect('not-up-yet', tomorrow, Expected.local());
      for (const [index, destination] of destinations.entries()) {
        table.addRoute(`more-${index}`, { destination, via: '192.168.1.1', device: 'eth1' });
      }
    });

  test('is put back, and the last line says which rule is in the way', async () => {
    const pristine = await lab().vpn.snapshotState();
    declare();
    const first = saidBy('apply', await terraform.apply());
    expect(first.filter((line) => line.includes('packets asked about'))).toEqual([
      expect.stringMatching(/: [1-9]\d+, all as expected; not asked about: 1 \(no interface tun7\)$/),
    ]);
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);

    await lab().vpn.exec('systemctl start prometheus-node-exporter.service && source-routing verify');
    await poll('node_exporter', 10_000, async () => scraped().catch(() => undefined));
    const now = expect.closeTo(Date.now() / 1000, -3) as number;
    expect(await scraped()).toEqual({
      node_textfile_scrape_error: 0,
      in_force: 1,
      differences: 0,
      probe_success: 1,
      repairs_total: 0,
      applied_timestamp_seconds: now,
      verified_timestamp_seconds: now,
    });

    await lab().vpn.exec('ip rule add pref 100 from 10.10.10.0/24 lookup main');
    const before = await lab().vpn.snapshotState();
    declare(['198.51.100.0/24']);
    const { code, stdout } = await terraform.run('apply', ['-auto-approve']);
    expect(code).toBe(1);
    const said = saidBy('apply', stdout);
    expect(said.at(-1)).toMatch(
      /^source-routing: FAILED, and everything was put back as it was: the kernel does otherwise than expected: e2e\/egress\/leave-1: "ip -4 route get 203\.0\.113\.1 from 10\.10\.10\.2 iif tun0 ipproto 17" must say via 192\.168\.1\.1 dev eth1, and says via 192\.168\.178\.1 dev eth0 \(the main table\): rule 100 \(from 10\.10\.10\.0\/24 lookup 254\) decides\. /,
    );
    expect(await lab().vpn.changedSince(before)).toEqual([]);
    const verified = await lab().vpn.exec('source-routing verify || echo "exit $?"');
    expect(verified.stdout).toMatch(/! e2e\/egress\/leave-1: .*\n.*1 differences .*\nexit 1\n$/);

    // The timer finds it, too.
    const failed = 'until systemctl is-failed source-routing-vpn.verify.service; do sleep 1; done';
    await lab().vpn.exec(`timeout 60 sh -c '${failed}'`);
    const { stdout: journal } = await lab().vpn.exec('journalctl -b --no-pager -u source-routing-vpn.verify.service');
    expect(journal).toMatch(/source-routing: ! e2e\/egress\/leave-1: .* rule 100 /);

    expect(await scraped()).toMatchObject({ node_textfile_scrape_error: 0, in_force: 1, differences: 1 });

    await lab().vpn.exec('ip rule del pref 100');
    await terraform.apply();
    expect((await lab().vpn.exec('ip route show table 200')).stdout).toContain('198.51.100.0/24 via 192.168.1.1');
    await lab().vpn.exec('source-routing verify');
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
    await terraform.destroy();
    await lab().vpn.exec('systemctl stop prometheus-node-exporter.service');
    expect(await lab().vpn.changedSince(pristine)).toEqual([]);
  });
});

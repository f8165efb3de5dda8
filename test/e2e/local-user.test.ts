import { LinuxHost, PolicyRule, RuleAction, SourceRoutingTable } from '../../lib';
import { describeLab } from '../lab/describe-lab';
import { poll } from '../lab/process';
import { FULL } from '../random';
import { POOLS } from './egress';
import { Terraform, sshOf } from './terraform';

const ROUNDS = FULL ? 10 : 3;

/** Only root can make a file there. */
const MARK = '/owned';

/**
 * Overwrites each file that it may write to, puts its own in the place of each that it may remove, as fast as it can,
 * and notes which. It ends by itself when whoever started it cannot end it.
 */
const ATTACK = `
  alarm 600;
  my $payload = "#!/bin/sh\\nsudo -n touch ${MARK} || touch ${MARK}\\n";
  my %done;
  $| = 1;
  while (1) {
    my @homes = glob '/home/* /root';
    for my $dir (@homes, (map { "$_/.ssh" } @homes), glob '/tmp /var/tmp /dev/shm /run /run/* /run/user/* /var/lib/source-routing*') {
      opendir(my $handle, $dir) or next;
      for my $file (map { "$dir/$_" } readdir $handle) {
        my @found = lstat $file;
        next if !-f _ || $found[4] == $<;
        if (open(my $out, '+<', $file)) {
          truncate $out, 0;
          syswrite $out, $payload;
        } elsif (-w $dir && unlink $file) {
          open(my $out, '>', $file) or next;
          syswrite $out, $payload;
          chmod 0777, $file;
        } else {
          next;
        }
        print "$file\\n" unless $done{$file}++;
      }
    }
  }
`;

describeLab('a local user who overwrites whatever appears', {}, (lab) => {
  let terraform: Terraform;
  let attackers: string[] = [];

  const attacked = async (): Promise<string[]> =>
    (await lab().vpn.exec('cat /var/lib/mallory/log.*')).stdout.split('\n').filter((line) => line !== '');
  const owned = async (): Promise<boolean> =>
    (await lab().vpn.exec(['test', '-e', MARK], { allowFailure: true })).code === 0;

  beforeAll(async () => {
    terraform = new Terraform(lab());
    await lab().vpn.exec('useradd --home-dir /var/lib/mallory --create-home mallory');
    await lab().vpn.writeFile('/var/lib/mallory/attack.pl', ATTACK);
  });
  beforeEach(async () => {
    const attack = (which: number): string =>
      `perl ~mallory/attack.pl </dev/null >~mallory/log.${which} 2>/dev/null & echo $!`;
    const { stdout } = await lab().vpn.exec([1, 2].map(attack).join('\n'), { user: 'mallory' });
    attackers = stdout.trim().split('\n');
    // What it does in earnest it must be seen to do.
    const open = '/home/debian/open';
    await lab().vpn.exec(`chmod 0755 ~; touch ${open}; chmod 0777 ${open}`, { user: 'debian' });
    await poll('an attack', 10_000, async () => (await attacked()).includes(open) || undefined);
    expect(await lab().vpn.readFile(open)).toContain(MARK);
    await lab().vpn.exec(['rm', open]);
  });
  afterEach(() => lab().vpn.exec(['kill', ...attackers]));
  afterAll(() => terraform.close());

  const declare = (): void =>
    terraform.declare((stack) => {
      const host = new LinuxHost(stack, 'vpn', { ssh: sshOf(lab(), 'vpn', 'debian'), owner: 'vpn' });
      const table = new SourceRoutingTable(stack, 'table', { host, tableId: 200 });
      table.addRoute('v4', { destination: 'default', via: '192.168.1.1', device: 'eth1' });
      new PolicyRule(stack, 'clients', { table, source: '10.10.10.0/24', priority: 10010 });
      new PolicyRule(stack, 'no-ipv6', { host, source: POOLS[2], priority: 10010, action: RuleAction.unreachable() });
    });

  test(`gets nothing out of ${ROUNDS} applies and as many destroys`, async () => {
    const before = await lab().vpn.snapshotState();
    declare();
    for (let round = 1; round <= ROUNDS; round += 1) {
      await terraform.apply();
      expect([round, await owned()]).toEqual([round, false]);
      await lab().vpn.exec('source-routing verify');
      await terraform.destroy();
      expect([round, await owned()]).toEqual([round, false]);
    }
    // Its own notes grow.
    const changed = (await lab().vpn.changedSince(before)).filter((line) => !line.includes('/var/lib/mallory/log.'));
    expect(changed).toEqual([]);
    expect((await attacked()).filter((file) => file.includes('source-routing'))).toEqual([]);
  }, 300_000);
});

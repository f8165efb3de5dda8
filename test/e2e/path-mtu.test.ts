import type { TerraformStack } from 'cdktf';
import { LinuxHost, PolicyRule, Resolver, SourceRoutingTable } from '../../lib';
import { describeLab } from '../lab/describe-lab';
import type { Lab } from '../lab/lab';
import type { Running } from '../lab/process';
import { start } from '../lab/process';
import type { Family } from '../lab/topology';
import { address, families, internetAddress } from '../lab/topology';
import { GATEWAYS, INTERFACES, NAT, POOLS, UPSTREAM, declareEgress } from './egress';
import { Terraform, sshOf } from './terraform';

const MEGABYTES = 10;
const CLIENTS = ['ovpn1', 'wg1'] as const;

/** Sends a large file to whoever connects to port 8090, and tells whoever asks at port 53 who that is. */
const SERVERS = `
  const file = Buffer.alloc(${MEGABYTES} << 20);
  require('node:net').createServer((socket) => socket.on('error', () => {}).end(file)).listen(8090, '::');
  for (const [type, host] of [['udp4', '0.0.0.0'], ['udp6', '::']]) {
    const socket = require('node:dgram').createSocket({ type, ipv6Only: type === 'udp6' });
    socket.on('message', (_, { address, port }) => socket.send(address, port, address)).bind(53, host);
  }`;

/** Prints how many bytes have come when the other end has closed, or nothing has come for a while. */
const DOWNLOAD = `
  let bytes = 0;
  const socket = require('node:net').connect({ host: process.argv[1], port: 8090, timeout: 5000 });
  const end = () => { console.log(bytes); process.exit(); };
  socket.on('data', (data) => (bytes += data.length)).on('timeout', end).on('end', end).on('error', end);`;

const ASK = `
  my $socket = IO::Socket::IP->new(PeerHost => $ARGV[0], PeerPort => 53, Proto => "udp") or die $@;
  alarm 3; $socket->send("?"); $socket->recv(my $answer, 100); print $answer;`;

/** Every client's download in each family, in megabytes. */
async function downloads(lab: Lab): Promise<Record<string, number>> {
  const pairs = CLIENTS.flatMap((client) => families.map((family) => [client, family] as const));
  const sizes = await Promise.all(
    pairs.map(async ([client, family]) => {
      const argv = [process.execPath, '-e', DOWNLOAD, internetAddress(family)];
      const { stdout } = await lab.exec(client, argv, { timeoutMs: 60_000 });
      return [`${client} ${family}`, Number(stdout) / (1 << 20)] as const;
    }),
  );
  return Object.fromEntries(sizes);
}

/** Counts on a router the errors about the size of packets that come from the VPN server. */
async function countErrors(lab: Lab, router: 'nat' | 'upstream', card: string): Promise<void> {
  const ruleset = `table inet lab_errors
    delete table inet lab_errors
    table inet lab_errors {
      counter ipv4 {}
      counter ipv6 {}
      chain arriving {
        type filter hook prerouting priority raw;
        iifname "${card}" icmp type destination-unreachable icmp code frag-needed counter name ipv4
        iifname "${card}" icmpv6 type packet-too-big counter name ipv6
      }
    }`;
  await lab.exec(router, ['nft', '-f', '-'], { input: ruleset });
}

async function errorsSeen(lab: Lab, router: 'nat' | 'upstream'): Promise<Record<Family, number>> {
  const { stdout } = await lab.exec(router, ['nft', '-j', 'list', 'counters', 'table', 'inet', 'lab_errors']);
  const { nftables } = JSON.parse(stdout) as { nftables: { counter?: { name: string; packets: number } }[] };
  return Object.fromEntries(
    nftables.flatMap(({ counter }) => (counter ? [[counter.name, counter.packets]] : [])),
  ) as Record<Family, number>;
}

/** The source that the internet host sees of a question that a user of the VPN server asks. */
async function asked(lab: Lab, uid: number, family: Family): Promise<string> {
  const argv = ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups'];
  return (await lab.vpn.exec([...argv, 'perl', '-MIO::Socket::IP', '-e', ASK, internetAddress(family)])).stdout;
}

describeLab('what belongs to the traffic of clients', { returnRoutes: true }, (lab) => {
  let terraform: Terraform;
  let servers: Running;

  beforeAll(async () => {
    terraform = new Terraform(lab());
    servers = start(['ip', 'netns', 'exec', lab().namespace('internet'), process.execPath, '-e', SERVERS], {
      allowFailure: true,
      timeoutMs: 900_000,
    });
    // Smaller than what the daemons clamp to, so that errors are all that helps.
    await lab().vpn.exec('ip link set tun0 mtu 1300; ip link set wg0 mtu 1300');
    await countErrors(lab(), 'nat', 'eth1');
    await countErrors(lab(), 'upstream', 'eth0');
  });
  afterAll(async () => {
    servers.signal('SIGTERM');
    await servers.result;
    terraform.close();
  });

  const complete = Object.fromEntries(
    CLIENTS.flatMap((client) => families.map((family) => [`${client} ${family}`, MEGABYTES])),
  );
  const fwmarkReflect = async (): Promise<string> =>
    (await lab().vpn.exec('cat /proc/sys/net/ipv4/fwmark_reflect /proc/sys/net/ipv6/fwmark_reflect')).stdout;

  test('with the parts alone, no large download through a small MTU comes to its end', async () => {
    terraform.declare((stack: TerraformStack) => {
      const host = new LinuxHost(stack, 'vpn', { ssh: sshOf(lab()), owner: 'vpn', interfaces: INTERFACES });
      const table = new SourceRoutingTable(stack, 'table', { host, tableId: 200 });
      GATEWAYS.forEach((via, index) => table.addRoute(`${index}`, { destination: 'default', via, device: 'eth1' }));
      POOLS.forEach((source, index) => {
        new PolicyRule(stack, `${index}`, { table, source, priority: 10010 + index });
        const main = SourceRoutingTable.main(host);
        new PolicyRule(stack, `local-${index}`, { table: main, destination: source, priority: 10000 + index });
      });
    });
    await terraform.apply();
    const sizes = await downloads(lab());
    expect(Object.values(sizes).filter((size) => size === MEGABYTES)).toEqual([]);
    const { ipv4, ipv6 } = await errorsSeen(lab(), 'upstream');
    expect([ipv4, ipv6]).toEqual([expect.any(Number), expect.any(Number)]);
    expect(Math.min(ipv4, ipv6)).toBeGreaterThan(0);
    expect(await errorsSeen(lab(), 'nat')).toEqual({ ipv4: 0, ipv6: 0 });
  });

  test('a VpnEgress sends errors to the NAT router: large downloads come to their end', async () => {
    terraform.declare((stack) => declareEgress(stack, lab(), { resolver: Resolver.user(1) }));
    await terraform.apply();
    await countErrors(lab(), 'upstream', 'eth0');
    expect(await downloads(lab())).toEqual(complete);
    const { ipv4, ipv6 } = await errorsSeen(lab(), 'nat');
    expect(Math.min(ipv4, ipv6)).toBeGreaterThan(0);
    expect(await errorsSeen(lab(), 'upstream')).toEqual({ ipv4: 0, ipv6: 0 });
  });

  test('and the questions of a resolver, but not those of others', async () => {
    // As strict as it gets: answers must have come in where questions go out.
    await lab().vpn.exec('for file in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 1 >$file; done');
    expect(await Promise.all(families.map((family) => asked(lab(), 1, family)))).toEqual(Object.values(NAT));
    expect(await Promise.all(families.map((family) => asked(lab(), 0, family)))).toEqual(Object.values(UPSTREAM));
    // The kernel can still find out whether a next hop is on a link.
    await lab().vpn.exec(`ip route add 192.0.2.0/24 via ${address('nat', 'eth1', 'ipv4')}; ip route del 192.0.2.0/24`);
  });

  test('without the gateway, the questions of a resolver go nowhere', async () => {
    await lab().vpn.exec('ip link set eth1 down');
    const argv = `setpriv --reuid=1 --regid=1 --clear-groups perl -MIO::Socket::IP -e '${ASK}'`;
    for (const family of families) {
      const result = await lab().vpn.exec(`${argv} ${internetAddress(family)}`, { allowFailure: true });
      expect(result.stdout).toBe('');
    }
    await lab().vpn.exec('ip link set eth1 up');
  });

  test('where errors get lost, no large download comes to its end, but with mssClamp', async () => {
    const noErrors = `table inet lab_lost
      delete table inet lab_lost
      table inet lab_lost {
        chain output {
          type filter hook output priority 0;
          icmp type destination-unreachable icmp code frag-needed drop
          icmpv6 type packet-too-big drop
        }
      }`;
    await lab().vpn.exec(['nft', '-f', '-'], { input: noErrors });
    // The other end remembers the errors of before for minutes.
    const forget = async (): Promise<void> => {
      for (const family of ['-4', '-6']) await lab().exec('internet', ['ip', family, 'route', 'flush', 'cache']);
    };
    await forget();
    const without = await downloads(lab());
    expect(Object.values(without).filter((size) => size === MEGABYTES)).toEqual([]);
    terraform.declare((stack) => declareEgress(stack, lab(), { mssClamp: true }));
    await terraform.apply();
    await forget();
    expect(await downloads(lab())).toEqual(complete);
    await lab().vpn.exec('nft delete table inet lab_lost');
  });

  test('a smaller MTU on the way to the NAT router is kept to', async () => {
    terraform.declare((stack) => declareEgress(stack, lab(), { mtu: 1300 }));
    await terraform.apply();
    const { code, stdout } = await lab().exec(
      'ovpn1',
      ['ping', '-n', '-c', '2', '-W', '2', '-M', 'do', '-s', '1280', internetAddress('ipv4')],
      { allowFailure: true },
    );
    expect([code, stdout]).toEqual([1, expect.stringMatching(/10\.10\.10\.1 .*mtu = 1300/)]);
  });

  test('destroy gives the settings back', async () => {
    expect(await fwmarkReflect()).toBe('1\n1\n');
    await terraform.destroy();
    expect(await fwmarkReflect()).toBe('0\n0\n');
    expect((await lab().vpn.exec('nft list ruleset')).stdout).toBe('');
  });
});

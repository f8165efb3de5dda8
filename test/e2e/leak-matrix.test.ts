import { describeLab } from '../lab/describe-lab';
import type { Lab } from '../lab/lab';
import type { PacketCounter } from '../lab/packet-counter';
import { families, internetAddress, macAddress } from '../lab/topology';
import type { Traffic } from '../lab/traffic';
import { INTERFACES, POOLS, declareEgress } from './egress';
import { settled, sleep } from './faults';
import { Terraform } from './terraform';

const UNIT = 'source-routing-vpn.service';
const KILL_SWITCH_UNIT = 'source-routing-vpn.kill-switch.service';

/** What the faults are made of, in shell: names of things of ours, whatever their numbers. */
const TOOLBOX = `both() { ip -4 "$@"; ip -6 "$@"; }
  delete_rules() {
    for family in 4 6; do
      ip -$family rule | sed -n "/$1/s/:.*//p" | while read -r priority; do ip -$family rule del pref $priority; done
    done
  }
  main_again() {
    for family in 4 6; do
      ip -$family rule | grep -q ^32766: || ip -$family rule add pref 32766 lookup main
    done
  }
  link_back() {
    [ ! -e /sys/class/net/wan1 ] || { ip link set wan1 down; ip link set wan1 name eth1; }
    ip link set eth1 up
  }
  state() {
    { both -d rule; both route show table 200; } | grep -v '^3276[67]:'
    ip route show dev eth1
    nft list table inet source_routing_vpn
  } 2>/dev/null
  whole() {
    for try in $(seq 200); do
      [ "$(state)" != "$(cat /run/lab-state)" ] || return 0
      sleep 0.05
    done
    state | diff /run/lab-state - >&2
    return 1
  }`;

/** What is done to a machine that runs, in shell. */
const FAULTS = {
  'our rules': "delete_rules 'lookup vpn'",
  'guards': "delete_rules 'unreachable$'; delete_rules 'blackhole$'",
  'the table': 'both route flush table 200',
  'the kill switch': 'nft delete table inet source_routing_vpn',
  'all that is tagged ours': 'both rule flush proto 77; both route flush table all proto 77',
  'all rules': 'both rule flush',
  'all rules, main put back': 'both rule flush; main_again',
  'nft flush ruleset': 'nft flush ruleset',
  'systemctl reload nftables': 'systemctl reload nftables',
  'egress down': 'ip link set eth1 down',
  'egress renamed': 'ip link set eth1 down; ip link set eth1 name wan1; ip link set wan1 up',
} as const;
type Fault = keyof typeof FAULTS;
const faults = Object.keys(FAULTS) as Fault[];

/** What is broken when the machine boots, in shell. */
const BOOT_FAULTS = {
  // On a disk of its own, which is gone: what lies there is not in the directory below it.
  '/var not mounted': `mv /var/lib/source-routing /srv/source-routing && mkdir /var/lib/source-routing
    printf '[Mount]\\nWhat=/dev/gone\\nWhere=/var/lib/source-routing\\n' >'/etc/systemd/system/var-lib-source\\x2drouting.mount'`,
  'the unit fails': dropIn(UNIT, 'ExecStartPre'),
  'the unit of the kill switch fails': dropIn(KILL_SWITCH_UNIT, 'ExecStart'),
} as const;
type BootFault = keyof typeof BOOT_FAULTS;
const bootFaults = Object.keys(BOOT_FAULTS) as BootFault[];

function dropIn(unit: string, setting: string): string {
  return `mkdir -p /etc/systemd/system/${unit}.d
    printf '[Service]\\n${setting}=\\n${setting}=/bin/false\\n' >/etc/systemd/system/${unit}.d/lab.conf`;
}

const BOOT_MENDED = `rm -rf /etc/systemd/system/source-routing-vpn.*.d '/etc/systemd/system/var-lib-source\\x2drouting.mount'
  [ ! -e /srv/source-routing ] || { rmdir /var/lib/source-routing && mv /srv/source-routing /var/lib/source-routing; }`;

/** Each takes all away that one of the two locks is made of. Only two that take both locks away may leak. */
const NO_GUARDS = [
  // One rule after the other, in their order: the guards are gone a moment before the main table's.
  'all rules',
  'all rules, main put back',
  '/var not mounted',
  'the unit fails',
];
const NO_KILL_SWITCH = [
  'the kill switch',
  'nft flush ruleset',
  'systemctl reload nftables',
  'the unit of the kill switch fails',
];
const mayLeak = (one: string, other: string): boolean =>
  (NO_GUARDS.includes(one) && NO_KILL_SWITCH.includes(other)) ||
  (NO_GUARDS.includes(other) && NO_KILL_SWITCH.includes(one));

/** A tunnel of our own, whose client may send what it likes: OpenVPN and WireGuard look at the sources. */
const TUNNEL = { name: 'vpns0', addresses: ['10.10.30.1/24', 'fd00:4242:4242:3030::1/64'] };
const TUNNEL_POOLS = ['10.10.30.0/24', 'fd00:4242:4242:3030::/64'];
const CLIENT = ['10.10.30.2', 'fd00:4242:4242:3030::2'];
const SPOOFED = {
  'outside every pool': ['10.99.0.5', 'fd00:99::5'],
  'of the server itself': ['192.168.178.2', '192.168.1.100', '10.10.10.1', 'fd00:178::2', 'fd00:4242:4242:2020::1'],
  'in another pool': ['10.10.10.77', '10.10.20.77', 'fd00:4242:4242:4242::77', 'fd00:4242:4242:2020::77'],
};
const IN_CLIENT = 'nsenter --net=/run/netns/client';
/** No reverse path filter, and nothing that the kernel says of its own addresses, may do our work. */
const MAKE_TUNNEL = `set -e
  ip netns add client
  ip link add vpns0 type veth peer name uplink netns client
  sysctl -qw net.ipv6.conf.vpns0.accept_dad=0 net.ipv4.conf.vpns0.accept_local=1 net.ipv4.conf.vpns0.rp_filter=0 \
    net.ipv4.conf.all.rp_filter=0
  for address in ${TUNNEL.addresses.join(' ')}; do ip address add $address dev vpns0; done
  ip link set vpns0 up
  ${IN_CLIENT} sh -e <<END
    ip link set lo up
    ip link set uplink up
    for address in ${[...CLIENT, ...Object.values(SPOOFED).flat()].join(' ')}; do ip address add \\$address dev lo; done
    ip route add default dev uplink
    ip -6 route add default dev uplink
    for target in ${families.map(internetAddress).join(' ')}; do
      ip neighbour replace \\$target lladdr $(cat /sys/class/net/vpns0/address) dev uplink nud permanent
    done
END`;

describeLab('a leak', {}, (lab) => {
  let terraform: Terraform;
  let traffic: Traffic;
  const measured: string[] = [];
  /** What comes to the routers of spoofed packets where nothing holds them back. */
  let unguarded: Record<string, Seen>;

  beforeAll(async () => {
    // Debian's packet filter, as it comes: each start and each reload of it flushes the ruleset.
    await lab().vpn.exec('systemctl --quiet enable --now nftables');
    await lab().vpn.exec(MAKE_TUNNEL);
    unguarded = await spoofed();
    terraform = new Terraform(lab());
    terraform.declare(
      (stack) =>
        void declareEgress(
          stack,
          lab(),
          { clients: [...POOLS, ...TUNNEL_POOLS] },
          { interfaces: [...INTERFACES, TUNNEL] },
        ),
    );
    await terraform.apply();
    await settled(lab().vpn);
    await ready(lab());
    traffic = await lab().startTraffic(900);
  }, 120_000);
  afterAll(async () => {
    await traffic?.stop().catch(() => undefined);
    terraform.close();
    process.stderr.write(measured.map((line) => `leaks: ${line}\n`).join(''));
  });

  /** Packets of clients that came to the main uplink while something was done. */
  async function leaked(counter: PacketCounter, action: () => Promise<unknown>): Promise<number> {
    const before = await counter.total();
    await action();
    return (await counter.total()) - before;
  }

  /** What comes to the routers of packets with each kind of source. */
  async function spoofed(): Promise<Record<string, Seen>> {
    const seen: Record<string, Seen> = {};
    for (const [name, sources] of Object.entries({ ...SPOOFED, 'of a client': CLIENT })) {
      await Promise.all(routers.map((router) => countErrorsAndEchoes(lab(), router)));
      const pings = sources.map((source) => {
        const target = internetAddress(source.includes(':') ? 'ipv6' : 'ipv4');
        return `${IN_CLIENT} ping -q -n -c 3 -i 0.05 -W 1 -I ${source} ${target} &`;
      });
      await lab().vpn.exec(`${pings.join('\n')}\nwait`);
      const [upstream, nat] = await Promise.all(routers.map((router) => errorsAndEchoes(lab(), router)));
      seen[name] = { upstream, nat };
    }
    return seen;
  }

  async function each(
    names: ReadonlyArray<readonly Fault[]>,
    action: (command: string) => string,
    note: string,
  ): Promise<void> {
    const counter = await lab().countPackets('upstream');
    const wrong: string[] = [];
    for (const together of names) {
      const command = together.map((name) => FAULTS[name]).join('; ');
      const packets = await leaked(counter, () => lab().vpn.exec(action(command)));
      const [one, other = one] = together;
      if (packets > 0) {
        const line = `${together.join(' + ')}${note}: ${packets} packets`;
        measured.push(line);
        if (!mayLeak(one, other)) wrong.push(line);
      }
    }
    expect(wrong).toEqual([]);
  }

  /** Each fault lasts a while, and nothing repairs it meanwhile. */
  const lasting =
    (restore: string) =>
    (command: string): string => `${TOOLBOX}
    { ${command}; } 2>/dev/null
    sleep 0.25
    { link_back; ${restore}; } 2>/dev/null
    whole`;

  const alone = faults.map((name) => [name] as const);
  const pairs = faults.flatMap((one, index) => faults.slice(index + 1).map((other) => [one, other] as const));

  test('does not come of any fault while the watch is there to repair it', async () => {
    await each(
      alone,
      (command) => `${TOOLBOX}
        { ${command}; sleep 0.1; link_back; } 2>/dev/null
        whole`,
      ', watched',
    );
  });

  test('takes two faults at once, and the watch ends it', async () => {
    await lab().vpn.exec(`systemctl restart ${UNIT}; sleep 1`);
    await each(
      pairs.filter(([one, other]) => mayLeak(one, other) || [one, other].includes('all rules')),
      (command) => `${TOOLBOX}
        { ${command}; link_back; } 2>/dev/null
        whole`,
      ', watched',
    );
  });

  test('takes two faults of different locks at once, even if nothing is repaired', async () => {
    await lab().vpn.exec(`systemctl stop ${UNIT}`);
    const restore = `systemctl start ${UNIT}; whole; systemctl stop ${UNIT}`;
    // Those of which nothing is to be seen afterwards would prove nothing.
    const seen = (command: string): string =>
      `${command}; sleep 0.25; [ "$(state)" != "$(cat /run/lab-state)" ] || exit 9`;
    const reload = ([name]: readonly Fault[]): boolean => name === 'systemctl reload nftables';
    await each(alone.filter(reload), lasting(restore), ', not watched');
    await each(
      alone.filter((each) => !reload(each)),
      (command) => lasting(restore)(seen(command)),
      ', not watched',
    );
    await each(pairs, lasting(restore), ', not watched');
    await lab().vpn.exec(`systemctl start ${UNIT}`);
  }, 600_000);

  test('does not come of the traffic that was measured being none', async () => {
    const flows = await traffic.since({ at: 0, sent: (await traffic.mark()).sent.map(() => 0) });
    expect(flows.filter(({ nat }) => nat < 100)).toEqual([]);
  });

  describe('of packets with a source that no client has', () => {
    const NONE = { upstream: 0, nat: 0 };
    const kinds = Object.keys(SPOOFED);
    const all = (seen: Seen): Record<string, unknown> => Object.fromEntries(kinds.map((kind) => [kind, seen]));
    const throughNat = { upstream: 0, nat: expect.any(Number) as number };

    test('is what there is where nothing holds them back', () => {
      expect(kinds.filter((kind) => unguarded[kind].upstream === 0)).toEqual([]);
    });

    test('does not happen', async () => {
      expect(await spoofed()).toEqual({ ...all(NONE), 'of a client': { upstream: 0, nat: 6 } });
    });

    test.each([
      ['the kill switch alone', 'guards', NONE],
      // What is in some pool, as the server's own address in a tunnel is, goes the way of that pool.
      ['guards alone', 'the kill switch', throughNat],
    ] as const)('does not happen with %s', async (_, fault, inPool) => {
      await lab().vpn.exec(`systemctl stop ${UNIT}; ${TOOLBOX}\n${FAULTS[fault]}`);
      expect(await spoofed()).toEqual({
        ...all(NONE),
        'of the server itself': inPool,
        'in another pool': inPool,
        'of a client': { upstream: 0, nat: 6 },
      });
      await lab().vpn.exec(`systemctl start ${UNIT}; ${TOOLBOX}\nwhole`);
    });
  });

  const boots: ReadonlyArray<readonly BootFault[]> = [
    ...bootFaults.map((name) => [name] as const),
    ...bootFaults.flatMap((one, index) => bootFaults.slice(index + 1).map((other) => [one, other] as const)),
  ];

  test.each(boots.map((together) => [together.join(' + '), together] as const))(
    'at a boot: %s',
    async (name, together) => {
      const [one, other = one] = together;
      try {
        await lab().vpn.exec(`set -e; ${together.map((each) => BOOT_FAULTS[each]).join('\n')}; sync`);
        const counter = await lab().countPackets('upstream');
        const packets = await leaked(counter, async () => {
          await lab().vpn.reboot(true);
          await lab().waitForVpn();
          await sleep(1_000);
        });
        measured.push(`at boot ${name}: ${packets} packets`);
        if (!mayLeak(one, other)) expect(packets).toBe(0);
        const state = (await lab().vpn.exec(`systemctl show -P ActiveState ${UNIT}`)).stdout.trim();
        expect(state === 'active').toBe(name === 'the unit of the kill switch fails');
        if (together.length === 1 && one !== 'the unit of the kill switch fails') {
          // Not even then is one more fault enough, unless it is one of the other lock.
          await lab().vpn.exec(`${TOOLBOX}\nstate >/run/lab-state`);
          const also = faults.filter((fault) => !mayLeak(one, fault));
          await each(
            also.map((fault) => [fault]),
            lasting(`main_again; systemctl restart ${KILL_SWITCH_UNIT}`),
            ` + ${one}`,
          );
        }
      } finally {
        await lab().vpn.exec(BOOT_MENDED);
      }
    },
  );
});

/** Writes down what is to be there again after each fault. */
async function ready(lab: Lab): Promise<void> {
  // A link that was down keeps its IPv6 address, which can be used at once: or each round would take seconds.
  await lab.vpn.exec(`sysctl -qw net.ipv6.conf.eth1.keep_addr_on_down=1 net.ipv6.conf.eth1.accept_dad=0
    ${TOOLBOX}
    state >/run/lab-state
    grep -q 'via .* dev eth1' /run/lab-state && grep -q 'table inet source_routing_vpn' /run/lab-state`);
}

/** Packets of ICMP that came to a router from the VPN server: echo requests of clients, and errors. */
interface Seen {
  readonly upstream: number;
  readonly nat: number;
}
const routers = ['upstream', 'nat'] as const;
type Router = (typeof routers)[number];

async function countErrorsAndEchoes(lab: Lab, router: Router): Promise<void> {
  const types = 'echo-request, destination-unreachable, time-exceeded';
  const server = ['eth0', 'eth1'].map((card) => macAddress('vpn', card)).join(', ');
  const input = `table inet lab_spoofed
delete table inet lab_spoofed
table inet lab_spoofed {
  counter seen {}
  chain arriving {
    type filter hook prerouting priority raw;
    ether saddr { ${server} } icmp type { ${types} } counter name seen
    ether saddr { ${server} } icmpv6 type { ${types} } counter name seen
  }
}
`;
  await lab.exec(router, ['nft', '-f', '-'], { input });
}

async function errorsAndEchoes(lab: Lab, router: Router): Promise<number> {
  const { stdout } = await lab.exec(router, ['nft', 'list', 'counters', 'table', 'inet', 'lab_spoofed']);
  return Number(/packets (\d+)/.exec(stdout)?.[1]);
}

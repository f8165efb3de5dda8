import type { NetworkInterface } from '../../lib';
import { describeLab } from '../lab/describe-lab';
import { poll, start } from '../lab/process';
import type { ClientName } from '../lab/topology';
import { ALL_THROUGH_NAT, INTERFACES, declareEgress, sources } from './egress';
import { settled, sleep } from './faults';
import { Terraform } from './terraform';

const UNIT = 'source-routing-vpn.service';

/** The first free band of priorities begins here: nothing of ours may stand in front of it. */
const FIRST_PRIORITY = 10_000;

const FIGHT_SECONDS = 60;

interface Tool {
  /** What it does to the machine, in shell. */
  readonly up: string;
  readonly down: string;
  /** Whether it takes all that leaves the machine if it starts after us: then clients are rejected meanwhile. */
  readonly takesAll?: boolean;
}

const both = (...rules: string[]): string => rules.map((rule) => `ip -4 rule ${rule}; ip -6 rule ${rule}`).join('\n');

/** What a tool adds as rules, and how it takes them away. */
const rules = (each: readonly string[], more = '', less = ''): Tool => ({
  up: `${more}\n${both(...each.map((rule) => `add ${rule}`))}`,
  down: `${both(...each.map((rule) => `del ${rule}`))}\n${less}`,
});

const TOOLS: Record<string, Tool> = {
  // wg-quick: rules without a priority, of which the second must stand in front of the first.
  'wg-quick with a full tunnel': { up: 'wg-quick up full', down: 'wg-quick down full', takesAll: true },
  // Tailscale: the router for Linux. NetBird: the setup rules of its system operations.
  // strongSwan: routing_table and routing_table_prio, as they are by default.
  'Tailscale, NetBird and strongSwan': rules(
    [
      'pref 5210 fwmark 0x80000/0xff0000 lookup main',
      'pref 5230 fwmark 0x80000/0xff0000 lookup default',
      'pref 5250 fwmark 0x80000/0xff0000 unreachable',
      'pref 5270 lookup 52',
      'pref 105 lookup main suppress_prefixlength 0',
      'pref 110 not fwmark 0x1bd00 lookup 7120',
      'pref 220 lookup 220',
    ],
    `for name in tailscale0 wt0; do ip link add $name type bridge; ip link set $name up; done
    ip -4 route add 100.64.0.0/10 dev tailscale0 table 52
    ip -6 route add fd7a:115c:a1e0::/48 dev tailscale0 table 52
    ip -4 route add 100.120.0.0/16 dev wt0 table 7120`,
    'ip link del tailscale0; ip link del wt0',
  ),
  // Docker has tables of nftables and a bridge, and no rules.
  'Docker': {
    up: `ip link add docker0 type bridge; ip address add 172.17.0.1/16 dev docker0; ip link set docker0 up
    nft -f - <<END
      table ip nat {
        chain DOCKER { }
        chain PREROUTING { type nat hook prerouting priority dstnat; fib daddr type local jump DOCKER; }
        chain POSTROUTING {
          type nat hook postrouting priority srcnat
          ip saddr 172.17.0.0/16 oifname != "docker0" masquerade
        }
      }
      table ip filter {
        chain DOCKER-USER { }
        chain DOCKER-FORWARD { oifname "docker0" ct state related,established accept; iifname "docker0" accept; }
        chain FORWARD { type filter hook forward priority filter; jump DOCKER-USER; jump DOCKER-FORWARD; }
      }
END`,
    down: 'ip link del docker0; nft delete table ip nat; nft delete table ip filter',
  },
  'rules without a priority': rules([
    'fwmark 0x62 lookup 99',
    'fwmark 0x63 lookup 98',
    'iif lo fwmark 0x64 lookup 97',
    'oif eth1 fwmark 0x65 prohibit',
  ]),
};

const CLIENTS: ClientName[] = ['ovpn1', 'wg2'];
const CLIENTS_THROUGH_NAT = ALL_THROUGH_NAT.filter((line) => CLIENTS.some((client) => line.startsWith(`${client} `)));

/** A full tunnel to nobody. */
const FULL = `umask 077
  cat >/etc/wireguard/full.conf <<END
[Interface]
PrivateKey = $(wg genkey)
Address = 10.99.0.2/32, fd00:99::2/128
[Peer]
PublicKey = $(wg genkey | wg pubkey)
AllowedIPs = 0.0.0.0/0, ::/0
Endpoint = 192.0.2.1:51820
END`;

/** It starts with the machine, as a service of a distribution does. */
const TOOL_UNIT = `[Unit]
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -e /usr/local/libexec/other-tool

[Install]
WantedBy=multi-user.target
`;

describeLab('beside other tools', {}, (lab) => {
  let terraform: Terraform;
  /** What each tool makes where we are not: its rules in their order, and its tables of nftables. */
  const alone: Record<string, string[]> = {};
  /** What we make where they are not. */
  let ours: string[] = [];

  const declare = (interfaces: NetworkInterface[] = INTERFACES): void =>
    terraform.declare((stack) => void declareEgress(stack, lab(), {}, { interfaces }));

  const inside = async (command: string): Promise<string> => (await lab().vpn.exec(command)).stdout.trim();
  const lines = async (command: string): Promise<string[]> => (await inside(command)).split('\n');
  const allRules = (): Promise<string[]> => lines('ip -4 rule | sed "s/^/4 /"; ip -6 rule | sed "s/^/6 /"');

  async function theirs(): Promise<string[]> {
    const there = await allRules();
    const foreign = there.filter((rule) => !ours.includes(rule) && !/^. (0|32766|32767):/.test(rule));
    // The link-local address of a tunnel is another one each time.
    const tables = (await inside('nft -s list ruleset')).replace(/\bfe80:\S+/g, 'fe80::');
    return [
      // Where there is one, the number is theirs; where there is none, it is the kernel's.
      ...foreign.map((rule) => rule.replace(/^(.) \d+:/, '$1')),
      ...tables
        .split(/^(?=table )/m)
        .map((table) => table.trim())
        .filter((table) => table && !table.startsWith('table inet source_routing_vpn')),
    ];
  }

  /** The session of an administrator, which says all the time that it is alive. */
  async function withSession(action: () => Promise<unknown>): Promise<void> {
    const argv = [...lab().keys.command('root', lab().vpn.address()), 'while echo alive; do sleep 0.1; done'];
    const session = start(['ip', 'netns', 'exec', lab().namespace('admin'), ...argv], { allowFailure: true });
    const alive = (): number => session.output().split('alive').length;
    const more = async (): Promise<void> => {
      const before = alive();
      await poll('a word from the session', 5_000, () => (alive() > before + 1 ? true : undefined));
    };
    try {
      await more();
      await action();
      await more();
    } finally {
      session.signal('SIGKILL');
      await session.result;
    }
  }

  /** SSH, order, priorities, and where the clients are. */
  async function allWell(name: string, rejected: boolean): Promise<void> {
    expect((await lab().vpn.ssh('echo in')).stdout).toBe('in\n');
    expect(await theirs()).toEqual(alone[name]);
    await lab().waitForVpn();
    const seen = await sources(lab(), CLIENTS);
    if (rejected) {
      expect(seen.filter((line) => !line.includes('none'))).toEqual([]);
    } else {
      expect(seen).toEqual(CLIENTS_THROUGH_NAT);
    }
    // Who asks is told.
    const verified = await lab().vpn.exec('source-routing verify vpn', { allowFailure: true });
    expect([verified.code, verified.stdout]).toEqual([
      rejected ? 1 : 0,
      expect.stringMatching(rejected ? /^.*! .*/m : /agree/),
    ]);
  }

  beforeAll(async () => {
    terraform = new Terraform(lab());
    await lab().vpn.exec(FULL);
    await lab().vpn.writeFile('/etc/systemd/system/other-tool.service', TOOL_UNIT);
    for (const [name, { up, down }] of Object.entries(TOOLS)) {
      await lab().vpn.exec(`set -e\n${up}`);
      alone[name] = await theirs();
      await lab().vpn.exec(down);
    }
    expect(await theirs()).toEqual([]);
    expect(Object.values(alone).map(({ length }) => length)).toEqual([6, 14, 2, 8]);
  }, 120_000);
  afterAll(() => terraform.close());

  describe('that were there before', () => {
    test.each(Object.entries(TOOLS))('%s', async (name, { up, down }) => {
      await lab().vpn.exec(`set -e\n${up}`);
      try {
        declare();
        const leaked = await lab().countPackets('upstream');
        await withSession(() => terraform.apply());
        await settled(lab().vpn);
        const there = await allRules();
        ours = there.filter(
          (rule) => / proto 77$| (unreachable|blackhole)$/.test(rule) && !/fwmark (?!0x530000c8 )/.test(rule),
        );
        expect(ours.length).toBeGreaterThan(8);
        expect(ours.filter((rule) => Number(/^. (\d+):/.exec(rule)?.[1]) < FIRST_PRIORITY)).toEqual([]);
        await allWell(name, false);
        await withSession(() => terraform.destroy());
        ours = [];
        expect(await theirs()).toEqual(alone[name]);
        expect(await leaked.total()).toBe(0);
      } finally {
        await lab().vpn.exec(down);
      }
    });
  });

  describe('that come later', () => {
    beforeAll(async () => {
      declare();
      await terraform.apply();
      await settled(lab().vpn);
      ours = (await allRules()).filter((rule) => !/^. (0|32766|32767):/.test(rule));
    });

    test.each(Object.entries(TOOLS))('%s, also after a reboot', async (name, { up, down, takesAll = false }) => {
      const leaked = await lab().countPackets('upstream');
      const traffic = await lab().startTraffic(170);
      try {
        await withSession(() => lab().vpn.exec(`set -e\n${up}`));
        await allWell(name, takesAll);
        await lab().vpn.writeFile('/usr/local/libexec/other-tool', up);
        await lab().vpn.exec('systemctl --quiet enable other-tool');
        await lab().vpn.reboot();
        await allWell(name, takesAll);
        await withSession(() => lab().vpn.exec(down));
        expect(await theirs()).toEqual([]);
        await lab().waitForVpn();
        expect(await sources(lab(), CLIENTS)).toEqual(CLIENTS_THROUGH_NAT);
        const flows = await traffic.stop();
        expect(flows.filter(({ upstream }) => upstream > 0)).toEqual([]);
        expect(await leaked.total()).toBe(0);
      } finally {
        await traffic.stop().catch(() => undefined);
        await lab().vpn.exec(`systemctl --quiet disable other-tool\n${down}`, { allowFailure: true });
      }
    });

    test(
      'that take away what is ours, again and again: clients are rejected, and the watch does not mind',
      async () => {
        await lab().vpn.exec(`systemctl restart ${UNIT}`);
        await settled(lab().vpn);
        const leaked = await lab().countPackets('upstream');
        const traffic = await lab().startTraffic(FIGHT_SECONDS + 100);
        const used = `group=$(systemctl show -P ControlGroup ${UNIT})
        cat $(find /sys/fs/cgroup -path "*$group/cgroup.procs") | sort -u | while read -r pid; do
          cat "/proc/$pid/stat"
        done | sed 's/.*) //' | awk '{ ticks += $12 + $13 + $14 + $15 } END { print ticks }'`;
        const before = Number(await inside(used));
        // The guards and the kill switch go a second apart. Without both, packets leak until the watch has put one back.
        const rounds = await lab().vpn.exec(
          `end=$(($(date +%s) + ${FIGHT_SECONDS}))
        for round in $(seq 1000000); do
          [ "$(date +%s)" -lt $end ] || break
          case $((round % 10)) in
            1) for priority in 20010 20011 20012 20013; do ip rule del pref $priority; ip -6 rule del pref $priority; done ;;
            6) nft delete table inet source_routing_vpn ;;
            *[02468]) ip rule flush proto 77; ip -6 rule flush proto 77 ;;
            *) ip route flush table 200; ip -6 route flush table 200 ;;
          esac 2>/dev/null
          sleep 0.2
        done
        echo $round`,
          { timeoutMs: (FIGHT_SECONDS + 60) * 1_000 },
        );
        const seconds = (Number(await inside(used)) - before) / Number(await inside('getconf CLK_TCK'));
        const flows = await traffic.since({ at: 0, sent: (await traffic.mark()).sent.map(() => 0) });
        const share =
          flows.reduce((sum, { received }) => sum + received, 0) / flows.reduce((sum, { sent }) => sum + sent, 0);
        process.stderr.write(
          `fight: ${rounds.stdout.trim()} removals in ${FIGHT_SECONDS} s; the watch took ${seconds.toFixed(1)} s of CPU; ` +
            `${(share * 100).toFixed(0)} % of the packets came through, ${await leaked.total()} leaked\n`,
        );
        expect(await leaked.total()).toBe(0);
        expect(flows.filter(({ upstream }) => upstream > 0)).toEqual([]);
        expect(await inside(`systemctl show -P NRestarts ${UNIT}`)).toBe('0');
        expect(seconds / FIGHT_SECONDS).toBeLessThan(0.5);
        // When nobody takes it away any more, all of it comes back.
        await poll(
          'all of it again',
          45_000,
          async () =>
            (await lab().vpn.exec('source-routing verify vpn', { allowFailure: true })).code === 0 ? true : undefined,
          500,
        );
        await sleep(500);
        expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
        await traffic.stop();
      },
      (FIGHT_SECONDS + 170) * 1_000,
    );
  });
});

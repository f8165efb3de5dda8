import { Forwarding, LocalTraffic } from '../../lib';
import { describeLab } from '../lab/describe-lab';
import type { Snapshot } from '../lab/snapshot';
import { ALL_THROUGH_NAT, ALL_THROUGH_UPSTREAM, all, declareEgress, neighbours, sources } from './egress';
import { settled, sleep, steadyTraffic } from './faults';
import { Terraform, saidBy } from './terraform';

/** A firewall that lets packets of clients leave by the uplink, and drops them by the egress interface. */
interface Firewall {
  /** Puts it on the machine, in shell. */
  readonly on: string;
  /** Loads it anew, as its operator does. */
  readonly reload: string;
  readonly off: string;
  /** What lets packets of clients pass. */
  readonly forwarding: Forwarding;
  /** What a change is refused with. */
  readonly refusal: string | RegExp;
  /** A package that the image does not have, and its units. */
  readonly install?: readonly [string, readonly string[]];
  /** Files that it changes itself. */
  readonly ownFiles?: RegExp;
  /** Whether a reload loses no packet. */
  readonly lossless?: boolean;
}

/** Tunnels may use the uplink, as eduVPN's ruleset says. */
const NFTABLES = `cat >/etc/nftables.conf <<'END'
flush ruleset
table inet filter {
	chain forward {
		type filter hook forward priority 0; policy drop;
		ct state established,related accept
		iifname { "tun0", "wg0" } oifname "eth0" accept
	}
}
END`;

/** Docker's chains, and its policy. Each start of Docker brings the chains into this order again. */
const DOCKER = `for each in iptables ip6tables; do
    $each -P FORWARD DROP
    $each -N DOCKER-USER 2>/dev/null
    $each -N DOCKER-FORWARD 2>/dev/null || $each -F DOCKER-FORWARD
    $each -D FORWARD -j DOCKER-FORWARD 2>/dev/null
    $each -D FORWARD -j DOCKER-USER 2>/dev/null
    $each -I FORWARD -j DOCKER-FORWARD
    $each -I FORWARD -j DOCKER-USER
    $each -A DOCKER-FORWARD -i docker0 -j ACCEPT
    $each -C FORWARD -o eth0 -j ACCEPT 2>/dev/null || {
      $each -A FORWARD -o eth0 -j ACCEPT
      $each -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    }
  done`;
const WITHOUT_DOCKER = `for each in iptables ip6tables; do
    $each -P FORWARD ACCEPT; $each -F; $each -X
  done
  nft flush ruleset`;
/**
 * The daemon itself. It sets the policy of IPv4 when it switches forwarding on, and leaves IPv6 alone before version 27.
 * From its second start on, its chains have the same order.
 */
const DOCKERD = `mkdir -p /etc/systemd/system/docker.service.d
  printf '[Unit]\\nStartLimitIntervalSec=0\\n' >/etc/systemd/system/docker.service.d/lab.conf
  systemctl daemon-reload
  sysctl -qw net.ipv4.ip_forward=0; systemctl start docker; systemctl restart docker
  ip6tables -P FORWARD DROP
  for chain in "iptables -I DOCKER-USER" "ip6tables -A FORWARD"; do
    $chain -o eth0 -j ACCEPT
    $chain -i eth0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
  done`;
const DOCKER_PACKAGE = ['docker.io', ['docker.service', 'docker.socket', 'containerd.service']] as const;
const WITHOUT_DOCKERD = `systemctl stop docker.socket docker containerd; ip link del docker0\n${WITHOUT_DOCKER}`;
const variant = (name: string): string =>
  `update-alternatives --quiet --set iptables /usr/sbin/iptables-${name}
  update-alternatives --quiet --set ip6tables /usr/sbin/ip6tables-${name}`;

const FIREWALLS: Record<string, Firewall> = {
  'nftables': {
    on: `cp /etc/nftables.conf /var/tmp/nftables.conf; ${NFTABLES}\nsystemctl start nftables`,
    reload: 'systemctl reload nftables',
    off: 'systemctl stop nftables; cp /var/tmp/nftables.conf /etc/nftables.conf',
    forwarding: Forwarding.nftables(),
    refusal:
      /are dropped by chain inet filter forward \(policy drop\)\. Accept them there, and the replies, or set forwarding: Forwarding\.nftables\(\{ chains: \["inet filter forward"\] \}\) \(without the change, they leave by eth0\)$/,
  },
  "Docker's iptables": {
    on: DOCKER,
    reload: `iptables -F FORWARD; ip6tables -F FORWARD; ${DOCKER}`,
    off: WITHOUT_DOCKER,
    forwarding: Forwarding.iptables({ chains: ['DOCKER-USER'] }),
    refusal: /are dropped by chain ip filter FORWARD \(policy drop\)\. .* or set forwarding: Forwarding\.iptables\(\)/,
  },
  'dockerd': {
    install: DOCKER_PACKAGE,
    on: DOCKERD,
    reload: 'systemctl restart docker; docker network create other; docker network rm other',
    off: WITHOUT_DOCKERD,
    forwarding: Forwarding.iptables({ perInterface: true }),
    refusal: /are dropped by chain ip filter FORWARD \(policy drop\)\. .* or set forwarding: Forwarding\.iptables\(\)/,
    ownFiles: / file \/var\/lib\/docker\//,
    lossless: true,
  },
  'iptables-legacy': {
    on: `${variant('legacy')}\n${DOCKER}; iptables-save >/run/rules4; ip6tables-save >/run/rules6`,
    reload: 'iptables-restore </run/rules4; ip6tables-restore </run/rules6',
    off: `${WITHOUT_DOCKER}\n${variant('nft')}`,
    forwarding: Forwarding.iptables(),
    refusal: /are dropped in the forward hook, by something that nftables does not trace/,
  },
  'ufw': {
    on: `cp -a /etc/ufw /run/ufw; cp /etc/default/ufw /run/default-ufw
      ufw default allow incoming; ufw route allow in on tun0 out on eth0; ufw route allow in on wg0 out on eth0
      ufw --force enable`,
    reload: 'ufw reload',
    off: `ufw disable; rm -rf /etc/ufw; cp -a /run/ufw /etc/ufw; cp -p /run/default-ufw /etc/default/ufw
      for each in iptables ip6tables; do $each -F; $each -X; done; nft flush ruleset`,
    forwarding: Forwarding.ufw(),
    refusal: /are dropped by chain ip filter (FORWARD|ufw-\S+).* or set forwarding: Forwarding\.(iptables|ufw)\(\)/,
  },
  'firewalld': {
    on: `set -e; cp -a /etc/firewalld /run/firewalld-before; systemctl start firewalld
      permanently() { firewall-cmd -q --permanent "$@"; }
      permanently --zone=public --add-interface=eth0
      permanently --zone=public --add-port=1194-1195/udp --add-port=51820/udp
      permanently --zone=internal --add-interface=eth1
      permanently --zone=work --add-interface=tun0 --add-interface=wg0
      permanently --new-policy=clients
      permanently --policy=clients --add-ingress-zone=work
      permanently --policy=clients --add-egress-zone=public
      permanently --policy=clients --set-target=ACCEPT
      firewall-cmd -q --reload`,
    reload: 'firewall-cmd -q --reload',
    off: 'systemctl stop firewalld; rm -rf /etc/firewalld; cp -a /run/firewalld-before /etc/firewalld',
    forwarding: Forwarding.firewalld(),
    refusal:
      /are dropped by chain inet firewalld filter_FWD_work, .*Accept them in a policy of firewalld, or set forwarding: Forwarding\.firewalld\(\) \(/,
  },
};

describeLab('a firewall', {}, (lab) => {
  let terraform: Terraform;
  const measured: string[] = [];
  beforeEach(() => {
    terraform = new Terraform(lab());
  });
  afterEach(() => terraform.close());
  afterAll(() => process.stderr.write(measured.map((line) => `firewalls: ${line}\n`).join('')));

  const inside = async (command: string): Promise<string> => (await lab().vpn.exec(command)).stdout.trim();
  const declare = (forwarding?: Forwarding): void =>
    terraform.declare((stack) => void declareEgress(stack, lab(), { forwarding }));
  /** What a destroy has to leave as it was, beside the files. */
  const others = (): Promise<string> =>
    inside(`nft -s list ruleset; { iptables-save; ip6tables-save; } 2>/dev/null | sed '/^#/d; s/ \\[.*//'
      cd /proc/sys/net; grep . ipv4/ip_forward ipv4/conf/*/forwarding ipv4/conf/*/rp_filter ipv4/conf/all/accept_redirects ipv6/conf/*/forwarding`);

  async function refusal(): Promise<string> {
    declare();
    const { code, stdout } = await terraform.run('apply', ['-auto-approve']);
    expect(code).toBe(1);
    return saidBy('apply', stdout).at(-1) ?? '';
  }

  test.each(Object.entries(FIREWALLS))('%s', async (name, firewall) => {
    const { install, on, reload, off, forwarding, refusal: words, ownFiles = /^$/, lossless = false } = firewall;
    const changes = async (before: Snapshot): Promise<string[]> =>
      (await lab().vpn.changedSince(before)).filter((line) => !ownFiles.test(line));
    if (install) await lab().vpn.addPackage(...install);
    await inside(`${on.replace(/\n$/, '')}`);
    try {
      const [before, rules] = [await lab().vpn.snapshotState(), await others()];
      expect(await sources(lab())).toEqual(ALL_THROUGH_UPSTREAM);
      expect(await refusal()).toMatch(words);
      expect([await changes(before), await others()]).toEqual([[], rules]);

      declare(forwarding);
      await terraform.apply();
      await settled(lab().vpn);
      expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
      const reached = await neighbours(lab());
      expect(reached).toEqual(all(reached, true));
      await lab().vpn.exec('source-routing verify vpn');

      const traffic = await steadyTraffic(lab());
      try {
        for (let round = 0; round < 3; round++) {
          const mark = await traffic.mark();
          await inside(reload);
          await sleep(2_500);
          const flows = await traffic.since(mark);
          const gap = Math.max(...flows.map(({ longestGap }) => longestGap));
          measured.push(`${name}: longest gap after a reload ${Math.round(gap)} ms`);
          expect(flows.filter(({ upstream }) => upstream > 0)).toEqual([]);
          expect(gap).toBeLessThan(2_000);
          if (lossless) expect(flows.filter(({ lost }) => lost > 0)).toEqual([]);
        }
      } finally {
        await traffic.stop();
      }
      await lab().vpn.exec('source-routing verify vpn');
      await terraform.destroy();
      expect([await changes(before), await others()]).toEqual([[], rules]);
    } finally {
      await lab().vpn.exec(off, { allowFailure: true });
    }
    expect(await sources(lab())).toEqual(ALL_THROUGH_UPSTREAM);
  });

  test('nftables, at a boot', async () => {
    await inside(`${FIREWALLS.nftables.on}\nsystemctl --quiet enable nftables`);
    declare(Forwarding.nftables());
    await terraform.apply();
    await lab().vpn.reboot();
    await lab().waitForVpn();
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
    await lab().vpn.exec('source-routing verify vpn');
    await terraform.destroy();
    await inside(`systemctl --quiet disable nftables; ${FIREWALLS.nftables.off}`);
  });

  test('dockerd, at a boot: it still switches forwarding on itself, and drops what it does not know', async () => {
    const policy = (): Promise<string> => inside('systemctl is-active docker; iptables -S FORWARD | head -1');
    await lab().vpn.addPackage(...DOCKER_PACKAGE);
    await inside('sed -i /ip_forward/d /etc/sysctl.d/50-lab.conf; systemctl --quiet enable docker');
    await lab().vpn.reboot();
    await lab().waitForVpn();
    expect(await policy()).toBe('active\n-P FORWARD DROP');
    declare(Forwarding.iptables({ perInterface: true }));
    await terraform.apply();
    await lab().vpn.reboot();
    await lab().waitForVpn();
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
    expect(await policy()).toBe('active\n-P FORWARD DROP');
    await lab().vpn.exec('source-routing verify vpn');
    await terraform.destroy();
    expect(await policy()).toBe('active\n-P FORWARD DROP');
    expect(await inside('sysctl -n net.ipv4.ip_forward net.ipv4.conf.eth1.forwarding')).toBe('1\n1');
    await inside(`systemctl --quiet disable docker; echo net.ipv4.ip_forward = 1 >>/etc/sysctl.d/50-lab.conf
      ${WITHOUT_DOCKERD}`);
  });

  test('a published port of a container: clients reach it with LocalTraffic.suppressDefault()', async () => {
    await inside(`ip netns add box; ip link add box0 type veth peer name eth0 netns box
      ip addr add 172.30.0.1/24 dev box0; ip link set box0 up
      ip -n box addr add 172.30.0.2/24 dev eth0; ip -n box link set eth0 up; ip -n box route add default via 172.30.0.1
      nft -f - <<'END'
table ip box {
	chain prerouting {
		type nat hook prerouting priority dstnat
		fib daddr type local tcp dport 8080 dnat to 172.30.0.2
	}
}
END
      systemd-run --quiet --unit=box ip netns exec box sh -c 'while :; do echo hello | busybox nc -l -p 8080; done'`);
    const answer = async (): Promise<string> => {
      // Between two answers, nobody listens for a moment.
      const script = 'until { head -n 1 <&3; } 3<>/dev/tcp/10.10.10.1/8080; do sleep 0.1; done';
      const argv = ['timeout', '3', 'bash', '-c', script];
      return (await lab().exec('ovpn1', argv, { allowFailure: true })).stdout.trim();
    };
    try {
      expect(await answer()).toBe('hello');
      declare(Forwarding.sysctl());
      await terraform.apply();
      expect(await answer()).toBe('');
      terraform.declare((stack) => {
        declareEgress(stack, lab(), { localTraffic: LocalTraffic.suppressDefault() });
      });
      await terraform.apply();
      expect(await answer()).toBe('hello');
      expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
      await terraform.destroy();
    } finally {
      await lab().vpn.exec('systemctl stop box; ip netns del box; nft delete table ip box', { allowFailure: true });
    }
  });

  test.each<[string, Forwarding]>([
    ['for the machine', Forwarding.sysctl()],
    ['for single interfaces', Forwarding.sysctl({ perInterface: true })],
  ])('no firewall, but forwarding that is off: switched on %s', async (_, forwarding) => {
    await inside('sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0');
    const [before, rules] = [await lab().vpn.snapshotState(), await others()];
    expect(await refusal()).toMatch(
      /are not forwarded, as net\.ipv4\.conf\.\w+\.forwarding is 0\. Switch it on, or set forwarding: Forwarding\.sysctl\(\)/,
    );
    expect([await lab().vpn.changedSince(before), await others()]).toEqual([[], rules]);
    declare(forwarding);
    await terraform.apply();
    expect(await sources(lab())).toEqual(ALL_THROUGH_NAT);
    await lab().vpn.exec('source-routing verify vpn');
    await terraform.destroy();
    expect([await lab().vpn.changedSince(before), await others()]).toEqual([[], rules]);
    await inside('sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1');
  });
});

import type { FirewallChain, ForwardingChoice } from './model/forwarding';
import { Arguments } from './private/arguments';
import type { Shape } from './private/shapes';
import { FLAG, list, optional, text } from './private/shapes';

/**
 * Options of forwarding that is switched on.
 */
export interface SysctlForwardingOptions {
  /**
   * For IPv4, switches forwarding on for the tunnels and the egress interface only (`net.ipv4.conf.IF.forwarding`),
   * not for the whole machine. In IPv6, forwarding is a setting of the whole machine.
   *
   * A tunnel that the daemon makes anew gets the setting from udev, so this needs systemd-udevd.
   *
   * @default false - `net.ipv4.ip_forward`
   */
  readonly perInterface?: boolean;
}

/**
 * Options of forwarding through a firewall in nftables.
 */
export interface NftablesForwardingOptions extends SysctlForwardingOptions {
  /**
   * Chains that get the accept rules, each as `nft` writes it: family (`inet`, `ip` or `ip6`), table, chain. Name each
   * chain that drops packets of clients: to be accepted by one does not help against another.
   *
   * @default ['inet filter forward']
   */
  readonly chains?: string[];
}

/**
 * Options of forwarding through a firewall in iptables.
 */
export interface IptablesForwardingOptions extends SysctlForwardingOptions {
  /**
   * Chains of the table `filter` that get the accept rules, for IPv4 and IPv6. Docker's `DOCKER-USER` is one.
   *
   * @default ['FORWARD']
   */
  readonly chains?: string[];
}

const SYSCTL_OPTIONS: Shape<SysctlForwardingOptions> = { perInterface: optional(FLAG) };
const NFTABLES_OPTIONS: Shape<NftablesForwardingOptions> = {
  ...SYSCTL_OPTIONS,
  chains: optional(list(text('a chain such as "inet filter forward"'), 'a list such as ["inet filter forward"]')),
};
const IPTABLES_OPTIONS: Shape<IptablesForwardingOptions> = {
  ...SYSCTL_OPTIONS,
  chains: optional(list(text('a chain such as "FORWARD"'), 'a list such as ["FORWARD"]')),
};
/** Words that nft takes as names, without quotes. */
const NFTABLES_CHAIN = /^(inet|ip|ip6) ([A-Za-z_][\w.-]{0,127}) ([A-Za-z_][\w.-]{0,127})$/;
/** The kernel takes 28 characters. */
const IPTABLES_CHAIN = /^[A-Za-z_][\w.-]{0,27}$/;

/**
 * How packets of clients pass through the VPN server: its sysctls and its firewall.
 *
 * An apply tries packets of clients on the machine: ICMP echo, UDP and TCP enter by each tunnel, and are caught before
 * they leave. If none of them gets through, the change is undone, and the last line names the rule or the sysctl.
 */
export class Forwarding {
  /**
   * Configures nothing, and accepts that packets of clients do not get through: an apply prints a note instead of being
   * refused. An example is a firewall that opens for a client only when it has connected.
   */
  public static unmanaged(): Forwarding {
    return new Forwarding({ required: false, chains: [] });
  }

  /**
   * Switches forwarding on, for the families of the clients: now, and at boot by a file in `/etc/sysctl.d`. A removal
   * puts back what was set before. If forwarding is on already, nothing changes.
   *
   * @param options - for which interfaces
   * @throws ValidationError if an option is wrong
   * @see https://docs.kernel.org/networking/ip-sysctl.html
   */
  public static sysctl(options: SysctlForwardingOptions = {}): Forwarding {
    new Arguments('Forwarding.sysctl()').checkOptions(SYSCTL_OPTIONS, options, 'options');
    return new Forwarding({ required: true, sysctls: sysctlsOf(options), chains: [] });
  }

  /**
   * Switches forwarding on as `sysctl()` does, and puts rules at the start of chains of a firewall in nftables. They
   * accept packets of clients that leave by the egress interface, replies to them, and packets between clients unless
   * these are isolated. They are there again within a second after the firewall was reloaded. A removal takes them away.
   *
   * The tunnels of the clients must be in the `interfaces` of the host.
   *
   * @param options - the chains, and for which interfaces forwarding is switched on
   * @throws ValidationError if an option is wrong
   * @see https://man7.org/linux/man-pages/man8/nft.8.html
   */
  public static nftables(options: NftablesForwardingOptions = {}): Forwarding {
    const args = new Arguments('Forwarding.nftables()');
    args.checkOptions(NFTABLES_OPTIONS, options, 'options');
    const chains = chainsOf(args, options.chains ?? ['inet filter forward']).map((chain, index): FirewallChain => {
      args.text(
        chain,
        `chains[${index}]`,
        NFTABLES_CHAIN,
        'family (inet, ip or ip6), table and chain, such as "inet filter forward"; "nft list chains" prints them',
      );
      const [family, table = '', name = ''] = chain.split(' ') as ['inet' | 'ip' | 'ip6', string?, string?];
      if (table.startsWith('source_routing_')) {
        throw args.error(`chains[${index}] "${chain}" is one of ours. Name the chain of the firewall.`);
      }
      if (family !== 'inet' && table === 'filter' && /^([A-Z]|ufw)/.test(name)) {
        throw args.error(
          `chains[${index}] "${chain}" belongs to iptables, which may not read rules of nft. Use Forwarding.iptables().`,
        );
      }
      return { program: 'nftables', family, table, name };
    });
    return new Forwarding({ required: true, sysctls: sysctlsOf(options), chains });
  }

  /**
   * Does what `nftables()` does in chains of iptables, with the command `iptables` of the machine, be that the variant
   * with nftables or the legacy one. Docker uses iptables.
   *
   * @param options - the chains, and for which interfaces forwarding is switched on
   * @throws ValidationError if an option is wrong
   * @see https://man7.org/linux/man-pages/man8/iptables.8.html
   */
  public static iptables(options: IptablesForwardingOptions = {}): Forwarding {
    const args = new Arguments('Forwarding.iptables()');
    args.checkOptions(IPTABLES_OPTIONS, options, 'options');
    const chains = chainsOf(args, options.chains ?? ['FORWARD']).map((name, index): FirewallChain => {
      args.text(name, `chains[${index}]`, IPTABLES_CHAIN, 'the name of a chain, such as "FORWARD"');
      return { program: 'iptables', name };
    });
    return new Forwarding({ required: true, sysctls: sysctlsOf(options), chains });
  }

  /**
   * Does what `iptables()` does, in front of the chains of ufw. Its own rules, in `/etc/ufw`, stay as they are.
   *
   * @param options - for which interfaces forwarding is switched on
   * @throws ValidationError if an option is wrong
   * @see https://manpages.debian.org/ufw
   */
  public static ufw(options: SysctlForwardingOptions = {}): Forwarding {
    new Arguments('Forwarding.ufw()').checkOptions(SYSCTL_OPTIONS, options, 'options');
    return Forwarding.iptables({ perInterface: options.perInterface });
  }

  /**
   * Switches forwarding on as `sysctl()` does, and gives firewalld a policy that accepts packets from the pools, between
   * all zones. A change of the pools, and a removal, make firewalld read its files again (`firewall-cmd --reload`): what
   * somebody has set without `--permanent` is lost then.
   *
   * The policy does not name interfaces. The kill switch rejects packets that leave by an interface which `VpnEgress` does not allow.
   *
   * @param options - for which interfaces forwarding is switched on
   * @throws ValidationError if an option is wrong
   * @see https://firewalld.org/documentation/man-pages/firewalld.policies.html
   */
  public static firewalld(options: SysctlForwardingOptions = {}): Forwarding {
    new Arguments('Forwarding.firewalld()').checkOptions(SYSCTL_OPTIONS, options, 'options');
    return new Forwarding({ required: true, sysctls: sysctlsOf(options), chains: [{ program: 'firewalld' }] });
  }

  private constructor(
    /** @internal */
    public readonly _forwarding: ForwardingChoice,
  ) {}
}

function chainsOf(args: Arguments, chains: string[]): string[] {
  if (chains.length === 0) {
    throw args.error('chains is empty. Name the chains that drop packets of clients, or use Forwarding.sysctl().');
  }
  return [...new Set(chains)];
}

function sysctlsOf({ perInterface }: SysctlForwardingOptions): 'all' | 'per interface' {
  return perInterface ? 'per interface' : 'all';
}

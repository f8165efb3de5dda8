import { Arguments } from './private/arguments';
import { VPN_DAEMON } from './private/kinds';
import { optional } from './private/shapes';
import { VpnDaemon } from './vpn-daemon';

/**
 * Where packets between VPN clients go, and packets between clients and the server's own address in the tunnel.
 * Without a rule of their own, they would go to the NAT router like all others.
 *
 * With all of these, packets to pool addresses that no tunnel holds are rejected (while the daemon is stopped, for
 * example), if the `VpnEgress` fails closed.
 */
export class LocalTraffic {
  /**
   * Looks up packets to a pool in the main table, which has the tunnel's network. Ignores its default route. If the
   * interfaces that hold the pool are declared, it also ignores routes with a prefix shorter than their networks.
   * Exposes nothing else, and works with any daemon and any number of tunnels.
   */
  public static mainTable(): LocalTraffic {
    return new LocalTraffic('main-table');
  }

  /**
   * Looks up all packets of clients in the main table first, without its default route. Clients reach each other, and
   * every network that the server is connected to. All other packets use the egress table.
   */
  public static suppressDefault(): LocalTraffic {
    return new LocalTraffic('suppress-default');
  }

  /**
   * Has the VPN daemon run a hook that puts each tunnel's network into the egress table when the tunnel comes up.
   *
   * @param daemon - the daemon that runs the hook; OpenVPN if not given
   */
  public static upHook(daemon?: VpnDaemon): LocalTraffic {
    new Arguments('LocalTraffic.upHook()').check(optional(VPN_DAEMON), daemon, 'daemon');
    return new LocalTraffic('up-hook', daemon ?? VpnDaemon.openVpn());
  }

  /**
   * Prohibits packets from a pool to a pool: clients do not reach each other, and get no answer from the server's address
   * in the tunnel. A daemon that forwards packets between its clients itself (OpenVPN's `client-to-client`) bypasses
   * this.
   */
  public static isolated(): LocalTraffic {
    return new LocalTraffic('isolated');
  }

  private constructor(
    /** @internal */
    public readonly _kind: 'main-table' | 'suppress-default' | 'up-hook' | 'isolated',
    /** @internal */
    public readonly _daemon?: VpnDaemon,
  ) {}
}

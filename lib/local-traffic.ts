import { Arguments } from './private/arguments';
import { VPN_DAEMON } from './private/kinds';
import { optional } from './private/shapes';
import { VpnDaemon } from './vpn-daemon';

/**
 * What becomes of packets between VPN clients, and between them and the server's own address in
 * the tunnel. Without any of these they would leave through the NAT router like all others.
 *
 * Whichever it is, packets of clients to an address of a pool that is in no tunnel (the daemon is not
 * running) are rejected, as long as the `VpnEgress` fails closed.
 */
export class LocalTraffic {
  /**
   * Packets to one of the pools are looked up in the main table, where the tunnel's network is,
   * but do not take its default route, nor a route that is shorter than the networks of the interfaces
   * that hold the pool, if those are declared. Exposes nothing else, and works with any daemon and any number
   * of tunnels.
   */
  public static mainTable(): LocalTraffic {
    return new LocalTraffic('main-table');
  }

  /**
   * Clients see everything in the main table but its default route: other clients, and every
   * network that the server is connected to. The default route alone is the egress table's.
   */
  public static suppressDefault(): LocalTraffic {
    return new LocalTraffic('suppress-default');
  }

  /**
   * A hook of the VPN daemon puts each tunnel's network into the egress table when it comes up.
   *
   * @param daemon - the daemon that runs the hook; OpenVPN if not given
   */
  public static upHook(daemon?: VpnDaemon): LocalTraffic {
    new Arguments('LocalTraffic.upHook()').check(optional(VPN_DAEMON), daemon, 'daemon');
    return new LocalTraffic('up-hook', daemon ?? VpnDaemon.openVpn());
  }

  /**
   * Clients reach neither each other nor the server's address in the tunnel: packets from a pool
   * to a pool are prohibited. A daemon that switches between clients by itself (OpenVPN's
   * `client-to-client`) bypasses this.
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

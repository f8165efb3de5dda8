/**
 * An interface that a machine is known to have. Nothing is configured by it: it feeds the checks
 * (is a next hop on-link?), the lookup (where does a packet go?) and the return routes.
 */
export interface NetworkInterface {
  /** Its name, as `ip link` shows it. */
  readonly name: string;

  /**
   * Its addresses with prefix length, as `ip address` shows them, for example `192.168.1.100/24`.
   * A token is welcome; checks that need it are then left to the host.
   *
   * @default - not known
   */
  readonly addresses?: string[];

  /**
   * The routers that the main table's default routes go through on this interface, as `ip route show
   * default` shows them. Where those of a family are declared, the main table counts as known: it has
   * them, the networks of the interfaces, and the routes declared for it. Only then can it be said at
   * synth time what leaves through them.
   *
   * @default - not known
   */
  readonly gateways?: string[];

  /**
   * Networks behind routers of this interface, in CIDR notation: those that the main table has a route to beside
   * its default route. Clients with `LocalTraffic.suppressDefault()` may go there. On an interface with
   * `gateways`, the kill switch rejects what it does not know, or it would let through what leaves by the default route.
   *
   * @default - none
   */
  readonly networks?: string[];
}

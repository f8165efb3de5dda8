/**
 * An interface that the machine has. It configures nothing. The checks (is a next hop on-link?), the lookup (where
 * does a packet go?), the kill switch and the return routes use it.
 */
export interface NetworkInterface {
  /** Name of the interface, as `ip link` shows it. */
  readonly name: string;

  /**
   * Addresses with prefix length, as `ip address` shows them, for example `192.168.1.100/24`. Tokens are allowed.
   * The machine then makes the checks that need their values.
   *
   * @default - not known
   */
  readonly addresses?: string[];

  /**
   * Next hops of the main table's default routes on this interface, as `ip route show default` shows them. If you
   * declare those of a family, the main table of that family counts as known: it has these default routes, the networks
   * of the interfaces, and the routes declared for it. Only then does synth know which packets leave through them.
   *
   * @default - not known
   */
  readonly gateways?: string[];

  /**
   * Networks behind routers of this interface, in CIDR notation: those that the main table has a route to, other than
   * its default route. Clients with `LocalTraffic.suppressDefault()` may go there. On an interface with `gateways`, the
   * kill switch rejects packets to networks that are not declared, since they would leave by the default route.
   *
   * @default - none
   */
  readonly networks?: string[];
}

/**
 * An interface that a machine is known to have. Nothing is configured by it: it feeds the checks
 * (is a next hop on-link?) and the return routes.
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
}

import type { IpProtocol } from './ip-protocol';

/**
 * What of a packet counts for routing besides its addresses.
 */
export interface FlowSelectors {
  /**
   * The interface that it comes in by, as `ip route get … iif` takes it.
   *
   * @default - none: the machine itself sends it
   */
  readonly inputInterface?: string;

  /**
   * The mark that the firewall has set on it.
   *
   * @default 0
   */
  readonly firewallMark?: number;

  /**
   * Its type of service, or traffic class, without the ECN bits.
   *
   * @default - for one packet 0, for a flow any
   */
  readonly tos?: number;

  /**
   * Its protocol.
   *
   * @default - any, for a flow; for one packet UDP in IPv4, as in `ip route get`, and in IPv6 none that a rule selects
   * @see https://man7.org/linux/man-pages/man8/ip-route.8.html
   */
  readonly ipProtocol?: IpProtocol;

  /**
   * The port that it comes from.
   *
   * @default - like `ipProtocol`
   */
  readonly sourcePort?: number;

  /**
   * The port that it goes to.
   *
   * @default - like `ipProtocol`
   */
  readonly destinationPort?: number;

  /**
   * The user whose process sends it, if the machine itself sends it.
   *
   * @default 0
   */
  readonly uid?: number;

  /**
   * Interfaces that are taken to be down.
   *
   * @default - none
   */
  readonly linksDown?: string[];
}

/**
 * One packet.
 */
export interface Packet extends FlowSelectors {
  /** Address that it goes to. */
  readonly destination: string;

  /**
   * Address that it comes from.
   *
   * @default - what the machine itself sends leaves the choice to the kernel; what comes in has one
   */
  readonly source?: string;
}

/**
 * All packets from some addresses to some addresses.
 */
export interface Flow extends FlowSelectors {
  /**
   * Where they come from: a prefix or an address. What the machine itself sends comes from one address.
   *
   * @default - what comes in: anybody; what the machine itself sends leaves the choice to the kernel
   */
  readonly source?: string;

  /**
   * Prefixes or addresses in `source` that are not meant.
   *
   * @default - none
   */
  readonly exceptSources?: string[];

  /**
   * Where they go to: a prefix, an address, or `default` for anywhere. In a prefix those to the machine itself,
   * to broadcast and to multicast addresses are not meant, as nobody forwards them.
   */
  readonly destination: string;

  /**
   * Prefixes or addresses in `destination` that are not meant.
   *
   * @default - none
   */
  readonly exceptDestinations?: string[];
}

/**
 * One thing that may happen to a packet.
 */
export interface LookupOutcome {
  /**
   * As `ip route get` says it: `via 192.168.1.1 dev eth1`, `dev tun0`, `local`, `unreachable`, `no route`…;
   * `unknown` where a table decides whose routes are not all declared.
   */
  readonly text: string;

  /**
   * The next router.
   *
   * @default - none
   */
  readonly via?: string;

  /**
   * The interface that it leaves by.
   *
   * @default - none, or known at apply only
   */
  readonly device?: string;

  /** Its way through the rules, line by line, in the words of `ip`. */
  readonly trail: string[];
}

import type { IpProtocol } from './ip-protocol';

/**
 * The properties of a packet that count for routing, beside its addresses.
 */
export interface FlowSelectors {
  /**
   * Interface that the packet comes in by (`iif` of `ip route get`).
   *
   * @default - none: the machine itself sends it
   */
  readonly inputInterface?: string;

  /**
   * Mark that the firewall has set.
   *
   * @default 0
   */
  readonly firewallMark?: number;

  /**
   * Type of service, or traffic class, without the ECN bits.
   *
   * @default - 0 for one packet, any for a flow
   */
  readonly tos?: number;

  /**
   * IP protocol.
   *
   * @default - for a flow, any; for one packet, UDP in IPv4 (as in `ip route get`), and none that a rule selects in
   * IPv6
   * @see https://man7.org/linux/man-pages/man8/ip-route.8.html
   */
  readonly ipProtocol?: IpProtocol;

  /**
   * Source port.
   *
   * @default - like `ipProtocol`
   */
  readonly sourcePort?: number;

  /**
   * Destination port.
   *
   * @default - like `ipProtocol`
   */
  readonly destinationPort?: number;

  /**
   * User id of the sending process, if the machine itself sends the packet.
   *
   * @default 0
   */
  readonly uid?: number;

  /**
   * Interfaces that count as down.
   *
   * @default - none
   */
  readonly linksDown?: string[];
}

/**
 * One packet.
 */
export interface Packet extends FlowSelectors {
  /** Destination address. */
  readonly destination: string;

  /**
   * Source address. A packet that comes in needs one.
   *
   * @default - the kernel's choice, for a packet that the machine itself sends
   */
  readonly source?: string;
}

/**
 * All packets from some addresses to some addresses.
 */
export interface Flow extends FlowSelectors {
  /**
   * Source: a prefix or an address. For packets that the machine itself sends, an address.
   *
   * @default - any, for packets that come in; the kernel's choice, for packets that the machine itself sends
   */
  readonly source?: string;

  /**
   * Prefixes or addresses to leave out of `source`.
   *
   * @default - none
   */
  readonly exceptSources?: string[];

  /**
   * Destination: a prefix, an address, or `default` for anywhere. A prefix does not include addresses of the machine
   * itself, broadcast and multicast addresses, since no packet to them is forwarded.
   */
  readonly destination: string;

  /**
   * Prefixes or addresses to leave out of `destination`.
   *
   * @default - none
   */
  readonly exceptDestinations?: string[];
}

/**
 * One possible outcome of the routing of a packet.
 */
export interface LookupOutcome {
  /**
   * The outcome in the words of `ip route get`: `via 192.168.1.1 dev eth1`, `dev tun0`, `local`, `unreachable`, `no
   * route`… `unknown` if it depends on a table whose routes are not all declared.
   */
  readonly text: string;

  /**
   * Address of the next hop.
   *
   * @default - none
   */
  readonly via?: string;

  /**
   * Interface that the packet leaves by.
   *
   * @default - none, or known at apply only
   */
  readonly device?: string;

  /** The packet's way through the rules, line by line, in the words of `ip`. */
  readonly trail: string[];
}

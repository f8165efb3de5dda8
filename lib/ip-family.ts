/**
 * An address family. Each has its own rules and its own routing tables.
 */
export enum IpFamily {
  /** IPv4, `ip -4`. */
  IPV4 = 'ipv4',

  /** IPv6, `ip -6`. */
  IPV6 = 'ipv6',
}

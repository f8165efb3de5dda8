/**
 * An IP protocol, by its number.
 *
 * @see https://www.iana.org/assignments/protocol-numbers
 */
export class IpProtocol {
  /** ICMP for IPv4 (1). */
  public static readonly ICMP = new IpProtocol(1);
  /** TCP (6). */
  public static readonly TCP = new IpProtocol(6);
  /** UDP (17). */
  public static readonly UDP = new IpProtocol(17);
  /** GRE (47). */
  public static readonly GRE = new IpProtocol(47);
  /** ESP of IPsec (50). */
  public static readonly ESP = new IpProtocol(50);
  /** ICMP for IPv6 (58). */
  public static readonly ICMPV6 = new IpProtocol(58);
  /** SCTP (132). */
  public static readonly SCTP = new IpProtocol(132);

  /**
   * Any protocol.
   *
   * @param number - its number, 1 to 255
   */
  public static of(number: number): IpProtocol {
    return new IpProtocol(number);
  }

  private constructor(
    /** The protocol's number. */
    public readonly number: number,
  ) {}
}

/**
 * What the VPN server does to the source addresses of packets that leave towards the NAT router.
 */
export class SourceNat {
  /**
   * Nothing: the NAT router sees the addresses of clients, and translates them. If a firewall on the server translates
   * them as well, an apply is refused, and names the rule.
   */
  public static none(): SourceNat {
    return new SourceNat(false);
  }

  /**
   * Whatever other software on the server does. An apply tries where packets of clients leave, and ignores their source
   * address.
   */
  public static unmanaged(): SourceNat {
    return new SourceNat(true);
  }

  private constructor(
    /** @internal */
    public readonly _translated: boolean,
  ) {}
}

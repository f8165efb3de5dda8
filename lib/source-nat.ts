import { Arguments } from './private/arguments';
import { ADDRESSES } from './private/kinds';

/**
 * What a machine does to the source addresses of packets of clients that it sends on.
 */
export class SourceNat {
  /**
   * Nothing: the next router sees the addresses of clients. If a firewall on the VPN server translates them all the
   * same, an apply is refused, and names the rule.
   */
  public static none(): SourceNat {
    return new SourceNat(false);
  }

  /**
   * Whatever other software on the machine does. An apply tries where packets of clients leave, and ignores their source
   * address.
   */
  public static unmanaged(): SourceNat {
    return new SourceNat(true);
  }

  /**
   * Packets of clients get the address of the interface that they leave by. Needs nftables and Linux 5.2.
   */
  public static masquerade(): SourceNat {
    return new SourceNat(true, []);
  }

  /**
   * Packets of clients get a fixed address. Needs nftables and Linux 5.2.
   *
   * @param addresses - one for each family of the clients; tokens are allowed
   * @throws ValidationError if an address is wrong
   */
  public static to(addresses: string[]): SourceNat {
    const args = new Arguments('SourceNat.to()');
    args.check(ADDRESSES, addresses, 'addresses');
    if (addresses.length === 0) {
      throw args.error('addresses is empty. Give one for each family, or use SourceNat.masquerade().');
    }
    addresses.forEach((address, index) => args.value('address', address, `addresses[${index}]`));
    return new SourceNat(true, [...addresses]);
  }

  private constructor(
    /** @internal */
    public readonly _translated: boolean,
    /**
     * The addresses that packets get; none for that of the interface.
     *
     * @internal
     */
    public readonly _addresses?: readonly string[],
  ) {}
}

import type { Selectors } from './model/expectation';
import { MAX_RULE_PORT, MAX_UID } from './model/limits';
import type { Arguments } from './private/arguments';

/** DNS over UDP, over TCP, and over TLS. */
const SERVICES = [
  { ipProtocol: 17, destinationPort: 53 },
  { ipProtocol: 6, destinationPort: 53 },
  { ipProtocol: 6, destinationPort: 853 },
] as const;

/**
 * A DNS resolver on the VPN server that clients use. It tells apart the resolver's queries to other name servers from
 * other packets of the machine.
 */
export class Resolver {
  /**
   * A resolver that runs as a user of its own, like Unbound, BIND and dnsmasq.
   *
   * @param uid - id of that user, as `id -u unbound` prints it on the machine; not 0
   */
  public static user(uid: number): Resolver {
    return new Resolver((args) => ({
      uid: args.integer(
        uid,
        'resolver user',
        1,
        MAX_UID,
        '0 is root, whose rule would match all queries of the machine.',
      ),
    }));
  }

  /**
   * A resolver with a fixed source port: `query-port` of dnsmasq, for example. Any user of the machine can send from a
   * port above 1023.
   *
   * @param port - the source port
   */
  public static port(port: number): Resolver {
    return new Resolver((args) => ({ sourcePort: args.integer(port, 'resolver port', 1, MAX_RULE_PORT) }));
  }

  private constructor(private readonly sender: (args: Arguments) => Selectors) {}

  /**
   * The selectors of its queries.
   *
   * @internal
   */
  public _queries(args: Arguments): Selectors[] {
    return SERVICES.map((service) => ({ ...this.sender(args), ...service }));
  }
}

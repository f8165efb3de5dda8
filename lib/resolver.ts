import type { Selectors } from './model/expectation';
import type { Arguments } from './private/arguments';

/** DNS over UDP, over TCP, and over TLS. */
const SERVICES = [
  { ipProtocol: 17, destinationPort: 53 },
  { ipProtocol: 6, destinationPort: 53 },
  { ipProtocol: 6, destinationPort: 853 },
] as const;

/** The kernel keeps these two for itself. */
const MAX_UID = 4294967294;
const MAX_PORT = 65534;

/**
 * A resolver on the VPN server that clients use: what tells the questions that it asks other name servers from all
 * else that the machine sends.
 */
export class Resolver {
  /**
   * One that runs as a user of its own, as Unbound, BIND and dnsmasq do.
   *
   * @param uid - number of that user, as `id -u unbound` prints it on the machine; not 0
   */
  public static user(uid: number): Resolver {
    return new Resolver((args) => ({
      uid: args.integer(uid, 'resolver user', 1, MAX_UID, 'As root, whatever the machine asks would be meant.'),
    }));
  }

  /**
   * One that asks from a source port of its own: `query-port` of dnsmasq, for example. Anybody on the machine can
   * ask from a port above 1023.
   *
   * @param port - the source port
   */
  public static port(port: number): Resolver {
    return new Resolver((args) => ({ sourcePort: args.integer(port, 'resolver port', 1, MAX_PORT) }));
  }

  private constructor(private readonly sender: (args: Arguments) => Selectors) {}

  /**
   * The questions that it asks.
   *
   * @internal
   */
  public _questions(args: Arguments): Selectors[] {
    return SERVICES.map((service) => ({ ...this.sender(args), ...service }));
  }
}

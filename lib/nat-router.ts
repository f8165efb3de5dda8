import { Construct } from 'constructs';
import type { Forwarding } from './forwarding';
import type { LinuxHost } from './linux-host';
import { ONLY_TRIED } from './model/forwarding';
import { Arguments } from './private/arguments';
import { refuseFleet } from './private/fleet';
import { DEVICE, FORWARDING, HOST, SOURCE_NAT, VPN_EGRESS } from './private/kinds';
import type { Shape } from './private/shapes';
import { optional } from './private/shapes';
import { addTranslation } from './private/translations';
import { Route } from './route';
import { SourceNat } from './source-nat';
import { SourceRoutingTable } from './source-routing-table';
import type { VpnEgress } from './vpn-egress';

/**
 * Properties of a `NatRouter`.
 */
export interface NatRouterProps {
  /** The router. */
  readonly host: LinuxHost;

  /** The clients, and the VPN server that they come from. Leave out its `natRouter`. */
  readonly egress: VpnEgress;

  /** Interface of the router on the network that it shares with the VPN server. */
  readonly inside: string;

  /** Interface of the router that leads to the Internet. */
  readonly outside: string;

  /**
   * What becomes of the source addresses of clients.
   *
   * @default SourceNat.masquerade()
   */
  readonly sourceNat?: SourceNat;

  /**
   * How packets of clients pass through the router's forwarding and firewall, and what follows if they do not, or if they
   * leave with the address of a client.
   *
   * @default - nothing is configured, and an apply is refused if no packet of a client gets through
   */
  readonly forwarding?: Forwarding;
}

const PROPS: Shape<NatRouterProps> = {
  host: HOST,
  egress: VPN_EGRESS,
  inside: DEVICE,
  outside: DEVICE,
  sourceNat: optional(SOURCE_NAT),
  forwarding: optional(FORWARDING),
};

/**
 * The router that the clients of a `VpnEgress` leave through: return routes to the VPN server, source NAT for exactly
 * the pools of the clients, and forwarding.
 *
 * @example
 * new NatRouter(this, 'router', {
 *   host: natRouter,
 *   egress,
 *   inside: 'eth1',
 *   outside: 'eth2',
 *   forwarding: Forwarding.sysctl(),
 * });
 */
export class NatRouter extends Construct {
  /**
   * @param scope - parent in the tree
   * @param id - unique in its scope
   * @param props - router, clients and interfaces
   * @throws ValidationError if an argument is wrong, or the server's address for the return routes is not known
   */
  public constructor(scope: Construct, id: string, props: NatRouterProps) {
    super(scope, id);
    const args = new Arguments(this);
    args.checkOptions(PROPS, props);
    refuseFleet(args, props.egress, 'egress');
    const { path } = this.node;
    const { host, egress, sourceNat = SourceNat.masquerade(), forwarding } = props;
    const inside = args.value('device', props.inside, 'inside');
    const device = args.value('device', props.outside, 'outside');
    const clients = egress._clients;
    const table = SourceRoutingTable.main(host);
    egress.returnRoutes().forEach((route, index) => {
      new Route(this, `return-${index + 1}`, { table, ...route, device: props.inside });
    });
    host._declaration.addForwarding({
      ...(forwarding?._forwarding ?? ONLY_TRIED),
      ...{ path, device, clients, inputs: [inside], rejectedClients: [] },
      ...{ isolated: true, mssClamp: false },
      translated: sourceNat._translated,
      translates: sourceNat._addresses !== undefined,
    });
    addTranslation(host, args, sourceNat, { path, device, clients });
    host._declaration.validate(this);
  }
}

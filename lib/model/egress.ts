import type { Selectors } from './expectation';
import type { Family } from './family';
import type { ForwardingChoice } from './forwarding';
import type { Value } from './value';

/** A next hop of an egress. */
export interface Gateway {
  readonly via: Value;
  /** Family of the packets. IPv4 packets may have an IPv6 next hop. Undefined if known at apply only. */
  readonly family?: Family;
}

/** Clients that leave through a NAT router. */
export interface Egress {
  readonly path: string;
  readonly device: Value;
  readonly tableId: number;
  readonly clients: readonly Value[];
  readonly rejectedClients: readonly Value[];
  readonly gateways: readonly Gateway[];
  readonly localTraffic: 'main-table' | 'suppress-default' | 'up-hook' | 'isolated';
  readonly failClosed: boolean;
  readonly forwarding: ForwardingChoice;
  /** Whether the machine may change the source of clients' packets. */
  readonly translated: boolean;
  /** Whether the machine itself changes it, so that no packet may leave with that of a client. */
  readonly translates: boolean;
  /** Whether TCP connections of clients are kept to the path MTU. */
  readonly mssClamp: boolean;
  /** Mark of ICMP errors about packets to clients that come in by the device. */
  readonly errorMark: number;
  /** Selectors of the resolver's queries. */
  readonly queries: readonly Selectors[];
}

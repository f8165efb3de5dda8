import type { Selectors } from './expectation';
import type { Value } from './value';

/** Clients that leave through a NAT router. */
export interface Egress {
  readonly path: string;
  readonly device: Value;
  readonly tableId: number;
  readonly clients: readonly Value[];
  readonly rejectedClients: readonly Value[];
  readonly gateways: readonly Value[];
  readonly localTraffic: 'main-table' | 'suppress-default' | 'up-hook' | 'isolated';
  readonly failClosed: boolean;
  /** Of errors about what comes in by the device for clients. */
  readonly errorMark: number;
  /** What the machine itself asks name servers for clients. */
  readonly questions: readonly Selectors[];
}

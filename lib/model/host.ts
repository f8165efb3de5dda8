import type { Expectation, Intent } from './expectation';
import type { Family } from './family';
import { BOTH_FAMILIES, overlaps } from './family';
import type { Forwarding } from './forwarding';
import type { Marking } from './marking';
import { aggregated } from './prefixes';
import type { Route } from './route';
import { failClosedRoute } from './route';
import type { Rule } from './rule';
import type { Translation } from './translation';
import type { InterfaceAddress, Value } from './value';
import { isAny, isKnown } from './value';

export const MAIN_TABLE_ID = 254;

/** The tables that belong to the kernel: unspec, default, main and local. */
export const RESERVED_TABLE_IDS: readonly number[] = [0, 253, MAIN_TABLE_ID, 255];
/** The names of these tables, and words that mean something else to `ip route show table`. */
export const RESERVED_TABLE_NAMES: readonly string[] = ['unspec', 'default', 'main', 'local', 'all', 'cache'];

export interface Table {
  readonly path: string;
  readonly id: number;
  readonly name?: string;
  readonly failClosed: boolean;
  /** Interfaces by which its packets may leave in addition to those of its routes. */
  readonly allowedInterfaces?: readonly string[];
}

/** An interface as it is declared. With fewer addresses than it has, there are fewer checks. */
export interface Interface {
  readonly name: string;
  readonly addresses: readonly InterfaceAddress[];
  /** Gateways of the main table's default routes. */
  readonly gateways: readonly Value[];
  /** Networks behind routers on the link, to which the main table has routes other than the default route. */
  readonly networks?: readonly string[];
  /** Whether addresses may be missing here: some are known at apply only, or none are declared. */
  readonly incomplete: boolean;
}

export interface UpHook {
  readonly path: string;
  readonly daemon: 'openvpn' | 'wireguard';
  readonly file: string;
  readonly tableId: number;
}

/** What `ssh` says of the machine, as given. A change makes Terraform clean the machine up first. */
export interface Endpoint {
  /** A name or an address. Undefined if it is known at apply only. */
  readonly host?: string;
  /** Undefined if it is known at apply only. */
  readonly port?: number;
}

/** The SSH address of the machine, as far as it is known. */
export interface Management {
  readonly host?: string;
  /** Undefined in host files of earlier versions. */
  readonly endpoint?: Endpoint;
  readonly hostKeyPinned: boolean;
  readonly hostKey?: string;
  readonly bastion: boolean;
}

/** One machine's whole configuration. */
export interface Host {
  readonly path: string;
  readonly owner: string;
  readonly interfaces: readonly Interface[];
  readonly management: Management;
  readonly tables: readonly Table[];
  readonly rules: readonly Rule[];
  readonly routes: readonly Route[];
  /** Unreachable routes of tables that fail closed, other than the default one. */
  readonly discards: readonly Route[];
  readonly hooks: readonly UpHook[];
  /** Packets that are marked when they come in. */
  readonly markings: readonly Marking[];
  /** How packets of clients pass through the machine, for each egress. */
  readonly forwardings: readonly Forwarding[];
  /** Packets of clients whose source is changed. */
  readonly translations: readonly Translation[];
  /** The expectations. */
  readonly intents: readonly Intent[];
  /** The questions for the kernel before a change is kept. */
  readonly expectations: readonly Expectation[];
  /** Files to take over with the rules and routes that somebody made by hand; undefined if nothing is taken over. */
  readonly adopts?: readonly string[];
  /** How often the machine verifies itself. */
  readonly verifyIntervalSeconds?: number;
  /** Where the machine leaves the results for node_exporter. */
  readonly textfileDirectory?: string;
}

/** An error or a warning, reported at one construct. */
export interface Problem {
  readonly path: string;
  readonly message: string;
}

/** The families in which some rule sends packets to a table. */
export function familiesOf(tableId: number, rules: readonly Rule[]): Set<Family> {
  const families = new Set<Family>();
  for (const rule of rules) {
    if (rule.action.kind === 'lookup' && rule.action.tableId === tableId) {
      if (rule.family !== 6) families.add(4);
      if (rule.family !== 4) families.add(6);
    }
  }
  return families;
}

/** The declared routes, and the unreachable ones of the tables that fail closed. */
export function allRoutes(host: Host): Route[] {
  return [...host.routes, ...failClosedRoutes(host)];
}

/**
 * The unreachable routes of the tables that fail closed, in the families in which those are looked up. A table with
 * pools has them for all pools of the host: packets to clients of another table must not leave either.
 */
export function failClosedRoutes(host: Host): Route[] {
  const pools = host.discards.filter(({ destination }) => !isAny(destination));
  return host.tables
    .filter((table) => table.failClosed)
    .flatMap(({ id, path }) => {
      const lookedUp = familiesOf(id, host.rules);
      const families = BOTH_FAMILIES.filter((family) => lookedUp.has(family));
      const own = pools.filter(({ tableId }) => tableId === id);
      const others = own.length === 0 ? [] : pools.filter(({ tableId }) => tableId !== id);
      return [
        ...families.map((family) => failClosedRoute(path, family, id)),
        ...own.filter(({ family }) => families.some((each) => overlaps(each, family))),
        ...families.flatMap((family) =>
          aggregatedPools(others, family).map((pool) => failClosedRoute(path, family, id, pool)),
        ),
      ];
    });
}

function aggregatedPools(pools: readonly Route[], family: Family): Value[] {
  const texts = pools
    .filter((pool) => pool.family === family && isKnown(pool.destination))
    .map(({ destination }) => destination.text);
  return aggregated(texts, family).map((text) => ({ kind: 'prefix', text, family }));
}

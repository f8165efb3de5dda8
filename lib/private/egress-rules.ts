import type { LinuxHost } from '../linux-host';
import type { LocalTraffic } from '../local-traffic';
import { IpFamily } from '../ip-family';
import { IpProtocol } from '../ip-protocol';
import type { Selectors } from '../model/expectation';
import type { FamilyOrAuto } from '../model/family';
import { BOTH_FAMILIES } from '../model/family';
import { DEFAULT_ROUTE_LENGTH } from '../model/route';
import { isKnown } from '../model/value';
import { NumberRange } from '../number-range';
import type { PolicyRuleProps } from '../policy-rule';
import { RuleAction } from '../rule-action';
import type { SourceRoutingTable } from '../source-routing-table';
import type { Arguments } from './arguments';
import type { EgressPools, Pool } from './egress-pools';
import { mayHave } from './egress-pools';
import type { Merged } from './pools';
import { mergePools, suppressedLength } from './pools';

/** A rule of an egress without its priority. */
export interface OwnRule {
  readonly id: string;
  readonly props: Omit<PolicyRuleProps, 'priority'>;
}

/** A rule for local traffic, without its priority. */
export interface LocalRule extends OwnRule {
  readonly family: FamilyOrAuto;
}

/** What the rules of an egress are made of. */
export interface EgressParts {
  readonly args: Arguments;
  readonly host: LinuxHost;
  readonly device: string;
  readonly pools: EgressPools;
  /** The table of the egress. */
  readonly table: SourceRoutingTable;
  readonly mainTable: SourceRoutingTable;
}

/** Rules for packets between clients, and between clients and the server. They stand in front of those of the pools. */
export function localRules(local: LocalTraffic, parts: EgressParts): LocalRule[] {
  const { host, pools, table, mainTable } = parts;
  switch (local._kind) {
    case 'main-table':
      return mergePools(pools.all, (pool) => suppressedTo(pool, host)).map(({ pool, text, suppressed }) => ({
        id: localId(pool, pools),
        family: pool.family,
        props: { table: mainTable, destination: text, suppressPrefixLength: suppressed },
      }));
    case 'suppress-default':
      return withoutDefault(pools.all, pools, mainTable);
    case 'up-hook':
      // The hook puts the tunnels' networks into the table, which has no other routes to these pools.
      return withoutDefault(pools.rejected, pools, table);
    case 'isolated':
      return isolation(parts);
  }
}

function withoutDefault(some: readonly Pool[], pools: EgressPools, table: SourceRoutingTable): LocalRule[] {
  return mergeAll(some).map(({ pool, text, suppressed }) => ({
    id: localId(pool, pools),
    family: pool.family,
    props: { table, source: text, suppressPrefixLength: suppressed },
  }));
}

function isolation({ args, host, pools }: EgressParts): LocalRule[] {
  const unknown = pools.all.find((pool) => pool.family === 'auto');
  if (unknown && pools.all.length > 1) {
    throw args.error(
      `${unknown.property} is known at apply only, but LocalTraffic.isolated() with several pools needs its family. ` +
        'Give it literally, or declare a VpnEgress for each pool.',
    );
  }
  // Packets from a rejected pool are rejected anyway. Packets to one would go to the NAT router.
  const destinations = mergeAll(pools.all);
  const pairs = [false, true].flatMap((rejected) =>
    mergeAll(pools.routed).flatMap((from) =>
      destinations
        .filter(({ pool }) => pool.family === from.pool.family && pools.rejected.includes(pool) === rejected)
        .map((to) => ({ from, to })),
    ),
  );
  return pairs.map(({ from, to }) => ({
    id: `isolated-${from.pool.number}-${pools.rejected.includes(to.pool) ? 'rejected-' : ''}${to.pool.number}`,
    family: from.pool.family,
    props: { host, action: RuleAction.prohibit(), source: from.text, destination: to.text },
  }));
}

function localId(pool: Pool, { rejected }: EgressPools): string {
  return `${rejected.includes(pool) ? 'rejected-' : ''}local-${pool.number}`;
}

function suppressedTo({ value }: Pool, host: LinuxHost): number {
  return isKnown(value)
    ? suppressedLength(value.text, host._declaration.networksOverlapping(value.text))
    : DEFAULT_ROUTE_LENGTH;
}

function mergeAll(pools: readonly Pool[]): Array<Merged<Pool>> {
  return mergePools(pools, () => DEFAULT_ROUTE_LENGTH);
}

/**
 * Rules for packets of the machine itself: ICMP errors about clients' packets, and queries of a resolver. `routed` are
 * the families of packets that have a default route.
 */
export function ownRules(
  errorMark: number,
  queries: readonly Selectors[],
  routed: ReadonlyArray<{ readonly family?: FamilyOrAuto }>,
  parts: EgressParts,
): OwnRule[] {
  const { table, pools } = parts;
  const known = routed.map(({ family = 'auto' }) => ({ family }));
  const families = BOTH_FAMILIES.filter((family) => mayHave(pools.routed, family) && mayHave(known, family)).map(
    (family) => (family === 4 ? IpFamily.IPV4 : IpFamily.IPV6),
  );
  return [
    { id: 'errors', props: { table, families, firewallMark: errorMark, inputInterface: 'lo' } },
    ...queries.map(({ uid, sourcePort, ipProtocol, destinationPort }, index): OwnRule => ({
      id: `resolver-${index + 1}`,
      props: {
        table,
        families,
        uidRange: asRange(uid),
        ipProtocol: ipProtocol === undefined ? undefined : IpProtocol.of(ipProtocol),
        sourcePorts: asRange(sourcePort),
        destinationPorts: asRange(destinationPort),
      },
    })),
    ...answerRules(queries, parts),
  ];
}

/**
 * Rules for the answers to a resolver. The source check of an answer (`rp_filter`, IPv4 only) looks up where a packet
 * in the reverse direction would go, without a user id. So queries that are selected by user need a rule of their
 * own.
 */
function answerRules(queries: readonly Selectors[], { host, device, table }: EgressParts): OwnRule[] {
  const own = host._declaration.interfaceNamed(device)?.addresses.filter(({ family }) => family === 4) ?? [];
  return own
    .flatMap(({ address: source }) =>
      queries.filter(({ uid }) => uid !== undefined).map((query) => ({ source: `${source}/32`, ...query })),
    )
    .map(({ source, ipProtocol = 0, destinationPort }, index) => ({
      id: `resolver-answers-${index + 1}`,
      props: { table, source, ipProtocol: IpProtocol.of(ipProtocol), destinationPorts: asRange(destinationPort) },
    }));
}

function asRange(value: number | undefined): NumberRange | undefined {
  return value === undefined ? undefined : NumberRange.of(value);
}

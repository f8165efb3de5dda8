import type { Family } from '../model/family';
import { BOTH_FAMILIES } from '../model/family';
import type { Packets } from './cells';
import { Cells } from './cells';
import type { Decision } from './decision';
import { Decisions, tableKey } from './decision';
import type { Kind } from './flow';
import { FORWARDED } from './forwarded';
import type { Machine } from './machine';
import { Paths } from './paths';
import type { Entry, PrefixSet } from './prefix-table';
import { NodeMaker, entriesOf } from './prefix-table';
import type { SourceClass } from './source-classes';

/** What becomes of the packets that come in and that the rules tell apart by their sources only. */
export interface Traffic {
  readonly family: Family;
  /** Which packets, in pieces. */
  readonly packets: readonly Packets[];
  /** The same packets: each stands for all that are not told apart from it. */
  readonly kinds: readonly Kind[];
  /** The inner sources first, all others last. */
  readonly classes: readonly TrafficClass[];
}

/** What becomes of packets from sources between which no difference is made. */
export interface TrafficClass {
  readonly sources: PrefixSet;
  /** For each destination the longest prefix says what may happen. */
  readonly table: ReadonlyArray<Entry<Decision>>;
}

/**
 * What becomes of all packets that come in, to destinations to which packets are forwarded. A decision says what
 * may happen, and which table says so. In each family what is so for the most kinds of packets is the last.
 */
export function trafficOf(machine: Machine): Traffic[] {
  return BOTH_FAMILIES.flatMap((family) => trafficOfFamily(machine, family));
}

function trafficOfFamily(machine: Machine, family: Family): Traffic[] {
  const decisions = new Decisions(tableKey);
  const cells = new Cells([machine], family, 'incoming');
  const alike = new Map<string, { readonly kinds: Kind[]; readonly classes: readonly TrafficClass[] }>();
  for (const kind of cells.kinds) {
    const classes = classesOf(new Paths(machine, kind, { decisions }));
    const key = classes.map((each) => `${prefixSetKey(each.sources)}: ${tableText(each.table)}`).join('\n');
    const same = alike.get(key) ?? { kinds: [], classes };
    same.kinds.push(kind);
    alike.set(key, same);
  }
  return [...alike.values()]
    .sort((a, b) => a.kinds.length - b.kinds.length)
    .map(({ kinds, classes }) => ({ family, packets: cells.packetsOf(kinds), kinds, classes }));
}

function classesOf(paths: Paths): TrafficClass[] {
  const different = new Map<string, Decision>();
  const maker = new NodeMaker<Decision, Decision>(paths.decisions, ([said]) => {
    const key = decisionKey(said);
    const first = different.get(key) ?? said;
    different.set(key, first);
    return first;
  });
  const tables = new Map<string, ReadonlyArray<Entry<Decision>>>();
  // Of tables that say the same, one serves for all.
  const alike = new Map<string, ReadonlyArray<Entry<Decision>>>();
  const tableFor = new Map<SourceClass, ReadonlyArray<Entry<Decision>>>();
  for (const sourceClass of paths.sources.all) {
    const chain = paths.chainOf(sourceClass);
    const chainKey = chain.map(({ id }) => id).join();
    const table = tables.get(chainKey) ?? entriesOf(maker.of([chain], FORWARDED[paths.kind.family]));
    tables.set(chainKey, table);
    const first = alike.get(tableText(table)) ?? table;
    alike.set(tableText(table), first);
    tableFor.set(sourceClass, first);
  }
  return [...paths.sources.prefixesOf((each) => tableFor.get(each) ?? [])]
    .map(([table, sources]) => ({ sources, table }))
    .sort((a, b) => Number(isRest(a)) - Number(isRest(b)));
}

function isRest({ sources }: TrafficClass): boolean {
  return sources.prefixes.includes('');
}

export function prefixSetKey({ prefixes, except }: PrefixSet): string {
  return `${prefixes.join()} but ${except.join()}`;
}

function tableText(table: ReadonlyArray<Entry<Decision>>): string {
  return table.map(({ prefix, value }) => `${prefix} ${decisionKey(value)}`).join('; ');
}

/** How sure it is makes no difference. */
function decisionKey({ outcomes }: Decision): string {
  return [...new Set(outcomes.map(tableKey))].sort().join(', ');
}

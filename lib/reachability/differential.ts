import type { Family } from '../model/family';
import { BOTH_FAMILIES } from '../model/family';
import { getOrInsertComputed } from '../model/maps';
import type { Bits } from '../fib/bits';
import type { Direction, Packets } from './header-classes';
import { HeaderClasses } from './header-classes';
import type { Chain } from './trie-chain';
import type { Decision } from './decision';
import { DecisionInterner, outcomeKey, tableKey } from './decision';
import type { HeaderFields } from '../fib/packet';
import { UNSPECIFIED } from '../fib/packet';
import { FORWARDED } from './forwarded';
import type { Machine } from '../fib/machine';
import { commonAddresses } from '../fib/machine';
import type { Outcome } from '../fib/outcome';
import type { Scope } from './reachability';
import { Reachability } from './reachability';
import type { PrefixSet } from './aggregate';
import { NodeMaker, entriesOf, prefixSetKey, setsOf } from './aggregate';
import { SourceClasses } from './source-classes';

/** A change: packets whose path differs. */
export interface Change {
  readonly family: Family;
  readonly direction: Direction;
  /** Which packets, in pieces. */
  readonly packets: readonly Packets[];
  /** Of what the machine itself sends: undefined where it has no source yet. */
  readonly sources?: PrefixSet;
  readonly destinations: PrefixSet;
  /** All that may happen to them. */
  readonly before: readonly Outcome[];
  readonly after: readonly Outcome[];
}

/**
 * Finds exactly the packets that two machines send different ways. It leaves out packets to multicast groups and
 * link-scoped addresses. Of packets that the machine itself sends, it leaves out those from addresses that only one of
 * the two has, or that never leave a machine.
 */
export function compare(before: Machine, after: Machine): Change[] {
  const machines = [before, after] as const;
  return BOTH_FAMILIES.flatMap((family) => [
    ...new Comparison(machines, family, 'incoming').changes(),
    ...new Comparison(machines, family, 'sent').changes(),
  ]);
}

type Machines = readonly [before: Machine, after: Machine];

/** The decisions before and after; `undefined` if the path is the same. */
interface Pair {
  readonly key: string;
  readonly before: readonly Outcome[];
  readonly after: readonly Outcome[];
}

/** The destinations with a difference, by difference. */
type Differences = ReadonlyMap<Pair, PrefixSet>;

const SAME: Pair = { key: 'same', before: [], after: [] };

/** One change of some kinds of packets; each kind has it from some sources. */
interface ChangeGroup {
  readonly pair: Pair;
  readonly destinations: PrefixSet;
  readonly sources: Map<HeaderFields, Set<Bits | undefined>>;
}

class Comparison {
  private readonly decisions = new DecisionInterner(tableKey);
  private readonly pairs = new Map<string, Pair>();
  private readonly pairOf = new Map<Decision, Map<Decision, Pair>>();
  private readonly maker = new NodeMaker<Decision, Pair>(
    this.decisions,
    ([before, after]) => this.pairOf.get(before)?.get(after) ?? this.pair(before, after),
    SAME,
  );
  private readonly found = new Map<string, Differences>();
  private readonly headerClasses: HeaderClasses;
  private readonly classes: SourceClasses;
  private readonly rows = new Map<string, ChangeGroup>();

  public constructor(
    private readonly machines: Machines,
    private readonly family: Family,
    private readonly direction: Direction,
  ) {
    this.headerClasses = new HeaderClasses(machines, family, direction);
    const rules = machines.flatMap((machine) => machine.families[family].rules.inOrder);
    this.classes = new SourceClasses(
      family,
      rules.flatMap(({ source }) => source ?? []),
    );
  }

  public changes(): Change[] {
    for (const header of this.headerClasses.headers) {
      if (this.direction === 'incoming') {
        this.compareIncoming(header);
      } else {
        this.compareSent(header);
      }
    }
    return [...this.rows.values()].flatMap((row) => this.changesOf(row)).sort(inOrder);
  }

  private compareIncoming(header: HeaderFields): void {
    const between = this.differencesOf(header, {});
    this.classes.all.forEach((source) => this.record(header, source, between(source)));
  }

  private compareSent(header: HeaderFields): void {
    const between = this.differencesOf(header, { anyOwnSource: true });
    for (const address of commonAddresses(this.machines, this.family)) {
      const sourceClass = this.classes.of(address);
      if (sourceClass !== undefined) {
        this.record(header, address, between(sourceClass));
      }
    }
    const source = UNSPECIFIED[this.family];
    this.record(header, source, this.differencesOf(header, { source })(''));
  }

  private differencesOf(header: HeaderFields, scope: Scope): (sourceClass: Bits) => Differences {
    const reachabilities = this.machines.map(
      (machine) => new Reachability(machine, header, { ...scope, decisions: this.decisions }),
    );
    return (sourceClass) => this.between(reachabilities.map((each) => each.chainOf(sourceClass)));
  }

  private record(header: HeaderFields, source: Bits | undefined, differences: Differences): void {
    for (const [pair, destinations] of differences) {
      const key = `${pair.key}: ${prefixSetKey(destinations)}`;
      const { sources } = getOrInsertComputed(this.rows, key, () => ({
        pair,
        destinations,
        sources: new Map<HeaderFields, Set<Bits | undefined>>(),
      }));
      getOrInsertComputed(sources, header, () => new Set<Bits | undefined>()).add(source);
    }
  }

  /** The destinations for which two chains differ. */
  private between(chains: ReadonlyArray<Chain<Decision>>): Differences {
    const key = chains.map((chain) => chain.map(({ id }) => id).join()).join(' ');
    return getOrInsertComputed(this.found, key, () => {
      const sets = setsOf(entriesOf(this.maker.of(chains, FORWARDED[this.family])));
      sets.delete(SAME);
      return sets;
    });
  }

  private pair(before: Decision, after: Decision): Pair {
    const key = `${keyOf(before, tableKey)} -> ${keyOf(after, tableKey)}`;
    const isSame = keyOf(before, outcomeKey) === keyOf(after, outcomeKey);
    const pair = isSame ? SAME : (this.pairs.get(key) ?? { key, before: before.outcomes, after: after.outcomes });
    this.pairs.set(pair.key, pair);
    getOrInsertComputed(this.pairOf, before, () => new Map<Decision, Pair>()).set(after, pair);
    return pair;
  }

  private changesOf({ pair, destinations, sources }: ChangeGroup): Change[] {
    const alike = new Map<string, { readonly headers: HeaderFields[]; readonly from: ReadonlySet<Bits | undefined> }>();
    for (const [header, from] of sources) {
      getOrInsertComputed(alike, [...from].join(), () => ({ headers: [], from })).headers.push(header);
    }
    const { before, after } = pair;
    const { family, direction } = this;
    return [...alike.values()].flatMap(({ headers, from }) => {
      const common = { family, direction, packets: this.headerClasses.packetsOf(headers), destinations, before, after };
      return this.sourcesOf(from).map((set) => ({ ...common, ...(set && { sources: set }) }));
    });
  }

  private sourcesOf(from: ReadonlySet<Bits | undefined>): Array<PrefixSet | undefined> {
    if (this.direction === 'incoming') {
      const set = this.classes.prefixesOf((each) => from.has(each)).get(true);
      return set ? [set] : [];
    }
    const unspecified = UNSPECIFIED[this.family];
    const addresses = [...from].flatMap((each) => (each === undefined || each === unspecified ? [] : [each]));
    return [
      ...(addresses.length > 0 ? [{ prefixes: addresses.sort(), except: [] }] : []),
      ...(from.has(unspecified) ? [undefined] : []),
    ];
  }
}

function keyOf({ outcomes }: Decision, key: (outcome: Outcome) => string): string {
  return [...new Set(outcomes.map(key))].sort().join(', ');
}

/** Order: by source, then all other sources, then packets without a source yet. The widest destinations come first. */
function inOrder(a: Change, b: Change): number {
  const [first, second] = [a, b].map(
    ({ sources, destinations }) => `${sources ? sources.prefixes[0] || '2' : '3'} ${destinations.prefixes[0]}`,
  );
  return first < second ? -1 : first > second ? 1 : 0;
}

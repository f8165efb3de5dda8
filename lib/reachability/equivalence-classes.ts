import type { Family } from '../model/family';
import { getOrInsertComputed, pushTo } from '../model/maps';
import type { Rule } from '../model/rule';
import type { Bits } from '../fib/bits';
import type { Direction, Packets } from './header-classes';
import { HeaderClasses } from './header-classes';
import { shortened } from './trie-chain';
import type { Decision } from './decision';
import { DecisionInterner, tableKey } from './decision';
import type { HeaderFields } from '../fib/flow';
import { UNSPECIFIED } from '../fib/flow';
import { FORWARDED } from './forwarded';
import type { Machine } from '../fib/machine';
import { commonAddresses } from '../fib/machine';
import type { Outcome } from '../fib/outcome';
import { Reachability } from './reachability';
import type { Entry } from './aggregate';
import { NodeMaker, entriesOf } from './aggregate';
import { isOfKind } from '../fib/rules';
import type { SourceClass } from './source-classes';
import { SourceClasses } from './source-classes';

/** Packets that none of the machines distinguishes, apart from their destinations. */
export interface TrafficClass {
  readonly family: Family;
  readonly direction: Direction;
  /** Which packets, in pieces. */
  readonly packets: readonly Packets[];
  /** Representatives: each stands for all packets that are not distinguished from it. */
  readonly kinds: readonly HeaderFields[];
  /** Whether the class includes packets that no rule selects specifically. */
  readonly usual: boolean;
  /**
   * Prefixes: among those of all classes the longest around an address counts. Of what the machines send
   * themselves their addresses, and undefined for packets without a source yet.
   */
  readonly sources: ReadonlyArray<Bits | undefined>;
  /** Decisions by destination, with longest prefix match. */
  readonly table: ReadonlyArray<Entry<Fates>>;
}

/** The decision of each machine. */
export type Fates = readonly Decision[];

/** What distinguishes outcomes, beside the path and the table that decided. */
export interface Differences {
  /** @default tableKey */
  readonly keyOf?: (outcome: Outcome) => string;
  /** The owner of a rule. */
  readonly whose?: (rule: Rule) => string;
  /** Prefixes of sources. */
  readonly cuts?: readonly Bits[];
}

/**
 * The equivalence classes of all packets that come in, or that all of the machines can send, to destinations to which
 * packets are forwarded.
 */
export function trafficOf(machines: readonly Machine[], family: Family, differences: Differences = {}): TrafficClass[] {
  const traffic = new Traffic(machines, family, differences);
  return [...traffic.incoming(), ...traffic.sent()];
}

type Source = Bits | undefined;
type Table = ReadonlyArray<Entry<Fates>>;

class Traffic {
  private readonly keyOf: (outcome: Outcome) => string;
  private readonly decisions: DecisionInterner;
  private readonly classes: SourceClasses;
  private readonly fates = new Map<string, Fates>();
  private readonly numbers = new Map<unknown, number>();
  private readonly tables = new Map<string, Table>();
  private readonly paths = new Map<string, Reachability[]>();
  private readonly makers = new Map<string, NodeMaker<Decision, Fates>>();

  public constructor(
    private readonly machines: readonly Machine[],
    private readonly family: Family,
    private readonly differences: Differences,
  ) {
    this.keyOf = differences.keyOf ?? tableKey;
    this.decisions = new DecisionInterner(this.keyOf);
    const rules = machines.flatMap(({ sides }) => sides[family].rules.inOrder);
    this.classes = new SourceClasses(family, [
      ...rules.flatMap(({ source }) => source ?? []),
      ...(differences.cuts ?? []),
    ]);
  }

  public incoming(): TrafficClass[] {
    return this.classesOf('incoming', (kind) => {
      const paths = this.pathsOf(kind);
      return this.classes.all.map((source) => [source, this.tableOf(paths, source)]);
    });
  }

  public sent(): TrafficClass[] {
    // A packet without a source is in no prefix.
    const none = UNSPECIFIED[this.family] ?? '';
    const addresses = commonAddresses(this.machines, this.family).flatMap((address) => {
      const sourceClass = this.classes.of(address);
      return sourceClass === undefined ? [] : [{ address, sourceClass }];
    });
    return this.classesOf('sent', (kind) => {
      const paths = this.pathsOf(kind);
      return [
        ...addresses.map(({ address, sourceClass }) => [address, this.tableOf(paths, sourceClass)] as const),
        [undefined, this.tableOf(paths, none)],
      ];
    });
  }

  private classesOf(
    direction: Direction,
    tablesOf: (kind: HeaderFields) => ReadonlyArray<readonly [Source, Table]>,
  ): TrafficClass[] {
    const cells = new HeaderClasses(this.machines, this.family, direction);
    const bySource = new Map<Source, Map<Table, HeaderFields[]>>();
    for (const kind of cells.kinds) {
      for (const [source, table] of tablesOf(kind)) {
        pushTo(
          getOrInsertComputed(bySource, source, () => new Map<Table, HeaderFields[]>()),
          table,
          kind,
        );
      }
    }
    const alike = new Map<string, { kinds: readonly HeaderFields[]; table: Table; sources: Source[] }>();
    for (const [source, byTable] of bySource) {
      for (const [table, kinds] of byTable) {
        const key = [table, ...kinds].map((each) => this.numberOf(each)).join();
        getOrInsertComputed(alike, key, () => ({ kinds, table, sources: [] as Source[] })).sources.push(source);
      }
    }
    const [plain] = cells.kinds;
    const packets = new Map<string, Packets[]>();
    return [...alike.values()].map(({ kinds, table, sources }) => {
      const key = kinds.map((kind) => this.numberOf(kind)).join();
      return {
        ...{ family: this.family, direction, kinds, sources, table, usual: kinds.includes(plain) },
        packets: getOrInsertComputed(packets, key, () => cells.packetsOf(kinds)),
      };
    });
  }

  /** Packets for which the same rules match all or none are looked up once, unless routes distinguish them. */
  private pathsOf(kind: HeaderFields): Reachability[] {
    const { decisions, family } = this;
    const { whose } = this.differences;
    const taken = this.machines.map(({ sides }) =>
      sides[family].rules.inOrder.map((rule) => +isOfKind(rule, kind)).join(''),
    );
    const key = [family === 6 ? kind.inputInterface : '', ...taken].join(' ');
    return getOrInsertComputed(this.paths, key, () => {
      const scope = { decisions, whose, onlyForwarded: true, anyOwnSource: true };
      return this.machines.map((machine) => new Reachability(machine, kind, scope));
    });
  }

  private tableOf(paths: readonly Reachability[], source: SourceClass): Table {
    const chains = paths.map((each) => shortened(each.chainOf(source), this.decisions));
    const keys = chains.map((chain) => chain.map(({ id }) => id).join());
    return getOrInsertComputed(this.tables, keys.join(' '), () => {
      // Most machines decide alike.
      const different = [...new Set(keys)];
      const places = keys.map((key) => different.indexOf(key));
      const maker = getOrInsertComputed(
        this.makers,
        places.join(),
        () =>
          new NodeMaker<Decision, Fates>(this.decisions, (said) => this.fatesOf(places.map((place) => said[place]))),
      );
      const some = different.map((key) => chains[keys.indexOf(key)]);
      const table = entriesOf(maker.of(some, FORWARDED[this.family]));
      const text = table.map(({ prefix, value }) => `${prefix} ${this.numberOf(value)}`).join();
      return getOrInsertComputed(this.tables, `says ${text}`, () => table);
    });
  }

  /** Certainty is not part of the key. */
  private fatesOf(said: Fates): Fates {
    const key = said.map((decision) => this.numberOf(decision)).join();
    return getOrInsertComputed(this.fates, key, () => {
      const keyOf = (outcome: Outcome): string => `${this.keyOf(outcome)} ${outcome.by}`;
      const ways = said.map(({ outcomes }) => [...new Set(outcomes.map(keyOf))].sort().join());
      return getOrInsertComputed(this.fates, `${ways.join('; ')}.`, () => said);
    });
  }

  private numberOf(thing: unknown): number {
    return getOrInsertComputed(this.numbers, thing, () => this.numbers.size);
  }
}

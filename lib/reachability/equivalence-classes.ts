import type { Family } from '../model/family';
import { getOrInsertComputed, pushTo } from '../model/maps';
import type { Rule } from '../model/rule';
import type { Bits } from '../fib/bits';
import type { Direction, Packets } from './header-classes';
import { HeaderClasses } from './header-classes';
import { simplified } from './trie-chain';
import type { Decision } from './decision';
import { DecisionInterner, tableKey } from './decision';
import type { HeaderFields } from '../fib/packet';
import { UNSPECIFIED } from '../fib/packet';
import { FORWARDED } from './forwarded';
import type { Machine } from '../fib/machine';
import { commonAddresses } from '../fib/machine';
import type { Outcome } from '../fib/outcome';
import { Reachability } from './reachability';
import type { Entry } from './aggregate';
import { NodeMaker, entriesOf } from './aggregate';
import { matchesHeader } from '../fib/rules';
import type { SourceClass } from './source-classes';
import { SourceClasses } from './source-classes';

/** Packets that none of the machines distinguishes, apart from their destinations. */
export interface TrafficClass {
  readonly family: Family;
  readonly direction: Direction;
  /** Which packets, in pieces. */
  readonly packets: readonly Packets[];
  /** Representatives: each stands for all packets that are not distinguished from it. */
  readonly headers: readonly HeaderFields[];
  /** Whether the class includes packets that no rule selects specifically. */
  readonly usual: boolean;
  /**
   * Prefixes: among those of all classes the longest around an address counts. Of what the machines send
   * themselves their addresses, and undefined for packets without a source yet.
   */
  readonly sources: ReadonlyArray<Bits | undefined>;
  /** Decisions by destination, with longest prefix match. */
  readonly table: ReadonlyArray<Entry<MachineDecisions>>;
}

/** The decision of each machine. */
export type MachineDecisions = readonly Decision[];

/** What distinguishes outcomes, beside the path and the table that decided. */
export interface Distinctions {
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
export function trafficClassesOf(
  machines: readonly Machine[],
  family: Family,
  differences: Distinctions = {},
): TrafficClass[] {
  const traffic = new Classifier(machines, family, differences);
  return [...traffic.incoming(), ...traffic.sent()];
}

type Source = Bits | undefined;
type DecisionTable = ReadonlyArray<Entry<MachineDecisions>>;

class Classifier {
  private readonly keyOf: (outcome: Outcome) => string;
  private readonly decisions: DecisionInterner;
  private readonly classes: SourceClasses;
  private readonly made = new Map<string, MachineDecisions>();
  private readonly numbers = new Map<unknown, number>();
  private readonly tables = new Map<string, DecisionTable>();
  private readonly reachabilities = new Map<string, Reachability[]>();
  private readonly makers = new Map<string, NodeMaker<Decision, MachineDecisions>>();

  public constructor(
    private readonly machines: readonly Machine[],
    private readonly family: Family,
    private readonly differences: Distinctions,
  ) {
    this.keyOf = differences.keyOf ?? tableKey;
    this.decisions = new DecisionInterner(this.keyOf);
    const rules = machines.flatMap(({ families }) => families[family].rules.inOrder);
    this.classes = new SourceClasses(family, [
      ...rules.flatMap(({ source }) => source ?? []),
      ...(differences.cuts ?? []),
    ]);
  }

  public incoming(): TrafficClass[] {
    return this.classesOf('incoming', (header) => {
      const reachabilities = this.reachabilitiesOf(header);
      return this.classes.all.map((source) => [source, this.tableOf(reachabilities, source)]);
    });
  }

  public sent(): TrafficClass[] {
    // A packet without a source is in no prefix.
    const none = UNSPECIFIED[this.family] ?? '';
    const addresses = commonAddresses(this.machines, this.family).flatMap((address) => {
      const sourceClass = this.classes.of(address);
      return sourceClass === undefined ? [] : [{ address, sourceClass }];
    });
    return this.classesOf('sent', (header) => {
      const reachabilities = this.reachabilitiesOf(header);
      return [
        ...addresses.map(({ address, sourceClass }) => [address, this.tableOf(reachabilities, sourceClass)] as const),
        [undefined, this.tableOf(reachabilities, none)],
      ];
    });
  }

  private classesOf(
    direction: Direction,
    tablesOf: (header: HeaderFields) => ReadonlyArray<readonly [Source, DecisionTable]>,
  ): TrafficClass[] {
    const headerClasses = new HeaderClasses(this.machines, this.family, direction);
    const bySource = new Map<Source, Map<DecisionTable, HeaderFields[]>>();
    for (const header of headerClasses.headers) {
      for (const [source, table] of tablesOf(header)) {
        pushTo(
          getOrInsertComputed(bySource, source, () => new Map<DecisionTable, HeaderFields[]>()),
          table,
          header,
        );
      }
    }
    const alike = new Map<string, { headers: readonly HeaderFields[]; table: DecisionTable; sources: Source[] }>();
    for (const [source, byTable] of bySource) {
      for (const [table, headers] of byTable) {
        const key = [table, ...headers].map((each) => this.numberOf(each)).join();
        getOrInsertComputed(alike, key, () => ({ headers, table, sources: [] as Source[] })).sources.push(source);
      }
    }
    const [plain] = headerClasses.headers;
    const packets = new Map<string, Packets[]>();
    return [...alike.values()].map(({ headers, table, sources }) => {
      const key = headers.map((header) => this.numberOf(header)).join();
      return {
        ...{ family: this.family, direction, headers, sources, table, usual: headers.includes(plain) },
        packets: getOrInsertComputed(packets, key, () => headerClasses.packetsOf(headers)),
      };
    });
  }

  /** Packets for which the same rules match all or none are looked up once, unless routes distinguish them. */
  private reachabilitiesOf(header: HeaderFields): Reachability[] {
    const { decisions, family } = this;
    const { whose } = this.differences;
    const taken = this.machines.map(({ families }) =>
      families[family].rules.inOrder.map((rule) => +matchesHeader(rule, header)).join(''),
    );
    const key = [family === 6 ? header.inputInterface : '', ...taken].join(' ');
    return getOrInsertComputed(this.reachabilities, key, () => {
      const scope = { decisions, whose, onlyForwarded: true, anyOwnSource: true };
      return this.machines.map((machine) => new Reachability(machine, header, scope));
    });
  }

  private tableOf(reachabilities: readonly Reachability[], source: SourceClass): DecisionTable {
    const chains = reachabilities.map((each) => simplified(each.chainOf(source), this.decisions));
    const keys = chains.map((chain) => chain.map(({ id }) => id).join());
    return getOrInsertComputed(this.tables, keys.join(' '), () => {
      // Most machines decide alike.
      const different = [...new Set(keys)];
      const places = keys.map((key) => different.indexOf(key));
      const maker = getOrInsertComputed(
        this.makers,
        places.join(),
        () =>
          new NodeMaker<Decision, MachineDecisions>(this.decisions, (decisions) =>
            this.interned(places.map((place) => decisions[place])),
          ),
      );
      const some = different.map((key) => chains[keys.indexOf(key)]);
      const table = entriesOf(maker.of(some, FORWARDED[this.family]));
      const text = table.map(({ prefix, value }) => `${prefix} ${this.numberOf(value)}`).join();
      return getOrInsertComputed(this.tables, `says ${text}`, () => table);
    });
  }

  /** Certainty is not part of the key. */
  private interned(decisions: MachineDecisions): MachineDecisions {
    const key = decisions.map((decision) => this.numberOf(decision)).join();
    return getOrInsertComputed(this.made, key, () => {
      const keyOf = (outcome: Outcome): string => `${this.keyOf(outcome)} ${outcome.by}`;
      const ways = decisions.map(({ outcomes }) => [...new Set(outcomes.map(keyOf))].sort().join());
      return getOrInsertComputed(this.made, `${ways.join('; ')}.`, () => decisions);
    });
  }

  private numberOf(thing: unknown): number {
    return getOrInsertComputed(this.numbers, thing, () => this.numbers.size);
  }
}

import type { Family } from '../model/family';
import { getOrInsertComputed, pushTo } from '../model/maps';
import type { Rule } from '../model/rule';
import type { AddressMap } from './prefix-trie';
import type { AddressMaps } from './prefix-trie';
import { partOf } from './prefix-trie';
import type { Bits } from '../fib/bits';
import { ADDRESS_LENGTH, prefixBits } from '../fib/bits';
import type { Chain } from './trie-chain';
import { undecidedAddress } from './trie-chain';
import type { Decision } from './decision';
import { DecisionInterner } from './decision';
import type { PacketHeader, HeaderFields } from '../fib/packet';
import { IPV4_SPECIAL, applyIpv4OutputQuirks, ipv4Special, keepLoopback } from '../fib/ipv4';
import type { Machine } from '../fib/machine';
import { LOCAL_TABLE_ID } from '../fib/machine';
import type { Outcome } from '../fib/outcome';
import type { CompiledRule } from '../fib/rules';
import type { SourceClass } from './source-classes';
import { SourceClasses } from './source-classes';
import type { RuleVerdict, RuleMatch } from './rule-verdicts';
import { coversSource, verdictOf, withSource } from './rule-verdicts';
import { lookIn } from '../fib/walk';

/** Destinations that the kernel treats specially. No prefix may cross their borders. */
export const SPECIAL_PURPOSE_PREFIXES: Readonly<Record<Family, readonly Bits[]>> = {
  4: IPV4_SPECIAL,
  6: ['fe80::/10', 'ff00::/8', '::1'].map(prefixBits),
};

/** Restricts the packets of a kind. */
export interface Scope {
  /**
   * Of packets that the machine sends: the one source that is looked at. That to a device, if it is bound to one, is
   * not.
   */
  readonly source?: Bits;
  /** Of packets that the machine sends, to where they can be forwarded: those from any of its addresses, in classes. */
  readonly anyOwnSource?: boolean;
  /** Prefixes that split the source classes. */
  readonly cuts?: readonly Bits[];
  /**
   * Prefixes of destinations, without others inside them. Packets to other destinations get the decision `elsewhere`.
   *
   * @default - all
   */
  readonly destinations?: { readonly within: readonly Bits[]; readonly except: readonly Bits[] };
  /** Whether to leave out destinations that the kernel treats specially, to which nothing is forwarded. */
  readonly onlyForwarded?: boolean;
  /** Interns decisions. With a shared one, the decisions of several `Reachability` can be compared. */
  readonly decisions?: DecisionInterner;
  /** The owner of a rule. Decisions of rules of different owners differ. */
  readonly whose?: (rule: Rule) => string;
}

/**
 * The decisions about all packets of one kind, by source and destination. The sources are split into classes that no
 * rule distinguishes. Each class has a chain of maps from destinations to decisions. Packets of the machine itself have
 * one source and one class.
 */
export class Reachability {
  public readonly decisions: DecisionInterner;
  /** The decision for destinations that are left out. */
  public readonly elsewhere: Decision;
  /** Classes of sources that no rule distinguishes. */
  public readonly sources: SourceClasses;
  private readonly maps: AddressMaps<Decision>;
  /** The rules that look at the source. */
  private readonly rulesBySource = new Map<Bits, RuleVerdict[]>();
  private readonly acrossSources: RuleVerdict[] = [];
  private readonly verdicts: readonly RuleVerdict[];
  private readonly verdictFor: ReadonlyMap<CompiledRule, RuleVerdict>;
  private readonly hasGoto: boolean;
  /** The maps of the rules without a source, before each rule and at the end. */
  private readonly common = new Map<RuleVerdict | 'end', AddressMap<Decision>>();
  private readonly verdictMaps = new Map<string, AddressMap<Decision>>();
  private readonly chains = new Map<SourceClass, Chain<Decision>>();

  public constructor(
    private readonly machine: Machine,
    public readonly header: HeaderFields,
    private readonly scope: Scope = {},
  ) {
    this.decisions = scope.decisions ?? new DecisionInterner();
    this.maps = this.decisions.maps;
    this.elsewhere = this.decisions.of([], false);
    const verdicts = machine.families[header.family].rules.inOrder.flatMap((rule) => verdictOf(rule, header));
    const hasOneSource = header.inputInterface === undefined && scope.anyOwnSource !== true;
    this.verdicts = hasOneSource ? verdicts.flatMap((verdict) => withSource(verdict, scope.source)) : verdicts;
    this.hasGoto = this.verdicts.some(({ rule }) => rule.rule.action.kind === 'goto');
    this.verdictFor = new Map(this.verdicts.map((verdict) => [verdict.rule, verdict]));
    this.verdicts.forEach((verdict) => this.index(verdict));
    this.sources = new SourceClasses(header.family, [...this.rulesBySource.keys(), ...(scope.cuts ?? [])]);
    this.combine();
  }

  /** The chain of maps for a source class, or for a part of one. */
  public chainOf(sourceClass: SourceClass): Chain<Decision> {
    return getOrInsertComputed(this.chains, sourceClass, () =>
      this.hasGoto ? [this.follow(sourceClass)] : this.link(sourceClass),
    );
  }

  /** An address of a class; if there is one, not the first of a network, and none of this machine. */
  public sourceOf(sourceClass: SourceClass): Bits | undefined {
    if (this.header.inputInterface === undefined) {
      return this.scope.source;
    }
    const left = ADDRESS_LENGTH[this.header.family] - sourceClass.length;
    const clients = left < 3 ? [] : ['010', '011', '100', '101'].map((end) => sourceClass + end.padStart(left, '0'));
    const client = clients.find((each) => this.sources.of(each) === sourceClass && !this.isOwn(each));
    return client ?? this.sources.someOf(sourceClass);
  }

  /**
   * A packet that the rule matches, or may match; undefined if there is none, so the rule has no effect on packets of
   * this kind. Unknown if a goto skips rules.
   */
  public packetOf(rule: CompiledRule): PacketHeader | 'unknown' | undefined {
    const verdict = this.verdictFor.get(rule);
    if (!verdict || this.hasGoto) {
      return verdict && 'unknown';
    }
    for (const sourceClass of this.classesFor(verdict)) {
      const destination = this.reachedBy(verdict, sourceClass);
      if (destination !== undefined) {
        return { ...this.header, source: this.sourceOf(sourceClass), destination };
      }
    }
    return undefined;
  }

  private isOwn(address: Bits): boolean {
    const [routes] =
      this.machine.families[this.header.family].tables.get(LOCAL_TABLE_ID)?.coveringPrefixes(address) ?? [];
    return routes !== undefined;
  }

  private *classesFor({ source, outside }: RuleVerdict): Generator<SourceClass> {
    yield* this.sources.within(source ?? '');
    if (source !== undefined && outside !== 'leaves') {
      yield* this.sources.within('').filter((each) => !each.startsWith(source));
    }
  }

  /** A destination that is undecided before the rule, and that the rule matches. */
  private reachedBy(verdict: RuleVerdict, sourceClass: SourceClass): Bits | undefined {
    const length = ADDRESS_LENGTH[this.header.family];
    const before = this.ownVerdicts(sourceClass).filter(({ rule }) => rule.position < verdict.rule.position);
    const chain = this.link(sourceClass, before, verdict);
    const prefix = verdict.destination ?? '';
    const within = coversSource(verdict, sourceClass);
    if (within && verdict.inside !== 'leaves') {
      const rest = undecidedAddress(
        chain.map((map) => partOf(map, prefix)),
        length - prefix.length,
      );
      if (rest !== undefined) return `${prefix}${rest}`;
    }
    if (verdict.outside === 'leaves') {
      return undefined;
    }
    const nothing = this.maps.all(this.decisions.nothing);
    const closed = this.maps.all(this.elsewhere);
    return undecidedAddress([...chain, within ? this.maps.within(nothing, prefix, () => closed) : nothing], length);
  }

  private index(verdict: RuleVerdict): void {
    if (verdict.source === undefined) {
      return;
    }
    if (verdict.outside !== 'leaves') {
      this.acrossSources.push(verdict);
    }
    pushTo(this.rulesBySource, verdict.source, verdict);
  }

  private combine(): void {
    let map = this.special();
    for (const verdict of this.verdicts) {
      this.common.set(verdict, map);
      if (verdict.source === undefined && verdict.rule.rule.action.kind !== 'goto') {
        map = this.filled(map, verdict);
      }
    }
    const none = this.decisions.of([{ kind: 'no route' }], false);
    this.common.set('end', this.maps.fill(map, this.maps.all(none)));
  }

  /** Completes the undecided parts of a map with a rule. Most of thousands of rules have no effect on it. */
  private filled(map: AddressMap<Decision>, verdict: RuleVerdict): AddressMap<Decision> {
    if (verdict.outside !== 'leaves') {
      return this.maps.fill(map, this.verdictMapOf(verdict, true));
    }
    const prefix = verdict.destination ?? '';
    return partOf(map, prefix).undecided
      ? this.maps.within(map, prefix, (part) => this.maps.fill(part, this.verdictMapInside(verdict)))
      : map;
  }

  /** Decisions without the rules, and destinations that are left out. */
  private special(): AddressMap<Decision> {
    const nothing = this.maps.all(this.decisions.nothing);
    const decided = (this.header.family === 6 || this.scope.onlyForwarded ? [] : ['', ...IPV4_SPECIAL]).reduce<
      AddressMap<Decision>
    >((map, prefix) => {
      const packet = this.packet('', prefix);
      const outcomes = ipv4Special(this.machine, packet)?.map((outcome) => this.afterwards(packet, outcome));
      return outcomes ? this.maps.within(map, prefix, () => this.maps.all(this.decisions.of(outcomes, false))) : map;
    }, nothing);
    const { within, except } = this.scope.destinations ?? { within: [''], except: [] };
    const elsewhere: AddressMap<Decision> = this.maps.all(this.elsewhere);
    const among = within.reduce<AddressMap<Decision>>(
      (map, prefix) => this.maps.within(map, prefix, () => partOf(decided, prefix)),
      elsewhere,
    );
    return except.reduce<AddressMap<Decision>>((map, prefix) => this.maps.within(map, prefix, () => elsewhere), among);
  }

  /** The final decision about a packet that the machine sends. */
  private afterwards(packet: PacketHeader, outcome: Outcome): Outcome {
    return packet.family === 4 && packet.inputInterface === undefined
      ? keepLoopback(packet, applyIpv4OutputQuirks(packet, outcome))
      : outcome;
  }

  /** The maps of the rules with a source, with those of the others between them and up to `end`. */
  private link(
    sourceClass: SourceClass,
    own = this.ownVerdicts(sourceClass),
    end: RuleVerdict | 'end' = 'end',
  ): Chain<Decision> {
    const chain: Array<AddressMap<Decision>> = [];
    for (const verdict of own) {
      const map = this.verdictMapOf(verdict, coversSource(verdict, sourceClass));
      chain.push(this.commonBefore(verdict), map);
      // No packet passes this rule.
      if (!map.undecided) return chain;
    }
    return [...chain, this.commonBefore(end)];
  }

  private ownVerdicts(sourceClass: SourceClass): RuleVerdict[] {
    const own: RuleVerdict[] = [];
    for (let length = 0; length <= sourceClass.length; length++) {
      own.push(...(this.rulesBySource.get(sourceClass.slice(0, length)) ?? []));
    }
    return [...new Set([...own, ...this.acrossSources])].sort((a, b) => a.rule.position - b.rule.position);
  }

  private commonBefore(verdict: RuleVerdict | 'end'): AddressMap<Decision> {
    return this.common.get(verdict) ?? this.maps.all(this.decisions.nothing);
  }

  /** With a goto, packets do not meet the rules in one order, so each rule is followed to all its results. */
  private follow(sourceClass: SourceClass): AddressMap<Decision> {
    const from = new Array<AddressMap<Decision>>(this.verdicts.length + 1);
    from[this.verdicts.length] = this.maps.all(this.decisions.of([{ kind: 'no route' }], false));
    for (let index = this.verdicts.length - 1; index >= 0; index--) {
      const verdict = this.verdicts[index];
      const inside = coversSource(verdict, sourceClass);
      const { action } = verdict.rule.rule;
      from[index] =
        action.kind === 'goto'
          ? this.branch(
              verdict,
              inside,
              this.owned(verdict, this.jump(verdict, index, action.priority, from)),
              from[index + 1],
            )
          : this.maps.fill(this.verdictMapOf(verdict, inside), from[index + 1]);
    }
    return this.maps.fill(this.special(), from[0]);
  }

  /** What becomes of packets that a goto takes. */
  private jump(
    { rule }: RuleVerdict,
    index: number,
    priority: number,
    from: ReadonlyArray<AddressMap<Decision>>,
  ): AddressMap<Decision> {
    const target = this.machine.families[this.header.family].rules.at(priority);
    if (priority <= rule.rule.priority || !target) {
      return from[index + 1];
    }
    const found = this.verdicts.findIndex((verdict) => verdict.rule.position >= target.position);
    const there = from[found < 0 ? this.verdicts.length : found];
    // One that may be of the other family may not be there.
    return target.rule.family === 'auto' ? this.either(there, from[index + 1]) : there;
  }

  private branch(
    verdict: RuleVerdict,
    fromSource: boolean,
    taken: AddressMap<Decision>,
    left: AddressMap<Decision>,
  ): AddressMap<Decision> {
    return this.parted(verdict, fromSource, (match) =>
      match === 'takes' ? taken : match === 'leaves' ? left : this.either(taken, left),
    );
  }

  /** Joins what the matches of a rule mean: for its destinations, and for all others. */
  private parted(
    verdict: RuleVerdict,
    fromSource: boolean,
    meaning: (match: RuleMatch) => AddressMap<Decision>,
    change = (part: AddressMap<Decision>): AddressMap<Decision> => part,
  ): AddressMap<Decision> {
    const outside = change(meaning(verdict.outside));
    const prefix = verdict.destination ?? '';
    const part = (): AddressMap<Decision> => change(partOf(meaning(verdict.inside), prefix));
    return fromSource ? this.maps.within(outside, prefix, part) : outside;
  }

  private either(one: AddressMap<Decision>, other: AddressMap<Decision>): AddressMap<Decision> {
    return this.maps.fill(this.asUncertain(one), other);
  }

  /** The verdict of a rule for all destinations. */
  private verdictMapOf(verdict: RuleVerdict, fromSource: boolean): AddressMap<Decision> {
    const key = `${verdict.rule.position} ${fromSource}`;
    return getOrInsertComputed(this.verdictMaps, key, () =>
      this.parted(
        verdict,
        fromSource,
        (match) => this.byMatch(verdict, match),
        (part) => this.owned(verdict, part),
      ),
    );
  }

  /** The same for the destinations of the rule. */
  private verdictMapInside(verdict: RuleVerdict): AddressMap<Decision> {
    return this.owned(verdict, partOf(this.byMatch(verdict, verdict.inside), verdict.destination ?? ''));
  }

  /** The owner of a goto takes part in decisions about the packets that skip rules. */
  private owned({ rule }: RuleVerdict, map: AddressMap<Decision>): AddressMap<Decision> {
    const by = this.scope.whose?.(rule.rule);
    return by === undefined ? map : this.decisions.ownedBy(by, map);
  }

  private byMatch(verdict: RuleVerdict, match: RuleMatch): AddressMap<Decision> {
    if (match === 'leaves') {
      return this.maps.all(this.decisions.nothing);
    }
    const map = this.action(verdict.rule);
    return match === 'takes' ? map : this.asUncertain(map);
  }

  private action(rule: CompiledRule): AddressMap<Decision> {
    const { action, suppressPrefixLength, suppressInterfaceGroup } = rule.rule;
    if (action.kind === 'goto') {
      return this.maps.all(this.decisions.nothing);
    }
    if (action.kind !== 'lookup') {
      return this.maps.all(this.decisions.of([{ kind: action.kind }], false));
    }
    const key = [action.tableId, suppressPrefixLength, suppressInterfaceGroup, this.tableCacheKey()].join(' ');
    const tables = this.decisions.tablesOf(this.machine);
    return getOrInsertComputed(tables, key, () => this.table(action.tableId, rule));
  }

  /** The fields that matter to tables. Many kinds of packets share them. */
  private tableCacheKey(): string {
    const { family, inputInterface, outputInterface } = this.header;
    const { source, onlyForwarded } = this.scope;
    const from =
      inputInterface === undefined ? ['sent', outputInterface, source] : [family === 6 ? inputInterface : ''];
    return [family, onlyForwarded, ...from].join(' ');
  }

  private table(tableId: number, rule: CompiledRule): AddressMap<Decision> {
    const { family, inputInterface } = this.header;
    const table = this.machine.families[family].tables.get(tableId);
    // For packets that come in, IPv4 decides about these destinations before any table.
    const isDecided = family === 4 && inputInterface !== undefined;
    const borders = isDecided || this.scope.onlyForwarded ? [] : SPECIAL_PURPOSE_PREFIXES[family];
    const decisions = new Map<Bits, Decision>();
    // Outer prefixes come first, since the first of equal outcomes is kept.
    const prefixes = ['', ...borders, ...(table?.destinations() ?? [])].sort((a, b) => a.length - b.length);
    for (const prefix of new Set(prefixes)) {
      const packet = this.packet('', prefix);
      const { outcomes, goesOn } = lookIn(this.machine, tableId, rule, packet);
      const ends = outcomes.map((outcome) => this.afterwards(packet, outcome));
      decisions.set(prefix, this.decisions.of(ends, goesOn !== undefined));
    }
    return this.maps.longest(decisions, this.decisions.nothing);
  }

  /** The same, and later rules may decide otherwise. */
  private asUncertain(map: AddressMap<Decision>): AddressMap<Decision> {
    return this.maps.change(map, ({ outcomes }) =>
      this.decisions.of(
        outcomes.map((outcome) => ({ ...outcome, unsure: true })),
        true,
      ),
    );
  }

  /** A prefix stands for all addresses in it that are in no longer one. */
  private packet(source: Bits, destination: Bits): PacketHeader {
    return {
      ...this.header,
      source: this.header.inputInterface === undefined ? this.scope.source : source,
      destination,
    };
  }
}

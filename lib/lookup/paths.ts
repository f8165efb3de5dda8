import type { Family } from '../model/family';
import type { AddressMap } from './address-map';
import { AddressMaps, partOf } from './address-map';
import type { Bits } from './bits';
import { ADDRESS_LENGTH, prefixBits } from './bits';
import type { Chain } from './chain';
import { openAddress } from './chain';
import type { Decision } from './decision';
import { Decisions } from './decision';
import type { Flow, IncomingKind } from './flow';
import { IPV4_SPECIAL, ipv4Special } from './ipv4';
import type { Machine } from './machine';
import type { ReadyRule } from './rules';
import type { SourceClass } from './source-classes';
import { SourceClasses } from './source-classes';
import type { Step, Verdict } from './steps';
import { isInside, stepOf } from './steps';
import { lookIn } from './walk';

/** Destinations that the kernel treats in ways of its own, so that no prefix may be across their border. */
const BORDERS: Readonly<Record<Family, readonly Bits[]>> = {
  4: IPV4_SPECIAL,
  6: ['fe80::/10', 'ff00::/8', '::1'].map(prefixBits),
};

/**
 * Where the packets of one kind that come in go: all of them, by source and destination. The sources are cut
 * into classes between which no rule tells any difference; of each class it is known, as a chain of maps, what
 * becomes of its packets to all destinations.
 */
export class Paths {
  public readonly decisions = new Decisions();
  /** Sources between which no rule tells any difference. */
  public readonly sources: SourceClasses;
  private readonly maps = new AddressMaps(this.decisions);
  /** The rules that look at the source. */
  private readonly sourced = new Map<Bits, Step[]>();
  private readonly everywhere: Step[] = [];
  private readonly steps: readonly Step[];
  private readonly stepFor: ReadonlyMap<ReadyRule, Step>;
  private readonly hasGoto: boolean;
  /** What all rules that do not look at the source say, before each step and in the end. */
  private readonly common = new Map<Step | 'end', AddressMap<Decision>>();
  private readonly said = new Map<string, AddressMap<Decision>>();
  private readonly chains = new Map<SourceClass, Chain<Decision>>();

  public constructor(
    private readonly machine: Machine,
    public readonly kind: IncomingKind,
  ) {
    this.steps = machine.sides[kind.family].rules.inOrder.flatMap((rule) => stepOf(rule, kind));
    this.hasGoto = this.steps.some(({ rule }) => rule.rule.action.kind === 'goto');
    this.stepFor = new Map(this.steps.map((step) => [step.rule, step]));
    this.steps.forEach((step) => this.index(step));
    this.sources = new SourceClasses(kind.family, this.sourced.keys());
    this.combine();
  }

  /** What becomes of the packets of a class of sources. */
  public chainOf(sourceClass: SourceClass): Chain<Decision> {
    let chain = this.chains.get(sourceClass);
    if (!chain) {
      chain = this.hasGoto ? [this.follow(sourceClass)] : this.link(sourceClass);
      this.chains.set(sourceClass, chain);
    }
    return chain;
  }

  /**
   * A packet that the rule takes, or may take; undefined if there is none, so that the rule does nothing for
   * packets of this kind. Not known where a goto takes packets past others.
   */
  public packetOf(rule: ReadyRule): Flow | 'unknown' | undefined {
    const step = this.stepFor.get(rule);
    if (!step || this.hasGoto) {
      return step && 'unknown';
    }
    for (const sourceClass of this.classesFor(step)) {
      const destination = this.reachedBy(step, sourceClass);
      if (destination !== undefined) {
        return this.flow(this.sources.someOf(sourceClass), destination);
      }
    }
    return undefined;
  }

  private *classesFor({ source, outside }: Step): Generator<SourceClass> {
    yield* this.sources.within(source ?? '');
    if (source !== undefined && outside !== 'leaves') {
      yield* this.sources.within('').filter((each) => !each.startsWith(source));
    }
  }

  /** A destination in which what comes before the rule is open, and the rule takes the packet. */
  private reachedBy(step: Step, sourceClass: SourceClass): Bits | undefined {
    const length = ADDRESS_LENGTH[this.kind.family];
    const before = this.ownSteps(sourceClass).filter(({ rule }) => rule.position < step.rule.position);
    const chain = this.link(sourceClass, before, step);
    const prefix = step.destination ?? '';
    const within = isInside(step, sourceClass);
    if (within && step.inside !== 'leaves') {
      const rest = openAddress(
        chain.map((map) => partOf(map, prefix)),
        length - prefix.length,
      );
      if (rest !== undefined) return `${prefix}${rest}`;
    }
    if (step.outside === 'leaves') {
      return undefined;
    }
    const nothing = this.maps.all(this.decisions.nothing);
    const closed = this.maps.all(this.decisions.of([], false));
    return openAddress([...chain, within ? this.maps.within(nothing, prefix, () => closed) : nothing], length);
  }

  private index(step: Step): void {
    if (step.source === undefined) {
      return;
    }
    if (step.outside !== 'leaves') {
      this.everywhere.push(step);
    }
    const steps = this.sourced.get(step.source);
    if (steps) {
      steps.push(step);
    } else {
      this.sourced.set(step.source, [step]);
    }
  }

  private combine(): void {
    let map = this.special();
    for (const step of this.steps) {
      this.common.set(step, map);
      if (step.source === undefined && step.rule.rule.action.kind !== 'goto') {
        map = this.maps.fill(map, this.saidBy(step, true));
      }
    }
    const none = this.decisions.of([{ kind: 'no route' }], false);
    this.common.set('end', this.maps.fill(map, this.maps.all(none)));
  }

  /** What is decided without the rules. */
  private special(): AddressMap<Decision> {
    const nothing = this.maps.all(this.decisions.nothing);
    if (this.kind.family === 6) {
      return nothing;
    }
    return IPV4_SPECIAL.reduce<AddressMap<Decision>>((map, prefix) => {
      const outcomes = ipv4Special(this.machine, this.flow('', prefix));
      return outcomes ? this.maps.within(map, prefix, () => this.maps.all(this.decisions.of(outcomes, false))) : map;
    }, nothing);
  }

  /** What those rules say that look at the source, and between them and up to `end` the others. */
  private link(sourceClass: SourceClass, own = this.ownSteps(sourceClass), end: Step | 'end' = 'end'): Chain<Decision> {
    const said = own.flatMap((step) => [this.commonBefore(step), this.saidBy(step, isInside(step, sourceClass))]);
    return [...said, this.commonBefore(end)];
  }

  private ownSteps(sourceClass: SourceClass): Step[] {
    const around: Step[] = [];
    for (let length = 0; length <= sourceClass.length; length++) {
      around.push(...(this.sourced.get(sourceClass.slice(0, length)) ?? []));
    }
    return [...new Set([...around, ...this.everywhere])].sort((a, b) => a.rule.position - b.rule.position);
  }

  private commonBefore(step: Step | 'end'): AddressMap<Decision> {
    return this.common.get(step) ?? this.maps.all(this.decisions.nothing);
  }

  /** With a goto there is no order in which all packets meet the rules: each rule is followed to all its ends. */
  private follow(sourceClass: SourceClass): AddressMap<Decision> {
    const from = new Array<AddressMap<Decision>>(this.steps.length + 1);
    from[this.steps.length] = this.maps.all(this.decisions.of([{ kind: 'no route' }], false));
    for (let index = this.steps.length - 1; index >= 0; index--) {
      const step = this.steps[index];
      const inside = isInside(step, sourceClass);
      const { action } = step.rule.rule;
      from[index] =
        action.kind === 'goto'
          ? this.branch(step, inside, this.jump(step, index, action.priority, from), from[index + 1])
          : this.maps.fill(this.saidBy(step, inside), from[index + 1]);
    }
    return this.maps.fill(this.special(), from[0]);
  }

  /** What becomes of packets that a goto takes. */
  private jump(
    { rule }: Step,
    index: number,
    priority: number,
    from: ReadonlyArray<AddressMap<Decision>>,
  ): AddressMap<Decision> {
    const target = this.machine.sides[this.kind.family].rules.at(priority);
    if (priority <= rule.rule.priority || !target) {
      return from[index + 1];
    }
    const found = this.steps.findIndex((step) => step.rule.position >= target.position);
    const there = from[found < 0 ? this.steps.length : found];
    // One that may be of the other family may not be there.
    return target.rule.family === 'auto' ? this.either(there, from[index + 1]) : there;
  }

  private branch(
    step: Step,
    fromSource: boolean,
    taken: AddressMap<Decision>,
    left: AddressMap<Decision>,
  ): AddressMap<Decision> {
    return this.parted(step, fromSource, (verdict) =>
      verdict === 'takes' ? taken : verdict === 'leaves' ? left : this.either(taken, left),
    );
  }

  /** What a verdict means, where it is that of the step. */
  private parted(
    step: Step,
    fromSource: boolean,
    meaning: (verdict: Verdict) => AddressMap<Decision>,
  ): AddressMap<Decision> {
    const outside = meaning(step.outside);
    const prefix = step.destination ?? '';
    return fromSource ? this.maps.within(outside, prefix, () => partOf(meaning(step.inside), prefix)) : outside;
  }

  private either(one: AddressMap<Decision>, other: AddressMap<Decision>): AddressMap<Decision> {
    return this.maps.fill(this.opened(one), other);
  }

  /** What a rule says of all destinations. */
  private saidBy(step: Step, fromSource: boolean): AddressMap<Decision> {
    const key = `${step.rule.position} ${fromSource}`;
    let said = this.said.get(key);
    if (!said) {
      said = this.parted(step, fromSource, (verdict) => this.byVerdict(step, verdict));
      this.said.set(key, said);
    }
    return said;
  }

  private byVerdict(step: Step, verdict: Verdict): AddressMap<Decision> {
    if (verdict === 'leaves') {
      return this.maps.all(this.decisions.nothing);
    }
    const said = this.action(step.rule);
    return verdict === 'takes' ? said : this.opened(said);
  }

  private action(ready: ReadyRule): AddressMap<Decision> {
    const { action, suppressPrefixLength, suppressInterfaceGroup } = ready.rule;
    if (action.kind === 'goto') {
      return this.maps.all(this.decisions.nothing);
    }
    if (action.kind !== 'lookup') {
      return this.maps.all(this.decisions.of([{ kind: action.kind }], false));
    }
    const key = `table ${action.tableId} ${suppressPrefixLength} ${suppressInterfaceGroup}`;
    let map = this.said.get(key);
    if (!map) {
      map = this.table(action.tableId, ready);
      this.said.set(key, map);
    }
    return map;
  }

  private table(tableId: number, ready: ReadyRule): AddressMap<Decision> {
    const { family } = this.kind;
    const table = this.machine.sides[family].tables.get(tableId);
    const prefixes = [...new Set(['', ...BORDERS[family], ...(table?.destinations() ?? [])])];
    return prefixes
      .sort((a, b) => a.length - b.length)
      .reduce<AddressMap<Decision>>((map, prefix) => {
        const { outcomes, goesOn } = lookIn(this.machine, tableId, ready, this.flow('', prefix));
        const decision = this.decisions.of(outcomes, goesOn !== undefined);
        return this.maps.within(map, prefix, () => this.maps.all(decision));
      }, this.maps.all(this.decisions.nothing));
  }

  /** The same, and later rules may decide otherwise. */
  private opened(map: AddressMap<Decision>): AddressMap<Decision> {
    return this.maps.change(map, ({ outcomes }) => this.decisions.of(outcomes, true));
  }

  /** A prefix stands for all addresses in it that are in no longer one. */
  private flow(source: Bits, destination: Bits): Flow {
    return { ...this.kind, source, destination };
  }
}

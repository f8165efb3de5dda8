import type { Host } from '../model/host';
import { getOrInsertComputed, oncePerObject } from '../model/maps';
import type { AddressMap, PartialValueOps } from './prefix-trie';
import { AddressMaps } from './prefix-trie';
import type { Machine } from '../fib/machine';
import type { Outcome } from '../fib/outcome';

/** A decision about packets, possibly partial. Equal decisions are one object. */
export interface Decision {
  /** Several outcomes if the kernel chooses among next hops, or if a value is known at apply only. */
  readonly outcomes: readonly Outcome[];
  /** Whether later rules may decide otherwise. */
  readonly undecided: boolean;
}

/** Outcomes with the same path are equal, whatever route decided. */
export function outcomeKey({ kind, device = '', via = '' }: Outcome): string {
  return `${kind} ${device} ${via}`;
}

/** The same, told apart by the table that decided. */
export function tableKey(outcome: Outcome): string {
  return `${outcomeKey(outcome)} ${outcome.tableId ?? ''}`;
}

/** Tells whether each outcome happens to some packet. */
export function isCertain({ outcomes }: Decision): boolean {
  return outcomes.every(({ kind, unsure = false }) => kind !== 'unknown' && (!unsure || outcomes.length === 1));
}

/** Interns decisions, and maps of them. */
export class DecisionInterner implements PartialValueOps<Decision> {
  private readonly made = new Map<string, Decision>();
  /** By who owns them: maps made of others. */
  private readonly owned = new Map<string, Map<AddressMap<Decision>, AddressMap<Decision>>>();
  private readonly tables = new WeakMap<Machine, Map<string, AddressMap<Decision>>>();
  public readonly nothing: Decision;
  public readonly maps: AddressMaps<Decision>;

  /** @param keyOf - what tells two outcomes apart */
  public constructor(private readonly keyOf: (outcome: Outcome) => string = outcomeKey) {
    this.nothing = this.of([], true);
    this.maps = new AddressMaps<Decision>(this);
  }

  public of(outcomes: readonly Outcome[], undecided: boolean): Decision {
    // Most have one.
    const different = outcomes.length > 1 ? this.distinct(outcomes) : outcomes;
    const texts = different.map((outcome) => `${this.textOf(outcome)} ${outcome.unsure ?? false}`);
    const key = `${undecided} ${texts.sort().join(', ')}`;
    return getOrInsertComputed(this.made, key, () => ({ outcomes: different, undecided }));
  }

  private distinct(outcomes: readonly Outcome[]): Outcome[] {
    const different = new Map<string, Outcome>();
    // An unknown outcome includes that of no route.
    const unknown = outcomes.some(({ kind }) => kind === 'unknown');
    for (const outcome of outcomes.filter(({ kind }) => !unknown || kind !== 'no route')) {
      const key = this.textOf(outcome);
      const { unsure = false } = different.get(key) ?? {};
      different.set(key, unsure ? { ...outcome, unsure } : outcome);
    }
    return [...different.values()];
  }

  private textOf(outcome: Outcome): string {
    return `${this.keyOf(outcome)} ${outcome.by}`;
  }

  public isUndecided({ undecided }: Decision): boolean {
    return undecided;
  }

  public add(undecided: Decision, other: Decision): Decision {
    return undecided === this.nothing ? other : this.of([...undecided.outcomes, ...other.outcomes], other.undecided);
  }

  /** The map with one owner of rules for all decisions. */
  public ownedBy(by: string, map: AddressMap<Decision>): AddressMap<Decision> {
    const done = getOrInsertComputed(this.owned, by, () => new Map<AddressMap<Decision>, AddressMap<Decision>>());
    const owned = (outcome: Outcome): Outcome => ({ ...outcome, by });
    return this.maps.change(map, ({ outcomes, undecided }) => this.of(outcomes.map(owned), undecided), done);
  }

  /** What tables of a machine say, by any keys, for all who look them up. */
  public tablesOf(machine: Machine): Map<string, AddressMap<Decision>> {
    return getOrInsertComputed(this.tables, machine, () => new Map<string, AddressMap<Decision>>());
  }
}

/** The shared interner of a host's machines, so that each table is evaluated once. */
export const decisionsOf = oncePerObject((_: Host): DecisionInterner => new DecisionInterner());

import type { Family } from '../model/family';
import { overlaps } from '../model/family';
import { pushTo } from '../model/maps';
import type { Range, Rule } from '../model/rule';
import type { Value } from '../model/value';
import { isKnown } from '../model/value';
import type { Bits } from './bits';
import { prefixBits } from './bits';
import type { PacketHeader, HeaderFields } from './packet';
import type { MaskedMark } from './representatives';

/** A rule compiled for lookups. */
export interface CompiledRule {
  readonly rule: Rule;
  readonly position: number;
  /** Undefined if the rule has none, or one known at apply only. */
  readonly source?: Bits;
  readonly destination?: Bits;
  readonly inputInterface?: string;
  readonly outputInterface?: string;
  /** Whose values, known at apply only, decide whether the rule matches. */
  readonly deferred: readonly string[];
}

/** The rules of one family in the order of the kernel. */
export class RuleList {
  public readonly inOrder: readonly CompiledRule[];
  /** Whether the kernel reads protocol and ports of packets from outside. It does so only if a rule selects by them. */
  public readonly looksIntoPackets: boolean;

  private readonly firstAt = new Map<number, CompiledRule>();
  private readonly bySource = new PrefixIndex<CompiledRule>();
  private readonly byDestination = new PrefixIndex<CompiledRule>();
  private readonly others: CompiledRule[] = [];

  public constructor(family: Family, declared: readonly Rule[]) {
    // A stable sort: of rules with one priority, the first to be added comes first.
    this.inOrder = declared
      .filter((rule) => overlaps(rule.family, family))
      .sort((a, b) => a.priority - b.priority)
      .map(compiledRule);
    this.looksIntoPackets = this.inOrder.some(asksForPorts);
    for (const rule of this.inOrder) {
      if (!this.firstAt.has(rule.rule.priority)) {
        this.firstAt.set(rule.rule.priority, rule);
      }
      this.index(rule);
    }
  }

  /** The rules that a packet may match, in order: only a few of thousands for disjoint pools. */
  public candidates(packet: PacketHeader): CompiledRule[] {
    return [
      ...this.others,
      ...(packet.source === undefined ? [] : this.bySource.covering(packet.source)),
      ...this.byDestination.covering(packet.destination),
    ].sort((a, b) => a.position - b.position);
  }

  /** The target of a goto. */
  public at(priority: number): CompiledRule | undefined {
    return this.firstAt.get(priority);
  }

  private index(rule: CompiledRule): void {
    if (!rule.rule.invert && rule.source) {
      this.bySource.add(rule.source, rule);
    } else if (!rule.rule.invert && rule.destination) {
      this.byDestination.add(rule.destination, rule);
    } else {
      this.others.push(rule);
    }
  }
}

class PrefixIndex<T> {
  private readonly items = new Map<Bits, T[]>();
  private readonly lengths = new Set<number>();

  public add(prefix: Bits, item: T): void {
    this.lengths.add(prefix.length);
    pushTo(this.items, prefix, item);
  }

  public covering(address: Bits): T[] {
    return [...this.lengths].flatMap((length) => this.items.get(address.slice(0, length)) ?? []);
  }
}

/** For packets that this machine sends, they are always known. */
function asksForPorts({ rule, inputInterface }: CompiledRule): boolean {
  const { ipProtocol, sourcePorts, destinationPorts } = rule;
  return (ipProtocol ?? sourcePorts ?? destinationPorts) !== undefined && inputInterface !== 'lo';
}

/** Tells whether a rule matches a packet; undefined if this is known at apply only. */
export function matches(rule: CompiledRule, packet: PacketHeader): boolean | undefined {
  const selected = isSelected(rule, packet);
  const { family, invert = false } = rule.rule;
  // An unresolved rule may belong to the other family, so its negation is uncertain, too.
  if (rule.deferred.length > 0 && (selected || (invert && family === 'auto'))) {
    return undefined;
  }
  return selected !== invert;
}

/** Tells whether the known selectors match. */
function isSelected(rule: CompiledRule, packet: PacketHeader): boolean {
  const { source, destination } = rule;
  return (
    (!source || packet.source?.startsWith(source) === true) &&
    (destination === undefined || packet.destination.startsWith(destination)) &&
    matchesHeader(rule, packet)
  );
}

/** Tells whether the known selectors match, apart from addresses. */
export function matchesHeader({ rule, inputInterface, outputInterface }: CompiledRule, header: HeaderFields): boolean {
  return (
    (inputInterface === undefined || inputInterface === (header.inputInterface ?? 'lo')) &&
    (outputInterface === undefined || outputInterface === header.outputInterface) &&
    // For the kernel, 0 means none.
    (!rule.tos || isOfTos(header, rule.tos)) &&
    (!rule.ipProtocol || rule.ipProtocol === header.ipProtocol) &&
    isMarked(header.mark, markSelector(rule)) &&
    (rule.uidRange === undefined || isInRange(header.uid, rule.uidRange)) &&
    (rule.sourcePorts === undefined || isInRange(header.sourcePort, rule.sourcePorts)) &&
    (rule.destinationPorts === undefined || isInRange(header.destinationPort, rule.destinationPorts))
  );
}

/** Without a mask, all bits count. With mark 0, none does, so the rule matches every mark. */
export function markSelector({ firewallMark: value, firewallMask }: Rule): MaskedMark | undefined {
  return value === undefined ? undefined : { value, mask: firewallMask ?? (value === 0 ? 0 : 0xffffffff) };
}

function isMarked(mark: number, wanted: MaskedMark | undefined): boolean {
  return !wanted || ((mark ^ wanted.value) & wanted.mask) === 0;
}

/** Of the packet's field, IPv4 compares only the bits of the old type of service. */
function isOfTos({ family, tos }: HeaderFields, wanted: number): boolean {
  return (family === 4 ? tos & 0x1c : tos) === wanted;
}

function isInRange(value: number | undefined, { first, last }: Range): boolean {
  return value !== undefined && first <= value && value <= last;
}

function compiledRule(rule: Rule, position: number): CompiledRule {
  const { source, destination, inputInterface, outputInterface } = rule;
  return {
    rule,
    position,
    source: knownText(source, prefixBits),
    destination: knownText(destination, prefixBits),
    inputInterface: knownText(inputInterface),
    outputInterface: knownText(outputInterface),
    deferred: [source, destination, inputInterface, outputInterface].flatMap((value) => value?.deferredFor ?? []),
  };
}

function knownText(value: Value | undefined, convert = (text: string): string => text): string | undefined {
  return value && isKnown(value) ? convert(value.text) : undefined;
}

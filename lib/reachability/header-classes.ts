import type { Family } from '../model/family';
import { MAX_PORT, MAX_UINT32 } from '../model/limits';
import { getOrInsertComputed } from '../model/maps';
import type { HeaderFields } from '../fib/packet';
import { PROTOCOL_NAMES, refuseTooMany, commonFieldsOf } from './header-fields';
import type { Machine } from '../fib/machine';
import { SPECIAL_PURPOSE_PREFIXES } from './reachability';
import type { MaskedMark } from '../fib/representatives';
import { numbersOf } from '../fib/representatives';
import type { CompiledRule } from '../fib/rules';
import { markSelector } from '../fib/rules';

/** Stands for all interfaces that are not distinguished. No interface has this name. */
export const OTHER_INTERFACE = '*';

/** Whether packets come in, or the machine itself sends them. */
export type Direction = 'incoming' | 'sent';

/** A set of values of one field; with `not`, all others. */
export interface Selection {
  readonly by: Axis;
  readonly not: boolean;
  readonly values: readonly string[];
}

export type Axis = 'interface' | 'user' | 'mark' | 'tos' | 'protocol' | 'source port' | 'destination port';

/** Packets by all fields except addresses. Without a selection, all packets. */
export type Packets = readonly Selection[];

/**
 * All kinds of packets that some machines distinguish by fields other than addresses, and a description of some of
 * them.
 */
export class HeaderClasses {
  public readonly headers: readonly HeaderFields[];
  private readonly axes: ReadonlyMap<Axis, AxisOf>;

  public constructor(machines: readonly Machine[], family: Family, direction: Direction) {
    const rules = machines.flatMap((machine) => machine.families[family].rules.inOrder);
    const sent = direction === 'sent';
    const interfaces = sent ? [undefined] : [OTHER_INTERFACE, ...interfacesToldApart(machines, family)];
    // Packets that come in count as those of root.
    const users = sent
      ? numbersOf(
          rules.flatMap(({ rule }) => rule.uidRange ?? []),
          MAX_UINT32,
        )
      : [0];
    const selectors = commonFieldsOf(rules);
    refuseTooMany(interfaces.length, users.length, selectors.length);
    this.headers = interfaces.flatMap((inputInterface) =>
      users.flatMap((uid) => selectors.map((each) => ({ family, inputInterface, uid, ...each }))),
    );
    this.axes = new Map(AXES.map((axis) => [axis.by, { ...axis, all: new Set(this.headers.map(axis.of)), rules }]));
  }

  /** Describes the packets of some kinds by few boxes. */
  public packetsOf(headers: Iterable<HeaderFields>): Packets[] {
    let boxes: HeaderBox[] = [...headers].map(
      (header) => new Map(AXES.map(({ by, of }) => [by, new Set([of(header)])])),
    );
    for (const { by } of [...AXES].reverse()) {
      boxes = this.merged(boxes, by);
    }
    return boxes.map((box) => AXES.flatMap(({ by }) => this.selection(by, box.get(by))));
  }

  /** Merges boxes that differ in one axis only. */
  private merged(boxes: readonly HeaderBox[], by: Axis): HeaderBox[] {
    const merged = new Map<string, { readonly box: HeaderBox; readonly values: Set<AxisValue> }>();
    for (const box of boxes) {
      const others = AXES.filter((axis) => axis.by !== by).map((axis) => this.textOf(axis.by, box.get(axis.by)));
      const { values } = getOrInsertComputed(merged, others.join('; '), () => ({ box, values: new Set() }));
      box.get(by)?.forEach((value) => values.add(value));
    }
    return [...merged.values()].map(({ box, values }) => new Map([...box, [by, values]]));
  }

  private textOf(by: Axis, values: ReadonlySet<AxisValue> | undefined): string {
    return this.isAll(by, values) ? 'all' : [...(values ?? [])].join();
  }

  /** A packet without ports matches every box of ports. */
  private isAll(by: Axis, values: ReadonlySet<AxisValue> | undefined): boolean {
    const all = new Set(this.axes.get(by)?.all);
    if (by === 'source port' || by === 'destination port') {
      if (values?.has(undefined)) return true;
      all.delete(undefined);
    }
    return values === undefined || values.size === all.size;
  }

  private selection(by: Axis, values: ReadonlySet<AxisValue> | undefined): Selection[] {
    const axis = this.axes.get(by);
    if (!axis || !values || this.isAll(by, values)) {
      return [];
    }
    const { all, rules, text } = axis;
    // The first value stands for packets that no rule names. It is described by excluding the others.
    const [other] = all;
    const not = axis.hasOther(rules) && values.has(other);
    const named = not ? [...all].filter((value) => !values.has(value)) : [...values];
    return [{ by, not, values: text(named, rules, all) }];
  }
}

type AxisValue = string | number | undefined;
type HeaderBox = ReadonlyMap<Axis, ReadonlySet<AxisValue>>;
interface AxisDefinition {
  readonly by: Axis;
  readonly of: (header: HeaderFields) => AxisValue;
  readonly hasOther: (rules: readonly CompiledRule[]) => boolean;
  readonly text: (
    values: readonly AxisValue[],
    rules: readonly CompiledRule[],
    all: ReadonlySet<AxisValue>,
  ) => string[];
}

interface AxisOf extends AxisDefinition {
  readonly all: ReadonlySet<AxisValue>;
  readonly rules: readonly CompiledRule[];
}

const PORTS: Pick<AxisDefinition, 'hasOther' | 'text'> = {
  hasOther: () => false,
  text: (values, _, all) => rangesText(values, all, MAX_PORT),
};

const AXES: readonly AxisDefinition[] = [
  {
    by: 'interface',
    of: ({ inputInterface }) => inputInterface,
    hasOther: () => true,
    text: (values) => values.map(String),
  },
  {
    by: 'user',
    of: ({ uid }) => uid,
    hasOther: () => false,
    text: (values, _, all) => rangesText(values, all, MAX_UINT32),
  },
  {
    by: 'mark',
    of: ({ mark }) => mark,
    hasOther: (rules) => matching(0, rules).length === 0,
    text: (values, rules) => values.map((value) => markText(Number(value), rules)),
  },
  {
    by: 'tos',
    of: ({ tos }) => tos,
    hasOther: () => true,
    text: (values) => values.map((value) => unsignedHex(Number(value))),
  },
  {
    by: 'protocol',
    of: ({ ipProtocol }) => ipProtocol,
    hasOther: () => true,
    text: (values, rules) => values.map((value) => protocolText(Number(value), rules)),
  },
  { by: 'source port', of: ({ sourcePort }) => sourcePort, ...PORTS },
  { by: 'destination port', of: ({ destinationPort }) => destinationPort, ...PORTS },
];

function unsignedHex(value: number): string {
  return `0x${(value >>> 0).toString(16)}`;
}

function protocolText(protocol: number, rules: readonly CompiledRule[]): string {
  if (rules.some(({ rule }) => rule.ipProtocol === protocol)) {
    return PROTOCOL_NAMES.get(protocol) ?? String(protocol);
  }
  return rules.some(({ rule }) => rule.ipProtocol) ? 'any other with ports' : 'any with ports';
}

/** The selectors that match a mark. */
function matching(mark: number, rules: readonly CompiledRule[]): MaskedMark[] {
  const selectors = rules.flatMap(({ rule }) => markSelector(rule) ?? []).filter(({ mask }) => mask !== 0);
  const different = new Map(selectors.map((each) => [maskedText(each), each]));
  return [...different.values()].filter(({ value, mask }) => ((mark ^ value) & mask) === 0);
}

function maskedText({ value, mask }: MaskedMark): string {
  return mask >>> 0 === 0xffffffff ? unsignedHex(value) : `${unsignedHex(value)}/${unsignedHex(mask)}`;
}

/** A mark stands for all marks that the same selectors match. */
function markText(mark: number, rules: readonly CompiledRule[]): string {
  const matched = matching(mark, rules).map(maskedText);
  return matched.length === 0 ? `like ${unsignedHex(mark)}` : matched.join(' and ');
}

/** Each number stands for all numbers up to the next one. */
function rangesText(values: readonly AxisValue[], all: ReadonlySet<AxisValue>, highest: number): string[] {
  const starts = [...all].filter((value) => value !== undefined).map(Number);
  const sorted = starts.sort((a, b) => a - b);
  const ranges: Array<{ readonly first: number; last: number }> = [];
  for (const [index, first] of sorted.entries()) {
    if (!values.includes(first)) continue;
    const last = (sorted[index + 1] ?? highest + 1) - 1;
    const before = ranges[ranges.length - 1];
    if (before?.last === first - 1) {
      before.last = last;
    } else {
      ranges.push({ first, last });
    }
  }
  return ranges.map(({ first, last }) => (first === last ? String(first) : `${first}-${last}`));
}

/**
 * The interfaces that rules name. Among routes with one metric, IPv6 prefers the one through the input interface, so
 * these are distinguished as well.
 */
export function interfacesToldApart(machines: readonly Machine[], family: Family): string[] {
  const rules = machines.flatMap(({ families }) => families[family].rules.inOrder);
  const named = rules.flatMap(({ inputInterface }) => inputInterface ?? []);
  const preferred = family === 4 ? [] : machines.flatMap(withEqualRoutes);
  return [...new Set([...named, ...preferred])].filter((name) => name !== 'lo').sort();
}

function withEqualRoutes({ families }: Machine): string[] {
  const groups = [...families[6].tables.values()].flatMap((table) => [...table.groups()]);
  return groups
    .filter(([{ destination }]) => !SPECIAL_PURPOSE_PREFIXES[6].some((prefix) => destination?.startsWith(prefix)))
    .filter((routes) => routes.some((route, index) => route.metric === routes[index + 1]?.metric))
    .flatMap((routes) => routes.flatMap(({ hops }) => hops.flatMap(({ device }) => device ?? [])));
}

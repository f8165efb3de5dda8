import type { Family } from '../model/family';
import { getOrInsertComputed } from '../model/maps';
import type { Bits } from '../fib/bits';
import { ADDRESS_LENGTH, prefixText } from '../fib/bits';
import { outcomeText, tableLabel } from '../fib/explain';
import type { PrefixSet } from './aggregate';
import type { Decision } from './decision';
import type { Axis, Packets, Selection } from './header-classes';

/** What may happen to packets, and by which table: `via 192.168.1.1 dev eth1 (table 200)`. */
export function decisionText({ outcomes }: Pick<Decision, 'outcomes'>): string {
  const byTable = new Map<number | undefined, Set<string>>();
  for (const outcome of outcomes) {
    getOrInsertComputed(byTable, outcome.tableId, () => new Set()).add(outcomeText(outcome));
  }
  return [...byTable]
    .map(([tableId, texts]) => `${[...texts].join(' or ')}${tableId === undefined ? '' : ` (${tableLabel(tableId)})`}`)
    .join(' or ');
}

/**
 * Sources or destinations: `10.0.0.0/8 but 10.1.0.0/16, 2 addresses`. It shows only the first `limit` of a long list,
 * and only counts several exceptions that are single addresses.
 */
export function prefixSetText({ prefixes, except }: PrefixSet, family: Family, limit = Infinity): string {
  const text = (bits: Bits): string => (bits === '' ? 'any' : prefixText(bits, family));
  const shortened = (list: readonly string[]): string =>
    list.length > limit ? `${list.slice(0, limit).join(', ')} and ${list.length - limit} more` : list.join(', ');
  const addresses = except.filter((bits) => bits.length === ADDRESS_LENGTH[family]);
  const few = addresses.length < 2 || limit === Infinity;
  const exceptions = [
    ...except.filter((bits) => few || !addresses.includes(bits)).map(text),
    ...(few ? [] : [`${addresses.length} addresses`]),
  ];
  return [prefixes.map(text), exceptions]
    .filter((list) => list.length > 0)
    .map(shortened)
    .join(' but ');
}

/** Packets by fields other than addresses: `in tun0, tcp, to port 25`; empty for all packets. */
export function packetsText(packets: Packets): string {
  return packets.map(selectionText).join(', ');
}

const SELECTED: Readonly<Record<Axis, string>> = {
  'interface': 'in ',
  'user': 'of user ',
  'mark': 'mark ',
  'tos': 'tos ',
  'protocol': '',
  'source port': 'from port ',
  'destination port': 'to port ',
};

function selectionText({ by, not, values }: Selection): string {
  return `${not ? 'not ' : ''}${SELECTED[by]}${values.join(' or ')}`;
}

import type { Family } from '../model/family';
import { pushTo } from '../model/maps';
import { aggregated, maskText } from '../model/prefixes';
import type { Word } from '../model/rule';
import type { Value } from '../model/value';

/** The word for a family's header in a rule of nftables. */
export function protocol(family: Family): 'ip' | 'ip6' {
  return family === 4 ? 'ip' : 'ip6';
}

/** An anonymous set. */
export function setOf(elements: readonly string[]): string {
  return `{ ${elements.join(', ')} }`;
}

/**
 * Matches that together find the packets whose address, `saddr` or `daddr`, is in one of the prefixes. No set holds
 * ranges: newer kernels fill such a set a moment after its rule is in force, and the rule would miss packets meanwhile.
 * So prefixes of one length share a set of masked addresses.
 */
export function prefixMatches(address: 'saddr' | 'daddr', prefixes: readonly string[], family: Family): string[] {
  const field = `${protocol(family)} ${address}`;
  const byLength = new Map<string, string[]>();
  aggregated(prefixes, family).forEach((prefix) => pushTo(byLength, prefix.split('/')[1] ?? '', prefix));
  return [...byLength].map(([length, texts]) => {
    const [only, ...others] = texts;
    if (others.length === 0) return `${field} ${only}`;
    if (length === '') return `${field} ${setOf(texts)}`;
    return `${field} & ${maskText(Number(length), family)} == ${setOf(texts.map((text) => text.split('/')[0]))}`;
  });
}

/** An anonymous set of interfaces, in parts. A name may be a keyword, so it has quotes. */
export function interfaceSet(devices: readonly Value[]): Word[] {
  return ['{ ', ...devices.flatMap((device, index): Word[] => [index === 0 ? '"' : ', "', device, '"']), ' }'];
}

import type { Family } from '../model/family';
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

/** An anonymous set of interfaces, in parts. A name may be a keyword, so it has quotes. */
export function interfaceSet(devices: readonly Value[]): Word[] {
  return ['{ ', ...devices.flatMap((device, index): Word[] => [index === 0 ? '"' : ', "', device, '"']), ' }'];
}

import type { Bits } from '../lookup/bits';
import { ADDRESS_LENGTH, addressBits, prefixBits } from '../lookup/bits';
import type { Family } from '../model/family';

/** Where the search begins, so that an address of the internet stands for the internet. */
const PREFERRED: Readonly<Record<Family, Bits>> = { 4: addressBits('198.51.100.7'), 6: addressBits('2001:db8::7') };
const NOBODY: Readonly<Record<Family, readonly Bits[]>> = {
  4: ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3'].map(prefixBits),
  6: ['::/8', 'fe80::/10', 'ff00::/8'].map(prefixBits),
};

/** An address in a prefix and in none of the longer ones; undefined where they leave none. */
export function someAddress(family: Family, prefix: Bits, others: readonly Bits[]): Bits | undefined {
  const longer = [...others, ...NOBODY[family]].filter(
    (other) => other.length > prefix.length && other.startsWith(prefix),
  );
  return search(prefix, longer, ADDRESS_LENGTH[family], PREFERRED[family]);
}

function search(at: Bits, avoided: readonly Bits[], length: number, preferred: Bits): Bits | undefined {
  if (avoided.length === 0) {
    const rest = preferred.startsWith(at) ? preferred.slice(at.length) : '1'.padStart(length - at.length, '0');
    return at + rest.slice(rest.length - (length - at.length));
  }
  if (avoided.includes(at)) {
    return undefined;
  }
  const first = preferred.startsWith(at) ? preferred[at.length] : '0';
  for (const bit of [first, first === '0' ? '1' : '0']) {
    const next = at + bit;
    const found = search(
      next,
      avoided.filter((other) => other.startsWith(next)),
      length,
      preferred,
    );
    if (found !== undefined) return found;
  }
  return undefined;
}

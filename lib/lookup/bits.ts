import type { Family } from '../model/family';

/**
 * An address as text of 32 or 128 binary digits, a prefix as the first of them: what lies in a
 * prefix begins with it, and the order of the text is that of the addresses.
 */
export type Bits = string;

export const ADDRESS_LENGTH: Readonly<Record<Family, number>> = { 4: 32, 6: 128 };

export function addressBits(text: string): Bits {
  return text.includes(':') ? ipv6Bits(text) : ipv4Bits(text);
}

/** Of a prefix in CIDR notation, an address, or `default`. */
export function prefixBits(text: string): Bits {
  if (text === 'default') {
    return '';
  }
  const [address = '', length] = text.split('/');
  const bits = addressBits(address);
  return length === undefined ? bits : bits.slice(0, Number(length));
}

/** In CIDR notation as `ip` prints it: `default`, and no length where there is no other bit. */
export function prefixText(bits: Bits, family: Family): string {
  const length = ADDRESS_LENGTH[family];
  if (bits === '') {
    return 'default';
  }
  const address = bits.padEnd(length, '0');
  const text = family === 4 ? ipv4Text(address) : ipv6Text(address);
  return bits.length === length ? text : `${text}/${bits.length}`;
}

function ipv4Bits(text: string): Bits {
  return text
    .split('.')
    .map((byte) => Number(byte).toString(2).padStart(8, '0'))
    .join('');
}

function ipv6Bits(text: string): Bits {
  const [head = '', tail] = text.split('::').map((part) => part.split(':').filter(Boolean).map(groupBits).join(''));
  return tail === undefined ? head : head + tail.padStart(ADDRESS_LENGTH[6] - head.length, '0');
}

function groupBits(group: string): Bits {
  return parseInt(group, 16).toString(2).padStart(16, '0');
}

function ipv4Text(bits: Bits): string {
  return chunks(bits, 8).join('.');
}

/** As RFC 5952 wants it: the first of the longest runs of zero groups becomes `::`. */
function ipv6Text(bits: Bits): string {
  const text = chunks(bits, 16)
    .map((group) => group.toString(16))
    .join(':');
  const runs = text.match(/\b0(?::0)+\b/g) ?? [];
  const longest = runs.reduce((best, run) => (run.length > best.length ? run : best), '');
  return longest === '' ? text : text.replace(new RegExp(`(^|:)${longest}(:|$)`), '::');
}

function chunks(bits: Bits, size: number): number[] {
  return Array.from({ length: bits.length / size }, (_, index) =>
    parseInt(bits.slice(index * size, (index + 1) * size), 2),
  );
}

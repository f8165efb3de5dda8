import { Address4, Address6 } from 'ip-address';
import type { Family } from '../model/family';

/**
 * An address as a text of 32 or 128 binary digits, a prefix as the first of them. Everything in a prefix begins with
 * it, and the order of texts is that of addresses.
 */
export type Bits = string;

export const ADDRESS_LENGTH: Readonly<Record<Family, number>> = { 4: 32, 6: 128 };

export function isAddress(text: string): boolean {
  return !text.includes('/') && (text.includes(':') ? Address6.isValid(text) : Address4.isValid(text));
}

/** A cache of recent lookups: each address of a machine is looked up many times. */
const bitsCache = new Map<string, Bits>();
const MOST_CACHED = 20_000;

export function addressBits(text: string): Bits {
  let bits = bitsCache.get(text);
  if (bits === undefined) {
    bits = (text.includes(':') ? new Address6(text) : new Address4(text)).binaryZeroPad();
    if (bitsCache.size >= MOST_CACHED) bitsCache.clear();
    bitsCache.set(text, bits);
  }
  return bits;
}

/** The bits of a prefix in CIDR notation, of an address, or of `default`. */
export function prefixBits(text: string): Bits {
  if (text === 'default') {
    return '';
  }
  const [address = '', length] = text.split('/');
  const bits = addressBits(address);
  return length === undefined ? bits : bits.slice(0, Number(length));
}

/** CIDR notation as `ip` prints it: `default`, and an address without a length. */
export function prefixText(bits: Bits, family: Family): string {
  const length = ADDRESS_LENGTH[family];
  if (bits === '') {
    return 'default';
  }
  const number = BigInt(`0b${bits.padEnd(length, '0')}`);
  const text = (family === 4 ? Address4.fromBigInt(number) : Address6.fromBigInt(number)).correctForm();
  return bits.length === length ? text : `${text}/${bits.length}`;
}

/** An address in a prefix, the third if there is one. It is not that of the network, and rarely that of a router. */
export function hostIn(prefix: Bits, family: Family): Bits {
  const left = ADDRESS_LENGTH[family] - prefix.length;
  return prefix + (left < 2 ? '' : '11').padStart(left, '0');
}

/** The value of the longest prefix that contains an address or a prefix. */
export function longestMatch<T>(bits: Bits, values: ReadonlyMap<Bits, T>): T | undefined {
  for (let length = bits.length; length >= 0; length--) {
    const value = values.get(bits.slice(0, length));
    if (value !== undefined) return value;
  }
  return undefined;
}

import { Address4, Address6 } from 'ip-address';
import type { Family, FamilyOrAuto } from './family';
import { familyName } from './family';

/** The kinds of values in rules and routes. */
export type ValueKind = 'prefix' | 'address' | 'device';

/**
 * A prefix, address or device name: known and in the form that the kernel prints, or deferred
 * (only Terraform will know it) with `text` holding the token.
 */
export interface Value {
  readonly kind: ValueKind;
  readonly text: string;
  readonly family?: Family;
  /** Set when deferred: who to name when the host finds the value wrong, as `path:property`. */
  readonly deferredFor?: string;
  /** Set when only the machine knows it, and may change it. `text` then names its origin: `dhcp4` or `ra`. */
  readonly isFollowed?: boolean;
}

/** A known address with the length of its prefix, as in `192.168.1.100/24`. */
export interface InterfaceAddress {
  readonly text: string;
  readonly address: string;
  readonly family: Family;
}

/** Thrown by the parsers; the construct puts its path in front. */
export class InvalidValue extends Error {}

/** `default` as a destination, and the text for "any" in either family. */
export const DEFAULT_DESTINATION: Value = { kind: 'prefix', text: 'default' };

// The kernel takes more; ":" and "@" are how ip shows aliases and peers, which are no names.
const DEVICE = /^[A-Za-z0-9_.-]+$/;
const MOST_BYTES_OF_DEVICE = 15;
// Directories of /proc/sys/net/ipv4/conf that are no interfaces.
const NO_DEVICES = ['all', 'default'];

export function parsePrefix(text: string, property: string): Value {
  const parsed = parse(text, property);
  const bits = parsed.family === 4 ? 32 : 128;
  if (parsed.address.parsedSubnet === '') {
    throw new InvalidValue(
      `${property} "${text}" has no prefix length. Did you mean "${parsed.address.correctForm()}/${bits}"?`,
    );
  }
  const network = parsed.address.startAddress().correctForm();
  const prefix = `${network}/${parsed.address.subnetMask}`;
  if (network !== parsed.address.correctForm()) {
    throw new InvalidValue(`${property} "${text}" has host bits set. Did you mean "${prefix}"?`);
  }
  // iproute2 prints a prefix of full length without it.
  const full = parsed.address.subnetMask === bits;
  return { kind: 'prefix', text: full ? network : prefix, family: parsed.family };
}

export function parseAddress(text: string, property: string): Value {
  const parsed = parse(text, property, ADDRESS_EXAMPLES);
  if (parsed.address.parsedSubnet !== '') {
    throw new InvalidValue(
      `${property} "${text}" has a prefix length, but a single address is needed. Did you mean "${parsed.address.correctForm()}"?`,
    );
  }
  return { kind: 'address', text: parsed.address.correctForm(), family: parsed.family };
}

export function parseInterfaceAddress(text: string, property: string): InterfaceAddress {
  const parsed = parse(text, property);
  const bits = parsed.family === 4 ? 32 : 128;
  const address = parsed.address.correctForm();
  if (parsed.address.parsedSubnet === '') {
    throw new InvalidValue(
      `${property} "${text}" has no prefix length. Give it as on the machine, for example "${address}/${bits === 32 ? 24 : 64}".`,
    );
  }
  return { text: `${address}/${parsed.address.subnetMask}`, address, family: parsed.family };
}

export function parseDevice(text: string, property: string): Value {
  const alias = /^([A-Za-z0-9_.-]+)[:@][A-Za-z0-9_.:-]+$/.exec(text)?.[1];
  if (alias !== undefined) {
    throw new InvalidValue(
      `${property} "${text}" is not a plain name: it has an alias or the name of a peer. Did you mean "${alias}"?`,
    );
  }
  if (/^[A-Za-z0-9_.-]+[*+]$/.test(text)) {
    throw new InvalidValue(
      `${property} "${text}" is a pattern, but the kernel compares whole names. Give one interface, as "ip link" shows it.`,
    );
  }
  if (!DEVICE.test(text) || text === '.' || text === '..') {
    throw new InvalidValue(
      `${property} "${text}" is not an interface name: 1 to 15 letters, digits and _ . -, as "ip link" shows it.`,
    );
  }
  if (text.length > MOST_BYTES_OF_DEVICE) {
    throw new InvalidValue(
      `${property} "${text}" is too long: ${text.length} bytes, but an interface name has at most ${MOST_BYTES_OF_DEVICE}. ` +
        'Write it as "ip link" shows it.',
    );
  }
  if (text.startsWith('-')) {
    throw new InvalidValue(
      `${property} "${text}" begins with "-", which commands would read as an option. Rename the interface, or give another.`,
    );
  }
  if (NO_DEVICES.includes(text)) {
    throw new InvalidValue(
      `${property} "${text}" cannot be the name of an interface: the kernel reserves it in /proc/sys/net/ipv4/conf. ` +
        'Give a name that "ip link" shows.',
    );
  }
  return { kind: 'device', text };
}

/** Where the address of a next hop may come from, and its family. */
const ORIGINS: Readonly<Record<string, Family>> = { dhcp4: 4, ra: 6 };

/** A next hop that DHCP or router advertisements give. Undefined if the text is none of their names. */
export function parseOrigin(text: string, deferredFor: string): Value | undefined {
  const family = ORIGINS[text];
  return family && { kind: 'address', text, family, deferredFor, isFollowed: true };
}

/** The prefix as iproute2 prints it: `default` for all addresses of a family. */
export function iprouteForm(prefix: Value): Value {
  return isKnown(prefix) && prefix.text.endsWith('/0') ? DEFAULT_DESTINATION : prefix;
}

export function isKnown(value: Value): boolean {
  return value.deferredFor === undefined;
}

/** The network that an interface is in by its address, as a prefix. */
export function networkOf({ text }: InterfaceAddress): string {
  const { address } = parse(text, 'address');
  return `${address.startAddress().correctForm()}/${address.subnetMask}`;
}

/** Whether a prefix has all addresses of its family. */
export function isAny(prefix: Value): boolean {
  return prefix.text.endsWith('/0');
}

/** The same for the destination of a route. */
export function isEverywhere(destination: Value): boolean {
  return destination.text === DEFAULT_DESTINATION.text || isAny(destination);
}

/** Whether the network `inner` (a prefix or an address) lies in `outer`; false across families. */
export function isInside(inner: string, outer: string): boolean {
  if (inner.includes(':') !== outer.includes(':')) {
    return false;
  }
  const [within, around] = [rangeOf(inner), rangeOf(outer)];
  return around.first <= within.first && within.last <= around.last;
}

export interface AddressRange {
  readonly first: bigint;
  readonly last: bigint;
}

/** A cache of recent lookups: checks compare the same few hundred values with each other. */
const ranges = new Map<string, AddressRange>();
const MOST_RANGES = 10_000;

/** The first and the last address of a prefix, as numbers. */
export function rangeOf(text: string): AddressRange {
  let range = ranges.get(text);
  if (!range) {
    const address = text.includes(':') ? new Address6(text) : new Address4(text);
    range = { first: address.startAddress().bigInt(), last: address.endAddress().bigInt() };
    if (ranges.size >= MOST_RANGES) ranges.clear();
    ranges.set(text, range);
  }
  return range;
}

/** Tells whether the network of an address has no other hosts, as on a point-to-point link. */
export function isHostNetwork(text: string): boolean {
  return /\/(32|31|128|127)$/.test(text);
}

export function isLinkLocal(address: string): boolean {
  return isInside(address, 'fe80::/10');
}

const ADDRESSES_OF_NO_MACHINE: ReadonlyArray<readonly [prefix: string, kind: string]> = [
  ['0.0.0.0', 'the unspecified address'],
  ['::', 'the unspecified address'],
  ['127.0.0.0/8', 'a loopback address'],
  ['::1', 'a loopback address'],
  ['224.0.0.0/4', 'a multicast address'],
  ['ff00::/8', 'a multicast address'],
  ['255.255.255.255', 'the broadcast address'],
];

/** What an address is that no other machine can have; undefined if it is none of these. */
export function addressOfNoMachine(address: string): string | undefined {
  return ADDRESSES_OF_NO_MACHINE.find(([prefix]) => isInside(address, prefix))?.[1];
}

/** Tells whether an address is the broadcast address of the network that an interface of its family is in. */
export function isBroadcastOf(address: string, { text, family }: InterfaceAddress): boolean {
  return family === 4 && !isHostNetwork(text) && rangeOf(address).first === rangeOf(text).last;
}

/** The index of the first value whose family an earlier one has, too; -1 if there is none. */
export function secondOfFamily(values: ReadonlyArray<{ readonly family?: Family }>): number {
  const families = values.map(({ family }) => family);
  return families.findIndex((family, index) => family !== undefined && families.indexOf(family) < index);
}

/** The common family of the known values; `auto` if only deferred values have one. */
export function commonFamily(values: ReadonlyArray<[string, Value | undefined]>): FamilyOrAuto | undefined {
  let found: { family: Family; property: string; text: string } | undefined;
  let deferred = false;
  for (const [property, value] of values) {
    if (value === undefined || value.kind === 'device') {
      continue;
    }
    if (value.family === undefined) {
      deferred ||= value.deferredFor !== undefined;
    } else if (found === undefined) {
      found = { family: value.family, property, text: value.text };
    } else if (found.family !== value.family) {
      throw new InvalidValue(
        `${property} "${value.text}" is ${familyName(value.family)} but ${found.property} "${found.text}" is ` +
          `${familyName(found.family)}. Give both in one family, and declare another construct for the other family.`,
      );
    }
  }
  return found?.family ?? (deferred ? 'auto' : undefined);
}

const PREFIX_EXAMPLES = '"10.10.10.0/24" or "fd00:4242:4242:4242::/64"';
const ADDRESS_EXAMPLES = '"192.168.1.1" or "fd00:1010:1010:1010::1"';

function parse(
  text: string,
  property: string,
  examples = PREFIX_EXAMPLES,
): { family: Family; address: Address4 | Address6 } {
  const family: Family = text.includes(':') ? 6 : 4;
  let address: Address4 | Address6;
  try {
    address = family === 4 ? new Address4(text) : new Address6(text);
  } catch (error) {
    if (/^_?(dhcp|auto|ra\b)/i.test(text)) {
      throw new InvalidValue(
        `${property} "${text}" is not an address. Give the address itself, as "ip address" or "ip route" shows it on the ` +
          'machine. The next hop of a route may also be "dhcp4" or "ra".',
      );
    }
    const [, own, length] = /^(\S+) peer \S+?(\/\d+)?$/.exec(text) ?? [];
    if (own !== undefined) {
      throw new InvalidValue(
        `${property} "${text}" has the address of a peer. Give the address of this machine alone: "${own}${length ?? ''}".`,
      );
    }
    throw new InvalidValue(
      `${property} "${text}" is not an IP address or prefix (${reason(error)}). Write it like ${examples}.`,
    );
  }
  if (address instanceof Address6) {
    if (address.zone !== '') {
      throw new InvalidValue(
        `${property} "${text}" has a zone. Leave out "${address.zone}", and name the interface in its own property.`,
      );
    }
    if (isIpv4InIpv6(address)) {
      throw new InvalidValue(`${property} "${text}" is an IPv4 address inside IPv6. Give the IPv4 address itself.`);
    }
  }
  return { family, address };
}

/** `::ffff:a.b.c.d` and `::a.b.c.d`: never routed as such, and printed in more than one way. */
function isIpv4InIpv6(address: Address6): boolean {
  const value = address.bigInt();
  const upper = value >> 32n;
  return (upper === 0n && value > 0xffffn) || upper === 0xffffn;
}

function reason(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\.$/, '');
}

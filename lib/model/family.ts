/** An address family as iproute2's `-4` and `-6` name it. */
export type Family = 4 | 6;

/** `auto`: only the host can tell, from a value that is known at apply. */
export type FamilyOrAuto = Family | 'auto';

export const BOTH_FAMILIES: readonly Family[] = [4, 6];

/** Multicast; in IPv4 with the reserved addresses that follow, up to the broadcast address. */
export const MULTICAST: Readonly<Record<Family, string>> = { 4: '224.0.0.0/3', 6: 'ff00::/8' };

/** The family of an address or a prefix, as it is written. */
export function familyOf(text: string): Family {
  return text.includes(':') ? 6 : 4;
}

export function familyName(family: Family): string {
  return family === 4 ? 'IPv4' : 'IPv6';
}

/** What `default` stands for. */
export function defaultPrefix(family: Family): string {
  return family === 4 ? '0.0.0.0/0' : '::/0';
}

export function otherFamily(family: Family): Family {
  return family === 4 ? 6 : 4;
}

export function overlaps(a: FamilyOrAuto, b: FamilyOrAuto): boolean {
  return a === b || a === 'auto' || b === 'auto';
}

import type { Family } from '../model/family';
import type { AddressMap } from './prefix-trie';
import { AddressMaps } from './prefix-trie';
import { SPECIAL_PURPOSE_PREFIXES } from './reachability';

/**
 * The destinations that rules and routes decide about. Multicast groups, the loopback network and link-scoped addresses
 * are not among them, since packets to these are never forwarded.
 */
export const FORWARDED: Readonly<Record<Family, AddressMap<boolean>>> = { 4: forwarded(4), 6: forwarded(6) };

function forwarded(family: Family): AddressMap<boolean> {
  const maps = new AddressMaps<boolean>({ nothing: false, isUndecided: () => false, add: (_, other) => other });
  return SPECIAL_PURPOSE_PREFIXES[family].reduce<AddressMap<boolean>>(
    (map, prefix) => maps.within(map, prefix, () => maps.all(false)),
    maps.all(true),
  );
}

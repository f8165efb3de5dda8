import type { Family } from '../model/family';
import type { Rule } from '../model/rule';
import type { Machine } from './machine';
import type { Suppressor } from './outcome';
import type { Found } from './search';
import { rejects } from './search';
import type { CompiledHop } from './table';

/** The next hops that a rule allows, and why it suppresses the others. */
export interface Passed {
  readonly hops: readonly CompiledHop[];
  readonly by?: Suppressor;
}

/** `suppress_prefixlength` and `suppress_ifgroup`. A route that rejects is never suppressed. */
export function passSuppressors(machine: Machine, family: Family, rule: Rule, { route, hops }: Found): Passed {
  if (rejects(route)) {
    return { hops };
  }
  const { suppressPrefixLength = -1, suppressInterfaceGroup } = rule;
  if (route.destination !== undefined && route.destination.length <= suppressPrefixLength) {
    return { hops: [], by: 'prefix length' };
  }
  if (suppressInterfaceGroup === undefined) {
    return { hops };
  }
  const isOutside = ({ device = '' }: CompiledHop): boolean =>
    (machine.links.get(device)?.group ?? 0) !== suppressInterfaceGroup;
  // IPv4 checks the first next hop, even a dead one, before it chooses. IPv6 checks the chosen one.
  const passed = family === 6 ? hops.filter(isOutside) : route.hops.slice(0, 1).every(isOutside) ? hops : [];
  return passed.length === hops.length ? { hops } : { hops: passed, by: 'interface group' };
}

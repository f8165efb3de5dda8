import { getOrInsertComputed, pushTo } from '../model/maps';

/** Groups items, in the order of the first item of each group. */
export function groupBy<T>(items: readonly T[], key: (item: T) => string): Array<[T, ...T[]]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    pushTo(groups, key(item), item);
  }
  // No group is empty: each was created for an item.
  return [...groups.values()] as Array<[T, ...T[]]>;
}

export function distinct<T>(items: readonly T[], key: (item: T) => string): T[] {
  return groupBy(items, key).map(([first]) => first);
}

/** Wraps a function so that it computes each value only once. */
export function remembered<T, U>(make: (from: T) => U): (from: T) => U {
  const made = new Map<T, U>();
  return (from) => getOrInsertComputed(made, from, () => make(from));
}

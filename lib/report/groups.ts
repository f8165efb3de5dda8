import { getOrInsertComputed, pushTo } from '../model/maps';

/** Groups in the order of their first items. */
export function groupBy<T>(items: readonly T[], key: (item: T) => string): Array<[T, ...T[]]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    pushTo(groups, key(item), item);
  }
  // Each has the item that it was made for.
  return [...groups.values()] as Array<[T, ...T[]]>;
}

export function distinct<T>(items: readonly T[], key: (item: T) => string): T[] {
  return groupBy(items, key).map(([first]) => first);
}

/** The function, but each value is made once. */
export function remembered<T, U>(make: (from: T) => U): (from: T) => U {
  const made = new Map<T, U>();
  return (from) => getOrInsertComputed(made, from, () => make(from));
}

/** Groups in the order of their first items. */
export function groupBy<T>(items: readonly T[], key: (item: T) => string): Array<[T, ...T[]]> {
  const groups = new Map<string, [T, ...T[]]>();
  for (const item of items) {
    const at = key(item);
    const group = groups.get(at);
    if (group) {
      group.push(item);
    } else {
      groups.set(at, [item]);
    }
  }
  return [...groups.values()];
}

export function distinct<T>(items: readonly T[], key: (item: T) => string): T[] {
  return groupBy(items, key).map(([first]) => first);
}

/** The function, but each value is made once. */
export function remembered<T, U>(make: (from: T) => U): (from: T) => U {
  const made = new Map<T, U>();
  return (from) => {
    let known = made.get(from);
    if (known === undefined) {
      known = make(from);
      made.set(from, known);
    }
    return known;
  };
}

/** What both kinds of maps can do. */
interface MapLike<K, V> {
  get(key: K): V | undefined;
  set(key: K, value: V): unknown;
}

/**
 * Returns the value of a key. Computes and stores it if it is missing.
 *
 * @see https://tc39.es/proposal-upsert/ what later versions of the language call so
 */
export function getOrInsertComputed<K, V>(map: MapLike<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}

export function pushTo<K, V>(map: MapLike<K, V[]>, key: K, value: V): void {
  getOrInsertComputed(map, key, (): V[] => []).push(value);
}

/** Wraps a function of an object so that it computes each value only once. It forgets the value with the object. */
export function oncePerObject<T extends object, U>(make: (from: T) => U): (from: T) => U {
  const made = new WeakMap<T, U>();
  return (from) => getOrInsertComputed(made, from, () => make(from));
}

const MOST_ENTRIES = 256;

/** A map that forgets all it has when it is full, for results that can be computed again. */
export class LimitedMap<K, V> extends Map<K, V> {
  public override set(key: K, value: V): this {
    if (this.size >= MOST_ENTRIES) this.clear();
    return super.set(key, value);
  }
}

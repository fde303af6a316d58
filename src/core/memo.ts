/**
 * What follows from an object that nobody changes is worked out once, and kept for as long as the object is. The caches
 * keep an object until a newer one takes its place, and a look at a singleton finds most of them as the last one did.
 */
export function memoized<K extends object, V>(work: (object: K) => V): (object: K) => V {
  const known = new WeakMap<K, { readonly value: V }>();
  return (object) => {
    const found = known.get(object);
    if (found !== undefined) return found.value;
    const value = work(object);
    known.set(object, { value });
    return value;
  };
}

/** The same of an object and something else that it is mostly asked with: only the last answer is kept. */
export function memoizedWith<K extends object, X, V>(work: (object: K, other: X) => V): (object: K, other: X) => V {
  const known = new WeakMap<K, { readonly other: X; readonly value: V }>();
  return (object, other) => {
    const found = known.get(object);
    if (found !== undefined && Object.is(found.other, other)) return found.value;
    const value = work(object, other);
    known.set(object, { other, value });
    return value;
  };
}

/** What singletons are told apart by. */

/** `<namespace>/<name>` of a singleton: what the queue works on and the caches are indexed by. */
export type Key = string;

export const keyOf = (namespace: string | undefined, name: string): Key => `${namespace ?? ''}/${name}`;

export function refOf(key: Key): { namespace: string; name: string } {
  const slash = key.indexOf('/');
  return { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

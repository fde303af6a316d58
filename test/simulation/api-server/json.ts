/**
 * JSON values as the simulated API server keeps them: frozen, never changed in place, and shared by all who read them.
 * What is equal before and after a change stays the same object, so that "did this change?" is mostly one comparison.
 */

export type JsonObject = Readonly<Record<string, unknown>>;

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const EMPTY: JsonObject = Object.freeze({});

/** A frozen copy, as if it had been sent as JSON: fields that are undefined are gone. */
export function sealed<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) {
    const items: unknown[] = value.map((item: unknown) => (item === undefined ? null : sealed(item)));
    return Object.freeze(items) as T;
  }
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(value)) {
    const field = (value as JsonObject)[key];
    if (field !== undefined) copy[key] = sealed(field);
  }
  return Object.freeze(copy) as T;
}

/** JSON merge patch (RFC 7386). Gives `target` itself, and shares its parts, where the patch changes nothing. */
export function merged(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return sameValue(target, patch) ? target : sealed(patch);
  const before = isObject(target) ? target : EMPTY;
  let result: Record<string, unknown> | undefined;
  for (const key of Object.keys(patch)) {
    const change = patch[key];
    if (change === undefined) continue;
    if (change === null) {
      if (!Object.hasOwn(before, key)) continue;
      result ??= { ...before };
      delete result[key];
    } else {
      const field = typeof change === 'object' ? merged(before[key], change) : change;
      if (field !== before[key]) (result ??= { ...before })[key] = field;
    }
  }
  return result === undefined ? before : Object.freeze(result);
}

/** Whether two JSON values say the same, whatever the order of their keys. */
export function sameValue(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((item, index) => sameValue(item, b[index]));
  }
  if (!isObject(a) || !isObject(b)) return false;
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && sameValue(a[key], b[key]))
  );
}

/** `object` with some fields set, or taken away where undefined; frozen. `object` itself when that changes nothing. */
export function withFields<T extends object>(object: T, fields: JsonObject): T {
  const before = object as JsonObject;
  const changed = Object.keys(fields).filter((key) => !sameValue(before[key], fields[key]));
  if (changed.length === 0) return object;
  const result: Record<string, unknown> = { ...before };
  for (const key of changed) {
    if (fields[key] === undefined) delete result[key];
    else result[key] = fields[key];
  }
  return Object.freeze(result) as T;
}

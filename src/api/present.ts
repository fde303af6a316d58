export type Present<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** The value without its undefined fields. Absent and undefined are the same on the wire; where it matters, absent is meant. */
export function present<T extends object>(value: T): Present<T> {
  const kept: Partial<T> = {};
  for (const key of Object.keys(value) as (keyof T)[]) if (value[key] !== undefined) kept[key] = value[key];
  return kept as Present<T>;
}

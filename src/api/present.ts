export type Present<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** The value without its undefined fields. Absent and undefined are the same on the wire; where it matters, absent is meant. */
export const present = <T extends object>(value: T): Present<T> =>
  Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as Present<T>;

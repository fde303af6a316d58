/** A short, stable name for a value: for revisions and for names that must come out the same when asked for again. */

/** RFC 4648 letters and digits that cannot spell words or be mistaken for each other, as Kubernetes picks them. */
const ALPHABET = 'bcdfghjklmnpqrstvwxz2456789';

/** JSON with sorted keys, so that equal values have equal text whatever order their fields came in. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item)).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value) ?? 'null';
  const fields = Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, field]) => `${JSON.stringify(key)}:${canonicalJson(field)}`);
  return `{${fields.join(',')}}`;
}

/**
 * `length` characters (at most 13 carry information) from a 64-bit hash of the value: two 32-bit FNV-1a lanes, from
 * different starts, as 64-bit arithmetic would need BigInt, which is a hundred times slower.
 */
export function shortHash(value: unknown, length: number): string {
  const text = canonicalJson(value);
  let [low, high] = [0x811c9dc5, 0x9e3779b9];
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    low = Math.imul(low ^ code, 0x01000193);
    high = Math.imul(high ^ code ^ (low >>> 15), 0x01000193);
  }
  let rest = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
  let name = '';
  for (let i = 0; i < length; i++) {
    name += ALPHABET[Number(rest % BigInt(ALPHABET.length))] ?? '';
    rest /= BigInt(ALPHABET.length);
  }
  return name;
}

/**
 * Whether two JSON values say the same, whatever the order of their keys; as comparing their canonical JSON would tell,
 * without writing it: every look at a singleton compares its whole status.
 */
export function sameJson(a: unknown, b: unknown): boolean {
  if (Object.is(a ?? null, b ?? null)) return true;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((item, index) => sameJson(item, b[index]));
  }
  return isObject(a) && isObject(b) && sameFields(a, b);
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null;

/** A field that is undefined is none; one that is null is one. */
function sameFields(a: Readonly<Record<string, unknown>>, b: Readonly<Record<string, unknown>>): boolean {
  let fields = 0;
  for (const key of Object.keys(a)) {
    if (a[key] === undefined) continue;
    if (!Object.hasOwn(b, key) || b[key] === undefined || !sameJson(a[key], b[key])) return false;
    fields += 1;
  }
  return fields === Object.keys(b).filter((key) => b[key] !== undefined).length;
}

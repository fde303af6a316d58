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

/** `length` characters (at most 13 carry information) from the 64-bit FNV-1a hash of the value. */
export function shortHash(value: unknown, length: number): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(canonicalJson(value))) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  let text = '';
  for (let i = 0; i < length; i++) {
    text += ALPHABET[Number(hash % BigInt(ALPHABET.length))] ?? '';
    hash /= BigInt(ALPHABET.length);
  }
  return text;
}

/** Whether two JSON values say the same, whatever the order of their keys. */
export const sameJson = (a: unknown, b: unknown): boolean => canonicalJson(a) === canonicalJson(b);

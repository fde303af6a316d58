/** Versions of objects, as the API server gives them. */

/**
 * Negative when `a` is older than `b`, positive when it is newer, undefined when it cannot be told (versions are opaque by
 * contract; those of etcd are decimal numbers, and KEP-5504 makes that a promise).
 */
export function compareVersions(a: string, b: string): number | undefined {
  if (a === b) return 0;
  if (!isDecimal(a) || !isDecimal(b)) return undefined;
  if (a.startsWith('0') || b.startsWith('0')) return Math.sign(Number(BigInt(a) - BigInt(b)));
  // Without zeros in front the longer one is the larger, and of the same length they are ordered as texts are.
  if (a.length !== b.length) return a.length < b.length ? -1 : 1;
  return a < b ? -1 : 1;
}

function isDecimal(text: string): boolean {
  for (let place = 0; place < text.length; place += 1) {
    const code = text.charCodeAt(place);
    if (code < 48 || code > 57) return false;
  }
  return text !== '';
}

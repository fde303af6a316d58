/**
 * Changes an object under a term; `change` gets what is there (undefined: nothing) and returns what shall be.
 *
 * The term is within the object, not in its metadata: an ETag may be of the content alone, and would then not tell that a
 * higher term has written the same.
 */
export async function write(url, term, change) {
  for (;;) {
    const found = await fetch(url);
    if (!found.ok && found.status !== 404) throw new Error(`${url} cannot be read: ${found.status}`);
    const seen = found.ok ? await found.json() : undefined;
    if (seen?.term > term) throw new Error(`fenced: term ${term} is over, ${url} has seen term ${seen.term}`);
    const written = await fetch(url, {
      method: 'PUT',
      // Only over what was looked at.
      headers: found.ok ? { 'If-Match': found.headers.get('ETag') } : { 'If-None-Match': '*' },
      body: JSON.stringify({ term, value: change(seen?.value) }),
    });
    if (written.ok) return;
    // Somebody else wrote meanwhile, is just writing, or deleted what was found: look again.
    const isOvertaken = [409, 412].includes(written.status) || (found.ok && written.status === 404);
    if (!isOvertaken) throw new Error(`${url} cannot be written: ${written.status}`);
  }
}

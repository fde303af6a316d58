// Node: `npm install singleton-operator`, and this is all.
import { onActive } from 'singleton-operator/client';

// Where it writes to, if anywhere: the term is appended.
const { WRITE_URL } = process.env;

await onActive(async (term, signal) => {
  while (!signal.aborted) {
    console.log(`acts under term ${term}`); // give the term to whatever you write to
    if (WRITE_URL !== undefined) await fetch(WRITE_URL + term, { method: 'POST' });
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
});

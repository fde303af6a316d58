// Node: `npm install singleton-operator`, and this is all.
import { onActive } from 'singleton-operator/client';

await onActive(async (term, signal) => {
  while (!signal.aborted) {
    console.log(`acts under term ${term}`); // give the term to whatever you write to
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
});

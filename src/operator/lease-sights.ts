/**
 * When this process was told of each Lease as it is. A replica that does not lead yet looks at nothing, but it watches: what
 * has not changed since then needs not be waited out once more when the leader dies with the active, on one node.
 */
import type { ReadonlyStore } from '../adapters/kubernetes/store.ts';
import type { Clock } from '../adapters/ports.ts';
import type { Lease } from '../api/objects.ts';

export class LeaseSights {
  /** By UID. */
  readonly #told = new Map<string, { readonly resourceVersion: string; readonly atMs: number }>();

  constructor(leases: ReadonlyStore<Lease>, clock: Clock) {
    leases.onChange((old, current) => {
      if (current === undefined) this.#told.delete(old?.metadata.uid ?? '');
      else {
        const { uid, resourceVersion } = current.metadata;
        this.#told.set(uid, { resourceVersion, atMs: clock.monotonicMs() });
      }
    });
  }

  /** Monotonic milliseconds; undefined when this very version was there before anybody listened. */
  toldAtMs({ metadata: { uid, resourceVersion } }: Lease): number | undefined {
    const told = this.#told.get(uid);
    return told?.resourceVersion === resourceVersion ? told.atMs : undefined;
  }
}

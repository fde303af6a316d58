/** kube-controller-manager: its garbage collector, its EndpointSlices and its count of disruptions, each a while behind. */
import type { SimulatedApiServer } from './api-server/server.ts';
import { DisruptionController } from './api-server/disruption-controller.ts';
import { EndpointSliceController } from './api-server/endpoint-slice-controller.ts';
import { GarbageCollector } from './api-server/garbage-collector.ts';
import type { WorkQueue } from './api-server/work-queue.ts';
import type { Engine } from './engine.ts';
import type { Chance } from './random.ts';

type Work = Pick<WorkQueue<unknown>, 'isIdle' | 'step'>;

export interface ControllersOptions {
  readonly engine: Engine;
  readonly server: SimulatedApiServer;
  readonly chance: Chance;
}

/** The longest they are behind. */
const MAX_LAG_MS = { slices: 3_000, garbage: 5_000, budgets: 3_000 };

export class Controllers {
  readonly #options: ControllersOptions;
  readonly #parts: { readonly work: Work; readonly maxLagMs: number; isDue: boolean }[];

  constructor(options: ControllersOptions) {
    const { server, chance } = options;
    this.#options = options;
    const part = (work: Work, maxMs: number) => ({
      work,
      maxLagMs: chance.logBetween(5, maxMs),
      isDue: false,
    });
    this.#parts = [
      part(new EndpointSliceController(server).work, MAX_LAG_MS.slices),
      part(new GarbageCollector(server).work, MAX_LAG_MS.garbage),
      part(new DisruptionController(server).work, MAX_LAG_MS.budgets),
    ];
  }

  /** After each write: they have learned of it, and will come to it. */
  wake(): void {
    for (const part of this.#parts) {
      if (part.isDue || part.work.isIdle) continue;
      part.isDue = true;
      this.#options.engine.after(this.#options.chance.logBetween(1, part.maxLagMs), () => {
        part.isDue = false;
        part.work.step();
        this.wake();
      });
    }
  }
}

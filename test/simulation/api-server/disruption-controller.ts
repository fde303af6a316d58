/** Counts for each PodDisruptionBudget the pods it protects, as kube-controller-manager does. */
import { POD } from '../../../src/adapters/kubernetes/resources.ts';
import type { ResourceType } from '../../../src/adapters/ports.ts';
import { budgetStatus, protects } from './budgets.ts';
import { keyOf } from './collection.ts';
import { sameValue, sealed } from './json.ts';
import type { Stored } from './kind.ts';
import type { SimulatedApiServer } from './server.ts';
import { WorkQueue } from './work-queue.ts';

const USER = 'disruption-controller';

export class DisruptionController {
  readonly #server: SimulatedApiServer;
  /** Budgets whose counts may be out of date, by key. */
  readonly work = new WorkQueue<Stored>((budget) => this.#sync(budget));

  /** It has to be made before the objects are: it learns of them by their writes. */
  constructor(server: SimulatedApiServer) {
    this.#server = server;
    server.onWrite((_user, _verb, before, after, type) => this.#see(before, after, type));
  }

  #see(before: Stored | undefined, after: Stored | undefined, type: ResourceType): void {
    if (type.plural === this.#server.disruptionBudgets.plural) {
      if (after !== undefined) this.#enqueue(after);
    } else if (type.plural === POD.plural) {
      for (const budget of this.#server.objects<Stored>(this.#server.disruptionBudgets)) {
        if ([before, after].some((pod) => pod !== undefined && protects(budget, pod))) this.#enqueue(budget);
      }
    }
  }

  #enqueue(budget: Stored): void {
    this.work.add(keyOf(budget.metadata.namespace, budget.metadata.name), budget);
  }

  #sync({ metadata: { name, namespace = '' } }: Stored): void {
    const type = this.#server.disruptionBudgets;
    const budget = this.#server.find<Stored>(type, { namespace, name });
    if (budget === undefined) return;
    const status = budgetStatus(budget, this.#server.objects<Stored>(POD));
    if (sameValue(budget.status, sealed(status))) return;
    const gone = Object.fromEntries(Object.keys(budget.status ?? {}).map((field) => [field, null]));
    this.#server.patch(USER, type, { namespace, name }, { status: { ...gone, ...status } }, 'status');
  }
}

/** What the operator relies on in PodDisruptionBudgets and in the eviction API. */
import { describe, expect, it } from 'vitest';
import { POD } from '../../src/adapters/kubernetes/resources.ts';
import { isNotFound } from '../../src/adapters/ports.ts';
import type { KubeObject, Pod, PodDisruptionBudget } from '../../src/api/objects.ts';
import { Maker, OF, aName, errorOf, refOf } from './world.ts';
import type { UseWorld } from './world.ts';

interface Counted extends PodDisruptionBudget {
  readonly status?: { observedGeneration?: number; expectedPods?: number; disruptionsAllowed?: number };
}

export function describeDisruption(world: UseWorld): void {
  const make = new Maker(world);

  const readyPod = async (of: string): Promise<Pod> => make.report(await make.pod({ labels: { [OF]: of } }), true);

  const budgetOf = (of: string, spec: object = { minAvailable: 1 }): Promise<Counted> => {
    const { api, namespace, disruptionBudgets } = world();
    const body = { metadata: { name: aName('budget') }, spec: { selector: { matchLabels: { [OF]: of } }, ...spec } };
    return api.create<Counted>(disruptionBudgets, namespace, body);
  };

  const read = (budget: KubeObject): Promise<Counted> => world().api.get(world().disruptionBudgets, refOf(budget));

  const counted = (budget: KubeObject, pods: number) =>
    world().eventually(`${budget.metadata.name} to have counted ${pods} pods`, async () => {
      const { metadata, status } = await read(budget);
      return status?.expectedPods === pods && status.observedGeneration === metadata.generation;
    });

  const statusOf = (error: unknown): unknown => (error as { status?: unknown } | undefined)?.status;
  const evict = async (pod: Pod): Promise<unknown> => statusOf(await errorOf(world().evict(pod)));
  const isGoing = async (pod: Pod): Promise<boolean> =>
    world()
      .api.get<Pod>(POD, refOf(pod))
      .then(
        ({ metadata }) => metadata.deletionTimestamp !== undefined,
        (error: unknown) => {
          if (isNotFound(error)) return true;
          throw error;
        },
      );

  describe('an eviction', () => {
    it('deletes a pod that no budget protects, as anybody would', async () => {
      const pod = await readyPod(aName('of'));
      expect(await evict(pod)).toBeUndefined();
      expect(await isGoing(pod)).toBe(true);
    });

    it('of the one Ready pod of a budget is refused with 429', async () => {
      const of = aName('of');
      const [pod, budget] = [await readyPod(of), await budgetOf(of)];
      await counted(budget, 1);
      expect(await evict(pod)).toBe(429);
      expect(await isGoing(pod)).toBe(false);
    });

    it('is refused before the budget has been counted at all', async () => {
      const of = aName('of');
      const pod = await readyPod(of);
      const budget = await budgetOf(of);
      expect(await evict(pod)).toBe(429);
      expect(await isGoing(pod)).toBe(false);
      await counted(budget, 1);
    });

    it('is allowed as soon as the label is gone, whatever has been counted', async () => {
      const of = aName('of');
      const [pod, budget] = [await readyPod(of), await budgetOf(of)];
      await counted(budget, 1);
      await world().api.mergePatch(POD, refOf(pod), { metadata: { labels: { [OF]: null } } });
      expect(await evict(pod)).toBeUndefined();
      expect(await isGoing(pod)).toBe(true);
    });

    it('is allowed as soon as the budget selects another pod, and of that one refused', async () => {
      const [of, other] = [aName('of'), aName('of')];
      const [old, next, budget] = [await readyPod(of), await readyPod(other), await budgetOf(of)];
      await counted(budget, 1);
      const selector = { matchLabels: { [OF]: other } };
      await world().api.mergePatch(world().disruptionBudgets, refOf(budget), { spec: { selector } });
      expect(await evict(next)).toBe(429);
      expect(await evict(old)).toBeUndefined();
      expect(await isGoing(old)).toBe(true);
    });

    it('of a pod that gets the label is refused at once, although the last one was the only one counted', async () => {
      const of = aName('of');
      const [old, next, budget] = [await readyPod(of), await readyPod(aName('of')), await budgetOf(of)];
      await counted(budget, 1);
      await world().api.mergePatch(POD, refOf(old), { metadata: { labels: { [OF]: null } } });
      await world().api.mergePatch(POD, refOf(next), { metadata: { labels: { [OF]: of } } });
      expect(await evict(next)).toBe(429);
    });

    it('of one of two Ready pods is allowed once, and then not', async () => {
      const of = aName('of');
      const [first, second, budget] = [await readyPod(of), await readyPod(of), await budgetOf(of)];
      await counted(budget, 2);
      await world().eventually('one to be spared', async () => (await read(budget)).status?.disruptionsAllowed === 1);
      expect(await evict(first)).toBeUndefined();
      expect(await evict(second)).toBe(429);
    });

    it('of one Ready pod or of two is refused while two are to be kept, and of whoever loses the label allowed', async () => {
      const of = aName('of');
      const [old, next, budget] = [
        await readyPod(of),
        await readyPod(aName('of')),
        await budgetOf(of, { minAvailable: 2 }),
      ];
      await counted(budget, 1);
      expect(await evict(old)).toBe(429);
      await world().api.mergePatch(POD, refOf(next), { metadata: { labels: { [OF]: of } } });
      expect([await evict(old), await evict(next)]).toEqual([429, 429]);
      await counted(budget, 2);
      expect([await evict(old), await evict(next)]).toEqual([429, 429]);
      await world().api.mergePatch(POD, refOf(old), { metadata: { labels: { [OF]: null } } });
      expect([await evict(old), await evict(next)]).toEqual([undefined, 429]);
    });

    it('of a pod with two budgets is an error, whatever they allow', async () => {
      const of = aName('of');
      const pod = await readyPod(of);
      const budgets = [await budgetOf(of, { minAvailable: 0 }), await budgetOf(of, { minAvailable: 0 })];
      for (const budget of budgets) await counted(budget, 1);
      expect(await evict(pod)).toBe(500);
      expect(await isGoing(pod)).toBe(false);
    });
  });

  describe('an unready pod that a budget protects', () => {
    it('may go where the server knows AlwaysAllow; an old one drops that, and refuses', async () => {
      const of = aName('of');
      const pod = await make.report(await make.pod({ labels: { [OF]: of } }), false);
      const budget = await budgetOf(of, { minAvailable: 2, unhealthyPodEvictionPolicy: 'AlwaysAllow' });
      await counted(budget, 1);
      const isKnown = (await read(budget)).spec?.['unhealthyPodEvictionPolicy'] === 'AlwaysAllow';
      expect(await evict(pod)).toBe(isKnown ? undefined : 429);
    });
  });

  describe('a PodDisruptionBudget', () => {
    it('can be changed, and is counted anew', async () => {
      const of = aName('of');
      const [pod, budget] = [await readyPod(of), await budgetOf(of, { minAvailable: 0 })];
      await counted(budget, 1);
      const { api, disruptionBudgets } = world();
      await api.mergePatch(disruptionBudgets, refOf(budget), { spec: { minAvailable: 1 } });
      expect(await evict(pod)).toBe(429);
      expect((await read(budget)).metadata.generation).toBe(2);
    });

    it('has minAvailable or maxUnavailable, not both', async () => {
      const error = await errorOf(budgetOf(aName('of'), { minAvailable: 1, maxUnavailable: 1 }));
      expect(error).toMatchObject({ status: 422 });
      const budget = await budgetOf(aName('of'), { maxUnavailable: 1 });
      const { api, disruptionBudgets } = world();
      const swap = { spec: { minAvailable: 1, maxUnavailable: null } };
      expect((await api.mergePatch<Counted>(disruptionBudgets, refOf(budget), swap)).spec).toMatchObject({
        minAvailable: 1,
      });
    });

    it('is left alone by a change of nothing', async () => {
      const budget = await budgetOf(aName('of'));
      await counted(budget, 0);
      const before = await read(budget);
      const { api, disruptionBudgets } = world();
      await api.mergePatch(disruptionBudgets, refOf(budget), { spec: { minAvailable: 1 } });
      expect((await read(budget)).metadata.resourceVersion).toBe(before.metadata.resourceVersion);
    });
  });
}

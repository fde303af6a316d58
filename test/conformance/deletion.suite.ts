import { describe, expect, it } from 'vitest';
import { LEASE, POD, SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import type { KubeObject, Lease, ObjectMeta, Pod } from '../../src/api/objects.ts';
import { Maker, errorOf, refOf, versionOf, watching } from './world.ts';
import type { UseWorld } from './world.ts';

const FINALIZER = 'conformance.test/hold';

const graceOf = ({ metadata }: KubeObject): number | undefined =>
  (metadata as ObjectMeta & { deletionGracePeriodSeconds?: number }).deletionGracePeriodSeconds;

export function describeDeletion(world: UseWorld): void {
  const make = new Maker(world);
  const read = (pod: Pod): Promise<Pod> => world().api.get<Pod>(POD, refOf(pod));
  const isGone = async (pod: Pod): Promise<boolean> => (await errorOf(read(pod))) !== undefined;
  const remove = (pod: Pod, gracePeriodSeconds?: number): Promise<void> =>
    world().api.delete(POD, refOf(pod), gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds });

  describe('deleting', () => {
    it('an object takes it away at once, and a second time is NotFound', async () => {
      const { api } = world();
      const lease = await make.lease();
      await api.delete(LEASE, refOf(lease));
      const notFound = {
        status: 404,
        reason: 'NotFound',
        message: `leases.coordination.k8s.io "${lease.metadata.name}" not found`,
      };
      expect(await errorOf(api.get(LEASE, refOf(lease)))).toMatchObject(notFound);
      expect(await errorOf(api.delete(LEASE, refOf(lease)))).toMatchObject(notFound);
    });

    it('with another UID is a Conflict, and the object stays', async () => {
      const lease = await make.lease();
      const error = await errorOf(world().api.delete(LEASE, refOf(lease), { uid: 'another' }));
      expect(error).toMatchObject({
        status: 409,
        reason: 'Conflict',
        message: expect.stringContaining('UID in the precondition'),
      });
      expect(await world().api.get(LEASE, refOf(lease))).toEqual(lease);
      await world().api.delete(LEASE, refOf(lease), { uid: lease.metadata.uid });
    });

    it('with an old version is a Conflict', async () => {
      const lease = await make.lease();
      const { uid, resourceVersion } = lease.metadata;
      await world().api.mergePatch(LEASE, refOf(lease), { spec: { leaseTransitions: 2 } });
      const error = await errorOf(world().api.delete(LEASE, refOf(lease), { uid, resourceVersion }));
      expect(error).toMatchObject({ status: 409, reason: 'Conflict' });
    });

    it('an object with a finalizer only marks it, until the finalizer is taken away', async () => {
      const { api } = world();
      const lease = await make.lease({ finalizers: [FINALIZER] });
      const watch = watching<Lease>(world(), LEASE, {
        resourceVersion: lease.metadata.resourceVersion,
        fieldSelector: `metadata.name=${lease.metadata.name}`,
      });
      await api.delete(LEASE, refOf(lease));
      const marked = await api.get<Lease>(LEASE, refOf(lease));
      expect(marked.metadata.deletionTimestamp).toMatch(/Z$/);
      expect(graceOf(marked)).toBe(0);
      await api.delete(LEASE, refOf(lease));
      expect(await api.get(LEASE, refOf(lease))).toEqual(marked);
      await api.mergePatch(LEASE, refOf(lease), { metadata: { finalizers: null } });
      expect(await errorOf(api.get(LEASE, refOf(lease)))).toMatchObject({ status: 404 });
      expect((await watch.seen(2)).map(({ type }) => type)).toEqual(['MODIFIED', 'DELETED']);
    });

    it('an object that is going takes no new finalizer', async () => {
      const pod = await make.pod();
      await remove(pod);
      const late = world().api.mergePatch(POD, refOf(pod), { metadata: { finalizers: [FINALIZER] } });
      expect(await errorOf(late)).toMatchObject({
        status: 422,
        reason: 'Invalid',
        message: expect.stringContaining('no new finalizers can be added if the object is being deleted'),
      });
    });

    it('a marked SingletonService raises its generation', async () => {
      const { api } = world();
      const singleton = await make.singleton({ finalizers: [FINALIZER] });
      await api.delete(SINGLETON_SERVICE, refOf(singleton));
      const marked = await api.get(SINGLETON_SERVICE, refOf(singleton));
      expect(marked.metadata.generation).toBe(2);
      await api.mergePatch(SINGLETON_SERVICE, refOf(singleton), { metadata: { finalizers: [] } });
      expect(await errorOf(api.get(SINGLETON_SERVICE, refOf(singleton)))).toMatchObject({ status: 404 });
    });
  });

  describe('deleting a pod', () => {
    it('that has a node leaves it there for its grace period, going', async () => {
      const pod = await make.pod();
      await remove(pod);
      const going = await read(pod);
      expect(graceOf(going)).toBe(30);
      const endMs = Date.parse(going.metadata.deletionTimestamp ?? '');
      const startMs = Date.parse(pod.metadata.creationTimestamp);
      expect(endMs - startMs).toBeGreaterThanOrEqual(30_000);
      expect(endMs - startMs).toBeLessThan(60_000);
      expect(versionOf(going)).toBeGreaterThan(versionOf(pod));
    });

    it('takes the grace period of the pod, unless it names one', async () => {
      const { node } = world();
      const [own, asked] = [await make.pod({}, { nodeName: node, terminationGracePeriodSeconds: 7 }), await make.pod()];
      await remove(own);
      await remove(asked, 11);
      expect([graceOf(await read(own)), graceOf(await read(asked))]).toEqual([7, 11]);
    });

    it('a second time changes nothing, nor does a longer grace period', async () => {
      const pod = await make.pod();
      await remove(pod, 20);
      const going = await read(pod);
      await remove(pod);
      await remove(pod, 25);
      expect(await read(pod)).toEqual(going);
    });

    it('with a shorter grace period shortens that under way', async () => {
      const pod = await make.pod();
      await remove(pod);
      const going = await read(pod);
      await remove(pod, 10);
      const sooner = await read(pod);
      expect(graceOf(sooner)).toBe(10);
      const gainedMs =
        Date.parse(going.metadata.deletionTimestamp ?? '') - Date.parse(sooner.metadata.deletionTimestamp ?? '');
      expect(gainedMs).toBe(20_000);
    });

    it('with a shorter grace period does so, too, when the pod has ended meanwhile', async () => {
      const pod = await make.pod();
      await remove(pod);
      await world().api.mergePatch(POD, refOf(pod), { status: { phase: 'Succeeded' } }, { subresource: 'status' });
      await remove(pod, 10);
      expect(graceOf(await read(pod))).toBe(10);
    });

    it('is ended by the kubelet with a grace period of 0', async () => {
      const pod = await make.pod();
      const watch = watching<Pod>(world(), POD, {
        resourceVersion: pod.metadata.resourceVersion,
        fieldSelector: `metadata.name=${pod.metadata.name}`,
      });
      await remove(pod);
      await world().api.delete(POD, refOf(pod), { gracePeriodSeconds: 0, uid: pod.metadata.uid });
      expect(await isGone(pod)).toBe(true);
      const types = (await watch.seen(3)).map(({ type, object }) => [type, graceOf(object)]);
      expect(types).toEqual([
        ['MODIFIED', 30],
        ['MODIFIED', 0],
        ['DELETED', 0],
      ]);
    });

    it('by force takes it away at once, whatever its node does', async () => {
      const pod = await make.pod();
      await remove(pod, 0);
      expect(await isGone(pod)).toBe(true);
    });

    it('that has no node takes it away at once: a watch hears of the mark, then of the end', async () => {
      const pod = await make.pod({}, {});
      const watch = watching<Pod>(world(), POD, {
        resourceVersion: pod.metadata.resourceVersion,
        fieldSelector: `metadata.name=${pod.metadata.name}`,
      });
      await remove(pod);
      expect(await isGone(pod)).toBe(true);
      expect((await watch.seen(2)).map(({ type }) => type)).toEqual(['MODIFIED', 'DELETED']);
    });

    it.each(['Failed', 'Succeeded'])('whose phase is %s takes it away at once', async (phase) => {
      const pod = await make.pod();
      await world().api.mergePatch(POD, refOf(pod), { status: { phase } }, { subresource: 'status' });
      await remove(pod);
      expect(await isGone(pod)).toBe(true);
    });

    it('does not keep others from changing it while it is going', async () => {
      const pod = await make.pod({ labels: { a: '1' } });
      await remove(pod);
      const { uid, resourceVersion } = (await read(pod)).metadata;
      const changed = await world().api.mergePatch<Pod>(POD, refOf(pod), {
        metadata: { uid, resourceVersion, labels: { a: '2' } },
      });
      expect(changed.metadata).toMatchObject({ labels: { a: '2' }, deletionTimestamp: expect.stringMatching(/Z$/) });
      const reported = await make.report(pod, false);
      expect(reported.metadata.deletionTimestamp).toBe(changed.metadata.deletionTimestamp);
    });

    it('keeps its name taken until it is gone', async () => {
      const pod = await make.pod();
      await remove(pod);
      const again = { name: pod.metadata.name };
      expect(await errorOf(make.pod(again))).toMatchObject({ status: 409, reason: 'AlreadyExists' });
      await remove(pod, 0);
      expect((await make.pod(again)).metadata.uid).not.toBe(pod.metadata.uid);
    });

    it('of another UID is a Conflict', async () => {
      const pod = await make.pod();
      const error = await errorOf(world().api.delete(POD, refOf(pod), { uid: 'another' }));
      expect(error).toMatchObject({ status: 409, reason: 'Conflict' });
      expect((await read(pod)).metadata.deletionTimestamp).toBeUndefined();
    });
  });
}

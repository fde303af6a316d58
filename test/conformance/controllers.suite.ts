import { describe, expect, it } from 'vitest';
import { LEASE, POD, SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import { isNotFound } from '../../src/adapters/ports.ts';
import type { ResourceType } from '../../src/adapters/ports.ts';
import type { EndpointSlice, KubeObject, Pod, Service } from '../../src/api/objects.ts';
import { Maker, OF, aName, errorOf, refOf } from './world.ts';
import type { UseWorld } from './world.ts';

const ownedBy = (kind: string, apiVersion: string, { metadata: { name, uid } }: KubeObject) => ({
  apiVersion,
  kind,
  name,
  uid,
  controller: true,
  blockOwnerDeletion: true,
});
const ownedByLease = (lease: KubeObject) => ownedBy('Lease', 'coordination.k8s.io/v1', lease);

export function describeGarbageCollection(world: UseWorld): void {
  const make = new Maker(world);
  const isGone = async (type: ResourceType, object: KubeObject): Promise<boolean> =>
    isNotFound(await errorOf(world().api.get(type, refOf(object))));
  const gone = (type: ResourceType, object: KubeObject) =>
    world().eventually(`${object.metadata.name} to be collected`, () => isGone(type, object));

  describe('the garbage collector', () => {
    it('takes away what an object owned that is gone', async () => {
      const owner = await make.lease();
      const ownerReferences = [ownedByLease(owner)];
      const [service, lease] = [await make.service({ ownerReferences }), await make.lease({ ownerReferences })];
      await world().api.delete(LEASE, refOf(owner));
      await gone(SERVICE, service);
      await gone(LEASE, lease);
    });

    it('takes away what those owned in turn', async () => {
      const owner = await make.lease();
      const middle = await make.lease({ ownerReferences: [ownedByLease(owner)] });
      const last = await make.lease({ ownerReferences: [ownedByLease(middle)] });
      await world().api.delete(LEASE, refOf(owner));
      await gone(LEASE, last);
    });

    it('takes away what names an owner that never was', async () => {
      const owner = { metadata: { name: 'nobody', uid: '00000000-0000-4000-8000-00000000dead' } } as KubeObject;
      await gone(LEASE, await make.lease({ ownerReferences: [ownedByLease(owner)] }));
    });

    it('leaves what has another owner that lives', async () => {
      const [first, second] = [await make.lease(), await make.lease()];
      const shared = await make.lease({
        ownerReferences: [ownedByLease(first), { ...ownedByLease(second), controller: false }],
      });
      const marker = await make.lease({ ownerReferences: [ownedByLease(first)] });
      await world().api.delete(LEASE, refOf(first));
      await gone(LEASE, marker);
      expect(await isGone(LEASE, shared)).toBe(false);
    });

    it('deletes a pod as anybody does: it has its grace period', async () => {
      const owner = await make.lease();
      const pod = await make.pod({ ownerReferences: [ownedByLease(owner)] });
      await world().api.delete(LEASE, refOf(owner));
      await world().eventually('the pod to be going', async () => {
        const { deletionTimestamp } = (await world().api.get<Pod>(POD, refOf(pod))).metadata;
        return deletionTimestamp !== undefined;
      });
    });
  });
}

interface Endpoint {
  readonly name: string;
  readonly ready: boolean;
}

export function describeEndpointSlices(world: UseWorld): void {
  const make = new Maker(world);

  const slicesOf = async ({ metadata }: Service): Promise<EndpointSlice[]> => {
    const { api, endpointSlices, namespace } = world();
    const labelSelector = `kubernetes.io/service-name=${metadata.name}`;
    return (await api.list<EndpointSlice>(endpointSlices, { namespace, labelSelector })).items;
  };
  const endpointsOf = async (service: Service): Promise<Endpoint[] | undefined> => {
    const slices = await slicesOf(service);
    if (slices.length === 0) return undefined;
    return slices
      .flatMap(({ endpoints }) => endpoints ?? [])
      .map(({ targetRef, conditions }) => ({ name: targetRef?.name ?? '', ready: conditions?.ready !== false }));
  };
  /** Waits until the Service's slices say this of these pods; a pod that is not named is in none. */
  const follow = (service: Service, expected: readonly [Pod, boolean][]) =>
    world().eventually(`the slices of ${service.metadata.name}`, async () => {
      const endpoints = await endpointsOf(service);
      const wanted = expected.map(([{ metadata }, ready]) => ({ name: metadata.name, ready }));
      expect(endpoints?.toSorted((a, b) => a.name.localeCompare(b.name))).toEqual(wanted);
      return true;
    });
  const serviceOf = (of: string, spec: object = {}) =>
    make.service({ labels: { [OF]: of } }, { selector: { [OF]: of }, ...spec });
  const readyPod = async (labels: Record<string, string>): Promise<Pod> =>
    make.report(await make.pod({ labels }), true);
  const change = (type: ResourceType, object: KubeObject, patch: object) =>
    world().api.mergePatch(type, refOf(object), patch);

  describe('the slices of a Service', () => {
    it('are there even for no pod, belong to it, and have its labels', async () => {
      const service = await serviceOf(aName('of'));
      await follow(service, []);
      const [slice] = await slicesOf(service);
      expect(slice?.metadata.name).toMatch(new RegExp(`^${service.metadata.name}-[a-z0-9]{5}$`));
      expect(slice?.metadata.labels).toMatchObject({
        ...service.metadata.labels,
        'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
      });
      expect(slice?.metadata.ownerReferences).toEqual([ownedBy('Service', 'v1', service)]);
    });

    it('have a pod that is Ready, with its address and UID', async () => {
      const of = aName('of');
      const service = await serviceOf(of);
      const pod = await readyPod({ [OF]: of });
      await follow(service, [[pod, true]]);
      const endpoint = (await slicesOf(service))[0]?.endpoints?.[0];
      expect(endpoint?.addresses).toEqual([pod.status?.podIP]);
      expect(endpoint?.targetRef).toMatchObject({ kind: 'Pod', name: pod.metadata.name, uid: pod.metadata.uid });
    });

    it('have a pod that is not Ready as such', async () => {
      const of = aName('of');
      const service = await serviceOf(of);
      const pod = await readyPod({ [OF]: of });
      await follow(service, [[pod, true]]);
      await make.report(pod, false, pod.status?.podIP);
      await follow(service, [[pod, false]]);
    });

    it('have it as ready all the same, when the Service publishes unready addresses', async () => {
      const of = aName('of');
      const service = await serviceOf(of, { publishNotReadyAddresses: true });
      const pod = await make.report(await make.pod({ labels: { [OF]: of } }), false);
      await follow(service, [[pod, true]]);
    });

    it('have no pod without an address', async () => {
      const of = aName('of');
      const service = await serviceOf(of, { publishNotReadyAddresses: true });
      const [pod] = [await readyPod({ [OF]: of }), await make.pod({ labels: { [OF]: of } })];
      await follow(service, [[pod, true]]);
    });

    it('follow the selector: one write moves them from a pod to another', async () => {
      const of = aName('of');
      const service = await make.service({}, { selector: { [OF]: of, term: '1' } });
      const [old, next] = [await readyPod({ [OF]: of, term: '1' }), await readyPod({ [OF]: of, term: '2' })];
      await follow(service, [[old, true]]);
      await change(SERVICE, service, { spec: { selector: { term: '2' } } });
      await follow(service, [[next, true]]);
    });

    it('follow the labels of pods', async () => {
      const of = aName('of');
      const service = await serviceOf(of);
      const pod = await readyPod({});
      await follow(service, []);
      await change(POD, pod, { metadata: { labels: { [OF]: of } } });
      await follow(service, [[pod, true]]);
      await change(POD, pod, { metadata: { labels: { [OF]: null } } });
      await follow(service, []);
    });

    it('follow the labels of the Service', async () => {
      const service = await serviceOf(aName('of'));
      await follow(service, []);
      await change(SERVICE, service, { metadata: { labels: { [OF]: null, other: 'label' } } });
      await world().eventually('the labels to follow', async () => {
        const [slice] = await slicesOf(service);
        const { other, [OF]: of } = slice?.metadata.labels ?? {};
        return other === 'label' && of === undefined;
      });
    });

    it('do not have a pod that is going as ready', async () => {
      const of = aName('of');
      const service = await serviceOf(of);
      const pod = await readyPod({ [OF]: of });
      await follow(service, [[pod, true]]);
      await world().api.delete(POD, refOf(pod));
      await world().eventually('the pod not to be ready', async () =>
        (await endpointsOf(service))?.every(({ ready }) => !ready),
      );
    });

    it('do, when the Service publishes unready addresses', async () => {
      const of = aName('of');
      const service = await serviceOf(of, { publishNotReadyAddresses: true });
      const pod = await readyPod({ [OF]: of });
      await world().api.delete(POD, refOf(pod));
      const later = await readyPod({ [OF]: of });
      await follow(service, [
        [pod, true],
        [later, true],
      ]);
    });

    it.each([
      ['Always', 'Failed'],
      ['Never', 'Failed'],
      ['OnFailure', 'Failed'],
      ['OnFailure', 'Succeeded'],
    ])(
      'lose a pod with restartPolicy %s that has %s; before 1.21 not if it could be restarted',
      async (policy, phase) => {
        const of = aName('of');
        const { api, endpointSlices, node } = world();
        const service = await serviceOf(of, { publishNotReadyAddresses: true });
        const spec = { nodeName: node, restartPolicy: policy };
        const pod = await make.report(await make.pod({ labels: { [OF]: of } }, spec), true);
        await follow(service, [[pod, true]]);
        const status = { phase, conditions: [{ type: 'Ready', status: 'False' }] };
        await api.mergePatch(POD, refOf(pod), { status }, { subresource: 'status' });
        const later = await readyPod({ [OF]: of });
        const isRestarted = policy === 'Always' || (policy === 'OnFailure' && phase === 'Failed');
        const stays = endpointSlices.version === 'v1beta1' && isRestarted;
        await follow(service, [...(stays ? [[pod, true] as [Pod, boolean]] : []), [later, true]]);
      },
    );

    it('lose a pod that is gone', async () => {
      const of = aName('of');
      const service = await serviceOf(of);
      const pod = await readyPod({ [OF]: of });
      await follow(service, [[pod, true]]);
      await world().api.delete(POD, refOf(pod), { gracePeriodSeconds: 0 });
      await follow(service, []);
    });

    it('stay as they were when the selector is taken away', async () => {
      const of = aName('of');
      // Without this label Kubernetes would add a copy of them (kubernetes/kubernetes#91072).
      const labels = { 'endpointslice.kubernetes.io/skip-mirror': 'true' };
      const service = await make.service({ labels }, { selector: { [OF]: of } });
      const other = await serviceOf(of);
      const pod = await readyPod({ [OF]: of });
      await follow(service, [[pod, true]]);
      await change(SERVICE, service, { spec: { selector: null } });
      await make.report(pod, false, pod.status?.podIP);
      await follow(other, [[pod, false]]);
      await follow(service, [[pod, true]]);
    });

    it('are made again when somebody deletes them', async () => {
      const of = aName('of');
      const service = await serviceOf(of);
      const pod = await readyPod({ [OF]: of });
      await follow(service, [[pod, true]]);
      const [slice] = await slicesOf(service);
      if (slice !== undefined) await world().api.delete(world().endpointSlices, refOf(slice));
      await follow(service, [[pod, true]]);
      expect((await slicesOf(service))[0]?.metadata.uid).not.toBe(slice?.metadata.uid);
    });

    it('go with the Service', async () => {
      const service = await serviceOf(aName('of'));
      await follow(service, []);
      await world().api.delete(SERVICE, refOf(service));
      await world().eventually('the slices to go', async () => (await slicesOf(service)).length === 0);
    });
  });
}

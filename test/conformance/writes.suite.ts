import { describe, expect, it } from 'vitest';
import { EVENT, LEASE, POD, SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import type { Lease, Pod, Service } from '../../src/api/objects.ts';
import { Maker, OF, aName, aPod, errorOf, refOf, versionOf, watching } from './world.ts';
import type { UseWorld } from './world.ts';

export function describeCreation(world: UseWorld): void {
  const make = new Maker(world);
  const create = (body: object, type = LEASE): Promise<unknown> => world().api.create(type, world().namespace, body);

  describe('creating', () => {
    it('gives an object its kind, namespace, UID, version and time', async () => {
      const lease = await make.lease({ labels: { a: '1' } });
      expect(lease).toMatchObject({
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        metadata: { namespace: world().namespace, labels: { a: '1' }, uid: expect.stringMatching(/^[-0-9a-f]{36}$/) },
        spec: { leaseTransitions: 1 },
      });
      expect(lease.metadata.creationTimestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
      expect(versionOf(lease)).toBeGreaterThan(0);
      expect(await world().api.get(LEASE, refOf(lease))).toEqual(lease);
    });

    it('leaves fields out that are undefined or empty maps', async () => {
      const lease = await make.lease({ labels: {}, annotations: {} });
      expect(Object.keys(lease.metadata)).not.toEqual(expect.arrayContaining(['labels']));
      expect(Object.keys(lease.metadata)).not.toEqual(expect.arrayContaining(['annotations']));
    });

    it('a Lease keeps of its spec what it knows, and has one in any case', async () => {
      const spec = { holderIdentity: null, leaseTransitions: 0, invented: 1 };
      expect(((await create({ metadata: { name: aName() }, spec })) as Lease).spec).toEqual({ leaseTransitions: 0 });
      expect(((await create({ metadata: { name: aName() } })) as Lease).spec).toEqual({});
    });

    it('does not believe a client’s UID and time', async () => {
      const metadata = { name: aName(), uid: 'mine', creationTimestamp: '2001-01-01T00:00:00Z' };
      const lease = (await create({ metadata })) as Lease;
      expect(lease.metadata).not.toMatchObject({ uid: 'mine' });
      expect(lease.metadata).not.toMatchObject({ creationTimestamp: '2001-01-01T00:00:00Z' });
    });

    it('a name that is taken is AlreadyExists', async () => {
      const { metadata } = await make.lease();
      expect(await errorOf(create({ metadata: { name: metadata.name } }))).toMatchObject({
        status: 409,
        reason: 'AlreadyExists',
        message: `leases.coordination.k8s.io "${metadata.name}" already exists`,
      });
    });

    it('an event that was created before is AlreadyExists', async () => {
      const { namespace } = world();
      const involvedObject = { kind: 'Lease', namespace, name: 'x', uid: 'u' };
      const event = { metadata: { name: aName('event') }, involvedObject, reason: 'Tested', type: 'Normal' };
      await create(event, EVENT);
      expect(await errorOf(create(event, EVENT))).toMatchObject({ status: 409, reason: 'AlreadyExists' });
    });

    it('an event about another namespace is Invalid', async () => {
      const involvedObject = { kind: 'Lease', namespace: 'elsewhere', name: 'x', uid: 'u' };
      const event = { metadata: { name: aName('event') }, involvedObject, reason: 'Tested', type: 'Normal' };
      expect(await errorOf(create(event, EVENT))).toMatchObject({ status: 422, reason: 'Invalid' });
    });

    it('a name again after a deletion gives another UID', async () => {
      const first = await make.lease();
      await world().api.delete(LEASE, refOf(first));
      const second = await make.lease({ name: first.metadata.name });
      expect(second.metadata.uid).not.toBe(first.metadata.uid);
      expect(versionOf(second)).toBeGreaterThan(versionOf(first));
    });

    it('an object of another kind than the path’s is a BadRequest', async () => {
      const body = { apiVersion: 'v1', kind: 'Pod', metadata: { name: aName() } };
      expect(await errorOf(create(body))).toMatchObject({ status: 400, reason: 'BadRequest' });
    });

    it('by generateName adds five characters', async () => {
      const lease = (await create({ metadata: { generateName: 'some-' } })) as Lease;
      expect(lease.metadata.name).toMatch(/^some-[a-z0-9]{5}$/);
    });

    it.each([
      ['no name', {}, 422, 'Invalid', 'name or generateName is required'],
      ['a name with capitals', { name: 'Not-Good' }, 422, 'Invalid', 'metadata.name: Invalid value: "Not-Good"'],
      [
        'a label value with a space',
        { name: 'x', labels: { a: 'b c' } },
        422,
        'Invalid',
        'metadata.labels: Invalid value: "b c"',
      ],
      [
        'a label value of 64 characters',
        { name: 'x', labels: { a: 'v'.repeat(64) } },
        422,
        'Invalid',
        'metadata.labels',
      ],
      ['another namespace', { name: 'x', namespace: 'elsewhere' }, 400, 'BadRequest', 'does not match the namespace'],
    ])('with %s is refused', async (_what, metadata, status, reason, message) => {
      const error = await errorOf(create({ metadata }));
      expect(error).toMatchObject({ status, reason, message: expect.stringContaining(message) });
    });

    it.each([
      [
        'a duration of 0',
        { leaseDurationSeconds: 0 },
        'spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0',
      ],
      ['a negative term', { leaseTransitions: -1 }, 'spec.leaseTransitions: Invalid value: -1'],
    ])('a Lease with %s is Invalid', async (_what, spec, message) => {
      const error = await errorOf(make.lease({}, spec));
      expect(error).toMatchObject({ status: 422, reason: 'Invalid', message: expect.stringContaining(message) });
    });

    it('a Pod fills in what the kubelet goes by, and drops the status', async () => {
      const body = { ...aPod({ name: aName('pod') }), status: { phase: 'Running' } };
      const pod = (await create(body, POD)) as Pod;
      expect(pod.spec).toMatchObject({ restartPolicy: 'Always', terminationGracePeriodSeconds: 30 });
      expect(pod.status?.phase).toBe('Pending');
    });

    it.each([
      ['containers', { containers: [] }, 'spec.containers: Required value'],
      ['an image', { containers: [{ name: 'app' }] }, 'spec.containers[0].image: Required value'],
      [
        'names of their own',
        {
          containers: [
            { name: 'a', image: 'a' },
            { name: 'a', image: 'a' },
          ],
        },
        'spec.containers[1].name: Duplicate value: "a"',
      ],
    ])('a Pod without %s is Invalid', async (_what, spec, message) => {
      const error = await errorOf(make.pod({}, spec));
      expect(error).toMatchObject({ status: 422, reason: 'Invalid', message: expect.stringContaining(message) });
    });

    it('a Service gives it an address and fills in its ports', async () => {
      const { spec } = await make.service();
      expect(spec).toMatchObject({
        type: 'ClusterIP',
        sessionAffinity: 'None',
        clusterIP: expect.stringMatching(/^10\.0\./),
      });
      expect(spec?.ports).toEqual([{ port: 80, protocol: 'TCP', targetPort: 80 }]);
    });

    it('a headless Service gives it none', async () => {
      expect((await make.service({}, { clusterIP: 'None' })).spec?.clusterIP).toBe('None');
    });

    it('a Service of type NodePort gives its ports one each', async () => {
      const { spec } = await make.service({}, { type: 'NodePort' });
      expect(spec?.ports?.[0]?.nodePort).toBeGreaterThanOrEqual(30_000);
    });

    it('a Service with a port that is none is Invalid', async () => {
      const error = await errorOf(make.service({}, { ports: [{ port: 99_999 }] }));
      const message = expect.stringContaining('spec.ports[0].port: Invalid value: 99999');
      expect(error).toMatchObject({ status: 422, reason: 'Invalid', message });
    });

    it('without effect answers with a UID and writes nothing', async () => {
      const { api, namespace } = world();
      const name = aName('pod');
      const pod = await api.create<Pod>(POD, namespace, aPod({ name }), { dryRun: true });
      expect(pod.metadata.uid).not.toBe('');
      expect(pod.metadata.resourceVersion).toBeUndefined();
      expect(await errorOf(api.get(POD, { namespace, name }))).toMatchObject({ status: 404 });
    });

    it('without effect is refused like with effect', async () => {
      const { api, namespace } = world();
      const { metadata } = await make.pod();
      const again = api.create(POD, namespace, aPod({ name: metadata.name }), { dryRun: true });
      expect(await errorOf(again)).toMatchObject({ status: 409, reason: 'AlreadyExists' });
      const invalid = api.create(POD, namespace, aPod({ name: aName() }, { containers: [] }), { dryRun: true });
      expect(await errorOf(invalid)).toMatchObject({ status: 422, reason: 'Invalid' });
    });
  });
}

export function describePatching(world: UseWorld): void {
  const make = new Maker(world);
  const patch = (lease: Lease, changes: object): Promise<Lease> =>
    world().api.mergePatch<Lease>(LEASE, refOf(lease), changes);

  describe('a merge patch', () => {
    it('leaves what it does not name, and null takes a field away', async () => {
      const lease = await make.lease({}, { holderIdentity: 'a', leaseTransitions: 1 });
      const changed = await patch(lease, { spec: { leaseTransitions: 2, leaseDurationSeconds: 9 } });
      expect(changed.spec).toEqual({ holderIdentity: 'a', leaseTransitions: 2, leaseDurationSeconds: 9 });
      const released = await patch(lease, { spec: { holderIdentity: null } });
      expect(released.spec).toEqual({ leaseTransitions: 2, leaseDurationSeconds: 9 });
      expect(await world().api.get(LEASE, refOf(lease))).toEqual(released);
    });

    it('can empty a field, which is not to take it away', async () => {
      const lease = await make.lease({}, { holderIdentity: 'a' });
      expect((await patch(lease, { spec: { holderIdentity: '' } })).spec).toEqual({ holderIdentity: '' });
    });

    it('replaces lists as a whole', async () => {
      const service = await make.service(
        {},
        {
          ports: [
            { name: 'a', port: 80 },
            { name: 'b', port: 81 },
          ],
        },
      );
      const ports = [{ name: 'c', port: 82 }];
      const changed = await world().api.mergePatch<Service>(SERVICE, refOf(service), { spec: { ports } });
      expect(changed.spec?.ports).toEqual([{ name: 'c', port: 82, protocol: 'TCP', targetPort: 82 }]);
    });

    it('changes one key of a map and leaves the others', async () => {
      const service = await make.service({}, { selector: { name: 'x', term: '1' } });
      const changes = { spec: { selector: { term: '2' } } };
      const changed = await world().api.mergePatch<Service>(SERVICE, refOf(service), changes);
      expect(changed.spec?.selector).toEqual({ name: 'x', term: '2' });
    });

    it('that takes the last label leaves no map of labels', async () => {
      const lease = await make.lease({ labels: { a: '1' } });
      expect(Object.keys((await patch(lease, { metadata: { labels: { a: null } } })).metadata)).not.toContain('labels');
    });

    it('that takes the whole selector of a Service leaves none', async () => {
      const service = await make.service({}, { selector: { a: '1' } });
      const changes = { spec: { selector: { a: null } } };
      const changed = await world().api.mergePatch<Service>(SERVICE, refOf(service), changes);
      expect(Object.keys(changed.spec ?? {})).not.toContain('selector');
    });

    it('raises the version above that of every other object', async () => {
      const [first, second] = [await make.lease(), await make.service()];
      const changed = await patch(first, { spec: { leaseTransitions: 2 } });
      expect(versionOf(changed)).toBeGreaterThan(versionOf(second));
    });

    it('that changes nothing keeps the version, and no watch hears of it', async () => {
      const lease = await make.lease({ labels: { a: '1' } }, { holderIdentity: 'a', leaseTransitions: 1 });
      const { resourceVersion } = lease.metadata;
      const watch = watching<Lease>(world(), LEASE, {
        resourceVersion,
        fieldSelector: `metadata.name=${lease.metadata.name}`,
      });
      const same = { metadata: { labels: { a: '1', b: null } }, spec: { holderIdentity: 'a', leaseTransitions: 1 } };
      expect((await patch(lease, same)).metadata.resourceVersion).toBe(resourceVersion);
      const changed = await patch(lease, { spec: { leaseTransitions: 2 } });
      expect((await watch.seen(1)).map(({ object }) => object.metadata.resourceVersion)).toEqual([
        changed.metadata.resourceVersion,
      ]);
    });

    it('that changes nothing of a Service and of a Pod keeps the version, too', async () => {
      const service = await make.service({}, { selector: { a: '1' } });
      const ports = [{ port: 80 }];
      const sameService = await world().api.mergePatch<Service>(SERVICE, refOf(service), {
        spec: { ports, selector: { a: '1' } },
      });
      expect(sameService.metadata.resourceVersion).toBe(service.metadata.resourceVersion);
      const pod = await make.pod({ labels: { a: '1' } });
      const samePod = await world().api.mergePatch<Pod>(POD, refOf(pod), { metadata: { labels: { a: '1' } } });
      expect(samePod.metadata.resourceVersion).toBe(pod.metadata.resourceVersion);
    });

    it('with the version it was decided on wins once', async () => {
      const lease = await make.lease();
      const { uid, resourceVersion } = lease.metadata;
      const grant = (holder: string) =>
        errorOf(
          patch(lease, { metadata: { uid, resourceVersion }, spec: { holderIdentity: holder, leaseTransitions: 2 } }),
        );
      const outcomes = await Promise.all(['a', 'b', 'c', 'd'].map(grant));
      expect(outcomes.filter((error) => error === undefined)).toHaveLength(1);
      for (const error of outcomes.filter((error) => error !== undefined)) {
        expect(error).toMatchObject({
          status: 409,
          reason: 'Conflict',
          message: `Operation cannot be fulfilled on leases.coordination.k8s.io "${lease.metadata.name}": the object has been modified; please apply your changes to the latest version and try again`,
        });
      }
    });

    it('with an old version is a Conflict even where it would change nothing', async () => {
      const lease = await make.lease();
      const { resourceVersion } = lease.metadata;
      await patch(lease, { spec: { leaseTransitions: 2 } });
      const late = patch(lease, { metadata: { resourceVersion }, spec: { leaseTransitions: 2 } });
      expect(await errorOf(late)).toMatchObject({ status: 409, reason: 'Conflict' });
    });

    it('with another UID is a Conflict, though the name is the same', async () => {
      const lease = await make.lease();
      await world().api.delete(LEASE, refOf(lease));
      await make.lease({ name: lease.metadata.name });
      const late = patch(lease, { metadata: { uid: lease.metadata.uid, labels: { a: '1' } } });
      const { name, uid } = lease.metadata;
      const message = `Lease.coordination.k8s.io "${name}" is invalid: metadata.uid: Invalid value: "${uid}": field is immutable`;
      expect(await errorOf(late)).toMatchObject({ status: 409, reason: 'Conflict', message });
    });

    it('of a Pod and of a Service takes UID and version as preconditions as well', async () => {
      const { api } = world();
      for (const [type, object] of [
        [POD, await make.pod()],
        [SERVICE, await make.service()],
      ] as const) {
        const { uid, resourceVersion } = object.metadata;
        const labelled = await api.mergePatch(type, refOf(object), {
          metadata: { uid, resourceVersion, labels: { a: '1' } },
        });
        expect(labelled.metadata.labels).toEqual({ a: '1' });
        const stale = api.mergePatch(type, refOf(object), { metadata: { resourceVersion, labels: { a: '2' } } });
        expect(await errorOf(stale)).toMatchObject({ status: 409, reason: 'Conflict' });
        const other = '00000000-0000-4000-8000-000000000000';
        const another = api.mergePatch(type, refOf(object), { metadata: { uid: other, labels: { a: '3' } } });
        expect(await errorOf(another)).toMatchObject({ status: 409, reason: 'Conflict' });
        expect(await api.get(type, refOf(object))).toEqual(labelled);
      }
    });

    it('of what is not there is NotFound', async () => {
      const { api, namespace } = world();
      expect(await errorOf(api.mergePatch(LEASE, { namespace, name: 'nobody' }, {}))).toMatchObject({
        status: 404,
        reason: 'NotFound',
        message: 'leases.coordination.k8s.io "nobody" not found',
      });
    });

    it('that sets a bad label is Invalid, and changes nothing', async () => {
      const lease = await make.lease();
      const bad = patch(lease, { metadata: { labels: { a: 'b c' } }, spec: { leaseTransitions: 5 } });
      expect(await errorOf(bad)).toMatchObject({ status: 422, reason: 'Invalid' });
      expect(await world().api.get(LEASE, refOf(lease))).toEqual(lease);
    });

    it('keeps an annotation to the letter', async () => {
      const text = JSON.stringify({ from: 'a', ü: ['"', '\\', null] });
      const lease = await patch(await make.lease(), { metadata: { annotations: { [OF]: text } } });
      expect(lease.metadata.annotations).toEqual({ [OF]: text });
    });

    it('does not put another node, or another name, into a pod’s spec', async () => {
      const pod = await make.pod();
      const moved = world().api.mergePatch(POD, refOf(pod), { spec: { nodeName: 'elsewhere' } });
      expect(await errorOf(moved)).toMatchObject({
        status: 422,
        reason: 'Invalid',
        message: expect.stringContaining('pod updates may not change fields other than'),
      });
    });

    it.each([
      ['takes the address of a Service', null, 'primary clusterIP can not be unset'],
      ['gives it another', '10.0.255.9', 'spec.clusterIPs[0]: Invalid value'],
    ])('that %s is Invalid', async (_what, clusterIP, message) => {
      const clusterIPs = clusterIP === null ? null : [clusterIP];
      const service = await make.service();
      const moved = world().api.mergePatch(SERVICE, refOf(service), { spec: { clusterIP, clusterIPs } });
      expect(await errorOf(moved)).toMatchObject({ status: 422, message: expect.stringContaining(message) });
      expect(await world().api.get(SERVICE, refOf(service))).toEqual(service);
    });
  });
}

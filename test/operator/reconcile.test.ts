import { describe, expect, it } from 'vitest';
import { LEASE, POD, SERVICE, SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import { ApiError, TransportError } from '../../src/adapters/ports.ts';
import { LABEL } from '../../src/api/names.ts';
import type { Lease, Pod, Service } from '../../src/api/objects.ts';
import type { SingletonService } from '../../src/api/types.ts';
import { MIDNIGHT, aSingleton } from './objects.ts';
import { KEY, Stage, failing, steady } from './stage.ts';

describe('a new singleton', () => {
  it('comes to one active that the Service selects, and says so', async () => {
    const stage = await steady();
    const pod = stage.cluster.find<Pod>(POD, stage.active);
    expect(stage.lease).toMatchObject({ leaseTransitions: 1 });
    expect(stage.selector).toEqual({ [LABEL.name]: 'db', [LABEL.term]: '1' });
    expect(pod?.metadata.labels).toMatchObject({ [LABEL.role]: 'active', [LABEL.term]: '1' });
    expect(stage.status?.active?.pod).toBe(stage.active);
  });

  it('rests afterwards: not one request more', async () => {
    const stage = await steady();
    const before = stage.cluster.requests.length;
    for (let n = 0; n < 5; n++) await stage.look();
    expect(stage.cluster.requests.length).toBe(before);
  });

  it('rests for another process too', async () => {
    const stage = await steady();
    stage.restart();
    const before = stage.cluster.requests.length;
    await stage.settle();
    expect(stage.cluster.requests.slice(before)).toEqual([]);
  });

  it('that is gone is told as gone', async () => {
    const stage = await steady();
    stage.cluster.remove(SINGLETON_SERVICE, 'db');
    stage.cluster.deliver();
    expect(await stage.look()).toEqual({ kind: 'gone' });
  });
});

describe('a failover', () => {
  it('reads live what it rests on, then writes in the order of the protocol', async () => {
    const stage = await steady();
    const [old, next] = [stage.active, stage.standby];
    stage.setReady(old, false);
    stage.cluster.deliver();
    const from = stage.cluster.requests.length;
    await stage.look();
    const requests = stage.since(from);
    expect(new Set(requests.slice(0, 3))).toEqual(
      new Set(['get leases/db-active', `get pods/${next}`, `get pods/${old}`]),
    );
    expect(new Set(requests.slice(3, 5))).toEqual(new Set([`patch pods/${old}`, 'patch leases/db-active']));
    expect(requests.slice(5)).toEqual([`patch pods/${next}`, 'patch services/db']);
    expect(stage.active).toBe(next);
    expect(stage.selector?.[LABEL.term]).toBe('2');
  });

  it.each<[string, (stage: Stage) => void]>([
    ['the old active has recovered', (stage) => stage.setReady(stage.active, true)],
    ['the candidate has gone', (stage) => stage.cluster.remove(POD, stage.standby)],
    ['the candidate is not Ready any more', (stage) => stage.setReady(stage.standby, false)],
    [
      'the singleton has been paused',
      (stage) =>
        stage.cluster.edit<SingletonService>(SINGLETON_SERVICE, 'db', (object) => ({
          ...object,
          spec: { ...(object.spec as object), paused: true },
        })),
    ],
    [
      'another operator has granted',
      (stage) =>
        stage.cluster.edit<Lease>(LEASE, 'db-active', (lease) => ({
          ...lease,
          spec: { ...lease.spec, holderIdentity: 'db-1-other_uid', leaseTransitions: 2 },
          metadata: {
            ...lease.metadata,
            annotations: {
              'singleton-operator.io/move': JSON.stringify({
                kind: 'Failover',
                reason: 'ActiveCrashed',
                message: 'm',
                to: 'db-1-other_uid',
                term: 2,
                detectedWallMs: 1,
                grantedWallMs: 1,
              }),
            },
          },
        })),
    ],
  ])('is given up when, read live, %s, and the watch has not said so', async (_what, change) => {
    const stage = await steady();
    stage.setReady(stage.active, false);
    stage.cluster.deliver();
    change(stage);
    const from = stage.cluster.requests.length;
    expect(await stage.look()).toEqual({ kind: 'again' });
    expect(stage.since(from).filter((text) => !text.startsWith('get '))).toEqual([]);
  });

  it('is refused by the Lease when another operator grants at the last moment, and decided anew', async () => {
    const stage = await steady({ replicas: 3 });
    const old = stage.active;
    stage.setReady(old, false);
    stage.cluster.deliver();
    stage.cluster.onRequest = ({ verb, plural }) => {
      if (verb !== 'patch' || plural !== 'leases') return;
      stage.cluster.onRequest = () => undefined;
      stage.cluster.edit<Lease>(LEASE, 'db-active', (lease) => ({
        ...lease,
        spec: { ...lease.spec, renewTime: MIDNIGHT },
      }));
    };
    expect(await stage.look()).toEqual({ kind: 'again' });
    expect(stage.errors).toContain('Conflict');
    expect(stage.active).toBe(old);
    await stage.settle();
    expect(stage.active).not.toBe(old);
    expect(stage.lease?.leaseTransitions).toBe(2);
  });

  it('reads a refused object again by itself, without waiting for the watch', async () => {
    const stage = await steady();
    stage.cluster.edit<Service>(SERVICE, 'db', (service) => ({
      ...service,
      metadata: { ...service.metadata, annotations: { theirs: '1' } },
    }));
    stage.setReady(stage.active, false);
    stage.cluster.caches.pods.apply('MODIFIED', stage.cluster.find<Pod>(POD, stage.active) as Pod);
    expect(await stage.look()).toEqual({ kind: 'again' });
    await stage.look();
    expect(stage.selector?.[LABEL.term]).toBe('2');
  });

  it('is finished by another process, wherever the first one died', async () => {
    for (let writes = 1; writes <= 4; writes++) {
      const stage = await steady();
      const next = stage.standby;
      stage.setReady(stage.active, false);
      let left = writes;
      stage.cluster.onRequest = ({ verb }) => {
        if (verb !== 'patch') return;
        left -= 1;
        if (left < 0) throw new TransportError('cut', 'the process died');
      };
      stage.cluster.deliver();
      await stage.look();
      stage.cluster.onRequest = () => undefined;
      stage.restart();
      await stage.settle();
      expect([stage.active, stage.selector?.[LABEL.term]]).toEqual([next, String(stage.lease?.leaseTransitions)]);
      expect(stage.condition('Ready')?.status).toBe('True');
    }
  });

  it('goes on when the answer to the grant was lost and the grant has landed', async () => {
    const stage = await steady();
    const next = stage.standby;
    stage.setReady(stage.active, false);
    stage.cluster.deliver();
    const { cluster } = stage;
    const mergePatch = cluster.mergePatch.bind(cluster);
    cluster.mergePatch = async (type, ref, patch) => {
      const answer = await mergePatch(type, ref, patch);
      if (type.plural !== 'leases') return answer as never;
      cluster.mergePatch = mergePatch;
      throw new TransportError('deadline', 'no answer within 5 s');
    };
    expect((await stage.look()).kind).toBe('backOff');
    await stage.settle();
    expect([stage.active, stage.lease?.leaseTransitions]).toEqual([next, 2]);
  });
});

describe('a request that fails', () => {
  it('is told in the status, tried again later, and forgotten when it works', async () => {
    const stage = await steady();
    stage.cluster.remove(POD, stage.standby);
    stage.cluster.onRequest = failing(/create pods/, new ApiError(403, 'Forbidden', 'exceeded quota: pods=1'));
    stage.cluster.deliver();
    expect(await stage.look()).toEqual({ kind: 'backOff' });
    await stage.look();
    expect(stage.condition('Progressing')).toMatchObject({ status: 'True', reason: 'Retrying' });
    expect(stage.condition('Progressing')?.message).toContain('exceeded quota: pods=1');
    stage.cluster.onRequest = () => undefined;
    await stage.settle();
    await stage.clock.advance(1_000);
    await stage.settle();
    expect(stage.condition('Progressing')).toMatchObject({ status: 'False', reason: 'Settled' });
  });

  it('waits as long as the server asks for, and not long when it can’t be reached', async () => {
    const stage = await steady();
    stage.cluster.remove(POD, stage.standby);
    stage.cluster.deliver();
    stage.cluster.onRequest = failing(/create pods/, new ApiError(429, 'TooManyRequests', 'slow down', 7_000));
    expect(await stage.look()).toEqual({ kind: 'backOff', minMs: 7_000, maxMs: 2_000 });
    stage.cluster.onRequest = failing(/./, new TransportError('connect', 'refused'));
    expect(await stage.look()).toEqual({ kind: 'backOff', maxMs: 2_000 });
  });

  it('does not keep a failover from happening', async () => {
    const stage = await steady();
    const old = stage.active;
    stage.cluster.onRequest = failing(/create pods/, new ApiError(403, 'Forbidden', 'exceeded quota'));
    stage.cluster.edit<Pod>(POD, old, (pod) => ({
      ...pod,
      metadata: { ...pod.metadata, deletionTimestamp: MIDNIGHT },
    }));
    stage.cluster.deliver();
    expect((await stage.look()).kind).toBe('backOff');
    expect(stage.active).not.toBe(old);
    expect(stage.selector?.[LABEL.term]).toBe('2');
  });

  it.each([
    ['events', /create events/],
    ['the status', /patch singletonservices/],
  ])('because %s may not be written does not keep failovers from happening', async (_what, pattern) => {
    const stage = await steady({ replicas: 3 });
    stage.cluster.onRequest = failing(pattern, new ApiError(403, 'Forbidden', 'no right'));
    for (let term = 2; term < 5; term++) {
      const old = stage.active;
      stage.runPods();
      stage.setReady(old, false);
      for (let n = 0; n < 4; n++) {
        stage.cluster.fillSlices();
        stage.cluster.deliver();
        await stage.look();
      }
      expect([stage.active === old, stage.lease?.leaseTransitions]).toEqual([false, term]);
    }
  });

  it('because events may not be written does not keep the status from being written', async () => {
    const stage = await steady();
    stage.cluster.onRequest = failing(/create events/, new ApiError(403, 'Forbidden', 'no right to create events'));
    stage.cluster.edit<SingletonService>(SINGLETON_SERVICE, 'db', (object) => ({
      ...object,
      spec: { ...(object.spec as object), paused: true },
    }));
    for (let n = 0; n < 4; n++) {
      stage.cluster.deliver();
      await stage.look();
    }
    expect(stage.condition('Paused')).toMatchObject({ status: 'True' });
  });
});

describe('a template that the API server refuses', () => {
  const REFUSAL = 'Pod "db-0-check" is invalid: spec.containers[0].image: Required value';

  const change = async (stage: Stage): Promise<void> => {
    stage.cluster.edit<SingletonService>(SINGLETON_SERVICE, 'db', (object) => ({
      ...object,
      metadata: { ...object.metadata, generation: 2 },
      spec: {
        ...(object.spec as object),
        template: { spec: { containers: [{ name: 'other', ports: [{ containerPort: 1 }] }] } },
      },
    }));
    stage.cluster.onRequest = failing(/create pods/, new ApiError(422, 'Invalid', REFUSAL));
    await stage.settle();
  };

  it('is told as a rejected spec, in the server’s own words', async () => {
    const stage = await steady();
    await change(stage);
    expect(stage.condition('SpecAccepted')).toMatchObject({ status: 'False', reason: 'TemplateRefused' });
    expect(stage.condition('SpecAccepted')?.message).toContain(REFUSAL);
  });

  it('is not asked about again and again', async () => {
    const stage = await steady();
    await change(stage);
    const before = stage.cluster.requests.length;
    await stage.settle();
    expect(stage.cluster.requests.slice(before)).toEqual([]);
  });

  it('does not touch the members that run, nor keep a failover from happening', async () => {
    const stage = await steady();
    const [old, next] = [stage.active, stage.standby];
    await change(stage);
    stage.setReady(old, false);
    await stage.settle();
    expect(stage.active).toBe(next);
    expect(stage.cluster.all(POD)).toHaveLength(2);
  });
});

describe('a member that lost its name label', () => {
  const lose = (stage: Stage, pod: string): void => {
    stage.cluster.edit<Pod>(POD, pod, (object) => {
      const { [LABEL.name]: _name, ...labels } = object.metadata.labels ?? {};
      return { ...object, metadata: { ...object.metadata, labels } };
    });
    stage.cluster.deliver();
    stage.reconciler.podLost(KEY, pod);
  };

  it('is found by reading it, and gets the label back', async () => {
    const stage = await steady();
    const pod = stage.standby;
    lose(stage, pod);
    await stage.settle();
    expect(stage.cluster.find<Pod>(POD, pod)?.metadata.labels?.[LABEL.name]).toBe('db');
    expect(stage.cluster.all(POD)).toHaveLength(2);
  });

  it('and is the active stays the active', async () => {
    const stage = await steady();
    const pod = stage.active;
    lose(stage, pod);
    await stage.settle();
    expect([stage.active, stage.lease?.leaseTransitions]).toEqual([pod, 1]);
    expect(stage.cluster.find<Pod>(POD, pod)?.metadata.labels?.[LABEL.name]).toBe('db');
  });

  it('and is the active stays the active for a process that never saw it', async () => {
    const stage = await steady();
    const pod = stage.active;
    lose(stage, pod);
    stage.restart();
    await stage.settle();
    expect([stage.active, stage.lease?.leaseTransitions]).toEqual([pod, 1]);
  });
});

describe('objects of somebody else', () => {
  it('that have our names are looked at again every ten seconds, since no watch tells when they go', async () => {
    const stage = new Stage();
    stage.cluster.put(SERVICE, {
      metadata: { name: 'db', namespace: 'default', uid: 'theirs', resourceVersion: '', creationTimestamp: MIDNIGHT },
    });
    stage.cluster.put(SINGLETON_SERVICE, aSingleton());
    for (let n = 0; n < 8; n++) {
      stage.cluster.deliver();
      await stage.look();
    }
    expect(stage.condition('Blocked')).toMatchObject({ status: 'True', reason: 'ServiceTaken' });
    const next = await stage.look();
    expect(next).toEqual({ kind: 'settled', recheckAtMs: stage.clock.monotonicMs() + 10_000 });
    stage.cluster.remove(SERVICE, 'db');
    await stage.look();
    await stage.look();
    expect(stage.selector).toBeDefined();
  });
});

describe('a standby that becomes the active between the decision to delete it and the request', () => {
  it('is not deleted', async () => {
    const stage = await steady();
    const { active: old, standby: next, cluster } = stage;
    const uid = cluster.find<Pod>(POD, next)?.metadata.uid;
    cluster.edit<SingletonService>(SINGLETON_SERVICE, 'db', (object) => ({
      ...object,
      spec: { ...(object.spec as object), replicas: 1 },
    }));
    cluster.deliver();
    const labelled = (pod: string, labels: Record<string, string>): void =>
      cluster.edit<Pod>(POD, pod, ({ metadata, ...rest }) => ({
        ...rest,
        metadata: { ...metadata, labels: { ...metadata.labels, ...labels } },
      }));
    // Another replica leads by now.
    cluster.onRequest = ({ verb }) => {
      if (verb !== 'delete') return;
      cluster.onRequest = () => undefined;
      labelled(old, { [LABEL.role]: 'standby' });
      labelled(next, { [LABEL.role]: 'active', [LABEL.term]: '2' });
    };
    expect(await stage.look()).toEqual({ kind: 'again' });
    expect(cluster.requests).toContain(`delete pods/${next}`);
    const { metadata } = cluster.find<Pod>(POD, next) ?? {};
    expect(metadata?.uid).toBe(uid);
    expect(metadata?.deletionTimestamp).toBeUndefined();
  });
});

describe('what was deleted', () => {
  it('counts as going even while the watch has not said so, and is deleted once', async () => {
    const stage = await steady({ replicas: 2 });
    stage.cluster.edit<SingletonService>(SINGLETON_SERVICE, 'db', (object) => ({
      ...object,
      spec: { ...(object.spec as object), replicas: 1 },
    }));
    const pods = stage.cluster.all<Pod>(POD).map(({ metadata }) => metadata.name);
    stage.cluster.caches.singletons.apply(
      'MODIFIED',
      stage.cluster.find<SingletonService>(SINGLETON_SERVICE, 'db') as SingletonService,
    );
    for (let n = 0; n < 6; n++) await stage.look();
    const deletions = stage.cluster.requests.filter((text) => text.startsWith('delete pods'));
    expect(deletions).toHaveLength(1);
    expect(pods.map((pod) => `delete pods/${pod}`)).toContain(deletions[0]);
  });
});

describe('a spec that breaks a rule', () => {
  it('leaves what runs under the last one that was accepted', async () => {
    const stage = await steady();
    stage.cluster.edit<SingletonService>(SINGLETON_SERVICE, 'db', (object) => ({
      ...object,
      spec: { replicas: 'many' },
    }));
    await stage.settle();
    expect(stage.condition('SpecAccepted')).toMatchObject({ status: 'False', reason: 'Invalid' });
    const next = stage.standby;
    stage.setReady(stage.active, false);
    await stage.settle();
    expect(stage.active).toBe(next);
  });

  it('leaves it for a process too that never saw an accepted one', async () => {
    const stage = await steady();
    stage.cluster.edit<SingletonService>(SINGLETON_SERVICE, 'db', (object) => ({
      ...object,
      spec: { replicas: 'many' },
    }));
    stage.restart();
    await stage.settle();
    const next = stage.standby;
    stage.setReady(stage.active, false);
    await stage.settle();
    expect(stage.active).toBe(next);
    expect(stage.cluster.all(POD)).toHaveLength(2);
  });
});

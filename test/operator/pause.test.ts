/** `spec.paused`, whenever it arrives. What a pause does to a decision is in test/scenarios (`paused-*`). */
import { describe, expect, it } from 'vitest';
import { LEASE, POD, SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import { LABEL } from '../../src/api/names.ts';
import type { Lease, Pod } from '../../src/api/objects.ts';
import type { SingletonService } from '../../src/api/types.ts';
import { steady } from './stage.ts';
import type { Stage } from './stage.ts';

const setPaused = ({ cluster }: Stage, paused: boolean): void =>
  cluster.edit<SingletonService>(SINGLETON_SERVICE, 'db', (object) => ({
    ...object,
    metadata: { ...object.metadata, generation: (object.metadata.generation ?? 0) + 1 },
    spec: { ...(object.spec as object), paused },
  }));

const termOf = ({ cluster }: Stage): number | undefined =>
  cluster.find<Lease>(LEASE, 'db-active')?.spec?.leaseTransitions;

/** Pods are told of; the pause is not: the watch of singletons is behind. */
function tellOfPods({ cluster }: Stage): void {
  for (const pod of cluster.all<Pod>(POD)) cluster.caches.pods.apply('MODIFIED', pod);
}

describe('a pause', () => {
  it('that was set after the decision keeps the grant from being sent, though no watch has told of it', async () => {
    const stage = await steady();
    stage.setReady(stage.active, false);
    setPaused(stage, true);
    tellOfPods(stage);
    const from = stage.cluster.requests.length;
    expect(await stage.look()).toEqual({ kind: 'again' });
    expect(stage.since(from).filter((text) => text.startsWith('patch'))).toEqual([]);
    await stage.settle();
    expect(termOf(stage)).toBe(1);
    expect(stage.condition('Blocked')).toMatchObject({ status: 'True', reason: 'Paused' });
  });

  it('that is set while the decision is confirmed keeps it from being sent as well', async () => {
    const stage = await steady();
    stage.restart();
    stage.setReady(stage.active, false);
    tellOfPods(stage);
    // The first of the live reads goes out; the pause is there before the one of the singleton is answered.
    let isSet = false;
    stage.cluster.onRequest = ({ verb, plural }) => {
      if (isSet || verb !== 'get' || plural !== 'singletonservices') return;
      isSet = true;
      setPaused(stage, true);
    };
    await stage.settle();
    expect(isSet).toBe(true);
    expect(termOf(stage)).toBe(1);
  });

  it('that comes with the grant on its way does not leave the move half done: labels and Service follow', async () => {
    const stage = await steady();
    const { active: old, standby: next } = stage;
    stage.setReady(old, false);
    stage.cluster.onRequest = ({ verb, plural }) => {
      if (verb === 'patch' && plural === 'leases') setPaused(stage, true);
    };
    await stage.settle();
    expect(stage.active).toBe(next);
    expect(stage.cluster.find<Pod>(POD, next)?.metadata.labels).toMatchObject({
      [LABEL.role]: 'active',
      [LABEL.term]: '2',
    });
    expect(stage.selector?.[LABEL.term]).toBe('2');
    expect(stage.condition('Paused')).toMatchObject({ status: 'True' });
  });

  it('leaves a deleted active unrouted, says so and what to do, and tells it as an event', async () => {
    const stage = await steady();
    const old = stage.active;
    setPaused(stage, true);
    await stage.settle();
    stage.cluster.remove(POD, old);
    await stage.settle();
    expect(stage.condition('Ready')).toMatchObject({
      status: 'False',
      reason: 'ActiveGone',
      message: `pod ${old} is gone; no other one takes over while spec.paused is true`,
    });
    expect(stage.condition('Blocked')).toMatchObject({
      status: 'True',
      reason: 'Paused',
      message: `pod ${old} is gone; spec.paused is true, so nothing moves: set it to false, and another member takes over`,
    });
    const told = stage.done.flatMap((action) => (action.kind === 'emitEvent' ? [action.event.reason] : []));
    expect(told).toContain('MoveBlocked');
    expect(termOf(stage)).toBe(1);
  });

  it('that ends lets the move happen in the very next look', async () => {
    const stage = await steady();
    const next = stage.standby;
    setPaused(stage, true);
    await stage.settle();
    stage.cluster.remove(POD, stage.active);
    await stage.settle();
    setPaused(stage, false);
    stage.cluster.deliver();
    await stage.look();
    expect(stage.active).toBe(next);
    expect(stage.selector?.[LABEL.term]).toBe('2');
  });
});

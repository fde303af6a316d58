import { describe, expect, it } from 'vitest';
import { LABEL } from '../../src/api/names.ts';
import type { Pod } from '../../src/api/objects.ts';
import { createCaches } from '../../src/operator/caches.ts';
import type { PodCache } from '../../src/operator/pod-cache.ts';
import { recordingLogger } from '../adapters/kubernetes/support/recording-logger.ts';
import { aPodObject } from './objects.ts';

const KEY = 'default/db';
const SELECTOR = { matchLabels: { app: 'web' } };

const pod = (version: number, labels: Record<string, string> = {}, uid = 'uid-1'): Pod =>
  aPodObject({
    name: 'web-a',
    uid,
    resourceVersion: String(version),
    labels: { app: 'web', ...labels },
    ownerReferences: [],
  });

const NAMED = { [LABEL.name]: 'db' };

function aCache(): { readonly pods: PodCache; readonly adoption: ReturnType<PodCache['adopt']> } {
  const { pods } = createCaches(recordingLogger());
  return { pods, adoption: pods.adopt(KEY, SELECTOR) };
}

const versions = (pods: PodCache): string[] =>
  pods.byIndex('singleton', KEY).map(({ metadata }) => metadata.resourceVersion);

describe('the pods of a singleton with a selector', () => {
  it('are those that it selects, before anybody gave them a name', () => {
    const { pods, adoption } = aCache();
    adoption.store.apply('ADDED', pod(1));
    expect(versions(pods)).toEqual(['1']);
    expect(pods.get('default', 'web-a')?.metadata.uid).toBe('uid-1');
  });

  it('are each there once, in the newest state that either watch told', () => {
    const { pods, adoption } = aCache();
    adoption.store.apply('ADDED', pod(1));
    pods.apply('ADDED', pod(2, NAMED));
    expect(versions(pods)).toEqual(['2']);
    adoption.store.apply('MODIFIED', pod(3, NAMED));
    expect(versions(pods)).toEqual(['3']);
  });

  it('are as the answer to a write said, though both watches are behind', () => {
    const { pods, adoption } = aCache();
    adoption.store.apply('ADDED', pod(1));
    pods.acceptWrite(pod(4, NAMED));
    adoption.store.apply('MODIFIED', pod(2));
    pods.apply('ADDED', pod(3, NAMED));
    expect(versions(pods)).toEqual(['4']);
  });

  it('do not come back in an older state when one watch says that they are gone from its selection', () => {
    const { pods, adoption } = aCache();
    adoption.store.apply('ADDED', pod(1));
    pods.acceptWrite(pod(2, NAMED));
    // Its name was taken away: the watch of names says DELETED before the other one says MODIFIED.
    pods.apply('DELETED', pod(3));
    adoption.store.apply('MODIFIED', pod(3));
    expect(versions(pods)).toEqual(['3']);
  });

  it('do not include, after a read that showed it, one that is not selected any more', () => {
    const { pods, adoption } = aCache();
    adoption.store.apply('ADDED', pod(1));
    pods.acceptRead({ ...pod(2), metadata: { ...pod(2).metadata, labels: { app: 'other' } } }, pods.mark());
    expect(versions(pods)).toEqual([]);
    // What the watch still has on its way does not bring it back.
    adoption.store.apply('MODIFIED', pod(1));
    expect(versions(pods)).toEqual([]);
  });

  it('include one that is selected again', () => {
    const { pods, adoption } = aCache();
    adoption.store.apply('ADDED', pod(1));
    pods.acceptRead({ ...pod(2), metadata: { ...pod(2).metadata, labels: { app: 'other' } } }, pods.mark());
    adoption.store.apply('ADDED', pod(3));
    expect(versions(pods)).toEqual(['3']);
  });

  it('are forgotten by both when a read finds them gone', () => {
    const { pods, adoption } = aCache();
    adoption.store.apply('ADDED', pod(1));
    pods.apply('ADDED', pod(2, NAMED));
    pods.forget(pod(2, NAMED));
    adoption.store.apply('MODIFIED', pod(2, NAMED));
    expect(versions(pods)).toEqual([]);
  });

  it('of which one has the name of another that is gone, as with a StatefulSet, are the newer ones', () => {
    const { pods, adoption } = aCache();
    pods.apply('ADDED', pod(2, NAMED));
    adoption.store.apply('ADDED', pod(7, {}, 'uid-2'));
    expect(pods.byIndex('singleton', KEY).map(({ metadata }) => metadata.uid)).toEqual(['uid-2']);
  });

  it('that a read told of stay when a list that was asked for before it does not have them', () => {
    const { pods, adoption } = aCache();
    const mark = adoption.store.mark();
    pods.acceptRead(pod(5), pods.mark());
    adoption.store.replace([], '4', mark);
    expect(versions(pods)).toEqual(['5']);
  });

  it('are others when the selector changes, and the same when it only is written again', () => {
    const { pods, adoption } = aCache();
    adoption.store.apply('ADDED', pod(1));
    expect(pods.adopt(KEY, { matchLabels: { app: 'web' } })).toBe(adoption);
    pods.adopt(KEY, { matchLabels: { app: 'new' } });
    expect(versions(pods)).toEqual([]);
    pods.release(KEY);
    expect([...pods.adoptionsIn('default')]).toEqual([]);
  });

  it('are found by their node too', () => {
    const { pods, adoption } = aCache();
    adoption.store.apply('ADDED', pod(1));
    expect(pods.adoptersOnNode('node-a')).toEqual([KEY]);
    expect(pods.adoptersOnNode('node-b')).toEqual([]);
  });
});

/** `onApiLoss: Hold` request by request: the key, and what the Lease says of the members. */
import { describe, expect, it } from 'vitest';
import { LEASE, POD, SECRET, SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import { ANNOTATION, holderIdentity } from '../../src/api/names.ts';
import type { KubeObject, Lease, Pod } from '../../src/api/objects.ts';
import { parsePeers } from '../../src/core/hold-set.ts';
import { aSingleton, meta } from './objects.ts';
import { Stage } from './stage.ts';

const HOLD = { fencing: { mode: 'Agent', onApiLoss: 'Hold' } };
const FENCE = { fencing: { mode: 'Agent' } };
const LEASE_MS = 10_000;

type Secret = KubeObject & { readonly data?: Readonly<Record<string, string>> };

const secretOf = (stage: Stage): Secret | undefined => stage.cluster.find<Secret>(SECRET, 'db-agent-key');
const leaseOf = (stage: Stage): Lease | undefined => stage.cluster.find<Lease>(LEASE, 'db-active');
const toldOf = (stage: Stage): readonly string[] =>
  parsePeers(leaseOf(stage)?.metadata.annotations?.[ANNOTATION.members]).map(({ pod, ip }) => `${pod} ${ip}`);

function annotate(stage: Stage, annotations: Record<string, string>): void {
  stage.cluster.edit<Lease>(LEASE, 'db-active', (lease) => ({
    ...lease,
    metadata: { ...lease.metadata, annotations: { ...lease.metadata.annotations, ...annotations } },
  }));
}

/** The kubelets start what there is, each with an address. */
function runPods(stage: Stage): void {
  stage.runPods();
  stage.cluster.all<Pod>(POD).forEach(({ metadata }, index) => {
    stage.cluster.edit<Pod>(POD, metadata.name, (pod) => ({
      ...pod,
      status: { ...pod.status, podIP: `10.0.0.${index}` },
    }));
  });
}

/** One is active, and has renewed. */
async function steady(spec: object = HOLD): Promise<Stage> {
  const stage = new Stage();
  stage.cluster.put(SINGLETON_SERVICE, aSingleton(spec));
  await stage.settle();
  runPods(stage);
  await stage.settle();
  annotate(stage, { [ANNOTATION.renewedTerm]: String(stage.lease?.leaseTransitions) });
  await stage.settle();
  expect(stage.condition('Ready')?.status).toBe('True');
  return stage;
}

describe('with Hold', () => {
  it('the key is made before the first pod, and is 32 bytes that no other singleton has', async () => {
    const [one, other] = [await steady(), await steady()];
    const key = Buffer.from(secretOf(one)?.data?.['key'] ?? '', 'base64');
    expect(key).toHaveLength(32);
    expect(secretOf(other)?.data?.['key']).not.toBe(key.toString('base64'));
    const requests = one.cluster.requests.join('\n');
    expect(requests.indexOf('create secrets')).toBeLessThan(requests.indexOf('create pods'));
    expect(secretOf(one)?.metadata.ownerReferences).toMatchObject([{ kind: 'SingletonService', name: 'db' }]);
  });

  it('a key that is there stays, whoever made it, and is never read', async () => {
    const stage = new Stage();
    const mine = { metadata: meta('db-agent-key'), data: { key: 'mine' } };
    stage.cluster.put(SECRET, mine);
    stage.cluster.put(SINGLETON_SERVICE, aSingleton(HOLD));
    await stage.settle();
    stage.restart();
    await stage.settle();
    expect(secretOf(stage)?.data).toEqual({ key: 'mine' });
    expect(stage.cluster.requests.filter((text) => text.includes('secrets') && !text.startsWith('create'))).toEqual([]);
    expect(stage.cluster.all(POD)).not.toEqual([]);
  });

  it('a key that was deleted is made anew by the next operator', async () => {
    const stage = await steady();
    const before = secretOf(stage)?.data?.['key'];
    stage.cluster.remove(SECRET, 'db-agent-key');
    stage.restart();
    await stage.settle();
    expect(secretOf(stage)?.data?.['key']).toMatch(/^.{44}$/);
    expect(secretOf(stage)?.data?.['key']).not.toBe(before);
  });

  it('the Lease names the members and their addresses, and a steady state writes nothing', async () => {
    const stage = await steady();
    const pods = stage.cluster.all<Pod>(POD);
    expect(toldOf(stage).toSorted()).toEqual(
      pods.map(({ metadata, status }) => `${metadata.name} ${status?.podIP}`).toSorted(),
    );
    const from = stage.cluster.requests.length;
    await stage.settle();
    expect(stage.cluster.requests.slice(from)).toEqual([]);
  });

  it('a Lease that expires goes to who stands in its set only, and keeps it', async () => {
    const stage = await steady({ ...HOLD, replicas: 3 });
    const others = stage.cluster.all<Pod>(POD).filter(({ metadata }) => metadata.name !== stage.active);
    const [, last] = others;
    const set = `uid-of-the-active ${last?.metadata.uid}`;
    annotate(stage, { [ANNOTATION.holdSet]: set });
    await stage.settle();
    await stage.clock.advance(LEASE_MS);
    await stage.settle();
    expect(stage.lease?.holderIdentity).toBe(holderIdentity(last?.metadata.name ?? '', last?.metadata.uid ?? ''));
    expect(leaseOf(stage)?.metadata.annotations?.[ANNOTATION.holdSet]).toBe(set);
  });

  it('a process that leads again counts from its next look', async () => {
    const stage = await steady();
    annotate(stage, { [ANNOTATION.holdSet]: 'a b' });
    await stage.settle();
    const { active } = stage;
    await stage.clock.advance(3 * LEASE_MS);
    stage.reconciler.leads();
    await stage.settle();
    await stage.clock.advance(LEASE_MS - 1);
    await stage.settle();
    expect(stage.active).toBe(active);
    await stage.clock.advance(1);
    await stage.settle();
    // People are told a second later.
    await stage.clock.advance(1_000);
    await stage.settle();
    expect(stage.condition('Blocked')?.message).toContain('hold-set');
  });
});

describe('with Fence', () => {
  it('there is no key, and nothing of the members in the Lease', async () => {
    const stage = await steady(FENCE);
    expect(secretOf(stage)).toBeUndefined();
    expect(leaseOf(stage)?.metadata.annotations).not.toHaveProperty(ANNOTATION.members);
    expect(stage.cluster.requests.join('\n')).not.toContain('secrets');
  });
});

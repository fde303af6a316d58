/** Mode `Agent` request by request, with an agent that does what the test says. */
import { describe, expect, it } from 'vitest';
import {
  LEASE,
  POD,
  ROLE,
  ROLE_BINDING,
  SERVICE_ACCOUNT,
  SINGLETON_SERVICE,
} from '../../src/adapters/kubernetes/resources.ts';
import { ApiError } from '../../src/adapters/ports.ts';
import { ANNOTATION, LABEL } from '../../src/api/names.ts';
import type { KubeObject, Lease, Pod } from '../../src/api/objects.ts';
import { leaseView, memberView } from '../../src/operator/views.ts';
import { aLeaseObject, aPodObject, aSingleton, meta } from './objects.ts';
import { Stage } from './stage.ts';

const SPEC = { fencing: { mode: 'Agent' } };
const LEASE_MS = 10_000;

/** Of whoever holds the Lease. */
function renew(stage: Stage): void {
  stage.cluster.edit<Lease>(LEASE, 'db-active', (lease) => annotated(lease, ANNOTATION.renewedTerm));
}

function release(stage: Stage): void {
  stage.cluster.edit<Lease>(LEASE, 'db-active', (lease) => ({
    ...annotated(lease, ANNOTATION.releasedTerm),
    spec: { ...lease.spec, holderIdentity: '' },
  }));
}

const annotated = (lease: Lease, annotation: string): Lease => ({
  ...lease,
  metadata: {
    ...lease.metadata,
    annotations: { ...lease.metadata.annotations, [annotation]: String(lease.spec?.leaseTransitions) },
  },
});

async function steady(): Promise<Stage> {
  const stage = new Stage();
  stage.cluster.put(SINGLETON_SERVICE, aSingleton(SPEC));
  await stage.settle();
  stage.runPods();
  await stage.settle();
  renew(stage);
  await stage.settle();
  expect(stage.condition('Ready')?.status).toBe('True');
  return stage;
}

const roleOf = (stage: Stage, pod: string): string | undefined =>
  stage.cluster.find<Pod>(POD, pod)?.metadata.labels?.[LABEL.role];

describe('a grant', () => {
  it('says how long the Lease lasts, and routes nobody before the agent has renewed', async () => {
    const stage = new Stage();
    stage.cluster.put(SINGLETON_SERVICE, aSingleton(SPEC));
    await stage.settle();
    stage.runPods();
    await stage.settle();
    expect(stage.lease).toMatchObject({ leaseTransitions: 1, leaseDurationSeconds: 10 });
    expect(roleOf(stage, stage.active)).toBe('standby');
    expect(stage.selector?.[LABEL.term]).toBe('0');
    renew(stage);
    await stage.settle();
    expect(roleOf(stage, stage.active)).toBe('active');
    expect(stage.selector?.[LABEL.term]).toBe('1');
  });

  it('follows the release that was asked for', async () => {
    const stage = await steady();
    const [old, next] = [stage.active, stage.standby];
    stage.setReady(old, false);
    await stage.settle();
    expect(stage.active).toBe(old);
    const { annotations } = stage.cluster.find<Lease>(LEASE, 'db-active')?.metadata ?? {};
    expect(annotations?.[ANNOTATION.releaseRequested]).toBe('1');
    release(stage);
    await stage.settle();
    expect(stage.active).toBe(next);
    expect(stage.lease?.leaseTransitions).toBe(2);
  });

  it('follows the expiry, when the version has been the same for the whole duration', async () => {
    const stage = await steady();
    const old = stage.active;
    await stage.clock.advance(LEASE_MS - 1);
    await stage.settle();
    expect(stage.active).toBe(old);
    await stage.clock.advance(1);
    await stage.settle();
    expect(stage.active).not.toBe(old);
  });

  it('does not follow an expiry that only a watch has seen which lags behind', async () => {
    const stage = await steady();
    const old = stage.active;
    await stage.clock.advance(LEASE_MS);
    // The watch does not bring it.
    renew(stage);
    await stage.look();
    expect(stage.active).toBe(old);
    await stage.clock.advance(LEASE_MS - 1);
    await stage.look();
    await stage.look();
    expect(stage.active).toBe(old);
    await stage.clock.advance(1);
    await stage.settle();
    expect(stage.active).not.toBe(old);
  });

  it('loses against a renewal that lands between the live read and the write', async () => {
    const stage = await steady();
    const old = stage.active;
    await stage.clock.advance(LEASE_MS);
    let hasRenewed = false;
    stage.cluster.onRequest = ({ verb, plural }) => {
      if (verb !== 'patch' || plural !== 'leases' || hasRenewed) return;
      hasRenewed = true;
      renew(stage);
    };
    await stage.settle();
    expect(hasRenewed).toBe(true);
    expect(stage.active).toBe(old);
    expect(stage.lease?.leaseTransitions).toBe(1);
  });

  it('is counted for anew by another process', async () => {
    const stage = await steady();
    const old = stage.active;
    await stage.clock.advance(LEASE_MS - 1);
    stage.restart();
    await stage.settle();
    await stage.clock.advance(LEASE_MS - 1);
    await stage.settle();
    expect(stage.active).toBe(old);
    await stage.clock.advance(1);
    await stage.settle();
    expect(stage.active).not.toBe(old);
  });

  it('is not counted for anew by a replica that watched until it led', async () => {
    const stage = await steady();
    const standby = stage.standBy();
    renew(stage);
    await stage.settle();
    const old = stage.active;
    await stage.clock.advance(LEASE_MS - 1);
    standby.takeOver();
    await stage.settle();
    expect(stage.active).toBe(old);
    await stage.clock.advance(1);
    await stage.settle();
    expect(stage.active).not.toBe(old);
  });

  it('is not delayed by the question for a release, which is a write to the Lease, too', async () => {
    const stage = await steady();
    const old = stage.active;
    await stage.clock.advance(LEASE_MS - 1);
    stage.setReady(old, false);
    await stage.settle();
    const { annotations } = stage.cluster.find<Lease>(LEASE, 'db-active')?.metadata ?? {};
    expect(annotations?.[ANNOTATION.releaseRequested]).toBe('1');
    await stage.clock.advance(1);
    await stage.settle();
    expect(stage.active).not.toBe(old);
  });

  it('does not follow that the pod is gone, which nobody has proven to have stopped', async () => {
    const stage = await steady();
    const old = stage.active;
    stage.cluster.remove(POD, old);
    await stage.settle();
    expect(stage.active).toBe(old);
    expect(stage.condition('Ready')?.status).toBe('True');
    await stage.clock.advance(1_000);
    await stage.settle();
    expect(stage.condition('Blocked')).toMatchObject({ status: 'True', reason: 'Fencing' });
  });
});

describe("the agents' rights", () => {
  const find = (stage: Stage, type: typeof ROLE) =>
    stage.cluster.find<KubeObject & Record<string, unknown>>(type, 'db-agent');
  const created = (stage: Stage) => stage.cluster.requests.findIndex((text) => text.startsWith('create pods/'));

  it('are made before the pods, once', async () => {
    const stage = await steady();
    for (const type of [SERVICE_ACCOUNT, ROLE, ROLE_BINDING]) expect(find(stage, type)).toBeDefined();
    expect(stage.cluster.requests.indexOf('create rolebindings/db-agent')).toBeLessThan(created(stage));
    const from = stage.cluster.requests.length;
    await stage.settle();
    expect(stage.cluster.requests.slice(from)).toEqual([]);
  });

  it('are mended by the next operator, and what somebody else binds stays', async () => {
    const stage = await steady();
    const others = { kind: 'ServiceAccount', name: 'other', namespace: 'default' };
    stage.cluster.edit(ROLE, 'db-agent', (role) => ({ ...role, rules: [] }));
    stage.cluster.edit(ROLE_BINDING, 'db-agent', (binding) => ({ ...binding, subjects: [others] }));
    stage.restart();
    await stage.settle();
    expect(find(stage, ROLE)).toMatchObject({ rules: [{ resourceNames: ['db-active'] }] });
    expect(find(stage, ROLE_BINDING)).toMatchObject({ subjects: [others, { name: 'db-agent' }] });
  });

  it("that are somebody else's keep pods from being made, and it is told", async () => {
    const stage = new Stage();
    stage.cluster.put(ROLE, { metadata: meta('db-agent') });
    stage.cluster.put(SINGLETON_SERVICE, aSingleton(SPEC));
    await stage.settle();
    expect(created(stage)).toBe(-1);
    expect(stage.condition('Progressing')?.message).toContain('Role db-agent exists and is not owned');
  });

  it('that the server refuses to give are told of', async () => {
    const stage = new Stage();
    stage.cluster.onRequest = ({ verb, plural }) => {
      if (verb === 'create' && plural === 'roles') throw new ApiError(403, 'Forbidden', 'is attempting to grant more');
    };
    stage.cluster.put(SINGLETON_SERVICE, aSingleton(SPEC));
    await stage.settle();
    expect(created(stage)).toBe(-1);
    expect(stage.condition('Progressing')?.message).toContain('attempting to grant more');
  });
});

describe('what is read of a pod with an agent', () => {
  const ended = { terminated: { exitCode: 0 } };
  const runs = { running: {} };
  const agentPod = (status: Pod['status']): Pod => ({
    ...aPodObject({}, status),
    spec: {
      nodeName: 'node-a',
      containers: [{ name: 'singleton-agent', env: [{ name: 'SINGLETON_LEASE_DURATION_MS', value: '20000' }] }],
    },
  });
  const container = (name: string, state: object) => ({ name, ready: false, restartCount: 0, state });
  const sidecar = (state: object) => [container('singleton-agent', state)];
  const app = (state: object) => [container('app', state)];

  it('is what the agent goes by', () => {
    expect(memberView(agentPod({})).agent).toEqual({ leaseDurationMs: 20_000 });
    expect(memberView(aPodObject())).not.toHaveProperty('agent');
  });

  it.each<[string, true | undefined, Pod['status']]>([
    [
      'its last phase, and all its containers ended',
      true,
      { phase: 'Succeeded', containerStatuses: app(ended), initContainerStatuses: sidecar(ended) },
    ],
    [
      'failed, and all its containers ended',
      true,
      { phase: 'Failed', containerStatuses: [...app(ended), ...sidecar(ended)] },
    ],
    [
      'failed, and its workload runs',
      undefined,
      { phase: 'Failed', containerStatuses: [...app(runs), ...sidecar(ended)] },
    ],
    [
      'failed, and its agent runs',
      undefined,
      { phase: 'Failed', containerStatuses: app(ended), initContainerStatuses: sidecar(runs) },
    ],
    ['failed, and nothing is told of its containers', undefined, { phase: 'Failed', containerStatuses: [] }],
    [
      'running, though all its containers ended: they are started again',
      undefined,
      { phase: 'Running', containerStatuses: [...app(ended), ...sidecar(ended)] },
    ],
  ])('%s', (_what, hasStopped, status) => {
    expect(memberView(agentPod(status)).hasStopped).toBe(hasStopped);
  });

  it('is not asked of one without an agent', () => {
    const status = { phase: 'Failed', containerStatuses: app(ended) } as const;
    expect(memberView(aPodObject({}, status))).not.toHaveProperty('hasStopped');
  });
});

describe('what is read of a Lease in mode Agent', () => {
  const view = (annotations: Record<string, string>, spec: Lease['spec'] = {}) =>
    leaseView(aLeaseObject(spec, { annotations }), 'uid-db');
  const release = { term: 3, kind: 'Switchover', reason: 'Requested', message: '', to: 'a_b', detectedWallMs: 5 };

  it('is what agents and operator have written beside it', () => {
    const annotations = {
      [ANNOTATION.renewedTerm]: '3',
      [ANNOTATION.releasedTerm]: '2',
      [ANNOTATION.releaseRequested]: '3',
      [ANNOTATION.release]: JSON.stringify(release),
    };
    expect(view(annotations, { leaseDurationSeconds: 10 })).toMatchObject({
      renewedTerm: 3,
      releasedTerm: 2,
      releaseRequested: 3,
      release,
      leaseDurationMs: 10_000,
    });
  });

  it.each(['', '-1', '03', '3.5', 'three', '99999999999'])('is no term: %j', (text) => {
    expect(view({ [ANNOTATION.renewedTerm]: text, [ANNOTATION.releasedTerm]: text })).not.toHaveProperty('renewedTerm');
    expect(view({ [ANNOTATION.releasedTerm]: text })).not.toHaveProperty('releasedTerm');
  });

  it.each([
    '',
    '{',
    'null',
    '[]',
    JSON.stringify({ ...release, kind: 'Other' }),
    JSON.stringify({ ...release, term: -1 }),
  ])('is no release that anybody asked for: %j', (text) => {
    expect(view({ [ANNOTATION.release]: text })).not.toHaveProperty('release');
  });

  it('is nothing of one in mode Routing', () => {
    expect(Object.keys(view({})).sort()).toEqual(
      ['holder', 'move', 'named', 'ours', 'resourceVersion', 'switchover', 'term', 'uid'].sort(),
    );
  });
});

/** Carries out a plan, in its order, up to the first stage in which an action fails. Each action is one request. */
import type { CallOptions, Clock, KubernetesApi, ObjectRef, ResourceType } from '../adapters/ports.ts';
import { isAlreadyExists, isConflict, isNotFound } from '../adapters/ports.ts';
import { EVENT, LEASE, POD, SERVICE, SINGLETON_SERVICE, apiVersionOf } from '../adapters/kubernetes/resources.ts';
import { ANNOTATION, API_VERSION, KIND, LABEL } from '../api/names.ts';
import type { KubeObject, Lease, Pod, PodDisruptionBudget, Service } from '../api/objects.ts';
import { toIso, toMicroTime } from '../api/time.ts';
import type { SingletonService } from '../api/types.ts';
import { holdSetText } from '../core/hold-set.ts';
import type { HoldSet } from '../core/hold-set.ts';
import type { LeaseContent } from '../core/lease.ts';
import { ownedMeta } from '../core/objects.ts';
import { ensureAccess } from './agent-access.ts';
import { stagesOf } from '../core/plan.ts';
import type { Action, EventAction, Expect, Plan } from '../core/plan.ts';
import type { SingletonView, SwitchoverRecord } from '../core/snapshot.ts';
import type { Cache, Caches } from './caches.ts';

export interface Executor {
  readonly api: KubernetesApi;
  readonly caches: Caches;
  /** In the version the server has. */
  readonly disruptionBudgets: ResourceType;
  readonly clock: Clock;
  /** Told after each action that succeeded; `made` is the version of the Lease that one made which leaves it with its holder. */
  readonly onDone: (action: Action, made?: string) => void;
}

/**
 * `stale`: an object is not what the decision saw; it has been read again, so decide again.
 * `failed`: it may work later, or never.
 */
export type Outcome =
  | { readonly kind: 'done' }
  | { readonly kind: 'stale'; readonly action: Action }
  | { readonly kind: 'failed'; readonly action: Action; readonly error: unknown };

/** Stage by stage; an action that fails does not keep those beside it from ending. */
export async function execute(plan: Plan, singleton: SingletonView, executor: Executor): Promise<Outcome> {
  for (const stage of stagesOf(plan.actions)) {
    const outcomes = await Promise.all(stage.map((action) => attempt(action, singleton, executor)));
    const bad = outcomes.find(({ kind }) => kind === 'failed') ?? outcomes.find(({ kind }) => kind === 'stale');
    if (bad !== undefined) return bad;
  }
  return { kind: 'done' };
}

/** Never rejects: nobody may look at this singleton again while another action of the stage is in flight. */
async function attempt(action: Action, singleton: SingletonView, executor: Executor): Promise<Outcome> {
  try {
    const made = await perform(action, singleton, executor);
    executor.onDone(action, made ?? undefined);
    return { kind: 'done' };
  } catch (error) {
    const mayBeStale = isConflict(error) || isNotFound(error) || isAlreadyExists(error);
    if (!mayBeStale) return { kind: 'failed', action, error };
    try {
      return (await reread(action, singleton, executor))
        ? { kind: 'stale', action }
        : { kind: 'failed', action, error };
    } catch (readError) {
      return { kind: 'failed', action, error: readError };
    }
  }
}

async function perform(action: Action, singleton: SingletonView, executor: Executor): Promise<string | void> {
  const { api, caches, clock, disruptionBudgets } = executor;
  const ref = (name: string) => ({ namespace: singleton.namespace, name });
  switch (action.kind) {
    case 'stripRole':
    case 'labelActive':
    case 'mendLabels': {
      const patch = { metadata: { ...preconditions(action.expect), labels: action.labels } };
      return caches.pods.acceptWrite(await api.mergePatch<Pod>(POD, ref(action.pod), patch));
    }
    case 'grantLease':
    case 'restoreLease': {
      const holder = action.kind === 'grantLease' ? `${action.to.pod}_${action.to.uid}` : action.holder;
      const patch = leasePatch(singleton, action.expect, { ...action, holder });
      return caches.leases.acceptWrite(await api.mergePatch<Lease>(LEASE, ref(action.lease), patch));
    }
    case 'recordSwitchover':
    case 'removeRequest':
    case 'requestRelease':
    case 'tellMembers':
      return writeRequest(action, singleton, { api, caches });
    case 'noteLease':
      return noteLease(action, singleton, { api, caches });
    case 'ensureAccess':
      return ensureAccess(api, singleton, action.access);
    case 'createLease': {
      const body = newLease(singleton, action.lease);
      return caches.leases.acceptWrite(await api.create<Lease>(LEASE, singleton.namespace, body));
    }
    case 'flipService': {
      const patch = { metadata: preconditions(action.expect), spec: { selector: action.selector } };
      return caches.services.acceptWrite(await api.mergePatch<Service>(SERVICE, ref(action.service), patch));
    }
    case 'createService':
      return caches.services.acceptWrite(await api.create<Service>(SERVICE, singleton.namespace, action.body));
    case 'mendService': {
      const patch = withPreconditions(action.patch, action.expect);
      return caches.services.acceptWrite(await api.mergePatch<Service>(SERVICE, ref(action.service), patch));
    }
    case 'createBudget': {
      const body = { apiVersion: apiVersionOf(disruptionBudgets), kind: disruptionBudgets.kind, ...action.body };
      const made = api.create<PodDisruptionBudget>(disruptionBudgets, singleton.namespace, body);
      return caches.budgets.acceptWrite(await made);
    }
    case 'mendBudget': {
      const patch = withPreconditions(action.patch, action.expect);
      const mended = api.mergePatch<PodDisruptionBudget>(disruptionBudgets, ref(action.budget), patch);
      return caches.budgets.acceptWrite(await mended);
    }
    case 'deleteBudget':
      return api.delete(disruptionBudgets, ref(action.budget), preconditions(action.expect));
    case 'checkTemplate':
      return void (await api.create(POD, singleton.namespace, action.body, { dryRun: true }));
    case 'createPod':
      return caches.pods.acceptWrite(await api.create<Pod>(POD, singleton.namespace, action.body));
    case 'deletePod':
      return api.delete(POD, ref(action.pod), preconditions(action.expect));
    case 'emitEvent':
      return emitEvent(action.event, singleton, { api, clock });
    case 'writeStatus':
      return writeStatus(action, singleton, { api, caches });
    default:
      return action satisfies never;
  }
}

const patchStatus = (api: KubernetesApi, ref: ObjectRef, patch: object): Promise<SingletonService> =>
  api.mergePatch<SingletonService>(SINGLETON_SERVICE, ref, patch, { subresource: 'status' });

async function noteLease(
  { expect, lease, term, singleton: name }: Extract<Action, { kind: 'noteLease' }>,
  { namespace }: SingletonView,
  { api, caches }: Pick<Executor, 'api' | 'caches'>,
): Promise<void> {
  const patch = { metadata: preconditions(expect), status: { lease, term } };
  caches.singletons.acceptWrite(await patchStatus(api, { namespace, name }, patch));
}

async function writeStatus(
  { resourceVersion, status }: Extract<Action, { kind: 'writeStatus' }>,
  singleton: SingletonView,
  { api, caches }: Pick<Executor, 'api' | 'caches'>,
): Promise<void> {
  const place = { namespace: singleton.namespace, name: singleton.name };
  const patch = { metadata: { resourceVersion }, status: replacing(singleton, status) };
  return caches.singletons.acceptWrite(await patchStatus(api, place, patch));
}

/**
 * What is asked for: the two sides of a request for a switchover, what the Lease says of it and the annotation that made it;
 * that the active releases the Lease; and whom agents may ask.
 */
async function writeRequest(
  action: Extract<Action, { kind: 'recordSwitchover' | 'removeRequest' | 'requestRelease' | 'tellMembers' }>,
  { namespace }: SingletonView,
  { api, caches }: Pick<Executor, 'api' | 'caches'>,
): Promise<string | void> {
  if (action.kind === 'tellMembers')
    return annotateLease(action, { [ANNOTATION.members]: action.members }, { namespace }, { api, caches });
  if (action.kind !== 'removeRequest')
    return annotateLease(action, requestAnnotations(action), { namespace }, { api, caches });
  const patch = { metadata: { ...preconditions(action.expect), annotations: { [ANNOTATION.switchover]: null } } };
  const place = { namespace, name: action.singleton };
  return caches.singletons.acceptWrite(await api.mergePatch<SingletonService>(SINGLETON_SERVICE, place, patch));
}

const requestAnnotations = (action: Extract<Action, { kind: 'recordSwitchover' | 'requestRelease' }>) =>
  action.kind === 'recordSwitchover'
    ? { [ANNOTATION.switchover]: JSON.stringify(action.switchover) }
    : {
        [ANNOTATION.releaseRequested]: String(action.release.term),
        [ANNOTATION.release]: JSON.stringify(action.release),
      };

/** Returns the version that the Lease has after it. */
async function annotateLease(
  { lease, expect }: { readonly lease: string; readonly expect: Expect },
  annotations: Readonly<Record<string, string>>,
  { namespace }: Pick<SingletonView, 'namespace'>,
  { api, caches }: Pick<Executor, 'api' | 'caches'>,
): Promise<string> {
  const patch = { metadata: { ...preconditions(expect), annotations } };
  const written = await api.mergePatch<Lease>(LEASE, { namespace, name: lease }, patch);
  caches.leases.acceptWrite(written);
  return written.metadata.resourceVersion;
}

/** The server answers 409 when the object is another one, or no longer what the decision saw. */
const preconditions = ({ uid, resourceVersion }: Expect) => ({ uid, resourceVersion });

function withPreconditions(patch: object, expect: Expect): object {
  const { metadata, ...rest } = patch as { metadata?: object };
  return { metadata: { ...preconditions(expect), ...metadata }, ...rest };
}

interface LeaseWrite extends LeaseContent {
  /** Absent: the one in the Lease stays. */
  readonly switchover?: SwitchoverRecord;
  /** Absent: the one in the Lease stays. */
  readonly leaseDurationMs?: number | null;
  /** Absent: the one in the Lease stays. */
  readonly holdSet?: HoldSet;
}

const leasePatch = (
  singleton: SingletonView,
  expect: Expect,
  { holder, term, move, switchover, leaseDurationMs, holdSet }: LeaseWrite,
) => ({
  metadata: {
    ...preconditions(expect),
    labels: { [LABEL.name]: singleton.name },
    annotations: {
      [ANNOTATION.move]: JSON.stringify(move),
      ...(switchover !== undefined && { [ANNOTATION.switchover]: JSON.stringify(switchover) }),
      ...(holdSet !== undefined && { [ANNOTATION.holdSet]: holdSetText(holdSet) }),
    },
  },
  spec: {
    holderIdentity: holder,
    leaseTransitions: term,
    acquireTime: toMicroTime(move.grantedWallMs),
    renewTime: toMicroTime(move.grantedWallMs),
    ...(leaseDurationMs !== undefined && { leaseDurationSeconds: wholeSeconds(leaseDurationMs) }),
  },
});

const wholeSeconds = (ms: number | null): number | null => (ms === null ? null : Math.ceil(ms / 1000));

const newLease = (singleton: SingletonView, name: string) => ({
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  metadata: ownedMeta(singleton, name),
  spec: { holderIdentity: '', leaseTransitions: 0 },
});

/** A merge patch leaves what it does not name: what the new status lacks and the old one had is named as null. */
function replacing(singleton: SingletonView, status: object): object {
  const gone = Object.keys(singleton.status ?? {}).filter((field) => !(field in status));
  const cleared = Object.fromEntries(gone.map((field) => [field, null]));
  return { ...replacingNested(singleton.status, status), ...cleared };
}

/** The objects inside the status (active, lastMove) are replaced as a whole, too. */
function replacingNested(before: object | undefined, after: object): object {
  const old = before as Record<string, unknown> | undefined;
  return Object.fromEntries(
    Object.entries(after).map(([field, value]: [string, unknown]) => {
      const was = old?.[field];
      if (!isPlainObject(value) || !isPlainObject(was)) return [field, value];
      const gone = Object.keys(was).filter((key) => !(key in value));
      return [field, { ...value, ...Object.fromEntries(gone.map((key) => [key, null])) }];
    }),
  );
}

const isPlainObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Core events, which `kubectl describe` shows. The name makes one that is sent again after a crash the same one. */
export async function emitEvent(
  event: EventAction,
  singleton: Pick<SingletonView, 'namespace' | 'name' | 'uid'>,
  { api, clock }: Pick<Executor, 'api' | 'clock'>,
): Promise<void> {
  const at = toIso(clock.wallMs());
  const body = {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: `${singleton.name}.${event.identity}`, namespace: singleton.namespace },
    involvedObject: {
      apiVersion: API_VERSION,
      kind: KIND,
      namespace: singleton.namespace,
      name: singleton.name,
      uid: singleton.uid,
    },
    reason: event.reason,
    message: event.message.slice(0, 1000),
    type: event.type,
    source: { component: 'singleton-operator' },
    firstTimestamp: at,
    lastTimestamp: at,
    count: 1,
  };
  try {
    await api.create(EVENT, singleton.namespace, body);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
}

/**
 * Reads live what a refused write was meant for, so that the next decision does not wait for the watch. False when that
 * is what the decision saw: the same write would be refused again.
 */
async function reread(action: Action, singleton: SingletonView, executor: Executor): Promise<boolean> {
  const { api, caches, disruptionBudgets } = executor;
  const ref = (name: string) => ({ namespace: singleton.namespace, name });
  switch (action.kind) {
    case 'stripRole':
    case 'labelActive':
    case 'mendLabels':
    case 'deletePod':
      return isAnother(action.expect, await readLive(api, POD, caches.pods, ref(action.pod)));
    case 'grantLease':
    case 'restoreLease':
    case 'recordSwitchover':
    case 'requestRelease':
    case 'tellMembers':
      return isAnother(action.expect, await readLive(api, LEASE, caches.leases, ref(action.lease)));
    case 'flipService':
    case 'mendService':
      return isAnother(action.expect, await readLive(api, SERVICE, caches.services, ref(action.service)));
    case 'mendBudget':
    case 'deleteBudget':
      return isAnother(action.expect, await readLive(api, disruptionBudgets, caches.budgets, ref(action.budget)));
    case 'removeRequest':
    case 'noteLease':
      return isAnother(action.expect, await readLive(api, SINGLETON_SERVICE, caches.singletons, ref(singleton.name)));
    case 'writeStatus':
      return isAnother(action, await readLive(api, SINGLETON_SERVICE, caches.singletons, ref(singleton.name)));
    case 'createPod':
      return isNews(api, POD, caches.pods, ref(action.pod));
    case 'createLease':
      return isNews(api, LEASE, caches.leases, ref(action.lease));
    case 'createService':
      return isNews(api, SERVICE, caches.services, ref(action.service));
    case 'createBudget':
      return isNews(api, disruptionBudgets, caches.budgets, ref(action.budget));
    case 'checkTemplate':
    case 'emitEvent':
    case 'ensureAccess':
      return false;
    default:
      return action satisfies never;
  }
}

/** Not by what the cache has: the watch may have brought it up to date while the write was on its way. */
const isAnother = (seen: { readonly resourceVersion: string }, live: KubeObject | undefined): boolean =>
  live?.metadata.resourceVersion !== seen.resourceVersion;

/** Of what a decision wanted to create, not knowing of it. When the cache has had it, it is there in a way that does not help. */
async function isNews<T extends KubeObject>(
  api: KubernetesApi,
  type: ResourceType,
  cache: Cache<T>,
  ref: { namespace: string; name: string },
): Promise<boolean> {
  const cached = cache.get(ref.namespace, ref.name);
  const live = await readLive(api, type, cache, ref);
  return cached?.metadata.resourceVersion !== live?.metadata.resourceVersion;
}

/** Brings the cache up to what the server has now, and returns that. */
export async function readLive<T extends KubeObject>(
  api: KubernetesApi,
  type: ResourceType,
  cache: Cache<T>,
  ref: { namespace: string; name: string },
  options?: CallOptions,
): Promise<T | undefined> {
  const cached = cache.get(ref.namespace, ref.name);
  const mark = cache.mark();
  try {
    const live = await api.get<T>(type, ref, options);
    cache.acceptRead(live, mark);
    return live;
  } catch (error) {
    if (!isNotFound(error)) throw error;
    if (cached !== undefined) cache.forget(cached);
    return undefined;
  }
}

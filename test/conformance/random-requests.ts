/**
 * Requests made up by chance, in words that mean the same on any API server: "the version seen last" instead of 4711. So
 * the same story can be told to two servers, and what they answer can be compared.
 */
import { LEASE, POD, SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import { ApiError } from '../../src/adapters/ports.ts';
import type { Random, ResourceType } from '../../src/adapters/ports.ts';
import type { KubeObject, ObjectMeta, Pod } from '../../src/api/objects.ts';
import { SINGLETON, aPod, aSingletonSpec, watching } from './world.ts';
import type { ConformanceWorld } from './world.ts';

type Seen = 'none' | 'last' | 'first' | 'wrong';

interface Request {
  readonly verb: 'get' | 'create' | 'patch' | 'delete';
  readonly kind: 'lease' | 'pod' | 'singleton';
  readonly name: string;
  /** Which of those seen goes along as a precondition. */
  readonly uid: Seen;
  readonly version: Seen;
  readonly isStatus: boolean;
  readonly changes: object;
  readonly graceSeconds: number | undefined;
}

const TYPES: Readonly<Record<Request['kind'], ResourceType>> = {
  lease: LEASE,
  pod: POD,
  singleton: SINGLETON_SERVICE,
};
const WRONG_UID = '00000000-0000-4000-8000-000000000000';
const FINALIZER = 'conformance.test/hold';

const METADATA = [
  { labels: { a: '1' } },
  { labels: { a: '2', b: '1' } },
  { labels: { a: null } },
  { labels: null },
  { labels: { a: 'not good' } },
  { annotations: { note: 'n' } },
  { finalizers: [FINALIZER] },
  { finalizers: null },
  { finalizers: [] },
];
const CONTENT: Readonly<Record<Request['kind'], readonly object[]>> = {
  lease: [
    { spec: { holderIdentity: 'a', leaseTransitions: 1 } },
    { spec: { holderIdentity: 'b' } },
    { spec: { holderIdentity: null } },
    { spec: { holderIdentity: '' } },
    { spec: { leaseTransitions: -1 } },
    { spec: null },
    { spec: { invented: 1 } },
  ],
  pod: [
    { status: { phase: 'Running', podIP: '10.64.0.1' } },
    { status: { phase: 'Failed', reason: 'Evicted' } },
    { status: { phase: 'Succeeded', reason: null } },
    { status: { conditions: [{ type: 'Ready', status: 'True' }] } },
    { status: { conditions: null } },
    { spec: { nodeName: 'elsewhere' } },
  ],
  singleton: [
    { spec: { replicas: 3 } },
    { spec: { replicas: 'three' } },
    { spec: { replicas: null, paused: true } },
    { spec: { election: { strategy: 'Priority' }, invented: 1 } },
    { spec: { election: null, paused: null } },
    { spec: { service: { type: 'LoadBalancer', labels: { x: 'y' } } } },
    { status: { term: 1, ready: '1/2' } },
    { status: { term: 2, invented: { a: 1 } } },
    { status: { term: null, active: { pod: 'p', uid: 'u' } } },
    { status: { active: { uid: null } } },
    { status: { term: 'two' } },
  ],
};

/**
 * Nothing is asked for that the server ignores, such as a status where the object is written: Kubernetes 1.20 then writes
 * all the same, since it notes the wish in `managedFields`, which are not modelled. The operator asks for no such thing.
 */
export function aRandomRequest(random: Random): Request {
  const pick = <T>(...choices: readonly T[]): T => choices[Math.floor(random() * choices.length)] as T;
  const kind = pick('lease', 'pod', 'singleton');
  const metadata = pick(undefined, undefined, ...METADATA);
  const content = pick<object>({}, ...CONTENT[kind], ...CONTENT[kind]);
  const isStatus = kind !== 'lease' && 'status' in content;
  const hasMetadata = metadata !== undefined && !(isStatus && kind === 'singleton');
  return {
    verb: pick('get', 'create', 'create', 'patch', 'patch', 'patch', 'patch', 'delete'),
    kind,
    name: `${kind}-${pick(0, 1)}`,
    uid: pick<Seen>('none', 'none', 'last', 'first', 'wrong'),
    version: pick<Seen>('none', 'none', 'last', 'first'),
    isStatus,
    changes: { ...content, ...(hasMetadata && { metadata }) },
    graceSeconds: pick(undefined, undefined, 0, 5, 20, 60),
  };
}

/** A server, as somebody knows it who tells it such a story. */
export class Teller {
  readonly #world: ConformanceWorld;
  readonly #first = new Map<string, ObjectMeta>();
  readonly #last = new Map<string, ObjectMeta>();

  constructor(world: ConformanceWorld) {
    this.#world = world;
  }

  /** What it answered, without what is different on every server. */
  async tell(request: Request): Promise<unknown> {
    const { api, namespace } = this.#world;
    const { kind, name } = request;
    const type = TYPES[kind];
    const ref = { namespace, name };
    try {
      const answer = await this.#send(request);
      // A deletion's answer says nothing of the object, and the port gives none.
      const now = answer ?? (await api.get(type, ref));
      return this.#remember(name, now);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      return { status: error.status, reason: error.reason };
    }
  }

  async #send(request: Request): Promise<KubeObject | undefined> {
    const { api, namespace, node } = this.#world;
    const { verb, kind, name, changes, isStatus, graceSeconds } = request;
    const type = TYPES[kind];
    const ref = { namespace, name };
    const { uid, resourceVersion } = this.#preconditions(request);
    const known = { ...(uid !== undefined && { uid }), ...(resourceVersion !== undefined && { resourceVersion }) };
    switch (verb) {
      case 'get':
        return api.get(type, ref);
      case 'create':
        return api.create(type, namespace, bodyOf(kind, name, graceSeconds === undefined ? undefined : node));
      case 'patch': {
        const { metadata = {}, ...rest } = changes as { metadata?: object };
        const patch = { ...rest, metadata: { ...metadata, ...known } };
        return api.mergePatch(type, ref, patch, isStatus ? { subresource: 'status' } : {});
      }
      case 'delete': {
        const grace = kind === 'pod' && graceSeconds !== undefined ? { gracePeriodSeconds: graceSeconds } : {};
        await api.delete(type, ref, { ...known, ...grace });
        return undefined;
      }
      default:
        return verb satisfies never;
    }
  }

  #preconditions({ name, uid, version }: Request): { uid: string | undefined; resourceVersion: string | undefined } {
    const seen = { none: undefined, wrong: undefined, first: this.#first.get(name), last: this.#last.get(name) };
    return {
      uid: uid === 'wrong' ? WRONG_UID : seen[uid]?.uid,
      resourceVersion: seen[version]?.resourceVersion,
    };
  }

  #remember(name: string, object: KubeObject): object {
    const { metadata } = object;
    const last = this.#last.get(name);
    if (!this.#first.has(name)) this.#first.set(name, metadata);
    this.#last.set(name, metadata);
    return {
      ...comparable(object),
      isSame: last?.uid === metadata.uid,
      isUnchanged: last?.resourceVersion === metadata.resourceVersion,
    };
  }
}

function bodyOf(kind: Request['kind'], name: string, node: string | undefined): object {
  switch (kind) {
    case 'lease':
      return { metadata: { name }, spec: { leaseTransitions: 0 } };
    case 'pod':
      return aPod({ name }, node === undefined ? {} : { nodeName: node });
    case 'singleton':
      return { ...SINGLETON, metadata: { name }, spec: aSingletonSpec() };
    default:
      return kind satisfies never;
  }
}

/** All that two servers must agree on. Of a pod only what the operator reads: the rest is not modelled. */
export function comparable(object: KubeObject): object {
  const { kind, metadata, spec, status } = object as KubeObject & { spec?: object; status?: object };
  const { name, labels, annotations, generation, deletionTimestamp, ...rest } = metadata;
  const { finalizers, deletionGracePeriodSeconds } = rest as Record<string, unknown>;
  const { phase, podIP, reason, conditions } = (status ?? {}) as NonNullable<Pod['status']>;
  const ready = conditions?.map(({ type, status }) => ({ type, status }));
  const isPod = kind === 'Pod';
  return {
    kind,
    name,
    labels,
    annotations,
    finalizers,
    deletionGracePeriodSeconds,
    isGoing: deletionTimestamp !== undefined,
    // Pods have a generation since Kubernetes 1.33.
    ...(isPod ? { status: { phase, podIP, reason, ready } } : { spec, status, generation }),
  };
}

export interface Listener {
  /** What watches told until now, in order: all there was of each kind, and what has label `a`. */
  heard(): Record<string, object[]>;
}

export async function listenTo(world: ConformanceWorld): Promise<Listener> {
  const { api, namespace } = world;
  const { resourceVersion } = await api.list(LEASE, { namespace, limit: 1 });
  const watches = Object.entries(TYPES).flatMap(([kind, type]) =>
    [undefined, 'a', 'a=1'].map((labelSelector) => {
      const query = { resourceVersion, ...(labelSelector !== undefined && { labelSelector }) };
      return { what: `${kind} ${labelSelector ?? 'all'}`, watch: watching(world, type, query) };
    }),
  );
  return {
    heard: () =>
      Object.fromEntries(
        watches.map(({ what, watch }) => [
          what,
          watch.told.map(({ type, object }) => ({ type, ...comparable(object) })),
        ]),
      ),
  };
}

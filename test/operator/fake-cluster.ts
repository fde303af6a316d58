/**
 * An API server in memory for the tests of the Reconciler: preconditions, merge patches, name conflicts and versions as
 * the real one has them. The caches learn of changes only when the test lets the watch deliver.
 */
import { ENDPOINT_SLICES, objectsOf } from './resources.ts';
import { ApiError } from '../../src/adapters/ports.ts';
import type {
  DeleteOptions,
  KubernetesApi,
  ListPage,
  ListQuery,
  ObjectRef,
  ResourceType,
} from '../../src/adapters/ports.ts';
import { POD, SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import { LABEL } from '../../src/api/names.ts';
import type { EndpointSlice, KubeObject, Pod, Service } from '../../src/api/objects.ts';
import { createCaches } from '../../src/operator/caches.ts';
import type { Caches } from '../../src/operator/caches.ts';
import { aSlice } from './objects.ts';
import { recordingLogger } from '../adapters/kubernetes/support/recording-logger.ts';

export interface Request {
  readonly verb: 'get' | 'list' | 'create' | 'patch' | 'delete';
  readonly plural: string;
  readonly name: string;
  readonly isDryRun: boolean;
}

type Json = Record<string, unknown>;

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** RFC 7386. */
function merged(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const result: Json = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merged(result[key], value);
  }
  return result;
}

export class FakeCluster implements KubernetesApi {
  readonly logger = recordingLogger();
  readonly caches: Caches = createCaches(this.logger);
  /** Everything that was asked, in order: `patch leases/db-active`. */
  readonly requests: string[] = [];
  /** Called before a request is carried out: may change objects, or throw what the server would answer. */
  onRequest: (request: Request) => void = () => undefined;
  readonly #objects = new Map<string, KubeObject>();
  readonly #delivered = new Map<string, KubeObject>();
  #version = 100;

  async get<T extends KubeObject>(type: ResourceType, ref: ObjectRef): Promise<T> {
    this.#ask({ verb: 'get', plural: type.plural, name: ref.name, isDryRun: false });
    return this.#existing(type, ref.name) as T;
  }

  async create<T extends KubeObject>(
    type: ResourceType,
    namespace: string,
    body: object,
    options?: { readonly dryRun?: boolean },
  ): Promise<T> {
    const { metadata } = body as KubeObject;
    const isDryRun = options?.dryRun === true;
    this.#ask({ verb: 'create', plural: type.plural, name: metadata.name, isDryRun });
    if (this.#objects.has(keyOf(type, metadata.name))) {
      throw new ApiError(409, 'AlreadyExists', `${type.plural} "${metadata.name}" already exists`);
    }
    const resourceVersion = this.#nextVersion();
    const uid = `uid-${metadata.name}-${resourceVersion}`;
    const object = {
      ...body,
      metadata: { ...metadata, creationTimestamp: '2026-01-01T00:00:00Z', namespace, uid, resourceVersion },
    };
    if (!isDryRun) this.#objects.set(keyOf(type, metadata.name), object);
    return object as unknown as T;
  }

  async mergePatch<T extends KubeObject>(type: ResourceType, ref: ObjectRef, patch: object): Promise<T> {
    this.#ask({ verb: 'patch', plural: type.plural, name: ref.name, isDryRun: false });
    const object = this.#existing(type, ref.name);
    const { uid, resourceVersion } =
      (patch as { metadata?: { uid?: string; resourceVersion?: string } }).metadata ?? {};
    const isMeant =
      (uid ?? object.metadata.uid) === object.metadata.uid &&
      (resourceVersion ?? object.metadata.resourceVersion) === object.metadata.resourceVersion;
    if (!isMeant) throw new ApiError(409, 'Conflict', `the ${type.plural} "${ref.name}" has been modified`);
    return this.#put(type, merged(object, patch) as KubeObject) as T;
  }

  async delete(type: ResourceType, ref: ObjectRef, options: DeleteOptions = {}): Promise<void> {
    this.#ask({ verb: 'delete', plural: type.plural, name: ref.name, isDryRun: false });
    const object = this.#existing(type, ref.name);
    for (const field of ['uid', 'resourceVersion'] as const)
      if ((options[field] ?? object.metadata[field]) !== object.metadata[field])
        throw new ApiError(409, 'Conflict', `the ${field} in the precondition does not match`);
    this.#put(type, { ...object, metadata: { ...object.metadata, deletionTimestamp: '2026-01-01T00:00:09Z' } });
  }

  /** Of pods, by name label: all that the Reconciler lists. */
  async list<T extends KubeObject>(type: ResourceType, { labelSelector = '' }: ListQuery): Promise<ListPage<T>> {
    this.#ask({ verb: 'list', plural: type.plural, name: labelSelector, isDryRun: false });
    const [key = '', value] = labelSelector.split('=');
    const items = this.all<T>(type).filter(({ metadata }) => metadata.labels?.[key] === value);
    return { items, resourceVersion: String(this.#version) };
  }

  watch(): Promise<void> {
    throw new Error('the Reconciler watches nothing');
  }

  getPath<T>(): Promise<T> {
    throw new Error('the Reconciler asks for no path');
  }

  // What others do to the cluster.

  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- as KubernetesApi.get: the caller knows the kind
  find<T extends KubeObject>(type: ResourceType, name: string): T | undefined {
    return this.#objects.get(keyOf(type, name)) as T | undefined;
  }

  all<T extends KubeObject>(type: ResourceType): T[] {
    return [...this.#objects].filter(([key]) => key.startsWith(`${type.plural}/`)).map(([, object]) => object as T);
  }

  /** Adds it, or replaces what has its name. */
  put(type: ResourceType, object: KubeObject): void {
    this.#put(type, object);
  }

  edit<T extends KubeObject>(type: ResourceType, name: string, change: (object: T) => T): void {
    this.#put(type, change(this.#existing(type, name) as T));
  }

  remove(type: ResourceType, name: string): void {
    this.#objects.delete(keyOf(type, name));
  }

  /** kube-controller-manager's part. */
  fillSlices(): void {
    const selector = this.find<Service>(SERVICE, 'db')?.spec?.selector ?? {};
    const uids = this.all<Pod>(POD)
      .filter(({ metadata }) => Object.entries(selector).every(([key, value]) => metadata.labels?.[key] === value))
      .filter(({ status }) => status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True'))
      .map(({ metadata }) => metadata.uid);
    const before = this.find<EndpointSlice>(ENDPOINT_SLICES, 'db-slice')?.endpoints ?? [];
    if (before.map((endpoint) => endpoint.targetRef?.uid).join() !== uids.join())
      this.#put(ENDPOINT_SLICES, aSlice(uids));
  }

  /** The watches bring all that has changed; of pods only what carries the name label. */
  deliver(): void {
    for (const { type, store } of objectsOf(this.caches)) {
      const now = new Map(
        [...this.#objects].filter(([key, object]) => key.startsWith(`${type.plural}/`) && isWatched(type, object)),
      );
      for (const [key, object] of now) if (this.#delivered.get(key) !== object) store.apply('MODIFIED', object);
      for (const [key, object] of this.#delivered) {
        if (!key.startsWith(`${type.plural}/`) || now.has(key)) continue;
        // A pod that merely stopped to match is told as deleted, with the version of that change.
        const resourceVersion = this.#objects.get(key)?.metadata.resourceVersion ?? this.#nextVersion();
        store.apply('DELETED', { ...object, metadata: { ...object.metadata, resourceVersion } });
        this.#delivered.delete(key);
      }
      for (const [key, object] of now) this.#delivered.set(key, object);
    }
  }

  #ask(request: Request): void {
    const suffix = request.isDryRun ? ' (dry run)' : '';
    this.requests.push(`${request.verb} ${request.plural}/${request.name}${suffix}`);
    this.onRequest(request);
  }

  #existing(type: ResourceType, name: string): KubeObject {
    const object = this.#objects.get(keyOf(type, name));
    if (object === undefined) throw new ApiError(404, 'NotFound', `${type.plural} "${name}" not found`);
    return object;
  }

  #put(type: ResourceType, object: KubeObject): KubeObject {
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: this.#nextVersion() } };
    this.#objects.set(keyOf(type, object.metadata.name), stored);
    return stored;
  }

  #nextVersion(): string {
    this.#version += 1;
    return String(this.#version);
  }
}

const keyOf = (type: ResourceType, name: string): string => `${type.plural}/${name}`;

const isWatched = (type: ResourceType, object: KubeObject): boolean =>
  type.plural === 'singletonservices' || type.plural === 'nodes' || object.metadata.labels?.[LABEL.name] !== undefined;

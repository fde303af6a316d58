/** The KubernetesApi port over a simulated server: everything that travels goes through the wire. */
import type {
  CallOptions,
  KubernetesApi,
  ListPage,
  ListQuery,
  ObjectRef,
  ResourceType,
  WatchEvent,
  WatchQuery,
} from '../../src/adapters/ports.ts';
import type { KubeObject } from '../../src/api/objects.ts';
import type { SimulatedApiServer } from './api-server/server.ts';
import type { Wire, WireRequest } from './wire.ts';

/** @param user as whom it asks: what the server's hooks and the wire are told */
export function createSimulatedApi(server: SimulatedApiServer, wire: Wire, user: string): KubernetesApi {
  const request = (
    verb: WireRequest['verb'],
    { plural: resource }: ResourceType,
    { namespace, name }: Partial<ObjectRef>,
  ): WireRequest => ({
    user,
    verb,
    resource,
    ...(namespace !== undefined && { namespace }),
    ...(name !== undefined && { name }),
  });
  return {
    get: <T extends KubeObject>(type: ResourceType, ref: ObjectRef, options?: CallOptions) =>
      wire.call(request('get', type, ref), () => server.get(type, ref) as KubeObject as T, options),
    list: <T extends KubeObject>(type: ResourceType, query: ListQuery, options?: CallOptions) => {
      const serve = (): ListPage<T> => server.list(type, query) as ListPage<KubeObject> as ListPage<T>;
      return wire.call(request('list', type, scopeOf(query)), serve, options);
    },
    watch<T extends KubeObject>(
      type: ResourceType,
      query: WatchQuery,
      onEvent: (event: WatchEvent<T>) => void,
      options?: { readonly signal?: AbortSignal },
    ) {
      const about = request('watch', type, scopeOf(query));
      const take = (event: WatchEvent<KubeObject>): void => onEvent(event as WatchEvent<T>);
      return wire.stream(about, (push, end) => server.watch(user, type, query, push, end), take, options);
    },
    create<T extends KubeObject>(
      type: ResourceType,
      namespace: string,
      body: object,
      options?: CallOptions & { readonly dryRun?: boolean },
    ) {
      const about = request('create', type, type.namespaced ? { namespace, ...nameOf(body) } : nameOf(body));
      const serve = (): T => server.create(user, type, namespace, body, options) as KubeObject as T;
      return wire.call(about, serve, options);
    },
    mergePatch<T extends KubeObject>(
      type: ResourceType,
      ref: ObjectRef,
      patch: object,
      options?: CallOptions & { readonly subresource?: 'status' },
    ) {
      const { subresource } = options ?? {};
      const about = { ...request('patch', type, ref), ...(subresource !== undefined && { subresource }) };
      const serve = (): T => server.patch(user, type, ref, patch, subresource) as KubeObject as T;
      return wire.call(about, serve, options);
    },
    delete: (type, ref, options) =>
      wire.call(request('delete', type, ref), () => server.delete(user, type, ref, options), options),
    getPath: <T>(path: string, options?: CallOptions) =>
      wire.call({ user, verb: 'get', resource: path }, () => server.getPath(path) as T, options),
  };
}

const scopeOf = ({ namespace }: ListQuery): { namespace?: string } => (namespace === undefined ? {} : { namespace });

const nameOf = (body: object): { name?: string } => {
  const { name } = (body as { metadata?: { name?: string } }).metadata ?? {};
  return name === undefined ? {} : { name };
};

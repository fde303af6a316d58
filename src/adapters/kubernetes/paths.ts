import type { ListQuery, ObjectRef, ResourceType, WatchQuery } from '../ports.ts';

const segments = (type: ResourceType, namespace: string | undefined): string => {
  const root = type.group === '' ? `/api/${type.version}` : `/apis/${type.group}/${type.version}`;
  const scope = type.namespaced && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : '';
  return `${root}${scope}/${type.plural}`;
};

function withQuery(path: string, parameters: Readonly<Record<string, string | undefined>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined) query.set(name, value);
  return query.size === 0 ? path : `${path}?${query.toString()}`;
}

export const objectPath = (type: ResourceType, ref: ObjectRef, subresource?: string): string => {
  // Without it the name would be taken for one of another scope, or an empty name for the whole collection.
  if (type.namespaced && ref.namespace === undefined)
    throw new TypeError(`a ${type.kind} is addressed with its namespace`);
  if (ref.name === '') throw new TypeError(`a ${type.kind} is addressed with its name`);
  const path = `${segments(type, ref.namespace)}/${encodeURIComponent(ref.name)}`;
  return subresource === undefined ? path : `${path}/${subresource}`;
};

export const createPath = (type: ResourceType, namespace: string, dryRun: boolean): string =>
  withQuery(segments(type, namespace), { dryRun: dryRun ? 'All' : undefined });

export const listPath = (type: ResourceType, query: ListQuery): string =>
  withQuery(segments(type, query.namespace), {
    labelSelector: query.labelSelector,
    fieldSelector: query.fieldSelector,
    limit: query.limit?.toString(),
    continue: query.continueToken,
  });

export const watchPath = (type: ResourceType, query: WatchQuery): string =>
  withQuery(segments(type, query.namespace), {
    watch: 'true',
    allowWatchBookmarks: 'true',
    labelSelector: query.labelSelector,
    fieldSelector: query.fieldSelector,
    resourceVersion: query.resourceVersion,
    timeoutSeconds: query.timeoutSeconds.toString(),
  });

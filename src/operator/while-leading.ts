/** The API as a leader sees it: every call ends with the lead, and none begins without it. */
import { TransportError } from '../adapters/ports.ts';
import type { CallOptions, KubernetesApi } from '../adapters/ports.ts';

/** @param lead aborted when the lead is lost; undefined while there is none */
export function whileLeading(api: KubernetesApi, lead: () => AbortSignal | undefined): KubernetesApi {
  const leading = <T extends CallOptions>(options: T | undefined): T & CallOptions => {
    const signal = lead();
    if (signal === undefined) throw new TransportError('aborted', 'this replica does not lead, so it writes nothing');
    const both = options?.signal === undefined ? signal : AbortSignal.any([signal, options.signal]);
    return { ...(options as T), signal: both };
  };
  return {
    get: async (type, ref, options) => api.get(type, ref, leading(options)),
    list: async (type, query, options) => api.list(type, query, leading(options)),
    watch: async (type, query, onEvent, options) => api.watch(type, query, onEvent, leading(options)),
    create: async (type, namespace, body, options) => api.create(type, namespace, body, leading(options)),
    mergePatch: async (type, ref, patch, options) => api.mergePatch(type, ref, patch, leading(options)),
    delete: async (type, ref, options) => api.delete(type, ref, leading(options)),
    getPath: async (path, options) => api.getPath(path, leading(options)),
  };
}

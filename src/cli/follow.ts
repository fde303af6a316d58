/** Told of every change of some SingletonServices, over whatever happens to the connection. */
import { Reflector } from '../adapters/kubernetes/reflector.ts';
import { SINGLETON_SERVICE } from '../adapters/kubernetes/resources.ts';
import { Store } from '../adapters/kubernetes/store.ts';
import type { StoreListener } from '../adapters/kubernetes/store.ts';
import type { Clock, KubernetesApi, LogFields, Logger } from '../adapters/ports.ts';
import type { SingletonService } from '../api/types.ts';

export interface FollowOptions {
  readonly api: KubernetesApi;
  readonly clock: Clock;
  /** Absent: all. */
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  /** Trouble with the watch, which goes on trying. */
  readonly warn: (line: string) => void;
}

/** Calls `listener` for all that are there, and for each change. @returns what ends it */
export function follow(options: FollowOptions, listener: StoreListener<SingletonService>): () => void {
  const { api, clock, namespace, name } = options;
  const logger = warningsOf(options);
  const store = new Store<SingletonService>({ name: SINGLETON_SERVICE.plural, logger });
  store.onChange(listener);
  const query = {
    ...(namespace !== undefined && { namespace }),
    ...(name !== undefined && { fieldSelector: `metadata.name=${name}` }),
  };
  const reflector = new Reflector({ api, clock, logger, store, type: SINGLETON_SERVICE, query, random: Math.random });
  reflector.start();
  return () => reflector.stop();
}

function warningsOf({ warn }: FollowOptions): Logger {
  const say = (message: string, fields: LogFields = {}): void => {
    const { why, error } = fields;
    const reason = error instanceof Error ? error.message : why;
    warn(typeof reason === 'string' ? `${message}: ${reason}` : message);
  };
  return { debug: () => {}, info: () => {}, warn: say, error: say };
}

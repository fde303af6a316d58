/** Somebody else's object in the place of ours, for a while. */
import type { ResourceType } from '../../src/adapters/ports.ts';
import { USER, seconds } from './fault-words.ts';
import { NAMESPACE } from './manifest.ts';
import type { Fault, Targets } from './nemesis.ts';

export interface Foreign {
  readonly type: (targets: Targets) => ResourceType;
  /** In words. */
  readonly kind: string;
  readonly name: string;
  readonly body: object;
  readonly longestMs: number;
}

export const foreign =
  ({ type: typeIn, kind, name, body, longestMs }: Foreign): Fault =>
  (targets) => {
    const { cluster, engine, chance } = targets;
    const type = typeIn(targets);
    const ours = cluster.get(type, name, NAMESPACE);
    if (ours !== undefined) cluster.delete(USER, type, ours);
    if (!cluster.create(USER, type, { ...body, metadata: { name, namespace: NAMESPACE } })) return undefined;
    const made = cluster.get(type, name, NAMESPACE);
    const forMs = chance.logBetween(100, longestMs);
    engine.after(forMs, () => {
      const now = cluster.get(type, name, NAMESPACE);
      if (now !== undefined && now.metadata.uid === made?.metadata.uid) cluster.delete(USER, type, now);
    });
    return `somebody puts a ${kind} of their own in the place of ours for ${seconds(forMs)}`;
  };

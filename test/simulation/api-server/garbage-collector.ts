/**
 * Deletes what is owned by objects that are gone, as kube-controller-manager's garbage collector does. Background deletion only: nothing here asks for foreground, or for orphans.
 */
import type { ObjectRef, ResourceType } from '../../../src/adapters/ports.ts';
import type { Stored } from './kind.ts';
import type { SimulatedApiServer } from './server.ts';
import { WorkQueue } from './work-queue.ts';

const USER = 'generic-garbage-collector';

interface Dependent {
  readonly type: ResourceType;
  readonly ref: ObjectRef;
  readonly uid: string;
}

export class GarbageCollector {
  readonly #server: SimulatedApiServer;
  /** UIDs of all that exists. */
  readonly #living = new Set<string>();
  /** By the UID of an owner: what names it, by UID. */
  readonly #dependents = new Map<string, Map<string, Dependent>>();
  /** Objects that may have lost their owners, by UID. */
  readonly work = new WorkQueue<Dependent>((dependent) => this.#look(dependent));

  /** It has to be made before the objects are: it learns of them by their writes. */
  constructor(server: SimulatedApiServer) {
    this.#server = server;
    server.onWrite((_user, _verb, before, after, type) => this.#see(before, after, type));
  }

  #look({ type, ref, uid }: Dependent): void {
    const object = this.#server.find(type, ref);
    if (object?.metadata.uid !== uid || object.metadata.deletionTimestamp !== undefined) return;
    const owners = object.metadata.ownerReferences ?? [];
    if (owners.length === 0 || owners.some((owner) => this.#living.has(owner.uid))) return;
    this.#server.delete(USER, type, ref, { uid });
  }

  #see(before: Stored | undefined, after: Stored | undefined, type: ResourceType): void {
    if (before !== undefined && before.metadata.ownerReferences !== after?.metadata.ownerReferences) {
      for (const owner of before.metadata.ownerReferences ?? [])
        this.#dependents.get(owner.uid)?.delete(before.metadata.uid);
    }
    if (after === undefined) return this.#bury(before);
    if (before === undefined) this.#living.add(after.metadata.uid);
    if (before?.metadata.ownerReferences === after.metadata.ownerReferences) return undefined;
    const { uid, name, namespace, ownerReferences = [] } = after.metadata;
    const dependent = { type, ref: { name, ...(namespace !== undefined && { namespace }) }, uid };
    for (const owner of ownerReferences) {
      const those = this.#dependents.get(owner.uid) ?? new Map<string, Dependent>();
      this.#dependents.set(owner.uid, those.set(uid, dependent));
      if (!this.#living.has(owner.uid)) this.work.add(uid, dependent);
    }
    return undefined;
  }

  #bury(object: Stored | undefined): void {
    if (object === undefined) return;
    const { uid } = object.metadata;
    this.#living.delete(uid);
    this.work.drop(uid);
    for (const dependent of this.#dependents.get(uid)?.values() ?? []) this.work.add(dependent.uid, dependent);
    this.#dependents.delete(uid);
  }
}

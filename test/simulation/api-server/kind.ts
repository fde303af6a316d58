/** What the API server does with one kind and not with another: defaults, validation, subresources, grace. */
import type { ResourceType } from '../../../src/adapters/ports.ts';
import type { KubeObject, ObjectMeta } from '../../../src/api/objects.ts';
import { sameValue } from './json.ts';
import type { JsonObject } from './json.ts';
import type { SelectableFields } from './selectors.ts';

/** An object as the server keeps it: frozen. */
export interface Stored extends KubeObject {
  readonly metadata: ObjectMeta & {
    readonly generateName?: string;
    readonly finalizers?: readonly string[];
    readonly deletionGracePeriodSeconds?: number;
  };
  readonly spec?: JsonObject;
  readonly status?: JsonObject;
  readonly [field: string]: unknown;
}

/** What a server hands out once only. */
export interface Allocator {
  clusterIP(): string;
  nodePort(): number;
}

export interface Kind {
  readonly type: ResourceType;
  /** Has `/status`; then a write without that subresource leaves the status alone. */
  readonly hasStatus?: boolean;
  /** Served by a CRD: its objects must say what they are, and a write to `/status` writes no metadata. */
  readonly isCustom?: boolean;
  readonly countsGenerations?: boolean;
  /** Besides `metadata.name` and `metadata.namespace`. */
  readonly fields?: SelectableFields;
  /** Fills in what a request left out. `before` is absent when the object is being created. */
  readonly complete?: (next: Stored, before: Stored | undefined, allocator: Allocator) => Stored;
  /** `spec.ports: Required value` */
  readonly problems?: (next: Stored, before: Stored | undefined) => readonly string[];
  /** How long a deletion waits for whoever runs the object; undefined: it has no such thing. */
  readonly graceSeconds?: (object: Stored, asked: number | undefined) => number;
}

/** Whether something changed of which `metadata.generation` keeps count: anything but metadata and status. */
export function isNewGeneration(next: Stored, before: Stored): boolean {
  const fields = new Set([...Object.keys(next), ...Object.keys(before)]);
  fields.delete('metadata');
  fields.delete('status');
  return [...fields].some((field) => !sameValue(next[field], before[field]));
}

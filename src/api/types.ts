/** The SingletonService as it comes from the API server, and its status. */
import type { KubeObject } from './objects.ts';
import type { Status } from './status-schema.ts';

export type { ActiveStatus, MemberStatus, Move, Status, SwitchoverStatus } from './status-schema.ts';

/**
 * As the watch delivers it. The spec is of unknown shape until `parseSpec` (spec.ts) has read it. The status is the one
 * that the operator itself wrote, possibly an older version of it: every field of it may be missing.
 */
export interface SingletonService extends KubeObject {
  readonly spec?: unknown;
  readonly status?: Status;
}

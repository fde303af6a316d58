/** How the API server makes the object that is stored from what a request says. Pure: it stores nothing. */
import { apiVersionOf } from '../../../src/adapters/kubernetes/resources.ts';
import type { DeleteOptions, ResourceType } from '../../../src/adapters/ports.ts';
import { anotherUid, badRequest, conflict, invalid, modified } from './errors.ts';
import { merged, sameValue, sealed } from './json.ts';
import type { JsonObject } from './json.ts';
import { isNewGeneration } from './kind.ts';
import type { Allocator, Kind, Stored } from './kind.ts';
import { metadataOf, metadataProblems, tidied, withMetadata, writableMetadata } from './metadata.ts';

/** What is new with every object. */
export interface Births {
  readonly wallMs: () => number;
  readonly uid: () => string;
  readonly suffix: () => string;
  readonly allocator: Allocator;
}

export type Subresource = 'status' | undefined;

/** RFC 3339 in whole seconds, as `metav1.Time` is. */
export const timestamp = (wallMs: number): string => `${new Date(wallMs).toISOString().slice(0, 19)}Z`;

/** @throws ApiError 422, 400 */
export function newObject(kind: Kind, namespace: string | undefined, body: object, births: Births): Stored {
  const { type } = kind;
  const { status, metadata: _metadata, ...rest } = body as JsonObject;
  const metadata = metadataOf(body);
  const { generateName, name = nameFrom(generateName, births) } = metadata as { generateName?: string; name?: string };
  checkType(kind, body as JsonObject);
  checkAddress(type, namespace, metadata, name);
  const object = sealed({
    ...rest,
    apiVersion: apiVersionOf(type),
    kind: type.kind,
    metadata: {
      name,
      generateName,
      namespace,
      uid: births.uid(),
      creationTimestamp: timestamp(births.wallMs()),
      // Where nobody counts them they are the client's.
      generation: kind.countsGenerations === true ? 1 : metadata['generation'],
      ...writableMetadata(metadata),
    },
    // A node says what it is when it registers; of everything else the status comes later.
    ...(type.plural === 'nodes' && { status }),
  }) as unknown as Stored;
  return checked(kind, tidied(kind.complete?.(object, undefined, births.allocator) ?? object), undefined);
}

/** Of a built-in kind the path says enough. */
function checkType({ type, isCustom = false }: Kind, { apiVersion, kind }: JsonObject): void {
  const isRight = (given: unknown, wanted: string): boolean => given === wanted || (given === undefined && !isCustom);
  if (isRight(apiVersion, apiVersionOf(type)) && isRight(kind, type.kind)) return;
  throw badRequest(`${type.kind} in version "${type.version}" cannot be handled as a ${type.kind}`);
}

const nameFrom = (generateName: string | undefined, births: Births): string =>
  generateName === undefined ? '' : generateName + births.suffix();

function checkAddress(type: ResourceType, namespace: string | undefined, metadata: JsonObject, name: string): void {
  if (name === '') throw invalid(type, '', 'metadata.name: Required value: name or generateName is required');
  if (metadata['namespace'] !== undefined && metadata['namespace'] !== namespace) {
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  }
  if (metadata['resourceVersion'] !== undefined && metadata['resourceVersion'] !== '') {
    throw badRequest('resourceVersion should not be set on objects to be created');
  }
}

/**
 * The object with the patch in it; `before` itself when that changes nothing.
 *
 * @throws ApiError 409 when a precondition does not hold, 422
 */
export function patchedObject(
  kind: Kind,
  before: Stored,
  patch: object,
  subresource: Subresource,
  allocator: Allocator,
): Stored {
  checkPatchPreconditions(kind, before, metadataOf(patch), subresource);
  const raw = merged(before, partsThatCount(kind, patch, subresource)) as Stored;
  if (raw === before) return before;
  const completed = kind.complete?.(raw, before, allocator) ?? raw;
  const next = completed.metadata === before.metadata ? completed : tidied(completed);
  // A merge that changes nothing gives `before`; what was completed or tidied may be that again.
  if (next !== raw && sameValue(next, before)) return before;
  const generation = before.metadata.generation ?? 0;
  const isCounted = kind.countsGenerations === true && isNewGeneration(next, before);
  return checked(kind, isCounted ? withMetadata(next, { generation: generation + 1 }) : next, before);
}

function checkPatchPreconditions(
  { type, isCustom }: Kind,
  before: Stored,
  metadata: JsonObject,
  subresource: Subresource,
): void {
  const { name, uid, resourceVersion } = before.metadata;
  const { uid: wantedUid, resourceVersion: wantedVersion } = metadata as { uid?: string; resourceVersion?: string };
  if (wantedVersion !== undefined && wantedVersion !== '' && wantedVersion !== resourceVersion) {
    throw modified(type, name);
  }
  // Who writes the status of a custom resource writes no metadata, and so is not told that it is another's.
  const ignoresUid = isCustom === true && subresource === 'status';
  if (wantedUid !== undefined && wantedUid !== uid && !ignoresUid) throw anotherUid(type, name, wantedUid);
}

/** The fields of a patch that do not simply count. */
const OWN_WAYS = new Set(['apiVersion', 'kind', 'metadata', 'status']);

/** A write to an object leaves its status alone; one to its status leaves everything else alone. */
function partsThatCount(kind: Kind, patch: object, subresource: Subresource): JsonObject {
  const { status } = patch as JsonObject;
  const metadata = writableMetadata(metadataOf(patch));
  if (subresource === 'status') return { status, ...(kind.isCustom !== true && { metadata }) };
  const parts: Record<string, unknown> = {};
  for (const field of Object.keys(patch)) if (!OWN_WAYS.has(field)) parts[field] = (patch as JsonObject)[field];
  parts['metadata'] = metadata;
  if (kind.hasStatus !== true) parts['status'] = status;
  return parts;
}

function checked(kind: Kind, object: Stored, before: Stored | undefined): Stored {
  const metadataOnes = metadataProblems(object, before);
  const others = kind.problems?.(object, before) ?? [];
  if (metadataOnes.length + others.length === 0) return object;
  throw invalid(kind.type, object.metadata.name, ...metadataOnes, ...others);
}

/** @throws ApiError 409 */
export function checkDeletePreconditions(
  type: ResourceType,
  before: Stored,
  { uid, resourceVersion }: DeleteOptions,
): void {
  const { name, uid: hasUid, resourceVersion: hasVersion } = before.metadata;
  if (uid !== undefined && uid !== hasUid) {
    const why = `the UID in the precondition (${uid}) does not match the UID in record (${hasUid}). The object might have been deleted and then recreated`;
    throw conflict(type, name, why);
  }
  if (resourceVersion !== undefined && resourceVersion !== hasVersion) {
    const why = `the ResourceVersion in the precondition (${resourceVersion}) does not match the ResourceVersion in record (${hasVersion}). The object might have been modified`;
    throw conflict(type, name, why);
  }
}

/**
 * The object that a deletion leaves to whoever must still agree to it: with a deletionTimestamp. `before` itself when it
 * was so already; undefined when nobody needs to be asked. Follows `rest.BeforeDelete`.
 *
 * @param askedSeconds the request's own grace period
 */
export function markedForDeletion(
  kind: Kind,
  before: Stored,
  askedSeconds: number | undefined,
  wallMs: number,
): Stored | undefined {
  const { deletionTimestamp, deletionGracePeriodSeconds: pending = 0, finalizers = [] } = before.metadata;
  if (kind.graceSeconds === undefined && finalizers.length === 0) return undefined;
  const isMarked = deletionTimestamp !== undefined;
  // A grace period under way can only be shortened; then nobody asks what has become of the object meanwhile.
  if (isMarked && (askedSeconds === undefined || askedSeconds >= pending)) return before;
  const graceSeconds = (isMarked ? askedSeconds : kind.graceSeconds?.(before, askedSeconds)) ?? 0;
  const startMs = isMarked ? Date.parse(deletionTimestamp) - pending * 1000 : wallMs;
  const { generation } = before.metadata;
  return withMetadata(before, {
    deletionTimestamp: timestamp(startMs + graceSeconds * 1000),
    deletionGracePeriodSeconds: graceSeconds,
    ...(generation !== undefined && !isMarked && { generation: generation + 1 }),
  });
}

/** Whether a deletion that was begun has nothing left to wait for. */
export const isDeletable = ({ metadata }: Stored): boolean =>
  metadata.deletionTimestamp !== undefined &&
  (metadata.deletionGracePeriodSeconds ?? 0) === 0 &&
  (metadata.finalizers ?? []).length === 0;

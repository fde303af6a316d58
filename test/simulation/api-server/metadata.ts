/** What the API server does with `metadata`, whatever the kind. */
import { isObject, sealed, withFields } from './json.ts';
import type { JsonObject } from './json.ts';
import type { Stored } from './kind.ts';

/** Those that a client may write; the others are the server's, and ignored. */
const WRITABLE = ['labels', 'annotations', 'ownerReferences', 'finalizers'];

const isEmpty = (value: unknown): boolean =>
  Array.isArray(value) ? value.length === 0 : isObject(value) && Object.keys(value).length === 0;

export const metadataOf = (body: object): JsonObject => {
  const { metadata } = body as { metadata?: unknown };
  return isObject(metadata) ? metadata : {};
};

/** The part of a patch's or a new object's metadata that counts. */
export function writableMetadata(metadata: JsonObject): JsonObject {
  const writable: Record<string, unknown> = {};
  for (const field of WRITABLE) if (metadata[field] !== undefined) writable[field] = metadata[field];
  return writable;
}

/** Empty maps and lists are left out of JSON. */
export function tidied(object: Stored): Stored {
  const metadata = object.metadata as unknown as JsonObject;
  const empty = WRITABLE.filter((field) => isEmpty(metadata[field]));
  if (empty.length === 0) return object;
  return withFields(object, {
    metadata: withFields(metadata, Object.fromEntries(empty.map((key) => [key, undefined]))),
  });
}

export const withMetadata = (object: Stored, fields: JsonObject): Stored =>
  Object.freeze({ ...object, metadata: Object.freeze({ ...object.metadata, ...sealed(fields) }) });

export const withVersion = (object: Stored, version: number): Stored =>
  Object.freeze({ ...object, metadata: Object.freeze({ ...object.metadata, resourceVersion: String(version) }) });

const NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const LABEL_KEY = /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;

/** `metadata.labels: Invalid value: "x y": …`; only of what differs from `before`. */
export function metadataProblems({ metadata }: Stored, before: Stored | undefined): string[] {
  if (metadata === before?.metadata) return [];
  const { name, labels = {}, ownerReferences = [] } = metadata;
  return [
    ...(before !== undefined || NAME.test(name)
      ? []
      : [
          `metadata.name: Invalid value: "${name}": a DNS-1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'`,
        ]),
    ...(labels === before?.metadata.labels ? [] : labelProblems(labels)),
    ...finalizerProblems(metadata, before?.metadata),
    ...ownerReferences.flatMap(({ uid }, index) =>
      uid === '' ? [`metadata.ownerReferences[${index}].uid: Invalid value: "": uid must not be empty`] : [],
    ),
  ];
}

function finalizerProblems({ finalizers = [] }: Stored['metadata'], before: Stored['metadata'] | undefined): string[] {
  const added = finalizers.filter((name) => before?.finalizers?.includes(name) !== true);
  if (before?.deletionTimestamp === undefined || added.length === 0) return [];
  const names = added.map((name) => JSON.stringify(name)).join(', ');
  return [
    `metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{${names}}`,
  ];
}

const labelProblems = (labels: Readonly<Record<string, string>>): string[] =>
  Object.entries(labels).flatMap(([key, value]) => [
    ...(LABEL_KEY.test(key)
      ? []
      : [
          `metadata.labels: Invalid value: "${key}": name part must consist of alphanumeric characters, '-', '_' or '.'`,
        ]),
    ...(LABEL_VALUE.test(value)
      ? []
      : [
          `metadata.labels: Invalid value: "${value}": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.'`,
        ]),
  ]);

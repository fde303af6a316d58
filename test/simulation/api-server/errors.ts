/** What the API server answers when it does not do it: statuses, reasons and messages are those of the real one. */
import { ApiError } from '../../../src/adapters/ports.ts';
import type { ResourceType } from '../../../src/adapters/ports.ts';

/**
 * Refusals are ordinary here, and answers: where they were made tells nobody anything, and to find that out takes longer
 * than to serve a request.
 */
export function withoutStack<T>(make: () => T): T {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return make();
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

export const apiError = (status: number, reason: string, message: string, retryAfterMs?: number): ApiError =>
  withoutStack(() => new ApiError(status, reason, message, retryAfterMs));

/** `leases.coordination.k8s.io`, `pods` */
export const qualified = (type: ResourceType, word = type.plural): string =>
  type.group === '' ? word : `${word}.${type.group}`;

export const notFound = (type: ResourceType, name: string): ApiError =>
  apiError(404, 'NotFound', `${qualified(type)} "${name}" not found`);

/** Of a path that nobody serves: an unknown resource, or a subresource that a resource does not have. */
export const notServed = (): ApiError => apiError(404, 'NotFound', 'the server could not find the requested resource');

export const alreadyExists = (type: ResourceType, name: string): ApiError =>
  apiError(409, 'AlreadyExists', `${qualified(type)} "${name}" already exists`);

export const conflict = (type: ResourceType, name: string, why: string): ApiError =>
  apiError(409, 'Conflict', `Operation cannot be fulfilled on ${qualified(type)} "${name}": ${why}`);

export const modified = (type: ResourceType, name: string): ApiError =>
  conflict(type, name, 'the object has been modified; please apply your changes to the latest version and try again');

/**
 * The real server says 422 of a patch whose `metadata.uid` is another object's; the port promises 409, and its adapter
 * keeps the message.
 */
export const anotherUid = (type: ResourceType, name: string, uid: string): ApiError => {
  const problem = `metadata.uid: Invalid value: "${uid}": field is immutable`;
  return apiError(409, 'Conflict', invalid(type, name, problem).message);
};

/** @param problems `spec.ports: Required value`; several are joined as the real server does. */
export const invalid = (type: ResourceType, name: string, ...problems: readonly string[]): ApiError => {
  const text = problems.length === 1 ? (problems[0] ?? '') : `[${problems.join(', ')}]`;
  return apiError(422, 'Invalid', `${qualified(type, type.kind)} "${name}" is invalid: ${text}`);
};

export const badRequest = (message: string): ApiError => apiError(400, 'BadRequest', message);

export const tooOld = (version: number, oldest: number): ApiError =>
  apiError(410, 'Expired', `too old resource version: ${version} (${oldest})`);

export const continueExpired = (): ApiError =>
  apiError(
    410,
    'Expired',
    'The provided continue parameter is too old to display a consistent list result. You can start a new list without ' +
      'the continue parameter, or use the continue token in this response to retrieve the remainder of the results. ' +
      'Continuing with the provided token results in an inconsistent list - objects that were created, modified, or ' +
      'deleted between the time the first chunk was returned and now may show up in the list.',
  );

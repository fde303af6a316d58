import { badRequest } from './errors.ts';

/** Where the next page begins. */
export interface Continuation {
  readonly version: number;
  readonly afterKey: string;
}

export const continueToken = ({ version, afterKey }: Continuation): string =>
  Buffer.from(JSON.stringify({ v: 'meta.k8s.io/v1', rv: version, start: afterKey })).toString('base64url');

/** @throws ApiError 400 */
export function parseContinueToken(token: string): Continuation {
  try {
    const { rv, start } = JSON.parse(Buffer.from(token, 'base64url').toString()) as { rv: unknown; start: unknown };
    if (typeof rv === 'number' && typeof start === 'string') return { version: rv, afterKey: start };
  } catch {
    // Not JSON: refused below, like what is not a token.
  }
  throw badRequest('continue key is not valid: illegal base64 data');
}

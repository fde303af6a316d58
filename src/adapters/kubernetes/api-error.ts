/** From what the server (or something before it) answered to an `ApiError`. */
import { ApiError } from '../ports.ts';
import type { TransportResponse } from './transport.ts';

/** `metav1.Status`, as far as it is read here. */
export interface Status {
  readonly kind?: string;
  readonly status?: string;
  readonly code?: number;
  readonly reason?: string;
  readonly message?: string;
  readonly details?: { readonly retryAfterSeconds?: number };
}

/** `metav1.StatusReason` for answers that carry no Status. */
const REASONS: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  405: 'MethodNotAllowed',
  409: 'Conflict',
  410: 'Expired',
  413: 'RequestEntityTooLarge',
  415: 'UnsupportedMediaType',
  422: 'Invalid',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

/** Enough of a proxy's page to recognise it. */
const MAX_TEXT_LENGTH = 200;

export function statusError(status: Status, httpStatus: number, retryAfterMs?: number): ApiError {
  const code = status.code ?? httpStatus;
  const given = status.reason === undefined || status.reason === '' ? REASONS[code] : status.reason;
  // The server says Gone or Expired for the same thing, depending on where it noticed.
  const reason = code === 410 && given === 'Gone' ? 'Expired' : (given ?? 'Unknown');
  const seconds = status.details?.retryAfterSeconds;
  const fromDetails = seconds === undefined || seconds <= 0 ? undefined : seconds * 1000;
  return new ApiError(code, reason, status.message ?? `the server answered ${code}`, retryAfterMs ?? fromDetails);
}

export function responseError(response: TransportResponse, request: string, wallMs: number): ApiError {
  const retryAfterMs = retryAfter(response.headers['retry-after'], wallMs);
  const text = response.body.toString('utf8');
  const status = parseStatus(text);
  if (status !== undefined) return statusError(status, response.status, retryAfterMs);
  const readable = text
    .replace(/<(style|script)[^>]*>[^]*?<\/\1>|<[^>]*>/gi, ' ')
    .replace(/\s+/g, ' ')
    .trim()
    .slice(0, MAX_TEXT_LENGTH);
  const message = `${request} was answered ${response.status}${readable === '' ? '' : `: ${readable}`}`;
  return statusError({ message }, response.status, retryAfterMs);
}

function parseStatus(text: string): Status | undefined {
  if (!text.startsWith('{')) return undefined;
  try {
    const parsed = JSON.parse(text) as Status;
    return parsed.kind === 'Status' ? parsed : undefined;
  } catch {
    return undefined; // not a Status: shown as text
  }
}

/** Seconds, or (RFC 9110) a date, which is compared with this machine's clock. */
function retryAfter(header: string | string[] | undefined, wallMs: number): number | undefined {
  const value = Array.isArray(header) ? header[0] : header;
  if (value === undefined) return undefined;
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(0, at - wallMs);
}

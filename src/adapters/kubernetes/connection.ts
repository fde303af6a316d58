/**
 * The small interface behind which HTTP/2 and HTTP/1.1 are alike: start an exchange, be told what came, cancel it.
 */
import { TransportError, type TransportFailure } from '../ports.ts';

export interface TransportRequest {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE' | 'PUT';
  /** With the query. */
  readonly path: string;
  /** Lower case names. */
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly body?: string;
}

export type ResponseHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** What an exchange reports: at most one head, then data, then exactly one of end and failure; nothing after a cancel. */
export interface ExchangeEvents {
  onHead(status: number, headers: ResponseHeaders): void;
  onData(chunk: Buffer): void;
  onEnd(): void;
  /** `unprocessed`: the server has certainly not acted on the request, and another connection may well take it. */
  onFailure(error: TransportError, unprocessed: boolean): void;
}

export interface Connection {
  /** Whether new exchanges may be started. */
  readonly open: boolean;
  /** Whether none is in flight. */
  readonly idle: boolean;
  readonly protocol: 'h2' | 'http/1.1';
  /** Never calls `events` before it returned. The returned function cancels. */
  start(request: TransportRequest, events: ExchangeEvents): () => void;
  /** Starts nothing new and closes when the last exchange ended. */
  retire(): void;
  /** Ends every exchange with `error`. */
  destroy(error: TransportError): void;
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** OpenSSL's and Node's codes for a handshake or certificate that was refused, by either side. */
const TLS_CODE =
  /^(ERR_TLS|ERR_SSL|ERR_OSSL|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_MISMATCH|INVALID_|EPROTO|CRL_|ERROR_IN_)/;

export function failureOf(error: unknown, otherwise: TransportFailure): TransportFailure {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' && TLS_CODE.test(code) ? 'tls' : otherwise;
}

export function asTransportError(error: unknown, otherwise: TransportFailure, what: string): TransportError {
  if (error instanceof TransportError) return error;
  return new TransportError(failureOf(error, otherwise), `${what}: ${messageOf(error)}`, { cause: error });
}

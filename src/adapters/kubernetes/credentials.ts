/**
 * What a request needs to be let in, kept fresh without reading files for each call.
 */
import { createHash } from 'node:crypto';
import { TransportError } from '../ports.ts';

/** PEM, as `node:tls` takes it. */
export interface TlsMaterial {
  readonly ca?: string | Buffer;
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  /** Name to expect in the server's certificate, when it is not the URL's. */
  readonly servername?: string;
  /** `insecure-skip-tls-verify`. */
  readonly skipVerify?: boolean;
}

export interface Credentials {
  /** `authorization`, `impersonate-*`; lower case. */
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly tls: TlsMaterial;
  /** Changes when a connection made with the old material must be replaced. */
  readonly tlsKey: string;
}

export interface CredentialSource {
  /** Rejects with `TransportError` ('connect') when there are none: a missing file, an exec plugin that failed. */
  current(): Promise<Credentials>;
  /** The server refused the present ones (401, or TLS): the next `current()` reads anew. */
  invalidate(): void;
}

/** Older than this: read again, but in the background. client-go re-reads a token file every 60 s. */
const REFRESH_AFTER_MS = 10_000;
/** Older than this: too old to be used while reading. */
const STALE_AFTER_MS = 60_000;
/** An exec plugin that asks a question waits for its answer for ever. */
const READ_TIMEOUT_MS = 30_000;

export function tlsKeyOf(tls: TlsMaterial): string {
  const hash = createHash('sha256');
  for (const part of [tls.ca, tls.cert, tls.key, tls.servername, String(tls.skipVerify === true)]) {
    const bytes = Buffer.from(part ?? '');
    hash.update(`${bytes.length}:`).update(bytes);
  }
  return hash.digest('hex');
}

/**
 * Caches what `read` returns. A read that fails after a good one keeps the good one: files are swapped in steps when they
 * rotate, and an expired credential is found out by the server.
 *
 * @param read `fresh` asks not to answer from a cache of its own.
 */
export class CachedCredentials implements CredentialSource {
  readonly #read: (fresh: boolean) => Promise<Credentials>;
  readonly #nowMs: () => number;
  readonly #readTimeoutMs: number;
  #cached: { readonly value: Credentials; readonly readAtMs: number } | undefined;
  #reading: Promise<Credentials> | undefined;
  #mustRefresh = false;

  constructor(
    read: (fresh: boolean) => Promise<Credentials>,
    nowMs: () => number = () => performance.now(),
    readTimeoutMs = READ_TIMEOUT_MS,
  ) {
    this.#read = read;
    this.#nowMs = nowMs;
    this.#readTimeoutMs = readTimeoutMs;
  }

  async current(): Promise<Credentials> {
    const cached = this.#cached;
    if (cached === undefined || this.#mustRefresh) return await this.#refresh();
    const ageMs = this.#nowMs() - cached.readAtMs;
    if (ageMs > STALE_AFTER_MS) return await this.#refresh();
    if (ageMs > REFRESH_AFTER_MS) void this.#refresh().catch(() => undefined);
    return cached.value;
  }

  invalidate(): void {
    this.#mustRefresh = true;
  }

  #refresh(): Promise<Credentials> {
    this.#reading ??= this.#readOnce().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #readOnce(): Promise<Credentials> {
    const fresh = this.#mustRefresh;
    this.#mustRefresh = false;
    try {
      const value = await this.#withTimeout(this.#read(fresh));
      this.#cached = { value, readAtMs: this.#nowMs() };
      return value;
    } catch (error) {
      const old = this.#cached;
      if (old !== undefined) {
        // Not again for each call: an exec plugin that fails is slow.
        this.#cached = { value: old.value, readAtMs: this.#nowMs() };
        return old.value;
      }
      const reason = error instanceof Error ? error.message : String(error);
      throw new TransportError('connect', `no credentials for the API server: ${reason}`, { cause: error });
    }
  }

  async #withTimeout(reading: Promise<Credentials>): Promise<Credentials> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        reject(new Error(`they did not come within ${this.#readTimeoutMs} ms (does an exec plugin wait for input?)`));
      }, this.#readTimeoutMs);
    });
    try {
      return await Promise.race([reading, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** The API server through kubectl's proxy. Shares nothing with the product's client. */
import { setTimeout as sleep } from 'node:timers/promises';

export interface Meta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ownerReferences?: readonly { readonly kind: string; readonly name: string }[];
}

export interface Obj {
  readonly kind?: string;
  readonly metadata: Meta;
}

export class HttpError extends Error {
  override readonly name = 'HttpError';
  readonly status: number;
  constructor(status: number, message: string) {
    super(`${status}: ${message.slice(0, 300)}`);
    this.status = status;
  }
}

export class Api {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  async request(method: string, path: string, body?: object, contentType = 'application/json'): Promise<string> {
    const response = await fetch(this.#url + path, {
      method,
      signal: AbortSignal.timeout(60_000),
      ...(body !== undefined && { body: JSON.stringify(body), headers: { 'content-type': contentType } }),
    });
    const text = await response.text();
    if (!response.ok) throw new HttpError(response.status, text);
    return text;
  }

  async get<T>(path: string): Promise<T> {
    return JSON.parse(await this.request('GET', path)) as T;
  }

  async list<T extends Obj>(path: string): Promise<T[]> {
    return (await this.get<{ items: T[] }>(path)).items;
  }

  async create(path: string, body: object): Promise<void> {
    await this.request('POST', path, body);
  }

  async patch(path: string, body: object): Promise<void> {
    await this.request('PATCH', path, body, 'application/merge-patch+json');
  }

  async remove(path: string, graceSeconds?: number): Promise<void> {
    const body = graceSeconds === undefined ? {} : { gracePeriodSeconds: graceSeconds };
    await this.request('DELETE', path, body);
  }

  /** Asks a pod over the API server's proxy. */
  pod(namespace: string, pod: string, path: string, port = 8080): Promise<string> {
    return this.request('GET', `/api/v1/namespaces/${namespace}/pods/${pod}:${port}/proxy${path}`);
  }

  /** Lists, then watches, until aborted; a list replaces all that was told before. */
  async follow<T extends Obj>(
    path: string,
    handler: { readonly onList: (items: T[]) => void; readonly onEvent: (type: string, object: T) => void },
    signal: AbortSignal,
  ): Promise<void> {
    while (!signal.aborted) {
      try {
        const list = await this.get<{ metadata: { resourceVersion: string }; items: T[] }>(path);
        handler.onList(list.items);
        await this.#watch(path, list.metadata.resourceVersion, handler.onEvent, signal);
      } catch (error) {
        // The API server is stopped in one of the cases: what is wrong with it is not this function's business.
        if (error instanceof TypeError && error.message !== 'fetch failed' && error.message !== 'terminated')
          throw error;
      }
      await sleep(200, undefined, { signal }).catch(() => {});
    }
  }

  async #watch(
    path: string,
    resourceVersion: string,
    onEvent: (type: string, object: never) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const query = `watch=1&timeoutSeconds=240&resourceVersion=${resourceVersion}`;
    const response = await fetch(`${this.#url}${path}?${query}`, { signal });
    if (!response.ok || response.body === null) throw new HttpError(response.status, 'no watch');
    let rest = '';
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const event = JSON.parse(line) as { type: string; object: never };
        if (event.type === 'ERROR') return;
        onEvent(event.type, event.object);
      }
    }
  }
}

/**
 * One object with conditional writes, after what is documented of S3, and no real S3: the ETag is the MD5 of the content and of
 * nothing else, `If-Match` and `If-None-Match: *` are checked when the write is done, and 412 says that they did not hold.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

export class ObjectServer {
  /** All contents that the object has had. */
  readonly contents: string[] = [];
  refusedWrites = 0;
  /** Between a look at the object and its answer. */
  onRead: () => Promise<void> | void = () => undefined;
  readonly #server = createServer((incoming, response) => void this.#answer(incoming, response));

  async start(): Promise<this> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return this;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/bucket/jobs`;
  }

  async stop(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }

  async #answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    if (incoming.method === 'PUT') {
      const content = await text(incoming);
      return void response.writeHead(this.#put(content, incoming.headers)).end();
    }
    const current = this.contents.at(-1);
    await this.onRead();
    if (current === undefined) return void response.writeHead(404).end();
    return void response.writeHead(200, { etag: etagOf(current) }).end(current);
  }

  #put(content: string, headers: IncomingMessage['headers']): number {
    const current = this.contents.at(-1);
    const isMatch =
      headers['if-match'] === undefined || (current !== undefined && headers['if-match'] === etagOf(current));
    const isNone = headers['if-none-match'] === undefined || current === undefined;
    if (!isMatch && current === undefined) return 404;
    if (!isMatch || !isNone) {
      this.refusedWrites += 1;
      return 412;
    }
    this.contents.push(content);
    return 200;
  }
}

const etagOf = (content: string): string => `"${createHash('md5').update(content).digest('hex')}"`;

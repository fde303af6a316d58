/** The body of a watch: one JSON document a line. */
import { TransportError, type WatchEvent } from '../ports.ts';
import type { KubeObject } from '../../api/objects.ts';
import { statusError, type Status } from './api-error.ts';

const NEWLINE = 0x0a;

/**
 * Cuts a stream of bytes into lines. It cuts bytes and decodes whole lines only, so that a character which spans two
 * chunks stays whole; and it does not look again at what it already searched, so that a line of many chunks is cheap.
 */
export class LineSplitter {
  readonly #onLine: (line: string) => void;
  #parts: Buffer[] = [];

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  push(chunk: Buffer): void {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      this.#emit(chunk.subarray(start, end));
      start = end + 1;
    }
    if (start < chunk.length) this.#parts.push(chunk.subarray(start));
  }

  /** Whether a line was begun and not ended. */
  get pending(): boolean {
    return this.#parts.length > 0;
  }

  #emit(last: Buffer): void {
    const line = this.#parts.length === 0 ? last : Buffer.concat([...this.#parts, last]);
    this.#parts = [];
    if (line.length > 0) this.#onLine(line.toString('utf8'));
  }
}

interface RawEvent {
  readonly type?: string;
  readonly object?: KubeObject | Status;
}

/**
 * One line of a watch.
 *
 * @throws ApiError for an ERROR event
 * @throws TransportError 'malformed' for anything that is not an event
 */
export function parseWatchEvent<T extends KubeObject>(line: string): WatchEvent<T> {
  const event = parseLine(line);
  switch (event.type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
      return { type: event.type, object: withMetadata(event, line) as T };
    case 'BOOKMARK':
      return { type: 'BOOKMARK', resourceVersion: withMetadata(event, line).metadata.resourceVersion };
    case 'ERROR':
      throw statusError(event.object ?? {}, 500);
    case undefined:
    default:
      throw malformed(line);
  }
}

function parseLine(line: string): RawEvent {
  try {
    const parsed: unknown = JSON.parse(line);
    if (typeof parsed === 'object' && parsed !== null) return parsed;
  } catch (error) {
    throw malformed(line, error);
  }
  throw malformed(line);
}

function withMetadata(event: RawEvent, line: string): KubeObject {
  const object = event.object as KubeObject | undefined;
  if (typeof object?.metadata !== 'object' || object.metadata === null) throw malformed(line);
  return object;
}

const malformed = (line: string, cause?: unknown): TransportError =>
  new TransportError('malformed', `not a watch event: ${line.slice(0, 80)}`, { cause });

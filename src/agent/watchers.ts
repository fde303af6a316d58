/**
 * Who watches the state (`/v1/watch`), and which of them are workloads by their own word: `?workload=<name>` promises that
 * it acts only while this connection is open and by what it says, and that the connection ends only with its process.
 */
import type { ServerResponse } from 'node:http';
import type { StateText } from './state.ts';

export interface WatcherEvents {
  /** All workloads say that they do not act under this term any more. */
  readonly onStopped: (term: number, sequence: number) => void;
  /** The last workload's connection has ended. */
  readonly onGone: () => void;
}

interface Workload {
  readonly response: ServerResponse;
  /** Of the newest state by which it has stopped. */
  stopped: { readonly term: number; readonly sequence: number };
}

/** A connection that nothing goes over may be forgotten on its way. */
const COMMENT_EVERY_MS = 10_000;

export class Watchers {
  readonly #events: WatcherEvents;
  readonly #state: () => StateText;
  readonly #all = new Set<ServerResponse>();
  readonly #workloads = new Map<string, Workload>();
  readonly #timer: NodeJS.Timeout;

  constructor(state: () => StateText, events: WatcherEvents) {
    this.#state = state;
    this.#events = events;
    this.#timer = setInterval(() => this.#write(': still here\n\n'), COMMENT_EVERY_MS);
    this.#timer.unref();
  }

  /** @param name of a workload; another connection of the same name takes its place */
  add(response: ServerResponse, name?: string): void {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    this.#all.add(response);
    response.on('close', () => this.#closed(response, name));
    response.write(eventOf(this.#state()));
    if (name === undefined) return;
    const before = this.#workloads.get(name);
    this.#workloads.set(name, { response, stopped: { term: 0, sequence: 0 } });
    before?.response.end();
  }

  /** To everybody, in order. */
  publish(): void {
    this.#write(eventOf(this.#state()));
  }

  /**
   * Without a name it speaks for all of them, as long as none of them watches.
   *
   * @param sequence of the state by which it has stopped
   */
  acknowledge(term: number, sequence: number, name?: string): void {
    if (name === undefined) {
      if (this.#workloads.size === 0) this.#events.onStopped(term, sequence);
      return;
    }
    const workload = this.#workloads.get(name);
    if (workload === undefined) return;
    if (sequence > workload.stopped.sequence) workload.stopped = { term, sequence };
    this.#tellIfAllStopped(term);
  }

  close(): void {
    clearInterval(this.#timer);
    for (const response of this.#all) response.end();
  }

  /** As of the oldest word. */
  #tellIfAllStopped(term: number): void {
    const words = [...this.#workloads.values()].map(({ stopped }) => stopped);
    if (words.some((word) => word.term < term)) return;
    this.#events.onStopped(term, Math.min(...words.map(({ sequence }) => sequence)));
  }

  #closed(response: ServerResponse, name: string | undefined): void {
    this.#all.delete(response);
    if (name === undefined || this.#workloads.get(name)?.response !== response) return;
    this.#workloads.delete(name);
    if (this.#workloads.size === 0) this.#events.onGone();
    else this.#tellIfAllStopped(this.#state().term);
  }

  #write(text: string): void {
    for (const response of this.#all) response.write(text);
  }
}

const eventOf = (state: StateText): string => `data: ${JSON.stringify(state)}\n\n`;

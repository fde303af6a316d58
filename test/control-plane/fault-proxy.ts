/**
 * A TCP proxy on loopback that stands for a bad network between one client and the API server. It forwards bytes and
 * sees no requests: TLS goes through it, and the API server's certificate is good for its address (127.0.0.1) too.
 */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { LOOPBACK } from './ports.ts';

/** What a freeze stops. With `answers` alone, writes land and the client never hears of it. */
export type FrozenWay = 'both' | 'requests' | 'answers';

export interface FaultProxy {
  /** For a kubeconfig: `https://127.0.0.1:<port>`. */
  readonly server: string;
  /** Since the proxy was started. */
  readonly connectionsOpened: number;
  readonly connectionsOpen: number;
  /** Ends all open connections with RST, on both sides. New ones are welcome. */
  cut(): void;
  /** Forwards nothing and closes nothing. New connections are accepted and frozen as well. */
  freeze(way?: FrozenWay): void;
  /** Forwards what was held back, closings included, and goes on. */
  thaw(): void;
  /** Refuses new connections (ECONNREFUSED); those that are open stay. */
  refuse(): Promise<void>;
  /** Accepts new connections again, on the same port. */
  accept(): Promise<void>;
  /** From now on every byte comes this much later, each way. 0: no delay. */
  delay(delayMs: number): void;
  stop(): Promise<void>;
}

interface Faults {
  delayMs: number;
  frozen: FrozenWay | undefined;
}

type Way = 'requests' | 'answers';
type Item = { readonly dueMs: number; readonly chunk: Buffer } | { readonly dueMs: number; readonly end: true };

/** One direction of one connection: a queue whose head leaves when it is due and nothing is frozen. */
class Pipe {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #way: Way;
  readonly #faults: Faults;
  readonly #queue: Item[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(from: Socket, to: Socket, way: Way, faults: Faults) {
    this.#from = from;
    this.#to = to;
    this.#way = way;
    this.#faults = faults;
    from.on('data', (chunk: Buffer) => this.#push({ chunk, dueMs: this.#due() }));
    from.on('end', () => this.#push({ end: true, dueMs: this.#due() }));
    to.on('drain', () => this.pump());
    this.pump();
  }

  pump(): void {
    clearTimeout(this.#timer);
    if (this.#isFrozen()) return void this.#from.pause();
    while (this.#queue[0] !== undefined) {
      const head = this.#queue[0];
      const waitMs = head.dueMs - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.pump(), Math.ceil(waitMs));
        return;
      }
      this.#queue.shift();
      if ('end' in head) this.#to.end();
      else if (!this.#to.write(head.chunk)) return void this.#from.pause();
    }
    this.#from.resume();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#queue.length = 0;
  }

  #push(item: Item): void {
    this.#queue.push(item);
    this.pump();
  }

  #due(): number {
    return performance.now() + this.#faults.delayMs;
  }

  #isFrozen(): boolean {
    return this.#faults.frozen === 'both' || this.#faults.frozen === this.#way;
  }
}

interface Target {
  readonly host: string;
  readonly port: number;
}

class Link {
  readonly #sockets: readonly Socket[];
  readonly #pipes: readonly Pipe[];

  constructor(client: Socket, target: Target, faults: Faults, onClosed: () => void) {
    const server = connect({ ...target, allowHalfOpen: true });
    this.#sockets = [client, server];
    this.#pipes = [new Pipe(client, server, 'requests', faults), new Pipe(server, client, 'answers', faults)];
    for (const socket of this.#sockets) {
      socket.setNoDelay(true);
      // A reset of one side is passed on as a reset; nothing else can go wrong on loopback.
      socket.on('error', () => this.reset());
    }
    client.once('close', onClosed);
  }

  pump(): void {
    for (const pipe of this.#pipes) pipe.pump();
  }

  reset(): void {
    for (const pipe of this.#pipes) pipe.stop();
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }
}

async function listen(server: Server, port: number): Promise<number> {
  server.listen(port, LOOPBACK);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** @param server the API server's address, `https://127.0.0.1:<port>`, or that of a container */
export async function startFaultProxy(server: string): Promise<FaultProxy> {
  const address = new URL(server);
  const target: Target = { host: address.hostname, port: Number(address.port) };
  const faults: Faults = { delayMs: 0, frozen: undefined };
  const links = new Set<Link>();
  let opened = 0;
  const listener = createServer({ allowHalfOpen: true }, (client) => {
    opened += 1;
    const link: Link = new Link(client, target, faults, () => links.delete(link));
    links.add(link);
  });
  const pumpAll = () => links.forEach((link) => link.pump());
  const port = await listen(listener, 0);
  return {
    server: `https://${LOOPBACK}:${port}`,
    get connectionsOpened() {
      return opened;
    },
    get connectionsOpen() {
      return links.size;
    },
    cut: () => links.forEach((link) => link.reset()),
    freeze(way = 'both') {
      faults.frozen = way;
      pumpAll();
    },
    thaw() {
      faults.frozen = undefined;
      pumpAll();
    },
    // Not awaited: `close` calls back only when the open connections have ended.
    refuse: async () => void listener.close(),
    async accept() {
      if (!listener.listening) await listen(listener, port);
    },
    delay(delayMs) {
      faults.delayMs = delayMs;
    },
    async stop() {
      listener.close();
      links.forEach((link) => link.reset());
    },
  };
}

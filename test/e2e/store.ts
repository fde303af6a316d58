/** The store outside the cluster: a container in the network of the nodes, which no fault in the cluster reaches. */
import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Reign } from './acts.ts';
import { masquerade } from './faults.ts';
import { run } from './shell.ts';

const NAME = 'singleton-e2e-store';
const PORT = 8080;
/** As the control plane's: what watches must not wait for what is watched. */
const CPU_SHARES = 8192;
const STARTS_WITHIN_MS = 30_000;

const docker = (...args: string[]): Promise<string> => run('docker', args);

export class Store {
  /** In the nodes' network. */
  readonly address: string;
  readonly #local: string;

  private constructor(address: string, local: string) {
    this.address = address;
    this.#local = local;
  }

  static async start(image: string, nodes: readonly string[]): Promise<Store> {
    await docker('rm', '-f', NAME).catch(() => '');
    const script = stripTypeScriptTypes(readFileSync(join(import.meta.dirname, 'pods/store.ts'), 'utf8'));
    const network = ['--network', 'kind', '-p', `127.0.0.1:0:${PORT}`, '--cpu-shares', String(CPU_SHARES)];
    const command = [image, '--input-type=module', '--eval', script];
    await docker('run', '--detach', '--rm', '--name', NAME, ...network, '--entrypoint', 'node', ...command);
    const address = await docker('inspect', '-f', '{{(index .NetworkSettings.Networks "kind").IPAddress}}', NAME);
    const local = (await docker('port', NAME, String(PORT))).split('\n')[0] ?? '';
    const store = new Store(address.trim(), `http://${local.trim()}`);
    await Promise.all(nodes.map((node) => masquerade(node, store.address)));
    await store.#answers();
    return store;
  }

  get url(): string {
    return `http://${this.address}:${PORT}`;
  }

  async stop(): Promise<void> {
    await docker('rm', '-f', NAME);
  }

  /** Milliseconds between two writes. */
  async pace(everyMs: number): Promise<void> {
    await this.#ask(`/pace?everyMs=${everyMs}`, 'POST');
  }

  async record(singleton: string): Promise<readonly Reign[]> {
    const all = JSON.parse(await this.#ask('/record')) as Record<string, readonly Reign[]>;
    return all[singleton] ?? [];
  }

  async #ask(path: string, method = 'GET'): Promise<string> {
    const response = await fetch(this.#local + path, { method, signal: AbortSignal.timeout(10_000) });
    return response.text();
  }

  async #answers(): Promise<void> {
    const deadline = performance.now() + STARTS_WITHIN_MS;
    for (;;) {
      try {
        await this.#ask('/');
        return;
      } catch (error) {
        if (performance.now() > deadline) throw error;
        await sleep(100);
      }
    }
  }
}

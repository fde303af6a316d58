/**
 * The agents of mode `Agent` beside hollow pods: the shipping program in the test's own process, with the environment that
 * the operator gave the container and the rights that it gave the account.
 */
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createMachineClock } from '../../src/agent/clock.ts';
import { LeaseHttp } from '../../src/agent/lease-http.ts';
import { requestDeadlineMs, startProgram } from '../../src/agent/program.ts';
import type { Program } from '../../src/agent/program.ts';
import { parseSettings } from '../../src/agent/settings.ts';
import { AGENT_CONTAINER, agentAccessName } from '../../src/api/names.ts';
import type { Pod } from '../../src/api/objects.ts';
import { serviceAccountToken } from '../control-plane/control-plane.ts';
import type { World } from './world.ts';

const TEND_EVERY_MS = 50;

export class Agents {
  readonly #world: World;
  readonly #singleton: string;
  readonly #dir = mkdtempSync(join(tmpdir(), 'agents-'));
  readonly #programs = new Map<string, Promise<Program>>();
  readonly #ca: string;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  private constructor(world: World, singleton: string, ca: string) {
    this.#world = world;
    this.#singleton = singleton;
    this.#ca = ca;
  }

  /** Tends all pods of the singleton from now on: when one runs its agent is started. */
  static async of(world: World, singleton: string, ca: string): Promise<Agents> {
    const agents = new Agents(world, singleton, ca);
    const token = await serviceAccountToken(world.api, world.namespace, agentAccessName(singleton));
    writeFileSync(join(agents.#dir, 'token'), token);
    agents.#tend();
    return agents;
  }

  get accountDir(): string {
    return this.#dir;
  }

  /** From one moment to the next, as when its node loses power. */
  async kill(pod: string): Promise<void> {
    const program = await this.#programs.get(pod);
    await program?.close();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    const programs = await Promise.all(this.#programs.values());
    await Promise.all(programs.map((program) => program.close()));
    rmSync(this.#dir, { recursive: true, force: true });
  }

  #tend(): void {
    if (this.#isClosed) return;
    const again = (): void => {
      this.#timer = setTimeout(() => this.#tend(), TEND_EVERY_MS);
    };
    this.#world
      .pods(this.#singleton)
      .then((pods) => {
        for (const pod of pods)
          if (pod.status?.phase === 'Running' && !this.#programs.has(pod.metadata.name))
            this.#programs.set(pod.metadata.name, this.#start(pod));
      })
      .then(again, again);
  }

  #start({ metadata, spec }: Pod): Promise<Program> {
    const agent = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])].find(
      ({ name }) => name === AGENT_CONTAINER,
    );
    if (agent === undefined) throw new Error(`${metadata.name} has no agent`);
    const { hostname, port } = new URL(this.#world.suite.controlPlane.server);
    const settings = parseSettings({
      ...Object.fromEntries((agent.env ?? []).map(({ name, value }) => [name, value])),
      SINGLETON_POD_NAME: metadata.name,
      SINGLETON_POD_UID: metadata.uid,
      SINGLETON_AGENT_PORT: '0',
      SINGLETON_AGENT_STATE_FILE: join(this.#dir, `${metadata.name}.json`),
      SINGLETON_SERVICE_ACCOUNT_DIR: this.#dir,
      KUBERNETES_SERVICE_HOST: hostname,
      KUBERNETES_SERVICE_PORT: port,
    });
    const clock = createMachineClock();
    const { apiHost: host, apiPort, accountDir, namespace, lease: name } = settings;
    const deadlineMs = requestDeadlineMs(settings);
    const watchMs = settings.timing.leaseDurationMs;
    const monotonicMs = (): number => clock.monotonicMs();
    const source = new LeaseHttp(
      { host, port: apiPort, accountDir, namespace, name, deadlineMs, watchMs, monotonicMs },
      this.#ca,
    );
    const nothing = (): void => undefined;
    const logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };
    return startProgram({ settings, source, clock, logger, processes: () => [], kill: nothing, onExit: nothing });
  }
}

export interface Hooks {
  readonly port: number;
  /** `on` or `off`. */
  readonly calls: readonly string[];
  close(): void;
}

/** A workload that answers every call at once. */
export async function serveHooks(): Promise<Hooks> {
  const calls: string[] = [];
  const server: Server = createServer((incoming, response) => {
    calls.push((incoming.url ?? '').slice(1));
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: (server.address() as AddressInfo).port, calls, close: () => server.close() };
}

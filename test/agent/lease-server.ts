/** An API server on loopback that knows one Lease, and the real agent's process beside it. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Lease } from '../../src/api/objects.ts';
import { startFakeServer } from '../adapters/kubernetes/support/fake-server.ts';
import type { FakeRequest, FakeServer } from '../adapters/kubernetes/support/fake-server.ts';
import { until } from '../control-plane/wait.ts';

const MAIN = fileURLToPath(new URL('../../src/agent-main.ts', import.meta.url));

export class LeaseServer {
  lease: Lease = {
    metadata: { name: 'web-active', uid: 'u', resourceVersion: '1', creationTimestamp: '' },
    spec: { holderIdentity: '', leaseTransitions: 0 },
  };
  /** Nothing is answered. */
  isFrozen = false;
  renewals = 0;
  server: FakeServer | undefined;
  readonly #watches = new Set<FakeRequest>();

  async start(): Promise<this> {
    this.server = await startFakeServer((request) => this.#answer(request), { protocol: 'https/1.1' });
    return this;
  }

  async stop(): Promise<void> {
    await this.server?.stop();
  }

  grant(holder: string, term: number): void {
    this.#store({ ...this.lease, spec: { ...this.lease.spec, holderIdentity: holder, leaseTransitions: term } });
  }

  annotate(annotations: Record<string, string>): void {
    const { metadata } = this.lease;
    this.#store({ ...this.lease, metadata: { ...metadata, annotations: { ...metadata.annotations, ...annotations } } });
  }

  get holder(): string {
    return this.lease.spec?.holderIdentity ?? '';
  }

  released(): Promise<true> {
    return until('the Lease to be released', () => this.holder === '' || undefined);
  }

  #answer(request: FakeRequest): void {
    if (this.isFrozen) return undefined;
    if (request.method === 'PUT') return this.#replace(request);
    if (!request.path.includes('watch=true')) return request.json(this.lease);
    this.#watches.add(request);
    return request.write(`${JSON.stringify({ type: 'MODIFIED', object: this.lease })}\n`, 200);
  }

  #replace(request: FakeRequest): void {
    const lease = JSON.parse(request.body) as Lease;
    if (lease.metadata.resourceVersion !== this.lease.metadata.resourceVersion)
      return request.json({ kind: 'Status', message: 'conflict' }, 409);
    this.renewals += 1;
    return request.json(this.#store(lease));
  }

  #store(lease: Lease): Lease {
    const resourceVersion = String(Number(this.lease.metadata.resourceVersion) + 1);
    this.lease = { ...lease, metadata: { ...lease.metadata, resourceVersion } };
    if (this.isFrozen) return this.lease;
    for (const watch of this.#watches) watch.write(`${JSON.stringify({ type: 'MODIFIED', object: this.lease })}\n`);
    return this.lease;
  }
}

export interface RunningAgent {
  readonly holder: string;
  readonly process: ChildProcess;
  /** `http://127.0.0.1:<port>/v1/state` */
  readonly stateUrl: string;
  readonly stateFile: string;
  end(): Promise<void>;
}

/** Lease of 5 s, renewed every second. */
export async function startAgent(
  server: LeaseServer,
  env: Record<string, string> = {},
  command: readonly string[] = [MAIN],
): Promise<RunningAgent> {
  const dir = mkdtempSync(join(tmpdir(), 'agent-'));
  const { hostname, port } = new URL(server.server?.url ?? '');
  writeFileSync(join(dir, 'ca.crt'), server.server?.certificate.cert ?? '');
  writeFileSync(join(dir, 'token'), 'token');
  const stateFile = join(dir, 'state.json');
  const child = spawn(process.execPath, command, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      SINGLETON_NAME: 'web',
      SINGLETON_NAMESPACE: 'shop',
      SINGLETON_LEASE: 'web-active',
      SINGLETON_POD_NAME: 'web-0',
      SINGLETON_POD_UID: 'uid-0',
      SINGLETON_AGENT_PORT: '0',
      SINGLETON_AGENT_STATE_FILE: stateFile,
      SINGLETON_SERVICE_ACCOUNT_DIR: dir,
      SINGLETON_LEASE_DURATION_MS: '5000',
      SINGLETON_RENEW_INTERVAL_MS: '1000',
      SINGLETON_STOP_GRACE_MS: '1000',
      SINGLETON_ENFORCEMENT: 'Cooperative',
      KUBERNETES_SERVICE_HOST: hostname,
      KUBERNETES_SERVICE_PORT: port,
      ...env,
    },
  });
  let listening: number | undefined;
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { msg, port } = JSON.parse(line) as { msg: string; port?: number };
    if (msg === 'watching') listening = port;
  });
  const found = await until('the agent to listen', () => {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`);
    return listening;
  });
  const end = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'close');
    }
    rmSync(dir, { recursive: true, force: true });
  };
  return { holder: 'web-0_uid-0', process: child, stateUrl: `http://127.0.0.1:${found}/v1/state`, stateFile, end };
}

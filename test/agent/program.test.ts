/** The agent's parts put together, over real loopback connections, with a clock and a Lease that the test holds. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LogFields, Logger } from '../../src/adapters/ports.ts';
import { LeaseError } from '../../src/agent/ports.ts';
import type { LeaseSource } from '../../src/agent/ports.ts';
import { startProgram } from '../../src/agent/program.ts';
import type { Program } from '../../src/agent/program.ts';
import { parseSettings } from '../../src/agent/settings.ts';
import type { Environment } from '../../src/agent/settings.ts';
import type { StateText } from '../../src/agent/state.ts';
import { ANNOTATION } from '../../src/api/names.ts';
import type { Lease } from '../../src/api/objects.ts';
import { ManualClock, settle } from '../support/manual-clock.ts';
import { until } from '../control-plane/wait.ts';

const ME = 'web-0_uid-0';
const TERM = { leaseTransitions: 4 };

class FakeLease implements LeaseSource {
  lease: Lease = { metadata: { name: 'web-active', uid: 'u', resourceVersion: '1', creationTimestamp: '' }, spec: {} };
  isDown = false;
  #tell: ((lease: Lease) => void) | undefined;

  async read(): Promise<Lease> {
    return this.#orDown();
  }

  async replace(lease: Lease): Promise<Lease> {
    const { resourceVersion } = (await this.#orDown()).metadata;
    if (lease.metadata.resourceVersion !== resourceVersion) throw new LeaseError(409, 'conflict');
    return this.write(lease);
  }

  watch(_version: string, onLease: (lease: Lease) => void, signal: AbortSignal): Promise<void> {
    this.#tell = onLease;
    return new Promise((resolve) => signal.addEventListener('abort', () => resolve()));
  }

  write(lease: Lease): Lease {
    const resourceVersion = String(Number(this.lease.metadata.resourceVersion) + 1);
    this.lease = { ...lease, metadata: { ...lease.metadata, resourceVersion } };
    this.#tell?.(this.lease);
    return this.lease;
  }

  grant(holder: string, spec: Partial<Lease['spec']> = TERM): void {
    this.write({ ...this.lease, spec: { ...this.lease.spec, ...spec, holderIdentity: holder } });
  }

  annotate(annotations: Record<string, string>): void {
    const { metadata } = this.lease;
    this.write({ ...this.lease, metadata: { ...metadata, annotations: { ...metadata.annotations, ...annotations } } });
  }

  async #orDown(): Promise<Lease> {
    await settle();
    if (this.isDown) throw new LeaseError(undefined, 'nobody there');
    return this.lease;
  }
}

let dir: string;
let stateFile: string;
let clock: ManualClock;
let source: FakeLease;
let program: Program | undefined;
let exits = 0;
let killed: number[] = [];
/** Processes of the workload. */
let running: number[] = [];
let log: { readonly message: string; readonly fields: LogFields | undefined }[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'agent-'));
  stateFile = join(dir, 'state.json');
  clock = new ManualClock();
  source = new FakeLease();
  exits = 0;
  killed = [];
  running = [];
  log = [];
});

afterEach(async () => {
  await program?.close();
  program = undefined;
  rmSync(dir, { recursive: true });
});

const write = (message: string, fields?: LogFields): void => void log.push({ message, fields });
const logger: Logger = { debug: () => undefined, info: write, warn: write, error: write };

async function start(env: Environment = {}): Promise<Program> {
  const settings = parseSettings({
    SINGLETON_NAME: 'web',
    SINGLETON_NAMESPACE: 'shop',
    SINGLETON_LEASE: 'web-active',
    SINGLETON_POD_NAME: 'web-0',
    SINGLETON_POD_UID: 'uid-0',
    SINGLETON_AGENT_PORT: '0',
    SINGLETON_AGENT_STATE_FILE: stateFile,
    SINGLETON_LEASE_DURATION_MS: '10000',
    SINGLETON_RENEW_INTERVAL_MS: '2000',
    SINGLETON_STOP_GRACE_MS: '2000',
    SINGLETON_LIVENESS_app: '{}',
    KUBERNETES_SERVICE_HOST: '127.0.0.1',
    ...env,
  });
  const kill = (pid: number): void => {
    killed.push(pid);
    running = running.filter((other) => other !== pid);
  };
  const processes = (): readonly number[] => running;
  program = await startProgram({ settings, source, clock, logger, kill, processes, onExit: () => void (exits += 1) });
  return program;
}

const url = (path: string): string => `http://127.0.0.1:${program?.server.port}${path}`;
const state = async (): Promise<StateText> => (await (await fetch(url('/v1/state'))).json()) as StateText;
const untilActive = (active: boolean): Promise<StateText> =>
  until(`the state to be active: ${active}`, async () => {
    const now = await state();
    return now.active === active ? now : undefined;
  });
const post = async (path: string): Promise<number> => (await fetch(url(path), { method: 'POST' })).status;
/** By the state as it is now. */
const stopped = async (term: number, workload = ''): Promise<number> =>
  post(
    `/v1/stopped?term=${term}&sequence=${(await state()).sequence}${workload === '' ? '' : `&workload=${workload}`}`,
  );
const kubelet = async (path = '/probe/liveness?container=app'): Promise<number> =>
  (await fetch(url(path), { headers: { 'user-agent': 'kube-probe/1.30' } })).status;
const released = (): Promise<true> =>
  until('the Lease to be released', () => source.lease.spec?.holderIdentity === '' || undefined);

/** Events of `/v1/watch` as they come. */
async function watch(path = '/v1/watch'): Promise<{ events: StateText[]; end: () => void }> {
  const abort = new AbortController();
  const response = await fetch(url(path), { signal: abort.signal });
  const events: StateText[] = [];
  const read = async (): Promise<void> => {
    for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? [])
      for (const line of chunk.split('\n'))
        if (line.startsWith('data: ')) events.push(JSON.parse(line.slice(6)) as StateText);
  };
  void read().catch(() => undefined);
  return { events, end: () => abort.abort() };
}

describe('the state', () => {
  it('is that of a standby at first', async () => {
    await start();
    expect(await state()).toMatchObject({ active: false, term: 0, expiresInMs: 0 });
  });

  it('is active after the first renewal, and says for how long and under which term', async () => {
    await start();
    source.grant(ME);
    expect(await untilActive(true)).toMatchObject({ term: 4, expiresInMs: 5_000 });
    expect(source.lease.metadata.annotations).toEqual({ [ANNOTATION.renewedTerm]: '4' });
    expect(JSON.parse(readFileSync(stateFile, 'utf8'))).toMatchObject({ active: true, term: 4 });
  });

  it('is not active a moment longer than it may be, whether or not a timer has gone off', async () => {
    await start();
    source.grant(ME);
    await untilActive(true);
    clock.monotonicMs = () => 5_000;
    expect(await state()).toMatchObject({ active: false, expiresInMs: 0 });
  });

  it('is told to everybody who watches, as it changes', async () => {
    await start();
    const { events, end } = await watch();
    source.grant(ME);
    await until('the second event', () => events.length > 1 || undefined);
    expect(events.map(({ active, term }) => [active, term])).toEqual([
      [false, 0],
      [true, 4],
    ]);
    end();
  });

  it('is renewed in time as long as the API server answers', async () => {
    await start();
    source.grant(ME);
    await untilActive(true);
    for (let seconds = 0; seconds < 20; seconds += 1) await clock.advance(1_000);
    expect(await state()).toMatchObject({ active: true });
    expect(Number(source.lease.metadata.resourceVersion)).toBe(13);
  });

  it('ends at the fence deadline when it does not answer, and comes back under the same term', async () => {
    await start();
    source.grant(ME);
    await untilActive(true);
    source.isDown = true;
    for (let step = 0; step < 50; step += 1) await clock.advance(100);
    expect(await state()).toMatchObject({ active: false });
    source.isDown = false;
    expect(await stopped(4)).toBe(200);
    for (let step = 0; step < 10; step += 1) await clock.advance(100);
    expect(await state()).toMatchObject({ active: true, term: 4 });
  });
});

describe('the end of a term', () => {
  it('is released when the workload has said that it stopped', async () => {
    await start();
    source.grant(ME);
    await untilActive(true);
    source.annotate({ [ANNOTATION.releaseRequested]: '4' });
    await untilActive(false);
    expect(source.lease.spec?.holderIdentity).toBe(ME);
    await stopped(4);
    await released();
    expect(source.lease.metadata.annotations?.[ANNOTATION.releasedTerm]).toBe('4');
  });

  it('waits for every workload that watches', async () => {
    await start();
    const [one, two] = [await watch('/v1/watch?workload=one'), await watch('/v1/watch?workload=two')];
    source.grant(ME);
    await untilActive(true);
    program?.agent.hear({ kind: 'terminate' });
    await stopped(4, 'one');
    expect(program?.agent.isStopping).toBe(true);
    await stopped(4, 'two');
    await until('the end of the agent', () => exits > 0 || undefined);
    one.end();
    two.end();
  });

  it('comes at once when the connection of the workload ends', async () => {
    await start();
    const workload = await watch('/v1/watch?workload=one');
    source.grant(ME);
    await untilActive(true);
    workload.end();
    await released();
  });

  it('does not come with that of somebody who only watches', async () => {
    await start();
    const [watcher, workload] = [await watch(), await watch('/v1/watch?workload=one')];
    source.grant(ME);
    await untilActive(true);
    watcher.end();
    source.annotate({ [ANNOTATION.releaseRequested]: '4' });
    await untilActive(false);
    expect(program?.agent.isStopping).toBe(true);
    workload.end();
    await released();
  });

  it('is not acknowledged by what was said before it', async () => {
    await start();
    const { sequence } = await state();
    source.grant(ME);
    await untilActive(true);
    source.annotate({ [ANNOTATION.releaseRequested]: '4' });
    await untilActive(false);
    await post(`/v1/stopped?term=4&sequence=${sequence}`);
    expect(program?.agent.isStopping).toBe(true);
    await stopped(4);
    expect(program?.agent.isStopping).toBe(false);
  });

  it('with a bad term is refused', async () => {
    await start();
    expect(await post('/v1/stopped')).toBe(400);
  });
});

describe('enforcement Signal', () => {
  const SIGNAL = { SINGLETON_ENFORCEMENT: 'Signal' };

  it('kills what has not stopped when its grace is over, and releases when it is gone', async () => {
    running = [17, 18];
    await start(SIGNAL);
    source.grant(ME);
    await untilActive(true);
    source.annotate({ [ANNOTATION.releaseRequested]: '4' });
    await untilActive(false);
    for (let step = 0; step < 20; step += 1) await clock.advance(100);
    expect(killed).toEqual([17, 18]);
    await released();
  });

  it('releases when the processes of the workload have ended', async () => {
    running = [17];
    await start(SIGNAL);
    source.grant(ME);
    await untilActive(true);
    running = [];
    await released();
    expect(killed).toEqual([]);
  });

  it('releases without a grace what has ended before it was asked to stop', async () => {
    await start(SIGNAL);
    source.grant(ME);
    await untilActive(true);
    source.annotate({ [ANNOTATION.releaseRequested]: '4' });
    await released();
  });
});

describe('hooks', () => {
  it('are called with the term, and their answer releases', async () => {
    const calls: { hook: string; term: number; sequence: number }[] = [];
    const workload = createServer((request, response) => {
      void (async () => {
        let text = '';
        for await (const chunk of request) text += String(chunk);
        calls.push(JSON.parse(text) as (typeof calls)[number]);
        response.writeHead(request.url === '/stop' || calls.length > 1 ? 204 : 500).end();
      })();
    });
    await new Promise<void>((resolve) => workload.listen(0, '127.0.0.1', resolve));
    const base = `http://127.0.0.1:${(workload.address() as AddressInfo).port}`;
    await start({ SINGLETON_ON_ACTIVATE_URL: `${base}/start`, SINGLETON_ON_DEACTIVATE_URL: `${base}/stop` });
    source.grant(ME);
    await until('the first call', () => calls.length === 1 || undefined);
    await until('its failure to be known', () => log.some(({ message }) => message.startsWith('a hook')) || undefined);
    await clock.advance(200);
    await until('the second call', () => calls.length === 2 || undefined);
    source.annotate({ [ANNOTATION.releaseRequested]: '4' });
    await released();
    expect(calls.map(({ hook, term }) => [hook, term])).toEqual([
      ['activate', 4],
      ['activate', 4],
      ['deactivate', 4],
    ]);
    expect(calls.map(({ sequence }) => sequence)).toEqual(calls.map(({ sequence }) => sequence).sort((a, b) => a - b));
    workload.closeAllConnections();
    workload.close();
  });
});

describe('the liveness probe', () => {
  it('fails for the kubelet from the fence deadline on, until it asks again of a new container', async () => {
    await start();
    source.grant(ME);
    await untilActive(true);
    expect(await kubelet()).toBe(200);
    source.isDown = true;
    for (let step = 0; step < 50; step += 1) await clock.advance(100);
    expect([await kubelet(), await kubelet()]).toEqual([503, 503]);
    await clock.advance(1_000);
    expect(await kubelet('/probe/liveness/app')).toBe(200);
    expect(program?.agent.isStopping).toBe(false);
  });

  it('changes nothing when somebody else asks', async () => {
    await start();
    source.grant(ME);
    await untilActive(true);
    source.isDown = true;
    for (let step = 0; step < 50; step += 1) await clock.advance(100);
    for (let step = 0; step < 3; step += 1) {
      expect((await fetch(url('/probe/liveness?container=app'))).status).toBe(503);
      await clock.advance(1_000);
    }
    expect(program?.agent.isStopping).toBe(true);
  });

  it("also fails when the user's own probe has failed as often as it may", async () => {
    const probe = { tcpSocket: { port: 1 }, periodSeconds: 1, failureThreshold: 2 };
    await start({ SINGLETON_LIVENESS_app: JSON.stringify(probe) });
    await until('the failure', async () => {
      await clock.advance(1_000);
      return (await kubelet()) === 503 || undefined;
    });
    expect(await kubelet()).toBe(200);
  });

  it('of the agent itself succeeds', async () => {
    await start();
    expect((await fetch(url('/livez'))).status).toBe(200);
    expect((await fetch(url('/nothing'))).status).toBe(404);
  });
});

describe('a new process of the agent', () => {
  it('goes on under the term of the one before', async () => {
    await start();
    source.grant(ME);
    await untilActive(true);
    await program?.close();
    await clock.advance(1_000);
    await start();
    expect(await state()).toMatchObject({ active: true, term: 4 });
  });

  it('does not take its workload for stopped when the term was over meanwhile', async () => {
    await start();
    source.grant(ME);
    await untilActive(true);
    await program?.close();
    source.isDown = true;
    await clock.advance(6_000);
    await start();
    expect(await state()).toMatchObject({ active: false });
    expect(await kubelet()).toBe(503);
  });

  it('does not start on a file that it cannot read', async () => {
    writeFileSync(stateFile, '{"active":true}');
    await expect(start()).rejects.toThrow(/was not written by an agent/);
  });
});

/** The client for workloads, beside the real agent's process. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { onActive } from '../../src/client/client.ts';
import { ANNOTATION } from '../../src/api/names.ts';
import { until } from '../control-plane/wait.ts';
import { LeaseServer, startAgent } from './lease-server.ts';
import type { RunningAgent } from './lease-server.ts';

let server: LeaseServer;
let agent: RunningAgent;
let over: AbortController;

beforeEach(async () => {
  server = await new LeaseServer().start();
  agent = await startAgent(server);
  over = new AbortController();
});

afterEach(async () => {
  over.abort();
  await agent.end();
  await server.stop();
});

interface Recorder {
  readonly terms: number[];
  acting: number;
  /** Of `onActive`. */
  readonly done: Promise<void>;
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => signal.addEventListener('abort', () => resolve()));

/** Acts from when it is called until its signal is aborted. */
function record(): Recorder {
  const recorder = { terms: [] as number[], acting: 0 };
  const run = async (term: number, signal: AbortSignal): Promise<void> => {
    recorder.terms.push(term);
    recorder.acting += 1;
    await aborted(signal);
    recorder.acting -= 1;
  };
  return Object.assign(recorder, { done: onActive(run, { url: agent.stateUrl, signal: over.signal }) });
}

const acts = (recorder: Recorder, count: number): Promise<true> =>
  until(`${count} to act`, () => recorder.acting === count || undefined);

describe('onActive', { timeout: 30_000 }, () => {
  it('runs the function while the pod is the active one, with its term', async () => {
    const recorder = record();
    server.grant(agent.holder, 3);
    await acts(recorder, 1);
    expect(recorder.terms).toEqual([3]);
    await until('two more renewals', () => server.renewals > 2 || undefined);
    expect(recorder.acting).toBe(1);
  });

  it('stops it and lets the agent release when a move is planned', async () => {
    const recorder = record();
    server.grant(agent.holder, 3);
    await acts(recorder, 1);
    server.annotate({ [ANNOTATION.releaseRequested]: '3' });
    await server.released();
    expect(recorder.acting).toBe(0);
  });

  it('aborts the signal at the deadline although the agent is frozen', async () => {
    const recorder = record();
    server.grant(agent.holder, 3);
    await acts(recorder, 1);
    agent.process.kill('SIGSTOP');
    const sinceMs = performance.now();
    await acts(recorder, 0);
    expect(performance.now() - sinceMs).toBeLessThan(2_500);
    agent.process.kill('SIGCONT');
    await acts(recorder, 1);
    expect(recorder.terms).toEqual([3, 3]);
  });

  it('aborts the signal when the agent dies', async () => {
    const recorder = record();
    server.grant(agent.holder, 3);
    await acts(recorder, 1);
    agent.process.kill('SIGKILL');
    await acts(recorder, 0);
  });

  it('runs it again under the same term after an outage of the API server', async () => {
    const recorder = record();
    server.grant(agent.holder, 3);
    await acts(recorder, 1);
    server.isFrozen = true;
    await acts(recorder, 0);
    server.isFrozen = false;
    await acts(recorder, 1);
    expect(recorder.terms).toEqual([3, 3]);
  });

  it('ends when it is told to, after the function has, and the agent releases', async () => {
    const recorder = record();
    server.grant(agent.holder, 3);
    await acts(recorder, 1);
    over.abort();
    await recorder.done;
    expect(recorder.acting).toBe(0);
    await server.released();
  });

  it('ends when the function returns by itself', async () => {
    server.grant(agent.holder, 3);
    await onActive(() => undefined, { url: agent.stateUrl });
    await server.released();
  });

  it('ends with what the function throws', async () => {
    server.grant(agent.holder, 3);
    const failing = (): never => {
      throw new Error('no disk');
    };
    await expect(onActive(failing, { url: agent.stateUrl })).rejects.toThrow('no disk');
    await server.released();
  });

  it('says what is missing where there is no agent', () => {
    expect(() => onActive(() => undefined)).toThrow(/SINGLETON_STATE_URL is not set/);
  });
});

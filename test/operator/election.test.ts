import { expect, it } from 'vitest';
import { TransportError } from '../../src/adapters/ports.ts';
import type { KubernetesApi } from '../../src/adapters/ports.ts';
import { electionTimes } from '../../src/core/leadership.ts';
import { Election } from '../../src/operator/election.ts';
import { recordingLogger } from '../adapters/kubernetes/support/recording-logger.ts';
import { ManualClock, settle } from '../support/manual-clock.ts';

const never = <T>(): Promise<T> => new Promise(() => undefined);

it('a leader whose renewal has failed too late, as after a freeze, does not lead for another moment', async () => {
  const clock = new ManualClock();
  const renewal = Promise.withResolvers<never>();
  const api = {
    list: () => Promise.resolve({ items: [], resourceVersion: '1' }),
    watch: () => never(),
    create: (_type: unknown, namespace: string, body: { metadata: object }) =>
      Promise.resolve({ ...body, metadata: { ...body.metadata, namespace, uid: 'uid', resourceVersion: '2' } }),
    mergePatch: () => renewal.promise,
  } as unknown as KubernetesApi;
  const told: string[] = [];
  const election = new Election({
    api,
    clock,
    random: () => 0.5,
    logger: recordingLogger(),
    namespace: 'operators',
    name: 'singleton-operator',
    identity: 'me',
    times: electionTimes(3_000),
    onLead: () => told.push('lead'),
    onLost: () => told.push('lost'),
  });
  election.start();
  await clock.advance(5_000);
  expect([told, election.isLeading]).toEqual([['lead'], true]);
  renewal.reject(new TransportError('deadline', 'no answer'));
  await settle();
  expect([told, election.isLeading]).toEqual([['lead', 'lost'], false]);
});

it('that the leader Lease cannot be written is said once, until it can be or for another reason', async () => {
  const clock = new ManualClock();
  const logger = recordingLogger();
  let why = 'no way there';
  const api = {
    list: () => Promise.resolve({ items: [], resourceVersion: '1' }),
    watch: () => never(),
    create: () => Promise.reject(new TransportError('connect', why)),
  } as unknown as KubernetesApi;
  const election = new Election({
    api,
    clock,
    random: () => 0.5,
    logger,
    namespace: 'operators',
    name: 'singleton-operator',
    identity: 'me',
    times: electionTimes(3_000),
    onLead: () => undefined,
    onLost: () => undefined,
  });
  election.start();
  await clock.advance(5_000);
  const said = (): number => logger.lines.filter(({ message }) => message.includes('could not be written')).length;
  expect(said()).toBe(1);
  why = 'and now for another reason';
  await clock.advance(5_000);
  expect(said()).toBe(2);
});

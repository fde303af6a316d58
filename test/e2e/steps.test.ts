import { expect, describe, it } from 'vitest';
import { stepsOf } from './steps.ts';

const BASE_MS = 1_800_000_000_000;
const at = (ms: number): string => new Date(BASE_MS + ms).toISOString().replace('Z', '000Z');

const line = (answeredMs: number, verb: string, user: string, ref: object, body?: object): string =>
  JSON.stringify({
    verb,
    user: { username: `system:serviceaccount:${user}` },
    objectRef: { namespace: 'ns', ...ref },
    responseStatus: { code: 200 },
    stageTimestamp: at(answeredMs),
    requestObject: body,
  });

const lease = { resource: 'leases', name: 'web-active' };
const agents = (ms: number, name = 'web'): string =>
  line(ms, 'update', `ns:${name}-agent`, { ...lease, name: `${name}-active` });
const operators = (ms: number, ref: object): string => line(ms, 'patch', 'singleton-system:singleton-operator', ref);
const slice = (ms: number, uid: string): string =>
  line(
    ms,
    'update',
    'kube-system:endpointslice-controller',
    { resource: 'endpointslices', name: 'web-x' },
    {
      metadata: { labels: { 'kubernetes.io/service-name': 'web' } },
      endpoints: [{ conditions: { ready: true }, targetRef: { uid } }],
    },
  );

const LOG = [
  operators(-900, { resource: 'services', name: 'web' }),
  agents(-400),
  // The fault, at 0.
  slice(100, 'uid-a'),
  agents(4_000, 'other'),
  operators(4_650, lease),
  agents(4_700),
  operators(4_720, { resource: 'pods', name: 'web-1' }),
  operators(4_730, { resource: 'services', name: 'web' }),
  slice(4_760, 'uid-b'),
  agents(5_700),
];

const steps = (lines: readonly string[]) =>
  stepsOf(lines.join('\n'), { namespace: 'ns', singleton: 'web', old: 'uid-a', sinceMs: BASE_MS });

describe('the steps of a failover in mode Agent, from the audit log', () => {
  it('are the last write of the old agent, grant, first renewal, flip and slice', () => {
    expect(steps(LOG)).toEqual({
      oldMs: BASE_MS - 400,
      grantedMs: BASE_MS + 4_650,
      renewedMs: BASE_MS + 4_700,
      flippedMs: BASE_MS + 4_730,
      routedMs: BASE_MS + 4_760,
    });
  });

  it('begin with a release, where there is one, and not with the question for it', () => {
    const asked = operators(20, lease);
    const released = agents(60);
    expect(steps([...LOG.slice(0, 2), asked, released, ...LOG.slice(4)])?.oldMs).toBe(BASE_MS + 60);
  });

  it('are not known before the last of them is in the log', () => {
    expect(steps(LOG.slice(0, 8))).toBeUndefined();
  });
});

import { describe, expect, it } from 'vitest';
import { shareOf } from './share.ts';

const fallen = { name: 'echo-0-a', namespace: 'ns', uid: 'uid-a', resourceVersion: '1' };

const at = (ms: number): string => new Date(1_800_000_000_000 + ms).toISOString().replace('Z', '000Z');

interface Request {
  readonly verb?: string;
  readonly user?: string;
  readonly ref: { readonly resource: string; readonly name: string; readonly subresource?: string };
  readonly body?: object;
  readonly code?: number;
}

const line = (answeredMs: number, { verb = 'patch', user = 'operator', ref, body, code = 200 }: Request): string =>
  JSON.stringify({
    verb,
    user: { username: user === 'operator' ? 'system:serviceaccount:singleton-system:singleton-operator' : user },
    objectRef: { namespace: 'ns', ...ref },
    responseStatus: { code },
    stageTimestamp: at(answeredMs),
    requestObject: body,
  });

const status = (ready: 'True' | 'False', name = 'echo-0-a') => ({
  user: 'system:node:worker',
  ref: { resource: 'pods', subresource: 'status', name },
  body: {
    status: {
      conditions: [
        { type: 'ContainersReady', status: ready },
        { type: 'Ready', status: ready },
      ],
    },
  },
});

const slice = (service: string, uid: string, ready = true) => ({
  verb: 'update',
  user: 'system:serviceaccount:kube-system:endpointslice-controller',
  ref: { resource: 'endpointslices', name: `${service}-x` },
  body: {
    metadata: { labels: { 'kubernetes.io/service-name': service } },
    endpoints: [{ conditions: { ready }, targetRef: { uid } }],
  },
});

const failover = [
  line(10, status('False')),
  line(14, slice('echo', 'uid-a', false)),
  line(15, slice('echo-members', 'uid-b')),
  line(20, { ref: { resource: 'leases', name: 'echo-active' } }),
  line(21, { ref: { resource: 'pods', name: 'echo-0-a' } }),
  line(30, { ref: { resource: 'pods', name: 'echo-1-b' } }),
  line(40, { ref: { resource: 'services', name: 'echo' } }),
  line(55, slice('echo', 'uid-b')),
];

const share = (lines: readonly string[], sinceMs = 0) =>
  shareOf(lines.join('\n'), 'echo', fallen, 1_800_000_000_000 + sinceMs);

describe('the operator’s share of a failover, from the audit log', () => {
  it('runs from the kubelet’s word to the slice with another pod, step by step', () => {
    expect(share(failover)).toEqual({ grantedMs: 10, labelledMs: 20, flippedMs: 30, routedMs: 45 });
  });

  it('begins anew with each fault: what was logged before it does not count', () => {
    const earlier = [line(-50, status('False')), line(-40, slice('echo', 'uid-c'))];
    expect(share([...earlier, ...failover])?.routedMs).toBe(45);
  });

  it('leaves out what the API server did not accept', () => {
    const refused = line(12, { ref: { resource: 'leases', name: 'echo-active' }, code: 409 });
    expect(share([...failover.slice(0, 1), refused, ...failover.slice(1)])?.grantedMs).toBe(10);
  });

  it('is not known when nothing fell, or when nothing moved', () => {
    expect(
      share([line(10, status('True')), line(11, status('False', 'echo-2-c')), ...failover.slice(1)]),
    ).toBeUndefined();
    expect(share(failover.slice(0, -1))).toBeUndefined();
  });

  it('overlooks a last line that is half written', () => {
    expect(share([...failover, line(60, slice('echo', 'uid-b')).slice(0, 40)])?.routedMs).toBe(45);
  });
});

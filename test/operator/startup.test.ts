import { describe, expect, it } from 'vitest';
import { ApiError } from '../../src/adapters/ports.ts';
import type { KubernetesApi, ListQuery, ResourceType } from '../../src/adapters/ports.ts';
import { waitForCluster } from '../../src/operator/startup.ts';
import { recordingLogger } from '../adapters/kubernetes/support/recording-logger.ts';
import { ManualClock } from '../support/manual-clock.ts';

/** Answers every list with nothing, but what `refuse` refuses. */
const started = (refuse: (type: ResourceType, query: ListQuery) => ApiError | undefined) => {
  const logger = recordingLogger();
  const api = {
    getPath: () => Promise.resolve({ versions: [{ version: 'v1' }] }),
    list: (type: ResourceType, query: ListQuery) => {
      const error = refuse(type, query);
      return error === undefined ? Promise.resolve({ items: [], resourceVersion: '1' }) : Promise.reject(error);
    },
  } as unknown as KubernetesApi;
  const { signal } = new AbortController();
  return { logger, cluster: waitForCluster({ api, clock: new ManualClock(), logger, signal, namespace: undefined }) };
};

describe('before the first watch', () => {
  it('it is known that the beats of nodes can be read', async () => {
    const { cluster, logger } = started(() => undefined);
    expect(await cluster).toMatchObject({ mayReadNodes: true, mayReadNodeLeases: true });
    expect(logger.lines).toEqual([]);
  });

  it.each([403, 404])(
    'the beats of nodes are done without when the server says %i to them, and it is said once',
    async (status) => {
      const { cluster, logger } = started((type, { namespace }) =>
        type.plural === 'leases' && namespace === 'kube-node-lease'
          ? new ApiError(status, 'No', 'not for you')
          : undefined,
      );
      expect(await cluster).toMatchObject({ mayReadNodes: true, mayReadNodeLeases: false });
      expect(logger.lines).toMatchObject([
        { level: 'warn', message: expect.stringContaining('kube-node-lease') as string },
      ]);
    },
  );
});

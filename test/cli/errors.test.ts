import { describe, expect, it } from 'vitest';
import { KubeconfigError } from '../../src/adapters/kubernetes/kubeconfig.ts';
import { SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import { ApiError, TransportError } from '../../src/adapters/ports.ts';
import { listAll, listSingletons } from '../../src/cli/cluster.ts';
import { CliError, UsageError, lineFor } from '../../src/cli/errors.ts';
import { hasSucceeded, isOver, outcomeText } from '../../src/cli/switchover-status.ts';
import { FakeApi } from '../adapters/kubernetes/support/fake-api.ts';

describe('what went wrong', () => {
  it.each<[string, unknown, string]>([
    ['what the command says', new CliError('no such thing'), 'no such thing'],
    ['a wrong call', new UsageError('which one?'), 'which one?'],
    ['a kubeconfig', new KubeconfigError('kubeconfig x does not exist'), 'kubeconfig x does not exist'],
    [
      'a missing right',
      new ApiError(403, 'Forbidden', 'you cannot'),
      'you cannot; ask whoever runs the cluster for that right',
    ],
    ['a refusal', new ApiError(422, 'Invalid', 'spec.x is wrong'), 'spec.x is wrong'],
    ['Ctrl-C', new TransportError('aborted', 'x'), 'interrupted'],
    [
      'no answer',
      new TransportError('deadline', 'no answer'),
      'no answer; check --context and --kubeconfig, and whether the API server is up',
    ],
  ])('is a line: %s', (_what, error, line) => {
    expect(lineFor(error)).toBe(line);
  });

  it('comes with its stack when nobody foresaw it', () => {
    expect(lineFor(new TypeError('x is undefined'))).toMatch(/^a bug: TypeError: x is undefined\n.*errors\.test\.ts/);
  });
});

describe('a list', () => {
  it('is read to its last page', async () => {
    const api = new FakeApi();
    for (let index = 0; index < 1_001; index++) api.put(`object-${index}`);
    const { items } = await listAll(api, SERVICE, {});
    expect(new Set(items.map(({ metadata }) => metadata.name)).size).toBe(1_001);
    expect(api.lists.map(({ query }) => query.limit)).toEqual([500, 500, 500]);
  });

  it('of SingletonServices says when there is no such kind, and passes on any other failure', async () => {
    const api = new FakeApi();
    api.listFailures.push(new ApiError(404, 'NotFound', '404 page not found'), new ApiError(403, 'Forbidden', 'no'));
    await expect(listSingletons(api, undefined)).rejects.toThrow('apply crds/singletonservices.yaml');
    await expect(listSingletons(api, undefined)).rejects.toThrow('no');
  });
});

describe('the outcome of a switchover', () => {
  it.each([
    ['Pending', false, false],
    ['Completed', true, true],
    ['RolledBack', true, false],
    ['Refused', true, false],
  ] as const)('%s: over %s, as asked %s', (outcome, over, succeeded) => {
    expect([isOver({ outcome }), hasSucceeded({ outcome })]).toEqual([over, succeeded]);
  });

  it('is told with its reason', () => {
    expect(outcomeText({ outcome: 'Refused', reason: 'NotReady', message: 'db-1 is not' })).toBe(
      'Refused (NotReady): db-1 is not',
    );
  });
});

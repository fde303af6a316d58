/** The CRD on a real API server: what it takes, what it fills in, what it refuses, and what kubectl makes of it. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { CRD_FILES } from '../../scripts/generate-crd.ts';
import { API_VERSION, KIND, MAX_NAME_LENGTH } from '../../src/api/names.ts';
import { specSchema } from '../../src/api/schema.ts';
import { parseSpec } from '../../src/api/spec.ts';
import type { Status } from '../../src/api/types.ts';
import type { ApiObject } from '../control-plane/rest-client.ts';
import { RestError } from '../control-plane/rest-client.ts';
import { useSuite } from '../control-plane/use-suite.ts';
import { until } from '../control-plane/wait.ts';
import { aSpec, nearlyASpec } from './specs.ts';

interface Singleton extends ApiObject {
  spec?: unknown;
  status?: unknown;
}

interface Crd extends ApiObject {
  status?: { conditions?: { type: string; status: string }[] };
}

const run = promisify(execFile);
const CRD_PATH = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/singletonservices.singleton-operator.io';
const crdFile = (celRules: keyof typeof CRD_FILES): string =>
  fileURLToPath(new URL(`../../${CRD_FILES[celRules]}`, import.meta.url));

describe('the CRD on a real API server', () => {
  const suite = useSuite({ names: [] });
  // kubectl remembers for ten minutes which resources a server has: not those of the run before.
  const cache = mkdtempSync(join(tmpdir(), 'kubectl-cache-'));

  const kubectl = async (...args: string[]): Promise<string> => {
    const { kubectlPath, kubeconfigPath } = suite().controlPlane;
    const where = ['--kubeconfig', kubeconfigPath, '--cache-dir', cache, '--namespace', suite().namespace];
    return (await run(kubectlPath, [...where, ...args])).stdout;
  };
  const path = () => `/apis/${API_VERSION}/namespaces/${suite().namespace}/singletonservices`;
  const object = (name: string, spec: unknown): object => ({
    apiVersion: API_VERSION,
    kind: KIND,
    metadata: { name },
    spec,
  });
  const create = (name: string, spec: unknown) => suite().api.create<Singleton>(path(), object(name, spec));
  /** Undefined: the server would take it. */
  const refusal = async (name: string, spec: unknown): Promise<string | undefined> => {
    try {
      await suite().api.create(`${path()}?dryRun=All`, object(name, spec));
      return undefined;
    } catch (error) {
      if (error instanceof RestError && error.status === 422) return error.message;
      throw error;
    }
  };

  beforeAll(async () => {
    // Again and again, since another test file may be creating it on the same server at this moment.
    await until('the CRD to be applied', () => kubectl('apply', '--filename', crdFile('portable')));
    await until('the CRD to be established', async () => {
      const crd = await suite().api.get<Crd>(CRD_PATH);
      return crd.status?.conditions?.some(({ type, status }) => type === 'Established' && status === 'True');
    });
    await until('its resources to be served', () => suite().api.list(path()));
  }, 60_000);
  afterAll(() => rmSync(cache, { recursive: true, force: true }));

  test('has no fault that the server would tell of in a condition', async () => {
    const crd = await suite().api.get<Crd>(CRD_PATH);
    expect(crd.status?.conditions?.filter(({ type }) => type === 'NonStructuralSchema')).toEqual([]);
  });

  test('with all CEL rules is taken by servers that know them, and refused, not cut, before others see it', async () => {
    const applied = kubectl('apply', '--dry-run=server', '--filename', crdFile('every'));
    if (suite().controlPlane.minorVersion >= 25) await expect(applied).resolves.toContain('singletonservices');
    else await expect(applied).rejects.toThrow('unknown field "x-kubernetes-validations"');
  });

  test('can be applied by the server, too', async () => {
    await kubectl('apply', '--server-side', '--dry-run=server', '--force-conflicts', '--filename', crdFile('portable'));
  });

  test('makes the server fill in every default that hangs on nothing else', async () => {
    const { spec } = await create('defaults', aSpec());
    expect(spec).toEqual({
      ...aSpec(),
      replicas: 2,
      service: { type: 'ClusterIP' },
      paused: false,
      election: {
        strategy: 'Oldest',
        preemption: 'Never',
        stableSeconds: 60,
        leaseDurationSeconds: 10,
        renewIntervalSeconds: 2,
      },
      failover: {
        unreadyGraceSeconds: 0,
        nodeLoss: { afterSeconds: 30 },
        backoffMaxSeconds: 30,
        quarantine: { failures: 3, windowSeconds: 600, durationSeconds: 300 },
      },
      fencing: { mode: 'Routing', enforcement: 'Probe', stopGraceSeconds: 2, onApiLoss: 'Fence' },
      update: { minReadySeconds: 5, switchover: 'Automatic', progressDeadlineSeconds: 600 },
      switchover: { deadlineSeconds: 30 },
      disruptionBudget: true,
    });
  });

  test('keeps the whole template', async () => {
    const template = {
      metadata: { labels: { app: 'echo' }, annotations: { 'a/b': 'c' } },
      spec: {
        containers: [{ name: 'a', image: 'i', ports: [{ containerPort: 1 }], env: [{ name: 'X', value: 'y' }] }],
        topologySpreadConstraints: [{ maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'ScheduleAnyway' }],
        volumes: [{ name: 'v', emptyDir: {} }],
      },
    };
    const { spec } = await create('template', { template });
    expect(spec).toMatchObject({ template });
  });

  test.each([
    ['no replicas', aSpec({ replicas: 0 }), 'spec.replicas in body should be greater than or equal to 1'],
    ['33 replicas', aSpec({ replicas: 33 }), 'spec.replicas in body should be less than or equal to 32'],
    [
      'an unknown strategy',
      aSpec({ election: { strategy: 'Youngest' } }),
      'Unsupported value: "Youngest": supported values: "Oldest", "Priority", "Ring"',
    ],
    ['a number in words', aSpec({ switchover: { deadlineSeconds: 'soon' } }), 'spec.switchover.deadlineSeconds'],
    ['no spec', undefined, 'spec: Required value'],
  ])('makes the server refuse %s', async (_what, spec, message) => {
    expect(await refusal('refused', spec)).toContain(message);
  });

  test('makes the server refuse names that no Service can have', async () => {
    expect(await refusal('1st', aSpec())).toContain('metadata.name');
    expect(await refusal('a'.repeat(MAX_NAME_LENGTH + 1), aSpec())).toContain('metadata.name');
    expect(await refusal('a'.repeat(MAX_NAME_LENGTH), aSpec())).toBeUndefined();
  });

  test('is of one mind with parseSpec about specs that are right or nearly so', async () => {
    const property = fc.asyncProperty(nearlyASpec, async (raw) => {
      const structure = specSchema.safeParse(raw);
      const refused = await refusal('any', raw);
      if (structure.success) expect(refused).toBeUndefined();
      // In these two places the CRD's schema can say less than zod's.
      const opaque = ({ path: keys }: { path: PropertyKey[] }) =>
        keys[0] === 'template' || keys.at(-1) === 'targetPort';
      if (structure.error?.issues.some((issue) => !opaque(issue)) === true) expect(refused).toBeDefined();
      if (refused !== undefined) expect(parseSpec(raw, { name: 'any' }).ok).toBe(false);
    });
    await fc.assert(property, { numRuns: 400 });
  }, 60_000);

  test('lets an old server take an empty annotation for null, which we do not', async () => {
    const spec = aSpec({ service: { annotations: { a: '' } } });
    expect(parseSpec(spec, { name: 'any' }).ok).toBe(true);
    const refused = await refusal('any', spec);
    // Which servers do depends on the Go that they were built with, too.
    if (refused !== undefined)
      expect(refused).toContain('spec.service.annotations.a in body must be of type string: "null"');
  });

  test('makes the server apply the very defaults that parseSpec applies', async () => {
    const property = fc.asyncProperty(nearlyASpec, async (raw) => {
      const parsed = parseSpec(raw, { name: 'any' });
      if (!parsed.ok) return;
      const served = await suite().api.create<Singleton>(`${path()}?dryRun=All`, object('any', raw));
      expect(parseSpec(served.spec, { name: 'any' })).toEqual(parsed);
    });
    await fc.assert(property, { numRuns: 400 });
  }, 60_000);

  test('is scaled, within its range, through the scale subresource', async () => {
    await create('scaled', aSpec());
    await suite().api.patch(`${path()}/scaled/status`, { status: { replicas: 2, selector: 'a=b' } });
    await kubectl('scale', 'singletonservice/scaled', '--replicas=3');
    const scale = await suite().api.get(`${path()}/scaled/scale`);
    expect(scale).toMatchObject({ spec: { replicas: 3 }, status: { replicas: 2, selector: 'a=b' } });
    await expect(kubectl('scale', 'singletonservice/scaled', '--replicas=33')).rejects.toThrow(
      'less than or equal to 32',
    );
  });

  test('keeps spec and status apart, and every field of the status', async () => {
    const status: Status = {
      observedGeneration: 1,
      replicas: 2,
      readyReplicas: 2,
      eligibleReplicas: 2,
      updatedReplicas: 2,
      ready: '2/2',
      selector: 'singleton-operator.io/name=status',
      active: {
        pod: 'status-0-abcde',
        uid: 'u',
        slot: 0,
        node: 'n',
        zone: 'z',
        term: 1003,
        since: '2026-01-02T03:04:05.678Z',
      },
      term: 1003,
      members: [
        { pod: 'status-0-abcde', slot: 0, role: 'active', node: 'n', zone: 'z', ready: true, eligible: true },
        { pod: 'status-1-fghij', slot: 1, role: 'standby', ready: false, eligible: false, reason: 'NotReady' },
      ],
      lastMove: {
        kind: 'Failover',
        reason: 'Unready',
        message: 'status-1-fghij was not Ready',
        from: 'status-1-fghij',
        to: 'status-0-abcde',
        term: 1003,
        detectedAt: '2026-01-02T03:04:05.678Z',
        fencedAt: '2026-01-02T03:04:05.678Z',
        grantedAt: '2026-01-02T03:04:05.678Z',
        labelledAt: '2026-01-02T03:04:05.678Z',
        routedAt: '2026-01-02T03:04:05.678Z',
        milliseconds: 17.5,
      },
      moves: [{ kind: 'Initial', to: 'status-1-fghij', term: 1002 }],
      conditions: [
        {
          type: 'Ready',
          status: 'True',
          reason: 'ActiveRouted',
          message: 'm',
          lastTransitionTime: '2026-01-02T03:04:05Z',
          observedGeneration: 1,
        },
      ],
    };
    await create('status', aSpec());
    const written = await suite().api.patch<Singleton>(`${path()}/status/status`, { status, spec: { replicas: 7 } });
    expect(written.status).toEqual(status);
    expect(written.spec).toMatchObject({ replicas: 2 });
  });

  test('is printed as users know it', async () => {
    await create('printed', aSpec());
    const minutesAgo = new Date(Date.now() - 300_000).toISOString();
    const status: Status = {
      ready: '2/3',
      term: 7,
      active: { pod: 'printed-0-abcde', uid: 'u', node: 'node-a', term: 7 },
      lastMove: { kind: 'Failover', routedAt: minutesAgo },
      conditions: [
        { type: 'SpecAccepted', status: 'True', reason: 'Valid' },
        { type: 'Ready', status: 'True', reason: 'ActiveRouted' },
      ],
    };
    await suite().api.patch(`${path()}/printed/status`, { status });
    const columns = (text: string): string[][] =>
      text
        .trim()
        .split('\n')
        .map((line) => line.trim().split(/ {2,}/));
    const [header, row] = columns(await kubectl('get', 'sgs', 'printed'));
    expect(header).toEqual(['NAME', 'ACTIVE', 'READY', 'TERM', 'LAST MOVE', 'STATUS', 'AGE']);
    // On a busy machine the move is 5 minutes and a second ago.
    const age = expect.stringMatching(/^5m(\d+s)?$/) as unknown;
    expect(row?.slice(0, -1)).toEqual(['printed', 'printed-0-abcde', '2/3', '7', age, 'ActiveRouted']);
    const [wideHeader, wideRow] = columns(await kubectl('get', 'singleton', 'printed', '--output=wide'));
    expect(wideHeader).toContain('STRATEGY');
    expect(wideRow).toEqual(expect.arrayContaining(['node-a', 'Oldest', 'Routing']));
    expect(await kubectl('get', 'all')).toContain('printed-0-abcde');
  });

  test.each(['echo', 'hang'])(
    'lets kubectl apply the sample %s, whose template is a pod that the server takes',
    async (name) => {
      const file = fileURLToPath(new URL(`../../deploy/samples/${name}.yaml`, import.meta.url));
      const text = await kubectl('apply', '--filename', file, '--output=json');
      const { template } = (JSON.parse(text) as { spec: { template: { metadata?: object } } }).spec;
      const pod = { ...template, metadata: { ...template.metadata, name: 'sample' } };
      await suite().api.create(`/api/v1/namespaces/${suite().namespace}/pods?dryRun=All`, pod);
    },
  );

  test('is explained by kubectl', async () => {
    const explain = (field: string) =>
      until(`kubectl to explain ${field}`, async () => {
        const text = (await kubectl('explain', field)).replaceAll(/\s+/g, ' ');
        return text.includes('DESCRIPTION') && text;
      });
    expect(await explain('singletonservice.spec.failover')).toContain(
      'When the active counts as failed and another member takes over.',
    );
    const text = await explain('singletonservice.spec.failover.unreadyGraceSeconds');
    expect(text).toContain('How long an active that is not Ready is kept');
    expect(text).toContain('In seconds, 0 to 3600; default 0.');
    expect(await explain('sgs.status.lastMove')).toContain('The last change of the active.');
  }, 60_000);
});

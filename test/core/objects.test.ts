import { describe, expect, it } from 'vitest';
import { LABEL } from '../../src/api/names.ts';
import { sameJson } from '../../src/core/hash.ts';
import { decide } from '../../src/core/decide.ts';
import {
  headlessService,
  headlessServiceDrift,
  mapPatch,
  memberPod,
  routingService,
  routingServiceDrift,
  templateRevision,
} from '../../src/core/objects.ts';
import type { ServiceView } from '../../src/core/snapshot.ts';
import { NOW, aService, aSnapshot, aSpec, aSteadyState, aTemplate } from '../builders.ts';
import { settle } from './effects.ts';

const { singleton } = aSnapshot().build();
const SPEC = aSpec();

const drift = (change: (view: ServiceView) => Partial<ServiceView>, spec = SPEC): unknown => {
  const view = aService(SPEC, 1);
  return routingServiceDrift(singleton, spec, { ...view, ...change(view) });
};

const [PORT] = SPEC.service.ports;

describe('the Service', () => {
  it('selects name and term, and nothing else', () => {
    expect(routingService(singleton, SPEC, 7).spec.selector).toEqual({ [LABEL.name]: 'db', [LABEL.term]: '7' });
  });

  it('is owned by the singleton, so that it goes with it', () => {
    expect(routingService(singleton, SPEC, 7).metadata.ownerReferences).toEqual([
      {
        apiVersion: 'singleton-operator.io/v1alpha1',
        kind: 'SingletonService',
        name: 'db',
        uid: 'uid-db',
        controller: true,
        blockOwnerDeletion: true,
      },
    ]);
  });

  it('carries the labels and annotations of the spec, and keeps its own label', () => {
    const spec = aSpec({ service: { labels: { team: 'a' }, annotations: { lb: 'internal' } } });
    expect(routingService(singleton, spec, 1).metadata).toMatchObject({
      labels: { team: 'a', [LABEL.name]: 'db' },
      annotations: { lb: 'internal' },
    });
  });
});

describe('a Service that is as it should be', () => {
  it.each<[string, (view: ServiceView) => Partial<ServiceView>]>([
    ['as it was created', () => ({})],
    [
      'with the defaults that the server put in',
      (view) => ({ spec: { ...view.spec, ipFamilies: ['IPv4'], clusterIPs: ['10.0.0.7'] } }),
    ],
    [
      'with annotations and labels of others',
      (view) => ({ annotations: { theirs: '1' }, labels: { ...view.labels, theirs: '1' } }),
    ],
    [
      'with a node port that the server picked',
      (view) => ({ spec: { ...view.spec, ports: [{ ...PORT, port: 8080, nodePort: 31_000 }] } }),
    ],
    ['with a selector that the move owns', (view) => ({ spec: { ...view.spec, selector: { any: 'thing' } } })],
    [
      'with its ports spelled out in another order of fields',
      (view) => ({
        spec: { ...view.spec, ports: [{ protocol: 'TCP', targetPort: 'http', port: 8080, name: 'http' }] },
      }),
    ],
  ])('is not written to: %s', (_what, change) => {
    expect(drift(change)).toBeUndefined();
  });

  it('although the server put a default into what the spec leaves open', () => {
    const spec = aSpec({ service: { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: {} } } });
    const view = aService(spec, 1);
    const actual = { ...view.spec, sessionAffinityConfig: { clientIP: { timeoutSeconds: 10_800 } } };
    expect(routingServiceDrift(singleton, spec, { ...view, spec: actual })).toBeUndefined();
  });
});

describe('the routing Service', () => {
  it('goes on routing to an active that is deleted or unready, until the flip names another', () => {
    expect(routingService(singleton, SPEC, 1).spec).toMatchObject({ publishNotReadyAddresses: true });
    expect(drift((view) => ({ spec: { ...view.spec, publishNotReadyAddresses: false } }))).toEqual({
      spec: { publishNotReadyAddresses: true },
    });
  });
});

describe('a Service that hands have changed is mended', () => {
  it.each<[string, (view: ServiceView) => Partial<ServiceView>, object]>([
    ['its type', (view) => ({ spec: { ...view.spec, type: 'NodePort' } }), { spec: { type: 'ClusterIP' } }],
    [
      'a port',
      (view) => ({ spec: { ...view.spec, ports: [{ ...PORT, port: 81 }] } }),
      { spec: { ports: SPEC.service.ports } },
    ],
    [
      'one port too many',
      (view) => ({ spec: { ...view.spec, ports: [...(view.spec.ports ?? []), { name: 'x', port: 1 }] } }),
      { spec: { ports: SPEC.service.ports } },
    ],
    [
      'the target of a port',
      (view) => ({ spec: { ...view.spec, ports: [{ ...PORT, port: 8080, targetPort: 1 }] } }),
      { spec: { ports: SPEC.service.ports } },
    ],
    [
      'its own labels',
      () => ({ labels: {} }),
      {
        metadata: {
          labels: { [LABEL.name]: 'db', 'endpointslice.kubernetes.io/skip-mirror': 'true' },
          annotations: {},
        },
      },
    ],
  ])('%s', (_what, change, patch) => {
    expect(drift(change)).toEqual(patch);
  });

  it('an annotation of the spec, while those of others stay', () => {
    const spec = aSpec({ service: { annotations: { lb: 'internal' } } });
    expect(drift(() => ({ annotations: { lb: 'edited', theirs: '1' } }), spec)).toEqual({
      metadata: { labels: {}, annotations: { lb: 'internal' } },
    });
  });

  it('keeping the node port that clients outside know, when another port is added', () => {
    const spec = aSpec({
      service: {
        type: 'NodePort',
        ports: [
          { name: 'http', port: 8080 },
          { name: 'b', port: 9 },
        ],
      },
    });
    const one = aSpec({ service: { type: 'NodePort', ports: [{ name: 'http', port: 8080 }] } });
    const view = aService(one, 1);
    const [port] = one.service.ports;
    const actual = { ...view, spec: { ...view.spec, ports: [{ ...port, port: 8080, nodePort: 31_000 }] } };
    const patch = routingServiceDrift(singleton, spec, actual) as { spec: { ports: object[] } };
    expect(patch.spec.ports).toMatchObject([{ name: 'http', nodePort: 31_000 }, { name: 'b' }]);
    expect(patch.spec.ports[1]).not.toHaveProperty('nodePort');
  });

  it('taking the node port of the spec over the one that the server picked', () => {
    const spec = aSpec({ service: { type: 'NodePort', ports: [{ name: 'http', port: 8080, nodePort: 30_001 }] } });
    const view = aService(spec, 1);
    const [port] = spec.service.ports;
    const actual = { ...view, spec: { ...view.spec, ports: [{ ...port, port: 8080, nodePort: 31_000 }] } };
    expect(routingServiceDrift(singleton, spec, actual)).toMatchObject({ spec: { ports: [{ nodePort: 30_001 }] } });
  });

  it('once: the mended Service is as it should be', () => {
    const broken = aSteadyState().service({ labels: {}, spec: { type: 'NodePort', selector: {}, ports: [] } });
    const run = settle(broken.build(), { now: NOW });
    expect(run.settled).toBe(true);
    expect(run.actions.filter(({ kind }) => kind === 'mendService')).toHaveLength(1);
  });
});

describe('a Service whose field the server keeps as it is', () => {
  const stubborn = aSteadyState().spec({ replicas: 3, service: { internalTrafficPolicy: 'Local' } });

  it('is asked once, and the status is written all the same', () => {
    const snapshot = stubborn.service({ resourceVersion: '44' }).build();
    const [ask] = decide(snapshot, NOW).actions;
    if (ask?.kind !== 'mendService') throw new Error('nothing was asked of the server');
    const mends = { db: { resourceVersion: '44', patch: ask.patch } };
    const next = decide({ ...snapshot, memory: { ...snapshot.memory, mends } }, NOW);
    expect(next.actions.map(({ kind }) => kind)).toEqual(['writeStatus']);
  });

  it('is asked again when somebody else has changed it', () => {
    const mends = { db: { resourceVersion: '44', patch: { spec: { internalTrafficPolicy: 'Local' } } } };
    const plan = decide(stubborn.service({ resourceVersion: '45' }).remembering({ mends }).build(), NOW);
    expect(plan.actions.map(({ kind }) => kind)).toEqual(['mendService']);
  });

  it('is told about', () => {
    const mends = { db: { resourceVersion: '44', patch: { spec: { internalTrafficPolicy: 'Local' } } } };
    const plan = decide(stubborn.service({ resourceVersion: '44' }).remembering({ mends }).build(), NOW);
    expect(JSON.stringify(plan.actions)).toContain('the API server did not take service.internalTrafficPolicy');
  });
});

describe('the headless Service', () => {
  const headless = headlessService(singleton, SPEC);
  const view: ServiceView = {
    uid: 'u',
    resourceVersion: '1',
    labels: headless.metadata.labels,
    annotations: {},
    spec: headless.spec,
  };

  it('has no address of its own and names members before they are Ready', () => {
    expect(headless).toMatchObject({
      metadata: { name: 'db-members' },
      spec: { clusterIP: 'None', publishNotReadyAddresses: true, selector: { [LABEL.name]: 'db' } },
    });
  });

  it('takes no node port, which it may not have', () => {
    const spec = aSpec({ service: { type: 'NodePort', ports: [{ name: 'http', port: 8080, nodePort: 30_001 }] } });
    expect(JSON.stringify(headlessService(singleton, spec))).not.toContain('nodePort');
  });

  it('is left alone as it is, and mended where it is not', () => {
    expect(headlessServiceDrift(singleton, SPEC, view)).toBeUndefined();
    const edited = { ...view, spec: { ...view.spec, publishNotReadyAddresses: false, selector: { app: 'x' } } };
    expect(headlessServiceDrift(singleton, SPEC, edited)).toEqual({
      spec: { publishNotReadyAddresses: true, selector: { app: null, [LABEL.name]: 'db' } },
    });
  });
});

describe('a member pod', () => {
  it('is the template with the labels of its slot', () => {
    const template = { ...aTemplate(), metadata: { labels: { app: 'a' }, annotations: { note: 'b' } } };
    const spec = aSpec({ template });
    expect(memberPod(singleton, spec, { slot: 2, name: 'db-2-x' })).toMatchObject({
      metadata: {
        name: 'db-2-x',
        labels: { app: 'a', [LABEL.slot]: '2', [LABEL.role]: 'standby', [LABEL.revision]: templateRevision(spec) },
        annotations: { note: 'b' },
      },
      spec: template.spec,
    });
  });

  it('names the revision of its template by its content, not by the order of its fields', () => {
    const reordered = {
      spec: {
        containers: aTemplate().spec.containers.map((all) => Object.fromEntries(Object.entries(all).toReversed())),
      },
    };
    expect(templateRevision(aSpec({ template: reordered }))).toBe(templateRevision(SPEC));
    expect(templateRevision(aSpec({ template: aTemplate('other') }))).not.toBe(templateRevision(SPEC));
  });
});

describe('a patch between two maps', () => {
  it.each<[Record<string, string>, Record<string, string>, Record<string, string | null> | undefined]>([
    [{}, {}, undefined],
    [{ a: '1' }, { a: '1' }, undefined],
    [{ a: '1' }, { a: '2' }, { a: '2' }],
    [{ a: '1' }, {}, { a: null }],
    [{}, { b: '1' }, { b: '1' }],
    [
      { a: '1', c: '3' },
      { b: '2', c: '3' },
      { a: null, b: '2' },
    ],
  ])('from %j to %j is %j', (actual, wanted, patch) => {
    expect(sameJson(mapPatch(actual, wanted), patch)).toBe(true);
  });
});

import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { MAX_NAME_LENGTH } from '../../src/api/names.ts';
import {
  type ParsedSpec,
  type PodTemplate,
  type Spec,
  type SpecProblem,
  parseSpec,
  servicePorts,
} from '../../src/api/spec.ts';
import { expirySumBroken, renewalSumBroken } from '../../src/api/timing.ts';
import { aSelector, aSpec, aTemplate, nearlyASpec } from './specs.ts';

const META = { name: 'echo' };

const accepted = (raw: unknown): Spec => {
  const parsed = parseSpec(raw, META);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems, null, 2));
  return parsed.spec;
};

const problemsOf = (raw: unknown, name = META.name): readonly SpecProblem[] => {
  const parsed = parseSpec(raw, { name });
  return parsed.ok ? [] : parsed.problems;
};

const twoPorts = [
  { name: 'http', port: 80 },
  { name: 'metrics', port: 9090 },
];

const templateWithPorts = (...ports: object[]): object => ({
  spec: { containers: [{ name: 'echo', image: 'echo', ports }] },
});

/** Bad specs: what is wrong, the spec, and every problem that must come of it as [path, rule]. */
const REFUSED: readonly (readonly [string, unknown, ...(readonly [string, string])[]])[] = [
  ['no spec', undefined, ['spec', 'is required']],
  ['a spec that is a list', [], ['spec', 'must be an object, is []']],
  [
    'neither template nor selector',
    {},
    ['spec.template', 'is required, unless spec.selector is set: exactly one of the two'],
  ],
  [
    'both template and selector',
    aSpec({ selector: aSelector() }),
    ['spec.selector', 'must not be set together with spec.template: exactly one of the two'],
  ],
  ['no replicas', aSpec({ replicas: 0 }), ['spec.replicas', 'must be between 1 and 32, is 0']],
  ['too many replicas', aSpec({ replicas: 33 }), ['spec.replicas', 'must be between 1 and 32, is 33']],
  [
    'replicas in words',
    aSpec({ replicas: 'two' }),
    ['spec.replicas', 'must be a whole number between 1 and 32, is "two"'],
  ],
  ['half a replica', aSpec({ replicas: 1.5 }), ['spec.replicas', 'must be a whole number between 1 and 32, is 1.5']],
  ['paused in words', aSpec({ paused: 'yes' }), ['spec.paused', 'must be true or false, is "yes"']],
  [
    'an unknown strategy',
    aSpec({ election: { strategy: 'Youngest' } }),
    ['spec.election.strategy', 'must be Oldest, Priority or Ring, is "Youngest"'],
  ],
  [
    'an unknown fencing mode',
    aSpec({ fencing: { mode: 'Stonith' } }),
    ['spec.fencing.mode', 'must be Routing or Agent, is "Stonith"'],
  ],
  [
    'a bad number deep inside',
    aSpec({ failover: { quarantine: { failures: 33 } } }),
    ['spec.failover.quarantine.failures', 'must be between 1 and 32, is 33'],
  ],
  ['a template without spec', { template: { metadata: {} } }, ['spec.template.spec', 'is required']],
  [
    'a template without containers',
    { template: { spec: { containers: [] } } },
    ['spec.template.spec.containers', 'must have at least one container, has none'],
  ],
  [
    'a container without name',
    { template: { spec: { containers: [{ ports: [{ containerPort: 1 }] }] } } },
    ['spec.template.spec.containers[0].name', 'is required'],
  ],
  [
    'labels of ours in the template',
    aSpec({
      template: aTemplate({
        metadata: { labels: { 'singleton-operator.io/term': '7', 'singleton-operator.io/role': 'active' } },
      }),
    }),
    [
      'spec.template.metadata.labels[singleton-operator.io/role]',
      'must not be in the template, is "active": the operator gives each member its own',
    ],
    [
      'spec.template.metadata.labels[singleton-operator.io/term]',
      'must not be in the template, is "7": the operator gives each member its own',
    ],
  ],
  [
    'no port anywhere',
    { template: templateWithPorts() },
    ['spec.service.ports', 'is required: a Service needs a port, and no container of the template has ports'],
  ],
  [
    'no port with a selector',
    { selector: aSelector() },
    ['spec.service.ports', 'is required: a Service needs a port, and spec.selector brings none along'],
  ],
  [
    'an unnamed port among several',
    aSpec({ service: { ports: [{ name: 'http', port: 80 }, { port: 81 }] } }),
    ['spec.service.ports[1].name', 'is required since the Service has 2 ports'],
  ],
  [
    'an unnamed container port among several',
    { template: templateWithPorts({ name: 'a', containerPort: 1 }, { containerPort: 2 }) },
    [
      'spec.template.spec.containers[0].ports[1].name',
      'is required since the Service has 2 ports (or set spec.service.ports)',
    ],
  ],
  [
    'two ports of one name',
    aSpec({ service: { ports: [...twoPorts, { name: 'http', port: 81 }] } }),
    ['spec.service.ports[2].name', 'must be unique among the ports, "http" is taken by an earlier one'],
  ],
  [
    'two ports of one number',
    aSpec({ service: { ports: [...twoPorts, { name: 'again', port: 80 }] } }),
    ['spec.service.ports[2]', 'must be unique among the ports, TCP 80 is taken by an earlier one'],
  ],
  [
    'a port that is none',
    aSpec({ service: { ports: [{ port: 65_536 }] } }),
    ['spec.service.ports[0].port', 'must be between 1 and 65535, is 65536'],
  ],
  [
    'a port name in capitals',
    aSpec({ service: { ports: [{ name: 'HTTP', port: 80 }] } }),
    ['spec.service.ports[0].name', 'must be lower-case letters, digits and "-" (at most 63), is "HTTP"'],
  ],
  [
    'a target that is no port',
    aSpec({ service: { ports: [{ port: 80, targetPort: 0 }] } }),
    [
      'spec.service.ports[0].targetPort',
      'must be a port number (1 to 65535) or the name of a container port (at most 15 characters), is 0',
    ],
  ],
  [
    'a node port with ClusterIP',
    aSpec({ service: { ports: [{ port: 80, nodePort: 30_000 }] } }),
    ['spec.service.ports[0].nodePort', 'needs spec.service.type NodePort or LoadBalancer, which is "ClusterIP"'],
  ],
  [
    'a load balancer field with NodePort',
    aSpec({ service: { type: 'NodePort', loadBalancerClass: 'x/y' } }),
    ['spec.service.loadBalancerClass', 'needs spec.service.type LoadBalancer, which is "NodePort"'],
  ],
  [
    'affinity details without affinity',
    aSpec({ service: { sessionAffinityConfig: { clientIP: { timeoutSeconds: 1 } } } }),
    ['spec.service.sessionAffinityConfig', 'needs spec.service.sessionAffinity ClientIP, which is absent'],
  ],
  [
    'priorities without Priority',
    aSpec({ election: { priorities: [1, 2] } }),
    ['spec.election.priorities', 'needs spec.election.strategy Priority, which is "Oldest"'],
  ],
  [
    'too few priorities',
    aSpec({ replicas: 3, election: { strategy: 'Priority', priorities: [1, 2] } }),
    ['spec.election.priorities', 'must have one number for each of the 3 slots with strategy Priority, has 2'],
  ],
  [
    'no priorities',
    aSpec({ election: { strategy: 'Priority' } }),
    ['spec.election.priorities', 'must have one number for each of the 2 slots with strategy Priority, has 0'],
  ],
  [
    'an empty selector',
    { selector: {}, service: { ports: twoPorts } },
    ['spec.selector', 'must not be empty: it would adopt every pod of the namespace'],
  ],
  [
    'a selector by labels of our own',
    {
      selector: {
        matchLabels: { 'singleton-operator.io/name': 'db' },
        matchExpressions: [{ key: 'singleton-operator.io/role', operator: 'Exists' }],
      },
      service: { ports: twoPorts },
    },
    [
      'spec.selector.matchLabels[singleton-operator.io/name]',
      'must not look at "singleton-operator.io/name": the operator sets such labels itself',
    ],
    [
      'spec.selector.matchExpressions[0].key',
      'must not look at "singleton-operator.io/role": the operator sets such labels itself',
    ],
  ],
  [
    'a selector of what no label can be',
    {
      selector: {
        matchLabels: { 'no key!': 'a', key: 'no value,' },
        matchExpressions: [{ key: 'Prefix.Upper/key', operator: 'In', values: ['fine', '-'] }],
      },
      service: { ports: twoPorts },
    },
    ['spec.selector.matchLabels[no key!]', 'must have a label\'s key, "no key!" is none'],
    ['spec.selector.matchLabels.key', 'must be a label\'s value, "no value," is none'],
    ['spec.selector.matchExpressions[0].key', 'must have a label\'s key, "Prefix.Upper/key" is none'],
    ['spec.selector.matchExpressions[0].values[1]', 'must be a label\'s value, "-" is none'],
  ],
  [
    'no priorities with a selector',
    { selector: aSelector(), service: { ports: twoPorts }, election: { strategy: 'Priority' } },
    ['spec.election.priorities', 'needs at least one number with strategy Priority, has none'],
  ],
  [
    'In without values',
    { selector: { matchExpressions: [{ key: 'a', operator: 'In' }] }, service: { ports: twoPorts } },
    ['spec.selector.matchExpressions[0].values', 'must have at least one value with operator In, has none'],
  ],
  [
    'Exists with values, Gt with a word',
    aSpec({
      election: {
        preferences: [
          {
            weight: 1,
            preference: {
              matchExpressions: [
                { key: 'a', operator: 'Exists', values: ['x'] },
                { key: 'b', operator: 'Gt', values: ['x'] },
              ],
            },
          },
        ],
      },
    }),
    [
      'spec.election.preferences[0].preference.matchExpressions[0].values',
      'must be empty with operator Exists, is ["x"]',
    ],
    [
      'spec.election.preferences[0].preference.matchExpressions[1].values',
      'must be exactly one whole number with operator Gt, is ["x"]',
    ],
  ],
  [
    'renewals too rare for the lease',
    aSpec({ fencing: { mode: 'Agent' }, election: { renewIntervalSeconds: 3 } }),
    [
      'spec.election.renewIntervalSeconds',
      'twice the renew interval must be less than the fence deadline (half the lease duration): 2 × 3 s = 6 s is not ' +
        'less than 10 s / 2 = 5 s',
    ],
  ],
  [
    'no time left for stopping',
    aSpec({ fencing: { mode: 'Agent', stopGraceSeconds: 3 } }),
    [
      'spec.election.leaseDurationSeconds',
      'fence deadline + stop grace + enforcement (Probe) + clock rate margin must be less than the lease duration: ' +
        '5 s + 3 s + 2 s + 0.5 s = 10.5 s is not less than 10 s',
    ],
  ],
  [
    'mode Agent for pods of others',
    { selector: { matchLabels: { app: 'web' } }, service: { ports: [{ port: 80 }] }, fencing: { mode: 'Agent' } },
    [
      'spec.fencing.mode',
      'is Agent, which needs spec.template: the agent runs beside the workload in pods that the operator makes',
    ],
  ],
  [
    'no grace for what a liveness probe ends',
    aSpec({ fencing: { mode: 'Agent', stopGraceSeconds: 1 } }),
    [
      'spec.fencing.stopGraceSeconds',
      'must be at least 2 with enforcement Probe: a kubelet gives no less to what fails its liveness probe',
    ],
  ],
  [
    "names of the agent's in the template",
    {
      fencing: { mode: 'Agent' },
      template: {
        spec: {
          containers: [{ name: 'singleton-agent', ports: [{ containerPort: 80 }] }],
          volumes: [{ name: 'data' }, { name: 'singleton-state' }],
        },
      },
    },
    [
      'spec.template.spec.containers[0].name',
      'must not be "singleton-agent" in fencing mode Agent: that is what the operator puts beside the workload',
    ],
    [
      'spec.template.spec.volumes[1].name',
      'must not be "singleton-state" in fencing mode Agent: that is what the operator puts beside the workload',
    ],
  ],
  [
    'a liveness probe that the agent cannot make',
    {
      fencing: { mode: 'Agent' },
      template: {
        spec: {
          containers: [{ name: 'app', ports: [{ containerPort: 80 }], livenessProbe: { exec: { command: ['true'] } } }],
        },
      },
    },
    [
      'spec.template.spec.containers[0].livenessProbe.exec',
      "must be httpGet or tcpSocket in fencing mode Agent with enforcement Probe: the agent makes it in the kubelet's " +
        'place; or set spec.fencing.enforcement to Signal or Cooperative',
    ],
  ],
  [
    'a hook without a path',
    aSpec({ fencing: { mode: 'Agent', hooks: { onActivate: { path: 'on', port: 80 } } } }),
    ['spec.fencing.hooks.onActivate.path', 'must be a path such as /activate, is "on"'],
  ],
];

describe('a spec is refused, with path and rule, for', () => {
  test.each(REFUSED)('%s', (_what, raw, ...expected) => {
    expect(problemsOf(raw).map(({ path, rule }) => [path, rule])).toEqual(expected);
  });

  test.each([
    [
      'a name that is too long',
      'a'.repeat(MAX_NAME_LENGTH + 1),
      `must have at most ${MAX_NAME_LENGTH} characters, has 55`,
    ],
    [
      'a name that no Service can have',
      '1st',
      'must begin with a lower-case letter and go on with lower-case letters, digits and "-", not ending in "-", is "1st"',
    ],
  ])('%s', (_what, name, rule) => {
    expect(problemsOf(aSpec(), name)).toEqual([{ path: 'metadata.name', rule }]);
  });
});

describe('parseSpec', () => {
  test('reports every problem at once, of the schema and of the rules alike', () => {
    const paths = problemsOf(
      aSpec({
        replicas: 0,
        election: { strategy: 'Youngest', stableSeconds: -1 },
        fencing: { mode: 'Agent', stopGraceSeconds: 60 },
        service: { loadBalancerIP: '192.0.2.1' },
        selector: {},
      }),
      'Echo',
    ).map(({ path }) => path);
    expect(new Set(paths)).toEqual(
      new Set([
        'metadata.name',
        'spec.replicas',
        'spec.election.strategy',
        'spec.election.stableSeconds',
        'spec.election.leaseDurationSeconds',
        'spec.fencing.mode',
        'spec.service.loadBalancerIP',
        'spec.selector',
      ]),
    );
  });

  test('does not judge a rule by a field that is refused already', () => {
    expect(problemsOf(aSpec({ replicas: 'x', election: { strategy: 'Priority', priorities: [1] } }))).toHaveLength(1);
  });

  test('cuts a long value in its sentence', () => {
    const [problem] = problemsOf(aSpec({ replicas: 'x'.repeat(1000) }));
    expect(problem?.rule.length).toBeLessThan(150);
  });

  test('applies every default, also those that no server applied', () => {
    expect(accepted(aSpec())).toEqual({
      replicas: 2,
      template: aTemplate() as PodTemplate,
      selector: undefined,
      service: {
        ports: [{ name: 'http', port: 8080, targetPort: 'http', protocol: 'TCP' }],
        annotations: {},
        labels: {},
        passedOn: { type: 'ClusterIP' },
      },
      paused: false,
      election: {
        strategy: 'Oldest',
        priorities: [],
        preferences: [],
        preemption: 'Never',
        stableMs: 60_000,
        leaseDurationMs: 10_000,
        renewIntervalMs: 2_000,
      },
      failover: {
        unreadyGraceMs: 0,
        backoffMaxMs: 30_000,
        nodeLoss: { policy: 'PromoteAfter', afterMs: 30_000 },
        quarantine: { failures: 3, windowMs: 600_000, durationMs: 300_000 },
      },
      fencing: { mode: 'Routing', enforcement: 'Probe', stopGraceMs: 2_000, onApiLoss: 'Fence' },
      update: { minReadyMs: 5_000, switchover: 'Automatic', progressDeadlineMs: 600_000 },
      switchover: { deadlineMs: 30_000 },
      disruptionBudget: true,
    } satisfies Spec);
  });

  test('waits for proof on node loss in mode Agent unless told otherwise', () => {
    expect(accepted(aSpec({ fencing: { mode: 'Agent' } })).failover.nodeLoss.policy).toBe('Wait');
    const told = aSpec({ fencing: { mode: 'Agent' }, failover: { nodeLoss: { policy: 'PromoteAfter' } } });
    expect(accepted(told).failover.nodeLoss.policy).toBe('PromoteAfter');
  });

  test('reads null as absent, as Kubernetes does', () => {
    const raw = {
      replicas: null,
      template: aTemplate({ metadata: { creationTimestamp: null, labels: null } }),
      election: null,
      failover: { nodeLoss: null },
    };
    expect(accepted(raw)).toEqual(accepted(aSpec({ template: aTemplate({ metadata: {} }) })));
  });

  test('keeps what it does not know in the template, and leaves the raw spec alone', () => {
    const raw = aSpec({
      template: {
        ...aTemplate(),
        spec: { containers: [{ name: 'a', image: 'i', ports: [{ containerPort: 1 }] }], hostname: 'h' },
      },
    });
    const before = structuredClone(raw);
    expect(accepted(raw).template).toEqual((raw as { template: unknown }).template);
    expect(raw).toEqual(before);
  });

  test('passes the fields of the Service on, and only those that are set', () => {
    const { service } = accepted(
      aSpec({
        service: {
          type: 'LoadBalancer',
          externalTrafficPolicy: 'Local',
          ipFamilies: ['IPv4'],
          annotations: { a: 'b' },
        },
      }),
    );
    expect(service.passedOn).toStrictEqual({
      type: 'LoadBalancer',
      externalTrafficPolicy: 'Local',
      ipFamilies: ['IPv4'],
    });
    expect(service.annotations).toEqual({ a: 'b' });
  });

  test('takes the sums of the mode only for mode Agent', () => {
    expect(accepted(aSpec({ fencing: { stopGraceSeconds: 120 } })).fencing.stopGraceMs).toBe(120_000);
  });
});

describe('servicePorts', () => {
  test('are the container ports of the template, by name where they have one', () => {
    const template = {
      spec: {
        containers: [
          { name: 'a', ports: [{ name: 'http', containerPort: 8080 }] },
          { name: 'b', ports: [{ name: 'dns', containerPort: 53, protocol: 'UDP' }] },
        ],
      },
    };
    expect(servicePorts(accepted({ template }))).toStrictEqual([
      { name: 'http', port: 8080, targetPort: 'http', protocol: 'TCP' },
      { name: 'dns', port: 53, targetPort: 'dns', protocol: 'UDP' },
    ]);
    expect(servicePorts(accepted({ template: templateWithPorts({ containerPort: 80 }) }))).toStrictEqual([
      { port: 80, targetPort: 80, protocol: 'TCP' },
    ]);
  });

  test('are those of the spec when it has any, each to the same port of the pod unless it says otherwise', () => {
    const ports = [
      { name: 'http', port: 80, targetPort: 'http', appProtocol: 'http' },
      { name: 'raw', port: 9000 },
    ];
    expect(servicePorts(accepted(aSpec({ service: { ports } })))).toStrictEqual([
      { name: 'http', port: 80, targetPort: 'http', protocol: 'TCP', appProtocol: 'http' },
      { name: 'raw', port: 9000, targetPort: 9000, protocol: 'TCP' },
    ]);
    expect(servicePorts(accepted(aSpec({ service: { ports: [] } })))).toHaveLength(1);
  });
});

const assertInvariants = (spec: Spec): void => {
  expect(spec.replicas).toBeGreaterThanOrEqual(1);
  expect(spec.replicas).toBeLessThanOrEqual(32);
  expect((spec.template === undefined) !== (spec.selector === undefined)).toBe(true);
  const ports = servicePorts(spec);
  expect(ports.length).toBeGreaterThan(0);
  expect(new Set(ports.map(({ name }) => name)).size).toBe(ports.length);
  if (spec.election.strategy === 'Priority')
    expect(spec.election.priorities.length).toBeGreaterThanOrEqual(spec.replicas);
  else expect(spec.election.priorities).toEqual([]);
  if (spec.fencing.mode === 'Agent') {
    const times = { ...spec.election, ...spec.fencing };
    expect(renewalSumBroken(times)).toBeUndefined();
    expect(expirySumBroken(times)).toBeUndefined();
  }
};

const assertSound = (parsed: ParsedSpec): void => {
  if (parsed.ok) return assertInvariants(parsed.spec);
  expect(parsed.problems.length).toBeGreaterThan(0);
  for (const { path, rule } of parsed.problems) {
    expect(path).toMatch(/^(spec|metadata\.name)/);
    // Every rule is a sentence of ours: those of zod begin with a capital.
    expect(rule).toMatch(/^[a-z]/);
    expect(rule).not.toContain('undefined');
  }
  expect(new Set(parsed.problems.map(({ path }) => path)).size).toBe(parsed.problems.length);
};

describe('whatever comes as a spec, parseSpec does not throw, and gives a sound spec or problems:', () => {
  test('any JSON', () => {
    fc.assert(fc.property(fc.jsonValue(), fc.string(), (raw, name) => assertSound(parseSpec(raw, { name }))));
  });

  test('any JSON as the value of a known field', () => {
    const known = fc.constantFrom(
      'replicas',
      'template',
      'selector',
      'service',
      'election',
      'failover',
      'fencing',
      'update',
    );
    fc.assert(
      fc.property(fc.dictionary(known, fc.jsonValue()), (fields) => assertSound(parseSpec(aSpec(fields), META))),
    );
  });

  test('specs that are nearly right, of which some are', () => {
    let right = 0;
    const property = fc.property(nearlyASpec, (raw) => {
      const parsed = parseSpec(raw, META);
      if (parsed.ok) right++;
      assertSound(parsed);
    });
    fc.assert(property, { numRuns: 2_000 });
    expect(right).toBeGreaterThan(200);
  });
});

/** Specs for the tests of src/api: one that is as small as can be, and arbitrary ones. */
import * as fc from 'fast-check';

/** The least that is accepted. */
export const aTemplate = (fields: object = {}): object => ({
  spec: { containers: [{ name: 'echo', image: 'echo', ports: [{ name: 'http', containerPort: 8080 }] }] },
  ...fields,
});

export const aSpec = (fields: object = {}): object => ({ template: aTemplate(), ...fields });

export const aSelector = (fields: object = {}): object => ({ matchLabels: { app: 'echo' }, ...fields });

const sometimes = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value });

/** An object that has some of the fields: in the others undefined, which `nearlyASpec` removes at last. */
const fields = (model: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<object> =>
  fc.record(Object.fromEntries(Object.entries(model).map(([name, value]) => [name, sometimes(value)])));

/** Mostly inside 1 … `max`, sometimes beside it, sometimes no number at all. No nulls: those are tested by themselves. */
const nearly = (max: number): fc.Arbitrary<unknown> =>
  fc.oneof(
    { weight: 60, arbitrary: fc.integer({ min: 1, max }) },
    { weight: 1, arbitrary: fc.constantFrom<unknown>(-1, 0, max, max + 1, 1.5, '3', true, {}, []) },
  );

const word = (...values: string[]): fc.Arbitrary<unknown> =>
  fc.oneof(
    { weight: 60, arbitrary: fc.constantFrom(...values) },
    { weight: 1, arbitrary: fc.constantFrom<unknown>('', 'other', 7, false, []) },
  );

/** Never empty: in a map Kubernetes 1.20 takes that for null (crd.integration.test.ts). */
const text = (...values: string[]): fc.Arbitrary<unknown> => word(...values).filter((value) => value !== '');

const expression = fc.record(
  {
    key: word('zone', 'disk'),
    operator: word('In', 'NotIn', 'Exists', 'DoesNotExist', 'Gt', 'Lt'),
    values: fc.array(word('a', '7'), { maxLength: 2 }),
  },
  { requiredKeys: ['key', 'operator'] },
);

const port = fc.record(
  {
    name: word('http', 'metrics'),
    // Few, so that some are the same.
    port: fc.oneof({ weight: 9, arbitrary: fc.constantFrom(80, 443, 8080) }, { weight: 1, arbitrary: nearly(65_535) }),
    targetPort: fc.oneof(word('http'), nearly(65_535)),
    protocol: word('TCP', 'UDP'),
    appProtocol: word('grpc'),
    nodePort: nearly(65_535),
  },
  { requiredKeys: ['port'] },
);

const service = fields({
  ports: fc.array(port, { maxLength: 3 }),
  annotations: fc.dictionary(fc.constantFrom('a', 'b/c'), text('x')),
  type: word('ClusterIP', 'NodePort', 'LoadBalancer'),
  sessionAffinity: word('None', 'ClientIP'),
  sessionAffinityConfig: fields({ clientIP: fields({ timeoutSeconds: nearly(86_400) }) }),
  externalTrafficPolicy: word('Cluster', 'Local'),
  healthCheckNodePort: nearly(65_535),
  loadBalancerIP: word('192.0.2.1'),
  loadBalancerClass: word('a/b'),
  allocateLoadBalancerNodePorts: fc.boolean(),
  loadBalancerSourceRanges: fc.array(word('10.0.0.0/8'), { maxLength: 2 }),
  ipFamilies: fc.array(word('IPv4', 'IPv6'), { maxLength: 3 }),
});

const election = fields({
  strategy: word('Oldest', 'Priority', 'Ring'),
  priorities: fc.array(nearly(1_000_000), { maxLength: 4 }),
  preferences: fc.array(
    fc.record({
      weight: nearly(100),
      preference: fields({ matchExpressions: fc.array(expression, { maxLength: 2 }) }),
    }),
    { maxLength: 2 },
  ),
  preemption: word('Never', 'AfterStable'),
  stableSeconds: nearly(86_400),
  leaseDurationSeconds: nearly(300),
  renewIntervalSeconds: nearly(60),
});

const failover = fields({
  unreadyGraceSeconds: nearly(3_600),
  nodeLoss: fields({ policy: word('Wait', 'PromoteAfter'), afterSeconds: nearly(86_400) }),
  quarantine: fields({ failures: nearly(32), windowSeconds: nearly(86_400), durationSeconds: nearly(86_400) }),
});

const template = fc.record(
  {
    metadata: fields({ labels: fc.dictionary(fc.constantFrom('app', 'singleton-operator.io/term'), word('x')) }),
    spec: fc.record({
      containers: fc.array(
        fc.record(
          {
            name: word('a', 'b'),
            ports: fc.array(
              fc.record(
                { name: word('http', 'x'), containerPort: nearly(65_535) },
                { requiredKeys: ['containerPort'] },
              ),
              { maxLength: 2 },
            ),
          },
          { requiredKeys: ['name'] },
        ),
        { maxLength: 2 },
      ),
    }),
  },
  { requiredKeys: ['spec'] },
);

const selector = fields({
  matchLabels: fc.dictionary(fc.constantFrom('app', 'tier'), text('x')),
  matchExpressions: fc.array(expression, { maxLength: 2 }),
});

/** Specs as users write them, right or nearly so, in every combination. */
export const nearlyASpec: fc.Arbitrary<object> = fc
  .record({
    replicas: sometimes(nearly(32)),
    template: fc.oneof(
      { weight: 8, arbitrary: fc.constant(aTemplate()) },
      { weight: 1, arbitrary: template },
      { weight: 1, arbitrary: fc.constant(undefined) },
    ),
    selector: fc.oneof({ weight: 8, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: selector }),
    service: sometimes(service),
    paused: sometimes(fc.oneof(fc.boolean(), word('yes'))),
    election: sometimes(election),
    failover: sometimes(failover),
    fencing: sometimes(
      fields({
        mode: word('Routing', 'Agent'),
        enforcement: word('Probe', 'Signal', 'Cooperative'),
        stopGraceSeconds: nearly(120),
        onApiLoss: word('Fence', 'Hold'),
      }),
    ),
    update: sometimes(fields({ minReadySeconds: nearly(3_600), switchover: word('Automatic', 'Manual') })),
    switchover: sometimes(fields({ deadlineSeconds: nearly(3_600) })),
    disruptionBudget: sometimes(fc.boolean()),
  })
  .map((spec): object => JSON.parse(JSON.stringify(spec)) as object);

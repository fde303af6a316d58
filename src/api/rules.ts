/**
 * What one field of a spec demands of another: everything that the schema's types and ranges cannot say. Each rule
 * stands here twice, side by side: as a check (the one that counts, since old API servers know no CEL) and, where it can
 * be said in CEL, as `x-kubernetes-validations` for the CRD, so that newer servers refuse at once what `check` would.
 */
import { AGENT_RULES } from './agent-rules.ts';
import { DNS_1035 } from './fields.ts';
import { LABEL, MAX_NAME_LENGTH } from './names.ts';
import { type Problem, anyOf, problem, show } from './problems.ts';
import type { StructuredSpec } from './schema.ts';
import { SELECTOR_RULES } from './selector-rules.ts';
import { expirySumBroken, renewalSumBroken } from './timing.ts';

/** `at` is a path within the spec; '' is the spec itself. */
export interface CelRule {
  readonly at: string;
  readonly rule: string;
  readonly message: string;
}

export interface RuleInput {
  readonly spec: StructuredSpec;
  /** The fields of the spec that were set at all, also those whose content was refused. */
  readonly given: ReadonlySet<string>;
}

export interface Rule {
  readonly name: string;
  /** Paths within the spec. The rule is not judged when the schema refused something in one of them. */
  readonly reads: readonly string[];
  /** Or the reason why there is none. */
  readonly cel: readonly CelRule[] | string;
  check(input: RuleInput): Problem[];
}

const TEMPLATE_IS_OPAQUE = 'the template has no schema in the CRD, so CEL cannot look into it';

const membersSource: Rule = {
  name: 'exactly one of template and selector',
  reads: [],
  cel: [
    {
      at: '',
      rule: 'has(self.template) != has(self.selector)',
      message: 'exactly one of template and selector must be set',
    },
  ],
  check({ given }) {
    const template = given.has('template');
    if (template !== given.has('selector')) return [];
    return template
      ? [problem(['selector'], 'must not be set together with spec.template: exactly one of the two')]
      : [problem(['template'], 'is required, unless spec.selector is set: exactly one of the two')];
  },
};

interface Expression {
  readonly operator: string;
  readonly values?: readonly string[] | undefined;
}

const WHOLE_NUMBER = /^-?[0-9]{1,18}$/;

/** As the API server judges node selector terms and label selectors. */
const expressionRule = ({ operator, values = [] }: Expression): string | undefined => {
  switch (operator) {
    case 'In':
    case 'NotIn':
      return values.length > 0 ? undefined : `must have at least one value with operator ${operator}, has none`;
    case 'Gt':
    case 'Lt':
      return values.length === 1 && WHOLE_NUMBER.test(values[0] ?? '')
        ? undefined
        : `must be exactly one whole number with operator ${operator}, is ${show(values)}`;
    default:
      return values.length === 0 ? undefined : `must be empty with operator ${operator}, is ${show(values)}`;
  }
};

const expressionProblems = (keys: readonly PropertyKey[], expressions: readonly Expression[] = []): Problem[] =>
  expressions.flatMap((expression, index) => {
    const rule = expressionRule(expression);
    return rule === undefined ? [] : [problem([...keys, 'matchExpressions', index, 'values'], rule)];
  });

const CEL_EXPRESSION =
  "(self.operator in ['In', 'NotIn']) ? (has(self.values) && self.values.size() > 0) : " +
  "((self.operator in ['Gt', 'Lt']) ? " +
  "(has(self.values) && self.values.size() == 1 && self.values[0].matches('^-?[0-9]{1,18}$')) : " +
  '(!has(self.values) || self.values.size() == 0))';
const CEL_EXPRESSION_MESSAGE =
  'In and NotIn need at least one value, Gt and Lt exactly one whole number, Exists and DoesNotExist none';

const expressions: Rule = {
  name: 'each operator has the values it needs',
  reads: ['selector', 'election.preferences'],
  cel: ['selector.matchExpressions[]', 'election.preferences[].preference.matchExpressions[]'].map((at) => ({
    at,
    rule: CEL_EXPRESSION,
    message: CEL_EXPRESSION_MESSAGE,
  })),
  check: ({ spec }) => [
    ...expressionProblems(['selector'], spec.selector?.matchExpressions),
    ...(spec.election.preferences ?? []).flatMap((term, index) =>
      expressionProblems(['election', 'preferences', index, 'preference'], term.preference.matchExpressions),
    ),
  ],
};

const ownLabels: Rule = {
  name: 'the template sets none of the labels that the operator sets',
  reads: ['template.metadata'],
  cel: TEMPLATE_IS_OPAQUE,
  check({ spec }) {
    const labels = spec.template?.metadata?.labels ?? {};
    return Object.values(LABEL)
      .filter((key) => Object.hasOwn(labels, key))
      .map((key) =>
        problem(
          ['template', 'metadata', 'labels', key],
          `must not be in the template, is ${show(labels[key])}: the operator gives each member its own`,
        ),
      );
  },
};

interface LocatedPort {
  readonly keys: readonly PropertyKey[];
  readonly name: string | undefined;
  readonly port: number;
  readonly protocol: string;
}

const givenPorts = (spec: StructuredSpec): LocatedPort[] =>
  (spec.service.ports ?? []).map(({ name, port, protocol }, index) => ({
    keys: ['service', 'ports', index],
    name,
    port,
    protocol,
  }));

/** The container ports of the template, in order: what the Service's ports are when the spec names none. */
export const templatePorts = (spec: StructuredSpec): LocatedPort[] =>
  (spec.template?.spec.containers ?? []).flatMap((container, index) =>
    (container.ports ?? []).map(({ name, containerPort, protocol }, portIndex) => ({
      keys: ['template', 'spec', 'containers', index, 'ports', portIndex],
      name,
      port: containerPort,
      protocol: protocol ?? 'TCP',
    })),
  );

/** The second and later of those that have the same key. */
const repeated = (ports: readonly LocatedPort[], keyOf: (port: LocatedPort) => string | undefined): LocatedPort[] => {
  const seen = new Set<string>();
  return ports.filter((port) => {
    const key = keyOf(port);
    if (key === undefined) return false;
    if (seen.has(key)) return true;
    seen.add(key);
    return false;
  });
};

const portProblems = (ports: readonly LocatedPort[], hint: string): Problem[] => [
  ...(ports.length < 2 ? [] : ports)
    .filter(({ name }) => name === undefined)
    .map(({ keys }) => problem([...keys, 'name'], `is required since the Service has ${ports.length} ports${hint}`)),
  ...repeated(ports, ({ name }) => name).map(({ keys, name }) =>
    problem([...keys, 'name'], `must be unique among the ports, ${show(name)} is taken by an earlier one${hint}`),
  ),
  ...repeated(ports, ({ port, protocol }) => `${protocol}/${port}`).map(({ keys, port, protocol }) =>
    problem(keys, `must be unique among the ports, ${protocol} ${port} is taken by an earlier one${hint}`),
  ),
];

const ports: Rule = {
  name: 'the Service has ports, and they can be told apart',
  reads: ['service.ports', 'template'],
  cel: [
    {
      at: '',
      rule: 'has(self.template) || !has(self.selector) || (has(self.service.ports) && self.service.ports.size() > 0)',
      message: 'service.ports is required with selector',
    },
    {
      at: 'service',
      rule: '!has(self.ports) || self.ports.size() < 2 || self.ports.all(p, has(p.name))',
      message: 'each port needs a name when there are several',
    },
    {
      at: 'service',
      rule: '!has(self.ports) || self.ports.all(p, !has(p.name) || self.ports.exists_one(q, has(q.name) && q.name == p.name))',
      message: 'the names of the ports must be unique',
    },
    {
      at: 'service',
      rule: '!has(self.ports) || self.ports.all(p, self.ports.exists_one(q, q.port == p.port && q.protocol == p.protocol))',
      message: 'no two ports may have the same number and protocol',
    },
  ],
  check({ spec, given }) {
    const own = givenPorts(spec);
    if (own.length > 0) return portProblems(own, '');
    const derived = templatePorts(spec);
    if (derived.length > 0) return portProblems(derived, ' (or set spec.service.ports)');
    // Without either the other rule has already said what is missing.
    if (!given.has('template') && !given.has('selector')) return [];
    const source = given.has('template') ? 'no container of the template has ports' : 'spec.selector brings none along';
    return [problem(['service', 'ports'], `is required: a Service needs a port, and ${source}`)];
  },
};

type PassedOnField = Exclude<keyof StructuredSpec['service'], 'ports' | 'annotations' | 'labels' | 'type'>;

const EXTERNAL = ['NodePort', 'LoadBalancer'];

/** Fields that the API server refuses, or that do nothing, with other types of Service. */
const FIELDS_BY_TYPE: readonly (readonly [PassedOnField, readonly string[]])[] = [
  ['externalTrafficPolicy', EXTERNAL],
  ['healthCheckNodePort', ['LoadBalancer']],
  ['loadBalancerIP', ['LoadBalancer']],
  ['loadBalancerClass', ['LoadBalancer']],
  ['loadBalancerSourceRanges', ['LoadBalancer']],
  ['allocateLoadBalancerNodePorts', ['LoadBalancer']],
];

const celList = (values: readonly string[]): string => `[${values.map((value) => `'${value}'`).join(', ')}]`;

const serviceType: Rule = {
  name: 'the fields of the Service fit its type',
  reads: ['service'],
  cel: [
    ...FIELDS_BY_TYPE.map(([field, types]) => ({
      at: 'service',
      rule: `!has(self.${field}) || self.type in ${celList(types)}`,
      message: `${field} needs type ${anyOf(types)}`,
    })),
    {
      at: 'service',
      rule: `!has(self.ports) || self.type in ${celList(EXTERNAL)} || self.ports.all(p, !has(p.nodePort))`,
      message: `nodePort needs type ${anyOf(EXTERNAL)}`,
    },
    {
      at: 'service',
      rule: "!has(self.sessionAffinityConfig) || (has(self.sessionAffinity) && self.sessionAffinity == 'ClientIP')",
      message: 'sessionAffinityConfig needs sessionAffinity ClientIP',
    },
  ],
  check({ spec: { service } }) {
    const needsType = (keys: readonly PropertyKey[], types: readonly string[]): Problem[] =>
      types.includes(service.type)
        ? []
        : [problem(['service', ...keys], `needs spec.service.type ${anyOf(types)}, which is ${show(service.type)}`)];
    const affinityFits = service.sessionAffinityConfig === undefined || service.sessionAffinity === 'ClientIP';
    return [
      ...FIELDS_BY_TYPE.flatMap(([field, types]) => (service[field] === undefined ? [] : needsType([field], types))),
      ...(service.ports ?? []).flatMap(({ nodePort }, index) =>
        nodePort === undefined ? [] : needsType(['ports', index, 'nodePort'], EXTERNAL),
      ),
      ...(affinityFits
        ? []
        : [
            problem(
              ['service', 'sessionAffinityConfig'],
              `needs spec.service.sessionAffinity ClientIP, which is ${show(service.sessionAffinity)}`,
            ),
          ]),
    ];
  },
};

const priorities: Rule = {
  name: 'priorities go with strategy Priority, one for each slot',
  reads: ['election.strategy', 'election.priorities', 'replicas', 'selector'],
  cel: [
    {
      at: 'election',
      rule: "self.strategy == 'Priority' || !has(self.priorities) || self.priorities.size() == 0",
      message: 'priorities needs strategy Priority',
    },
    {
      at: '',
      rule:
        "self.election.strategy != 'Priority' || " +
        '(has(self.election.priorities) && ' +
        'self.election.priorities.size() >= (has(self.selector) ? 1 : self.replicas))',
      message: 'election.priorities needs one number for each slot (0 to replicas - 1) with strategy Priority',
    },
  ],
  check({ spec: { election, replicas, selector } }) {
    const count = election.priorities?.length ?? 0;
    if (election.strategy !== 'Priority') {
      if (count === 0) return [];
      return [
        problem(
          ['election', 'priorities'],
          `needs spec.election.strategy Priority, which is ${show(election.strategy)}`,
        ),
      ];
    }
    // How many pods are adopted is their owner's to say.
    if (count >= (selector === undefined ? replicas : 1)) return [];
    if (selector !== undefined)
      return [problem(['election', 'priorities'], 'needs at least one number with strategy Priority, has none')];
    return [
      problem(
        ['election', 'priorities'],
        `must have one number for each of the ${replicas} slots with strategy Priority, has ${count}`,
      ),
    ];
  },
};

/** In CEL with whole numbers only: both sides of the sums times 20, seconds as the spec has them. See timing.ts. */
const timing: Rule = {
  name: 'the times of mode Agent leave room for renewing and for stopping',
  reads: [
    'fencing.mode',
    'fencing.enforcement',
    'fencing.stopGraceSeconds',
    'election.leaseDurationSeconds',
    'election.renewIntervalSeconds',
  ],
  cel: [
    {
      at: '',
      rule: "self.fencing.mode != 'Agent' || self.election.renewIntervalSeconds * 4 < self.election.leaseDurationSeconds",
      message:
        'twice election.renewIntervalSeconds must be less than half of election.leaseDurationSeconds in mode Agent',
    },
    {
      at: '',
      rule:
        "self.fencing.mode != 'Agent' || " +
        "(self.fencing.stopGraceSeconds + (self.fencing.enforcement == 'Probe' ? 2 : 0)) * 20 < " +
        'self.election.leaseDurationSeconds * 9',
      message:
        'half of election.leaseDurationSeconds (the fence deadline) + fencing.stopGraceSeconds + 2 seconds with ' +
        'enforcement Probe + 5 % of election.leaseDurationSeconds (the clock rate margin) must be less than ' +
        'election.leaseDurationSeconds in mode Agent',
    },
  ],
  check({ spec: { election, fencing } }) {
    if (fencing.mode !== 'Agent') return [];
    const times = {
      leaseDurationMs: election.leaseDurationSeconds * 1000,
      renewIntervalMs: election.renewIntervalSeconds * 1000,
      stopGraceMs: fencing.stopGraceSeconds * 1000,
      enforcement: fencing.enforcement,
    };
    const renewal = renewalSumBroken(times);
    const expiry = expirySumBroken(times);
    return [
      ...(renewal === undefined ? [] : [problem(['election', 'renewIntervalSeconds'], renewal)]),
      ...(expiry === undefined ? [] : [problem(['election', 'leaseDurationSeconds'], expiry)]),
    ];
  },
};

export const RULES: readonly Rule[] = [
  membersSource,
  ...SELECTOR_RULES,
  expressions,
  ownLabels,
  ports,
  serviceType,
  priorities,
  timing,
  ...AGENT_RULES,
];

/** The Service has the singleton's name, and the names of Services are the narrowest that Kubernetes has. */
export const nameProblems = (name: string): Problem[] => {
  if (name.length > MAX_NAME_LENGTH) {
    return [{ path: 'metadata.name', rule: `must have at most ${MAX_NAME_LENGTH} characters, has ${name.length}` }];
  }
  if (DNS_1035.test(name)) return [];
  const form =
    'must begin with a lower-case letter and go on with lower-case letters, digits and "-", not ending in "-"';
  return [{ path: 'metadata.name', rule: `${form}, is ${show(name)}` }];
};

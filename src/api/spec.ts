/**
 * From the spec as a user wrote it to the spec that the operator acts on, or to everything that is wrong with it.
 *
 * Nothing is left to the API server: an old server ignores CEL rules, an object may be older than the present CRD, and
 * a test or a saved snapshot has seen no server at all. So each default and each rule is applied here again.
 */
import type { ServicePort } from './objects.ts';
import { present } from './present.ts';
import { type Problem, pathOf, ruleOfIssue } from './problems.ts';
import { RULES, nameProblems, templatePorts } from './rules.ts';
import { type PodTemplate, type StructuredSpec, specSchema } from './schema.ts';
import { PASSED_ON } from './service-schema.ts';

export type { PodTemplate } from './schema.ts';
export type SpecProblem = Problem;

export type Strategy = StructuredSpec['election']['strategy'];
export type Preference = NonNullable<StructuredSpec['election']['preferences']>[number];
export type LabelSelector = NonNullable<StructuredSpec['selector']>;

/** A call to the workload, on 127.0.0.1. */
export interface Hook {
  readonly path: string;
  readonly port: number;
}

/** A spec with every default in place and every rule held. Times are in milliseconds. */
export interface Spec {
  readonly replicas: number;
  /** Exactly one of `template` and `selector` is there. Nulls in it are gone: Kubernetes reads them as absent. */
  readonly template: PodTemplate | undefined;
  readonly selector: LabelSelector | undefined;
  readonly service: {
    /** At least one. Each has its target. */
    readonly ports: readonly (ServicePort & { readonly targetPort: number | string; readonly protocol: string })[];
    readonly annotations: Readonly<Record<string, string>>;
    readonly labels: Readonly<Record<string, string>>;
    /** Goes into the Service's spec as it is; has neither ports nor selector. Unset fields are absent. */
    readonly passedOn: Readonly<Record<string, unknown>> & { readonly type: StructuredSpec['service']['type'] };
  };
  readonly paused: boolean;
  readonly election: {
    readonly strategy: Strategy;
    /** By slot; as long as there are slots with strategy `Priority`, else empty. */
    readonly priorities: readonly number[];
    readonly preferences: readonly Preference[];
    readonly preemption: StructuredSpec['election']['preemption'];
    readonly stableMs: number;
    readonly leaseDurationMs: number;
    readonly renewIntervalMs: number;
  };
  readonly failover: {
    readonly unreadyGraceMs: number;
    readonly nodeLoss: { readonly policy: 'Wait' | 'PromoteAfter'; readonly afterMs: number };
    /** `durationMs` 0: off. */
    /** 0: off. */
    readonly backoffMaxMs: number;
    readonly quarantine: { readonly failures: number; readonly windowMs: number; readonly durationMs: number };
  };
  readonly fencing: {
    readonly mode: StructuredSpec['fencing']['mode'];
    readonly enforcement: StructuredSpec['fencing']['enforcement'];
    readonly stopGraceMs: number;
    readonly onApiLoss: StructuredSpec['fencing']['onApiLoss'];
    readonly hooks?: {
      readonly onActivate?: Hook | undefined;
      readonly onDeactivate?: Hook | undefined;
    };
  };
  readonly update: {
    readonly minReadyMs: number;
    readonly switchover: StructuredSpec['update']['switchover'];
    readonly progressDeadlineMs: number;
  };
  readonly switchover: { readonly deadlineMs: number };
  readonly disruptionBudget: boolean;
}

export type ParsedSpec =
  | { readonly ok: true; readonly spec: Spec }
  | { readonly ok: false; readonly problems: readonly SpecProblem[] };

type Keys = readonly PropertyKey[];

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A field that is null counts as absent, as in Kubernetes. (fromEntries, since a key may be `__proto__`.) */
const withoutNulls = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (!isObject(value)) return value;
  const entries = Object.entries(value).filter(([, field]) => field !== null);
  return Object.fromEntries(entries.map(([key, field]) => [key, withoutNulls(field)]));
};

/** Cut before the first place in a list: the rules look at lists as a whole. */
const fieldOf = (keys: Keys): Keys => {
  const place = keys.findIndex((key) => typeof key === 'number');
  return place === -1 ? keys : keys.slice(0, place);
};

const has = (value: unknown, [first, ...rest]: Keys): boolean =>
  first === undefined || (isObject(value) && Object.hasOwn(value, first) && has(value[String(first)], rest));

const without = (value: unknown, [first, ...rest]: Keys): unknown => {
  if (!isObject(value) || first === undefined) return {};
  const entries = Object.entries(value).flatMap(([key, field]): [string, unknown][] => {
    if (key !== first) return [[key, field]];
    return rest.length === 0 ? [] : [[key, without(field, rest)]];
  });
  return Object.fromEntries(entries);
};

/** The nearest field that is there: what is missing is mended by leaving out what it is missing in. */
const nearestPresent = (value: unknown, keys: Keys): Keys =>
  keys.length === 0 || has(value, keys) ? keys : nearestPresent(value, keys.slice(0, -1));

/**
 * The spec with everything left out that the schema refuses, so that the rules between fields can be judged for the
 * rest. Ends, since every round takes at least one field away.
 */
const mended = (value: unknown): StructuredSpec => {
  const result = specSchema.safeParse(value);
  if (result.success) return result.data;
  const rest = result.error.issues.reduce(
    (kept, { path }) => without(kept, nearestPresent(kept, fieldOf(path))),
    value,
  );
  return mended(rest);
};

const touches = (read: string, refused: Keys): boolean =>
  read.split('.').every((key, depth) => depth >= refused.length || refused[depth] === key);

const ruleProblems = (value: unknown, refused: readonly Keys[]): Problem[] => {
  if (!isObject(value)) return [];
  const input = { spec: mended(value), given: new Set(Object.keys(value)) };
  return RULES.filter(({ reads }) => !reads.some((read) => refused.some((keys) => touches(read, keys)))).flatMap(
    (rule) => rule.check(input),
  );
};

const firstForEachPath = (problems: readonly Problem[]): Problem[] => {
  const seen = new Set<string>();
  return problems.filter(({ path }) => !seen.has(path) && seen.add(path));
};

const resolvedPorts = (spec: StructuredSpec): Spec['service']['ports'] => {
  const given = spec.service.ports ?? [];
  if (given.length > 0) return given.map((port) => present({ ...port, targetPort: port.targetPort ?? port.port }));
  return templatePorts(spec).map(({ name, port, protocol }) =>
    present({ name, port, targetPort: name ?? port, protocol }),
  );
};

const resolvedService = (spec: StructuredSpec): Spec['service'] => ({
  ports: resolvedPorts(spec),
  annotations: spec.service.annotations ?? {},
  labels: spec.service.labels ?? {},
  passedOn: {
    ...present(Object.fromEntries(PASSED_ON.map((field) => [field, spec.service[field]]))),
    type: spec.service.type,
  },
});

const SECOND_MS = 1000;

const resolvedElection = ({ election }: StructuredSpec): Spec['election'] => ({
  strategy: election.strategy,
  priorities: election.priorities ?? [],
  preferences: election.preferences ?? [],
  preemption: election.preemption,
  stableMs: election.stableSeconds * SECOND_MS,
  leaseDurationMs: election.leaseDurationSeconds * SECOND_MS,
  renewIntervalMs: election.renewIntervalSeconds * SECOND_MS,
});

const resolvedFailover = ({ failover, fencing }: StructuredSpec): Spec['failover'] => ({
  unreadyGraceMs: failover.unreadyGraceSeconds * SECOND_MS,
  nodeLoss: {
    policy: failover.nodeLoss.policy ?? (fencing.mode === 'Agent' ? 'Wait' : 'PromoteAfter'),
    afterMs: failover.nodeLoss.afterSeconds * SECOND_MS,
  },
  backoffMaxMs: failover.backoffMaxSeconds * SECOND_MS,
  quarantine: {
    failures: failover.quarantine.failures,
    windowMs: failover.quarantine.windowSeconds * SECOND_MS,
    durationMs: failover.quarantine.durationSeconds * SECOND_MS,
  },
});

/** Seconds become milliseconds, and defaults that hang on another field are put in: once, here. */
const resolved = (spec: StructuredSpec): Spec => ({
  replicas: spec.replicas,
  template: spec.template,
  selector: spec.selector,
  service: resolvedService(spec),
  paused: spec.paused,
  election: resolvedElection(spec),
  failover: resolvedFailover(spec),
  fencing: {
    mode: spec.fencing.mode,
    enforcement: spec.fencing.enforcement,
    stopGraceMs: spec.fencing.stopGraceSeconds * SECOND_MS,
    onApiLoss: spec.fencing.onApiLoss,
    ...(spec.fencing.hooks !== undefined && { hooks: spec.fencing.hooks }),
  },
  update: {
    minReadyMs: spec.update.minReadySeconds * SECOND_MS,
    switchover: spec.update.switchover,
    progressDeadlineMs: spec.update.progressDeadlineSeconds * SECOND_MS,
  },
  switchover: { deadlineMs: spec.switchover.deadlineSeconds * SECOND_MS },
  disruptionBudget: spec.disruptionBudget,
});

/**
 * Reads the spec of a SingletonService, of whatever shape it is, and never throws. `raw` is `.spec` as the API server
 * sent it and is not changed; `meta.name` is the object's name, which has rules of its own. Out comes the resolved spec,
 * or every problem that was found, not only the first, each path once.
 */
export const parseSpec = (raw: unknown, meta: { readonly name: string }): ParsedSpec => {
  const value = withoutNulls(raw);
  const result = specSchema.safeParse(value, { error: ruleOfIssue });
  const issues = result.success ? [] : result.error.issues;
  const problems = firstForEachPath([
    ...nameProblems(meta.name),
    ...issues.map(({ path, message }) => ({ path: pathOf(['spec', ...path]), rule: message })),
    ...ruleProblems(
      value,
      issues.map(({ path }) => path),
    ),
  ]);
  if (problems.length > 0 || !result.success) return { ok: false, problems };
  return { ok: true, spec: resolved(result.data) };
};

/** The ports of the owned Service, each with its target in the active pod: a container port's name, or a number. */
export const servicePorts = (spec: Spec): ServicePort[] => spec.service.ports.map((port) => ({ ...port }));

/** What mode `Agent` demands of a spec, beside the sums of its times. See rules.ts. */
import { AGENT_CONTAINER, KEY_VOLUME, STATE_VOLUME } from './names.ts';
import { type Problem, problem, show } from './problems.ts';
import type { Rule } from './rules.ts';
import type { StructuredSpec } from './schema.ts';

const IN_TEMPLATE = 'the template has no schema in the CRD, so CEL cannot look into it';

const needsTemplate: Rule = {
  name: 'mode Agent has a template to put the agent into',
  reads: ['fencing.mode', 'selector'],
  cel: [
    {
      at: '',
      rule: "self.fencing.mode != 'Agent' || !has(self.selector)",
      message: 'fencing.mode Agent needs template: the agent runs in pods that the operator makes',
    },
  ],
  check({ spec, given }) {
    if (spec.fencing.mode !== 'Agent' || !given.has('selector')) return [];
    return [
      problem(
        ['fencing', 'mode'],
        'is Agent, which needs spec.template: the agent runs beside the workload in pods that the operator makes',
      ),
    ];
  },
};

/** A kubelet leaves no container less, whatever its pod and its probe say: the sum of the times has to have it. */
const KUBELETS_LEAST_GRACE_SECONDS = 2;

const probeGrace: Rule = {
  name: 'enforcement Probe gives as long to stop as a kubelet does',
  reads: ['fencing.mode', 'fencing.enforcement', 'fencing.stopGraceSeconds'],
  cel: [
    {
      at: '',
      rule: "self.fencing.mode != 'Agent' || self.fencing.enforcement != 'Probe' || self.fencing.stopGraceSeconds >= 2",
      message: 'fencing.stopGraceSeconds must be at least 2 with enforcement Probe in mode Agent',
    },
  ],
  check({ spec: { fencing } }) {
    if (
      fencing.mode !== 'Agent' ||
      fencing.enforcement !== 'Probe' ||
      fencing.stopGraceSeconds >= KUBELETS_LEAST_GRACE_SECONDS
    )
      return [];
    const rule =
      `must be at least ${KUBELETS_LEAST_GRACE_SECONDS} with enforcement Probe: a kubelet gives no less to what fails its ` +
      'liveness probe';
    return [problem(['fencing', 'stopGraceSeconds'], rule)];
  },
};

const takenNames: Rule = {
  name: 'the template leaves the agent its names',
  reads: ['fencing.mode', 'template'],
  cel: IN_TEMPLATE,
  check({ spec }) {
    if (spec.fencing.mode !== 'Agent') return [];
    return [...named(spec, 'containers'), ...named(spec, 'initContainers'), ...named(spec, 'volumes')];
  },
};

const TAKEN: readonly string[] = [AGENT_CONTAINER, STATE_VOLUME, `${AGENT_CONTAINER}-token`, KEY_VOLUME];

function named(spec: StructuredSpec, list: string): Problem[] {
  const all: unknown = spec.template?.spec[list];
  return (Array.isArray(all) ? (all as ({ readonly name?: unknown } | null)[]) : []).flatMap((entry, index) => {
    const name = entry?.name;
    if (typeof name !== 'string' || !TAKEN.includes(name)) return [];
    const rule = `must not be ${show(name)} in fencing mode Agent: that is what the operator puts beside the workload`;
    return [problem(['template', 'spec', list, index, 'name'], rule)];
  });
}

/** The agent answers the kubelet's probe in the workload's place, so it has to be able to ask in the same way. */
const probesAgentCanMake: Rule = {
  name: 'liveness probes are such as the agent can make',
  reads: ['fencing.mode', 'fencing.enforcement', 'template'],
  cel: IN_TEMPLATE,
  check({ spec }) {
    if (spec.fencing.mode !== 'Agent' || spec.fencing.enforcement !== 'Probe') return [];
    return (spec.template?.spec.containers ?? []).flatMap(({ livenessProbe }, index) => {
      const how = ['exec', 'grpc'].find((kind) => Object.hasOwn(Object(livenessProbe), kind));
      if (how === undefined) return [];
      const rule =
        'must be httpGet or tcpSocket in fencing mode Agent with enforcement Probe: the agent makes it in the ' +
        "kubelet's place; or set spec.fencing.enforcement to Signal or Cooperative";
      return [problem(['template', 'spec', 'containers', index, 'livenessProbe', how], rule)];
    });
  },
};

export const AGENT_RULES: readonly Rule[] = [needsTemplate, probeGrace, takenNames, probesAgentCanMake];

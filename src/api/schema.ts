/**
 * The one source of the SingletonService's spec: fields, units, ranges, defaults and what `kubectl explain` says. The
 * CRD is generated from it (crd.ts) and `parseSpec` (spec.ts) reads with it. What one field demands of another is in
 * rules.ts. Defaults that depend on another field are no defaults here but resolved in spec.ts.
 */
import { z } from 'zod';

import {
  flagOr,
  labelSelector,
  nodeTerm,
  oneOf,
  oneOfOr,
  portNumber,
  secondsOr,
  stringLike,
  wholeNumber,
  wholeNumberOr,
} from './fields.ts';
import { MAX_REPLICAS } from './names.ts';
import { serviceSettings } from './service-schema.ts';

const containerPort = z.looseObject({
  name: z.string().optional(),
  containerPort: portNumber('Port.'),
  protocol: z.string().optional(),
});

const container = z.looseObject({
  name: z.string(),
  ports: z.array(containerPort).optional(),
  readinessProbe: z.unknown().optional(),
  livenessProbe: z.unknown().optional(),
});

/**
 * Of a PodTemplateSpec only what the operator itself reads is checked here; the API server checks the rest when a pod is
 * created from it. In the CRD it is an object without a schema, since the whole of it is too large to restate.
 */
export const podTemplate = z
  .looseObject({
    metadata: z
      .looseObject({
        labels: z.record(z.string(), z.string()).optional(),
        annotations: z.record(z.string(), z.string()).optional(),
      })
      .optional(),
    spec: z.looseObject({
      containers: z.array(container).min(1, { error: 'must have at least one container, has none' }),
    }),
  })
  .meta({
    description:
      'The pods that the operator creates, as in a Deployment: metadata (labels, annotations) and spec. Give the ' +
      'containers a readinessProbe: without one a pod that hangs counts as healthy. Use topologySpreadConstraints or ' +
      'podAntiAffinity so that no two members share a node. Labels that the operator sets itself are refused.',
    'x-kubernetes-preserve-unknown-fields': true,
  });

const preference = z
  .object({
    weight: wholeNumber({ min: 1, max: 100 }, 'Added to the score of a candidate whose node matches.'),
    preference: nodeTerm('The nodes that are preferred.'),
  })
  .describe('One weighted term, as in preferred node affinity.');

const election = z
  .object({
    strategy: oneOfOr(
      ['Oldest', 'Priority', 'Ring'],
      'Oldest',
      'Which candidate is next. Oldest: the one that has been Ready for longest. Priority: the one whose slot has the ' +
        'highest number in priorities (the bully algorithm). Ring: the next slot after that of the last active.',
    ),
    priorities: z
      .array(wholeNumber({ min: 0, max: 1_000_000 }, 'Priority of the slot at this place; the highest wins.'))
      .max(MAX_REPLICAS)
      .optional()
      .describe('For strategy Priority: one number per slot, beginning with slot 0.'),
    preferences: z
      .array(preference)
      .max(32)
      .optional()
      .describe(
        'Weighted wishes about the node of the active, such as a zone. Candidates are compared by the sum of the ' +
          'weights that match, then by the strategy.',
      ),
    preemption: oneOfOr(
      ['Never', 'AfterStable'],
      'Never',
      'What happens when a better candidate than the active appears. Never: nothing. AfterStable: it takes over by a ' +
        'planned move after it has been the better one for stableSeconds.',
    ),
    stableSeconds: secondsOr(
      { min: 0, max: 86_400, byDefault: 60 },
      'For preemption AfterStable: how long a candidate must have been the better one.',
    ),
    leaseDurationSeconds: secondsOr(
      { min: 5, max: 300, byDefault: 10 },
      'For fencing mode Agent: how long the Lease must be seen unchanged before its holder counts as stopped. This is ' +
        'the longest outage after a silent failure. Half of it is the fence deadline: an agent that could not renew ' +
        'for that long stops its workload.',
    ),
    renewIntervalSeconds: secondsOr(
      { min: 1, max: 60, byDefault: 2 },
      'For fencing mode Agent: how often the agent of the active renews the Lease. Twice this must be less than half ' +
        'of leaseDurationSeconds.',
    ),
  })
  .prefault({})
  .describe('Which member becomes active.');

const nodeLoss = z
  .object({
    policy: oneOf(
      ['Wait', 'PromoteAfter'],
      'Wait: until it is proven that the old active has stopped (its pod has ended, its Node object is gone, or an ' +
        'administrator set the taint node.kubernetes.io/out-of-service). PromoteAfter: another member becomes active ' +
        'after afterSeconds; if the lost node still runs the old pod, both execute, and only one is routed. Default: ' +
        'PromoteAfter in fencing mode Routing, Wait in mode Agent.',
    ).optional(),
    afterSeconds: secondsOr(
      { min: 1, max: 86_400, byDefault: 30 },
      'For PromoteAfter: how long after the last beat of the node. A kubelet beats every 10 seconds.',
    ),
  })
  .prefault({})
  .describe('What happens when the node of the active is not heard of any more.');

const quarantine = z
  .object({
    failures: wholeNumberOr(
      { min: 1, max: 32, byDefault: 3 },
      'A member that failed as active this often within windowSeconds is put into quarantine.',
    ),
    windowSeconds: secondsOr({ min: 1, max: 86_400, byDefault: 600 }, 'The time within which failures are counted.'),
    durationSeconds: secondsOr(
      { min: 0, max: 86_400, byDefault: 300 },
      'How long a member in quarantine is no candidate. 0 switches quarantine off.',
    ),
  })
  .prefault({})
  .describe(
    'Keeps a member that fails again and again as active from becoming active. The last eligible member is never ' +
      'put into quarantine.',
  );

const failover = z
  .object({
    unreadyGraceSeconds: secondsOr(
      { min: 0, max: 3_600, byDefault: 0 },
      'How long an active that is not Ready is kept, in case it recovers. 0: it is replaced as soon as it is seen ' +
        'unready. An active that has ended or is being deleted is replaced at once in any case.',
    ),
    nodeLoss,
    quarantine,
    backoffMaxSeconds: secondsOr(
      { min: 0, max: 3_600, byDefault: 30 },
      'When many actives fail one after another, each within 5 seconds of becoming active, failovers wait: not the ' +
        'first eight, then 1, 2, 4 and so on seconds, at most this long. 0 switches it off.',
    ),
  })
  .prefault({})
  .describe(
    'When the active counts as failed and another member takes over. A failover is an unplanned move; planned ones ' +
      'are under switchover and update.',
  );

const hook = (when: string) =>
  z
    .object({
      path: stringLike(/^\/[^\s?#]*$/, 1024, 'a path such as /activate', 'Path of the call, a POST.'),
      port: portNumber('Port of the workload that is called, on 127.0.0.1.'),
    })
    .optional()
    .describe(`A call to the workload ${when}. Answered with a status from 200 to 299 it counts as done.`);

const hooks = z
  .object({
    onActivate: hook('when it becomes active, before traffic is routed to it'),
    onDeactivate: hook('when it has to stop acting as active; the answer acknowledges that it has stopped'),
  })
  .optional()
  .describe('For mode Agent: how the workload is told, beside the state that it can ask for or watch.');

const fencing = z
  .object({
    mode: oneOfOr(
      ['Routing', 'Agent'],
      'Routing',
      'Routing: exactly one pod is routed; another one may still execute for a while, such as on a lost node. Agent: ' +
        'exactly one pod executes as active, for a workload that the agent beside it can stop; a move then waits for ' +
        'proof that the old active has stopped.',
    ),
    enforcement: oneOfOr(
      ['Probe', 'Signal', 'Cooperative'],
      'Probe',
      'For mode Agent: what stops a workload that does not cooperate. Probe: the kubelet, through a liveness probe ' +
        'that the agent answers. Signal: the agent, in a shared process namespace. Cooperative: nothing, the workload ' +
        'is only asked, so exclusive execution is as good as its own stopping.',
    ),
    stopGraceSeconds: secondsOr(
      { min: 0, max: 120, byDefault: 2 },
      'For mode Agent: how long the workload has to stop after it was asked, before it is killed. Lease duration must ' +
        'be longer than fence deadline, this grace, the delay of the enforcement (2 seconds for Probe) and 5 % of ' +
        'itself together.',
    ),
    onApiLoss: oneOfOr(
      ['Fence', 'Hold'],
      'Fence',
      'For mode Agent: what an active does that cannot reach the API server. Fence: it stops at the fence deadline. ' +
        'Hold: it goes on for as long as every peer agent promises not to become active.',
    ),
    hooks,
  })
  .prefault({})
  .describe('How far it is made sure that the old active has stopped before a new one is granted.');

const update = z
  .object({
    minReadySeconds: secondsOr(
      { min: 0, max: 3_600, byDefault: 5 },
      'How long an updated member must have been Ready before the next step: as a standby before it replaces an older ' +
        'one, and as the active before the old active goes.',
    ),
    switchover: oneOfOr(
      ['Automatic', 'Manual'],
      'Automatic',
      'The last step of a rollout moves the active to an updated standby. Automatic: the operator does it. Manual: it ' +
        'waits for a requested switchover.',
    ),
    progressDeadlineSeconds: secondsOr(
      { min: 1, max: 86_400, byDefault: 600 },
      'How long a rollout waits for a new member to be Ready before the condition Progressing says that it is stalled. ' +
        'It goes on when the member is Ready after all.',
    ),
  })
  .prefault({})
  .describe('How a changed template is rolled out: standbys first, the active last.');

const switchover = z
  .object({
    deadlineSeconds: secondsOr(
      { min: 1, max: 3_600, byDefault: 30 },
      'A planned move that is not finished by then is rolled back to the old active.',
    ),
  })
  .prefault({})
  .describe('Planned moves of the active, requested by the annotation singleton-operator.io/switchover.');

export const specSchema = z
  .object({
    replicas: wholeNumberOr(
      { min: 1, max: MAX_REPLICAS, byDefault: 2 },
      'Members in all: one active, the others warm standbys. With 1 there is nothing to fail over to.',
    ),
    template: podTemplate.optional(),
    selector: labelSelector(
      'Instead of template: adopt the pods with these labels, whoever owns them (a Deployment, a StatefulSet); elect ' +
        'and route among them, create and delete none. replicas is not looked at then, slots are the ordinals of a ' +
        'StatefulSet, and service.ports is required. Exactly one of template and selector must be set.',
    ).optional(),
    service: serviceSettings,
    paused: flagOr(
      false,
      'While true nothing is granted and no pod is changed: whatever is active stays active, even if it fails. The ' +
        'status goes on.',
    ),
    election,
    failover,
    fencing,
    update,
    switchover,
    disruptionBudget: flagOr(
      true,
      'Whether to own a PodDisruptionBudget that protects the active from eviction until it has been moved.',
    ),
  })
  .describe('What is wanted: members, the Service that routes to the active one, and when and how it moves.');

/** A spec that is right by its structure, with the schema's defaults, in the units of the API. */
export type StructuredSpec = z.output<typeof specSchema>;
export type PodTemplate = z.output<typeof podTemplate>;

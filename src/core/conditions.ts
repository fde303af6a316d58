/** The conditions: one verdict each, with a reason for programs and a sentence for people. */
import { CONDITION } from '../api/names.ts';
import type { ConditionType } from '../api/names.ts';
import type { Spec } from '../api/spec.ts';
import { toIso } from '../api/time.ts';
import type { Status } from '../api/types.ts';
import { isAdopting } from './adoption.ts';
import { isBudgetTaken } from './budget.ts';
import { standing } from './candidates.ts';
import { awaitsRenewal } from './fencing.ts';
import { routingTerm } from './lease.ts';
import { isLost } from './node-loss.ts';
import { notTaken, templateRevision } from './objects.ts';
import { rolloutVerdict } from './progress.ts';
import { activeMember, aliveMembers, bySlot, isActive, isFlipped, isRouted, ourLease } from './situation.ts';
import type { Situation } from './situation.ts';
import type { Snapshot } from './snapshot.ts';

export type Verdict = readonly [status: 'True' | 'False', reason: string, message: string];

export function conditions(situation: Situation): NonNullable<Status['conditions']> {
  const { snapshot, now } = situation;
  const before = snapshot.singleton.status?.conditions ?? [];
  const verdicts: Record<ConditionType, Verdict> = {
    Ready: readyVerdict(situation),
    SpecAccepted: specVerdict(snapshot),
    StandbyReady: standbyVerdict(situation),
    Progressing: progressVerdict(situation),
    Paused:
      snapshot.singleton.spec?.paused === true
        ? ['True', 'PausedBySpec', 'spec.paused is true: no grant and no pod changes']
        : ['False', 'NotPaused', 'spec.paused is false'],
    Blocked: blockedVerdict(situation),
  };
  return Object.values(CONDITION).map((type) => {
    const [status, reason, message] = verdicts[type];
    const old = before.find((condition) => condition.type === type);
    const lastTransitionTime = old?.status === status ? old.lastTransitionTime : undefined;
    return {
      type,
      status,
      reason,
      message,
      lastTransitionTime: lastTransitionTime ?? toIso(now.wallMs),
      observedGeneration: snapshot.singleton.generation,
    };
  });
}

function readyVerdict({ snapshot, need, now }: Situation): Verdict {
  const { service, singleton } = snapshot;
  if (snapshot.lease?.ours === false)
    return ['False', 'LeaseTaken', `Lease ${singleton.name}-active belongs to somebody else`];
  if (service?.ours === false) return ['False', 'ServiceTaken', `Service ${singleton.name} belongs to somebody else`];
  const lease = ourLease(snapshot);
  const member = activeMember(snapshot);
  if (lease === undefined || lease.holder === '') return ['False', 'NoActive', 'no member is active yet'];
  const pausedHint = singleton.spec?.paused === true ? '; no other one takes over while spec.paused is true' : '';
  const unwell = (reason: string, message: string): Verdict => ['False', reason, `${message}${pausedHint}`];
  if (member === undefined) return unwell('ActiveGone', need?.message ?? 'the active pod is gone');
  if (isLost(member, snapshot, now)) return unwell('ActiveNodeLost', need?.message ?? 'the node of the active is lost');
  if (!member.ready) return unwell('ActiveNotReady', `the active pod ${member.pod} is not Ready`);
  if (member.terminating) return unwell('ActiveTerminating', `the active pod ${member.pod} is being deleted`);
  if (awaitsRenewal(snapshot, lease)) {
    const message = `the agent of pod ${member.pod} has not taken up term ${lease.term} yet`;
    return ['False', 'AgentNotRenewed', message];
  }
  if (!isFlipped(snapshot, lease))
    return ['False', 'NotRouted', `the Service does not select term ${routingTerm(lease)} yet`];
  if (!isRouted(snapshot, member)) {
    return [
      'False',
      'NotRouted',
      `no EndpointSlice of the Service names pod ${member.pod}; is kube-controller-manager running?`,
    ];
  }
  return ['True', 'ActiveRouted', `pod ${member.pod} is active with term ${lease.term} and the Service routes to it`];
}

function specVerdict(snapshot: Snapshot): Verdict {
  const { problems, spec, notActedUpon } = snapshot.singleton;
  if (problems.length > 0) {
    return [
      'False',
      snapshot.singleton.isOverlapping === true ? 'SelectorOverlap' : 'Invalid',
      `${problems.map(({ path, rule }) => `${path}: ${rule}`).join('; ')}. What runs is left as it is`,
    ];
  }
  const refusal = snapshot.memory.template?.refusal;
  if (spec !== undefined && refusal !== undefined && snapshot.memory.template?.revision === templateRevision(spec)) {
    return [
      'False',
      'TemplateRefused',
      `spec.template: the API server refuses a pod made from it: ${refusal}. What runs is left as it is`,
    ];
  }
  const advice =
    spec === undefined
      ? ''
      : adviceFor(snapshot, spec)
          .map((sentence) => `; advice: ${sentence}`)
          .join('');
  if (notActedUpon.length > 0) {
    return [
      'True',
      'AcceptedInPart',
      `accepted, but this version does not act upon ${notActedUpon.join(', ')}${advice}`,
    ];
  }
  return ['True', 'Accepted', `the spec is accepted${advice}`];
}

/** What the spec may say and will be regretted. */
function adviceFor(snapshot: Snapshot, spec: Spec): string[] {
  const containers = spec.template?.spec.containers ?? [];
  const isProbed = containers.length === 0 || containers.some(({ readinessProbe }) => readinessProbe !== undefined);
  const ignored = notTaken(snapshot);
  return [
    ...(isProbed ? [] : ['no container of the template has a readinessProbe, so an active that hangs looks healthy']),
    ...(isBudgetTaken(snapshot)
      ? [
          `PodDisruptionBudget ${snapshot.singleton.name} exists and is not owned by this SingletonService, so a drain ` +
            'does not wait for the active to be moved; delete or rename it, or set disruptionBudget to false',
        ]
      : []),
    ...(ignored.length === 0 ? [] : [`the API server did not take ${ignored.join(', ')}; is it too old for that?`]),
  ];
}

function standbyVerdict({ snapshot, now }: Situation): Verdict {
  const others = bySlot(snapshot).filter((member) => !isActive(snapshot, member) && !member.terminating);
  const ready = others.filter((member) => standing(member, snapshot, now).eligible);
  if (ready.length > 0)
    return ['True', 'CandidateReady', `${ready.length} of ${others.length} other members can take over at once`];
  const { spec } = snapshot.singleton;
  if (spec?.replicas === 1 && !isAdopting(spec))
    return ['False', 'SingleReplica', 'spec.replicas is 1: a failover has to wait for a new pod'];
  const why = others.map((member) => `${member.pod}: ${standing(member, snapshot, now).reason}`).join(', ');
  return ['False', 'NoCandidate', why === '' ? 'there is no other member' : `no other member can take over (${why})`];
}

function progressVerdict({ snapshot, need, holds, now }: Situation): Verdict {
  const { failure } = snapshot.memory;
  if (failure !== undefined && failure.kind !== 'emitEvent')
    return ['True', 'Retrying', `${failure.action} failed and is tried again: ${failure.message}`];
  if (need !== undefined) return ['True', holds.length > 0 ? 'MoveWaits' : 'Moving', need.message];
  const rollout = rolloutVerdict(snapshot, now);
  if (rollout !== undefined) return rollout;
  const { spec } = snapshot.singleton;
  const alive = aliveMembers(snapshot, now);
  if (spec !== undefined && !spec.paused && !isAdopting(spec) && alive.length !== spec.replicas) {
    return ['True', 'Scaling', `${alive.length} members exist, ${spec.replicas} are wanted`];
  }
  return ['False', 'Settled', 'nothing is under way'];
}

function blockedVerdict({ holds }: Situation): Verdict {
  const [hold] = holds;
  return hold === undefined ? ['False', 'NotBlocked', 'no move waits'] : ['True', hold.name, hold.message];
}

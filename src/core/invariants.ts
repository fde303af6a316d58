/**
 * The protocol's invariants as pure functions: over a state of the cluster, over the step from one state to the next,
 * and over a plan before it is carried out. They return what is broken, with the values that broke it; what to do about
 * it (throw, count, tell) is the caller's.
 *
 *   I1  terms of one singleton strictly increase; a term has one holder, ever
 *   I2  at most one pod matches the selector of the Service that the operator owns
 *   I3  at most one pod has `role: active`
 *   I5  no grant while paused, and in fencing mode `Agent` none without proof that the old active has stopped
 *   I7  a member is never deleted by the operator while it is the active
 *
 * I2 and I3 can be broken by anybody who may edit labels, and are then healed by the next plan: over a state they tell
 * that something was broken, not by whom. I1 over a step, I5 and I7 are the operator's own.
 */
import { LABEL, ROLE, holderIdentity } from '../api/names.ts';
import { boundOf, isFencing, proofOf } from './fencing.ts';
import type { FencingQuestion } from './fencing.ts';
import type { Action, Plan } from './plan.ts';
import type { Instant, LeaseView, Member, Snapshot } from './snapshot.ts';

export interface Violation {
  readonly invariant: 'I1' | 'I2' | 'I3' | 'I5' | 'I7';
  readonly message: string;
}

type Labels = Readonly<Record<string, string | undefined>>;

interface Labelled {
  readonly pod: string;
  readonly labels: Labels;
}

/** The operator's own labels of every pod that carries the singleton's name; others are not in a snapshot. */
function labelled({ singleton, members, strangers }: Snapshot): Labelled[] {
  return [
    ...members.map((member) => ({ pod: member.pod, labels: labelsOf(member, singleton.name) })),
    ...strangers.map(({ pod, role, term }) => ({
      pod,
      labels: { [LABEL.name]: singleton.name, [LABEL.role]: role, [LABEL.term]: term },
    })),
  ];
}

const labelsOf = (member: Member, singleton: string): Labels => ({
  [LABEL.name]: member.named ? singleton : undefined,
  [LABEL.slot]: member.slot?.toString(),
  [LABEL.role]: member.role,
  [LABEL.term]: member.term?.toString(),
  [LABEL.revision]: member.revision,
});

/** A Service without a selector selects nothing. */
function selects(selector: Labels | undefined, labels: Labels): boolean {
  const wanted = Object.entries(selector ?? {});
  return wanted.length > 0 && wanted.every(([key, value]) => labels[key] === value);
}

/** Names of the pods that the singleton's Service selects, Ready or not. */
export const selectedPods = (snapshot: Snapshot): string[] => podsSelected(snapshot, labelled(snapshot));

const podsSelected = ({ service }: Snapshot, pods: readonly Labelled[]): string[] =>
  service?.ours === true
    ? pods.filter(({ labels }) => selects(service.spec.selector, labels)).map(({ pod }) => pod)
    : [];

/** I2 and I3: what must hold in every state. */
export function violationsIn(snapshot: Snapshot): Violation[] {
  const pods = labelled(snapshot);
  const selected = podsSelected(snapshot, pods);
  const active = pods.filter(({ labels }) => labels[LABEL.role] === ROLE.active);
  return [
    ...(selected.length > 1 ? [broken('I2', `the Service selects ${selected.join(' and ')}`)] : []),
    ...(active.length > 1
      ? [broken('I3', `${active.map(({ pod }) => pod).join(' and ')} have the role ${ROLE.active}`)]
      : []),
  ];
}

/**
 * I1 over a step that an operator took. (A step in which somebody edited or deleted the Lease is not one; what follows
 * is held against what was granted before, see `recordGrant`.)
 */
export function violationsBetween(before: Snapshot, after: Snapshot): Violation[] {
  const [old, next] = [before.lease, after.lease];
  if (old?.ours !== true || next?.ours !== true) return [];
  const step = `from ${describeLease(old)} to ${describeLease(next)}`;
  if (next.term < old.term) return [broken('I1', `the term went back ${step}`)];
  const [giver, taker] = [grantedTo(old), grantedTo(next)];
  const changedHands = taker !== giver && taker !== '' && giver !== '';
  return changedHands && next.term === old.term ? [broken('I1', `the term got a second holder ${step}`)] : [];
}

/** Whom the last grant named, whatever somebody may have made of the Lease's holder since. */
const grantedTo = ({ move, holder }: LeaseView): string => move?.to ?? holder;

const describeLease = ({ term, holder }: LeaseView): string =>
  `term ${term} held by ${holder === '' ? 'nobody' : holder}`;

interface Grant {
  readonly term: number;
  readonly holder: string;
}

/** Which term was granted to whom, ever. */
export type Grants = ReadonlyMap<number, string>;

/** I1 over all of a singleton's life: adds what the action grants, and tells whether the term was somebody else's. */
export function recordGrant(grants: Grants, action: Action): { grants: Grants; violations: Violation[] } {
  const grant = grantedBy(action);
  return grant === undefined ? { grants, violations: [] } : recordTerm(grants, grant);
}

/** The same of a term that was seen in a Lease. */
export function recordTerm(grants: Grants, { term, holder }: Grant): { grants: Grants; violations: Violation[] } {
  const owner = grants.get(term);
  const violations =
    owner === undefined || owner === holder
      ? []
      : [broken('I1', `term ${term} is granted to ${holder} and was ${owner}'s`)];
  return { grants: new Map([...grants, [term, holder]]), violations };
}

function grantedBy(action: Action): Grant | undefined {
  if (action.kind === 'grantLease') return { term: action.term, holder: holderIdentity(action.to.pod, action.to.uid) };
  return action.kind === 'restoreLease' && action.holder !== ''
    ? { term: action.term, holder: action.holder }
    : undefined;
}

/** I1, I5, I7 and the order of a move's steps, before the plan is carried out. */
export function violationsOf(plan: Plan, snapshot: Snapshot, now: Instant): Violation[] {
  return [...grantViolations(plan, snapshot, now), ...deletionViolations(plan, snapshot), ...orderViolations(plan)];
}

function grantViolations({ actions }: Plan, snapshot: Snapshot, now: Instant): Violation[] {
  const { lease, singleton } = snapshot;
  const grants = actions.filter((action) => action.kind === 'grantLease');
  const [grant] = grants;
  if (grant === undefined) return [];
  const known = Math.max(lease?.ours === true ? lease.term : 0, singleton.status?.term ?? 0);
  return [
    ...(grants.length > 1 ? [broken('I1', `a plan grants ${grants.length} terms`)] : []),
    ...(grant.term <= known ? [broken('I1', `term ${grant.term} is granted, and ${known} was given already`)] : []),
    ...(lease?.ours === true ? [] : [broken('I1', `term ${grant.term} is granted with a Lease that is not ours`)]),
    ...(singleton.spec?.paused === true ? [broken('I5', `term ${grant.term} is granted while paused`)] : []),
    ...(lease?.ours === true && isUnproven({ snapshot, lease, now })
      ? [broken('I5', `term ${grant.term} is granted without proof that ${describeLease(lease)} is fenced`)]
      : []),
    ...(lease?.ours === true && isUnbound(grant.to.uid, { snapshot, lease, now })
      ? [
          broken(
            'I5',
            `term ${grant.term} is granted to ${grant.to.pod}, which promised nothing to ${describeLease(lease)}`,
          ),
        ]
      : []),
  ];
}

/** `onApiLoss: Hold`: it never promised anything, and the Lease's expiry proves something only of those who did. */
const isUnbound = (uid: string, question: FencingQuestion): boolean => {
  const bound = isFencing(question.snapshot.singleton.spec) ? boundOf(question) : undefined;
  return bound !== undefined && !bound.includes(uid);
};

const isUnproven = (question: FencingQuestion): boolean =>
  isFencing(question.snapshot.singleton.spec) && proofOf(question) === undefined;

/** Who is the active changes as the plan goes on. Without a Lease it is whoever is routed. */
function deletionViolations({ actions }: Plan, snapshot: Snapshot): Violation[] {
  if (!actions.some(({ kind }) => kind === 'deletePod')) return [];
  const routed = selectedPods(snapshot);
  let holder = snapshot.lease?.ours === true ? snapshot.lease.holder : undefined;
  const violations: Violation[] = [];
  for (const action of actions) {
    holder = grantedBy(action)?.holder ?? holder;
    if (action.kind !== 'deletePod') continue;
    if (snapshot.members.some(({ adopted, uid }) => adopted === true && uid === action.expect.uid))
      violations.push(broken('I7', `${action.pod} is deleted (${action.why}), which somebody else owns`));
    const isActive =
      holder === undefined ? routed.includes(action.pod) : holder === holderIdentity(action.pod, action.expect.uid);
    if (isActive) violations.push(broken('I7', `${action.pod} is deleted (${action.why}) while it is the active`));
  }
  return violations;
}

const STEPS = ['stripRole', 'grantLease', 'labelActive', 'flipService'] as const;

/** Strip → grant → label → flip: I3 needs the strip before the label, I2 the label before the flip. */
function orderViolations({ actions }: Plan): Violation[] {
  const steps = actions.map(({ kind }) => STEPS.findIndex((step) => step === kind)).filter((step) => step !== -1);
  const early = steps.findIndex((step, place) => place > 0 && step < (steps[place - 1] ?? 0));
  const [step, before] = [STEPS[steps[early] ?? 0], STEPS[steps[early - 1] ?? 0]];
  if (early === -1) return [];
  return [broken(step === 'stripRole' ? 'I3' : 'I2', `${step} comes after ${before}`)];
}

const broken = (invariant: Violation['invariant'], message: string): Violation => ({ invariant, message });

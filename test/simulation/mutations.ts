/**
 * The shipping code, broken in one place at a time. A checker that never complains proves nothing: each of these must be
 * caught, within so many seeds.
 *
 * Not here, since nothing follows from it: what the store does twice over. A deleted object is kept from coming back by its
 * tombstone and by the version up to which the watch has told; an older state by that version and by its own, and a
 * decision from an old state is refused by its preconditions. Nor a claim whose answer came after its deadline: such a lead ends in the same instant in which it
 * begins, before anything is sent. Nor the list of pods before a lost Lease is rebuilt by a leader that has read them all
 * once: whatever came since it has written itself, but for what others do in spite of its lead (unit tests ask for it). Nor
 * the same reads before a first grant.
 */

export interface Mutation {
  readonly name: string;
  /** What somebody might do by mistake. */
  readonly what: string;
  /** Under `src`. */
  readonly file: string;
  /** Stands there exactly once. */
  readonly find: string;
  readonly replace: string;
  /** Of the run that is to notice it. */
  readonly mode?: 'Agent' | 'Pair' | 'Hold';
}

const MOVE = 'core/move.ts';
const LEASE = 'core/lease.ts';
const EXECUTE = 'operator/execute.ts';
const RECONCILE = 'operator/reconcile.ts';
const LIVE_READS = 'operator/live-reads.ts';
const OPERATOR = 'operator/operator.ts';
const ELECTION = 'operator/election.ts';
const LEADERSHIP = 'core/leadership.ts';
const MEMBERSHIP = 'core/membership.ts';
const ROLLOUT = 'core/rollout.ts';
const REFLECTOR = 'adapters/kubernetes/reflector.ts';
const STORE = 'adapters/kubernetes/store.ts';
const NODE_LOSS = 'core/node-loss.ts';
const BEATS = 'operator/node-beats.ts';
const PREEMPTION = 'core/preemption.ts';
const SWITCHOVER = 'core/switchover.ts';

export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'skip-the-strip',
    what: 'a move does not take the role from the old active',
    file: MOVE,
    find: 'return [...strips(snapshot, target, term), grant,',
    replace: 'return [grant,',
  },
  {
    name: 'flip-before-label',
    what: 'the Service selects a term that nobody carries yet',
    file: MOVE,
    find: 'grant, ...label(snapshot, target, term), ...flip(snapshot, term)];',
    replace: 'grant, ...flip(snapshot, term), ...label(snapshot, target, term)];',
  },
  {
    name: 'label-before-strip',
    what: 'two members have the role for a moment',
    file: MOVE,
    find: 'return [...strips(snapshot, target, term), grant, ...label(snapshot, target, term), ...flip',
    replace: 'return [grant, ...label(snapshot, target, term), ...strips(snapshot, target, term), ...flip',
  },
  {
    name: 'do-not-heal-the-selector',
    what: 'a selector edited by hand is left alone as long as its term is right',
    file: MOVE,
    find: 'if (selector === undefined) return [];',
    replace: 'if (selector?.[LABEL.term] === undefined) return [];',
  },
  {
    name: 'leave-forged-terms',
    what: 'the routing term is not taken from a pod that it was not given to',
    file: MOVE,
    find: 'const forged = member.term === 0 ||',
    replace: 'const forged = false &&',
  },
  {
    name: 'leave-strangers',
    what: 'labels of pods that are not ours are not stripped',
    file: MOVE,
    find: '...snapshot.strangers.flatMap(',
    replace: '...snapshot.strangers.slice(0, 0).flatMap(',
  },
  {
    name: 'ignore-a-vanished-holder',
    what: 'the Lease stays with a pod that is gone',
    file: MOVE,
    find: "if (holder === undefined) return failover('ActiveVanished', `pod ${podOf(lease.holder)} is gone`);",
    replace: 'if (holder === undefined) return undefined;',
  },
  {
    name: 'ignore-a-hanging-active',
    what: 'an active that is not Ready stays the active',
    file: MOVE,
    find: "return failover('ActiveUnready', `pod ${holder.pod} is not Ready`);",
    replace: 'return undefined;',
  },
  {
    name: 'ignore-paused',
    what: 'a grant while spec.paused is true',
    file: 'core/holds.ts',
    find: 'const CHECKS: readonly Check[] = [paused, ',
    replace: 'const CHECKS: readonly Check[] = [',
  },
  {
    name: 'reset-the-term',
    what: 'a lost Lease begins at term 1 again',
    file: LEASE,
    find: 'const term = highest + TERM_GAP_AFTER_LOSS;',
    replace: 'const term = 1;',
  },
  {
    name: 'no-gap-after-loss',
    what: 'a lost Lease is restored with the highest term known, though the last grant may be known to nobody',
    file: LEASE,
    find: 'export const TERM_GAP_AFTER_LOSS = 1000;',
    replace: 'export const TERM_GAP_AFTER_LOSS = 0;',
  },
  {
    name: 'reuse-a-term',
    what: 'a grant does not raise the term',
    file: LEASE,
    find: 'TERM_GAP_AFTER_LOSS : 1);',
    replace: 'TERM_GAP_AFTER_LOSS : 0);',
  },
  {
    name: 'believe-an-edited-holder',
    what: 'whoever edits the holder of the Lease moves the active, under the same term',
    file: LEASE,
    find: 'const saysSo = lease.term === inLease && move.term === inLease && (released || lease.holder === move.to);',
    replace: 'const saysSo = lease.term === inLease && move.term === inLease;',
  },
  {
    name: 'create-the-lease-full',
    what: 'a lost Lease is created with what the status tells, which may be old when the creation arrives',
    file: EXECUTE,
    find: "spec: { holderIdentity: '', leaseTransitions: 0 },",
    replace: "spec: { holderIdentity: '', leaseTransitions: singleton.status?.term ?? 0 },",
  },
  {
    name: 'lost-lease-taken-for-new',
    what: 'a lost Lease that was made anew is taken for that of a new singleton, as long as the status tells of no term',
    file: LEASE,
    find: 'if (isEmpty(lease) && highestTermOutsideLease(snapshot) > 0) return',
    replace: 'if (false as boolean) return',
  },
  {
    name: 'labels-without-precondition',
    what: "a pod's labels are written whatever became of it",
    file: EXECUTE,
    find: 'const patch = { metadata: { ...preconditions(action.expect), labels: action.labels } };',
    replace: 'const patch = { metadata: { labels: action.labels } };',
  },
  {
    name: 'grant-without-precondition',
    what: 'the Lease is written whatever it says by now',
    file: EXECUTE,
    find: '    ...preconditions(expect),\n',
    replace: '',
  },
  {
    name: 'delete-without-precondition',
    what: 'a member is deleted whatever became of it',
    file: EXECUTE,
    find: 'return api.delete(POD, ref(action.pod), preconditions(action.expect));',
    replace: 'return api.delete(POD, ref(action.pod));',
  },
  {
    name: 'delete-by-uid-alone',
    what: 'a member is deleted although it has become the active since that was decided',
    file: EXECUTE,
    find: 'return api.delete(POD, ref(action.pod), preconditions(action.expect));',
    replace: 'return api.delete(POD, ref(action.pod), { uid: action.expect.uid });',
  },
  {
    name: 'flip-without-precondition',
    what: 'the Service is flipped whatever it selects by now',
    file: EXECUTE,
    find: 'const patch = { metadata: preconditions(action.expect), spec: { selector: action.selector } };',
    replace: 'const patch = { spec: { selector: action.selector } };',
  },
  {
    name: 'status-without-precondition',
    what: 'the status of an operator that lags behind replaces a newer one',
    file: EXECUTE,
    find: 'const patch = { metadata: { resourceVersion }, status: replacing(singleton, status) };',
    replace: 'const patch = { metadata: {}, status: replacing(singleton, status) };',
  },
  {
    name: 'no-second-replacement',
    what: 'a slot whose members failed twice stays empty',
    file: MEMBERSHIP,
    find: 'return failures.lastAtMs + Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** (failures.count - 2));',
    replace: 'return Infinity;',
  },
  {
    name: 'live-read-goes-nowhere',
    what: 'what is read before a grant does not reach the cache that the second decision looks at',
    file: EXECUTE,
    find: '    cache.acceptRead(live, mark);\n',
    replace: '',
  },
  {
    name: 'grant-without-live-read',
    what: 'a grant rests on caches that may be old',
    file: RECONCILE,
    find: 'const last = await this.#live.under(key, first, () => this.#look(key));',
    replace: 'const last = this.#look(key);',
  },
  {
    name: 'finish-without-live-read',
    what: 'only a grant is decided twice: a move is finished by a Lease that may be old',
    file: LIVE_READS,
    find: 'if (!actions.some(restsOnLease)) return',
    replace: 'if (!actions.some(isGrant)) return',
  },
  {
    name: 'restore-without-live-read',
    what: 'a lost Lease is rebuilt by what the caches tell of the active',
    file: LIVE_READS,
    find: 'if (actions.some(restsOnWitnesses)) {',
    replace: 'if (false as boolean) {',
  },
  {
    name: 'pause-only-when-all-is-well',
    what: 'spec.paused counts for nothing while another field of the spec is wrong',
    file: 'operator/observe.ts',
    find: 'return spec === undefined || !isPaused ? spec :',
    replace: 'return spec === undefined || isPaused || !isPaused ? spec :',
  },
  {
    name: 'forget-the-second-decision',
    what: 'what was read before a grant changes nothing',
    file: RECONCILE,
    find: "return sameGrant(first.plan, last.plan) ? this.#carryOut(key, last) : { kind: 'again' };",
    replace: 'return this.#carryOut(key, first);',
  },
  {
    name: 'delete-the-active',
    what: 'a member without a slot is deleted, be it the active or not',
    file: MEMBERSHIP,
    find: '.filter(({ member }) => isDeletable(member))',
    replace: '',
  },
  {
    name: 'ownership-forgotten',
    what: "somebody else's object of the same name counts as ours",
    file: 'operator/views.ts',
    find: 'const isOwnedBy = (object: KubeObject, ownerUid: string): boolean => controllerOf(object)?.uid === ownerUid;',
    replace:
      "const isOwnedBy = (object: KubeObject, ownerUid: string): boolean => object !== undefined && ownerUid !== '';",
  },
  {
    name: 'half-synced-caches',
    what: 'work begins when the first cache is whole',
    file: OPERATOR,
    find: 'return this.#reflectors.every((reflector) => reflector.hasSynced);',
    replace: 'return this.#reflectors.some((reflector) => reflector.hasSynced);',
  },
  {
    name: 'write-on-without-the-lead',
    what: 'a replica that lost the lead goes on',
    file: OPERATOR,
    find: '    this.#lead?.abort();\n    this.#lead = undefined;\n    this.#queue.clear();\n',
    replace: '',
  },
  {
    name: 'lost-wakeup',
    what: 'what changes while a singleton is being worked on is not looked at again',
    file: 'operator/queue.ts',
    find: '    if (this.#again.delete(key)) this.#waiting.add(key);\n',
    replace: '    this.#again.delete(key);\n',
  },
  {
    name: 'status-churn',
    what: 'the status is written although it says the same',
    file: 'core/status.ts',
    find: 'if (sameJson(status, before ?? {})) return',
    replace: 'if (before === undefined && sameJson(status, {})) return',
  },
  {
    name: 'election-without-precondition',
    what: 'the leader Lease is taken whoever has it by now',
    file: ELECTION,
    find: 'const patch = { metadata: { resourceVersion: expect, annotations }, spec };',
    replace: 'const patch = { spec };',
  },
  {
    name: 'deadline-from-the-answer',
    what: 'the leader counts from when its renewal was answered, not from before it was sent',
    file: ELECTION,
    find: 'renewedAtMs: isInTime ? sentAtMs : undefined,',
    replace: 'renewedAtMs: isInTime ? clock.monotonicMs() : undefined,',
  },
  {
    name: 'trust-the-wall-clock',
    what: 'a standby compares renewTime with its own clock',
    file: ELECTION,
    find: 'this.#state = sees(this.#state, this.#seen, clock.monotonicMs());',
    replace:
      "this.#state = sees(this.#state, this.#seen, clock.monotonicMs() - clock.wallMs() + Date.parse(this.#store.get(this.#options.namespace, this.#options.name)?.spec?.renewTime ?? '2026-01-01T00:00:00Z'));",
  },
  {
    name: 'lead-on-without-renewal',
    what: 'a leader that cannot renew goes on until it sees another',
    file: LEADERSHIP,
    find: 'if (!isOurs || nowMs >= renewedAtMs + times.renewDeadlineMs)',
    replace: 'if (!isOurs)',
  },
  {
    name: 'impatient-standby',
    what: 'a standby takes the lead before the Lease has expired',
    file: LEADERSHIP,
    find: 'const expiresAtMs = seenAtMs + patienceMs(lease, times);',
    replace: 'const expiresAtMs = seenAtMs + times.leaseDurationMs / 2;',
  },
  {
    name: 'no-list-after-410',
    what: 'a watch that is refused with 410 is tried again from the same version',
    file: REFLECTOR,
    find: "return { reason: 'expired', relist: true, pauseMs };",
    replace: "return { reason: 'expired', relist: false, pauseMs };",
  },
  {
    name: 'list-forgets-deletions',
    what: 'what a new list lacks stays in the cache',
    file: STORE,
    find: '      if (!createdSince) this.#remove(key, entry);\n',
    replace: '',
  },
  {
    name: 'drained-and-not-moved',
    what: 'a cordon moves nobody, and the budget keeps the drain from ending',
    file: 'core/planned.ts',
    find: 'if (!isOnDrainingNode(holder, snapshot)) return undefined;',
    replace: 'if (holder.ready) return undefined;',
  },
  {
    name: 'budget-not-mended',
    what: 'a budget that was edited by hand stays as it is',
    file: 'core/budget.ts',
    find: "return [{ kind: 'mendBudget', budget, expect, patch }];",
    replace: 'return [];',
  },
  {
    name: 'budget-not-watched',
    what: 'nobody looks when the budget changes',
    file: 'operator/operator.ts',
    find: 'current && contentOf(current))) enqueueOwned(old, current);',
    replace: 'current && contentOf(current))) enqueueOwned(undefined, undefined);',
  },
  {
    name: 'active-not-guarded',
    what: 'the active is labelled, and not so that its eviction is refused',
    file: MOVE,
    find: '    [LABEL.guarded]: GUARDED,\n',
    replace: '',
  },
  {
    name: 'guard-not-mended',
    what: 'an active that is not guarded any more stays so',
    file: MOVE,
    find: 'target.term === term && target.guarded) return [];',
    replace: 'target.term === term) return [];',
  },
  {
    name: 'guard-stays-with-the-old-active',
    what: 'a former active is guarded for ever, and no drain of its node ends',
    file: MOVE,
    find: 'const unguards = member.guarded &&',
    replace: 'const unguards = member.term === undefined && member.guarded &&',
  },
  {
    name: 'foreign-budget-mended',
    what: "somebody else's budget is taken for ours",
    file: 'core/budget.ts',
    find: 'if (!view.ours) return [];',
    replace: '',
  },
  {
    name: 'deletions-not-taken',
    what: 'what a watch tells as deleted stays in the cache',
    file: STORE,
    find: "if (type === 'DELETED') this.#applyDeleted(object);",
    replace: "if (type === 'DELETED') this.#toldUpTo = resourceVersion;",
  },
  {
    name: 'delete-before-the-successor-stands',
    what: 'a rollout deletes a standby as soon as there is another one beside it',
    file: ROLLOUT,
    find: 'const isReady = isSoaked(successor, snapshot, spec, now) && fitness(successor, snapshot).eligible;',
    replace: 'const isReady = true as boolean;',
  },
  {
    name: 'no-soak',
    what: 'an updated member counts as soon as it is Ready',
    file: 'core/revision.ts',
    find: 'return (sight?.ready === true ? sight.sinceMs : now.monotonicMs) + spec.update.minReadyMs;',
    replace: 'return sight?.ready === true ? sight.sinceMs : now.monotonicMs;',
  },
  {
    name: 'surge-everywhere',
    what: 'all standbys get a successor at once',
    file: ROLLOUT,
    find: 'const CHECKS: readonly Check[] = [stopped, soakOfActive, pairs, fill, unproven, standbys, last];',
    replace: 'const CHECKS: readonly Check[] = [stopped, soakOfActive, fill, standbys, last];',
  },
  {
    name: 'old-active-for-ever',
    what: 'a rollout ends before the active has handed over',
    file: 'core/planned.ts',
    find: "if (step?.kind !== 'move') return undefined;",
    replace: "if (step?.kind !== 'stopped' || holder.ready) return undefined;",
  },
  {
    name: 'impatient-with-nodes',
    what: 'a node counts as lost in half the time',
    file: NODE_LOSS,
    find: 'silentSinceMs + failover.nodeLoss.afterMs;',
    replace: 'silentSinceMs + failover.nodeLoss.afterMs / 2;',
  },
  {
    name: 'promote-without-proof',
    what: 'policy Wait is PromoteAfter',
    file: NODE_LOSS,
    find: "  if (policy === 'Wait')\n",
    replace: "  if (policy === 'Wait' && false)\n",
  },
  {
    name: 'no-brake',
    what: 'many nodes that go dark at once are all lost',
    file: BEATS,
    find: 'const isBraked = names.length >= MANY && names.length > brake * all;',
    replace: 'const isBraked = names.length > 2 * brake * all;',
  },
  {
    name: 'believe-a-silent-watch',
    what: 'what is said of a node is not read live before it counts as lost',
    file: LIVE_READS,
    find: 'const nodes = this.#options.nodes === undefined ? [] : nodesRestedOn(last);',
    replace: 'const nodes = nodesRestedOn(last).slice(0, 0);',
  },
  {
    name: 'silence-of-everybody',
    what: 'time in which nobody at all was heard counts against each node',
    file: BEATS,
    find: '    if (this.#isBlind) this.#beginAnew();\n',
    replace: '',
  },
  {
    name: 'do-not-name-adopted',
    what: 'adopted pods do not get the name by which the headless Service finds them',
    file: 'core/adoption.ts',
    find: '...(!member.named && { [LABEL.name]: singleton }),',
    replace: '',
  },
  {
    name: 'adopt-only-the-named',
    what: 'what only the watch of a selector tells of is not seen',
    file: 'operator/pod-cache.ts',
    find: 'if (adoption === undefined) return named;',
    replace: 'if (adoption === undefined || named.length >= 0) return named;',
  },
  {
    name: 'delete-adopted',
    what: 'standbys that somebody else owns are deleted as if the operator had made them',
    file: 'core/adoption.ts',
    find: '({ adopted, terminating }) => adopted !== true && !terminating',
    replace: '({ terminating }) => !terminating',
  },
  {
    name: 'leave-the-name-on-strangers',
    what: 'a pod that is not adopted any more keeps the name',
    file: MOVE,
    find: '...(singleton.spec?.selector !== undefined && { [LABEL.name]: null }),',
    replace: '',
  },
  {
    name: 'leave-a-sound-node',
    what: 'the active hands over although nobody drains its node',
    file: 'core/planned.ts',
    find: '  if (!isOnDrainingNode(holder, snapshot)) return undefined;\n',
    replace: '',
  },
  {
    name: 'preempt-by-age',
    what: 'an older candidate takes over from an active that is as good',
    file: PREEMPTION,
    find: 'a.preference > b.preference || (a.preference === b.preference && a.priority > b.priority);',
    replace: 'a.preference >= b.preference && (a.readySinceWallMs ?? 0) < (b.readySinceWallMs ?? 0);',
  },
  {
    name: 'preempt-at-once',
    what: 'a better candidate takes over without having been better for stableSeconds',
    file: PREEMPTION,
    find: '  const { stableMs } = spec.election;',
    replace: '  const stableMs = Math.min(0, spec.election.stableMs);',
  },
  {
    name: 'leave-the-request',
    what: 'the annotation of a request that was taken up stays',
    file: SWITCHOVER,
    find: 'return { actions: [...taking, removal(snapshot)], recheckAtMs: undefined };',
    replace: 'return { actions: taking, recheckAtMs: undefined };',
  },
  {
    name: 'remove-the-request-whatever-it-says',
    what: 'the annotation is removed although somebody has changed it since',
    file: EXECUTE,
    find: 'const patch = { metadata: { ...preconditions(action.expect), annotations: { [ANNOTATION.switchover]: null } } };',
    replace: 'const patch = { metadata: { annotations: { [ANNOTATION.switchover]: null } } };',
  },
  {
    name: 'forget-the-deadline',
    what: 'a request that can not be granted waits for ever',
    file: SWITCHOVER,
    find: '  deadlineAtMs(record, question) <= question.now.monotonicMs;',
    replace: '  deadlineAtMs(record, question) > Infinity;',
  },
];

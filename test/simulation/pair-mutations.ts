/**
 * The operator's side of mode `Agent`, broken in one place at a time (see mutations.ts), among agents that ship.
 *
 * Not here, since seeds do not tell them from the code as it is, but tables in test/core/fencing.test.ts do: containers that have
 * ended in a pod that goes on, taken for P2 (a simulated kubelet reports them with the last phase only); a sight that is
 * carried over a write which was meant for another version (nobody looks at a singleton between its write and the answer); an
 * expiry that is believed of a version that was not seen (each look takes in the version that it decides on). And terms that agents
 * have seen before etcd was restored, tried one by one: late, not wrong; test/core/lost-lease.test.ts and three scenarios tell. Nor an
 * agent that is asked to stop as soon as its node is silent: needless, not wrong; the scenario agent-silent-node-alive tells, too.
 */
import type { Mutation } from './mutations.ts';

const FENCING = 'core/fencing.ts';
const EXPIRY = 'core/expiry.ts';
const RELEASE = 'core/release.ts';
const LEASE = 'core/lease.ts';
const EXECUTE = 'operator/execute.ts';
const VIEWS = 'operator/views.ts';

const pair = (mutation: Omit<Mutation, 'mode'>): Mutation => ({ ...mutation, mode: 'Pair' });

export const PAIR_MUTATIONS: readonly Mutation[] = [
  {
    name: 'deletion-taken-for-the-stop',
    what: 'a holder that is being deleted is taken for stopped',
    file: FENCING,
    find: 'if (holder?.hasStopped === true) return {',
    replace: 'if (holder?.hasStopped === true || holder?.terminating === true) return {',
  },
  {
    name: 'unready-taken-for-the-stop',
    what: 'a holder that is not Ready is taken for stopped',
    file: FENCING,
    find: 'if (holder?.hasStopped === true) return {',
    replace: 'if (holder?.hasStopped === true || holder?.ready === false) return {',
  },
  {
    name: 'gone-pod-taken-for-the-stop',
    what: 'a holder whose pod was deleted by force is taken for stopped',
    file: FENCING,
    find: 'if (holder === undefined && memory.stopped === lease.holder)',
    replace: 'if (holder === undefined)',
  },
  {
    name: 'silent-node-taken-for-the-stop',
    what: 'a holder whose node is silent is taken for stopped',
    file: FENCING,
    find: 'if (trouble === undefined || !isAttested(trouble)) return undefined;\n  const how',
    replace: 'if (trouble === undefined) return undefined;\n  const how',
  },
  {
    name: 'phase-taken-for-the-stop',
    what: 'the last phase is taken for P2, with a container that runs',
    file: VIEWS,
    find: 'return isLast && hasAgents && all.every(({ state }) => state?.terminated !== undefined);',
    replace: 'return isLast && hasAgents;',
  },
  {
    name: 'another-stop-remembered',
    what: 'that one holder has ended is held against whoever holds the Lease later',
    file: FENCING,
    find: 'return isNow || memory.stopped === lease.holder ? lease.holder : undefined;',
    replace: 'return isNow || memory.stopped !== undefined ? lease.holder : undefined;',
  },
  {
    name: 'any-release-believed',
    what: 'the release of an older term counts as that of this one',
    file: FENCING,
    find: "if (lease.holder === '' && lease.releasedTerm === lease.term)\n",
    replace: "if (lease.holder === '' && lease.releasedTerm !== undefined)\n",
  },
  {
    name: 'expiry-from-the-grant',
    what: 'P5 counts from when the Lease was granted, by the wall clock',
    file: EXPIRY,
    find: '    sinceMs: Math.min(toldAtMs ?? now.monotonicMs, now.monotonicMs),\n',
    replace: '    sinceMs: now.monotonicMs - now.wallMs + (lease.move?.grantedWallMs ?? now.wallMs),\n',
  },
  {
    name: 'expiry-not-begun-anew',
    what: 'P5 counts on through renewals',
    file: EXPIRY,
    find: '    sinceMs: Math.min(toldAtMs ?? now.monotonicMs, now.monotonicMs),\n',
    replace: '    sinceMs: old?.sinceMs ?? now.monotonicMs,\n',
  },
  {
    name: 'expiry-from-before-first-sight',
    what: 'P5 counts from a moment before the Lease was seen as it is',
    file: EXPIRY,
    find: '    sinceMs: Math.min(toldAtMs ?? now.monotonicMs, now.monotonicMs),\n',
    replace: '    sinceMs: now.monotonicMs - 300,\n',
  },
  {
    name: 'expiry-by-the-spec',
    what: "the lease duration is the spec's, not the one that the holder goes by",
    file: EXPIRY,
    find: '    lease.leaseDurationMs ?? 0,\n    ...members.map(({ agent }) => agent?.leaseDurationMs ?? 0),\n',
    replace: '',
  },
  {
    name: 'expiry-of-half-a-lease',
    what: 'the Lease is taken for expired when its holder begins to stop',
    file: EXPIRY,
    find: 'return sight.sinceMs + leaseDurationMs(snapshot, lease);',
    replace: 'return sight.sinceMs + leaseDurationMs(snapshot, lease) / 2;',
  },
  {
    name: 'label-before-the-renewal',
    what: 'the new active is labelled before its agent has taken up its term',
    file: FENCING,
    find: "lease.holder !== '' && isFenced(snapshot, lease) && lease.renewedTerm !== lease.term;",
    replace: 'false;',
  },
  {
    name: 'any-renewal-believed',
    what: 'the renewal of an older term counts as the first of this one',
    file: FENCING,
    find: "lease.holder !== '' && isFenced(snapshot, lease) && lease.renewedTerm !== lease.term;",
    replace: "lease.holder !== '' && isFenced(snapshot, lease) && lease.renewedTerm === undefined;",
  },
  {
    name: 'ask-for-another-release',
    what: 'the release is asked for of another term than the holder has',
    file: RELEASE,
    find: '    term: lease.term,\n    kind,',
    replace: '    term: lease.term + 1,\n    kind,',
  },
  {
    name: 'grant-over-a-renewal',
    what: 'what is written to the Lease has no precondition, so that a renewal in between is not noticed',
    file: EXECUTE,
    find: '    ...preconditions(expect),\n    labels: { [LABEL.name]: singleton.name },',
    replace: '    uid: expect.uid,\n    labels: { [LABEL.name]: singleton.name },',
  },
  {
    name: 'grant-a-lost-lease-at-once',
    what: 'of a Lease that was lost nobody is waited for',
    file: FENCING,
    find: 'return isLost && members.some(({ agent }) => agent !== undefined);',
    replace: 'return false;',
  },
  {
    name: 'lost-lease-names-the-routed',
    what: 'a Lease that was lost is restored around whoever is routed, though another may act',
    file: LEASE,
    find: "const holder = routed === undefined || isFenced ? '' : holderIdentity(routed.pod, routed.uid);",
    replace: "const holder = routed === undefined ? '' : holderIdentity(routed.pod, routed.uid);",
  },
  {
    name: 'term-of-a-lost-lease-again',
    what: 'a Lease that was lost begins at the highest term that was told of',
    file: LEASE,
    find: 'const term = highest + TERM_GAP_AFTER_LOSS;',
    replace: 'const term = highest;',
  },
  {
    name: 'no-note-before-the-grant',
    what: 'nothing but the Lease bears witness of the first grant',
    file: LEASE,
    find: '  if (isNoted) return [];\n',
    replace: '  if (isNoted || !isNoted) return [];\n',
  },
  {
    name: 'note-of-another-not-looked-at',
    what: 'the first grant is made again in a Lease that takes the place of the noted one',
    file: LEASE,
    find: "spec?.fencing.mode === 'Agent' && status?.lease !== undefined && status.lease !== uid;",
    replace: 'false;',
  },
].map(pair);

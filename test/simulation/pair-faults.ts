/** What goes wrong beside the faults of agents, when the operator that ships is among them. */
import { LEASE } from '../../src/adapters/kubernetes/resources.ts';
import type { Fault, Targets } from './agent-simulation.ts';
import { CLOCK_RATE_ERROR, inSeconds, tightTiming } from './agent-world.ts';
import type { PairWorld } from './pair-world.ts';

type PairFault = (targets: Targets & { readonly pair: PairWorld }) => string | undefined;

/** The server, all of etcd with it, is away for so long at least while a backup is put back: every agent has stopped by then. */
const RESTORATION_MS = 30_000;

const deleteLease: PairFault = ({ pair }) => {
  pair.deleteLease();
  return 'the Lease is deleted';
};

/** When nothing else may bear witness of the grant yet; and then whoever granted may know nothing of it any more. */
const deleteAtGrant: PairFault = ({ world, pair, chance }) => {
  const [laterMs, crashes] = [chance.logBetween(1, 3_000), chance.happens(0.6)];
  pair.checkers.atNextGrant(() => {
    world.engine.after(laterMs, () => {
      if (world.isCalm) return;
      world.trace.note('fault', `the Lease is deleted${crashes ? ', and the operator crashes' : ''}`);
      if (crashes) world.operator.crash();
      pair.deleteLease();
      if (crashes) world.engine.after(chance.logBetween(1, 5_000), () => world.operator.start());
    });
  });
  return `the Lease will be deleted ${laterMs.toFixed(0)} ms after the next grant`;
};

const editLease: PairFault = ({ pair, chance, world }) => {
  const [member] = [...world.members.values()].filter(() => chance.happens(0.4));
  const edits = [
    { spec: { holderIdentity: '' } },
    { spec: { holderIdentity: member?.holder ?? 'somebody' } },
    { spec: { leaseTransitions: chance.below(30) } },
    { spec: { leaseDurationSeconds: 1 } },
    { spec: { leaseDurationSeconds: null } },
    { spec: { renewTime: '2020-01-01T00:00:00.000000Z' } },
    { metadata: { labels: { touched: String(chance.below(100)) } } },
  ];
  const edit = chance.pick(edits) ?? {};
  pair.editLease(edit);
  return `somebody edits the Lease: ${JSON.stringify(edit)}`;
};

const restoreLease: PairFault = ({ pair, chance }) => {
  const term = pair.restoreLease(chance);
  return term === undefined ? undefined : `the Lease of term ${term} is put back`;
};

const restoreAll: PairFault = ({ world, pair, chance }) => {
  if (world.network.isServerDown) return undefined;
  world.network.isServerDown = true;
  const forMs = Math.max(RESTORATION_MS, 2 * world.timing.leaseDurationMs) + chance.logBetween(1, 20_000);
  world.engine.after(forMs, () => {
    world.network.isServerDown = false;
    if (world.isCalm) return;
    world.trace.note('fault', `etcd is as it was at term ${pair.restoreAll(chance)}`);
  });
  return `etcd is restored, which takes ${forMs.toFixed(0)} ms`;
};

/** Somebody vouches for a machine that is off, for as long as it is. */
const attest: PairFault = ({ world, pair, chance }) => {
  const machine = chance.pick(world.machines.filter(({ isUp }) => !isUp));
  if (machine === undefined) return undefined;
  if (chance.happens(0.3)) {
    pair.deleteNode(machine);
    return `the Node object of ${machine.name} is deleted`;
  }
  pair.setOutOfService(machine.name, true);
  return `${machine.name} is out of service`;
};

const evict: PairFault = ({ world, pair, chance }) => {
  const member = chance.pick([...world.members.values()].filter(({ hasEnded }) => !hasEnded));
  const { machine } = member?.options ?? {};
  if (member === undefined || machine === undefined || world.cutOff.has(machine.name) || machine.isFrozen)
    return undefined;
  if (world.network.isServerDown) return undefined;
  pair.evict(member);
  return `${member.name} is evicted by its kubelet`;
};

const secondOperator: PairFault = ({ world, pair, chance }) => {
  pair.startSecond(1 + CLOCK_RATE_ERROR * chance.between(-1, 1));
  const forMs = chance.logBetween(200, 20_000);
  world.engine.after(forMs, () => pair.stopSecond());
  return `a second operator believes for ${forMs.toFixed(0)} ms that it leads`;
};

const pause: PairFault = ({ world, pair, chance }) => {
  pair.setPaused(true);
  const forMs = chance.logBetween(100, 20_000);
  world.engine.after(forMs, () => pair.setPaused(false));
  return `it is paused for ${forMs.toFixed(0)} ms`;
};

/** Members that are made from now on go by other times; those that are there by theirs. */
const changeTimes: PairFault = ({ world, pair, chance }) => {
  const timing = inSeconds(tightTiming(chance, world.timing.enforcement));
  pair.setTiming(timing);
  return `the spec's times are ${JSON.stringify(timing)}`;
};

/** Between its decision and the write. */
const freezeAtWrite: PairFault = ({ world, chance }) => {
  const { process } = world.operator;
  if (process === undefined) return undefined;
  const forMs = chance.logBetween(50, 30_000);
  const freeze = (): void => {
    if (world.isCalm) return;
    world.trace.note('fault', 'the operator is frozen before it writes the Lease');
    process.freeze();
    world.engine.after(forMs, () => process.wake());
  };
  process.onNextCall(freeze, ({ verb, resource }) => verb === 'patch' && resource === LEASE.plural);
  return `the operator's next write of the Lease leaves ${forMs.toFixed(0)} ms late`;
};

const crashAtGrant: PairFault = ({ world, pair, chance }) => {
  const [laterMs, awayMs] = [chance.logBetween(0.1, 100), chance.logBetween(1, 3_000)];
  pair.checkers.atNextGrant(() => {
    world.engine.after(laterMs, () => {
      if (world.isCalm) return;
      world.trace.note('fault', 'the operator crashes after a grant');
      world.operator.crash();
      world.engine.after(awayMs, () => world.operator.start());
    });
  });
  return `the operator will crash ${laterMs.toFixed(1)} ms after the next grant`;
};

const inPair =
  (fault: PairFault): Fault =>
  (targets) => {
    const { pair } = targets.world;
    return pair && fault({ ...targets, pair });
  };

export const PAIR_FAULTS: readonly (readonly [weight: number, fault: Fault])[] = [
  [1, inPair(deleteLease)],
  [1, inPair(deleteAtGrant)],
  [2, inPair(editLease)],
  [1, inPair(restoreLease)],
  [1, inPair(restoreAll)],
  [4, inPair(attest)],
  [1, inPair(evict)],
  [1, inPair(secondOperator)],
  [1, inPair(pause)],
  [1, inPair(changeTimes)],
  [2, inPair(freezeAtWrite)],
  [1, inPair(crashAtGrant)],
];

/** What the very first grant may meet. */
export function atFirst(targets: Targets): void {
  if (targets.world.pair === undefined || !targets.chance.happens(0.15)) return;
  const what = inPair(deleteAtGrant)(targets);
  if (what !== undefined) targets.world.trace.note('fault', what);
}

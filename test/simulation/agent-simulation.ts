/** One run of agents: faults, with I4 asked for at every instant at which a workload begins to act; then none, and one must act. */
import { LEASE } from '../../src/adapters/kubernetes/resources.ts';
import { AgentWorld } from './agent-world.ts';
import type { Machine, Member } from './agent-member.ts';
import { timingOf } from '../../src/api/timing.ts';
import type { Engine } from './engine.ts';
import { NO_FAULTS, wireFaults } from './faulty-wire.ts';
import { PAIR_FAULTS, atFirst } from './pair-faults.ts';
import { Chance } from './random.ts';
import type { RunOptions, RunResult } from './simulation.ts';

const DEFAULT_MINUTES = 2;
/** After the faults: the slowest message has arrived, or was given up. */
const CALM_MS = 25_000;
const REST_MS = 20_000;
/** A rollout may have to be ended. */
const PAIR_SETTLE_MS = 180_000;

export async function simulateAgents(options: RunOptions, isShipping = false): Promise<RunResult> {
  const { seed, minutes = DEFAULT_MINUTES, quiet = false, print } = options;
  const isHold = options.mode === 'Hold';
  const chance = new Chance(seed, 'agent nemesis');
  const faults = quiet ? NO_FAULTS : wireFaults(new Chance(seed, 'network'));
  const world = new AgentWorld({ seed, faults, isShipping, isHold, print });
  world.begin();
  // What needs a promise, an expiry and a grant takes longer than others leave it in peace.
  const pace = isHold && new Chance(seed, 'hold pace').happens(0.5) ? 4 : 1;
  const everyMs = chance.logBetween(1_000, 10_000) * pace;
  const stop = quiet ? undefined : nemesis(world, chance, (options.faultEverySeconds ?? everyMs / 1_000) * 1_000);
  await run(world.engine, minutes * 60_000);
  stop?.();
  if (!world.engine.isStopped) await comeToRest(world);
  // The operator that ships begins anew when it has lost its lead meanwhile, and here it has none to lose.
  if (!world.engine.isStopped && isHold && !isShipping) await withoutApiServer(world);
  const { violation, trace, engine, server } = world;
  return {
    seed,
    violation,
    tail: violation === undefined ? [] : trace.tail,
    state: violation === undefined ? [] : [...server.objects(LEASE)],
    hash: trace.hash,
    virtualMs: engine.nowMs,
  };
}

/** With the operator that ships. */
export const simulatePair = (options: RunOptions): Promise<RunResult> => simulateAgents(options, true);

const run = (engine: Engine, forMs: number): Promise<void> => engine.run(engine.nowMs + forMs);

async function comeToRest(world: AgentWorld): Promise<void> {
  const { engine, timing } = world;
  world.heal();
  await run(engine, CALM_MS);
  world.vouch();
  const withinMs = world.pair === undefined ? 3 * timing.leaseDurationMs + 20_000 : PAIR_SETTLE_MS;
  const untilMs = engine.nowMs + withinMs;
  while (world.wrong() !== undefined && engine.nowMs < untilMs && !engine.isStopped) await run(engine, 500);
  if (engine.isStopped || isWrong(world, 'it does not come to rest')) return;
  const term = world.checkers.highestTerm;
  if (world.pair !== undefined) {
    // The counts in the status may be written a moment later.
    await run(engine, 2_000);
    world.pair.checkers.isAtRest = true;
  }
  await run(engine, REST_MS);
  if (engine.isStopped || isWrong(world, 'it did not stay at rest')) return;
  if (world.checkers.highestTerm !== term) world.violated({ checker: 'I6', message: 'the active moved at rest' });
}

/** While only the API server is away the active stays active, and nothing moves when it is back. */
async function withoutApiServer(world: AgentWorld): Promise<void> {
  const { engine, timing, checkers, network } = world;
  if (world.operator.process === undefined || world.members.size < 2) return;
  const { highestTerm: term, actCount } = checkers;
  world.trace.note('trial', 'the API server is away, and nothing else is wrong');
  network.isServerDown = true;
  await run(engine, 3 * timing.leaseDurationMs);
  network.isServerDown = false;
  await run(engine, 2 * timing.leaseDurationMs + REST_MS);
  if (engine.isStopped || isWrong(world, 'after the API server was away')) return;
  if (checkers.highestTerm !== term)
    world.violated({ checker: 'I6', message: 'the active moved since the API server was away' });
  else if (checkers.actCount !== actCount)
    world.violated({ checker: 'I6', message: 'the active stopped while only the API server was away' });
}

function isWrong(world: AgentWorld, what: string): boolean {
  const wrong = world.wrong();
  if (wrong !== undefined) world.violated({ checker: 'I6', message: `${what}: ${wrong}` });
  return wrong !== undefined;
}

export interface Targets {
  readonly world: AgentWorld;
  readonly chance: Chance;
}

export type Fault = (targets: Targets) => string | undefined;

const aMachine = ({ world, chance }: Targets): Machine | undefined =>
  chance.pick(world.machines.filter(({ isUp, isFrozen }) => isUp && !isFrozen));

/** Where the agent itself has to kill, it must be there when the grace is over: nothing else is promised then. */
function isBusyKilling({ world }: Targets, { isStopping, isAgentAway }: Member): boolean {
  return world.timing.enforcement === 'Signal' && (isStopping || isAgentAway);
}

/** Most often the one that matters. */
function aMember({ world, chance }: Targets): Member | undefined {
  const members = [...world.members.values()].filter(({ hasEnded }) => !hasEnded);
  const active = members.filter(({ name }) => world.checkers.acting.includes(name));
  return chance.happens(0.8) && active.length > 0 ? chance.pick(active) : chance.pick(members);
}

const theirMachine = (targets: Targets): Machine | undefined => {
  const machine = aMember(targets)?.options.machine;
  return machine?.isUp === true && !machine.isFrozen ? machine : aMachine(targets);
};

const FAULTS: readonly (readonly [weight: number, fault: Fault])[] = [
  [
    2,
    // The constellation in which every term of the inequality is used up: the last renewal's answer comes late.
    (targets) => {
      const { world, chance } = targets;
      const member = aMember(targets);
      const { machine } = member?.options ?? {};
      if (member === undefined || machine === undefined || world.cutOff.has(machine.name)) return undefined;
      const { stopGraceMs, enforcement } = member.options.timing;
      const { fenceDeadlineMs } = timingOf(member.options.timing);
      const lateMs = chance.logBetween(
        50,
        Math.min(fenceDeadlineMs, enforcement === 'Signal' ? stopGraceMs : Infinity) * 0.9,
      );
      member.onNextWrite(() => {
        if (world.isCalm || isBusyKilling(targets, member)) return;
        world.engine.after(0, () => member.freezeAgent(lateMs));
        world.engine.after(lateMs + chance.logBetween(1, 20), () => world.cut(machine, true));
        world.engine.after(lateMs + chance.logBetween(1_000, 60_000), () => world.cut(machine, false));
      });
      return `the answer to the next write of ${member.name} comes ${lateMs.toFixed(0)} ms late, and is the last`;
    },
  ],
  [
    5,
    (targets) => {
      const machine = theirMachine(targets);
      if (machine === undefined) return undefined;
      const { world, chance } = targets;
      const forMs = chance.logBetween(200, 60_000);
      world.cut(machine, true);
      world.engine.after(forMs, () => world.cut(machine, false));
      return `${machine.name} is cut off for ${forMs.toFixed(0)} ms`;
    },
  ],
  [
    2,
    ({ world, chance }) => {
      if (world.network.isServerDown) return undefined;
      const forMs = chance.logBetween(200, 40_000);
      world.network.isServerDown = true;
      world.engine.after(forMs, () => {
        world.network.isServerDown = false;
      });
      return `the API server is away for ${forMs.toFixed(0)} ms`;
    },
  ],
  [
    4,
    (targets) => {
      const member = aMember(targets);
      if (member === undefined || isBusyKilling(targets, member)) return undefined;
      // A client looks at the clock itself.
      const { enforcement, stopGraceMs } = member.options.timing;
      const forMs = targets.chance.logBetween(50, enforcement === 'Signal' ? stopGraceMs * 0.95 : 60_000);
      member.freezeAgent(forMs);
      return `the agent of ${member.name} is frozen for ${forMs.toFixed(0)} ms`;
    },
  ],
  [
    3,
    (targets) => {
      const member = aMember(targets);
      // Where nobody kills it, a frozen process may wake up at any time.
      if (member === undefined || targets.world.timing.enforcement === 'Cooperative') return undefined;
      const forMs = targets.chance.logBetween(50, 60_000);
      member.freezeWorkload(forMs);
      return `the workload of ${member.name} is frozen for ${forMs.toFixed(0)} ms`;
    },
  ],
  [
    1,
    (targets) => {
      const machine = theirMachine(targets);
      if (machine === undefined) return undefined;
      const forMs = targets.chance.logBetween(100, 40_000);
      targets.world.freeze(machine);
      targets.world.engine.after(forMs, () => targets.world.wake(machine));
      return `${machine.name} is frozen as a whole for ${forMs.toFixed(0)} ms`;
    },
  ],
  [
    2,
    (targets) => {
      const member = aMember(targets);
      if (member === undefined || isBusyKilling(targets, member)) return undefined;
      member.crashAgent();
      return `the agent of ${member.name} crashes`;
    },
  ],
  [
    2,
    (targets) => {
      const member = aMember(targets);
      member?.crashWorkload();
      return member && `the workload of ${member.name} crashes`;
    },
  ],
  [
    1,
    (targets) => {
      const machine = theirMachine(targets);
      if (machine === undefined || targets.world.machines.filter(({ isUp }) => isUp).length < 2) return undefined;
      targets.world.lose(machine);
      targets.world.engine.after(targets.chance.logBetween(1_000, 60_000), () => targets.world.boot(machine));
      return `${machine.name} is off`;
    },
  ],
  [
    2,
    (targets) => {
      const member = aMember(targets);
      // Its kubelet hears of it only from the API server.
      if (member === undefined || targets.world.cutOff.has(member.options.machine.name)) return undefined;
      if (targets.world.network.isServerDown || member.options.machine.isFrozen) return undefined;
      member.delete();
      return `${member.name} is deleted`;
    },
  ],
  [
    1,
    (targets) => {
      const member = aMember(targets);
      if (member === undefined) return undefined;
      targets.world.forceDelete(member);
      return `${member.name} is force-deleted`;
    },
  ],
  [
    3,
    ({ world }) => {
      world.operator.move();
      return 'a planned move';
    },
  ],
  [
    2,
    ({ world, chance }) => {
      const process = world.operator.process;
      process?.freeze();
      world.engine.after(chance.logBetween(50, 30_000), () => process?.wake());
      return 'the operator is frozen';
    },
  ],
  [
    1,
    ({ world, chance }) => {
      world.operator.crash();
      world.engine.after(chance.logBetween(50, 10_000), () => world.operator.start());
      return 'the operator crashes';
    },
  ],
  [
    1,
    ({ world, chance }) => {
      world.network.cutOff.add('operator');
      world.engine.after(chance.logBetween(50, 20_000), () => world.network.cutOff.delete('operator'));
      return 'the operator is cut off';
    },
  ],
];

/** So many members at most, with those that are born meanwhile. */
const MOST_MEMBERS = 5;

function isolate({ machines, peers }: AgentWorld, machine: Machine, isCut: boolean): void {
  for (const other of machines) if (other !== machine) peers?.cut(machine, other, isCut);
}

const othersOf = ({ members }: AgentWorld, member: Member): Member[] =>
  [...members.values()].filter((other) => other !== member && !other.hasEnded && !other.options.machine.isFrozen);

/** As soon as the Lease says that the one with this UID can be asked; not if that takes long. */
function whenTold(world: AgentWorld, uid: string, then: () => void, tries = 200): void {
  if (tries === 0 || world.isCalm) return;
  if (world.isTold(uid)) then();
  else world.engine.after(50, () => whenTold(world, uid, then, tries - 1));
}

/** What matters to those who ask each other. */
const HOLD_FAULTS: readonly (readonly [weight: number, fault: Fault])[] = [
  [
    8,
    // In which all that a promise is made of is used up: its answer comes late, is the last, and the others are new processes.
    (targets) => {
      const { world, chance } = targets;
      const member = aMember(targets);
      const { machine } = member?.options ?? {};
      if (member === undefined || machine === undefined || world.cutOff.has(machine.name)) return undefined;
      const { leaseDurationMs, stopGraceMs, enforcement } = world.timing;
      const most = Math.min(timingOf(world.timing).fenceDeadlineMs, enforcement === 'Signal' ? stopGraceMs : Infinity);
      const lateMs = chance.between(0, most * 0.6);
      const others = chance.pick(['stay', 'stay', 'stay', 'crash', 'reboot'] as const);
      world.cut(machine, true);
      world.engine.after(chance.between(0.2, 1.3) * leaseDurationMs, () =>
        member.onNextAsk(() => {
          if (world.isCalm || isBusyKilling(targets, member)) return;
          world.engine.after(0, () => member.freezeAgent(lateMs));
          world.engine.after(lateMs + chance.logBetween(1, 20), () => isolate(world, machine, true));
          for (const other of othersOf(world, member)) {
            if (others === 'stay' || isBusyKilling(targets, other) || chance.happens(0.2)) continue;
            world.engine.after(lateMs * 0.9, () => (others === 'reboot' ? other.reboot() : other.crashAgent()));
          }
        }),
      );
      world.engine.after(2 * leaseDurationMs, () => {
        world.cut(machine, false);
        isolate(world, machine, false);
      });
      return `${member.name} is cut off, and a promise comes ${lateMs.toFixed(0)} ms late`;
    },
  ],
  [
    4,
    (targets) => {
      const { world, chance } = targets;
      const [one, other] = [theirMachine(targets), aMachine(targets)];
      if (one === undefined || other === undefined || one === other) return undefined;
      const forMs = chance.logBetween(200, 60_000);
      world.peers?.cut(one, other, true);
      world.engine.after(forMs, () => world.peers?.cut(one, other, false));
      return `nothing passes between ${one.name} and ${other.name} for ${forMs.toFixed(0)} ms`;
    },
  ],
  [
    4,
    ({ world, chance }) => {
      if (world.isShipping) return undefined;
      const up = world.machines.filter(({ isUp }) => isUp);
      const [machine] = up.toSorted((a, b) => world.on(a).length - world.on(b).length);
      if (machine === undefined || world.members.size >= MOST_MEMBERS) return undefined;
      world.engine.after(chance.logBetween(1, 5_000), () => world.bear(machine));
      return `a member more, on ${machine.name}`;
    },
  ],
  [
    3,
    (targets) => {
      const member = aMember(targets);
      if (member === undefined || isBusyKilling(targets, member) || member.options.machine.isFrozen) return undefined;
      member.reboot();
      return `the containers of ${member.name} begin anew, and remember nothing`;
    },
  ],
  [
    4,
    // Its renewal with another set lands, or does not, and it never hears of it.
    (targets) => {
      const { world, chance } = targets;
      const member = aMember(targets);
      const up = chance.pick(world.machines.filter(({ isUp }) => isUp));
      if (member === undefined || up === undefined || world.isShipping) return undefined;
      if (world.members.size >= MOST_MEMBERS) return undefined;
      const { machine } = member.options;
      const forMs = chance.between(1, 4) * world.timing.leaseDurationMs;
      const afterMs = chance.logBetween(0.1, 50);
      const uid = world.bear(up);
      const cutWithNext = (): void =>
        member.onNextWrite(() => {
          if (world.isCalm) return;
          world.engine.after(afterMs, () => world.cut(machine, true));
          world.engine.after(forMs, () => world.cut(machine, false));
        });
      whenTold(world, uid, cutWithNext);
      return `a member is born, and ${member.name} is cut off ${afterMs.toFixed(1)} ms after it has sent that`;
    },
  ],
];

/** @returns ends it */
function nemesis(world: AgentWorld, chance: Chance, everyMs: number): () => void {
  const targets = { world, chance };
  const faults = [
    ...FAULTS,
    ...(world.pair === undefined ? [] : PAIR_FAULTS),
    ...(world.peers === undefined ? [] : HOLD_FAULTS),
  ];
  const bag = faults.flatMap(([weight, fault]) => Array.from({ length: weight }, () => fault));
  atFirst(targets);
  let isOver = false;
  const next = (): void => {
    world.engine.after(chance.waitMs(everyMs), () => {
      if (isOver) return;
      const what = chance.pick(bag)?.(targets);
      if (what !== undefined) world.trace.note('fault', what);
      world.applyCuts();
      next();
    });
  };
  next();
  return () => {
    isOver = true;
  };
}

/**
 * One run: a world, and everything that may befall it, all of it from one seed. First faults, with the safety invariants
 * asked for after every write; then none, and it must come to rest with one active.
 */
import { SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import type { KubeObject } from '../../src/api/objects.ts';
import { NO_FAULTS, wireFaults } from './faulty-wire.ts';
import { Nemesis } from './nemesis.ts';
import type { Targets } from './nemesis.ts';
import { Chance } from './random.ts';
import { tryOut } from './trials.ts';
import { World } from './world.ts';
import type { DatedViolation } from './world.ts';

export interface RunOptions {
  readonly seed: number;
  /** Of virtual time with faults. Default 3. */
  readonly minutes?: number;
  /** Of the operator. Default: 1 to 3, by chance. */
  readonly replicas?: number;
  /** True: nothing goes wrong; for measuring. */
  readonly quiet?: boolean;
  /** Seconds from one fault to the next, on average. Default: 0.7 to 7, by chance. */
  readonly faultEverySeconds?: number;
  readonly print?: (line: string) => void;
  /** `Agent`: no operator that ships, but agents that do; `Pair`: both (agent-simulation.ts). `Hold`: as `Agent`, with `onApiLoss: Hold`. */
  readonly mode?: 'Agent' | 'Pair' | 'Hold';
}

export interface RunResult {
  readonly seed: number;
  readonly violation: DatedViolation | undefined;
  /** The newest lines of the trace, and the objects, when something was violated. */
  readonly tail: readonly string[];
  readonly state: readonly KubeObject[];
  readonly hash: string;
  readonly virtualMs: number;
}

const DEFAULT_MINUTES = 3;
/** The share of runs in which the pods are somebody else's. */
const ADOPTING = 0.25;
/** After the faults: the slowest message arrives within this. */
const CALM_MS = 20_000;
/** Then everything must be in order after so long: the longest backoffs are 30 s and 60 s. */
const SETTLE_MS = 130_000;
/** Meanwhile some small things are tried out. */
const TRIALS = 3;
/** And stay so for as long. */
const REST_MS = 60_000;

export async function simulate(options: RunOptions): Promise<RunResult> {
  const { seed, minutes = DEFAULT_MINUTES, quiet = false, print } = options;
  const chance = new Chance(seed, 'world');
  const replicas = options.replicas ?? 1 + chance.below(3);
  const faults = quiet ? NO_FAULTS : wireFaults(new Chance(seed, 'network'));
  const isAdopting = new Chance(seed, 'adoption').happens(ADOPTING);
  const world = new World({ seed, replicas, faults, print, isAdopting });
  const everyMs = chance.logBetween(700, 7_000);
  const { faultEverySeconds = everyMs / 1_000 } = options;
  world.begin();
  world.cluster.create('user', SINGLETON_SERVICE, world.manifest);
  const targets = targetsOf(world, new Chance(seed, 'nemesis'));
  const nemesis = quiet ? undefined : new Nemesis(targets, faultEverySeconds * 1_000);
  nemesis?.start();
  await world.run(minutes * 60_000);
  nemesis?.stop();
  if (!world.engine.isStopped && !quiet) await comeToRest(world, targets);
  const { violation, trace, engine } = world;
  return {
    seed,
    violation,
    tail: violation === undefined ? [] : trace.tail,
    state: violation === undefined ? [] : world.state(),
    hash: trace.hash,
    virtualMs: engine.nowMs,
  };
}

async function comeToRest(world: World, targets: Targets): Promise<void> {
  world.heal();
  await world.run(CALM_MS);
  await world.settle(SETTLE_MS);
  // The counts in the status may be written a moment later.
  await world.run(2_000);
  await tryOut(world, targets, TRIALS);
  const active = await world.settle(SETTLE_MS);
  if (active !== undefined) await world.rest(active, REST_MS);
}

function targetsOf(world: World, chance: Chance): Targets {
  const { engine, cluster, network, kubelets, replicas, trace, manifest, owner } = world;
  const { disruptionBudgets } = world.server;
  const compact = (): void => world.server.compact();
  const targets = { engine, cluster, network, kubelets, replicas, trace, chance, manifest, owner };
  return { ...targets, disruptionBudgets, compact };
}

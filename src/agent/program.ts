/** The agent's parts, put together. Whoever starts it hands in the environment, signals and the exit. */
import type { Clock, Logger } from '../adapters/ports.ts';
import { timingOf } from '../api/timing.ts';
import { fenceRules } from '../core/fence.ts';
import type { FenceRules, Remembered } from '../core/fence-types.ts';
import { Agent } from './agent.ts';
import { callHook, urlOf } from './hooks.ts';
import type { LeaseSource, WorkloadPort } from './ports.ts';
import { peerPort, servePeers } from './peers.ts';
import type { PeerOptions, PeerServer } from './peers.ts';
import { killAll } from './processes.ts';
import { serveAgent } from './server.ts';
import type { AgentServer } from './server.ts';
import type { AgentSettings } from './settings.ts';
import { readState, writeState } from './state-file.ts';
import { stateText } from './state.ts';
import { UserProbe } from './user-probe.ts';
import { Watchers } from './watchers.ts';

export interface ProgramOptions {
  readonly settings: AgentSettings;
  readonly source: LeaseSource;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Of the workload, where they can be seen. */
  readonly processes: () => readonly number[];
  readonly kill: (pid: number) => void;
  readonly onExit: () => void;
}

export interface Program {
  readonly server: AgentServer;
  readonly agent: Agent;
  /** `onApiLoss: Hold`: where the other agents ask. */
  readonly peerServer: PeerServer | undefined;
  close(): Promise<void>;
}

/** To begin may take a while. */
const ACTIVATE_DEADLINE_MS = 5_000;
/** So late is a crash noticed where the agent sees the workload's processes. */
const LOOK_EVERY_MS = 50;

/** Rejects when the port is taken, or when the state file is there and cannot be read. */
export async function startProgram(options: ProgramOptions): Promise<Program> {
  const { settings, source, clock, logger, onExit } = options;
  const rules = rulesOf(settings);
  const remembered = readState(settings.stateFile);
  // First what holds: to find out may itself be news that others hear.
  const state = () => {
    const { report } = agent;
    return stateText(report, clock, agent.nextSequence());
  };
  const watchers = new Watchers(state, {
    onStopped: (term, sequence) => agent.acknowledge(term, sequence),
    onGone: () => agent.hear({ kind: 'gone' }),
  });
  const workload = workloadPort(options, rules, watchers, () => agent.nextSequence());
  const peering = peeringOf(settings, rules, logger);
  const peers = peering && peerPort(peering, peering.port);
  const agent: Agent = new Agent({ rules, clock, source, workload, logger, remembered, onExit, peers });
  const probes = userProbes(settings, clock);
  const server = await serveAgent({
    port: settings.port,
    state,
    watchers,
    // Both are asked: the user's probe goes on while the agent fences.
    probe: (container) => [agent.probe(container), probes.get(container)?.isHealthy ?? true].every(Boolean),
    isStopping: () => agent.isStopping,
  });
  const peerServer = peering && (await servePeers(peering, (question) => agent.asked(question)));
  agent.start();
  const look = settings.timing.enforcement === 'Signal' ? lookForProcesses(agent, options.processes) : undefined;
  return {
    server,
    agent,
    peerServer,
    close: async () => {
      clearInterval(look);
      agent.close();
      watchers.close();
      await server.close();
      await peerServer?.close();
    },
  };
}

/** Undefined: this agent asks nobody, and nobody asks it. */
function peeringOf(
  { hold, namespace, singleton }: AgentSettings,
  { requestDeadlineMs: deadlineMs }: FenceRules,
  logger: Logger,
): PeerOptions | undefined {
  if (hold === undefined) return undefined;
  const { uid, podIp: host, port, keyFile } = hold;
  return { namespace, singleton, uid, host, port, keyFile, deadlineMs, logger };
}

const rulesOf = ({ timing, holder, hooks, probes, hold }: AgentSettings): FenceRules =>
  fenceRules({
    ...timing,
    holder,
    hooks: { activate: hooks.activate !== undefined, deactivate: hooks.deactivate !== undefined },
    containers: [...probes.keys()],
    holdAs: hold?.uid,
  });

function workloadPort(
  { settings, clock, logger, kill, processes }: ProgramOptions,
  rules: FenceRules,
  watchers: Watchers,
  nextSequence: () => number,
): WorkloadPort {
  const deadlines = { activate: ACTIVATE_DEADLINE_MS, deactivate: Math.max(rules.stopGraceMs, 1_000) };
  const { hooks, stateFile } = settings;
  let last: Remembered['report'] | undefined;
  return {
    publish: (told: Remembered) => {
      let isWritten = true;
      // Written down before anybody is told: an agent that dies in between remembers too much rather than too little.
      try {
        writeState(stateFile, stateText(told.report, clock, nextSequence()), told);
      } catch (error) {
        // To be told to stop is worth more than a note.
        logger.error('the state could not be written', { file: stateFile, error: String(error) });
        isWritten = false;
      }
      // Terms that others hold are nothing that the workload is told.
      if (told.report !== last) watchers.publish();
      last = told.report;
      return isWritten;
    },
    callHook: (call, signal) => callHook(urlOf(hooks, call.hook), call, deadlines[call.hook], signal),
    kill: () => {
      const failures = killAll(processes(), kill);
      if (failures.length > 0) logger.error('processes could not be killed', { failures });
    },
  };
}

const userProbes = ({ probes }: AgentSettings, clock: Clock): Map<string, UserProbe> =>
  new Map(
    [...probes].flatMap(([container, spec]) =>
      spec === undefined ? [] : [[container, new UserProbe(spec, () => clock.monotonicMs())]],
    ),
  );

/** Gone: none of the workload's processes is there, neither an old nor a new one. */
function lookForProcesses(agent: Agent, processes: () => readonly number[]): NodeJS.Timeout {
  let wereThere = false;
  return setInterval(() => {
    const areThere = processes().length > 0;
    // One that ended before it was asked to stop, too, has nothing left to stop.
    if (!areThere && (wereThere || agent.isStopping)) agent.hear({ kind: 'gone' });
    wereThere = areThere;
  }, LOOK_EVERY_MS);
}

/** For a whole request: what takes longer than its term is worth nothing. */
export const requestDeadlineMs = ({ timing }: AgentSettings): number => timingOf(timing).fenceDeadlineMs;

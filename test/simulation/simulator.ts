/** What runs a seed. Only what a run needs is loaded: a mutation may break the rest. */
import type { RunOptions, RunResult } from './simulation.ts';

export async function simulatorFor(mode: RunOptions['mode']): Promise<(options: RunOptions) => Promise<RunResult>> {
  if (mode === 'Agent' || mode === 'Hold') return (await import('./agent-simulation.ts')).simulateAgents;
  if (mode === 'Pair') return (await import('./agent-simulation.ts')).simulatePair;
  return (await import('./simulation.ts')).simulate;
}

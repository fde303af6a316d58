/** The workload's processes, where the pod's containers share one process namespace. */
import { readdirSync } from 'node:fs';

/** The pod's pause process. */
const PAUSE = 1;

/** All but the pod's own, this one and its parent: agents run nothing else. */
export function workloadProcesses(): number[] {
  const ours = [PAUSE, process.pid, process.ppid];
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => !ours.includes(pid));
}

/** @returns those that could not be killed, with the reason */
export function killAll(pids: readonly number[], kill: (pid: number) => void): string[] {
  return pids.flatMap((pid) => {
    try {
      kill(pid);
      return [];
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      return code === 'ESRCH' ? [] : [`${pid}: ${code}`];
    }
  });
}

/** Memory and processor time of processes, from /proc. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const TICKS_PER_SECOND = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
const SAMPLE_EVERY_MS = 100;

const megabytes = (status: string, field: string): number =>
  Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? Number.NaN) / 1024;

/** Resident now, and the highest since the process began. */
export function memoryMb(pid: number): { readonly rss: number; readonly peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return { rss: megabytes(status, 'VmRSS'), peak: megabytes(status, 'VmHWM') };
}

/** User and system time since the process began. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The second field is the command in parentheses and may have spaces; utime and stime are the 14th and 15th.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

export interface Usage {
  readonly phase: string;
  readonly seconds: number;
  readonly rssStartMb: number;
  readonly rssEndMb: number;
  /** The highest of a sample every 100 ms. */
  readonly rssMaxMb: number;
  /** Processor seconds, by program. */
  readonly cpu: Readonly<Record<string, number>>;
}

/** Starts to watch; the returned function ends that and says what was used. `pids[subject]`'s memory is looked at. */
export function meter(phase: string, pids: Readonly<Record<string, number>>, subject: string): () => Usage {
  const pid = pids[subject] ?? 0;
  const times = () => Object.fromEntries(Object.entries(pids).map(([name, each]) => [name, cpuSeconds(each)]));
  const before = times();
  const startedAtMs = performance.now();
  const rssStartMb = memoryMb(pid).rss;
  let rssMaxMb = rssStartMb;
  const timer = setInterval(() => {
    rssMaxMb = Math.max(rssMaxMb, memoryMb(pid).rss);
  }, SAMPLE_EVERY_MS);
  return () => {
    clearInterval(timer);
    const rssEndMb = memoryMb(pid).rss;
    const cpu = Object.fromEntries(Object.entries(times()).map(([name, used]) => [name, used - (before[name] ?? 0)]));
    const seconds = (performance.now() - startedAtMs) / 1000;
    return { phase, seconds, rssStartMb, rssEndMb, rssMaxMb: Math.max(rssMaxMb, rssEndMb), cpu };
  };
}

import type { Report } from '../core/fence-types.ts';
import type { Clock } from '../adapters/ports.ts';

/** What `GET /v1/state` answers, each event of `/v1/watch`, and `state.json`. */
export interface StateText {
  readonly active: boolean;
  /** The fencing token; 0: this pod was never active. */
  readonly term: number;
  /** Since when it is so, by the wall clock. */
  readonly since: string;
  /** 0 when not active. From then on the workload must not act, whatever it hears or does not hear. */
  readonly expiresInMs: number;
  /** Grows; with that of the hooks it tells what was said later. */
  readonly sequence: number;
}

export function stateText(report: Report, clock: Clock, sequence: number): StateText {
  const nowMs = clock.monotonicMs();
  const active = report.active && nowMs < report.untilMs;
  return {
    active,
    term: report.term,
    since: new Date(clock.wallMs() - (nowMs - report.sinceMs)).toISOString(),
    expiresInMs: active ? Math.floor(report.untilMs - nowMs) : 0,
    sequence,
  };
}

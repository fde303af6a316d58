/** Wall-clock times as objects carry them. Pure: nothing here asks what time it is. */

/** RFC 3339 with milliseconds: `2026-01-02T03:04:05.678Z`. */
export const toIso = (wallMs: number): string => new Date(wallMs).toISOString();

/** RFC 3339 with microseconds, as `coordination.k8s.io` wants its MicroTime. */
export const toMicroTime = (wallMs: number): string => `${toIso(wallMs).slice(0, -1)}000Z`;

/** Milliseconds since 1970, or undefined for what is no time. */
export function fromIso(text: string | null | undefined): number | undefined {
  if (text === null || text === undefined) return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}

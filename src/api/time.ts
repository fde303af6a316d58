/** Wall-clock times as objects carry them. Pure: nothing here asks what time it is. */

/** RFC 3339 with milliseconds: `2026-01-02T03:04:05.678Z`. */
export function toIso(wallMs: number): string {
  const ms = Math.floor(wallMs);
  // Before 1970 the parts below would be negative.
  if (!(ms >= 0)) return new Date(wallMs).toISOString();
  const inHourMs = ms % HOUR_MS;
  const minute = Math.floor(inHourMs / 60_000);
  const second = Math.floor(inHourMs / 1_000) % 60;
  return `${hourText((ms - inHourMs) / HOUR_MS)}${padded(minute, 2)}:${padded(second, 2)}.${padded(ms % 1_000, 3)}Z`;
}

const HOUR_MS = 3_600_000;

/** Of the hour asked for last: nearly all times that are written are of the same one, and to write a date takes long. */
let lastHour = { number: 0, text: '1970-01-01T00:' };

/** `2026-01-02T03:` */
function hourText(number: number): string {
  if (number !== lastHour.number)
    lastHour = { number, text: new Date(number * HOUR_MS).toISOString().slice(0, -'00:00.000Z'.length) };
  return lastHour.text;
}

const padded = (part: number, digits: number): string => String(part).padStart(digits, '0');

/** RFC 3339 with microseconds, as `coordination.k8s.io` wants its MicroTime. */
export const toMicroTime = (wallMs: number): string => `${toIso(wallMs).slice(0, -1)}000Z`;

/** Milliseconds since 1970, or undefined for what is no time. */
export function fromIso(text: string | null | undefined): number | undefined {
  if (text === null || text === undefined) return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}

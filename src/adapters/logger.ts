/** Logs through pino: JSON lines for machines, or one readable line each for people. */
import { pino } from 'pino';
import type { Logger, LogFields } from './ports.ts';

export interface LoggerOptions {
  readonly level: string;
  readonly format: 'json' | 'pretty';
  /** Where the lines go. */
  readonly write: (line: string) => void;
}

export function createLogger({ level, format, write }: LoggerOptions): Logger {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { error: errorFields },
  };
  const log = pino(options, { write: (line) => write(format === 'json' ? line : pretty(line)) });
  const at =
    (name: 'info' | 'warn' | 'error') =>
    (message: string, fields: LogFields = {}): void =>
      log[name](fields, message);
  const debug: Logger['debug'] = (message, fields = {}) => {
    if (log.isLevelEnabled('debug')) log.debug(typeof fields === 'function' ? fields() : fields, message);
  };
  return { debug, info: at('info'), warn: at('warn'), error: at('error') };
}

/** A stack trace helps only with what nobody expected; expected errors are told by their message. */
function errorFields(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const isExpected = error.name === 'ApiError' || error.name === 'TransportError';
  return isExpected ? error.message : (error.stack ?? error.message);
}

function pretty(line: string): string {
  const { level, time, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const rest = Object.entries(fields)
    .map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(' ');
  const clock = String(time).slice(11, 23);
  return `${clock} ${String(level).toUpperCase().padEnd(5)} ${String(msg)}${rest === '' ? '' : `  ${rest}`}\n`;
}

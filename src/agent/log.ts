import type { LogFields, Logger } from '../adapters/ports.ts';

/** One line of JSON for each message, as the operator's. */
export function createAgentLogger(write: (line: string) => void, wallMs: () => number): Logger {
  const at =
    (level: string) =>
    (message: string, fields: LogFields = {}): void => {
      write(`${JSON.stringify({ time: new Date(wallMs()).toISOString(), level, msg: message, ...fields })}\n`);
    };
  return { debug: () => undefined, info: at('info'), warn: at('warn'), error: at('error') };
}

import { type Logger, pino } from 'pino';

export type { Logger } from 'pino';

/** JSON lines, on stderr or in a file. A log line never holds a header value, a body or a token: callers pass facts, not messages. */
export function createLogger(service: string, file?: string): Logger {
  return pino({ name: service, base: { pid: process.pid } }, pino.destination({ dest: file ?? 2, sync: true }));
}

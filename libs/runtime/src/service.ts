import { ConfigError, type Env } from './env.ts';
import { createLogger, type Logger } from './log.ts';

/** A running service, as its process sees it. */
export interface Service {
  /** What the supervisor is told with `ready`: a port, for instance. */
  readonly facts?: Readonly<Record<string, string | number>>;
  /** Takes nothing new, finishes the work in hand, closes its connections. */
  drain(): Promise<void>;
}

/** What a service starts with. */
export interface ServiceContext {
  readonly env: Env;
  readonly log: Logger;
  /** Ends the process at once, with code 1: it must not go on, and another begins anew. */
  readonly fail: (why: string) => void;
}

/** What a service's process tells its supervisor over IPC. */
export type ServiceMessage =
  | { readonly kind: 'ready'; readonly facts: Readonly<Record<string, string | number>> }
  | { readonly kind: 'unable'; readonly message: string };

/** A drain that takes longer is ended. Milliseconds. */
const drainDeadlineMs = 10_000;

/**
 * Runs a service as this process: starts it, says `ready`, drains on SIGTERM, SIGINT, or when the
 * supervisor is gone, and exits 0. A start that fails says why in one line and exits 1; an error
 * nobody caught ends the process, because a service in an unknown state must not decide.
 */
export function runService(name: string, env: Env, start: (context: ServiceContext) => Promise<Service>): void {
  const log = createLogger(name);
  const tell = (message: ServiceMessage): void => {
    if (process.connected) process.send?.(message);
  };
  const fail = (why: string): void => {
    log.fatal({ why }, 'this process must not go on');
    process.exit(1);
  };
  const started = start({ env, log, fail });
  let draining = false;
  const drain = (why: string): void => {
    if (draining) return;
    draining = true;
    log.info({ why }, 'draining');
    setTimeout(() => {
      log.error('the drain took too long');
      process.exit(1);
    }, drainDeadlineMs).unref();
    started
      .then((service) => service.drain())
      .then(
        () => process.exit(0),
        (error: unknown) => {
          log.error({ err: error }, 'the drain failed');
          process.exit(1);
        },
      );
  };
  process.on('SIGTERM', () => drain('SIGTERM'));
  process.on('SIGINT', () => drain('SIGINT'));
  process.on('disconnect', () => drain('the supervisor is gone'));
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, 'uncaught');
    process.exit(1);
  });
  started.then(
    (service) => {
      log.info(service.facts ?? {}, 'ready');
      tell({ kind: 'ready', facts: service.facts ?? {} });
    },
    (error: unknown) => {
      const message = error instanceof Error ? error.message : String(error);
      if (!(error instanceof ConfigError)) log.fatal({ err: error }, 'cannot start');
      tell({ kind: 'unable', message });
      process.exitCode = 1;
      // An open IPC channel or broker connection would keep the process alive for ever.
      setTimeout(() => process.exit(1), 50);
    },
  );
}

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Env } from './env.ts';
import type { Logger } from './log.ts';
import type { ServiceMessage } from './service.ts';

/** A program to keep running. */
export interface Part {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Env;
  /** File that its stdout and stderr are appended to. */
  readonly output: string;
  /** `ipc`: ready when it says so; otherwise ready when this resolves. */
  readonly ready: 'ipc' | ((child: ChildProcess) => Promise<void>);
}

/** A part that runs, restarts and all. */
export interface Running {
  readonly name: string;
  /** What it said of itself when it became ready. */
  readonly facts: Readonly<Record<string, string | number>>;
  /** Of the process that runs now. */
  pid(): number | undefined;
  /** SIGTERM, then SIGKILL after 12 s. It is not started again. */
  stop(): Promise<void>;
}

/** Restarts within a minute before a part counts as broken. */
const restartBudget = 5;
const budgetMs = 60_000;
const readyDeadlineMs = 60_000;
const stopDeadlineMs = 12_000;

/** What happens to a part after its first start. */
export interface PartEvents {
  /** It died more often than its budget allows, and is not started again. */
  broken(message: string): void;
  /** It has a new process. */
  restarted(): void;
}

/** Starts a part and keeps it running. Throws when it does not become ready the first time. */
export async function supervise(part: Part, restartDelayMs: number, log: Logger, events: PartEvents): Promise<Running> {
  let stopping = false;
  let child = launch(part);
  const facts = await whenReady(part, child);
  const deaths: number[] = [];

  void (async () => {
    for (;;) {
      await exitOf(child);
      if (stopping) return;
      log.error({ part: part.name, code: child.exitCode, signal: child.signalCode }, 'a part died');
      const now = performance.now();
      deaths.push(now);
      while ((deaths[0] ?? now) < now - budgetMs) deaths.shift();
      if (deaths.length > restartBudget) {
        events.broken(`${part.name} died ${deaths.length} times within a minute`);
        return;
      }
      await sleep(restartDelayMs, undefined, { ref: false });
      if (stopping) return;
      child = launch(part);
      events.restarted();
      whenReady(part, child).then(
        () => log.info({ part: part.name }, 'a part is back'),
        (error: unknown) => {
          log.error({ part: part.name, err: error }, 'a part did not come back');
          child.kill('SIGKILL');
        },
      );
    }
  })();

  return {
    name: part.name,
    facts,
    pid: () => child.pid,
    async stop() {
      stopping = true;
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = exitOf(child);
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), stopDeadlineMs);
      await gone;
      clearTimeout(timer);
    },
  };
}

function launch(part: Part): ChildProcess {
  const output = openSync(part.output, 'a', 0o600);
  const ipc = part.ready === 'ipc' ? (['ipc'] as const) : [];
  try {
    return spawn(part.command, part.args, {
      env: { ...part.env },
      stdio: ['ignore', output, output, ...ipc],
      // Ctrl-C goes to a terminal's whole process group; the parts are told in order, by `stop`.
      detached: true,
    });
  } finally {
    closeSync(output);
  }
}

async function whenReady(part: Part, child: ChildProcess): Promise<Readonly<Record<string, string | number>>> {
  const deadline = new AbortController();
  const late = sleep(readyDeadlineMs, undefined, { signal: deadline.signal, ref: false }).then(() => {
    throw new Error(`${part.name} did not become ready within ${readyDeadlineMs / 1000} s`);
  });
  const died = exitOf(child).then(() => {
    throw new Error(`${part.name} stopped while starting`);
  });
  const failed = once(child, 'error', { signal: deadline.signal }).then(([error]) => {
    throw new Error(`${part.name} could not be started: ${(error as Error).message}`);
  });
  for (const rejection of [late, died, failed]) rejection.catch(() => undefined);
  try {
    return await Promise.race([
      part.ready === 'ipc' ? readyByIpc(child) : part.ready(child).then(() => ({})),
      late,
      died,
      failed,
    ]);
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  } finally {
    deadline.abort();
  }
}

function readyByIpc(child: ChildProcess): Promise<Readonly<Record<string, string | number>>> {
  return new Promise((resolve, reject) => {
    child.once('message', (message) => {
      const said = message as ServiceMessage;
      if (said.kind === 'ready') resolve(said.facts);
      else reject(new Error(said.message));
    });
  });
}

async function exitOf(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit').catch(() => undefined);
}

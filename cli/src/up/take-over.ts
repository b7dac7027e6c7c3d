import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConfigError } from '@sluice/runtime';
import { type HomePaths, readState } from '../home.ts';

const orphanDeadlineMs = 10_000;

/** Throws `ConfigError` when a Sluice runs in this home. */
export function assertStopped(home: HomePaths): void {
  const pid = readState(home)?.pid ?? 0;
  if (pid === process.pid || !isOurs(pid, 'main.ts')) return;
  throw new ConfigError(
    `Sluice runs already in ${home.root} (pid ${pid}); stop it, or set SLUICE_HOME to another directory`,
  );
}

/** One Sluice per home: refuses a second, and stops what a crashed one left running. Throws `ConfigError`. */
export async function takeOver(home: HomePaths): Promise<void> {
  assertStopped(home);
  const state = readState(home);
  if (state === null) return;
  // Services end with their supervisor; broker and queue know none, and their command lines name this home.
  const orphans = Object.values(state.parts).filter((pid) => isOurs(pid, home.root));
  for (const pid of orphans) process.kill(pid, 'SIGTERM');
  for (const deadline = performance.now() + orphanDeadlineMs; orphans.some((pid) => isOurs(pid, home.root)); ) {
    if (performance.now() > deadline)
      throw new ConfigError(`a part of a crashed Sluice does not stop (pid ${orphans.join(', ')})`);
    await sleep(50);
  }
}

/** Whether a process is alive and has `mark` in its command line: pids are used again. */
function isOurs(pid: number, mark: string): boolean {
  if (pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return !existsSync('/proc/self') || readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(mark);
  } catch {
    return false;
  }
}

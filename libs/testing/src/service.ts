import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ServiceMessage } from '@sluice/runtime';
import { repository } from './sluice.ts';

export type ServiceName = 'approval' | 'ingress' | 'masking' | 'policy' | 'recorder';

/** Another process of a service, beside those that `sluice up` has started. Nobody starts it again. */
export interface ExtraService {
  readonly pid: number;
  /** What it said of itself when it became ready. */
  readonly facts: Readonly<Record<string, string | number>>;
  /** SIGTERM; resolves when it has ended, however it did. */
  stop(): Promise<void>;
}

/** Starts one, and waits until it is ready. Its log goes to the file `output`. Throws an `Error` that says why it cannot start. */
export async function startService(name: ServiceName, env: NodeJS.ProcessEnv, output: string): Promise<ExtraService> {
  const log = openSync(output, 'a', 0o600);
  const program = join(repository, 'services', name, 'src', 'main.ts');
  const child = spawn(process.execPath, [program], { env, stdio: ['ignore', log, log, 'ipc'] });
  closeSync(log);
  const said = await Promise.race([
    once(child, 'message').then(([message]) => message as ServiceMessage),
    once(child, 'exit').then((): ServiceMessage => ({ kind: 'unable', message: `it ended; its log is ${output}` })),
  ]);
  if (said.kind === 'unable') throw new Error(`${name}: ${said.message}`);
  return { pid: child.pid ?? 0, facts: said.facts, stop: () => stop(child) };
}

/** The environment that a process of this machine was started with, its channel to its parent left out. */
export function environmentOf(pid: number): Record<string, string> {
  const entries = readFileSync(`/proc/${pid}/environ`, 'utf8')
    .split('\0')
    .filter((entry) => entry !== '' && !entry.startsWith('NODE_CHANNEL_'));
  return Object.fromEntries(
    entries.map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]),
  );
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  // One that is stopped by a signal takes no other but this.
  child.kill('SIGCONT');
  await gone;
}

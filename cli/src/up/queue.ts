import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { askQueueServer, ConfigError, type Part, type QueueServer, queueConfig, queueUrl } from '@sluice/runtime';
import type { HomePaths } from '../home.ts';
import { freePort } from './broker.ts';

/** A Redis to start: how, and where its clients find it. */
export interface QueuePlan {
  readonly part: Part;
  /** With the password. */
  readonly url: string;
  readonly version: string;
}

/**
 * Plans a redis-server on loopback for the queues of the approval service. Its password is new with every start, and stands
 * in its configuration alone (0600): command lines are for all to read. Throws `ConfigError`.
 */
export async function planQueue(home: HomePaths, program: string, output: string): Promise<QueuePlan> {
  const version = versionOf(program);
  const server: QueueServer = { port: await freePort(), password: randomBytes(24).toString('base64url') };
  const file = join(home.queue, 'redis.conf');
  writeFileSync(file, queueConfig(server, home.queue), { mode: 0o600 });
  return {
    url: queueUrl(server),
    version,
    part: {
      name: 'queue',
      command: program,
      args: [file],
      env: {},
      output,
      ready: () => answering(server),
    },
  };
}

/** Host and port of a URL. Throws `ConfigError`, which does not repeat it: there is a password in it. */
export function queueHost(redis: string): string {
  if (!URL.canParse(redis)) throw new ConfigError('SLUICE_REDIS_URL is no URL; redis://:PASSWORD@HOST:PORT/0 is one');
  return new URL(redis).host;
}

function versionOf(program: string): string {
  try {
    const said = execFileSync(program, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    return /v=(\S+)/.exec(said)?.[1] ?? said.trim();
  } catch (error) {
    throw new ConfigError(`${program} does not run (${(error as NodeJS.ErrnoException).code ?? 'it failed'})`);
  }
}

/** It listens before it has read its data, and then says `-LOADING`. */
async function answering(server: QueueServer): Promise<void> {
  while ((await askQueueServer(server, 'PING')) !== '+PONG') await sleep(50);
}

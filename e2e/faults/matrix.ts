// Each worker dies at each point of a call's life, one after the other, under one load.
import { setTimeout as sleep } from 'node:timers/promises';
import { within } from '@sluice/testing';
import { at, survivors, turn, warmUpMs } from './breaking.ts';
import type { Done, Run } from './experiments.ts';

/** In turn, so that none dies more often within a minute than its supervisor lets it. */
const workers = ['policy', 'masking', 'recorder', 'broker'] as const;
const points = ['before-ask', 'before-ack', 'after-first-upstream-byte'] as const;
/** Of each worker in one world. */
const deaths = 5;
/** So many seeds in a row have each worker die ten times at each point. */
export const matrixSeeds = (10 * points.length) / deaths;

export async function matrix({ world, load, random, seed }: Run): Promise<Done> {
  const dead = survivors(world, 'ingress');
  let slowestMs = 0;
  await sleep(warmUpMs);
  for (let death = 0; death < deaths; death++) {
    const point = turn(points, seed * deaths + death);
    for (const worker of workers) {
      // What is back already may die again; of a recorder that is away calls see nothing.
      if (worker === 'recorder') await world.healed(load, 0);
      const stop = at(point)(world);
      await within(`a call at ${point}`, stop.reached);
      await sleep(random.below(20));
      const sinceMs = await world.kill(worker, 'SIGKILL');
      stop.release();
      slowestMs = Math.max(slowestMs, await world.takesChanges(load, sinceMs));
    }
  }
  await world.healed(load, 0);
  const died = dead();
  return {
    fault: `${workers.join(', ')} killed ${deaths} times each`,
    measured: `${workers.length * deaths} kills`,
    recoveryMs: slowestMs,
    check: () => died,
  };
}

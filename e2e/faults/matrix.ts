// Each worker dies at each point of a call's life, one after the other, under one load; and while a reviewer is asked.
import { setTimeout as sleep } from 'node:timers/promises';
import { within } from '@sluice/testing';
import { holdCall, usedOnce } from './approval-faults.ts';
import { at, survivors, turn, warmUpMs } from './breaking.ts';
import type { Done, Run } from './experiments.ts';

/** In turn, so that none dies more often within a minute than its supervisor lets it. */
const workers = ['policy', 'approval', 'masking', 'recorder', 'broker'] as const;
const points = ['before-ask', 'before-ack', 'after-first-upstream-byte'] as const;
/** Of each worker in one world. */
const deaths = 5;
/** So many seeds in a row have each worker die five times at each point; twice as many, ten times. */
export const matrixSeeds = (5 * points.length) / deaths;

export async function matrix(run: Run): Promise<Done> {
  const { world, load, random, seed } = run;
  const approved: string[] = [];
  const dead = survivors(world, 'ingress');
  let slowestMs = 0;
  await sleep(warmUpMs);
  for (let death = 0; death < deaths; death++) {
    const point = turn(points, seed * deaths + death);
    for (const worker of workers) {
      // What is back already may die again; of a recorder that is away calls see nothing.
      if (worker === 'recorder') await world.healed(load, 0);
      const held = await holdCall(run, approved.length);
      const stop = at(point)(world);
      await within(`a call at ${point}`, stop.reached);
      await sleep(random.below(20));
      const sinceMs = await world.kill(worker, 'SIGKILL');
      stop.release();
      const [recoveredMs] = await Promise.all([world.takesChanges(load, sinceMs), held.approve()]);
      slowestMs = Math.max(slowestMs, recoveredMs);
      approved.push(held.target);
    }
  }
  await world.healed(load, 0);
  const died = dead();
  return {
    fault: `${workers.join(', ')} killed ${deaths} times each`,
    measured: `${workers.length * deaths} kills, each with a call that waits for a reviewer`,
    recoveryMs: slowestMs,
    check: (evidence) => [...died, ...usedOnce(evidence, approved)],
  };
}

// What experiments have in common: points at which something breaks, and the death of a part there.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Experiment, Run } from './experiments.ts';
import type { World } from './world.ts';

/** The seed takes these in turn. */
export const turn = <T>(list: readonly T[], seed: number): T => list[seed % list.length] as T;

/** Lets the load reach its pace. */
export const warmUpMs = 400;

/** A point at which something is to break. */
export interface Point {
  /** Resolves when somebody is there. */
  readonly reached: Promise<void>;
  /** Lets whoever waits there go on. */
  release(): void;
}

export type Phases = Readonly<Record<string, (world: World) => Point>>;

export const anywhere = (): Point => ({ reached: Promise.resolve(), release: () => undefined });
/** A failpoint of Sluice's own. */
export const at =
  (name: string) =>
  ({ sluice }: World): Point => {
    const armed = sluice.arm(name);
    return { reached: armed.reached(), release: () => armed.release() };
  };
/** The cluster holds the call. */
export const atCluster =
  (kind: 'stall-before-response' | 'stall-half-way', target = '/configmaps') =>
  ({ cluster }: World): Point =>
    cluster.arm({ kind, target });

/** Who is to live through it; what it returns says which of them have died meanwhile. */
export function survivors(world: World, ...parts: readonly string[]): () => string[] {
  const before = new Map(parts.map((part) => [part, world.pid(part)]));
  return () => parts.filter((part) => world.pid(part) !== before.get(part)).map((part) => `${part} died of it`);
}

/** A part is killed while a call, or a batch, is at a point of its life. Every second round takes the next signal. */
export function kill(
  part: string,
  phases: Phases,
  signals: readonly ['SIGKILL', ...NodeJS.Signals[]],
): Experiment['run'] {
  return async ({ world, load, random, seed }: Run) => {
    const [phase, arm] = turn(Object.entries(phases), seed);
    const signal = turn(signals, Math.floor(seed / Object.keys(phases).length));
    await sleep(warmUpMs + random.below(300));
    const point = arm(world);
    await point.reached;
    await sleep(random.below(50));
    const sinceMs = await world.kill(part, signal);
    point.release();
    return { fault: `${part} ended by ${signal}, ${phase}`, recoveryMs: await world.healed(load, sinceMs) };
  };
}

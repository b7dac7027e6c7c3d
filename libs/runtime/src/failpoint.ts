import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Env } from './env.ts';

/**
 * Stops at named points, for the fault experiments. Off, and free, unless `SLUICE_FAILPOINTS` names
 * a directory. While `<dir>/<point>.armed` exists, whoever comes to the point leaves
 * `<point>.reached` there and waits until `.armed` is gone.
 */
export type Failpoint<Point extends string> = (point: Point) => Promise<void> | undefined;

const pollMs = 10;

export function failpoints<Point extends string>(env: Env): Failpoint<Point> {
  const dir = env['SLUICE_FAILPOINTS'];
  if (dir === undefined || dir === '') return () => undefined;
  return async (point) => {
    const armed = join(dir, `${point}.armed`);
    if (!existsSync(armed)) return;
    writeFileSync(join(dir, `${point}.reached`), '');
    while (existsSync(armed)) await sleep(pollMs);
  };
}

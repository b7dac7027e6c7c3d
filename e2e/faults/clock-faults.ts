// One process has a clock of its own: five minutes off, or stepping back while it works.
import { execFileSync } from 'node:child_process';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { repository, until } from '@sluice/testing';
import { survivors, turn, warmUpMs } from './breaking.ts';
import type { Done, Run } from './experiments.ts';
import { allowedByNobody } from './policy-faults.ts';
import { reasonIn } from './verifier.ts';
import type { World } from './world.ts';

/** Seconds that a clock is off, one after the other. */
const skews = [
  ['ingress', [300]],
  ['policy', [-300]],
  ['ingress', [-300]],
  ['policy', [300]],
  ['ingress', [0, -300]],
  ['policy', [300, 0, -300]],
] as const;

/** What the recorder logs of a writer whose clock is wrong, and ingress of a decision that is over. */
const skewed = '"code":"ClockSkewed"';
const untrusted = '"code":"DecisionNotTrusted"';

/** A clock stays as it is for so long. */
const lastsMs = 1_000;

/** A second ingress, or a second policy worker, with a clock that is wrong. */
export async function skewClock({ world, load, random, seed, name }: Run): Promise<Done> {
  const [part, offsets] = turn(skews, seed);
  const clock = openClock(world, name);
  clock.set(offsets[0]);
  const dead = survivors(world, 'ingress', 'policy', 'masking', 'recorder');
  const peer = await world.peer(part, { ...clock.env, SLUICE_PORT: '0' });
  const alarms = alarmsSince(world);
  // Calls go to the skewed ingress, or to the one whose decisions come from the skewed worker in part.
  const own = part === 'ingress' ? world.load(`${name.replaceAll('-', '/')}/skewed`, Number(peer.facts['port'])) : load;
  if (own !== load) own.start(seed);
  await sleep(warmUpMs);
  for (const seconds of offsets) {
    clock.set(seconds);
    await sleep(lastsMs + random.below(500));
  }
  const since = own.exchanges.length;
  await until('a change that is decided, or is not', () =>
    own.exchanges
      .slice(since)
      .some((exchange) => exchange.status === 201 || reasonIn(exchange) === 'PolicyUnavailable'),
  );
  const isBehind = (offsets.at(-1) ?? 0) < 0;
  if (part === 'ingress') await until('an alarm of the clock', () => alarms(skewed, 'recorder') > 0);
  else if (isBehind) await until('an alarm of a decision', () => alarms(untrusted, 'ingress') > 0);
  if (own !== load) await own.stop();
  await peer.stop();
  const died = dead();
  const refused = own.exchanges.filter((exchange) => reasonIn(exchange) === 'PolicyUnavailable').length;
  const allowed = own.exchanges.filter(({ status }) => status >= 200 && status < 300).length;
  return {
    fault: `clock of ${part} off by ${offsets.map((seconds) => `${seconds} s`).join(', then ')}`,
    measured: `${allowed} calls went through, ${refused} undecided`,
    recoveryMs: await world.healed(load, performance.now()),
    check: (evidence) => [
      ...died,
      // By a clock that is ahead every decision is over before it comes.
      ...(part === 'ingress' && offsets[0] > 0 && allowed > 0 ? ['an old decision was used'] : []),
      ...allowedByNobody(evidence),
    ],
  };
}

/** Counts lines of logs from now on. */
function alarmsSince(world: World): (text: string, part: 'ingress' | 'recorder') => number {
  const before = { ingress: world.logged('ingress', untrusted), recorder: world.logged('recorder', skewed) };
  return (text, part) => world.logged(part, text) - before[part];
}

/** A clock of one process, set by a file; its monotonic one goes on as it does. */
function openClock(world: World, name: string): { readonly env: Record<string, string>; set(seconds: number): void } {
  const file = join(world.sluice.home, `${name}.clock`);
  const library = execFileSync(process.execPath, [join(repository, 'tools', 'setup.mjs'), 'libfaketime'], {
    encoding: 'utf8',
  }).trim();
  return {
    env: {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    },
    set(seconds) {
      writeFileSync(`${file}.next`, `${seconds < 0 ? '' : '+'}${seconds}s\n`);
      renameSync(`${file}.next`, file);
    },
  };
}

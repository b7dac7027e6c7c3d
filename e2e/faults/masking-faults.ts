// What can happen to the workers that mask: they die, hang or are slow while a secret is on its way through them.
import { setTimeout as sleep } from 'node:timers/promises';
import { within } from '@sluice/testing';
import { atCluster, survivors, turn, warmUpMs } from './breaking.ts';
import { canaryLog, planted } from './canary.ts';
import type { Done, Run } from './experiments.ts';
import type { Exchange } from './load.ts';
import { reasonIn } from './verifier.ts';
import type { World } from './world.ts';

/** One half of a secret has been masked, the other is still to come. Returns when the trouble is over. */
type Trouble = (world: World, goOn: () => void, answered: Promise<Exchange>) => Promise<void>;

const slowTurns = 8;
const slowMs = 250;

const troubles: Readonly<Record<string, Trouble>> = {
  'is killed': async (world, goOn) => {
    await world.kill('masking', 'SIGKILL');
    goOn();
  },
  'hangs until the answer is cut': async (world, goOn, answered) => {
    const thaw = world.freeze('masking');
    goOn();
    await answered;
    thaw();
  },
  'is slow': async (world, goOn) => {
    goOn();
    for (let times = 0; times < slowTurns; times++) {
      const thaw = world.freeze('masking');
      await sleep(slowMs);
      thaw();
      await sleep(slowMs / 10);
    }
  },
  'hangs and is killed': async (world, goOn) => {
    world.freeze('masking');
    goOn();
    await sleep(slowMs);
    await world.kill('masking', 'SIGKILL');
  },
};

/** A log with a secret in it comes in two halves, each with half of the secret, and masking is in trouble in between. */
export async function troubleMasking({ world, load, random, seed }: Run): Promise<Done> {
  const [how, trouble] = turn(Object.entries(troubles), seed);
  await sleep(warmUpMs + random.below(300));
  const before = load.exchanges.length;
  const dead = survivors(world, 'ingress', 'policy', 'recorder');
  const halfWay = atCluster('stall-half-way', canaryLog)(world);
  const answered = load.send({ agent: 'archivist', method: 'GET', target: canaryLog });
  await within('the log to be half way', halfWay.reached);
  await sleep(random.below(100));
  await trouble(world, () => halfWay.release(), answered);
  const recoveryMs = await world.healed(load, performance.now());
  const log = await answered;
  const died = dead();
  const since = load.exchanges.slice(before);
  const unmasked = since.filter((exchange) => /^(MaskingUnavailable|ResponseWithheld)$/.test(reasonIn(exchange)));
  const broken = since.filter(({ ended }) => ended === 'broken');
  return {
    fault: `masking ${how}`,
    measured: `${unmasked.length} calls refused, ${broken.length} broke off, the log ended as ${log.status}, ${log.ended}`,
    recoveryMs,
    check: () => [
      ...died,
      ...(how.endsWith('is cut') && isWhole(log) ? ['a log came whole without a worker'] : []),
      ...(isWhole(log) && !log.received.includes(planted.marker) ? ['a whole log came without its marker'] : []),
    ],
  };
}

function isWhole({ status, ended }: Exchange): boolean {
  return status === 200 && ended === 'whole';
}

// What can happen to the workers that decide: they die around an answer, or hesitate until nobody waits for it.
import { setTimeout as sleep } from 'node:timers/promises';
import { type Decision, decodeDecisionRequest, type FrameMeta, inboxPrefixOf, subjects } from '@sluice/model';
import type { Broker } from '@sluice/runtime';
import { until } from '@sluice/testing';
import { anywhere, at, kill, type Phases, survivors, turn, warmUpMs } from './breaking.ts';
import type { Done, Run } from './experiments.ts';
import type { Exchange } from './load.ts';
import { type Evidence, reasonIn } from './verifier.ts';
import type { World } from './world.ts';

/** An ingress waits so long for a decision. */
const patienceMs = 2_000;

const phases: Phases = { anywhere, asked: at('policy-asked'), decided: at('policy-decided') };

/** The worker is killed around an answer, which is lost then; until it is back, there is none at all. */
export async function killPolicy(run: Run): Promise<Done> {
  const before = run.load.exchanges.length;
  const dead = survivors(run.world, 'ingress', 'masking', 'recorder');
  const done = await kill('policy', phases, ['SIGKILL'])(run);
  // Those whose answer is lost are waited for.
  await sleep(patienceMs);
  const undecided = undecidedOf(run.load.exchanges.slice(before));
  const died = dead();
  return {
    ...done,
    measured: `${undecided.length} calls undecided, refused ${histogram(undecided)}`,
    check: (evidence) => [
      ...died,
      ...(undecided.length === 0 ? ['no call was undecided'] : []),
      ...allowedByNobody(evidence),
    ],
  };
}

/** How a worker hesitates, and how it goes on. */
const hesitations: Readonly<Record<string, (world: World) => Promise<() => Promise<void>>>> = {
  'answers late': async (world) => {
    const point = at('policy-decided')(world);
    await point.reached;
    return async () => point.release();
  },
  'is frozen': async (world) => {
    const thaw = world.freeze('policy');
    return async () => thaw();
  },
  'is frozen beside a peer': async (world) => {
    const peer = await world.peer('policy');
    const thaw = world.freeze('policy');
    return async () => {
      thaw();
      await peer.stop();
    };
  },
};

/** The worker answers when nobody waits any more. */
export async function hesitate({ world, load, random, seed }: Run): Promise<Done> {
  const [how, hesitates] = turn(Object.entries(hesitations), seed);
  const late = hearLateAllows(world.broker);
  const dead = survivors(world, 'ingress', 'policy', 'masking', 'recorder');
  await sleep(warmUpMs + random.below(300));
  const goOn = await hesitates(world);
  const sinceMs = performance.now();
  const asked = (): Exchange[] => load.exchanges.filter(({ agent, beganMs }) => agent !== '' && beganMs >= sinceMs);
  await until('an undecided call', () => undecidedOf(asked()).length > 0);
  // A call goes to either of two workers; ingress asks a second time about few.
  if (how.endsWith('a peer')) await until('a call that the peer decided', () => decidedOf(asked()).length > 0);
  await sleep(random.below(1_000));
  const decided = decidedOf(asked()).length;
  const undecided = undecidedOf(asked());
  const goesOnMs = performance.now();
  await goOn();
  const recoveryMs = await world.healed(load, goesOnMs);
  const allows = late.stop();
  const died = dead();
  return {
    fault: `policy ${how}`,
    measured: `${decided} calls decided, ${undecided.length} undecided, refused ${histogram(undecided)}; ${allows} allows came late`,
    recoveryMs,
    check: (evidence) => [
      ...died,
      ...(allows === 0 ? ['no allow came late'] : []),
      ...(!how.endsWith('a peer') && decided > 0 ? ['calls were decided without a worker'] : []),
      ...allowedByNobody(evidence),
    ],
  };
}

const macBytes = 32;

/** Counts allows that come when the ingress that asked has given up. */
function hearLateAllows({ nats }: Broker): { stop(): number } {
  const askedMs = new Map<string, number>();
  let allows = 0;
  const asks = nats.subscribe(subjects.decide, {
    callback: (error, message) => {
      if (error !== null) return;
      const { digest } = decodeDecisionRequest(Buffer.from(message.data)).request;
      if (!askedMs.has(digest)) askedMs.set(digest, performance.now());
    },
  });
  const answers = nats.subscribe(`${inboxPrefixOf('ingress')}.>`, {
    callback: (error, message) => {
      if (error !== null) return;
      const decision = decisionIn(Buffer.from(message.data));
      const sinceMs = askedMs.get(decision?.digest ?? '') ?? Number.POSITIVE_INFINITY;
      if (decision?.effect === 'allow' && performance.now() - sinceMs > patienceMs) allows++;
    },
  });
  return {
    stop() {
      asks.unsubscribe();
      answers.unsubscribe();
      return allows;
    },
  };
}

/** What a reply says, if it is a decision; masking and the broker itself answer ingress, too. */
function decisionIn(reply: Buffer): Pick<Decision, 'digest' | 'effect'> | undefined {
  try {
    return JSON.parse(reply.toString('utf8', macBytes)) as Decision;
  } catch {
    return undefined;
  }
}

/** Calls that were refused because nobody decided them. */
function undecidedOf(exchanges: readonly Exchange[]): Exchange[] {
  return exchanges.filter((exchange) => reasonIn(exchange) === 'PolicyUnavailable');
}

/** Calls that got another answer than that. */
function decidedOf(exchanges: readonly Exchange[]): Exchange[] {
  return exchanges.filter((exchange) => exchange.status !== 0 && reasonIn(exchange) !== 'PolicyUnavailable');
}

/** Of this world, in which every other allow is somebody's invention. */
const policies: ReadonlySet<string> = new Set(['faults', 'faults-in-full']);

/** A sentence for each call that was let through, and not by these. */
export function allowedByNobody({ frames }: Evidence): string[] {
  return frames.flatMap(({ frame }) => {
    if (frame.kind !== 'call') return [];
    const { effect, policy } = (JSON.parse(frame.meta) as FrameMeta['call']).decision;
    return effect === 'allow' && !policies.has(policy) ? [`call ${frame.call} was allowed by "${policy}"`] : [];
  });
}

const boundsMs = [50, 500, 2_100, Number.POSITIVE_INFINITY];

/** How many took how long. */
function histogram(exchanges: readonly Exchange[]): string {
  let from = 0;
  const counts = boundsMs.map((boundMs) => {
    const count = exchanges.filter(({ tookMs }) => tookMs >= from && tookMs < boundMs).length;
    from = boundMs;
    return Number.isFinite(boundMs) ? `${count} within ${boundMs} ms` : `${count} later`;
  });
  return counts.join(', ');
}

// The fault experiments: each breaks one thing at a point that the seed chooses, under load, and lets it heal.
import { setTimeout as sleep } from 'node:timers/promises';
import type { StreamKey } from '@sluice/model';
import { until } from '@sluice/testing';
import { killKeeper, loseQueues, useAtOnce, voteAtOnce } from './approval-faults.ts';
import { anywhere, at, atCluster, kill, type Phases, turn, warmUpMs } from './breaking.ts';
import { disturb, hostileBodies, type Planted, poison, steal } from './chaos.ts';
import { cheat, forgeries } from './cheat.ts';
import { skewClock } from './clock-faults.ts';
import type { Load } from './load.ts';
import { troubleMasking } from './masking-faults.ts';
import { matrix, matrixSeeds } from './matrix.ts';
import { hesitate, killPolicy } from './policy-faults.ts';
import type { Random } from './random.ts';
import { type Evidence, reasonIn } from './verifier.ts';
import type { DatabaseKind, World } from './world.ts';

/** What an experiment works with. */
export interface Run {
  readonly world: World;
  readonly load: Load;
  readonly random: Random;
  /** Counts up with the seed: phases are taken in turn. */
  readonly seed: number;
  /** Of this run alone: names and ledgers of its own begin with it. */
  readonly name: string;
}

/** What a run did. */
export interface Done {
  /** What was broken, and where. */
  readonly fault: string;
  /** What was measured meanwhile. */
  readonly measured?: string;
  /** From the fault, or from its end where it lasted, until changes went through again. */
  readonly recoveryMs: number;
  readonly planted?: Planted;
  /** What the record must say besides; a sentence for each thing it does not. */
  readonly check?: (evidence: Evidence) => readonly string[];
}

export interface Experiment {
  readonly title: string;
  readonly database: DatabaseKind;
  readonly run: (run: Run) => Promise<Done>;
  /** Default: as many as let no part die too often. */
  readonly runsPerWorld?: number;
  /** Of ledgers; default: so short that of what dies nobody waits long. */
  readonly leaseMs?: number;
  /** How many seeds in a row make it complete; default: there is no such number. */
  readonly seeds?: number;
}

const callPhases: Phases = {
  anywhere,
  parsed: at('before-ask'),
  decided: at('before-ack'),
  published: at('after-publish'),
  acked: at('after-ack'),
  forwarded: atCluster('stall-before-response'),
  answered: at('after-first-upstream-byte'),
  'mid-response': atCluster('stall-half-way'),
  closing: at('before-outcome'),
};

/** Before a batch is inserted, the one before it has been acknowledged. */
const batchPhases: Phases = { anywhere, 'before insert': at('before-insert'), 'after insert': at('after-insert') };

/** What ingress logs when a decision does not hold. */
const alarm = '"code":"DecisionNotTrusted"';

/** Somebody with a part's place on the broker answers in the name of policy. */
async function forgeDecisions({ world, load, random, seed, name }: Run): Promise<Done> {
  const forgery = turn(forgeries, seed);
  const isAlone = random.below(2) === 0;
  await sleep(warmUpMs);
  const alarmsBefore = world.logged('ingress', alarm);
  const cheating = await cheat(world.broker, forgery, name);
  const thaw = isAlone ? world.freeze('policy') : undefined;
  const denied = await load.send({ agent: 'writer', method: 'DELETE', target: '/api/v1/namespaces/shop' });
  await sleep(500 + random.below(500));
  const forged = cheating.stop();
  thaw?.();
  const sinceMs = performance.now();
  const alarms = world.logged('ingress', alarm) - alarmsBefore;
  return {
    fault: `${forgery} decisions${isAlone ? ', policy frozen' : ''}`,
    recoveryMs: await world.healed(load, sinceMs),
    check: ({ frames }) => [
      ...(forged === 0 ? ['nothing was forged'] : []),
      ...(isAlone && alarms === 0 ? ['no alarm'] : []),
      ...(/^(DeniedByRule|PolicyUnavailable)$/.test(reasonIn(denied)) ? [] : [`a denied call got ${denied.status}`]),
      ...frames
        .filter(({ frame }) => frame.meta.includes(`"rule":"${name}"`))
        .map(({ frame }) => `call ${frame.call} was decided by a forger`),
    ],
  };
}

/** What is full, and whether ingress dies of it: then frames of one stream are lost, and the other has what came after. */
const shortages: readonly (readonly [stream: StreamKey, ingress: 'lives' | 'dies'])[] = [
  ['calls', 'lives'],
  ['bytes', 'lives'],
  ['bytes', 'dies'],
];

/** The load fills what room there is for bodies well within this. */
const fillMs = 2_000;

/** A stream has no room, because nobody takes frames out of it. */
async function fillStream({ world, load, random, seed }: Run): Promise<Done> {
  const [stream, ingress] = turn(shortages, seed);
  await sleep(warmUpMs);
  const thaw = world.freeze('recorder');
  const makeRoom = await world.shrink(stream, 50_000 + random.below(100_000));
  const before = load.exchanges.length;
  // Without room for calls, calls are refused; without room for bodies, answers wait, and nobody is told.
  if (stream === 'bytes') await sleep(fillMs);
  else {
    await until('a refusal', () =>
      load.exchanges.slice(before).some((exchange) => reasonIn(exchange) === 'RecordUnavailable'),
    );
  }
  await sleep(500 + random.below(1_000));
  const refused = load.exchanges.slice(before).filter((exchange) => reasonIn(exchange) === 'RecordUnavailable');
  if (ingress === 'dies') await world.kill('ingress', 'SIGKILL');
  await makeRoom();
  thaw();
  const sinceMs = performance.now();
  const slowest = Math.max(0, ...refused.map(({ tookMs }) => tookMs));
  return {
    fault: `${stream} full, ingress ${ingress}`,
    measured: `${refused.length} calls refused within ${Math.round(slowest)} ms`,
    recoveryMs: await world.healed(load, sinceMs),
  };
}

/** A slow database takes so long over each insert. */
const insertMs = 5_000;

/** The database has no room, or takes long over each insert. */
function burden(condition: 'full' | 'slow', lastsMs: number): Experiment['run'] {
  return async ({ world, load, random }) => {
    const { database } = world;
    if (database === undefined) throw new Error('this world has no server');
    await sleep(warmUpMs);
    const rssBefore = world.residentBytes('recorder');
    const before = load.exchanges.length;
    let disturbed = 0;
    database.onInsert = () => {
      disturbed++;
      return condition === 'full' ? 'disk-full' : sleep(insertMs, 'stored' as const);
    };
    await until('an insert to be disturbed', () => disturbed > 0);
    await sleep(lastsMs + random.below(500));
    const during = load.exchanges.slice(before).filter(({ isLive, ended }) => !isLive && ended === 'whole');
    const waiting = (await world.held('calls')) + (await world.held('bytes'));
    const grownMiB = (world.residentBytes('recorder') - rssBefore) / 2 ** 20;
    database.onInsert = () => 'stored';
    const sinceMs = performance.now();
    const slow = percentile(
      during.map(({ tookMs }) => tookMs),
      0.99,
    );
    return {
      fault: `database ${condition}`,
      measured: `${waiting} frames waited, p99 of calls ${Math.round(slow)} ms, recorder grew by ${Math.round(grownMiB)} MiB`,
      recoveryMs: await world.healed(load, sinceMs),
      check: () =>
        waiting === 0 ? ['the broker held nothing: frames were acknowledged before they were inserted'] : [],
    };
  };
}

/** Frames come to the recorder twice, out of order, changed, or not at all. */
async function disorderFrames({ world, load, random, seed }: Run): Promise<Done> {
  const disorder = turn(['duplicated', 'reordered', 'dropped', 'changed'] as const, seed);
  await sleep(warmUpMs);
  const thaw = world.freeze('recorder');
  const stolen = await steal(world.broker, 40);
  const planted = await disturb(world.broker, disorder, stolen, random);
  thaw();
  const recoveryMs = await world.healed(load, performance.now());
  return { fault: `frames ${disorder}`, measured: `${stolen.length} frames`, recoveryMs, planted };
}

/** Messages that are no frames, and bodies that are meant to break who reads them. */
async function poisonEverything({ world, load, random, name }: Run): Promise<Done> {
  const parts = ['ingress', 'policy', 'masking', 'recorder'];
  const before = parts.map((part) => world.pid(part));
  await sleep(random.below(warmUpMs));
  const planted = await poison(world.broker, random, name);
  const answers: string[] = [];
  for (const { what, body, expected } of hostileBodies()) {
    const target = '/api/v1/namespaces/default/configmaps';
    const exchange = await load.send({ agent: 'writer', method: 'POST', target, body });
    // A connection may be cut under who sends on after the refusal.
    if (exchange.status !== expected && exchange.status !== 0) answers.push(`${what}: ${exchange.status}`);
  }
  const recoveryMs = await world.healed(load, performance.now());
  const died = parts.filter((part, at) => world.pid(part) !== before[at]);
  return {
    fault: 'poison',
    measured: `${planted.size} messages that are no frames`,
    recoveryMs,
    planted,
    check: () => [...answers, ...died.map((part) => `${part} died of it`)],
  };
}

/** By their number in the list of all fault experiments. */
export const experiments: ReadonlyMap<number, Experiment> = new Map([
  [
    1,
    {
      title: 'ingress is killed at each phase of a call',
      database: 'embedded',
      run: kill('ingress', callPhases, ['SIGKILL']),
    },
  ],
  [2, { title: 'policy is killed around an answer', database: 'embedded', run: killPolicy }],
  [3, { title: 'policy hangs, or answers late', database: 'embedded', run: hesitate }],
  [4, { title: 'decisions are forged and replayed', database: 'embedded', run: forgeDecisions }],
  [
    5,
    {
      title: 'the recorder is killed around an insert',
      database: 'embedded',
      run: kill('recorder', batchPhases, ['SIGKILL']),
    },
  ],
  [
    6,
    {
      title: 'the broker is killed or restarted at each phase of a call',
      database: 'embedded',
      run: kill('broker', callPhases, ['SIGKILL', 'SIGTERM']),
    },
  ],
  [7, { title: 'a stream is full', database: 'embedded', run: fillStream }],
  [8, { title: 'the database has no room', database: 'server', run: burden('full', 1_500) }],
  [9, { title: 'the database is slow', database: 'server', run: burden('slow', 4_000) }],
  [10, { title: 'Redis loses its queues while asks are pending', database: 'embedded', run: loseQueues }],
  [12, { title: 'the keeper of approvals is killed around an expiry', database: 'embedded', run: killKeeper }],
  [13, { title: 'reviewers vote in the same millisecond', database: 'embedded', run: voteAtOnce }],
  [14, { title: 'a grant is used at once, and for what it is not', database: 'embedded', run: useAtOnce }],
  [16, { title: 'the clock of ingress or policy is wrong', database: 'embedded', run: skewClock }],
  [17, { title: 'frames come twice, out of order, changed or not at all', database: 'embedded', run: disorderFrames }],
  [23, { title: 'poisoned messages and bodies', database: 'embedded', run: poisonEverything }],
  [24, { title: 'masking dies, hangs or is slow', database: 'embedded', run: troubleMasking }],
  [
    26,
    {
      title: 'each worker is killed at each point of a call',
      database: 'embedded',
      run: matrix,
      runsPerWorld: 1,
      // Longer than an answer that was lost with the broker is waited for, twice.
      leaseMs: 10_000,
      seeds: matrixSeeds,
    },
  ],
] as const);

/** Of nothing: 0. */
export function percentile(values: readonly number[], share: number): number {
  const ordered = values.toSorted((a, b) => a - b);
  return ordered[Math.min(ordered.length - 1, Math.floor(ordered.length * share))] ?? 0;
}

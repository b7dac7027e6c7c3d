import { setTimeout as sleep } from 'node:timers/promises';
import { type ApprovalEvent, type ApprovalState, approvals } from '@sluice/model';
import { ConfigError, type Logger } from '@sluice/runtime';
import { DelayedError, type Job, Queue, type QueueOptions, Worker } from 'bullmq';
import { answerMs, checkRedisUrl, connectionOptions, RedisWatch, reasonOf } from './redis-watch.ts';

export interface QueuesOptions {
  /** `redis://` or `rediss://`, with credentials. */
  readonly url: string;
  readonly log: Logger;
  /** Outside consumers, by the names of their queues: `a` has the queue `sluice-a`. Lower case letters, digits, dashes. */
  readonly consumers: readonly string[];
  /**
   * An approval may be over: look whether it is. Idempotent; may be called at any time, by several. When it rejects it is
   * called again, after 0.25 s and then less and less often, at least each 30 s.
   */
  readonly onDue: (approval: string) => Promise<void>;
  /**
   * Approvals that are open now, and in how many milliseconds each is due: what a queue that was lost is filled with again.
   * Asked for with every new connection, the first included.
   */
  readonly open: () => Iterable<{ readonly approval: string; readonly dueInMs: number }>;
  /** What an outside consumer's queue is filled with again: the last event of each open approval. */
  readonly refill: () => Iterable<ApprovalNotice>;
}

/** A job in a consumer's queue. */
export interface ApprovalNotice {
  readonly approval: string;
  readonly seq: number;
  readonly kind: ApprovalEvent['kind'];
  readonly state: ApprovalState;
  readonly summary: string;
  /** Milliseconds since the epoch. */
  readonly expiresAtMs: number;
}

export interface Queues {
  /**
   * Has `onDue` called then; the same approval twice is once, at the first time. Resolves when Redis has it. Throws
   * `QueuesError`: the caller tries again.
   */
  schedule(approval: string, dueInMs: number): Promise<void>;
  /** One job for a consumer: the same notice twice is once, for a day. Throws `QueuesError`: the caller tries again. */
  notify(consumer: string, notice: ApprovalNotice): Promise<void>;
  /** Whether Redis answers. */
  healthy(): boolean;
  /** Takes no new jobs, ends those in hand, closes its connections. What is left undone comes again elsewhere. */
  drain(): Promise<void>;
}

/** `unavailable`: Redis does not answer, or not in time, and may have it all the same. */
export class QueuesError extends Error {
  readonly code: 'unavailable' | 'unknown-consumer';

  constructor(code: QueuesError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

const prefix = 'sluice';
/** A drain waits so long for jobs in hand; without Redis they cannot be ended, and come again. Milliseconds. */
const drainMs = { there: 5_000, away: 1_000 } as const;
/** Jobs of a consumer are kept so long, and so many of them, done or not: their approvals are over by then. */
const keptMs = approvals.maxAgeMs;
const keptJobs = 10_000;
const tidyMs = 60_000;
/** Troubles of the worker are logged this often at most, and only if they are not those of a Redis that is away. */
const troubleMs = 10_000;
const afterwardsMs = 2_000;

/** A killed worker's job comes again when its lock has ended and a look at stalled jobs has seen that: within 10 s. */
const workerSettings = {
  concurrency: 16,
  lockDuration: 5_000,
  stalledInterval: 2_000,
  // Neither a worker that dies often nor an `onDue` that fails often makes an approval's end less due.
  maxStalledCount: 1_000,
  runRetryDelay: 1_000,
  settings: { backoffStrategy: (attempts: number) => Math.min(250 * 2 ** (attempts - 1), 30_000) },
} as const;
// Nothing is left of a job that is done: its id must be free to be scheduled again.
const dueJob = { attempts: 10_000, backoff: { type: 'custom' }, removeOnComplete: true, removeOnFail: true } as const;
const noticeJob = {
  attempts: 10,
  backoff: { type: 'exponential', delay: 1_000 },
  removeOnComplete: { age: keptMs / 1_000, count: keptJobs },
  removeOnFail: { age: keptMs / 1_000, count: keptJobs },
} as const;

interface DueJob {
  readonly approval: string;
}

/** Throws `ConfigError`, and not when Redis is away: it goes on trying. */
export async function openQueues(options: QueuesOptions): Promise<Queues> {
  checkRedisUrl(options.url);
  for (const consumer of options.consumers) {
    if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(consumer) || consumer === 'expire') {
      throw new ConfigError(`"${consumer}" cannot be the name of a queue; lower case letters, digits and dashes can`);
    }
  }
  return new RedisQueues(options);
}

class RedisQueues implements Queues {
  readonly #options: QueuesOptions;
  readonly #watch: RedisWatch;
  readonly #due: Queue<DueJob>;
  readonly #consumers: ReadonlyMap<string, Queue<ApprovalNotice>>;
  readonly #worker: Worker<DueJob>;
  /** Approvals that are looked at right now, and when they are to be looked at again, if somebody asked meanwhile. */
  readonly #inHand = new Map<string, number | undefined>();
  readonly #tidying: NodeJS.Timeout;
  #nextTroubleAtMs = 0;

  constructor(options: QueuesOptions) {
    const { url, log } = options;
    this.#options = options;
    this.#watch = new RedisWatch({ url, log, fill: () => this.#fill() });
    const queueOptions: QueueOptions = {
      prefix,
      connection: this.#watch.redis,
      // It would be asked for once, and a failure be kept for ever.
      skipVersionCheck: true,
      streams: { events: { maxLen: 1_000 } },
    };
    this.#due = new Queue<DueJob>(queueName('expire'), queueOptions);
    this.#consumers = new Map(
      options.consumers.map((name) => [name, new Queue<ApprovalNotice>(queueName(name), queueOptions)]),
    );
    this.#worker = new Worker<DueJob>(queueName('expire'), (job, token) => this.#onDue(job, token), {
      ...workerSettings,
      prefix,
      // Longer than it waits for a job.
      connection: { ...connectionOptions, url, maxRetriesPerRequest: null, socketTimeout: 6 * answerMs },
    });
    // Without listeners, errors would be thrown. Those of the shared connection are the watch's to tell.
    for (const queue of [this.#due, ...this.#consumers.values()]) queue.on('error', () => undefined);
    this.#worker.on('error', (error) => this.#trouble(error));
    this.#worker.on('failed', (job, error) => {
      const facts = { approval: job?.data.approval, attempt: job?.attemptsMade, why: reasonOf(error) };
      log.warn(facts, 'an approval that may be over could not be looked at; it is tried again');
    });
    this.#tidying = setInterval(() => void this.#tidy(), tidyMs).unref();
  }

  async schedule(approval: string, dueInMs: number): Promise<void> {
    const delay = Math.max(0, Math.ceil(dueInMs));
    if (this.#inHand.has(approval)) {
      // Its job is in Redis, which takes no second one of that name: it is put back instead.
      this.#inHand.set(approval, Date.now() + delay);
      return;
    }
    await this.#put(() => this.#due.add('due', { approval }, { ...dueJob, delay, jobId: `due-${approval}` }));
  }

  async notify(consumer: string, notice: ApprovalNotice): Promise<void> {
    const queue = this.#consumers.get(consumer);
    if (queue === undefined) throw new QueuesError('unknown-consumer', `no queue is configured for "${consumer}"`);
    const jobId = `${notice.approval}-${notice.seq}`;
    await this.#put(() => queue.add(notice.kind, notice, { ...noticeJob, jobId }));
  }

  healthy(): boolean {
    return this.#watch.healthy();
  }

  async drain(): Promise<void> {
    clearInterval(this.#tidying);
    const place = await this.#watch.place();
    const late = new AbortController();
    await Promise.race([
      this.#worker.close(place === 'away').catch(() => undefined),
      sleep(drainMs[place], undefined, { signal: late.signal }).catch(() => undefined),
    ]);
    late.abort();
    await this.#watch.close();
  }

  /** Throws `QueuesError`, at once or in time. */
  async #put(add: () => Promise<unknown>): Promise<void> {
    if (this.#watch.redis.status !== 'ready') throw new QueuesError('unavailable', 'Redis is away');
    const late = new AbortController();
    try {
      await Promise.race([
        add(),
        sleep(answerMs, undefined, { signal: late.signal }).then(() => {
          throw new Error('no answer in time');
        }),
      ]);
    } catch (error) {
      throw new QueuesError('unavailable', `Redis did not take a job: ${reasonOf(error)}`);
    } finally {
      late.abort();
    }
  }

  async #onDue(job: Job<DueJob>, token: string | undefined): Promise<void> {
    const { approval } = job.data;
    this.#inHand.set(approval, undefined);
    let againAtMs: number | undefined;
    try {
      await this.#options.onDue(approval);
    } finally {
      againAtMs = this.#inHand.get(approval);
      this.#inHand.delete(approval);
    }
    if (againAtMs === undefined) return;
    await job.moveToDelayed(againAtMs, token).catch((error: unknown) => {
      // Its job went with a flush, maybe after the queue was filled again.
      this.#watch.doubt();
      throw error;
    });
    throw new DelayedError();
  }

  async #fill(): Promise<void> {
    for (const { approval, dueInMs } of this.#options.open()) await this.schedule(approval, dueInMs);
    if (this.#consumers.size === 0) return;
    for (const notice of this.#options.refill()) {
      for (const consumer of this.#consumers.keys()) await this.notify(consumer, notice);
    }
  }

  /** A queue that nobody takes jobs from must not grow without bounds. */
  async #tidy(): Promise<void> {
    if (!this.healthy()) return;
    for (const queue of this.#consumers.values()) {
      await queue.clean(keptMs, keptJobs, 'wait').catch((error: unknown) => this.#trouble(error));
    }
  }

  /** An outage is told by the watch, once; what is left is told here. */
  #trouble(error: unknown): void {
    if (Date.now() < this.#nextTroubleAtMs) return;
    this.#nextTroubleAtMs = Date.now() + troubleMs;
    setTimeout(() => {
      if (this.healthy()) this.#options.log.warn({ why: reasonOf(error) }, 'trouble with a job in Redis');
    }, afterwardsMs).unref();
  }
}

function queueName(name: string): string {
  return `sluice-${name}`;
}

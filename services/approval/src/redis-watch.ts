import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConfigError, type Logger } from '@sluice/runtime';
import { Redis, type RedisOptions } from 'ioredis';

export interface RedisWatchOptions {
  /** `redis://` or `rediss://`, with credentials. */
  readonly url: string;
  readonly log: Logger;
  /**
   * Puts into Redis what has to be there: called with every new connection, the first included, and whenever what was there
   * is gone. While it throws it is called again each second.
   */
  readonly fill: () => Promise<void>;
}

/** A command that is not answered for so long is given up. Milliseconds. */
export const answerMs = 2_000;
/** How often Redis is looked at, and tried again while it is away. */
const lookMs = 1_000;
/** A random value: where it is another than before, or there is none, the data of before is gone. */
const epochKey = 'sluice:epoch';

/** Of every connection. */
export const connectionOptions = {
  connectTimeout: answerMs,
  keepAlive: 10_000,
  retryStrategy: (times: number) => Math.min(100 * times, lookMs),
  // A replica that was the master until now: the name may lead to the new one already.
  reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
} as const satisfies RedisOptions;

/** Throws `ConfigError`, which does not repeat the URL: there is a password in it. */
export function checkRedisUrl(url: string): void {
  if (!URL.canParse(url) || !/^rediss?:$/.test(new URL(url).protocol)) {
    throw new ConfigError('this is no URL of a Redis; redis://:PASSWORD@HOST:PORT/0 is one');
  }
}

/** An error in words. The error itself is not for a log: one of a command carries the command, which may be `AUTH`. */
export function reasonOf(error: unknown): string {
  const { message, code } = error as { readonly message?: string; readonly code?: string };
  return message || code || 'unknown';
}

/** A connection to Redis, and whether Redis is there and still the one of before. It never gives up. */
export class RedisWatch {
  /** Commands fail at once while Redis is away: nothing queues up behind it. */
  readonly redis: Redis;
  readonly #options: RedisWatchOptions;
  readonly #watching: Promise<void>;
  readonly #ended = new AbortController();
  #wake = new AbortController();
  #state: 'unknown' | 'up' | 'down' = 'unknown';
  #connections = 0;
  /** The connection and the epoch that Redis was filled in. */
  #filled = '';

  constructor(options: RedisWatchOptions) {
    this.#options = options;
    this.redis = new Redis(options.url, {
      ...connectionOptions,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      commandTimeout: answerMs,
      // A peer that went away without a word. A command is sent each second, so its silence means something.
      socketTimeout: 2 * answerMs,
    });
    // Without a listener it would write to stderr by itself.
    this.redis.on('error', (error) => this.#down(reasonOf(error)));
    this.redis.on('close', () => this.#down('the connection is closed'));
    this.redis.on('ready', () => {
      this.#connections++;
      this.#wake.abort();
    });
    this.#watching = this.#watch();
  }

  healthy(): boolean {
    return this.#state === 'up' && this.redis.status === 'ready';
  }

  /** Where Redis is right now. */
  place(): Promise<'there' | 'away'> {
    return this.redis.ping().then(
      () => 'there',
      () => 'away',
    );
  }

  /** Has it filled again. */
  doubt(): void {
    this.#filled = '';
  }

  async close(): Promise<void> {
    this.#ended.abort();
    this.#wake.abort();
    this.redis.disconnect();
    await this.#watching;
  }

  async #watch(): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      this.#wake = new AbortController();
      if (this.redis.status === 'ready') await this.#look().catch((error: unknown) => this.#down(reasonOf(error)));
      if (!signal.aborted) await sleep(lookMs, undefined, { signal: this.#wake.signal }).catch(() => undefined);
    }
  }

  async #look(): Promise<void> {
    const connections = this.#connections;
    await this.redis.set(epochKey, randomUUID(), 'NX');
    const epoch = await this.redis.get(epochKey);
    // A new connection counts as well: a Redis that crashed may have lost its last second and kept the key.
    const filling = `${connections} ${epoch}`;
    if (filling !== this.#filled) {
      this.#filled = filling;
      await this.#options.fill().catch((error: unknown) => {
        this.doubt();
        throw error;
      });
      this.#options.log.info('the queues in Redis are filled');
    }
    if (this.#state === 'down') this.#options.log.info('Redis answers again');
    this.#state = 'up';
  }

  /** Logged once, not with every try. */
  #down(why: string): void {
    if (this.#state === 'down' || this.#ended.signal.aborted) return;
    this.#state = 'down';
    this.#options.log.warn({ why }, 'Redis does not answer; approvals go on without it, their consumers wait');
  }
}

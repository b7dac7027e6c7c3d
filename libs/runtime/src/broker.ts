import {
  AckPolicy,
  DiscardPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
} from '@nats-io/jetstream';
import {
  connect,
  type Msg,
  type NatsConnection,
  RequestError,
  type Subscription,
  TimeoutError,
} from '@nats-io/transport-node';
import { consumerOf, leases, maxPayloadBytes, partitions, type StreamKey, streams } from '@sluice/model';
import { ConfigError, type Env, required } from './env.ts';
import type { Logger } from './log.ts';
import { type StoreSizes, storeSizes } from './store.ts';

/** Older brokers lose streams on a crash or ignore the limits Sluice relies on. */
export const oldestBroker = '2.10.23';

/**
 * Why a request got no answer. `no-responders`: nobody listens, known at once. `timeout`: nobody
 * answered in time. `disconnected`: the broker itself is not there.
 */
export class BrokerError extends Error {
  readonly code: 'no-responders' | 'timeout' | 'disconnected';
  constructor(code: BrokerError['code'], options?: ErrorOptions) {
    super(`broker: ${code}`, options);
    this.code = code;
  }
}

/** A place in a queue group. */
export interface Membership {
  /** Takes no more requests; those in hand are answered. */
  leave(): Promise<void>;
}

/** One connection to the broker. A process opens one per purpose, so that a stalled one stalls only itself. */
export interface Broker {
  /** The connection, for the other modules of this library. */
  readonly nats: NatsConnection;
  /** Whether the connection stands now. */
  connected(): boolean;
  /** Asks and waits. Throws `BrokerError`. */
  request(subject: string, payload: Uint8Array, timeoutMs: number): Promise<Uint8Array>;
  /** Answers requests as one of a queue group. A handler that returns `null` or throws gives no answer. */
  respond(
    subject: string,
    queue: string,
    handler: (payload: Uint8Array) => Uint8Array | null | Promise<Uint8Array | null>,
  ): Membership;
  /** Tells whoever listens, if anybody does. */
  tell(subject: string): void;
  /** Hears what is told on a subject, and what is published there; what it is too slow for, it misses. */
  listen(subject: string, onTold: (payload: Uint8Array, subject: string) => void): void;
  /** Takes nothing new, waits for handlers in hand, closes. */
  drain(): Promise<void>;
}

/**
 * Connects to the broker at `SLUICE_NATS_URL` (`nats://user:password@host:port`), and goes on
 * reconnecting for as long as the process lives. Throws `ConfigError` when the broker is not there at
 * the start or is too old.
 */
export async function openBroker(env: Env, purpose: string, log: Logger): Promise<Broker> {
  const url = new URL(required(env, 'SLUICE_NATS_URL'));
  let nats: NatsConnection;
  try {
    nats = await connect({
      servers: url.host,
      user: decodeURIComponent(url.username),
      pass: decodeURIComponent(url.password),
      name: `sluice ${purpose}`,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 250,
      pingInterval: 2_000,
      maxPingOut: 2,
      noAsyncTraces: true,
    });
  } catch (error) {
    throw new ConfigError(`no broker answers at ${url.host}: ${(error as Error).message}`);
  }
  const version = nats.info?.version ?? '0';
  if (!versionAtLeast(version, oldestBroker)) {
    await nats.close();
    throw new ConfigError(`the broker at ${url.host} is nats-server ${version}; ${oldestBroker} or newer is needed`);
  }

  let up = true;
  void (async () => {
    for await (const status of nats.status()) {
      if (status.type === 'disconnect' || status.type === 'close') up = false;
      if (status.type === 'reconnect') up = true;
      if (status.type === 'disconnect' || status.type === 'reconnect') log.warn({ purpose }, `broker ${status.type}`);
    }
  })();

  const interests: Subscription[] = [];
  const inHand = new Set<Promise<void>>();
  return {
    nats,
    connected: () => up,
    async request(subject, payload, timeoutMs) {
      if (!up) throw new BrokerError('disconnected');
      try {
        return (await nats.request(subject, payload, { timeout: timeoutMs })).data;
      } catch (error) {
        if (error instanceof RequestError && error.isNoResponders()) throw new BrokerError('no-responders');
        if (error instanceof TimeoutError) throw new BrokerError('timeout');
        throw new BrokerError('disconnected', { cause: error });
      }
    },
    respond(subject, queue, handler) {
      const interest = nats.subscribe(subject, {
        queue,
        callback: (error, message) => {
          if (error !== null) return;
          const answering = (async () => {
            const answer = await handler(message.data);
            if (answer !== null) message.respond(answer);
          })().catch((cause: unknown) => log.warn({ subject, reason: nameOf(cause) }, 'a request got no answer'));
          inHand.add(answering);
          void answering.finally(() => inHand.delete(answering));
        },
      });
      interests.push(interest);
      return {
        async leave() {
          if (!interest.isClosed()) await interest.drain();
        },
      };
    },
    tell(subject) {
      if (up) nats.publish(subject);
    },
    listen(subject, onTold) {
      const callback = (error: Error | null, message: Msg): void => {
        if (error === null) onTold(message.data, message.subject);
      };
      interests.push(nats.subscribe(subject, { callback }));
    },
    async drain() {
      if (!up) return nats.close();
      // Interest goes first, so that peers take over; answers in hand still need the connection.
      await Promise.all(interests.map(async (interest) => interest.isClosed() || interest.drain()));
      while (inHand.size > 0) await Promise.all(inHand);
      await nats.drain();
    },
  };
}

/**
 * Makes the streams and the recorder's consumers where they are missing; those of an older Sluice, or of another size,
 * are brought up to date. A stream that holds more than its new size keeps it, and refuses until it holds less.
 */
export async function ensureStreams(broker: Broker, sizes: StoreSizes = storeSizes({})): Promise<void> {
  const manager = await jetstreamManager(broker.nats);
  for (const key of Object.keys(streams) as StreamKey[]) {
    const stream = streams[key];
    const config = {
      name: stream.name,
      subjects: [`${stream.prefix}.*`],
      storage: StorageType.File,
      retention: RetentionPolicy.Workqueue,
      discard: DiscardPolicy.New,
      max_bytes: sizes[key],
      max_msg_size: maxPayloadBytes,
      deny_delete: true,
      // A window of remembered ids costs memory and no frame carries one.
      duplicate_window: 100_000_000,
    };
    // Adding one that is there would count its reserved space twice.
    if (!(await exists(() => manager.streams.info(stream.name)))) await manager.streams.add(config);
    else await manager.streams.update(stream.name, { subjects: config.subjects, max_bytes: config.max_bytes });
    const settings = {
      // A recorder that died holds what it had taken for this long; one that is slow gets it twice, which is harmless.
      ack_wait: 10_000_000_000,
      max_ack_pending: 10_000,
    };
    // An older Sluice had one consumer for a whole stream: no other may stand beside it on a work queue.
    if (await exists(() => manager.consumers.info(stream.name, 'recorder')))
      await manager.consumers.delete(stream.name, 'recorder');
    for (let partition = 0; partition < partitions; partition++) {
      const name = consumerOf(partition);
      const there = await exists(() => manager.consumers.info(stream.name, name));
      if (there) await manager.consumers.update(stream.name, name, settings);
      else
        await manager.consumers.add(stream.name, {
          durable_name: name,
          ack_policy: AckPolicy.Explicit,
          filter_subject: `${stream.prefix}.${partition}`,
          ...settings,
        });
    }
  }
  if (!(await exists(() => manager.streams.info(leases.stream))))
    await manager.streams.add({
      name: leases.stream,
      subjects: [leases.subject],
      storage: StorageType.File,
      retention: RetentionPolicy.Limits,
      max_msgs_per_subject: 1,
      max_bytes: leases.maxBytes,
      max_age: leaseAgeNanos,
      allow_direct: false,
      deny_delete: true,
      deny_purge: true,
    });
}

/** An error by its name alone: what a parser says of a payload quotes it. */
function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : typeof error;
}

const notFound: ReadonlySet<number> = new Set([JetStreamApiCodes.StreamNotFound, JetStreamApiCodes.ConsumerNotFound]);

async function exists(look: () => Promise<unknown>): Promise<boolean> {
  try {
    await look();
    return true;
  } catch (error) {
    if (error instanceof JetStreamApiError && notFound.has(error.code)) return false;
    throw error;
  }
}

/** A lease nobody has renewed for an hour is nobody's: a recorder that starts then closes the ledger without it. */
const leaseAgeNanos = 3_600 * 1_000_000_000;

function versionAtLeast(version: string, floor: string): boolean {
  const parts = (text: string): number[] => text.split(/[.-]/, 3).map(Number);
  const [have, want] = [parts(version), parts(floor)];
  for (let i = 0; i < 3; i++) {
    const difference = (have[i] ?? 0) - (want[i] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}

import { setTimeout as sleep } from 'node:timers/promises';
import { type ConsumerMessages, type JsMsg, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { consumerOf, type StreamKey, streams } from '@sluice/model';
import type { Broker } from './broker.ts';
import type { Logger } from './log.ts';
import { passBytes } from './young-garbage.ts';

/** A frame as the broker holds it. */
export interface StoredFrame {
  readonly stream: StreamKey;
  /** Its sequence in the stream. */
  readonly streamSeq: number;
  /** When the broker stored it, by the broker's clock: microseconds since the epoch. */
  readonly storedAtMicros: number;
  readonly message: Uint8Array;
}

/** Frames of one batch, at most. */
const batchFrames = 5_000;
const batchBytes = 8 * 1024 * 1024;
/** Frames on the way per stream. With many more, of bodies, the broker takes a busy recorder for a stalled one. */
const onTheWay = 200;
/**
 * A batch collects for this long, and for longer when many frames come, unless it is full before: an insert costs much
 * the same for one frame and for many.
 */
const collectMs = 200;
const collectManyMs = 600;
/** So many frames in the shorter time are many. */
const manyFrames = 150;
const firstRetryMs = 200;
const lastRetryMs = 5_000;
/** How often the broker is asked whether a mark is passed. */
const lookMs = 50;
/** How often the broker hears that frames are still in hand; well within the consumer's `ack_wait`. */
const progressMs = 3_000;

interface Arrived {
  readonly frame: StoredFrame;
  readonly message: JsMsg;
}

/** Frames on their way from the broker into the record. */
export interface FrameIntake {
  /** Takes the frames of a partition, of both streams, from now on. */
  take(partition: number): Promise<void>;
  /**
   * Marks the ends of the streams as they are now; what it returns says whether everything before them, of the
   * partitions taken, has been handled.
   */
  mark(): Promise<() => Promise<boolean>>;
  /** Resolves when everything that the streams held before has been handled, or after `timeoutMs`. Never rejects. */
  catchUp(timeoutMs: number): Promise<void>;
  /** Takes nothing new, and finishes the work in hand. */
  drain(): Promise<void>;
}

/**
 * Hands every frame of the partitions taken to `onBatch`, one batch at a time, and acknowledges a frame only after
 * `onBatch` resolved. A batch that fails is tried again until it succeeds; nothing is dropped. A frame may come
 * twice (an ack got lost, the broker redelivered): `onBatch` must know what it has.
 */
export async function consumeFrames(
  broker: Broker,
  log: Logger,
  onBatch: (frames: readonly StoredFrame[]) => Promise<void>,
): Promise<FrameIntake> {
  const waiting: Arrived[] = [];
  let waitingBytes = 0;
  let inHand: readonly Arrived[] = [];
  let draining = false;
  // Resolves for all who wait, for frames, for room or for the end: each looks again.
  let changed = Promise.withResolvers<void>();
  const change = (): void => {
    changed.resolve();
    changed = Promise.withResolvers();
  };
  const isFull = (): boolean => waiting.length >= batchFrames || waitingBytes >= batchBytes;
  const mustWait = (): boolean => isFull() && !draining;

  // The client asks for more only as this loop comes round, so a slow database holds up the broker and does not
  // fill the memory. It goes on by itself after the broker was away.
  const read = async (stream: StreamKey, messages: ConsumerMessages): Promise<void> => {
    for await (const message of messages) {
      while (mustWait()) await changed.promise;
      if (draining) {
        message.nak();
        continue;
      }
      const { streamSequence, timestampNanos } = message.info;
      const storedAtMicros = Math.floor(timestampNanos / 1000);
      waiting.push({ message, frame: { stream, streamSeq: streamSequence, storedAtMicros, message: message.data } });
      waitingBytes += message.data.byteLength;
      passBytes(message.data.byteLength);
      if (isFull()) enough.resolve();
      change();
    }
  };

  const takeBatch = (): Arrived[] => {
    let bytes = 0;
    let count = 0;
    while (count < waiting.length && count < batchFrames && bytes < batchBytes) {
      bytes += waiting[count++]?.frame.message.byteLength ?? 0;
    }
    waitingBytes -= bytes;
    const batch = waiting.splice(0, count);
    if (!isFull() && !draining) enough = Promise.withResolvers();
    change();
    return batch;
  };

  // Resolves when nothing more is to be collected.
  let enough = Promise.withResolvers<void>();
  const collect = async (ms: number): Promise<void> => {
    const late = new AbortController();
    await Promise.race([enough.promise, sleep(ms, undefined, { signal: late.signal }).catch(() => undefined)]);
    late.abort();
  };

  const work = async (): Promise<void> => {
    for (;;) {
      if (waiting.length === 0) {
        if (draining) return;
        await changed.promise;
        continue;
      }
      await collect(collectMs);
      if (waiting.length >= manyFrames) await collect(collectManyMs - collectMs);
      inHand = takeBatch();
      for (let retryMs = firstRetryMs; ; retryMs = Math.min(2 * retryMs, lastRetryMs)) {
        try {
          await onBatch(inHand.map(({ frame }) => frame));
          break;
        } catch (error) {
          // By code and type alone: a database's message may quote what was to be inserted.
          const { code, type, name } = error as {
            readonly code?: unknown;
            readonly type?: unknown;
            readonly name?: unknown;
          };
          const facts = { frames: inHand.length, waitingBytes, code, type: type ?? name };
          log.error(facts, 'a batch could not be recorded; it is tried again');
          if (draining) return;
          await sleep(retryMs);
        }
      }
      for (const { message } of inHand) message.ack();
      inHand = [];
    }
  };

  const client = jetstream(broker.nats);
  const manager = await jetstreamManager(broker.nats, { checkAPI: false });
  const subscriptions: ConsumerMessages[] = [];
  const taken: number[] = [];
  const keys = Object.keys(streams) as StreamKey[];
  const progress = setInterval(() => {
    if (!broker.connected()) return;
    for (const { message } of [...inHand, ...waiting]) message.working();
  }, progressMs);
  progress.unref();
  const working = work();

  const isPast = async (key: StreamKey, partition: number, end: number): Promise<boolean> => {
    const { num_pending, num_ack_pending, ack_floor } = await manager.consumers.info(
      streams[key].name,
      consumerOf(partition),
    );
    return (num_pending === 0 && num_ack_pending === 0) || ack_floor.stream_seq >= end;
  };

  const mark: FrameIntake['mark'] = async () => {
    const ends = await Promise.all(
      keys.map(async (key) => ({ key, end: (await manager.streams.info(streams[key].name)).state.last_seq })),
    );
    const marks = ends.flatMap(({ key, end }) => taken.map((partition) => ({ key, end, partition })));
    return async () => {
      for (const mark of marks) if (!(await isPast(mark.key, mark.partition, mark.end))) return false;
      return true;
    };
  };

  return {
    mark,
    async catchUp(timeoutMs) {
      const late = sleep(timeoutMs, 'late', { ref: false });
      const caughtUp = (async () => {
        for (const isPast = await mark(); !(await isPast()); ) {
          if ((await Promise.race([late, sleep(lookMs)])) === 'late') return;
        }
      })();
      await Promise.race([caughtUp.catch(() => undefined), late]);
    },
    async take(partition) {
      taken.push(partition);
      for (const key of keys) {
        const consumer = await client.consumers.get(streams[key].name, consumerOf(partition));
        const messages = await consumer.consume({ max_messages: onTheWay });
        subscriptions.push(messages);
        void read(key, messages);
      }
    },
    async drain() {
      for (const messages of subscriptions) messages.stop();
      draining = true;
      enough.resolve();
      change();
      await working;
      clearInterval(progress);
      await broker.nats.flush().catch(() => undefined);
    },
  };
}

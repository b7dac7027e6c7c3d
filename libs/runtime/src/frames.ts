import { setTimeout as sleep } from 'node:timers/promises';
import { type ConsumerMessages, type JsMsg, jetstream } from '@nats-io/jetstream';
import { type StreamKey, streams } from '@sluice/model';
import { type Broker, recorderConsumer } from './broker.ts';
import type { Logger } from './log.ts';

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
/** Frames the broker may have on the way per stream. */
const onTheWay = 5_000;
/** A batch collects for this long, unless it is full before: an insert costs much the same for one frame and for many. */
const collectMs = 200;
const firstRetryMs = 200;
const lastRetryMs = 5_000;

interface Arrived {
  readonly frame: StoredFrame;
  readonly message: JsMsg;
}

/**
 * Hands every frame of both streams to `onBatch`, one batch at a time, and acknowledges a frame only after
 * `onBatch` resolved. A batch that fails is tried again until it succeeds; nothing is dropped. A frame may come
 * twice (an ack got lost, the broker redelivered): `onBatch` must know what it has.
 */
export async function consumeFrames(
  broker: Broker,
  log: Logger,
  onBatch: (frames: readonly StoredFrame[]) => Promise<void>,
): Promise<{ drain(): Promise<void> }> {
  const waiting: Arrived[] = [];
  let waitingBytes = 0;
  let wake: () => void = () => undefined;
  let draining = false;

  const client = jetstream(broker.nats);
  const subscriptions: ConsumerMessages[] = [];
  for (const key of Object.keys(streams) as StreamKey[]) {
    const consumer = await client.consumers.get(streams[key].name, recorderConsumer);
    // The client asks for more by itself, and goes on after the broker was away.
    const messages = await consumer.consume({
      max_messages: onTheWay,
      callback: (message) => {
        if (draining) return message.nak();
        const { streamSequence, timestampNanos } = message.info;
        const storedAtMicros = Math.floor(timestampNanos / 1000);
        waiting.push({
          message,
          frame: { stream: key, streamSeq: streamSequence, storedAtMicros, message: message.data },
        });
        waitingBytes += message.data.byteLength;
        wake();
      },
    });
    subscriptions.push(messages);
  }

  const takeBatch = (): Arrived[] => {
    let bytes = 0;
    let count = 0;
    while (count < waiting.length && count < batchFrames && bytes < batchBytes) {
      bytes += waiting[count++]?.frame.message.byteLength ?? 0;
    }
    waitingBytes -= bytes;
    return waiting.splice(0, count);
  };

  const working = (async () => {
    for (;;) {
      if (waiting.length === 0) {
        if (draining) return;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        continue;
      }
      if (waiting.length < batchFrames && waitingBytes < batchBytes && !draining) await sleep(collectMs);
      const batch = takeBatch();
      for (let retryMs = firstRetryMs; ; retryMs = Math.min(2 * retryMs, lastRetryMs)) {
        try {
          await onBatch(batch.map(({ frame }) => frame));
          break;
        } catch (error) {
          log.error(
            { frames: batch.length, waitingBytes, err: error },
            'a batch could not be recorded; it is tried again',
          );
          if (draining) return;
          for (const { message } of batch) message.working();
          await sleep(retryMs);
        }
      }
      for (const { message } of batch) message.ack();
    }
  })();

  return {
    async drain() {
      for (const messages of subscriptions) messages.stop();
      draining = true;
      wake();
      await working;
      await broker.nats.flush().catch(() => undefined);
    },
  };
}

import {
  JetStreamApiCodes,
  JetStreamApiError,
  jetstream,
  jetstreamManager,
  type LastForMsgRequest,
  type NextMsgRequest,
} from '@nats-io/jetstream';
import type { Broker } from './broker.ts';
import { assertStreams } from './provision.ts';

/** A message as the stream keeps it. */
export interface StoredMessage {
  readonly subject: string;
  /** Its place in the stream. */
  readonly seq: number;
  /** When it was stored, by the broker's clock: milliseconds since the epoch. */
  readonly atMs: number;
  readonly payload: Uint8Array;
}

/** A stream to which subjects only grow, each by compare-and-swap. */
export interface EventLog {
  /** All messages of a subject (with wildcards: of several) behind a place in the stream, in their order. */
  read(subject: string, afterSeq: number): AsyncIterable<StoredMessage>;
  /**
   * Writes where `lastSeq` is still the last of the subject (0: there is none), and returns what was stored; `null` where
   * it is not. A payload must be unlike any other: after an answer that was lost the last message is compared with it.
   */
  append(subject: string, payload: Uint8Array, lastSeq: number): Promise<StoredMessage | null>;
  /** The broker's clock, milliseconds since the epoch. It is asked for now and then, and counted on by this process's own. */
  readonly now: () => number;
  /** Asks for it no more. */
  close(): void;
}

const answerMs = 2_000;
/** How often the broker is asked what time it is. */
const clockMs = 10_000;

/** Throws `ConfigError` when the stream is not there. */
export async function openEventLog(broker: Broker, stream: string): Promise<EventLog> {
  const manager = await jetstreamManager(broker.nats, { checkAPI: false, timeout: answerMs });
  const client = jetstream(broker.nats, { timeout: answerMs });
  await assertStreams(broker, [stream]);

  // The server knows both forms; the client's type names the second for direct reads alone.
  const stored = async (query: LastForMsgRequest | NextMsgRequest): Promise<StoredMessage | null> => {
    const message = await manager.streams.getMessage(stream, query as LastForMsgRequest);
    if (message === null) return null;
    return { subject: message.subject, seq: message.seq, atMs: message.time.getTime(), payload: message.data };
  };

  /** What the broker's clock is ahead of this process's monotonic one. */
  let aheadMs = Date.now() - performance.now();
  const learn = async (): Promise<void> => {
    const { ts } = await manager.streams.info(stream);
    if (ts !== undefined) aheadMs = Date.parse(ts) - performance.now();
  };
  await learn();
  // While the broker is away its clock goes on.
  const learning = setInterval(() => void learn().catch(() => undefined), clockMs);
  learning.unref();

  async function* read(subject: string, afterSeq: number): AsyncGenerator<StoredMessage> {
    for (let seq = afterSeq + 1; ; ) {
      const message = await stored({ seq, next_by_subj: subject });
      if (message === null) return;
      yield message;
      seq = message.seq + 1;
    }
  }

  return {
    read,
    async append(subject, payload, lastSeq) {
      try {
        await client.publish(subject, payload, { expect: { lastSubjectSequence: lastSeq } });
      } catch (error) {
        // Whether it was somebody else, or this very message whose answer was lost, shows below.
        const isLate = error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamWrongLastSequence;
        const last = await stored({ last_by_subj: subject });
        if (last !== null && last.seq > lastSeq && Buffer.compare(last.payload, payload) === 0) return last;
        if (isLate) return null;
        throw error;
      }
      // The broker says when it stored it only to who reads it; by then there may be more behind it.
      for await (const message of read(subject, lastSeq)) {
        if (Buffer.compare(message.payload, payload) === 0) return message;
      }
      throw new Error('a message that was stored is not there');
    },
    now: () => performance.now() + aheadMs,
    close: () => clearInterval(learning),
  };
}

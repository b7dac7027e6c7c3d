import { type ConsumerMessages, jetstream } from '@nats-io/jetstream';
import type { Broker } from './broker.ts';
import type { StoredMessage } from './event-log.ts';
import type { Logger } from './log.ts';

/** What was written to a stream, on its way to one who has to hear all of it. */
export interface Outbox {
  /** Takes nothing new, and finishes the message in hand. */
  drain(): Promise<void>;
}

const retryMs = 1_000;

/**
 * Hands every message of a stream to `onMessage`, in order, and acknowledges it only after that resolved. One that fails
 * comes again, and with it what is behind it; so a message may come twice. Its place in the stream is the durable
 * consumer's: nothing is left out while this process is away.
 */
export async function openOutbox(
  broker: Broker,
  stream: string,
  consumer: string,
  log: Logger,
  onMessage: (message: StoredMessage) => Promise<void>,
): Promise<Outbox> {
  const durable = await jetstream(broker.nats).consumers.get(stream, consumer);
  const messages: ConsumerMessages = await durable.consume({ max_messages: 100 });
  let isFailing = false;
  const reading = (async () => {
    for await (const message of messages) {
      const { streamSequence: seq, timestampNanos } = message.info;
      const stored = { subject: message.subject, seq, atMs: Math.floor(timestampNanos / 1e6), payload: message.data };
      try {
        await onMessage(stored);
        message.ack();
        isFailing = false;
      } catch (error) {
        if (!isFailing) log.warn({ consumer, reason: (error as Error).message }, 'an outbox waits; it is tried again');
        isFailing = true;
        message.nak(retryMs);
      }
    }
  })();
  return {
    async drain() {
      messages.stop();
      await reading;
    },
  };
}

import { JetStreamApiCodes, JetStreamApiError, jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { Broker } from './broker.ts';
import { assertStreams } from './provision.ts';

/** A value with the sequence it was written at; 0 and empty where there is none. */
export interface LastValue {
  readonly seq: number;
  readonly payload: Uint8Array;
}

/** A stream that keeps the last value of each subject, for writers who do not know of each other. */
export interface LastValues {
  /** What was written last, by whomever. */
  get(subject: string): Promise<LastValue>;
  /** Writes where `seq` is still the last of the subject, and returns the new one; `null` where it is not. */
  replace(subject: string, payload: Uint8Array, seq: number): Promise<number | null>;
}

/** Throws `ConfigError` when the stream is not there. */
export async function openLastValues(broker: Broker, stream: string): Promise<LastValues> {
  const manager = await jetstreamManager(broker.nats, { checkAPI: false });
  const client = jetstream(broker.nats);
  await assertStreams(broker, [stream]);
  return {
    async get(subject) {
      const message = await manager.streams.getMessage(stream, { last_by_subj: subject });
      return message === null ? { seq: 0, payload: new Uint8Array(0) } : { seq: message.seq, payload: message.data };
    },
    async replace(subject, payload, seq) {
      try {
        return (await client.publish(subject, payload, { expect: { lastSubjectSequence: seq } })).seq;
      } catch (error) {
        if (error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamWrongLastSequence) return null;
        throw error;
      }
    },
  };
}

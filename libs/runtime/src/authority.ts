import { JetStreamApiCodes, JetStreamApiError, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { authority } from '@sluice/model';
import type { Broker } from './broker.ts';
import { assertStreams } from './provision.ts';

/** Code `Fenced`: somebody else has written to the authority since; a writer that sees this has been replaced. */
export class FencedError extends Error {
  readonly code = 'Fenced';
}

/** The stream of the authority: the last value of each subject, in one sequence. */
export interface AuthorityStore {
  /** The last value of a subject with its sequence; `null` when there is none. */
  last(subject: string): Promise<{ readonly seq: number; readonly payload: Uint8Array } | null>;
  /** The sequence of the last write of all; 0 before the first. */
  head(): Promise<number>;
  /** Writes right after `head`, and returns the new sequence. Throws `FencedError`. */
  append(subject: string, payload: Uint8Array, head: number): Promise<number>;
}

/** Opens the authority. Throws `ConfigError` when its stream is not there. */
export async function openAuthorityStore(broker: Broker): Promise<AuthorityStore> {
  const manager = await jetstreamManager(broker.nats, { checkAPI: false });
  const client = jetstream(broker.nats);
  await assertStreams(broker, [authority.stream]);
  return {
    async last(subject) {
      const message = await manager.streams.getMessage(authority.stream, { last_by_subj: subject });
      return message === null ? null : { seq: message.seq, payload: message.data };
    },
    async head() {
      return (await manager.streams.info(authority.stream)).state.last_seq;
    },
    async append(subject, payload, head) {
      try {
        const { seq } = await client.publish(subject, payload, { expect: { lastSequence: head } });
        return seq;
      } catch (error) {
        if (error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamWrongLastSequence) {
          throw new FencedError('the authority has another writer');
        }
        throw error;
      }
    },
  };
}

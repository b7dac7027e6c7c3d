import { JetStreamApiCodes, JetStreamApiError, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { leases } from '@sluice/model';
import type { Broker } from './broker.ts';
import type { Logger } from './log.ts';

/** The last value of a lease's subject, and its sequence in the stream. */
export interface LeaseValue {
  readonly seq: number;
  readonly payload: Uint8Array;
}

/**
 * The stream `LEASES`. Each renewal is a compare-and-swap on the one before it: of two who believe that they hold a
 * lease, one is told that it does not.
 */
export interface LeaseStore {
  /** `null` when nobody has ever held it, or not for an hour. */
  last(subject: string): Promise<LeaseValue | null>;
  /**
   * Writes behind `seq` (0: the first), and returns the new sequence; `null` when somebody else has written since. Throws
   * when no answer comes within `timeoutMs`, default 2,000.
   */
  swap(subject: string, payload: Uint8Array, seq: number, timeoutMs?: number): Promise<number | null>;
}

export async function openLeaseStore(broker: Broker): Promise<LeaseStore> {
  const manager = await jetstreamManager(broker.nats, { checkAPI: false });
  const client = jetstream(broker.nats);
  return {
    async last(subject) {
      const message = await manager.streams.getMessage(leases.stream, { last_by_subj: subject });
      return message === null ? null : { seq: message.seq, payload: message.data };
    },
    async swap(subject, payload, seq, timeout = answerMs) {
      try {
        return (await client.publish(subject, payload, { expect: { lastSubjectSequence: seq }, timeout })).seq;
      } catch (error) {
        if (error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamWrongLastSequence) return null;
        throw error;
      }
    },
  };
}

/** A lease in hand. */
export interface HeldLease {
  /** Whether it runs now, by this process's monotonic clock; a process that was stopped meanwhile sees it, too. */
  held(): boolean;
  /** Renews it once more, with these last words, and no more after that. */
  end(payload: Uint8Array): Promise<void>;
  /** Renews no more; whoever waits for it waits until it is over. */
  abandon(): void;
}

export interface HeldLeaseOptions {
  readonly store: LeaseStore;
  readonly subject: string;
  /** What each renewal says. */
  readonly payload: Uint8Array;
  /** Of the value before: 0 for a lease that nobody had. */
  readonly after: number;
  readonly renewMs: number;
  /** It is over when no renewal succeeded for this long. */
  readonly leaseMs: number;
  readonly log: Logger;
  /** It is over, and somebody else may hold it. Told once. */
  readonly onLost: (why: string) => void;
}

const answerMs = 2_000;

/** Takes a lease and keeps it. `null` when somebody else was faster; throws when the broker does not answer. */
export async function takeLease(options: HeldLeaseOptions): Promise<HeldLease | null> {
  const { store, subject, payload, renewMs, leaseMs, log, onLost } = options;
  let renewedMs = performance.now();
  const first = await store.swap(subject, payload, options.after);
  if (first === null) return null;
  // A broker that dies takes answers with it: one that is lost costs one turn, and not the lease.
  const renewalMs = Math.min(answerMs, 0.8 * renewMs);
  let seq = first;
  let isOver = false;

  const lose = (why: string): void => {
    if (isOver) return;
    isOver = true;
    clearInterval(timer);
    onLost(why);
  };
  /** Writes the next value. Throws when the broker does not answer. */
  const write = async (value: Uint8Array): Promise<void> => {
    const askedMs = performance.now();
    let next = await store.swap(subject, value, seq, renewalMs);
    if (next === null) {
      // A renewal whose ack was lost is one of ours, and says the same.
      const last = await store.last(subject);
      if (last !== null && Buffer.compare(last.payload, payload) === 0)
        next = await store.swap(subject, value, last.seq, renewalMs);
      if (next === null) return lose('somebody else has taken the lease');
    }
    seq = next;
    renewedMs = askedMs;
  };
  let writing: Promise<void> | undefined;
  const renew = (): void => {
    if (performance.now() - renewedMs >= leaseMs) return lose(`the lease was not renewed for ${leaseMs / 1000} s`);
    writing ??= write(payload)
      .catch((error: unknown) => log.warn({ subject, err: error }, 'a lease was not renewed'))
      .finally(() => {
        writing = undefined;
      });
  };
  const timer = setInterval(renew, renewMs);
  timer.unref();

  return {
    held: () => !isOver && performance.now() - renewedMs < leaseMs,
    async end(value) {
      clearInterval(timer);
      await writing;
      if (!isOver) await write(value);
      isOver = true;
    },
    abandon() {
      clearInterval(timer);
      isOver = true;
    },
  };
}

import { type LeaseReply, type LeaseRequest, type LeaseRole, leaseMs, renewMs, subjects } from '@sluice/model';
import type { Broker } from './broker.ts';
import type { Logger } from './log.ts';

/** The right to go by the authority as this process knows it. It ends by itself when its writer cannot be reached. */
export interface Lease {
  /** Whether it runs now, by this process's own monotonic clock. */
  held(): boolean;
  /** The highest sequence of the authority this process has heard of. */
  seen(): number;
  /** Tells it of a sequence that was heard of elsewhere. */
  hear(seq: number): void;
  close(): void;
}

export interface LeaseOptions {
  readonly broker: Broker;
  readonly role: LeaseRole;
  /** Of the process, unique. */
  readonly instance: string;
  readonly log: Logger;
  /** Makes this process go by the authority up to `seq`; only then is it confirmed to the writer. May run again. */
  readonly onAdvance: (seq: number) => Promise<void> | void;
  /** The lease ended. It may come back. */
  readonly onLost: () => void;
}

const askTimeoutMs = 1_000;
/** After an answer that did not come. */
const retryMs = 250;
/** A process that starts waits this long for its first lease. */
const firstLeaseMs = 20_000;

/** Gets a lease, and renews it until it is closed. Throws when no writer of the authority answers. */
export async function openLease(options: LeaseOptions): Promise<Lease> {
  const { broker, role, instance, log, onAdvance, onLost } = options;
  let seen = 0;
  let applied = 0;
  let epoch = 0;
  let untilMs = 0;
  let isClosed = false;
  let lostTimer: NodeJS.Timeout | undefined;
  let wake = Promise.withResolvers<void>();
  broker.listen(subjects.renew, () => wake.resolve());

  const renew = async (): Promise<void> => {
    const askedMs = performance.now();
    const question: LeaseRequest = { instance, role, seq: applied };
    const answer = await broker.request(subjects.lease, Buffer.from(JSON.stringify(question)), askTimeoutMs);
    const reply = JSON.parse(Buffer.from(answer).toString()) as LeaseReply;
    if (reply.epoch < epoch) return;
    epoch = reply.epoch;
    // Heard of before the lease is longer: a decision from before the change is refused from here on.
    seen = Math.max(seen, reply.seq);
    if (untilMs <= askedMs && untilMs > 0) log.info({ seq: seen }, 'in touch with the authority again');
    untilMs = askedMs + leaseMs;
    clearTimeout(lostTimer);
    lostTimer = setTimeout(lose, untilMs - performance.now());
    lostTimer.unref();
    if (reply.seq === applied) return;
    await onAdvance(reply.seq);
    applied = reply.seq;
    wake.resolve();
  };
  const lose = (): void => {
    if (isClosed) return;
    log.error('out of touch with the authority: no new calls');
    onLost();
  };
  const pause = async (ms: number): Promise<void> => {
    const timer = setTimeout(() => wake.resolve(), ms);
    await wake.promise;
    clearTimeout(timer);
    wake = Promise.withResolvers();
  };

  const giveUpMs = performance.now() + firstLeaseMs;
  for (;;) {
    try {
      await renew();
      break;
    } catch (cause) {
      if (performance.now() > giveUpMs) throw new Error('no writer of the authority answers', { cause });
      await pause(retryMs);
    }
  }
  void (async () => {
    for (;;) {
      // What was heard of while the last answer was on its way is asked for at once.
      await pause(renewMs);
      if (isClosed) return;
      await renew().catch(async (error: Error) => {
        log.warn({ reason: error.message }, 'the lease was not renewed');
        await pause(retryMs);
      });
    }
  })();
  return {
    held: () => performance.now() < untilMs,
    seen: () => seen,
    hear(seq) {
      if (seq <= seen) return;
      seen = seq;
      wake.resolve();
    },
    close() {
      isClosed = true;
      clearTimeout(lostTimer);
      wake.resolve();
    },
  };
}

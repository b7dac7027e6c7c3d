import { leases, ledgerLeaseMs, ledgerRenewMs, partitions } from '@sluice/model';
import { type HeldLease, type LeaseStore, type Logger, takeLease } from '@sluice/runtime';

export interface PartitionOptions {
  readonly store: LeaseStore;
  /** Of this process, unique. */
  readonly instance: string;
  /**
   * `database`: the database itself lets one process in, so a lease that is still there is of a dead one.
   * `wait`: such a lease is waited for until it is over.
   */
  readonly fence: 'database' | 'wait';
  readonly log: Logger;
  /** A partition is ours from now on. */
  readonly onTaken: (partition: number) => Promise<void>;
  readonly onLost: (why: string) => void;
}

/** The partitions this recorder takes frames from: one recorder holds the lease of each at a time. */
export interface Partitions {
  /** Throws when a lease has run out meanwhile: then nothing may be inserted. */
  assertHeld(): void;
  /** Gives all leases back. */
  release(): Promise<void>;
}

/** How often a lease that somebody else holds is looked at. */
const lookMs = 1_000;

interface PartitionLease {
  readonly instance: string;
  readonly state: 'held' | 'free';
}

/** Takes every partition that is free, and the others when they become free. */
export async function holdPartitions(options: PartitionOptions): Promise<Partitions> {
  const { store, instance, fence, log, onTaken, onLost } = options;
  const held: HeldLease[] = [];
  const stop = new AbortController();

  /** Takes a partition, or says after which sequence of the lease it is somebody else's. */
  const tryTake = async (partition: number, staleSeq: number): Promise<number | null> => {
    const subject = leases.partition(partition);
    const last = await store.last(subject);
    const said = last === null ? null : (JSON.parse(Buffer.from(last.payload).toString()) as PartitionLease);
    const isFree = said === null || said.state === 'free' || fence === 'database' || last?.seq === staleSeq;
    if (!isFree) return last?.seq ?? 0;
    const lease = await takeLease({
      store,
      subject,
      payload: encode({ instance, state: 'held' }),
      after: last?.seq ?? 0,
      renewMs: ledgerRenewMs,
      leaseMs: ledgerLeaseMs,
      log,
      onLost: (why) => onLost(`partition ${partition}: ${why}`),
    });
    if (lease === null) return (await store.last(subject))?.seq ?? 0;
    held.push(lease);
    log.info({ partition }, 'this recorder takes a partition');
    await onTaken(partition);
    return null;
  };

  /** A lease that has not moved for as long as one lasts, by our own clock, is over. */
  const waitFor = async (partition: number, first: number): Promise<void> => {
    let seen = first;
    let sinceMs = performance.now();
    while (!stop.signal.aborted) {
      await new Promise((resolve) => setTimeout(resolve, lookMs).unref());
      const isStale = performance.now() - sinceMs > ledgerLeaseMs + ledgerRenewMs;
      const now = await tryTake(partition, isStale ? seen : -1).catch(() => seen);
      if (now === null) return;
      if (now === seen) continue;
      seen = now;
      sinceMs = performance.now();
    }
  };

  for (let partition = 0; partition < partitions; partition++) {
    const seq = await tryTake(partition, -1);
    if (seq !== null) void waitFor(partition, seq);
  }

  return {
    assertHeld() {
      if (!held.every((lease) => lease.held())) throw new Error('a lease on a partition has run out');
    },
    async release() {
      stop.abort();
      await Promise.all(held.map((lease) => lease.end(encode({ instance, state: 'free' })).catch(() => undefined)));
    },
  };
}

function encode(lease: PartitionLease): Buffer {
  return Buffer.from(JSON.stringify(lease));
}

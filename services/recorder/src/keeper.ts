import { setTimeout as sleep } from 'node:timers/promises';
import { type FrameMeta, type Head, type LedgerLease, leases, ledgerRenewMs } from '@sluice/model';
import type { Broker, FrameIntake, LeaseStore, Ledger, Logger } from '@sluice/runtime';
import type { Store } from './store.ts';

export interface KeeperOptions {
  readonly store: Store;
  readonly intake: FrameIntake;
  readonly leaseStore: LeaseStore;
  /** The recorder's own. */
  readonly ledger: Ledger;
  readonly broker: Broker;
  readonly log: Logger;
  /** A writer that was not heard of for this long is dead. Milliseconds. */
  readonly graceMs: number;
  /** How often the list of heads is written. Milliseconds. */
  readonly headsMs: number;
}

/** Keeps the recorder's own ledger: what became of the ledgers of others, and where they all stand. */
export interface Keeper {
  /** Tells of frames that are in the record now. */
  recorded(ledgers: ReadonlySet<string>): void;
  /** Writes the last list, and watches no more. */
  stop(): Promise<void>;
  /** Waits until what this recorder has written so far is in the record itself, at most `timeoutMs`. */
  ownIsRecorded(timeoutMs: number): Promise<void>;
}

/** How often it is looked whether frames have come to rest. */
const lookMs = 50;
/** Presumed ends are waited for this long; behind a slow database they come later, and nothing is lost. */
const presumedMs = 10_000;
/** One list of heads fits one frame many times over. */
const headsPerFrame = 5_000;

/** A ledger that has not been closed. */
interface Watched {
  /** When its writer was last heard of, or first missed, by the monotonic clock. */
  heardMs: number;
  said: LedgerLease;
}

/** Watches over every ledger that is not closed, those that lie in the table included. */
export async function openKeeper(options: KeeperOptions): Promise<Keeper> {
  const keeper = new LedgerKeeper(options);
  await keeper.open();
  return keeper;
}

class LedgerKeeper implements Keeper {
  readonly #options: KeeperOptions;
  readonly #watched = new Map<string, Watched>();
  /** Heads as they stand in the lists of this process. */
  readonly #listed = new Map<string, number>();
  #isStopped = false;
  #looking: Promise<void> = Promise.resolve();
  #timers: NodeJS.Timeout[] = [];

  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  async open(): Promise<void> {
    const { store, broker, headsMs } = this.#options;
    const closed = await store.closedLedgers();
    for (const { ledger, seq } of store.ledgersKnown().heads()) {
      if (closed.get(ledger) !== seq || store.ledgersKnown().missing(ledger).length > 0) this.#watch(ledger);
    }
    broker.listen(leases.ledger('*', '*'), (payload, subject) => this.#heard(subject, payload));
    this.#every(ledgerRenewMs, () => this.#look());
    this.#every(headsMs, () => this.#list());
    await this.#list();
  }

  recorded(ledgers: ReadonlySet<string>): void {
    // A frame of a closed ledger that arrives late has it looked at, and closed, once more.
    for (const ledger of ledgers) if (!this.#watched.has(ledger)) this.#watch(ledger);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const timer of this.#timers) clearInterval(timer);
    await this.#looking;
    await this.#list();
  }

  async ownIsRecorded(timeoutMs: number): Promise<void> {
    const { store, ledger } = this.#options;
    const { ledger: name, seq } = ledger.head;
    const giveUpMs = performance.now() + timeoutMs;
    while (performance.now() < giveUpMs) {
      if (store.hasUpTo(name, seq)) return;
      await sleep(lookMs);
    }
  }

  #every(ms: number, work: () => Promise<void>): void {
    const timer = setInterval(() => {
      this.#looking = this.#looking
        .then(work)
        .catch((error: unknown) =>
          this.#options.log.error({ err: error }, 'ledgers could not be looked after; it is tried again'),
        );
    }, ms);
    this.#timers.push(timer.unref());
  }

  #watch(ledger: string): void {
    if (ledger !== this.#options.ledger.name)
      this.#watched.set(ledger, { heardMs: performance.now(), said: { state: 'held' } });
  }

  #heard(subject: string, payload: Uint8Array): void {
    const watched = this.#watched.get(subject.slice(subject.lastIndexOf('.') + 1));
    if (watched === undefined) return;
    watched.heardMs = performance.now();
    watched.said = decode(payload);
  }

  /** Closes what has come to its end. */
  async #look(): Promise<void> {
    const { store, graceMs } = this.#options;
    for (const [ledger, watched] of this.#watched) {
      if (this.#isStopped) return;
      const { said } = watched;
      if (said.state === 'closed' && store.ledgersKnown().head(ledger).seq >= said.seq) {
        await this.#close(ledger, said.cause);
      } else if (performance.now() - watched.heardMs > graceMs) {
        await this.#end(ledger, watched);
      }
    }
  }

  /** Holds a ledger's writer for dead, unless it was faster, and closes the ledger when all it wrote is recorded. */
  async #end(ledger: string, watched: Watched): Promise<void> {
    const { leaseStore, intake } = this.#options;
    const subject = leases.ledger(writerOf(ledger), ledger);
    const last = await leaseStore.last(subject);
    let said: LedgerLease = last === null ? { state: 'ended' } : decode(last.payload);
    if (last !== null && said.state === 'held') {
      said = { state: 'ended' };
      if ((await leaseStore.swap(subject, Buffer.from(JSON.stringify(said)), last.seq)) === null) {
        watched.heardMs = performance.now();
        return;
      }
    }
    const isPast = await intake.mark();
    while (!(await isPast())) {
      if (this.#isStopped) return;
      await sleep(lookMs);
    }
    await this.#close(ledger, said.state === 'closed' ? said.cause : 'lease-ended');
  }

  async #close(ledger: string, cause: FrameMeta['ledger-closed']['cause']): Promise<void> {
    const { store, log } = this.#options;
    const head = store.ledgersKnown().head(ledger);
    const missing = store.ledgersKnown().missing(ledger);
    const presumed = cause === 'rolled' ? 0 : await this.#presume(ledger);
    await this.#write('ledger-closed', { head, cause, missing, presumed });
    this.#watched.delete(ledger);
    const facts = { ledger, seq: head.seq, cause, missing, presumed };
    if (cause === 'lease-ended') log.error(facts, 'the writer of a ledger died; the ledger is closed');
    else log.info(facts, 'a ledger is closed');
  }

  /** Gives an end to each call of a dead process that has none; returns how many. A real end that still arrives counts instead. */
  async #presume(ledger: string): Promise<number> {
    const { store, ledger: own } = this.#options;
    const instance = instanceOf(ledger);
    for (const other of this.#watched.keys()) if (other !== ledger && instanceOf(other) === instance) return 0;
    const open = await store.openCalls(instance);
    await Promise.all(
      open.map(({ call, session }) =>
        own.append('calls', {
          kind: 'outcome',
          call,
          session,
          meta: {
            outcome: 'presumed-unknown',
            status: 0,
            reasonCode: '',
            body: null,
            sha256: '',
            durationMicros: 0,
          },
          bytes: new Uint8Array(0),
        }),
      ),
    );
    await this.ownIsRecorded(presumedMs);
    return open.length;
  }

  /** The heads that moved since the list before, and a seal over the list. */
  async #list(): Promise<void> {
    const { store, ledger } = this.#options;
    const moved = store
      .ledgersKnown()
      .heads()
      .filter(({ ledger: name, seq }) => name !== ledger.name && seq > 0 && this.#listed.get(name) !== seq);
    for (let at = 0; at < moved.length; at += headsPerFrame) {
      const heads = moved.slice(at, at + headsPerFrame);
      await this.#write('heads', { heads });
      for (const { ledger: name, seq } of heads) this.#listed.set(name, seq);
    }
    if (moved.length > 0) ledger.seal();
  }

  async #write<K extends 'ledger-closed' | 'heads'>(kind: K, meta: FrameMeta[K]): Promise<Head> {
    return this.#options.ledger.remark({ kind, meta });
  }
}

function writerOf(ledger: string): string {
  return ledger.slice(0, ledger.indexOf('-'));
}

function instanceOf(ledger: string): string {
  return ledger.slice(0, ledger.lastIndexOf('-'));
}

function decode(payload: Uint8Array): LedgerLease {
  return JSON.parse(Buffer.from(payload).toString()) as LedgerLease;
}

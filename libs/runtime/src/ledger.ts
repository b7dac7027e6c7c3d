import { randomBytes } from 'node:crypto';
import {
  encodeFrame,
  FrameError,
  type FrameKind,
  type FrameMeta,
  type Head,
  type LedgerLease,
  leases,
  ledgerLeaseMs,
  ledgerRenewMs,
  maxPayloadBytes,
  noCall,
  noHash,
  noSession,
  partitionOf,
  type StreamKey,
  signHead,
  streams,
} from '@sluice/model';
import type { Broker } from './broker.ts';
import { type Env, integer } from './env.ts';
import { type HeldLease, openLeaseStore, takeLease } from './held-lease.ts';
import { loadSealer, type Sealer, type SealingWriter } from './keys.ts';
import { Lane } from './lane.ts';
import type { Logger } from './log.ts';

type WrittenKind = Exclude<FrameKind, 'unknown'>;

/** A frame to be written; the ledger gives it its place. */
export interface Entry<K extends WrittenKind> {
  readonly kind: K;
  readonly call: string;
  readonly session: string;
  readonly meta: FrameMeta[K];
  /** Masked bytes. Copied before `append` returns. */
  readonly bytes: Uint8Array;
  /** Default 0. */
  readonly offset?: number;
}

/** A frame of no call: what a ledger says of itself, or its recorder of other ledgers. */
export interface Remark<K extends WrittenKind> {
  readonly kind: K;
  readonly meta: FrameMeta[K];
}

/** The ordered frames of one writer, from its start to its end; a new one begins each day. */
export interface Ledger {
  /** Of the process: the names of its ledgers begin with it. */
  readonly instance: string;
  /** Of the ledger that is written now. */
  readonly name: string;
  /** Its last frame, acknowledged or not. */
  readonly head: Head;
  /**
   * Gives the frame its `seq`, publishes it, and resolves when the broker has it on disk. It never
   * rejects: a frame that is not acknowledged is published again until it is. Callers who cannot wait
   * for ever race it against a deadline; the frame stays due all the same. Throws `FrameError` for a frame that
   * exceeds the broker's `max_payload`.
   */
  append<K extends WrittenKind>(stream: StreamKey, entry: Entry<K>): Promise<void>;
  /** The same for a frame of no call; resolves with its place. */
  remark<K extends WrittenKind>(remark: Remark<K>): Promise<Head>;
  /** Signs the head now, if it is not signed yet; otherwise this is done every few seconds. */
  seal(): void;
  /**
   * Whether calls can be recorded: the broker takes frames of `calls` in time, and the lease runs. While not, no new
   * call may be taken. Frames of `bytes` may wait longer: their writers wait with them.
   */
  healthy(): boolean;
  /** Closes and seals the ledger, and waits until everything is acknowledged, at most `timeoutMs`. Returns how many frames were not. */
  drain(timeoutMs: number): Promise<number>;
}

export interface LedgerOptions {
  readonly broker: Broker;
  readonly sealer: Sealer;
  readonly log: Logger;
  /** The lease is over: from now on nothing is written, and the process must end. */
  readonly onLost: (why: string) => void;
  /** Default `ledgerLeaseMs`. */
  readonly leaseMs?: number;
  /** The writer's clock, milliseconds since the epoch; default `Date.now`. */
  readonly now?: () => number;
}

/** What a writer's environment says of its ledgers: its key, and `SLUICE_LEDGER_LEASE_MS`. Throws `ConfigError`. */
export function ledgerSettings(env: Env, writer: SealingWriter): Pick<LedgerOptions, 'sealer' | 'leaseMs'> {
  return { sealer: loadSealer(env, writer), leaseMs: integer(env, 'SLUICE_LEDGER_LEASE_MS', ledgerLeaseMs) };
}

/** How long frames may stand unsigned. */
const sealMs = 5_000;

/** The ledger of one day: a chain, and the lease on it. */
interface DayLedger {
  readonly name: string;
  readonly partition: number;
  readonly day: string;
  readonly lease: HeldLease;
  seq: number;
  prev: Uint8Array;
  /** Up to which position the head is signed. */
  sealed: number;
}

/** Opens a process's ledger on a connection of its own. Throws when the broker gives no lease on it. */
export async function openLedger(options: LedgerOptions): Promise<Ledger> {
  const now = options.now ?? Date.now;
  const stamp = new Date(now()).toISOString().replaceAll(/[-:.]/g, '');
  const instance = `${options.sealer.key.writer}-${stamp}-${randomBytes(4).toString('hex')}`;
  const writer = new LedgerWriter(options, instance, now);
  await writer.open();
  return writer;
}

class LedgerWriter implements Ledger {
  readonly instance: string;
  readonly #options: LedgerOptions;
  readonly #now: () => number;
  readonly #lanes: Readonly<Record<StreamKey, Lane>>;
  readonly #timers: NodeJS.Timeout[] = [];
  #rolls = 0;
  #current: DayLedger | undefined;
  #rolling: Promise<void> | undefined;

  constructor(options: LedgerOptions, instance: string, now: () => number) {
    this.#options = options;
    this.instance = instance;
    this.#now = now;
    const { broker, log } = options;
    this.#lanes = {
      calls: new Lane(broker, streams.calls.name, log),
      bytes: new Lane(broker, streams.bytes.name, log),
    };
  }

  async open(): Promise<void> {
    this.#begin(await this.#lease(), null);
    this.#every(sealMs, () => this.seal());
    this.#every(ledgerRenewMs, () => this.#rollOver());
  }

  get name(): string {
    return this.#ledger().name;
  }

  get head(): Head {
    return headOf(this.#ledger());
  }

  append<K extends WrittenKind>(stream: StreamKey, entry: Entry<K>): Promise<void> {
    return this.#write(this.#ledger(), stream, entry);
  }

  async remark<K extends WrittenKind>(remark: Remark<K>): Promise<Head> {
    const ledger = this.#ledger();
    const acked = this.#say(ledger, remark);
    const head = headOf(ledger);
    await acked;
    return head;
  }

  seal(): void {
    const ledger = this.#ledger();
    if (ledger.seq > ledger.sealed) this.#seal(ledger);
  }

  healthy(): boolean {
    return this.#options.broker.connected() && this.#ledger().lease.held() && this.#lanes.calls.healthy();
  }

  async drain(timeoutMs: number): Promise<number> {
    const late = new Promise((resolve) => setTimeout(resolve, timeoutMs).unref());
    await Promise.race([this.#rolling, late]);
    const ledger = this.#ledger();
    const seq = this.#close(ledger, 'drained');
    await Promise.race([this.#empty(), late]);
    for (const timer of this.#timers) clearInterval(timer);
    for (const lane of Object.values(this.#lanes)) lane.close();
    const left = this.#lanes.calls.size + this.#lanes.bytes.size;
    if (left === 0) {
      await Promise.race([
        ledger.lease.end(encode({ state: 'closed', seq, cause: 'drained' })).catch(() => undefined),
        late,
      ]);
    }
    ledger.lease.abandon();
    return left;
  }

  #ledger(): DayLedger {
    if (this.#current === undefined) throw new Error('the ledger is not open');
    return this.#current;
  }

  /** A lease on a ledger that is not written yet. */
  async #lease(): Promise<DayLedger> {
    const { broker, sealer, log, onLost, leaseMs = ledgerLeaseMs } = this.#options;
    const name = `${this.instance}-${this.#rolls++}`;
    const lease = await takeLease({
      store: await openLeaseStore(broker),
      subject: leases.ledger(sealer.key.writer, name),
      payload: encode({ state: 'held' }),
      after: 0,
      renewMs: Math.min(ledgerRenewMs, leaseMs / 4),
      leaseMs,
      log,
      onLost,
    });
    if (lease === null) throw new Error(`the ledger ${name} is somebody else's`);
    return { name, partition: partitionOf(name), day: this.#day(), lease, seq: 0, prev: noHash, sealed: 0 };
  }

  #day(): string {
    return new Date(this.#now()).toISOString().slice(0, 10);
  }

  #begin(ledger: DayLedger, previous: Head | null): void {
    const { key } = this.#options.sealer;
    this.#current = ledger;
    void this.#say(ledger, { kind: 'opened', meta: { writer: key.writer, instance: this.instance, previous, key } });
  }

  /** Writes the last two frames; returns the position of the very last. */
  #close(ledger: DayLedger, cause: 'drained' | 'rolled'): number {
    void this.#say(ledger, { kind: 'closed', meta: { cause } });
    this.#seal(ledger);
    return ledger.seq;
  }

  /** With a new day, a new ledger: the one before is closed once the lease on the next is there. */
  #rollOver(): void {
    const before = this.#ledger();
    if (this.#rolling !== undefined || before.day === this.#day() || !before.lease.held()) return;
    const { log } = this.#options;
    this.#rolling = (async () => {
      const next = await this.#lease();
      const seq = this.#close(before, 'rolled');
      this.#begin(next, headOf(before));
      await this.#empty(before.lease);
      await before.lease.end(encode({ state: 'closed', seq, cause: 'rolled' }));
    })()
      .catch((error: unknown) => log.error({ ledger: before.name, err: error }, 'a ledger did not roll over'))
      .finally(() => {
        this.#rolling = undefined;
      });
  }

  #seal(ledger: DayLedger): void {
    const { key, privateKey } = this.#options.sealer;
    const signature = signHead(privateKey, headOf(ledger));
    void this.#say(ledger, { kind: 'seal', meta: { kid: key.kid, signature } });
    ledger.sealed = ledger.seq;
  }

  #say<K extends WrittenKind>(ledger: DayLedger, { kind, meta }: Remark<K>): Promise<void> {
    return this.#write(ledger, 'calls', { kind, meta, call: noCall, session: noSession, bytes: new Uint8Array(0) });
  }

  #write<K extends WrittenKind>(ledger: DayLedger, stream: StreamKey, entry: Entry<K>): Promise<void> {
    const frame = {
      ledger: ledger.name,
      seq: ledger.seq + 1,
      call: entry.call,
      session: entry.session,
      atMicros: this.#now() * 1000,
      kind: entry.kind,
      offset: entry.offset ?? 0,
      meta: JSON.stringify(entry.meta),
      prev: ledger.prev,
      bytes: entry.bytes,
    };
    const { message, hash } = encodeFrame(frame);
    // The broker would never take it, and the ledger would wait for its ack for ever.
    if (message.byteLength > maxPayloadBytes) throw new FrameError(`a frame has ${message.byteLength} bytes`);
    ledger.seq = frame.seq;
    ledger.prev = hash;
    const subject = `${streams[stream].prefix}.${ledger.partition}`;
    return this.#lanes[stream].send({ subject, message, lease: ledger.lease });
  }

  /** Resolves when every frame is acknowledged: all, or those of one ledger. */
  async #empty(lease?: HeldLease): Promise<void> {
    await Promise.all(Object.values(this.#lanes).map((lane) => lane.empty(lease)));
  }

  #every(ms: number, work: () => void): void {
    this.#timers.push(setInterval(work, ms).unref());
  }
}

function headOf(ledger: DayLedger): Head {
  return { ledger: ledger.name, seq: ledger.seq, hash: Buffer.from(ledger.prev).toString('hex') };
}

function encode(lease: LedgerLease): Buffer {
  return Buffer.from(JSON.stringify(lease));
}

import type { Msg } from '@nats-io/transport-node';
import type { Broker } from './broker.ts';
import { HeldFrames } from './held-frames.ts';
import type { HeldLease } from './held-lease.ts';
import type { Logger } from './log.ts';
import { passBytes } from './young-garbage.ts';

/** An encoded frame, to be published. */
export interface Parcel {
  readonly subject: string;
  readonly message: Uint8Array;
  /** On its ledger: once that is over, the frame goes out no more. */
  readonly lease: HeldLease;
}

/** A frame without an answer is offered again after this long. */
const answerMs = 1_000;
/** How often a lane looks for such frames. */
const lookMs = 250;
/** The oldest frame may wait this long for its ack before the lane counts as unhealthy. */
const staleMs = 2_000;
/** Frames kept for republishing. Beyond this the lane counts as unhealthy; nothing is dropped. */
const maxDueBytes = 64 * 1024 * 1024;
/** A stream that fills again and again is spoken of once; it is well when it took everything for this long. */
const wellMs = 5_000;

const notOnItsWay = Number.POSITIVE_INFINITY;

interface Due extends Parcel {
  readonly appendedAtMs: number;
  publishedAtMs: number;
  readonly acknowledged: () => void;
}

/** The way of frames into one stream: each is kept, and published byte for byte, until the broker has it on disk. */
export class Lane {
  readonly #broker: Broker;
  readonly #stream: string;
  readonly #log: Logger;
  /**
   * Acks come to one private inbox, one token per frame: the JetStream client's own `publish` makes a timer and a
   * subscription entry per message.
   */
  readonly #inbox: string;
  /** By token, in the order of `send`. */
  readonly #due = new Map<number, Due>();
  readonly #held = new HeldFrames();
  readonly #timer: NodeJS.Timeout;
  #token = 0;
  #breaks: number;
  #dueBytes = 0;
  /** The broker refused a frame, and has not taken all since. */
  #isRefusing = false;
  #complaint: { lastAtMs: number } | undefined;
  /** Those who wait for acks look again with each. */
  readonly #waiters = new Set<() => void>();

  constructor(broker: Broker, stream: string, log: Logger) {
    this.#broker = broker;
    this.#stream = stream;
    this.#log = log;
    this.#inbox = broker.inbox();
    this.#breaks = broker.breaks();
    broker.nats.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => {
        if (error === null) this.#answered(message);
      },
    });
    this.#timer = setInterval(() => this.#look(), lookMs).unref();
  }

  /** Frames without an ack. */
  get size(): number {
    return this.#due.size;
  }

  /** Publishes, and resolves when the broker has the frame on disk. Never rejects. */
  send(parcel: Parcel): Promise<void> {
    return new Promise((acknowledged) => {
      const token = ++this.#token;
      const due = { ...parcel, appendedAtMs: performance.now(), publishedAtMs: notOnItsWay, acknowledged };
      this.#due.set(token, due);
      this.#dueBytes += parcel.message.byteLength;
      this.#takeBack();
      if (this.#held.isEmpty && this.#broker.connected()) this.#publish(token, due);
      else this.#held.add(token);
    });
  }

  /** Whether the broker takes frames, and in time. */
  healthy(): boolean {
    if (this.#isRefusing || this.#dueBytes >= maxDueBytes) return false;
    const oldest = this.#due.values().next();
    return oldest.done === true || performance.now() - oldest.value.appendedAtMs < staleMs;
  }

  /** Resolves when every frame is acknowledged: all, or those under one lease. */
  async empty(lease?: HeldLease): Promise<void> {
    while (this.#due.values().some((due) => lease === undefined || due.lease === lease)) {
      await new Promise<void>((resolve) => this.#waiters.add(resolve));
    }
  }

  /** Offers nothing again. */
  close(): void {
    clearInterval(this.#timer);
  }

  #publish(token: number, due: Due): void {
    due.publishedAtMs = performance.now();
    this.#broker.atEndOfTurn(() => {
      // Taken back meanwhile, since the connection broke: it goes again in its order.
      if (due.publishedAtMs === notOnItsWay) return;
      // A process that was stopped for longer than its lease wakes up here, before any timer of its own has run.
      if (!due.lease.held()) return;
      try {
        this.#broker.nats.publish(due.subject, due.message, { reply: `${this.#inbox}.${token}` });
        passBytes(due.message.byteLength);
      } catch (error) {
        this.#log.warn({ stream: this.#stream, err: error }, 'a frame could not be published; it stays due');
      }
    });
  }

  #offer(tokens: readonly number[]): void {
    for (const token of tokens) this.#publish(token, this.#due.get(token) as Due);
  }

  #answered(message: Msg): void {
    const token = Number(message.subject.slice(this.#inbox.length + 1));
    const due = this.#due.get(token);
    // A second ack, of a frame that was published twice, finds nothing: the recorder keeps one.
    if (due === undefined) return;
    const refusal = refusalOf(message);
    const nowMs = performance.now();
    if (refusal !== null) {
      this.#isRefusing = true;
      this.#notTaken(token, due, refusal, nowMs);
      return;
    }
    this.#due.delete(token);
    this.#dueBytes -= due.message.byteLength;
    due.acknowledged();
    this.#offer(this.#held.taken(token, nowMs));
    if (this.#held.isEmpty) this.#isRefusing = false;
    for (const look of this.#waiters) look();
    this.#waiters.clear();
  }

  #notTaken(token: number, due: Due, why: string, nowMs: number): void {
    due.publishedAtMs = notOnItsWay;
    this.#held.notTaken(token, nowMs);
    if (this.#complaint === undefined) {
      const facts = { stream: this.#stream, why, frames: this.#due.size };
      this.#log.error(facts, 'the broker does not take frames; they are offered again until it does');
    }
    this.#complaint = { lastAtMs: nowMs };
  }

  /**
   * What was on its way when the connection broke goes again before anything newer: the end of a call may not stand in
   * the record without its beginning, should this process end in between.
   */
  #takeBack(): void {
    const breaks = this.#broker.breaks();
    if (breaks === this.#breaks) return;
    this.#breaks = breaks;
    const nowMs = performance.now();
    for (const [token, due] of this.#due) {
      if (due.publishedAtMs === notOnItsWay) continue;
      due.publishedAtMs = notOnItsWay;
      this.#held.notTaken(token, nowMs);
    }
  }

  #look(): void {
    if (!this.#broker.connected()) return;
    this.#takeBack();
    const nowMs = performance.now();
    for (const [token, due] of this.#due) {
      if (nowMs - due.publishedAtMs >= answerMs) this.#notTaken(token, due, 'no answer', nowMs);
    }
    this.#offer(this.#held.next(nowMs));
    if (this.#complaint === undefined || !this.#held.isEmpty || nowMs - this.#complaint.lastAtMs < wellMs) return;
    this.#complaint = undefined;
    this.#log.info({ stream: this.#stream }, 'the broker takes frames again');
  }
}

/** Why the broker did not store a frame, or `null` when it did. An ack is JSON; "no responders" has status 503 and no body. */
function refusalOf(message: Msg): string | null {
  if (message.data.byteLength === 0) return `status ${message.headers?.code ?? 0}`;
  const ack = message.json<{ readonly seq?: number; readonly error?: { readonly description?: string } }>();
  if (ack.error !== undefined) return ack.error.description ?? 'an error without a description';
  return typeof ack.seq === 'number' ? null : 'an ack without a sequence';
}

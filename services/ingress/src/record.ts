import { createHash, type Hash } from 'node:crypto';
import type { BodyNote, FrameMeta, Outcome, ReasonCode } from '@sluice/model';
import type { Ledger } from '@sluice/runtime';
import type { Share } from './budget.ts';
import { Refusal } from './refusal.ts';
import { ChannelsRecord } from './streams/channels-record.ts';

/** A broker that has not acknowledged by then counts as gone for this call; the frame stays due. */
const ackDeadlineMs = 2_000;
/** A response frame carries at most this much, bytes. */
const frameBytes = 256 * 1024;
/** Response bytes may run ahead of their acks by this much, */
const windowBytes = 256 * 1024;
/** and by this long. */
const windowMs = 200;
/** What a frame is larger than its bytes, in the broker's store: about so much. */
const frameOverheadBytes = 512;
/** Of reads, so much of the response body is recorded; of writes and watches, and where a policy says so, all of it. */
const readBodyBytes = 64 * 1024;

/** What ends a call from outside, while it is still recording. */
export interface CallOver {
  /** Throws why, when it has ended. */
  throwIfOver(): void;
  /** Aborts with why. */
  readonly signal: AbortSignal;
}

/** The frames of one call, in their order: call, responses, outcome. */
export class CallRecord {
  readonly id: string;
  readonly session: string;
  readonly #ledger: Ledger;
  readonly #share: Share;
  readonly #startedAt = performance.now();
  #written = false;
  #ended = false;
  #response: ResponseRecord | undefined;
  #channels: ChannelsRecord | undefined;

  constructor(ledger: Ledger, share: Share, id: string, session: string) {
    this.#ledger = ledger;
    this.#share = share;
    this.id = id;
    this.session = session;
  }

  /** Whether the call frame was written. */
  get written(): boolean {
    return this.#written;
  }

  /** Writes call and decision, and returns once the broker has them on disk. Throws `Refusal`. */
  async call(meta: FrameMeta['call'], maskedBody: Uint8Array): Promise<void> {
    this.#written = true;
    await this.#ahead('call', meta, maskedBody);
  }

  /** Writes the second decision on a call that was held; likewise. */
  async decision(meta: FrameMeta['decision']): Promise<void> {
    await this.#ahead('decision', meta, new Uint8Array(0));
  }

  async #ahead<K extends 'call' | 'decision'>(kind: K, meta: FrameMeta[K], bytes: Uint8Array): Promise<void> {
    const acked = this.#ledger.append('calls', { kind, call: this.id, session: this.session, meta, bytes });
    if (!(await inTime(acked, ackDeadlineMs))) {
      throw new Refusal('RecordUnavailable', 'Sluice cannot record this call now, so it was not made');
    }
  }

  /** Opens the response's part of the record. */
  response(
    meta: FrameMeta['response'],
    note: Pick<BodyNote, 'recorded' | 'delivered'>,
    isWhole: boolean,
  ): ResponseRecord {
    const { recorded } = note;
    const limit = recorded === 'digest' ? 0 : isWhole ? Number.POSITIVE_INFINITY : readBodyBytes;
    this.#response = new ResponseRecord(this.#frames(), meta, note, limit);
    return this.#response;
  }

  /** Opens the record of a stream's channels. */
  channels(): ChannelsRecord {
    this.#channels = new ChannelsRecord(this.#frames(), this.#frames());
    return this.#channels;
  }

  #frames(): AheadFrames {
    return new AheadFrames(this.#ledger, this.#share, this);
  }

  /** The one outcome. A second one is dropped: the first thing that ended the call names it. */
  outcome(outcome: Outcome, status: number, reasonCode: ReasonCode | '' = '', message = ''): void {
    if (this.#ended || !this.#written) return;
    this.#ended = true;
    const durationMicros = Math.round((performance.now() - this.#startedAt) * 1000);
    const { body = null, sha256 = '' } = this.#response?.summary() ?? {};
    // Nobody waits for it: the ledger publishes it until it is acknowledged.
    void this.#ledger.append('calls', {
      kind: 'outcome',
      call: this.id,
      session: this.session,
      meta: {
        outcome,
        status,
        reasonCode,
        body,
        sha256,
        durationMicros,
        ...(message !== '' && { message }),
        ...(this.#channels && { stream: this.#channels.summary() }),
      },
      bytes: new Uint8Array(0),
    });
  }
}

/** Frames of bytes that go to the agent, and may run ahead of their acks for a while. */
export class AheadFrames {
  readonly #ledger: Ledger;
  readonly #share: Share;
  readonly #record: CallRecord;
  #aheadBytes = 0;
  /** Frames without an ack: some have no bytes. */
  #ahead = 0;
  #last: Promise<void> = Promise.resolve();
  #aheadSince = 0;

  constructor(ledger: Ledger, share: Share, record: CallRecord) {
    this.#ledger = ledger;
    this.#share = share;
    this.#record = record;
  }

  /**
   * Waits while the store has no room for so many bytes more of this agent's. Throws what `over` says: the call's end.
   */
  async claim(bytes: number, over: CallOver): Promise<void> {
    if (bytes === 0) return;
    over.throwIfOver();
    const storedBytes = storedBytesOf(bytes);
    if (!this.#share.claimNow(storedBytes)) await this.#share.claim(storedBytes, over.signal);
  }

  /** Takes room for the last words of a call that is being cut. */
  take(bytes: number): void {
    this.#share.take(storedBytesOf(bytes));
  }

  /** Publishes bytes that room was taken for, in frames. `offset`: of the first of them. */
  publish<K extends 'response' | 'channel'>(kind: K, meta: FrameMeta[K], bytes: Buffer, offset: number): void {
    for (let at = 0; at < bytes.length; at += frameBytes) {
      this.#publish(kind, meta, bytes.subarray(at, at + frameBytes), offset + at);
    }
  }

  /** Publishes a frame without bytes. There is always room for it. */
  mark<K extends 'response' | 'channel'>(kind: K, meta: FrameMeta[K], offset: number): void {
    this.#share.take(frameOverheadBytes);
    this.#publish(kind, meta, Buffer.alloc(0), offset);
  }

  /** Waits while too many bytes run ahead. Throws `Refusal` (`ResponseWithheld`). */
  async within(): Promise<void> {
    const late = this.#ahead > 0 && performance.now() - this.#aheadSince > windowMs;
    if (late || this.#aheadBytes > windowBytes) await this.settled();
  }

  /** Waits until everything is acknowledged: the last byte goes out after that. Throws `Refusal` (`ResponseWithheld`). */
  async settled(): Promise<void> {
    if (this.#ahead > 0 && !(await inTime(this.#last, ackDeadlineMs))) {
      throw new Refusal('ResponseWithheld', 'the answer could not be recorded, so it is withheld');
    }
  }

  #publish<K extends 'response' | 'channel'>(kind: K, meta: FrameMeta[K], bytes: Buffer, offset: number): void {
    if (this.#ahead++ === 0) this.#aheadSince = performance.now();
    this.#aheadBytes += bytes.length;
    const { id: call, session } = this.#record;
    const acked = this.#ledger.append('bytes', { kind, call, session, meta, bytes, offset }).then(() => {
      this.#ahead--;
      this.#aheadBytes -= bytes.length;
      this.#share.stored(bytes.length + frameOverheadBytes);
    });
    this.#last = Promise.all([this.#last, acked]).then(() => undefined);
  }
}

function storedBytesOf(bytes: number): number {
  return bytes + Math.ceil(bytes / frameBytes) * frameOverheadBytes;
}

/** The masked bytes of one response, as they go to the agent. */
export class ResponseRecord {
  readonly #frames: AheadFrames;
  readonly #meta: FrameMeta['response'];
  readonly #note: Pick<BodyNote, 'recorded' | 'delivered'>;
  readonly #limit: number;
  readonly #hash: Hash = createHash('sha256');
  #bytes = 0;

  /** `limit`: so many bytes are recorded. */
  constructor(
    frames: AheadFrames,
    meta: FrameMeta['response'],
    note: Pick<BodyNote, 'recorded' | 'delivered'>,
    limit: number,
  ) {
    this.#frames = frames;
    this.#meta = meta;
    this.#note = note;
    this.#limit = limit;
  }

  /**
   * Records bytes before they are delivered. Waits while the store has no room for more of this agent's, and while too
   * many run ahead of their acks. Throws `Refusal`, and what `over` says: the call's end.
   */
  async append(bytes: Buffer, over: CallOver): Promise<void> {
    await this.#frames.claim(this.#recordedOf(bytes).length, over);
    this.#write(bytes);
    await this.#frames.within();
  }

  /** Records the last words of a call that is being cut, and waits for nothing but their ack. Throws `Refusal`. */
  async conclude(bytes: Buffer): Promise<void> {
    this.#frames.take(this.#recordedOf(bytes).length);
    this.#write(bytes);
    await this.settled();
  }

  /** Of an answer that is not recorded, only how long it is. */
  count(bytes: number): void {
    this.#bytes += bytes;
  }

  /** Waits until everything recorded is acknowledged: the last byte goes out after that. Throws `Refusal`. */
  settled(): Promise<void> {
    return this.#frames.settled();
  }

  /** Size and SHA-256 (hex) of what was appended, whole answer or not. Ends the record. */
  summary(): { readonly body: BodyNote; readonly sha256: string } {
    const body = { bytes: this.#bytes, contentType: this.#meta.contentType, ...this.#note };
    return { body, sha256: this.#hash.digest('hex') };
  }

  /** What of these bytes is recorded: of a long answer perhaps only the beginning. */
  #recordedOf(bytes: Buffer): Buffer {
    return bytes.subarray(0, Math.max(0, this.#limit - this.#bytes));
  }

  #write(bytes: Buffer): void {
    this.#hash.update(bytes);
    this.#frames.publish('response', this.#meta, this.#recordedOf(bytes), this.#bytes);
    this.#bytes += bytes.length;
  }
}

/** Whether a promise that never rejects is there in time. */
function inTime(promise: Promise<void>, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms, false);
    void promise.then(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}

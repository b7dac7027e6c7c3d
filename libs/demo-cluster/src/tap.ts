import { createHash, type Hash } from 'node:crypto';
import type { Fault } from './failpoint.ts';
import type { StreamLog, StreamTotals } from './ground-truth.ts';
import { BrokenPipe } from './pipe.ts';

/** Stands on the channels of one stream: tells the log what passes, and is where a stream fails. */
export class Tap {
  readonly #log: StreamLog | undefined;
  readonly #fault: Fault | undefined;
  readonly #cut: () => void;
  readonly #totals = new Map<string, { bytes: number; readonly hash: Hash }>();
  #sent = 0;

  /** `cut`: breaks the connection. Without a log nothing is counted. */
  constructor(log: StreamLog | undefined, fault: Fault | undefined, cut: () => void) {
    this.#log = log;
    this.#fault = fault;
    this.#cut = cut;
  }

  received(channel: string, bytes: Buffer): void {
    this.#count(channel, bytes);
  }

  /** The client has no more for this channel. */
  ended(channel: string): void {
    this.#log?.ended(channel);
  }

  /** Lets bytes through to `write`, as far as the fault lets them. */
  async send(channel: string, bytes: Buffer, write: (bytes: Buffer) => Promise<void>): Promise<void> {
    const room = (this.#fault?.afterBytes ?? Infinity) - this.#sent;
    this.#sent += bytes.length;
    if (this.#fault === undefined || bytes.length <= room || room < 0) return this.#pass(channel, bytes, write);
    if (room > 0) await this.#pass(channel, bytes.subarray(0, room), write);
    await this.#fault.trip();
    if (this.#fault.kind !== 'cut-stream') return this.#pass(channel, bytes.subarray(room), write);
    this.#cut();
    throw new BrokenPipe('cut');
  }

  /** The stream is over. */
  closed(): void {
    this.#log?.closed(this.#sums());
  }

  #sums(): StreamTotals {
    return [...this.#totals].map(([channel, { bytes, hash }]) => ({
      channel,
      bytes,
      sha256: hash.copy().digest('hex'),
    }));
  }

  #pass(channel: string, bytes: Buffer, write: (bytes: Buffer) => Promise<void>): Promise<void> {
    this.#count(channel, bytes);
    return write(bytes);
  }

  #count(channel: string, bytes: Buffer): void {
    if (this.#log === undefined) return;
    let total = this.#totals.get(channel);
    if (total === undefined) this.#totals.set(channel, (total = { bytes: 0, hash: createHash('sha256') }));
    total.bytes += bytes.length;
    total.hash.update(bytes);
    // What is large is told by its sum alone.
    if (total.bytes <= maxLoggedBytes) this.#log.channel(channel, bytes);
  }
}

/** Bytes of each channel that the log keeps. */
const maxLoggedBytes = 1_048_576;

import { createHash } from 'node:crypto';
import type { FrameKind } from '@sluice/model';
import { channelIn, endIn, type StatedChannel } from './words.ts';

/** A frame of a call, as far as streams are concerned. */
export interface StreamFrame {
  readonly ledger: string;
  readonly seq: number;
  readonly call: string;
  readonly kind: FrameKind;
  readonly offset: number;
  readonly meta: string;
  readonly bytes: Uint8Array;
}

/** A stream whose outcome says something else than its frames, as far as one ledger has them. */
export interface DoubtfulStream {
  /** Of its outcome. */
  readonly ledger: string;
  readonly seq: number;
  readonly call: string;
  readonly stated: readonly StatedChannel[];
}

/** What the channels of streams carried, as their frames have it, beside what their outcomes say. */
export class HeardStreams {
  readonly doubtful: DoubtfulStream[] = [];
  readonly #running = new Map<string, StreamSums>();

  /** Frames come in the order in which they were written. */
  hear(frame: StreamFrame): void {
    const { kind, ledger, seq, call } = frame;
    if (kind === 'channel') {
      const sums = this.#running.get(call) ?? new StreamSums();
      this.#running.set(call, sums);
      sums.add(frame);
    }
    if (kind !== 'outcome') return;
    const stated = endIn(frame.meta);
    const sums = this.#running.get(call) ?? new StreamSums();
    this.#running.delete(call);
    // A stream that began in its writer's ledger before this one is looked at as a whole, later.
    if (stated !== null && sums.differing(stated) !== null) this.doubtful.push({ ledger, seq, call, stated });
  }
}

/** All frames of one stream, wherever they are. */
export class WholeStream {
  readonly #sums = new StreamSums();
  /** Of each ledger that holds frames of it, the position behind which they are. */
  readonly #begins = new Map<string, number>();

  hear(frame: StreamFrame): void {
    const { ledger, seq, kind } = frame;
    if (kind === 'call') this.#begins.set(ledger, seq);
    if (kind !== 'channel') return;
    if (!this.#begins.has(ledger)) this.#begins.set(ledger, 0);
    this.#sums.add(frame);
  }

  /** Whether a position may have held a frame of it. */
  mayHold(end: DoubtfulStream, ledger: string, [first, last]: readonly [number, number]): boolean {
    const begin = this.#begins.get(ledger);
    if (ledger === end.ledger) return first < end.seq && last > (begin ?? 0);
    return begin !== undefined && last > begin;
  }

  /** The ledgers that hold frames of it. */
  ledgers({ ledger }: DoubtfulStream): ReadonlySet<string> {
    return new Set([...this.#begins.keys(), ledger]);
  }

  /** What its outcome says otherwise than its frames: one sentence; `null` where nothing. */
  differing({ stated }: DoubtfulStream): string | null {
    return this.#sums.differing(stated);
  }
}

interface ChannelSum {
  bytes: number;
  isGapless: boolean;
  readonly hash: ReturnType<typeof createHash>;
}

/** The channels of one stream. */
class StreamSums {
  readonly #channels = new Map<string, ChannelSum>();

  add({ meta, offset, bytes }: StreamFrame): void {
    const channel = channelIn(meta);
    if (channel === null) return;
    const sum = this.#channels.get(channel) ?? { bytes: 0, isGapless: true, hash: createHash('sha256') };
    this.#channels.set(channel, sum);
    if (offset !== sum.bytes) sum.isGapless = false;
    sum.bytes += bytes.byteLength;
    sum.hash.update(bytes);
  }

  differing(stated: readonly StatedChannel[]): string | null {
    const unstated = [...this.#channels.keys()].find((name) => !stated.some(({ channel }) => channel === name));
    if (unstated !== undefined) return `frames of ${unstated} are there, of which the outcome says nothing`;
    for (const { channel, bytes, sha256 } of stated) {
      const sum = this.#channels.get(channel);
      const there = sum?.bytes ?? 0;
      if (there !== bytes) return `${there} bytes of ${channel} are there, and the outcome says ${bytes}`;
      if (sum?.isGapless === false) return `the frames of ${channel} do not follow on each other`;
      const hash = (sum?.hash.copy() ?? createHash('sha256')).digest('hex');
      if (hash !== sha256) return `the bytes of ${channel} are not those of which the outcome has the hash`;
    }
    return null;
  }
}

import type { Frame } from '@sluice/model';

/** A frame, and when the broker stored it. */
export type Stored = Pick<Frame, 'ledger' | 'kind' | 'atMicros'> & { readonly storedAtMicros: number };

/** The clock of a writer and that of the broker differ. */
export interface Skew {
  /** The process: its ledgers' names begin with it. */
  readonly writer: string;
  /** How far the writer's clock is ahead; negative, behind. */
  readonly aheadMs: number;
}

/** No frame is stored before it is written; so much passes for clocks that are kept in step. */
const aheadMs = 2_000;
/** A frame may wait for a broker that is away, and is stored late. */
const behindMs = 30_000;
/** Two calls that are late by the same, so far apart, did not wait: the clock is behind. */
const apartMs = 5_000;
const sameMs = 2_000;
/** Of one writer it is said again after this. */
const againMs = 60_000;

interface Writer {
  /** A late call, for the next one to be held against. */
  late?: { readonly lagMs: number; readonly storedMs: number };
  saidMs: number;
}

/** Compares the time in frames with the time at which the broker stored them. Orders nothing: that is for positions. */
export class Clocks {
  readonly #writers = new Map<string, Writer>();

  /** What is to be said of frames that are new in the record, once a writer and minute. `nowMs`: monotonic. */
  skewsIn(frames: readonly Stored[], nowMs: number): Skew[] {
    const skews: Skew[] = [];
    for (const frame of frames) {
      const writer = frame.ledger.slice(0, frame.ledger.lastIndexOf('-'));
      const known = this.#writers.get(writer) ?? { saidMs: Number.NEGATIVE_INFINITY };
      this.#writers.set(writer, known);
      const lagMs = (frame.storedAtMicros - frame.atMicros) / 1000;
      if (lagMs >= -aheadMs && !isBehind(known, frame, lagMs)) continue;
      if (nowMs - known.saidMs < againMs) continue;
      known.saidMs = nowMs;
      skews.push({ writer, aheadMs: Math.round(-lagMs) });
    }
    for (const [writer, { saidMs, late }] of this.#writers) {
      if (late === undefined && nowMs - saidMs >= againMs) this.#writers.delete(writer);
    }
    return skews;
  }
}

function isBehind(writer: Writer, { kind, storedAtMicros }: Stored, lagMs: number): boolean {
  // Only a call is always stored soon, or refused.
  if (kind !== 'call') return false;
  const storedMs = storedAtMicros / 1000;
  const before = writer.late;
  if (lagMs < behindMs) delete writer.late;
  else if (before === undefined || Math.abs(before.lagMs - lagMs) > sameMs) writer.late = { lagMs, storedMs };
  else return storedMs - before.storedMs > apartMs;
  return false;
}

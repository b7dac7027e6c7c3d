// Which frames are in the record already. Pure.

/** Frames in the table, by ledger: all up to a watermark, and some above it. */
export class SeenFrames {
  readonly #ledgers = new Map<string, { watermark: number; readonly above: Set<number> }>();

  /** Whether the frame is new; if so, it counts as seen from now on. */
  add(ledger: string, seq: number): boolean {
    let known = this.#ledgers.get(ledger);
    if (known === undefined) {
      known = { watermark: 0, above: new Set() };
      this.#ledgers.set(ledger, known);
    }
    if (seq <= known.watermark || known.above.has(seq)) return false;
    known.above.add(seq);
    while (known.above.delete(known.watermark + 1)) known.watermark++;
    return true;
  }

  /** Starts a ledger that is in the table, gapless up to `watermark`. */
  restore(ledger: string, watermark: number): void {
    this.#ledgers.set(ledger, { watermark, above: new Set() });
  }
}

/** The oldest frame is offered again after this long, then after twice as long, and so on, */
const firstPauseMs = 250;
/** up to this. */
const lastPauseMs = 2_000;

/**
 * Frames that the broker did not take, and those appended since: they are offered again in their order. The oldest
 * goes alone, less and less often, until it is taken; then two go for each that is. So a thousand frames that wait for
 * room cost a full store one attempt at a time, and are soon gone when there is room. Pure: tokens name frames, lower
 * ones go first; `nowMs` is a monotonic clock.
 */
export class HeldFrames {
  /** In ascending order. */
  readonly #waiting: number[] = [];
  readonly #offered = new Set<number>();
  #pauseMs = firstPauseMs;
  #offerAtMs = 0;

  get isEmpty(): boolean {
    return this.#waiting.length === 0 && this.#offered.size === 0;
  }

  /** Takes a frame that was not published yet, since others wait. One that waits already waits once. */
  add(token: number): void {
    const at = this.#waiting.findLastIndex((other) => other < token) + 1;
    if (this.#waiting[at] !== token) this.#waiting.splice(at, 0, token);
  }

  /** Takes a frame that the broker refused, or did not answer. */
  notTaken(token: number, nowMs: number): void {
    this.#offered.delete(token);
    this.add(token);
    // Several that went together are one failure.
    if (nowMs < this.#offerAtMs) return;
    this.#offerAtMs = nowMs + this.#pauseMs;
    this.#pauseMs = Math.min(2 * this.#pauseMs, lastPauseMs);
  }

  /** The broker has a frame. Returns those to publish now. */
  taken(token: number, nowMs: number): readonly number[] {
    const late = this.#waiting.indexOf(token);
    if (late >= 0) this.#waiting.splice(late, 1);
    else if (!this.#offered.delete(token)) return [];
    this.#pauseMs = firstPauseMs;
    return this.#offer(2, nowMs);
  }

  /** Returns what is to be published now: the oldest frame, if the pause is over and nothing is on its way. */
  next(nowMs: number): readonly number[] {
    return this.#offered.size > 0 ? [] : this.#offer(1, nowMs);
  }

  #offer(count: number, nowMs: number): readonly number[] {
    if (nowMs < this.#offerAtMs) return [];
    const oldest = this.#waiting.splice(0, count);
    for (const token of oldest) this.#offered.add(token);
    return oldest;
  }
}

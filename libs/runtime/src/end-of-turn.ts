/**
 * Work put off to the end of the next turn of the event loop, where it is done together and in its order. What a
 * connection to the broker sends at once leaves in one write: one TLS record and one system call for many messages, here
 * and there. An idle loop turns at once; a busy one brings in two turns what would else leave in two writes.
 */
export class EndOfTurn {
  #work: (() => void)[] = [];

  /** `work` must not throw. */
  add(work: () => void): void {
    if (this.#work.length === 0) setImmediate(() => setImmediate(() => this.run()));
    this.#work.push(work);
  }

  /** Does now what is put off. */
  run(): void {
    const work = this.#work;
    this.#work = [];
    for (const one of work) one();
  }
}

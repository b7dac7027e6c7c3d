/** Numbers that a seed determines: a run with the same seed makes the same choices. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** Whole, from 0 to below `limit`. By mulberry32. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  }

  pick<T>(list: readonly T[]): T {
    const picked = list[this.below(list.length)];
    if (picked === undefined) throw new Error('nothing to pick from');
    return picked;
  }

  /** One of several that have shares. */
  weighted<T>(choices: readonly (readonly [share: number, choice: T])[]): T {
    let left = this.below(choices.reduce((sum, [share]) => sum + share, 0));
    const found = choices.find(([share]) => (left -= share) < 0);
    if (found === undefined) throw new Error('nothing to pick from');
    return found[1];
  }

  /** Letters and digits. */
  text(length: number): string {
    let text = '';
    while (text.length < length) text += this.below(2 ** 31).toString(36);
    return text.slice(0, length);
  }

  shuffled<T>(list: readonly T[]): T[] {
    const shuffled = [...list];
    for (let at = shuffled.length - 1; at > 0; at--) {
      const other = this.below(at + 1);
      [shuffled[at], shuffled[other]] = [shuffled[other] as T, shuffled[at] as T];
    }
    return shuffled;
  }
}

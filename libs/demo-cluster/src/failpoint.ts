/** How the next matching request fails. `target`: a part of its raw target. */
export interface Failpoint {
  readonly target: string;
  readonly kind:
    | 'stall-before-response'
    | 'reset-before-response'
    | 'stall-after-first-byte'
    | 'reset-after-first-byte'
    | 'wrong-content-type';
}

/** A failpoint that is set. */
export interface Tripped {
  /** Resolves when a request has come to it. */
  readonly reached: Promise<void>;
  /** Lets a stalled request go on, and takes the failpoint away. */
  release(): void;
}

/** One failpoint at a time. */
export class Failpoints {
  #set: (Failpoint & { readonly reach: () => void; readonly released: Promise<void> }) | undefined;

  arm(failpoint: Failpoint): Tripped {
    const reached = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    this.#set = { ...failpoint, reach: reached.resolve, released: released.promise };
    return {
      reached: reached.promise,
      release: () => {
        this.#set = undefined;
        released.resolve();
      },
    };
  }

  /** Whether this request fails so; stalls resolve when they are released. */
  async trip(kind: Failpoint['kind'], target: string): Promise<boolean> {
    const set = this.#set;
    if (set === undefined || set.kind !== kind || !target.includes(set.target)) return false;
    set.reach();
    if (kind.startsWith('stall')) await set.released;
    return true;
  }
}

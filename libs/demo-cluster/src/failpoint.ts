/**
 * How matching requests fail. `target`: a part of their raw target. `refuse-*`: how an upgrade is answered instead.
 * `cut-stream`, `stall-stream`: what happens to a stream after so many bytes of output.
 */
export interface Failpoint {
  readonly target: string;
  /** Default 0. */
  readonly afterBytes?: number;
  readonly kind:
    | 'stall-before-response'
    | 'reset-before-response'
    | 'stall-after-first-byte'
    | 'stall-half-way'
    | 'reset-after-first-byte'
    | 'wrong-content-type'
    | 'refuse-forbidden'
    | 'refuse-ok'
    | 'refuse-redirect'
    | 'refuse-garbage'
    | 'cut-stream'
    | 'stall-stream';
}

/** A failpoint that is set. */
export interface Tripped {
  /** Resolves when a request has come to it. */
  readonly reached: Promise<void>;
  /** Lets stalled requests go on, and takes the failpoint away. */
  release(): void;
}

/** A failpoint as the request that meets it sees it. */
export interface Fault {
  readonly kind: Failpoint['kind'];
  readonly afterBytes: number;
  /** Says that a request is there. Resolves at once, for a stall when it is released. */
  trip(): Promise<void>;
}

/** One failpoint at a time. */
export class Failpoints {
  #armed: (Fault & { readonly target: string }) | undefined;

  arm({ kind, target, afterBytes = 0 }: Failpoint): Tripped {
    const reached = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    this.#armed = {
      kind,
      target,
      afterBytes,
      async trip() {
        reached.resolve();
        if (kind.startsWith('stall')) await released.promise;
      },
    };
    return {
      reached: reached.promise,
      release: () => {
        this.#armed = undefined;
        released.resolve();
      },
    };
  }

  /** What this request is to meet, if anything. */
  matching(target: string): Fault | undefined {
    return this.#armed !== undefined && target.includes(this.#armed.target) ? this.#armed : undefined;
  }
}

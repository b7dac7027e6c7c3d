/** Where the peer says nothing else (SPDY/3, 2.6.8). */
export const initialWindowBytes = 64 * 1024;
export const maxWindowBytes = 0x7fffffff;

/** How much may be sent. It counts from the start, and binds from when the peer is seen to keep windows. */
export class SendWindow {
  #bytes: number;
  #binds: boolean;

  constructor(bytes: number, binds = false) {
    this.#bytes = bytes;
    this.#binds = binds;
  }

  /** May be negative: what was sent before it bound, or before the peer made it smaller. */
  get available(): number {
    return this.#binds ? this.#bytes : Infinity;
  }

  use(bytes: number): void {
    this.#bytes -= bytes;
  }

  /** The peer changes it. False: it is larger than it may be. */
  add(bytes: number): boolean {
    this.#binds = true;
    this.#bytes += bytes;
    return this.#bytes <= maxWindowBytes;
  }
}

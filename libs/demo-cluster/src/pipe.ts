/** Where bytes go. */
export interface Sink {
  /** Resolves when there is room for more. Rejects with `BrokenPipe` when nobody reads any longer. */
  write(bytes: Buffer): Promise<void>;
}

/** Nobody reads what is written. */
export class BrokenPipe extends Error {}

/** Of a line. */
const maxLineBytes = 1_048_576;

/** Bytes on their way before a writer waits. */
const roomBytes = 65_536;

/** Bytes between a writer and a reader; the writer waits for the reader. */
export class Pipe implements Sink {
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #state: 'open' | 'ended' | 'broken' = 'open';
  #changed = Promise.withResolvers<void>();

  async write(bytes: Buffer): Promise<void> {
    while (this.#state === 'open' && this.#bytes >= roomBytes) await this.#changed.promise;
    if (this.#state !== 'open') throw new BrokenPipe('nobody reads');
    if (bytes.length > 0) this.#push(bytes);
  }

  /** An end that more may follow, as ^D is in a terminal. */
  endOnce(): void {
    this.#push(Buffer.alloc(0));
  }

  /** The writer has no more. */
  end(): void {
    if (this.#state === 'open') this.#state = 'ended';
    this.#notify();
  }

  /** The reader wants no more. */
  break(): void {
    this.#state = 'broken';
    this.#chunks.length = 0;
    this.#notify();
  }

  /** The next bytes; `undefined` at the end. Rejects with the signal's reason; nothing is lost by it. */
  async read(signal: AbortSignal): Promise<Buffer | undefined> {
    for (;;) {
      signal.throwIfAborted();
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        this.#bytes -= chunk.length;
        this.#notify();
        return chunk.length === 0 ? undefined : chunk;
      }
      if (this.#state !== 'open') return undefined;
      await orAborted(this.#changed.promise, signal);
    }
  }

  /** Text up to and with the next line feed, a MiB of it, or what is there at the end; empty when nothing is. */
  async readLine(signal: AbortSignal): Promise<string> {
    const parts: Buffer[] = [];
    let held = 0;
    for (;;) {
      const chunk = await this.read(signal);
      if (chunk === undefined) return Buffer.concat(parts).toString();
      const end = chunk.indexOf(0x0a) + 1;
      parts.push(end === 0 ? chunk : chunk.subarray(0, end));
      held += chunk.length;
      // Without an end of line it would grow for ever.
      if (end === 0 && held < maxLineBytes) continue;
      if (end === 0) return Buffer.concat(parts).toString();
      if (end < chunk.length) this.unread(chunk.subarray(end));
      return Buffer.concat(parts).toString();
    }
  }

  /** Puts back what was read too far. */
  unread(bytes: Buffer): void {
    this.#chunks.unshift(bytes);
    this.#bytes += bytes.length;
  }

  #push(bytes: Buffer): void {
    this.#chunks.push(bytes);
    this.#bytes += bytes.length;
    this.#notify();
  }

  #notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}

/** A pipe without a writer. */
export function emptyPipe(): Pipe {
  const pipe = new Pipe();
  pipe.end();
  return pipe;
}

/** What a promise becomes, unless the signal is aborted first: then rejects with its reason. */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const stop = (): void => aborted.reject(signal.reason as Error);
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

import type { Carrier } from './carrier.ts';

/** What may wait, of all that one source carries, before it is not read any more. Bytes. */
const waitingBytes = 256 * 1024;

/** Holds a source back while too much of what it sent waits to be passed on. */
export class Gate {
  readonly #source: Pick<Carrier, 'pause' | 'resume'>;
  #bytes = 0;
  #isShut = false;

  constructor(source: Pick<Carrier, 'pause' | 'resume'>) {
    this.#source = source;
  }

  came(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes <= waitingBytes || this.#isShut) return;
    this.#isShut = true;
    this.#source.pause();
  }

  went(bytes: number): void {
    this.#bytes -= bytes;
    if (this.#bytes > waitingBytes / 2 || !this.#isShut) return;
    this.#isShut = false;
    this.#source.resume();
  }
}

/** SPDY streams whose peer takes no more for now: what is written on them is held in memory, whatever their connection does. */
export class Windows {
  readonly #shut = new Map<number, PromiseWithResolvers<void>>();

  /** The peer takes no more on this stream. */
  shut(stream: number): void {
    if (!this.#shut.has(stream)) this.#shut.set(stream, Promise.withResolvers());
  }

  /** It takes more, or nobody will write on it any more. */
  open(stream: number): void {
    this.#shut.get(stream)?.resolve();
    this.#shut.delete(stream);
  }

  openAll(): void {
    for (const stream of this.#shut.keys()) this.open(stream);
  }

  /** Resolves when this stream may be written on. */
  async isOpen(stream: number): Promise<void> {
    await this.#shut.get(stream)?.promise;
  }

  /** Resolves when all may be. */
  async areOpen(): Promise<void> {
    for (const { promise } of this.#shut.values()) await promise;
  }
}

/** How the pieces of a flow are passed on, one after the other. */
export interface Steps {
  bytes(bytes: Buffer): Promise<void>;
  /** Nothing follows. */
  end(): Promise<void>;
}

/** One direction of a connection. Pieces wait until there are steps, and for each other. */
export class Flow {
  readonly #gate: Gate;
  readonly #pieces: (Buffer | null)[] = [];
  readonly #onFailure: (error: unknown) => void;
  #steps: Steps | undefined;
  #isRunning = false;
  #isOver = false;

  /** `onFailure`: hears of each step that fails; it is to `stop` the flow. */
  constructor(gate: Gate, onFailure: (error: unknown) => void) {
    this.#gate = gate;
    this.#onFailure = onFailure;
  }

  begin(steps: Steps): void {
    this.#steps = steps;
    void this.#run();
  }

  /** `null`: nothing follows. */
  push(piece: Buffer | null): void {
    if (this.#isOver) return;
    this.#pieces.push(piece);
    if (piece !== null) this.#gate.came(piece.length);
    void this.#run();
  }

  /** Drops what waits. */
  stop(): void {
    this.#isOver = true;
    for (const piece of this.#pieces.splice(0)) this.#gate.went(piece?.length ?? 0);
  }

  async #run(): Promise<void> {
    if (this.#steps === undefined || this.#isRunning) return;
    this.#isRunning = true;
    for (let piece = this.#pieces.shift(); piece !== undefined; piece = this.#pieces.shift()) {
      try {
        await (piece === null ? this.#steps.end() : this.#steps.bytes(piece));
      } catch (error) {
        this.#onFailure(error);
      } finally {
        this.#gate.went(piece?.length ?? 0);
      }
    }
    this.#isRunning = false;
  }
}

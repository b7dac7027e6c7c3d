import type { Agent } from '@sluice/model';
import type { Logger, StoreLevel } from '@sluice/runtime';

/** How often the broker is asked how full the store is. */
export const lookMs = 1_000;
/** What may be on its way to the broker without an ack, of all agents together: it is kept in memory. Bytes. */
const maxUnackedBytes = 64 * 1024 * 1024;
/** Looks without anybody waiting before the pressure counts as over. */
const calmLooks = 10;

/** One agent's part of the store of bodies. */
export interface Share {
  /** Waits until there is room for so many bytes, and takes it. Rejects with what `signal` aborts with. */
  claim(bytes: number, signal: AbortSignal): Promise<void>;
  /** Takes room for so many bytes if it is there; says whether it was. */
  claimNow(bytes: number): boolean;
  /** Takes room whether it is there or not. */
  take(bytes: number): void;
  /** The broker has so many of the bytes taken. */
  stored(bytes: number): void;
}

interface Waiting {
  readonly agent: string;
  readonly bytes: number;
  go(): void;
}

/**
 * Room in the store of bodies, divided between agents by a dynamic threshold (Choudhury and Hahne, 1998, with alpha = 1):
 * an agent may go on while what it has in the store is no more than what is free. One heavy agent comes to half of the store,
 * n of them to 1/(n + 1) each, and there is always room for one more. Who must wait does so before it publishes, and so
 * its socket to the cluster pauses. Until the level is known, nobody waits.
 */
export class Budget {
  readonly #log: Logger;
  /** By agent: bytes it has in the store, by this process, or on their way there. */
  readonly #has = new Map<string, number>();
  /** In the order they came. */
  readonly #waiting = new Set<Waiting>();
  #level: StoreLevel | undefined;
  /** All bytes that were acknowledged, and how many of them when `#level` was asked for. */
  #acked = 0;
  #ackedAtLevel = 0;
  #unacked = 0;
  #isLooking = false;
  /** Looks that found nobody waiting; `undefined` when all is calm. */
  #calm: number | undefined;

  constructor(log: Logger) {
    this.#log = log;
  }

  share({ issuer, name }: Agent): Share {
    const agent = JSON.stringify([issuer, name]);
    return {
      claim: (bytes, signal) => this.#claim(agent, bytes, signal),
      claimNow: (bytes) => this.#claimNow(agent, bytes),
      take: (bytes) => this.#take(agent, bytes),
      stored: (bytes) => {
        this.#unacked -= bytes;
        this.#acked += bytes;
        if (this.#unacked < maxUnackedBytes && this.#unacked + bytes >= maxUnackedBytes) this.#wake();
      },
    };
  }

  /**
   * Learns the level of the store from `ask`; `null` leaves it as it was. Nobody knows whose bytes have left the store,
   * so what each agent has there shrinks in proportion.
   */
  async look(ask: () => Promise<StoreLevel | null>): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    const acked = this.#acked;
    const level = await ask().finally(() => {
      this.#isLooking = false;
    });
    if (level !== null) {
      const expected = (this.#level?.usedBytes ?? 0) + acked - this.#ackedAtLevel;
      if (level.usedBytes < expected) this.#shrink(level.usedBytes / expected);
      this.#level = level;
      this.#ackedAtLevel = acked;
      this.#wake();
    }
    this.#report();
  }

  async #claim(agent: string, bytes: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#claimNow(agent, bytes)) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiting: Waiting = { agent, bytes, go: resolve };
    const leave = (): void => {
      this.#waiting.delete(waiting);
      reject(signal.reason as Error);
    };
    this.#waiting.add(waiting);
    signal.addEventListener('abort', leave);
    await promise.finally(() => signal.removeEventListener('abort', leave));
  }

  #claimNow(agent: string, bytes: number): boolean {
    if (!this.#hasRoom(agent, bytes)) return false;
    this.#take(agent, bytes);
    return true;
  }

  #take(agent: string, bytes: number): void {
    this.#unacked += bytes;
    this.#has.set(agent, (this.#has.get(agent) ?? 0) + bytes);
  }

  #hasRoom(agent: string, bytes: number): boolean {
    if (this.#unacked >= maxUnackedBytes) return false;
    if (this.#level === undefined) return true;
    // What was acknowledged while the broker was asked may count twice, until the next look.
    const usedBytes = this.#level.usedBytes + this.#acked - this.#ackedAtLevel + this.#unacked;
    return (this.#has.get(agent) ?? 0) + bytes <= this.#level.maxBytes - usedBytes;
  }

  #wake(): void {
    for (const waiting of this.#waiting) {
      if (!this.#hasRoom(waiting.agent, waiting.bytes)) continue;
      this.#waiting.delete(waiting);
      this.#take(waiting.agent, waiting.bytes);
      waiting.go();
    }
  }

  #shrink(factor: number): void {
    for (const [agent, bytes] of this.#has) {
      if (bytes * factor < 1) this.#has.delete(agent);
      else this.#has.set(agent, bytes * factor);
    }
  }

  /** Says once that answers wait, and once that none does any more. */
  #report(): void {
    if (this.#waiting.size > 0) {
      if (this.#calm === undefined) {
        const agents = new Set([...this.#waiting].map(({ agent }) => agent));
        const facts = { ...this.#level, answers: this.#waiting.size, agents: [...agents].slice(0, 10) };
        this.#log.warn(facts, 'the store of bodies fills up: answers to its heaviest agents wait for room');
      }
      this.#calm = 0;
    } else if (this.#calm !== undefined && ++this.#calm === calmLooks) {
      this.#calm = undefined;
      this.#log.info({ ...this.#level }, 'no answer waits for room in the store of bodies any more');
    }
  }
}

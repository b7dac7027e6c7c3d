import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeFrame, type Frame } from '@sluice/model';
import type { Broker } from '@sluice/runtime';
import type { TailEvent } from '../tail.ts';

/** A listener may be so far behind; what comes then is counted and dropped. */
const behindBytes = 1 << 20;
/** A listener that takes nothing holds up no stop for longer. */
const farewellMs = 1_000;

/** What is told of frames. */
export type Told = Exclude<TailEvent, { kind: 'skipped' }>;

/** Whom it is told of: one agent, one call, or (`null`) all. */
export interface Wanted {
  readonly agent: string | null;
  readonly call: string | null;
}

/** What a frame tells; `null` where that is nothing, or nothing new. Throws for a frame that is not of its kind's shape. */
export type Reader = (frame: Frame) => Told | null;

/**
 * Frames on their way to the record, overheard for whoever listens, on a connection of its own and only while there is a
 * listener. Nothing waits for it, so what it or a listener is too slow for is gone.
 */
export class Feed {
  readonly #open: () => Promise<Broker>;
  readonly #subjects: readonly string[];
  readonly #newReader: () => Reader;
  readonly #listeners = new Set<Listener>();
  /** The last frame of each ledger on each stream: a writer publishes again what was not acknowledged. */
  readonly #heard = new Map<string, number>();
  #broker: Promise<Broker> | null = null;
  #drained: Promise<void> = Promise.resolve();

  /** `newReader`: one that remembers nothing, for a new connection. */
  constructor(open: () => Promise<Broker>, subjects: readonly string[], newReader: () => Reader) {
    this.#open = open;
    this.#subjects = subjects;
    this.#newReader = newReader;
  }

  /** Tells what is wanted until the listener goes. Throws where the broker is not there. */
  async follow(response: ServerResponse, wanted: Wanted): Promise<void> {
    const listener = new Listener(response, wanted);
    this.#listeners.add(listener);
    response.on('close', () => this.#leave(listener));
    response.setHeader('content-type', 'application/x-ndjson');
    this.#broker ??= this.#listen();
    await this.#broker;
    response.flushHeaders();
  }

  /** Says farewell to all listeners, and closes the connection. */
  async close(): Promise<void> {
    const listeners = [...this.#listeners];
    await Promise.all(listeners.map((listener) => listener.end()));
    for (const listener of listeners) this.#leave(listener);
    await this.#drained;
  }

  async #listen(): Promise<Broker> {
    const broker = await this.#open();
    const read = this.#newReader();
    for (const subject of this.#subjects) {
      broker.listen(subject, (message, on) => {
        const event = this.#read(message, on, read);
        if (event === null) return;
        for (const listener of this.#listeners) listener.tell(event);
      });
    }
    // Who listens hears all that is published from here on.
    await broker.nats.flush();
    return broker;
  }

  #leave(listener: Listener): void {
    this.#listeners.delete(listener);
    if (this.#listeners.size > 0 || this.#broker === null) return;
    this.#drained = this.#broker.then((broker) => broker.drain()).catch(() => undefined);
    this.#broker = null;
    this.#heard.clear();
  }

  #read(message: Uint8Array, subject: string, read: Reader): Told | null {
    try {
      const frame = decodeFrame(message);
      const { call, ledger, seq } = frame;
      if (!this.#listeners.values().some(({ wanted }) => wanted.call === null || wanted.call === call)) return null;
      const place = `${subject.slice(0, subject.lastIndexOf('.'))} ${ledger}`;
      if (seq <= (this.#heard.get(place) ?? 0)) return null;
      this.#heard.set(place, seq);
      return read(frame);
    } catch {
      return null;
    }
  }
}

/** One who listens, and what was dropped of what it should have heard. */
class Listener {
  readonly wanted: Wanted;
  readonly #response: ServerResponse;
  #skipped = 0;

  constructor(response: ServerResponse, wanted: Wanted) {
    this.wanted = wanted;
    this.#response = response;
    response.on('drain', () => this.#confess());
  }

  tell(event: Told): void {
    const { agent, call } = this.wanted;
    if (call !== null && event.call !== call) return;
    if (agent !== null && !('agent' in event && event.agent === agent)) return;
    if (this.#response.writableLength > behindBytes) {
      this.#skipped++;
      return;
    }
    this.#confess();
    this.#write(event);
  }

  async end(): Promise<void> {
    this.#confess();
    const ended = new Promise<void>((resolve) => this.#response.end(resolve));
    await Promise.race([ended, sleep(farewellMs, undefined, { ref: false })]);
  }

  #confess(): void {
    if (this.#skipped === 0) return;
    this.#write({ kind: 'skipped', count: this.#skipped });
    this.#skipped = 0;
  }

  #write(event: TailEvent): void {
    this.#response.write(`${JSON.stringify(event)}\n`);
  }
}

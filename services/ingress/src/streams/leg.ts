import type { Channel } from '@sluice/model';
import { type Raw, raw } from '@sluice/runtime/raw';

/** What comes out of one end of a stream. `end`: nothing more comes on this channel. */
export type LegEvent =
  | { readonly kind: 'data'; readonly channel: Channel; readonly bytes: Raw }
  | { readonly kind: 'end'; readonly channel: Channel };

/** Code `BadStream`: a peer broke the protocol of its stream. The message says how, for the peer. */
export class StreamError extends Error {
  readonly code = 'BadStream';
}

/**
 * One end of a stream, the agent's or the cluster's, whatever carries it. It reads ahead by a bounded amount and then leaves
 * bytes with the socket, so that who sends is slowed down.
 */
export interface Leg {
  /** As it was negotiated: `v5.channel.k8s.io`, or `SPDY/3.1 v4.channel.k8s.io`. */
  readonly protocol: string;
  /** Whether a `Status` can say how it ended. Older protocols have a text. */
  readonly hasStatus: boolean;
  /** Aborts when the peer is gone, or the connection broke, whether anybody reads or not. */
  readonly gone: AbortSignal;
  /** The next thing; `null` when the peer is gone. Throws `StreamError`. One at a time. */
  read(): Promise<LegEvent | null>;
  /** Takes bytes to be sent. Nothing happens where the peer is gone, or has no such channel. */
  send(channel: Channel, bytes: Buffer): void;
  /** Resolves when few enough bytes wait to be sent, or the peer is gone. */
  drained(): Promise<void>;
  /** Nothing more will be sent on this channel; where the protocol can say so. */
  end(channel: Channel): void;
  /** Ends in order: what was sent still goes out, and the peer hangs up; within so long. */
  close(withinMs: number): Promise<void>;
  /** Ends at once. */
  destroy(): void;
}

/** A WebSocket message of either peer: kube-apiserver's own limit. Bytes. */
export const maxMessageBytes = 32 * 1024 * 1024;
/** What may wait to be sent before `drained` waits. Bytes. */
export const unsentBytes = 256 * 1024;
/** A peer has so long to take why its stream was refused or cut, */
export const wordsMs = 5_000;
/**
 * and so long to take all of what ended in order. Its reader may be slow, and who closes first may take along what is still on
 * its way.
 */
export const lastBytesMs = 10 * 60_000;
/** An event costs this much besides its bytes. */
const eventBytes = 64;
/** As many as a frame carries: fewer, larger pieces cost less to mask and to record. */
const togetherBytes = 256 * 1024;

/** What is read from a peer before somebody takes it. Bytes. */
export interface ReadAhead {
  readonly aheadBytes: number;
  /** Until anybody takes something, which may be long: a stream may wait for a reviewer. Default `aheadBytes`. */
  readonly heldBytes?: number;
}

/** Bytes and events between a socket that pushes and a reader that pulls. */
export class LegQueue {
  readonly #flow: { pause(): void; resume(): void };
  readonly #aheadBytes: number;
  readonly #heldBytes: number;
  /** Whether somebody has begun to read. */
  #isRead = false;
  #events: LegEvent[] = [];
  #bytes = 0;
  #isPaused = false;
  #end: { readonly error: StreamError | null } | undefined;
  #wake: (() => void) | undefined;

  /** How much may be here and not read before the flow is paused. */
  constructor(flow: { pause(): void; resume(): void }, { aheadBytes, heldBytes = aheadBytes }: ReadAhead) {
    this.#flow = flow;
    this.#aheadBytes = aheadBytes;
    this.#heldBytes = heldBytes;
  }

  push(event: LegEvent): void {
    if (this.#end !== undefined) return;
    this.#events.push(event);
    this.#bytes += costOf(event);
    this.#pauseAt(this.#bytes);
    this.#wake?.();
  }

  /** So much has come of an event that is not whole. It counts until somebody reads: then the rest has to come. Bytes. */
  coming(bytes: number): void {
    if (!this.#isRead && this.#end === undefined) this.#pauseAt(this.#bytes + bytes);
  }

  #pauseAt(bytes: number): void {
    if (bytes <= (this.#isRead ? this.#aheadBytes : this.#heldBytes) || this.#isPaused) return;
    this.#isPaused = true;
    this.#flow.pause();
  }

  /** Nothing comes any more, and what does is dropped; what is there is still read. */
  end(error: StreamError | null = null): void {
    this.#end ??= { error };
    if (this.#isPaused) this.#resume();
    this.#wake?.();
  }

  #resume(): void {
    this.#isPaused = false;
    this.#flow.resume();
  }

  async read(): Promise<LegEvent | null> {
    this.#isRead = true;
    if (this.#events.length === 0 && this.#isPaused) this.#resume();
    while (this.#events.length === 0) {
      if (this.#end !== undefined) {
        if (this.#end.error !== null) throw this.#end.error;
        return null;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const event = this.#take();
    if (this.#isPaused && this.#bytes <= this.#aheadBytes / 2) this.#resume();
    return event;
  }

  /** What has come of one channel, together. */
  #take(): LegEvent {
    const [first] = this.#events as [LegEvent];
    const parts: Buffer[] = [];
    let bytes = 0;
    for (const event of this.#events) {
      const fits = parts.length === 0 || (event.kind === 'data' && bytes + event.bytes.length <= togetherBytes);
      if (event.kind !== 'data' || event.channel !== first.channel || !fits) break;
      parts.push(event.bytes);
      bytes += event.bytes.length;
    }
    for (const event of this.#events.splice(0, Math.max(1, parts.length))) this.#bytes -= costOf(event);
    if (parts.length < 2) return first;
    return { kind: 'data', channel: first.channel, bytes: raw(Buffer.concat(parts)) };
  }
}

function costOf(event: LegEvent): number {
  return eventBytes + (event.kind === 'data' ? event.bytes.length : 0);
}

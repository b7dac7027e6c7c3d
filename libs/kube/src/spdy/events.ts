import type { HeaderLimits, SpdyHeaders } from './header-block.ts';

/** What a session tells. It is in order before it calls, so that each of these may call it back. None may throw. */
export interface SpdyEvents {
  /** The peer opened a stream. `isEnded`: it will send nothing on it. */
  opened(stream: number, headers: SpdyHeaders, isEnded: boolean): void;
  /** The peer took a stream of ours. */
  replied(stream: number, headers: SpdyHeaders): void;
  /**
   * What the peer sent, in pieces as they come. They are views of what was pushed. `isEnded`: nothing follows; the
   * bytes may then be empty. Say `consumed` once they are passed on.
   */
  data(stream: number, bytes: Buffer, isEnded: boolean): void;
  /** The stream is gone in both directions: by the peer, or because the peer broke its rules. */
  reset(stream: number, status: number): void;
  /** The peer takes no new streams; those that are open go on. */
  goAway(): void;
  /** After `write` returned false: all that was held is sent. */
  writable(stream: number): void;
}

export interface SpdyLimits extends HeaderLimits {
  /** Of a control frame's payload, before inflation. */
  readonly maxControlBytes: number;
  /** That the peer may have open at once; one more is refused on its own. */
  readonly maxStreams: number;
}

export const defaultLimits: SpdyLimits = {
  maxControlBytes: 64 * 1024,
  maxHeaderBytes: 64 * 1024,
  maxHeaders: 100,
  maxStreams: 1000,
};

/** Code `SpdyClosed`: the connection takes no new streams. */
export class SpdyClosedError extends Error {
  readonly code = 'SpdyClosed';

  constructor() {
    super('the connection takes no new streams');
  }
}

/** Of RST_STREAM (SPDY/3, 2.6.3). */
export const resetStatus = {
  protocolError: 1,
  invalidStream: 2,
  refusedStream: 3,
  cancel: 5,
  flowControlError: 7,
  streamInUse: 8,
  streamAlreadyClosed: 9,
} as const;

import type { ServerHttp2Session } from 'node:http2';
import type { Limits } from './limits.ts';
import type { Request, Response } from './request.ts';

/** How often connections are looked at. Milliseconds. */
export const lookMs = 1_000;

/** What is wrong with a connection. */
export type Complaint = 'idle' | 'noise';

/** The part of a `TLSSocket` that is used. */
interface Wire {
  readonly bytesRead: number;
  readonly bytesWritten: number;
  destroy(): void;
}

/**
 * One agent's connection. Node has no timer for h2, and its timers for h1 begin anew with every byte, so both are
 * looked at from outside: what has no call in hand is idle, and bytes that belong to no request are noise.
 */
export class Connection {
  readonly #wire: Wire;
  readonly #limits: Limits;
  readonly #now: () => number;
  readonly #inHand = new Map<Request, Response>();
  /** Requests since the last look, and those whose bodies were still on their way then. */
  readonly #arriving = new Set<Request>();
  #session: ServerHttp2Session | undefined;
  #isStream = false;
  #requests = 0;
  #early = 0;
  #idleSinceMs: number;
  #last: { readonly atMs: number; readonly read: number; readonly written: number };
  #told = false;

  /** `now`: a monotonic clock, milliseconds. */
  constructor(wire: Wire, limits: Limits, now: () => number = () => performance.now()) {
    this.#wire = wire;
    this.#limits = limits;
    this.#now = now;
    this.#idleSinceMs = now();
    this.#last = { atMs: now(), read: 0, written: 0 };
  }

  /** It speaks h2. */
  speaksH2(session: ServerHttp2Session): void {
    this.#session = session;
  }

  /** It carries a stream from now on: there are no requests, and no bytes without one. */
  upgraded(): void {
    this.#isStream = true;
  }

  /** Whether a request may switch protocols: Node has no queue for what comes behind an answer that is not given. */
  maySwitch(): boolean {
    if (this.#inHand.size > 0) this.#refuseEarly();
    return this.#inHand.size === 0;
  }

  /**
   * Counts a request in, until its answer is closed. `early`: over h1 it came before the last answer was given, and is
   * not to be taken. An agent may have that answer, and ask again, before this process hears that it is sent.
   */
  begin(request: Request, response: Response): 'taken' | 'early' {
    const isAnswering = this.#inHand.values().some(({ writableEnded }) => !writableEnded);
    if (this.#session === undefined && (this.#early > 0 || isAnswering)) {
      this.#refuseEarly();
      return 'early';
    }
    this.#requests++;
    this.#inHand.set(request, response);
    this.#arriving.add(request);
    response.once('close', () => {
      this.#inHand.delete(request);
      this.#idleSinceMs = this.#now();
    });
    return 'taken';
  }

  /** What is wrong with it, judged by what came since the last look. */
  look(): Complaint | undefined {
    const { headersMs, idleMs } = this.#limits;
    const nowMs = this.#now();
    const isNoisy = !this.#isStream && this.#noiseBytes(nowMs) > 0;
    const patienceMs = this.#requests === 0 ? headersMs : idleMs;
    if (this.#inHand.size === 0 && nowMs - this.#idleSinceMs > patienceMs) return 'idle';
    return isNoisy ? 'noise' : undefined;
  }

  /** The first time says GOAWAY where that exists; a peer that does not even take this is cut the second time. */
  close(): void {
    if (this.#session === undefined || this.#told) this.#wire.destroy();
    else this.#session.destroy();
    this.#told = true;
  }

  /**
   * Nobody pipelines but old proxies, and those who hope that two readers count requests differently. The connection
   * ends with the answer in hand.
   */
  #refuseEarly(): void {
    if (++this.#early > this.#limits.pipelinedRequests) this.#wire.destroy();
    if (this.#early > 1) return;
    for (const response of this.#inHand.values()) {
      if (response.headersSent) response.once('close', () => this.#wire.destroy());
      else response.setHeader('connection', 'close');
    }
  }

  /** Bytes beyond what requests, and acknowledgements of answers, account for. */
  #noiseBytes(nowMs: number): number {
    const { bytesRead: read, bytesWritten: written } = this.#wire;
    const last = this.#last;
    this.#last = { atMs: nowMs, read, written };
    // A body that is on its way has its own limits.
    if ([...this.#arriving].some(({ complete }) => !complete)) return 0;
    const { headerBytes, bodyBytes, noiseBytesPerSecond } = this.#limits;
    const accounted =
      this.#arriving.size * (headerBytes + bodyBytes) +
      (written - last.written) / 16 +
      // A new connection may be looked at right after the first bytes of its first request.
      noiseBytesPerSecond * Math.max(1, (nowMs - last.atMs) / 1_000);
    this.#arriving.clear();
    return read - last.read - accounted;
  }
}

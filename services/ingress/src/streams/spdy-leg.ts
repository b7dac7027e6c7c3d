import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type ChannelProtocol, SpdyError, type SpdyHeaders, SpdySession } from '@sluice/kube';
import { type Channel, channels } from '@sluice/model';
import { raw } from '@sluice/runtime/raw';
import { keepAlive } from './keep-alive.ts';
import { closingMs, type Leg, type LegEvent, LegQueue, type ReadAhead, StreamError, unsentBytes } from './leg.ts';

/** A peer has so long to open, or to accept, the streams that it asked for: kubelet's own limit. */
const openingMs = 30_000;
/** RST_STREAM: the peer sent what may not come (SPDY/3.1, 2.4.2). */
const protocolError = 1;

/** A SPDY session with the socket under it. */
interface Wire {
  readonly session: SpdySession;
  readonly socket: Duplex;
}

/** The end of a stream that SPDY/3.1 carries: one SPDY stream a channel. */
export class SpdyLeg implements Leg {
  readonly protocol: string;
  readonly hasStatus: boolean;
  readonly #wire: Wire;
  readonly #queue: LegQueue;
  readonly #gone = new AbortController();
  readonly #streams = new Map<Channel, number>();
  readonly #channels = new Map<number, Channel>();
  readonly #ended = new Set<Channel>();
  /** Of the channels that the stream is to have, those that are not open yet. */
  readonly #missing: Set<Channel>;
  /** SPDY streams whose window is used up. */
  readonly #blocked = new Set<number>();
  readonly #waiters = new Set<() => void>();
  readonly #opened = Promise.withResolvers<void>();

  /**
   * `head`: what came behind the handshake. Its listeners are in place when this returns. An agent opens the SPDY streams, and
   * a cluster accepts them: see `opened`.
   */
  constructor(
    socket: Socket,
    head: Buffer,
    {
      codec,
      peer,
      wanted,
      ...ahead
    }: { codec: ChannelProtocol; peer: 'agent' | 'cluster'; wanted: readonly Channel[] } & ReadAhead,
  ) {
    this.protocol = `SPDY/3.1 ${codec.name}`;
    this.hasStatus = codec.hasStatus;
    this.#missing = new Set(wanted);
    this.#queue = new LegQueue(socket, ahead);
    this.#opened.promise.catch(() => undefined);
    const session = new SpdySession(peer === 'agent' ? 'server' : 'client', (bytes) => this.#write(bytes), {
      opened: (stream, headers) => this.#peerOpened(stream, headers),
      replied: (stream) => this.#isOpen(this.#channels.get(stream)),
      data: (stream, bytes, isEnded) => this.#data(stream, bytes, isEnded),
      reset: (stream) => this.#reset(stream),
      goAway: () => undefined,
      writable: (stream) => {
        this.#blocked.delete(stream);
        this.#wake();
      },
    });
    this.#wire = { session, socket };
    socket.on('data', (chunk: Buffer) => this.#push(chunk));
    socket.on('drain', () => this.#wake());
    socket.on('error', () => undefined);
    // A peer that has said its last word hears no more, either.
    socket.on('end', () => socket.end());
    socket.on('close', () => this.#left());
    keepAlive(socket, () => session.ping(), this.gone);
    if (peer === 'cluster') {
      for (const channel of wanted) this.#add(channel, session.open(new Map([['streamtype', channel]])));
    }
    this.#push(head);
    socket.resume();
  }

  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** Resolves when all channels are open. Throws `StreamError`. */
  async opened(): Promise<void> {
    const late = setTimeout(
      () => this.#opened.reject(new StreamError('its channels were not opened in time')),
      openingMs,
    );
    await this.#opened.promise.finally(() => clearTimeout(late));
  }

  read(): Promise<LegEvent | null> {
    return this.#queue.read();
  }

  send(channel: Channel, bytes: Buffer): void {
    const stream = this.#streams.get(channel);
    if (stream === undefined || this.gone.aborted || this.#ended.has(channel)) return;
    if (!this.#wire.session.write(stream, bytes)) this.#blocked.add(stream);
  }

  async drained(): Promise<void> {
    const { socket } = this.#wire;
    while ((socket.writableLength > unsentBytes || this.#blocked.size > 0) && !this.gone.aborted) {
      await new Promise<void>((resolve) => this.#waiters.add(resolve));
    }
  }

  end(channel: Channel): void {
    const stream = this.#streams.get(channel);
    if (stream === undefined || this.gone.aborted || this.#ended.has(channel)) return;
    this.#ended.add(channel);
    this.#wire.session.end(stream);
  }

  async close(): Promise<void> {
    if (this.gone.aborted) return;
    for (const channel of this.#streams.keys()) this.end(channel);
    const timer = setTimeout(() => this.destroy(), closingMs);
    // kubectl hangs up when it has read the status; who closes first may take bytes along that are still on their way.
    await new Promise((resolve) => this.gone.addEventListener('abort', resolve));
    clearTimeout(timer);
  }

  destroy(): void {
    this.#wire.socket.destroy();
    this.#left();
  }

  #write(bytes: Buffer): void {
    if (!this.gone.aborted) this.#wire.socket.write(bytes);
  }

  #push(chunk: Buffer): void {
    try {
      this.#wire.session.push(chunk);
    } catch (error) {
      if (!(error instanceof SpdyError)) throw error;
      this.#fail(error.message);
    }
  }

  #peerOpened(stream: number, headers: SpdyHeaders): void {
    const channel = channels.find((known) => known === headers.get('streamtype'));
    if (channel === undefined || !this.#missing.has(channel) || this.#streams.has(channel)) {
      this.#wire.session.reset(stream, protocolError);
      this.#fail(`it opens a channel that it did not ask for, or one of them twice`);
      return;
    }
    this.#add(channel, stream);
    this.#wire.session.reply(stream);
    this.#isOpen(channel);
  }

  #add(channel: Channel, stream: number): void {
    this.#streams.set(channel, stream);
    this.#channels.set(stream, channel);
  }

  #isOpen(channel: Channel | undefined): void {
    if (channel === undefined) return;
    this.#missing.delete(channel);
    if (this.#missing.size === 0) this.#opened.resolve();
  }

  #data(stream: number, bytes: Buffer, isEnded: boolean): void {
    const channel = this.#channels.get(stream);
    if (channel === undefined) return;
    if (bytes.length > 0) this.#queue.push({ kind: 'data', channel, bytes: raw(bytes) });
    if (isEnded) this.#queue.push({ kind: 'end', channel });
    this.#wire.session.consumed(stream, bytes.length);
  }

  /** A peer that gives up a channel takes nothing more there. */
  #reset(stream: number): void {
    const channel = this.#channels.get(stream);
    if (channel === undefined) return;
    this.#ended.add(channel);
    if (this.#missing.has(channel)) this.#opened.reject(new StreamError(`the channel ${channel} was refused`));
    this.#queue.push({ kind: 'end', channel });
  }

  #fail(message: string): void {
    const error = new StreamError(message);
    this.#opened.reject(error);
    this.#queue.end(error);
  }

  #left(): void {
    if (this.gone.aborted) return;
    this.#opened.reject(new StreamError('the connection broke'));
    this.#queue.end();
    this.#gone.abort();
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiters) wake();
    this.#waiters.clear();
  }
}

import type { Socket } from 'node:net';
import { type ChannelProtocol, SpdyError, type SpdyHeaders, SpdySession } from '@sluice/kube';
import { type Channel, channels } from '@sluice/model';
import { raw } from '@sluice/runtime/raw';
import { socketCarrier } from './carrier.ts';
import { Windows } from './flow.ts';
import { type Leg, type LegEvent, LegQueue, type ReadAhead, StreamError } from './leg.ts';

/** A peer has so long to open, or to accept, the streams that it asked for: kubelet's own limit. */
const openingMs = 30_000;
/** RST_STREAM: the peer sent what may not come (SPDY/3.1, 2.4.2). */
const protocolError = 1;

/** The end of a stream that SPDY/3.1 carries: one SPDY stream a channel. */
export class SpdyLeg implements Leg {
  readonly protocol: string;
  readonly hasStatus: boolean;
  readonly #carrier: ReturnType<typeof socketCarrier>;
  readonly #session: SpdySession;
  readonly #queue: LegQueue;
  readonly #streams = new Map<Channel, number>();
  readonly #channels = new Map<number, Channel>();
  readonly #ended = new Set<Channel>();
  /** Of the channels that the stream is to have, those that are not open yet. */
  readonly #missing: Set<Channel>;
  readonly #windows = new Windows();
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
    this.#carrier = socketCarrier(socket, head);
    this.#queue = new LegQueue(this.#carrier, ahead);
    this.#opened.promise.catch(() => undefined);
    this.gone.addEventListener('abort', () => this.#left());
    this.#session = new SpdySession(peer === 'agent' ? 'server' : 'client', (bytes) => this.#carrier.write(bytes), {
      opened: (stream, headers, isEnded) => this.#peerOpened(stream, headers, isEnded),
      replied: (stream) => this.#isOpen(this.#channels.get(stream)),
      data: (stream, bytes, isEnded) => this.#data(stream, bytes, isEnded),
      reset: (stream) => this.#reset(stream),
      goAway: () => undefined,
      writable: (stream) => this.#windows.open(stream),
    });
    if (peer === 'cluster') {
      for (const channel of wanted) this.#add(channel, this.#session.open(new Map([['streamtype', channel]])));
    }
    this.#carrier.start(
      (bytes) => this.#push(bytes),
      () => this.#session.ping(),
    );
  }

  get gone(): AbortSignal {
    return this.#carrier.gone;
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
    if (!this.#session.write(stream, bytes)) this.#windows.shut(stream);
  }

  async drained(): Promise<void> {
    await this.#windows.areOpen();
    await this.#carrier.drained();
  }

  end(channel: Channel): void {
    const stream = this.#streams.get(channel);
    if (stream === undefined || this.gone.aborted || this.#ended.has(channel)) return;
    this.#ended.add(channel);
    this.#session.end(stream);
    this.#windows.open(stream);
  }

  async close(withinMs: number): Promise<void> {
    for (const channel of this.#streams.keys()) this.end(channel);
    this.#queue.end();
    // kubectl hangs up when it has read the status; who closes first may take bytes along that are still on their way.
    await this.#carrier.closedByPeer(withinMs);
  }

  destroy(): void {
    this.#carrier.destroy();
  }

  #push(chunk: Buffer): void {
    try {
      this.#session.push(chunk);
    } catch (error) {
      if (!(error instanceof SpdyError)) throw error;
      this.#fail(error.message);
    }
  }

  #peerOpened(stream: number, headers: SpdyHeaders, isEnded: boolean): void {
    const channel = channels.find((known) => known === headers.get('streamtype'));
    if (channel === undefined || !this.#missing.has(channel) || this.#streams.has(channel)) {
      this.#session.reset(stream, protocolError);
      this.#fail(`it opens a channel that it did not ask for, or one of them twice`);
      return;
    }
    this.#add(channel, stream);
    this.#session.reply(stream);
    if (isEnded) this.#queue.push({ kind: 'end', channel });
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
    this.#session.consumed(stream, bytes.length);
  }

  /** A peer that gives up a channel takes nothing more there. */
  #reset(stream: number): void {
    const channel = this.#channels.get(stream);
    if (channel === undefined) return;
    this.#ended.add(channel);
    this.#windows.open(stream);
    if (this.#missing.has(channel)) this.#opened.reject(new StreamError(`the channel ${channel} was refused`));
    this.#queue.push({ kind: 'end', channel });
  }

  #fail(message: string): void {
    const error = new StreamError(message);
    this.#opened.reject(error);
    this.#queue.end(error);
  }

  #left(): void {
    this.#opened.reject(new StreamError('the connection broke'));
    this.#queue.end();
    this.#windows.openAll();
  }
}

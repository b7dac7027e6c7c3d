import { defaultLimits, resetStatus, SpdyClosedError, type SpdyEvents, type SpdyLimits } from './events.ts';
import {
  controlFrame,
  dataFrame,
  FrameReader,
  finFlag,
  frameTypes,
  SpdyError,
  unidirectionalFlag,
  wordsFrame,
} from './frames.ts';
import { HeaderReader, HeaderWriter, type SpdyHeaders } from './header-block.ts';
import { initialWindowBytes, maxWindowBytes, SendWindow } from './window.ts';

const goAwayStatus = { ok: 0, protocolError: 1 } as const;
const initialWindowSetting = 7;
const maxId = 0x7fffffff;
/** Data goes out in frames of this size: what the Go programs of Kubernetes copy at once. */
const maxDataBytes = 32 * 1024;
/** Consumed bytes are returned to the peer in portions of this size. */
const returnedBytes = initialWindowBytes / 2;
const nothing = Buffer.alloc(0);

interface Stream {
  readonly id: number;
  readonly window: SendWindow;
  isReplied: boolean;
  /** Our side has ended, perhaps behind bytes that are held. */
  isEnding: boolean;
  /** Our FIN is sent. */
  hasSentEnd: boolean;
  hasGotEnd: boolean;
  isClosed: boolean;
  /** Waits for the peer's window. */
  readonly held: Buffer[];
  /** Told, and not consumed yet. */
  unconsumed: number;
  /** Consumed, and not returned to the peer yet. */
  consumed: number;
}

/**
 * One end of a SPDY/3.1 connection as Kubernetes uses it. Bytes in by `push`, bytes out by `out`, one frame at a time.
 *
 * The Go programs of Kubernetes know no flow control: they never return window, and TCP alone slows them down. So a
 * window is kept to only from when the peer has shown that it returns window, or has set one; and what such a peer
 * sends beyond its own window is taken.
 */
export class SpdySession {
  readonly #isServer: boolean;
  readonly #out: (bytes: Buffer) => void;
  readonly #events: SpdyEvents;
  readonly #limits: SpdyLimits;
  readonly #frames: FrameReader;
  readonly #headers: HeaderReader;
  readonly #headerWriter = new HeaderWriter();
  readonly #streams = new Map<number, Stream>();
  /** Of the connection as a whole: SPDY/3.1 has it beside those of the streams. */
  readonly #window = new SendWindow(initialWindowBytes);
  #initialWindow = initialWindowBytes;
  #setsWindow = false;
  #consumed = 0;
  /** Streams of the peer that are open. */
  #taken = 0;
  #lastPeerId = 0;
  #nextId: number;
  #nextPing: number;
  /** The stream of the data frame that is being read; `undefined` when its bytes are for nobody. */
  #current: Stream | undefined;
  #currentEnds = false;
  #hasSentGoAway = false;
  #hasGotGoAway = false;
  #failure: SpdyError | undefined;

  constructor(
    role: 'client' | 'server',
    out: (bytes: Buffer) => void,
    events: SpdyEvents,
    limits: Partial<SpdyLimits> = {},
  ) {
    this.#isServer = role === 'server';
    this.#out = out;
    this.#events = events;
    this.#limits = { ...defaultLimits, ...limits };
    this.#headers = new HeaderReader(this.#limits);
    this.#nextId = this.#isServer ? 2 : 1;
    this.#nextPing = this.#nextId;
    this.#frames = new FrameReader(
      {
        control: (type, flags, payload) => this.#control(type, flags, payload),
        dataBegins: (stream, flags) => this.#dataBegins(stream, flags),
        dataPart: (bytes, isLast) => this.#dataPart(bytes, isLast),
      },
      this.#limits.maxControlBytes,
    );
  }

  /**
   * Takes the peer's next bytes, which are the session's from now on. Throws `SpdyError` where the peer breaks a rule
   * of the connection: the session has said so to the peer, is dead, and throws the same from then on.
   */
  push(chunk: Buffer): void {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      this.#frames.push(chunk);
    } catch (error) {
      if (!(error instanceof SpdyError)) throw error;
      this.#sendGoAway(goAwayStatus.protocolError);
      this.#failure = error;
      this.#streams.clear();
      throw error;
    }
  }

  /** Opens a stream and returns its id. Throws `SpdyClosedError`. */
  open(headers: SpdyHeaders): number {
    if (this.#failure !== undefined || this.#hasGotGoAway || this.#nextId > maxId) throw new SpdyClosedError();
    const id = this.#nextId;
    this.#nextId += 2;
    this.#add(id, { isReplied: false, isEnding: false, hasGotEnd: false });
    const fixed = Buffer.alloc(10);
    fixed.writeUInt32BE(id, 0);
    this.#out(controlFrame(frameTypes.synStream, 0, Buffer.concat([fixed, this.#headerWriter.write(headers)])));
    return id;
  }

  /** Takes a stream that the peer opened. Like all that follows it does nothing to a stream that is not open. */
  reply(stream: number, headers: SpdyHeaders = new Map()): void {
    const known = this.#streams.get(stream);
    if (known === undefined || known.isReplied) return;
    known.isReplied = true;
    const fixed = Buffer.alloc(4);
    fixed.writeUInt32BE(stream, 0);
    this.#out(controlFrame(frameTypes.synReply, 0, Buffer.concat([fixed, this.#headerWriter.write(headers)])));
  }

  /** False: the peer's window is used up. The bytes are held, and `writable` follows; until then write no more. */
  write(stream: number, bytes: Buffer): boolean {
    const known = this.#streams.get(stream);
    if (known === undefined || known.isEnding) return true;
    if (bytes.length > 0) known.held.push(bytes);
    this.#flush(known);
    return known.held.length === 0;
  }

  /** Ends our side of a stream, behind what is held. */
  end(stream: number): void {
    const known = this.#streams.get(stream);
    if (known === undefined || known.isEnding) return;
    known.isEnding = true;
    this.#flush(known);
  }

  /** Ends a stream in both directions. What is held is dropped; `reset` is not told of it. */
  reset(stream: number, status: number = resetStatus.cancel): void {
    const known = this.#streams.get(stream);
    if (known === undefined) return;
    this.#remove(known);
    this.#out(wordsFrame(frameTypes.reset, stream, status));
  }

  /** Gives the peer leave to send as many bytes more. What a stream that is gone has not consumed is returned by itself. */
  consumed(stream: number, bytes: number): void {
    const known = this.#streams.get(stream);
    if (known === undefined) return;
    known.unconsumed -= bytes;
    this.#consume(bytes);
    known.consumed += bytes;
    if (known.consumed < returnedBytes || known.hasGotEnd) return;
    this.#out(wordsFrame(frameTypes.windowUpdate, stream, known.consumed));
    known.consumed = 0;
  }

  /** Of the connection. */
  #consume(bytes: number): void {
    this.#consumed += bytes;
    if (this.#consumed < returnedBytes) return;
    this.#out(wordsFrame(frameTypes.windowUpdate, 0, this.#consumed));
    this.#consumed = 0;
  }

  /** Keeps a connection from looking idle; the answer is dropped. */
  ping(): void {
    if (this.#failure !== undefined) return;
    this.#out(wordsFrame(frameTypes.ping, this.#nextPing));
    this.#nextPing = this.#nextPing + 2 > maxId ? this.#nextPing % 2 || 2 : this.#nextPing + 2;
  }

  /** Takes no new streams of the peer from now on; those that are open go on. */
  goAway(): void {
    if (this.#failure === undefined) this.#sendGoAway(goAwayStatus.ok);
  }

  #sendGoAway(status: number): void {
    if (this.#hasSentGoAway) return;
    this.#hasSentGoAway = true;
    this.#out(wordsFrame(frameTypes.goAway, this.#lastPeerId, status));
  }

  #add(id: number, start: Pick<Stream, 'isReplied' | 'isEnding' | 'hasGotEnd'>): Stream {
    const stream: Stream = {
      id,
      window: new SendWindow(this.#initialWindow, this.#setsWindow),
      ...start,
      hasSentEnd: start.isEnding,
      isClosed: false,
      held: [],
      unconsumed: 0,
      consumed: 0,
    };
    this.#streams.set(id, stream);
    if (this.#isPeers(id)) this.#taken += 1;
    return stream;
  }

  #remove(stream: Stream): void {
    if (!this.#streams.delete(stream.id)) return;
    stream.isClosed = true;
    stream.held.length = 0;
    this.#consume(stream.unconsumed);
    if (this.#isPeers(stream.id)) this.#taken -= 1;
  }

  #removeEnded(stream: Stream): void {
    if (stream.hasSentEnd && stream.hasGotEnd) this.#remove(stream);
  }

  /** The peer broke a rule of one stream. */
  #fail(stream: Stream, status: number): void {
    this.#remove(stream);
    this.#out(wordsFrame(frameTypes.reset, stream.id, status));
    this.#events.reset(stream.id, status);
  }

  #isPeers(id: number): boolean {
    return (id % 2 === 1) === this.#isServer;
  }

  /** Sends of a stream what the windows allow, and its end behind that. */
  #flush(stream: Stream): void {
    while (stream.held[0] !== undefined) {
      const first = stream.held[0];
      const taken = Math.min(first.length, maxDataBytes, stream.window.available, this.#window.available);
      if (taken <= 0) return;
      if (taken === first.length) stream.held.shift();
      else stream.held[0] = first.subarray(taken);
      stream.window.use(taken);
      this.#window.use(taken);
      const isLast = stream.isEnding && stream.held.length === 0;
      if (isLast) stream.hasSentEnd = true;
      this.#out(dataFrame(stream.id, isLast ? finFlag : 0, first.subarray(0, taken)));
    }
    if (stream.isEnding && !stream.hasSentEnd) {
      stream.hasSentEnd = true;
      this.#out(dataFrame(stream.id, finFlag, nothing));
    }
    this.#removeEnded(stream);
  }

  #resume(stream: Stream): void {
    if (stream.held.length === 0 || stream.isClosed) return;
    this.#flush(stream);
    if (stream.held.length === 0 && !stream.isEnding) this.#events.writable(stream.id);
  }

  #dataBegins(id: number, flags: number): void {
    if (id === 0) throw new SpdyError('data on stream 0');
    this.#currentEnds = (flags & finFlag) !== 0;
    this.#current = this.#streams.get(id);
    if (this.#current === undefined) {
      this.#out(wordsFrame(frameTypes.reset, id, resetStatus.invalidStream));
    } else if (this.#current.hasGotEnd) {
      this.#fail(this.#current, resetStatus.streamAlreadyClosed);
    }
  }

  #dataPart(bytes: Buffer, isLast: boolean): void {
    const stream = this.#current;
    // It may have been reset between two parts of one frame. Its bytes count for the connection all the same.
    if (stream === undefined || stream.isClosed) return this.#consume(bytes.length);
    stream.unconsumed += bytes.length;
    if (isLast && this.#currentEnds) this.#ended(stream, bytes);
    else if (bytes.length > 0) this.#events.data(stream.id, bytes, false);
  }

  #ended(stream: Stream, bytes: Buffer): void {
    stream.hasGotEnd = true;
    this.#removeEnded(stream);
    this.#events.data(stream.id, bytes, true);
  }

  #control(type: number, flags: number, payload: Buffer): void {
    const id = payload.readUInt32BE(0) & maxId;
    switch (type) {
      case frameTypes.synStream:
        return this.#synStream(id, flags, this.#headers.read(payload.subarray(10)));
      case frameTypes.synReply:
        return this.#synReply(id, flags, this.#headers.read(payload.subarray(4)));
      case frameTypes.headers: {
        this.#headers.read(payload.subarray(4));
        const stream = this.#streams.get(id);
        if ((flags & finFlag) !== 0 && stream?.hasGotEnd === false) this.#ended(stream, nothing);
        return;
      }
      case frameTypes.reset: {
        const stream = this.#streams.get(id);
        if (stream === undefined) return;
        this.#remove(stream);
        return this.#events.reset(id, payload.readUInt32BE(4));
      }
      case frameTypes.settings:
        return this.#settings(payload);
      case frameTypes.ping:
        // One of our own comes back.
        if (this.#isPeers(payload.readUInt32BE(0))) this.#out(controlFrame(frameTypes.ping, 0, payload));
        return;
      case frameTypes.goAway:
        if (this.#hasGotGoAway) return;
        this.#hasGotGoAway = true;
        return this.#events.goAway();
      case frameTypes.windowUpdate:
        return this.#windowUpdate(id, payload.readUInt32BE(4) & maxId);
    }
  }

  #synStream(id: number, flags: number, headers: SpdyHeaders): void {
    if (id === 0 || !this.#isPeers(id)) throw new SpdyError(`the peer may not open stream ${id}`);
    if (id <= this.#lastPeerId) throw new SpdyError(`stream ${id} opens after ${this.#lastPeerId}`);
    this.#lastPeerId = id;
    if (this.#hasSentGoAway || this.#taken >= this.#limits.maxStreams) {
      return this.#out(wordsFrame(frameTypes.reset, id, resetStatus.refusedStream));
    }
    const hasGotEnd = (flags & finFlag) !== 0;
    const stream = this.#add(id, { isReplied: false, isEnding: (flags & unidirectionalFlag) !== 0, hasGotEnd });
    this.#removeEnded(stream);
    this.#events.opened(id, headers, hasGotEnd);
  }

  #synReply(id: number, flags: number, headers: SpdyHeaders): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    if (this.#isPeers(id) || stream.isReplied) return this.#fail(stream, resetStatus.streamInUse);
    stream.isReplied = true;
    this.#events.replied(id, headers);
    if ((flags & finFlag) !== 0 && !stream.hasGotEnd && !stream.isClosed) this.#ended(stream, nothing);
  }

  #settings(payload: Buffer): void {
    if (payload.length !== 4 + payload.readUInt32BE(0) * 8) throw new SpdyError('settings with a wrong count');
    for (let at = 4; at < payload.length; at += 8) {
      if (payload.readUIntBE(at + 1, 3) === initialWindowSetting) this.#setInitialWindow(payload.readUInt32BE(at + 4));
    }
  }

  #setInitialWindow(bytes: number): void {
    if (bytes > maxWindowBytes) throw new SpdyError('a window of more than 2 GiB');
    const change = bytes - this.#initialWindow;
    this.#initialWindow = bytes;
    this.#setsWindow = true;
    for (const stream of this.#snapshot()) {
      if (!stream.window.add(change)) this.#fail(stream, resetStatus.flowControlError);
      else this.#resume(stream);
    }
  }

  /** Whoever is told that it may write may open and reset streams. */
  #snapshot(): Stream[] {
    return Array.from(this.#streams.values());
  }

  #windowUpdate(id: number, bytes: number): void {
    if (id === 0) {
      if (!this.#window.add(bytes)) throw new SpdyError('a window of more than 2 GiB');
      for (const stream of this.#snapshot()) this.#resume(stream);
      return;
    }
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    if (!stream.window.add(bytes)) this.#fail(stream, resetStatus.flowControlError);
    else this.#resume(stream);
  }
}

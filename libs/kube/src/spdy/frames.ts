/** Code `BadSpdy`: the peer does not keep to SPDY/3.1, or exceeds a limit. */
export class SpdyError extends Error {
  readonly code = 'BadSpdy';
}

/** Types of control frames (SPDY/3, 2.6). */
export const frameTypes = {
  synStream: 1,
  synReply: 2,
  reset: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  headers: 8,
  windowUpdate: 9,
} as const;

/** FIN, on SYN_STREAM, SYN_REPLY, HEADERS and data frames: nothing follows from this side. */
export const finFlag = 0x01;
/** On SYN_STREAM: nothing will come from the side that did not open the stream. */
export const unidirectionalFlag = 0x02;

const controlBit = 0x8000;
const version = 3;
const headerBytes = 8;

/** Lengths that a type allows; a type that is not here has no meaning, and its frames are skipped. */
const lengths: ReadonlyMap<number, readonly [least: number, most: number]> = new Map([
  [frameTypes.synStream, [10, Infinity]],
  [frameTypes.synReply, [4, Infinity]],
  [frameTypes.reset, [8, 8]],
  [frameTypes.settings, [4, Infinity]],
  [frameTypes.ping, [4, 4]],
  [frameTypes.goAway, [8, 8]],
  [frameTypes.headers, [4, Infinity]],
  [frameTypes.windowUpdate, [8, 8]],
]);

/** What a reader hands out, in the order of the wire. */
export interface FrameSink {
  /** A whole control frame of a type in `frameTypes`. */
  control(type: number, flags: number, payload: Buffer): void;
  /** A data frame begins. */
  dataBegins(stream: number, flags: number): void;
  /** Part of that frame; the only one of an empty frame is empty. A view of what was pushed. */
  dataPart(bytes: Buffer, isLast: boolean): void;
}

/** Cuts a byte stream into frames. Holds one control frame at most, and nothing of a data frame. */
export class FrameReader {
  readonly #sink: FrameSink;
  readonly #maxControlBytes: number;
  readonly #header = Buffer.alloc(headerBytes);
  #headerLength = 0;
  #kind: 'control' | 'data' | 'skipped' = 'data';
  /** Bytes of the frame's payload that have not come yet. */
  #missing = 0;
  #payload: Buffer[] = [];

  constructor(sink: FrameSink, maxControlBytes: number) {
    this.#sink = sink;
    this.#maxControlBytes = maxControlBytes;
  }

  /** Throws `SpdyError`. */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#headerLength < headerBytes) {
        const taken = Math.min(headerBytes - this.#headerLength, chunk.length - at);
        chunk.copy(this.#header, this.#headerLength, at, at + taken);
        this.#headerLength += taken;
        at += taken;
        if (this.#headerLength === headerBytes) this.#begin();
        continue;
      }
      const taken = Math.min(this.#missing, chunk.length - at);
      const part = chunk.subarray(at, at + taken);
      at += taken;
      this.#take(part);
    }
  }

  #begin(): void {
    const first = this.#header.readUInt16BE(0);
    const flags = this.#header.readUInt8(4);
    this.#missing = this.#header.readUIntBE(5, 3);
    if (first < controlBit) {
      this.#kind = 'data';
      this.#sink.dataBegins(this.#header.readUInt32BE(0), flags);
    } else {
      if (first !== (controlBit | version)) throw new SpdyError(`version ${first & 0x7fff} is not ${version}`);
      const type = this.#header.readUInt16BE(2);
      const allowed = lengths.get(type);
      this.#kind = allowed === undefined ? 'skipped' : 'control';
      if (allowed !== undefined) {
        const [least, most] = allowed;
        if (this.#missing < least || this.#missing > Math.min(most, this.#maxControlBytes)) {
          throw new SpdyError(`a control frame of type ${type} has ${this.#missing} bytes`);
        }
      }
    }
    if (this.#missing === 0) this.#take(Buffer.alloc(0));
  }

  #take(part: Buffer): void {
    this.#missing -= part.length;
    const isLast = this.#missing === 0;
    // Whatever the sink does, the next byte belongs to the next frame.
    if (isLast) this.#headerLength = 0;
    if (this.#kind === 'data') {
      this.#sink.dataPart(part, isLast);
    } else if (this.#kind === 'control') {
      this.#payload.push(part);
      if (!isLast) return;
      const payload = this.#payload.length === 1 ? part : Buffer.concat(this.#payload);
      this.#payload = [];
      this.#sink.control(this.#header.readUInt16BE(2), this.#header.readUInt8(4), payload);
    }
  }
}

/** A control frame of 32-bit words, as most are. */
export function wordsFrame(type: number, ...words: number[]): Buffer {
  const payload = Buffer.alloc(words.length * 4);
  words.forEach((word, index) => payload.writeUInt32BE(word, index * 4));
  return controlFrame(type, 0, payload);
}

export function controlFrame(type: number, flags: number, payload: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(headerBytes + payload.length);
  frame.writeUInt16BE(controlBit | version, 0);
  frame.writeUInt16BE(type, 2);
  frame.writeUInt8(flags, 4);
  frame.writeUIntBE(payload.length, 5, 3);
  payload.copy(frame, headerBytes);
  return frame;
}

/** At most 16 MiB less one byte. */
export function dataFrame(stream: number, flags: number, bytes: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(headerBytes + bytes.length);
  frame.writeUInt32BE(stream, 0);
  frame.writeUInt8(flags, 4);
  frame.writeUIntBE(bytes.length, 5, 3);
  bytes.copy(frame, headerBytes);
  return frame;
}

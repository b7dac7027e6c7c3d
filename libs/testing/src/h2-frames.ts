// HTTP/2 by hand (RFC 9113, RFC 7541): one frame after another, in any order and as malformed as a test wants it.
import type { TLSSocket } from 'node:tls';
import type { Lines, RawAnswer } from './raw.ts';
import { happens, type Sluice, within } from './sluice.ts';

export const frameTypes = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;
export const frameFlags = { none: 0, endStream: 1, ack: 1, endHeaders: 4 } as const;

const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

/** One frame. */
export function frame(type: number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}

/** A header block: literals without indexing, without Huffman. */
export function headerBlock(lines: Lines): Buffer {
  return Buffer.concat(lines.flatMap(([name, value]) => [Buffer.of(0), text(name), text(value)]));
}

/** A string literal (RFC 7541, 5.2). */
export function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1');
  return Buffer.concat([integer(bytes.length), bytes]);
}

/** An integer with a prefix of 7 bits (RFC 7541, 5.1). */
function integer(value: number): Buffer {
  if (value < 127) return Buffer.of(value);
  const bytes = [127];
  let rest = value - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return Buffer.from([...bytes, rest]);
}

/** What has come of a stream. */
interface Received {
  readonly chunks: Buffer[];
  state: 'open' | 'ended' | 'reset';
  /** Of the RST_STREAM. */
  code: number | undefined;
}

/** A connection for h2. It reads all it is sent, so that answers to floods do not pile up. */
export class H2Connection {
  readonly closed: Promise<unknown>;
  readonly #socket: TLSSocket;
  readonly #streams = new Map<number, Received>();
  #received: Buffer = Buffer.alloc(0);
  #nextStream = 1;
  #pongs = 0;

  private constructor(socket: TLSSocket) {
    this.#socket = socket;
    this.closed = new Promise((resolve) => socket.once('close', resolve));
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
      this.#read();
    });
  }

  /** With the preface and SETTINGS behind it. */
  static async open(sluice: Sluice): Promise<H2Connection> {
    const connection = new H2Connection(await sluice.socket('h2'));
    const { settings } = frameTypes;
    await connection.write(
      Buffer.concat([Buffer.from(preface), frame(settings, 0, 0), frame(settings, frameFlags.ack, 0)]),
    );
    return connection;
  }

  get isClosed(): boolean {
    return this.#socket.destroyed;
  }

  /** Resolves when there is room for more, or nobody to write to. */
  async write(bytes: Buffer): Promise<void> {
    if (this.isClosed || this.#socket.write(bytes)) return;
    await Promise.race([this.closed, happens(this.#socket, 'drain')]);
  }

  /** Opens a stream and returns its id. `part`: whether a body or trailers follow. */
  request(head: Lines, part: 'whole' | 'open'): number {
    const id = this.reserve();
    void this.write(frame(frameTypes.headers, flagsOf(part) | frameFlags.endHeaders, id, headerBlock(head)));
    return id;
  }

  /** An id for a stream whose frames the test makes itself. */
  reserve(): number {
    const id = this.#nextStream;
    this.#nextStream += 2;
    return id;
  }

  /** Body bytes, in frames of the size every peer takes, without a look at any window: it starts at 64 KiB. */
  data(id: number, bytes: Buffer, part: 'whole' | 'open'): void {
    void this.write(frame(frameTypes.data, flagsOf(part), id, bytes));
  }

  trailers(id: number, lines: Lines): void {
    const { endStream, endHeaders } = frameFlags;
    void this.write(frame(frameTypes.headers, endStream | endHeaders, id, headerBlock(lines)));
  }

  /** Sends a PING and waits for its acknowledgement, or for the end of the connection. */
  async roundTrip(): Promise<void> {
    const before = this.#pongs;
    await this.write(frame(frameTypes.ping, frameFlags.none, 0, Buffer.alloc(8)));
    while (!this.isClosed && this.#pongs === before)
      await within('a PING to be acknowledged', Promise.race([this.closed, happens(this.#socket, 'frames')]));
  }

  /** What a stream was answered. The status is read from a `Status`; 200 where the body is anything else. */
  async answer(id: number): Promise<RawAnswer> {
    const isDone = (): boolean => this.isClosed || this.#stream(id).state !== 'open';
    while (!isDone())
      await within(`the answer on stream ${id}`, Promise.race([this.closed, happens(this.#socket, 'frames')]));
    const { chunks, state } = this.#stream(id);
    const body = Buffer.concat(chunks).toString();
    if (state !== 'ended') return { status: 0, head: '', body: '' };
    const code = /^\{"kind":"Status".*"code":(\d+)\}$/s.exec(body)?.[1];
    return { status: Number(code ?? 200), head: '', body };
  }

  /** The code of the RST_STREAM that a stream ended with. */
  async resetCode(id: number): Promise<number | undefined> {
    const isDone = (): boolean => this.isClosed || this.#stream(id).code !== undefined;
    while (!isDone())
      await within(`a reset of stream ${id}`, Promise.race([this.closed, happens(this.#socket, 'frames')]));
    return this.#stream(id).code;
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #stream(id: number): Received {
    const known = this.#streams.get(id) ?? { chunks: [], state: 'open', code: undefined };
    this.#streams.set(id, known);
    return known;
  }

  #read(): void {
    let from = 0;
    for (; this.#received.length - from >= 9; ) {
      const end = from + 9 + this.#received.readUIntBE(from, 3);
      if (this.#received.length < end) break;
      this.#took(this.#received.subarray(from, end));
      from = end;
    }
    this.#received = this.#received.subarray(from);
    this.#socket.emit('frames');
  }

  #took(bytes: Buffer): void {
    const type = bytes[3];
    const id = bytes.readUInt32BE(5);
    const payload = bytes.subarray(9);
    const { data, headers, ping, reset } = frameTypes;
    if (type === ping) this.#pongs++;
    if (type === data) this.#stream(id).chunks.push(Buffer.from(payload));
    const isEnd = (type === data || type === headers) && ((bytes[4] ?? 0) & frameFlags.endStream) !== 0;
    if (isEnd) this.#stream(id).state = 'ended';
    if (type !== reset) return;
    const stream = this.#stream(id);
    stream.code = payload.readUInt32BE(0);
    if (stream.state === 'open') stream.state = 'reset';
  }
}

function flagsOf(part: 'whole' | 'open'): number {
  return part === 'whole' ? frameFlags.endStream : frameFlags.none;
}

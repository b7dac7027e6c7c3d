// Requests byte by byte, well-formed or not, over h1 and h2: what no client library would send.
import type { TLSSocket } from 'node:tls';
import { H2Connection } from './h2-frames.ts';
import { happens, type Sluice, within } from './sluice.ts';

export type Protocol = 'h1' | 'h2';
export const protocols: readonly Protocol[] = ['h1', 'h2'];
/** Header lines, in order and as they are. */
export type Lines = readonly (readonly [name: string, value: string])[];

export interface RawRequest {
  readonly method?: string;
  readonly target: string;
  /** Besides `Host` or `:authority`, and `Authorization`. */
  readonly headers?: Lines;
  /** Framed with `Content-Length` over h1. */
  readonly body?: string;
  /** Default: the demo agent's. */
  readonly authorization?: string;
}

export interface RawAnswer {
  /** 0: the connection was closed, or over h2 the stream was reset, without an answer. */
  readonly status: number;
  /** Over h1: status line and headers. */
  readonly head: string;
  readonly body: string;
}

const none: RawAnswer = { status: 0, head: '', body: '' };

/** One request on a connection of its own. */
export async function ask(sluice: Sluice, protocol: Protocol, request: RawRequest): Promise<RawAnswer> {
  if (protocol === 'h2') {
    const connection = await H2Connection.open(sluice);
    const id = connection.request(h2Head(sluice, request), request.body === undefined ? 'whole' : 'open');
    if (request.body !== undefined) connection.data(id, Buffer.from(request.body), 'whole');
    const answer = await connection.answer(id);
    connection.destroy();
    return answer;
  }
  const connection = await H1Connection.open(sluice);
  connection.write(h1Request(sluice, request));
  const answer = await connection.answer();
  connection.destroy();
  return answer;
}

/** A request as h1 writes it. */
export function h1Request(
  sluice: Sluice,
  { method = 'GET', target, headers = [], body, authorization }: RawRequest,
): string {
  const lines = [
    ['Host', 'sluice'],
    ['Authorization', authorization ?? `Bearer ${sluice.token()}`],
    ...headers,
    ...(body === undefined ? [] : [['Content-Length', String(Buffer.byteLength(body))]]),
  ];
  return [`${method} ${target} HTTP/1.1`, ...lines.map(([name, value]) => `${name}: ${value}`), '', body ?? ''].join(
    '\r\n',
  );
}

/** A request's headers as h2 frames them. */
export function h2Head(sluice: Sluice, { method = 'GET', target, headers = [], authorization }: RawRequest): Lines {
  return [
    [':method', method],
    [':scheme', 'https'],
    [':path', target],
    [':authority', 'sluice'],
    ['authorization', authorization ?? `Bearer ${sluice.token()}`],
    ...headers,
  ];
}

/** A connection for h1. */
export class H1Connection {
  readonly closed: Promise<unknown>;
  readonly #socket: TLSSocket;
  #received: Buffer = Buffer.alloc(0);

  private constructor(socket: TLSSocket) {
    this.#socket = socket;
    this.closed = new Promise((resolve) => socket.once('close', resolve));
    // A server that closes while bytes are on their way to it resets the connection.
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      socket.emit('answer bytes');
    });
  }

  static async open(sluice: Sluice): Promise<H1Connection> {
    return new H1Connection(await sluice.socket());
  }

  get isClosed(): boolean {
    return this.#socket.destroyed;
  }

  /** `latin1`: one byte a character. */
  write(bytes: string | Buffer): void {
    if (!this.isClosed) this.#socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  /** The next answer; 1xx are passed over. */
  async answer(): Promise<RawAnswer> {
    for (;;) {
      const answer = this.#take();
      if (answer !== undefined && answer.status >= 200) return answer;
      if (answer !== undefined) continue;
      if (this.isClosed) return none;
      await within('an answer', Promise.race([this.closed, happens(this.#socket, 'answer bytes')]));
    }
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #take(): RawAnswer | undefined {
    const end = this.#received.indexOf('\r\n\r\n');
    if (end === -1) return undefined;
    const head = this.#received.toString('latin1', 0, end);
    const length = Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0);
    if (this.#received.length < end + 4 + length) return undefined;
    const body = this.#received.toString('utf8', end + 4, end + 4 + length);
    this.#received = this.#received.subarray(end + 4 + length);
    return { status: Number(head.slice(9, 12)), head, body };
  }
}

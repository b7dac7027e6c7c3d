import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

/** What went over a channel of a stream, as a whole. */
export type StreamTotals = readonly { readonly channel: string; readonly bytes: number; readonly sha256: string }[];

/**
 * What really arrived, by the machine's clock in milliseconds, comparable to other processes. `bytes`: a chunk came
 * in, whatever it was. `request`: `atMs` is when its first byte came. `stream`: an upgrade was accepted; of its
 * channels the log has the first MiB each, and all of them as sums at the end. Streams say when by a clock that is
 * never set back, in milliseconds, beside.
 */
export type LogEntry =
  | { readonly kind: 'bytes'; readonly connection: number; readonly atMs: number; readonly bytes: number }
  | {
      readonly kind: 'request';
      readonly connection: number;
      readonly atMs: number;
      /** Of the `Audit-ID` header; empty without one. */
      readonly auditId: string;
      readonly method: string;
      readonly target: string;
      /** Without the value of `authorization`. */
      readonly headers: Readonly<Record<string, string>>;
      readonly body: Buffer;
    }
  | (StreamEvent & {
      readonly kind: 'stream';
      readonly connection: number;
      readonly auditId: string;
      readonly target: string;
      /** Who is impersonated. */
      readonly user: string;
      /** The subprotocol; empty without one. */
      readonly protocol: string;
    })
  | (StreamEvent & { readonly kind: 'channel'; readonly channel: string; readonly bytes: Buffer })
  | (StreamEvent & { readonly kind: 'channel-ended'; readonly channel: string })
  | (StreamEvent & { readonly kind: 'stream-closed'; readonly channels: StreamTotals });

interface StreamEvent {
  /** Which stream. */
  readonly stream: number;
  readonly atMs: number;
  readonly monotonicMs: number;
}

/** Where a stream tells what passes. */
export interface StreamLog {
  channel(channel: string, bytes: Buffer): void;
  /** The client has closed its side of a channel. */
  ended(channel: string): void;
  closed(channels: StreamTotals): void;
}

/** Watches the bytes of connections. */
export class GroundTruth {
  readonly log: LogEntry[] = [];
  readonly #firstByte = new WeakMap<Socket, number>();
  readonly #ids = new WeakMap<Socket, number>();
  #connections = 0;
  #streams = 0;

  connected(socket: Socket): void {
    const connection = ++this.#connections;
    this.#ids.set(socket, connection);
    socket.prependListener('data', (chunk: Buffer) => {
      const atMs = Date.now();
      if (!this.#firstByte.has(socket)) this.#firstByte.set(socket, atMs);
      this.log.push({ kind: 'bytes', connection, atMs, bytes: chunk.length });
    });
  }

  /** A request has come to its end. */
  request(socket: Socket, { method = '', url: target = '', headers }: IncomingMessage, body: Buffer): void {
    const atMs = this.#firstByte.get(socket) ?? Date.now();
    // It has been read to its end, so the next byte of the connection begins the next request.
    this.#firstByte.delete(socket);
    const { authorization: _, ...shown } = headers;
    this.log.push({
      kind: 'request',
      connection: this.#ids.get(socket) ?? 0,
      atMs,
      auditId: String(headers['audit-id'] ?? ''),
      method,
      target,
      headers: Object.fromEntries(Object.entries(shown).map(([name, value]) => [name, String(value)])),
      body,
    });
  }

  stream(socket: Socket, opened: { auditId: string; target: string; user: string; protocol: string }): StreamLog {
    const stream = ++this.#streams;
    const now = (): StreamEvent => ({ stream, atMs: Date.now(), monotonicMs: performance.now() });
    this.log.push({ kind: 'stream', connection: this.#ids.get(socket) ?? 0, ...now(), ...opened });
    return {
      channel: (channel, bytes) => this.log.push({ kind: 'channel', ...now(), channel, bytes: Buffer.from(bytes) }),
      ended: (channel) => this.log.push({ kind: 'channel-ended', ...now(), channel }),
      closed: (channels) => this.log.push({ kind: 'stream-closed', ...now(), channels }),
    };
  }
}

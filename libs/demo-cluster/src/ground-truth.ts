import type { Socket } from 'node:net';

/**
 * What really arrived, by this process's clock: microseconds since the epoch, comparable to other processes of the
 * machine. `bytes`: a chunk came in, whatever it was. `request`: `atMicros` is when its first byte came.
 */
export type LogEntry =
  | { readonly kind: 'bytes'; readonly connection: number; readonly atMicros: number; readonly bytes: number }
  | {
      readonly kind: 'request';
      readonly connection: number;
      readonly atMicros: number;
      /** Of the `Audit-ID` header; empty without one. */
      readonly auditId: string;
      readonly method: string;
      readonly target: string;
      /** Without the value of `authorization`. */
      readonly headers: Readonly<Record<string, string>>;
      readonly body: Buffer;
    };

/** Watches the bytes of connections. */
export class GroundTruth {
  readonly log: LogEntry[] = [];
  readonly #firstByte = new WeakMap<Socket, number>();
  readonly #ids = new WeakMap<Socket, number>();
  #connections = 0;

  connected(socket: Socket): void {
    const connection = ++this.#connections;
    this.#ids.set(socket, connection);
    socket.prependListener('data', (chunk: Buffer) => {
      const atMicros = nowMicros();
      if (!this.#firstByte.has(socket)) this.#firstByte.set(socket, atMicros);
      this.log.push({ kind: 'bytes', connection, atMicros, bytes: chunk.length });
    });
  }

  request(
    socket: Socket,
    request: Omit<Extract<LogEntry, { kind: 'request' }>, 'kind' | 'connection' | 'atMicros'>,
  ): void {
    const atMicros = this.#firstByte.get(socket) ?? nowMicros();
    this.log.push({ kind: 'request', connection: this.#ids.get(socket) ?? 0, atMicros, ...request });
  }

  /** The next byte of the connection begins the next request. */
  answered(socket: Socket): void {
    this.#firstByte.delete(socket);
  }
}

function nowMicros(): number {
  return Math.round((performance.timeOrigin + performance.now()) * 1000);
}

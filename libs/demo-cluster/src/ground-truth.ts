import type { Socket } from 'node:net';

/**
 * What really arrived, by the machine's clock in milliseconds, comparable to other processes. `bytes`: a chunk came
 * in, whatever it was. `request`: `atMs` is when its first byte came.
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
      const atMs = Date.now();
      if (!this.#firstByte.has(socket)) this.#firstByte.set(socket, atMs);
      this.log.push({ kind: 'bytes', connection, atMs, bytes: chunk.length });
    });
  }

  request(socket: Socket, request: Omit<Extract<LogEntry, { kind: 'request' }>, 'kind' | 'connection' | 'atMs'>): void {
    const atMs = this.#firstByte.get(socket) ?? Date.now();
    // It has been read to its end, so the next byte of the connection begins the next request.
    this.#firstByte.delete(socket);
    this.log.push({ kind: 'request', connection: this.#ids.get(socket) ?? 0, atMs, ...request });
  }
}

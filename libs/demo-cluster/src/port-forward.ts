import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { type Duplex, duplexPair } from 'node:stream';
import { listens, webPage } from './kubelet.ts';
import type { Stored } from './objects.ts';
import { SpdyConnection, type SpdyStream } from './spdy.ts';
import type { Tap } from './tap.ts';
import type { ChannelSocket } from './websocket.ts';

/** Nothing listens there. Its message is what the kubelet says. */
export class ConnectionRefused extends Error {}

/** Opens connections to a pod. */
export class PodPorts {
  readonly #pod: Stored;

  constructor(pod: Stored) {
    this.#pod = pod;
  }

  /** A connection to the server of the pod. Throws `ConnectionRefused`. */
  connect(port: number): Duplex {
    const { name, uid } = this.#pod.metadata;
    if (!listens(this.#pod, port)) {
      throw new ConnectionRefused(
        `error forwarding port ${port} to pod ${uid}, uid : failed to connect to localhost:${port} inside namespace of ${name}: dial tcp4 127.0.0.1:${port}: connect: connection refused`,
      );
    }
    const server = createServer((request: IncomingMessage, response) => {
      const { code, body } = webPage(name, request.url ?? '/');
      response.writeHead(code, { 'content-type': 'text/html' }).end(body);
    });
    const [near, far] = duplexPair();
    // It listens nowhere: its one connection is in memory.
    server.emit('connection', far);
    return near;
  }
}

/** The form over SPDY: for each connection the client opens a stream for errors and one for data. */
export function forwardSpdy(link: Duplex, head: Buffer, pod: PodPorts, tap: Tap): void {
  const errors = new Map<string, SpdyStream>();
  const connections = new Set<Duplex>();
  const connection = new SpdyConnection(link, head, (stream) => {
    const id = stream.headers.get('requestid') ?? '';
    if (stream.headers.get('streamtype') === 'error') return void errors.set(id, stream);
    const error = errors.get(id);
    errors.delete(id);
    const name = `${stream.headers.get('port')}#${id}`;
    try {
      const opened = pod.connect(Number(stream.headers.get('port')));
      connections.add(opened);
      opened.on('close', () => connections.delete(opened));
      stream.receive(
        (bytes) => take(opened, `to ${name}`, bytes, tap),
        () => opened.end(),
      );
      void deliver(opened, `from ${name}`, tap, (bytes) => stream.send(bytes)).then(() => {
        stream.end();
        error?.end();
      });
    } catch (refused) {
      const words = Buffer.from((refused as Error).message);
      error?.send(words).catch(() => undefined);
      error?.end();
      stream.end();
    }
  });
  connection.gone.addEventListener('abort', () => {
    for (const each of connections) each.destroy();
  });
}

/**
 * The old form over WebSockets, where the query names the ports: of the port at `i`, channel `2i` has the data and
 * `2i + 1` what goes wrong. The server begins each with the port.
 */
export function forwardChannels(socket: ChannelSocket, ports: readonly number[], pod: PodPorts, tap: Tap): void {
  const connections = ports.map((port, index) => {
    const [data, error] = [2 * index, 2 * index + 1];
    const name = Buffer.alloc(2);
    name.writeUInt16LE(port);
    void socket.send(data, name);
    void socket.send(error, name);
    try {
      const connection = pod.connect(port);
      void deliver(connection, `from ${port}`, tap, (bytes) => socket.send(data, bytes));
      return connection;
    } catch (refused) {
      void socket.send(error, Buffer.from((refused as Error).message));
      return undefined;
    }
  });
  socket.receive(async (channel, bytes) => {
    const connection = channel % 2 === 0 ? connections[channel >> 1] : undefined;
    if (connection !== undefined) await take(connection, `to ${ports[channel >> 1]}`, bytes, tap);
  });
  socket.gone.addEventListener('abort', () => {
    for (const connection of connections) connection?.destroy();
  });
}

/** Passes on what the client sends; resolves when there is room for more. */
async function take(connection: Duplex, channel: string, bytes: Buffer, tap: Tap): Promise<void> {
  tap.received(channel, bytes);
  if (connection.destroyed || connection.write(bytes)) return;
  await Promise.race([once(connection, 'drain'), once(connection, 'close')]);
}

/** Sends what a connection says, until it or the client is through. */
async function deliver(
  connection: Duplex,
  channel: string,
  tap: Tap,
  send: (bytes: Buffer) => Promise<void>,
): Promise<void> {
  connection.on('error', () => undefined);
  try {
    for await (const bytes of connection as AsyncIterable<Buffer>) await tap.send(channel, bytes, send);
  } catch {
    connection.destroy();
  }
}

import type { Socket } from 'node:net';
import type { RawData, WebSocket } from 'ws';
import { keepAlive } from './keep-alive.ts';
import { closingMs, unsentBytes } from './leg.ts';

/** What carries the bytes of a SPDY session: a connection of its own, or the messages of a WebSocket. */
export interface Carrier {
  readonly gone: AbortSignal;
  /** Hands out what comes, from now on; `onData` must not throw. */
  start(onData: (bytes: Buffer) => void, ping: () => void): void;
  write(bytes: Buffer): void;
  pause(): void;
  resume(): void;
  /** Resolves when few enough bytes wait to be sent, or the peer is gone. */
  drained(): Promise<void>;
  /** Ends in order, within two seconds. */
  close(): Promise<void>;
  destroy(): void;
}

/** `head`: what came behind the switch of protocols. */
export function socketCarrier(socket: Socket, head: Buffer): Carrier {
  const { gone, left, waiting } = life();
  socket.on('error', () => undefined);
  socket.on('drain', () => waiting.wake());
  socket.on('end', () => socket.end());
  socket.on('close', left);
  return {
    gone,
    start(onData, ping) {
      keepAlive(socket, ping, gone);
      if (head.length > 0) onData(head);
      socket.on('data', onData);
      socket.resume();
    },
    write: (bytes) => void (gone.aborted || socket.write(bytes)),
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    drained: () => waiting.until(() => socket.writableLength <= unsentBytes || gone.aborted),
    close: () =>
      closed(
        gone,
        () => socket.end(),
        () => socket.destroy(),
      ),
    destroy: () => void socket.destroy(),
  };
}

/** A WebSocket, whatever its messages are. */
export function webSocketCarrier(
  webSocket: WebSocket,
  socket: Socket,
): Omit<Carrier, 'start' | 'write'> & { wake(): void } {
  const { gone, left, waiting } = life();
  webSocket.on('error', () => undefined);
  webSocket.on('close', left);
  socket.on('drain', () => waiting.wake());
  keepAlive(socket, () => webSocket.ping(), gone);
  return {
    gone,
    wake: () => waiting.wake(),
    pause: () => webSocket.pause(),
    resume: () => webSocket.resume(),
    drained: () => waiting.until(() => webSocket.bufferedAmount <= unsentBytes || gone.aborted),
    close: () =>
      closed(
        gone,
        () => webSocket.close(normal),
        () => webSocket.terminate(),
      ),
    destroy: () => webSocket.terminate(),
  };
}

/** The messages are one stream of bytes: where one ends means nothing. */
export function tunnelCarrier(webSocket: WebSocket, socket: Socket): Carrier {
  const carrier = webSocketCarrier(webSocket, socket);
  return {
    ...carrier,
    start(onData) {
      webSocket.on('message', (data: RawData, isBinary) => {
        if (isBinary) onData(data as Buffer);
        else webSocket.terminate();
      });
    },
    write: (bytes) => void (carrier.gone.aborted || webSocket.send(bytes, () => carrier.wake())),
  };
}

/** RFC 6455, 7.4.1. */
const normal = 1000;

function life(): { readonly gone: AbortSignal; readonly left: () => void; readonly waiting: Waiting } {
  const controller = new AbortController();
  const waiting = new Waiting();
  const left = (): void => {
    controller.abort();
    waiting.wake();
  };
  return { gone: controller.signal, left, waiting };
}

class Waiting {
  readonly #waiters = new Set<() => void>();

  async until(isReached: () => boolean): Promise<void> {
    while (!isReached()) await new Promise<void>((resolve) => this.#waiters.add(resolve));
  }

  wake(): void {
    for (const wake of this.#waiters) wake();
    this.#waiters.clear();
  }
}

async function closed(gone: AbortSignal, end: () => void, destroy: () => void): Promise<void> {
  if (gone.aborted) return;
  end();
  const timer = setTimeout(destroy, closingMs);
  await new Promise((resolve) => gone.addEventListener('abort', resolve));
  clearTimeout(timer);
}

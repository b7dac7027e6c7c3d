import type { Socket } from 'node:net';
import type { RawData, WebSocket } from 'ws';
import { keepAlive } from './keep-alive.ts';
import { unsentBytes } from './leg.ts';

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
  /** Ends in order, within so long; what still comes is for nobody. */
  close(withinMs: number): Promise<void>;
  destroy(): void;
}

/** When so much waits to be sent, its peer is not read either: it may ask for answers, to pings above all, and read none. Bytes. */
const unansweredBytes = 1024 * 1024;

/** Reads while neither who takes the bytes nor what waits to be sent holds it back. */
class Reading {
  readonly #source: { pause(): void; resume(): void };
  readonly #unsent: () => number;
  #isHeld = false;
  #isFull = false;

  constructor(source: { pause(): void; resume(): void }, unsent: () => number) {
    this.#source = source;
    this.#unsent = unsent;
  }

  pause(): void {
    this.#isHeld = true;
    this.flow();
  }

  resume(): void {
    this.#isHeld = false;
    this.flow();
  }

  /** Something was read, or sent. */
  look(): void {
    const isFull = this.#unsent() > unansweredBytes;
    if (isFull === this.#isFull) return;
    this.#isFull = isFull;
    this.flow();
  }

  flow(): void {
    if (this.#isHeld || this.#isFull) this.#source.pause();
    else this.#source.resume();
  }
}

/** `head`: what came behind the switch of protocols. `closedByPeer`: as `close`, but that the peer is to begin. */
export function socketCarrier(
  socket: Socket,
  head: Buffer,
): Carrier & { closedByPeer(withinMs: number): Promise<void> } {
  const { gone, left, waiting } = life();
  const reading = new Reading(socket, () => socket.writableLength);
  socket.on('error', () => undefined);
  socket.on('drain', () => {
    waiting.wake();
    reading.look();
  });
  // A peer that has said its last word hears no more, either.
  socket.on('end', () => socket.end());
  socket.on('close', left);
  return {
    gone,
    start(onData, ping) {
      keepAlive(socket, ping, gone);
      const take = (bytes: Buffer): void => {
        onData(bytes);
        reading.look();
      };
      if (head.length > 0) take(head);
      socket.on('data', take);
      reading.flow();
    },
    write: (bytes) => void (gone.aborted || socket.write(bytes)),
    pause: () => reading.pause(),
    resume: () => reading.resume(),
    drained: () => waiting.until(() => socket.writableLength <= unsentBytes || gone.aborted),
    close: (withinMs) =>
      closed(
        { gone, withinMs },
        () => {
          reading.resume();
          socket.end();
        },
        () => socket.destroy(),
      ),
    closedByPeer: (withinMs) =>
      closed(
        { gone, withinMs },
        () => reading.resume(),
        () => socket.destroy(),
      ),
    destroy: () => void socket.destroy(),
  };
}

/** A WebSocket, whatever its messages are. `sent`: to be called behind each. */
export function webSocketCarrier(
  webSocket: WebSocket,
  socket: Socket,
): Omit<Carrier, 'start' | 'write'> & { sent(): void } {
  const { gone, left, waiting } = life();
  const reading = new Reading(webSocket, () => webSocket.bufferedAmount);
  // What breaks the framing of WebSocket, `ws` has answered itself with a close frame.
  webSocket.on('error', () => undefined);
  webSocket.on('close', left);
  webSocket.on('message', () => reading.look());
  keepAlive(socket, () => webSocket.ping(), gone);
  return {
    gone,
    sent() {
      waiting.wake();
      reading.look();
    },
    pause: () => reading.pause(),
    resume: () => reading.resume(),
    drained: () => waiting.until(() => webSocket.bufferedAmount <= unsentBytes || gone.aborted),
    close: (withinMs) =>
      closed(
        { gone, withinMs },
        () => {
          reading.resume();
          webSocket.close(normal);
        },
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
    write: (bytes) => void (carrier.gone.aborted || webSocket.send(bytes, () => carrier.sent())),
  };
}

/** RFC 6455, 7.4.1. */
const normal = 1000;

const peerGone = new Error('the peer is gone');

function life(): { readonly gone: AbortSignal; readonly left: () => void; readonly waiting: Waiting } {
  const controller = new AbortController();
  const waiting = new Waiting();
  const left = (): void => {
    controller.abort(peerGone);
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

async function closed(
  { gone, withinMs }: { readonly gone: AbortSignal; readonly withinMs: number },
  end: () => void,
  destroy: () => void,
): Promise<void> {
  if (gone.aborted) return;
  end();
  const timer = setTimeout(destroy, withinMs);
  await new Promise((resolve) => gone.addEventListener('abort', resolve));
  clearTimeout(timer);
}

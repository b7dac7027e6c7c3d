import type { Socket } from 'node:net';
import {
  ChannelError,
  type ChannelProtocol,
  decodeChannelMessage,
  encodeChannelData,
  encodeChannelEnd,
  type WebSocketMessage,
} from '@sluice/kube';
import type { Channel } from '@sluice/model';
import { raw } from '@sluice/runtime/raw';
import type { RawData, WebSocket } from 'ws';
import { keepAlive } from './keep-alive.ts';
import { closingMs, type Leg, type LegEvent, LegQueue, type ReadAhead, StreamError, unsentBytes } from './leg.ts';

/** Normal closure, and a peer that broke the protocol (RFC 6455, 7.4.1). */
const normal = 1000;
const protocolError = 1002;

/** The end of a stream that a WebSocket carries. `peer`: who is at the other end. */
export class WebSocketLeg implements Leg {
  readonly protocol: string;
  readonly hasStatus: boolean;
  readonly #socket: WebSocket;
  readonly #codec: ChannelProtocol;
  readonly #queue: LegQueue;
  readonly #gone = new AbortController();
  readonly #drains = new Set<() => void>();

  /** Takes an open WebSocket and what it runs on. Its listeners are in place when this returns. */
  constructor(
    socket: WebSocket,
    connection: Socket,
    { codec, peer, ...ahead }: { codec: ChannelProtocol; peer: 'agent' | 'cluster' } & ReadAhead,
  ) {
    this.#socket = socket;
    this.#codec = codec;
    this.protocol = codec.name || 'channel.k8s.io';
    this.hasStatus = codec.hasStatus;
    this.#queue = new LegQueue(socket, ahead);
    socket.on('message', (data: RawData, isBinary) => this.#take(data as Buffer, isBinary, peer));
    // What breaks the framing of WebSocket, `ws` has answered itself with a close frame.
    socket.on('error', () => undefined);
    socket.on('close', () => this.#left());
    keepAlive(connection, () => socket.ping(), this.gone);
  }

  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  read(): Promise<LegEvent | null> {
    return this.#queue.read();
  }

  send(channel: Channel, bytes: Buffer): void {
    this.#send(encodeChannelData(this.#codec, channel, bytes));
  }

  async drained(): Promise<void> {
    while (this.#socket.bufferedAmount > unsentBytes && !this.gone.aborted) {
      await new Promise<void>((resolve) => this.#drains.add(resolve));
    }
  }

  end(channel: Channel): void {
    const message = encodeChannelEnd(this.#codec, channel);
    if (message !== undefined) this.#send(message);
  }

  async close(): Promise<void> {
    if (this.gone.aborted) return;
    // Its answer may stand behind input that nobody takes any more.
    this.#queue.end();
    this.#socket.close(normal);
    const timer = setTimeout(() => this.destroy(), closingMs);
    await new Promise((resolve) => this.gone.addEventListener('abort', resolve));
    clearTimeout(timer);
  }

  destroy(): void {
    this.#socket.terminate();
    this.#left();
  }

  #send({ data, isBinary }: WebSocketMessage): void {
    if (this.gone.aborted) return;
    this.#socket.send(data, { binary: isBinary }, () => this.#wake());
  }

  #take(data: Buffer, isBinary: boolean, peer: 'agent' | 'cluster'): void {
    try {
      const message = decodeChannelMessage(this.#codec, { data, isBinary }, peer === 'agent' ? 'client' : 'server');
      if (message.kind === 'data') {
        const { channel, bytes } = message;
        if (bytes.length > 0) this.#queue.push({ kind: 'data', channel, bytes: raw(bytes) });
        // It is said in one message, and nothing more comes.
        if (channel === 'error' && bytes.length > 0) this.#queue.push({ kind: 'end', channel });
      } else if (message.kind === 'end') this.#queue.push(message);
    } catch (error) {
      if (!(error instanceof ChannelError)) throw error;
      this.#queue.end(new StreamError(error.message));
      this.#socket.close(protocolError);
    }
  }

  #left(): void {
    if (this.gone.aborted) return;
    this.#queue.end();
    this.#gone.abort();
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#drains) wake();
    this.#drains.clear();
  }
}

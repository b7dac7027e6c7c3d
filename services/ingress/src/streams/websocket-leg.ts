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
import { webSocketCarrier } from './carrier.ts';
import { type Leg, type LegEvent, LegQueue, type ReadAhead, StreamError } from './leg.ts';

/** A peer broke the protocol (RFC 6455, 7.4.1). */
const protocolError = 1002;

/** The end of a stream that a WebSocket carries. `peer`: who is at the other end. */
export class WebSocketLeg implements Leg {
  readonly protocol: string;
  readonly hasStatus: boolean;
  readonly #socket: WebSocket;
  readonly #carrier: ReturnType<typeof webSocketCarrier>;
  readonly #codec: ChannelProtocol;
  readonly #queue: LegQueue;

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
    this.#carrier = webSocketCarrier(socket, connection);
    this.#queue = new LegQueue(this.#carrier, ahead);
    // Whoever breaks the framing has not just left.
    socket.on('error', ({ code = '', message }: NodeJS.ErrnoException) => {
      if (code.startsWith('WS_ERR_')) this.#queue.end(new StreamError(message));
    });
    socket.on('message', (data: RawData, isBinary) => this.#take(data as Buffer, isBinary, peer));
    this.gone.addEventListener('abort', () => this.#queue.end());
  }

  get gone(): AbortSignal {
    return this.#carrier.gone;
  }

  read(): Promise<LegEvent | null> {
    return this.#queue.read();
  }

  send(channel: Channel, bytes: Buffer): void {
    this.#send(encodeChannelData(this.#codec, channel, bytes));
  }

  drained(): Promise<void> {
    return this.#carrier.drained();
  }

  end(channel: Channel): void {
    const message = encodeChannelEnd(this.#codec, channel);
    if (message !== undefined) this.#send(message);
  }

  async close(withinMs: number): Promise<void> {
    this.#queue.end();
    await this.#carrier.close(withinMs);
  }

  destroy(): void {
    this.#carrier.destroy();
  }

  #send({ data, isBinary }: WebSocketMessage): void {
    if (this.gone.aborted) return;
    this.#socket.send(data, { binary: isBinary }, () => this.#carrier.sent());
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
}

import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
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
/** Between the first sign that an agent's client reads and its channels being there. Milliseconds. */
const settleMs = 2;
/** Who answers no ping is told all the same. Milliseconds. */
const signMs = 1_000;

/** The end of a stream that a WebSocket carries. `peer`: who is at the other end. */
export class WebSocketLeg implements Leg {
  readonly protocol: string;
  readonly hasStatus: boolean;
  readonly #socket: WebSocket;
  readonly #carrier: ReturnType<typeof webSocketCarrier>;
  readonly #codec: ChannelProtocol;
  readonly #queue: LegQueue;
  /** What is said to an agent whose client may not take it yet. */
  #early: WebSocketMessage[] | undefined;
  readonly #ready: Promise<void>;

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
    let before = connection.bytesRead;
    socket.on('message', (data: RawData, isBinary) => {
      before = connection.bytesRead;
      this.#take(data as Buffer, isBinary, peer);
    });
    // A message is read whole, and may be large.
    connection.on('data', () => this.#queue.coming(connection.bytesRead - before));
    this.gone.addEventListener('abort', () => this.#queue.end());
    // Clusters read what comes from the first byte on, and input waits for nothing.
    this.#early = peer === 'agent' ? [] : undefined;
    this.#ready = peer === 'agent' ? this.#whenReady() : Promise.resolve();
  }

  async #whenReady(): Promise<void> {
    await clientReady(this.#socket, this.gone);
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const message of early) this.#send(message);
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

  async drained(): Promise<void> {
    if (this.#early !== undefined) await this.#ready;
    await this.#carrier.drained();
  }

  end(channel: Channel): void {
    const message = encodeChannelEnd(this.#codec, channel);
    if (message !== undefined) this.#send(message);
  }

  async close(withinMs: number): Promise<void> {
    this.#queue.end();
    await this.#ready;
    await this.#carrier.close(withinMs);
  }

  destroy(): void {
    this.#carrier.destroy();
  }

  #send(message: WebSocketMessage): void {
    if (this.gone.aborted) return;
    if (this.#early === undefined)
      this.#socket.send(message.data, { binary: message.isBinary }, () => this.#carrier.sent());
    else this.#early.push(message);
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

/**
 * Resolves when an agent's client surely takes what is said to it, or is gone. kubectl 1.30 to 1.32 reads before it has made
 * its channels, and drops what comes for one that is not there (kubernetes/kubernetes#131189): a refusal that came right behind
 * the upgrade was lost, and the command seemed to have succeeded. A cluster is never so quick; Sluice is. Whoever answers
 * a ping reads, and has made its channels within a moment; whoever sends has made them.
 */
async function clientReady(socket: WebSocket, gone: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<'reads' | 'sends' | undefined>();
  const isGone = (): void => resolve(undefined);
  const timer = setTimeout(resolve, signMs, undefined);
  socket.once('pong', () => resolve('reads'));
  socket.once('message', () => resolve('sends'));
  gone.addEventListener('abort', isGone, { once: true });
  socket.ping();
  const sign = await promise;
  clearTimeout(timer);
  gone.removeEventListener('abort', isGone);
  if (sign === 'reads') await sleep(settleMs);
}

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { channels } from '@sluice/model';
import { type WebSocket, WebSocketServer } from 'ws';
import { type Incoming, statusOf, type Wire } from './exec.ts';
import { Killed } from './job.ts';
import { BrokenPipe } from './pipe.ts';
import type { Tap } from './tap.ts';

/** A subprotocol. `close`: a channel can be half-closed. `status`: whether channel 3 carries a Status or only words. */
interface Protocol {
  readonly form: 'binary' | 'base64';
  readonly status: 'json' | 'text';
  readonly close: 'yes' | 'no';
}

/** One row a subprotocol, the best first; the empty one is for a client that names none. */
const protocols: Readonly<Record<string, Protocol>> = {
  'v5.channel.k8s.io': { form: 'binary', status: 'json', close: 'yes' },
  'v4.channel.k8s.io': { form: 'binary', status: 'json', close: 'no' },
  'v4.base64.channel.k8s.io': { form: 'base64', status: 'json', close: 'no' },
  'v3.channel.k8s.io': { form: 'binary', status: 'text', close: 'no' },
  'channel.k8s.io': { form: 'binary', status: 'text', close: 'no' },
  'base64.channel.k8s.io': { form: 'base64', status: 'text', close: 'no' },
  '': { form: 'binary', status: 'text', close: 'no' },
};

/** Bytes that wait for the socket before a sender waits too. */
const maxWaitingBytes = 262_144;

const closeChannel = 255;

export const webSockets = new WebSocketServer({
  noServer: true,
  perMessageDeflate: false,
  maxPayload: 32 * 1_048_576,
  // Which one it is was settled before the handshake.
  handleProtocols: (_offered, request) => chosenProtocol(request, 'all') ?? false,
});

/** Which of the subprotocols that a client offers is spoken, or `undefined`. `old`: as before v5 was known. */
export function chosenProtocol({ headers }: IncomingMessage, known: 'all' | 'old'): string | undefined {
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
  return Object.keys(protocols).find((name) => offered.includes(name) && (known === 'all' || !name.startsWith('v5')));
}

/** Does the handshake. */
export function acceptWebSocket(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<WebSocket> {
  return new Promise((resolve) => webSockets.handleUpgrade(request, socket, head, resolve));
}

/** Speaks the channels of an exec or an attach. */
export class WebSocketWire implements Wire {
  readonly #socket: WebSocket;
  readonly #protocol: Protocol;
  readonly #tap: Tap;
  readonly #gone = new AbortController();

  constructor(socket: WebSocket, tap: Tap) {
    this.#socket = socket;
    this.#protocol = protocols[socket.protocol] ?? (protocols[''] as Protocol);
    this.#tap = tap;
    socket.on('error', () => undefined);
    socket.on('close', () => this.#gone.abort(new Killed(129)));
    // The real server begins with this on its lowest channel.
    void this.#send(channels.indexOf('stdout'), Buffer.alloc(0));
  }

  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  send(channel: 'stdout' | 'stderr', bytes: Buffer): Promise<void> {
    return this.#tap.send(channel, bytes, (part) => this.#send(channels.indexOf(channel), part));
  }

  finish(exitCode: number): void {
    const status = statusOf(exitCode);
    const isText = this.#protocol.status === 'text';
    const message = isText ? (exitCode === 0 ? '' : String(status['message'])) : JSON.stringify(status);
    if (message !== '') void this.#send(channels.indexOf('error'), Buffer.from(message)).catch(() => undefined);
    this.#socket.close(1000);
  }

  receive(incoming: Incoming): void {
    let before = Promise.resolve();
    let waiting = 0;
    this.#socket.on('message', (data: Buffer) => {
      waiting++;
      this.#socket.pause();
      before = before
        .then(() => this.#take(data, incoming))
        // A process that is through reads nothing more.
        .catch(() => undefined)
        .finally(() => {
          if (--waiting === 0 && this.#socket.readyState === this.#socket.OPEN) this.#socket.resume();
        });
    });
  }

  async #take(data: Buffer, incoming: Incoming): Promise<void> {
    const { form, close } = this.#protocol;
    const number = form === 'base64' ? (data[0] ?? 0x30) - 0x30 : data[0];
    const bytes = form === 'base64' ? Buffer.from(data.toString('latin1', 1), 'base64') : data.subarray(1);
    if (number === closeChannel && close === 'yes') {
      this.#tap.ended('stdin');
      return incoming.end();
    }
    const channel = channels[number ?? -1];
    if (channel === 'stdin' && bytes.length > 0) {
      this.#tap.received(channel, bytes);
      await incoming.stdin(bytes);
    } else if (channel === 'resize') {
      this.#tap.received(channel, bytes);
      const { Width = 80, Height = 24 } = JSON.parse(bytes.toString()) as { Width?: number; Height?: number };
      incoming.resize(Width, Height);
    }
  }

  async #send(channel: number, bytes: Buffer): Promise<void> {
    if (this.gone.aborted) throw new BrokenPipe('the client is gone');
    const isBase64 = this.#protocol.form === 'base64';
    const message = isBase64 ? `${channel}${bytes.toString('base64')}` : Buffer.concat([Buffer.of(channel), bytes]);
    const sent = Promise.withResolvers<void>();
    this.#socket.send(message, (error) => {
      if (error) sent.reject(new BrokenPipe('the client is gone'));
      else sent.resolve();
    });
    if (this.#socket.bufferedAmount > maxWaitingBytes) await sent.promise;
    else sent.promise.catch(() => undefined);
  }
}

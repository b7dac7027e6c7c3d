import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { channels, type StreamRequest } from '@sluice/model';
import { createWebSocketStream, type WebSocket, WebSocketServer } from 'ws';
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

const oldest: Protocol = { form: 'binary', status: 'text', close: 'no' };

/** One row a subprotocol, the best first; the empty one is for a client that names none. */
const protocols: Readonly<Record<string, Protocol>> = {
  'v5.channel.k8s.io': { form: 'binary', status: 'json', close: 'yes' },
  'v4.channel.k8s.io': { form: 'binary', status: 'json', close: 'no' },
  'v4.base64.channel.k8s.io': { form: 'base64', status: 'json', close: 'no' },
  'v3.channel.k8s.io': { form: 'binary', status: 'text', close: 'no' },
  'channel.k8s.io': oldest,
  'base64.channel.k8s.io': { form: 'base64', status: 'text', close: 'no' },
  '': oldest,
};

/** Bytes that wait for the socket before a sender waits too. */
const maxWaitingBytes = 262_144;

const maxMessageBytes = 32 * 1_048_576;

const closeChannel = 255;

/** SPDY inside the messages of a WebSocket, for port-forward. */
export const tunnelProtocol = 'SPDY/3.1+portforward.k8s.io';

const channelSockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: maxMessageBytes });

const tunnels = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: maxMessageBytes });
tunnels.on('headers', (headers) => headers.push(`Sec-WebSocket-Protocol: ${tunnelProtocol}`));

/**
 * Which of the subprotocols that a client offers is spoken, or `undefined`. `old`: as before Kubernetes 1.30.
 */
export function chosenWebSocket(
  { headers }: IncomingMessage,
  kind: StreamRequest['kind'],
  age: 'all' | 'old',
): string | undefined {
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
  if (kind === 'portforward' && age === 'all' && offered.includes(tunnelProtocol)) return tunnelProtocol;
  const known = Object.keys(protocols).filter(
    (name) => !name.startsWith('v5') || (age === 'all' && kind !== 'portforward'),
  );
  return known.find((name) => offered.includes(name));
}

/** Does the handshake for a protocol that was chosen. */
export function acceptChannels(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  protocol: string,
): Promise<ChannelSocket> {
  // The library takes the first it sees.
  if (protocol === '') delete request.headers['sec-websocket-protocol'];
  else request.headers['sec-websocket-protocol'] = protocol;
  return new Promise((resolve) =>
    channelSockets.handleUpgrade(request, socket, head, (webSocket) => resolve(new ChannelSocket(webSocket))),
  );
}

/** Does the handshake of a tunnel; its bytes are those of its messages, one after the other. */
export function acceptTunnel(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<Duplex> {
  // The library refuses a name with a slash.
  delete request.headers['sec-websocket-protocol'];
  return new Promise((resolve) =>
    tunnels.handleUpgrade(request, socket, head, (webSocket) => resolve(createWebSocketStream(webSocket))),
  );
}

/** Numbered channels over a WebSocket. */
export class ChannelSocket {
  readonly protocol: Protocol;
  readonly #socket: WebSocket;
  readonly #gone = new AbortController();

  constructor(socket: WebSocket) {
    this.#socket = socket;
    this.protocol = protocols[socket.protocol] ?? oldest;
    socket.on('error', () => undefined);
    socket.on('close', () => this.#gone.abort(new Killed(129)));
  }

  /** Aborted with `Killed` when the client is gone. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** Resolves when there is room for more. Rejects with `BrokenPipe` when the client is gone. */
  async send(channel: number, bytes: Buffer): Promise<void> {
    if (this.gone.aborted) throw new BrokenPipe('the client is gone');
    const isBase64 = this.protocol.form === 'base64';
    const message = isBase64 ? `${channel}${bytes.toString('base64')}` : Buffer.concat([Buffer.of(channel), bytes]);
    const sent = Promise.withResolvers<void>();
    this.#socket.send(message, (error) => {
      if (error) sent.reject(new BrokenPipe('the client is gone'));
      else sent.resolve();
    });
    sent.promise.catch(() => undefined);
    if (this.#socket.bufferedAmount > maxWaitingBytes) await sent.promise;
  }

  /** Hands over what comes, in order; the client waits while `take` has not resolved. */
  receive(take: (channel: number, bytes: Buffer) => Promise<void> | void): void {
    let before = Promise.resolve();
    let waiting = 0;
    this.#socket.on('message', (data: Buffer) => {
      waiting++;
      this.#socket.pause();
      const isBase64 = this.protocol.form === 'base64';
      const channel = isBase64 ? (data[0] ?? 0x30) - 0x30 : (data[0] ?? 0);
      const bytes = isBase64 ? Buffer.from(data.toString('latin1', 1), 'base64') : data.subarray(1);
      before = before
        .then(() => take(channel, bytes))
        // Who is through reads nothing more.
        .catch(() => undefined)
        .finally(() => {
          if (--waiting === 0 && this.#socket.readyState === this.#socket.OPEN) this.#socket.resume();
        });
    });
  }

  close(): void {
    this.#socket.close(1000);
    // The client's close has to be read.
    if (this.#socket.isPaused) this.#socket.resume();
  }
}

/** Speaks the channels of an exec or an attach. */
export class WebSocketWire implements Wire {
  readonly #socket: ChannelSocket;
  readonly #tap: Tap;

  constructor(socket: ChannelSocket, tap: Tap) {
    this.#socket = socket;
    this.#tap = tap;
    // The real server begins with this on its lowest channel.
    void socket.send(channels.indexOf('stdout'), Buffer.alloc(0));
  }

  get gone(): AbortSignal {
    return this.#socket.gone;
  }

  send(channel: 'stdout' | 'stderr', bytes: Buffer): Promise<void> {
    return this.#tap.send(channel, bytes, (part) => this.#socket.send(channels.indexOf(channel), part));
  }

  finish(exitCode: number): void {
    const status = statusOf(exitCode);
    const isText = this.#socket.protocol.status === 'text';
    const message = isText ? (exitCode === 0 ? '' : String(status['message'])) : JSON.stringify(status);
    if (message !== '') this.#socket.send(channels.indexOf('error'), Buffer.from(message)).catch(() => undefined);
    this.#socket.close();
  }

  receive(incoming: Incoming): void {
    this.#socket.receive(async (number, bytes) => {
      if (number === closeChannel && this.#socket.protocol.close === 'yes') {
        this.#tap.ended('stdin');
        incoming.end();
      }
      const channel = channels[number];
      if (channel === 'stdin' && bytes.length > 0) {
        this.#tap.received(channel, bytes);
        await incoming.stdin(bytes);
      } else if (channel === 'resize') {
        this.#tap.received(channel, bytes);
        incoming.resize(bytes);
      }
    });
  }
}

// An agent's request to switch protocols, from its head to a stream, or to a refusal that an HTTP client can read.
import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import {
  type ChannelProtocol,
  choosePortForwardProtocol,
  chooseSpdyProtocol,
  chooseWebSocketProtocol,
  maxForwardedPorts,
} from '@sluice/kube';
import type { Channel, StreamRequest } from '@sluice/model';
import { type WebSocket, WebSocketServer } from 'ws';
import { Refusal } from '../refusal.ts';
import type { Response } from '../request.ts';
import { socketCarrier, tunnelCarrier } from './carrier.ts';
import { ChannelForwardAgent, type ForwardAgent, SpdyForwardAgent } from './forward-agent.ts';
import { type Leg, StreamError } from './leg.ts';
import { SpdyLeg } from './spdy-leg.ts';
import { WebSocketLeg } from './websocket-leg.ts';

/** kube-apiserver's own limit of a message. Bytes. */
const maxMessageBytes = 32 * 1024 * 1024;
/** What of an agent's input is read ahead; less while it waits for a reviewer. Bytes. */
const ahead = { aheadBytes: 256 * 1024, heldBytes: 64 * 1024 } as const;

/** How connections are forwarded over SPDY. */
const portForward = 'portforward.k8s.io';

const webSockets = new WebSocketServer({
  noServer: true,
  clientTracking: false,
  perMessageDeflate: false,
  maxPayload: maxMessageBytes,
  skipUTF8Validation: true,
});

/** A request whose connection belongs to it alone from now on. */
export class Upgrade {
  readonly request: IncomingMessage;
  /** For an answer that is no stream. */
  readonly response: Response;
  readonly #socket: Socket;
  readonly #isSpdy: boolean;
  /** Subprotocols, in the agent's order. */
  readonly #offers: readonly string[];
  /** What the agent sent without waiting for an answer. */
  readonly #head: Buffer;

  /** Its listeners are in place when this returns. */
  constructor(request: IncomingMessage, socket: Duplex, head: Buffer) {
    socket.on('error', () => undefined);
    this.request = request;
    this.#socket = socket as Socket;
    this.#isSpdy = request.headers.upgrade?.toLowerCase() === 'spdy/3.1';
    const name = this.#isSpdy ? 'x-stream-protocol-version' : 'sec-websocket-protocol';
    const lines = request.headersDistinct[name] ?? [];
    this.#offers = lines.flatMap((line) => line.split(',')).map((offer) => offer.trim());
    this.#head = head;
    const response = new ServerResponse(request);
    response.assignSocket(this.#socket);
    // No parser reads this connection any more, so nothing can follow the answer.
    response.on('finish', () => this.#socket.destroySoon());
    this.response = response;
  }

  /** Looks whether it could be accepted, before anything comes of it. Throws `Refusal` (`StreamNotReadable`). */
  check({ kind, ports }: StreamRequest): void {
    const { method = '', headers } = this.request;
    const isWhole = this.#isSpdy
      ? method === 'POST' || method === 'GET'
      : method === 'GET' &&
        /^[+/0-9A-Za-z]{22}==$/.test(headers['sec-websocket-key'] ?? '') &&
        headers['sec-websocket-version'] === '13';
    if (!isWhole)
      throw new Refusal('StreamNotReadable', 'the request does not ask for its stream as its protocol demands');
    if (kind === 'portforward' ? !this.#forwards(ports) : this.#codec() === undefined) throw this.#noProtocol();
  }

  #forwards(ports: readonly number[]): boolean {
    if (this.#isSpdy) return this.#offers.includes(portForward);
    const protocol = choosePortForwardProtocol(this.#offers);
    if (protocol?.kind !== 'channels') return protocol !== undefined;
    return ports.length > 0 && ports.length <= maxForwardedPorts(protocol);
  }

  /** Ends the connection at once. */
  destroy(): void {
    this.#socket.destroy();
  }

  /** The end of an exec or an attach. Throws `Refusal` (`StreamNotReadable`). */
  async acceptChannels(stream: StreamRequest): Promise<Leg> {
    const codec = this.#codec();
    if (codec === undefined) throw this.#noProtocol();
    if (!this.#isSpdy) {
      const socket = await this.#webSocket(codec.name);
      return new WebSocketLeg(socket, this.#socket, { codec, peer: 'agent', ...ahead });
    }
    this.#switchToSpdy(codec.name);
    const wanted = channelsOf(stream, codec);
    const leg = new SpdyLeg(this.#socket, this.#head, { codec, peer: 'agent', ...ahead, wanted });
    try {
      await leg.opened();
    } catch (error) {
      leg.destroy();
      if (!(error instanceof StreamError)) throw error;
      throw new Refusal('StreamNotReadable', `the agent\u2019s stream cannot be read: ${error.message}`);
    }
    return leg;
  }

  /** The end of a port-forward, in whichever form the agent knows. Throws `Refusal` (`StreamNotReadable`). */
  async acceptForwards({ ports }: StreamRequest): Promise<ForwardAgent> {
    if (this.#isSpdy) {
      this.#switchToSpdy(portForward);
      return new SpdyForwardAgent(socketCarrier(this.#socket, this.#head), `SPDY/3.1 ${portForward}`);
    }
    const protocol = choosePortForwardProtocol(this.#offers);
    if (protocol === undefined) throw this.#noProtocol();
    const socket = await this.#webSocket(protocol.name);
    return protocol.kind === 'tunnel'
      ? new SpdyForwardAgent(tunnelCarrier(socket, this.#socket), protocol.name)
      : new ChannelForwardAgent(socket, this.#socket, protocol, ports);
  }

  #codec(): ChannelProtocol | undefined {
    return this.#isSpdy ? chooseSpdyProtocol(this.#offers) : chooseWebSocketProtocol(this.#offers);
  }

  async #webSocket(protocol: string): Promise<WebSocket> {
    const { headers } = this.request;
    // The names of some protocols are no tokens, so `ws` would refuse them; the answer names what was chosen.
    delete headers['sec-websocket-protocol'];
    const name = (lines: string[]): void => {
      if (protocol !== '') lines.push(`Sec-WebSocket-Protocol: ${protocol}`);
    };
    webSockets.once('headers', name);
    try {
      return await new Promise((resolve, reject) => {
        this.#socket.once('close', () => reject(new Refusal('StreamNotReadable', 'the agent left')));
        webSockets.handleUpgrade(this.request, this.#socket, this.#head, resolve);
      });
    } finally {
      webSockets.off('headers', name);
    }
  }

  #switchToSpdy(protocol: string): void {
    this.#socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: ${protocol}\r\n\r\n`,
    );
  }

  #noProtocol(): Refusal {
    return new Refusal(
      'StreamNotReadable',
      'Sluice knows none of the protocols that the request offers for its stream',
    );
  }
}

/** The channels that a stream has under a protocol. */
export function channelsOf({ stdin, stdout, stderr, tty }: StreamRequest, { hasResize }: ChannelProtocol): Channel[] {
  const asked = { error: true, stdin, stdout, stderr: stderr && !tty, resize: tty && hasResize };
  // In the order in which Go clients open them.
  return (['error', 'stdin', 'stdout', 'stderr', 'resize'] as const).filter((channel) => asked[channel]);
}

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
import { type ServerOptions, type WebSocket, WebSocketServer } from 'ws';
import { Refusal } from '../refusal.ts';
import { AgentGone, goneSignal, hasBody, type Response } from '../request.ts';
import { socketCarrier, tunnelCarrier } from './carrier.ts';
import { ChannelForwardAgent, type ForwardAgent, SpdyForwardAgent } from './forward-agent.ts';
import { probeMs } from './keep-alive.ts';
import { type Leg, lastBytesMs, maxMessageBytes, StreamError } from './leg.ts';
import { SpdyLeg } from './spdy-leg.ts';
import { WebSocketLeg } from './websocket-leg.ts';

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
  // The types do not know it yet. An agent that reads slowly answers the end of its stream late.
  closeTimeout: lastBytesMs,
} as ServerOptions);

/** A request whose connection belongs to it alone from now on. */
export class Upgrade {
  readonly request: IncomingMessage;
  /** For an answer that is no stream. */
  readonly response: Response;
  /** Aborts with `AgentGone` when the agent leaves. */
  readonly gone: AbortSignal;
  readonly #socket: Socket;
  readonly #isSpdy: boolean;
  /** Subprotocols, in the agent's order. */
  readonly #offers: readonly string[];
  /** What the agent sent without waiting for an answer. */
  readonly #early: Buffer[];
  #earlyBytes = 0;
  #isSwitched = false;

  /** The connection must have a listener for its errors. */
  constructor(request: IncomingMessage, socket: Duplex, head: Buffer) {
    this.request = request;
    this.#socket = socket as Socket;
    this.#isSpdy = request.headers.upgrade?.toLowerCase() === 'spdy/3.1';
    const name = this.#isSpdy ? 'x-stream-protocol-version' : 'sec-websocket-protocol';
    const lines = request.headersDistinct[name] ?? [];
    this.#offers = lines.flatMap((line) => line.split(',')).map((offer) => offer.trim());
    const response = new ServerResponse(request);
    response.assignSocket(this.#socket);
    // No parser reads this connection any more, so nothing can follow the answer.
    response.on('finish', () => this.#socket.destroySoon());
    // Node's server, which would say so, has let go of the connection.
    socket.on('drain', () => response.emit('drain'));
    this.response = response;
    this.gone = goneSignal(response);
    this.#early = [head];
    // Only who reads hears that an agent leaves: it may wait for a reviewer. None ends but its own side.
    this.#socket.setKeepAlive(true, probeMs);
    socket.on('data', this.#takeEarly);
    socket.once('end', () => this.#socket.destroySoon());
  }

  readonly #takeEarly = (bytes: Buffer): void => {
    this.#early.push(bytes);
    this.#earlyBytes += bytes.length;
    if (this.#earlyBytes > ahead.heldBytes) this.#socket.pause();
  };

  /** Hands the connection over, once, with what has come on it. Throws `AgentGone`. */
  #take(): Buffer {
    if (this.#isSwitched || this.#socket.destroyed || !this.#socket.writable) throw new AgentGone();
    this.#isSwitched = true;
    this.#socket.off('data', this.#takeEarly);
    return Buffer.concat(this.#early.splice(0));
  }

  /** Looks whether it could be accepted, before anything comes of it. Throws `Refusal` (`StreamNotReadable`). */
  check({ kind, ports }: StreamRequest): void {
    const { method = '', headers } = this.request;
    const isWhole = this.#isSpdy
      ? (method === 'POST' || method === 'GET') && !hasBody(this.request)
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

  /** The end of an exec or an attach. Throws `Refusal` (`StreamNotReadable`), and `AgentGone`. */
  async acceptChannels(stream: StreamRequest): Promise<Leg> {
    const codec = this.#codec();
    if (codec === undefined) throw this.#noProtocol();
    if (!this.#isSpdy) {
      const socket = this.#webSocket(codec.name);
      return new WebSocketLeg(socket, this.#socket, { codec, peer: 'agent', ...ahead });
    }
    const head = this.#switchToSpdy(codec.name);
    const wanted = channelsOf(stream, codec);
    const leg = new SpdyLeg(this.#socket, head, { codec, peer: 'agent', ...ahead, wanted });
    try {
      await leg.opened();
    } catch (error) {
      leg.destroy();
      if (!(error instanceof StreamError)) throw error;
      throw new Refusal('StreamNotReadable', `the agent\u2019s stream cannot be read: ${error.message}`);
    }
    return leg;
  }

  /** The end of a port-forward, in whichever form the agent knows. Throws `Refusal` (`StreamNotReadable`), and `AgentGone`. */
  acceptForwards({ ports }: StreamRequest): ForwardAgent {
    if (this.#isSpdy) {
      const head = this.#switchToSpdy(portForward);
      return new SpdyForwardAgent(socketCarrier(this.#socket, head), `SPDY/3.1 ${portForward}`);
    }
    const protocol = choosePortForwardProtocol(this.#offers);
    if (protocol === undefined) throw this.#noProtocol();
    const socket = this.#webSocket(protocol.name);
    return protocol.kind === 'tunnel'
      ? new SpdyForwardAgent(tunnelCarrier(socket, this.#socket), protocol.name)
      : new ChannelForwardAgent(socket, this.#socket, protocol, ports);
  }

  #codec(): ChannelProtocol | undefined {
    return this.#isSpdy ? chooseSpdyProtocol(this.#offers) : chooseWebSocketProtocol(this.#offers);
  }

  #webSocket(protocol: string): WebSocket {
    const head = this.#take();
    const { headers } = this.request;
    // The names of some protocols are no tokens, so `ws` would refuse them; the answer names what was chosen.
    delete headers['sec-websocket-protocol'];
    const name = (lines: string[]): void => {
      if (protocol !== '') lines.push(`Sec-WebSocket-Protocol: ${protocol}`);
    };
    let accepted: WebSocket | undefined;
    webSockets.once('headers', name);
    // All of it happens before this returns.
    webSockets.handleUpgrade(this.request, this.#socket, head, (socket) => {
      accepted = socket;
    });
    webSockets.off('headers', name);
    if (accepted === undefined) throw new AgentGone();
    this.#socket.resume();
    return accepted;
  }

  #switchToSpdy(protocol: string): Buffer {
    const head = this.#take();
    this.#socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: ${protocol}\r\n\r\n`,
    );
    return head;
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

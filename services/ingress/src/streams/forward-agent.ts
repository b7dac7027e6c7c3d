// The agent's end of a port-forward, in the three forms there are: SPDY, SPDY inside a WebSocket, and WebSocket channels.
import type { Socket } from 'node:net';
import {
  ChannelError,
  decodePortForwardMessage,
  encodePortForwardMessage,
  type PortForwardProtocol,
  portForwardPreamble,
  SpdyError,
  SpdySession,
  type WebSocketMessage,
} from '@sluice/kube';
import type { RawData, WebSocket } from 'ws';
import { type Carrier, webSocketCarrier } from './carrier.ts';
import { Windows } from './flow.ts';
import { lastBytesMs } from './leg.ts';

/** One connection that the agent forwards. */
export interface AgentConnection {
  readonly port: number;
  /** Resolves when the agent takes more, or nothing at all any more. */
  send(bytes: Buffer): Promise<void>;
  /** Nothing more comes out of the pod. */
  end(): void;
  /** Says in words why there is no connection, or no more; ends both directions. */
  fail(words: string): void;
  /** Bytes were passed on. */
  consumed(bytes: number): void;
  /** What the agent still sends is for nobody. */
  closed(): void;
}

/** What the agent does with it. */
export interface ConnectionEvents {
  data(bytes: Buffer): void;
  /** Nothing more goes into the pod. */
  ended(): void;
  /** The agent gave it up. */
  reset(): void;
}

export interface ForwardAgent {
  /** As it was negotiated. */
  readonly protocol: string;
  readonly carrier: Pick<Carrier, 'gone' | 'pause' | 'resume' | 'drained' | 'close' | 'destroy'>;
  /** Tells of each connection as it is opened. */
  start(opened: (connection: AgentConnection) => ConnectionEvents): void;
}

/** A connection has so long to get its second stream: kubelet's own limit. */
const pairingMs = 30_000;

/** Of RST_STREAM: the peer broke the rules of the stream. */
const protocolError = 1;

/** SPDY: two streams a connection, which `requestid` brings together. */
export class SpdyForwardAgent implements ForwardAgent {
  readonly protocol: string;
  readonly carrier: Carrier;
  /** Error streams without their data streams, by request id; and the ids by stream. */
  readonly #halves = new Map<
    string,
    { readonly error: number; readonly port: number; readonly late: NodeJS.Timeout }
  >();
  readonly #halfIds = new Map<number, string>();
  readonly #events = new Map<number, ConnectionEvents>();
  readonly #windows = new Windows();

  constructor(carrier: Carrier, protocol: string) {
    this.carrier = carrier;
    this.protocol = protocol;
    carrier.gone.addEventListener('abort', () => {
      for (const { late } of this.#halves.values()) clearTimeout(late);
      this.#windows.openAll();
    });
  }

  /** It is whole, or given up. */
  #dropHalf(error: number): void {
    const id = this.#halfIds.get(error) ?? '';
    clearTimeout(this.#halves.get(id)?.late);
    this.#halfIds.delete(error);
    this.#halves.delete(id);
  }

  start(opened: (connection: AgentConnection) => ConnectionEvents): void {
    const session = new SpdySession('server', (bytes) => this.carrier.write(bytes), {
      opened: (stream, headers, isEnded) => {
        const [type, id] = [headers.get('streamtype'), headers.get('requestid') ?? ''];
        const port = portOf(headers.get('port') ?? '');
        const half = this.#halves.get(id);
        if (type === 'error' && port !== null && half === undefined && id !== '') {
          const giveUp = (): void => {
            this.#dropHalf(stream);
            session.reset(stream, protocolError);
          };
          this.#halves.set(id, { error: stream, port, late: setTimeout(giveUp, pairingMs) });
          this.#halfIds.set(stream, id);
          session.reply(stream);
        } else if (type === 'data' && half !== undefined && half.port === port) {
          this.#dropHalf(half.error);
          session.reply(stream);
          const events = opened(this.#connection(session, port, { error: half.error, data: stream }));
          this.#events.set(stream, events);
          if (isEnded) events.ended();
        } else session.reset(stream, protocolError);
      },
      replied: () => undefined,
      data: (stream, bytes, isEnded) => {
        const events = this.#events.get(stream);
        // On the error stream an agent says nothing; it ends it at once.
        if (events === undefined) session.consumed(stream, bytes.length);
        else if (bytes.length > 0) events.data(bytes);
        if (isEnded) events?.ended();
      },
      reset: (stream) => {
        this.#dropHalf(stream);
        this.#windows.open(stream);
        this.#events.get(stream)?.reset();
        this.#events.delete(stream);
      },
      goAway: () => undefined,
      writable: (stream) => this.#windows.open(stream),
    });
    const take = (bytes: Buffer): void => {
      try {
        session.push(bytes);
      } catch (error) {
        if (!(error instanceof SpdyError)) throw error;
        this.carrier.destroy();
      }
    };
    this.carrier.start(take, () => session.ping());
  }

  #connection(
    session: SpdySession,
    port: number,
    { error, data }: { readonly error: number; readonly data: number },
  ): AgentConnection {
    return {
      port,
      send: async (bytes) => {
        if (!session.write(data, bytes)) this.#windows.shut(data);
        await this.#windows.isOpen(data);
      },
      end: () => {
        session.end(data);
        session.end(error);
      },
      fail: (words) => {
        session.write(error, Buffer.from(words));
        session.end(error);
        session.end(data);
      },
      consumed: (bytes) => session.consumed(data, bytes),
      closed: () => {
        this.#events.delete(data);
        this.#windows.open(data);
      },
    };
  }
}

/** WebSocket channels: the ports are named at once, and each is one connection that lasts as long as the WebSocket. */
export class ChannelForwardAgent implements ForwardAgent {
  readonly protocol: string;
  readonly carrier: ReturnType<typeof webSocketCarrier>;
  readonly #webSocket: WebSocket;
  readonly #codec: PortForwardProtocol;
  readonly #ports: readonly number[];
  #open = 0;

  constructor(webSocket: WebSocket, socket: Socket, codec: PortForwardProtocol, ports: readonly number[]) {
    this.protocol = codec.name || 'channel.k8s.io';
    this.#webSocket = webSocket;
    this.#codec = codec;
    this.#ports = ports;
    this.carrier = webSocketCarrier(webSocket, socket);
  }

  start(opened: (connection: AgentConnection) => ConnectionEvents): void {
    for (const message of portForwardPreamble(this.#codec, this.#ports)) this.#send(message);
    const events = this.#ports.map((port, place) => opened(this.#connection(port, place)));
    this.#webSocket.on('message', (data: RawData, isBinary) => {
      try {
        const message = decodePortForwardMessage(this.#codec, this.#ports.length, { data: data as Buffer, isBinary });
        if (message.kind === 'data') events[message.place]?.data(message.bytes);
      } catch (error) {
        if (!(error instanceof ChannelError)) throw error;
        this.carrier.destroy();
      }
    });
  }

  #connection(port: number, place: number): AgentConnection {
    let isOver = false;
    const end = (): void => {
      isOver = true;
      // No channel can end before all do.
      if (--this.#open === 0) void this.carrier.close(lastBytesMs);
    };
    this.#open++;
    return {
      port,
      send: async (bytes) => this.#send(encodePortForwardMessage(this.#codec, place, 'data', bytes)),
      end: () => void (isOver || end()),
      fail: (words) => {
        if (isOver) return;
        this.#send(encodePortForwardMessage(this.#codec, place, 'error', Buffer.from(words)));
        end();
      },
      consumed: () => undefined,
      closed: () => undefined,
    };
  }

  #send({ data, isBinary }: WebSocketMessage): void {
    if (!this.carrier.gone.aborted) this.#webSocket.send(data, { binary: isBinary }, () => this.carrier.sent());
  }
}

/** A port as its header has it; `null` for what is none. */
export function portOf(text: string): number | null {
  const port = /^[1-9]\d{0,4}$/.test(text) ? Number(text) : 0;
  return port > 0 && port < 65_536 ? port : null;
}

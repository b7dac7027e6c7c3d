// The cluster's end of a stream: WebSocket where its API server speaks v5, SPDY otherwise.
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type ChannelProtocol, chooseSpdyProtocol, chooseWebSocketProtocol, spdyProtocols } from '@sluice/kube';
import type { StreamRequest } from '@sluice/model';
import type { ClusterConnection, Credentials } from '@sluice/runtime/cluster';
import { WebSocket } from 'ws';
import { Refusal } from '../refusal.ts';
import { type Leg, maxMessageBytes, StreamError } from './leg.ts';
import { SpdyLeg } from './spdy-leg.ts';
import { channelsOf } from './upgrade.ts';
import { WebSocketLeg } from './websocket-leg.ts';

/** A stream on its way to the cluster. */
export interface Connecting {
  readonly stream: StreamRequest;
  /** Path and query, rebuilt. */
  readonly target: string;
  /** From the allow-list, without what belongs to the switch of protocols. */
  readonly headers: Readonly<Record<string, string | string[]>>;
  /** Aborts when the call is over before the cluster has answered. */
  readonly over: AbortSignal;
  /** Throws `Refusal` when the decision no longer holds. The last thing before the first byte goes out. */
  assertCurrent(): void;
}

/** `answer`: the cluster refused, as it says in this; nothing else of that connection is ever read. */
export type Connected<T> =
  | { readonly kind: 'open'; readonly end: T }
  | { readonly kind: 'answer'; readonly answer: IncomingMessage };

/** A connection that has switched to SPDY. */
export interface SpdyConnection {
  readonly socket: Socket;
  readonly head: Buffer;
  readonly protocol: string;
}

/**
 * Opens streams to one cluster. Throws `Refusal`: `ClusterUnreachable` where it saw nothing that it could act on, `EffectUnknown`
 * and `ResponseWithheld` behind its switch of protocols; and what
 * `over` aborts with and `assertCurrent` throws.
 */
export interface Connect {
  /** An exec or an attach. */
  channels(connecting: Connecting): Promise<Connected<Leg>>;
  /** Any stream over SPDY, by the first of `offers` that the cluster takes. */
  spdy(connecting: Connecting, offers: readonly string[]): Promise<Connected<SpdyConnection>>;
}

const handshakeMs = 15_000;
const aheadBytes = 256 * 1024;
/** A cluster that took SPDY and no WebSocket is asked for SPDY first, for so long: it may be upgraded meanwhile. */
const rememberMs = 10 * 60_000;

const v5 = chooseWebSocketProtocol(['v5.channel.k8s.io']) as ChannelProtocol;

export function createConnect(connection: ClusterConnection): Connect {
  const { host, port, basePath } = connection.address;
  let spdyUntilMs = 0;

  const credentials = async (): Promise<Credentials> =>
    connection.credentials().catch((cause: Error) => {
      throw new Refusal('ClusterUnreachable', cause.message);
    });

  const webSocket = async (connecting: Connecting): Promise<Connected<Leg>> => {
    const { agent, headers: identity } = await credentials();
    connecting.over.throwIfAborted();
    connecting.assertCurrent();
    const { promise, resolve, reject } = Promise.withResolvers<Connected<Leg>>();
    const socket = new WebSocket(`wss://${connection.server.host}${basePath}${connecting.target}`, [v5.name], {
      agent,
      headers: { ...connecting.headers, ...identity },
      perMessageDeflate: false,
      followRedirects: false,
      maxPayload: maxMessageBytes,
      handshakeTimeout: handshakeMs,
      skipUTF8Validation: true,
    });
    const give = (): void => socket.terminate();
    connecting.over.addEventListener('abort', give);
    let wire: Socket | undefined;
    socket.once('upgrade', (answer) => {
      wire = answer.socket;
    });
    socket.once('open', () => {
      const end = new WebSocketLeg(socket, wire as Socket, { codec: v5, peer: 'cluster', aheadBytes });
      resolve({ kind: 'open', end });
    });
    socket.once('unexpected-response', (_request, answer) => resolve({ kind: 'answer', answer }));
    socket.on('error', (error) => {
      // Behind the switch of protocols nobody knows what has begun.
      const isSwitched = wire !== undefined;
      if (isSwitched) reject(new Refusal('EffectUnknown', `the cluster's stream is none: ${error.message}`));
      else reject(whyNot(connecting, error));
    });
    return promise.finally(() => connecting.over.removeEventListener('abort', give));
  };

  const spdy = async (connecting: Connecting, offers: readonly string[]): Promise<Connected<SpdyConnection>> => {
    const { agent, headers: identity } = await credentials();
    connecting.over.throwIfAborted();
    connecting.assertCurrent();
    const { promise, resolve, reject } = Promise.withResolvers<Connected<SpdyConnection>>();
    const request = httpsRequest({
      agent,
      host,
      port,
      method: 'POST',
      path: basePath + connecting.target,
      headers: {
        ...connecting.headers,
        ...identity,
        connection: 'Upgrade',
        upgrade: 'SPDY/3.1',
        'x-stream-protocol-version': [...offers],
        'content-length': '0',
      },
      timeout: handshakeMs,
    });
    const give = (): void => void request.destroy(new Error('the call is over'));
    connecting.over.addEventListener('abort', give);
    request.once('timeout', () => request.destroy(new Error('it does not answer')));
    request.once('upgrade', (answer: IncomingMessage, socket: Duplex, head: Buffer) => {
      socket.on('error', () => undefined);
      const protocol = String(answer.headers['x-stream-protocol-version'] ?? '');
      const isSpdy = answer.headers.upgrade?.toLowerCase() === 'spdy/3.1' && offers.includes(protocol);
      if (isSpdy) resolve({ kind: 'open', end: { socket: socket as Socket, head, protocol } });
      else {
        socket.destroy();
        reject(new Refusal('ResponseWithheld', 'the cluster switched to a protocol that nobody asked for'));
      }
    });
    request.once('response', (answer) => resolve({ kind: 'answer', answer }));
    request.on('error', (error) => reject(whyNot(connecting, error)));
    request.end();
    return promise.finally(() => connecting.over.removeEventListener('abort', give));
  };

  const spdyChannels = async (connecting: Connecting): Promise<Connected<Leg>> => {
    const connected = await spdy(connecting, spdyProtocols);
    if (connected.kind === 'answer') return connected;
    const { socket, head, protocol } = connected.end;
    const codec = chooseSpdyProtocol([protocol]) as ChannelProtocol;
    const wanted = channelsOf(connecting.stream, codec);
    const leg = new SpdyLeg(socket, head, { codec, peer: 'cluster', aheadBytes, wanted });
    const give = (): void => leg.destroy();
    connecting.over.addEventListener('abort', give);
    if (connecting.over.aborted) give();
    try {
      await leg.opened();
    } catch (error) {
      leg.destroy();
      if (!(error instanceof StreamError)) throw error;
      throw new Refusal('EffectUnknown', `the cluster did not open the stream: ${error.message}`);
    } finally {
      connecting.over.removeEventListener('abort', give);
    }
    return { kind: 'open', end: leg };
  };

  return {
    async channels(connecting) {
      if (performance.now() < spdyUntilMs) return spdyChannels(connecting);
      const first = await webSocket(connecting);
      if (first.kind === 'open') return first;
      // An older server passes the request on to a kubelet that knows no v5, and says no in various ways; one that forbids
      // the call forbids it again. Neither has run anything.
      first.answer.destroy();
      const second = await spdyChannels(connecting);
      if (second.kind === 'open') spdyUntilMs = performance.now() + rememberMs;
      return second;
    },
    spdy,
  };
}

/** Why there is no stream: the call is over, or the cluster cannot be reached. */
function whyNot({ over }: Connecting, error: Error): Error {
  if (over.aborted) return over.reason as Error;
  const code = (error as NodeJS.ErrnoException).code ?? error.message;
  return new Refusal('ClusterUnreachable', `the cluster cannot be reached (${code})`);
}

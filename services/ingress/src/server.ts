import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { createSecureServer, type ServerHttp2Session } from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { refusalStatus } from '@sluice/kube';
import { ConfigError, type Logger } from '@sluice/runtime';
import { answer } from './answer.ts';
import type { IngressConfig } from './config.ts';
import { Connection, lookMs } from './connection.ts';
import { isCarrier } from './headers.ts';
import type { Limits } from './limits.ts';
import type { Pipeline } from './pipeline.ts';
import { Refusal } from './refusal.ts';
import { isGone, type Request, type Response } from './request.ts';
import { Upgrade } from './streams/upgrade.ts';

/** A listening server. */
export interface Listening {
  readonly port: number;
  /** Refuses new calls, lets those in hand end, cuts what is still running after 3 s, closes. */
  drain(): Promise<void>;
}

/** Calls in hand have this long to end; watches never do by themselves. */
const graceMs = 3_000;

/** Streams are told why they end, and have so long to take it. */
const lastWordsMs = 500;

const stopping = 'Sluice is stopping and takes no new calls';

/** Where a socket carries its connection: over h2, requests and sessions show a proxy of the socket, not itself. */
const connectionOf = Symbol('connection');
interface Carrier {
  [connectionOf]?: Connection;
}

/**
 * HTTPS for agents: h2 and http/1.1 by ALPN. `draining` aborts when a drain begins, `stop` when what is left is cut. Throws `ConfigError` when it cannot listen.
 */
export async function listen(
  config: IngressConfig,
  pipeline: Pipeline,
  { draining, stop }: { readonly draining: AbortController; readonly stop: AbortController },
  log: Logger,
): Promise<Listening> {
  const { limits } = config;
  const inHand = new Set<Promise<void>>();
  const sessions = new Set<ServerHttp2Session>();
  const connections = new Map<TLSSocket, Connection>();

  const server = createSecureServer({
    cert: config.tlsCert,
    key: config.tlsKey,
    minVersion: 'TLSv1.2',
    ...nodeOptions(limits),
  });
  server.maxConnections = limits.connections;
  // Before Node's own listener, which makes the session and may have requests at once.
  server.prependListener('secureConnection', (socket) => {
    const connection = new Connection(socket, limits);
    (socket as Carrier)[connectionOf] = connection;
    connections.set(socket, connection);
    socket.on('close', () => connections.delete(socket));
  });
  server.on('session', (session) => {
    (session.socket as Carrier)[connectionOf]?.speaksH2(session);
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
    // Without a listener a broken connection would end the process.
    session.on('error', (error) => log.info({ err: error.message }, 'an agent\u2019s connection broke'));
  });
  server.on('request', (request, response) => take(request, response as unknown as Response));
  // What asks to switch where nothing can is a request like others, and refused like them.
  (server as { shouldUpgradeCallback?: (request: IncomingMessage) => boolean }).shouldUpgradeCallback = mayUpgrade;
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // Whatever becomes of it: Node hands out the bare socket, without a listener for its errors.
    socket.on('error', () => undefined);
    if ((socket as Carrier)[connectionOf]?.maySwitch() !== true) return;
    const upgrade = new Upgrade(request, socket, head);
    take(request, upgrade.response, upgrade);
  });
  server.on('connect', (_request: Request, to: TLSSocket | Response) => {
    if ('stream' in to) {
      refuse(to as Response, 'MethodNotAllowed', 'Sluice is no proxy for CONNECT');
      return;
    }
    // Over h1 Node hands out the bare socket, without a listener for its errors.
    to.on('error', () => undefined);
    to.end('HTTP/1.1 405 Method Not Allowed\r\nConnection: close\r\n\r\n');
  });

  const take = (request: Request, response: Response, upgrade?: Upgrade): void => {
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    // A stream may be reset before its request is handed out.
    if (isGone(response)) return;
    const connection = (request.socket as Carrier)[connectionOf];
    if (connection?.begin(request, response) !== 'taken') return;
    if (upgrade !== undefined) connection.upgraded();
    if (draining.signal.aborted) {
      refuse(response, 'Draining', stopping);
      return;
    }
    const call = pipeline(request, response, upgrade);
    inHand.add(call);
    void call.finally(() => inHand.delete(call));
  };
  const refuse = (response: Response, reasonCode: 'Draining' | 'MethodNotAllowed', message: string): void =>
    answer(response, refusalStatus({ reasonCode, message }), limits);

  const looking = setInterval(() => {
    for (const connection of connections.values()) {
      const complaint = connection.look();
      if (complaint === undefined) continue;
      log.info({ complaint }, 'closing a connection');
      connection.close();
    }
  }, lookMs);

  server.listen(config.port, config.host);
  try {
    await once(server, 'listening');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === 'EADDRINUSE' ? 'is in use; choose another with --port' : `cannot be opened (${code})`;
    throw new ConfigError(`port ${config.port} on ${config.host} ${why}`);
  }

  return {
    port: (server.address() as AddressInfo).port,
    async drain() {
      draining.abort(new Refusal('Draining', stopping));
      server.close();
      for (const session of sessions) session.close();
      const destroyAll = (): void => {
        for (const session of sessions) session.destroy();
        for (const socket of connections.keys()) socket.destroy();
      };
      let lastWords: NodeJS.Timeout | undefined;
      const late = setTimeout(() => {
        stop.abort();
        lastWords = setTimeout(destroyAll, lastWordsMs);
      }, graceMs);
      while (inHand.size > 0) await Promise.all(inHand);
      clearTimeout(late);
      clearTimeout(lastWords);
      clearInterval(looking);
      for (const socket of connections.keys()) socket.destroy();
    },
  };
}

/** Whether a request is for a stream, and for a protocol that can carry it; the rest of it is read later. */
function mayUpgrade({ url = '', headers }: IncomingMessage): boolean {
  return /\/pods\/[^/]+\/(exec|attach|portforward)\/?(\?|$)/.test(url) && isCarrier(headers.upgrade ?? '');
}

/** Limits as Node names them. What it has no name for stands in `Connection`, `checkHeaders` and `readBody`. */
function nodeOptions(limits: Limits): Parameters<typeof createSecureServer>[0] {
  // The types know one of these options, Node all (lib/_http_server.js, storeHTTPOptions).
  const http1Options = {
    maxHeaderSize: limits.headerBytes,
    headersTimeout: limits.headersMs,
    // A body that is not read has the time of one that is, and then some: the better answer comes first.
    requestTimeout: limits.headersMs + limits.bodyMs + lookMs,
    connectionsCheckingInterval: lookMs,
    keepAliveTimeout: limits.idleMs,
  };
  return {
    allowHTTP1: true,
    http1Options,
    handshakeTimeout: limits.handshakeMs,
    settings: {
      maxConcurrentStreams: limits.streams,
      maxHeaderListSize: limits.headerBytes,
      enableConnectProtocol: false,
    },
    // Beside the pseudo-headers.
    maxHeaderListPairs: limits.headers + 4,
    maxSessionMemory: limits.sessionMegabytes,
    maxSessionRejectedStreams: limits.rejectedStreams,
    maxSessionInvalidFrames: limits.invalidFrames,
    streamResetBurst: limits.streamResetBurst,
    streamResetRate: limits.streamResetsPerSecond,
  };
}

import { once } from 'node:events';
import { createSecureServer, type ServerHttp2Session } from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { refusalStatus } from '@sluice/kube';
import { ConfigError, type Logger } from '@sluice/runtime';
import type { IngressConfig } from './config.ts';
import { answer, type Pipeline } from './pipeline.ts';
import type { Request, Response } from './request.ts';

/** A listening server. */
export interface Listening {
  readonly port: number;
  /** Refuses new calls, lets those in hand end, cuts what is still running after 3 s, closes. */
  drain(): Promise<void>;
}

/** As many as kube-apiserver allows. */
const maxConcurrentStreams = 100;
/** An agent that opens a connection must complete TLS within this time. */
const handshakeTimeoutMs = 10_000;
/** Calls in hand have this long to end; watches never do by themselves. */
const graceMs = 3_000;

/** HTTPS for agents: h2 and http/1.1 by ALPN. Throws `ConfigError` when it cannot listen. */
export async function listen(
  config: IngressConfig,
  pipeline: Pipeline,
  stop: AbortController,
  log: Logger,
): Promise<Listening> {
  const inHand = new Set<Promise<void>>();
  const sessions = new Set<ServerHttp2Session>();
  const sockets = new Set<TLSSocket>();
  let draining = false;

  const server = createSecureServer({
    cert: config.tlsCert,
    key: config.tlsKey,
    minVersion: 'TLSv1.2',
    allowHTTP1: true,
    handshakeTimeout: handshakeTimeoutMs,
    settings: { maxConcurrentStreams, enableConnectProtocol: false },
  });
  server.on('session', (session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
    // Without a listener a broken connection would end the process.
    session.on('error', (error) => log.info({ err: error.message }, 'an agent\u2019s connection broke'));
  });
  server.on('secureConnection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.on('request', (request, response) => take(request, response as unknown as Response));

  const take = (request: Request, response: Response): void => {
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    if (draining) {
      answer(response, refusalStatus({ reasonCode: 'Draining', message: 'Sluice is stopping and takes no new calls' }));
      return;
    }
    const call = pipeline(request, response);
    inHand.add(call);
    void call.finally(() => inHand.delete(call));
  };

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
      draining = true;
      server.close();
      for (const session of sessions) session.close();
      const late = setTimeout(() => {
        stop.abort();
        for (const session of sessions) session.destroy();
        for (const socket of sockets) socket.destroy();
      }, graceMs);
      while (inHand.size > 0) await Promise.all(inHand);
      clearTimeout(late);
      for (const socket of sockets) socket.destroy();
    },
  };
}

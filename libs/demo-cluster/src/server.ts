import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttp, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { type ApiAnswer, answer } from './api.ts';
import { type Failpoint, Failpoints, type Fault, type Tripped } from './failpoint.ts';
import { GroundTruth, type LogEntry } from './ground-truth.ts';
import { Kubelet } from './kubelet.ts';
import { ApiError } from './objects.ts';
import { seed } from './seed.ts';
import { Store } from './store.ts';
import {
  authenticate,
  isUpgradable,
  refuse,
  type ServerParts,
  type StreamSupport,
  upgrade,
  userOf,
} from './streams.ts';

export interface DemoOptions {
  /** Default 0: any free one, on 127.0.0.1. */
  readonly port?: number;
  /** The bearer token of the one identity the cluster knows; default a random one. */
  readonly token?: string;
  /** PEM. Without it the cluster speaks plain http. */
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string };
  /** Whether `log` is kept; default `off`. */
  readonly log?: 'on' | 'off';
  /** What exec, attach and port-forward can be spoken over. Default `both`; `spdy` is a server before Kubernetes 1.30. */
  readonly streams?: StreamSupport;
}

/** A demo cluster that runs. */
export interface DemoCluster {
  readonly port: number;
  /** YAML with the one identity the cluster knows. */
  readonly kubeconfig: string;
  /** Everything that arrived, in order; empty unless asked for. */
  readonly log: readonly LogEntry[];
  /** Makes matching requests fail until released. One at a time. */
  arm(failpoint: Failpoint): Tripped;
  close(): Promise<void>;
}

/** Longer than any client keeps an idle connection, so that none is closed under a request. */
const keepAliveMs = 3_600_000;

export async function startDemoCluster(options: DemoOptions = {}): Promise<DemoCluster> {
  const token = options.token ?? randomBytes(24).toString('base64url');
  const store = new Store();
  seed(store);
  const truth = new GroundTruth();
  const failpoints = new Failpoints();
  const kubelet = new Kubelet(store);
  const parts = { kubelet, truth, failpoints, token, logged: options.log === 'on', streams: options.streams ?? 'both' };
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    serve(request, response, parts).catch((error: unknown) => {
      sendError(response, error);
    });
  };
  const { tls } = options;
  const upgrading = { shouldUpgradeCallback: isUpgradable };
  const server: Server =
    tls === undefined ? createHttp(upgrading, handle) : createHttps({ ...tls, ...upgrading }, handle);
  server.keepAliveTimeout = keepAliveMs;
  server.requestTimeout = 0;
  if (options.log === 'on') {
    server.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => truth.connected(socket));
  }
  const upgraded = new Set<Socket>();
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    upgraded.add(socket);
    socket.once('close', () => upgraded.delete(socket));
    socket.on('error', () => undefined);
    upgrade(request, socket, head, parts).catch((error: unknown) => refuse(socket, error));
  });
  server.listen(options.port ?? 0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    port,
    kubeconfig: kubeconfigOf(port, token, tls?.ca),
    log: truth.log,
    arm: (failpoint) => failpoints.arm(failpoint),
    async close() {
      server.close();
      server.closeAllConnections();
      for (const socket of upgraded) socket.destroy();
      await once(server, 'close');
    },
  };
}

async function serve(request: IncomingMessage, response: ServerResponse, parts: ServerParts): Promise<void> {
  const { socket, method = '', url: target = '/', headers } = request;
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  if (parts.logged) parts.truth.request(socket, request, body);
  const fault = parts.failpoints.matching(target);
  if (fault?.kind === 'stall-before-response') await fault.trip();
  if (fault?.kind === 'reset-before-response') {
    await fault.trip();
    return void socket.destroy();
  }
  authenticate(request, parts.token);

  const url = new URL(target, 'https://demo');
  const contentType = headers['content-type'] ?? '';
  const made = answer(parts.kubelet, {
    method,
    path: url.pathname,
    query: url.searchParams,
    accept: headers.accept ?? '',
    contentType,
    body: body.toString(),
    user: userOf(request),
  });
  response.setHeader('audit-id', String(headers['audit-id'] ?? ''));
  if (fault?.kind === 'wrong-content-type') {
    await fault.trip();
    response.writeHead(200, { 'content-type': 'application/vnd.kubernetes.protobuf' }).end(JSON.stringify(made));
    return;
  }
  await send(response, made, fault);
}

async function send(response: ServerResponse, made: ApiAnswer, fault: Fault | undefined): Promise<void> {
  if (made.kind === 'stream') {
    response.writeHead(200, { 'content-type': made.contentType });
    response.flushHeaders();
    const stop = made.start(
      (text) => response.write(text),
      () => response.end(),
    );
    response.once('close', stop);
    return;
  }
  const bytes = made.kind === 'bytes' ? made.body : Buffer.from(JSON.stringify(made.body));
  const type = made.kind === 'bytes' ? made.contentType : 'application/json';
  response.writeHead(made.kind === 'bytes' ? 200 : made.code, { 'content-type': type, 'content-length': bytes.length });
  const isHalf = fault?.kind === 'stall-half-way';
  if (fault?.kind !== 'stall-after-first-byte' && fault?.kind !== 'reset-after-first-byte' && !isHalf) {
    response.end(bytes);
    return;
  }
  const first = isHalf ? bytes.length >> 1 : 1;
  await new Promise((written) => response.write(bytes.subarray(0, first), written));
  await fault.trip();
  if (fault.kind === 'reset-after-first-byte') response.destroy();
  else response.end(bytes.subarray(first));
}

function sendError(response: ServerResponse, error: unknown): void {
  if (response.headersSent || response.destroyed) return void response.destroy();
  const known = error instanceof ApiError ? error : new ApiError(400, 'BadRequest', String(error));
  response.writeHead(known.code, { 'content-type': 'application/json' }).end(JSON.stringify(known.status()));
}

function kubeconfigOf(port: number, token: string, ca: string | undefined): string {
  const scheme = ca === undefined ? 'http' : 'https';
  const authority = ca === undefined ? '' : `\n      certificate-authority-data: ${Buffer.from(ca).toString('base64')}`;
  return `apiVersion: v1
kind: Config
clusters:
  - name: demo
    cluster:
      server: ${scheme}://127.0.0.1:${port}${authority}
users:
  - name: sluice
    user:
      token: ${token}
contexts:
  - name: demo
    context:
      cluster: demo
      user: sluice
current-context: demo
`;
}

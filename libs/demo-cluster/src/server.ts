import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttp, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { type ApiAnswer, answer } from './api.ts';
import { type Failpoint, Failpoints, type Fault, type Tripped } from './failpoint.ts';
import { GroundTruth, type LogEntry } from './ground-truth.ts';
import { ApiError } from './objects.ts';
import { seed } from './seed.ts';
import { Store } from './store.ts';

export interface DemoOptions {
  /** Default 0: any free one, on 127.0.0.1. */
  readonly port?: number;
  /** The bearer token of the one identity the cluster knows; default a random one. */
  readonly token?: string;
  /** PEM. Without it the cluster speaks plain http. */
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string };
  /** Whether `log` is kept; default `off`. */
  readonly log?: 'on' | 'off';
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
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    serve(request, response, { store, truth, failpoints, token, logged: options.log === 'on' }).catch(
      (error: unknown) => {
        sendError(response, error);
      },
    );
  };
  const { tls } = options;
  const server: Server = tls === undefined ? createHttp(handle) : createHttps(tls, handle);
  server.keepAliveTimeout = keepAliveMs;
  server.requestTimeout = 0;
  if (options.log === 'on') {
    server.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => truth.connected(socket));
  }
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
      await once(server, 'close');
    },
  };
}

interface Parts {
  readonly store: Store;
  readonly truth: GroundTruth;
  readonly failpoints: Failpoints;
  readonly token: string;
  readonly logged: boolean;
}

async function serve(request: IncomingMessage, response: ServerResponse, parts: Parts): Promise<void> {
  const { socket, method = '', url: target = '/', headers } = request;
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  if (parts.logged) {
    const { authorization: _, ...shown } = headers;
    const flat = Object.fromEntries(Object.entries(shown).map(([name, value]) => [name, String(value)]));
    parts.truth.request(socket, { auditId: String(headers['audit-id'] ?? ''), method, target, headers: flat, body });
  }
  const fault = parts.failpoints.matching(target);
  if (fault?.kind === 'stall-before-response') await fault.trip();
  if (fault?.kind === 'reset-before-response') {
    await fault.trip();
    return void socket.destroy();
  }
  if (headers.authorization !== `Bearer ${parts.token}`) throw new ApiError(401, 'Unauthorized', 'Unauthorized');

  const url = new URL(target, 'https://demo');
  const contentType = headers['content-type'] ?? '';
  const made = answer(parts.store, {
    method,
    path: url.pathname,
    query: url.searchParams,
    accept: headers.accept ?? '',
    contentType,
    body: body.toString(),
    user: {
      username: String(headers['impersonate-user'] ?? 'demo'),
      groups: [...(request.headersDistinct['impersonate-group'] ?? []), 'system:authenticated'],
    },
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

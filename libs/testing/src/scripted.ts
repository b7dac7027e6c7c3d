// A cluster that answers what a test tells it to, well-formed or not, and keeps what really arrived.
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { createAuthority, createServerCertificate } from '@sluice/runtime/certificates';

export interface ArrivedRequest {
  readonly method: string;
  readonly target: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface ScriptedAnswer {
  readonly status?: number;
  /** Default: JSON. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string | Buffer;
  /** `wire`: the body is all that is written, status line and headers included. Default `http`. */
  readonly form?: 'http' | 'wire';
}

export interface ScriptedCluster {
  readonly kubeconfig: string;
  /** In the order they came. */
  readonly requests: ArrivedRequest[];
  /** What it answers from now on. */
  answer: (request: ArrivedRequest) => ScriptedAnswer;
  close(): Promise<void>;
}

/** `dir`: where its kubeconfig is written. */
export async function openScripted(dir: string): Promise<ScriptedCluster> {
  const authority = await createAuthority('scripted cluster of the tests');
  const requests: ArrivedRequest[] = [];
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { method = '', url: target = '', headers } = request;
    const arrived = { method, target, headers, body: await buffer(request) };
    // What Sluice itself asks as it starts is no call, and has no id.
    if (target !== '/version' || headers['audit-id'] !== undefined) requests.push(arrived);
    const { status = 200, headers: sent = {}, body, form = 'http' } = cluster.answer(arrived);
    if (form === 'wire') return void request.socket.end(body);
    response.writeHead(status, { 'content-type': 'application/json', ...sent }).end(body);
  };
  const server = createServer(await createServerCertificate(authority), (request, response) => {
    // A request that breaks off has no answer.
    serve(request, response).catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const cluster: ScriptedCluster = {
    kubeconfig: join(dir, 'scripted.kubeconfig'),
    requests,
    answer: () => ({ body: '{}' }),
    async close() {
      server.close();
      server.closeAllConnections();
    },
  };
  const ca = Buffer.from(authority.cert).toString('base64');
  writeFileSync(
    cluster.kubeconfig,
    `apiVersion: v1
kind: Config
current-context: scripted
contexts: [{ name: scripted, context: { cluster: scripted, user: sluice } }]
clusters: [{ name: scripted, cluster: { server: "https://127.0.0.1:${port}", certificate-authority-data: "${ca}" } }]
users: [{ name: sluice, user: { token: scripted } }]
`,
    { mode: 0o600 },
  );
  return cluster;
}

import { type IncomingMessage, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { StreamRequest } from '@sluice/model';
import { isStream, locate } from './api.ts';
import type { Container } from './container.ts';
import { runStream } from './exec.ts';
import type { Failpoint, Failpoints, Fault } from './failpoint.ts';
import type { GroundTruth } from './ground-truth.ts';
import type { User } from './kinds.ts';
import type { Kubelet } from './kubelet.ts';
import { ApiError } from './objects.ts';
import { forwardChannels, forwardSpdy, PodPorts } from './port-forward.ts';
import { chosenSpdy, openSpdyWire } from './spdy.ts';
import { Tap } from './tap.ts';
import { acceptChannels, acceptTunnel, chosenWebSocket, tunnelProtocol, WebSocketWire } from './websocket.ts';

/** What streams can be spoken over. */
export type StreamSupport = 'websocket' | 'spdy' | 'both';

/** What the server is made of. */
export interface ServerParts {
  readonly kubelet: Kubelet;
  readonly truth: GroundTruth;
  readonly failpoints: Failpoints;
  readonly token: string;
  readonly logged: boolean;
  readonly streams: StreamSupport;
}

/** Throws `ApiError` 401. */
export function authenticate({ headers }: IncomingMessage, token: string): void {
  if (headers.authorization !== `Bearer ${token}`) throw new ApiError(401, 'Unauthorized', 'Unauthorized');
}

export function userOf({ headers, headersDistinct }: IncomingMessage): User {
  return {
    username: String(headers['impersonate-user'] ?? 'demo'),
    groups: [...(headersDistinct['impersonate-group'] ?? []), 'system:authenticated'],
  };
}

/** Whether a request is for something that is upgraded; any other may ask in vain. */
export function isUpgradable({ url: target = '/' }: IncomingMessage): boolean {
  const found = locate(target.split('?', 1)[0] ?? '');
  return found?.kind.resource === 'pods' && isStream(found.subresource);
}

/** Answers a request that asks for an upgrade. Rejects with `ApiError` before it is accepted. */
export async function upgrade(
  request: IncomingMessage,
  socket: Socket,
  head: Buffer,
  parts: ServerParts,
): Promise<void> {
  const { url: target = '/', headers } = request;
  if (parts.logged) parts.truth.request(socket, request, Buffer.alloc(0));
  const fault = parts.failpoints.matching(target);
  if (fault !== undefined && (await failed(socket, fault))) return;
  authenticate(request, parts.token);
  const url = new URL(target, 'https://demo');
  const found = locate(url.pathname);
  if (found?.kind.resource !== 'pods' || !isStream(found.subresource)) {
    throw new ApiError(404, 'NotFound', 'the server could not find the requested resource');
  }
  const asked = streamRequestOf(found.subresource, url.searchParams);
  const isWebSocket = headers.upgrade?.toLowerCase() === 'websocket';
  const protocol = protocolOf(request, asked.kind, parts.streams);
  const opened = { auditId: String(headers['audit-id'] ?? ''), target, user: userOf(request).username, protocol };
  // Looked up before the upgrade is accepted: what is not there is an answer of its own.
  const pod = parts.kubelet.pod(found.namespace, found.name);
  const container = asked.kind === 'portforward' ? undefined : parts.kubelet.container(pod, asked.container);
  const ports = new PodPorts(pod);
  const tap = new Tap(parts.logged ? parts.truth.stream(socket, opened) : undefined, fault, () => socket.destroy());
  socket.once('close', () => tap.closed());
  const speak = isWebSocket ? speakWebSocket : speakSpdy;
  // It is no longer HTTP that is spoken, so there is nothing to be said.
  await speak({ request, socket, head, asked, protocol, container, ports, tap }).catch(() => socket.destroy());
}

interface Accepted {
  readonly request: IncomingMessage;
  readonly socket: Socket;
  readonly head: Buffer;
  readonly asked: StreamRequest;
  readonly protocol: string;
  /** Absent for a port-forward. */
  readonly container: Container | undefined;
  readonly ports: PodPorts;
  readonly tap: Tap;
}

async function speakSpdy({ socket, head, asked, protocol, container, ports, tap }: Accepted): Promise<void> {
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\nx-stream-protocol-version: ${protocol}\r\n\r\n`,
  );
  if (container === undefined) return forwardSpdy(socket, head, ports, tap);
  await runStream(container, asked, await openSpdyWire(socket, head, asked, protocol, tap));
}

async function speakWebSocket(accepted: Accepted): Promise<void> {
  const { request, socket, head, asked, protocol, container, ports, tap } = accepted;
  if (protocol === tunnelProtocol) return forwardSpdy(await acceptTunnel(request, socket, head), none, ports, tap);
  const channels = await acceptChannels(request, socket, head, protocol);
  if (container === undefined) return forwardChannels(channels, asked.ports, ports, tap);
  await runStream(container, asked, new WebSocketWire(channels, tap));
}

const none = Buffer.alloc(0);

/** What is to be spoken. Throws `ApiError` 403 when the client offers nothing that is known. */
function protocolOf(request: IncomingMessage, kind: StreamRequest['kind'], support: StreamSupport): string {
  const isWebSocket = request.headers.upgrade?.toLowerCase() === 'websocket';
  const isSpdy = request.headers.upgrade?.toLowerCase() === 'spdy/3.1';
  const age = support === 'spdy' ? 'old' : 'all';
  const chosen = isWebSocket
    ? chosenWebSocket(request, kind, age)
    : isSpdy && support !== 'websocket'
      ? chosenSpdy(request, kind, age)
      : undefined;
  if (chosen === undefined)
    throw new ApiError(403, 'Forbidden', 'unable to upgrade: no protocol of the client is known');
  return chosen;
}

/** Answers an upgrade with an error, if it can still be answered. */
export function refuse(socket: Socket, error: unknown): void {
  const known = error instanceof ApiError ? error : new ApiError(400, 'BadRequest', String(error));
  answerRaw(socket, `${known.code} ${STATUS_CODES[known.code]}`, JSON.stringify(known.status()));
}

function answerRaw(socket: Socket, status: string, body: string, header = ''): void {
  if (!socket.writable) return;
  const type = 'content-type: application/json';
  socket.end(
    `HTTP/1.1 ${status}\r\n${header}${type}\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}

/** Lets a fault happen that comes before the answer; whether that was the answer. */
async function failed(socket: Socket, fault: Fault): Promise<boolean> {
  const answers: Partial<Record<Failpoint['kind'], () => void>> = {
    'refuse-forbidden': () => refuse(socket, new ApiError(403, 'Forbidden', 'refused on demand')),
    'refuse-ok': () => answerRaw(socket, '200 OK', '{}'),
    'refuse-redirect': () => answerRaw(socket, '302 Found', '{}', 'location: https://127.0.0.1:1/elsewhere\r\n'),
    'refuse-garbage': () => void socket.end('SSH-2.0-nothing\r\n\r\n'),
    'reset-before-response': () => void socket.destroy(),
  };
  const answering = answers[fault.kind];
  if (answering !== undefined || fault.kind === 'stall-before-response') await fault.trip();
  answering?.();
  return answering !== undefined;
}

/** Throws `ApiError` for what the API server does not take. */
function streamRequestOf(kind: StreamRequest['kind'], query: URLSearchParams): StreamRequest {
  const is = (name: string): boolean => ['true', '1'].includes(query.get(name) ?? '');
  const asked = {
    kind,
    command: query.getAll('command'),
    container: query.get('container') ?? '',
    stdin: is('stdin'),
    stdout: is('stdout'),
    stderr: is('stderr'),
    tty: is('tty'),
    ports: query.getAll('ports').flatMap((ports) => ports.split(',').map(Number)),
  };
  if (kind === 'exec' && asked.command.length === 0) {
    throw new ApiError(400, 'BadRequest', 'you must specify at least one command for the container');
  }
  if (kind !== 'portforward' && !asked.stdin && !asked.stdout && !asked.stderr) {
    throw new ApiError(400, 'BadRequest', 'you must specify at least 1 of stdin, stdout, stderr');
  }
  return asked;
}

import { type IncomingMessage, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { StreamRequest } from '@sluice/model';
import { locate } from './api.ts';
import { runStream } from './exec.ts';
import type { Failpoint, Failpoints, Fault } from './failpoint.ts';
import type { GroundTruth } from './ground-truth.ts';
import type { User } from './kinds.ts';
import type { Kubelet } from './kubelet.ts';
import { ApiError } from './objects.ts';
import { Tap } from './tap.ts';
import { acceptWebSocket, chosenProtocol, WebSocketWire } from './websocket.ts';

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

export function isStream(subresource: string): subresource is StreamRequest['kind'] {
  return subresource === 'exec' || subresource === 'attach' || subresource === 'portforward';
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
  const container = parts.kubelet.container(found.namespace, found.name, asked.container);
  const protocol = chosenProtocol(request, parts.streams === 'spdy' ? 'old' : 'all');
  if (headers.upgrade?.toLowerCase() !== 'websocket' || protocol === undefined || asked.kind === 'portforward') {
    throw new ApiError(403, 'Forbidden', 'unable to upgrade: none of the protocols is known');
  }
  const opened = { auditId: String(headers['audit-id'] ?? ''), target, user: userOf(request).username, protocol };
  const log = parts.logged ? parts.truth.stream(socket, opened) : undefined;
  const tap = new Tap(log, fault, () => socket.destroy());
  socket.once('close', () => tap.closed());
  await runStream(container, asked, new WebSocketWire(await acceptWebSocket(request, socket, head), tap));
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

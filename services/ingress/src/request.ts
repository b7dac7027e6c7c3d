import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, ServerHttp2Stream } from 'node:http2';
import { hasVerb, parseTarget, requestAttributes, type Target, TargetError } from '@sluice/kube';
import type { RequestAttributes } from '@sluice/model';
import { type Raw, raw } from '@sluice/runtime/raw';
import { checkHeaders, checkUpgrade } from './headers.ts';
import type { Limits } from './limits.ts';
import { Refusal } from './refusal.ts';

/** The agent closed the connection before its call had an end. */
export class AgentGone extends Error {}

/** For what every connection comes to: it says nothing of where, and so costs nothing to make. */
export const agentGone = new AgentGone();

export type Request = IncomingMessage | Http2ServerRequest;
/** Over h2 it is Node's compatible `Http2ServerResponse`, which has a `stream` besides. */
export type Response = ServerResponse;

/** A request, read strictly: method, target and headers mean one thing only. */
export interface CanonicalRequest {
  readonly method: string;
  readonly target: Target;
  readonly attributes: RequestAttributes;
}

/** Throws `Refusal`. */
export function canonicalise(request: Request, limits: Limits): CanonicalRequest {
  checkHeaders(request, limits);
  const method = request.method ?? '';
  let target: Target;
  try {
    target = parseTarget(request.url ?? '');
  } catch (error) {
    if (error instanceof TargetError) throw new Refusal('TargetNotCanonical', error.message);
    throw error;
  }
  // RFC 6750, 2.3: a token in a URL ends in every log on the way.
  if (target.query.some(([name]) => /^(access_)?token$/i.test(name)))
    throw new Refusal('TargetNotCanonical', 'the query carries a token');
  const attributes = requestAttributes(method, target);
  if (attributes === null) {
    if (!hasVerb(method)) throw new Refusal('MethodNotAllowed', 'the method stands for no Kubernetes verb');
    throw new Refusal('TargetNotCanonical', 'it cannot be said for sure what the API server would take the target for');
  }
  if ((method === 'GET' || method === 'HEAD') && hasBody(request)) {
    throw new Refusal('TargetNotCanonical', `a ${method} request may not have a body`);
  }
  checkUpgrade(header(request, 'upgrade'), attributes);
  return { method, target, attributes };
}

/** The whole body. Throws `Refusal`; an agent that goes away half way is one, too. */
export function readBody(request: Request, limits: Limits): Promise<Raw> {
  const { promise, resolve, reject } = Promise.withResolvers<Raw>();
  const chunks: Buffer[] = [];
  let bytes = 0;
  const take = (chunk: Buffer): void => {
    bytes += chunk.length;
    if (bytes > limits.bodyBytes) refuse(tooLarge(limits));
    else chunks.push(chunk);
  };
  // What is left stays unread: reading it on would let an agent send without end.
  const refuse = (why: Refusal): void => {
    request.off('data', take);
    request.pause();
    leave();
    reject(why);
  };
  // An error takes its stack along, so each is made when there is one: most bodies end well.
  const stopped = (): void => refuse(new Refusal('BodyNotReadable', 'the request body stopped half way'));
  const late = (): void =>
    refuse(new Refusal('BodyNotReadable', `the request body was not there after ${limits.bodyMs / 1_000} s`));
  const ended = (): void => {
    leave();
    if (request.rawTrailers.length > 0) refuse(new Refusal('TargetNotCanonical', 'the request has trailers'));
    else resolve(raw(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)));
  };
  const leave = (): void => {
    clearTimeout(timer);
    for (const event of ends) request.off(event, stopped);
    request.off('end', ended);
  };
  const timer = setTimeout(late, limits.bodyMs);

  // A stream that the agent resets with NO_ERROR ends as if its body were whole; `aborted` comes before that.
  for (const event of ends) request.once(event, stopped);
  request.once('end', ended);
  if (Number(header(request, 'content-length')) > limits.bodyBytes) refuse(tooLarge(limits));
  else if (request.destroyed || request.aborted) stopped();
  else request.on('data', take);
  return promise;
}

const ends = ['aborted', 'error', 'close'] as const;

function tooLarge({ bodyBytes }: Limits): Refusal {
  const limit = `${bodyBytes / 1024 / 1024} MiB`;
  return new Refusal('BodyTooLarge', `the request body exceeds ${limit}, the API server\u2019s own limit`);
}

/** Whether the agent closed the connection, or over h2 the stream, of an answer. */
export function isGone(response: Response): boolean {
  return 'stream' in response ? (response.stream as ServerHttp2Stream).destroyed : response.destroyed;
}

/** Aborts with `AgentGone` when the agent closes the connection: whoever waits sees nothing else of it. */
export function goneSignal(response: Response): AbortSignal {
  const gone = new AbortController();
  const leave = (): void => gone.abort(agentGone);
  if (isGone(response)) leave();
  else response.once('close', leave);
  return gone.signal;
}

/** A header's value, when it came once. */
export function header(request: Request, name: string): string {
  const value = request.headers[name];
  return typeof value === 'string' ? value : '';
}

/** Whether the head of a request says that a body follows. */
export function hasBody(request: Request): boolean {
  const { headers } = request;
  if (headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0) return true;
  // HTTP/2 frames a body without any header: END_STREAM on the headers says that there is none.
  return 'stream' in request && !request.stream.endAfterHeaders;
}

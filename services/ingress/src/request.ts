import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, ServerHttp2Stream } from 'node:http2';
import { parseTarget, queryValue, requestAttributes, type Target, TargetError } from '@sluice/kube';
import type { RequestAttributes } from '@sluice/model';
import { type Raw, raw } from '@sluice/runtime/raw';
import { Refusal } from './refusal.ts';

export type Request = IncomingMessage | Http2ServerRequest;
/** Over h2 it is Node's compatible `Http2ServerResponse`, which has a `stream` besides. */
export type Response = ServerResponse;

/** The API server's own limit on request bodies, bytes. */
const maxBodyBytes = 3 * 1024 * 1024;
/** A body must be whole within this time. */
const bodyDeadlineMs = 60_000;

/** Headers that mean something else when they come twice. Node joins or drops the second without a word. */
const single: ReadonlySet<string> = new Set([
  'authorization',
  'host',
  'content-length',
  'content-type',
  'content-encoding',
  'transfer-encoding',
  'accept',
  'upgrade',
]);

/** A request, read strictly: method, target and headers mean one thing only. */
export interface CanonicalRequest {
  readonly method: string;
  readonly target: Target;
  readonly attributes: RequestAttributes;
}

/** Throws `Refusal`. */
export function canonicalise(request: Request): CanonicalRequest {
  const seen = new Set<string>();
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    const name = (request.rawHeaders[i] as string).toLowerCase();
    if (single.has(name) && seen.has(name)) throw new Refusal('TargetNotCanonical', `the header ${name} occurs twice`);
    seen.add(name);
  }
  const { headers } = request;
  const authority = headers[':authority'];
  if (authority !== undefined && headers.host !== undefined && headers.host !== authority) {
    throw new Refusal('TargetNotCanonical', 'the request names two hosts');
  }
  if (headers['content-encoding'] !== undefined) {
    throw new Refusal('BodyNotReadable', 'a request body may not have a Content-Encoding');
  }
  const method = request.method ?? '';
  let target: Target;
  try {
    target = parseTarget(request.url ?? '');
  } catch (error) {
    if (error instanceof TargetError) throw new Refusal('TargetNotCanonical', error.message);
    throw error;
  }
  const attributes = requestAttributes(method, target);
  if (attributes === null) throw new Refusal('MethodNotAllowed', 'the request stands for no Kubernetes verb');
  if ((method === 'GET' || method === 'HEAD') && hasBody(request)) {
    throw new Refusal('TargetNotCanonical', `a ${method} request may not have a body`);
  }
  return { method, target, attributes };
}

/** The whole body. Throws `Refusal`; an agent that goes away half way is one, too. */
export async function readBody(request: Request): Promise<Raw> {
  if (Number(request.headers['content-length'] ?? 0) > maxBodyBytes) throw tooLarge();
  const timer = setTimeout(() => request.destroy(new Error('slow body')), bodyDeadlineMs);
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > maxBodyBytes) throw tooLarge();
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw new Refusal('BodyNotReadable', 'the request body stopped half way');
  } finally {
    clearTimeout(timer);
  }
  return raw(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks));
}

function tooLarge(): Refusal {
  return new Refusal('BodyTooLarge', 'the request body exceeds 3 MiB, the API server\u2019s own limit');
}

/** Whether the agent closed the connection, or over h2 the stream, of an answer. */
export function isGone(response: Response): boolean {
  return 'stream' in response ? (response.stream as ServerHttp2Stream).destroyed : response.destroyed;
}

/** A header's value, when it came once. */
export function header(request: Request, name: string): string {
  const value = request.headers[name];
  return typeof value === 'string' ? value : '';
}

function hasBody(request: Request): boolean {
  const { headers } = request;
  if (headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0) return true;
  // HTTP/2 frames a body without any header: END_STREAM on the headers says that there is none.
  return 'stream' in request && !request.stream.endAfterHeaders;
}

/** What the API server itself lets a list of Secrets be selected by. */
const secretFields: ReadonlySet<string> = new Set(['metadata.name', 'metadata.namespace', 'type']);

/** A selector on a masked field would answer yes or no about its value. Throws `Refusal`. */
export function refuseMaskedSelector({ attributes, target }: CanonicalRequest): void {
  if (attributes.kind !== 'resource' || attributes.resource !== 'secrets' || attributes.apiGroup !== '') return;
  const terms = (queryValue(target, 'fieldSelector') ?? '').split(',').filter((term) => term !== '');
  const field = terms.map((term) => term.replace(/[=!].*$/s, '')).find((name) => !secretFields.has(name));
  if (field === undefined) return;
  throw new Refusal(
    'SelectorReadsMasked',
    'a field selector on Secrets may name metadata.name, metadata.namespace and type only: the rest is masked',
  );
}

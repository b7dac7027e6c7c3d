import type { RequestAttributes, ResourceAttributes } from '@sluice/model';
import type { Limits } from './limits.ts';
import { Refusal } from './refusal.ts';
import type { Request } from './request.ts';

/** Headers that Sluice reads or that frame a message. Of two, Node joins or drops the second without a word. */
const single: ReadonlySet<string> = new Set([
  ':authority',
  'accept',
  'authorization',
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'host',
  'kubectl-command',
  'kubectl-session',
  'transfer-encoding',
  'upgrade',
  'user-agent',
]);

/** A subprotocol that carries a bearer token: kube-apiserver takes it for an `Authorization` header. */
const subprotocolCredential = /base64url\.bearer\.authorization\.k8s\.io/i;

/** Reads the head of a request as it came, and refuses what two readers could take for two things. Throws `Refusal`. */
export function checkHeaders(request: Request, limits: Limits): void {
  // llhttp also takes 0.9, 1.0 and 2.0 in an HTTP/1 request line, where other rules of framing hold, or none.
  if (!('stream' in request) && request.httpVersion !== '1.1') throw odd('the request is not HTTP/1.1 or HTTP/2');
  const { rawHeaders } = request;
  if (rawHeaders.length / 2 > limits.headers) throw odd(`the request has more than ${limits.headers} headers`);
  const seen = new Map<string, string>();
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] as string).toLowerCase();
    const value = rawHeaders[i + 1] as string;
    if (single.has(name) && seen.has(name)) throw odd(`the header ${name} occurs twice`);
    // CGI and its heirs read "_" as "-": Impersonate_User could become somebody behind another gateway.
    if (name.includes('_')) throw odd('a header name has a "_"');
    if (name === 'sec-websocket-protocol' && subprotocolCredential.test(value))
      throw odd('a WebSocket subprotocol carries a credential');
    seen.set(name, value);
  }
  if (seen.has('trailer')) throw odd('the request announces trailers');
  if ((seen.get('transfer-encoding') ?? 'chunked').toLowerCase() !== 'chunked')
    throw odd('the Transfer-Encoding is not "chunked"');
  const authority = seen.get(':authority');
  if (authority !== undefined && (seen.get('host') ?? authority) !== authority)
    throw odd('the request names two hosts');
  if (seen.has('content-encoding'))
    throw new Refusal('BodyNotReadable', 'a request body may not have a Content-Encoding');
}

/** Subresources of pods that are a stream, and what carries it. */
const streams: ReadonlySet<string> = new Set(['exec', 'attach', 'portforward']);
const carriers: ReadonlySet<string> = new Set(['websocket', 'spdy/3.1']);

/** Whether a protocol, as `Upgrade` names it, can carry a stream. */
export function isCarrier(upgrade: string): boolean {
  return carriers.has(upgrade.toLowerCase());
}

/** Whether a call is on a subresource that is a stream. */
export function isStreamOf({ apiGroup, resource, subresource }: ResourceAttributes): boolean {
  return apiGroup === '' && resource === 'pods' && streams.has(subresource);
}

/** Anywhere else a switch of protocols would carry what nobody judges: a watch, a log, h2c. Throws `Refusal`. */
export function checkUpgrade(upgrade: string, attributes: RequestAttributes): void {
  if (upgrade === '') return;
  const isStream = attributes.kind === 'resource' && isStreamOf(attributes);
  if (!isStream || !isCarrier(upgrade)) throw odd('the request asks for a protocol it cannot have here');
}

function odd(message: string): Refusal {
  return new Refusal('TargetNotCanonical', message);
}

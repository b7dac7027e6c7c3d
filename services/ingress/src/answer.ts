import type { ServerHttp2Stream } from 'node:http2';
import type { refusalStatus } from '@sluice/kube';
import type { Limits } from './limits.ts';
import { hasBody, header, type Response } from './request.ts';

/** NGHTTP2_NO_ERROR and NGHTTP2_CANCEL (RFC 9113, 7). */
const noError = 0x0;
const cancel = 0x8;
/** NGHTTP2_INTERNAL_ERROR. */
const internalError = 0x2;

/**
 * Answers with a `Status`. What is left of the request is never read, so that nobody takes it for another one: over h1
 * the connection closes behind the answer, over h2 the stream does (RFC 9113, 8.1).
 */
export function answer(response: Response, status: ReturnType<typeof refusalStatus>, limits: Limits): void {
  const body = Buffer.from(status.body);
  const headers = { ...status.headers, 'content-length': String(body.length) };
  if ('stream' in response) {
    const stream = response.stream as ServerHttp2Stream;
    giveUp(response, () => stream.close(cancel), limits);
    response.writeHead(status.code, headers);
    response.end(body);
    // Before the answer is out, Node would neither send the reset nor take another one.
    if (!stream.readableEnded) setTimeout(() => stream.writableFinished && stream.close(noError), limits.lingerMs);
    return;
  }
  const { req: request, socket } = response;
  giveUp(response, () => socket?.destroy(), limits);
  const isRead = header(request, 'upgrade') === '' && (request.complete || !hasBody(request));
  if (isRead) {
    response.writeHead(status.code, headers).end(body);
    return;
  }
  response.writeHead(status.code, { ...headers, connection: 'close' }).write(body);
  setTimeout(() => response.end(), limits.lingerMs);
}

/** Ends an answer that has begun, so that the agent can see that it is not whole. */
export function breakOff(response: Response): void {
  if ('stream' in response) (response.stream as ServerHttp2Stream).close(internalError);
  else response.destroy();
}

/** An agent that does not take its answer holds nothing for ever. */
function giveUp(response: Response, close: () => void, limits: Limits): void {
  const timer = setTimeout(close, limits.refusalMs);
  response.once('close', () => clearTimeout(timer));
}

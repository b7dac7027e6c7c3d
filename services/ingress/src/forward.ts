import type { IncomingMessage } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { impersonationHeaders, jsonAccept } from '@sluice/kube';
import type { Agent, Impersonation } from '@sluice/model';
import type { ClusterConnection } from '@sluice/runtime/cluster';
import http2Proxy from 'http2-proxy';
import type { Body } from './body.ts';
import { isStreamOf } from './headers.ts';
import { Refusal } from './refusal.ts';
import { type CanonicalRequest, header, type Request, type Response } from './request.ts';

/** A call on its way to the cluster. */
export interface Outgoing {
  readonly call: string;
  readonly canonical: CanonicalRequest;
  readonly agent: Agent;
  readonly impersonate: Impersonation;
  readonly body: Body;
  /** Aborts when the call is cut, with the `Refusal` that names why. */
  readonly cut: AbortSignal;
  /** Throws `Refusal` when the decision no longer holds. The last thing before the first byte goes out. */
  assertCurrent(): void;
}

/**
 * Sends the call upstream and hands the answer to `onAnswer`, which delivers it. Resolves when the agent has
 * the answer or went away. Throws `Refusal`: `ClusterUnreachable` while the cluster cannot have seen a byte,
 * `EffectUnknown` after that.
 */
export type Forward = (
  request: Request,
  response: Response,
  outgoing: Outgoing,
  onAnswer: (answer: IncomingMessage) => Promise<void>,
) => Promise<void>;

/** Answers with 1xx, which go no further, before the answer. A cluster sends none. */
const maxInformation = 16;

export function createForward(connection: ClusterConnection): Forward {
  const { host, port, basePath } = connection.address;
  return async (request, response, outgoing, onAnswer) => {
    const { agent, headers: identity } = await connection.credentials().catch((cause: Error) => {
      throw new Refusal('ClusterUnreachable', cause.message);
    });
    const options: RequestOptions = {
      agent,
      host,
      port,
      method: outgoing.canonical.method,
      path: basePath + outgoing.canonical.target.canonical,
      headers: { ...upstreamHeaders(request, outgoing), ...identity },
    };
    const isRead = options.method === 'GET' || options.method === 'HEAD';

    const attempt = async (): Promise<'answered' | 'stale'> => {
      let sent = false;
      let isReused = false;
      let misconduct: Refusal | undefined;
      let delivering: Promise<void> | undefined;
      outgoing.assertCurrent();
      try {
        await proxyWeb(request, response, {
          onReq: () => {
            const upstream = httpsRequest(options);
            upstream.once('socket', (socket) => {
              // A socket from the pool can take bytes at once, a new one when its handshake is done.
              isReused = upstream.reusedSocket;
              if (isReused) sent = true;
              else socket.once('secureConnect', () => (sent = true));
            });
            // The option `signal` would watch over the whole exchange, and the delivery does that itself.
            outgoing.cut.addEventListener('abort', () => {
              if (delivering === undefined) upstream.destroy();
            });
            const misbehaves = (how: string): void => {
              misconduct = new Refusal('ResponseWithheld', `the cluster ${how}, so its answer is not taken`);
              upstream.destroy();
              upstream.emit('error', misconduct);
            };
            upstream.once('upgrade', (_answer, socket) => {
              socket.destroy();
              misbehaves('switched protocols, which nobody asked for');
            });
            // http2-proxy would relay a switch of protocols raw, so its listener goes as it comes.
            upstream.on('newListener', (event, listener) => {
              if (event === 'upgrade') queueMicrotask(() => upstream.off('upgrade', listener));
            });
            let announced = 0;
            upstream.on('information', () => {
              if (++announced === maxInformation + 1) misbehaves('announces its answer without end');
            });
            // http2-proxy would wait for a body that has been read already.
            upstream.end(outgoing.body.bytes);
            return upstream;
          },
          // What was in the same bytes is parsed on.
          onRes: async (_request, _response, answer) =>
            misconduct === undefined ? (delivering = onAnswer(answer)) : undefined,
        });
      } catch (error) {
        if (delivering === undefined) {
          if (outgoing.cut.aborted) throw outgoing.cut.reason;
          if (misconduct !== undefined) throw misconduct;
          if (isReused && isRead) return 'stale';
          throw sent ? effectUnknown() : unreachable(error as Error);
        }
        // The delivery sees the same broken connection and says what became of it.
      }
      await delivering;
      return 'answered';
    };

    // A cluster may close an idle connection just as it is used again. A read may go there once more; a change may not.
    if ((await attempt()) === 'stale' && (await attempt()) === 'stale') throw effectUnknown();
  };
}

interface WebOptions {
  readonly onReq: () => ReturnType<typeof httpsRequest>;
  readonly onRes: (request: Request, response: Response, answer: IncomingMessage) => Promise<void>;
}

/** http2-proxy's types know one protocol at a time, and no request made by the caller; its code takes both. */
const proxyWeb = http2Proxy.web as unknown as (
  request: Request,
  response: Response,
  options: WebOptions,
) => Promise<void>;

/**
 * Headers are made afresh from a list: nothing the agent names can add one, and nothing it names in
 * `Connection` can take one away.
 */
export function upstreamHeaders(
  request: Request,
  outgoing: Pick<Outgoing, 'canonical' | 'body' | 'agent' | 'call' | 'impersonate'>,
): Record<string, string | string[]> {
  const { canonical, body, agent, call, impersonate } = outgoing;
  const headers: Record<string, string | string[]> = {
    'accept-encoding': 'identity',
    'audit-id': call,
    'user-agent': header(request, 'user-agent'),
    ...impersonationHeaders(impersonate, agent, call),
  };
  for (const name of ['kubectl-command', 'kubectl-session']) {
    const value = header(request, name);
    if (value !== '') headers[name] = value;
  }
  const accept = header(request, 'accept');
  if (canonical.attributes.kind === 'nonResource') {
    if (accept !== '') headers['accept'] = accept;
  } else if (isStreamOf(canonical.attributes)) {
    // With any media type named, an API server answers 406 instead of switching protocols.
  } else if (['log', 'proxy'].includes(canonical.attributes.subresource)) {
    headers['accept'] = accept === '' ? '*/*' : accept;
  } else {
    const json = jsonAccept(accept);
    if (json === null)
      throw new Refusal('NotAcceptable', 'Sluice serves JSON here, and the request does not accept it');
    headers['accept'] = json;
  }
  if (body.kind !== 'none') {
    headers['content-type'] = body.contentType;
    headers['content-length'] = String(body.bytes.length);
  }
  return headers;
}

function effectUnknown(): Refusal {
  return new Refusal(
    'EffectUnknown',
    'the connection to the cluster broke after the call went there; the change may have taken effect',
    'Look at the object before trying again.',
  );
}

function unreachable(error: Error): Refusal {
  const code = (error as NodeJS.ErrnoException).code ?? 'no connection';
  return new Refusal('ClusterUnreachable', `the cluster cannot be reached (${code})`);
}

// What Sluice reads from the cluster itself, to decide about a call and to mask it. Agents see nothing of it.
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { buffer } from 'node:stream/consumers';
import type { ClusterConnection } from '@sluice/runtime/cluster';
import { type Raw, raw } from '@sluice/runtime/raw';

/** What is read, for which call. `headers`: with the identity, where it is not the connection's own. */
export interface Getting {
  readonly target: string;
  readonly call: string;
  readonly headers: Readonly<Record<string, string | string[]>>;
}

/** The answer, whole. Rejects when there is none within 10 s, or it is larger than any object. */
export type Get = (getting: Getting) => Promise<{ readonly status: number; readonly body: Raw }>;

const answerMs = 10_000;
/** No object comes near. */
const maxBytes = 8 * 1024 * 1024;

export function createGet(connection: ClusterConnection): Get {
  const { host, port, basePath } = connection.address;
  return async ({ target, call, headers }) => {
    const credentials = await connection.credentials();
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = httpsRequest({
        agent: credentials.agent,
        host,
        port,
        method: 'GET',
        path: basePath + target,
        headers: {
          'accept-encoding': 'identity',
          'audit-id': call,
          'user-agent': 'sluice',
          ...headers,
          ...credentials.headers,
        },
        signal: AbortSignal.timeout(answerMs),
      });
      outgoing.on('response', resolve);
      outgoing.on('error', reject);
      outgoing.end();
    });
    let bytes = 0;
    answer.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > maxBytes) answer.destroy(new Error('too much'));
    });
    return { status: answer.statusCode ?? 0, body: raw(await buffer(answer)) };
  };
}

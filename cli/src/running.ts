import { type IncomingMessage, request } from 'node:http';
import { buffer, text } from 'node:stream/consumers';
import type { HomePaths } from './home.ts';

/** What a running Sluice can be asked, by the path on its control socket. */
export type ControlPath = '/v1/records' | '/v1/policies' | '/v1/decide' | '/v1/approvals' | '/v1/kill';

/**
 * Where `sluice tail` listens: `GET`, with `?agent=NAME` for one agent's calls, or `?call=ID` for one call and its bytes; a `TailEvent` as JSON
 * per line.
 */
export const tailPath = '/v1/tail';

/**
 * Asks the Sluice that runs here. `null` when none does. Throws an `Error` whose message is one sentence, and one of any
 * kind once `signal` has ended the wait for the answer.
 */
export function askRunning(
  home: HomePaths,
  path: ControlPath,
  question: string | Buffer,
  signal?: AbortSignal,
): Promise<Buffer | null> {
  return new Promise((resolve, reject) => {
    const ends = signal === undefined ? {} : { signal };
    const outgoing = request({ socketPath: home.controlSocket, path, method: 'POST', ...ends });
    outgoing.on('error', (error: NodeJS.ErrnoException) => (isNobody(error) ? resolve(null) : reject(unasked(error))));
    outgoing.on('response', (response) => {
      buffer(response).then((answer) => {
        if (response.statusCode === 200) resolve(answer);
        else reject(new Error(answer.toString()));
      }, reject);
    });
    outgoing.end(question);
  });
}

/** Listens to the Sluice that runs here. `null` when none does. Destroy what comes back to listen no more. */
export function listenRunning(home: HomePaths, path: string): Promise<IncomingMessage | null> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath: home.controlSocket, path });
    outgoing.on('error', (error: NodeJS.ErrnoException) => (isNobody(error) ? resolve(null) : reject(unasked(error))));
    outgoing.on('response', (response) => {
      if (response.statusCode === 200) resolve(response);
      else text(response).then((answer) => reject(new Error(answer)), reject);
    });
    outgoing.end();
  });
}

function isNobody(error: NodeJS.ErrnoException): boolean {
  return error.code === 'ENOENT' || error.code === 'ECONNREFUSED';
}

function unasked(error: NodeJS.ErrnoException): Error {
  return new Error(
    `the running Sluice cannot be asked (${error.code ?? error.message}); use the account it runs under`,
  );
}

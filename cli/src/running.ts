import { request } from 'node:http';
import { buffer } from 'node:stream/consumers';
import type { HomePaths } from './home.ts';

/** What a running Sluice can be asked, by the path on its control socket. */
export type ControlPath = '/v1/records' | '/v1/policies' | '/v1/decide';

/** Asks the Sluice that runs here. `null` when none does. Throws an `Error` whose message is one sentence. */
export function askRunning(home: HomePaths, path: ControlPath, question: string | Buffer): Promise<Buffer | null> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath: home.controlSocket, path, method: 'POST' });
    outgoing.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') resolve(null);
      else
        reject(
          new Error(
            `the running Sluice cannot be asked (${error.code ?? error.message}); use the account it runs under`,
          ),
        );
    });
    outgoing.on('response', (response) => {
      buffer(response).then((answer) => {
        if (response.statusCode === 200) resolve(answer);
        else reject(new Error(answer.toString()));
      }, reject);
    });
    outgoing.end(question);
  });
}

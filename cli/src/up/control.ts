import { once } from 'node:events';
import { chmodSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { RecordsAnswer } from '@sluice/model';
import { subjects } from '@sluice/model';
import { type Broker, BrokerError, ConfigError } from '@sluice/runtime';

/** Longest path of a Unix socket on Linux, less one for the terminating zero. */
const maxSocketPathBytes = 107;
const answerDeadlineMs = 30_000;
const maxQuestionBytes = 64 * 1024;

/** How the CLI reaches a running Sluice: HTTP on a Unix socket that only its owner may open. */
export async function listenControl(path: string, broker: Broker): Promise<{ close(): Promise<void> }> {
  if (Buffer.byteLength(path) > maxSocketPathBytes) {
    throw new ConfigError(
      `${path} is too long for a socket (${maxSocketPathBytes} bytes); set SLUICE_HOME to a shorter path`,
    );
  }
  rmSync(path, { force: true });
  const server = createServer((request, response) => {
    relay(request, response, broker).catch((error: unknown) => {
      const why = error instanceof BrokerError ? `the recorder does not answer (${error.code})` : String(error);
      const answer: RecordsAnswer = { kind: 'error', message: why };
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
    });
  });
  server.listen(path);
  await once(server, 'listening');
  chmodSync(path, 0o600);
  return {
    async close() {
      server.close();
      server.closeAllConnections();
      rmSync(path, { force: true });
    },
  };
}

async function relay(request: IncomingMessage, response: ServerResponse, broker: Broker): Promise<void> {
  if (request.method !== 'POST' || request.url !== '/v1/records') {
    response.writeHead(404).end();
    return;
  }
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxQuestionBytes) throw new Error('the question is too long');
    chunks.push(chunk);
  }
  const answer = await broker.request(subjects.records, Buffer.concat(chunks), answerDeadlineMs);
  response.writeHead(200, { 'content-type': 'application/json' }).end(answer);
}

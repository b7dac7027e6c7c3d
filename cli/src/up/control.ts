import { once } from 'node:events';
import { chmodSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { type KillAnswer, maxPayloadBytes, type Reviewer, type ReviewQuestion, subjects } from '@sluice/model';
import { type Broker, BrokerError, ConfigError } from '@sluice/runtime';
import { killQuestion } from '../kill.ts';
import { type ControlPath, tailPath } from '../running.ts';
import type { Tail } from './tail.ts';

/** Longest path of a Unix socket on Linux, less one for the terminating zero. */
const maxSocketPathBytes = 107;
const answerDeadlineMs = 30_000;
/** A part that died is started again within seconds; nobody has had the question until then. */
const nobodyThereMs = 15_000;
const againAfterMs = 250;
/** What somebody cuts is cut at once; of several ingresses that have something of a session, all are heard. */
const killWaits = { timeoutMs: 2_000, quietMs: 500 } as const;
/** Policies are the largest. */
const maxQuestionBytes = maxPayloadBytes - 64 * 1024;

/** Who answers what. */
const answerers: Readonly<
  Record<Exclude<ControlPath, '/v1/kill'>, { readonly subject: string; readonly who: string }>
> = {
  '/v1/records': { subject: subjects.records, who: 'the recorder' },
  '/v1/policies': { subject: subjects.apply, who: 'the writer of the policies' },
  '/v1/decide': { subject: subjects.decide, who: 'the policy worker' },
  '/v1/approvals': { subject: subjects.approvalReview, who: 'the approval service' },
};

/**
 * How the CLI reaches a running Sluice: HTTP on a Unix socket that only its owner may open. Whoever opens it votes as
 * `reviewer`.
 */
export async function listenControl(
  path: string,
  broker: Broker,
  tail: Tail,
  reviewer: Reviewer,
): Promise<{ close(): Promise<void> }> {
  if (Buffer.byteLength(path) > maxSocketPathBytes) {
    throw new ConfigError(
      `${path} is too long for a socket (${maxSocketPathBytes} bytes); set SLUICE_HOME to a shorter path`,
    );
  }
  rmSync(path, { force: true });
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://control');
    const isTail = request.method === 'GET' && pathname === tailPath;
    const answered = isTail
      ? tail.follow(response, { agent: searchParams.get('agent'), call: searchParams.get('call') })
      : relay(request, response, broker, reviewer);
    answered.catch((error: unknown) => {
      response.writeHead(500, { 'content-type': 'text/plain' }).end((error as Error).message);
    });
  });
  server.listen(path);
  await once(server, 'listening');
  chmodSync(path, 0o600);
  return {
    async close() {
      await tail.close();
      server.close();
      server.closeAllConnections();
      rmSync(path, { force: true });
    },
  };
}

async function relay(
  request: IncomingMessage,
  response: ServerResponse,
  broker: Broker,
  reviewer: Reviewer,
): Promise<void> {
  const isKill = request.url === '/v1/kill';
  const answerer = answerers[request.url as keyof typeof answerers];
  if (request.method !== 'POST' || (answerer === undefined && !isKill)) {
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
  const asked = Buffer.concat(chunks);
  const { subject, who } = answerer ?? { subject: subjects.kill, who: 'the broker' };
  const question = subject === subjects.approvalReview ? reviewedBy(reviewer, asked) : asked;
  const answering = isKill ? kill(broker, reviewer, asked) : ask(broker, subject, question);
  const answer = await answering.catch((error: unknown) => {
    if (!(error instanceof BrokerError)) throw error;
    throw new Error(`${who} does not answer (${error.code}); its log is in the home of Sluice`);
  });
  response.writeHead(200, { 'content-type': 'application/octet-stream' }).end(answer);
}

/** The question, a vote with who votes: whatever the client says of that is not taken. Throws for what is no object. */
function reviewedBy(reviewer: Reviewer, asked: Buffer): Buffer {
  const question = objectIn(asked) as ReviewQuestion;
  // Written anew also where nothing changes: of a key that is there twice, a reader may take another one than this.
  return Buffer.from(JSON.stringify(question.kind === 'vote' ? { ...question, reviewer } : question));
}

/** Throws an `Error` for what is no JSON object. */
function objectIn(asked: Buffer): object {
  let question: unknown;
  try {
    question = JSON.parse(asked.toString());
  } catch {
    question = null;
  }
  if (question === null || typeof question !== 'object') throw new Error('the question is not a JSON object');
  return question;
}

/** Has all ingresses cut what a question names, in the name of who runs Sluice; which calls that were. */
async function kill(broker: Broker, reviewer: Reviewer, asked: Buffer): Promise<Buffer> {
  const { id, reason } = objectIn(asked) as { readonly id?: unknown; readonly reason?: unknown };
  const question = { ...killQuestion(String(id), String(reason)), by: reviewer.name };
  const answers = await broker.requestAll(subjects.kill, Buffer.from(JSON.stringify(question)), killWaits);
  const calls = answers.flatMap((answer) => (JSON.parse(Buffer.from(answer).toString()) as KillAnswer).calls);
  return Buffer.from(JSON.stringify({ calls: [...new Set(calls)] } satisfies KillAnswer));
}

/** Asks again while nobody is there to be asked. */
async function ask(broker: Broker, subject: string, question: Uint8Array): Promise<Uint8Array> {
  const givenUpAt = performance.now() + nobodyThereMs;
  for (;;) {
    try {
      return await broker.request(subject, question, answerDeadlineMs);
    } catch (error) {
      const isNobodyThere = error instanceof BrokerError && error.code === 'no-responders';
      if (!isNobodyThere || performance.now() > givenUpAt) throw error;
      await sleep(againAfterMs);
    }
  }
}

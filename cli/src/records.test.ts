import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import type { CallRow, FrameRow, RecordsAnswer, RecordsQuestion } from '@sluice/model';
import { listCalls } from './calls.ts';
import { type HomePaths, homePaths } from './home.ts';
import { openRecords, type Records } from './records.ts';
import { replay } from './replay.ts';
import { listSessions } from './sessions.ts';

function newHome(t: TestContext): HomePaths {
  const root = mkdtempSync(join(tmpdir(), 'sl-'));
  t.after(() => rmSync(root, { recursive: true }));
  return homePaths(root);
}

/** The record of a Sluice that answers by this function; the questions it got are in the list. */
async function runningRecords(
  t: TestContext,
  answer: (question: RecordsQuestion) => RecordsAnswer,
): Promise<{ readonly records: Records; readonly asked: RecordsQuestion[] }> {
  const home = newHome(t);
  const asked: RecordsQuestion[] = [];
  const server = createServer((request, response) => {
    assert.deepEqual([request.method, request.url], ['POST', '/v1/records']);
    void text(request).then((body) => {
      const question = JSON.parse(body) as RecordsQuestion;
      asked.push(question);
      response.end(JSON.stringify(answer(question)));
    });
  });
  server.listen(home.controlSocket);
  await once(server, 'listening');
  t.after(() => server.close());
  return { records: openRecords(home), asked };
}

/** Asks where nothing runs. */
async function askStopped(home: HomePaths): Promise<RecordsAnswer> {
  const records = openRecords(home);
  try {
    return await records.ask({ kind: 'calls', limit: 3 });
  } finally {
    await records.close();
  }
}

/** What a command writes. */
async function written(command: (out: PassThrough) => Promise<void>): Promise<string> {
  const out = new PassThrough();
  await command(out);
  out.end();
  return text(out);
}

const id = '01a20850-635b-7dcb-abe1-3e7176b59372';

/** A replay as it is without flags. */
const usual = { speed: 1, idleLimit: 2 } as const;
const never = (): AbortSignal => new AbortController().signal;

const row: CallRow = {
  id,
  at: '2026-11-23T12:10:16.123Z',
  agent: 'demo',
  task: null,
  session: '00',
  connection: 'c',
  verb: 'delete',
  resource: 'pods',
  namespace: 'n',
  name: 'p',
  effect: 'deny',
  reasonCode: 'DeniedByRule',
  status: 403,
  outcome: 'refused',
  command: null,
  exitCode: null,
  incomplete: false,
};

function frame(seq: number): FrameRow {
  return {
    ledger: 'l',
    seq,
    call: id,
    at: '2026-11-23T12:10:16.123Z',
    storedAtMicros: 0,
    kind: 'response',
    offset: 0,
    meta: '{"status":200,"contentType":"application/json"}',
    size: 0,
    bytesBase64: '',
  };
}

test('the record of a running Sluice is asked on its socket', async (t) => {
  const { records, asked } = await runningRecords(t, () => ({ kind: 'calls', calls: [] }));
  const question = { kind: 'calls', limit: 3 } as const;
  assert.deepEqual(await records.ask(question), { kind: 'calls', calls: [] });
  assert.deepEqual(asked, [question]);
  await records.close();
});

test('an answer that is an error is thrown as its sentence', async (t) => {
  const { records } = await runningRecords(t, () => ({ kind: 'error', message: 'the recorder does not answer' }));
  await assert.rejects(records.ask({ kind: 'calls', limit: 3 }), { message: 'the recorder does not answer' });
});

const nothing = { message: 'nothing has been recorded here yet; start Sluice with `npm start`' };

test('where nothing runs and nothing was recorded, one sentence says so and names the way out', async (t) => {
  await assert.rejects(askStopped(newHome(t)), nothing);
});

test('where nothing runs, several questions are on their way to one reader, and each gets its answer', async (t) => {
  const records = openRecords(newHome(t));
  const questions = [1, 2, 3].map((limit) => records.ask({ kind: 'calls', limit }));
  for (const question of questions) await assert.rejects(question, nothing);
  await assert.rejects(records.ask({ kind: 'ledgers' }), nothing, 'it goes on');
  await records.close();
});

test('where a ClickHouse server holds the record and does not answer, one sentence says so', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  const home = homePaths(newHome(t).root, `http://127.0.0.1:${port}`);
  await assert.rejects(askStopped(home), { message: /^the record cannot be opened: .*ECONNREFUSED/ });
});

test('a socket that a killed Sluice left behind counts as nothing running', async (t) => {
  const home = newHome(t);
  const server = createServer().listen(home.controlSocket);
  await once(server, 'listening');
  // A socket's file is moved along, so that closing the server leaves it where a kill would.
  renameSync(home.controlSocket, `${home.controlSocket}.kept`);
  server.close();
  await once(server, 'close');
  renameSync(`${home.controlSocket}.kept`, home.controlSocket);
  await assert.rejects(askStopped(home), nothing);
});

test('`calls list` asks for what its options say, and --json is one array of rows', async (t) => {
  const { records, asked } = await runningRecords(t, () => ({ kind: 'calls', calls: [row] }));
  const options = { agent: 'demo', effect: 'deny', since: 60_000, limit: 7, json: true } as const;
  const before = Date.now();
  assert.deepEqual(JSON.parse(await written((out) => listCalls(records, options, out))), [row]);
  const [question] = asked;
  assert.ok(question?.kind === 'calls');
  const { sinceMs, ...rest } = question;
  assert.deepEqual(rest, { kind: 'calls', agent: 'demo', effect: 'deny', limit: 7 });
  assert.ok(sinceMs !== undefined && sinceMs >= before - 60_000 && sinceMs <= Date.now() - 60_000);
});

test('`sessions list` asks for what its options say, and --json is one array of rows', async (t) => {
  const row = { id: 'a'.repeat(32), agent: 'demo', task: null, startedAt: 's', endedAt: null, calls: 3 };
  const { records, asked } = await runningRecords(t, () => ({ kind: 'sessions', sessions: [row] }));
  const options = { agent: 'demo', limit: 7, json: true } as const;
  assert.deepEqual(JSON.parse(await written((out) => listSessions(records, options, out))), [row]);
  assert.deepEqual(asked, [{ kind: 'sessions', agent: 'demo', limit: 7 }]);
});

test('`replay` asks until it has every frame, and --json is one array with meta laid open as it was written', async (t) => {
  const { records, asked } = await runningRecords(t, (question) => {
    assert.ok(question.kind === 'frames');
    const next = (question.after?.seq ?? 0) + 1;
    return { kind: 'frames', frames: [{ ...frame(next), meta: '{"n":9007199254740993}' }], more: next < 3 };
  });
  const json = await written((out) => replay(records, id, { ...usual, json: true }, out, never));
  assert.equal(json.match(/"meta":\{"n":9007199254740993\}/g)?.length, 3);
  assert.deepEqual(
    (JSON.parse(json) as FrameRow[]).map(({ seq }) => seq),
    [1, 2, 3],
  );
  assert.deepEqual(asked, [
    { kind: 'frames', call: id, after: null },
    { kind: 'frames', call: id, after: { ledger: 'l', seq: 1 } },
    { kind: 'frames', call: id, after: { ledger: 'l', seq: 2 } },
  ]);
});

test('`replay` asks for the parts of a body that an answer leaves out', async (t) => {
  const body = Buffer.from('0123456789');
  const { records, asked } = await runningRecords(t, (question) => {
    if (question.kind === 'frames') return { kind: 'frames', frames: [{ ...frame(1), size: 10 }], more: false };
    assert.ok(question.kind === 'part');
    const part = body.subarray(question.offset, question.offset + 4);
    return { kind: 'part', bytesBase64: part.toString('base64') };
  });
  const [row] = JSON.parse(
    await written((out) => replay(records, id, { ...usual, json: true }, out, never)),
  ) as FrameRow[];
  assert.equal(row?.bytesBase64, body.toString('base64'));
  const part = { kind: 'part', ledger: 'l', seq: 1, row: 0 };
  assert.deepEqual(asked.slice(1), [
    { ...part, offset: 0 },
    { ...part, offset: 4 },
    { ...part, offset: 8 },
  ]);
});

test('`replay` of a session asks for its calls page by page, and for the frames of each in their order', async (t) => {
  const session = 'a'.repeat(32);
  const idOf = (n: number): string => `call-${String(n).padStart(4, '0')}`;
  const { records, asked } = await runningRecords(t, (question) => {
    if (question.kind === 'frames') {
      return { kind: 'frames', frames: [{ ...frame(1), call: question.call }], more: false };
    }
    assert.ok(question.kind === 'calls');
    // Newest first, 1,002 of them.
    const next = question.before === undefined ? 1_002 : Number(question.before.slice(-4)) - 1;
    const ids = Array.from({ length: Math.min(question.limit, next) }, (_, index) => idOf(next - index));
    return { kind: 'calls', calls: ids.map((call) => ({ ...row, id: call })) };
  });
  const frames = JSON.parse(
    await written((out) => replay(records, session, { ...usual, json: true }, out, never)),
  ) as FrameRow[];
  assert.deepEqual(
    frames.map(({ call }) => call),
    Array.from({ length: 1_002 }, (_, index) => idOf(index + 1)),
  );
  assert.deepEqual(asked.slice(0, 2), [
    { kind: 'calls', session, limit: 1_000 },
    { kind: 'calls', session, limit: 1_000, before: idOf(3) },
  ]);
});

test('`replay` of what is not in the record says where ids are found, and nothing of it commands a terminal', async (t) => {
  const { records } = await runningRecords(t, ({ kind }) =>
    kind === 'frames' ? { kind, frames: [], more: false } : { kind: 'calls', calls: [] },
  );
  await assert.rejects(
    written((out) => replay(records, 'x\u001b[2J', usual, out, never)),
    { message: 'no call x\\u001b[2J in the record; `sluice calls list` shows ids' },
  );
  const session = 'b'.repeat(32);
  await assert.rejects(
    written((out) => replay(records, session, usual, out, never)),
    { message: `no session ${session} in the record; \`sluice sessions list\` shows ids` },
  );
});

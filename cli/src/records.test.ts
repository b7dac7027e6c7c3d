import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import type { CallRow, FrameRow, RecordsAnswer, RecordsQuestion } from '@sluice/model';
import { listCalls } from './calls.ts';
import { type HomePaths, homePaths } from './home.ts';
import { askRecords } from './records.ts';
import { replayCall } from './replay.ts';

function newHome(t: TestContext): HomePaths {
  const root = mkdtempSync(join(tmpdir(), 'sl-'));
  t.after(() => rmSync(root, { recursive: true }));
  return homePaths(root);
}

/** A home in which a Sluice answers, by this function; the questions it got are in the list. */
async function runningHome(
  t: TestContext,
  answer: (question: RecordsQuestion) => RecordsAnswer,
): Promise<{ readonly home: HomePaths; readonly asked: RecordsQuestion[] }> {
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
  return { home, asked };
}

/** What a command writes. */
async function written(command: (out: PassThrough) => Promise<void>): Promise<string> {
  const out = new PassThrough();
  await command(out);
  out.end();
  return text(out);
}

const id = '01a20850-635b-7dcb-abe1-3e7176b59372';

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
  const { home, asked } = await runningHome(t, () => ({ kind: 'calls', calls: [] }));
  const question = { kind: 'calls', limit: 3 } as const;
  assert.deepEqual(await askRecords(home, question), { kind: 'calls', calls: [] });
  assert.deepEqual(asked, [question]);
});

test('an answer that is an error is thrown as its sentence', async (t) => {
  const { home } = await runningHome(t, () => ({ kind: 'error', message: 'the recorder does not answer' }));
  await assert.rejects(askRecords(home, { kind: 'calls', limit: 3 }), { message: 'the recorder does not answer' });
});

test('where nothing runs and nothing was recorded, one sentence says so and names the way out', async (t) => {
  const asking = askRecords(newHome(t), { kind: 'calls', limit: 3 });
  await assert.rejects(asking, { message: /^nothing has been recorded here yet; start Sluice with `npm start`$/ });
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
  await assert.rejects(askRecords(home, { kind: 'calls', limit: 3 }), { message: /nothing has been recorded here/ });
});

test('`calls list` asks for what its options say, and --json is one array of rows', async (t) => {
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
    incomplete: false,
  };
  const { home, asked } = await runningHome(t, () => ({ kind: 'calls', calls: [row] }));
  const options = { agent: 'demo', effect: 'deny', since: 60_000, limit: 7, json: true } as const;
  const before = Date.now();
  assert.deepEqual(JSON.parse(await written((out) => listCalls(home, options, out))), [row]);
  const [question] = asked;
  assert.ok(question?.kind === 'calls');
  const { sinceMs, ...rest } = question;
  assert.deepEqual(rest, { kind: 'calls', agent: 'demo', effect: 'deny', limit: 7 });
  assert.ok(sinceMs !== undefined && sinceMs >= before - 60_000 && sinceMs <= Date.now() - 60_000);
});

test('`replay` asks until it has every frame, and --json is one array with meta laid open', async (t) => {
  const { home, asked } = await runningHome(t, (question) => {
    assert.ok(question.kind === 'frames');
    const next = (question.after?.seq ?? 0) + 1;
    return { kind: 'frames', frames: [frame(next)], more: next < 3 };
  });
  const frames = JSON.parse(await written((out) => replayCall(home, id, { json: true }, out))) as FrameRow[];
  assert.deepEqual(
    frames.map(({ seq, meta }) => [seq, meta]),
    [1, 2, 3].map((seq) => [seq, { status: 200, contentType: 'application/json' }]),
  );
  assert.deepEqual(
    asked.map((question) => question.kind === 'frames' && [question.call, question.after?.seq ?? 0]),
    [0, 1, 2].map((after) => [id, after]),
  );
});

test('`replay` of a call that is not in the record says where ids are found, and nothing of it commands a terminal', async (t) => {
  const { home } = await runningHome(t, () => ({ kind: 'frames', frames: [], more: false }));
  await assert.rejects(
    written((out) => replayCall(home, 'x\u001b[2J', {}, out)),
    { message: 'no call x\\u001b[2J in the record; `sluice calls list` shows ids' },
  );
});

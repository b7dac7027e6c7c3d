import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { Connection } from './database.ts';
import { asked, callId, ended, epochMicros, requested, sessionId, stored } from './fixtures.ts';
import { answerQuestion } from './questions.ts';
import { openReadOnly, openSql } from './sql.ts';
import { functionsByKind } from './sql-words.ts';
import { openStore, type Store } from './store.ts';

const dir = mkdtempSync(join(tmpdir(), 'sl-'));
let store: Store;
before(async () => {
  store = await openStore({ kind: 'embedded', dir });
  await store.insert([
    stored({ ledger: 'l', seq: 1, call: callId(1), kind: 'call', meta: asked('allow') }),
    stored({ ledger: 'l', seq: 2, call: callId(1), kind: 'outcome', meta: ended('completed', 200) }),
    stored({ ledger: 'l', seq: 3, call: callId(2), kind: 'call', meta: asked('deny', 'other') }),
    stored({
      ledger: 'a',
      seq: 1,
      call: callId(4),
      kind: 'approval',
      meta: { approval: 'a', seq: 1, atMs: epochMicros / 1_000, event: requested(4), state: 'pending' },
    }),
    ...Array.from({ length: 150 }, (_, i) =>
      stored({ ledger: 'm', seq: i + 1, call: callId(3), kind: 'response', meta: { status: 200, contentType: '' } }),
    ),
  ]);
});
after(async () => {
  await store.close();
  rmSync(dir, { recursive: true, force: true });
});

const ask = (sql: string, params: Readonly<Record<string, string>> = {}) =>
  answerQuestion(store, { kind: 'sql', sql, params });
async function rows(
  sql: string,
  params: Readonly<Record<string, string>> = {},
): Promise<readonly (readonly unknown[])[]> {
  const answer = await ask(sql, params);
  return answer.kind === 'sql' ? answer.rows : assert.fail(JSON.stringify(answer).slice(0, 300));
}
async function refusal(sql: string, params: Readonly<Record<string, string>> = {}): Promise<string> {
  const answer = await ask(sql, params);
  return answer.kind === 'error' ? answer.message : assert.fail(JSON.stringify(answer).slice(0, 300));
}

test('a query over a view gets columns and rows', async () => {
  assert.deepEqual(await ask('SELECT id, agent, effect, status, task FROM calls ORDER BY id'), {
    kind: 'sql',
    columns: ['id', 'agent', 'effect', 'status', 'task'],
    rows: [
      [callId(1), 'demo', 'allow', 200, null],
      [callId(2), 'other', 'deny', null, null],
    ],
  });
});

test('every view can be read, and views can be joined', async () => {
  for (const view of ['calls', 'decisions', 'approvals', 'sessions', 'frames']) {
    assert.equal((await rows(`SELECT * FROM ${view} LIMIT 1`)).length, 1, view);
  }
  const joined = `SELECT c.id, s.calls, f.count, d.effect FROM calls AS c
    LEFT JOIN sessions AS s ON s.id = c.session
    JOIN (SELECT call, count() AS count FROM frames GROUP BY call) AS f ON f.call = c.id
    JOIN decisions AS d ON d.call = c.id
    ORDER BY c.id`;
  assert.deepEqual(await rows(joined), [
    [callId(1), '2', '2', 'allow'],
    [callId(2), '2', '1', 'deny'],
  ]);
  const approved = `SELECT a.agent, c.agent FROM approvals AS a JOIN calls AS c ON c.agent = a.agent`;
  assert.deepEqual(await rows(approved), [['demo', 'demo']]);
  const threefold = `SELECT count() FROM calls AS c
    LEFT JOIN sessions AS s ON s.id = c.session
    JOIN calls AS again ON again.id = c.id`;
  assert.deepEqual(await rows(threefold), [['2']]);
});

test('values are as JSON has them: whole numbers of 64 bits as strings, times in ISO 8601, no number as null', async () => {
  const query = `SELECT toUInt64(18446744073709551615), toInt64(-1), status, durationMs, at, toDate(at), groups, (1, 'a'),
    task, incomplete, 0 / 0, 'é\\n' FROM calls ORDER BY id LIMIT 1`;
  assert.deepEqual(await rows(query), [
    [
      '18446744073709551615',
      '-1',
      200,
      1.5,
      '2026-11-23T12:09:48.932000Z',
      '2026-11-23',
      ['agents/a', 'agents/b'],
      [1, 'a'],
      null,
      false,
      null,
      'é\n',
    ],
  ]);
});

test('parameters are values, whatever they look like', async () => {
  for (const value of ["x' OR 1=1 --", '\\N', '\\', '\n\t\\t', '', 'é“', '{a:String}', ') FROM record']) {
    assert.deepEqual(await rows('SELECT {a:String} AS a, {b:UInt16} AS b', { a: value, b: '7' }), [[value, 7]]);
  }
  const query = 'SELECT id FROM calls WHERE agent = {agent:String}';
  assert.deepEqual(await rows(query, { agent: 'other' }), [[callId(2)]]);
  assert.equal(await refusal(query), 'the query has a parameter agent; give it with --param agent=…');
  assert.equal(
    await refusal(query, { agent: 'other', days: '1' }),
    'the query has no parameter days; it would be written {days:String}',
  );
  assert.match(
    await refusal('SELECT {a:UInt16}', { a: 'x' }),
    /^Value x cannot be parsed as UInt16 for query parameter 'a'/,
  );
});

test('a wrong query is answered with one short line, which says where or what', async () => {
  assert.equal(
    await refusal('SELECT agen FROM calls'),
    "Unknown expression identifier `agen`. Maybe you meant: ['agent']",
  );
  assert.equal(await refusal('SELECT name BETWEEN 1 FROM calls'), 'Syntax error: failed at position 23');
  assert.match(await refusal("SELECT toInt64('abc')"), /^Cannot parse string 'abc' as Int64.{0,150}$/);
  assert.match(await refusal('SELECT sum(agent) FROM calls'), /^Illegal type String of argument.{0,150}$/);
  assert.equal(await refusal('SELECT 1;'), 'position 9: only one statement is answered, without `;`');
});

const tooLarge = 'the result has over 10,000 rows or 3.9 MB; add LIMIT or WHERE, or choose fewer columns';
const tenThousand =
  "SELECT a.seq FROM (SELECT seq FROM frames WHERE ledger = 'm' LIMIT 100) AS a CROSS JOIN (SELECT seq FROM frames WHERE ledger = 'm' LIMIT 100) AS b";

test('10,000 rows are answered and one more is not; what a failed query leaves is in no later answer', async () => {
  assert.equal((await rows(tenThousand)).length, 10_000);
  assert.equal(await refusal(`${tenThousand} UNION ALL SELECT 1`), tooLarge);
  assert.deepEqual(await rows('SELECT 1 AS one'), [[1]]);
  assert.equal(await refusal(tenThousand.replaceAll('100', '150')), tooLarge);
  assert.deepEqual(await ask("SELECT seq FROM frames WHERE ledger = 'l' ORDER BY seq"), {
    kind: 'sql',
    columns: ['seq'],
    rows: [['1'], ['2'], ['3']],
  });
});

test('an answer fits one message', async () => {
  const long = 'x'.repeat(30_000);
  assert.equal(await refusal(`SELECT '${long}' FROM frames`), tooLarge);
  // JSON makes six bytes of one.
  assert.equal(await refusal(`SELECT base64Decode('${'AAAA'.repeat(7_500)}') FROM frames LIMIT 50`), tooLarge);
});

test('a query cannot eat the memory, and names for names for names are no way to do so', async () => {
  const much = `SELECT groupArray(concat(${Array.from({ length: 20 }, () => `'${'x'.repeat(1_000)}'`).join(', ')}, toString(a.seq)))
    FROM frames AS a CROSS JOIN frames AS b CROSS JOIN frames AS c`;
  assert.equal(await refusal(much), 'the query needs too much memory; narrow it with WHERE, or group by less');
  const names = Array.from({ length: 40 }, (_, i) => `concat(a${i}, a${i}) AS a${i + 1}`).join(', ');
  assert.match(await refusal(`SELECT 'x' AS a0, ${names}`), /^Query tree is too big\. Maximum: 50000$/);
});

test('a query that runs too long is stopped and holds up neither inserts nor other questions', async () => {
  const crossed = ['a', 'b', 'c', 'd', 'e'].map((name) => `frames AS ${name}`).join(' CROSS JOIN ');
  let isOver = false;
  const slow = ask(`SELECT count() FROM ${crossed}`).finally(() => {
    isOver = true;
  });
  const waiting = refusal('SELECT 1');
  for (let seq = 10; seq < 20; seq++) {
    await store.insert([stored({ ledger: 'n', seq, call: callId(seq), kind: 'call', meta: asked('allow') })]);
    assert.equal((await store.calls({ call: callId(seq), limit: 10 })).length, 1);
  }
  assert.equal(isOver, false);
  const message = 'the query ran for over 15 s and was stopped; narrow it with WHERE, by time for example';
  assert.deepEqual(await slow, { kind: 'error', message });
  assert.equal(await waiting, 'other queries are running; ask again in a moment');
  assert.deepEqual(await rows('SELECT 1'), [[1]]);
});

test('behind the guard, the connection only reads, only the views, and its limits stay', async (t) => {
  const client = await openReadOnly({ kind: 'embedded', dir });
  t.after(() => client.close());
  const run = async (query: string): Promise<string> => (await client.query({ query, format: 'JSONCompact' })).text();
  assert.match(await run('SELECT 1 FROM calls LIMIT 1'), /"rows": 1,/);
  for (const table of ['record', 'quarantine']) {
    await assert.rejects(run(`SELECT * FROM ${table}`), /Unknown table/);
    await assert.rejects(run(`SELECT 1 IN ${table}`), /Unknown expression or table/);
  }
  for (const statement of [
    'INSERT INTO default.record (seq) VALUES (1)',
    'SET max_result_rows = 0',
    'SET readonly = 0',
  ]) {
    await assert.rejects(client.command({ query: statement }), /readonly mode/);
  }
});

test('every function that may be called is one of the engine’s own', async () => {
  const client = new Connection({ kind: 'embedded', dir });
  const known = await client.select<{ name: string }>("SELECT name FROM system.functions WHERE origin = 'System'");
  const combinators = await client.select<{ name: string }>('SELECT name FROM system.aggregate_function_combinators');
  await client.close();
  const names = new Set(known.map(({ name }) => name));
  assert.ok(combinators.some(({ name }) => name === 'If'));
  for (const name of Object.values(functionsByKind).flatMap((kind) => [...kind]))
    assert.ok(names.has(name) || names.has(name.replace(/If$/, '')), name);
});

test('a session is a row, whatever it is called', async () => {
  assert.deepEqual(await rows("SELECT id, calls FROM sessions WHERE agent IN ('demo', 'other')"), [
    [sessionId(0), '12'],
  ]);
});

test('a server gets the limits with every query, and the database of the views', async (t) => {
  const got: URLSearchParams[] = [];
  const server = createServer((request, response) => {
    const asked = new URL(request.url ?? '', 'http://server').searchParams;
    void text(request).then((body) => {
      got.push(asked);
      if (body.includes('currentDatabase')) response.end('{"name":"sluice"}\n');
      else response.end('{"meta":[{"name":"a","type":"String"}],"data":[["x"]],"rows":1}');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/sluice`;
  const reader = openSql({ kind: 'server', url });
  t.after(async () => {
    await reader.close();
    server.close();
  });
  const result = await reader.sql({ sql: 'SELECT {a:String} AS a', params: { a: 'x' } });
  assert.deepEqual(result, { columns: ['a'], rows: [['x']] });
  const asked = got.at(-1) ?? assert.fail();
  assert.deepEqual(
    ['database', 'readonly', 'max_execution_time', 'max_result_rows', 'param_a'].map((name) => asked.get(name)),
    ['sluice_views', '1', '15', '10000', 'x'],
  );
});

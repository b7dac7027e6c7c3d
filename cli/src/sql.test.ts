import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import type { RecordsQuestion } from '@sluice/model';
import type { Records } from './records.ts';
import { askSql, listQueries, resultCsv, resultJson, resultTable, type SqlOptions } from './sql.ts';

const columns = ['agent', 'n', 'groups', 'note'];
const rows = [
  ['demo', '12', ['a', 'b'], null],
  ['with "quotes", and\nlines', 1.5, [], ''],
  ['\u001b[2J\u202edlrow', true, { a: 1 }, 'x'.repeat(70)],
];

test('a table has aligned columns, `-` for NULL, and nothing that a terminal obeys', () => {
  const shown = resultTable({ columns, rows }, 60);
  assert.equal(
    shown,
    [
      'agent                      n     groups     note',
      'demo                       12    ["a","b"]  -',
      'with "quotes", and\\nlines  1.5   []',
      `\\u001b[2J\\u202edlrow       true  {"a":1}    ${'x'.repeat(59)}…`,
      '',
    ].join('\n'),
  );
  assert.ok(resultTable({ columns, rows }, Infinity).includes('x'.repeat(70)));
  assert.equal(resultTable({ columns, rows: [] }, 60), 'No rows.\n');
  assert.match(resultTable({ columns: ['\u001b'], rows: [[1]] }, 60), /^\\u001b\n/);
  const halved = resultTable({ columns: ['x'], rows: [['😀😀😀']] }, 4);
  assert.equal(halved, 'x\n😀…\n');
});

test('JSON is an array of row objects, and reads back as it was', () => {
  const json = resultJson({ columns, rows });
  assert.doesNotMatch(json, /\u202e/);
  assert.deepEqual(JSON.parse(json), [
    { agent: 'demo', n: '12', groups: ['a', 'b'], note: null },
    { agent: 'with "quotes", and\nlines', n: 1.5, groups: [], note: '' },
    { agent: '\u001b[2J\u202edlrow', n: true, groups: { a: 1 }, note: 'x'.repeat(70) },
  ]);
  assert.equal(resultJson({ columns, rows: [] }), '[]\n');
  assert.throws(() => resultJson({ columns: ['a', 'a'], rows }), /two columns are named a; name them with AS/);
});

test('CSV has a line of heads, quotes where they are needed, and line ends of its own', () => {
  assert.equal(
    resultCsv({ columns, rows }),
    [
      'agent,n,groups,note',
      'demo,12,"[""a"",""b""]",',
      '"with ""quotes"", and\nlines",1.5,[],',
      `\\u001b[2J\\u202edlrow,true,"{""a"":1}",${'x'.repeat(70)}`,
      '',
    ].join('\r\n'),
  );
});

async function asked(
  query: string | undefined,
  options: Partial<SqlOptions>,
): Promise<{ readonly question: RecordsQuestion | undefined; readonly written: string }> {
  let question: RecordsQuestion | undefined;
  const records = {
    ask(given: RecordsQuestion) {
      question = given;
      return Promise.resolve({ kind: 'sql', columns: ['a'], rows: [['1']] });
    },
    close: () => Promise.resolve(),
  } as Records;
  const out = new PassThrough();
  await askSql(records, query, { param: {}, format: 'table', ...options }, out);
  out.end();
  return { question, written: await text(out) };
}

test('a query is asked as it was given, with its parameters', async () => {
  const { question, written } = await asked('SELECT {a:String}', { param: { a: "x' OR 1" } });
  assert.deepEqual(question, { kind: 'sql', sql: 'SELECT {a:String}', params: { a: "x' OR 1" } });
  assert.equal(written, 'a\n1\n');
  assert.equal((await asked('SELECT 1', { format: 'json' })).written, '[{"a":"1"}]\n');
  assert.equal((await asked('SELECT 1', { format: 'csv' })).written, 'a\r\n1\r\n');
});

test('a named query takes its parameters, and its defaults where none is given', async () => {
  const given = { resource: 'secrets', namespace: 'shop', name: 'db' };
  const { question } = await asked(undefined, { query: 'who-read', param: given });
  assert.ok(question?.kind === 'sql');
  assert.deepEqual(question.params, { ...given, days: '7' });
  assert.match(question.sql, /^FROM calls$/m);
  const other = await asked(undefined, { query: 'who-read', param: { ...given, days: '30' } });
  assert.equal(other.question?.kind === 'sql' && other.question.params['days'], '30');
});

test('what is missing is said, with a way out', async () => {
  await assert.rejects(
    asked(undefined, {}),
    /give either a query or --query <name>; `sluice sql --list` shows the names/,
  );
  await assert.rejects(asked('SELECT 1', { query: 'denied' }), /give either a query or --query/);
  await assert.rejects(
    asked(undefined, { query: 'nope' }),
    /no query is named nope; `sluice sql --list` shows the names/,
  );
  await assert.rejects(
    asked(undefined, { query: 'agent-activity' }),
    /^Error: agent-activity needs --param agent=…: its name$/,
  );
});

test('the list has each query with what it answers and its parameters', async () => {
  const out = new PassThrough();
  listQueries(out);
  out.end();
  const listed = await text(out);
  assert.match(
    listed,
    /^slowest\n {2}The calls that took longest, watches left aside\.\n {2}--param days=… {2}how far back \(default: 1\)\n {2}--param rows=… {2}how many \(default: 20\)\n$/m,
  );
  for (const name of ['who-read', 'denied', 'agent-activity', 'unknown-outcomes', 'object-history', 'busiest-agents']) {
    assert.match(listed, new RegExp(`^${name}\\n {2}[A-Z]`, 'm'));
  }
});

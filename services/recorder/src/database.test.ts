import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Connection, Pool } from './database.ts';

const dir = mkdtempSync(join(tmpdir(), 'sl-'));
const database = { kind: 'embedded', dir } as const;
after(() => rmSync(dir, { recursive: true }));

// Some rows are there before the row that fails.
const failing = 'SELECT throwIf(number = 70000), number FROM numbers(100000) SETTINGS max_block_size = 100';

test('an answer after a query that failed begins with its own rows', async (t) => {
  const connection = new Connection(database);
  const pool = new Pool(database, 1);
  t.after(() => Promise.all([connection.close(), pool.close()]));
  for (const asked of [connection, pool]) {
    await assert.rejects(asked.select(failing), { type: 'FUNCTION_THROW_IF_VALUE_IS_NON_ZERO' });
    assert.deepEqual(await asked.select('SELECT 1 AS one'), [{ one: 1 }]);
  }
});

test('a statement that failed ends no other connection', async (t) => {
  const [one, other] = [new Connection(database), new Connection(database)];
  t.after(() => Promise.all([one.close(), other.close()]));
  const slow = other.select<{ n: number }>('SELECT count() AS n FROM numbers(300) WHERE sleepEachRow(0.001) = 0');
  await assert.rejects(one.command('DROP TABLE nowhere'), { type: 'UNKNOWN_TABLE' });
  assert.deepEqual(await slow, [{ n: 300 }]);
});

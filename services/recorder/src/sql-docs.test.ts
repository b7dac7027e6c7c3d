// docs/sql.md says what is so: its lists are those of the code, and its examples are answered.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { asked, callId, ended, ran, stored } from './fixtures.ts';
import { functionsByKind, paramTypes, sqlViews } from './sql-words.ts';
import { openStore } from './store.ts';

const page = readFileSync(join(import.meta.dirname, '../../../docs/sql.md'), 'utf8');
const namesIn = (text: string): string[] => [...text.matchAll(/`(\w+)`/g)].map(([, name = '']) => name);

test('docs/sql.md lists the functions that may be called, the types of parameters and the views', () => {
  for (const [kind, names] of Object.entries(functionsByKind)) {
    const row = page.split('\n').find((line) => line.startsWith(`| ${kind} |`)) ?? assert.fail(kind);
    assert.deepEqual(namesIn(row), [...names]);
  }
  const types = page.split('\n').find((line) => line.startsWith('Types of parameters:')) ?? assert.fail('types');
  assert.deepEqual(namesIn(types), [...paramTypes]);
  for (const view of sqlViews) assert.ok(page.includes(`\n| \`${view}\` |`), view);
});

test('every query in docs/sql.md is answered', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'sl-'));
  const store = await openStore({ kind: 'embedded', dir });
  t.after(async () => {
    await store.close();
    rmSync(dir, { recursive: true });
  });
  const now = { ledger: 'l', call: callId(1), atMicros: Date.now() * 1_000 };
  await store.insert([
    stored({ ...now, seq: 1, kind: 'call', meta: asked('deny') }),
    stored({ ...now, seq: 2, kind: 'outcome', meta: ended('refused', 500) }),
    stored({ ...now, call: callId(2), seq: 3, kind: 'call', meta: ran(['ls']) }),
  ]);
  const queries = [...page.matchAll(/```sql\n(.*?)```/gs)].map(([, sql = '']) => sql);
  assert.ok(queries.length >= 4);
  for (const sql of queries) assert.ok((await store.sql({ sql, params: {} })).rows.length > 0, sql);
});

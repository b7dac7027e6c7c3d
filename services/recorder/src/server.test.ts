// The store on a ClickHouse server, which can lose an answer as a network does.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { encodeFrame, noHash } from '@sluice/model';
import { TestClickHouse } from '@sluice/testing/clickhouse';
import { openStore } from './store.ts';

test('a batch whose insert took place, its answer lost, is not inserted twice', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'sl-'));
  const database = await TestClickHouse.start(dir);
  const store = await openStore({ kind: 'server', url: database.env.SLUICE_CLICKHOUSE_URL });
  t.after(async () => {
    await store.close();
    await database.close();
    rmSync(dir, { recursive: true });
  });
  const batch = [1, 2, 3].map((seq) => {
    const { message } = encodeFrame({
      ledger: 'l',
      seq,
      call: '01a20850-635b-7dcb-abe1-3e7176b59372',
      session: '0'.repeat(32),
      atMicros: 1_795_435_787_932_000,
      kind: 'response',
      offset: 0,
      meta: '{}',
      prev: noHash,
      bytes: Buffer.from('body'),
    });
    return { stream: 'bytes', streamSeq: seq, storedAtMicros: 1_795_435_787_932_123, message } as const;
  });
  database.onInsert = (table) => {
    database.onInsert = () => 'stored';
    return table === 'record' ? 'answer-lost' : 'stored';
  };
  await assert.rejects(store.insert(batch));
  await store.insert(batch);
  const counted = await database.rows('SELECT count() AS rows, uniqExact(seq) AS frames FROM record');
  assert.deepEqual(counted, [{ rows: 3, frames: 3 }]);
});

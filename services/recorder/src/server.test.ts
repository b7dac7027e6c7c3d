// The store on a ClickHouse server: HTTP in front of chDB, which can lose an answer as a network does.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { test } from 'node:test';
import { type ClickHouseClient, createClient } from '@clickhouse/client';
import { encodeFrame, noHash } from '@sluice/model';
import { type ChdbConnection, createChdbConnection } from 'chdb/connection';
import { openStore } from './store.ts';

/** Serves a database; the answer to the first insert of frames is lost after it took place. */
async function serve(connection: ChdbConnection, database: ClickHouseClient): Promise<Server> {
  let isLost = false;
  const server = createServer((request, response) => {
    void (async () => {
      const asked = new URL(request.url ?? '', 'http://server').searchParams;
      const [, table = '', columns = ''] =
        /^INSERT INTO (\w+) \((.*)\) FORMAT TabSeparated$/.exec(asked.get('query') ?? '') ?? [];
      if (table !== '') {
        const values = await buffer(request);
        await connection.chdb.rawInsert({ table, columns: columns.split(', '), format: 'TabSeparated', values });
        if (table === 'record' && !isLost) {
          isLost = true;
          request.socket.destroy();
        } else response.end();
        return;
      }
      const statement = [asked.get('query') ?? '', await text(request)].join('\n').trim();
      if (statement.startsWith('SELECT')) {
        const query = statement.replace(/\s*FORMAT JSONEachRow$/, '');
        const params = [...asked].filter(([name]) => name.startsWith('param_'));
        const query_params = Object.fromEntries(params.map(([name, value]) => [name.slice('param_'.length), value]));
        response.end(await (await database.query({ query, query_params, format: 'JSONEachRow' })).text());
        return;
      }
      await database.command({ query: statement });
      response.end();
    })();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

test('a batch whose insert took place, its answer lost, is not inserted twice', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'sl-'));
  const connection = createChdbConnection({ path: dir });
  const database = createClient({ connection } as unknown as Parameters<typeof createClient>[0]);
  const server = await serve(connection, database);
  const store = await openStore({ kind: 'server', url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
  t.after(async () => {
    await store.close();
    server.close();
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
  await assert.rejects(store.insert(batch));
  await store.insert(batch);
  const query = 'SELECT count() AS rows, uniqExact(seq) AS frames FROM record';
  assert.deepEqual(await (await database.query({ query, format: 'JSONEachRow' })).json(), [{ rows: 3, frames: 3 }]);
});

import { type ClickHouseClient, createClient } from '@clickhouse/client';
import { decodeFrame } from '@sluice/model';
import { createChdbConnection } from 'chdb/connection';
import type { Evidence } from './verifier.ts';

/** What the database holds, as it is. */
export type Recorded = Pick<Evidence, 'frames' | 'quarantine'>;

/** Opens an embedded database, which nobody else may have open. */
export function openEmbedded(dir: string): ClickHouseClient {
  const connection = createChdbConnection({ path: dir });
  return createClient({ connection } as unknown as Parameters<typeof createClient>[0]);
}

/** Reads the record of a Sluice that is stopped. */
export async function readRecord(dir: string): Promise<Recorded> {
  const client = openEmbedded(dir);
  try {
    return await readTables(client);
  } finally {
    await client.close();
  }
}

/** Rows read at once: bodies make them large. */
const rowsAtOnce = 2_000;

export async function readTables(client: ClickHouseClient): Promise<Recorded> {
  const select = async <T>(query: string): Promise<T[]> =>
    (await client.query({ query, format: 'JSONEachRow' })).json<T>();
  const frames: Evidence['frames'][number][] = [];
  for (let from = 0; ; from += rowsAtOnce) {
    const rows = await select<{ header64: string; bytes64: string; storedAtMicros: number }>(
      `SELECT base64Encode(header) AS header64, base64Encode(bytes) AS bytes64,
              toFloat64(toUnixTimestamp64Micro(stored_at)) AS storedAtMicros
       FROM record ORDER BY ledger, seq, stored_at LIMIT ${rowsAtOnce} OFFSET ${from}`,
    );
    for (const { header64, bytes64, storedAtMicros } of rows) {
      const message = Buffer.concat([Buffer.from(header64, 'base64'), Buffer.from(bytes64, 'base64')]);
      frames.push({ frame: decodeFrame(message), message, storedAtMicros });
    }
    if (rows.length < rowsAtOnce) break;
  }
  const quarantine = await select<{ reason: string; message64: string }>(
    'SELECT reason, base64Encode(message) AS message64 FROM quarantine',
  );
  return {
    frames,
    quarantine: quarantine.map(({ reason, message64 }) => ({ reason, message: Buffer.from(message64, 'base64') })),
  };
}

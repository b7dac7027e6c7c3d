import { type ClickHouseClient, type ClickHouseSettings, createClient } from '@clickhouse/client';
import {
  type CallRow,
  type Cursor,
  decodeFrame,
  type Effect,
  FrameError,
  type FrameRow,
  frameHashHolds,
  frameHeader,
} from '@sluice/model';
import type { StoredFrame } from '@sluice/runtime';
import { createChdbConnection } from 'chdb/connection';
import { migrations } from './schema.ts';
import { SeenFrames } from './seen.ts';

/** Where the record is: an embedded database's directory, or a ClickHouse server. */
export type Database =
  | { readonly kind: 'embedded'; readonly dir: string }
  | { readonly kind: 'server'; readonly url: string };

/** The record at rest. */
export interface Store {
  /**
   * Inserts what is not there yet, synced to disk when it returns; one call at a time. What is not a frame, or whose
   * hash does not hold, goes to `quarantine`; the count of those comes back.
   */
  insert(frames: readonly StoredFrame[]): Promise<number>;
  /** Calls, newest first. */
  calls(filter: {
    readonly agent?: string;
    readonly effect?: Effect;
    readonly sinceMs?: number;
    readonly limit: number;
  }): Promise<CallRow[]>;
  /** Frames of a call behind a position of its ledger, at most `limit`. */
  frames(call: string, after: Cursor, limit: number): Promise<FrameRow[]>;
  close(): Promise<void>;
}

/** Pinned, whatever a server's defaults are or become. */
const insertSettings: ClickHouseSettings = { async_insert: 0, insert_deduplicate: 0 };
/** A question may take this long, seconds. */
const questionSeconds = 25;

/** Opens the record and brings its tables up to date. */
export async function openStore(database: Database): Promise<Store> {
  // One connection runs one statement at a time: a long question must not hold up the inserts.
  const ingest = connect(database);
  const questions = connect(database);
  for (const statement of migrations) await ingest.command({ query: statement });
  let seen: SeenFrames | null = await restoreSeen(ingest);

  return {
    async insert(frames) {
      // A failed insert may have taken place all the same, its answer lost: only the table knows.
      const known = seen ?? (await restoreSeen(ingest));
      seen = null;
      const rows: object[] = [];
      const poison: object[] = [];
      for (const stored of frames) {
        const row = rowOf(stored);
        if (row.kind === 'poison') poison.push(row.row);
        else if (known.add(row.ledger, row.seq)) rows.push(row.row);
      }
      if (poison.length > 0) await insert(ingest, 'quarantine', poison);
      if (rows.length > 0) await insert(ingest, 'frames', rows);
      seen = known;
      return poison.length;
    },

    async calls({ agent, effect, sinceMs, limit }) {
      const conditions = [
        ...(agent === undefined ? [] : ['agent = {agent:String}']),
        ...(effect === undefined ? [] : ['effect = {effect:String}']),
        ...(sinceMs === undefined ? [] : ['decided_calls.at >= fromUnixTimestamp64Milli({sinceMs:Int64})']),
      ];
      const where = conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`;
      // Ids are UUIDv7: their order is the order of time, and the table's.
      const found = await select<
        Omit<CallRow, 'status' | 'outcome' | 'reasonCode'> & { decided: CallRow['reasonCode'] }
      >(
        questions,
        `SELECT id, ${isoTime('at')} AS at, agent, task, session, connection, verb, resource, namespace, name, effect,
                decided FROM decided_calls ${where} ORDER BY id DESC LIMIT {limit:UInt32}`,
        { agent, effect, sinceMs, limit },
      );
      const ends = await select<{
        id: string;
        status: number;
        outcome: CallRow['outcome'];
        reasonCode: CallRow['reasonCode'] | '';
      }>(questions, 'SELECT id, status, outcome, reasonCode FROM outcomes WHERE id IN {ids:Array(String)}', {
        ids: found.map(({ id }) => id),
      });
      const byId = new Map(ends.map((end) => [end.id, end]));
      return found.map(({ decided, ...call }) => {
        const end = byId.get(call.id);
        const reasonCode = end === undefined || end.reasonCode === '' ? decided : end.reasonCode;
        return { ...call, reasonCode, status: end?.status ?? null, outcome: end?.outcome ?? null };
      });
    },

    frames(call, after, limit) {
      return select<FrameRow>(
        questions,
        `SELECT ledger, toFloat64(seq) AS seq, call, ${isoTime('at')} AS at, toFloat64(toUnixTimestamp64Micro(stored_at)) AS storedAtMicros, kind, toFloat64(offset) AS offset, meta,
                base64Encode(bytes) AS bytesBase64
         FROM frames WHERE call = {call:String} AND (ledger, seq) > ({ledger:String}, {seq:UInt64}) ORDER BY ledger, seq LIMIT {limit:UInt32}`,
        { call, ledger: after.ledger, seq: after.seq, limit },
      );
    },

    async close() {
      await Promise.all([ingest.close(), questions.close()]);
    },
  };
}

function connect(database: Database): ClickHouseClient {
  if (database.kind === 'server') return createClient({ url: database.url });
  // chDB brings its own copy of the client's types.
  const connection = createChdbConnection({ path: database.dir }) as unknown as NonNullable<
    Parameters<typeof createClient>[0]
  >;
  return createClient({ connection } as unknown as Parameters<typeof createClient>[0]);
}

type Row =
  | { readonly kind: 'frame'; readonly ledger: string; readonly seq: number; readonly row: object }
  | { readonly kind: 'poison'; readonly row: object };

function rowOf({ message, stream, streamSeq, storedAtMicros }: StoredFrame): Row {
  const place = { stream, stream_seq: streamSeq, stored_at: time(storedAtMicros) };
  const poison = (reason: string): Row => ({ kind: 'poison', row: { ...place, reason, b64: base64(message) } });
  try {
    const frame = decodeFrame(message);
    if (!frameHashHolds(message)) return poison('the hash does not hold');
    if (frame.seq === 0) return poison('a ledger begins with 1');
    const { ledger, seq, call, session, kind, offset, meta, bytes } = frame;
    const fields = { ledger, seq, call, session, kind, at: time(frame.atMicros), offset, meta };
    const encoded = { header64: base64(frameHeader(message)), b64: base64(bytes) };
    return { kind: 'frame', ledger, seq, row: { ...fields, ...place, ...encoded } };
  } catch (error) {
    if (error instanceof FrameError) return poison(error.message);
    throw error;
  }
}

/** Ledgers without a gap are known by their last frame alone; of others, every frame counts. */
async function restoreSeen(client: ClickHouseClient): Promise<SeenFrames> {
  const seen = new SeenFrames();
  const ledgers = await select<{ ledger: string; last: number; count: number }>(
    client,
    'SELECT ledger, toFloat64(max(seq)) AS last, toFloat64(uniqExact(seq)) AS count FROM frames GROUP BY ledger',
    {},
  );
  for (const { ledger, last, count } of ledgers) {
    if (last === count) {
      seen.restore(ledger, last);
      continue;
    }
    const rows = await select<{ seq: number }>(
      client,
      'SELECT toFloat64(seq) AS seq FROM frames WHERE ledger = {ledger:String}',
      { ledger },
    );
    for (const { seq } of rows) seen.add(ledger, seq);
  }
  return seen;
}

async function insert(client: ClickHouseClient, table: string, values: readonly object[]): Promise<void> {
  const columns = Object.keys(values[0] ?? {}) as [string, ...string[]];
  await client.insert({
    table,
    columns,
    values: [...values],
    format: 'JSONEachRow',
    clickhouse_settings: insertSettings,
  });
}

async function select<T>(client: ClickHouseClient, query: string, params: Record<string, unknown>): Promise<T[]> {
  const given = Object.fromEntries(Object.entries(params).filter(([, value]) => value !== undefined));
  const result = await client.query({
    query,
    query_params: given,
    format: 'JSONEachRow',
    clickhouse_settings: { max_execution_time: questionSeconds },
  });
  return result.json<T>();
}

/** As ClickHouse's `DateTime64(6, 'UTC')` reads it. */
function time(micros: number): string {
  return (micros / 1_000_000).toFixed(6);
}

/** ISO 8601 with milliseconds, UTC. */
function isoTime(column: string): string {
  return `formatDateTime(${column}, '%Y-%m-%dT%H:%i:%S', 'UTC') || '.' || leftPad(toString(intDiv(toUnixTimestamp64Micro(${column}) % 1000000, 1000)), 3, '0') || 'Z'`;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

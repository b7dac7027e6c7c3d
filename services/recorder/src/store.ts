import type { ClickHouseClient } from '@clickhouse/client';
import { decodeFrame, FrameError, frameHashHolds, frameHeader } from '@sluice/model';
import type { StoredFrame } from '@sluice/runtime';
import { connect, type Database, insert, Pool, select } from './database.ts';
import { openRecords, type Records } from './records.ts';
import { migrate } from './schema.ts';
import { SeenFrames } from './seen.ts';

/** How far a ledger is in the record. */
export interface LedgerHead {
  readonly ledger: string;
  /** All positions from 1 to this one are there; 0 where the first is not. */
  readonly seq: number;
  /** Hash of the frame there, 64 hex digits; empty where `seq` is 0. */
  readonly hash: string;
  /** Positions behind a gap, in their order. */
  readonly above: readonly number[];
}

/** A call without an outcome. */
export interface OpenCall {
  readonly call: string;
  readonly session: string;
}

/** The record at rest. Questions (`Records`) have connections of their own and hold up no insert. */
export interface Store extends Records {
  /**
   * Inserts what is not there yet, synced to disk when it returns; one call at a time. What is not a frame, or whose
   * hash does not hold, goes to `quarantine`; the count of those comes back.
   */
  insert(frames: readonly StoredFrame[]): Promise<number>;
  /** Hashes of frames, hex, of those positions that are there. */
  hashesOf(ledger: string, seqs: readonly number[]): Promise<Map<number, string>>;
  /** Of all ledgers. */
  heads(): Promise<LedgerHead[]>;
  /** Calls that a process has begun (`instance`: its ledgers' names begin with it) and nobody has ended. */
  openCalls(instance: string): Promise<OpenCall[]>;
  /** Ledgers of which a recorder has said what became of them. */
  closedLedgers(): Promise<Set<string>>;
  close(): Promise<void>;
}

/** Connections for questions. chDB holds a thread of Node's own for each statement that runs, of which there are four. */
const questionsAtOnce = 2;
const frameHash = 'lower(hex(right(header, 32)))';

/** Opens the record and brings its tables up to date. Throws `ConfigError` for that of a newer Sluice. */
export async function openStore(database: Database): Promise<Store> {
  const ingest = connect(database);
  try {
    await migrate(ingest);
  } catch (error) {
    await ingest.close();
    throw error;
  }
  const pool = new Pool(database, questionsAtOnce);
  let seen: SeenFrames | null = null;

  return {
    ...openRecords(pool),

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
      if (rows.length > 0) await insert(ingest, 'record', rows);
      seen = known;
      return poison.length;
    },

    hashesOf(ledger, seqs) {
      return hashesOf(ingest, ledger, seqs);
    },

    heads() {
      return headsOf(ingest);
    },

    openCalls(instance) {
      // First those without an outcome in the process's own ledgers, where it is; few are left to be looked for elsewhere.
      return select<OpenCall>(
        ingest,
        `WITH begun AS (
           SELECT call, any(session) AS session FROM record
           WHERE startsWith(ledger, {prefix:String}) AND kind IN ('call', 'outcome')
           GROUP BY call HAVING countIf(kind = 'outcome') = 0
         )
         SELECT call, session FROM begun
         WHERE call NOT IN (SELECT call FROM record WHERE kind = 'outcome' AND call IN (SELECT call FROM begun))
         ORDER BY call`,
        { prefix: `${instance}-` },
      );
    },

    async closedLedgers() {
      const rows = await select<{ ledger: string }>(
        ingest,
        "SELECT DISTINCT JSONExtractString(meta, 'head', 'ledger') AS ledger FROM record WHERE kind = 'ledger-closed'",
      );
      return new Set(rows.map(({ ledger }) => ledger));
    },

    async close() {
      await Promise.all([ingest.close(), pool.close()]);
    },
  };
}

async function hashesOf(
  client: ClickHouseClient,
  ledger: string,
  seqs: readonly number[],
): Promise<Map<number, string>> {
  const rows = await select<{ seq: number; hash: string }>(
    client,
    `SELECT seq, ${frameHash} AS hash FROM record WHERE ledger = {ledger:String} AND seq IN {seqs:Array(UInt64)}`,
    { ledger, seqs },
  );
  return new Map(rows.map(({ seq, hash }) => [seq, hash]));
}

async function headsOf(client: ClickHouseClient): Promise<LedgerHead[]> {
  const ledgers = await select<{ ledger: string; last: number; count: number }>(
    client,
    'SELECT ledger, max(seq) AS last, groupBitmap(seq) AS count FROM record GROUP BY ledger ORDER BY ledger',
  );
  const ends = await select<{ ledger: string; hash: string }>(
    client,
    `SELECT ledger, ${frameHash} AS hash FROM record
     WHERE (ledger, seq) IN (SELECT ledger, max(seq) FROM record GROUP BY ledger)`,
  );
  const hashes = new Map(ends.map(({ ledger, hash }) => [ledger, hash]));
  const heads: LedgerHead[] = [];
  for (const { ledger, last, count } of ledgers) {
    const isWhole = last === count;
    heads.push(
      isWhole ? { ledger, seq: last, hash: hashes.get(ledger) ?? '', above: [] } : await gappyHead(client, ledger),
    );
  }
  return heads;
}

async function gappyHead(client: ClickHouseClient, ledger: string): Promise<LedgerHead> {
  const [row] = await select<{ connected: number; above: number[] }>(
    client,
    `SELECT maxIf(seq, seq = place) AS connected, arraySort(groupArrayIf(seq, seq != place)) AS above
     FROM (
       SELECT seq, row_number() OVER (ORDER BY seq) AS place
       FROM (SELECT DISTINCT seq FROM record WHERE ledger = {ledger:String})
     )`,
    { ledger },
  );
  const { connected: seq = 0, above = [] } = row ?? {};
  return { ledger, seq, hash: (await hashesOf(client, ledger, [seq])).get(seq) ?? '', above };
}

async function restoreSeen(client: ClickHouseClient): Promise<SeenFrames> {
  const seen = new SeenFrames();
  for (const { ledger, seq, above } of await headsOf(client)) {
    seen.restore(ledger, seq);
    for (const position of above) seen.add(ledger, position);
  }
  return seen;
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

/** As ClickHouse's `DateTime64(6, 'UTC')` reads it. */
function time(micros: number): string {
  return (micros / 1_000_000).toFixed(6);
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

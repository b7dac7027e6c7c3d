import {
  decodeFrame,
  type Frame,
  FrameError,
  type FrameMeta,
  frameHashHolds,
  frameHeader,
  type SealKey,
} from '@sluice/model';
import type { StoredFrame } from '@sluice/runtime';
import { type Columns, Connection, type Database, Pool } from './database.ts';
import { Ledgers, type Link } from './ledgers.ts';
import { openRecords, type Records } from './records.ts';
import { migrate } from './schema.ts';
import { openSql, type SqlReader } from './sql.ts';

/** A frame, and when the broker stored it, by the broker's clock. */
export type FreshFrame = Frame & Pick<StoredFrame, 'storedAtMicros'>;

/** What became of a batch. */
export interface Inserted {
  /** The frames that were new, and when the broker stored them, */
  readonly fresh: readonly FreshFrame[];
  /** and those that were there already. */
  readonly repeated: readonly Frame[];
  readonly quarantined: number;
}

/** A call without an outcome. */
export interface OpenCall {
  readonly call: string;
  readonly session: string;
}

/** The record at rest. Questions (`Records`) have connections of their own and hold up no insert. */
export interface Store extends Records, SqlReader {
  /**
   * Inserts what is not there yet, synced to disk when it returns; one call at a time. What is not a frame, whose hash
   * does not hold, or at whose place stands another frame, goes to `quarantine`.
   */
  insert(frames: readonly StoredFrame[]): Promise<Inserted>;
  /** What is in the record by ledger, or is being inserted. */
  ledgersKnown(): Ledgers;
  /** Whether a ledger is in the record, connected up to a position. */
  hasUpTo(ledger: string, seq: number): boolean;
  /** Whose seals a ledger bears, as its first frame says; `null` when that is not there. */
  sealKey(ledger: string): Promise<SealKey | null>;
  /** Calls that a process has begun (`instance`: its ledgers' names begin with it) and nobody has ended. */
  openCalls(instance: string): Promise<OpenCall[]>;
  /** Ledgers of which a recorder has said what became of them, with the position each was closed at. */
  closedLedgers(): Promise<Map<string, number>>;
  close(): Promise<void>;
}

/** Connections for questions. chDB holds a thread of Node's own for each statement that runs, of which there are four. */
const questionsAtOnce = 2;
const frameHash = 'lower(hex(right(header, 32)))';

/** Opens the record and brings its tables up to date. Throws `ConfigError` for that of a newer Sluice. */
export async function openStore(database: Database): Promise<Store> {
  const ingest = new Connection(database);
  try {
    await migrate(ingest);
  } catch (error) {
    await ingest.close();
    throw error;
  }
  const pool = new Pool(database, questionsAtOnce);
  let ledgers = await restoreLedgers(ingest);
  // An insert is on its way, or failed: then it may have taken place all the same, and only the table knows.
  let isInDoubt = false;
  const sql = openSql(database);

  return {
    ...openRecords(pool),
    ...sql,

    async insert(frames) {
      if (isInDoubt) ledgers = await restoreLedgers(ingest);
      isInDoubt = true;
      const { rows, poison, ...inserted } = await sort(ingest, ledgers, frames);
      if (poison.length > 0) await ingest.insert('quarantine', poison);
      if (rows.length > 0) await ingest.insert('record', rows);
      isInDoubt = false;
      return { ...inserted, quarantined: poison.length };
    },

    ledgersKnown: () => ledgers,

    hasUpTo(ledger, seq) {
      return !isInDoubt && ledgers.head(ledger).seq >= seq;
    },

    async sealKey(ledger) {
      const [opened] = await ingest.select<{ meta: string }>(
        `SELECT meta FROM record WHERE ledger = {ledger:String} AND seq = 1 AND kind = 'opened'`,
        { ledger },
      );
      return opened === undefined ? null : (JSON.parse(opened.meta) as FrameMeta['opened']).key;
    },

    openCalls(instance) {
      // First those without an outcome in the process's own ledgers, where it is; few are left to be looked for elsewhere.
      return ingest.select<OpenCall>(
        `WITH begun AS (
           SELECT call, any(session) AS session FROM record
           WHERE startsWith(ledger, {prefix:String}) AND kind IN ('call', 'decision', 'outcome')
           GROUP BY call HAVING countIf(kind = 'outcome') = 0
         )
         SELECT call, session FROM begun
         WHERE call NOT IN (SELECT call FROM record WHERE kind = 'outcome' AND call IN (SELECT call FROM begun))
         ORDER BY call`,
        { prefix: `${instance}-` },
      );
    },

    async closedLedgers() {
      const rows = await ingest.select<{
        ledger: string;
        seq: number;
      }>(`SELECT JSONExtractString(meta, 'head', 'ledger') AS ledger, max(JSONExtractUInt(meta, 'head', 'seq')) AS seq
         FROM record WHERE kind = 'ledger-closed' GROUP BY ledger`);
      return new Map(rows.map(({ ledger, seq }) => [ledger, seq]));
    },

    async close() {
      await Promise.all([ingest.close(), pool.close(), sql.close()]);
    },
  };
}

async function hashesOf(database: Connection, ledger: string, seqs: readonly number[]): Promise<Map<number, string>> {
  const rows = await database.select<{ seq: number; hash: string }>(
    `SELECT seq, ${frameHash} AS hash FROM record WHERE ledger = {ledger:String} AND seq IN {seqs:Array(UInt64)}`,
    { ledger, seqs },
  );
  return new Map(rows.map(({ seq, hash }) => [seq, hash]));
}

/** Ledgers without a gap are known by their last frame alone; of others, every frame counts. */
async function restoreLedgers(database: Connection): Promise<Ledgers> {
  const ledgers = new Ledgers();
  const found = await database.select<{ ledger: string; last: number; count: number }>(
    'SELECT ledger, max(seq) AS last, groupBitmap(seq) AS count FROM record GROUP BY ledger',
  );
  const ends = await database.select<{ ledger: string; hash: string }>(`SELECT ledger, ${frameHash} AS hash FROM record
     WHERE (ledger, seq) IN (SELECT ledger, max(seq) FROM record GROUP BY ledger)`);
  const hashes = new Map(ends.map(({ ledger, hash }) => [ledger, hash]));
  for (const { ledger, last, count } of found) {
    if (last === count) {
      ledgers.restore({ ledger, seq: last, hash: hashes.get(ledger) ?? '' });
      continue;
    }
    const links = await database.select<Link>(
      `SELECT ledger, seq, lower(hex(substring(header, length(header) - 63, 32))) AS prev,
              ${frameHash} AS hash
       FROM record WHERE ledger = {ledger:String} ORDER BY seq`,
      { ledger },
    );
    for (const link of links) ledgers.place(link);
  }
  return ledgers;
}

/** Where the frames of a batch belong. */
async function sort(
  database: Connection,
  known: Ledgers,
  frames: readonly StoredFrame[],
): Promise<Omit<Inserted, 'quarantined'> & { readonly rows: Columns[]; readonly poison: Columns[] }> {
  const rows: Columns[] = [];
  const poison: Columns[] = [];
  const fresh: FreshFrame[] = [];
  const repeated: Frame[] = [];
  const below: { readonly stored: StoredFrame; readonly frame: Frame; readonly link: Link }[] = [];
  for (const stored of frames) {
    const row = rowOf(stored);
    if (row.kind === 'poison') {
      poison.push(row.row);
      continue;
    }
    const link = linkOf(row.frame);
    const place = known.place(link);
    if (place === 'new') {
      rows.push(row.row);
      fresh.push({ ...row.frame, storedAtMicros: stored.storedAtMicros });
    } else if (place === 'conflict') poison.push(poisonRow(stored, conflict));
    else if (place === 'repeat') repeated.push(row.frame);
    else below.push({ stored, frame: row.frame, link });
  }
  // A frame that comes again after its ack got lost, or one that pretends to. The first may be in this very batch.
  for (const [ledger, links] of Map.groupBy(below, ({ link }) => link.ledger)) {
    const there = await hashesOf(
      database,
      ledger,
      links.map(({ link }) => link.seq),
    );
    for (const frame of fresh) if (frame.ledger === ledger) there.set(frame.seq, hex(frame.hash));
    for (const { stored, frame, link } of links) {
      if (there.get(link.seq) === link.hash) repeated.push(frame);
      else poison.push(poisonRow(stored, conflict));
    }
  }
  return { rows, poison, fresh, repeated };
}

const conflict = 'conflict: another frame stands at its place';

function linkOf({ ledger, seq, prev, hash }: Frame): Link {
  return { ledger, seq, prev: hex(prev), hash: hex(hash) };
}

type Row =
  | { readonly kind: 'frame'; readonly frame: Frame; readonly row: Columns }
  | { readonly kind: 'poison'; readonly row: Columns };

function rowOf(stored: StoredFrame): Row {
  const { message } = stored;
  const poison = (reason: string): Row => ({ kind: 'poison', row: poisonRow(stored, reason) });
  try {
    const frame = decodeFrame(message);
    if (!frameHashHolds(message)) return poison('the hash does not hold');
    if (frame.seq === 0) return poison('a ledger begins with 1');
    const { ledger, seq, call, session, kind, offset, meta, bytes } = frame;
    const fields = { ledger, seq, call, session, kind, at: time(frame.atMicros), offset, meta };
    return { kind: 'frame', frame, row: { ...fields, ...placeOf(stored), header: frameHeader(message), bytes } };
  } catch (error) {
    if (error instanceof FrameError) return poison(error.message);
    throw error;
  }
}

function poisonRow(stored: StoredFrame, reason: string): Columns {
  return { ...placeOf(stored), reason, message: stored.message };
}

function placeOf({ stream, streamSeq, storedAtMicros }: StoredFrame): Columns {
  return { stream, stream_seq: streamSeq, stored_at: time(storedAtMicros) };
}

/** As ClickHouse's `DateTime64(6, 'UTC')` reads it. */
function time(micros: number): string {
  return (micros / 1_000_000).toFixed(6);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

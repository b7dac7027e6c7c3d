import {
  type CallRow,
  type Cursor,
  type FrameRow,
  type LedgerRow,
  largeBytes,
  type ProofRow,
  type RecordsQuestion,
  type SessionRow,
  shownRows,
} from '@sluice/model';
import type { Pool } from './database.ts';

type Asked<K extends RecordsQuestion['kind']> = Omit<Extract<RecordsQuestion, { kind: K }>, 'kind'>;

/** Rows that fit one answer, and whether there are more behind them. */
export interface Page<T> {
  readonly rows: readonly T[];
  readonly more: boolean;
}

/** Reads the record at rest. */
export interface Records {
  /** Newest first. */
  calls(asked: Asked<'calls'>): Promise<CallRow[]>;
  /** Those with the newest calls; of these, the last to start first. */
  sessions(asked: Asked<'sessions'>): Promise<SessionRow[]>;
  /** Of a call, in the order of their ledgers. */
  frames(asked: Asked<'frames'>): Promise<Page<FrameRow>>;
  ledgers(asked: Asked<'ledgers'>): Promise<LedgerRow[]>;
  /** Of a ledger, in its order. All rows of a position are in one answer, at most `shownRows`. */
  proof(asked: Asked<'proof'>): Promise<Page<ProofRow>>;
  /** Base64. Throws an `Error` where there is no such row. */
  part(asked: Asked<'part'>): Promise<string>;
}

/** An answer must fit one message, and has so many bytes as JSON, or one position. */
const pageBytes = 2_000_000;
/** Rows whose sizes are looked at for one answer: about as many as fill it. */
const plannedRows = 1_000;
/** A part of a body; base64 makes four bytes of three. */
const partBytes = 2_000_000;

/** What orders rows of one position, which only a hand in the database can have made. */
const rowOrder = 'ledger, seq, header, bytes, meta, stream_seq';
/** Bytes of a row in an answer, its body left aside: meta stands in the header, too, and JSON escapes its quotes. */
const headCost = '300 + intDiv(length(header) * 4, 3) + intDiv(length(meta) * 5, 4)';
const bodyCost = `if(length(bytes) > ${largeBytes}, 0, intDiv(length(bytes) * 4, 3))`;
const body = `length(bytes) AS size, if(size <= {bodyBytes:UInt32}, base64Encode(bytes), '') AS bytesBase64`;

export function openRecords(pool: Pool): Records {
  /**
   * Reads rows behind a place, as many as one answer holds. First their sizes are read, which takes no reading of
   * bodies; then all of the rows up to the place where the answer is full.
   */
  async function page<T>(
    columns: string,
    where: string,
    params: object,
    after: Cursor,
    bodies: 'all' | 'sizes' = 'all',
  ): Promise<Page<T>> {
    const place = { ...params, ledger: after.ledger, seq: after.seq };
    const behind = `${where} AND (ledger, seq) > ({ledger:String}, {seq:UInt64})`;
    const planned = await pool.select<PlannedRow>(
      `SELECT ledger, seq, ${headCost} AS head, ${bodies === 'sizes' ? '0' : bodyCost} AS body
       FROM record WHERE ${behind} ORDER BY ledger, seq LIMIT ${plannedRows}`,
      place,
    );
    const plan = planPage(planned);
    if (plan === null) return { rows: [], more: false };
    const { end, bodyBytes, more } = plan;
    const rows = await pool.select<T>(
      `SELECT ${columns}, ${body} FROM record
       WHERE ${behind} AND (ledger, seq) <= ({endLedger:String}, {endSeq:UInt64})
       ORDER BY ${rowOrder} LIMIT ${shownRows} BY ledger, seq`,
      { ...place, endLedger: end.ledger, endSeq: end.seq, bodyBytes: bodies === 'sizes' ? 0 : bodyBytes },
    );
    return { rows, more };
  }

  return {
    async calls(asked) {
      // Ids are UUIDv7: their order is the order of time. The newest are found first, by little reading, and shown then.
      const rows = await pool.select<Omit<CallRow, 'command'> & { readonly command: readonly string[] }>(
        `SELECT id, ${isoTime('at')} AS at, agent, task, session, connection, verb, resource, namespace, name, command,
           effect, reasonCode, status, outcome, exitCode, incomplete
         FROM calls WHERE id IN (
           SELECT DISTINCT call FROM record WHERE ${callsAsked(asked)} ORDER BY call DESC LIMIT {limit:UInt32}
         ) ORDER BY id DESC LIMIT {limit:UInt32}`,
        { ...asked },
      );
      // The engine has no arrays that are NULL.
      return rows.map((row) => ({ ...row, command: row.command.length === 0 ? null : row.command }));
    },

    sessions(asked) {
      return pool.select<SessionRow>(
        `SELECT id, agent, task, ${isoTime('startedAt')} AS startedAt, ${isoTime('endedAt')} AS endedAt, calls
         FROM sessions WHERE id IN (
           SELECT session FROM record WHERE ${callsAsked(asked)}
           GROUP BY session ORDER BY max(at) DESC LIMIT {limit:UInt32}
         ) ORDER BY startedAt DESC`,
        { ...asked },
      );
    },

    frames({ call, after, bodies }) {
      const columns = `ledger, seq, call, ${isoTime('at')} AS at,
        toUnixTimestamp64Micro(stored_at) AS storedAtMicros, kind, offset, meta`;
      return page<FrameRow>(columns, 'call = {call:String}', { call }, after ?? { ledger: '', seq: 0 }, bodies);
    },

    ledgers({ session }) {
      const where = 'WHERE ledger IN (SELECT ledger FROM record WHERE session = {session:String})';
      return pool.select<LedgerRow>(
        `SELECT ledger, count() AS rows, min(seq) AS first, max(seq) AS last,
           sum(length(header) + length(bytes)) AS bytes
         FROM record ${session === undefined ? '' : where} GROUP BY ledger ORDER BY ledger`,
        { session },
      );
    },

    proof({ ledger, afterSeq }) {
      const columns = `seq, call, session, kind, toUnixTimestamp64Micro(at) AS atMicros,
        offset, meta, base64Encode(header) AS headerBase64`;
      // A position beyond 2^53 is no writer's, and no number could name it: `ledgers` shows that there are such.
      const where = `ledger = {ledger:String} AND seq <= ${Number.MAX_SAFE_INTEGER}`;
      return page<ProofRow>(columns, where, {}, { ledger, seq: afterSeq });
    },

    async part({ ledger, seq, row, offset }) {
      const [part] = await pool.select<{ bytesBase64: string }>(
        `SELECT base64Encode(substring(bytes, {offset:UInt64} + 1, ${partBytes})) AS bytesBase64
         FROM record WHERE ledger = {ledger:String} AND seq = {seq:UInt64}
         ORDER BY ${rowOrder} LIMIT 1 OFFSET {row:UInt32}`,
        { ledger, seq, row, offset },
      );
      if (part === undefined) throw new Error(`there is no frame ${seq} in ledger ${ledger}`);
      return part.bytesBase64;
    },
  };
}

const hasEffect = "JSONExtractString(meta, 'decision', 'effect') = {effect:String}";
const decidedAgain = "SELECT call FROM record WHERE kind = 'decision'";

/** What of a call each filter compares. Of two decisions the second counts; few calls have one. */
const filters = {
  agent: "JSONExtractString(meta, 'agent', 'name') = {agent:String}",
  effect: `(${hasEffect} AND call NOT IN (${decidedAgain}) OR call IN (${decidedAgain} AND ${hasEffect}))`,
  session: 'session = {session:String}',
  call: 'call = {call:String}',
  sinceMs: 'at >= fromUnixTimestamp64Milli({sinceMs:Int64})',
  before: 'call < {before:String}',
} as const;

/** The condition on call frames that a question's filters make. */
function callsAsked(asked: { readonly [K in keyof typeof filters]?: unknown }): string {
  const names = Object.keys(filters) as (keyof typeof filters)[];
  const conditions = names.filter((name) => asked[name] !== undefined).map((name) => filters[name]);
  return ["kind = 'call'", ...conditions].join(' AND ');
}

interface PlannedRow extends Cursor {
  /** Bytes in an answer: of the body, and of all else. */
  readonly head: number;
  readonly body: number;
}

/** How far an answer goes, with bodies of which size; `null` when there is nothing. */
function planPage(
  rows: readonly PlannedRow[],
): { readonly end: Cursor; readonly bodyBytes: number; readonly more: boolean } | null {
  const [first] = rows;
  const last = rows.at(-1);
  if (first === undefined || last === undefined) return null;
  // Behind the last row that was looked at there may be others of its position.
  const isAll = rows.length < plannedRows;
  const whole = isAll ? rows : rows.filter(({ ledger, seq }) => ledger !== last.ledger || seq !== last.seq);
  let end: Cursor | null = null;
  let bytes = 0;
  for (const [index, row] of whole.entries()) {
    bytes += row.head + row.body;
    if (bytes > pageBytes) return { end: end ?? first, bodyBytes: end === null ? 0 : largeBytes, more: true };
    const next = whole[index + 1];
    if (next?.ledger !== row.ledger || next.seq !== row.seq) end = row;
  }
  return { end: end ?? first, bodyBytes: end === null ? 0 : largeBytes, more: !isAll };
}

/** ISO 8601 with milliseconds, UTC. */
function isoTime(column: string): string {
  return `formatDateTime(${column}, '%Y-%m-%dT%H:%i:%S', 'UTC') || '.' || leftPad(toString(intDiv(toUnixTimestamp64Micro(${column}) % 1000000, 1000)), 3, '0') || 'Z'`;
}

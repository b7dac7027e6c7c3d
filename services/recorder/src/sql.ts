import { type ClickHouseClient, type ClickHouseSettings } from '@clickhouse/client';
import type { RecordsAnswer, RecordsQuestion } from '@sluice/model';
import { connect, type Database } from './database.ts';
import { guardSql } from './sql-guard.ts';
import { SqlError } from './sql-tokens.ts';
import { sqlViews } from './sql-words.ts';

/** Rows of a query, as JSON has values: 64-bit integers as strings. */
export type SqlResult = Pick<Extract<RecordsAnswer, { kind: 'sql' }>, 'columns' | 'rows'>;

/** Answers queries of people. */
export interface SqlReader {
  /** One at a time. Throws `SqlError` for a query that is refused, wrong, too large or too slow. */
  sql(asked: Omit<Extract<RecordsQuestion, { kind: 'sql' }>, 'kind'>): Promise<SqlResult>;
  close(): Promise<void>;
}

/** A query may take so long; with the wait for its turn it stays below the deadline of a question. */
const querySeconds = 15;
const maxWaitMs = 10_000;
const maxRows = 10_000;
/** An answer fits one message of the broker. */
const maxAnswerBytes = 3_900_000;

const limits: ClickHouseSettings = {
  max_execution_time: querySeconds,
  timeout_overflow_mode: 'throw',
  max_memory_usage: '1000000000',
  max_threads: 2,
  max_result_rows: String(maxRows),
  max_result_bytes: String(maxAnswerBytes),
  result_overflow_mode: 'throw',
  // Names that stand for names that stand for names: what a query grows to before it runs.
  max_expanded_ast_elements: '50000',
  max_query_size: '65536',
  // Its new order can break joins with views that are joins themselves (chDB 26.7).
  query_plan_optimize_join_order_limit: '0',
  use_query_cache: 0,
  use_uncompressed_cache: 0,
  session_timezone: 'UTC',
  date_time_output_format: 'iso',
  output_format_json_quote_64bit_integers: 1,
  output_format_json_quote_denormals: 0,
};

/** Opens its connection with the first query: few processes are asked one. */
export function openSql(database: Database): SqlReader {
  let client: ClickHouseClient | null = null;
  let turn: Promise<unknown> = Promise.resolve();

  async function run({ sql, params }: Parameters<SqlReader['sql']>[0]): Promise<SqlResult> {
    const guarded = guardSql(sql);
    checkParams(guarded.params, params);
    client ??= await openReadOnly(database);
    try {
      return await select(client, guarded.text, params);
    } catch (error) {
      // chDB begins its next answer with the rows that a failed query left.
      await client.close();
      client = null;
      throw explained(error as Error);
    }
  }

  return {
    sql(asked) {
      const askedMs = performance.now();
      const answered = turn.then(() => {
        if (performance.now() - askedMs <= maxWaitMs) return run(asked);
        throw new SqlError('other queries are running; ask again in a moment');
      });
      turn = answered.catch(() => undefined);
      return answered;
    },

    async close() {
      await turn;
      await client?.close();
    },
  };
}

/**
 * A connection that reads, within limits, and stands in a database that holds the views and nothing else. It is the
 * second wall: a name without a database in front, and the guard lets no other pass, finds nothing else there. Exported
 * for its test.
 */
export async function openReadOnly(database: Database): Promise<ClickHouseClient> {
  const client = connect(database);
  const views = await makeViews(client);
  if (database.kind === 'server') {
    await client.close();
    const url = new URL(database.url);
    url.pathname = `/${encodeURIComponent(views)}`;
    return connect({ kind: 'server', url: url.href }, { ...limits, readonly: '1' });
  }
  // Limits first: once it is read-only, a connection takes no more settings. chDB keeps what was set.
  await client.command({ query: `USE ${quoted(views)}` });
  await client.command({ query: 'SELECT 1', clickhouse_settings: limits });
  await client.command({ query: 'SET readonly = 1' });
  return client;
}

/** Makes the database of the views, beside the current one; its name. */
async function makeViews(client: ClickHouseClient): Promise<string> {
  const result = await client.query({ query: 'SELECT currentDatabase() AS name', format: 'JSONEachRow' });
  const [{ name } = { name: '' }] = await result.json<{ name: string }>();
  const views = `${name}_views`;
  await client.command({ query: `CREATE DATABASE IF NOT EXISTS ${quoted(views)}` });
  for (const view of sqlViews) {
    const query = `CREATE OR REPLACE VIEW ${quoted(views)}.${view} AS SELECT * FROM ${quoted(name)}.${view}`;
    await client.command({ query });
  }
  return views;
}

async function select(
  client: ClickHouseClient,
  query: string,
  params: Readonly<Record<string, string>>,
): Promise<SqlResult> {
  const result = await client.query({ query, query_params: { ...params }, format: 'JSONCompact' });
  const text = await result.text();
  const { meta, data } = JSON.parse(text) as { meta: { name: string }[]; data: unknown[][] };
  // The engine counts loosely, and not what JSON escapes.
  if (data.length > maxRows || Buffer.byteLength(text) > maxAnswerBytes) throw new SqlError(tooLarge);
  return { columns: meta.map(({ name }) => name), rows: data };
}

function checkParams(wanted: ReadonlySet<string>, given: Readonly<Record<string, string>>): void {
  for (const name of wanted) {
    if (!Object.hasOwn(given, name))
      throw new SqlError(`the query has a parameter ${name}; give it with --param ${name}=…`);
  }
  for (const name of Object.keys(given)) {
    if (!wanted.has(name))
      throw new SqlError(`the query has no parameter ${name}; it would be written {${name}:String}`);
  }
}

const tooLarge = `the result has over ${maxRows.toLocaleString('en')} rows or ${maxAnswerBytes / 1e6} MB; add LIMIT or WHERE, or choose fewer columns`;
const tooSlow = `the query ran for over ${querySeconds} s and was stopped; narrow it with WHERE, by time for example`;
const tooMuch = 'the query needs too much memory; narrow it with WHERE, or group by less';

/** By the engine's codes. */
const explanations: Readonly<Record<string, string>> = { 159: tooSlow, 241: tooMuch, 396: tooLarge };

/** What the engine says of a query, in one short line, without its own plans of it. Other errors stay what they are. */
function explained(error: Error & { readonly code?: unknown }): Error {
  if (!/^\d+$/.test(String(error.code))) return error;
  const said = error.message
    .replace(/ in scope .*?(?=\. Maybe you meant|$)/s, '')
    .replace(/:? (In scope|[Ww]hile executing) .*$/s, '')
    .replaceAll(/\s+/g, ' ')
    .replace(/[:.\s]+$/, '');
  return new SqlError(explanations[String(error.code)] ?? (said.length <= 300 ? said : `${said.slice(0, 300)}…`));
}

function quoted(name: string): string {
  return `\`${name.replaceAll(/[\\`]/g, '\\$&')}\``;
}

import { type ClickHouseClient, ClickHouseLogLevel, type ClickHouseSettings, createClient } from '@clickhouse/client';
import { createChdbConnection } from 'chdb/connection';

/** Where the record is: an embedded database's directory, or a ClickHouse server. */
export type Database =
  | { readonly kind: 'embedded'; readonly dir: string }
  | { readonly kind: 'server'; readonly url: string };

/** Pinned, whatever a server's defaults are or become. */
const insertSettings: ClickHouseSettings = { async_insert: 0, insert_deduplicate: 0 };
/** A question may take so many seconds. */
const questionSettings: ClickHouseSettings = { max_execution_time: 25, output_format_json_quote_64bit_integers: 0 };

/**
 * A connection. It runs one statement at a time, so each purpose has its own. `serverSettings` go with each statement to
 * a server; default: none.
 */
export function connect(database: Database, serverSettings: ClickHouseSettings = {}): ClickHouseClient {
  // Its errors are thrown; it would print them as well.
  const log = { level: ClickHouseLogLevel.OFF };
  if (database.kind === 'server') return createClient({ url: database.url, log, clickhouse_settings: serverSettings });
  // chDB brings its own copy of the client's types.
  const connection = createChdbConnection({ path: database.dir }) as unknown as NonNullable<
    Parameters<typeof createClient>[0]
  >;
  return createClient({ connection } as unknown as Parameters<typeof createClient>[0]);
}

/** Runs a statement that changes the database. */
export async function command(client: ClickHouseClient, query: string): Promise<void> {
  await client.command({ query, clickhouse_settings: insertSettings });
}

/** Inserts rows that all have the same columns; on disk when it returns. */
export async function insert(client: ClickHouseClient, table: string, values: readonly object[]): Promise<void> {
  const columns = Object.keys(values[0] ?? {}) as [string, ...string[]];
  await client.insert({
    table,
    columns,
    values: [...values],
    format: 'JSONEachRow',
    clickhouse_settings: insertSettings,
  });
}

/** The rows of a SELECT; integers are numbers, and what Sluice counts stays below 2^53. Parameters may be left undefined. */
export async function select<T>(
  client: ClickHouseClient,
  query: string,
  params: Readonly<Record<string, unknown>> = {},
): Promise<T[]> {
  const given = Object.fromEntries(Object.entries(params).filter(([, value]) => value !== undefined));
  const result = await client.query({
    query,
    query_params: given,
    format: 'JSONEachRow',
    clickhouse_settings: questionSettings,
  });
  return result.json<T>();
}

/** Connections for questions: each takes one that is idle, or waits its turn. */
export class Pool {
  readonly #clients: readonly ClickHouseClient[];
  readonly #idle: ClickHouseClient[];
  readonly #waiting: ((client: ClickHouseClient) => void)[] = [];

  constructor(database: Database, size: number) {
    this.#clients = Array.from({ length: size }, () => connect(database));
    this.#idle = [...this.#clients];
  }

  /** The rows of a SELECT; see `select`. */
  async select<T>(query: string, params: Readonly<Record<string, unknown>> = {}): Promise<T[]> {
    const client = this.#idle.pop() ?? (await new Promise<ClickHouseClient>((resolve) => this.#waiting.push(resolve)));
    try {
      return await select<T>(client, query, params);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#idle.push(client);
      else next(client);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()));
  }
}

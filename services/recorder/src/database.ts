import { Readable } from 'node:stream';
import {
  type ClickHouseClient,
  ClickHouseLogLevel,
  type ClickHouseSettings,
  createClient,
  parseError,
} from '@clickhouse/client';
import { type ChdbConnection, createChdbConnection } from 'chdb/connection';
import { tabSeparated, type Value } from './tab-separated.ts';

/** Where the record is: an embedded database's directory, or a ClickHouse server. */
export type Database =
  | { readonly kind: 'embedded'; readonly dir: string }
  | { readonly kind: 'server'; readonly url: string };

/** Pinned, whatever a server's defaults are or become. */
const insertSettings = { async_insert: 0, insert_deduplicate: 0 } as const;
/** A question may take so many seconds. */
const questionSettings: ClickHouseSettings = { max_execution_time: 25, output_format_json_quote_64bit_integers: 0 };
/** Its errors are thrown; it would print them as well. */
const quiet = { level: ClickHouseLogLevel.OFF };

/**
 * A connection. It runs one statement at a time, so each purpose has its own. `serverSettings` go with each statement to
 * a server; default: none.
 */
export function connect(database: Database, serverSettings: ClickHouseSettings = {}): ClickHouseClient {
  if (database.kind === 'server') return clientOf(database.url, serverSettings);
  return embeddedClient(connectEmbedded(database.dir));
}

/** A row, by column. */
export type Columns = Readonly<Record<string, Value>>;

/** The connection that writes. */
export interface Ingest {
  readonly client: ClickHouseClient;
  /** Inserts rows that all have the same columns; on disk when it returns. */
  readonly insert: (table: string, rows: readonly Columns[]) => Promise<void>;
}

/** See `connect`. */
export function connectIngest(database: Database): Ingest {
  const encode = (rows: readonly Columns[]) => ({
    columns: Object.keys(rows[0] ?? {}) as [string, ...string[]],
    values: tabSeparated(rows.map((row) => Object.values(row))),
    format: 'TabSeparated' as const,
  });
  if (database.kind === 'server') {
    const client = clientOf(database.url);
    return {
      client,
      async insert(table, rows) {
        const { values, ...into } = encode(rows);
        const body = Readable.from([values], { objectMode: false });
        await client.insert({ table, ...into, values: body, clickhouse_settings: insertSettings });
      },
    };
  }
  const connection = connectEmbedded(database.dir);
  return {
    client: embeddedClient(connection),
    async insert(table, rows) {
      // Through the client it would go as text, which not all bytes are.
      await connection.chdb.rawInsert({ table, ...encode(rows), settings: insertSettings }).catch((error: Error) => {
        throw parseError(error.message);
      });
    },
  };
}

function clientOf(url: string, settings: ClickHouseSettings = {}): ClickHouseClient {
  return createClient({ url, log: quiet, clickhouse_settings: settings });
}

function connectEmbedded(dir: string): ChdbConnection {
  return createChdbConnection({ path: dir });
}

function embeddedClient(connection: ChdbConnection): ClickHouseClient {
  // chDB brings its own copy of the client's types.
  return createClient({ connection } as unknown as Parameters<typeof createClient>[0]);
}

/** Runs a statement that changes the database. */
export async function command(client: ClickHouseClient, query: string): Promise<void> {
  await client.command({ query, clickhouse_settings: insertSettings });
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

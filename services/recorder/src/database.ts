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

/**
 * Pinned, whatever a server's defaults are or become. One thread reads a batch and writes it: several cost more than they
 * save, and take their time from calls.
 */
const insertSettings = {
  async_insert: 0,
  insert_deduplicate: 0,
  input_format_parallel_parsing: 0,
  max_threads: 1,
  max_insert_threads: '1',
} as const;
/** A question may take so many seconds. */
const questionSettings: ClickHouseSettings = { max_execution_time: 25, output_format_json_quote_64bit_integers: 0 };
/** Its errors are thrown; it would print them as well. */
const quiet = { level: ClickHouseLogLevel.OFF };

/** A row, by column. */
export type Columns = Readonly<Record<string, Value>>;

/**
 * A connection. It runs one statement at a time, so each purpose has its own. After one that failed it begins anew: the
 * next answer of chDB would start with the rows that the failed one left.
 */
export class Connection {
  readonly #database: Database;
  #link: Link | undefined;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Runs a statement that changes the database. */
  async command(query: string): Promise<void> {
    await this.#run(({ client }) => client.command({ query, clickhouse_settings: insertSettings }));
  }

  /** Inserts rows that all have the same columns; on disk when it returns. */
  async insert(table: string, rows: readonly Columns[]): Promise<void> {
    await this.#run((link) => link.insert(table, rows));
  }

  /**
   * The rows of a SELECT; integers are numbers, and what Sluice counts stays below 2^53. Parameters may be left
   * undefined.
   */
  select<T>(query: string, params: Readonly<Record<string, unknown>> = {}): Promise<T[]> {
    const given = Object.fromEntries(Object.entries(params).filter(([, value]) => value !== undefined));
    return this.#run(async ({ client }) => {
      const result = await client.query({
        query,
        query_params: given,
        format: 'JSONEachRow',
        clickhouse_settings: questionSettings,
      });
      return result.json<T>();
    });
  }

  async close(): Promise<void> {
    const link = this.#link;
    this.#link = undefined;
    await link?.client.close();
  }

  async #run<T>(statement: (link: Link) => Promise<T>): Promise<T> {
    this.#link ??= link(this.#database);
    try {
      return await statement(this.#link);
    } catch (error) {
      await this.close();
      throw error;
    }
  }
}

/** Connections for questions: each takes one that is idle, or waits its turn. */
export class Pool {
  readonly #connections: readonly Connection[];
  readonly #idle: Connection[];
  readonly #waiting: ((connection: Connection) => void)[] = [];

  constructor(database: Database, size: number) {
    this.#connections = Array.from({ length: size }, () => new Connection(database));
    this.#idle = [...this.#connections];
  }

  /** The rows of a SELECT; see `Connection`. */
  async select<T>(query: string, params: Readonly<Record<string, unknown>> = {}): Promise<T[]> {
    const connection = this.#idle.pop() ?? (await new Promise<Connection>((resolve) => this.#waiting.push(resolve)));
    try {
      return await connection.select<T>(query, params);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#idle.push(connection);
      else next(connection);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#connections.map((connection) => connection.close()));
  }
}

/** A client of its own, for statements with settings of their own. `settings` go with each statement to a server. */
export function connect(database: Database, settings: ClickHouseSettings = {}): ClickHouseClient {
  if (database.kind === 'embedded') return embeddedClient(createChdbConnection({ path: database.dir }));
  return createClient({ url: database.url, log: quiet, clickhouse_settings: settings });
}

interface Link {
  readonly client: ClickHouseClient;
  readonly insert: (table: string, rows: readonly Columns[]) => Promise<void>;
}

function link(database: Database): Link {
  const encode = (rows: readonly Columns[]) => ({
    columns: Object.keys(rows[0] ?? {}) as [string, ...string[]],
    values: tabSeparated(rows.map((row) => Object.values(row))),
    format: 'TabSeparated' as const,
  });
  if (database.kind === 'server') {
    const client = connect(database);
    return {
      client,
      async insert(table, rows) {
        const { values, ...into } = encode(rows);
        const body = Readable.from([values], { objectMode: false });
        await client.insert({ table, ...into, values: body, clickhouse_settings: insertSettings });
      },
    };
  }
  const connection = createChdbConnection({ path: database.dir });
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

function embeddedClient(connection: ChdbConnection): ClickHouseClient {
  // chDB brings its own copy of the client's types.
  return createClient({ connection } as unknown as Parameters<typeof createClient>[0]);
}

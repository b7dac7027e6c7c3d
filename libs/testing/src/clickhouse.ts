// A ClickHouse server of a test. It is an entry of its own, since chDB is large to load.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { type ClickHouseClient, createClient } from '@clickhouse/client';
import { type ChdbConnection, createChdbConnection } from 'chdb/connection';

/** What becomes of an insert. `answer-lost`: it takes place, and the connection breaks. */
export type InsertFate = 'stored' | 'disk-full' | 'answer-lost';

/** NOT_ENOUGH_SPACE, as a server says it. */
const diskFull = {
  code: '243',
  message: 'Code: 243. DB::Exception: Cannot reserve 1.00 MiB, not enough space. (NOT_ENOUGH_SPACE)',
} as const;

/** A ClickHouse server of a test: HTTP in front of chDB, as far as Sluice speaks to it. */
export class TestClickHouse {
  /** Asked before each insert into a table; it may take its time. */
  onInsert: (table: string) => InsertFate | Promise<InsertFate> = () => 'stored';
  /** Inserts that were refused. */
  refused = 0;
  /** The database itself. */
  readonly client: ClickHouseClient;
  readonly #connection: ChdbConnection;
  readonly #server: Server;

  private constructor(dir: string) {
    this.#connection = createChdbConnection({ path: dir });
    this.client = createClient({ connection: this.#connection } as unknown as Parameters<typeof createClient>[0]);
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch((error: Error) => response.writeHead(500).end(error.message));
    });
  }

  /** `dir`: where its data is. */
  static async start(dir: string): Promise<TestClickHouse> {
    const server = new TestClickHouse(dir);
    server.#server.listen(0, '127.0.0.1');
    await once(server.#server, 'listening');
    return server;
  }

  get env(): { readonly SLUICE_CLICKHOUSE_URL: string } {
    const { port } = this.#server.address() as AddressInfo;
    return { SLUICE_CLICKHOUSE_URL: `http://127.0.0.1:${port}` };
  }

  /** Asks the database itself. */
  async rows<T>(query: string): Promise<T[]> {
    return (await this.client.query({ query, format: 'JSONEachRow' })).json<T>();
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await this.client.close();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const asked = new URL(request.url ?? '', 'http://server').searchParams;
    const query = asked.get('query') ?? '';
    const body = await buffer(request);
    const [, table, columns = ''] = /^INSERT INTO (\w+) \((.*)\) FORMAT TabSeparated$/.exec(query) ?? [];
    if (table !== undefined) return this.#insert(table, columns.split(', '), body, response);
    const statement = `${query}\n${body.toString()}`.trim();
    if (/^(SELECT|WITH)\b/.test(statement)) response.end(await this.#select(statement, asked));
    else {
      await this.client.command({ query: statement });
      response.end();
    }
  }

  async #insert(table: string, columns: string[], values: Buffer, response: ServerResponse): Promise<void> {
    const fate = await this.onInsert(table);
    if (fate === 'disk-full') {
      this.refused++;
      response.writeHead(500, { 'x-clickhouse-exception-code': diskFull.code }).end(diskFull.message);
      return;
    }
    await this.#connection.chdb.rawInsert({ table, columns, format: 'TabSeparated', values });
    if (fate === 'answer-lost') response.destroy();
    else response.end();
  }

  async #select(statement: string, asked: URLSearchParams): Promise<string> {
    const query = statement.replace(/\s*FORMAT JSONEachRow$/, '');
    const params = [...asked].filter(([name]) => name.startsWith('param_'));
    const query_params = Object.fromEntries(params.map(([name, value]) => [name.slice('param_'.length), value]));
    return (await this.client.query({ query, query_params, format: 'JSONEachRow' })).text();
  }
}

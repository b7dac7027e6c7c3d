// A ClickHouse server of a test. It is an entry of its own, since chDB is large to load.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { type ClickHouseClient, createClient } from '@clickhouse/client';
import { createChdbConnection } from 'chdb/connection';

/** What becomes of an insert. */
export type InsertFate = 'stored' | 'disk-full';

/** A ClickHouse server of a test: HTTP in front of chDB, as far as Sluice speaks to it. */
export class TestClickHouse {
  /** Asked before each insert into the record; it may take its time. */
  onInsert: () => InsertFate | Promise<InsertFate> = () => 'stored';
  /** Inserts that were refused. */
  refused = 0;
  readonly #database: ClickHouseClient;
  readonly #server: Server;

  private constructor(dir: string) {
    const connection = createChdbConnection({ path: dir });
    this.#database = createClient({ connection } as unknown as Parameters<typeof createClient>[0]);
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
    return (await this.#database.query({ query, format: 'JSONEachRow' })).json<T>();
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await this.#database.close();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const asked = new URL(request.url ?? '', 'http://server').searchParams;
    const statement = [asked.get('query') ?? '', await text(request)].join('\n').trim();
    if (statement.startsWith('SELECT')) {
      const query = statement.replace(/\s*FORMAT JSONEachRow$/, '');
      const params = [...asked].filter(([name]) => name.startsWith('param_'));
      const query_params = Object.fromEntries(params.map(([name, value]) => [name.slice('param_'.length), value]));
      response.end(await (await this.#database.query({ query, query_params, format: 'JSONEachRow' })).text());
      return;
    }
    if (/^INSERT INTO record .* FORMAT/.test(statement) && (await this.onInsert()) === 'disk-full') {
      this.refused++;
      const message = 'Code: 243. DB::Exception: Cannot reserve 1.00 MiB, not enough space. (NOT_ENOUGH_SPACE)';
      response.writeHead(500, { 'x-clickhouse-exception-code': '243' }).end(message);
      return;
    }
    await this.#database.command({ query: statement });
    response.end();
  }
}

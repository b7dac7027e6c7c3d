// A ClickHouse server that fails as it is told: HTTP in front of an embedded database.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClickHouseClient } from '@clickhouse/client';
import { happens } from '@sluice/testing';
import { openEmbedded, type Recorded, readTables } from './record.ts';

/** `full`: inserts are refused, as by a disk without room. `slow`: they take `slowMs`. */
export type Condition = 'well' | 'full' | 'slow';

/** NOT_ENOUGH_SPACE, as a server says it. */
const noSpace = 243;

export class FaultyDatabase {
  condition: Condition = 'well';
  slowMs = 5_000;
  /** Inserts that were refused or held up. */
  disturbed = 0;
  readonly #client: ClickHouseClient;
  readonly #server: Server;

  private constructor(client: ClickHouseClient) {
    this.#client = client;
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch((error: unknown) => fail(response, 1000, String(error)));
    });
  }

  static async open(dir: string): Promise<FaultyDatabase> {
    const database = new FaultyDatabase(openEmbedded(dir));
    database.#server.listen(0, '127.0.0.1');
    await happens(database.#server, 'listening');
    return database;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  readRecord(): Promise<Recorded> {
    return readTables(this.#client);
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await this.#client.close();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const asked = new URL(request.url ?? '', 'http://server').searchParams;
    const statement = bound([asked.get('query') ?? '', await text(request)].join('\n').trim(), asked);
    if (statement.startsWith('INSERT') && this.condition !== 'well') {
      this.disturbed++;
      if (this.condition === 'full') return fail(response, noSpace, 'Cannot reserve 1.00 MiB, not enough space');
      await sleep(this.slowMs);
    }
    const format = / FORMAT (\w+)$/.exec(statement)?.[1];
    if (!/^(SELECT|WITH)\b/.test(statement)) await this.#client.command({ query: statement });
    else {
      const query = statement.replace(/\s*FORMAT \w+$/, '');
      response.write(
        await (await this.#client.query({ query, format: (format as 'JSONEachRow') ?? 'JSONEachRow' })).text(),
      );
    }
    response.end();
  }
}

/** A statement with its parameters in place: the embedded database takes them otherwise. */
function bound(statement: string, asked: URLSearchParams): string {
  return statement.replaceAll(/\{(\w+):([^}]+)\}/g, (whole, name: string, type: string) => {
    const value = asked.get(`param_${name}`);
    return value === null ? whole : `CAST('${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}' AS ${type})`;
  });
}

function fail(response: ServerResponse, code: number, message: string): void {
  response.writeHead(500, { 'x-clickhouse-exception-code': String(code) });
  response.end(`Code: ${code}. DB::Exception: ${message}. (FAULT) (version 26.1.1.1)`);
}

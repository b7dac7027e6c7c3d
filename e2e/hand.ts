// Somebody who has the database of a stopped Sluice in hand, and what `sluice verify` says to it.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formsOf, run } from '@sluice/testing';
import type { Row } from '../cli/src/verify/fixtures.ts';
import { Connection } from '../services/recorder/src/database.ts';

export class Hand {
  readonly home: string;

  constructor(home: string) {
    this.home = home;
  }

  async delete(ledger: string, where: string): Promise<void> {
    await this.#command(`ALTER TABLE record DELETE WHERE ledger = '${ledger}' AND (${where})`);
  }

  async update(ledger: string, seq: number, change: string): Promise<void> {
    await this.#command(`ALTER TABLE record UPDATE ${change} WHERE ledger = '${ledger}' AND seq = ${seq}`);
  }

  /** Copies a row to another place (as text beyond 2^53), with everything in it that is not changed. */
  async copy(
    from: readonly [ledger: string, seq: number],
    to: readonly [ledger: string, seq: number | string],
  ): Promise<void> {
    await this.#command(
      `INSERT INTO record (ledger, seq, call, session, kind, at, offset, meta, header, bytes, stream, stream_seq, stored_at)
       SELECT '${to[0]}', ${to[1]}, call, session, kind, at, offset, meta, header, bytes, stream, stream_seq, stored_at
       FROM record WHERE ledger = '${from[0]}' AND seq = ${from[1]}`,
    );
  }

  async insert(rows: readonly Row[]): Promise<void> {
    const stored = { stream: 'CALLS', stream_seq: 1, stored_at: '1795435787.0' };
    const values = rows.map(({ header, bytes, atMicros, ...columns }) => ({
      ...columns,
      ...stored,
      at: (atMicros / 1_000_000).toFixed(6),
      header,
      bytes,
    }));
    await this.#using((connection) => connection.insert('record', values));
  }

  async select<T>(query: string, params: Readonly<Record<string, unknown>> = {}): Promise<T[]> {
    return this.#using((connection) => connection.select<T>(query, params));
  }

  /** How many rows hold a value, in any of its forms. */
  async rowsWith(value: string): Promise<number> {
    const forms = formsOf(value);
    const where = forms.map((_, at) => `position(concat(bytes, meta, header), {form${at}:String}) > 0`).join(' OR ');
    const params = Object.fromEntries(forms.map((form, at) => [`form${at}`, form]));
    const [row] = await this.select<{ rows: number }>(`SELECT count() AS rows FROM record WHERE ${where}`, params);
    assert.ok(row !== undefined);
    return row.rows;
  }

  /** Changes the lines of the second home, each file by itself. */
  lines(change: (lines: readonly string[]) => readonly string[]): void {
    const seals = join(this.home, 'seals');
    for (const name of readdirSync(seals)) {
      const lines = readFileSync(join(seals, name), 'utf8').trimEnd().split('\n');
      writeFileSync(
        join(seals, name),
        change(lines)
          .map((line) => `${line}\n`)
          .join(''),
      );
    }
  }

  #command(statement: string): Promise<void> {
    const settings = statement.startsWith('ALTER') ? ' SETTINGS mutations_sync = 2' : '';
    return this.#using((connection) => connection.command(`${statement}${settings}`));
  }

  async #using<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    const connection = new Connection({ kind: 'embedded', dir: join(this.home, 'database') });
    try {
      return await work(connection);
    } finally {
      await connection.close();
    }
  }
}

export type FoundFault = readonly [ledger: string, seq: number, what: string];

/** What `sluice verify` says. */
export interface Found {
  readonly code: number;
  readonly frames: number;
  readonly faults: readonly FoundFault[];
  /** Whole, with their messages. */
  readonly unproven: readonly {
    readonly ledger: string;
    readonly first: number;
    readonly last: number;
    readonly why: string;
  }[];
  readonly secondHome: { readonly behind: { readonly ledger: string; readonly seq: number } | null } | null;
}

/** Runs `sluice verify` of the program in a tree on a home. */
export async function verify(home: string, tree: string, ...flags: readonly string[]): Promise<Found> {
  const { code, stdout, stderr } = await run(
    process.execPath,
    [join(tree, 'cli/src/main.ts'), 'verify', '--json', ...flags],
    { ...process.env, SLUICE_HOME: home },
  );
  assert.notEqual(stdout, '', stderr);
  const found = JSON.parse(stdout) as Omit<Found, 'code' | 'faults'> & {
    readonly faults: readonly { readonly ledger: string; readonly seq: number; readonly what: string }[];
  };
  return { ...found, code, faults: found.faults.map(({ ledger, seq, what }) => [ledger, seq, what] as const) };
}

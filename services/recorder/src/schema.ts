import { ConfigError } from '@sluice/runtime';
import type { Connection } from './database.ts';
import { views } from './views.ts';
import { viewsBeforeApprovals } from './views-before-approvals.ts';
import { viewsBeforeStreams } from './views-before-streams.ts';

/**
 * What brings a database from one version to the next. Each step may run again, for a process may die before or in any
 * of them: the next start begins the migration anew. A migration that was released is never changed.
 */
export const migrations: readonly (readonly string[])[] = [
  [
    // In the order of the ledgers, as proofs are read. `header` is a frame's header verbatim. Calls and sessions are
    // found by Bloom filters: what a ledger says of itself stands between its calls and bears no id, so that ranges of
    // ids would shut nothing out.
    `CREATE TABLE IF NOT EXISTS record (
      ledger LowCardinality(String),
      seq UInt64,
      call String,
      session String,
      kind LowCardinality(String),
      at DateTime64(6, 'UTC'),
      offset UInt64,
      meta String,
      header String,
      bytes String,
      stream LowCardinality(String),
      stream_seq UInt64,
      stored_at DateTime64(6, 'UTC'),
      INDEX by_call call TYPE bloom_filter(0.001) GRANULARITY 1,
      INDEX by_session session TYPE bloom_filter(0.01) GRANULARITY 1,
      INDEX by_time at TYPE minmax GRANULARITY 1,
      INDEX by_kind kind TYPE set(16) GRANULARITY 1
    ) ENGINE = MergeTree ORDER BY (ledger, seq)
    SETTINGS fsync_after_insert = 1, fsync_part_directory = 1`,

    `CREATE TABLE IF NOT EXISTS quarantine (
      stream LowCardinality(String),
      stream_seq UInt64,
      stored_at DateTime64(6, 'UTC'),
      reason String,
      message String
    ) ENGINE = MergeTree ORDER BY (stream, stream_seq)
    SETTINGS fsync_after_insert = 1, fsync_part_directory = 1`,

    // A Sluice before this version kept frames in the order of calls. Where there was none, an empty table moves.
    `CREATE TABLE IF NOT EXISTS frames (
      call String,
      ledger LowCardinality(String),
      seq UInt64,
      session String,
      kind LowCardinality(String),
      at DateTime64(6, 'UTC'),
      offset UInt64,
      meta String,
      header String,
      bytes String,
      stream LowCardinality(String),
      stream_seq UInt64,
      stored_at DateTime64(6, 'UTC')
    ) ENGINE = MergeTree ORDER BY (call, ledger, seq)`,
    // Small blocks by one thread: a body may have 4 MiB.
    `INSERT INTO record (ledger, seq, call, session, kind, at, offset, meta, header, bytes, stream, stream_seq, stored_at)
    SELECT ledger, seq, call, session, kind, at, offset, meta, header, bytes, stream, stream_seq, stored_at FROM frames
    WHERE (ledger, seq) NOT IN (SELECT ledger, seq FROM record)
    SETTINGS max_threads = 1, max_insert_threads = 1, min_insert_block_size_bytes = 67108864`,
    'DROP VIEW IF EXISTS decided_calls',
    'DROP VIEW IF EXISTS outcomes',
    'DROP TABLE frames SYNC',
  ],
  viewsBeforeApprovals,
  viewsBeforeStreams,
  views,
];

/**
 * Brings a database up to date; one that is, is only asked. Throws `ConfigError` for a database of a newer Sluice,
 * before anything in it was changed.
 */
export async function migrate(database: Connection): Promise<void> {
  const version = await versionOf(database);
  if (version > migrations.length) {
    throw new ConfigError(
      `the database is of a newer Sluice (version ${version}, this one knows ${migrations.length}); start that one`,
    );
  }
  if (version === migrations.length) return;
  for (const statement of statementsSince(version)) await database.command(statement);
}

/** All that makes the newest database of one of a version. Exported for its test. */
export function statementsSince(version: number): string[] {
  const table = `CREATE TABLE IF NOT EXISTS migrations (version UInt32, at DateTime64(3, 'UTC'))
    ENGINE = MergeTree ORDER BY version SETTINGS fsync_after_insert = 1, fsync_part_directory = 1`;
  const missing = migrations.map((steps, index) => [...steps, `INSERT INTO migrations SELECT ${index + 1}, now64(3)`]);
  return [table, ...missing.slice(version).flat()];
}

/** How many migrations a database has behind it. */
async function versionOf(database: Connection): Promise<number> {
  const tables = await database.select(
    "SELECT 1 FROM system.tables WHERE database = currentDatabase() AND name = 'migrations'",
  );
  if (tables.length === 0) return 0;
  const [row] = await database.select<{ version: number }>('SELECT max(version) AS version FROM migrations');
  return row?.version ?? 0;
}

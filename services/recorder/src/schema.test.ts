// Databases of every earlier version, brought up to date; and what a process leaves that dies on the way.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConfigError } from '@sluice/runtime';
import { Connection } from './database.ts';
import { migrate, migrations, statementsSince } from './schema.ts';

// chDB opens one directory per process.
const dir = mkdtempSync(join(tmpdir(), 'sl-'));
let database = new Connection({ kind: 'embedded', dir });
after(async () => {
  await database.close();
  rmSync(dir, { recursive: true, force: true });
});

beforeEach(empty);

async function empty(): Promise<void> {
  const tables = await database.select<{ name: string; engine: string }>(
    'SELECT name, engine FROM system.tables WHERE database = currentDatabase()',
  );
  for (const { name, engine } of tables) {
    await database.command(`DROP ${engine === 'View' ? 'VIEW' : 'TABLE'} ${name} SYNC`);
  }
}

/** As Sluice made its tables before it counted versions. */
const unversioned = [
  `CREATE TABLE IF NOT EXISTS frames (
    call String,
    ledger LowCardinality(String),
    seq UInt64,
    session String,
    kind LowCardinality(String),
    at DateTime64(6, 'UTC'),
    offset UInt64,
    meta String,
    header64 String EPHEMERAL,
    header String DEFAULT base64Decode(header64),
    b64 String EPHEMERAL,
    bytes String DEFAULT base64Decode(b64),
    stream LowCardinality(String),
    stream_seq UInt64,
    stored_at DateTime64(6, 'UTC')
  ) ENGINE = MergeTree ORDER BY (call, ledger, seq)
  SETTINGS fsync_after_insert = 1, fsync_part_directory = 1`,
  `CREATE TABLE IF NOT EXISTS quarantine (
    stream LowCardinality(String),
    stream_seq UInt64,
    stored_at DateTime64(6, 'UTC'),
    reason String,
    b64 String EPHEMERAL,
    message String DEFAULT base64Decode(b64)
  ) ENGINE = MergeTree ORDER BY (stream, stream_seq)
  SETTINGS fsync_after_insert = 1, fsync_part_directory = 1`,
  "CREATE OR REPLACE VIEW decided_calls AS SELECT call AS id FROM frames WHERE kind = 'call'",
  "CREATE OR REPLACE VIEW outcomes AS SELECT call AS id FROM frames WHERE kind = 'outcome'",
];

/** Frames of two ledgers, each with bytes that are no text, in parts of their own. */
const fill = (count: number): string => `INSERT INTO frames
  (call, ledger, seq, session, kind, at, offset, meta, header64, b64, stream, stream_seq, stored_at)
  SELECT toString(cityHash64(number)), 'l' || toString(number % 2), intDiv(number, 2) + 1, 's', 'response',
    toDateTime64(1795435787.932, 6, 'UTC') + number, number, '{}', base64Encode(char(0, 255, number % 256)),
    base64Encode(repeat(char(254, number % 256), 100)), 'bytes', number, toDateTime64(1795435788, 6, 'UTC') + number
  FROM numbers(${count})
  SETTINGS max_block_size = ${Math.ceil(count / 4)}, min_insert_block_size_rows = 1, min_insert_block_size_bytes = 1`;

const columns = `call, toString(ledger), seq, session, toString(kind), at, offset, meta, header, bytes, toString(stream), stream_seq, stored_at`;
const digest = async (table: string): Promise<unknown> => {
  const [row] = await database.select(
    `SELECT count() AS rows, toString(sum(cityHash64(${columns}))) AS hash FROM ${table}`,
  );
  return row;
};

async function upToDate(): Promise<void> {
  const versions = await database.select<{ version: number }>('SELECT version FROM migrations ORDER BY version');
  assert.deepEqual(
    versions.map(({ version }) => version),
    migrations.map((_, index) => index + 1),
  );
  const tables = await database.select<{ name: string; engine: string }>(
    'SELECT name, engine FROM system.tables WHERE database = currentDatabase() ORDER BY name',
  );
  assert.deepEqual(Object.fromEntries(tables.map(({ name, engine }) => [name, engine])), {
    approvals: 'View',
    calls: 'View',
    channels: 'View',
    decisions: 'View',
    frames: 'View',
    migrations: 'MergeTree',
    quarantine: 'MergeTree',
    record: 'MergeTree',
    sessions: 'View',
  });
}

test('an empty database is made ready, and each migration runs once', async () => {
  await migrate(database);
  await upToDate();
  await migrate(database);
  await upToDate();
});

test('the frames of a database without versions move, byte for byte, and what was in quarantine stays', async () => {
  for (const statement of unversioned) await database.command(statement);
  await database.command(fill(1_000));
  await database.command(
    "INSERT INTO quarantine (stream, stream_seq, stored_at, reason, b64) VALUES ('calls', 1, 0, 'r', 'AP8=')",
  );
  const before = await digest('frames');
  assert.equal((before as { rows: number }).rows, 1_000);
  await migrate(database);
  await upToDate();
  assert.deepEqual(await digest('record'), before);
  assert.deepEqual(await database.select('SELECT reason, hex(message) AS message FROM quarantine'), [
    { reason: 'r', message: '00FF' },
  ]);
});

test('a database of every earlier version gets the views of this one', async () => {
  const columnsOf = (view: string) => database.select<{ name: string }>(`DESCRIBE ${view}`);
  for (let version = 0; version < migrations.length; version++) {
    for (const statement of statementsSince(0).slice(0, -statementsSince(version).length + 1)) {
      await database.command(statement);
    }
    await migrate(database);
    await upToDate();
    const added = { calls: ['approval', 'command'], decisions: ['approval'], frames: ['channel'] };
    for (const [view, columns] of Object.entries(added)) {
      const there = (await columnsOf(view)).map(({ name }) => name);
      for (const column of columns) assert.ok(there.includes(column), `${view}.${column} of version ${version}`);
    }
    await empty();
  }
});

test('a migration that was broken off after any of its statements, or within the move, is healed by the next', async () => {
  const all = statementsSince(0);
  const move = all.findIndex((statement) => statement.startsWith('INSERT INTO record'));
  const part = all[move]?.replace('FROM frames', 'FROM (SELECT * FROM frames LIMIT 37)') ?? assert.fail();
  const broken = [...all.map((_, done) => all.slice(0, done)), [...all.slice(0, move), part]];
  for (const statements of broken) {
    for (const statement of [...unversioned, fill(100)]) await database.command(statement);
    const before = await digest('frames');
    for (const statement of statements) await database.command(statement);
    await migrate(database);
    await upToDate();
    assert.deepEqual(await digest('record'), before, `after ${statements.at(-1)}`);
    await empty();
  }
});

test('a process that is killed while it migrates leaves a database that the next one heals', async () => {
  for (const statement of [...unversioned, fill(200_000)]) await database.command(statement);
  const before = await digest('frames');
  await database.close();
  for (let round = 0; round < 5; round++) {
    const program = `const { Connection } = await import('${join(import.meta.dirname, 'database.ts')}');
      const { migrate } = await import('${join(import.meta.dirname, 'schema.ts')}');
      const database = new Connection({ kind: 'embedded', dir: '${dir}' });
      process.stdout.write('begins');
      await migrate(database);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const gone = once(child, 'exit');
    await once(child.stdout, 'data');
    await sleep(round * 60);
    child.kill('SIGKILL');
    await gone;
  }
  database = new Connection({ kind: 'embedded', dir });
  await migrate(database);
  await upToDate();
  assert.deepEqual(await digest('record'), before);
});

test('a database of a newer Sluice is refused in one line and left alone', async () => {
  await migrate(database);
  await database.command(`INSERT INTO migrations SELECT ${migrations.length + 1}, now64(3)`);
  await assert.rejects(migrate(database), (error) => {
    assert.ok(error instanceof ConfigError);
    const [newer, known] = [migrations.length + 1, migrations.length];
    assert.equal(
      error.message,
      `the database is of a newer Sluice (version ${newer}, this one knows ${known}); start that one`,
    );
    return true;
  });
});
